"""The embedded store on a real disk, and recovery from what a killed server leaves."""

import asyncio
import errno
import os
import sqlite3
from pathlib import Path

import pytest

from polypaint.errors import StoreError, StoreFull
from polypaint.log import RECORD, records
from polypaint.paint import packets
from polypaint.paint.lobbies import LobbyInfo
from polypaint.recovery import recover
from polypaint.store import StoredLobby
from polypaint.store import sqlite as sqlite_module
from polypaint.store.folder import DataFolder
from polypaint.store.sqlite import SqliteJournal, SqliteStore, torn_bytes

from .test_session import stroke
from .world import World

INFO = LobbyInfo("d", "ada", "stroke", "protected", "x")


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "store.db")
    yield store
    await store.close()


@pytest.fixture
def journal(tmp_path):
    journal = SqliteJournal(tmp_path / "journal.db")
    yield journal
    journal.close()


async def test_a_save_that_fails_changes_nothing(store):
    await store.save(StoredLobby(1, INFO, 1), {"a": 1}, [b"old"], 0)
    with pytest.raises(StoreError):
        await store.save(StoredLobby(2, INFO, 1), {"a": 1}, [b"same name"], 0)
    assert await store.load(1) == ({"a": 1}, [b"old"])
    assert len(await store.lobbies()) == 1


async def test_damage_is_noticed(store, tmp_path):
    await store.save(StoredLobby(1, INFO, 1), {"a": 1}, [b"x" * 1000], 0)
    await store.save(StoredLobby(2, LobbyInfo("e", "", "s", "public", ""), 1), {"a": 1}, [], 0)
    store._db.execute("UPDATE parts SET data = ? WHERE number = 1", (b"nonsense",))
    import zlib

    store._db.execute("UPDATE parts SET data = ? WHERE number = 2", (zlib.compress(b"\5\0\0\0"),))
    for number in (1, 2):
        with pytest.raises(StoreError, match="damaged"):
            await store.load(number)


def test_journal(journal):
    journal.commit([(1, b"one")])
    journal.commit([(2, b"two"), (3, b"three")])
    assert list(journal.batches()) == [(1, b"one"), (2, b"two"), (3, b"three")]
    with pytest.raises(StoreError):
        journal.commit([(4, b"four"), (3, b"again")])
    journal.trim(3)
    assert list(journal.batches()) == [(3, b"three")]


def test_damaged_batches_are_noticed_and_set_aside(journal, tmp_path):
    journal.commit([(1, b"one")])
    journal.commit([(2, b"two")])
    journal._db.execute("UPDATE journal SET data = x'00' WHERE batch = 2")
    with pytest.raises(StoreError, match="batch 2 is damaged"):
        list(journal.batches())
    assert Path(journal.set_aside()).exists()
    assert list(journal.batches()) == []


def test_the_reserve(journal, tmp_path):
    assert not journal.use_reserve()
    journal.fill_reserve()
    journal.fill_reserve()
    assert (tmp_path / "reserve").stat().st_size == sqlite_module.RESERVE_BYTES
    assert journal.use_reserve()
    assert not journal.use_reserve()


def test_the_reserve_on_a_full_disk(journal, tmp_path, monkeypatch):
    def write_bytes(self, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(StoreFull, match="No space"):
        journal.fill_reserve()
    assert not (tmp_path / "reserve.partial").exists()


def test_another_version(tmp_path):
    SqliteJournal(tmp_path / "journal.db").close()
    db = sqlite3.connect(tmp_path / "journal.db")
    db.execute("PRAGMA user_version = 99")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="format 99"):
        SqliteJournal(tmp_path / "journal.db")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file"):
        DataFolder(tmp_path / "file" / "data")


def test_a_file_that_is_no_database_releases_the_folder(tmp_path):
    (tmp_path / "store.db").write_bytes(b"this is not a database at all" * 100)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"store\.db"):
            DataFolder(tmp_path)


def test_torn_bytes(tmp_path):
    wal = tmp_path / "wal"
    assert torn_bytes(wal) == 0
    wal.write_bytes(b"x" * 10)
    assert torn_bytes(wal) == 10
    salts = b"saltsalt"
    header = bytes(8) + (4096).to_bytes(4, "big") + bytes(4) + salts + bytes(8)

    def frame(commit: int, its_salts: bytes = salts) -> bytes:
        return bytes(4) + commit.to_bytes(4, "big") + its_salts + bytes(8) + bytes(4096)

    whole = header + frame(0) + frame(1)
    for content, torn in (
        (whole, 0),
        (whole + frame(0), 4120),
        (whole + frame(1)[:2000], 2000),
        (whole + frame(1, b"oldsalts"), 0),
        (whole + bytes(5), 0),
    ):
        wal.write_bytes(content)
        assert torn_bytes(wal) == torn


# ---------------------------------------------------------------- recovery
async def drawn(folder: Path) -> None:
    """A store and a journal as a killed server leaves them."""
    world = World()
    ada = world.peer("ada").create("d", protection="protected", passcode="x")
    for x in range(10):
        stroke(ada, x)
    ada.send(packets.SELECTED_STROKE, [1])
    data = DataFolder(folder)
    data.journal.commit(sorted(world.journal.kept.items()))
    await data.close()


async def test_recovery(tmp_path):
    await drawn(tmp_path)
    for _ in range(2):
        data = DataFolder(tmp_path)
        report = await recover(data.store, data.journal)
        assert report.problems == []
        (stored,) = report.lobbies
        assert stored.info.passcode == "x"
        meta, blobs = await data.store.load(stored.number)
        assert len(blobs) == 10
        assert meta["selected"] == {}
        assert list(data.journal.batches()) == []
        await data.close()


async def test_looking_changes_nothing(tmp_path):
    await drawn(tmp_path)
    data = DataFolder(tmp_path)
    report = await recover(data.store, data.journal, write=False)
    assert report.replayed == 12
    assert report.journaled == {1}
    assert await data.store.lobbies() == []
    assert len(list(data.journal.batches())) == 12
    await data.close()


@pytest.mark.parametrize(
    ("damage", "problem", "strokes"),
    [
        ("UPDATE journal SET data = x'00', crc = 0 WHERE batch = 5", "batch 5 is damaged", 3),
        ("DELETE FROM journal WHERE batch = 5", "goes from 4 to 6", 3),
        ("DELETE FROM journal WHERE batch = 1", "neither", None),
    ],
)
async def test_a_damaged_journal_gives_what_can_be_had(tmp_path, damage, problem, strokes):
    await drawn(tmp_path)
    data = DataFolder(tmp_path)
    data.journal._db.execute(damage)
    report = await recover(data.store, data.journal)
    assert problem in report.problems[0]
    assert "kept as" in report.problems[-1]
    if strokes is None:
        assert report.lobbies == []
    else:
        assert len((await data.store.load(1))[1]) == strokes
    assert list(data.journal.batches()) == []
    await data.close()


def test_records_that_end_too_early():
    record = RECORD.pack(3, 1, 1) + b"abc"
    assert list(records(record)) == [(1, 1, b"abc")]
    for cut in (1, 10, len(record) - 1):
        with pytest.raises(StoreError):
            list(records(record[:cut]))


async def test_the_loop_is_free_while_a_drawing_is_stored(store):
    blobs = [os.urandom(30 << 20)]
    saving = asyncio.ensure_future(store.save(StoredLobby(1, INFO, 1), {"a": 1}, blobs, 0))
    turns = 0
    while not saving.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 20
