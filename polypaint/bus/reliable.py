"""Requests between roles: sent again until they are acknowledged, over whatever carries messages.

Nothing of this is kept: whoever restores a role asks again for what it still needs. So a message
may be lost, or its receiver killed, at any moment.

Must never import a service. Counterparts: `local.py` carries; `engine/service.py` declares what
services see of this.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from polypaint.bus import Bus, Receive
from polypaint.engine.context import Context
from polypaint.engine.timers import Timer

RETRY_S: Final = 1.0
"""Until a request is sent again; twice as long each time, up to what its sender says."""


@dataclass(slots=True, eq=False)
class _Request:
    """One that is not acknowledged. wait_s: until it is sent again."""

    role: str
    message: dict[str, Any]
    wait_s: float
    wait_s_max: float
    timer: Timer | None = None


class ReliableBus:
    """See the module, and `engine.service.Requests`."""

    def __init__(self, context: Context, bus: Bus) -> None:
        self._timers = context.timers
        self._bus = bus
        self._requests: dict[Hashable, _Request] = {}

    def join(self, role: str, receive: Receive) -> None:
        """See `Bus`."""
        self._bus.join(role, receive)

    def send(self, role: str, message: dict[str, Any]) -> None:
        """See `Bus`."""
        self._bus.send(role, message)

    def request(
        self,
        key: Hashable,
        role: str,
        message: dict[str, Any],
        now: float,
        wait_s_max: float = RETRY_S,
    ) -> None:
        """See `Requests`."""
        self.acknowledged(key)
        self._requests[key] = _Request(role, message, min(RETRY_S, wait_s_max), wait_s_max)
        self._send(key, now)

    def _send(self, key: Hashable, now: float) -> None:
        """First it is due again, then it is sent: it may raise."""
        request = self._requests[key]
        request.timer = self._timers.at(now + request.wait_s, partial(self._send, key))
        request.wait_s = min(2 * request.wait_s, request.wait_s_max)
        self._bus.send(request.role, request.message)

    def slow_down(self, key: Hashable) -> None:
        """See `Requests`."""
        request = self._requests.get(key)
        if request is not None:
            request.wait_s = request.wait_s_max

    def acknowledged(self, key: Hashable) -> None:
        """See `Requests`."""
        request = self._requests.pop(key, None)
        if request is not None and request.timer is not None:
            request.timer.cancel()
