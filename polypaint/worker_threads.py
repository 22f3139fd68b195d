"""Threads for work that takes long: they give way to the event loop.

Counterparts: `runtime/effect_runner.py`, `runtime/password_hasher.py` and `store/sqlite_store.py`,
which have such work.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

NICENESS: Final = 10
"""Where there are more threads than cores, who draws comes first."""


P = ParamSpec("P")
T = TypeVar("T")


class Pool(ThreadPoolExecutor):
    """Threads that compute. `busy` says whether some of them still do."""

    def __init__(self, threads: int, name: str, gives_way: bool = True) -> None:
        super().__init__(threads, name, _give_way if gives_way else None)
        self._running: set[Future[Any]] = set()

    @property
    def busy(self) -> bool:
        """True while something is computed, or waits for a thread."""
        return any(not future.done() for future in list(self._running))

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """See `Executor.submit`."""
        future = super().submit(call, *args, **kwargs)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future


def pool(name: str, threads: int = 1, gives_way: bool = True) -> Pool:
    """A pool of so many threads. gives_way: to the event loop, when there are too few cores."""
    return Pool(threads, name, gives_way)


def spare_cores() -> int:
    """How many threads may compute without taking the event loop's core; 1 at least."""
    return max(1, (os.cpu_count() or 2) - 1)


def _give_way() -> None:
    """Of this thread alone: on Linux, and only there, a thread has an ID like a process."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
