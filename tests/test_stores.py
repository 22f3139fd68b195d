"""One contract, every store: what `polypaint.store.Store` promises, on SQLite and on MongoDB.

The database is real: mongod, or FerretDB, which `ci/ferretdb` builds.
"""

import asyncio
import dataclasses
import inspect
import json
import os
import random
import re
import secrets
from collections.abc import Callable
from functools import reduce
from typing import cast

import orjson
import pytest

from polypaint import connect, connect_matches
from polypaint.bots import puissance4 as bot
from polypaint.errors import LoginFailed, StoreDamaged, StoreError
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.store import (
    Counted,
    Journal,
    PlayerRecord,
    Sizes,
    Store,
    StoredAccount,
    StoredLobby,
    StoredResult,
)
from polypaint.store import mongo as mongo_module
from polypaint.store import sqlite_store as sqlite_module
from polypaint.store.mongo import MongoStore
from polypaint.store.sqlite_store import SqliteStore

from .processes import Process
from .world import MemoryJournal, MemoryStore

INFO = LobbyRules("d", "ada", "stroke", "protected", "x")


def sqlite_store(tmp_path, _request):
    return SqliteStore(tmp_path / f"{secrets.token_hex(4)}.db")


def mongo_store(_tmp_path, request):
    return MongoStore(request.getfixturevalue("mongo").uri(f"t{secrets.token_hex(6)}"))


MAKERS = {"sqlite": sqlite_store, "mongodb": mongo_store}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(mongo_module, "RANKED_S", -1)


@pytest.fixture(params=MAKERS)
async def store(tmp_path, request):
    store = MAKERS[request.param](tmp_path, request)
    await store.start()
    await store.start()  # what is there already does no harm
    yield store
    await store.close()


def test_the_stores_in_memory_keep_the_contracts():
    """What the simulations run on has every method, with the same parameters."""
    for contract, made in ((Store, MemoryStore()), (Journal, MemoryJournal())):
        members = {n for n in vars(contract) if not n.startswith("_")} | set(
            contract.__annotations__
        )
        for name in members:
            ours, theirs = getattr(made, name), getattr(contract, name, None)
            if inspect.isfunction(theirs):
                expected = list(inspect.signature(theirs).parameters)[1:]
                assert list(inspect.signature(ours).parameters) == expected, name


async def test_accounts(store):
    assert await store.password_hash("ada") is None
    assert await store.add_account("ada", b"\x00hash\xff", 1.5)
    assert not await store.add_account("ada", b"other", 2)
    assert await store.password_hash("ada") == b"\x00hash\xff"
    assert await store.set_password("ada", b"new")
    assert not await store.set_password("bob", b"new")
    assert await store.password_hash("ada") == b"new"
    assert await store.add_account("é.$x", b"h", 2)
    assert await store.accounts() == [
        StoredAccount("ada", 1.5, b"new"), StoredAccount("é.$x", 2, b"h"),
    ]  # fmt: skip
    assert await store.sizes() == Sizes(2, 0, 0, 0)


async def test_drawings(store, monkeypatch):
    monkeypatch.setattr(sqlite_module, "PART_BYTES", 100)
    monkeypatch.setattr(mongo_module, "PART_BYTES", 100)
    blobs = [os.urandom(500), b"", b"x"]
    await store.save(StoredLobby(3, INFO, 7), {"a": 1}, blobs, 0)
    assert await store.lobbies() == [StoredLobby(3, INFO, 7)]
    assert await store.load(3) == ({"a": 1}, blobs)
    changed = INFO.protected("public", "")
    await store.save(StoredLobby(3, changed, 8), {}, [], 0)
    assert await store.lobbies() == [StoredLobby(3, changed, 8)]
    assert await store.load(3) == ({"a": 1}, blobs)
    await store.save(StoredLobby(3, changed, 9), {"b": [None, 1.5]}, [b"y"], 0)
    assert await store.load(3) == ({"b": [None, 1.5]}, [b"y"])
    await store.save(StoredLobby(3, changed, 10), {"b": 2}, [], 0)
    assert await store.load(3) == ({"b": 2}, [])
    with pytest.raises(StoreError, match="no drawing number 4"):
        await store.load(4)
    assert await store.check() == []
    await store.remove(3)
    await store.remove(3)
    assert await store.lobbies() == []


async def test_a_drawing_of_more_than_16_mib(store):
    blobs = [os.urandom(20 << 20)]
    await store.save(StoredLobby(1, INFO, 1), {"a": 1}, blobs, 0)
    assert (await store.load(1))[1] == blobs


async def test_documents(store):
    await store.write({("k", "2"): b'{"a":1}', ("k", "1"): b"{}", ("other", "1"): b"[]"})
    assert await store.read("k") == [("1", b"{}"), ("2", b'{"a":1}')]
    await store.write({("k", "1"): None, ("k", "2"): b'{"$a.b":2}', ("k", "none"): None})
    assert await store.read("k") == [("2", b'{"$a.b":2}')]
    assert await store.read_one("k", "2") == b'{"$a.b":2}'
    assert await store.read_one("k", "1") is None
    assert await store.read("nothing") == []
    await store.write({})
    many = {("m", f"{i:05}"): b"%d" % i for i in range(2500)}
    await store.write(many)
    assert len(await store.read("m")) == 2500
    assert await store.read("m", "02490", 3) == [
        ("02491", b"2491"), ("02492", b"2492"), ("02493", b"2493"),
    ]  # fmt: skip
    assert await store.read("m", "02498") == [("02499", b"2499")]
    assert await store.read("m", None, 1) == [("00000", b"0")]
    assert await store.kinds() == ["k", "m", "other"]
    assert (await store.sizes()).documents == 2502


def nested(wrap: Callable[[object], object]) -> object:
    """Something within something, 150 deep."""
    return reduce(lambda inner, _: wrap(inner), range(150), cast(object, 1))


VALUES = [
    {}, {"a": {"b": [1, 2.5, None, True, "x"]}}, [], "text", 0, -1, 1.0, 5e-324, 2**53 + 1,
    2**63 - 1, -(2**63), 2**64 - 1, {"": 1}, {"$x": 1}, {"a.b": {"c": 1}}, {"a": {"$": 1}},
    {"nul\0": "\0"}, {"é": "\U0001f600"}, {"_id": 1, "kind": 2}, [[[[]]]],
    nested(lambda inner: {"x": inner}), nested(lambda inner: [inner]),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
async def test_any_json_comes_back_as_it_was(store, value):
    body = orjson.dumps(value)
    await store.write({("k", "1"): body})
    assert await store.read_one("k", "1") == body
    assert await store.read("k") == [("1", body)]


async def test_results(store):
    assert await store.count("C", "ada", "victoire", 1) == (Counted.NEW, {"ada"})
    assert await store.count("C", "ada", "victoire", 2) == (Counted.AGAIN, {"ada"})
    assert await store.count("C", "ada", "nul", 2) == (Counted.CONFLICT, {"ada"})
    assert await store.count("C", "bob", "defaite", 1) == (Counted.NEW, {"ada", "bob"})
    assert await store.count("D", "ada", "nul", 3) == (Counted.NEW, {"ada"})
    history = (("D", "nul"), ("C", "victoire"))
    assert await store.record("ada") == PlayerRecord("ada", 1, 0, 1, history)
    assert await store.record("eve") == PlayerRecord("eve")
    await store.count("E", "cyd", "victoire", 4)
    assert await store.ranking(2) == [
        PlayerRecord("ada", 1, 0, 1), PlayerRecord("cyd", 1, 0, 0),
    ]  # fmt: skip
    assert [r.player for r in await store.ranking(10)] == ["ada", "cyd", "bob"]


async def test_results_in_pages(store):
    told = [("C", "bob"), ("C", "é"), ("D", "ada"), ("D", "bob")]
    for i, (code, player) in enumerate(reversed(told)):
        await store.count(code, player, "nul", i)
    await store.count("D", "ada", "victoire", 9)
    assert await store.results(("", ""), 10) == [
        StoredResult(code, player, "nul", 3 - i) for i, (code, player) in enumerate(told)
    ]
    assert [r.player for r in await store.results(("C", "bob"), 2)] == ["é", "ada"]
    assert await store.results(("D", "bob"), 2) == []
    assert await store.conflicts() == [StoredResult("D", "ada", "victoire", 9)]
    assert await store.sizes() == Sizes(0, 0, 0, 4)


async def test_a_store_knows_itself(store):
    assert len(await store.identity()) == 24
    await store.start()
    assert await store.identity() == await store.identity()


async def test_the_same_result_at_the_same_time_counts_once(store):
    outcomes = await asyncio.gather(*(store.count("C", "ada", "nul", 1) for _ in range(20)))
    assert sorted(o.value for o, _ in outcomes) == ["compte", *["doublon"] * 19]


@pytest.mark.parametrize("seed", range(5))
async def test_both_stores_do_the_same(tmp_path, request, seed):
    """Driven with the same operations, they hold the same."""
    stores = [make(tmp_path, request) for make in MAKERS.values()]
    for store in stores:
        await store.start()
    rng = random.Random(seed)
    names = ["ada", "bob", "é"]
    for step in range(120):
        match rng.randrange(7):
            case 0:
                arguments = (rng.choice(names), rng.randbytes(5))
                work = [s.add_account(*arguments, step) for s in stores]
            case 1:
                arguments = (rng.choice(names), rng.randbytes(5))
                work = [s.set_password(*arguments) for s in stores]
            case 2:
                number = rng.randrange(1, 4)
                lobby = StoredLobby(number, LobbyRules(f"d{number}", "a", "s", "public", ""), step)
                blobs = [rng.randbytes(rng.randrange(50)) for _ in range(rng.randrange(3))]
                work = [s.save(lobby, {"step": step}, blobs, step) for s in stores]
            case 3:
                number = rng.randrange(1, 4)
                work = [s.remove(number) for s in stores]
            case 4:
                body = rng.choice([None, b'{"s":%d}' % step])
                changes = {(rng.choice("kl"), rng.choice(names)): body}
                work = [s.write(changes) for s in stores]
            case _:
                result = (
                    f"C{rng.randrange(8)}",
                    rng.choice(names),
                    rng.choice(["nul", "defaite"]),
                )
                work = [s.count(*result, step) for s in stores]
        one, other = [await w for w in work]
        assert one == other
    for look in (
        lambda s: s.lobbies(), lambda s: s.read("k"), lambda s: s.read("l"),
        lambda s: s.ranking(10), *(lambda s, n=n: s.record(n) for n in names),
        *(lambda s, n=n: s.password_hash(n) for n in names),
    ):  # fmt: skip
        assert await look(stores[0]) == await look(stores[1])
    for lobby in await stores[0].lobbies():
        assert await stores[0].load(lobby.number) == await stores[1].load(lobby.number)
    for store in stores:
        await store.close()


async def test_a_newer_database_is_refused(mongo):
    store = MongoStore(mongo.uri("newer"))
    await store.start()
    await store._db.schema.replace_one({"_id": "polypaint"}, {"_id": "polypaint", "version": 99})
    with pytest.raises(StoreError, match="another version"):
        await store.start()
    await store.close()


async def test_documents_of_version_1_become_bson(mongo):
    store = MongoStore(mongo.uri(f"t{secrets.token_hex(6)}"))
    await store._db.schema.insert_one({"_id": "polypaint", "version": 1})
    for i, body in enumerate(['{"xp":3}', '{"$x":1}']):
        document = {"_id": f"char:{i}", "kind": "char", "key": str(i), "body": body}
        await store._db.documents.insert_one(document)
    await store.start()
    assert await store.read("char") == [("0", b'{"xp":3}'), ("1", b'{"$x":1}')]
    assert await store._db.documents.find_one({"value.xp": 3}, {"key": 1}) == {
        "_id": "char:0", "key": "0",
    }  # fmt: skip
    assert await store._db.documents.find_one({"body": {"$exists": True}}) is None
    assert len(await store.identity()) == 24
    await store.close()


async def test_every_damaged_drawing_in_mongodb_is_named(mongo):
    """Whatever is wrong with one, the check goes on with the next."""
    store = MongoStore(mongo.uri(f"t{secrets.token_hex(6)}"))
    await store.start()
    for number in range(1, 6):
        info = dataclasses.replace(INFO, filename=f"d{number}")
        await store.save(StoredLobby(number, info, 1), {"a": number}, [os.urandom(50)], 0)
    assert await store.check() == []
    lobbies, parts = store._db.lobbies, store._db.parts
    await parts.delete_one({"number": 1})
    await parts.update_one({"number": 2}, {"$set": {"data": b"other"}})
    await lobbies.update_one({"_id": 3}, {"$unset": {"save": 1}})
    await lobbies.update_one({"_id": 4}, {"$set": {"meta": '{"a": 5}'}})
    found = await store.check()
    assert [re.findall(r"number (\d)", line)[0] for line in found] == ["1", "2", "3", "4"]
    with pytest.raises(StoreDamaged):
        await store.load(3)
    await store.close()


# ---------------------------------------------------------------- a server on it
async def play_and_draw(server, name):
    async with connect(server.paint, name, "pw", create=True) as client:
        drawing = await client.join_or_create("d")
        await drawing.add_stroke(0, bytes(4), 3, 3, [(1, 1), (5, 5)])
        return len((await drawing.settled()).strokes)


def test_a_server_on_mongodb(tmp_path, mongo):
    uri = mongo.uri("server")
    server = Process(tmp_path, "--store", uri).start()
    assert asyncio.run(play_and_draw(server, "ada")) == 1

    async def match():
        async with (
            connect_matches(server.matches, "ada", "pw") as ada,
            connect_matches(server.matches, "bob", "pw") as bob,
        ):
            mine = await ada.create("puissance4")
            theirs = await bob.join(mine.code)
            statuts = await asyncio.gather(bot.play(mine, 1), bot.play(theirs, 1))
            await mine.leave()
            await theirs.leave()
            return statuts

    assert sorted(asyncio.run(match())) in (["defaite", "victoire"], ["nul", "nul"])
    server.kill()
    server.start()
    assert asyncio.run(play_and_draw(server, "bob")) == 2
    players = json.loads(server.get("/api/players")[1])
    assert sorted(p["id_publique"] for p in players) == ["ada", "bob"]
    assert server.stop() == 0
    log = server.log.read_text()
    assert "Traceback" not in log
    assert not (server.data / "store.db").exists()


def test_drawing_goes_on_while_the_database_is_away(tmp_path, mongo):
    uri = mongo.uri("away")
    server = Process(tmp_path, "--store", uri).start()

    async def draw():
        async with connect(server.paint, "ada", "pw", create=True) as ada:
            drawing = await ada.create("d")
            await drawing.add_stroke(0, bytes(4), 3, 3, [(0, 0)])
            await asyncio.to_thread(mongo.stop)
            for x in range(1, 6):
                await drawing.add_stroke(0, bytes(4), 3, 3, [(x, 0)])
            assert len((await drawing.settled()).strokes) == 6
        async with connect(server.paint, "ada", "pw"):
            pass  # who was here is known
        with pytest.raises(LoginFailed):
            await connect(server.paint, "eve", "pw", create=True).open()

    async def look():
        async with connect(server.paint, "ada", "pw") as ada:
            return len((await ada.join("d")).canvas.strokes)

    try:
        asyncio.run(draw())
        server.kill()  # with the database away: the journal has everything
        late = Process(tmp_path, "--store", uri)
        late.start(wait=False)
        assert late.child.wait(30) == 2
        assert "the database at 127.0.0.1" in late.log.read_text()
    finally:
        mongo.start()
        server.kill()
    server.start()
    assert asyncio.run(look()) == 6
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


def test_nobody_waits_for_a_database_that_hangs(tmp_path, mongo):
    """It accepts connections and answers nothing: people who are in notice nothing."""
    server = Process(tmp_path, "--store", mongo.uri("hangs")).start()

    async def draw():
        async with connect(server.paint, "ada", "pw", create=True) as ada:
            drawing = await ada.create("d")
            async with connect(server.paint, "bob", "pw", create=True) as bob:
                seen = await bob.join("d")
                mongo.hang()
                async with asyncio.timeout(15):  # less than a server waits for the database
                    for x in range(50):
                        await drawing.add_stroke(0, bytes(4), 3, 3, [(x, 0)])
                    await seen.wait_for(lambda canvas: len(canvas.strokes) == 50)

    try:
        asyncio.run(draw())
    finally:
        mongo.wake()
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()
    server.start()
    assert asyncio.run(play_and_draw(server, "eve")) == 51
    assert server.stop() == 0
