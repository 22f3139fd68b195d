"""Connections of clients: whole messages in and out, over TCP or WebSocket, with or without TLS.

Whatever the network or a library raises becomes a ConnectionClosed here, or the end of the stream.

Counterparts: `paint.py` sends packets, `lines.py` JSON objects; `net` is the server's side.
"""

import asyncio
import contextlib
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed as WebSocketClosed
from websockets.exceptions import WebSocketException

from polypaint import _codec
from polypaint._codec import FrameDecoder
from polypaint.errors import ConnectionClosed

READ_BYTES: Final = 1 << 18
CONNECT_S: Final = 10.0
"""Until somebody must have accepted a connection, TLS and WebSocket handshakes included."""
CLOSE_S: Final = 5.0
LINE_BYTES_MAX: Final = 1 << 22


class Framing(Protocol):
    """How messages stand in a byte stream. broken: where they begin is no longer known."""

    @property
    def broken(self) -> bool:
        """Is the stream of no more use?"""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that this completes."""


class _Lines:
    """One message a line; a message keeps its end."""

    broken = False

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """See `Framing`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.broken = len(self._rest) > LINE_BYTES_MAX
        return [line for line in lines if line]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a connection carries. text: as text over WebSocket; split: bytes to send → messages."""

    framing: Callable[[], Framing]
    split: Callable[[bytes], list[bytes]]
    text: bool
    message_bytes_max: int


PACKET_STREAM: Final = Kind(FrameDecoder, _codec.split, False, _codec.PACKET_BYTES_MAX)
LINE_STREAM: Final = Kind(_Lines, bytes.splitlines, True, LINE_BYTES_MAX)


class Transport(ABC):
    """Whole messages both ways. ended: why the other side closed, where it has said so."""

    def __init__(self) -> None:
        self.ended = ""
        self._unread: list[bytes] = []

    def unread(self, received: list[bytes]) -> None:
        """Have these received again first."""
        self._unread = received

    async def receive(self) -> list[bytes]:
        """Whole messages; empty at the end of the connection, however it ended."""
        if self._unread:
            received, self._unread = self._unread, []
            return received
        try:
            return await self._receive()
        except (OSError, EOFError) as error:
            self.ended = str(error)
        except WebSocketClosed as closed:
            self.ended = closed.rcvd.reason if closed.rcvd is not None else ""
        except WebSocketException as error:
            self.ended = str(error)
        return []

    @abstractmethod
    async def _receive(self) -> list[bytes]: ...

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Whole messages."""

    @abstractmethod
    async def close(self) -> None:
        """End the connection."""


class _Tcp(Transport):
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Kind
    ) -> None:
        super().__init__()
        self._reader = reader
        self._writer = writer
        self._framing = kind.framing()

    async def _receive(self) -> list[bytes]:
        while data := await self._reader.read(READ_BYTES):
            received = self._framing.feed(data)
            if received or self._framing.broken:
                return received
        return []

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                # Shielded: all who wait share one future, and one who is cancelled would take it
                # from the others.
                await asyncio.shield(self._writer.wait_closed())
        except TimeoutError:  # the server does not take what is still to be sent
            self._writer.transport.abort()
        except OSError:
            pass


class _WebSocket(Transport):
    """A task of its own sends, so that `send` needs no await."""

    def __init__(self, connection: ClientConnection, kind: Kind) -> None:
        super().__init__()
        self._connection = connection
        self._kind = kind
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._sender = asyncio.get_running_loop().create_task(self._send_all())

    async def _receive(self) -> list[bytes]:
        message = await self._connection.recv(decode=False)
        return [message]

    def send(self, data: bytes) -> None:
        for message in self._kind.split(data):
            self._queue.put_nowait(message)

    async def _send_all(self) -> None:
        with contextlib.suppress(WebSocketException):
            while True:
                message = await self._queue.get()
                await self._connection.send(message, text=self._kind.text)

    async def close(self) -> None:
        self._sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sender
        await self._connection.close()


async def open_transport(address: str, tls: ssl.SSLContext | None, kind: Kind) -> Transport:
    """Raises ConnectionClosed when nobody is there, or nobody answers."""
    scheme, host, port = _parts(address)
    context = (tls or ssl.create_default_context()) if scheme in ("wss", "tls") else None
    try:
        async with asyncio.timeout(CONNECT_S):
            if scheme in ("ws", "wss"):
                connection = await connect_websocket(
                    address, ssl=context, compression=None, max_size=kind.message_bytes_max
                )
                return _WebSocket(connection, kind)
            return _Tcp(*await asyncio.open_connection(host, port, ssl=context), kind)
    except TimeoutError:
        raise ConnectionClosed(
            f"cannot connect to {address}: no answer within {CONNECT_S:g} s"
        ) from None
    except (OSError, WebSocketException, EOFError) as error:
        raise ConnectionClosed(f"cannot connect to {address}: {error}") from error


def on_socket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Kind) -> Transport:
    """A connection that is made already."""
    return _Tcp(reader, writer, kind)


def _parts(address: str) -> tuple[str, str, int]:
    """(scheme, host, port) of an address. Raises ConnectionClosed."""
    with contextlib.suppress(ValueError):  # a port that is no number, say
        url = urlsplit(address if "://" in address else f"tcp://{address}")
        if url.scheme in ("ws", "wss") and url.hostname:
            return url.scheme, url.hostname, url.port or 0
        if url.scheme in ("tcp", "tls") and url.hostname and url.port:
            return url.scheme, url.hostname, url.port
    raise ConnectionClosed(f"not an address: {address!r}; try host:port or ws://host:port/ws/…")
