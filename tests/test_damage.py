"""Data folders of older versions, and damage: every flipped bit is named, or does no harm.

`tests/data` has folders and a database as version 0.2.0 wrote them, and what they mean.
"""

import asyncio
import json
import lzma
import random
import secrets
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from polypaint.errors import StoreDamaged, StoreError
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.runtime.recovery import recover
from polypaint.store import StoredLobby
from polypaint.store.folder import DataFolder, to_look_at
from polypaint.store.mongo import MongoStore

from .data.make import content
from .painting import stroke
from .world import World

DATA = Path(__file__).parent / "data"


def unpacked(name: str, to: Path) -> dict[str, Any]:
    """Unpack a folder; what it means."""
    with tarfile.open(DATA / f"{name}.tar.xz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not in 3.11.2
        archive.extractall(to)
    meaning = to / "content.json"
    expected = json.loads(meaning.read_bytes())
    meaning.unlink()
    return expected


# ---------------------------------------------------------------- what older versions wrote
@pytest.mark.parametrize("name", ["stopped", "killed"])
async def test_a_folder_of_version_0_2_opens_unharmed(tmp_path, name):
    expected = unpacked(name, tmp_path)
    for _ in range(2):
        found, problems = await recovered(tmp_path)
        assert problems == []
        assert found == expected
    data = DataFolder(tmp_path)
    assert await data.store.check() == []
    await data.close()


async def test_looking_at_a_folder_of_version_0_2_finds_nothing_wrong(tmp_path):
    unpacked("killed", tmp_path)
    data = DataFolder(tmp_path)
    assert await data.store.check() == []
    report = await recover(data.store, data.journal, write=False)
    assert report.problems == []
    assert report.replayed > 10
    await data.close()


async def test_a_database_of_version_0_2_opens_unharmed(mongo):
    found = json_util.loads(lzma.decompress((DATA / "mongodb.json.xz").read_bytes()))
    store = MongoStore(mongo.uri(f"t{secrets.token_hex(6)}"))
    for name, documents in found["collections"].items():
        if documents:
            await store._db[name].insert_many(documents)
    await store.start()
    assert await store.check() == []
    assert await store.set_aside_damaged() == []
    assert await content(store) == found["content"]
    await store.close()


# ---------------------------------------------------------------- flipped bits
FLIPS = 40
FILES = ("store.db", "store.db-wal", "journal.db", "journal.db-wal", "journal.mark")


async def killed_today(folder: Path) -> None:
    """A folder as a killed server leaves it: some of all in the files, some in their logs."""
    world = World()
    ada, bob = world.peer("ada").create("one"), world.peer("bob").create("two")
    for x in range(200):
        stroke(ada if x % 3 else bob, x)
        world.book.put("char", f"player {x % 7}", {"xp": x, "coin": 2 * x}, world.now)
    world.service.effects.clear()
    batches = sorted(world.journal.kept.items())
    assert len(batches) > 190
    data = DataFolder(folder / "used")
    data.journal.belong_to(await data.store.identity())
    await fill(data.store, 0)
    for each in batches[:150]:
        data.journal.commit([each])
    for db in (data.journal._db, data.store._db):  # type: ignore[attr-defined]
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    await fill(data.store, 1)
    for each in batches[150:]:
        data.journal.commit([each])
    (folder / "killed").mkdir()
    for name in FILES:
        shutil.copyfile(folder / "used" / name, folder / "killed" / name)
    await data.close()


async def fill(store: Any, part: int) -> None:
    """Ten of everything."""
    rng = random.Random(part)
    for i in range(part, 20, 2):
        await store.add_account(f"account {i}", rng.randbytes(30).hex().encode(), i)
        lobby = StoredLobby(10 + i, LobbyRules(f"d{i}", "ada", "s", "protected", "é"), 1)
        await store.save(lobby, {"n": i}, [rng.randbytes(50 * i)], 0)
        await store.write({("partie", f"match {i}"): b'{"n":%d}' % i})
        await store.count(f"match {i}", f"account {i % 5}", "victoire", i)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def lost(found: dict[str, Any], expected: dict[str, Any]) -> int:
    """How many things are missing or other than they were."""
    count = 0
    for name in ("accounts", "lobbies", "results", "conflicts"):
        count += sum(each not in found[name] for each in expected[name])
    for kind, documents in expected["documents"].items():
        count += sum(each not in found["documents"].get(kind, []) for each in documents)
    return count


async def readable(store: Any) -> dict[str, Any]:
    """Everything that a store still gives; drawings that are damaged are left out."""
    lobbies = await store.lobbies()

    class Whole:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def lobbies(self) -> list[StoredLobby]:
            return whole

    whole = []
    for lobby in lobbies:
        try:
            await store.load(lobby.number)
        except StoreDamaged:
            continue
        whole.append(lobby)
    return await content(Whole())


async def recovered(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What a server finds in a folder, and what it reports."""
    data = DataFolder(folder)
    try:
        await data.store.start()
        report = await recover(data.store, data.journal)
        torn = ["something was not finished"] if report.torn_bytes else []
        return await readable(data.store), report.problems + torn
    finally:
        await data.close()


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """The folder of a killed server, and what it means."""
    folder = tmp_path_factory.mktemp("killed")

    async def make() -> dict[str, Any]:
        await killed_today(folder)
        expected, problems = await recovered(copy_of(folder / "killed", folder / "whole"))
        assert problems == []
        return expected

    return folder / "killed", asyncio.run(make())


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("name", FILES)
async def test_a_flipped_bit_is_reported_or_harmless(tmp_path, killed, name, part):
    """And it costs no more than what it hit."""
    folder, expected = killed
    original = (folder / name).read_bytes()
    rng = random.Random(f"{name} {part}")
    for bit in {rng.randrange(8 * len(original)) for _ in range(FLIPS)}:
        damaged = copy_of(folder, tmp_path / "damaged")
        (damaged / name).write_bytes(flipped(original, bit))
        where = f"bit {bit % 8} of byte {bit // 8} of {name}"
        looked = await looked_at(damaged)
        try:
            found, problems = await recovered(damaged)
        except StoreDamaged as error:
            # The page that says what there is in the file: nothing can be read without it.
            assert name == "store.db", where
            assert bit // 8 < 4096, where
            assert "restore a backup" in str(error), where
            assert looked, where
            continue
        cost = lost(found, expected)
        if found != expected:
            assert problems, where
            assert looked, where
        # Of a page that cannot be read, both drawings lack what was in it.
        assert cost <= 1 + any("cannot be read" in problem for problem in problems), where


@pytest.mark.parametrize("name", FILES)
async def test_a_sector_of_zeros_is_reported_and_nothing_raises(tmp_path, killed, name):
    folder, expected = killed
    original = (folder / name).read_bytes()
    rng = random.Random(name)
    for at in {rng.randrange(len(original)) // 512 * 512 for _ in range(12)}:
        damaged = copy_of(folder, tmp_path / "damaged")
        data = original[:at] + bytes(len(original[at : at + 512])) + original[at + 512 :]
        (damaged / name).write_bytes(data)
        looked = await looked_at(damaged)
        try:
            found, problems = await recovered(damaged)
        except StoreDamaged:
            assert (name, at < 4096) == ("store.db", True)
            continue
        # The last frame of a log, if it is zeros, is one that was never written.
        if found != expected and not (name.endswith("-wal") and at > len(original) - 2 * 4120):
            assert problems, (name, at)
            assert looked, (name, at)


def copy_of(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    return to


async def looked_at(folder: Path) -> list[str]:
    """What `check` reports. It mends nothing, so that a start reports the same."""
    names = {path.name for path in folder.iterdir()}
    with to_look_at(folder) as path:
        try:
            data = DataFolder(path)
        except StoreError as error:
            return [str(error)]
        try:
            problems = data.store.problems + await data.store.check()
            report = await recover(data.store, data.journal, write=False)
            torn = ["something was not finished"] if report.torn_bytes else []
            return problems + report.problems + torn
        except StoreError as error:
            return [str(error)]
        finally:
            await data.close()
            kept = {path.name for path in folder.glob("*-damaged-*")}
            assert kept <= names
