"""The embedded store on a real disk, and recovery from what a killed server leaves."""

import asyncio
import errno
import os
import sqlite3
from pathlib import Path

import pytest

from polypaint.engine.journal_buffer import (
    DOCUMENTS,
    RECORD,
    Damaged,
    JournalBuffer,
    records,
    salvaged,
)
from polypaint.errors import StoreError, StoreFull
from polypaint.paint import packets
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.runtime.recovery import recover
from polypaint.store import StoredLobby, sqlite_journal
from polypaint.store.folder import DataFolder
from polypaint.store.sqlite_journal import SqliteJournal
from polypaint.store.sqlite_store import SqliteStore
from polypaint.store.wal import Scan, scan

from .painting import stroke
from .world import World

INFO = LobbyRules("d", "ada", "stroke", "protected", "x")


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
    await store.save(StoredLobby(2, LobbyRules("e", "", "s", "public", ""), 1), {"a": 1}, [], 0)
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
    journal._db.execute("UPDATE batches SET data = x'00' WHERE batch = 2")
    assert list(journal.batches()) == [(1, b"one"), (2, b"\0")]
    assert journal.problems == ["journal batch 2 is damaged"]
    assert (tmp_path / journal.set_aside()).exists()
    assert list(journal.batches()) == []
    assert journal.needed == (3, 2)


def test_the_reserve(journal, tmp_path):
    assert not journal.use_reserve()
    journal.fill_reserve()
    journal.fill_reserve()
    assert (tmp_path / "reserve").stat().st_size == sqlite_journal.RESERVE_BYTES
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
    """What a killed process did not finish is told from what has always been there."""
    database, log = tmp_path / "x.db", tmp_path / "x.db-wal"
    assert scan(log, database) == Scan()
    log.write_bytes(b"x" * 10)
    assert scan(log, database) == Scan(torn_bytes=10)
    log.unlink()
    db = sqlite3.connect(database, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE t (x)")
    whole = log.read_bytes()
    frame = 24 + 4096
    unfinished = whole[32:36] + bytes(4) + whole[40 : 32 + frame]
    for content, torn in (
        (whole, 0),
        (whole + unfinished, frame),
        (whole + whole[32 : 32 + 2000], 2000),
        (whole + unfinished[:8] + b"oldsalts" + unfinished[16:], 0),
        (whole + bytes(5), 0),
    ):
        log.write_bytes(content)
        assert scan(log, database) == Scan(torn_bytes=torn)
    log.write_bytes(whole)
    db.close()


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
        ("UPDATE batches SET data = x'00', crc = 0 WHERE batch = 5", "batch 5 is damaged", 3),
        ("DELETE FROM batches WHERE batch = 5", "batches 5 are missing", 3),
        ("DELETE FROM batches WHERE batch > 10", "batches 11-12 are missing", 9),
        ("DELETE FROM batches WHERE batch = 1", "batches 1 are missing", None),
    ],
)
async def test_a_damaged_journal_gives_what_can_be_had(tmp_path, damage, problem, strokes):
    await drawn(tmp_path)
    data = DataFolder(tmp_path)
    data.journal._db.execute(damage)  # type: ignore[attr-defined]
    report = await recover(data.store, data.journal)
    assert problem in report.problems[0]
    assert "kept as" in report.problems[-1]
    if strokes is None:
        assert report.lobbies == []
        assert any("neither" in problem for problem in report.problems)
    else:
        assert len((await data.store.load(1))[1]) == strokes
    assert list(data.journal.batches()) == []
    await data.close()


def batch_of(*entries: tuple[int, int, bytes]) -> bytes:
    log = JournalBuffer()
    for entry in entries:
        log.add(*entry)
    return log.take()


def test_records_that_end_too_early():
    batch = batch_of((1, 1, b"abc"))
    assert list(records(batch)) == [(1, 1, b"abc")]
    for cut in (1, 10, len(batch) - 1):
        with pytest.raises(StoreError):
            list(records(batch[:cut]))


def test_a_flipped_bit_costs_one_record_of_a_batch():
    """Wherever it is, all other records are read, and nothing is read that was not written."""
    entries = [(1, 1, b"abc"), (2, 7, b""), (DOCUMENTS, 3, b"x" * 40), (1, 2, bytes(30))]
    batch = batch_of(*entries)
    for bit in range(8 * len(batch)):
        damaged = bytearray(batch)
        damaged[bit // 8] ^= 1 << bit % 8
        parts = list(salvaged(bytes(damaged)))
        read = [part for part in parts if not isinstance(part, Damaged)]
        assert len(read) == len(entries) - 1
        assert [entry for entry in entries if entry in read] == read
        (lost,) = (part for part in parts if isinstance(part, Damaged))
        assert lost.size >= RECORD.size
    assert [type(part) for part in salvaged(bytes(64))] == [Damaged]


async def test_damage_to_one_drawing_costs_no_other(tmp_path):
    """Their records stand in the same batches."""
    data = DataFolder(tmp_path)
    world = World()
    ada, bob = world.peer("ada").create("one"), world.peer("bob").create("two")
    for x in range(5):
        stroke(ada, x)
        stroke(bob, x)
    lists = [list(records(batch)) for _, batch in sorted(world.journal.kept.items())]
    flat = [record for batch in lists for record in batch]
    numbers = sorted({number for number, _, _ in flat})
    batches = [
        batch_of(*[r for r in flat if r.seq == seq]) for seq in sorted({r.seq for r in flat})
    ]
    data.journal.commit([(i + 1, batch) for i, batch in enumerate(batches)])
    at = batches[3].index(b"ada") + 1
    damaged = batches[3][:at] + b"?" + batches[3][at + 1 :]
    data.journal._db.execute("UPDATE batches SET data = ? WHERE batch = 4", (damaged,))  # type: ignore[attr-defined]
    report = await recover(data.store, data.journal)
    assert [len((await data.store.load(number))[1]) for number in numbers] == [2, 5]
    assert "drawing 'one' (record 4) is damaged in the journal" in report.problems
    assert not any("two" in problem for problem in report.problems)
    await data.close()


async def test_the_loop_is_free_while_a_drawing_is_stored(store):
    blobs = [os.urandom(30 << 20)]
    saving = asyncio.ensure_future(store.save(StoredLobby(1, INFO, 1), {"a": 1}, blobs, 0))
    turns = 0
    while not saving.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 20
