"""HTTP/1.1 for an ASGI application, with a bound on everything that a peer can make it hold.

A connection has one request at a time. Its head is collected here, up to HEAD_BYTES_MAX, and
parsed once it is whole; its body is read only while the application asks for it; while a response
is pending nothing more is read, and what was pipelined behind it waits, up to AHEAD_BYTES_MAX. Of
all connections together, one request is begun per turn of the event loop: a flood of requests
waits for itself, and people who draw do not wait for it.

Must never know an endpoint. Counterparts: `http.py` is the application; `websocket.py` takes over
connections that ask for the upgrade; `http_exchange.py` is one request and its response.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, cast

import structlog

from polypaint.engine.context import Context
from polypaint.engine.service import Endpoint
from polypaint.net.connection import Discard, Progress, peer_address, prepare
from polypaint.net.http_exchange import Application, BadRequest, Exchange, Head, plain

log = structlog.get_logger()

HEAD_BYTES_MAX: Final = 16 << 10
REQUEST_LINE_BYTES_MAX: Final = 8 << 10
AHEAD_BYTES_MAX: Final = 32 << 10
"""Of requests that were sent before the response to the present one."""
WRITE_BYTES_HIGH: Final = 64 << 10
HEAD_S: Final = 10.0
"""From a head's first byte, or the beginning of a connection, until all of it is there."""
IDLE_S: Final = 15.0
"""Between a response and the next request."""
LINGER_S: Final = 2.0
"""A connection is kept so long for a peer that still sends what is not wanted."""
WATCH_S: Final = 1.0
CONNECTIONS_MAX: Final = 2000
RESERVED: Final = 16
"""Connections of this machine that are let in although there are too many: health checks."""
STOP_S: Final = 5.0
HEAD_END: Final = re.compile(rb"\r?\n\r?\n")


class AppServices(Protocol):
    """What the web port needs of the server: `server.Server`."""

    context: Context

    def now(self) -> float:
        """Seconds on the server's clock."""

    def report(self, where: str, error: BaseException, **details: object) -> None:
        """An exception that nobody expected: it is logged and counted."""


class HttpServer:
    """All connections of the web port.

    upgrade: (room, transport, head, what came behind it) takes a connection over. closing: called
    when no more requests are taken, to end what those under way wait for.
    """

    def __init__(
        self,
        app: Application,
        services: AppServices,
        endpoints: dict[str, Endpoint],
        upgrade: Callable[[Endpoint, asyncio.Transport, bytes, bytes], None],
        closing: Callable[[], None],
    ) -> None:
        self.app = app
        self.services = services
        self.upgrade = upgrade
        self.paths = {f"/ws/{name}": endpoint for name, endpoint in endpoints.items()}
        self.loop = asyncio.get_running_loop()
        self.counters = {"requests": 0, "errors": 0, "refused": 0, "slow": 0}
        self.stopping = False
        self._closing = closing
        self._connections: set[HttpProtocol] = set()
        self._idle: dict[HttpProtocol, None] = {}
        """Those without a request, the longest idle first."""
        self._uncounted = 0
        self._whole: deque[HttpProtocol] = deque()
        """Those whose next head is there."""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection(self) -> "HttpProtocol":
        """The protocol of a new connection."""
        return HttpProtocol(self)

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    # ------------------------------------------------------------ who may connect
    def admit(self, connection: "HttpProtocol") -> bool:
        """Is there room for another? Whoever has been idle for longest makes room.

        So connections that ask for nothing never keep out one that does.
        """
        if len(self._connections) >= CONNECTIONS_MAX:
            self._make_room()
        context, address = self.services.context, connection.address
        endpoint = not self.stopping and len(self._connections) < CONNECTIONS_MAX
        if endpoint and context.admit(address):
            connection.counted = True
        elif not endpoint or context.is_unauthenticated(address) or self._uncounted >= RESERVED:
            self.counters["refused"] += 1
            return False
        else:
            self._uncounted += 1
        self._connections.add(connection)
        return True

    def _make_room(self) -> None:
        for connection in self._idle:
            connection.abort()
            self.gone(connection)
            return

    def gone(self, connection: "HttpProtocol") -> None:
        """A connection is closed, or not HTTP's any more."""
        self._idle.pop(connection, None)
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        if connection.counted:
            self.services.context.gone(connection.address, unauthenticated=True)
        else:
            self._uncounted -= 1

    def idle(self, connection: "HttpProtocol") -> None:
        """A connection has no request."""
        if connection in self._connections:
            self._idle[connection] = None

    # ------------------------------------------------------------ requests
    def enqueue(self, connection: "HttpProtocol") -> None:
        """A head is whole: its request is begun when it is its turn."""
        self._idle.pop(connection, None)
        if not self._whole:
            self.loop.call_soon(self._begin_next)
        self._whole.append(connection)

    def _begin_next(self) -> None:
        connection = self._whole.popleft()
        if self._whole:
            self.loop.call_soon(self._begin_next)
        connection.begin()

    def run(self, connection: "HttpProtocol", exchange: Exchange) -> None:
        """Have the application answer."""
        self.counters["requests"] += 1
        task = self.loop.create_task(self._answer(connection, exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, connection: "HttpProtocol", exchange: Exchange) -> None:
        try:
            await exchange.run(self.app)
        except Exception as error:
            self.counters["errors"] += 1
            head = exchange.head
            self.services.report("http", error, method=head.method, path=head.path)
            await exchange.fail()
        finally:
            connection.answered(exchange)

    # ------------------------------------------------------------ the end
    async def close(self) -> None:
        """Take no more requests, let those under way end, close everything."""
        self.stopping = True
        self._closing()
        for connection in list(self._connections):
            connection.last()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        for task in self._tasks:
            task.cancel()
        for connection in list(self._connections):
            connection.abort()


class HttpProtocol(asyncio.Protocol):
    """One connection: heads in, one request at a time, responses out."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.address = ""
        self.counted = False
        """Is it one of the connections of its address, see `Context.admit`?"""
        self.paused = False
        """Does the transport hold as much as it should?"""
        self.progress: Progress | None = None
        self.transport: asyncio.Transport
        self._ahead = bytearray()
        self._searched = 0
        self._head = b""
        self._exchange: Exchange | None = None
        self._discard: Discard | None = None
        self._reading = True
        self._deadline: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()

    # ------------------------------------------------------------ asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The listener has accepted it."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.transport.set_write_buffer_limits(high=WRITE_BYTES_HIGH)
        self.address = peer_address(self.transport)
        services = self.server.services
        prepare(self.transport, services.context.settings.slow_seconds)
        self.progress = Progress(self.transport, services.now())
        if not self.server.admit(self):
            self.transport.abort()
            return
        self.server.idle(self)
        self._expire(HEAD_S)

    def data_received(self, data: bytes) -> None:
        """Part of a head, of a body, or of what is pipelined."""
        if self._discard is not None:
            self._discard.received()
            return
        if self._exchange is not None:
            self._ahead += self._exchange.feed(data)
        else:
            self._ahead += data
        if self._exchange is None and not self._head:
            self._find_head()
        elif len(self._ahead) > AHEAD_BYTES_MAX:
            self._ahead.clear()
            if self._exchange is not None:
                self._exchange.keep_alive = False
            else:
                self.abort()
        if self._discard is None:
            self.update_reading()

    def eof_received(self) -> bool:
        """The peer sends no more; it may still wait for its response."""
        if self._exchange is None and not self._head:
            return False
        if self._exchange is not None:
            self._exchange.ended()
            self._exchange.keep_alive = False
        return self.transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        """The transport is full."""
        self.paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        """The transport has room again."""
        self.paused = False
        self._writable.set()

    def connection_lost(self, _error: Exception | None) -> None:
        """It is closed."""
        self._forget()
        self._head = b""
        if self._exchange is not None:
            self._exchange.lost()
        self._writable.set()

    # ------------------------------------------------------------ heads
    def _find_head(self) -> None:
        """Is the next head whole? If it grows too large, say so, and close."""
        ahead = self._ahead
        while ahead.startswith((b"\r", b"\n")):
            del ahead[:1]
        if not ahead:
            return
        if not self._searched:
            self._expire(HEAD_S)
        found = HEAD_END.search(ahead, max(0, self._searched - 3))
        size = found.end() if found else len(ahead)
        self._searched = size
        line = ahead.find(b"\n", 0, REQUEST_LINE_BYTES_MAX)
        if line < 0 and size > REQUEST_LINE_BYTES_MAX:
            self.refuse(414, f"A request line has at most {REQUEST_LINE_BYTES_MAX} bytes.")
        elif size > HEAD_BYTES_MAX:
            self.refuse(431, f"The head of a request has at most {HEAD_BYTES_MAX} bytes.")
        elif found:
            self._head = bytes(ahead[:size])
            del ahead[:size]
            self._searched = 0
            self._expire(None)
            self.server.enqueue(self)

    def begin(self) -> None:
        """It is this connection's turn: its next request is begun."""
        data, self._head = self._head, b""
        if not data or self.transport.is_closing():
            return
        try:
            head = Head.parse(data)
        except BadRequest as error:
            self.refuse(error.status, str(error))
            return
        endpoint = self.server.paths.get(head.path) if head.websocket else None
        if endpoint is not None:
            self._upgrade(endpoint, data)
            return
        self._exchange = exchange = Exchange(head, self)
        self._ahead = bytearray(exchange.feed(bytes(self._ahead)))
        if self.server.stopping:
            exchange.keep_alive = False
        self.update_reading()
        self.server.run(self, exchange)

    def _upgrade(self, endpoint: Endpoint, head: bytes) -> None:
        ahead, self._ahead = bytes(self._ahead), bytearray()
        self._forget()
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        self.server.upgrade(endpoint, self.transport, head, ahead)

    # ------------------------------------------------------------ what an exchange asks for
    def update_reading(self) -> None:
        """Read a head, a body that is asked for, or one piece of what is pipelined; else wait."""
        if self._exchange is not None:
            wanted = self._exchange.wants_body or (not self._exchange.has_body and not self._ahead)
        else:
            wanted = not self._head
        if wanted != self._reading and not self.transport.is_closing():
            self._reading = wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    async def write(self, data: bytes | memoryview) -> None:
        """Hand over some bytes once the peer has room for them. Raises ConnectionError."""
        while self.paused and not self.transport.is_closing():
            try:
                async with asyncio.timeout(WATCH_S):
                    await self._writable.wait()
            except TimeoutError:
                self._watch()
        if self.transport.is_closing():
            raise ConnectionResetError("the peer is gone")
        self.transport.write(data)

    def _watch(self) -> None:
        """Close when the peer has not taken a byte for too long."""
        services = self.server.services
        if self.progress is not None:
            if self.progress.stuck_s(services.now()) > services.context.settings.slow_seconds:
                self.server.counters["slow"] += 1
                log.info("closed a slow reader", address=self.address)
                self.abort()

    def answered(self, exchange: Exchange) -> None:
        """The response is complete, or will never be."""
        self._exchange = None
        if not exchange.finished:
            self.abort()
        elif exchange.keep_alive and not exchange.has_body:
            self.server.idle(self)
            self._expire(IDLE_S)
            self._find_head()
            self.update_reading()
        elif exchange.has_body:
            self._linger()
        else:
            self.transport.close()
            self._expire(IDLE_S)

    # ------------------------------------------------------------ the end
    def refuse(self, status: int, text: str) -> None:
        """Answer what is no request, and close."""
        self.server.counters["refused"] += 1
        self.transport.write(plain(status, text))
        self._ahead.clear()
        self._linger()

    def _linger(self) -> None:
        """Close once the peer has read the answer: what it still sends is thrown away.

        Closing at once would reset the connection, and the peer might never see the answer.
        """
        self._ahead.clear()
        self._head = b""
        self._exchange = None
        self.update_reading()
        self._discard = Discard(self.transport)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._expire(LINGER_S)

    def last(self) -> None:
        """No more requests on this connection."""
        if self._exchange is not None:
            self._exchange.keep_alive = False
        elif self._discard is None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def _expire(self, seconds: float | None) -> None:
        """Close when nothing else has happened after so many seconds."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = (
            None if seconds is None else self.server.loop.call_later(seconds, self.abort)
        )

    def _forget(self) -> None:
        self._expire(None)
        self.server.gone(self)
