"""The echo service and its sessions."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import ClassVar

import orjson
from websockets.frames import Frame, Opcode

from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.engine.service import Documents, Endpoint, Gauge, Service
from polypaint.engine.session import Session

from .effects import Remarked

KIND = "echo"
MESSAGE_BYTES_MAX = 17 << 20
REMARKABLE = b"remark"


class EchoService(Service):
    """Every message comes back as it was. text: are WebSocket messages text, or binary?"""

    name = "echo"
    KINDS = (KIND,)
    PREFIX = "echo_"
    COUNTED: ClassVar = {"messages": "Messages that were said back."}

    def __init__(self, context: Context, documents: DocumentBuffer, text: bool) -> None:
        # What a session queues is framed already where it has to be.
        self.endpoint = Endpoint(self.name, self.connect, bytes, text, MESSAGE_BYTES_MAX)
        self.counters = dict.fromkeys(self.COUNTED, 0)
        self.total = 0
        self.remarks: list[bytes] = []
        self.address = ""
        self._context = context
        self._documents = documents

    def connect(
        self, address: str, now: float, _rtt_s: Callable[[], float]
    ) -> "EchoSession | None":
        """A new connection; None when there are too many."""
        if not self._context.admit(address):
            return None
        return EchoSession(self, self._context, address, now)

    def listening(self, address: str) -> None:
        """Clients find it there."""
        self.address = address

    def restore(self, documents: Documents, _now: float) -> None:
        """How many messages there were before."""
        for _key, body in documents[KIND]:
            self.total = orjson.loads(body)["total"]

    def gauges(self) -> Mapping[str, Gauge]:
        """Messages, of earlier runs too."""
        return {"echo_total": Gauge("Messages, of earlier runs too.", lambda: self.total)}

    def said(self, message: bytes, now: float) -> None:
        """Count a message, and keep that count."""
        self.counters["messages"] += 1
        self.total += 1
        self._documents.put(KIND, "", {"total": self.total}, now)
        if message == REMARKABLE:
            self._context.effects.append(Remarked(message))


class EchoSession(Session):
    """One connection: bytes over TCP as they come, WebSocket messages whole."""

    def __init__(self, service: EchoService, context: Context, address: str, now: float) -> None:
        super().__init__(context, address, now)
        self._service = service
        self._opcode = Opcode.TEXT if service.endpoint.text else Opcode.BINARY
        self._inbox: deque[tuple[bytes, bool]] = deque()

    def receive(self, data: bytes, now: float) -> None:
        """Bytes of TCP."""
        self._inbox.append((data, False))
        self.work(now)

    def receive_message(self, message: bytes, now: float) -> None:
        """A WebSocket message."""
        self._inbox.append((message, True))
        self.work(now)

    def _handle_next(self, now: float) -> None:
        message, framed = self._inbox.popleft()
        self._service.said(message, now)
        answer = Frame(self._opcode, message).serialize(mask=False) if framed else message
        self.send_queue.push(answer)

    def password_checked(self, name: str, ok: bool | None, now: float) -> None:
        """Nobody logs in here."""
        raise AssertionError

    def account_created(self, status: int, now: float) -> None:
        """Nobody logs in here."""
        raise AssertionError

    def ticket_issued(self, ticket: str, now: float) -> None:
        """Nobody logs in here."""
        raise AssertionError

    def above_high_mark(self, now: float) -> None:
        """Who does not read is not heard."""

    def lost(self, now: float) -> None:
        """The connection is gone."""
        super().lost(now)
        self.context.gone(self.address, unauthenticated=True)
