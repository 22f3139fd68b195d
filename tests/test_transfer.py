"""Copying one store into another: whatever interrupts it, and whatever they are."""

import asyncio
import random
import secrets
from dataclasses import replace

import pytest

from polypaint import connect
from polypaint.errors import StoreError
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.store import Sizes, StoredLobby, transfer
from polypaint.store.sqlite_store import SqliteStore
from polypaint.store.transfer import copy

from .processes import Process
from .test_cli import command
from .test_stores import MAKERS

BOTH_WAYS = [("sqlite", "mongodb"), ("mongodb", "sqlite"), ("sqlite", "sqlite")]


@pytest.fixture
async def pair(tmp_path, request):
    stores = [MAKERS[kind](tmp_path, request) for kind in request.param]
    for store in stores:
        await store.start()
    yield stores
    for store in stores:
        await store.close()


def lobby(number, seq, name=None):
    return StoredLobby(
        number, LobbyRules(name or f"d{number}", "ada", "stroke", "public", ""), seq
    )


async def fill(store, rng, accounts=20, drawings=6, documents=40, results=30):
    for i in range(accounts):
        await store.add_account(f"é{i}", rng.randbytes(8), i)
    for i in range(drawings):
        await store.save(lobby(i, i), {"n": i}, [rng.randbytes(2000), b""], 0)
    await store.write({(rng.choice("klm"), f"{i:04}"): b'{"n":%d}' % i for i in range(documents)})
    for i in range(results):
        await store.count(f"C{rng.randrange(9)}", f"é{rng.randrange(9)}", "nul", i)
    await store.count("C0", "é0", "nul", 50)
    await store.count("C0", "é0", "victoire", 51)


async def content(store):
    kinds = await store.kinds()
    lobbies = await store.lobbies()
    return {
        "accounts": await store.accounts(),
        "lobbies": [(each, await store.load(each.number)) for each in lobbies],
        "documents": {kind: await store.read(kind) for kind in kinds},
        "results": await store.results(("", ""), 1000),
        "conflicts": await store.conflicts(),
        "records": [await store.record(f"é{i}") for i in range(9)],
    }


class Breaking:
    """A store in which something breaks after so many calls."""

    def __init__(self, store, left):
        self._store, self._left = store, left

    def __getattr__(self, name):
        async def call(*arguments):
            self._left -= 1
            if self._left < 0:
                raise StoreError("broken on purpose")
            return await getattr(self._store, name)(*arguments)

        return call


@pytest.mark.parametrize("pair", BOTH_WAYS, ids="-".join, indirect=True)
async def test_everything_arrives(pair, monkeypatch):
    monkeypatch.setattr(transfer, "PAGE", 7)
    source, target = pair
    await fill(source, random.Random(1))
    told = []
    sizes = await copy(source, target, 5, lambda what, done: told.append((what, done)))
    assert await content(target) == await content(source)
    assert sizes == await source.sizes() == await target.sizes()
    for what, total in (
        ("accounts", 20), ("drawings", 6), ("documents", 40), ("results", sizes.results)
    ):  # fmt: skip
        done = [n for name, n in told if name == what]
        assert done[0] == 0
        assert done == sorted(done)
        assert done[-1] == total
    with pytest.raises(StoreError, match="not empty"):
        await copy(source, target, 5, lambda *_: None)
    with pytest.raises(StoreError, match="same store"):
        await copy(source, source, 5, lambda *_: None)


@pytest.mark.parametrize("pair", BOTH_WAYS[:2], ids="-".join, indirect=True)
async def test_interrupted_again_and_again_while_the_source_changes(pair, monkeypatch):
    """However often it breaks, and whatever a server does in between: in the end both agree."""
    monkeypatch.setattr(transfer, "PAGE", 7)
    source, target = pair
    rng = random.Random(2)
    await fill(source, rng)
    breaks = 0
    for attempt in range(1000):
        side = rng.randrange(2)
        stores = [source, target]
        stores[side] = Breaking(stores[side], rng.randrange(10 + 10 * attempt))
        try:
            await copy(stores[0], stores[1], 5, lambda *_: None)
            break
        except StoreError as error:
            assert "broken on purpose" in str(error)
            breaks += 1
        if attempt < 8:
            await source.set_password(f"é{rng.randrange(20)}", rng.randbytes(8))
            kind, key = rng.choice("klm"), f"{rng.randrange(50):04}"
            await source.write({(kind, key): rng.choice([None, b'{"new":1}'])})
            number = rng.randrange(6)
            await source.remove(number)
            name = f"d{number}"
            await source.save(lobby(number + 10 * attempt, attempt, name), {"a": 1}, [b"x"], 0)
            await source.remove(number + 10 * attempt)
            await source.save(lobby(number, 100 + attempt), {"a": attempt}, [b"y"], 0)
            await source.count(f"D{attempt}", "é1", "victoire", attempt)
    assert breaks > 3
    assert await content(target) == await content(source)


@pytest.mark.parametrize("pair", [("sqlite", "sqlite")], ids="-".join, indirect=True)
async def test_half_a_copy_of_another_store_is_refused(pair, tmp_path, request):
    source, target = pair
    await fill(source, random.Random(3))
    with pytest.raises(StoreError, match="on purpose"):
        await copy(source, Breaking(target, 10), 5, lambda *_: None)
    other = MAKERS["sqlite"](tmp_path, request)
    with pytest.raises(StoreError, match="another store"):
        await copy(other, target, 5, lambda *_: None)
    await other.close()
    assert (await target.sizes()).documents == 1


@pytest.mark.parametrize("pair", [("sqlite", "sqlite")], ids="-".join, indirect=True)
async def test_another_result_is_not_overwritten(pair):
    source, target = pair
    await source.count("C", "ada", "nul", 1)
    with pytest.raises(StoreError, match="on purpose"):
        await copy(source, Breaking(target, 4), 5, lambda *_: None)
    await target.count("C", "ada", "victoire", 1)
    with pytest.raises(StoreError, match="another result of ada in C"):
        await copy(source, target, 5, lambda *_: None)


@pytest.mark.parametrize("pair", [("sqlite", "sqlite")], ids="-".join, indirect=True)
async def test_what_does_not_read_back_is_noticed(pair, monkeypatch):
    source, target = pair
    await source.save(lobby(1, 1), {"a": 1}, [b"x"], 0)
    save = target.save

    async def forgetful(each, meta, blobs, now):
        await save(each, meta, [b"z"], now)

    monkeypatch.setattr(target, "save", forgetful)
    with pytest.raises(StoreError, match="does not read back"):
        await copy(source, target, 5, lambda *_: None)
    monkeypatch.undo()
    sizes = Sizes(9, 9, 9, 9)

    async def wrong():
        return sizes

    monkeypatch.setattr(source, "sizes", wrong)
    with pytest.raises(StoreError, match="does a server use either"):
        await copy(source, target, 5, lambda *_: None)
    assert replace(sizes, accounts=0).empty is False


# ---------------------------------------------------------------- the command
async def draw(address, count, then=lambda: None):
    """One stroke more; how many there are. then: is called while the drawing is still open."""
    async with connect(address, "ada", "pw", create=count == 1) as ada:
        drawing = await ada.join_or_create("d")
        await drawing.add_stroke(0, bytes(4), 3, 3, [(count, 1), (5, 5)])
        drawn = len((await drawing.settled()).strokes)
        then()
        return drawn


def test_moving_to_a_database_and_back(tmp_path, mongo):
    """A killed server's journal comes along; each store is used by a server after its copy."""
    uri = mongo.uri(f"t{secrets.token_hex(6)}")
    server = Process(tmp_path).start()
    assert asyncio.run(draw(server.paint, 1, server.kill)) == 1
    done = command("copy", str(server.data), uri)
    assert done.returncode == 0, done.stderr
    assert "copied 1 accounts, 1 drawings" in done.stdout
    assert f"--store {uri}" in done.stdout
    again = command("copy", str(server.data), uri)
    assert again.returncode == 2
    assert "not empty" in again.stderr
    assert command("check", "--data", str(server.data), "--store", uri).returncode == 0

    server.flags = ("--store", uri)
    server.start()
    assert asyncio.run(draw(server.paint, 2, server.kill)) == 2
    refused = command("copy", uri, "elsewhere", "--data", str(tmp_path / "nowhere"))
    assert refused.returncode == 2
    assert "no data folder" in refused.stderr
    back = command("copy", uri, str(tmp_path / "back"), "--data", str(server.data))
    assert back.returncode == 0, back.stderr
    last = Process(tmp_path)
    last.data = tmp_path / "back"
    last.start()
    assert asyncio.run(draw(last.paint, 3)) == 3
    assert last.stop() == 0


def test_a_journal_of_another_store_is_kept_from_it(tmp_path):
    """What only the journal has must not be lost to a store that cannot make sense of it."""
    server = Process(tmp_path).start()
    assert asyncio.run(draw(server.paint, 1, server.kill)) == 1
    kept = tmp_path / "kept"
    kept.mkdir()
    for path in server.data.glob("store.db*"):
        path.rename(kept / path.name)
    server.start(wait=False)
    assert server.child.wait(30) == 2
    assert "but no store.db" in server.log.read_text()
    asyncio.run(SqliteStore(server.data / "store.db").close())
    server.start(wait=False)
    assert server.child.wait(30) == 2
    assert "belongs to another store" in server.log.read_text()
    for path in server.data.glob("store.db*"):
        path.unlink()
    for path in kept.iterdir():
        path.rename(server.data / path.name)
    server.start()
    assert asyncio.run(draw(server.paint, 2)) == 2
    assert server.stop() == 0


def test_a_foreign_store_is_refused_and_a_copy_is_not(tmp_path):
    """Even when the journal holds nothing: an empty server is not what anybody wants."""
    server = Process(tmp_path).start()
    assert asyncio.run(draw(server.paint, 1)) == 1
    assert server.stop() == 0
    copied = tmp_path / "copied"
    assert command("copy", server.data, copied).returncode == 0
    (server.data / "store.db").unlink()
    asyncio.run(SqliteStore(server.data / "store.db").close())
    refused = command("lobbies", "list", "--data", server.data)
    assert refused.returncode == 2
    assert "not the store that the data folder was last used with" in " ".join(
        refused.stderr.split()
    )
    (copied / "store.db").rename(server.data / "store.db")
    server.start()
    assert asyncio.run(draw(server.paint, 2)) == 2
    assert server.stop() == 0


def test_no_server_starts_on_half_a_copy(tmp_path):
    server = Process(tmp_path).start()
    assert asyncio.run(draw(server.paint, 1)) == 1
    assert server.stop() == 0

    async def half():
        source, target = SqliteStore(server.data / "store.db"), SqliteStore(tmp_path / "store.db")
        with pytest.raises(StoreError):
            await copy(source, Breaking(target, 5), 0, lambda *_: None)
        await source.close()
        await target.close()

    asyncio.run(half())
    other = tmp_path / "half"
    other.mkdir()
    (tmp_path / "store.db").rename(other / "store.db")
    refused = command("lobbies", "list", "--data", str(other))
    assert refused.returncode == 2
    assert "was not finished" in refused.stderr
    assert command("copy", str(server.data), str(other)).returncode == 0
    listed = command("lobbies", "list", "--data", str(other))
    assert listed.returncode == 0
    assert "ada" in listed.stdout
