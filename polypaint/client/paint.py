"""The Python client: accounts, lobbies, chat and drawing from asyncio, on any event loop.

    async with connect("127.0.0.1:7600", "ada", "secret", create=True) as client:
        drawing = await client.create("harbour")
        await drawing.add_stroke(0, b"\\x20\\x60\\xc0\\xff", 3, 3, [(10, 10), (200, 120)])
        await client.say("General", "come and look")

Addresses: `host:port` (TCP), `tls://host:port`, `ws://host:port/ws/paint`, `wss://…`.

What you draw shows in `drawing.canvas` when the server has put it in order, one round trip later:
the canvas is the server's, always. A lost connection is made again, with back-off; the lobby and
the channels are joined again and the canvas is brought up to date.

Counterparts: `paint/replica.py` is the canvas, `paint/senders.py` the drawing methods.
"""

import asyncio
import contextlib
import random
import ssl
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import orjson

from polypaint import _codec
from polypaint.client.transports import PACKET_STREAM, Transport, open_transport
from polypaint.errors import ConnectionClosed, LoginFailed, PolypaintError, Refused
from polypaint.paint import packets
from polypaint.paint.channels import split_message
from polypaint.paint.lobby import AnyCanvas
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.packets import PACKETS, Packet, decode
from polypaint.paint.replica import CONNECTED, Outcome, Own, Replica
from polypaint.paint.senders import Senders

ANSWER_S: Final = 30.0
LOGIN_S: Final = 15.0
BACKOFF_S: Final = 0.1
BACKOFF_S_MAX: Final = 10.0
MESSAGES_MAX: Final = 10_000
CHANGES_MAX: Final = 10_000
LOGIN: Final = {1: "already connected", 2: "no such name and password"}
ENTRANCES: Final = {packets.LOBBY_CREATION: 0, packets.LOBBY_CONNECT: CONNECTED}
"""Which answer lets one in."""
NO_ANSWER: Final = f"no answer to the login within {LOGIN_S:g} s; is this the port for drawing?"
ACCOUNT: Final = {1: "the name is taken", 2: "the server refused this name or password"}


@dataclass(frozen=True, slots=True)
class Message:
    """Something said in a channel. author: empty when the server says it. date: UTC seconds."""

    channel: str
    author: str
    content: str
    date: int


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a drawing: who did what. The canvas shows it already."""

    author: str
    kind: Packet
    packet: bytes


class Drawing(Senders["asyncio.Future[Outcome]"]):
    """A lobby that one is in. Drawing methods send at once and return a future.

    The future is done when the server has put the packet in order; awaiting it is optional. It
    raises Refused when the server did not accept it, ConnectionClosed when the connection was lost
    and nobody can know. Strokes are not lost with a connection: they are drawn when it is back.
    """

    def __init__(self, client: "Client", info: LobbyRules) -> None:
        self.info = info
        self.kicked = ""
        self._client = client
        self._replica = Replica(client.name.encode(), info)
        self._futures: dict[Own, asyncio.Future[Outcome]] = {}
        self._unsure: list[tuple[Own, asyncio.Future[Outcome]]] = []
        """What is drawn, in this order, once the canvas has come and does not show it."""
        self._rejoining = False
        self._watchers: set[asyncio.Queue[Change | None]] = set()
        self._changed = asyncio.Event()
        self._version = 0

    @property
    def canvas(self) -> AnyCanvas:
        """The server's canvas, as far as it is known here. Do not change it."""
        return self._replica.canvas

    @property
    def loaded(self) -> bool:
        """Is the canvas here, all of it?"""
        return self._replica.loaded and not self._replica.frozen

    @property
    def filled(self) -> bool:
        """Has a canvas been brought since one joined?"""
        return self.loaded and self._replica.version > 0

    def draw(self, kind: Packet, *values: Any) -> "asyncio.Future[Outcome]":
        """Send one drawing packet. Raises ProtocolError when the values do not conform."""
        if self._client.drawing is not self:
            raise ConnectionClosed(self.kicked or "you have left this drawing")
        packet = kind.encode_request(int(time.time()), self._client.name.encode(), *values)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_looked_at)
        self._draw(packet, future)
        self._flush()
        return future

    def _draw(self, packet: bytes, future: "asyncio.Future[Outcome]") -> None:
        if self._rejoining and not PACKETS[packet[2]].indices:
            self._unsure.append((Own(packet), future))  # behind what is older
        else:
            self._futures[self._replica.draw(packet)] = future

    async def settled(self) -> AnyCanvas:
        """Wait until everything that was drawn is on the canvas. Raises ConnectionClosed."""
        await self.wait_for(lambda _canvas: self._replica.settled and self.loaded)
        return self.canvas

    async def wait_for(self, condition: Callable[[AnyCanvas], bool]) -> AnyCanvas:
        """Wait until the canvas is as one wants it. Raises ConnectionClosed."""
        while not condition(self.canvas):
            if self._client.drawing is not self:
                raise ConnectionClosed(self.kicked or "you have left this drawing")
            self._changed.clear()
            await self._changed.wait()
        return self.canvas

    async def changed(self) -> AnyCanvas:
        """Wait until something on the canvas changes. Raises ConnectionClosed."""
        version = self._version
        return await self.wait_for(lambda _canvas: self._version != version)

    async def changes(self) -> AsyncIterator[Change]:
        """Everything that others draw from now on; ends when one leaves the lobby.

        Who falls behind by more than CHANGES_MAX misses the oldest.
        """
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            while (change := await queue.get()) is not None:
                yield change
        finally:
            self._watchers.discard(queue)

    async def leave(self) -> None:
        """Leave the lobby."""
        if self._client.drawing is self:
            await self._client.leave()

    # ------------------------------------------------------------ what the client brings
    def receive(self, packet: bytes) -> None:
        """One packet from the server, for this lobby."""
        kind = PACKETS[packet[2]]
        self._replica.receive(packet)
        if self._rejoining and self.filled:
            self._make_sure()
        self._finish()
        self._flush()
        self._version += 1
        self._changed.set()
        if kind.relayed:
            change = Change(packet[8 : 8 + packet[7]].decode(), kind, packet)
            for queue in self._watchers:
                if queue.qsize() >= CHANGES_MAX:
                    queue.get_nowait()
                queue.put_nowait(change)

    @property
    def answers(self) -> int:
        """How many CONNECTED are still to come for the replica."""
        return self._replica.answers

    def rejoining(self) -> None:
        """The connection is lost, and the lobby will be joined anew.

        A stroke that was under way may or may not have arrived: the canvas that comes will show.
        Of other packets that were sent nobody can know. What was not sent is sent later, unless
        it names positions, which may have changed.
        """
        for own, future in self._futures.items():
            kind = PACKETS[own.packet[2]]
            if kind is packets.ADD_STROKE if own.sent else not kind.indices:
                self._unsure.append((own, future))
            elif not future.done():
                future.set_exception(ConnectionClosed("the connection was lost"))
        self._futures.clear()
        self._rejoining = True
        canvas = self._replica.canvas
        self._replica = Replica(self._client.name.encode(), self.info)
        self._replica.canvas = canvas
        self._replica.expect_join()

    def _make_sure(self) -> None:
        """The canvas is here again: draw what it does not show."""
        self._rejoining = False
        shown = Counter(map(_content, getattr(self.canvas, "strokes", ())))
        unsure, self._unsure = self._unsure, []
        for own, future in unsure:
            if own.sent and shown[_content(own.packet)] > 0:
                shown[_content(own.packet)] -= 1
                if not future.done():
                    future.set_result(Outcome.APPLIED)
            else:
                self._draw(own.packet, future)

    def ended(self, reason: str) -> None:
        """One is not in this lobby any more."""
        self.kicked = reason
        for future in (*self._futures.values(), *(future for _, future in self._unsure)):
            if not future.done():
                future.set_exception(ConnectionClosed(reason))
        self._futures.clear()
        self._unsure.clear()
        self._changed.set()
        for queue in self._watchers:
            queue.put_nowait(None)

    def _finish(self) -> None:
        for own in self._replica.finished():
            future = self._futures.pop(own, None)
            if future is None or future.done():
                continue
            if own.outcome is Outcome.REFUSED:
                future.set_exception(Refused(own.reason))
            else:
                future.set_result(own.outcome or Outcome.RESYNCED)

    def _flush(self) -> None:
        data = self._replica.data_to_send()
        if data:
            self._client.send(data)


def _content(packet: bytes) -> bytes:
    """A stroke's packet without its index."""
    at = 8 + packet[7]
    return packet[:at] + packet[at + 4 :]


def _looked_at(future: "asyncio.Future[Outcome]") -> None:
    """Nobody has to await a stroke: its exception counts as seen."""
    if not future.cancelled():
        future.exception()


class Client:
    """A connection with a name. Made by `connect`."""

    def __init__(
        self, address: str, name: str, password: str, create: bool, reconnect: bool,
        tls: ssl.SSLContext | None,
    ) -> None:  # fmt: skip
        self.name = name
        self.drawing: Drawing | None = None
        self._address = address
        self._password = password
        self._ticket = ""
        """What stands in for the password when the connection is made again."""
        self._create = create
        self._reconnect = reconnect
        self._tls = tls
        self._transport: Transport | None = None
        self._answers: defaultdict[int, deque[asyncio.Future[bytes]]] = defaultdict(deque)
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue(MESSAGES_MAX)
        self._channels: dict[str, None] = {}
        self._reader: asyncio.Task[None] | None = None
        self._closed = False
        self._entering: Drawing | None = None
        self._stale_answers = 0

    # ------------------------------------------------------------ connecting
    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect and log in. Raises LoginFailed, ConnectionClosed."""
        await self._dial()
        self._reader = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Log out and close."""
        self._closed = True
        if self._transport is not None:
            await self._transport.close()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        self._end("closed")

    async def _dial(self) -> None:
        """A new connection, logged in. Raises LoginFailed, ConnectionClosed."""
        if self._ticket:
            try:
                await self._log_in(self._ticket)
                return
            except LoginFailed as error:
                if LOGIN[1] in str(error):
                    raise
                self._ticket = ""  # it has ended, or the password is another now
        await self._log_in(self._password)

    async def _log_in(self, password: str) -> None:
        transport = await open_transport(self._address, self._tls, PACKET_STREAM)
        try:
            async with asyncio.timeout(LOGIN_S):
                if self._create:
                    status = await self._ask(transport, packets.CREATE_ACCOUNT, password)
                    if status == 1:  # ours, perhaps: the password decides
                        await transport.close()
                        transport = await open_transport(self._address, self._tls, PACKET_STREAM)
                    elif status:
                        raise LoginFailed(ACCOUNT[status])
                    self._create = False
                status = await self._ask(transport, packets.CONNECTION, password)
        except TimeoutError:
            await transport.close()
            raise ConnectionClosed(NO_ANSWER) from None
        except BaseException:
            await transport.close()
            raise
        if status:
            await transport.close()
            raise LoginFailed(f"cannot log in as {self.name!r}: {LOGIN[status]}")
        self._transport = transport
        if self._reconnect:
            self._send(packets.TICKET, "1")

    async def _ask(self, transport: Transport, kind: Packet, password: str) -> int:
        """Send name and password; the status that comes back."""
        name = self.name.encode()
        transport.send(kind.encode_request(int(time.time()), name, password))
        received = await transport.receive()
        if not received:
            why = f": {transport.ended}" if transport.ended else "; is this the port for drawing?"
            raise ConnectionClosed(f"the server closed the connection at login{why}")
        if received[0][2] != kind.id:
            raise ConnectionClosed("drawing is not spoken of there; is this the right port?")
        transport.unread(received[1:])
        return int(decode(received[0], True)[0])

    async def _run(self) -> None:
        """Receive until closed; connect again when the connection is lost."""
        while True:
            transport = self._transport
            assert transport is not None
            try:
                while packets_received := await transport.receive():
                    for packet in packets_received:
                        self._receive(packet)
            except Exception as problem:  # nobody must wait for what this task would have brought
                await transport.close()
                self._end(f"this client has failed: {problem}", problem)
                return
            await transport.close()
            self._fail_answers("the connection was lost")
            if self._closed or not self._reconnect:
                self._end("the connection was lost")
                return
            if self.drawing is not None:
                self.drawing.rejoining()
            if not await self._come_back():
                return

    async def _come_back(self) -> bool:
        """Connect again, with back-off, and go where one was."""
        pause = BACKOFF_S
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, BACKOFF_S_MAX)
            try:
                await self._dial()
                break
            except LoginFailed as error:
                if "already connected" in str(error):
                    continue  # the server has not noticed yet that we were gone
                self._end(str(error))
                return False
            except PolypaintError:
                continue
        self._stale_answers = 0
        for channel in self._channels:
            self._send(packets.CHANNEL_CREATION, channel)
        if self.drawing is not None:
            info = self.drawing.info
            text = orjson.dumps(info.json(show_passcode=True)).decode()
            self._send(packets.LOBBY_CONNECT, text)
        return True

    def _end(self, reason: str, cause: Exception | None = None) -> None:
        self._fail_answers(reason, cause)
        drawing, self.drawing = self.drawing, None
        if drawing is not None:
            drawing.ended(reason)
        if self._messages.full():
            self._messages.get_nowait()
        self._messages.put_nowait(None)
        self._closed = True

    def _fail_answers(self, reason: str, cause: Exception | None = None) -> None:
        for waiting in self._answers.values():
            for future in waiting:
                if not future.done():
                    ended = ConnectionClosed(reason)
                    ended.__cause__ = cause
                    future.set_exception(ended)
            waiting.clear()

    # ------------------------------------------------------------ receiving
    def _receive(self, packet: bytes) -> None:
        kind = PACKETS.get(packet[2])
        if kind is None:
            return
        drawing = self.drawing
        if kind is packets.CHANNEL_MESSAGE:
            self._said(packet)
        elif kind is packets.TICKET:
            self._ticket = decode(packet, True)[0]
        elif kind is packets.LOBBY_PLAYER_KICK:
            under_way = drawing is not None and drawing.answers > 0
            self._left(decode(packet, True)[0])
            if under_way:  # a fence that arrives after the kick may have let us in again
                self._send(packets.LOBBY_DISCONNECT)
        elif kind is packets.LOBBY_CONNECT and self._stale_answers:
            self._stale_answers -= 1
        elif kind is packets.LOBBY_CONNECT and drawing is not None and drawing.answers:
            if decode(packet, True)[0] == CONNECTED:
                drawing.receive(packet)
            else:
                self._left("the drawing is not there any more, or not for you")
        elif kind.reply is not None and self._answers[kind.id]:
            if self._entering is not None and kind in ENTRANCES:
                if decode(packet, True)[0] == ENTRANCES[kind]:
                    self.drawing = self._entering
                self._entering = None
            future = self._answers[kind.id].popleft()
            if not future.done():
                future.set_result(packet)
        elif kind is packets.UPDATE_DATABASE:
            self._send(packets.UPDATE_DATABASE)
        elif drawing is not None and (
            kind.relayed or kind in (packets.LOBBY_FREEZE_STATE, packets.FETCH_DATABASE)
        ):
            drawing.receive(packet)

    def _said(self, packet: bytes) -> None:
        _, date, name, _ = _codec.header(packet)
        channel, content = split_message(decode(packet, True)[0])
        with contextlib.suppress(asyncio.QueueFull):
            self._messages.put_nowait(Message(channel, name.decode(), content, date))

    def _left(self, reason: str) -> None:
        drawing, self.drawing = self.drawing, None
        if drawing is not None:
            self._stale_answers += drawing.answers
            drawing.ended(reason)

    # ------------------------------------------------------------ sending
    def send(self, data: bytes) -> None:
        """Whole packets, as they are. Raises ConnectionClosed."""
        if self._transport is None or self._closed:
            raise ConnectionClosed("not connected")
        self._transport.send(data)

    def _send(self, kind: Packet, *values: Any) -> None:
        self.send(kind.encode_request(int(time.time()), self.name.encode(), *values))

    async def _answer(self, kind: Packet, *values: Any) -> Any:
        """Send a request; the first value of its answer. Raises ConnectionClosed."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[kind.id].append(future)
        self._send(kind, *values)
        try:
            async with asyncio.timeout(ANSWER_S):
                return decode(await future, True)[0]
        except TimeoutError:
            raise ConnectionClosed(f"no answer to {kind.name}") from None

    # ------------------------------------------------------------ lobbies
    async def lobbies(self) -> list[dict[str, Any]]:
        """The active lobbies: Filename, Owner, Mode, Protection, Passcode, Clients."""
        return list(orjson.loads(await self._answer(packets.LOBBY_FETCH)))

    async def create(
        self, filename: str, mode: str = "stroke", protection: str = "public", passcode: str = ""
    ) -> Drawing:
        """Create a lobby, or reopen one's own stored drawing. Raises Refused, ConnectionClosed."""
        info = LobbyRules(filename, self.name, mode, protection, passcode)
        return await self._enter(info, packets.LOBBY_CREATION, "there is a drawing {!r} already")

    async def join(self, filename: str, passcode: str = "") -> Drawing:
        """Join a lobby and wait for its canvas. Raises Refused, ConnectionClosed."""
        info = LobbyRules(filename, "", "", "public", passcode)
        no = "there is no drawing {!r}, or it is not for you"
        drawing = await self._enter(info, packets.LOBBY_CONNECT, no)
        await drawing.wait_for(lambda _canvas: drawing.filled)
        return drawing

    async def join_or_create(self, filename: str, mode: str = "stroke") -> Drawing:
        """Join a lobby; create it when there is none. Raises Refused, ConnectionClosed."""
        try:
            return await self.join(filename)
        except Refused:
            return await self.create(filename, mode)

    async def _enter(self, info: LobbyRules, kind: Packet, no: str) -> Drawing:
        """Leave where one is; from a good answer on, what comes is for the new drawing."""
        await self.leave()
        drawing = self._entering = Drawing(self, info)
        if await self._answer(kind, _text(info)) != ENTRANCES[kind]:
            raise Refused(no.format(info.filename))
        return drawing

    async def leave(self) -> None:
        """Leave the present lobby."""
        if self.drawing is not None:
            self._send(packets.LOBBY_DISCONNECT)
            self._left("you left")

    async def protect(self, filename: str, protection: str, passcode: str = "") -> None:
        """Change who may enter one's lobby (LOBBY_INFO_CHANGE has no answer)."""
        values = {"Filename": filename, "Owner": self.name}
        values |= {"Protection": protection, "Passcode": passcode}
        self._send(packets.LOBBY_INFO_CHANGE, orjson.dumps(values).decode())

    # ------------------------------------------------------------ chat
    async def channels(self) -> list[dict[str, Any]]:
        """The chat channels: Name, Clients."""
        return list(orjson.loads(await self._answer(packets.CHANNEL_FETCH)))

    async def join_channel(self, name: str) -> None:
        """Create a channel, or join it. `General` is joined at login."""
        self._channels[name] = None
        self._send(packets.CHANNEL_CREATION, name)

    async def leave_channel(self, name: str) -> None:
        """Leave a channel."""
        self._channels.pop(name, None)
        self._send(packets.CHANNEL_DISCONNECT, name)

    async def say(self, channel: str, content: str) -> None:
        """Say something in a channel that one is in."""
        self._send(packets.CHANNEL_MESSAGE, f"{channel};{content}")

    async def messages(self) -> AsyncIterator[Message]:
        """What others say, from login on; ends with the connection."""
        while (message := await self._messages.get()) is not None:
            yield message


def connect(
    address: str, name: str, password: str, *, create: bool = False, reconnect: bool = True,
    tls: ssl.SSLContext | None = None,
) -> Client:  # fmt: skip
    """A client to use as `async with connect(…) as client`.

    create: make the account first if it does not exist. reconnect: come back after a lost
    connection. tls: for `tls://` and `wss://` instead of the default context. Entering raises
    LoginFailed or ConnectionClosed.
    """
    return Client(address, name, password, create, reconnect, tls)


def _text(info: LobbyRules) -> str:
    return orjson.dumps(info.json(show_passcode=True)).decode()
