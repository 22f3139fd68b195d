"""The embedded store: accounts, drawings, documents and results in one file of SQLite.

One thread of its own writes, and another reads, so that whoever logs in does not wait for a large
drawing to be stored. Every row has a checksum, which is checked whenever it is read. The file is
not locked while it is open: a backup, or SQLite's own tools, may read it.

Must never be imported by the domain. Counterparts: `polypaint.store`, the contract;
`sqlite_check.py`, which looks at the whole file.
"""

import asyncio
import sqlite3
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from polypaint.engine import checksum
from polypaint.engine.documents import Changes
from polypaint.errors import StoreDamaged, StoreError
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.store import (
    HISTORY_MAX,
    Counted,
    PlayerRecord,
    Sizes,
    StoredAccount,
    StoredLobby,
    StoredResult,
)
from polypaint.store import sqlite_check as checks
from polypaint.store.blobs import of_content, packed, unpacked
from polypaint.store.sqlite_files import (
    Errors,
    Step,
    Transaction,
    connect,
    mend_log,
    opened,
    run_all,
)
from polypaint.worker_threads import pool

PART_BYTES: Final = 1 << 20

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
STORE_SCHEMA_4: Final = """
ALTER TABLE accounts ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lobbies ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lobbies ADD COLUMN content_crc INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conflicts ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
CREATE TABLE totals (
    player TEXT PRIMARY KEY,
    won INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    drawn INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX totals_ranked ON totals (won DESC, lost, player);
CREATE TABLE damaged (
    what TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE TABLE ancestors (id TEXT PRIMARY KEY) WITHOUT ROWID, STRICT
"""

T = TypeVar("T")


def _fourth(db: sqlite3.Connection) -> None:
    """Version 4: checksums; totals of results; a place for what is damaged."""
    run_all(db, STORE_SCHEMA_4)
    checks.seal(db)
    checks.count_totals(db)


STORE_VERSIONS: Final[tuple[Step, ...]] = (
    STORE_SCHEMA,
    STORE_SCHEMA_2,
    STORE_SCHEMA_3,
    _fourth,
)
"""What makes each version of the file out of the one before."""


class SqliteStore:
    """Accounts, drawings, documents and results in a file, see `polypaint.store.Store`."""

    def __init__(self, path: Path, synchronous: str = "NORMAL") -> None:
        self.away = False
        self._path = path
        self._synchronous = synchronous
        self.problems, self.torn_bytes = mend_log(path)
        self._open()
        self._thread = pool("store")
        self._reading = pool("store-read")

    def _open(self) -> None:
        try:
            self._db = opened(self._path, STORE_VERSIONS, self._synchronous)
        except StoreDamaged as error:
            raise StoreDamaged(
                f"{error}: nothing in it can be read; restore a backup of the data folder with "
                "`polypaint-fast restore`, or move this file away if it is not needed"
            ) from error
        with Errors(str(self._path), self._path):
            self._reader = connect(self._path, self._synchronous)
            self._reader.execute("PRAGMA query_only = ON")

    async def _do(self, what: str, work: Callable[..., T], *arguments: object) -> T:
        """On the thread that writes."""
        return await self._on(self._thread, what, work, *arguments)

    async def _ask(self, what: str, sql: str, *values: object) -> list[Any]:
        """Something small, on the thread that reads: it waits for nothing that is written."""

        def query() -> list[Any]:
            return self._reader.execute(sql, values).fetchall()

        return await self._on(self._reading, what, query)

    async def _on(
        self, thread: ThreadPoolExecutor, what: str, work: Callable[..., T], *arguments: object
    ) -> T:
        def done() -> T:
            with Errors(what, self._path):
                return work(*arguments)
            raise AssertionError("unreachable")

        try:
            result = await asyncio.get_running_loop().run_in_executor(thread, done)
        except StoreError as error:
            self.away = isinstance(error.__cause__, sqlite3.OperationalError | OSError)
            raise
        self.away = False
        return result

    async def start(self) -> None:
        """Nothing is left to do: the file was opened, and brought up to date, at once."""

    async def identity(self) -> str:
        rows = await self._ask("reading", "SELECT id FROM identity")
        if len(rows) != 1:
            raise StoreDamaged(f"{self._path}: its identity is damaged")
        return str(rows[0][0])

    async def ancestors(self) -> set[str]:
        return {name for (name,) in await self._ask("reading", "SELECT id FROM ancestors")}

    async def descend_from(self, identities: set[str]) -> None:
        rows = [(identity,) for identity in identities]

        def note() -> None:
            self._db.executemany("INSERT INTO ancestors VALUES (?) ON CONFLICT DO NOTHING", rows)

        await self._do("noting where a copy comes from", note)

    async def sizes(self) -> Sizes:
        (row,) = await self._do("counting", self._query, _SIZES)
        return Sizes(*row)

    async def password_hash(self, name: str) -> bytes | None:
        rows = await self._ask("reading an account", _ACCOUNT, name)
        for created, password_hash, crc in rows:
            if checksum.of_fields(name, password_hash, created) != crc:
                raise StoreDamaged(f"the account {name!r} is damaged; give it another password")
            return bytes(password_hash)
        return None

    async def add_account(self, name: str, password_hash: bytes, now: float) -> bool:
        created = float(now)
        values = (name, password_hash, created, checksum.of_fields(name, password_hash, created))
        return await self._do("creating an account", self._change, _ADD, *values) == 1

    async def set_password(self, name: str, password_hash: bytes) -> bool:
        return await self._do("changing a password", self._set_password, name, password_hash)

    async def accounts(self) -> list[StoredAccount]:
        rows = await self._do("reading accounts", self._query, _ACCOUNTS)
        return [StoredAccount(*row) for row in rows]

    async def lobbies(self) -> list[StoredLobby]:
        rows = await self._do("reading drawings", self._query, _LOBBIES)
        return [
            StoredLobby(row[0], LobbyRules(*row[1:6]), row[6])
            for *row, crc in rows
            if checksum.of_fields(*row) == crc
        ]

    async def load(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        return await self._do("reading a drawing", self._load, number)

    async def save(
        self, lobby: StoredLobby, meta: dict[str, Any], blobs: list[bytes], now: float
    ) -> None:
        await self._do("storing a drawing", self._save, lobby, meta, blobs, now)

    async def remove(self, number: int) -> None:
        await self._do("forgetting a drawing", self._remove, number)

    async def write(self, changes: Changes) -> None:
        await self._do("storing documents", self._write, changes)

    async def kinds(self) -> list[str]:
        return [kind for (kind,) in await self._do("reading documents", self._query, _KINDS)]

    async def read(
        self, kind: str, after: str | None = None, limit: int | None = None
    ) -> list[tuple[str, bytes]]:
        at_most = -1 if limit is None else limit
        if after is None:
            rows = await self._do("reading documents", self._query, _READ, kind, at_most)
        else:
            values = (kind, after, at_most)
            rows = await self._do("reading documents", self._query, _READ_AFTER, *values)
        return [
            (key, body) for key, body, crc in rows if checksum.of_fields(kind, key, body) == crc
        ]

    async def read_one(self, kind: str, key: str) -> bytes | None:
        rows = await self._ask("reading a document", _READ_ONE, kind, key)
        for body, crc in rows:
            if checksum.of_fields(kind, key, body) != crc:
                raise StoreDamaged(f"the document {kind} {key!r} is damaged")
            return bytes(body)
        return None

    async def count(
        self, code: str, player: str, statut: str, now: float
    ) -> tuple[Counted, set[str]]:
        return await self._do("storing a result", self._count, code, player, statut, now)

    async def results(self, after: tuple[str, str], limit: int) -> list[StoredResult]:
        rows = await self._do("reading results", self._query, _RESULTS, *after, limit)
        return [StoredResult(*row) for row in rows]

    async def conflicts(self) -> list[StoredResult]:
        rows = await self._do("reading results", self._query, _CONFLICTS)
        return [StoredResult(*row) for row in rows]

    async def record(self, player: str) -> PlayerRecord:
        totals = await self._ask("reading results", _TOTALS, player)
        history = await self._ask("reading results", _HISTORY, player, HISTORY_MAX)
        won, lost, drawn = totals[0] if totals else (0, 0, 0)
        return PlayerRecord(player, won, lost, drawn, tuple(history))

    async def ranking(self, limit: int) -> list[PlayerRecord]:
        rows = await self._ask("reading results", _RANKING, limit)
        return [PlayerRecord(*row) for row in rows]

    async def check(self) -> list[str]:
        return await self._do("checking", lambda: checks.problems(self._db))

    async def set_aside_damaged(self) -> list[str]:
        return self.problems + await self._do("checking", self._set_aside_damaged)

    async def close(self) -> None:
        await self._on(self._reading, "closing", self._reader.close)
        await self._do("closing", self._db.close)
        self._thread.shutdown()
        self._reading.shutdown()

    # ------------------------------------------------------------ on the thread
    def _query(self, sql: str, *values: object) -> list[Any]:
        return self._db.execute(sql, values).fetchall()

    def _change(self, sql: str, *values: object) -> int:
        return self._db.execute(sql, values).rowcount

    def _set_password(self, name: str, password_hash: bytes) -> bool:
        with Transaction(self._db):
            rows = self._query("SELECT created FROM accounts WHERE name = ?", name)
            for (created,) in rows:
                crc = checksum.of_fields(name, password_hash, created)
                self._change(_SET, password_hash, crc, name)
        return bool(rows)

    def _save(
        self, lobby: StoredLobby, meta: dict[str, Any], blobs: list[bytes], now: float
    ) -> None:
        info = lobby.info
        row = (info.filename, info.owner, info.mode, info.protection, info.passcode, lobby.seq)
        crc = checksum.of_fields(lobby.number, *row)
        if not meta:
            self._db.execute(_UPDATE, (*row, now, crc, lobby.number))
            return
        parts = packed(blobs, PART_BYTES)
        about = orjson.dumps(meta)
        content_crc = of_content(about, parts)
        db = self._db
        with Transaction(db):
            db.execute(_REPLACE, (lobby.number, *row, about, now, crc, content_crc))
            db.execute("DELETE FROM parts WHERE number = ?", (lobby.number,))
            numbered = [(lobby.number, i, part) for i, part in enumerate(parts)]
            db.executemany("INSERT INTO parts VALUES (?, ?, ?)", numbered)

    def _remove(self, number: int) -> None:
        with Transaction(self._db):
            self._change("DELETE FROM parts WHERE number = ?", number)
            self._change("DELETE FROM lobbies WHERE number = ?", number)

    def _load(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        rows = self._query("SELECT meta, content_crc FROM lobbies WHERE number = ?", number)
        if not rows:
            raise StoreError(f"there is no drawing number {number}")
        ((meta, crc),) = rows
        parts = [part for (part,) in self._query(checks.PARTS, number)]
        if of_content(meta, parts) != crc:
            raise StoreDamaged(f"drawing number {number} is damaged")
        try:
            return orjson.loads(meta), unpacked(parts)
        except (zlib.error, ValueError) as error:
            raise StoreDamaged(f"drawing number {number} is damaged: {error}") from error

    def _write(self, changes: Changes) -> None:
        db = self._db
        kept = [
            (kind, key, body, checksum.of_fields(kind, key, body))
            for (kind, key), body in changes.items()
            if body is not None
        ]
        gone = [name for name, body in changes.items() if body is None]
        with Transaction(db):
            db.executemany(_PUT, kept)
            db.executemany(_FORGET, gone)

    def _count(self, code: str, player: str, statut: str, now: float) -> tuple[Counted, set[str]]:
        outcome = Counted.NEW
        at = float(now)
        row = (code, player, statut, at, checksum.of_fields(code, player, statut, at))
        with Transaction(self._db):
            if self._change(_COUNT, *row):
                counts = [int(statut == each) for each in checks.STATUTS]
                self._change(_ADD_TO_TOTALS, player, *counts)
            else:
                ((known,),) = self._query(_RESULT, code, player)
                outcome = Counted.AGAIN if known == statut else Counted.CONFLICT
                if outcome is Counted.CONFLICT:
                    self._change(_CONFLICT, *row)
        return outcome, {name for (name,) in self._query(_RESULTS_OF_MATCH, code)}

    def _set_aside_damaged(self) -> list[str]:
        found = checks.structure(self._db)
        if found:
            self._reader.close()
            self._db.close()
            found += checks.rebuild(self._path, STORE_VERSIONS)
            self._open()
        return found + checks.set_aside(self._db)


_ACCOUNT: Final = "SELECT created, hash, crc FROM accounts WHERE name = ?"
_ADD: Final = "INSERT INTO accounts VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_SET: Final = "UPDATE accounts SET hash = ?, crc = ? WHERE name = ?"
_SIZES: Final = (
    "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM lobbies), "
    "(SELECT count(*) FROM documents), (SELECT count(*) FROM results)"
)
_ACCOUNTS: Final = "SELECT name, created, hash FROM accounts ORDER BY name"
_PUT: Final = (
    "INSERT INTO documents VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body, "
    "crc = excluded.crc"
)
_FORGET: Final = "DELETE FROM documents WHERE kind = ? AND key = ?"
_KINDS: Final = "SELECT DISTINCT kind FROM documents ORDER BY kind"
_READ: Final = "SELECT key, body, crc FROM documents WHERE kind = ? ORDER BY key LIMIT ?"
_READ_AFTER: Final = (
    "SELECT key, body, crc FROM documents WHERE kind = ? AND key > ? ORDER BY key LIMIT ?"
)
_READ_ONE: Final = "SELECT body, crc FROM documents WHERE kind = ? AND key = ?"
_COUNT: Final = "INSERT INTO results VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_RESULT: Final = "SELECT statut FROM results WHERE code = ? AND player = ?"
_CONFLICT: Final = "INSERT INTO conflicts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_RESULTS_OF_MATCH: Final = "SELECT player FROM results WHERE code = ?"
_RESULTS: Final = (
    "SELECT code, player, statut, at FROM results WHERE (code, player) > (?, ?) "
    "ORDER BY code, player LIMIT ?"
)
_CONFLICTS: Final = "SELECT code, player, statut, at FROM conflicts ORDER BY code, player, statut"
_ADD_TO_TOTALS: Final = (
    "INSERT INTO totals VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET won = won + excluded.won, "
    "lost = lost + excluded.lost, drawn = drawn + excluded.drawn"
)
_TOTALS: Final = "SELECT won, lost, drawn FROM totals WHERE player = ?"
_HISTORY: Final = (
    "SELECT code, statut FROM results WHERE player = ? ORDER BY at DESC, code DESC LIMIT ?"
)
_RANKING: Final = (
    "SELECT player, won, lost, drawn FROM totals ORDER BY won DESC, lost, player LIMIT ?"
)
_LOBBIES: Final = (
    "SELECT number, filename, owner, mode, protection, passcode, seq, crc FROM lobbies "
    "ORDER BY number"
)
_UPDATE: Final = (
    "UPDATE lobbies SET filename = ?, owner = ?, mode = ?, protection = ?, passcode = ?, seq = ?, "
    "saved = ?, crc = ? WHERE number = ?"
)
_REPLACE: Final = (
    "INSERT INTO lobbies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE "
    "SET filename = excluded.filename, owner = excluded.owner, mode = excluded.mode, "
    "protection = excluded.protection, passcode = excluded.passcode, seq = excluded.seq, "
    "meta = excluded.meta, saved = excluded.saved, crc = excluded.crc, "
    "content_crc = excluded.content_crc"
)
