"""A backup of a data folder, made while a server uses it or not; and a folder out of a backup.

The store is read in one transaction, which a server that writes does not notice. The journal's
file is locked by its server, so it is copied as it is, with its write-ahead log, until the log has
not begun anew meanwhile. What the server acknowledged before the backup began is in it: in the
journal, or in the store, which is read first; should the journal have forgotten something in
between, both are read again.

Counterpart: `folder.py`, which opens what this makes.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from polypaint.engine.journal_buffer import missing
from polypaint.errors import StoreError
from polypaint.store import mark, sqlite_check, wal
from polypaint.store.folder import JOURNAL, MARK, STORE, lock, need_store
from polypaint.store.mark import Mark
from polypaint.store.sqlite_files import Errors, files, text
from polypaint.store.sqlite_journal import SqliteJournal

TRIES: Final = 200
PAGES: Final = 1024
"""Of the store that are copied at once."""

Told = Callable[[int, int], None]
"""Called with how many pages of the store are copied, and how many there are."""


def backup(data: Path, to: Path, told: Told) -> list[str]:
    """Copy a data folder to a place where nothing is yet; what is damaged in the copy.

    Raises StoreError; then there is nothing at that place.
    """
    need_store(data)
    _must_be_free(to)
    held = _locked_if_stopped(data)
    try:
        return _made(data, to, told)
    finally:
        if held is not None:
            os.close(held)


def restore(backup: Path, data: Path, told: Told) -> list[str]:
    """Make a data folder, where none is yet, out of a backup; what is damaged in it.

    Raises StoreError; then there is nothing at that place.
    """
    if not (backup / STORE).is_file() or not (backup / JOURNAL).is_file():
        raise StoreError(f"{backup} is no backup: it has no {STORE} and {JOURNAL}")
    if data.is_dir() and not any(data.iterdir()):
        data.rmdir()
    _must_be_free(data)
    return _made(backup, data, told)


def _made(source: Path, to: Path, told: Told) -> list[str]:
    """All of it, or nothing."""
    with Errors(f"writing {to}", to):
        partial = Path(tempfile.mkdtemp(prefix=f"{to.name}.partial-", dir=to.parent))
    try:
        found = _copied(source, partial, told)
        _finish(partial, to)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return found


def _must_be_free(to: Path) -> None:
    if to.exists() or to.is_symlink():
        raise StoreError(f"{to} exists already: name a place where nothing is, or move it away")
    if not to.parent.is_dir():
        raise StoreError(f"there is no folder {to.parent}: make it first")


def _locked_if_stopped(data: Path) -> int | None:
    """The folder's lock, so that no server starts meanwhile; None while one runs."""
    try:
        held = lock(data)
    except StoreError:
        return None
    found = [p for name in (STORE, JOURNAL) for p in _damaged_log(data / name)]
    if found:
        os.close(held)
        raise StoreError(
            f"{found[0]}: run `polypaint-fast check`, start the server once, try again"
        )
    return held


def _damaged_log(database: Path) -> list[str]:
    main, log, _ = files(database)
    with Errors(f"reading {log}", database):
        return wal.scan(log, main).problems


def _copied(data: Path, to: Path, told: Told) -> list[str]:
    """The store's and the journal's files, of one moment."""
    with Errors(f"reading the data folder {data}", data / STORE):
        _, acknowledged = mark.read(data / MARK) or (0, 0)
        for _ in range(TRIES):
            needed = mark.read(data / MARK) or (0, 0)
            with closing(sqlite3.connect(data / STORE, isolation_level=None)) as source:
                source.execute("PRAGMA query_only = ON")
                source.execute("BEGIN")
                source.execute("SELECT count(*) FROM sqlite_master").fetchone()
                _copy_journal(data, to)
                if not _is_whole(to, needed, acknowledged):
                    continue  # the journal has forgotten what this reading of the store lacks
                return _copy_store(source, to / STORE, told)
    raise StoreError("the server forgets its journal faster than it can be read: try again later")


def _copy_journal(data: Path, to: Path) -> None:
    """The journal's two files. Raises OSError, StoreError."""
    database, log, _ = files(data / JOURNAL)
    copied_log = files(to / JOURNAL)[1]
    for _ in range(TRIES):
        for left in to.iterdir():
            left.unlink()
        before = _beginning(log)
        shutil.copyfile(database, to / JOURNAL)
        if before:
            shutil.copyfile(log, copied_log)
        if _beginning(log) == before:
            return
    raise StoreError("the server writes its journal faster than it can be read: try again later")


def _beginning(log: Path) -> bytes:
    """The header of a write-ahead log: it is another each time that the log begins anew."""
    try:
        with log.open("rb") as file:
            return file.read(wal.HEADER)
    except FileNotFoundError:
        return b""


def _is_whole(to: Path, needed: tuple[int, int], acknowledged: int) -> bool:
    """Has the copied journal everything that the store may lack?"""
    Mark(to / MARK, needed[0], max(needed[1], acknowledged)).close()
    journal = SqliteJournal(to / JOURNAL)
    try:
        numbers = [number for number, _ in journal.batches()]
        # Its log may have been copied while a frame of it was being written.
        return not journal.problems and not missing(numbers, *journal.needed)
    finally:
        journal.close()


def _copy_store(source: sqlite3.Connection, to: Path, told: Told) -> list[str]:
    """The store as the transaction of this connection sees it; what is damaged in it."""
    os.close(os.open(to, os.O_CREAT | os.O_RDWR, 0o600))
    with closing(sqlite3.connect(to, isolation_level=None)) as target:
        source.backup(
            target,
            pages=PAGES,
            progress=lambda _status, left, total: told(total - left, total),
            sleep=0,
        )
        target.text_factory = text
        return sqlite_check.problems(target)


def _finish(partial: Path, to: Path) -> None:
    """Everything is on the disk before it has its name."""
    with Errors(f"writing {to}", to):
        for path in [*partial.iterdir(), partial]:
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)
        partial.rename(to)
        folder = os.open(to.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
