"""Every message of the match protocol, declared once: requests, their fields, errors, answers.

The wire keeps the source's words; this module is where they meet ours.

Must never import a session. Counterpart: `session.py` has a handler for each request.
Protocol: docs/matches.md, sections 2 and 3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from polypaint.errors import Refused
from polypaint.identity.accounts import is_name, is_password

VICTORY, DEFEAT, DRAW = "victoire", "defaite", "nul"
CODE_LENGTH: Final = 6
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32."""
_LOOKALIKES: Final = str.maketrans("OIL", "011")


class MatchRefusal(Refused):
    """A request was refused: `code` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


ERRORS: Final = {
    "json": "not one JSON object as the protocol has them",
    "inconnu": "there is no such request",
    "champ": "a field is missing or wrong",
    "trop_grand": "the message is too long",
    "debit": "too many requests",
    "code_inconnu": "there is no match with this code",
    "code_requis": "which match? name its code_partie",
    "non_connecte": "this connection has no seat in a match",
    "identite": "the ID is another's, or its private ID is not this one",
    "complet": "every seat of this match is taken",
    "pas_commencee": "the match has not begun: seats are free",
    "pas_votre_tour": "it is another player's turn",
    "terminee": "the match is over, or you have left it",
    "action_invalide": "the rules do not allow this action",
    "occupe": "this connection has a match already",
}


def refused(code: str, message: str = "") -> MatchRefusal:
    """One of ERRORS, with its usual message or a better one."""
    return MatchRefusal(code, message or ERRORS[code])


def full_disk() -> MatchRefusal:
    """What would have to be kept is refused while nothing can be."""
    return refused("debit", "the server's disk is full; try again later")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request. says: what it has to be."""

    name: str
    says: str
    valid: Callable[[Any], bool]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A request that clients make. cost: units of work, of about a nanosecond
    (`engine/budget.py`)."""

    name: str
    says: str
    fields: tuple[Field, ...] = ()
    cost: int = 5_000

    def check(self, message: dict[str, Any]) -> None:
        """Raises MatchRefusal `champ` that names the first field that is missing or wrong."""
        for field in self.fields:
            value = message.get(field.name)
            if value is None and field.optional:
                continue
            if field.name not in message:
                raise refused("champ", f"{field.name} is missing: {field.says}")
            if not field.valid(value):
                raise refused("champ", f"{field.name} is not {field.says}")


def _is_public(value: Any) -> bool:
    return isinstance(value, str) and is_name(value)


def _is_private(value: Any) -> bool:
    return isinstance(value, str) and is_password(value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


PUBLIC = Field("id_publique", "an account's name: 1-64 bytes of plain text", _is_public)
PRIVATE = Field("id_privee", "its secret: 1-1024 bytes", _is_private)
CODE = Field("code_partie", "a match's code", _is_text)
OPTIONAL_CODE = Field("code_partie", "a match's code", _is_text, optional=True)

CREER = Request(
    "creer",
    "Create a match; answered with its code.",
    (PUBLIC, Field("parametres", "an object: jeu, joueurs, prive, the game's own", _is_object)),
    cost=40_000,
)
CONNEXION = Request(
    "connexion",
    "Take or resume a seat; answered with infos.",
    (PUBLIC, PRIVATE, OPTIONAL_CODE),
    cost=20_000,
)
ACTION = Request(
    "action",
    "Do something in the match.",
    (PUBLIC, Field("action", "an object", _is_object)),
    cost=20_000,
)
DECONNEXION = Request("deconnexion", "Leave the match for good.", (PUBLIC, PRIVATE), cost=20_000)
STATISTIQUES = Request("statistiques", "What a player has done.", (PUBLIC,), cost=40_000)
CLASSEMENT = Request("classement", "The players with most victories.", cost=40_000)
LISTER = Request("lister", "The public matches that one can join.")
SPECTATEUR = Request("spectateur", "Watch a match without a seat.", (CODE,), cost=40_000)
JETON = Request("jeton", "A ticket, which stands in for the private ID for a day.")

_DECLARED = [value for value in list(globals().values()) if isinstance(value, Request)]
REQUESTS: Final = {request.name: request for request in _DECLARED}


def normal_code(code: str) -> str:
    """A code as people type it → as it is stored."""
    return code.strip().upper().translate(_LOOKALIKES)
