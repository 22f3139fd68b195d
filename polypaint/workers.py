"""Threads for work that takes long: they give way to the event loop.

Counterparts: `errands.py`, `net/passwords.py` and `store/sqlite_store.py`, which have such work.
"""

import contextlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

NICENESS: Final = 10
"""Where there are more threads than cores, who draws comes first."""


def pool(name: str, threads: int = 1) -> ThreadPoolExecutor:
    """A pool of so many threads."""
    return ThreadPoolExecutor(threads, name, _give_way)


def spare_cores() -> int:
    """How many threads may compute without taking the event loop's core; 1 at least."""
    return max(1, (os.cpu_count() or 2) - 1)


def _give_way() -> None:
    """Of this thread alone: on Linux, and only there, a thread has an ID like a process."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
