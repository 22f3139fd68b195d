"""How long a flush may wait for more: a trade of latency for system calls, made by load.

A send costs a system call per peer, whatever it carries, and every packet that is waited for costs
a wake-up. When flushes are many and each goes to many peers, sleeping up to FLUSH_S lets one call
carry, and one wake-up bring, what several would have. When there is little to send, or few to send
it to, waiting would cost latency and gain nothing: then there is none.

Counterpart: `runtime/flusher.py`, which sleeps.
"""

from typing import Final

FLUSH_S: Final = 0.002
SEND_S: Final = 4e-6
"""About what one send costs."""
SHARE: Final = 0.03
"""Sends that take more than this share of a core are worth waiting for."""
PEERS: Final = 4
"""Flushes that go to fewer peers on average are not."""
SPAN_S: Final = 0.02


class FlushPacer:
    """Decides for one server. All times in seconds on one clock."""

    def __init__(self) -> None:
        self._last = float("-inf")
        self._began = 0.0
        self._sends = 0
        self._flushes = 0
        self.busy = False
        """Is it worth waiting at all?"""

    def flushed(self, now: float, sends: int) -> None:
        """A flush has made so many sends."""
        self._last = now
        self._sends += sends
        self._flushes += 1
        span = now - self._began
        if span >= SPAN_S:
            spent = self._sends * SEND_S / span
            self.busy = spent > SHARE and self._sends > PEERS * self._flushes
            self._began = now
            self._sends = self._flushes = 0

    def wait(self, now: float) -> float:
        """How long the next flush should wait; 0 or less: not at all."""
        return self._last + FLUSH_S - now if self.busy else 0.0
