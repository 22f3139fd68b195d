"""What the runtime needs of the machine: small interfaces, so that the same code runs on another.

The server gives it an event loop, the machine's clocks and threads, sockets and files. The tests
give it virtual ones, which are deterministic, fail and delay by seed, and need no time.

Counterparts: `runtime/runtime.py` and its parts run on these; `polypaint.store` declares `Store`
and `Journal`; a transport is an `asyncio.Transport`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

from polypaint.store import Journal, Store
from polypaint.worker_threads import pool

P = ParamSpec("P")
T = TypeVar("T")


class Handle(Protocol):
    """A call that is to be made."""

    def cancel(self) -> None:
        """Never make it."""


class Scheduler(Protocol):
    """What an event loop does: turns, timers and tasks."""

    def time(self) -> float:
        """Seconds on a clock that never goes back; the same throughout a turn."""

    def call_soon(self, callback: Callable[..., object], *args: Any) -> Handle:
        """Make the call in the next turn, in the order of these."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Handle:
        """Make the call after so many seconds."""

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> Handle:
        """Make the call at this time."""

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this scheduler."""

    def create_task(self, coro: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run a coroutine, from the next turn on."""


class Clock(Protocol):
    """The machine's clocks."""

    def precise(self) -> float:
        """Seconds on a clock that never goes back and runs on within a turn."""

    def utc(self) -> float:
        """UTC seconds."""

    def sleep(self, seconds: float) -> None:
        """Block: nothing else happens meanwhile."""


class Workers(Protocol):
    """Threads that compute, or do what blocks."""

    @property
    def busy(self) -> bool:
        """True while something is computed, or waits for a thread; after `close` too."""

    def run(
        self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Make the call off the event loop."""

    def close(self, wait: bool = False) -> None:
        """Begin nothing more; wait: until what was begun is done."""


class MakeWorkers(Protocol):
    """Begins threads: see `Threads`."""

    def __call__(self, name: str, threads: int, gives_way: bool = True) -> Workers:
        """gives_way: to the event loop, when there are too few cores."""


class Hasher(Protocol):
    """Makes and checks hashes of passwords: `password_hasher.PasswordHasher`."""

    threads: int

    def start(self, highest: int = 0) -> Awaitable[None]:
        """Make ready. highest: cost of the most expensive hash there is."""

    def hash(self, password: str) -> Awaitable[bytes]:
        """A new salted hash."""

    def check(self, password: str, hashed: bytes | None) -> Awaitable[bool]:
        """Is this the password? None, an unknown account, is never, and takes as long."""

    def close(self) -> None:
        """End the threads; what waits is dropped."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All of them."""

    scheduler: Scheduler
    clock: Clock
    workers: MakeWorkers
    hasher: Hasher
    store: Store
    journal: Journal


class MachineClock:
    """See `Clock`."""

    precise = staticmethod(time.perf_counter)
    utc = staticmethod(time.time)
    sleep = staticmethod(time.sleep)


class Threads:
    """See `Workers`."""

    def __init__(self, name: str, threads: int, gives_way: bool = True) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = pool(name, threads, gives_way)

    @property
    def busy(self) -> bool:
        """See `Workers`."""
        return self._pool.busy

    def run(
        self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """See `Workers`."""
        return asyncio.wrap_future(self._pool.submit(call, *args, **kwargs), loop=self._loop)

    def close(self, wait: bool = False) -> None:
        """See `Workers`."""
        self._pool.shutdown(wait=wait, cancel_futures=not wait)
