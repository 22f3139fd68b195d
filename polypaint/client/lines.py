"""What clients of the JSON protocols have in common: a connection that reads by itself.

Counterparts: `matches.py`, `vehicles.py`; `polypaint.engine.session` is the server's side.
"""

import asyncio
import contextlib
import random
import secrets
import ssl
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Final, Self

import orjson

from polypaint.client.transports import LINE_STREAM, Transport, open_transport
from polypaint.errors import ConnectionClosed, LoginFailed, ProtocolError

ANSWER_S: Final = 30.0
LOGIN_S: Final = 15.0
BACKOFF_S: Final = 0.1
BACKOFF_S_MAX: Final = 10.0


class LineClient(ABC):
    """One connection, made again when it is lost. closed: why it has ended; empty while open."""

    def __init__(self, address: str, tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self.closed = ""
        self._tls = tls
        self._cause: Exception | None = None
        """What went wrong in this client, if that is why it has ended."""
        self._transport: Transport | None = None
        self._reader: asyncio.Task[None] | None = None
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # ------------------------------------------------------------ what a protocol says to it
    @abstractmethod
    async def _greet(self) -> None:
        """Say who one is, on a new connection. Raises LoginFailed, ConnectionClosed."""

    @abstractmethod
    def _hear(self, message: dict[str, Any]) -> None:
        """Something that the server says."""

    def _lost(self, reason: str) -> None:  # noqa: B027
        """The connection is gone; `closed` says whether for good."""

    # ------------------------------------------------------------ life
    async def open(self) -> None:
        """Connect. Raises ConnectionClosed, LoginFailed."""
        await self._dial()

    async def close(self) -> None:
        """End the connection."""
        self.closed = self.closed or "closed by this client"
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        if self._transport is not None:
            await self._transport.close()
        self._fail(self.closed)

    async def _open_transport(self) -> Transport:
        """A new connection. Raises ConnectionClosed."""
        return await open_transport(self.address, self._tls, LINE_STREAM)

    async def _dial(self) -> None:
        self._transport = transport = await self._open_transport()
        self._reader = asyncio.get_running_loop().create_task(self._read(transport))
        try:
            await self._greet()
        except BaseException:
            self._reader.cancel()
            self._transport = None
            await transport.close()
            raise

    async def _read(self, transport: Transport) -> None:
        reason = "the server closed the connection without a word; is this the right port?"
        try:
            while received := await transport.receive():
                reason = "the connection was lost"
                for data in received:
                    self._hear(_object(data))
        except asyncio.CancelledError:
            return
        except Exception as problem:  # nobody must wait for what this task would have brought
            self._stop(f"{self.address}: {problem}", problem)
        self._transport = None  # what is sent now would be lost in silence
        why = f": {transport.ended}" if transport.ended else ""
        self._fail(self.closed or f"{reason}{why}")
        await transport.close()
        if self.closed:
            self._lost(self.closed)
        else:
            self._reader = asyncio.get_running_loop().create_task(self._come_back())

    async def _come_back(self) -> None:
        """Connect again, less and less often."""
        wait = BACKOFF_S
        self._lost("the connection was lost")
        while not self.closed:
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            try:
                await self._dial()
            except ConnectionClosed as error:
                if isinstance(error, LoginFailed):
                    self._stop(str(error))
                wait = min(2 * wait, BACKOFF_S_MAX)
            except Exception as problem:
                self._stop(f"{self.address}: {problem}", problem)
            else:
                return
        self._lost(self.closed)

    def _stop(self, reason: str, cause: Exception | None = None) -> None:
        """Come back no more. cause: what went wrong in this client, if anything did."""
        if not self.closed:
            self.closed, self._cause = reason, cause

    def _fail(self, reason: str) -> None:
        """Nobody will answer any more."""
        answers, self._answers = self._answers, {}
        for future in answers.values():
            if not future.done():
                ended = ConnectionClosed(reason)
                ended.__cause__ = self._cause
                future.set_exception(ended)

    # ------------------------------------------------------------ messages
    def send(self, message: dict[str, Any]) -> None:
        """One object. Raises ConnectionClosed."""
        if self._transport is None or self.closed:
            raise ConnectionClosed(self.closed or "not connected")
        self._transport.send(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))

    async def ask(self, message: dict[str, Any], rid: str = "") -> dict[str, Any]:
        """One request with a `rid` of ours, and its answer. Raises ConnectionClosed.

        rid: of the same request when it was asked before, and its answer was lost.
        """
        rid = rid or new_rid()
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[rid] = future
        try:
            self.send(message | {"rid": rid})
            async with asyncio.timeout(ANSWER_S):
                return await future
        except TimeoutError:
            raise ConnectionClosed(f"no answer within {ANSWER_S:g} s") from None
        finally:
            self._answers.pop(rid, None)

    def _answered(self, rid: Any, message: dict[str, Any]) -> bool:
        """Hand a message to whoever waits for it; False when nobody does."""
        future = self._answers.get(rid) if isinstance(rid, str) else None
        if future is None or future.done():
            return False
        future.set_result(message)
        return True


def _object(data: bytes) -> dict[str, Any]:
    """One message of the server. Raises ProtocolError."""
    try:
        message = orjson.loads(data)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise ProtocolError("no JSON lines are spoken there; is this the right port?")
    return message


def new_rid() -> str:
    """A request ID that nobody can guess: a server remembers some of them for a day."""
    return secrets.token_urlsafe(15)
