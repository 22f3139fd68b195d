"""The Python client against a real server: both transports, both loops, lost connections."""

import asyncio
import contextlib
import ssl
import subprocess
from pathlib import Path

import numpy as np
import pytest

import polypaint
from polypaint import ConnectionClosed, LoginFailed, Outcome, Refused, connect
from polypaint.paint import packets

from .conftest import serving

RED = b"\xff\0\0\xff"


def addresses(server) -> list[str]:
    return [server.addresses["paint"], server.addresses["web"].replace("http", "ws") + "/ws/paint"]


class Proxy:
    """A TCP relay that can cut all connections."""

    def __init__(self, target: str) -> None:
        self.host, port = target.rsplit(":", 1)
        self.port = int(port)
        self.writers: list[asyncio.StreamWriter] = []
        self.open = True
        self.deaf = False
        """Does nothing more come through to the server?"""

    async def start(self) -> str:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def serve(self, reader, writer) -> None:
        if not self.open:
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_connection(self.host, self.port)
        self.writers += [writer, up_writer]
        upwards = self.pipe(reader, up_writer, upwards=True)
        await asyncio.gather(upwards, self.pipe(up_reader, writer, upwards=False))

    async def pipe(self, reader, writer, upwards) -> None:
        try:
            while data := await reader.read(65536):
                if not (upwards and self.deaf):
                    writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def stop(self) -> None:
        self.cut()
        self.server.close()


@pytest.mark.both_loops
@pytest.mark.parametrize("way", [0, 1], ids=["tcp", "websocket"])
async def test_two_people_draw_together(tmp_path, way):
    async with serving(tmp_path) as server:
        address = addresses(server)[way]
        async with (
            connect(address, "ada", "pw", create=True) as ada,
            connect(addresses(server)[0], "bob", "pw", create=True) as bob,
        ):
            mine = await ada.create("d")
            theirs = await bob.join("d")
            assert await mine.add_stroke(0, RED, 3, 3, [(1, 2), (3, 4)]) is Outcome.APPLIED
            drawn = [theirs.add_stroke(0, RED, 1, 1, [(x, x)]) for x in range(50)]
            drawn += [mine.add_stroke(0, RED, 1, 1, [(x, 0)]) for x in range(50)]
            await asyncio.gather(*drawn)
            await mine.settled()
            await theirs.wait_for(lambda c: len(c.strokes) == 101)
            await mine.wait_for(lambda c: len(c.strokes) == 101)
            assert mine.canvas.dump() == theirs.canvas.dump()
            with pytest.raises(Refused):
                await mine.insert_stroke(500, RED, 1, 1, [(0, 0)])
            await theirs.leave()
            with pytest.raises(ConnectionClosed):
                theirs.reset_canvas()
            with pytest.raises(ConnectionClosed):
                await theirs.wait_for(lambda c: False)
            again = await bob.join("d")
            assert again.canvas.dump() == mine.canvas.dump()


async def test_pixels_and_changes(tmp_path):
    async with serving(tmp_path) as server:
        address = addresses(server)[0]
        async with (
            connect(address, "ada", "pw", create=True) as ada,
            connect(address, "bob", "pw", create=True) as bob,
        ):
            mine = await ada.create("d", "pixel")
            theirs = await bob.join("d")
            changes = theirs.changes()
            first = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0)
            await mine.send_points(5, RED, [(10, 10)])
            change = await first
            assert (change.author, change.kind) == ("ada", packets.SEND_POINTS)
            assert np.array_equal(mine.canvas.pixels, theirs.canvas.pixels)
            await mine.create_selection(5, 5, 20, 20, 0)
            await mine.update_selection(50, 50, 20, 20, 45)
            eve_canvas = (await theirs.wait_for(lambda c: bool(c.floating))).floating["ada"]
            assert eve_canvas.angle == 45
            await theirs.leave()
            rest = [change async for change in changes]
            assert len(rest) <= 2


async def test_chat_lobbies_and_protection(tmp_path):
    async with serving(tmp_path) as server:
        address = addresses(server)[1]
        async with (
            connect(address, "ada", "pw", create=True) as ada,
            connect(address, "bob", "pw", create=True) as bob,
        ):
            await ada.join_channel("café")
            await bob.join_channel("café")
            assert {"Name": "café", "Clients": ["ada", "bob"]} in await bob.channels()
            await ada.say("café", "salut; ça va ?")
            message = await anext(bob.messages())
            assert (message.channel, message.author) == ("café", "ada")
            assert message.content == "salut; ça va ?"
            await bob.leave_channel("café")
            await ada.create("d")
            drawing = await bob.join("d")
            await ada.protect("d", "protected", "sesame")
            with pytest.raises(ConnectionClosed):
                await drawing.wait_for(lambda c: False)
            assert "owner" in drawing.kicked
            with pytest.raises(Refused):
                await bob.join("d")
            await bob.join("d", "sesame")
            with pytest.raises(Refused):
                await bob.create("d")
            assert [x["Filename"] for x in await bob.lobbies()] == ["d"]
            assert (await bob.join_or_create("e")).canvas.strokes == []
            await ada.leave()
            await ada.leave()


async def test_wrong_logins(tmp_path):
    async with serving(tmp_path) as server:
        address = addresses(server)[0]
        async with connect(address, "ada", "pw", create=True):
            with pytest.raises(LoginFailed, match="already"):
                await connect(address, "ada", "pw").open()
            with pytest.raises(LoginFailed, match="no such"):
                await connect(address, "ada", "other", create=True).open()
            with pytest.raises(LoginFailed, match="refused"):
                await connect(address, "a\tb", "pw", create=True).open()
    for nowhere in (address, "nonsense", "http://x:1", "ws://127.0.0.1:1/ws/paint"):
        with pytest.raises(ConnectionClosed):
            await connect(nowhere, "ada", "pw").open()


@pytest.mark.both_loops
async def test_a_lost_connection_comes_back(tmp_path):
    async with serving(tmp_path) as server:
        proxy = Proxy(server.addresses["paint"])
        async with (
            connect(await proxy.start(), "ada", "pw", create=True) as ada,
            connect(server.addresses["paint"], "bob", "pw", create=True) as bob,
        ):
            theirs = await bob.create("d")
            mine = await ada.join("d")
            await ada.join_channel("café")
            await mine.add_stroke(0, RED, 1, 1, [(1, 1)])
            proxy.cut()
            for x in range(20):
                await theirs.add_stroke(0, RED, 1, 1, [(x, 2)])
            await mine.wait_for(lambda c: len(c.strokes) == 21)
            assert mine.canvas.dump() == theirs.canvas.dump()
            await mine.add_stroke(0, RED, 1, 1, [(3, 3)])
            await theirs.wait_for(lambda c: len(c.strokes) == 22)
            assert {"Name": "café", "Clients": ["ada"]} in await bob.channels()
            under_way = [mine.add_stroke(0, RED, 1, 1, [(4, x)]) for x in range(5)]
            lost = mine.selected_stroke([0])
            proxy.cut()
            later = mine.add_stroke(0, RED, 1, 1, [(6, 6)])
            assert [f.name for f in await asyncio.gather(*under_way, later)] == ["APPLIED"] * 6
            with pytest.raises(ConnectionClosed):
                await lost
            await theirs.wait_for(lambda c: len(c.strokes) == 28)
            unsure = mine.add_stroke(0, RED, 1, 1, [(7, 7)])
            await theirs.wait_for(lambda c: len(c.strokes) == 29)
            proxy.cut()
            assert await unsure is Outcome.APPLIED
            assert len(mine.canvas.strokes) == 29
        await proxy.stop()


@pytest.mark.both_loops
async def test_what_is_drawn_offline_comes_behind_what_was_under_way(tmp_path):
    async with serving(tmp_path) as server, contextlib.AsyncExitStack() as ending:
        proxy = Proxy(server.addresses["paint"])
        ending.push_async_callback(proxy.stop)  # also when this fails
        async with connect(await proxy.start(), "ada", "pw", create=True) as ada:
            drawing = await ada.create("d")
            await drawing.add_stroke(0, RED, 1, 1, [(0, 0)])
            proxy.deaf, proxy.open = True, False
            drawn = [drawing.add_stroke(0, RED, 1, 1, [(x, 0)]) for x in (1, 2)]
            unknown = drawing.resize_canvas(9, 9)
            proxy.cut()
            async with asyncio.timeout(20):
                while drawing.loaded:
                    await asyncio.sleep(0.005)
            drawn += [drawing.add_stroke(0, RED, 1, 1, [(x, 0)]) for x in (3, 4)]
            resized = drawing.resize_canvas(7, 8)
            proxy.deaf, proxy.open = False, True
            with pytest.raises(ConnectionClosed):
                await unknown
            assert [each.name for each in await asyncio.gather(*drawn, resized)] == ["APPLIED"] * 5
            canvas = await drawing.settled()
            points = [packets.decode(each)[-1].tolist() for each in canvas.strokes]
            assert points == [[[x, 0]] for x in range(5)]
            assert (canvas.length, canvas.width) == (7, 8)


async def test_without_reconnecting_everything_ends(tmp_path):
    async with serving(tmp_path) as server:
        proxy = Proxy(server.addresses["paint"])
        async with connect(await proxy.start(), "ada", "pw", create=True, reconnect=False) as ada:
            drawing = await ada.create("d")
            asking = asyncio.ensure_future(ada.lobbies())
            await asyncio.sleep(0)
            proxy.cut()
            with pytest.raises(ConnectionClosed):
                await asking
            assert [m async for m in ada.messages()] == []
            with pytest.raises(ConnectionClosed):
                drawing.reset_canvas()
            with pytest.raises(ConnectionClosed):
                await ada.say("General", "x")
        await proxy.stop()


async def test_a_drawing_that_is_gone_after_a_lost_connection(tmp_path):
    async with serving(tmp_path) as server:
        proxy = Proxy(server.addresses["paint"])
        async with (
            connect(await proxy.start(), "ada", "pw", create=True) as ada,
            connect(server.addresses["paint"], "bob", "pw", create=True) as bob,
        ):
            await bob.create("d")
            mine = await ada.join("d")
            proxy.open = False
            proxy.cut()
            await bob.protect("d", "private")
            await bob.lobbies()
            await asyncio.sleep(0.3)
            proxy.open = True
            with pytest.raises(ConnectionClosed):
                await mine.wait_for(lambda c: False)
            assert "not for you" in mine.kicked
        await proxy.stop()


def certificate(folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


async def test_tls(tmp_path):
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(cafile=cert)
    async with serving(tmp_path / "data", tls_cert=cert, tls_key=key) as server:
        tcp = "tls://" + server.addresses["paint"]
        web = server.addresses["web"].replace("https", "wss") + "/ws/paint"
        async with (
            connect(tcp, "ada", "pw", create=True, tls=context) as ada,
            connect(web, "bob", "pw", create=True, tls=context) as bob,
        ):
            await (await ada.create("d")).add_stroke(0, RED, 1, 1, [(1, 1)])
            assert len((await bob.join("d")).canvas.strokes) == 1


def test_the_public_names():
    assert set(polypaint.__all__) == {
        "Client", "ConnectionClosed", "Drawing", "LoginFailed", "Message", "Outcome",
        "PolypaintError", "ProtocolError", "Refused", "connect", "Match", "MatchClient",
        "MatchRefused", "connect_matches", "Game", "NotYourTurn",
        "TankClient", "TankRefused", "connect_tanks",
    }  # fmt: skip
    for name in polypaint.__all__:
        assert getattr(polypaint, name)
