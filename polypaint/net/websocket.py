"""The protocols over WebSocket: one message = one packet (binary) or one JSON object (text).

Handshake, masking, fragments and control frames are the sans-IO part of `websockets`; outgoing
messages get their frame headers from the codec, once for all peers of a turn. The HTTP server
hands a connection over when it asks for the upgrade.

Counterparts: `link.py`; `http.py`, which serves everything else on the same port.
"""

import asyncio
from typing import Final, cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from polypaint.errors import ProtocolError
from polypaint.net.link import Link, Room, Shell

PREFIX: Final = "/ws/"
HANDSHAKE_S: Final = 10.0
PACKETS, LINES = 1, 2
"""See `_codec.Outbox.framing`."""


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

    def finish(self, reason: str) -> None:
        """See `Link.finish`: with a closing handshake that says why."""
        self.say_last()
        self._connection.fail(CloseCode.POLICY_VIOLATION, reason)


class WebSocketConnection(asyncio.Protocol):
    """One connection that asked for an upgrade."""

    def __init__(self, shell: Shell, rooms: dict[str, Room]) -> None:
        self._shell = shell
        self._rooms = {PREFIX + name: room for name, room in rooms.items()}
        largest = max(room.message_bytes_max for room in rooms.values())
        self._protocol = ServerProtocol(max_size=largest)
        self._link: WebSocketLink | None = None
        self._transport: asyncio.Transport | None = None
        self._fragments: list[bytes] = []
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._upgrade(event)
            elif isinstance(event, Frame):
                self._frame(event)
        self._flush()
        if self._link is not None:
            self._link.after()

    def _upgrade(self, request: Request) -> None:
        room = self._rooms.get(request.path.partition("?")[0])
        if room is None:
            known = ", ".join(self._rooms)
            response = self._protocol.reject(404, f"There is no WebSocket here; try {known}.\n")
        else:
            response = self._protocol.accept(request)
        self._protocol.send_response(response)
        if self._deadline is not None:
            self._deadline.cancel()
        if room is not None and self._protocol.state is State.OPEN and self._transport is not None:
            self._flush()
            link = WebSocketLink(self._shell, room, self._transport, self)
            if link.open():
                self._link = link
            else:
                self._protocol.fail(CloseCode.TRY_AGAIN_LATER, "too many connections")

    def _frame(self, frame: Frame) -> None:
        link = self._link
        if link is None or link.session is None:
            return
        room = link.room
        if frame.opcode is (Opcode.BINARY if room.text else Opcode.TEXT):
            kind = "text" if room.text else "binary"
            self._protocol.fail(CloseCode.UNSUPPORTED_DATA, f"{kind} messages only")
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                message = b"".join(self._fragments)
                self._fragments = []
                try:
                    link.session.receive_message(message, self._shell.now())
                except ProtocolError:
                    self._protocol.fail(CloseCode.INVALID_DATA, "a message is exactly one packet")

    def fail(self, code: CloseCode, reason: str) -> None:
        """Close, and say why (at most 123 bytes of it)."""
        self._protocol.fail(code, reason.encode()[:120].decode(errors="ignore"))
        self._flush()

    def _flush(self) -> None:
        """Send what the WebSocket protocol itself has to say."""
        transport = self._transport
        if transport is None:
            return
        link = self._link
        for data in self._protocol.data_to_send():
            if data:
                transport.write(data)
                if link is not None:
                    link.written(len(data))
            else:
                transport.close()
        if link is not None and self._protocol.state is not State.OPEN:
            link.indirect()  # no message may follow a close frame
        if self._protocol.close_expected() and not transport.is_closing():
            loop = asyncio.get_running_loop()
            loop.call_later(HANDSHAKE_S, transport.abort)

    def eof_received(self) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.receive_eof()

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
        if self._deadline is not None:
            self._deadline.cancel()
        if self._link is not None:
            self._link.closed()
