"""A machine of which nothing is real: an event loop in virtual time, its clock, threads, sockets.

`VirtualLoop` is an asyncio event loop without a selector: it runs what is ready, and time passes
only when it is told so. Everything on it happens in the same order every time; where asyncio
promises no order, a seeded random number decides.

Counterparts: `polypaint/runtime/ports.py` declares what these are; `memory_store.py` is the disk,
`world.py` runs a server on all of it.
"""

import asyncio
import heapq
import inspect
import itertools
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from polypaint.net import connection, liveness

DATE = 1_523_750_400
"""The UTC time at which virtual time is 0."""


class VirtualHandle:
    """A call that is to be made; see `asyncio.TimerHandle`."""

    __slots__ = ("args", "callback", "context", "gone", "when_")

    def __init__(self, callback, args, context, when=0.0) -> None:
        self.callback, self.args, self.context, self.when_ = callback, args, context, when
        self.gone = False

    def cancel(self) -> None:
        self.gone = True

    def cancelled(self) -> bool:
        return self.gone

    def when(self) -> float:
        return self.when_


class VirtualLoop(asyncio.AbstractEventLoop):
    """See the module. rng: decides where asyncio promises no order, and how late the loop is.

    late: seconds by which the loop may be late for a timer, of which one is drawn each time.
    """

    def __init__(
        self,
        now: float = 0.0,
        rng: random.Random | None = None,
        late: tuple[float, ...] = (0.0,),
    ) -> None:
        self._now = now
        self._rng = rng
        self._late = late
        self._ready: deque[VirtualHandle] = deque()
        self._timers: list[tuple[float, float, int, VirtualHandle]] = []
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[Any]] = []
        self._first_step: list[VirtualHandle] | None = None
        self._handler: Callable[[Any, dict[str, Any]], None] | None = None
        self.defer: Callable[[Callable[[], None]], None] | None = None
        """Is given the beginning of every task, to be called when the task shall begin."""
        self.deferred = 0
        self.dead = False

    # ------------------------------------------------------------ what asyncio asks for
    def time(self) -> float:
        return self._now

    def call_soon(self, callback, *args, context=None) -> VirtualHandle:  # type: ignore[override]
        handle = VirtualHandle(callback, args, context)
        if self._first_step is not None:
            self._first_step.append(handle)
        elif not self.dead:
            self._ready.append(handle)
        return handle

    def call_later(self, delay, callback, *args, context=None) -> VirtualHandle:  # type: ignore[override]
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None) -> VirtualHandle:  # type: ignore[override]
        handle = VirtualHandle(callback, args, context, when)
        if not self.dead:
            tie = self._rng.random() if self._rng is not None else 0.0
            heapq.heappush(self._timers, (when, tie, next(self._numbers), handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **_kwargs: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        if self.defer is None and not self.dead:
            task = asyncio.Task(coro, loop=self)
        else:
            self._first_step = held = []
            try:
                task = asyncio.Task(coro, loop=self)
            finally:
                self._first_step = None
            self.deferred += 1
            if self.defer is not None and not self.dead:
                self.defer(lambda: self._begin(held[0]))
        if len(self._tasks) > 64:
            self._tasks = [each for each in self._tasks if not each.done()]
        self._tasks.append(task)
        if self.dead:
            self._drop(task)
        return task

    def _begin(self, handle: VirtualHandle) -> None:
        self.deferred -= 1
        if not self.dead:
            self._ready.append(handle)
            self.run_ready()

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self.dead

    def set_exception_handler(self, handler) -> None:
        self._handler = handler

    def call_exception_handler(self, context) -> None:
        if self._handler is not None and not self.dead:
            self._handler(self, context)

    # ------------------------------------------------------------ what a test asks for
    @contextmanager
    def running(self) -> Iterator[None]:
        """This is the loop that runs, for what asks asyncio."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(before)

    def run_ready(self) -> None:
        """Run what is ready, and what that makes ready; time stands still."""
        ready = self._ready
        with self.running():
            while ready and not self.dead:
                handle = ready.popleft()
                if handle.gone:
                    continue
                try:
                    if handle.context is None:
                        handle.callback(*handle.args)
                    else:
                        handle.context.run(handle.callback, *handle.args)
                except Exception as error:
                    self.call_exception_handler({"message": "a callback", "exception": error})

    def next_at(self) -> float:
        """When the next timer is due."""
        while self._timers and self._timers[0][3].gone:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else float("inf")

    def step(self) -> None:
        """Let time pass until the next timer, or a little longer, and run what is due."""
        self.run_ready()
        at = self.next_at()
        if at < float("inf"):
            if self._rng is not None:
                at += self._rng.choice(self._late)
            self._now = max(self._now, at)
            self._make_ready()
            self.run_ready()

    def _make_ready(self) -> None:
        while self.next_at() <= self._now:
            self._ready.append(heapq.heappop(self._timers)[3])

    def run_until(self, end: float) -> None:
        """Let time pass."""
        self.run_ready()
        while self.next_at() <= end:
            self.step()
        self._now = max(self._now, end)

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        """The result of a coroutine; time passes until it is there."""
        task = asyncio.Task(coro, loop=self)
        self._tasks.append(task)
        self.run_ready()
        while not task.done():
            assert self._timers, "it waits for what never comes"
            self.step()
        return task.result()

    def block(self, seconds: float) -> None:
        """Time passes, and nothing happens meanwhile."""
        self._now += seconds

    def kill(self) -> None:
        """kill -9: nothing of what is under way goes on."""
        self.dead = True
        self._ready.clear()
        self._timers.clear()
        for task in self._tasks:
            self._drop(task)

    def _drop(self, task: asyncio.Task[Any]) -> None:
        if not task.done():
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            drop(task.get_coro())


def drop(coro: Any) -> None:
    """End a coroutine, and those that it would have awaited; what it does at the end is void."""
    awaited = []
    if coro.cr_frame is not None:
        awaited = [each for each in coro.cr_frame.f_locals.values() if inspect.iscoroutine(each)]
    with suppress(Exception):
        coro.close()
    for each in awaited:
        drop(each)


class VirtualClock:
    """See `ports.Clock`."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.precise = loop.time
        self.sleep = loop.block
        self.utc = lambda: DATE + loop.time()


class VirtualWorkers:
    """See `ports.Workers`: what is computed is there at once, or after as long as `takes` says."""

    def __init__(self, loop: VirtualLoop, takes: Callable[[], float] | None) -> None:
        self._loop = loop
        self._takes = takes
        self._waiting = 0

    @property
    def busy(self) -> bool:
        return self._waiting > 0

    def run(self, call, /, *args, **kwargs) -> asyncio.Future[Any]:
        future = self._loop.create_future()

        def done() -> None:
            self._waiting -= 1
            if future.done():
                return
            try:
                result = call(*args, **kwargs)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._waiting += 1
        if self._takes is None:
            done()
        else:
            self._loop.call_later(self._takes(), done)
        return future

    def close(self, wait: bool = False) -> None:
        pass


class PlainHasher:
    """See `ports.Hasher`: a hash is the password, and what it would have cost."""

    threads = 2

    def __init__(self, rounds: int, workers: VirtualWorkers) -> None:
        self._rounds = rounds
        self._workers = workers

    async def start(self, _highest: int = 0) -> None:
        pass

    async def hash(self, password: str) -> bytes:
        return await self._workers.run(self.hashed, password)

    async def check(self, password: str, hashed: bytes | None) -> bool:
        return await self._workers.run(lambda: hashed == self.hashed(password))

    def hashed(self, password: str) -> bytes:
        """The hash."""
        return b"$2b$%02d$%b" % (self._rounds, password.encode())

    def close(self) -> None:
        pass


class VirtualSocket:
    """What a connection's kernel says of it.

    A pair: the kernel's own, small, so that sends are short; without, its descriptor is for asking
    only.
    """

    family = socket.AF_UNIX

    def __init__(self, rtt_s: float, buffer_bytes: int | None = None) -> None:
        self.rtt_s = rtt_s
        self.heard = 0
        self.vanished = False
        self.pair: tuple[socket.socket, socket.socket] | None = None
        if buffer_bytes is not None:
            self._open(buffer_bytes)

    def _open(self, buffer_bytes: int) -> None:
        self.pair = socket.socketpair()
        for end in self.pair:
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)

    def fileno(self) -> int:
        if self.pair is None:
            self._open(4096)
        return self.pair[0].fileno()  # type: ignore[index]

    def getsockopt(self, _level: int, option: int, size: int = 0) -> Any:
        if not size:
            return 0
        assert option == socket.TCP_INFO
        info = bytearray(256)
        struct.pack_into("=I", info, connection.RTT_OFFSET, round(self.rtt_s * 1e6))
        struct.pack_into("=Q", info, connection.ACKED_OFFSET, self.heard)
        silent_ms = 10**6 if self.vanished else 0
        struct.pack_into("=I", info, liveness.LAST_ACK_OFFSET, silent_ms)
        return bytes(info[:size])

    def setsockopt(self, *_args: Any) -> None:
        pass

    def close(self) -> None:
        if self.pair is not None:
            for end in self.pair:
                end.close()


class VirtualTransport(asyncio.Transport):
    """A connection between a protocol of the server's and a test.

    hear: is given what the server has sent. direct: the server may write to the socket past this,
    and a send may be short. Reads only what the protocol wants to read; see `asyncio.Transport`.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        protocol: asyncio.Protocol,
        hear: Callable[[bytes], None],
        address: str,
        rtt_s: float,
        buffer_bytes: int | None = None,
    ) -> None:
        super().__init__()
        self.socket = VirtualSocket(rtt_s, buffer_bytes)
        self.direct = buffer_bytes is not None
        self.full = False
        """Does the peer take nothing?"""
        self._loop = loop
        self._protocol = protocol
        self._hear = hear
        self._address = address
        self._incoming: deque[bytes] = deque()
        self._outgoing = bytearray()
        self._reading = True
        self._paused = False
        self._closing = False
        self._lost = False
        self._high = self._low = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """TLS, to the server, where nothing may be written past the transport."""
        encrypted = None if self.direct else "TLS"
        known = {"peername": (self._address, 1), "socket": self.socket, "sslcontext": encrypted}
        return known.get(name, default)

    # ------------------------------------------------------------ from the peer
    def receive(self, data: bytes) -> None:
        """The peer has sent this."""
        if not self._closing and not self._lost:
            self._incoming.append(data)
            self._read()

    def _read(self) -> None:
        while self._incoming and self._reading and not self._closing:
            self._protocol.data_received(self._incoming.popleft())

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._loop.call_soon(self._read)

    # ------------------------------------------------------------ to the peer
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high or 0
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return len(self._outgoing)

    def write(self, data: bytes) -> None:  # type: ignore[override]
        if self._lost:
            return
        self._outgoing += data
        self._pump()
        self._note_pressure()

    def _pump(self) -> None:
        """Hand over what the peer's kernel takes."""
        if self.full and not self.direct:
            return
        if self.socket.pair is not None and self.direct:
            with suppress(BlockingIOError):
                while self._outgoing:
                    del self._outgoing[: self.socket.pair[0].send(self._outgoing)]
        elif self._outgoing:
            data = bytes(self._outgoing)
            self._outgoing.clear()
            self.socket.heard += len(data)
            self._hear(data)

    def _note_pressure(self) -> None:
        size = len(self._outgoing)
        full = self.full and not self.direct
        if not self._paused and (size > self._high or full):
            self._paused = True
            self._protocol.pause_writing()
        elif self._paused and size <= self._low and not full:
            self._paused = False
            self._protocol.resume_writing()

    def pull(self) -> bool:
        """Hand the peer what is in its socket; False when there is nothing."""
        if not self.direct or self.full or self._lost:
            return False
        data = b""
        with suppress(BlockingIOError):
            while part := self.socket.pair[1].recv(1 << 16):  # type: ignore[index]
                data += part
        if data:
            self.socket.heard += len(data)
            self._hear(data)
        self.drained()
        return bool(data)

    def set_full(self, full: bool) -> None:
        """Does the peer's kernel take nothing from now on?"""
        self.full = full
        self.drained()

    def drained(self) -> None:
        """See what can be handed over now."""
        if self._lost:
            return
        self._pump()
        if self._closing:
            if not self._outgoing:
                self._loop.call_soon(self._end)
        else:
            self._note_pressure()

    # ------------------------------------------------------------ the end
    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._outgoing:
                self._loop.call_soon(self._end)

    def abort(self) -> None:
        self._closing = True
        self._outgoing.clear()
        self._loop.call_soon(self._end)

    def lose(self) -> None:
        """The connection breaks."""
        self._closing = True
        self._outgoing.clear()
        self._end()

    def _end(self) -> None:
        if not self._lost:
            self.pull()
            self._lost = True
            self._protocol.connection_lost(None)
            self.socket.close()
