"""HTTP: what pages show to whom, and how much a peer can make the server hold or do."""

import asyncio
import base64
import contextlib
import io
import json
import time
from functools import partial

import numpy as np
import pytest
import structlog
from PIL import Image
from starlette.requests import Request

from polypaint import connect
from polypaint.errors import StoreError
from polypaint.net import http_protocol
from polypaint.web import app as pages
from polypaint.web import lobby_api, openapi, session_api, shell, static_files

from .conftest import serving
from .peers import Browser, Raw, basic, memory
from .processes import http

RED = b"\xff\0\0\xff"


async def test_http(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]

        async def get(path: str, **headers: str):
            return await asyncio.to_thread(partial(http, web + path, **headers))  # type: ignore[arg-type]

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
        assert json.loads((await get("/api"))[1])["websocket"] == [
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


async def test_http_keeps_to_the_protection(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        url = server.addresses["web"] + "/api/lobbies/d/canvas.png"

        async def status(suffix: str = "", **headers: str) -> int:
            return (await asyncio.to_thread(partial(http, url + suffix, **headers)))[0]  # type: ignore[arg-type]

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


# ---------------------------------------------------------------- heads and bodies
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
    with Browser(process.web) as last:
        last.send(b"\r\nHEAD /healthz HTTP/1.1\r\n\r\n")
        assert last.file.readline() == b"HTTP/1.1 200 OK\r\n"


def test_pipelined_requests_are_answered_in_order(process):
    with Browser(process.web) as browser:
        browser.get("/healthz").get("/nothing").send(b"GET /readyz HTTP/1.1\r\n")
        assert browser.answer()[0] == 200
        assert browser.answer()[0] == 404
        assert browser.send(b"\r\n").answer()[2] == b"ready\n"
        with Browser(process.web) as other:
            headers = other.get("/healthz", "Connection: close").answer()[1]
            assert headers["connection"] == "close"
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
    begin = http_protocol.HttpProtocol.begin
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

    monkeypatch.setattr(http_protocol.HttpProtocol, "begin", begun)
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
        while server.context.connections:
            await asyncio.sleep(0.01)


async def test_http_counts_among_the_connections_of_an_address(tmp_path, monkeypatch):
    async with serving(tmp_path, address_logins_max=3, connections_max=10) as server:
        web = server.addresses["web"]
        monkeypatch.setattr(server.context, "is_unauthenticated", lambda _address: True)
        browsers = [Browser(web) for _ in range(3)]
        for browser in browsers:
            assert (await asyncio.to_thread(browser.get("/healthz").answer))[0] == 200
        assert server.context.connections == 3
        with Browser(web) as fourth, Raw(server.addresses["paint"]) as painter:
            assert (await asyncio.to_thread(fourth.answer))[0] == 0
            assert await asyncio.to_thread(painter.at_end)
        browsers.pop().__exit__()
        while server.context.connections > 2:
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

        server.store.password_hash = away  # type: ignore[assignment]
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
            status, body = await asyncio.to_thread(partial(http, web + "/api/lobbies", **headers))  # type: ignore[arg-type]
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


# ---------------------------------------------------------------- mistakes of the server
ENDPOINTS = {
    "page": "/",
    "drawing_page": "/d/d",
    "match_page": "/m/CODE",
    "no_page": "/admin",
    "serve": "/static/{hash}/page/main.js",
    "index": "/api",
    "healthz": "/healthz",
    "readyz": "/readyz",
    "metrics": "/metrics",
    "lobbies": "/api/lobbies",
    "open_matches": "/api/matches",
    "ranking": "/api/players",
    "player": "/api/players/ada",
    "map_mask": "/maps/ville-mask.png",
    "map_image": "/maps/ville.png",
    "no_websocket": "/ws/paint",
    "openapi": "/api/openapi.json",
    "docs": "/api/docs",
    "who": "/api/session",
    "sign_in": "POST /api/session",
    "sign_out": "DELETE /api/session",
    "tokens": "/api/session/tokens",
    "revoke_others": "DELETE /api/session/tokens",
    "revoke": "DELETE /api/session/tokens/x",
    "sign_up": "POST /api/accounts",
    "guest": "POST /api/accounts/guest",
    "keep": "PUT /api/account",
    "create": "POST /api/lobbies",
    "own": "/api/me/drawings",
    "about": "/api/lobbies/d",
    "change": "PATCH /api/lobbies/d",
    "delete": "DELETE /api/lobbies/d",
    "canvas": "/api/lobbies/d/canvas.png",
    "upload": "PUT /api/lobbies/d/canvas.png",
    "thumbnail": "/api/lobbies/d/thumbnail.webp",
    "import_file": "POST /api/lobbies/d/import",
}
OWNERS = (
    pages.Pages,
    lobby_api.LobbyApi,
    shell.Shell,
    static_files.StaticFiles,
    openapi.Documents,
    session_api.SessionApi,
)


async def test_a_mistake_in_an_endpoint_is_logged_and_ends_nothing_else(tmp_path, monkeypatch):
    async def broken(self, request: Request) -> None:
        raise RuntimeError("injected: secret")

    for owner in OWNERS:
        for endpoint in ENDPOINTS.keys() & owner.__dict__.keys():
            monkeypatch.setattr(owner, endpoint, broken)
    base = static_files.StaticFiles().base
    async with serving(tmp_path) as server:
        served = pages.Pages(server)
        served.app([])
        asked = {route.endpoint.__name__ for route in served.routes()}
        assert asked == {"broken"}, "an endpoint is not in this test"
        with structlog.testing.capture_logs() as logs, Browser(server.addresses["web"]) as one:
            for path in ENDPOINTS.values():
                method, _, path = path.replace("/static/{hash}", base).rpartition(" ")
                method = method or "GET"
                one.send(f"{method} {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())
                status, _, body = await asyncio.to_thread(one.answer)
                assert (status, b"secret" in body) == (500, False)
                one.again()
        assert server.supervisor.errors == {"http": len(ENDPOINTS)}
        assert [entry["path"] for entry in logs if entry.get("exc_info")]
        assert server.registry.get_sample_value("polypaint_http_errors_total") == len(ENDPOINTS)


async def test_readiness_says_what_is_missing(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]

        async def ready() -> tuple[int, bytes]:
            return await asyncio.to_thread(http, web + "/readyz")

        assert await ready() == (200, b"ready\n")
        server.context.read_only = True
        status, why = await ready()
        assert (status, b"disk" in why) == (503, True)
        server.context.read_only = False
        password_hash = server.store.password_hash

        async def away(_name: str) -> bytes:
            raise StoreError("away")

        server.store.password_hash = away  # type: ignore[assignment]
        status, why = await ready()
        assert (status, b"store" in why) == (503, True)
        server.store.password_hash = password_hash
        server.stopping = True
        status, why = await ready()
        assert (status, b"stopping" in why) == (503, True)
        server.stopping = False


async def test_every_answer_says_how_it_may_be_kept(tmp_path):
    async with serving(tmp_path) as server:
        for path in (*ENDPOINTS.values(), "/nothing", "/" + "x" * 9000):
            method, _, path = path.rpartition(" ")
            with Browser(server.addresses["web"]) as browser:
                browser.send(f"{method or 'GET'} {path} HTTP/1.1\r\n\r\n".encode())
                headers = (await asyncio.to_thread(browser.answer))[1]
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["cache-control"]
