"""Work on canvases that waits for a thread, in an order that is fair to those who own them.

Start-time fair queueing: an owner's work begins, in the queue's own time, when that owner's last
work ends or, if that is over, now. So much work of one owner delays that owner's own. What takes
long never has all threads, so that something short goes on beside it.

Must never compute. Counterparts: `effects.Work`; `runtime/effect_runner.py` has the threads.
"""

import heapq
from itertools import count
from typing import Final

from polypaint.paint.effects import Work

LONG: Final = 20_000_000
"""Nanoseconds; what takes more leaves a thread to what takes less."""


class WorkQueue:
    """Fair between owners of drawings. threads: how many there are, two at least."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._now = 0
        self._ends: dict[str, int] = {}
        self._waiting: dict[bool, list[tuple[int, int, Work]]] = {False: [], True: []}
        self._numbers = count()
        self._running = {False: 0, True: 0}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, work: Work) -> None:
        """It waits from now on."""
        owner = work.lobby.info.owner
        begins = max(self._now, self._ends.get(owner, 0))
        self._ends[owner] = begins + work.cost
        heapq.heappush(self._waiting[_is_long(work)], (begins, next(self._numbers), work))

    def next(self) -> Work | None:
        """What is to be begun now; None: nothing, or there is no thread for it."""
        if sum(self._running.values()) >= self._threads:
            return None
        allowed = [kind for kind in (False, True) if self._waiting[kind]]
        if self._running[True] >= self._threads - 1:
            allowed = [kind for kind in allowed if not kind]
        if not allowed:
            return None
        kind = min(allowed, key=lambda kind: self._waiting[kind][0][:2])
        self._now, _, work = heapq.heappop(self._waiting[kind])
        self._running[kind] += 1
        return work

    def done(self, work: Work) -> None:
        """It has been done, or has failed."""
        self._running[_is_long(work)] -= 1
        if not len(self) and not any(self._running.values()):
            self._now = 0
            self._ends.clear()


def _is_long(work: Work) -> bool:
    return work.cost > LONG
