"""Matches on real servers: TCP and WebSocket, our client and bots, `kill -9`, the terminal."""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed as WebSocketClosed

from polypaint import ConnectionClosed, Game, MatchRefused, connect, connect_matches
from polypaint.bots import puissance4 as bot
from polypaint.cli import play
from polypaint.matches.games.puissance4 import Puissance4
from polypaint.matches.match_server import RESULT_S
from polypaint.runtime.server import installed

from .conftest import serving
from .processes import Process, http, lasting_port

ROOT = Path(__file__).parent.parent
SOON_S = 20


async def until(condition):
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.005)


async def bots_play(first, second, games=1, strength=2):
    """Two bots at these addresses; the statuts of both in each game."""
    found = []
    async with connect_matches(first, "ada", "pw") as a, connect_matches(second, "bob", "pw") as b:
        for i in range(games):
            mine = await a.create("puissance4")
            theirs = await b.join(mine.code)
            rng = random.Random(i)
            async with asyncio.timeout(SOON_S):
                found.append(
                    await asyncio.gather(
                        bot.play(mine, strength, rng), bot.play(theirs, strength, rng)
                    )
                )
            await mine.leave()
            await theirs.leave()
    return found


@pytest.mark.both_loops
@pytest.mark.parametrize("kind", ["tcp", "websocket"])
async def test_two_bots_play(tmp_path, kind):
    async with serving(tmp_path) as server:
        tcp = server.addresses["matches"]
        ws = server.addresses["web"].replace("http", "ws", 1) + "/ws/matches"
        address = tcp if kind == "tcp" else ws
        for one, other in await bots_play(address, tcp, games=3):
            assert {one, other} in ({"victoire", "defaite"}, {"nul"})
        await until(lambda: not server.matches.table.matches)
        async with connect_matches(address, "eve", "pw") as eve:
            stats = [await eve.statistics(name) for name in ("ada", "bob")]
            assert [s["victoires"] + s["defaites"] + s["nuls"] for s in stats] == [3, 3]
            assert stats[0]["victoires"] == stats[1]["defaites"]
            assert len(stats[0]["parties"]) == 3
            assert len(await eve.ranking()) == 2
            assert await eve.open_matches() == []
        await until(lambda: server.context.connections == 0)


async def test_the_web_shows_results(tmp_path):
    async with serving(tmp_path) as server:
        address, web = server.addresses["matches"], server.addresses["web"]

        async def get(path):
            status, body = await asyncio.to_thread(http, web + path)
            return json.loads(body) if status == 200 else status

        async with connect_matches(address, "é/a", "pw") as client:
            match = await client.create("puissance4")
            assert [p["code_partie"] for p in (await get("/api/matches"))["parties"]] == [
                match.code
            ]
            async with connect_matches(address, "bob", "pw") as other:
                await (await other.join(match.code)).leave()
            await match.leave()
        await until(lambda: not server.matches.table.matches)
        player = await get("/api/players/%C3%A9/a")
        assert player["victoires"] == 1
        assert player["parties"] == [{"code_partie": match.code, "statut": "victoire"}]
        assert [p["id_publique"] for p in await get("/api/players")] == ["é/a", "bob"]
        assert (await get("/api/players/nobody"))["parties"] == []
        assert await get("/api/players/" + "x" * 70) == 404


async def test_websocket_messages(tmp_path):
    async with serving(tmp_path) as server:
        url = server.addresses["web"].replace("http", "ws", 1) + "/ws/matches"
        async with connect_websocket(url, compression=None) as ws:
            await ws.send('{"requete":"lister","rid":1}')
            answer = await ws.recv()
            assert isinstance(answer, str)
            assert json.loads(answer) == {"reponse": "parties", "parties": [], "rid": 1}
            await ws.send('{"requete":"lister","x":"' + "x" * 4096 + '"}')
            assert json.loads(await ws.recv())["erreur"] == "trop_grand"
            await ws.send("{")
            assert json.loads(await ws.recv())["erreur"] == "json"
            await ws.send(b"{}")
            with pytest.raises(WebSocketClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd.code == 1003
        async with connect_websocket(url, compression=None) as ws:
            await ws.send("x" * 100_000)
            with pytest.raises(WebSocketClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd.code == 1009


async def test_a_seat_is_resumed_by_the_client(tmp_path):
    async with serving(tmp_path) as server:
        address = server.addresses["matches"]
        async with (
            connect_matches(address, "ada", "pw") as ada,
            connect_matches(address, "bob", "pw") as bob,
        ):
            mine = await ada.create("puissance4")
            theirs = await bob.join(mine.code)
            await mine.act(colonne=3)
            ada._transport._writer.transport.abort()
            await until(lambda: not theirs.infos["joueurs"][0]["present"])
            await until(lambda: theirs.infos["joueurs"][0]["present"])
            await theirs.act(colonne=3)
            await until(lambda: mine.seq == 2)
            with pytest.raises(MatchRefused) as refusal:
                await theirs.act(colonne=3)
            assert refusal.value.code == "pas_votre_tour"
            async with connect_matches(address, "eve", "pw") as eve:
                watched = await eve.watch(mine.code)
                seen = []

                async def look():
                    async for message in watched.updates():
                        seen.append(message["reponse"])  # noqa: PERF401

                looking = asyncio.create_task(look())
                await asyncio.sleep(0)
                await mine.act(colonne=3)
                await until(lambda: seen == ["update"])
                looking.cancel()


async def test_a_client_comes_back_when_it_is_cut_off_while_it_comes_back(tmp_path):
    """A server that accepts and hangs up, again and again, before anything is answered."""
    cut, cuts = True, 0
    async with serving(tmp_path) as server:
        host, port = server.addresses["matches"].split(":")

        async def proxy(reader, writer):
            nonlocal cuts
            if cut:
                cuts += 1
                await reader.read(1)
                writer.transport.abort()
                return
            inner, out = await asyncio.open_connection(host, int(port))

            async def copy(source, sink):
                while data := await source.read(4096):
                    sink.write(data)
                sink.close()

            await asyncio.gather(copy(reader, out), copy(inner, writer))

        proxied = await asyncio.start_server(proxy, "127.0.0.1", 0)
        address = f"127.0.0.1:{proxied.sockets[0].getsockname()[1]}"
        cut = False
        async with connect_matches(address, "ada", "pw") as ada:
            match = await ada.create("puissance4")
            cut = True
            ada._transport._writer.transport.abort()
            await until(lambda: cuts >= 3)
            cut = False
            async with connect_matches(server.addresses["matches"], "bob", "pw") as bob:
                await bob.join(match.code)
                await until(lambda: match.state == "EN_COURS")
                assert (await match.act(colonne=1))["seq"] == 1
        proxied.close()


async def test_draw_and_guess_in_a_real_lobby(tmp_path):
    async with serving(tmp_path) as server:
        matches, paint = server.addresses["matches"], server.addresses["paint"]
        async with (
            connect_matches(matches, "ada", "pw") as ada,
            connect_matches(matches, "bob", "pw") as bob,
        ):
            mine = await ada.create("dessin", mots=["phare", "chat"], garder=True)
            theirs = await bob.join(mine.code)
            game_lobby = theirs.game["atelier"]
            assert theirs.game["mot"] is None
            async with connect(paint, "ada", "pw") as pen, connect(paint, "bob", "pw") as eye:
                drawing = await pen.join(game_lobby["salon"], game_lobby["passe"])
                seen = await eye.join(game_lobby["salon"], game_lobby["passe"])
                await drawing.add_stroke(0, bytes(4), 3, 3, [(1, 1), (5, 5)])
                await seen.wait_for(lambda canvas: len(canvas.strokes) == 1)
                await theirs.act(mot="PHARE ? non")
                await theirs.act(mot=mine.game["mot"].upper())
                assert mine.game["dessinateur"] == "bob"
                await seen.wait_for(lambda canvas: not canvas.strokes)
                await seen.add_stroke(0, bytes(4), 3, 3, [(1, 1), (5, 5)])
                await mine.act(mot=theirs.game["mot"])
            assert {mine.statut, theirs.statut} in ({"nul"}, {"victoire", "defaite"})
            status, _ = await asyncio.to_thread(
                http,
                f"{server.addresses['web']}/api/lobbies/{game_lobby['salon']}/canvas.png",
                X_Passcode=game_lobby["passe"],
            )
            assert status == 200


def test_kill_9_again_and_again(tmp_path):
    """Bots play on while the server is killed; what they saw end is what counts, once."""
    server = Process(tmp_path, "--seat-hold", "10", "--matches-port", str(lasting_port())).start()
    seen: dict[str, dict[str, str]] = defaultdict(dict)
    pairs, rounds = 4, 6

    async def pair(i, stop):
        names = (f"a{i}", f"b{i}")
        async with (
            connect_matches(server.matches, names[0], "pw") as a,
            connect_matches(server.matches, names[1], "pw") as b,
        ):
            while not stop.is_set():
                mine = await persist(lambda: a.create("puissance4"))
                theirs = await persist(lambda code=mine.code: b.join(code)) if mine else None
                if mine is None or theirs is None:
                    return  # it could not be begun before a kill: begin another
                statuts = await asyncio.gather(bot.play(mine, 1), bot.play(theirs, 1))
                for name, statut in zip(names, statuts, strict=True):
                    if statut is not None:
                        seen[mine.code][name] = statut
                await persist(mine.leave)
                await persist(theirs.leave)

    async def persist(work):
        async with asyncio.timeout(60):
            while True:
                try:
                    return await work()
                except MatchRefused as refusal:
                    if refusal.code in ("terminee", "non_connecte"):
                        return None
                    # The answer was lost, the seat is ours; or bots are too fast for a moment.
                    assert refusal.code in ("occupe", "debit")
                    await asyncio.sleep(0.05)
                except ConnectionClosed:
                    await asyncio.sleep(0.05)

    async def main():
        stop = asyncio.Event()
        playing = [asyncio.create_task(one_pair(i, stop)) for i in range(pairs)]
        for _ in range(rounds):
            await asyncio.sleep(random.uniform(0.1, 0.6))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.3)
        stop.set()
        await asyncio.gather(*playing)

    async def one_pair(i, stop):
        while not stop.is_set():
            await pair(i, stop)

    asyncio.run(asyncio.wait_for(main(), 100))
    names = [f"{side}{i}" for i in range(pairs) for side in "ab"]

    def counted():
        """code → player → result, each once."""
        found = defaultdict(dict)
        for name in names:
            own = json.loads(server.get(f"/api/players/{name}")[1])
            assert own["victoires"] + own["defaites"] + own["nuls"] == len(own["parties"])
            for result in own["parties"]:
                assert name not in found[result["code_partie"]]
                found[result["code_partie"]][name] = result["statut"]
        return found

    assert len(seen) > pairs
    deadline = time.monotonic() + RESULT_S + SOON_S
    while not all(own.items() <= counted()[code].items() for code, own in seen.items()):
        assert time.monotonic() < deadline, (seen, counted())
        time.sleep(0.1)
    assert all(len(own) == 2 for code, own in counted().items() if code in seen)
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


def test_play_in_the_terminal(process):
    argv = [sys.executable, "-m", "polypaint", "play", "puissance4", "--address", process.matches]
    argv += ["--name", "ada", "--password", "pw"]
    done = subprocess.run(
        [*argv, "--bot", "--strength", "1"],
        input="9\nx\n" + "".join(f"{i % 7 + 1}\n" for i in range(60)) + "q\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "●" in done.stdout
    assert any(end in done.stdout for end in ("You have won!", "You have lost.", "A draw."))
    assert "0…6" not in done.stdout
    again = subprocess.run(
        [*argv, "--bot"], input="q\n", capture_output=True, text=True, timeout=60
    )
    assert again.returncode == 0, again.stdout + again.stderr  # a match of its own
    assert "You have lost." in again.stdout
    refused = subprocess.run([*argv, "--code", "ZZZZZZ"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "no match with this code" in refused.stderr
    wrong = subprocess.run([*argv[:4], "echecs"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "puissance4 can" in wrong.stderr


async def test_the_terminals_bot_has_a_name_that_anybody_may_have(tmp_path, monkeypatch):
    monkeypatch.setattr(play.secrets, "token_hex", lambda _size: "123456")  # type: ignore[attr-defined]
    async with serving(tmp_path) as server:
        address = server.addresses["matches"]
        async with connect_matches(address, "ada", "pw") as ada:
            match = await ada.create("puissance4")
            async with play._opponent(address, match.code, 1):
                await until(lambda: match.state == "EN_COURS")


def test_the_bot_takes_what_wins_and_stops_what_loses():
    rng = random.Random(0)
    game = {"grille": [[None] * 7 for _ in range(6)]}
    for column in range(3):
        game["grille"][5][column] = "me"  # type: ignore[call-overload]
    assert bot.best_column(*bot.boards(game, "me"), 2, rng) == 3
    assert bot.best_column(*bot.boards(game, "you"), 2, rng) == 3
    for strength in (1, 4):
        for seed in range(5):
            assert _beats_chance(strength, random.Random(seed))


def _beats_chance(strength, rng):
    stones, turn = [0, 0], 0
    while True:
        both = stones[0] | stones[1]
        if turn == 0:
            column = bot.best_column(stones[0], stones[1], max(strength, 2), rng)
        else:
            column = rng.choice([c for c in range(7) if not both & bot.TOP[c]])
        stones[turn] |= both + bot.BOTTOM[column] & bot.COLUMN[column]
        if bot.has_four(stones[turn]):
            return turn == 0
        if stones[0] | stones[1] == bot.FULL:
            return True
        turn ^= 1


async def test_a_third_game(tmp_path, monkeypatch):
    """docs/games.md: the example plays, found as an entry point of another package."""
    package = tmp_path / "morpion-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: morpion\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        "[polypaint.games]\nmorpion = morpion:Morpion\nbroken = nothing:Nothing\n"
    )
    (tmp_path / "morpion.py").write_text((ROOT / "examples/morpion.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    assert issubclass(installed()["morpion"], Game)
    async with serving(tmp_path / "data") as server:
        address = server.addresses["matches"]
        async with (
            connect_matches(address, "ada", "pw") as ada,
            connect_matches(address, "bob", "pw") as bob,
        ):
            mine = await ada.create("morpion")
            theirs = await bob.join(mine.code)
            for match, cell in ((mine, 0), (theirs, 3), (mine, 1), (theirs, 4)):
                await match.act(case=cell)
            with pytest.raises(MatchRefused):
                await mine.act(case=3)
            await mine.act(case=2)
            await until(lambda: theirs.statut is not None)
            assert (mine.statut, theirs.statut) == ("victoire", "defaite")


async def test_a_game_that_fails_on_a_real_server(tmp_path, monkeypatch):
    """Its players are told why, keep their connections, and play on; operators can see it."""

    def fail(_game, _player, action, _now_ms):
        raise ZeroDivisionError(action["case"])

    monkeypatch.setattr("polypaint.runtime.server.installed", lambda: {"morpion": Broken, **OURS})
    monkeypatch.setattr(Broken, "act", fail)
    async with serving(tmp_path) as server:
        address = server.addresses["matches"]
        async with (
            connect_matches(address, "ada", "pw") as ada,
            connect_matches(address, "bob", "pw") as bob,
        ):
            mine = await ada.create("morpion")
            theirs = await bob.join(mine.code)
            with pytest.raises(MatchRefused) as refusal:
                await mine.act(case=1)
            assert refusal.value.code == "terminee"
            await until(lambda: theirs.state == "ANNULEE")
            await until(lambda: not server.matches.table.matches)
            again = await ada.create("puissance4")
            await bob.join(again.code)
            await again.act(colonne=3)
            assert server.context.connections == 2
            _, body = await asyncio.to_thread(http, server.addresses["web"] + "/metrics")
            assert b"polypaint_match_games_failed_total 1.0" in body


class Broken(Puissance4):
    name = "morpion"


OURS = {"puissance4": Puissance4}
