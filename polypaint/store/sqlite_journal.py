"""The journal: one row of SQLite for each flush, written on the event loop.

In WAL mode without fsync a commit costs some 5 µs and survives a killed process; with durability
`power` every commit is synced. The file is locked for as long as it is open: to lock it for each
commit would cost as much again. Each row has a checksum, each record in it one of its own
(`engine/journal_buffer.py`), and the mark beside the file says which rows there must be.

Must never be imported by the domain. Counterpart: `polypaint.store.Journal`, the contract.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from polypaint.engine import checksum
from polypaint.engine.journal_buffer import checked
from polypaint.errors import StoreDamaged, StoreError
from polypaint.store import mark
from polypaint.store.mark import Mark
from polypaint.store.sqlite_files import (
    Errors,
    Step,
    Transaction,
    mend_log,
    move_aside,
    opened,
    rows_of,
    run_all,
    translated,
)

RESERVE_BYTES: Final = 4 << 20
TRIM_BYTES: Final = 1 << 20
"""What is forgotten at once: it happens on the event loop."""
TRIM_ROWS: Final = 500

SCHEMA: Final = """
CREATE TABLE journal (
    batch INTEGER PRIMARY KEY,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT
"""
SCHEMA_2: Final = """
CREATE TABLE store (id TEXT NOT NULL) STRICT
"""
SCHEMA_3: Final = """
CREATE TABLE batches (
    batch INTEGER PRIMARY KEY,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
ALTER TABLE store ADD COLUMN crc INTEGER NOT NULL DEFAULT 0
"""


def _third(db: sqlite3.Connection) -> None:
    """Version 3: checksums also cover a row's number, and records have their own.

    What is in the old table, without those, is still read until it is forgotten.
    """
    run_all(db, SCHEMA_3)
    for (identity,) in db.execute("SELECT id FROM store").fetchall():
        db.execute("UPDATE store SET crc = ?", (checksum.of_fields(identity),))


VERSIONS: Final[tuple[Step, ...]] = (SCHEMA, SCHEMA_2, _third)
_COMMIT: Final = "INSERT INTO batches VALUES (?, ?, ?)"
_ROW: Final = Struct("<QQ")


def _row_sum(number: int, data: bytes) -> int:
    """Of a row's number and length: the records in it have checksums of what they say."""
    return crc32(_ROW.pack(number, len(data)))


class SqliteJournal:
    """Numbered batches of records in a file, see `polypaint.store.Journal`."""

    def __init__(self, path: Path, synchronous: str = "OFF") -> None:
        self._path = path
        self._synchronous = synchronous
        self._reserve = path.with_name("reserve")
        self._mark_path = path.with_name("journal.mark")
        self._mark: Mark | None = None
        self.problems, self.torn_bytes = mend_log(path)
        with Errors("reading the journal's mark", path):
            self._needed = mark.read(self._mark_path)
        try:
            self._open()
        except StoreDamaged as error:
            kept = move_aside(path)
            self.problems.append(f"{error}: none of it could be read; it was kept as {kept.name}")
            self._open()

    def _open(self) -> None:
        self._db = opened(self._path, VERSIONS, self._synchronous, locking="EXCLUSIVE")
        self._execute = self._db.cursor().execute

    @property
    def store(self) -> str:
        """The identity of the store to which it belongs; empty before the first, and unknown."""
        with Errors("reading the journal", self._path):
            rows = self._db.execute("SELECT id, crc FROM store").fetchall()
        return str(rows[0][0]) if rows and checksum.of_fields(rows[0][0]) == rows[0][1] else ""

    def belong_to(self, store: str) -> None:
        if self.store != store:
            with Errors("writing the journal", self._path), Transaction(self._db):
                self._db.execute("DELETE FROM store")
                self._db.execute(
                    "INSERT INTO store VALUES (?, ?)", (store, checksum.of_fields(store))
                )

    # ------------------------------------------------------------ the hot path
    def commit(self, batches: list[tuple[int, bytes]]) -> None:
        if len(batches) == 1:
            number, data = batches[0]
            try:
                self._execute(_COMMIT, (number, _row_sum(number, data), data))
            except (sqlite3.Error, OSError) as error:
                raise translated("writing the journal", error, self._path) from error
        else:
            self._commit_all(batches)
            number = batches[-1][0]
        (self._mark or self._marked()).committed(number)

    def _commit_all(self, batches: list[tuple[int, bytes]]) -> None:
        rows = [(number, _row_sum(number, data), data) for number, data in batches]
        with Errors("writing the journal", self._path), Transaction(self._db):
            self._db.executemany(_COMMIT, rows)

    # ------------------------------------------------------------ everything else
    def _marked(self) -> Mark:
        """The mark, from the first change on: who only looks leaves it as it is."""
        first, last = self._needed or (0, 0)
        if self._mark is None:
            with Errors("writing the journal's mark", self._path):
                self._mark = Mark(self._mark_path, first, last)
        return self._mark

    @property
    def needed(self) -> tuple[int, int]:
        """(first, last): batches that it must have; last is 0 where that is not known."""
        if self._mark is not None:
            return self._mark.first, self._mark.last
        return self._needed or (0, 0)

    def batches(self) -> Iterator[tuple[int, bytes]]:
        first, _ = self.needed
        if self._needed is None:
            self._note("journal.mark is damaged: whether the journal's end is there is not known")
        for number, data in self._old_batches():
            if number >= first:
                yield number, data
        with Errors("reading the journal", self._path):
            rows, whole = rows_of(self._db, "batches", "batch", "batch, crc, data")
        if not whole:
            self._note("journal.db is damaged: some of it cannot be read")
        for number, crc, data in rows:
            if number < first:
                continue
            data = data if isinstance(data, bytes) else b""  # the type of a value is damaged, too
            if _row_sum(number, data) != crc:
                self._note(f"journal batch {number} is damaged")
            yield number, data

    def _old_batches(self) -> Iterator[tuple[int, bytes]]:
        """Those of format 2, whose records had no checksums."""
        with Errors("reading the journal", self._path):
            rows, whole = rows_of(self._db, "journal", "batch", "batch, crc, data")
        if not whole:
            self._note("journal.db is damaged: some of it cannot be read")
        for number, crc, data in rows:
            try:
                if not isinstance(data, bytes) or crc32(data) != crc:
                    raise StoreError("its checksum is wrong")
                yield number, checked(data)
            except StoreError as error:
                self._note(f"journal batch {number} is damaged: {error}")

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    @property
    def empty(self) -> bool:
        """Is there nothing that the store may not have?"""
        first, last = self.needed
        return last < first and next(self.batches(), None) is None

    def trim(self, before: int) -> bool:
        self._marked().forgotten(before)
        with Errors("trimming the journal", self._path):
            self._db.execute("DELETE FROM journal WHERE batch < ?", (before,))
            rows = self._db.execute(_OLDEST, (before, TRIM_ROWS)).fetchall()
            size, end = 0, 0
            for number, length in rows:
                size, end = size + length, number
                if size >= TRIM_BYTES:
                    break
            self._db.execute("DELETE FROM batches WHERE batch <= ?", (end,))
        return bool(rows) and (end != rows[-1][0] or len(rows) == TRIM_ROWS)

    def use_reserve(self) -> bool:
        try:
            self._reserve.unlink()
        except OSError:  # there is none, or its disk is read-only
            return False
        return True

    def fill_reserve(self) -> None:
        partial = self._reserve.with_name("reserve.partial")
        with Errors("putting room by for a full disk", self._path):
            if self._reserve.exists() and self._reserve.stat().st_size == RESERVE_BYTES:
                return
            try:
                partial.write_bytes(bytes(RESERVE_BYTES))
            except OSError:
                partial.unlink(missing_ok=True)
                raise
            partial.replace(self._reserve)

    def set_aside(self) -> str:
        _, last = self.needed
        self.close()
        kept = move_aside(self._path)
        self._open()
        self._needed = (last + 1, last)
        self._marked()
        return kept.name

    def close(self) -> None:
        if self._mark is not None:
            self._mark.close()
            self._mark = None
        with Errors("closing the journal", self._path):
            self._db.close()


_OLDEST: Final = "SELECT batch, length(data) FROM batches WHERE batch < ? ORDER BY batch LIMIT ?"
