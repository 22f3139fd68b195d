"""Who watches without a seat: how many may, from one address and at one match.

Spectators need not log in, so they are counted here instead of among the connections of their
address that have not.

Counterpart: `table.py` shows them what happens.
"""

from collections import Counter
from typing import TYPE_CHECKING, Final

from polypaint.ground import Ground
from polypaint.matches.match import Match
from polypaint.matches.messages import error

if TYPE_CHECKING:
    from polypaint.matches.session import MatchSession

SPECTATORS_MAX: Final = 1000
"""At one match."""


class Spectators:
    """All spectators of all matches. by_address: how many from where."""

    def __init__(self, ground: Ground) -> None:
        self.by_address: Counter[str] = Counter()
        self._ground = ground

    def join(self, match: Match, session: "MatchSession") -> None:
        """One more. Raises Error."""
        address, ground = session.address, self._ground
        if len(match.spectators) >= SPECTATORS_MAX:
            raise error("complet", "there are too many spectators")
        if ground.is_stranger(address):
            if self.by_address[address] >= ground.settings.address_spectators_max:
                raise error("complet", "there are too many spectators from your address")
        match.spectators.add(session)
        session.match = match
        self.by_address[address] += 1
        if not session.name:
            ground.known(address)

    def leave(self, match: Match, session: "MatchSession") -> None:
        """One less, if they were."""
        if session in match.spectators:
            match.spectators.discard(session)
            self.by_address -= Counter({session.address: 1})
            if not session.name:
                self._ground.strange(session.address)
