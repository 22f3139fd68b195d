"""The protocols over WebSocket: one message = one packet (binary) or one JSON object (text).

Handshake, masking, fragments and control frames are the sans-IO part of `websockets`; outgoing
messages get their frame headers from the codec, once for all peers of a turn. The HTTP server
hands a connection over when it asks for the upgrade.

What a peer sends is parsed in slices, FRAMES_PER_TURN frames in a turn of the event loop; the rest
waits, and so does the peer. Control frames and empty fragments, which cost it nothing, are limited
in rate, too.

Counterparts: `link.py`; `http.py`, which serves everything else on the same port.
"""

import asyncio
from typing import Final
from urllib.parse import urlsplit

import structlog
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from polypaint.budget import Bucket
from polypaint.errors import ProtocolError
from polypaint.net.link import CLOSE_S, Link, Room, Shell, peer_address

log = structlog.get_logger()

PACKETS, LINES = 1, 2
"""See `_codec.Outbox.framing`."""
SLICE_BYTES: Final = 1024
"""Given to the parser at a time: the shortest frames in it are still few."""
FRAMES_PER_TURN: Final = 64
FRAGMENTS_MAX: Final = 256
"""Of one message."""
CONTROL_RATE: Final = 20.0
CONTROL_BURST: Final = 200.0
"""Pings, pongs and empty fragments of a peer: a second, and at once."""
PING_S: Final = 20.0
MISSED_MAX: Final = 2
"""Pings in a row after which a peer that neither says nor takes anything is given up."""
CODES: Final = {"internal error": CloseCode.INTERNAL_ERROR}
"""What a conversation that ended for this reason is closed with; others broke a rule."""


class WebSocketLink(Link):
    """A link whose packets or objects travel as messages."""

    def __init__(
        self,
        shell: Shell,
        room: Room,
        transport: asyncio.Transport,
        connection: "WebSocketConnection",
    ) -> None:
        super().__init__(shell, room, transport)
        self._connection = connection

    def open(self) -> bool:
        """See `Link.open`: the codec writes the frame headers of what is sent directly."""
        opened = super().open()
        if self.session is not None:
            self.session.outbox.framing = LINES if self.room.text else PACKETS
            self.written(0)
        return opened

    def write(self, data: bytes) -> None:
        """See `Link.write`."""
        self.transport.write(self.shell.messages(self.room, data))

    def update_reading(self) -> None:
        """See `Link.update_reading`: what was read already comes first."""
        if self.behind:
            self._connection.go_on()
        super().update_reading()

    def finish(self, reason: str) -> None:
        """See `Link.finish`: with a closing handshake that says why."""
        self.say_last()
        code = CODES.get(reason, CloseCode.POLICY_VIOLATION)
        self._connection.fail(CloseCode.SERVICE_RESTART if self.shell.stopping else code, reason)


class WebSocketConnection(asyncio.Protocol):
    """One connection that asked for an upgrade to a room."""

    def __init__(self, shell: Shell, room: Room, transport: asyncio.Transport) -> None:
        self._shell = shell
        self._room = room
        self._transport = transport
        self._protocol = ServerProtocol(max_size=room.message_bytes_max)
        self._link: WebSocketLink | None = None
        self._received = bytearray()
        """What was read and not parsed yet."""
        self._going_on = False
        self._message = bytearray()
        self._fragments = 0
        self._control = Bucket(CONTROL_RATE, CONTROL_BURST, shell.now())
        self._loop = asyncio.get_running_loop()
        self._pinging: asyncio.TimerHandle | None = None
        self._heard = False
        self._missed = 0
        self._closing: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ what has arrived
    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._received += data
        self._heard = True
        if not self._going_on:
            self._parse()

    def go_on(self) -> None:
        """Parse more in the next turn of the loop."""
        if not self._going_on and self._may_parse():
            self._going_on = True
            self._loop.call_soon(self._parse)

    def _parse(self) -> None:
        """Handle what was read, up to what is allowed in a turn, or what the session takes."""
        self._going_on = False
        received, frames = self._received, 0
        try:
            while received and frames < FRAMES_PER_TURN and self._may_parse():
                part = bytes(received[:SLICE_BYTES])
                del received[:SLICE_BYTES]
                self._protocol.receive_data(part)
                events = self._protocol.events_received()
                frames += len(events)
                for event in events:
                    if isinstance(event, Request):
                        self._upgrade(event)
                    elif isinstance(event, Frame):
                        self._frame(event)
        except Exception:
            log.exception("a WebSocket failed")
            self._protocol.fail(CloseCode.INTERNAL_ERROR, "internal error")
        self._flush()
        link = self._link
        if self._protocol.state is not State.OPEN:
            received.clear()  # nothing counts after a close frame
        if link is not None:
            link.behind = bool(received)
            link.after()
            if received:
                self.go_on()

    def _may_parse(self) -> bool:
        link = self._link
        if link is None:
            return not self._transport.is_closing()
        session = link.session
        if session is None or session.busy or session.closing:
            return False
        return link.paused_at is None

    def _upgrade(self, request: Request) -> None:
        if not self._may_come_from(request.headers):
            text = "This page is not one of those that may connect (see --origins).\n"
            self._protocol.send_response(self._protocol.reject(403, text))
            return
        self._protocol.send_response(self._protocol.accept(request))
        if self._protocol.state is State.OPEN:
            self._flush()
            link = WebSocketLink(self._shell, self._room, self._transport, self)
            if link.open():
                self._link = link
                self._pinging = self._loop.call_later(PING_S, self._ping)
            else:
                self._protocol.fail(CloseCode.TRY_AGAIN_LATER, "too many connections")

    def _may_come_from(self, headers: Headers) -> bool:
        """A browser that says who somebody is for a page of another site is not believed."""
        origin = headers.get("Origin")
        if origin is None or ("Cookie" not in headers and "Authorization" not in headers):
            return True
        if origin in self._shell.origins:
            return True
        return urlsplit(origin).netloc.lower() == headers.get("Host", "").lower()

    def _frame(self, frame: Frame) -> None:
        link = self._link
        if link is None or link.session is None or self._protocol.state is not State.OPEN:
            return
        room = link.room
        data = frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
        if not (data and (frame.data or frame.fin)) and not self._control.take(self._shell.now()):
            self._protocol.fail(CloseCode.POLICY_VIOLATION, "too many pings or empty frames")
        elif frame.opcode is (Opcode.BINARY if room.text else Opcode.TEXT):
            kind = "text" if room.text else "binary"
            self._protocol.fail(CloseCode.UNSUPPORTED_DATA, f"{kind} messages only")
        elif data:
            self._fragment(link, frame)

    def _fragment(self, link: WebSocketLink, frame: Frame) -> None:
        self._fragments += 1
        if self._fragments > FRAGMENTS_MAX:
            reason = f"a message has at most {FRAGMENTS_MAX} fragments"
            self._protocol.fail(CloseCode.POLICY_VIOLATION, reason)
            return
        if not frame.fin or self._fragments > 1:
            self._message += frame.data
            if not frame.fin:
                return
        message = bytes(self._message if self._fragments > 1 else frame.data)
        self._message, self._fragments = bytearray(), 0
        session = link.session
        try:
            if link.room.text:
                str(message, "utf-8")
            if session is not None:
                session.receive_message(message, self._shell.now())
        except UnicodeDecodeError:
            self._protocol.fail(CloseCode.INVALID_DATA, "text is UTF-8")
        except ProtocolError:
            self._protocol.fail(CloseCode.INVALID_DATA, "a message is exactly one packet")

    # ------------------------------------------------------------ what is sent
    def _ping(self) -> None:
        """Ask a peer that says nothing whether it is there; give it up when it does not answer."""
        self._pinging = None
        link, transport = self._link, self._transport
        if link is None or self._protocol.state is not State.OPEN:
            return
        alive = self._heard or link.reads_slowly(self._shell.now(), PING_S)
        self._heard = False
        self._missed = 0 if alive else self._missed + 1
        if self._missed >= MISSED_MAX:
            log.info("closed a WebSocket that answers no ping", address=peer_address(transport))
            transport.abort()
            return
        if link.paused_at is None:
            self._protocol.send_ping(b"")
            self._flush()
        self._pinging = self._loop.call_later(PING_S, self._ping)

    def fail(self, code: CloseCode, reason: str) -> None:
        """Close, and say why (at most 123 bytes of it)."""
        self._protocol.fail(code, reason.encode()[:120].decode(errors="ignore"))
        self._flush()

    def _flush(self) -> None:
        """Send what the WebSocket protocol itself has to say."""
        transport, link = self._transport, self._link
        for data in self._protocol.data_to_send():
            if data:
                transport.write(data)
                if link is not None:
                    link.written(len(data))
            elif transport.can_write_eof():
                transport.write_eof()  # to close at once might cost the peer the close frame
            else:
                transport.close()
        if self._protocol.state is State.OPEN or self._closing is not None:
            return
        self._closing = self._loop.call_later(CLOSE_S, transport.abort)
        if link is not None:
            link.indirect()  # no message may follow a close frame
            self._loop.call_soon(link.closed)

    # ------------------------------------------------------------ asyncio.Protocol
    def eof_received(self) -> None:
        """See `asyncio.Protocol`: whoever ends the stream is leaving."""
        if self._link is not None:
            self._link.close()
        else:
            self._transport.close()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._link is not None:
            self._link.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._link is not None:
            self._link.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        for timer in (self._pinging, self._closing):
            if timer is not None:
                timer.cancel()
        self._received.clear()
        if self._link is not None:
            self._link.closed()


def take_over(shell: Shell, room: Room, transport: asyncio.Transport, data: bytes) -> None:
    """Go on as a WebSocket with a connection whose request for it, and more, was received."""
    connection = WebSocketConnection(shell, room, transport)
    transport.set_protocol(connection)
    connection.data_received(data)
