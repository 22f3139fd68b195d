"""Exceptions that nobody expected, in every effect, handler and timer: the server stays whole."""

import asyncio
import contextlib
import random
import struct
import sys

import orjson
import pytest
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed as WebSocketClosed

from polypaint import connect, connect_matches, connect_tanks
from polypaint.bots import puissance4 as bot
from polypaint.engine import effects
from polypaint.engine.documents import DocumentBuffer, FetchDocument, SaveDocuments
from polypaint.engine.service import declared
from polypaint.errors import PolypaintError
from polypaint.matches import effects as match_effects
from polypaint.matches.messages import REQUESTS, Request
from polypaint.matches.session import MatchSession
from polypaint.matches.session import handles as match_handles
from polypaint.paint import effects as paint_effects
from polypaint.paint import packets
from polypaint.paint.service import PaintService
from polypaint.paint.session import PaintSession
from polypaint.paint.session import handles as paint_handles
from polypaint.runtime.supervisor import TRACEBACKS, Supervisor
from polypaint.tanks.messages import KINDS, Kind, When
from polypaint.tanks.session import handles as tank_handles

from .conftest import serving

SOON_S = 20
RED = b"\xff\x00\x00\xff"
EFFECTS = [
    kind
    for kind in declared()
    if kind.__module__.startswith("polypaint.") and kind is not effects.Unexpected
]

IN_STORE = {
    effects.CheckPassword: "password_hash",
    effects.CreateAccount: "add_account",
    SaveDocuments: "write",
    FetchDocument: "read_one",
    match_effects.CountResult: "count",
    match_effects.ReadRecord: "record",
    match_effects.ReadRanking: "ranking",
    paint_effects.LoadCanvas: "load",
    paint_effects.SaveCanvas: "save",
    paint_effects.RemoveCanvas: "remove",
}
ANSWERED = {
    effects.CheckPassword: (PaintSession, "password_checked"),
    effects.CreateAccount: (PaintSession, "account_created"),
    SaveDocuments: (DocumentBuffer, "saved"),
    paint_effects.LoadCanvas: (PaintService, "canvas_loaded"),
    paint_effects.SaveCanvas: (PaintService, "canvas_saved"),
    paint_effects.RemoveCanvas: (PaintService, "canvas_removed"),
    paint_effects.Work: (PaintService, "worked"),
}


class Injected(Exception):
    """What nobody expects."""


class NotDrawn(PolypaintError):
    """What somebody drew is not there."""


class Once:
    """Raises at the first call, and lets all others through."""

    def __init__(self, real):
        self.real = real
        self.fired = False

    def __call__(self, *args, **kwargs):
        if not self.fired:
            self.fired = True
            raise Injected
        return self.real(*args, **kwargs)

    def __get__(self, instance, owner):
        return (
            self if instance is None else lambda *args, **kwargs: self(instance, *args, **kwargs)
        )


async def until(condition):
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.005)


async def paint_all(server, filename):
    """An account, a drawing that is stored, loaded and removed, and somebody with no password."""
    address = server.addresses["paint"]
    lobby = server.paint.lobbies.get
    async with connect(address, "ada", "pw", create=True) as client:
        drawing = await client.create(filename, "pixel")
        await drawing.bucket_fill(5, 5, RED)
        with contextlib.suppress(PolypaintError):
            await connect(address, "ada", "pw", reconnect=False).open()
    await until(lambda: not lobby(filename).members and lobby(filename).canvas is None)
    async with connect(address, "ada", "pw") as client:
        canvas = await (await client.join(filename)).settled()
        if canvas.pixels[5, 5] != struct.unpack("<I", RED)[0]:
            raise NotDrawn("the fill is not there")
    with contextlib.suppress(PolypaintError):
        await connect(address, "ada", "wrong", reconnect=False).open()
    server.context.effects.append(match_effects.RemoveGameLobby(filename))
    server.run_effects()
    await until(lambda: not server.paint.checkpoints._removing)


async def play_all(server):
    """A match to its end, and what is known of its players."""
    address = server.addresses["matches"]
    async with (
        connect_matches(address, "ada", "pw") as ada,
        connect_matches(address, "bob", "pw") as bob,
    ):
        mine = await ada.create("puissance4")
        theirs = await bob.join(mine.code)
        await asyncio.gather(
            bot.play(mine, 1, random.Random(1)), bot.play(theirs, 1, random.Random(2))
        )
        await mine.leave()
        await theirs.leave()
        await ada.statistics("ada")
        await ada.ranking()


async def drive_all(server):
    async with connect_tanks(server.addresses["tanks"], "tim", "pw", create=True) as tim:
        await tim.available()


async def use_all(server, filename):
    """Do everything that has effects; each part on its own, failures and all."""
    failures = []
    server.context.effects.append(
        match_effects.ArrangeGameLobby("studio", "ada", "code", frozenset(), clear=True)
    )
    server.context.effects.append(match_effects.Trouble("for the log", {}))
    server.context.effects.append(effects.DrawingProblem("for the log", "d", ValueError()))
    server.run_effects()
    for part in (paint_all(server, filename), play_all(server), drive_all(server)):
        try:
            async with asyncio.timeout(SOON_S):
                await part
        except PolypaintError as error:
            failures.append(error)
    server.context.effects.append(match_effects.RemoveGameLobby("studio"))
    server.run_effects()
    return failures


@contextlib.asynccontextmanager
async def injected(tmp_path, monkeypatch):
    """A server in which everything is work for a thread, and which tries again soon."""
    for module in ("paint.checkpoints", "engine.documents"):
        monkeypatch.setattr(f"polypaint.{module}.SAVE_AGAIN_S", 0.02)
    monkeypatch.setattr("polypaint.engine.documents.SAVE_S", 0.02)
    async with serving(tmp_path) as server:
        server.paint.canvas_queue.heavy = 0
        yield server


async def is_whole(server, count=1):
    """Everything works, nothing is waited for, and everything is stored."""
    await until(lambda: sum(server.supervisor.errors.values()) == count)
    assert await use_all(server, "second") == []
    await until(lambda: server.context.connections == 0)
    await until(lambda: not server._unsaved() and not server.effect_runner.under_way)
    assert not server.tanks.sessions
    assert not server.paint.sessions
    assert sum(server.supervisor.errors.values()) == count


@pytest.mark.parametrize("kind", EFFECTS, ids=lambda kind: kind.__name__)
async def test_an_effect_that_cannot_be_begun(tmp_path, monkeypatch, kind):
    async with injected(tmp_path, monkeypatch) as server:
        carriers = server.effect_runner.carriers
        once = Once(carriers[kind])
        monkeypatch.setitem(carriers, kind, once)
        if kind is effects.Rejected:
            async with connect(server.addresses["paint"], "eve", "pw", create=True) as eve:
                eve.send(packets.UNSELECTED_STROKE.encode_request(0, b"", [1]))
                await until(lambda: once.fired)
        if kind is effects.CheckCredentials:
            async with connect_websocket(web(server, "paint")) as ws:
                await ws.send(packets.HELLO.encode_request(0, b"", 1, 0, 0, "a token"))
                await closed(ws)
        await use_all(server, "first")
        await until(lambda: once.fired)
        assert server.supervisor.errors[kind.__name__] == 1
        await is_whole(server)


@pytest.mark.parametrize("kind", IN_STORE, ids=lambda kind: kind.__name__)
async def test_an_effect_that_fails_on_the_way(tmp_path, monkeypatch, kind):
    async with injected(tmp_path, monkeypatch) as server:
        once = Once(getattr(server.store, IN_STORE[kind]))
        monkeypatch.setattr(server.store, IN_STORE[kind], once)
        await use_all(server, "first")
        await until(lambda: once.fired)
        await is_whole(server)


@pytest.mark.parametrize("kind", ANSWERED, ids=lambda kind: kind.__name__)
async def test_an_effect_whose_answer_is_not_handled(tmp_path, monkeypatch, kind):
    owner, name = ANSWERED[kind]
    async with injected(tmp_path, monkeypatch) as server:
        once = Once(getattr(owner, name))
        monkeypatch.setattr(owner, name, once)
        await use_all(server, "first")
        await until(lambda: once.fired)
        await is_whole(server)


@pytest.mark.parametrize(
    "name", ["dump", "snapshot", "apply", "release"], ids=lambda name: f"canvas {name}"
)
@pytest.mark.parametrize("heavy", [0, 1 << 40], ids=["in a thread", "at once"])
async def test_work_on_a_canvas_that_fails(tmp_path, monkeypatch, name, heavy):
    from polypaint.paint.pixels import PixelCanvas

    async with injected(tmp_path, monkeypatch) as server:
        server.paint.canvas_queue.heavy = heavy
        once = Once(getattr(PixelCanvas, name))
        monkeypatch.setattr(PixelCanvas, name, once)
        await use_all(server, "first")
        await until(lambda: once.fired)
        await is_whole(server)


async def test_what_one_effect_raises_does_not_lose_the_next(tmp_path, monkeypatch):
    async with serving(tmp_path) as server:
        done = []

        def errand(effect):
            if effect.what == "first":
                raise Injected
            done.append(effect.what)

        monkeypatch.setitem(server.effect_runner.carriers, match_effects.Trouble, errand)
        for what in ("first", "second"):
            server.context.effects.append(match_effects.Trouble(what, {}))
        server.run_effects()
        assert done == ["second"]
        server.context.effects.append(match_effects.Trouble("third", {}))
        server.run_effects()
        assert done == ["second", "third"]


# ------------------------------------------------------------ handlers
def raising(*_args):
    raise Injected


async def closed(websocket):
    """Why the server has closed this connection."""
    async with asyncio.timeout(SOON_S):
        with contextlib.suppress(WebSocketClosed):
            while True:
                await websocket.recv()
        await websocket.wait_closed()
    return websocket


@contextlib.asynccontextmanager
async def bystander(server):
    """Somebody who draws meanwhile, and can still do so afterwards."""
    async with connect(
        server.addresses["paint"], "bystander", "pw", create=True, reconnect=False
    ) as client:
        drawing = await client.create("elsewhere")
        yield
        await drawing.add_stroke(0, RED, 3, 3, [(1, 1)])
        assert len((await drawing.settled()).strokes) == 1


def web(server, room):
    return server.addresses["web"].replace("http", "ws", 1) + f"/ws/{room}"


LOGINS = {
    False: [
        packets.CREATE_ACCOUNT.encode_request(0, b"ada", "pw"),
        packets.CONNECTION.encode_request(0, b"ada", "pw"),
    ],
    True: [
        packets.CREATE_ACCOUNT.encode_request(0, b"ada", "pw"),
        packets.HELLO.encode_request(0, b"ada", 1, 0, 0, "pw"),
    ],
}
"""Of old clients, and of those that have the extension."""
PAINT_REQUESTS = [kind for kind in packets.PACKETS.values() if kind.id in paint_handles]


@pytest.mark.parametrize("kind", PAINT_REQUESTS, ids=lambda kind: kind.name)
async def test_a_handler_of_paint_that_raises(tmp_path, monkeypatch, kind):
    async with serving(tmp_path) as server, bystander(server):
        async with connect_websocket(web(server, "paint")) as ws:
            if kind.when is not packets.When.LOGIN:
                for each in LOGINS[kind.extension]:
                    await ws.send(each)
                    await ws.recv()
                lobby = orjson.dumps(
                    dict(zip(packets.LOBBY_KEYS, ("d", "ada", "pixel", "public", ""), strict=True))
                )
                await ws.send(packets.LOBBY_CREATION.encode_request(0, b"", lobby.decode()))
                await ws.recv()
            with monkeypatch.context() as patched:
                patched.setitem(paint_handles, kind.id, raising)
                if kind is packets.ADD_STROKE:
                    patched.setattr(server.paint, "add_strokes", raising)
                await ws.send(struct.pack("<HBIB", 8, kind.id, 0, 0))
                reason = await closed(ws)
        assert (reason.close_code, reason.close_reason) == (1011, effects.INTERNAL_ERROR)
        assert server.supervisor.errors == {"PaintSession": 1}
        await until(lambda: server.context.connections == 1)
    assert server.context.connections == 0


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=lambda request: request.name)
async def test_a_handler_of_matches_that_raises(tmp_path, monkeypatch, request_):
    monkeypatch.setattr(Request, "check", lambda _self, _message: None)
    async with serving(tmp_path) as server, bystander(server):
        monkeypatch.setitem(match_handles, request_.name, raising)
        async with connect_websocket(web(server, "matches")) as ws:
            await ws.send(orjson.dumps({"requete": request_.name}).decode())
            reason = await closed(ws)
        assert (reason.close_code, reason.close_reason) == (1011, effects.INTERNAL_ERROR)
        assert server.supervisor.errors == {MatchSession.__name__: 1}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_handler_of_tanks_that_raises(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(Kind, "check", lambda _self, _message: None)
    async with serving(tmp_path) as server, bystander(server):
        async with connect_websocket(web(server, "tanks")) as ws:
            if kind.when is not When.LOGIN:
                login = {"name": "ada", "password": "pw", "newuser": True}
                await ws.send(orjson.dumps(login).decode())
                await ws.recv()
            if kind.when is When.MAP:
                enter = {"requeste": "connect to map", "map": "prairie"}
                await ws.send(orjson.dumps(enter).decode())
                await until(lambda: server.tanks.battles["prairie"].alive == 1)
            monkeypatch.setitem(tank_handles, kind.name, raising)
            message = {"requeste": kind.request} if kind.request else {kind.marks[0]: 1}
            await ws.send(orjson.dumps(message).decode())
            reason = await closed(ws)
        assert (reason.close_code, reason.close_reason) == (1011, effects.INTERNAL_ERROR)
        assert server.supervisor.errors == {"TankSession": 1}
        await until(lambda: not server.tanks.battles["prairie"].alive)


# ------------------------------------------------------------ timers, sending, the bus, the loop
async def test_a_timer_that_raises_takes_no_other_with_it(tmp_path):
    async with serving(tmp_path) as server:
        made = []
        now = server.now()
        server.context.timers.at(now, raising)
        server.context.timers.at(now, made.append)
        server._arm()
        await until(lambda: made)
        server.context.timers.at(server.now(), made.append)
        server._arm()
        await until(lambda: len(made) == 2)
        assert server.supervisor.errors == {"timer": 1}


async def test_a_connection_that_cannot_be_sent_to_ends_alone(tmp_path, monkeypatch):
    async with serving(tmp_path) as server, bystander(server):
        async with connect(server.addresses["paint"], "ada", "pw", create=True) as ada:
            await ada.create("d")
            session = server.paint.presence.holder("ada")
            connection = server._links[session.send_queue.id]
            connection.send = raising
            server.send([session.send_queue])
            assert session.closing == effects.INTERNAL_ERROR
            await until(lambda: server.paint.presence.holder("ada") is not session)
        assert server.supervisor.errors["sending"] == 1


async def test_a_message_between_roles_that_raises_takes_no_other_with_it(tmp_path):
    async with serving(tmp_path) as server:
        after_read = []
        server.bus.join("broken", raising)
        server.bus.join("sound", lambda message, _now: after_read.append(message))
        server.bus.send("broken", {})
        server.bus.send("sound", {"a": 1})
        await until(lambda: after_read)
        assert server.supervisor.errors == {"bus: broken": 1}


async def test_an_error_of_the_loop_is_counted(tmp_path):
    async with serving(tmp_path) as server:
        asyncio.get_running_loop().call_soon(raising)
        await until(lambda: server.supervisor.errors["event loop"] == 1)


async def test_whoever_disconnects_in_a_broken_way_frees_name_and_place(tmp_path, monkeypatch):
    async with serving(tmp_path) as server:
        monkeypatch.setattr(server.paint, "leave", raising)
        async with connect(server.addresses["paint"], "ada", "pw", create=True):
            assert server.context.connections == 1
        await until(lambda: server.context.connections == 0)
        assert server.paint.presence.holder("ada") is None


async def test_errors_are_metrics(tmp_path):
    from prometheus_client import generate_latest

    async with serving(tmp_path) as server:
        server.supervisor.call("here", raising)
        text = generate_latest(server.registry).decode()
        assert 'polypaint_unexpected_errors_total{where="here"} 1.0' in text


async def test_the_same_traceback_is_not_shown_for_ever(capfd):
    from structlog.testing import capture_logs

    supervisor = Supervisor(asyncio.get_running_loop())
    with capture_logs() as lines:
        for _ in range(1000):
            supervisor.call("here", raising)
    assert supervisor.errors["here"] == 1000
    assert 1 <= len(lines) <= TRACEBACKS[1] + 1
    assert isinstance(lines[0]["exc_info"], Injected)


# ------------------------------------------------------------ the end
async def test_a_connection_is_lost_once_when_the_server_stops(tmp_path, monkeypatch):
    lost = []
    async with serving(tmp_path) as server:
        real = PaintSession.lost
        monkeypatch.setattr(
            PaintSession, "lost", lambda self, now: (lost.append(self.name), real(self, now))
        )
        clients = [
            connect(server.addresses["paint"], f"p{i}", "pw", create=True, reconnect=False)
            for i in range(3)
        ]
        for client in clients:
            await client.open()
    assert sorted(lost) == ["p0", "p1", "p2"]
    assert server.context.connections == 0
    for client in clients:
        await client.close()


def test_a_long_computation_does_not_delay_the_end(tmp_path):
    """A thread that computes for a minute when the server is told to stop."""
    import subprocess

    program = f"""
import asyncio, os, signal, sys, time
from polypaint.runtime import server
from polypaint.__main__ import main
real = server.Server.start
async def start(self):
    await real(self)
    self.effect_runner.renderer.run(time.sleep, 60)
    self._loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)
server.Server.start = start
sys.argv = ["polypaint-fast", "--data", {str(tmp_path / "data")!r}, "--paint-port", "0",
    "--matches-port", "0", "--tanks-port", "0", "--web-port", "0", "--bcrypt-rounds", "4"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"stopped" in done.stderr
