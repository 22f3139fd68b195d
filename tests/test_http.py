"""HTTP: what pages show to whom, and how much a peer can make the server hold or do."""

import asyncio
import base64
import contextlib
import io
import json
import socket
import time

import numpy as np
import pytest
from PIL import Image

from polypaint import connect
from polypaint.errors import StoreError
from polypaint.net import http as pages
from polypaint.net import http_protocol, pictures, renderer
from polypaint.paint import packets

from .conftest import serving
from .peers import Raw, memory
from .processes import Process, http
from .world import DATE, lobby

RED = b"\xff\0\0\xff"


async def test_http(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]

        async def get(path: str, **headers: str):
            return await asyncio.to_thread(http, web + path, **headers)

        assert await get("/healthz") == (200, b"ok\n")
        assert await get("/readyz") == (200, b"ready\n")
        metrics = (await get("/metrics"))[1]
        for name in (
            b"logged_in",
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
            assert await status(authorization=wrong) == 401


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
        assert await put(picture.getvalue(), "eve") == 401
        assert await put(picture.getvalue(), to=url.replace("/d/", "/e/")) == 404
        assert await put(picture.getvalue()) == 204
        drawing = await joining
        assert (drawing.canvas.pixels == 0xFF008000).all()
        writer.close()


# ---------------------------------------------------------------- heads and bodies
class Browser:
    """An HTTP connection on a bare socket."""

    def __init__(self, web: str, buffer: int | None = None) -> None:
        host, port = web.removeprefix("http://").split(":")
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(15)
        self.socket.connect((host, int(port)))
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> "Browser":
        self.socket.sendall(data)
        return self

    def get(self, path: str, *headers: str) -> "Browser":
        return self.send(
            "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()
        )

    def flood(self, part: bytes, most: int = 2 << 20) -> int:
        """Send this again and again, at most so many bytes; how many the server took."""
        sent = 0
        with contextlib.suppress(ConnectionError, TimeoutError):
            while sent < most:
                self.socket.sendall(part)
                sent += len(part)
        return sent

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next response: status, headers, body. Status 0: the connection is closed."""
        try:
            line = self.file.readline()
        except ConnectionError:
            return 0, {}, b""
        if not line:
            return 0, {}, b""
        headers = {}
        while (header := self.file.readline().decode()) not in ("\r\n", ""):
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = self.file.read(int(headers.get("content-length", 0)))
        return int(line.split()[1]), headers, body


def test_a_head_that_trickles_is_ended(process):
    with Browser(process.web) as slow:
        slow.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        assert slow.answer()[0] == 0
        assert 5 < time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("start", "part", "status"),
    [
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 500, 431),
        (b"GET / HTTP/1.1\r\na: ", b"b" * 4000, 431),
        (b"GET /", b"b" * 4000, 414),
    ],
)
def test_an_endless_head_is_refused(process, start, part, status):
    before = memory(process)
    with Browser(process.web) as endless:
        endless.send(start)
        endless.flood(part)
        with contextlib.suppress(ConnectionError):
            assert endless.answer()[0] in (status, 0)
    with Browser(process.web) as longer:
        longer.send(start).send(part * (20_000 // len(part) + 1)).send(b"\r\n\r\n")
        assert longer.answer()[0] == status
        assert longer.answer()[0] == 0
    assert memory(process) - before < 4 << 20
    assert process.get("/healthz")[0] == 200


def test_too_many_headers_and_what_is_no_request(process):
    for head, status in (
        (b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 64, 200),
        (b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 65, 431),
        (b"\x00\x01 nonsense\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\n", 400),
        (b"POST /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", 411),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n", 400),
        (b"POST /healthz HTTP/1.1\r\nContent-Length: -1\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\n", 404),
    ):
        with Browser(process.web) as one:
            assert one.send(head + b"\r\n").answer()[0] == status, head
    with Browser(process.web) as old:
        assert old.send(b"GET /healthz HTTP/1.0\r\n\r\n").answer()[2] == b"ok\n"
        assert old.answer()[0] == 0
    with Browser(process.web) as head:
        head.send(b"\r\nHEAD /healthz HTTP/1.1\r\n\r\n")
        assert head.file.readline() == b"HTTP/1.1 200 OK\r\n"


def test_pipelined_requests_are_answered_in_order(process):
    with Browser(process.web) as browser:
        browser.get("/healthz").get("/nothing").send(b"GET /readyz HTTP/1.1\r\n")
        assert browser.answer()[0] == 200
        assert browser.answer()[0] == 404
        assert browser.send(b"\r\n").answer()[2] == b"ready\n"
        with Browser(process.web) as other:
            other.get("/healthz", "Connection: close").answer()
            assert other.answer()[0] == 0


def test_pipelined_requests_that_nobody_reads_are_not_kept(process):
    before = memory(process)
    with Browser(process.web, 4096) as browser:
        browser.socket.settimeout(1)
        browser.flood(b"GET /metrics HTTP/1.1\r\n\r\n" * 1000, 16 << 20)
        assert memory(process) - before < 4 << 20
    assert process.get("/healthz")[0] == 200


async def test_one_request_is_begun_in_a_turn_of_the_loop(tmp_path, monkeypatch):
    turns: list[int] = []
    begin = http_protocol.HttpConnection.begin
    turn = 0

    def count() -> None:
        nonlocal turn
        turn += 1
        ticking = asyncio.get_running_loop().call_soon(count)
        if stopped:
            ticking.cancel()

    def begun(self) -> None:
        turns.append(turn)
        begin(self)

    monkeypatch.setattr(http_protocol.HttpConnection, "begin", begun)
    stopped: list[bool] = []
    async with serving(tmp_path) as server:
        browsers = [Browser(server.addresses["web"]) for _ in range(20)]
        for browser in browsers:
            browser.get("/healthz")
        count()
        for browser in browsers:
            assert (await asyncio.to_thread(browser.answer))[0] == 200
            browser.__exit__()
        stopped.append(True)
    assert len(set(turns)) == len(turns) == 20


async def test_half_open_connections_keep_nobody_out(tmp_path, monkeypatch):
    monkeypatch.setattr(http_protocol, "CONNECTIONS_MAX", 10)
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        half_open = [Browser(web) for _ in range(25)]
        for i, browser in enumerate(half_open):
            if i % 2:
                with contextlib.suppress(ConnectionError):
                    browser.send(b"GET / HTTP/1.1\r\n")
        assert await asyncio.to_thread(http, web + "/healthz") == (200, b"ok\n")
        for browser in half_open:
            browser.__exit__()
        while server.ground.connections:
            await asyncio.sleep(0.01)


async def test_http_counts_among_the_connections_of_an_address(tmp_path, monkeypatch):
    async with serving(tmp_path, address_logins_max=3, connections_max=10) as server:
        web = server.addresses["web"]
        monkeypatch.setattr(server.ground, "is_stranger", lambda _address: True)
        browsers = [Browser(web) for _ in range(3)]
        for browser in browsers:
            assert (await asyncio.to_thread(browser.get("/healthz").answer))[0] == 200
        assert server.ground.connections == 3
        with Browser(web) as fourth, Raw(server.addresses["paint"]) as painter:
            assert (await asyncio.to_thread(fourth.answer))[0] == 0
            assert await asyncio.to_thread(painter.at_end)
        browsers.pop().__exit__()
        while server.ground.connections > 2:
            await asyncio.sleep(0.01)
        with Browser(web) as third:
            assert (await asyncio.to_thread(third.get("/healthz").answer))[0] == 200
        for browser in browsers:
            browser.__exit__()


async def test_health_checks_get_in_when_the_server_is_full(tmp_path):
    async with serving(tmp_path, connections_max=1) as server:
        with Raw(server.addresses["paint"]):
            while not server.paint.sessions:
                await asyncio.sleep(0.01)
            assert (await asyncio.to_thread(http, server.addresses["web"] + "/healthz"))[0] == 200


async def test_a_body_that_is_not_wanted_is_not_read(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        await ada.create("d", "pixel")
        auth = f"Authorization: {basic('ada', 'pw')}"
        head = f"PUT /api/lobbies/d/canvas.png HTTP/1.1\r\n{auth}\r\nContent-Length: 60000000\r\n"
        with Browser(server.addresses["web"]) as browser:
            browser.send(head.encode() + b"\r\n")
            status, headers, _ = await asyncio.to_thread(browser.answer)
            assert (status, headers["connection"]) == (409, "close")
            assert (await asyncio.to_thread(browser.answer))[0] == 0
        with Browser(server.addresses["web"]) as browser:
            browser.send(head.encode() + b"Expect: 100-continue\r\n\r\n")
            assert (await asyncio.to_thread(browser.answer))[0] == 409
        asked = server.paint.askings
        asked.is_asked = lambda *_: True
        with Browser(server.addresses["web"]) as browser:
            browser.send(head.encode() + b"\r\n")
            assert (await asyncio.to_thread(browser.answer))[0] == 413
        small = head.replace("60000000", "3000000").encode()
        with Browser(server.addresses["web"]) as one, Browser(server.addresses["web"]) as two:
            one.send(small + b"Expect: 100-continue\r\n\r\n")
            assert (await asyncio.to_thread(one.answer))[0] == 100
            two.send(small + b"\r\n")
            assert (await asyncio.to_thread(two.answer))[0] == 409


# ---------------------------------------------------------------- who asks
async def test_a_wrong_password_is_never_anonymous(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        await ada.create("d")
        web = server.addresses["web"]

        def ask(path: str, authorization: str) -> tuple[int, dict[str, str]]:
            with Browser(web) as browser:
                return browser.get(path, f"Authorization: {authorization}").answer()[:2]

        for path in ("/api/lobbies", "/api/lobbies/d/canvas.png", "/api/lobbies/none/canvas.png"):
            for wrong in (basic("ada", "no"), basic("eve", "pw"), "Basic !", "Basic", "Bearer x"):
                status, headers = await asyncio.to_thread(ask, path, wrong)
                assert (status, headers["www-authenticate"][:5]) == (401, "Basic"), (path, wrong)
        assert (await asyncio.to_thread(ask, "/api/lobbies", basic("ada", "pw")))[0] == 200

        async def away(_name: str) -> bytes:
            raise StoreError("away")

        server.store.password_hash = away
        assert (await asyncio.to_thread(ask, "/api/lobbies", basic("ada", "pw")))[0] == 503


async def test_lists_show_nobody_what_is_not_theirs(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "KEPT_S", -1)
    async with (
        serving(tmp_path, expose_passcodes=True) as server,
        contextlib.AsyncExitStack() as all_,
    ):
        address, web = server.addresses["paint"], server.addresses["web"]
        for name, *rules in (
            ("ada", "stroke", "private", ""),
            ("bob", "stroke", "protected", "sesame"),
            ("eve", "stroke", "public", ""),
        ):
            person = await all_.enter_async_context(connect(address, name, "pw", create=True))
            await person.create(f"{name}'s", *rules)

        async def shown(name: str = "") -> dict[str, list[str] | None]:
            headers = {"authorization": basic(name, "pw")} if name else {}
            status, body = await asyncio.to_thread(http, web + "/api/lobbies", **headers)
            assert status == 200
            assert b"sesame" not in body
            return {x["Filename"]: x.get("Clients") for x in json.loads(body)}

        assert await shown() == {"bob's": None, "eve's": None}
        assert await shown("ada") == {"ada's": ["ada"], "bob's": None, "eve's": ["eve"]}
        assert await shown("bob") == {"bob's": ["bob"], "eve's": ["eve"]}


async def test_passcodes_cannot_be_guessed_fast(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        await ada.create("d", "stroke", "protected", "sesame")
        url = server.addresses["web"] + "/api/lobbies/d/canvas.png?passcode="

        async def guess(passcode: str) -> int:
            return (await asyncio.to_thread(http, url + passcode))[0]

        for _ in range(10):
            assert await guess("sesame") == 200
        guesses = [await guess(f"{x}") for x in range(15)]
        assert guesses[:10] == [404] * 10
        assert guesses[-1] == 429
        assert await guess("sesame") == 429  # or else the answer would tell


# ---------------------------------------------------------------- pictures
async def test_a_picture_is_made_once(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        drawing = await ada.create("d")
        url = "/api/lobbies/d/canvas.png"

        def ask(*headers: str) -> tuple[int, dict[str, str], bytes]:
            with Browser(server.addresses["web"]) as browser:
                return browser.get(url, *headers).answer()

        answers = await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(4)))
        assert {(status, headers["etag"]) for status, headers, _ in answers} == {
            (200, answers[0][1]["etag"])
        }
        loads = 0
        dump_of = server.errands.dump_of

        async def counted(lobby):
            nonlocal loads
            loads += 1
            return await dump_of(lobby)

        server.errands.dump_of = counted
        etag = answers[0][1]["etag"]
        status, headers, body = await asyncio.to_thread(ask, f"If-None-Match: {etag}")
        assert (status, headers["etag"], body) == (304, etag, b"")
        assert (await asyncio.to_thread(ask))[2] == answers[0][2]
        assert loads == 0
        await drawing.add_stroke(0, RED, 9, 9, [(10, 10)])
        status, headers, body = await asyncio.to_thread(ask, f"If-None-Match: {etag}")
        assert (status, loads) == (200, 1)
        assert headers["etag"] != etag
        assert body != answers[0][2]


async def costly(ada, name: str = "costly") -> None:
    """A drawing that takes minutes to be drawn."""
    drawing = await ada.create(name)
    await drawing.resize_canvas(16384, 1024)
    across = [(0, 0), (16384, 1024)]
    await asyncio.gather(
        *(drawing.add_stroke(0, b"\1\2\3\x40", 2, 2, across) for _ in range(3000))
    )


async def test_a_costly_picture_is_ended_and_delays_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(renderer, "LANES_S", (0.5, 1.0))
    async with serving(tmp_path) as server:
        address, web = server.addresses["paint"], server.addresses["web"]
        async with (
            connect(address, "ada", "pw", create=True) as ada,
            connect(address, "bob", "pw", create=True) as bob,
        ):
            await costly(ada)
            await bob.create("small")

            async def status(name: str) -> int:
                return (await asyncio.to_thread(http, f"{web}/api/lobbies/{name}/canvas.png"))[0]

            ended = asyncio.create_task(status("costly"))
            assert await status("small") == 200
            assert await ended == 503
            assert await status("small") == 200


def test_a_picture_that_is_being_made_does_not_delay_the_end(tmp_path):
    process = Process(tmp_path).start()
    ada = Raw(process.paint).login("ada")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    ada.send(packets.RESIZE_CANVAS, 16384, 1024)
    for _ in range(3000):
        ada.send(packets.ADD_STROKE, 0, b"\1\2\3\x40", 2, 2, [[0, 0], [16384, 1024]])
    ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    with Browser(process.web) as browser, Browser(process.web) as other:
        browser.get("/api/lobbies/d/canvas.png")
        other.get("/healthz").answer()
        began = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - began < 10


async def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "PICTURE_BYTES_MAX", 30_000)
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        drawing = await ada.create("d")
        await drawing.add_stroke(0, RED, 9, 9, [(x % 70, x / 300) for x in range(5000)])
        base = server.addresses["web"] + "/api/lobbies/d/canvas."
        for kind, status in (("svg", 413), ("json", 413), ("png", 200)):
            assert (await asyncio.to_thread(http, base + kind))[0] == status


async def test_pictures_that_are_read_slowly_make_room(tmp_path, monkeypatch):
    """Noise of 3.7 MiB; there is room for two such pictures."""
    monkeypatch.setattr(pictures, "ALIVE_BYTES_MAX", 8 << 20)
    monkeypatch.setattr(pictures, "KEPT_BYTES_MAX", 4 << 20)
    async with serving(tmp_path) as server:
        web, address = server.addresses["web"], server.addresses["paint"]
        rng = np.random.default_rng(5)
        readers = []
        async with connect(address, "ada", "pw", create=True) as ada:
            for name in "abc":
                await ada.create(name, "pixel")
                canvas = server.paint.lobbies[name].loaded
                canvas.paint(rng.integers(0, 1 << 32, canvas.pixels.shape, np.uint32))
                readers.append(Browser(web, 4096).get(f"/api/lobbies/{name}/canvas.png"))
                with readers[-1].socket.makefile("rb", 0) as file:
                    status = (await asyncio.to_thread(file.readline)).split()[1]
                assert status == (b"503" if name == "c" else b"200")
        for reader in readers:
            reader.__exit__()


def test_who_reads_nothing_is_closed_and_who_reads_slowly_is_not(tmp_path):
    process = Process(tmp_path, "--slow-seconds", "2").start()
    ada = Raw(process.paint).login("ada")
    ada.send(packets.LOBBY_CREATION, lobby("d", "ada")).next(packets.LOBBY_CREATION)
    for x in range(150):
        ada.send(packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0.123]] * 8000)
    ada.send(packets.LOBBY_FETCH).next(packets.LOBBY_FETCH)
    with Browser(process.web, 4096) as never, Browser(process.web, 4096) as slow:
        never.get("/api/lobbies/d/canvas.json"), slow.get("/api/lobbies/d/canvas.json")
        size = 0
        deadline = time.monotonic() + 40
        while b"closed a slow reader" not in process.log.read_bytes():
            size += len(slow.socket.recv(4096))
            time.sleep(0.02)  # a reader in no hurry
            assert time.monotonic() < deadline
        for _ in range(200):
            assert slow.socket.recv(4096)
        with contextlib.suppress(ConnectionError):
            while data := never.socket.recv(1 << 16):
                size += len(data)
        assert process.log.read_bytes().count(b"closed a slow reader") == 1
    assert process.stop() == 0


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
