"""The bus within one process: messages wait in an outbox until the turn is journaled.

Counterpart: `polypaint.bus`, the contract; whoever flushes calls `deliver` for its outbox.
"""

from functools import partial
from typing import Any

from polypaint._codec import Outbox
from polypaint.bus import Receive
from polypaint.ground import Ground


class LocalBus:
    """See `polypaint.bus.Bus`."""

    def __init__(self, ground: Ground) -> None:
        self.outbox = Outbox(ground.turn)
        self._ground = ground
        self._roles: dict[str, Receive] = {}
        self._now = 0.0

    def join(self, role: str, receive: Receive) -> None:
        """See `polypaint.bus.Bus`."""
        self._roles[role] = receive

    def send(self, role: str, message: dict[str, Any]) -> None:
        """See `polypaint.bus.Bus`."""
        self.outbox.push_call(partial(self._hand_over, role, message))

    def _hand_over(self, role: str, message: dict[str, Any]) -> None:
        self._ground.contain(f"bus: {role}", self._roles[role], message, self._now)

    def deliver(self, now: float) -> None:
        """What was sent is journaled: hand it over."""
        self._now = now
        while self.outbox.takeable:
            self.outbox.take(1)
