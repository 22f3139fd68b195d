"""What all connections have in common: one transport, one session, and who waits for whom.

A link holds no conversation. It stops reading while its session waits for something, hands bytes
over as long as the transport takes them, and notices a peer that takes none.

Must never parse a message. Counterparts: the rooms' sessions; `tcp.py` and `websocket.py`.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from typing import Final, Protocol

from polypaint.engine.service import Endpoint
from polypaint.engine.session import Session
from polypaint.net.liveness import answers

TAKE_BYTES: Final = 256 * 1024
TRANSPORT_BYTES: Final = 256 * 1024
RTT_OFFSET: Final = 68
"""Of tcpi_rtt (u32, µs) in the kernel's tcp_info."""
ACKED_OFFSET: Final = 120
"""Of tcpi_bytes_acked (u64)."""
VANISHED_S: Final = 25.0
DISCARD_S: Final = 0.01
CLOSE_S: Final = 5.0
"""How long a peer that is being closed may take to read what it is still sent."""


class ConnectionHost(Protocol):
    """Who runs the sessions, as links see it: `server.Server`."""

    stopping: bool
    """The server ends: peers are told to come back."""
    slow_seconds: float
    """How long a reader may take no byte."""
    origins: frozenset[str]
    """Other sites whose pages may connect in somebody's name."""

    def now(self) -> float:
        """Seconds on the server's clock."""

    def connect(
        self, connection: "Connection", endpoint: Endpoint, address: str
    ) -> Session | None:
        """A session for a new connection from this address; None when there are too many."""

    def disconnect(self, session: Session) -> None:
        """The connection of this session is gone."""

    def run_effects(self) -> None:
        """Carry out what the sessions have asked for."""

    def after_read(self) -> None:
        """A session has handled what was read: see whether much is to be sent."""

    def messages(self, endpoint: Endpoint, data: bytes) -> bytes:
        """What stands in a send queue as WebSocket messages."""

    def report(self, where: str, error: BaseException, **details: object) -> None:
        """An exception that nobody expected: it is logged and counted."""


class Connection:
    """One connection of a peer, over whatever."""

    def __init__(
        self, host: ConnectionHost, endpoint: Endpoint, transport: asyncio.Transport
    ) -> None:
        self.host = host
        self.endpoint = endpoint
        self.transport = transport
        self.paused_at: float | None = None
        self.session: Session | None = None
        self.behind = False
        """Is there something that was read, and that the session has not been told yet?"""
        self._reading = True
        self._checking = False
        self._handed = 0
        """Bytes that the transport was given in this turn of the loop."""
        self._loop = asyncio.get_running_loop()
        self.direct = transport.get_extra_info("sslcontext") is None
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        transport.set_write_buffer_limits(high=TRANSPORT_BYTES)
        prepare(transport, host.slow_seconds)
        self._progress = Progress(transport, host.now())

    def open(self) -> bool:
        """Have a session; False when the server takes no more."""
        self.session = self.host.connect(self, self.endpoint, peer_address(self.transport))
        if self.session is None:
            return False
        if self.direct and self._socket is not None:
            self.session.send_queue.fd = self._socket.fileno()
            self.session.send_queue.direct = True
        return True

    def after(self) -> None:
        """The session has been told something: see what comes of it."""
        self.host.run_effects()
        self.host.after_read()
        session = self.session
        if session is not None and (session.busy or self.behind) == self._reading:
            self.update_reading()

    def update_reading(self) -> None:
        """Read only while the session can take more."""
        session = self.session
        if session is None or self.transport.is_closing():
            return
        wanted = not session.busy and not self.behind
        if wanted == self._reading:
            return
        self._reading = wanted
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def send(self) -> None:
        """Hand over what may be sent, as long as the transport takes it."""
        session = self.session
        if session is None or self.transport.is_closing():
            return
        now = self.host.now()
        send_queue = session.send_queue
        self._write_rest()
        while self.paused_at is None and self._handed < TRANSPORT_BYTES and send_queue.takeable:
            data = session.take(TAKE_BYTES, now)
            if data:
                self.write(data)
                self.written(len(data))
        if not send_queue.takeable:
            session.drained(now)
        else:
            session.backlogged(now)
        if session.stalled:
            session.work(now)
            self.host.run_effects()
        self.update_reading()

    def _write_rest(self) -> None:
        """What a direct send has begun comes first."""
        rest = self.session.send_queue.take_rest() if self.session is not None else b""
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
            self.session.send_queue.direct = False
            if not self._checking:
                self._checking = True
                self._loop.call_soon(self._check)

    def _check(self) -> None:
        self._checking = False
        full, self._handed = self._handed >= TRANSPORT_BYTES, 0
        if self.session is not None and not self.transport.is_closing():
            if self.direct:
                self.session.send_queue.direct = self.transport.get_write_buffer_size() == 0
            if full and self.paused_at is None:
                self.send()
                self.host.run_effects()

    def write(self, data: bytes) -> None:
        """Whole packets, as this kind of connection sends them."""
        self.transport.write(data)

    def finish(self, reason: str) -> None:
        """Send what there is to say, then close."""
        self.say_last()
        self.close()

    def close(self) -> None:
        """Close once the peer has taken what it was sent, or has had CLOSE_S to do it."""
        self.indirect()
        self.transport.close()
        self._loop.call_later(CLOSE_S, self.transport.abort)

    def say_last(self) -> None:
        """Hand over what there still is, as far as the transport takes it."""
        self.indirect()
        self._write_rest()
        if self.session is not None and self.paused_at is None:
            data = self.session.take(TAKE_BYTES, self.host.now())
            if data:
                self.write(data)

    def pause_writing(self) -> None:
        """The transport is full."""
        self.paused_at = self.host.now()
        self._progress.stuck_s(self.paused_at)

    def stuck_s(self, now: float) -> float:
        """Seconds for which the peer has taken nothing of what waits for it; to be asked often."""
        if self.paused_at is None:
            return 0.0
        return min(self._progress.stuck_s(now), now - self.paused_at)

    def reads_slowly(self, now: float, seconds: float) -> bool:
        """Is there something that the peer has not taken yet, but it has taken a byte lately?"""
        return self._progress.stuck_s(now) < seconds and self._progress.waiting

    def resume_writing(self) -> None:
        """The transport has room again."""
        self.paused_at = None
        self.send()
        self.host.run_effects()

    def indirect(self) -> None:
        """From now on nothing is written past the transport: its socket may soon be another's."""
        if self.session is not None:
            self.session.send_queue.fd = -1

    def closed(self) -> None:
        """The connection is gone."""
        self.indirect()
        session, self.session = self.session, None
        if session is not None:
            self.host.disconnect(session)

    async def is_alive(self) -> bool:
        """Is the peer there? Asks it, and waits for `liveness.WAIT_S` at most."""
        if self.transport.is_closing():
            return False
        return self._socket is None or await answers(self._socket)

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


class Progress:
    """Does a peer take what it is sent? What its kernel has acknowledged tells, and nothing else.

    A transport that stays full proves nothing: who reads steadily, but slower than is sent, never
    lets it drain.
    """

    def __init__(self, transport: asyncio.Transport, now: float) -> None:
        self._transport = transport
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        self._taken = self._measure()
        self._since = now

    def stuck_s(self, now: float) -> float:
        """Seconds for which the peer has taken nothing, as far as the calls of this could see."""
        taken = self._measure()
        if taken != self._taken:
            self._taken, self._since = taken, now
        return now - self._since

    @property
    def waiting(self) -> bool:
        """Is there something that the peer was sent and has not acknowledged?"""
        if self._transport.get_write_buffer_size() or self._socket is None:
            return True
        try:
            queued = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):
            return False
        return bool(struct.unpack("=i", queued)[0])

    def _measure(self) -> int:
        """Something that changes with every byte that the peer takes."""
        if self._socket is not None:
            with contextlib.suppress(OSError, AttributeError):
                size = ACKED_OFFSET + 8
                info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
                if len(info) == size:
                    return int(struct.unpack_from("=Q", info, ACKED_OFFSET)[0])
        return self._transport.get_write_buffer_size()


class Discard:
    """A connection that has been told why it ends: what its peer still sends is thrown away.

    Closing it at once would reset it, and the peer might never see the reason. Who goes on sending
    is read at a pace that nobody else notices.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()

    def received(self) -> None:
        """Something has come."""
        if not self._transport.is_closing():
            self._transport.pause_reading()
            self._loop.call_later(DISCARD_S, self._resume)

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


def peer_address(transport: asyncio.Transport) -> str:
    """The address of the peer, without its port."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else "local"


def prepare(transport: asyncio.Transport, slow_seconds: float) -> None:
    """No delay for small packets; a peer that has vanished is noticed within half a minute.

    Keepalive finds one to whom nothing is sent, and TCP_USER_TIMEOUT one who acknowledges nothing.
    The kernel counts readers that take no bytes among the latter, so they get slow_seconds.
    """
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # the peer may be gone already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        timeout_ms = round(1000 * max(VANISHED_S, slow_seconds - 5))
        for option, value in (
            ("TCP_KEEPIDLE", 10),
            ("TCP_KEEPINTVL", 5),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", timeout_ms),
        ):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
