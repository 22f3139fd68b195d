"""The bus within one process: messages wait in a send queue until the turn is journaled.

Counterpart: `polypaint.bus`, the contract; whoever flushes calls `deliver` for its send queue.
"""

from functools import partial
from typing import Any

from polypaint._codec import SendQueue
from polypaint.bus import Receive
from polypaint.engine.context import Context


class LocalBus:
    """See `polypaint.bus.Bus`."""

    def __init__(self, context: Context) -> None:
        self.send_queue = SendQueue(context.flush_set)
        self._context = context
        self._roles: dict[str, Receive] = {}
        self._now = 0.0

    def join(self, role: str, receive: Receive) -> None:
        """See `polypaint.bus.Bus`."""
        self._roles[role] = receive

    def send(self, role: str, message: dict[str, Any]) -> None:
        """See `polypaint.bus.Bus`."""
        self.send_queue.call_when_sent(partial(self._hand_over, role, message))

    def _hand_over(self, role: str, message: dict[str, Any]) -> None:
        self._context.contain(f"bus: {role}", self._roles[role], message, self._now)

    def deliver(self, now: float) -> None:
        """What was sent is journaled: hand it over."""
        self._now = now
        while self.send_queue.takeable:
            self.send_queue.take(1)
