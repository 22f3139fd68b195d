"""Pictures of drawings over HTTP: what they show, what they cost, and those that members bring."""

import asyncio
import contextlib
import io
import time

import numpy as np
from PIL import Image

from polypaint import connect
from polypaint.paint import packets
from polypaint.web import pictures, renderer

from .conftest import serving
from .peers import Browser, Raw, basic
from .processes import Process, http
from .world import DATE, lobby

RED = b"\xff\0\0\xff"


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
        asked = server.paint.snapshot_requests
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


async def test_a_picture_is_made_once(tmp_path, monkeypatch):
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
        dump_of = pictures.dump_of

        async def counted(services, lobby):
            nonlocal loads
            loads += 1
            return await dump_of(services, lobby)

        monkeypatch.setattr(pictures, "dump_of", counted)
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


async def test_the_start_of_a_process_is_none_of_a_picture_s_time(tmp_path, monkeypatch):
    """On a busy machine it may take longer than a job may."""
    started = renderer._Process._started

    def late(process):
        child = started(process)
        time.sleep(0.6)
        return child

    monkeypatch.setattr(renderer, "LANES_S", (0.1, 0.1))
    monkeypatch.setattr(renderer._Process, "_started", late)
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        await ada.create("small")
        url = f"{server.addresses['web']}/api/lobbies/small/canvas.png"
        assert (await asyncio.to_thread(http, url))[0] == 200


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
                canvas.paint(rng.integers(0, 1 << 32, canvas.pixels.shape).astype(np.uint32))
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
        server.paint.canvas_queue.heavy = -1
        drawing = await ada.create("d", "pixel")
        filled = [drawing.bucket_fill(1, 1, bytes([x, 0, 0, 255])) for x in range(20)]
        while not server.paint.lobbies["d"].busy:
            await asyncio.sleep(0)
        url = server.addresses["web"] + "/api/lobbies/d/canvas.json"
        assert (await asyncio.to_thread(http, url))[0] == 200
        await asyncio.gather(*filled)
