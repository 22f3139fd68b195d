"""The embedded store: two SQLite files in one folder.

`store.db` holds accounts and drawings; one thread of its own works on it, so a large drawing being
written never waits on the event loop, nor it on the drawing. `journal.db` is written on the event
loop, one transaction per flush: in WAL mode without fsync this costs some 5 µs and survives a
killed process; with durability `power` every commit is synced.

Must never be imported by the domain. Counterpart: `polypaint.store`, the contracts.
"""

import asyncio
import errno
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from polypaint.book import Changes
from polypaint.errors import StoreError, StoreFull
from polypaint.paint.lobbies import LobbyInfo
from polypaint.store import (
    HISTORY_MAX,
    Counted,
    PlayerRecord,
    Sizes,
    StoredAccount,
    StoredLobby,
    StoredResult,
)
from polypaint.store.blobs import packed, unpacked
from polypaint.store.translated import Translated
from polypaint.workers import pool

PART_BYTES: Final = 1 << 20
RESERVE_BYTES: Final = 4 << 20
NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
WAL_HEADER: Final = 32
WAL_FRAME_HEADER: Final = 24

STORE_SCHEMA: Final = """
CREATE TABLE accounts (
    name TEXT PRIMARY KEY,
    hash BLOB NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE lobbies (
    number INTEGER PRIMARY KEY,
    filename TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    mode TEXT NOT NULL,
    protection TEXT NOT NULL,
    passcode TEXT NOT NULL,
    seq INTEGER NOT NULL,
    meta BLOB NOT NULL,
    saved REAL NOT NULL
) STRICT;
CREATE TABLE parts (
    number INTEGER NOT NULL REFERENCES lobbies,
    part INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (number, part)
) STRICT;
"""
STORE_SCHEMA_2: Final = """
CREATE TABLE documents (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID, STRICT;
CREATE TABLE results (
    code TEXT NOT NULL,
    player TEXT NOT NULL,
    statut TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (code, player)
) STRICT;
CREATE INDEX results_of_players ON results (player, at, code, statut);
CREATE TABLE conflicts (
    code TEXT NOT NULL,
    player TEXT NOT NULL,
    statut TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (code, player, statut)
) STRICT;
"""
STORE_SCHEMA_3: Final = """
CREATE TABLE identity (id TEXT NOT NULL) STRICT;
INSERT INTO identity VALUES (lower(hex(randomblob(12))));
"""
JOURNAL_SCHEMA: Final = """
CREATE TABLE journal (
    batch INTEGER PRIMARY KEY,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
"""
JOURNAL_SCHEMA_2: Final = """
CREATE TABLE store (id TEXT NOT NULL) STRICT;
"""

T = TypeVar("T")


class _Translated(Translated):
    """Errors of SQLite, and of the files that it works on."""

    def ours(self, error: BaseException) -> StoreError | None:
        """See `Translated.ours`."""
        if isinstance(error, sqlite3.Error | OSError):
            return _translated(self.what, error)
        return None


class _Transaction:
    """All or nothing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, _: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _translated(what: str, error: sqlite3.Error | OSError) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL or (code or 0) & 0xFF == sqlite3.SQLITE_IOERR:
        return StoreFull(f"{what}: no room on the disk ({error})")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return StoreFull(f"{what}: {error.strerror}")
    return StoreError(f"{what}: {error}")


STORE_VERSIONS: Final = (STORE_SCHEMA, STORE_SCHEMA_2, STORE_SCHEMA_3)
"""What makes each version of the file out of the one before."""
JOURNAL_VERSIONS: Final = (JOURNAL_SCHEMA, JOURNAL_SCHEMA_2)


def _open(path: Path, versions: tuple[str, ...], synchronous: str) -> sqlite3.Connection:
    """A connection to a file, brought to the newest version. Raises StoreError."""
    with _Translated(str(path)):
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        newest = len(versions)
        if version < newest:
            steps = " ".join(versions[version:])
            db.executescript(f"BEGIN; {steps} PRAGMA user_version = {newest}; COMMIT;")
        elif version > newest:
            db.close()
            raise StoreError(
                f"{path} was written by another version of polypaint-fast "
                f"(format {version}, this one knows {newest}); start that version instead"
            )
    return db


class SqliteStore:
    """See `polypaint.store.Store`."""

    def __init__(self, path: Path, synchronous: str = "OFF") -> None:
        self._db = _open(path, STORE_VERSIONS, synchronous)
        self._thread = pool("store")

    async def _do(self, what: str, work: Callable[..., T], *arguments: object) -> T:
        def translated() -> T:
            with _Translated(what):
                return work(*arguments)
            raise AssertionError("unreachable")

        return await asyncio.get_running_loop().run_in_executor(self._thread, translated)

    async def start(self) -> None:
        """See `polypaint.store.Store`: the file was opened, and brought up to date, at once."""

    async def identity(self) -> str:
        """See `polypaint.store.Store`."""
        ((identity,),) = await self._do("reading", self._query, "SELECT id FROM identity")
        return str(identity)

    async def sizes(self) -> Sizes:
        """See `polypaint.store.Store`."""
        (row,) = await self._do("counting", self._query, _SIZES)
        return Sizes(*row)

    async def password_hash(self, name: str) -> bytes | None:
        """See `polypaint.store.Store`."""
        rows = await self._do("reading an account", self._query, _HASH, name)
        return rows[0][0] if rows else None

    async def add_account(self, name: str, password_hash: bytes, now: float) -> bool:
        """See `polypaint.store.Store`."""
        values = (name, password_hash, now)
        return await self._do("creating an account", self._change, _ADD, *values) == 1

    async def set_password(self, name: str, password_hash: bytes) -> bool:
        """See `polypaint.store.Store`."""
        return await self._do("changing a password", self._change, _SET, password_hash, name) == 1

    async def accounts(self) -> list[StoredAccount]:
        """See `polypaint.store.Store`."""
        rows = await self._do("reading accounts", self._query, _ACCOUNTS)
        return [StoredAccount(*row) for row in rows]

    async def lobbies(self) -> list[StoredLobby]:
        """See `polypaint.store.Store`."""
        rows = await self._do("reading drawings", self._query, _LOBBIES)
        return [StoredLobby(number, LobbyInfo(*info), seq) for number, *info, seq in rows]

    async def load(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        """See `polypaint.store.Store`."""
        return await self._do("reading a drawing", self._load, number)

    async def save(
        self, lobby: StoredLobby, meta: dict[str, Any], blobs: list[bytes], now: float
    ) -> None:
        """See `polypaint.store.Store`."""
        await self._do("storing a drawing", self._save, lobby, meta, blobs, now)

    async def remove(self, number: int) -> None:
        """See `polypaint.store.Store`."""
        await self._do("forgetting a drawing", self._remove, number)

    async def write(self, changes: Changes) -> None:
        """See `polypaint.store.Store`."""
        await self._do("storing documents", self._write, changes)

    async def kinds(self) -> list[str]:
        """See `polypaint.store.Store`."""
        return [kind for (kind,) in await self._do("reading documents", self._query, _KINDS)]

    async def read(
        self, kind: str, after: str | None = None, limit: int | None = None
    ) -> list[tuple[str, bytes]]:
        """See `polypaint.store.Store`."""
        at_most = -1 if limit is None else limit
        if after is None:
            return await self._do("reading documents", self._query, _READ, kind, at_most)
        values = (kind, after, at_most)
        return await self._do("reading documents", self._query, _READ_AFTER, *values)

    async def read_one(self, kind: str, key: str) -> bytes | None:
        """See `polypaint.store.Store`."""
        rows = await self._do("reading a document", self._query, _READ_ONE, kind, key)
        return rows[0][0] if rows else None

    async def count(
        self, code: str, player: str, statut: str, now: float
    ) -> tuple[Counted, set[str]]:
        """See `polypaint.store.Store`."""
        return await self._do("storing a result", self._count, code, player, statut, now)

    async def results(self, after: tuple[str, str], limit: int) -> list[StoredResult]:
        """See `polypaint.store.Store`."""
        rows = await self._do("reading results", self._query, _RESULTS, *after, limit)
        return [StoredResult(*row) for row in rows]

    async def conflicts(self) -> list[StoredResult]:
        """See `polypaint.store.Store`."""
        rows = await self._do("reading results", self._query, _CONFLICTS)
        return [StoredResult(*row) for row in rows]

    async def record(self, player: str) -> PlayerRecord:
        """See `polypaint.store.Store`."""
        return await self._do("reading results", self._record, player)

    async def ranking(self, limit: int) -> list[PlayerRecord]:
        """See `polypaint.store.Store`."""
        rows = await self._do("reading results", self._query, _RANKING, limit)
        return [PlayerRecord(*row) for row in rows]

    async def check(self) -> list[str]:
        """See `polypaint.store.Store`."""
        return await self._do("checking", self._check)

    async def close(self) -> None:
        """See `polypaint.store.Store`."""
        await self._do("closing", self._db.close)
        self._thread.shutdown()

    # ------------------------------------------------------------ on the thread
    def _query(self, sql: str, *values: object) -> list[Any]:
        return self._db.execute(sql, values).fetchall()

    def _change(self, sql: str, *values: object) -> int:
        return self._db.execute(sql, values).rowcount

    def _save(
        self, lobby: StoredLobby, meta: dict[str, Any], blobs: list[bytes], now: float
    ) -> None:
        info = lobby.info
        row = (info.filename, info.owner, info.mode, info.protection, info.passcode, lobby.seq)
        if not meta:
            self._db.execute(_UPDATE, (*row, now, lobby.number))
            return
        parts = packed(blobs, PART_BYTES)
        db = self._db
        with _Transaction(db):
            db.execute(_REPLACE, (lobby.number, *row, orjson.dumps(meta), now))
            db.execute("DELETE FROM parts WHERE number = ?", (lobby.number,))
            numbered = [(lobby.number, i, part) for i, part in enumerate(parts)]
            db.executemany("INSERT INTO parts VALUES (?, ?, ?)", numbered)

    def _remove(self, number: int) -> None:
        with _Transaction(self._db):
            self._change("DELETE FROM parts WHERE number = ?", number)
            self._change("DELETE FROM lobbies WHERE number = ?", number)

    def _load(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        rows = self._query("SELECT meta FROM lobbies WHERE number = ?", number)
        if not rows:
            raise StoreError(f"there is no drawing number {number}")
        parts = self._query("SELECT data FROM parts WHERE number = ? ORDER BY part", number)
        try:
            return orjson.loads(rows[0][0]), unpacked(part for (part,) in parts)
        except (zlib.error, ValueError) as error:
            raise StoreError(f"drawing number {number} is damaged: {error}") from error

    def _write(self, changes: Changes) -> None:
        db = self._db
        kept = [(kind, key, body) for (kind, key), body in changes.items() if body is not None]
        gone = [name for name, body in changes.items() if body is None]
        with _Transaction(db):
            db.executemany(_PUT, kept)
            db.executemany(_FORGET, gone)

    def _count(self, code: str, player: str, statut: str, now: float) -> tuple[Counted, set[str]]:
        outcome = Counted.NEW
        with _Transaction(self._db):
            if not self._change(_COUNT, code, player, statut, now):
                ((known,),) = self._query(_RESULT, code, player)
                outcome = Counted.AGAIN if known == statut else Counted.CONFLICT
                if outcome is Counted.CONFLICT:
                    self._change(_CONFLICT, code, player, statut, now)
        return outcome, {name for (name,) in self._query(_RESULTS_OF_MATCH, code)}

    def _record(self, player: str) -> PlayerRecord:
        totals = dict(self._query(_TOTALS, player))
        history = self._query(_HISTORY, player, HISTORY_MAX)
        won, lost, drawn = (totals.get(statut, 0) for statut in ("victoire", "defaite", "nul"))
        return PlayerRecord(player, won, lost, drawn, tuple(history))

    def _check(self) -> list[str]:
        wrong = [f"store.db: {row[0]}" for row in self._query("PRAGMA integrity_check")]
        return [] if wrong == ["store.db: ok"] else wrong


_HASH: Final = "SELECT hash FROM accounts WHERE name = ?"
_ADD: Final = "INSERT INTO accounts VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_SET: Final = "UPDATE accounts SET hash = ? WHERE name = ?"
_SIZES: Final = (
    "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM lobbies), "
    "(SELECT count(*) FROM documents), (SELECT count(*) FROM results)"
)
_ACCOUNTS: Final = "SELECT name, created, hash FROM accounts ORDER BY name"
_PUT: Final = (
    "INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
)
_FORGET: Final = "DELETE FROM documents WHERE kind = ? AND key = ?"
_KINDS: Final = "SELECT DISTINCT kind FROM documents ORDER BY kind"
_READ: Final = "SELECT key, body FROM documents WHERE kind = ? ORDER BY key LIMIT ?"
_READ_AFTER: Final = (
    "SELECT key, body FROM documents WHERE kind = ? AND key > ? ORDER BY key LIMIT ?"
)
_READ_ONE: Final = "SELECT body FROM documents WHERE kind = ? AND key = ?"
_COUNT: Final = "INSERT INTO results VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_RESULT: Final = "SELECT statut FROM results WHERE code = ? AND player = ?"
_CONFLICT: Final = "INSERT INTO conflicts VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_RESULTS_OF_MATCH: Final = "SELECT player FROM results WHERE code = ?"
_RESULTS: Final = (
    "SELECT code, player, statut, at FROM results WHERE (code, player) > (?, ?) "
    "ORDER BY code, player LIMIT ?"
)
_CONFLICTS: Final = "SELECT code, player, statut, at FROM conflicts ORDER BY code, player, statut"
_TOTALS: Final = "SELECT statut, count(*) FROM results WHERE player = ? GROUP BY statut"
_HISTORY: Final = (
    "SELECT code, statut FROM results WHERE player = ? ORDER BY at DESC, code DESC LIMIT ?"
)
_RANKING: Final = (
    "SELECT player, sum(statut = 'victoire') AS won, sum(statut = 'defaite') AS lost, "
    "sum(statut = 'nul') FROM results GROUP BY player ORDER BY won DESC, lost, player LIMIT ?"
)
_LOBBIES: Final = (
    "SELECT number, filename, owner, mode, protection, passcode, seq FROM lobbies ORDER BY number"
)
_UPDATE: Final = (
    "UPDATE lobbies SET filename = ?, owner = ?, mode = ?, protection = ?, passcode = ?, seq = ?, "
    "saved = ? WHERE number = ?"
)
_REPLACE: Final = (
    "INSERT INTO lobbies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET "
    "protection = excluded.protection, passcode = excluded.passcode, seq = excluded.seq, "
    "meta = excluded.meta, saved = excluded.saved"
)


class SqliteJournal:
    """See `polypaint.store.Journal`."""

    def __init__(self, path: Path, synchronous: str = "OFF") -> None:
        self._path = path
        self._synchronous = synchronous
        self._reserve = path.with_name("reserve")
        self.torn_bytes = torn_bytes(path.with_name(path.name + "-wal"))
        self._db = _open(path, JOURNAL_VERSIONS, synchronous)

    @property
    def store(self) -> str:
        """See `polypaint.store.Journal`."""
        with _Translated("reading the journal"):
            row = self._db.execute("SELECT id FROM store").fetchone()
        return row[0] if row else ""

    def belong_to(self, store: str) -> None:
        """See `polypaint.store.Journal`."""
        if self.store != store:
            with _Translated("writing the journal"), _Transaction(self._db):
                self._db.execute("DELETE FROM store")
                self._db.execute("INSERT INTO store VALUES (?)", (store,))

    def commit(self, batches: list[tuple[int, bytes]]) -> None:
        """See `polypaint.store.Journal`."""
        db = self._db
        if len(batches) == 1:
            number, data = batches[0]
            try:
                db.execute(_COMMIT, (number, zlib.crc32(data), data))
            except (sqlite3.Error, OSError) as error:
                raise _translated("writing the journal", error) from error
            return
        with _Translated("writing the journal"):
            db.execute("BEGIN IMMEDIATE")  # no _Transaction here: this is the hot path
            try:
                rows = [(number, zlib.crc32(data), data) for number, data in batches]
                db.executemany(_COMMIT, rows)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def batches(self) -> Iterator[tuple[int, bytes]]:
        """See `polypaint.store.Journal`."""
        with _Translated("reading the journal"):
            for number, crc, data in self._db.execute("SELECT * FROM journal ORDER BY batch"):
                if zlib.crc32(data) != crc:
                    raise StoreError(f"journal batch {number} is damaged")
                yield number, data

    def trim(self, before: int) -> None:
        """See `polypaint.store.Journal`."""
        with _Translated("trimming the journal"):
            self._db.execute("DELETE FROM journal WHERE batch < ?", (before,))

    def use_reserve(self) -> bool:
        """See `polypaint.store.Journal`."""
        try:
            self._reserve.unlink()
        except FileNotFoundError:
            return False
        return True

    def fill_reserve(self) -> None:
        """See `polypaint.store.Journal`."""
        if self._reserve.exists() and self._reserve.stat().st_size == RESERVE_BYTES:
            return
        partial = self._reserve.with_name("reserve.partial")
        with _Translated("putting room by for a full disk"):
            try:
                partial.write_bytes(bytes(RESERVE_BYTES))
            except OSError:
                partial.unlink(missing_ok=True)
                raise
            partial.replace(self._reserve)

    def set_aside(self) -> str:
        """See `polypaint.store.Journal`."""
        aside = self._path.with_name(f"journal-damaged-{int(time.time())}.db")
        self.close()
        with _Translated("setting the journal aside"):
            self._path.rename(aside)
        self._db = _open(self._path, JOURNAL_VERSIONS, self._synchronous)
        return str(aside)

    def close(self) -> None:
        """See `polypaint.store.Journal`."""
        with _Translated("closing the journal"):
            self._db.close()


_COMMIT: Final = "INSERT INTO journal VALUES (?, ?, ?)"


def torn_bytes(wal: Path) -> int:
    """Bytes at the end of a write-ahead log that belong to a transaction that never ended.

    SQLite ignores them; they are worth a line in the log. Frames left over from before the log
    last began anew carry other salts and do not count.
    """
    try:
        data = wal.read_bytes()
    except FileNotFoundError:
        return 0
    if len(data) < WAL_HEADER:
        return len(data)
    frame = WAL_FRAME_HEADER + int.from_bytes(data[8:12], "big")
    salts = data[16:24]
    at = committed = WAL_HEADER
    while at + WAL_FRAME_HEADER <= len(data) and data[at + 8 : at + 16] == salts:
        commits = data[at + 4 : at + 8] != b"\0\0\0\0"
        at += frame
        if commits and at <= len(data):
            committed = at
    return min(at, len(data)) - committed
