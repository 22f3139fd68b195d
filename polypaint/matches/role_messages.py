"""Every message that the roles of matches tell each other, declared once.

Counterparts: `manager.py`, `match_server.py` and `stats.py` handle them;
`engine/role_messages.py` says what a declaration is. Protocol: docs/matches.md, section 4.
"""

from typing import Final

from polypaint.engine.role_messages import (
    AGAIN,
    CONFLICT,
    COUNTED,
    MANAGER,
    MATCH,
    RESULT,
    STATS,
    answer,
    request,
)

OPENING: Final = frozenset({"createur", "parametres", "cree", "graine", "secret"})
"""What the manager says of a match that is to be opened."""
OPEN_MATCH: Final = request("ouvrir", MATCH, " ".join(["code_partie", *OPENING]))
OPENED: Final = answer("ouverte", MANAGER, "code_partie")
STATE: Final = request("etat", MANAGER, "code_partie etat libres n")
NOTED: Final = answer("note", MATCH, "code_partie n")
CLOSE_MATCH: Final = request("fermer", f"{MANAGER} {MATCH}", "code_partie")
CLOSED: Final = answer("fermee", f"{MANAGER} {STATS}", "code_partie")

ROLE_MESSAGES: Final = (
    OPEN_MATCH, OPENED, STATE, NOTED, RESULT, COUNTED, AGAIN, CONFLICT, CLOSE_MATCH, CLOSED,
)  # fmt: skip
