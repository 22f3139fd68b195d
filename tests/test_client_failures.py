"""What goes wrong for a client: always one of our errors, soon, and with a word on what to do."""

import asyncio
import contextlib
import signal

import pytest

from polypaint import (
    ConnectionClosed,
    LoginFailed,
    MatchRefused,
    PolypaintError,
    connect,
    connect_matches,
    connect_tanks,
)
from polypaint.client import lines, paint, tanks, transports
from polypaint.client.matches import MatchClient
from polypaint.client.paint import Client

from .conftest import serving
from .test_examples import output, start

SOON_S = 20


async def until(condition):
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def answering(answer):
    """The address of a server that says this to whoever connects, and waits; None: hangs up."""

    async def serve(reader, writer):
        if answer is not None:
            writer.write(answer)
            with contextlib.suppress(ConnectionError):
                while await reader.read(4096):
                    pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def draw(address):
    async with connect(address, "ada", "pw", create=True) as ada:
        await ada.lobbies()


async def play(address):
    async with connect_matches(address, "ada", "pw") as ada:
        await ada.open_matches()


async def drive(address):
    async with connect_tanks(address, "ada", "pw", create=True) as ada:
        await ada.available()


ALL = [draw, play, drive]


@pytest.mark.parametrize("use", ALL)
@pytest.mark.parametrize(
    "answer",
    ids=["hangs up", "silent", "HTTP", "zeros", "ones", "an array"],
    argvalues=[
        None,
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\nno\n",
        b"\x00" * 64,
        b"\xff" * 64,
        b"[]\n",
    ],
)
async def test_what_is_no_server_of_ours(monkeypatch, use, answer):
    for module in (lines, paint, tanks):
        monkeypatch.setattr(module, "LOGIN_S", 0.2)
    monkeypatch.setattr(lines, "ANSWER_S", 0.2)
    monkeypatch.setattr(transports, "CONNECT_S", 0.5)
    async with answering(answer) as address:
        for scheme in ("", "ws://"):
            with pytest.raises(PolypaintError):
                async with asyncio.timeout(SOON_S):
                    await use(scheme + address)


@pytest.mark.parametrize("use", ALL)
async def test_the_port_of_another_protocol(tmp_path, monkeypatch, use):
    for module in (lines, paint, tanks):
        monkeypatch.setattr(module, "LOGIN_S", 0.5)
    async with serving(tmp_path) as server:
        right = {draw: "paint", play: "matches", drive: "tanks"}[use]
        for name, address in server.addresses.items():
            address = address.removeprefix("http://")
            if name == right:
                await use(address)
            else:
                with pytest.raises(ConnectionClosed) as error:
                    await use(address)
                assert "port" in str(error.value), name


@pytest.mark.parametrize("use", ALL)
@pytest.mark.parametrize(
    "address", ["", "nonsense", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "http://x:1", "ws://",
                "127.0.0.1:1", "ws://127.0.0.1:1/ws/paint", "tls://127.0.0.1:1", "ws://[::1"],
)  # fmt: skip
async def test_what_is_no_address(use, address):
    with pytest.raises(ConnectionClosed):
        await use(address)


async def test_a_packet_that_the_client_cannot_take_leaves_nobody_waiting(tmp_path, monkeypatch):
    def fail(_client, _packet):
        raise RuntimeError("as planned")

    async with serving(tmp_path) as server:
        address = server.addresses["paint"]
        async with (
            connect(address, "ada", "pw", create=True) as ada,
            connect(address, "bob", "pw", create=True) as bob,
        ):
            drawing = await ada.create("d")
            waiting = [
                asyncio.ensure_future(drawing.wait_for(lambda _canvas: False)),
                asyncio.ensure_future(anext(ada.messages(), None)),
            ]
            monkeypatch.setattr(Client, "_said", fail)
            await bob.say("General", "hello")
            async with asyncio.timeout(SOON_S):
                with pytest.raises(ConnectionClosed, match="as planned"):
                    await waiting[0]
                assert await waiting[1] is None
            with pytest.raises(ConnectionClosed):
                await ada.lobbies()


async def test_a_message_that_the_client_cannot_take_leaves_nobody_waiting(tmp_path, monkeypatch):
    def fail(_client, _message):
        raise RuntimeError("as planned")

    async with (
        serving(tmp_path) as server,
        connect_matches(server.addresses["matches"], "ada", "pw") as ada,
    ):
        match = await ada.create("puissance4")
        changed = asyncio.ensure_future(match.changed())
        await asyncio.sleep(0)
        monkeypatch.setattr(MatchClient, "_hear", fail)
        async with asyncio.timeout(SOON_S):
            with pytest.raises(ConnectionClosed, match="as planned") as error:
                await ada.open_matches()
            assert isinstance(error.value.__cause__, RuntimeError)
            await changed
        assert "as planned" in match.ended


async def test_a_seat_that_is_taken_over_is_not_taken_back(tmp_path):
    async with serving(tmp_path) as server:
        address = server.addresses["matches"]
        web = server.addresses["web"].replace("http", "ws", 1) + "/ws/matches"
        for first_address in (address, web):
            async with (
                connect_matches(first_address, "ada", "pw") as first,
                connect_matches(address, "ada", "pw") as second,
            ):
                mine = await first.create("puissance4")
                again = await second.join(mine.code)
                await until(lambda: first.closed)
                assert "resumed from another connection" in first.closed
                assert mine.ended == first.closed
                with pytest.raises(ConnectionClosed, match="another connection"):
                    await mine.changed()
                await until(lambda: server.context.connections == 1)
                assert not again.ended
                await again.leave()


async def test_a_client_in_the_end_says_why(tmp_path):
    async with serving(tmp_path) as server:
        async with connect(server.addresses["paint"], "ada", "pw", create=True):
            with pytest.raises(LoginFailed, match="no such name and password"):
                await connect(server.addresses["paint"], "ada", "no").open()
        async with connect_matches(server.addresses["matches"], "ada", "no") as ada:
            with pytest.raises(MatchRefused) as refusal:
                await ada.create("puissance4")
            assert refusal.value.code == "identite"


# ---------------------------------------------------------------- the examples
async def test_examples_end_with_one_line(process):
    async with connect(process.paint, "ada", "pw", create=True):
        pass
    nowhere = "127.0.0.1:1"
    wrong = (
        ("watch.py", process.paint, "nothing"),
        ("watch.py", nowhere),
        ("watch.py", process.matches),
        ("draw_bot.py", nowhere),
        ("draw_bot.py", process.tanks),
        ("draw_bot.py", process.paint, "d", "--name", "ada"),
        ("chat_bot.py", process.paint, "--name", "ada", "--password", "no"),
        ("tank_bots.py", nowhere),
        ("tank_bots.py", process.tanks, "nowhere"),
    )
    children = [start(*words) for words in wrong]
    for (name, *arguments), child in zip(wrong, children, strict=True):
        text = await output(child)
        assert child.returncode == 1, (name, arguments, text)
        assert "Traceback" not in text, (name, arguments, text)
        assert text.startswith(f"{name.removesuffix('.py')}: "), text
        assert len(text.splitlines()) == 1, text


async def test_examples_end_at_ctrl_c(process):
    async with connect(process.paint, "ada", "pw", create=True) as ada:
        await ada.create("d")
        children = [
            start("draw_bot.py", process.paint, "d", "--pause", "0"),
            start("watch.py", process.paint, "d"),
            start("chat_bot.py", process.paint),
            start("tank_bots.py", process.tanks),
        ]
        for child in children:
            assert await asyncio.to_thread(child.stdout.readline)
            child.send_signal(signal.SIGINT)
            text = await output(child)
            assert "Traceback" not in text, text
            assert child.returncode == 0


async def test_a_drawing_bot_draws_something_else_each_time(process):
    async with connect(process.paint, "ada", "pw", create=True) as ada:
        drawing = await ada.create("d")
        for seed in ([], [], ["--seed", "1"], ["--seed", "1"]):
            await output(start("draw_bot.py", process.paint, "d", "--turns", "1", "--pause", "0",
                               *seed))  # fmt: skip
        await drawing.wait_for(lambda canvas: len(canvas.strokes) == 4)
        shapes = [stroke[-264:] for stroke in drawing.canvas.strokes]
        assert len(set(shapes)) == 3
