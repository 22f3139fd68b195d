"""Pictures are made in processes of their own: a costly one delays others, and is ended.

There are two lanes, each with one process. Every job begins in the first, which has little time
for each; what takes longer goes on in the second, and what takes too long even there is refused.
Within a lane, those who ask take turns: one job of each, round robin.

Counterparts: `render_worker.py` is the process; `pictures.py` asks, and keeps what has been made.
"""

import asyncio
import contextlib
import os
import struct
import subprocess
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, Any, Final, TypeVar

import orjson
import structlog

from polypaint.errors import PolypaintError, ProtocolError
from polypaint.web.render_worker import COUNT, READY, RESULT, Outcome
from polypaint.worker_threads import pool

log = structlog.get_logger()
T = TypeVar("T")

LANES_S: Final = (1.0, 10.0)
"""Seconds of CPU time that a job may take in each lane."""
LOAD_S: Final = 20.0
"""How long the drawing of a job may take to be brought."""
WALL: Final = 4
"""How many times as long it may take by the clock, on a machine that has other things to do."""
START_S: Final = 30.0
"""How long a process may take to start; none of it is a job's time."""
IDLE_S: Final = 30.0
"""After so long without a job the process ends; the next job starts another."""
OF_EACH_MAX: Final = 8
"""Jobs of one who asks that wait in a lane."""
WAITING_MAX: Final = 256
PART_BYTES: Final = 256 << 10
BLOBS_AT_ONCE: Final = 512


class NotRendered(PolypaintError):
    """There is no picture. status: which HTTP has for the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


Loaded = tuple[dict[str, Any], list[bytes]]
"""(what the head of the job says, its blobs)"""


@dataclass(slots=True, eq=False)
class Job:
    """load: brings what is worked on, when it is the job's turn. who: shares turns with the rest
    of theirs."""

    who: str
    load: Callable[[], Awaitable[Loaded]]
    result: asyncio.Future[list[bytes]]
    loaded: Loaded | None = field(default=None)


class Renderer:
    """See the module."""

    def __init__(self) -> None:
        slow = _Lane(LANES_S[1], None)
        self._lanes = (_Lane(LANES_S[0], slow), slow)

    async def do(self, who: str, load: Callable[[], Awaitable[Loaded]]) -> list[bytes]:
        """What comes of a job, in parts of at most PART_BYTES.

        Raises NotRendered, ProtocolError, and what `load` raises.
        """
        job = Job(who, load, asyncio.get_running_loop().create_future())
        self._lanes[0].add(job)
        return await job.result

    def close(self) -> None:
        """End the processes; nobody gets a picture any more."""
        for lane in self._lanes:
            lane.close()


class _Lane:
    """One process, and who waits for it."""

    def __init__(self, seconds: float, slower: "_Lane | None") -> None:
        self._seconds = seconds
        self._slower = slower
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        self._process = _Process()
        self._thread = pool("render")
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, job: Job) -> None:
        """Do this when it is its turn. Raises NotRendered."""
        jobs = self._waiting.get(job.who, ())
        if self._closed or len(jobs) >= OF_EACH_MAX or len(self._waiting) >= WAITING_MAX:
            raise NotRendered(503, "Too many pictures are being asked for; try again later.")
        self._waiting.setdefault(job.who, deque()).append(job)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                who, jobs = self._waiting.popitem(last=False)
                job = jobs.popleft()
                if jobs:
                    self._waiting[who] = jobs
                if not job.result.done():
                    await self._do(job)
        finally:
            self._task = None
            if not self._closed:
                loop = asyncio.get_running_loop()
                self._idle = loop.call_later(IDLE_S, self._process.end)

    async def _do(self, job: Job) -> None:
        result = job.result
        try:
            if job.loaded is None:
                async with asyncio.timeout(LOAD_S):
                    job.loaded = await job.load()
            outcome, parts = await self._work(job.loaded)
        except TimeoutError:
            _fail(result, NotRendered(503, "The drawing is busy; try again later."))
            return
        except Exception as error:
            _fail(result, error)
            return
        text = b"".join(parts).decode(errors="replace") if outcome else ""
        if outcome is None:
            self._over_time(job)
        elif outcome is Outcome.DONE:
            if not result.done():
                result.set_result(parts)
        elif outcome is Outcome.REFUSED:
            _fail(result, ProtocolError(text))
        elif outcome is Outcome.TOO_LARGE:
            _fail(result, NotRendered(413, "This drawing is too large for such a file."))
        else:
            log.error("a picture could not be made", traceback=text)
            _fail(result, NotRendered(500, "The picture could not be made."))

    async def _work(self, loaded: Loaded) -> tuple[Outcome | None, list[bytes]]:
        """(None, []): it took too long, or more memory than there is."""
        started = await self._within(START_S, self._process.start)
        if not started:
            return None, []
        seconds = self._seconds
        return await self._within(WALL * seconds, lambda: self._process.do(loaded, seconds))

    async def _within(self, seconds: float, work: Callable[[], T]) -> T:
        """Have the thread do this; after so many seconds the process is ended."""
        loop = asyncio.get_running_loop()
        end = loop.call_later(seconds, self._process.end)
        try:
            return await loop.run_in_executor(self._thread, work)
        finally:
            end.cancel()

    def _over_time(self, job: Job) -> None:
        try:
            if self._slower is None or self._closed:
                raise NotRendered(503, "This drawing takes too long to draw as a picture.")
            self._slower.add(job)
        except NotRendered as error:
            _fail(job.result, error)

    def close(self) -> None:
        """End the process; whoever waits gets nothing."""
        self._closed = True
        error = NotRendered(503, "The server is stopping.")
        for job in chain.from_iterable(self._waiting.values()):
            _fail(job.result, error)
        self._waiting.clear()
        if self._idle is not None:
            self._idle.cancel()
        self._process.close()
        self._thread.submit(self._process.forget)
        self._thread.shutdown(wait=False)


def _fail(result: asyncio.Future[list[bytes]], error: Exception) -> None:
    if not result.done():
        result.set_exception(error)


class _Process:
    """A worker, started when it is needed. `start`, `do`, `forget` are called in one thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    def start(self) -> bool:
        """Have a process that is ready for a job. False: it could not start, or was ended."""
        before, child = self._child, self._started()
        if child is None or child.stdout is None:
            return False
        if child is before or child.stdout.read(len(READY)) == READY:
            return True
        self.end()
        self.forget()
        return False

    def do(self, loaded: Loaded, seconds: float) -> tuple[Outcome | None, list[bytes]]:
        """Have a job done by a process that was started; (None, []) when it has ended instead."""
        child = self._child
        try:
            if child is None or child.stdin is None or child.stdout is None:
                return None, []
            head, blobs = loaded
            head_bytes = orjson.dumps({**head, "seconds": seconds, "blobs": len(blobs)})
            _write(child.stdin, [COUNT.pack(len(head_bytes)), head_bytes])
            groups = [slice(at, at + BLOBS_AT_ONCE) for at in range(0, len(blobs), BLOBS_AT_ONCE)]
            for group in groups:
                sizes = [len(blob) for blob in blobs[group]]
                _write(child.stdin, [struct.pack(f"<{len(sizes)}I", *sizes)])
            for group in groups:
                _write(child.stdin, blobs[group])
            return _read(child.stdout)
        except OSError:
            self.end()
            self.forget()
            return None, []

    def _started(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._closed:
                return None
            if self._child is not None and self._child.poll() is not None:
                _reap(self._child)
                self._child = None
            if self._child is None:
                self._child = subprocess.Popen(
                    [sys.executable, "-m", "polypaint.web.render_worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                )
            return self._child

    def end(self) -> None:
        """End what it does, and it."""
        with self._lock:
            if self._child is not None:
                self._child.kill()

    def close(self) -> None:
        """End it for good; then let the thread `forget` it, which may be reading what it says."""
        self._closed = True
        self.end()

    def forget(self) -> None:
        """Take leave of a process that has ended."""
        with self._lock:
            if self._child is not None:
                _reap(self._child)
                self._child = None


def _reap(child: subprocess.Popen[bytes]) -> None:
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    child.wait()


def _write(stream: IO[bytes], blobs: list[bytes]) -> None:
    """All of these, without a copy of them. Raises OSError."""
    stream.flush()
    views = [memoryview(blob) for blob in blobs if blob]
    while views:
        written = os.writev(stream.fileno(), views)
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


def _read(stream: IO[bytes]) -> tuple[Outcome | None, list[bytes]]:
    """What came of a job. Raises OSError when the process has ended without saying."""
    head = stream.read(RESULT.size)
    if len(head) < RESULT.size:
        raise BrokenPipeError
    outcome, left = RESULT.unpack(head)
    parts = []
    while left:
        part = stream.read(min(left, PART_BYTES))
        if not part:
            raise BrokenPipeError
        parts.append(part)
        left -= len(part)
    return Outcome(outcome), parts
