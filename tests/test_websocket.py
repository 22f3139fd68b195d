"""WebSockets: the rules of RFC 6455, and how much a peer can make the server do."""

import asyncio
import contextlib
import random
import struct

import pytest
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed as WebSocketClosed
from websockets.exceptions import InvalidStatus

from polypaint.net import websocket
from polypaint.paint import packets
from polypaint.runtime.server import Server

from .conftest import serving
from .peers import Frames, Raw, memory
from .processes import http
from .world import DATE, lobby

RED = b"\xff\0\0\xff"


async def test_websocket_rules(tmp_path):
    async with serving(tmp_path) as server:
        url = server.addresses["web"].replace("http", "ws") + "/ws/paint"
        with pytest.raises(InvalidStatus) as refused:
            await connect_websocket(url.replace("paint", "none"))
        assert refused.value.response.status_code == 404
        one = packets.CONNECTION.encode_request(DATE, b"ada", "pw")

        async def code(*messages) -> int:
            async with connect_websocket(url) as sock:
                try:
                    for message in messages:
                        await sock.send(message)
                    while True:
                        await sock.recv()
                except WebSocketClosed as closed:
                    assert closed.rcvd is not None
                    return closed.rcvd.code

        assert await code("text") == 1003
        assert await code(one + one) == 1007
        assert await code(b"") == 1007
        assert await code(one[:-1]) == 1007
        assert await code(bytes(70_000)) == 1009
        assert await code([bytes(40_000), bytes(40_000)]) == 1009
        assert await code(one) == 1008
        account = packets.CREATE_ACCOUNT.encode_request(DATE, b"ada", "pw")
        async with connect_websocket(url) as sock:
            await sock.send([account[:3], account[3:9], account[9:]])
            assert packets.decode(await sock.recv(decode=False), True) == (0,)
            await (await sock.ping())
            await sock.send(one)
            assert packets.decode(await sock.recv(decode=False), True) == (0,)


async def test_a_websocket_too_many(tmp_path):
    async with serving(tmp_path, connections_max=1) as server:
        url = server.addresses["web"].replace("http", "ws") + "/ws/paint"
        first = Raw(server.addresses["paint"])
        while not server.paint.sessions:
            await asyncio.sleep(0.01)
        async with connect_websocket(url) as sock:
            with pytest.raises(WebSocketClosed) as closed:
                await sock.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        reader, writer = await asyncio.open_connection(*server.addresses["paint"].split(":"))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        first.close()


def test_websocket_frames_stay_whole_whatever_the_socket_takes(process):
    """Direct sends, what they leave over, private answers and pongs, to a reader in no hurry."""
    rng = random.Random(5)
    ada = Raw(process.paint).login("ada")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    slow = Frames(process, b"slow")
    slow.send(packets.LOBBY_CONNECT, lobby("d"))
    while [p[2] for p in slow.packets].count(packets.LOBBY_FREEZE_STATE.id) < 2:
        slow.read(4096)
    drawn = 400
    for x in range(drawn):
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0]] * rng.choice((1, 20, 250)))
        if rng.random() < 0.3:
            slow.frame(9, b"ping")
        if rng.random() < 0.2:
            slow.send(packets.LOBBY_FETCH)
        if rng.random() < 0.5:
            slow.read(rng.choice((10, 1000, 4000)))
        if rng.random() < 0.3:
            ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    slow.socket.settimeout(20)

    def strokes():
        return [p for p in slow.packets if p[2] == packets.ADD_STROKE.id]

    while len(strokes()) < drawn:
        slow.read(65536)
    assert [packets.decode(p)[4][0][0] for p in strokes()] == list(range(drawn))
    assert slow.pongs > 50
    slow.socket.close()


# ---------------------------------------------------------------- close codes
class Bare:
    """A WebSocket of frames as a test makes them, in this event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.reason = ""

    @classmethod
    async def open(cls, server: Server, endpoint: str = "paint", *headers: str) -> "Bare":
        host, port = server.addresses["web"].removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = [
            f"GET /ws/{endpoint} HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version: 13",
            *headers,
        ]
        writer.write("\r\n".join([*head, "", ""]).encode())
        return cls(reader, writer)

    async def status(self) -> int:
        """Of the answer to the handshake."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1])

    def frame(self, opcode: int, data: bytes = b"", *, fin: bool = True) -> "Bare":
        self.writer.write(frame(opcode, data, fin=fin))
        return self

    async def next(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            size = struct.unpack(">H", await self.reader.readexactly(2))[0]
        return first & 15, await self.reader.readexactly(size)

    async def code(self) -> int:
        """With which the server closes it; `reason` says why."""
        while True:
            opcode, payload = await self.next()
            if opcode == CLOSE:
                self.reason = payload[2:].decode()
                return int(struct.unpack(">H", payload[:2])[0])

    async def __aenter__(self) -> "Bare":
        assert await self.status() == 101
        return self

    async def __aexit__(self, *_) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """As a client sends it, under a mask of zeros."""
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    return bytes([(0x80 if fin else 0) | opcode]) + size + bytes(4) + data


async def test_a_frame_that_is_too_large_is_refused_from_its_header(tmp_path):
    async with serving(tmp_path) as server:
        for endpoint, size in (("paint", 65536), ("matches", 65537), ("tanks", 1 << 40)):
            async with await Bare.open(server, endpoint) as peer:
                peer.writer.write(b"\x82\xff" + struct.pack(">Q", size))
                assert await peer.code() == 1009
        async with await Bare.open(server) as peer:
            peer.frame(BINARY, bytes(60_000), fin=False)
            peer.writer.write(b"\x80\xfe" + struct.pack(">H", 5536))
            assert await peer.code() == 1009


async def test_a_server_that_stops_says_that_it_comes_back(tmp_path):
    async with serving(tmp_path) as server:
        account = packets.CREATE_ACCOUNT.encode_request(DATE, b"ada", "pw")
        peers = [await Bare.open(server, endpoint) for endpoint in ("paint", "matches", "tanks")]
        for peer in peers:
            assert await peer.status() == 101
        peers[0].frame(BINARY, account)
        assert (await peers[0].next())[0] == BINARY
    for peer in peers:
        assert await peer.code() == 1012
        peer.writer.close()


async def test_an_exception_that_nobody_expected_is_1011(tmp_path, monkeypatch):
    async with serving(tmp_path) as server:

        def broken(*_: object) -> None:
            raise RuntimeError("injected")

        for endpoint in server.endpoints:
            async with await Bare.open(server, endpoint) as peer:
                while not server.context.connections:
                    await asyncio.sleep(0)
                session = next(iter(server._links.values())).session
                monkeypatch.setattr(session, "receive_message", broken, raising=True)
                peer.frame(TEXT if server.endpoints[endpoint].text else BINARY, b"{}")
                assert await peer.code() == 1011
            while server.context.connections:
                await asyncio.sleep(0.01)
        assert server.supervisor.errors == {"websocket": len(server.endpoints)}


async def test_a_request_is_answered_while_others_wait_for_their_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(websocket.WebSockets, "contended", True)
    async with serving(tmp_path) as server:
        url = server.addresses["web"].replace("http", "ws") + "/ws/paint"
        long = {f"X-Header-{i}": "x" * 100 for i in range(20)}
        async with connect_websocket(url, additional_headers=long, open_timeout=3) as sock:
            await sock.send(packets.CREATE_ACCOUNT.encode_request(DATE, b"ada", "pw"))
            assert packets.decode(await sock.recv(decode=False), True) == (0,)


async def test_text_that_is_not_utf_8_is_1007(tmp_path):
    async with serving(tmp_path) as server:
        for endpoint in ("matches", "tanks"):
            async with await Bare.open(server, endpoint) as peer:
                peer.frame(TEXT, b'{"requete": "\xff"}')
                assert await peer.code() == 1007


async def test_closing_frees_the_name_at_once(tmp_path):
    """Also when the peer neither answers the close frame nor closes."""
    async with serving(tmp_path) as server:
        connection = packets.CONNECTION.encode_request(DATE, b"ada", "pw")
        account = packets.CREATE_ACCOUNT.encode_request(DATE, b"ada", "pw")
        async with await Bare.open(server) as peer:
            peer.frame(BINARY, account).frame(BINARY, connection)
            for _ in range(2):
                assert (await peer.next())[0] == BINARY
            peer.frame(TEXT, b"no")
            assert await peer.code() == 1003
            async with await Bare.open(server) as again:
                again.frame(BINARY, connection)
                assert packets.decode((await again.next())[1], True) == (0,)


# ---------------------------------------------------------------- floods
@pytest.mark.parametrize(
    "flood",
    [
        frame(PING),
        frame(PING, bytes(125)),
        frame(PONG),
        frame(CONT, fin=False),
        frame(PONG) + frame(CONT, fin=False),
    ],
)
async def test_frames_that_cost_nothing_are_limited(tmp_path, monkeypatch, flood):
    """Few are parsed in a turn of the loop, whatever is read, and not many at all."""
    parsed = [0]

    class Counted(websocket.ServerProtocol):  # type: ignore[misc, name-defined]
        def receive_data(self, data):
            before = len(self.events)
            super().receive_data(data)
            parsed[-1] += len(self.events) - before

    def turn() -> None:
        parsed.append(0)
        if not stopped:
            asyncio.get_running_loop().call_soon(turn)

    stopped: list[bool] = []
    monkeypatch.setattr(websocket, "ServerProtocol", Counted)
    async with serving(tmp_path) as server, await Bare.open(server) as peer:
        peer.frame(BINARY, b"", fin=False)
        turn()
        peer.writer.write(flood * 40_000)
        assert await peer.code() == 1008
        assert "empty frames" in peer.reason
        stopped.append(True)
    most = websocket.SLICE_BYTES_MAX // len(frame(PING)) + 1
    assert max(parsed) <= websocket.FRAMES_PER_TURN + most
    assert sum(parsed) <= websocket.CONTROL_BURST * 2 + most


async def test_a_message_has_few_fragments(tmp_path):
    async with serving(tmp_path) as server:
        async with await Bare.open(server) as peer:
            account = packets.CREATE_ACCOUNT.encode_request(DATE, b"ada", "p" * 240)
            peer.frame(BINARY, account[:1], fin=False)
            for byte in account[1:-1]:
                peer.frame(CONT, bytes([byte]), fin=False)
            assert len(account) <= websocket.FRAGMENTS_MAX
            peer.frame(CONT, account[-1:])
            assert packets.decode((await peer.next())[1], True) == (0,)
        async with await Bare.open(server) as peer:
            peer.frame(BINARY, b"a", fin=False)
            for _ in range(websocket.FRAGMENTS_MAX):
                peer.frame(CONT, b"a", fin=False)
            assert await peer.code() == 1008
            assert "fragments" in peer.reason


def test_pongs_that_nobody_reads_are_not_kept(process):
    before = memory(process)
    greedy = Frames(process, b"greedy")
    greedy.socket.settimeout(1)
    with contextlib.suppress(TimeoutError, ConnectionError):
        for _ in range(500):
            greedy.socket.sendall(frame(PING, bytes(125)) * 500)
    assert memory(process) - before < 4 << 20
    greedy.socket.close()


async def test_what_was_sent_in_one_go_is_handled_in_order(tmp_path):
    """More messages than are parsed in a turn, and a login that has to be waited for."""
    async with serving(tmp_path) as server, await Bare.open(server) as peer:
        request = packets.LOBBY_FETCH.encode_request(DATE, b"ada")
        for kind in (packets.CREATE_ACCOUNT, packets.CONNECTION):
            peer.frame(BINARY, kind.encode_request(DATE, b"ada", "pw"))
        for _ in range(300):
            peer.frame(BINARY, request)
        kinds = [(await peer.next())[1][2] for _ in range(302)]
        assert kinds[:2] == [packets.CREATE_ACCOUNT.id, packets.CONNECTION.id]
        assert kinds[2:] == [packets.LOBBY_FETCH.id] * 300


# ---------------------------------------------------------------- pings, origins
async def test_the_server_pings_and_gives_up_who_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(websocket, "PING_S", 0.1)
    async with serving(tmp_path) as server:
        async with await Bare.open(server, "matches") as silent:
            assert [await silent.next() for _ in range(2)] == [(PING, b"")] * 2
            assert await silent.reader.read() in (b"", b"\x89\0")
        async with await Bare.open(server, "matches") as polite:
            for _ in range(6):
                assert await polite.next() == (PING, b"")
                polite.frame(PONG)


async def test_a_page_of_another_site_cannot_use_a_cookie(tmp_path):
    async with serving(tmp_path, origins="https://a.example, https://b.example") as server:
        own = server.addresses["web"]
        for origin, cookie, status in (
            (own, True, 101),
            ("https://b.example", True, 101),
            ("https://c.example", True, 403),
            ("https://c.example", False, 101),
            ("null", True, 403),
            (None, True, 101),
        ):
            headers = [f"Origin: {origin}"] if origin else []
            headers += ["Cookie: session=1"] if cookie else []
            peer = await Bare.open(server, "paint", *headers)
            assert await peer.status() == status, origin
            peer.writer.close()


async def test_an_upgrade_that_was_forgotten(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        status, body = await asyncio.to_thread(http, web + "/ws/paint")
        assert (status, b"Upgrade: websocket" in body) == (426, True)
        assert (await asyncio.to_thread(http, web + "/ws/none"))[0] == 404
