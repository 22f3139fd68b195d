"""Calls that are due at a time, without a clock: whoever owns the clock asks and tells.

Must never import asyncio or time. Counterpart: the server calls `next_at` and `run_due`.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(order=True, slots=True)
class Timer:
    """A call that is due `at` seconds; `cancel` it when it has become pointless."""

    at: float
    number: int
    call: Callable[[float], None] | None = field(compare=False)

    def cancel(self) -> None:
        """Never call."""
        self.call = None


class Timers:
    """All calls that are due some time."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._numbers = itertools.count()
        self.changed = False
        """Has `at` been called since whoever waits last looked? They reset it."""

    def at(self, when: float, call: Callable[[float], None]) -> Timer:
        """Have `call(now)` made at `when` or later."""
        timer = Timer(when, next(self._numbers), call)
        heapq.heappush(self._heap, timer)
        self.changed = True
        return timer

    def postpone(self, timer: Timer, when: float, call: Callable[[float], None]) -> None:
        """Have a timer that was just due be due again; whoever may cancel it still can."""
        timer.at, timer.call = when, call
        heapq.heappush(self._heap, timer)
        self.changed = True

    def next_at(self) -> float | None:
        """When the next call is due."""
        while self._heap and self._heap[0].call is None:
            heapq.heappop(self._heap)
        return self._heap[0].at if self._heap else None

    def due(self, now: float) -> Iterator[Callable[[float], None]]:
        """All calls that are due, in order: to be made by whoever asks, one after the other."""
        while (at := self.next_at()) is not None and at <= now:
            call = heapq.heappop(self._heap).call
            if call is not None:
                yield call

    def run_due(self, now: float) -> None:
        """Make all calls that are due, in order."""
        for call in self.due(now):
            call(now)
