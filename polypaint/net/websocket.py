"""The protocols over WebSocket: one message = one packet (binary) or one JSON object (text).

Handshake, masking, fragments and control frames are the sans-IO part of `websockets`; outgoing
messages get their frame headers from the codec, once for all peers of a turn. The HTTP server
hands a connection over when it asks for the upgrade.

What peers send is parsed in slices, in turns, FRAMES_PER_TURN frames in a turn of the event loop;
the rest waits, and so does who sent it. Control frames and empty fragments, which cost a peer
nothing, are limited in rate, too.

Counterparts: `websocket.py`; `http.py`, which serves everything else on the same port.
"""

import asyncio
from typing import Final

import structlog
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from polypaint.engine.budget import Bucket
from polypaint.engine.effects import INTERNAL_ERROR
from polypaint.engine.service import Endpoint
from polypaint.errors import ProtocolError
from polypaint.net.connection import (
    CLOSE_S,
    Connection,
    ConnectionHost,
    Discard,
    peer_address,
)
from polypaint.net.credentials import credentials, may_come_from

log = structlog.get_logger()

PACKETS, LINES = 1, 2
"""See `_codec.SendQueue.framing`."""
SLICE_BYTES_MIN: Final = 256
SLICE_BYTES_MAX: Final = 2048
"""Given to the parser at a time: more, as long as there are few frames in it."""
FRAMES_OF_SLICE: Final = 8
FRAMES_PER_TURN: Final = 64
"""Of all connections together: after so many the next turn of the loop has to come."""
FRAGMENTS_MAX: Final = 256
"""Of one message."""
CONTROL_RATE: Final = 20.0
CONTROL_BURST: Final = 200.0
"""Pings, pongs and empty fragments of a peer: a second, and at once."""
STOP_S: Final = 1.0
"""How long a server that stops waits for peers to take leave."""
PING_S: Final = 20.0
MISSED_MAX: Final = 2
"""Pings in a row after which a peer that neither says nor takes anything is given up."""
CODES: Final = {INTERNAL_ERROR: CloseCode.INTERNAL_ERROR}
"""What a conversation that ended for this reason is closed with; others broke a rule."""


class WebSockets:
    """All of them: how much is parsed in a turn of the event loop, and who waits for the next."""

    def __init__(self, host: ConnectionHost) -> None:
        self.open: set[WebSocketProtocol] = set()
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._spent = 0
        """Frames since the last time that everybody had to wait for the next turn."""
        self._resting = False
        self._waiting: dict[WebSocketProtocol, None] = {}

    def take_over(
        self, endpoint: Endpoint, transport: asyncio.Transport, head: bytes, ahead: bytes
    ) -> None:
        """Go on with a connection that asked for a WebSocket with `head`, a whole request.

        ahead: what was received behind it.
        """
        websocket = WebSocketProtocol(self._host, endpoint, transport, self)
        self.open.add(websocket)
        transport.set_protocol(websocket)
        websocket.answer(head)
        if ahead:
            websocket.data_received(ahead)

    async def close(self) -> None:
        """Let those that have been told to go go; end the others."""
        deadline = self._loop.time() + STOP_S
        while self.open and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        for websocket in self.open:
            websocket.abort()

    @property
    def contended(self) -> bool:
        """Does somebody wait?"""
        return bool(self._waiting)

    def has(self, websocket: "WebSocketProtocol") -> bool:
        """Does this one wait?"""
        return websocket in self._waiting

    @property
    def left(self) -> bool:
        """May more be parsed in this turn?"""
        return self._spent < FRAMES_PER_TURN

    def spend(self, frames: int) -> None:
        """So many frames have been parsed."""
        self._spent += frames
        if not self.left:
            self._turn_ends()

    def _turn_ends(self) -> None:
        if not self._resting:
            self._resting = True
            self._loop.call_soon(self._next_turn)

    def wait(self, websocket: "WebSocketProtocol") -> None:
        """Have `websocket.parse` called when it is its turn."""
        self._waiting[websocket] = None
        self._turn_ends()

    def forget(self, websocket: "WebSocketProtocol") -> None:
        """It is closed."""
        self.open.discard(websocket)
        self._waiting.pop(websocket, None)

    def _next_turn(self) -> None:
        self._spent, self._resting = 0, False
        for websocket in list(self._waiting):
            if not self.left:
                break
            if websocket in self._waiting:
                del self._waiting[websocket]
                websocket.parse()
        if self._waiting:
            self._turn_ends()


class WebSocketConnection(Connection):
    """A link whose packets or objects travel as messages."""

    def __init__(
        self,
        host: ConnectionHost,
        endpoint: Endpoint,
        transport: asyncio.Transport,
        websocket: "WebSocketProtocol",
    ) -> None:
        super().__init__(host, endpoint, transport)
        self._websocket = websocket

    def open(self) -> bool:
        """See `Connection.open`: the codec writes the frame headers of what is sent directly."""
        opened = super().open()
        if self.session is not None:
            self.session.send_queue.framing = LINES if self.endpoint.text else PACKETS
            self.written(0)
        return opened

    def write(self, data: bytes) -> None:
        """See `Connection.write`."""
        self.transport.write(self.host.messages(self.endpoint, data))

    def update_reading(self) -> None:
        """See `Connection.update_reading`: what was read already comes first."""
        if self.behind:
            self._websocket.go_on()
        super().update_reading()

    def finish(self, reason: str) -> None:
        """See `Connection.finish`: with a closing handshake that says why."""
        self.say_last()
        code = CODES.get(reason, CloseCode.POLICY_VIOLATION)
        self._websocket.fail(CloseCode.SERVICE_RESTART if self.host.stopping else code, reason)


class WebSocketProtocol(asyncio.Protocol):
    """One connection that asked for an upgrade to a room."""

    def __init__(
        self,
        host: ConnectionHost,
        endpoint: Endpoint,
        transport: asyncio.Transport,
        turns: WebSockets,
    ) -> None:
        self._turns = turns
        self._slice = SLICE_BYTES_MIN
        self._host = host
        self._endpoint = endpoint
        self._transport = transport
        self._protocol = ServerProtocol(max_size=endpoint.message_bytes_max)
        self._connection: WebSocketConnection | None = None
        self._received = bytearray()
        """What was read and not parsed yet."""
        self._discard: Discard | None = None
        self._message = bytearray()
        self._fragments = 0
        self._control = Bucket(CONTROL_RATE, CONTROL_BURST, host.now())
        self._loop = asyncio.get_running_loop()
        self._pinging: asyncio.TimerHandle | None = None
        self._heard = False
        self._missed = 0
        self._closing: asyncio.TimerHandle | None = None

    def answer(self, head: bytes) -> None:
        """Accept or reject the request, at once: nothing else counts before."""
        self._heard = True
        try:
            self._receive(head)
        except Exception as error:
            self._failed(error)
        self._flush()

    # ------------------------------------------------------------ what has arrived
    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._discard is not None:
            self._discard.received()
            return
        self._heard = True
        self._received += data
        if self._turns.left and not self._turns.has(self):
            self.parse()
        else:
            self._set_behind()
            self.go_on()

    def go_on(self) -> None:
        """Parse more when it is this connection's turn."""
        if self._received and self._may_parse():
            self._turns.wait(self)

    def parse(self) -> None:
        """Handle a slice of what was read, and more of it while nobody else waits."""
        turns = self._turns
        try:
            while self._received and turns.left and self._may_parse():
                self._parse_slice()
                if turns.contended:
                    break
        except Exception as error:
            self._failed(error)
        self._flush()
        if self._protocol.state is not State.OPEN:
            self._received.clear()  # nothing counts after a close frame
        self._set_behind()
        if self._received:
            self.go_on()

    def _parse_slice(self) -> None:
        received = self._received
        if len(received) <= self._slice:
            part, self._received = received, bytearray()
        else:
            part = received[: self._slice]
            del received[: self._slice]
        few = self._receive(part) <= FRAMES_OF_SLICE
        self._slice = min(2 * self._slice, SLICE_BYTES_MAX) if few else SLICE_BYTES_MIN

    def _receive(self, part: bytes | bytearray) -> int:
        """Handle what these bytes complete. Returns how many frames."""
        self._protocol.receive_data(part)
        events = self._protocol.events_received()
        self._turns.spend(max(1, len(events)))
        for event in events:
            if isinstance(event, Request):
                self._upgrade(event)
            elif isinstance(event, Frame):
                self._frame(event)
        return len(events)

    def _failed(self, error: Exception) -> None:
        self._host.report("websocket", error)
        self._protocol.fail(CloseCode.INTERNAL_ERROR, "internal error")

    def _set_behind(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.behind = bool(self._received)
            connection.after()

    def _may_parse(self) -> bool:
        connection = self._connection
        if connection is None:
            return not self._transport.is_closing()
        session = connection.session
        if session is None or session.busy or session.closing:
            return False
        return connection.paused_at is None

    def _upgrade(self, request: Request) -> None:
        if not self._may_come_from(request.headers):
            text = "This page is not one of those that may connect (see --origins).\n"
            self._protocol.send_response(self._protocol.reject(403, text))
            return
        self._protocol.send_response(self._protocol.accept(request))
        if self._protocol.state is State.OPEN:
            self._flush()
            connection = WebSocketConnection(self._host, self._endpoint, self._transport, self)
            if connection.open():
                if connection.session is not None:
                    connection.session.credentials = credentials(request.headers)
                self._connection = connection
                self._pinging = self._loop.call_later(PING_S, self._ping)
            else:
                self._protocol.fail(CloseCode.TRY_AGAIN_LATER, "too many connections")

    def _may_come_from(self, headers: Headers) -> bool:
        """A browser that says who somebody is for a page of another site is not believed."""
        if "Cookie" not in headers and "Authorization" not in headers:
            return True
        origin, host = headers.get("Origin"), headers.get("Host", "")
        return may_come_from(origin, host, self._host.origins)

    def _frame(self, frame: Frame) -> None:
        connection = self._connection
        if (
            connection is None
            or connection.session is None
            or self._protocol.state is not State.OPEN
        ):
            return
        endpoint = connection.endpoint
        data = frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
        if not (data and (frame.data or frame.fin)) and not self._control.take(self._host.now()):
            self._protocol.fail(CloseCode.POLICY_VIOLATION, "too many pings or empty frames")
        elif frame.opcode is (Opcode.BINARY if endpoint.text else Opcode.TEXT):
            kind = "text" if endpoint.text else "binary"
            self._protocol.fail(CloseCode.UNSUPPORTED_DATA, f"{kind} messages only")
        elif data:
            self._fragment(connection, frame)

    def _fragment(self, connection: WebSocketConnection, frame: Frame) -> None:
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
        session = connection.session
        try:
            if connection.endpoint.text:
                str(message, "utf-8")
            if session is not None:
                session.receive_message(message, self._host.now())
        except UnicodeDecodeError:
            self._protocol.fail(CloseCode.INVALID_DATA, "text is UTF-8")
        except ProtocolError:
            self._protocol.fail(CloseCode.INVALID_DATA, "a message is exactly one packet")

    # ------------------------------------------------------------ what is sent
    def _ping(self) -> None:
        """Ask a peer that says nothing whether it is there; give it up when it does not answer."""
        self._pinging = None
        connection, transport = self._connection, self._transport
        if connection is None or self._protocol.state is not State.OPEN:
            return
        alive = self._heard or connection.reads_slowly(self._host.now(), PING_S)
        self._heard = False
        self._missed = 0 if alive else self._missed + 1
        if self._missed >= MISSED_MAX:
            log.info("closed a WebSocket that answers no ping", address=peer_address(transport))
            transport.abort()
            return
        if connection.paused_at is None:
            self._protocol.send_ping(b"")
            self._flush()
        self._pinging = self._loop.call_later(PING_S, self._ping)

    def abort(self) -> None:
        """Close at once, without a word."""
        self._transport.abort()

    def fail(self, code: CloseCode, reason: str) -> None:
        """Close, and say why (at most 123 bytes of it)."""
        self._protocol.fail(code, reason.encode()[:120].decode(errors="ignore"))
        self._flush()

    def _flush(self) -> None:
        """Send what the WebSocket protocol itself has to say."""
        transport, connection = self._transport, self._connection
        for data in self._protocol.data_to_send():
            if data:
                transport.write(data)
                if connection is not None:
                    connection.written(len(data))
            elif transport.can_write_eof():
                transport.write_eof()  # to close at once might cost the peer the close frame
            else:
                transport.close()
        if self._protocol.state is State.OPEN or self._closing is not None:
            return
        self._closing = self._loop.call_later(CLOSE_S, transport.abort)
        self._discard = Discard(transport)
        if connection is not None:
            connection.indirect()  # no message may follow a close frame
            self._loop.call_soon(connection.closed)

    # ------------------------------------------------------------ asyncio.Protocol
    def eof_received(self) -> None:
        """See `asyncio.Protocol`: whoever ends the stream is leaving."""
        if self._connection is not None:
            self._connection.close()
        else:
            self._transport.close()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._connection is not None:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._connection is not None:
            self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        for timer in (self._pinging, self._closing):
            if timer is not None:
                timer.cancel()
        self._received.clear()
        self._turns.forget(self)
        if self._connection is not None:
            self._connection.closed()
