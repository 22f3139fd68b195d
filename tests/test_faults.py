"""Faults of the world that storage meets, and what an operator is shown of what others wrote."""

import asyncio
import errno
import sqlite3

import pytest

from polypaint.engine.context import Context
from polypaint.errors import StoreDamaged, StoreError, StoreFull
from polypaint.runtime.flusher import Flusher
from polypaint.runtime.password_hasher import PasswordHasher
from polypaint.runtime.ports import MachineClock, Ports, Threads
from polypaint.settings import Settings
from polypaint.store import sqlite_files
from polypaint.store.folder import DataFolder
from polypaint.store.sqlite_store import SqliteStore

from .conftest import serving
from .test_cli import command
from .world import MemoryJournal, MemoryStore


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.ENOSPC, StoreFull, "no room"),
        (errno.EDQUOT, StoreFull, "no room"),
        (errno.EFBIG, StoreFull, "no room"),
        (errno.EROFS, StoreError, "mounted read-only"),
        (errno.EACCES, StoreError, "permissions"),
        (errno.EIO, StoreError, "the disk fails"),
    ],
)
def test_a_full_a_failing_and_a_read_only_disk_are_told_apart(
    tmp_path, monkeypatch, number, kind, says
):
    """SQLite says `disk I/O error` of each; the operating system is asked."""

    def pwrite(_file, _data, _at):
        raise OSError(number, "it says")

    monkeypatch.setattr(sqlite_files.os, "pwrite", pwrite)  # type: ignore[attr-defined]
    path = tmp_path / "journal.db"
    error = sqlite_files.translated("writing", sqlite_error(sqlite3.SQLITE_IOERR_WRITE), path)
    assert type(error) is kind
    assert says in str(error)
    assert list(tmp_path.iterdir()) == []
    assert type(sqlite_files.translated("writing", OSError(number, "x"))) is kind


def test_other_errors_of_sqlite():
    for code, kind, says in (
        (sqlite3.SQLITE_FULL, StoreFull, "no room"),
        (sqlite3.SQLITE_READONLY, StoreError, "owner and permissions"),
        (sqlite3.SQLITE_CORRUPT, StoreDamaged, "disk I/O"),
        (sqlite3.SQLITE_BUSY, StoreError, "disk I/O"),
    ):
        error = sqlite_files.translated("writing", sqlite_error(code))
        assert type(error) is kind
        assert says in str(error)


class FlushTarget:
    """Counts what a flush asks of the server."""

    def __init__(self) -> None:
        self.sent: list[list] = []
        self.full = 0

    def send(self, send_queues) -> None:
        self.sent.append(send_queues)

    def run_effects(self) -> None:
        pass

    def disk_full(self, _now) -> None:
        self.full += 1
        self.context.read_only = True  # type: ignore[attr-defined]

    def disk_has_room(self, _now) -> None:
        self.context.read_only = False  # type: ignore[attr-defined]


class Disk(MemoryJournal):
    """A journal on a disk with a trouble."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: Exception | None = None
        self.reserves = 0

    def commit(self, batches) -> None:
        if self.trouble is not None:
            raise self.trouble
        super().commit(batches)

    def use_reserve(self) -> bool:
        self.reserves += 1
        return False


@pytest.fixture
async def flusher():
    target, disk = FlushTarget(), Disk()
    target.context = Context(Settings(_env_file=None))  # type: ignore[attr-defined]
    loop = asyncio.get_running_loop()
    ports = Ports(loop, MachineClock(), Threads, PasswordHasher(4), MemoryStore(), disk)
    made = Flusher(target.context, target, ports, synced=False)  # type: ignore[attr-defined]
    yield made
    made.close()


@pytest.mark.parametrize(
    ("trouble", "reserves"), [(StoreFull("full"), 1), (StoreError("it fails"), 0)]
)
async def test_the_reserve_is_for_a_full_disk_only(flusher, trouble, reserves):
    disk, target = flusher._journal, flusher._target
    disk.trouble = trouble
    target.context.log.add(1, 1, b"x")
    flusher.flush()
    assert (target.full, disk.reserves) == (1, reserves)
    assert flusher.trouble == str(trouble)
    disk.trouble = None
    flusher._retry()
    assert flusher.trouble == ""
    assert list(disk.kept) == [1]


async def test_a_commit_that_fails_in_a_way_nobody_expected_loses_nothing(flusher):
    disk, target = flusher._journal, flusher._target
    target.context.log.add(1, 1, b"x")
    disk.trouble = MemoryError("nobody expected this")
    flusher.flush()
    assert target.full == 1
    assert not target.sent  # nothing is seen that is not journaled
    assert "nobody expected this" in flusher.trouble
    flusher._retry()
    assert not disk.kept
    disk.trouble = None
    flusher._retry()
    assert list(disk.kept) == [1]
    assert flusher.trouble == ""


async def test_no_document_is_seen_before_it_is_journaled(flusher):
    """Not even while the disk is full: a seat or somebody's conduct is not recovered otherwise."""
    from polypaint.engine.journal_buffer import DOCUMENTS

    disk, target = flusher._journal, flusher._target
    target.context.read_only = True
    target.sent.clear()
    target.context.log.add(DOCUMENTS, 1, b'["k","1",{}]')
    flusher.flush()
    assert list(disk.kept) == [1]  # there was room for it
    assert len(target.sent) == 1
    disk.trouble = StoreFull("full")
    target.context.log.add(1, 1, b"what somebody had selected has ended")
    flusher.flush()
    assert len(target.sent) == 2  # recovery ends it as well
    target.context.log.add(DOCUMENTS, 2, b'["k","2",{}]')
    flusher.flush()
    target.context.log.add(1, 2, b"later")
    flusher.flush()
    assert len(target.sent) == 2
    disk.trouble = None
    flusher._retry()
    assert len(target.sent) == 3
    assert len(disk.kept) == 4


async def test_who_holds_the_journal_back_is_stored(tmp_path, monkeypatch):
    """One stroke in an idle drawing keeps nobody's journal for ever."""
    from polypaint import connect
    from polypaint.runtime import flusher as flush

    monkeypatch.setattr(flush, "JOURNAL_BYTES_MAX", 20_000)
    async with serving(tmp_path) as server:
        address = server.addresses["paint"]
        async with (
            connect(address, "ada", "pw", create=True) as ada,
            connect(address, "bob", "pw", create=True) as bob,
        ):
            idle, busy = await ada.create("idle"), await bob.create("busy")
            await idle.add_stroke(0, bytes(4), 3, 3, [(1, 1)])
            lobby = server.paint.lobbies["idle"]
            assert lobby.unsaved_from is not None
            while lobby.unsaved_from is not None:
                for x in range(50):
                    busy.add_stroke(0, bytes(4), 3, 3, [(x, 1)] * 100)
                await busy.settled()
                server.effect_runner.bound_journal()
                server.run_effects()
            assert server.flusher.journal_age_s < 60
            for name in ("store_away", "journal_bytes", "journal_age_seconds"):
                assert server.registry.get_sample_value(f"polypaint_{name}") is not None


async def test_rankings_and_logins_do_not_wait_for_what_is_written(tmp_path):
    store = SqliteStore(tmp_path / "store.db")
    await store.add_account("ada", b"hash", 1)
    for i in range(50):
        await store.count(f"C{i}", f"player {i % 7}", "victoire", i)
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    writing = asyncio.ensure_future(
        store._do(
            "hanging", lambda: asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        )
    )
    assert await store.password_hash("ada") == b"hash"
    assert (await store.ranking(1))[0].wins == 8
    assert (await store.record("player 0")).wins == 8
    plan = store._db.execute(
        "EXPLAIN QUERY PLAN SELECT player FROM totals ORDER BY won DESC, lost, player LIMIT 9"
    )
    assert "INDEX totals_ranked" in plan.fetchall()[0][3]
    release.set()
    await writing
    await store.close()


async def test_nobody_else_may_read_the_files(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/store.db").touch(mode=0o644)
    data = DataFolder(tmp_path / "data")
    await data.store.add_account("ada", b"hash", 1)
    data.journal.commit([(1, b"")])
    assert {p.name: oct(p.stat().st_mode & 0o077) for p in data.path.glob("*.db*")}.items() >= {
        "store.db": "0o0", "store.db-wal": "0o0", "journal.db": "0o0", "journal.db-wal": "0o0",
    }.items()  # fmt: skip
    await data.close()


# ---------------------------------------------------------------- what is shown
async def test_lists_of_names_that_look_like_markup(tmp_path):
    data = DataFolder(tmp_path / "data")
    await data.store.add_account("[/nope]", b"hash", 1)
    from polypaint.paint.lobby_rules import LobbyRules
    from polypaint.store import StoredLobby

    info = LobbyRules("[/d]", "[bold]", "\x1b[31mred", "public", "")
    await data.store.save(StoredLobby(1, info, 1), {"a": 1}, [], 0)
    await data.close()
    accounts = command("accounts", "list", "--data", data.path)
    assert (accounts.returncode, accounts.stderr) == (0, "")
    assert "[/nope]" in accounts.stdout
    lobbies = command("lobbies", "list", "--data", data.path)
    assert lobbies.returncode == 0
    assert "[/d]" in lobbies.stdout
    assert "[bold]" in lobbies.stdout
    assert "\\x1b[31mred" in lobbies.stdout
    assert "\x1b" not in lobbies.stdout


async def test_commands_that_make_no_sense_say_so(tmp_path):
    data = DataFolder(tmp_path / "data")
    await data.close()
    same = command("copy", tmp_path / "data", tmp_path / "data/../data")
    assert same.returncode == 2
    assert "the same" in same.stderr
    nowhere = command("export", "d", tmp_path / "none/d.png", "--data", tmp_path / "data")
    assert nowhere.returncode == 2
    assert "there is no folder" in nowhere.stderr
    assert "Traceback" not in nowhere.stderr
