"""One connection's conversation, without I/O: what all protocols share, and those in JSON.

In JSON, bytes in any chunks become lines, lines become objects, and `answer` says what comes of
each. A conversation that waits for something reads no further; what had arrived is handled
afterwards, in order.

Must never do I/O or read a clock. Counterparts: `net/connection.py` brings the bytes, the
services' `session.py` have the messages. Protocol of the lines: docs/matches.md, section 1.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from polypaint._codec import SendQueue
from polypaint.engine import effects
from polypaint.engine.budget import ENTRY, HEAVY_S, MESSAGE, SHARE
from polypaint.engine.context import Context
from polypaint.errors import ProtocolError
from polypaint.wire import strictjson

LINE_BYTES_MAX: Final = 4096
RID_BYTES_MAX: Final = 64
FAULTS_MAX: Final = 5
FAULTS_S: Final = 10.0
CROWDED: Final = 0.25
"""The part of what a peer may leave unread (`backlog_bytes_max`) at which its queue is tidied."""
TOO_LONG: Final = f"a message has at most {LINE_BYTES_MAX} bytes"


class Lines:
    """A byte stream as lines. Holds less than one line; None stands for one that is too long."""

    def __init__(self, bytes_max: int = LINE_BYTES_MAX) -> None:
        self._max = bytes_max
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that this completes, without their ends; empty ones are keepalives."""
        *whole, rest = (self._rest + data).split(b"\n")
        lines: list[bytes | None] = []
        for line in whole:
            stripped = line.removesuffix(b"\r")
            if self._skipping:
                self._skipping = False  # its end has come; it was told of when it grew too long
            elif len(stripped) > self._max:
                lines.append(None)
            elif stripped:
                lines.append(stripped)
        if self._skipping:
            rest = b""
        elif len(rest) > self._max + 1:  # a carriage return may still be stripped
            lines.append(None)
            self._skipping = True
            rest = b""
        self._rest = rest
        return lines


def valid_rid(rid: Any) -> bool:
    """Is this a scalar of at most 64 bytes?"""
    if isinstance(rid, str):
        return len(rid.encode()) <= RID_BYTES_MAX
    return rid is None or isinstance(rid, bool | int | float)


class Session(ABC):
    """What a connection's conversation is to whoever brings its bytes and carries out its effects.

    name: empty until login. waiting: until something asked for comes back; until then nothing more
    is read. closing: why it ends; empty while it does not.
    """

    _inbox: deque[Any] | list[Any]
    """What has arrived and is not handled yet."""

    def __init__(self, context: Context, address: str, now: float) -> None:
        self.context = context
        self.address = address
        self._flush_set = context.flush_set
        self.send_queue = SendQueue(context.flush_set)
        self.key = (context.process, self.send_queue.id)
        """(process, number): what tells this session from every other one."""
        self.name = ""
        self.credentials = ""
        """A cookie's session or a bearer token, of the request that opened the connection."""
        self.waiting = False
        self.closing = ""
        self.taken_at = now
        self.heavy_at = float("-inf")
        self._used_until = now
        self._used = 0
        self._queue_max = context.settings.backlog_bytes_max
        self._low_mark = int(CROWDED * self._queue_max)

    # ------------------------------------------------------------ in
    @abstractmethod
    def receive(self, data: bytes, now: float) -> None:
        """Bytes of a TCP stream, in any chunks."""

    @abstractmethod
    def receive_message(self, message: bytes, now: float) -> None:
        """One WebSocket message. Raises ProtocolError when the connection must end for it."""

    def work(self, now: float) -> None:
        """Handle what has arrived, up to a message that has to wait for something.

        It stops when the session's share of this turn of the loop is used up, and is called again
        in a later one. Who does not read what they asked for is not heard either, until they do.
        """
        turn = self._flush_set
        began = turn.spent
        stop = self.context.work.share(self, now)
        more = False
        while self.stalled and self.send_queue.queued < self._queue_max:
            if turn.spent >= stop:
                more = True
                break
            turn.spent += MESSAGE
            try:
                self._handle_next(now)
            except Exception as error:
                self.failed(error)
        used = turn.spent - began
        self._used += used
        if self._used >= SHARE or now > self._used_until:
            self._note_use(used, now)
        if more:
            self.context.work.defer(self, now)

    def _note_use(self, used: int, now: float) -> None:
        """Count anew every HEAVY_S: many small pieces of work weigh as much as a large one."""
        if now > self._used_until:
            self._used_until = now + HEAVY_S
            self._used = used
        if self._used >= SHARE:
            self.heavy_at = now

    @abstractmethod
    def _handle_next(self, now: float) -> None:
        """Handle the first message of the inbox."""

    def delay(self, seconds: float, now: float) -> None:
        """Handle nothing more for so long: a flood is slowed down, and loses nothing."""
        if seconds > 0 and not self.waiting:
            self.waiting = True
            self.context.timers.at(now + seconds, self.resume)

    def wait(self) -> None:
        """Handle nothing more until `resume`."""
        self.waiting = True

    def charge(self, cost_ns: int, now: float) -> None:
        """It has asked for so much work off the event loop: others go first meanwhile."""
        self.heavy_at = now + cost_ns * 1e-9

    def resume(self, now: float) -> None:
        """What was waited for has come."""
        self.waiting = False
        if not self.closing:
            self.context.effects.append(effects.Resume(self))
            self.work(now)

    @abstractmethod
    def password_checked(self, name: str, ok: bool | None, now: float) -> None:
        """The answer to CheckPassword; None: the store does not answer."""

    @abstractmethod
    def account_created(self, status: int, now: float) -> None:
        """The answer to CreateAccount: ACCOUNT_CREATED, NAME_TAKEN or ACCOUNT_REFUSED."""

    def holder_probed(self, name: str, now: float) -> None:  # noqa: B027
        """The answer to ProbeHolder; not asked for where several connections may have a name."""

    @abstractmethod
    def ticket_issued(self, ticket: str, now: float) -> None:
        """The answer to IssueTicket; empty: there is none now."""

    @property
    def busy(self) -> bool:
        """True while nothing more is to be read."""
        return self.waiting or bool(self._inbox)

    @property
    def stalled(self) -> bool:
        """True if a received message can be handled now."""
        return bool(self._inbox) and not self.waiting and not self.closing

    def lost(self, now: float) -> None:
        """The connection is gone, whoever closed it."""
        self.closing = self.closing or "connection lost"
        self.context.work.forget(self)

    # ------------------------------------------------------------ out
    def take(self, limit: int, now: float) -> bytes:
        """The next bytes to send, at most `limit` of them unless one packet is longer."""
        self.taken_at = now
        return self.send_queue.take(limit)

    def drained(self, now: float) -> None:  # noqa: B027
        """The connection has taken everything."""

    def backlogged(self, now: float) -> None:  # noqa: B027
        """The connection takes no more bytes for now."""

    def weigh(self, now: float) -> None:
        """See how much waits to be sent to a peer that does not take it fast enough."""
        limit = self._queue_max
        if self.send_queue.queued > self._low_mark:
            self.above_low_mark()
            self._low_mark = self.send_queue.queued + int(CROWDED * limit)
        elif self.send_queue.queued < CROWDED * limit:
            self._low_mark = int(CROWDED * limit)
        if self.send_queue.queued > limit:
            self.above_high_mark(now)

    def above_low_mark(self) -> None:  # noqa: B027
        """Much waits to be sent: what of it is void by now may be dropped."""

    @abstractmethod
    def above_high_mark(self, now: float) -> None:
        """Too much waits to be sent."""

    def failed(self, error: Exception) -> None:
        """A handler raised what nobody expected: report it, and end this conversation alone."""
        self.context.effects.append(effects.Unexpected(type(self).__name__, error))
        self.broken()

    def broken(self) -> None:
        """End it: something failed that nobody expected. What it has not handled is dropped."""
        self.waiting = False
        self._inbox.clear()
        self.close(effects.INTERNAL_ERROR)

    def close(self, reason: str) -> None:
        """End the conversation; what stands in the send queue is still sent."""
        if not self.closing:
            self.closing = reason
            self.context.effects.append(effects.Close(self, reason))


class JsonSession(Session):
    """One JSON object a line, or a WebSocket message; too many lines that are none end it."""

    def __init__(self, context: Context, address: str, now: float) -> None:
        super().__init__(context, address, now)
        self._lines = Lines()
        self._inbox: deque[bytes | None] = deque()
        self._faults: deque[float] = deque(maxlen=FAULTS_MAX)
        self._rejected = 0

    # ------------------------------------------------------------ what a protocol says to it
    @abstractmethod
    def answer(self, line: bytes, now: float) -> None:
        """One message. Raises ProtocolError when it is no JSON object as the protocol has them."""

    @abstractmethod
    def faulty(self, reason: str, too_long: bool) -> None:
        """Answer a line that is not a valid message with an error."""

    @abstractmethod
    def disconnected(self, now: float) -> None:
        """The connection is gone."""

    # ------------------------------------------------------------ in
    def receive(self, data: bytes, now: float) -> None:
        """Bytes of a TCP stream, in any chunks: whole lines are handled."""
        lines = self._lines.feed(data)
        self._flush_set.spent += ENTRY * len(lines)
        self._inbox.extend(lines)
        self.work(now)

    def receive_message(self, message: bytes, now: float) -> None:
        """One WebSocket message: one line."""
        if len(message) > LINE_BYTES_MAX:
            self._inbox.append(None)
        elif message.strip():
            self._inbox.append(message)
        self.work(now)

    def _handle_next(self, now: float) -> None:
        line = self._inbox.popleft()
        self._flush_set.spent += strictjson.cost(line) if line is not None else 0
        try:
            if line is None:
                raise ProtocolError(TOO_LONG)
            self.answer(line, now)
        except ProtocolError as error:
            self._fault(str(error), line is None, now)

    def _fault(self, reason: str, too_long: bool, now: float) -> None:
        self._rejected += 1
        self.context.effects.append(effects.Rejected(self, "line", reason, self._rejected))
        self.faulty(reason, too_long)
        self._faults.append(now)
        if len(self._faults) == FAULTS_MAX and now - self._faults[0] <= FAULTS_S:
            self.close(f"{FAULTS_MAX} messages that were none within {FAULTS_S:g} s")

    def lost(self, now: float) -> None:
        """The connection is gone, whoever closed it."""
        super().lost(now)
        self.disconnected(now)
        self.context.gone(self.address, unauthenticated=not self.name)

    # ------------------------------------------------------------ out
    def send(self, lines: bytes) -> None:
        """Send whole lines."""
        self.send_queue.push(lines)

    def say(self, message: Mapping[str, object]) -> None:
        """Send one object. Strings that JSON cannot carry have been refused on the way in."""
        self.send_queue.push(line(message))

    def above_high_mark(self, _now: float) -> None:
        """Nothing here can take the place of what waits, so too much of it ends the connection.

        Too much is twice what stops `work`: answers to what the peer has asked for only pause it.
        """
        if self.send_queue.queued > 2 * self._queue_max:
            self.close("does not read what it is sent")


def line(message: Any) -> bytes:
    """One object as it is sent."""
    return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)


def loads(data: bytes, parse: Callable[[bytes], Any] = strictjson.loads) -> dict[str, Any]:
    """The object in a line. Raises ProtocolError."""
    value = parse(data)
    if not isinstance(value, dict):
        raise ProtocolError("not a JSON object")
    return value
