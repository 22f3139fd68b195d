"""Who watches without a seat: how many may, from one address and at one match.

Spectators need not log in, so they are counted here instead of among the connections of their
address that have not.

Counterpart: `match_server.py` shows them what happens.
"""

from collections import Counter
from typing import TYPE_CHECKING, Final

from polypaint.engine.context import Context
from polypaint.matches.match import Match
from polypaint.matches.messages import error

if TYPE_CHECKING:
    from polypaint.matches.session import MatchSession

SPECTATORS_MAX: Final = 1000
"""At one match."""


class Spectators:
    """All spectators of all matches. by_address: how many from where."""

    def __init__(self, context: Context) -> None:
        self.by_address: Counter[str] = Counter()
        self._context = context

    def join(self, match: Match, session: "MatchSession") -> None:
        """One more. Raises Error."""
        address, context = session.address, self._context
        if len(match.spectators) >= SPECTATORS_MAX:
            raise error("complet", "there are too many spectators")
        if context.is_unauthenticated(address):
            if self.by_address[address] >= context.settings.address_spectators_max:
                raise error("complet", "there are too many spectators from your address")
        match.spectators.add(session)
        session.match = match
        self.by_address[address] += 1
        if not session.name:
            context.known(address)

    def leave(self, match: Match, session: "MatchSession") -> None:
        """One less, if they were."""
        if session in match.spectators:
            match.spectators.discard(session)
            self.by_address -= Counter({session.address: 1})
            if not session.name:
                self._context.strange(session.address)
