"""Who watches without a seat: how many may, from one address and at one match.

Spectators need not log in, so they are counted here instead of among the connections of their
address that have not.

Counterpart: `match_server.py` shows them what happens.
"""

from collections import Counter
from typing import Final

from polypaint.engine.context import Context
from polypaint.matches.match import Match
from polypaint.matches.messages import refused
from polypaint.matches.viewer import Viewer

SPECTATORS_MAX: Final = 1000
"""At one match."""


class Spectators:
    """All spectators of all matches. by_address: how many from where."""

    def __init__(self, context: Context) -> None:
        self.by_address: Counter[str] = Counter()
        self._context = context

    def join(self, match: Match, viewer: Viewer) -> None:
        """One more. Raises MatchRefusal."""
        address, context = viewer.address, self._context
        if len(match.spectators) >= SPECTATORS_MAX:
            raise refused("complet", "there are too many spectators")
        if context.is_unauthenticated(address):
            if self.by_address[address] >= context.settings.address_spectators_max:
                raise refused("complet", "there are too many spectators from your address")
        match.spectators[viewer.key] = viewer
        self.by_address[address] += 1
        if not viewer.name:
            context.known(address)

    def leave(self, match: Match, viewer: Viewer) -> None:
        """One less, if they were."""
        if match.spectators.pop(viewer.key, None) is not None:
            self.by_address -= Counter({viewer.address: 1})
            if not viewer.name:
                self._context.strange(viewer.address)
