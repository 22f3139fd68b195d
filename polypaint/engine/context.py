"""What all services share: one flush set, journal buffer, work queue, timers, list of effects.

So one flush journals and sends what all protocols have to say, and one test can run them all.

Must never do I/O. Counterparts: `runtime/runtime.py` owns the clock and empties `effects`.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from polypaint._codec import FlushSet
from polypaint.engine.budget import WorkQueue
from polypaint.engine.effects import Effect, Unexpected
from polypaint.engine.journal_buffer import JournalBuffer
from polypaint.engine.memory import UNLIMITED, Memory
from polypaint.engine.timers import Timer, Timers
from polypaint.settings import Settings

FULL_S: Final = 1.0
"""How often what has to be journaled looks whether a full disk has room again."""
LOOPBACK: Final = frozenset({"::1", "::ffff:127.0.0.1", "", "local"})


class Context:
    """See the module. epoch: the UTC time, in seconds, at which `now` is 0.

    notify: called without arguments when a turn has something to flush. memory_max: bytes that
    large things may take together.
    """

    def __init__(
        self,
        settings: Settings,
        epoch: float = 0,
        notify: Callable[[], None] | None = None,
        memory_max: int = UNLIMITED,
    ) -> None:
        self.settings = settings
        self.process = 0
        """Which process this is, of those that serve together."""
        self.epoch = epoch
        self.notify = notify or _nobody
        self.flush_set = FlushSet(self.notify)
        self.work = WorkQueue(self.flush_set)
        self.memory = Memory(memory_max)
        self.log = JournalBuffer(notify=self.notify)
        self.timers = Timers()
        self.effects: list[Effect] = []
        self.read_only = False
        """The disk is full: nothing may happen that would have to be journaled."""
        self.connections = 0
        self.connections_max = settings.connections_max
        self._strangers: Counter[str] = Counter()

    def contain(self, where: str, call: Callable[..., object], *arguments: object) -> bool:
        """Make a call that must not end what is done after it; False when it raised.

        For calls of several that wait for the same thing. An exception is reported, not raised.
        """
        try:
            call(*arguments)
        except Exception as error:
            self.effects.append(Unexpected(where, error))
            return False
        return True

    def turn_read_only(self, read_only: bool) -> None:
        """The disk is full, or has room again."""
        self.read_only = read_only

    def utc(self, now: float) -> float:
        """UTC seconds."""
        return self.epoch + now

    def date(self, now: float) -> int:
        """UTC seconds as they stand in a packet's header."""
        return int(self.utc(now)) & 0xFFFFFFFF

    def writing_at(self, when: float, call: Callable[[float], None]) -> Timer:
        """`timers.at` for a call that journals: while the disk is full, it waits for room."""

        def due(now: float) -> None:
            if self.read_only:
                self.timers.postpone(timer, now + FULL_S, due)
            else:
                call(now)

        timer = self.timers.at(when, due)
        return timer

    # ------------------------------------------------------------ who may connect
    def admit(self, address: str) -> bool:
        """A new connection, not logged in yet; False when there are too many.

        address: of the peer, without its port.
        """
        if self.connections >= self.connections_max:
            return False
        if self.is_unauthenticated(address):
            if self._strangers[address] >= self.settings.address_logins_max:
                return False
            self._strangers[address] += 1
        self.connections += 1
        return True

    def is_unauthenticated(self, address: str) -> bool:
        """Do the limits of one address hold for it? Not for this machine's own."""
        return not (address.startswith("127.") or address in LOOPBACK)

    def known(self, address: str) -> None:
        """A connection of this address has logged in, or is gone before it has."""
        if address in self._strangers:
            self._strangers[address] -= 1
            if not self._strangers[address]:
                del self._strangers[address]

    def strange(self, address: str) -> None:
        """A connection that counted as known is one that has not logged in again."""
        if self.is_unauthenticated(address):
            self._strangers[address] += 1

    def gone(self, address: str, unauthenticated: bool) -> None:
        """A connection is gone. stranger: it never logged in."""
        self.connections -= 1
        if unauthenticated:
            self.known(address)


def _nobody() -> None:
    """Notified where nobody flushes."""
