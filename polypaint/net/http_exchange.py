"""One HTTP request and its response, between a connection and an ASGI application.

Counterparts: `http_protocol.py` brings the bytes and decides when; the application answers.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import unquote

import httptools

HEADERS_MAX: Final = 64
BODY_BYTES_HIGH: Final = 64 << 10
"""Of a request's body that wait for the application; then no more are read."""
PIECE_BYTES: Final = 64 << 10
"""Of a response that are handed over in one turn of the event loop."""
ALWAYS: Final = {b"x-content-type-options": b"nosniff", b"cache-control": b"no-store"}
"""Headers of every response that does not say otherwise."""
UNSENDABLE: Final = frozenset(b"\r\n\0")

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class BadRequest(Exception):
    """What came is no request. status: with which it is answered."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Channel(Protocol):
    """The connection of an exchange: `http_protocol.HttpProtocol`."""

    transport: asyncio.Transport

    async def write(self, data: bytes | memoryview) -> None:
        """Hand over some bytes once the peer has room for them. Raises ConnectionError."""

    def update_reading(self) -> None:
        """What the exchange wants to read has changed."""


@dataclass(slots=True)
class Head:
    """The head of a request. length: of its body; None when it comes in chunks."""

    method: str = ""
    version: str = "1.1"
    url: bytes = b""
    path: str = ""
    raw_path: bytes = b""
    query: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    keep_alive: bool = False
    websocket: bool = False
    expects_continue: bool = False
    length: int | None = 0

    @classmethod
    def parse(cls, data: bytes) -> "Head":
        """The head that stands in `data`, which ends with it. Raises BadRequest."""
        head = cls()
        parser = httptools.HttpRequestParser(_Reader(head))
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, BadRequest):
                raise error.__context__ from None
            raise BadRequest(400, "This is no HTTP request.") from None
        if not head.url:
            raise BadRequest(400, "This is no HTTP request.")
        head._complete(parser)
        return head

    def _complete(self, parser: Any) -> None:
        try:
            url = httptools.parse_url(self.url)
            self.path = unquote(url.path.decode("ascii"))
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError, AttributeError):
            raise BadRequest(400, "This address is none.") from None
        self.raw_path, self.query = url.path, url.query or b""
        self.version = parser.get_http_version()
        self.keep_alive = self.version == "1.1" and parser.should_keep_alive()
        upgrades = False
        for name, value in self.headers:
            if name == b"content-length":
                self.length = int(value)
            elif name == b"transfer-encoding":
                self.length, self.keep_alive = None, False
            elif name == b"expect":
                self.expects_continue = value.lower() == b"100-continue"
            elif name == b"connection":
                upgrades = b"upgrade" in value.lower()
                if b"close" in value.lower():
                    self.keep_alive = False  # httptools forgets it at the end of the request
            elif name == b"upgrade":
                self.websocket = value.lower() == b"websocket"
        self.websocket = self.websocket and upgrades and parser.get_method() == b"GET"
        self.method = parser.get_method().decode("ascii")


class _Reader:
    """What the parser calls."""

    def __init__(self, head: Head) -> None:
        self._head = head

    def on_url(self, url: bytes) -> None:
        self._head.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._head.headers) >= HEADERS_MAX:
            raise BadRequest(431, f"A request has at most {HEADERS_MAX} headers.")
        self._head.headers.append((name.lower(), value))


class Exchange:
    """See the module. finished: the response is complete; gone: the peer will not read it."""

    def __init__(self, head: Head, channel: Channel) -> None:
        self.head = head
        self.keep_alive = head.keep_alive
        self.finished = False
        self.gone = False
        self._channel = channel
        self._left = head.length or 0
        self._asked = False
        self._parts: list[bytes] = []
        self._held = 0
        self._more = head.length != 0
        self._news = asyncio.Event()
        self._start: Message | None = None
        self._begun = False
        self._chunked = False

    # ------------------------------------------------------------ the request's body
    @property
    def has_body(self) -> bool:
        """Is there something of the body that has not arrived?"""
        return self._more

    @property
    def wants_body(self) -> bool:
        """Should more of the body be read now?"""
        return self._more and self._asked and self._held < BODY_BYTES_HIGH

    def feed(self, data: bytes) -> bytes:
        """Bytes that stand behind the head; returns those that are not of this request."""
        if not self._more or not data:
            return data
        part, rest = data[: self._left], data[self._left :]
        self._left -= len(part)
        self._held += len(part)
        self._parts.append(part)
        self._more = self._left > 0
        self._news.set()
        return rest

    def ended(self) -> None:
        """The peer sends no more: a body that is not whole will never be."""
        if self._more:
            self.lost()

    def lost(self) -> None:
        """The connection is closed."""
        self.gone = True
        self._news.set()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            if self.head.expects_continue and self._more and not self._parts:
                await self._channel.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._channel.update_reading()
        while not self._parts and self._more and not self.gone:
            self._news.clear()
            await self._news.wait()
        if self.gone or self.finished:
            return {"type": "http.disconnect"}
        body = b"".join(self._parts)
        self._parts, self._held = [], 0
        self._channel.update_reading()
        return {"type": "http.request", "body": body, "more_body": self._more}

    # ------------------------------------------------------------ the response
    async def run(self, app: Application) -> None:
        """Have the application answer. Raises what it raises, unless the peer is gone."""
        if self.head.length is None:
            await self._refuse(411, "A body needs a Content-Length.")
            return
        try:
            await app(scope_of(self), self._receive, self._send)
        except OSError:
            if not self._channel.transport.is_closing():
                raise
            self.gone = True
        if not self.finished and not self.gone:
            raise RuntimeError("the application has not completed its response")

    async def fail(self) -> None:
        """Answer for an application that has raised, unless it had begun to answer."""
        if not self._begun:
            await self._refuse(500, "The server has made a mistake, which is in its log.")

    async def _refuse(self, status: int, text: str) -> None:
        self._begun = True
        self.keep_alive = False
        with contextlib.suppress(ConnectionError):
            await self._channel.write(plain(status, text))
            self.finished = True

    async def _send(self, message: Message) -> None:
        if self.gone:
            raise ConnectionResetError("the peer is gone")
        if message["type"] == "http.response.start":
            self._start = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        parts = []
        if not self._begun:
            parts.append(self._response_head(more))
        if self.head.method != "HEAD":
            if self._chunked and body:
                parts += [b"%x\r\n" % len(body), body, b"\r\n"]
            elif body:
                parts.append(body)
            if self._chunked and not more:
                parts.append(b"0\r\n\r\n")
        await self._write(parts)
        if not more:
            self.finished = True

    async def _write(self, parts: list[bytes]) -> None:
        """Hand over small parts together, and large ones in pieces, a piece a turn."""
        if sum(map(len, parts)) <= PIECE_BYTES:
            if parts:
                await self._channel.write(b"".join(parts))
            return
        for part in parts:
            view = memoryview(part)
            for at in range(0, len(part), PIECE_BYTES):
                await self._channel.write(view[at : at + PIECE_BYTES])
                await asyncio.sleep(0)

    def _response_head(self, more: bool) -> bytes:
        start = self._start
        if start is None:
            raise RuntimeError("a response begins with its status")
        self._begun = True
        status = start["status"]
        headers = [(name.lower(), value) for name, value in start.get("headers", [])]
        named = dict(headers)
        headers += [(name, value) for name, value in ALWAYS.items() if name not in named]
        if named.get(b"connection", b"").lower() == b"close" or self.has_body:
            self.keep_alive = False
        bodiless = status in (204, 304) or status < 200
        if b"content-length" not in named and not bodiless:
            if self.head.version == "1.1":
                self._chunked = True
                headers.append((b"transfer-encoding", b"chunked"))
            else:
                self.keep_alive = False
        if not self.keep_alive and b"connection" not in named:
            headers.append((b"connection", b"close"))
        return _head(status, headers)


def scope_of(exchange: Exchange) -> Message:
    """What the application is told of a request."""
    head, transport = exchange.head, exchange._channel.transport
    peer, own = (transport.get_extra_info(name) for name in ("peername", "sockname"))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": head.version,
        "method": head.method,
        "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
        "path": head.path,
        "raw_path": head.raw_path,
        "query_string": head.query,
        "root_path": "",
        "headers": head.headers,
        "client": peer[:2] if isinstance(peer, tuple) else None,
        "server": own[:2] if isinstance(own, tuple) else None,
    }


def plain(status: int, text: str) -> bytes:
    """A whole response of text, after which the connection is closed."""
    body = f"{text}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *ALWAYS.items(),
    ]
    return _head(status, headers) + body


def _head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    lines = [_status_line(status), b"date: " + formatdate(usegmt=True).encode()]
    for name, value in headers:
        if UNSENDABLE.intersection(name + value):
            raise RuntimeError(f"the header {name!r} cannot be sent")
        lines.append(name + b": " + value)
    return b"\r\n".join([*lines, b"", b""])


@lru_cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
