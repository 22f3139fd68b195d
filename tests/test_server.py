"""The real server as a process: HTTP, WebSocket, kill -9, a full disk, slow readers, attackers."""

import asyncio
import base64
import contextlib
import io
import json
import os
import random
import resource
import signal
import socket
import struct
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed as WebSocketClosed
from websockets.exceptions import InvalidStatus

from polypaint import _codec, connect
from polypaint.errors import SettingsError, StoreError, StoreFull
from polypaint.paint import packets
from polypaint.server import Server

from .conftest import serving
from .processes import Process, http
from .world import DATE, lobby

RED = b"\xff\0\0\xff"


class Raw:
    """A TCP connection of bytes, with a timeout on everything."""

    def __init__(self, address: str, buffer: int | None = None) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(15)
        self.socket.connect((host, int(port)))
        self.splitter = _codec.Splitter()
        self.packets: list[bytes] = []
        self.name = b""
        Raw.all.append(self)

    all: ClassVar[list["Raw"]] = []

    def send(self, kind, *values) -> "Raw":
        self.socket.sendall(kind.encode_request(DATE, self.name, *values))
        return self

    def next(self, kind=None) -> bytes:
        """The next packet (of this type); b"" at the end."""
        while True:
            while self.packets:
                packet = self.packets.pop(0)
                if kind is None or packet[2] == kind.id:
                    return packet
            data = self.socket.recv(1 << 16)
            if not data:
                return b""
            self.packets += self.splitter.feed(data)

    def login(self, name: str, *, new: bool = True) -> "Raw":
        self.name = name.encode()
        if new:
            self.send(packets.CREATE_ACCOUNT, "pw")
        self.send(packets.CONNECTION, "pw")
        assert packets.decode(self.next(packets.CONNECTION), True) == (0,)
        return self

    def at_end(self) -> bool:
        """Has the server closed the connection?"""
        with contextlib.suppress(ConnectionError):
            while self.next():
                pass
        return True

    def close(self) -> None:
        self.socket.close()


@pytest.fixture(autouse=True)
def close_all():
    """No test leaves a connection behind."""
    yield
    while Raw.all:
        Raw.all.pop().close()


# ---------------------------------------------------------------- HTTP
async def test_http(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]

        async def get(path: str, **headers: str):
            return await asyncio.to_thread(http, web + path, **headers)

        assert await get("/healthz") == (200, b"ok\n")
        assert await get("/readyz") == (200, b"ready\n")
        metrics = (await get("/metrics"))[1]
        for name in (
            b"connections",
            b"packets_total",
            b"match_actions_total",
            b"tank_moves_total",
        ):
            assert b"\npolypaint_%s 0.0\n" % name in metrics
        assert json.loads((await get("/"))[1])["websocket"] == [
            "/ws/paint",
            "/ws/matches",
            "/ws/tanks",
        ]
        assert (await get("/nothing"))[0] == 404
        async with connect(server.addresses["paint"], "ada", "pw", create=True) as ada:
            drawing = await ada.create("d/1 é")
            await drawing.add_stroke(0, RED, 9, 9, [(10, 10), (100, 10)])
            await drawing.add_stroke(0, b"\0\0\xff\x80", 5, 5, [(50, 50)])
            await drawing.add_stroke(0, b"\0\0\xff\x80", 5, 5, [(9e9, 5e9)])
            listing = json.loads((await get("/api/lobbies"))[1])
            assert listing[0]["Filename"] == "d/1 é"
            base = "/api/lobbies/d/1%20%C3%A9/canvas."
            status, png = await get(base + "png")
            image = np.array(Image.open(io.BytesIO(png)))
            assert (status, image.shape) == (200, (720, 1280, 4))
            assert image[10, 50].tolist() == [255, 0, 0, 255]
            assert image[50, 50].tolist() == [127, 127, 255, 255]
            assert b"<polyline" in (await get(base + "svg"))[1]
            document = json.loads((await get(base + "json"))[1])
            assert document["strokes"][0]["points"] == [[10, 10], [100, 10]]
            assert (await get(base + "gif"))[0] == 404
            await drawing.leave()
            while server.paint.lobbies["d/1 é"].canvas is not None:
                await asyncio.sleep(0.01)
            assert (await get(base + "png"))[1] == png
            pixel = await ada.create("p", "pixel")
            await pixel.send_points(20, RED, [(30, 30)])
            await pixel.create_selection(20, 20, 20, 20, 0)
            status, png = await get("/api/lobbies/p/canvas.png")
            assert np.array(Image.open(io.BytesIO(png)))[30, 30].tolist() == [255, 0, 0, 255]
            assert b"data:image/png" in (await get("/api/lobbies/p/canvas.svg"))[1]
            document = json.loads((await get("/api/lobbies/p/canvas.json"))[1])
            assert base64.b64decode(document["png"]) == png


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


async def test_http_keeps_to_the_protection(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        url = server.addresses["web"] + "/api/lobbies/d/canvas.png"

        async def status(suffix: str = "", **headers: str) -> int:
            return (await asyncio.to_thread(http, url + suffix, **headers))[0]

        await ada.create("d", "stroke", "protected", "sesame")
        assert await status() == 404
        assert await status("?passcode=wrong") == 404
        assert await status("?passcode=sesame") == 200
        assert await status(x_passcode="sesame") == 200
        await ada.protect("d", "private")
        await ada.lobbies()
        assert await status("?passcode=sesame") == 404
        assert await status(authorization=basic("ada", "pw")) == 200
        for wrong in (basic("ada", "no"), basic("bob", "pw"), "Basic !", "Basic /w==", "Bearer x"):
            assert await status(authorization=wrong) == 404


async def test_a_client_uploads_its_picture(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "bob", "pw", create=True) as bob,
    ):
        reader, writer = await asyncio.open_connection(*server.addresses["paint"].split(":"))
        name = b"ada"
        text = lobby("d", "ada", "pixel")
        writer.write(
            packets.CREATE_ACCOUNT.encode_request(DATE, name, "pw")
            + packets.CONNECTION.encode_request(DATE, name, "pw")
            + packets.LOBBY_CREATION.encode_request(DATE, name, text)
            + packets.CREATE_SELECTION.encode_request(DATE, name, 0, 0, 5, 5, 0)
            + packets.APPLY_FILTER_SELECTION.encode_request(DATE, name, "sepia")
            + packets.REMOVE_SELECTION.encode_request(DATE, name)
        )
        await reader.readexactly(36)
        while not server.paint.lobbies["d"].loaded.needs_client_snapshot:
            await asyncio.sleep(0.01)
        url = server.addresses["web"] + "/api/lobbies/d/canvas.png"

        async def put(data: bytes, who: str = "ada", to: str = url) -> int:
            headers = {"authorization": basic(who, "pw")}
            return (await asyncio.to_thread(http, to, data, "PUT", **headers))[0]

        picture = io.BytesIO()
        Image.new("RGB", (1280, 720), (0, 128, 0)).save(picture, "PNG")
        small = io.BytesIO()
        Image.new("RGB", (12, 7)).save(small, "PNG")
        assert await put(picture.getvalue()) == 409
        joining = asyncio.ensure_future(bob.join("d"))
        assert (await reader.readexactly(8))[2] == packets.UPDATE_DATABASE.id
        assert await put(b"nonsense") == 400
        assert await put(small.getvalue()) == 400
        assert await put(picture.getvalue(), "bob") == 409
        assert await put(picture.getvalue(), "eve") == 404
        assert await put(picture.getvalue(), to=url.replace("/d/", "/e/")) == 404
        assert await put(picture.getvalue()) == 204
        drawing = await joining
        assert (drawing.canvas.pixels == 0xFF008000).all()
        writer.close()


def test_a_head_that_trickles_and_a_body_that_is_too_large(process, monkeypatch):
    host, port = process.web.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            assert sock.recv(10) == b""
        assert 5 < time.monotonic() - began < 15
    with socket.create_connection((host, int(port)), 20) as sock:
        sock.sendall(b"\x00\x01 nonsense\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 400")


# ---------------------------------------------------------------- WebSocket
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
            assert packets.decode(await sock.recv(), True) == (0,)
            await (await sock.ping())
            await sock.send(one)
            assert packets.decode(await sock.recv(), True) == (0,)


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


# ---------------------------------------------------------------- start and stop
def test_it_stops_in_time_with_everybody_connected(tmp_path):
    process = Process(tmp_path).start()
    people = [Raw(process.paint).login(f"p{i}") for i in range(5)]
    people[0].send(packets.LOBBY_CREATION, lobby("d", "p0"))
    people[0].send(packets.ADD_STROKE, 0, RED, 1, 1, [[1, 1]])
    people[0].send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    began = time.monotonic()
    assert process.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 10
    assert all(person.at_end() for person in people)
    assert "replayed=0" in plain(Process(tmp_path).start())


def plain(process: Process) -> str:
    """The log of a process that is then stopped, without colours."""
    assert process.stop() == 0
    return process.log.read_text()


@pytest.mark.parametrize("durability", ["process", "power"])
def test_what_was_seen_survives_kill_9(tmp_path, durability):
    process = Process(tmp_path, "--durability", durability)
    rng = random.Random(5)
    seen: list[bytes] = []
    for round_ in range(5):
        process.start()
        ada, bob = (Raw(process.paint).login(n, new=round_ == 0) for n in ("ada", "bob"))
        if round_ == 0:
            ada.send(packets.LOBBY_CREATION, lobby("d", "ada"))
            ada.next(packets.LOBBY_CREATION)
        else:
            ada.send(packets.LOBBY_CONNECT, lobby("d"))
            ada.next(packets.LOBBY_FREEZE_STATE)
            ada.next(packets.LOBBY_FREEZE_STATE)
        bob.send(packets.LOBBY_CONNECT, lobby("d"))
        strokes = []
        while (packet := bob.next())[2] != packets.LOBBY_FREEZE_STATE.id or strokes is None:
            if packet[2] == packets.ADD_STROKE.id:
                strokes.append(packet)
        while (packet := bob.next())[2] != packets.LOBBY_FREEZE_STATE.id:
            if packet[2] == packets.ADD_STROKE.id:
                strokes.append(packet)
        assert strokes[: len(seen)] == seen, "something that was seen is lost"
        seen = strokes
        for x in range(rng.randint(20, 200)):
            ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, round_]])
            if rng.random() < 0.3:
                seen.append(bob.next(packets.ADD_STROKE))
        process.kill()
        with contextlib.suppress(ConnectionError, TimeoutError):
            while packet := bob.next(packets.ADD_STROKE):
                seen.append(packet)
        ada.close(), bob.close()
    assert seen
    process.start()
    assert process.stop() == 0
    assert "Traceback" not in process.log.read_text()


def test_a_half_written_journal_is_recovered_and_reported(tmp_path):
    process = Process(tmp_path).start()
    ada = Raw(process.paint).login("ada")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada"))
    for x in range(20):
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0]])
    ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    process.kill()
    wal = process.data / "journal.db-wal"
    content = wal.read_bytes()
    wal.write_bytes(content + content[32 : 32 + 24 + 1000])
    log = plain(process.start())
    assert "half-written" in log
    assert "1024" in log
    process.start()
    bob = Raw(process.paint).login("bob")
    bob.send(packets.LOBBY_CONNECT, lobby("d"))
    bob.next(packets.FETCH_DATABASE)
    for _ in range(20):
        assert bob.next(packets.ADD_STROKE)
    assert process.stop() == 0


async def test_the_data_folder_is_used_once(tmp_path):
    async with serving(tmp_path):
        with pytest.raises(StoreError, match="in use"):
            async with serving(tmp_path):
                pass


async def test_a_port_that_is_taken(tmp_path):
    async with serving(tmp_path / "a") as server:
        port = int(server.addresses["paint"].rsplit(":", 1)[1])
        with pytest.raises(SettingsError, match="--paint-port"):
            async with serving(tmp_path / "b", paint_port=port):
                pass


async def test_a_certificate_that_is_none(tmp_path):
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("x")
    with pytest.raises(SettingsError, match=r"nothing\.pem"):
        async with serving(tmp_path / "data", tls_cert=nothing, tls_key=nothing):
            pass


# ---------------------------------------------------------------- a full disk
def limit_files(process: Process, size: int) -> None:
    """From now on the process can make no file larger than this."""
    assert process.child is not None
    resource.prlimit(process.child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_turns_lobbies_read_only_and_recovers(tmp_path):
    process = Process(tmp_path).start()
    ada, bob = Raw(process.paint).login("ada"), Raw(process.paint).login("bob")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    bob.send(packets.LOBBY_CONNECT, lobby("d"))
    bob.next(packets.LOBBY_FREEZE_STATE), bob.next(packets.LOBBY_FREEZE_STATE)
    ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[0, 0]])
    assert bob.next(packets.ADD_STROKE)
    wal = process.data / "journal.db-wal"
    limit_files(process, wal.stat().st_size)
    for x in range(1, 40):
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0]] * 300)
    assert packets.decode(bob.next(packets.LOBBY_FREEZE_STATE), True) == (1,)
    assert "disk is full" in packets.decode(bob.next(packets.CHANNEL_MESSAGE), True)[0]
    assert process.get("/readyz")[0] == 503
    assert process.get("/healthz")[0] == 200
    limit_files(process, resource.RLIM_INFINITY)
    received = []
    while len(received) < 39:
        packet = bob.next()
        if packet[2] == packets.ADD_STROKE.id:
            received.append(packets.decode(packet)[4][0][0])
    assert received == list(range(1, 40))
    ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[40, 0]])
    assert bob.next(packets.ADD_STROKE)
    process.kill()
    process.start()
    eve = Raw(process.paint).login("eve")
    eve.send(packets.LOBBY_CONNECT, lobby("d")).next(packets.FETCH_DATABASE)
    assert [bool(eve.next(packets.ADD_STROKE)) for _ in range(41)] == [True] * 41
    assert process.stop() == 0


async def test_the_reserve_lets_everybody_go_on_looking(tmp_path):
    async with serving(tmp_path) as server:
        real = server.journal.commit
        room = 0

        def commit(batches):
            if room <= 0:
                raise StoreFull("no room")
            real(batches)

        def use_reserve() -> bool:
            nonlocal room
            room = 1
            return True

        def fill_reserve() -> None:
            if room < 2:
                raise StoreFull("no room")

        server.journal.commit = commit
        server.journal.use_reserve = use_reserve
        server.journal.fill_reserve = fill_reserve
        address = server.addresses["paint"]
        async with connect(address, "ada", "pw", create=True) as ada:
            room = 1
            mine = await ada.create("d")
            await mine.selected_stroke([0]) if mine.canvas.strokes else None
            room = 0
            stroke = mine.add_stroke(0, RED, 1, 1, [(1, 1)])
            async with connect(address, "bob", "pw", create=True) as bob:
                await bob.say("General", "still here")
                assert (await anext(ada.messages())).content.startswith("The server's disk")
                assert (await anext(ada.messages())).content == "still here"
            assert server.ground.read_only
            room = 2
            assert (await stroke).name == "APPLIED"
            await mine.add_stroke(0, RED, 1, 1, [(2, 2)])
            assert not server.ground.read_only


# ---------------------------------------------------------------- slow readers
def memory(process: Process) -> int:
    """Resident bytes."""
    assert process.child is not None
    pages = Path(f"/proc/{process.child.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def test_a_slow_reader_costs_bounded_memory_and_is_closed(tmp_path):
    process = Process(tmp_path, "--slow-seconds", "2").start()
    ada, bob = Raw(process.paint).login("ada"), Raw(process.paint).login("bob")
    slow = Raw(process.paint, buffer=4096).login("slow")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    for other in (bob, slow):
        other.send(packets.LOBBY_CONNECT, lobby("d"))
        other.next(packets.LOBBY_FREEZE_STATE), other.next(packets.LOBBY_FREEZE_STATE)
    for turn in range(60):
        for _ in range(8):
            ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[turn, 0]] * 8000)
            assert bob.next(packets.ADD_STROKE)
        ada.send(packets.RESET_CANVAS)
        bob.next(packets.RESET_CANVAS)
        if turn == 9:
            before = memory(process)
    assert memory(process) - before < 16 << 20
    deadline = time.monotonic() + 10
    while b"polypaint_evicted_total 1.0" not in process.get("/metrics")[1]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[9, 9]])
    assert bob.next(packets.ADD_STROKE)
    assert process.stop() == 0


def test_a_slow_reader_that_wakes_up_sees_the_canvas(process):
    ada = Raw(process.paint).login("ada")
    slow = Raw(process.paint, buffer=4096).login("slow")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    slow.send(packets.LOBBY_CONNECT, lobby("d"))
    slow.next(packets.LOBBY_FREEZE_STATE), slow.next(packets.LOBBY_FREEZE_STATE)
    for x in range(150):
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0]] * 8000)
        ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)  # not all in one turn of the loop
    ada.send(packets.REMOVE_STROKE, list(range(149, 2, -1)))
    ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    slow.next(packets.FETCH_DATABASE)
    for x in range(3):
        assert packets.decode(slow.next(packets.ADD_STROKE))[4][0][0] == x
    assert packets.decode(slow.next(packets.LOBBY_FREEZE_STATE), True) == (0,)


class Frames:
    """A WebSocket on a bare socket, which reads when it is told to and checks every frame."""

    def __init__(self, process, name, buffer=4096):
        host, port = process.web.removeprefix("http://").split(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect((host, int(port)))
        self.socket.sendall(
            b"GET /ws/paint HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.name = name
        self.data = b""
        self.pongs = 0
        self.packets = []
        while b"\r\n\r\n" not in self.data:
            self.data += self.socket.recv(100)
        self.data = self.data.partition(b"\r\n\r\n")[2]
        self.send(packets.CREATE_ACCOUNT, "pw").send(packets.CONNECTION, "pw")

    def frame(self, opcode, data):
        size = (
            bytes([0x80 | len(data)])
            if len(data) < 126
            else b"\xfe" + struct.pack(">H", len(data))
        )
        self.socket.sendall(bytes([0x80 | opcode]) + size + bytes(4) + data)

    def send(self, kind, *values):
        self.frame(2, kind.encode_request(DATE, self.name, *values))
        return self

    def read(self, limit):
        """At most so many bytes."""
        self.data += self.socket.recv(limit)
        while len(self.data) >= 4:
            size, at = self.data[1], 2
            if size == 126:
                size, at = struct.unpack_from(">H", self.data, 2)[0], 4
            if len(self.data) < at + size:
                return
            opcode, payload = self.data[0], self.data[at : at + size]
            self.data = self.data[at + size :]
            assert opcode in (0x82, 0x8A), "the stream is out of step"
            if opcode == 0x8A:
                self.pongs += 1
            else:
                assert len(_codec.split(payload)) == 1
                self.packets.append(payload)


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


# ---------------------------------------------------------------- attackers
def test_attackers_do_not_disturb_honest_people(process):
    rng = random.Random(3)
    ada, bob = Raw(process.paint).login("ada"), Raw(process.paint).login("bob")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    bob.send(packets.LOBBY_CONNECT, lobby("d"))
    bob.next(packets.LOBBY_FREEZE_STATE), bob.next(packets.LOBBY_FREEZE_STATE)
    before = memory(process)
    half_open = [Raw(process.paint) for _ in range(300)]
    for i, sock in enumerate(half_open):
        if i % 3:
            sock.socket.sendall(b"\xff\xff\x0c")
    web = process.web.removeprefix("http://")
    for i in range(60):
        random_bytes = Raw(web if i % 4 == 0 else process.paint)
        with contextlib.suppress(ConnectionError):
            random_bytes.socket.sendall(rng.randbytes(rng.randint(1, 5000)))
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[i, 0]])
        assert packets.decode(bob.next(packets.ADD_STROKE))[4][0][0] == i
        random_bytes.close()
    mallory = Raw(process.paint).login("mallory")
    mallory.send(packets.LOBBY_CONNECT, lobby("d"))
    mallory.next(packets.LOBBY_FREEZE_STATE)
    with contextlib.suppress(ConnectionError):
        for _ in range(60):
            data = rng.randbytes(rng.randint(0, 60))
            head = struct.pack("<HBIB", 8 + len(data), rng.choice((12, 13, 14, 19, 31)), 0, 0)
            mallory.socket.sendall(head + data)
    assert mallory.at_end()
    for sock in half_open:
        assert sock.at_end()
        sock.close()
    ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[99, 0]])
    assert bob.next(packets.ADD_STROKE)
    assert memory(process) - before < 32 << 20


def test_asking_without_reading_costs_bounded_memory(process):
    for i in range(120):
        owner = Raw(process.paint).login(f"owner{i}")
        owner.send(packets.LOBBY_CREATION, lobby(f"{'n' * 100}{i}", f"owner{i}"))
    before = memory(process)
    greedy = Raw(process.paint, buffer=4096).login("greedy")
    one = packets.LOBBY_FETCH.encode_request(DATE, b"greedy")
    greedy.socket.settimeout(1)
    with contextlib.suppress(TimeoutError, ConnectionError):
        for _ in range(50):
            greedy.socket.sendall(one * 4000)
    assert memory(process) - before < 24 << 20
    assert process.get("/healthz")[0] == 200


async def test_power_commits_do_not_block_the_loop(tmp_path):
    async with serving(tmp_path, durability="power") as server:
        address = server.addresses["paint"]
        async with (
            connect(address, "ada", "pw", create=True) as ada,
            connect(address, "bob", "pw", create=True) as bob,
        ):
            mine = await ada.create("d")
            theirs = await bob.join("d")
            await asyncio.gather(*(mine.add_stroke(0, RED, 1, 1, [(x, 1)]) for x in range(300)))
            await theirs.wait_for(lambda c: len(c.strokes) == 300)
            real = server.journal.commit
            failures = 2

            def commit(batches):
                nonlocal failures
                failures -= 1
                if failures >= 0:
                    raise StoreFull("no room")
                real(batches)

            server.journal.commit = commit
            assert (await mine.add_stroke(0, RED, 1, 1, [(5, 5)])).name == "APPLIED"
            await theirs.wait_for(lambda c: len(c.strokes) == 301)


async def test_storing_fails_and_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("polypaint.paint.service.SAVE_AGAIN_S", 0.05)
    async with serving(tmp_path) as server:
        real_save, real_load = server.store.save, server.store.load
        fails = True

        async def save(*arguments) -> None:
            if fails:
                raise StoreFull("no room")
            await real_save(*arguments)

        async def load(number: int):
            if fails:
                raise StoreError("no")
            return await real_load(number)

        server.store.save, server.store.load = save, load
        async with connect(server.addresses["paint"], "ada", "pw", create=True) as ada:
            drawing = await ada.create("d")
            await drawing.add_stroke(0, RED, 1, 1, [(1, 1)])
            await drawing.leave()
            await ada.lobbies()
            await asyncio.sleep(0.1)
            assert server.paint.lobbies["d"].canvas is not None
            fails = False
            while server.paint.lobbies["d"].canvas is not None:
                await asyncio.sleep(0.01)
            fails = True
            with pytest.raises(Exception, match="there is no drawing"):
                await ada.join("d")
            url = server.addresses["web"] + "/api/lobbies/d/canvas.png"
            assert (await asyncio.to_thread(http, url))[0] == 503
            fails = False


async def test_accounts_when_the_store_fails(tmp_path):
    async with serving(tmp_path) as server:

        async def fail(*_):
            raise StoreFull("no room")

        server.store.add_account = server.store.password_hash = fail
        ada = await asyncio.to_thread(Raw, server.addresses["paint"])
        ada.name = b"ada"
        ada.send(packets.CREATE_ACCOUNT, "pw")
        assert packets.decode(await asyncio.to_thread(ada.next), True) == (2,)
        bob = await asyncio.to_thread(Raw, server.addresses["paint"])
        bob.name = b"bob"
        bob.send(packets.CONNECTION, "pw")
        assert packets.decode(await asyncio.to_thread(bob.next), True) == (2,)
        ada.close(), bob.close()


async def test_stopping_twice_as_long_as_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr("polypaint.server.STOP_S", 1.2)
    server_ = None
    async with serving(tmp_path) as server:
        server_ = server

        async def never(*_):
            await asyncio.sleep(60)

        async with connect(server.addresses["paint"], "ada", "pw", create=True) as ada:
            await (await ada.create("d")).add_stroke(0, RED, 1, 1, [(1, 1)])
            server.store.save = never
    assert isinstance(server_, Server)
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "bob", "pw", create=True) as bob,
    ):
        assert len((await bob.join("d")).canvas.strokes) == 1


async def test_a_picture_of_a_busy_lobby_waits(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        server.paint.heavy = -1
        drawing = await ada.create("d", "pixel")
        filled = [drawing.bucket_fill(1, 1, bytes([x, 0, 0, 255])) for x in range(20)]
        while not server.paint.lobbies["d"].busy:
            await asyncio.sleep(0)
        url = server.addresses["web"] + "/api/lobbies/d/canvas.json"
        assert (await asyncio.to_thread(http, url))[0] == 200
        await asyncio.gather(*filled)


def test_many_peers_are_sent_to_at_once(process):
    people = [Raw(process.paint).login(f"p{i}") for i in range(30)]
    people[0].send(packets.LOBBY_CREATION, lobby("d", "p0")).next(packets.LOBBY_CREATION)
    for person in people[1:]:
        person.send(packets.LOBBY_CONNECT, lobby("d"))
        person.next(packets.LOBBY_FREEZE_STATE), person.next(packets.LOBBY_FREEZE_STATE)
    for turn in range(60):
        for i, person in enumerate(people):
            person.send(packets.ADD_STROKE, 0, RED, 1, 1, [[i, turn]])
        time.sleep(0.001)
    for i, person in enumerate(people):
        seen = [packets.decode(person.next(packets.ADD_STROKE)) for _ in range(60 * 29)]
        indices = [values[0] for values in seen]
        assert indices == sorted(indices)
        assert all(values[4][0][0] != i for values in seen)


async def test_a_timer_that_does_nothing_does_not_silence_the_next(tmp_path):
    async with serving(tmp_path) as server:
        rung = asyncio.Event()
        now = server.now()
        server.ground.timers.at(now + 0.05, lambda _now: None)
        server.ground.timers.at(now + 0.15, lambda _now: rung.set())
        server.settle()
        async with asyncio.timeout(5):
            await rung.wait()


def test_the_login_deadline_holds_when_an_earlier_one_was_met(process):
    ada = Raw(process.paint)
    time.sleep(0.3)
    half_open = Raw(process.paint)
    time.sleep(0.2)
    ada.login("ada")
    began = time.monotonic()
    assert half_open.at_end()
    assert time.monotonic() - began < 3
