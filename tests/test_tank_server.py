"""Tanks on real servers: TCP and WebSocket, our client and bots, company, `kill -9`, commands."""

import asyncio
import contextlib
import io
import json
import random
import ssl
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from websockets.asyncio.client import connect as connect_websocket

from polypaint import LoginFailed, TankRefused, connect_tanks
from polypaint.bots import tanks as bot
from polypaint.errors import ConnectionClosed
from polypaint.runtime.bot_supervisor import PREFIX
from polypaint.tanks.battle import PLAYED_S
from polypaint.tanks.maps import MAPS

from .conftest import serving
from .processes import Process, http, lasting_port
from .test_client import certificate

SOON_S = 20


async def until(condition):
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.005)


def websocket(server):
    return server.addresses["web"].replace("http", "ws", 1) + "/ws/tanks"


@pytest.mark.both_loops
async def test_a_client_in_the_arena(tmp_path):
    async with serving(tmp_path) as server:
        tcp, ws = server.addresses["tanks"], websocket(server)
        async with (
            connect_tanks(tcp, "ada", "pw", create=True) as ada,
            connect_tanks(ws, "bob", "pw", create=True) as bob,
        ):
            assert ada.maps.keys() == MAPS.keys()
            assert (await ada.available())["tanks"]["lourd"]["price"] == 900
            with pytest.raises(TankRefused, match="not enough coins"):
                await ada.buy("lourd")
            with pytest.raises(TankRefused, match="unknown map"):
                await ada.enter("nowhere")
            mine, theirs = await ada.enter("prairie"), await bob.enter("prairie")
            await until(lambda: len(mine.vehicles) == len(theirs.vehicles) == 2)
            await asyncio.sleep(0.3)
            ada.drive(forward=20, hull=10)
            there = mine.me
            await until(lambda: theirs.vehicles["ada"].pose == there)
            await ada.say("bonjour")
            await until(lambda: list(theirs.chat) == [("ada", "bonjour")])
            with pytest.raises(TankRefused, match="language"):
                await ada.say("idiot")
            async with connect_tanks(tcp, "eve", "pw", create=True) as eve:
                seen = await eve.spectate("prairie")
                assert seen.vehicles.keys() == {"ada", "bob"}
                bob.quit()
                await until(lambda: mine.ended)
                assert (mine.ended or {})["winer"] == "ada"
                await until(lambda: seen.ended)
            assert (ada.xp, ada.coin) == (0, 0)  # bob was hardly there
            with pytest.raises(ConnectionClosed):
                ada.drive(forward=1)
        with pytest.raises(LoginFailed, match="bad credentials"):
            await connect_tanks(tcp, "ada", "no").open()
        await until(lambda: server.context.connections == 0)


async def test_bots_fight_to_the_end(tmp_path):
    async with serving(tmp_path) as server:
        rng = random.Random(4)
        async with contextlib.AsyncExitStack() as stack:
            bots = [
                await stack.enter_async_context(
                    connect_tanks(server.addresses["tanks"], f"b{i}", "pw", create=True)
                )
                for i in range(4)
            ]
            for battle in server.tanks.battles.values():
                battle.arena.life[:] = 0
            playing = [asyncio.create_task(bot.play(b, "prairie", 1, rng, 0.05)) for b in bots]
            await until(lambda: server.tanks.battles["prairie"].alive == 4)
            arena = server.tanks.battles["prairie"].arena
            arena.life[:] = np.minimum(arena.life, 20)  # one hit each, so that it is soon over
            async with asyncio.timeout(60):
                await asyncio.gather(*playing)
            assert server.tanks.counters["kicks"] == 0
            assert sum(b.coin for b in bots) >= 80
        await until(lambda: not server.tanks._results)
        status, body = await asyncio.to_thread(http, server.addresses["web"] + "/api/players")
        assert status == 200
        players = json.loads(body)
        assert len(players) == 4
        assert all(p["victoires"] + p["defaites"] + p["nuls"] == 1 for p in players)
        won, drawn = (sum(p[key] for p in players) for key in ("victoires", "nuls"))
        assert (won, drawn > 1) in ((1, False), (0, True))


async def test_company_comes_and_goes(tmp_path, monkeypatch):
    monkeypatch.setattr("polypaint.runtime.bot_supervisor.LOOK_S", 0.02)
    async with serving(tmp_path, tank_bots=3) as server:
        battle = server.tanks.battles["ville"]
        async with connect_tanks(server.addresses["tanks"], "ada", "pw", create=True) as ada:
            await ada.enter("ville")
            await until(lambda: battle.alive == 3)
            names = {f.name for f in battle.fighting()}
            assert names == {"ada", f"{PREFIX}1", f"{PREFIX}2"}
        await until(lambda: len(server.tanks.sessions) == 0)
        assert [name async for name in accounts(server)] == ["ada"]


async def test_a_bot_that_fails_is_counted_and_another_comes(tmp_path, monkeypatch):
    monkeypatch.setattr("polypaint.runtime.bot_supervisor.LOOK_S", 0.02)
    play, failed = bot.play, []

    async def once(client, map_):
        if not failed:
            failed.append(client)
            raise RuntimeError("injected")
        await play(client, map_)

    monkeypatch.setattr(bot, "play", once)
    async with serving(tmp_path, tank_bots=2) as server:
        async with connect_tanks(server.addresses["tanks"], "ada", "pw", create=True) as ada:
            await ada.enter("ville")
            await until(lambda: server.tanks.battles["ville"].alive == 2)
        assert server.supervisor.errors == {"tank bots": 1}


async def test_company_with_tls(tmp_path, monkeypatch):
    monkeypatch.setattr("polypaint.runtime.bot_supervisor.LOOK_S", 0.02)
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(cafile=cert)
    async with serving(tmp_path / "data", tls_cert=cert, tls_key=key, tank_bots=3) as server:
        address = "tls://" + server.addresses["tanks"]
        async with connect_tanks(address, "ada", "pw", create=True, tls=context) as ada:
            field = await ada.enter("ville")
            await until(lambda: len(field.vehicles) == 3)
            robot = field.vehicles[f"{PREFIX}1"]
            pose = robot.pose
            await until(lambda: robot.pose != pose)
        await until(lambda: len(server.tanks.sessions) == 0)


async def accounts(server):
    """Names of all accounts."""
    for account in await server.store.accounts():
        yield account.name


async def test_maps_over_http(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        for name, map_ in MAPS.items():
            status, body = await asyncio.to_thread(http, f"{web}/maps/{name}-mask.png")
            mask = np.array(Image.open(io.BytesIO(body)))
            assert status == 200
            assert ((mask == 0) == map_.mask).all()
            status, body = await asyncio.to_thread(http, f"{web}/maps/{name}.png")
            assert Image.open(io.BytesIO(body)).size == map_.size
        assert (await asyncio.to_thread(http, f"{web}/maps/nowhere.png"))[0] == 404
        assert (await asyncio.to_thread(http, f"{web}/maps/nowhere-mask.png"))[0] == 404


async def test_websocket_text(tmp_path):
    async with serving(tmp_path) as server:
        ws = await connect_websocket(websocket(server), compression=None)
        await ws.send('{"name":"ada","password":"pw","newuser":True}')
        assert json.loads(await ws.recv())["connection"] is True
        await ws.send('{"requeste":"connect to map","map":"ville","rid":"é"}')
        assert json.loads(await ws.recv())["crid"] == "é"
        await ws.close()


def test_coins_survive_kill_9(tmp_path):
    """Two bots fight, the server dies again and again: what a bot was shown is not taken back."""
    server = Process(tmp_path, "--tanks-port", str(lasting_port())).start()
    shown: dict[str, list[int]] = {"ada": [0], "bob": [0]}

    async def fight(name, quits, stop):
        client = connect_tanks(server.tanks, name, "pw", create=True)
        while True:
            with contextlib.suppress(ConnectionClosed):
                await client.open()
                break
            await asyncio.sleep(0.1)
        while not stop.is_set():
            try:
                shown[name].append(client.coin)
                field = await client.enter("prairie")
                began = None
                while not field.over and not stop.is_set():
                    if len(field.vehicles) == 2 and began is None:
                        began = client.now()
                    if quits and began is not None and client.now() > began + PLAYED_S + 0.3:
                        client.quit()  # the other has won: 100 coins
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(client.changed(), 0.2)
                    shown[name].append(client.coin)
            except (ConnectionClosed, TankRefused):
                await asyncio.sleep(0.05)
        await client.close()

    async def main():
        stop = asyncio.Event()
        fights = [asyncio.create_task(fight(name, name == "ada", stop)) for name in shown]
        for _ in range(3):
            await asyncio.sleep(random.uniform(0.2, 0.6))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        for coins in (100, 200):
            await until(lambda coins=coins: shown["bob"][-1] >= coins)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        stop.set()
        await asyncio.gather(*fights)

    asyncio.run(asyncio.wait_for(main(), 100))
    assert shown["bob"] == sorted(shown["bob"]), "coins were taken back"
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


def command(process, *words):
    argv = [sys.executable, "-m", "polypaint", *words, "--data", str(process.data)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_conduct_is_listed_and_pardoned(tmp_path):
    process = Process(tmp_path).start()

    async def misbehave(times):
        for _ in range(times):
            async with connect_tanks(process.tanks, "ada", "pw", create=True) as ada:
                await ada.enter("prairie")
                ada.drive(fire=-1)
                await until(lambda client=ada: client.closed)
                assert ada.closed == "kicked"

    with pytest.raises(LoginFailed, match="banned"):
        asyncio.run(misbehave(3))
    process.kill()
    shown = command(process, "accounts", "conduct")
    assert "negative fire" in shown.stdout
    assert "ada" in shown.stdout
    assert command(process, "accounts", "pardon", "ada").stdout == "pardoned ada\n"
    again = command(process, "accounts", "pardon", "ada")
    assert again.returncode == 2
    assert "nothing is known" in again.stderr
    process.start()
    asyncio.run(misbehave(1))
    assert process.stop() == 0


def test_a_word_list_of_the_operators(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("[minor]\nchou\n")
    process = Process(tmp_path, "--words", str(words)).start()

    async def speak():
        async with connect_tanks(process.tanks, "ada", "pw", create=True) as ada:
            await ada.enter("prairie")
            await ada.say("idiot")
            with pytest.raises(TankRefused, match="language"):
                await ada.say("chou")

    asyncio.run(speak())
    assert process.stop() == 0
    for text in ("two words\n", None):
        if text is None:
            words.unlink()
        else:
            words.write_text(text)
        broken = Process(tmp_path, "--words", str(words))
        broken.start(wait=False)
        assert broken.child.wait(20) == 2
        assert "word list" in broken.log.read_text()
