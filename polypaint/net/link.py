"""What all connections have in common: one transport, one session, and who waits for whom.

A link holds no conversation. It stops reading while its session waits for something, hands bytes
over as long as the transport takes them, and notices a peer that takes none.

Must never parse a message. Counterparts: the rooms' sessions; `tcp.py` and `websocket.py`.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from polypaint.conversation import Conversation

TAKE_BYTES: Final = 256 * 1024
TRANSPORT_BYTES: Final = 256 * 1024
RTT_OFFSET: Final = 68
"""Of tcpi_rtt (u32, µs) in the kernel's tcp_info."""


@dataclass(frozen=True, slots=True)
class Room:
    """One of the protocols, as the edge sees it.

    connect: (address, now, rtt_s) → a session, or None when there are too many. messages: what
    stands in an outbox as WebSocket messages, `text` or binary, of at most message_bytes_max in.
    """

    name: str
    connect: Callable[[str, float, Callable[[], float]], Any]
    messages: Callable[[bytes], bytes]
    text: bool
    message_bytes_max: int


class Shell(Protocol):
    """Who runs the sessions, as links see it: `server.Server`."""

    def now(self) -> float:
        """Seconds on the server's clock."""

    def connect(self, link: "Link", room: Room, address: str) -> Conversation | None:
        """A session for a new connection from this address; None when there are too many."""

    def disconnect(self, session: Conversation) -> None:
        """The connection of this session is gone."""

    def settle(self) -> None:
        """Carry out what the sessions have asked for."""

    def heard(self) -> None:
        """A session has handled what was read: see whether much is to be sent."""

    def messages(self, room: Room, data: bytes) -> bytes:
        """What stands in an outbox as WebSocket messages."""


class Link:
    """One connection of a peer, over whatever."""

    def __init__(self, shell: Shell, room: Room, transport: asyncio.Transport) -> None:
        self.shell = shell
        self.room = room
        self.transport = transport
        self.paused_at: float | None = None
        self.session: Conversation | None = None
        self._reading = True
        self._checking = False
        self._handed = 0
        """Bytes that the transport was given in this turn of the loop."""
        self._loop = asyncio.get_running_loop()
        self.direct = transport.get_extra_info("sslcontext") is None
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        transport.set_write_buffer_limits(high=TRANSPORT_BYTES)
        if self._socket is not None and self._socket.family != socket.AF_UNIX:
            prepare(self._socket)

    def open(self) -> bool:
        """Have a session; False when the server takes no more."""
        peer = self.transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else "local"
        self.session = self.shell.connect(self, self.room, address)
        if self.session is None:
            return False
        if self.direct and self._socket is not None:
            self.session.outbox.fd = self._socket.fileno()
            self.session.outbox.direct = True
        return True

    def after(self) -> None:
        """The session has been told something: see what comes of it."""
        self.shell.settle()
        self.shell.heard()
        session = self.session
        if session is not None and session.busy == self._reading:
            self.update_reading()

    def update_reading(self) -> None:
        """Read only while the session can take more."""
        session = self.session
        if session is None or self.transport.is_closing():
            return
        if session.busy and self._reading:
            self._reading = False
            self.transport.pause_reading()
        elif not session.busy and not self._reading:
            self._reading = True
            self.transport.resume_reading()

    def send(self) -> None:
        """Hand over what may be sent, as long as the transport takes it."""
        session = self.session
        if session is None or self.transport.is_closing():
            return
        now = self.shell.now()
        outbox = session.outbox
        self._write_rest()
        while self.paused_at is None and self._handed < TRANSPORT_BYTES and outbox.takeable:
            data = session.take(TAKE_BYTES, now)
            if data:
                self.write(data)
                self.written(len(data))
        if not outbox.takeable:
            session.drained(now)
        else:
            session.backlogged(now)
        if session.stalled:
            session.work(now)
            self.shell.settle()
        self.update_reading()

    def _write_rest(self) -> None:
        """What a direct send has begun comes first."""
        rest = self.session.outbox.take_rest() if self.session is not None else b""
        if rest:
            self.transport.write(rest)
            self.written(len(rest))

    def written(self, size: int) -> None:
        """The transport has something to send: until it has, nothing may be sent past it.

        Whether it has, and whether it is too much, is known only in the next turn of the loop:
        uvloop does not count what it was given in this one, so we do.
        """
        self._handed += size
        if self.session is not None:
            self.session.outbox.direct = False
            if not self._checking:
                self._checking = True
                self._loop.call_soon(self._check)

    def _check(self) -> None:
        self._checking = False
        full, self._handed = self._handed >= TRANSPORT_BYTES, 0
        if self.session is not None and not self.transport.is_closing():
            if self.direct:
                self.session.outbox.direct = self.transport.get_write_buffer_size() == 0
            if full and self.paused_at is None:
                self.send()
                self.shell.settle()

    def write(self, data: bytes) -> None:
        """Whole packets, as this kind of connection sends them."""
        self.transport.write(data)

    def finish(self, reason: str) -> None:
        """Send what there is to say, then close."""
        self.say_last()
        self.transport.close()

    def say_last(self) -> None:
        """Hand over what there still is, as far as the transport takes it."""
        self.indirect()
        self._write_rest()
        if self.session is not None and self.paused_at is None:
            data = self.session.take(TAKE_BYTES, self.shell.now())
            if data:
                self.write(data)

    def pause_writing(self) -> None:
        """The transport is full."""
        self.paused_at = self.shell.now()

    def resume_writing(self) -> None:
        """The transport has room again."""
        self.paused_at = None
        self.send()
        self.shell.settle()

    def indirect(self) -> None:
        """From now on nothing is written past the transport: its socket may soon be another's."""
        if self.session is not None:
            self.session.outbox.fd = -1

    def closed(self) -> None:
        """The connection is gone."""
        self.indirect()
        session, self.session = self.session, None
        if session is not None:
            self.shell.disconnect(session)

    def rtt_s(self) -> float:
        """The kernel's smoothed round-trip time in seconds; 0 when it has none."""
        if self._socket is None:
            return 0.0
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RTT_OFFSET + 4)
        except (OSError, AttributeError):
            return 0.0
        if len(info) < RTT_OFFSET + 4:
            return 0.0
        return float(struct.unpack_from("=I", info, RTT_OFFSET)[0]) * 1e-6


def prepare(sock: socket.socket) -> None:
    """No delay for small packets; keepalive, to find peers that are gone (section 4)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
