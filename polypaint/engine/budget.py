"""How much a session may do before the others have their turn, and how fast a person may be.

Work is counted in units of about a nanosecond, by what it touches: packets, pixels, strokes, list
entries, bytes copied. A session that has used its share of a turn of the event loop goes on in a
later turn, round robin, so that a flood delays its sender and nobody else. Sessions that have had
little to do lately go before those that have had much, as FQ-CoDel does it for packets
(RFC 8290, section 4.1).

Must never read a clock: time is an argument. Counterparts: `Session.work` asks for its share
and defers the rest; `runtime/server.py` runs what was deferred once per turn of the loop.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from polypaint._codec import FlushSet, SendQueue

SHARE: Final = 1_000_000
"""Units that one session may use in a turn of the loop."""
TURN: Final = 2_000_000
"""Units of all sessions in a turn, after which the rest is left to the next."""
HEAVY_TURN: Final = 150_000
"""Units of all sessions together that had much lately: nobody else waits longer for them."""
MESSAGE: Final = 10_000
"""Units of handling one message in Python, whatever is in it."""
ENTRY: Final = 100
"""Units of looking at one entry of a list, or at one person in a room."""
CREATION: Final = 30_000
"""Units of making something that is kept, or a long answer that is not."""
COPIES: Final = 16
"""Bytes that are copied to one peer in a unit; `Broadcast.publish` counts so."""
HEAVY_S: Final = 0.1
"""A session that has used up a share so recently, be it bit by bit, is served after others."""


class Weighed(Protocol):
    """heavy_at: when it had last used up a share within HEAVY_S, in seconds."""

    heavy_at: float


class Worker(Weighed, Protocol):
    """A session."""

    send_queue: SendQueue

    def work(self, now: float) -> None:
        """Do more of it."""


class WorkQueue:
    """Sessions that wait for their next share.

    notify: called without arguments when the first one waits: from then on `run` has to be
    called once per turn of the loop, until none does.
    """

    def __init__(self, turn: FlushSet) -> None:
        self.notify: Callable[[], None] = _nobody
        self._flush_set = turn
        self._turn_at = float("-inf")
        self._turn_ends = 0
        self._serving: Worker | None = None
        self._light: dict[Worker, None] = {}
        self._heavy: dict[Worker, None] = {}

    def __len__(self) -> int:
        return len(self._light) + len(self._heavy)

    def share(self, worker: Worker, now: float) -> int:
        """The value of `turn.spent` at which this session must stop; it may be reached already.

        A new `now` is a new turn of the loop.
        """
        spent = self._flush_set.spent
        if now != self._turn_at:
            self._turn_at = now
            self._turn_ends = spent + TURN
        if not is_heavy(worker, now):
            return min(spent + SHARE, self._turn_ends)
        if self._heavy and worker is not self._serving:
            return spent
        return min(spent + HEAVY_TURN, self._turn_ends)

    def defer(self, worker: Worker, now: float) -> None:
        """Have `work` called again in a later turn."""
        if worker not in self._light and worker not in self._heavy:
            first = not self
            (self._heavy if is_heavy(worker, now) else self._light)[worker] = None
            if first and self._serving is None:
                self.notify()

    def forget(self, worker: Worker) -> None:
        """It has ended."""
        self._light.pop(worker, None)
        self._heavy.pop(worker, None)

    def run(self, now: float) -> Iterator[Worker]:
        """One turn of the loop: give a share to each in turn, until TURN is used up; yields them.

        Those who had much lately have HEAVY_TURN at most together. Who is not done stands at the
        end of the queue again.
        """
        self._turn_at = now
        self._turn_ends = self._flush_set.spent + TURN
        for queue in (self._light, self._heavy):
            if queue is self._heavy:
                self._turn_ends = min(self._turn_ends, self._flush_set.spent + HEAVY_TURN)
            for worker in list(queue):
                if self._flush_set.spent >= self._turn_ends:
                    return
                if worker in queue:
                    del queue[worker]
                    self._serving = worker
                    try:
                        worker.work(now)
                    finally:
                        self._serving = None
                    yield worker


class Rates:
    """A bucket of tokens for each of many, by name: see `Bucket`.

    Those who have not been here for long are forgotten; by then their buckets are full.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def charge(self, name: str, now: float) -> float:
        """Take one of this one's tokens, see `Bucket.charge`."""
        bucket = self._buckets.pop(name, None) or Bucket(self._rate, self._burst, now)
        self._buckets[name] = bucket
        wait = bucket.charge(now)
        for _ in range(2):  # a few at a time, the longest unused first
            oldest = next(iter(self._buckets))
            if self._buckets[oldest].full(now):
                del self._buckets[oldest]
        return wait


def is_heavy(worker: Weighed, now: float) -> bool:
    """Has it used up a share a moment ago?"""
    return now - worker.heavy_at < HEAVY_S


def _nobody() -> None:
    """Whom a queue notifies that nobody runs."""


class Bucket:
    """Tokens: `rate` a second, at most `burst` of them kept for later."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take one token; False when there is none."""
        self._refill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def charge(self, now: float, tokens: float = 1) -> float:
        """Take tokens that may not be there yet. Returns the seconds until they are; 0: now.

        Debts end at as much as could be saved: who shares a bucket with somebody who never stops
        need not wait for hours when they have stopped.
        """
        self._refill(now)
        self._left = max(self._left - tokens, -self._burst)
        return max(0.0, -self._left / self._rate)

    def full(self, now: float) -> bool:
        """Are all tokens there?"""
        self._refill(now)
        return self._left >= self._burst

    def _refill(self, now: float) -> None:
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
