"""The flush: once per turn of the loop, journal what is new, then send it. In this order, always.

Usually the journal is written on the event loop and the turn goes straight to the sockets. With
`--durability power` a commit is synced in a thread, and while the disk is full it is tried again:
then what is sealed waits, withheld, until the journal has it.

Counterparts: `runtime/runtime.py` sends what cannot go straight to a socket;
`runtime/flush_pacer.py` says how long a flush may wait for more.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

import structlog

from polypaint._codec import SendQueue
from polypaint.engine.context import Context
from polypaint.engine.journal_buffer import is_of_documents
from polypaint.errors import StoreError, StoreFull
from polypaint.runtime.flush_pacer import FlushPacer
from polypaint.runtime.ports import Ports

log = structlog.get_logger()

RETRY_S: Final = 0.5
JOURNAL_BYTES_MAX: Final = 64 << 20
JOURNAL_AGE_S_MAX: Final = 3600.0
"""A journal that is longer, or goes back further, is held back by somebody: they are stored."""
NOTE_S: Final = 1.0
TRIM_S: Final = 0.01
"""Between two parts of what the journal is to forget."""
TURN_BYTES: Final = 256 * 1024
"""What is said or recorded in one turn of the loop before it is flushed at once."""


class FlushTarget(Protocol):
    """What the flush needs of whoever has the connections: `runtime.Runtime`."""

    def send(self, send_queues: list[SendQueue]) -> None:
        """Send what these may be sent; see who lags and who is to be closed."""

    def run_effects(self) -> None:
        """Carry out what the rooms have asked for."""

    def disk_full(self, now: float) -> None:
        """The journal takes nothing more: tell people."""

    def disk_has_room(self, now: float) -> None:
        """It does again."""


class Flusher:
    """See the module. commits: group commits on the event loop; commit_s: their time together.

    synced: commits are made in a thread, as they wait for the disk.
    """

    def __init__(self, context: Context, target: FlushTarget, ports: Ports, synced: bool) -> None:
        self.commits = 0
        self.commit_s = 0.0
        self._context = context
        self._journal = ports.journal
        self._target = target
        self._directly = not synced
        self._loop = ports.scheduler
        self._clock = ports.clock
        self._precise = ports.clock.precise
        self._pacer = FlushPacer()
        self._scheduled = False
        self._unwritten: list[tuple[int, bytes]] = []
        self._withheld: list[SendQueue] = []
        self._committing: asyncio.Future[None] | None = None
        self._blocked = False
        self._must_be_written = False
        self._trouble: StoreError | None = None
        self.written_bytes = 0
        self._noted: deque[tuple[int, int, float]] = deque()
        self._next_note = 0.0
        self._trimming = False
        self._closed = False
        self._thread = ports.workers("journal", 1, gives_way=False)

    @property
    def idle(self) -> bool:
        """Is nothing being written, or waiting to be?"""
        return self._committing is None and not self._unwritten

    @property
    def committing(self) -> bool:
        """Is a commit under way?"""
        return self._committing is not None

    def schedule(self) -> None:
        """Something is new: flush at the end of this turn of the loop."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._gather if self._pacer.busy else self.flush)

    def _gather(self) -> None:
        """Let more arrive first, asleep: it is read in one go then, in the turn before the flush.

        To be woken for each packet costs as much as to pass it on; all wait the same either way.
        """
        wait = self._pacer.wait(self._loop.time())
        if wait > 0 and not self._context.work:
            self._clock.sleep(wait)
        self._loop.call_soon(self.flush)

    def flush_if_large(self) -> None:
        """Flush now what has become much: many reads may come before the turn of the loop ends."""
        if self._context.flush_set.size > TURN_BYTES or self._context.log.size > TURN_BYTES:
            self.flush()

    def flush(self) -> None:
        """Journal the turn, then send it."""
        self._scheduled = False
        context = self._context
        if self._directly and not context.read_only and not self._withheld:
            number = context.log.batch
            batch = context.log.take()
            if not batch or self._committed_now([(number, batch)]):
                before = context.flush_set.sends
                slow = context.flush_set.send_committed()
                self._pacer.flushed(
                    self._loop.time(), context.flush_set.sends - before + len(slow)
                )
                self._target.send(slow)
                return
            self._unwritten.append((number, batch))
            self._withheld += context.flush_set.seal()
            self._full()
            return
        self._flush_after_async_commit()

    def _flush_after_async_commit(self) -> None:
        """Seal the turn, journal it, release it, when the journal cannot be written at once."""
        if self._committing is not None:
            return
        context = self._context
        number = context.log.batch
        self._must_be_written |= any(map(is_of_documents, context.log.records))
        batch = context.log.take()
        self._withheld += context.flush_set.seal()
        if batch:
            self._unwritten.append((number, batch))
        if not self._unwritten:
            self._release()
        elif context.read_only:
            self._while_read_only()
        else:
            future = self._thread.run(self._journal.commit, list(self._unwritten))
            self._committing = future
            future.add_done_callback(self._committed)

    def _while_read_only(self) -> None:
        """Journal what still comes if there is room for it, and send what may be sent.

        Of drawings that is only the end of what members who left had selected: recovery ends a
        dead server's selections in the same way, so the others may be told before it is written.
        Documents (a seat, somebody's conduct) may be seen by nobody before that.
        """
        if not self._commit_unwritten():
            self._blocked |= self._must_be_written
        if not self._blocked:
            self._release()

    def _commit(self, batches: list[tuple[int, bytes]]) -> bool:
        """Write to the journal, if there is anything; False when it cannot be written."""
        try:
            if batches:
                self._journal.commit(batches)
        except Exception as error:
            self._note_trouble(error)
            return False
        return True

    def _commit_unwritten(self) -> bool:
        """Write what could not be written before, see `_commit`."""
        done = self._commit(self._unwritten)
        if done:
            self._written()
        return done

    def _note_trouble(self, error: BaseException) -> None:
        """Remember what is wrong; what nobody expected is logged with its place, once."""
        if isinstance(error, StoreError):
            self._trouble = error
            return
        trouble = StoreError(f"writing the journal: {error!r}")
        if str(trouble) != self.trouble:
            log.error("the journal failed in a way that nobody expected", exc_info=error)
        self._trouble = trouble

    def _written(self) -> None:
        """The journal has everything."""
        self._unwritten.clear()
        self._blocked = self._must_be_written = False

    def _committed_now(self, batches: list[tuple[int, bytes]]) -> bool:
        """Commit on the event loop; False when it cannot be written: it is tried again."""
        began = self._precise()
        if not self._commit(batches):
            return False
        self.commits += 1
        self.written_bytes += len(batches[0][1])
        if began >= self._next_note:
            self._note(batches[0][0], began)
        self.commit_s += self._precise() - began
        return True

    def _committed(self, future: "asyncio.Future[None]") -> None:
        """A synced commit has come back; so has the time to flush what is new since it began."""
        self._committing = None
        error = future.exception()
        if error is not None:
            self._note_trouble(error)
            self._full()
        else:
            self.written_bytes += sum(len(data) for _, data in self._unwritten)
            self._note(self._unwritten[0][0], self._precise())
            self._written()
            self._release()
        if self._context.flush_set.pending or self._context.log.records:
            self.schedule()

    def _full(self) -> None:
        """The journal takes nothing more: let people look, forbid the rest.

        If the disk is full, the reserve has room for what has been drawn already. If the disk
        fails, or is mounted read-only, it would be lost for nothing.
        """
        full = isinstance(self._trouble, StoreFull)
        until = "there is room on the disk" if full else "the journal can be written"
        log.error("read-only", until=until, error=str(self._trouble))
        self._blocked = True
        if full and self._journal.use_reserve():
            self._commit_unwritten()
        self._target.disk_full(self._loop.time())
        if not self._blocked:
            self._release()
        self._loop.call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        """Is there room again?"""
        try:
            self._journal.fill_reserve()
            room = self._commit_unwritten()
        except Exception as error:
            self._note_trouble(error)
            room = False
        if not room:
            self._loop.call_later(RETRY_S, self._retry)
            return
        self._trouble = None
        log.info("the journal can be written again")
        self._release()
        self._target.disk_has_room(self._loop.time())
        self._target.run_effects()

    def _release(self) -> None:
        """What was sealed is journaled: send it."""
        send_queues, self._withheld = self._withheld, []
        for send_queue in send_queues:
            send_queue.release()
        self._target.send(send_queues)

    # ------------------------------------------------------------ what the journal holds
    @property
    def trouble(self) -> str:
        """Why the journal cannot be written; empty when it can."""
        return str(self._trouble) if self._trouble is not None else ""

    @property
    def journal_bytes(self) -> int:
        """What is in the journal and may not be forgotten yet, to within a second's worth."""
        return self.written_bytes - self._noted[0][1] if self._noted else 0

    @property
    def journal_age_s(self) -> float:
        """How long the oldest of it has been there."""
        return self._precise() - self._noted[0][2] if self._noted else 0.0

    @property
    def journal_is_long(self) -> bool:
        """Should whoever holds it back be stored?"""
        return self.journal_bytes > JOURNAL_BYTES_MAX or self.journal_age_s > JOURNAL_AGE_S_MAX

    def _note(self, batch: int, at: float) -> None:
        """Note, once a second, how much the journal has been given before this batch."""
        self._next_note = at + NOTE_S
        self._noted.append((batch, self.written_bytes, at))

    def _forget(self, before: int) -> None:
        """Batches with lower numbers are needed no more."""
        noted = self._noted
        while len(noted) > 1 and noted[1][0] <= before:
            noted.popleft()
        if before >= self._context.log.batch:
            noted.clear()
            self._next_note = 0.0

    def trim(self, before: int) -> None:
        """Have the journal forget what is older than this batch, unless it is being written.

        A little at a time, for it happens on the event loop.
        """
        if not self.idle:
            return
        self._forget(before)
        try:
            more = self._journal.trim(before)
        except StoreError as error:
            log.error("trimming the journal", error=str(error))
            return
        if more and not self._trimming:
            self._trimming = True
            self._loop.call_later(TRIM_S, self._trim_on, before)

    def _trim_on(self, before: int) -> None:
        self._trimming = False
        if not self._closed:
            self.trim(before)

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._thread.close(wait=True)
