"""Files of SQLite: how they are opened, brought up to date and mended, and what its errors mean.

Counterparts: `sqlite_store.py` and `sqlite_journal.py`, whose files these are.
"""

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from polypaint.errors import StoreDamaged, StoreError, StoreFull
from polypaint.store import wal
from polypaint.store.translated import Translated

NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
READ_ONLY: Final = {errno.EROFS, errno.EACCES, errno.EPERM}
READING: Final = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises; the latter when SQLite's own message quotes nonsense."""
DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
BUSY_S: Final = 5.0
PROBE_BYTES: Final = 1 << 16

Step = str | Callable[[sqlite3.Connection], None]
"""What makes one version of a file out of the one before."""


class Errors(Translated):
    """Errors of SQLite, and of the files that it works on. path: of the database."""

    def __init__(self, what: str, path: Path | None = None) -> None:
        super().__init__(what)
        self._path = path

    def ours(self, error: BaseException) -> StoreError | None:
        """Every error of SQLite and of the operating system."""
        if isinstance(error, UnicodeDecodeError):
            return StoreDamaged(f"{self.what}: it holds what is no text")
        if isinstance(error, sqlite3.Error | OSError):
            return translated(self.what, error, self._path)
        return None


class Transaction:
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


def translated(what: str, error: sqlite3.Error | OSError, path: Path | None = None) -> StoreError:
    """An error as ours: a full disk, one that is read-only, one that fails, and damage differ."""
    if isinstance(error, OSError):
        return _by_number(what, error.errno or 0, error.strerror or str(error))
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"{what}: no room on the disk ({error})")
    if code in DAMAGED:
        return StoreDamaged(f"{what}: {error}")
    if code == sqlite3.SQLITE_READONLY:
        return _by_number(what, errno.EROFS, str(error))
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        number = _probed(path) if path is not None else errno.EIO
        return _by_number(what, number or errno.EIO, str(error))
    return StoreError(f"{what}: {error}")


def _by_number(what: str, number: int, says: str) -> StoreError:
    if number in NO_ROOM:
        return StoreFull(f"{what}: no room on the disk ({says})")
    if number in READ_ONLY:
        return StoreError(
            f"{what}: it may not be written ({says}): see to its owner and permissions, and "
            "whether its disk is mounted read-only"
        )
    if number == errno.EIO:
        return StoreError(f"{what}: the disk fails ({says}): look at the system's log")
    return StoreError(f"{what}: {says}")


def _probed(path: Path) -> int:
    """What the operating system says of writing where a file is; 0: nothing is wrong.

    SQLite says only that it could not write.
    """
    probe = path.with_name(f"{path.name}-probe-{os.getpid()}")
    try:
        size = max((p.stat().st_size for p in files(path) if p.exists()), default=0)
        file = os.open(probe, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, bytes(PROBE_BYTES), size)
        finally:
            os.close(file)
            probe.unlink()
    except OSError as error:
        return error.errno or 0
    return 0


def files(path: Path) -> tuple[Path, Path, Path]:
    """A database, its write-ahead log, and the log's index."""
    return path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def connect(path: Path, synchronous: str, locking: str = "NORMAL") -> sqlite3.Connection:
    """A connection to a file, which nobody but its owner may read. Raises sqlite3.Error."""
    # SQLite gives its other files the same mode. A file that is there is not opened here: to close
    # it would release the locks of this process's other connections, and another process would
    # take the write-ahead log for left over.
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    try:
        db.text_factory = text
        db.execute(f"PRAGMA locking_mode = {locking}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
    except BaseException:
        db.close()
        raise
    return db


def text(data: bytes) -> str:
    """Text of a damaged row must not stop the reading of the others."""
    return data.decode(errors="surrogateescape")


def opened(
    path: Path, versions: tuple[Step, ...], synchronous: str, locking: str = "NORMAL"
) -> sqlite3.Connection:
    """A connection to a file, brought to the newest version. Raises StoreError."""
    with Errors(str(path), path):
        db = connect(path, synchronous, locking)
        try:
            _migrate(db, path, versions)
        except BaseException:
            db.close()
            raise
    return db


def _migrate(db: sqlite3.Connection, path: Path, versions: tuple[Step, ...]) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    newest = len(versions)
    if version > newest:
        raise StoreError(
            f"{path} was written by another version of polypaint-fast "
            f"(format {version}, this one knows {newest}); start that version instead"
        )
    for number, step in enumerate(versions[version:], version + 1):
        with Transaction(db):
            if callable(step):
                step(db)
            else:
                run_all(db, step)
            db.execute(f"PRAGMA user_version = {number}")


def run_all(db: sqlite3.Connection, statements: str) -> None:
    """Several statements in the transaction that is open: `executescript` would end it."""
    for statement in filter(None, map(str.strip, statements.split(";"))):
        db.execute(statement)


def mend_log(path: Path) -> tuple[list[str], int]:
    """Before a database is opened: correct its write-ahead log. Raises StoreError.

    Returns sentences about what was wrong, and how many bytes belong to a write that was never
    finished. What was damaged is kept beside it.
    """
    database, log, _ = files(path)
    with Errors(str(log), path):
        found = wal.scan(log, database)
        if found.problems:
            kept = aside(database)
            for original, copy in zip(files(database), files(kept), strict=True):
                if original.exists():
                    shutil.copyfile(original, copy)
            wal.mend(log, found)
            found.problems.append(f"{database.name} was kept as it was, as {kept.name}")
    return found.problems, found.torn_bytes


def aside(path: Path) -> Path:
    """A name for what is damaged."""
    for attempt in range(1000):
        suffix = f"-{attempt}" if attempt else ""
        name = path.with_name(f"{path.stem}-damaged-{int(time.time())}{suffix}{path.suffix}")
        if not name.exists():
            return name
    raise StoreError(f"{path.parent} is full of damaged files; move them away")


def move_aside(path: Path) -> Path:
    """Give a database that is closed, with its log, another name. Raises StoreError."""
    kept = aside(path)
    with Errors(f"setting {path.name} aside", path):
        for original, new in zip(files(path), files(kept), strict=True):
            if original.exists():
                original.rename(new)
    return kept


def rows_of(db: sqlite3.Connection, table: str, key: str, columns: str) -> tuple[list[Any], bool]:
    """All rows that can be read, by their key, and whether that is all that there are.

    Where a page is damaged, what comes before it is read forwards, what comes after it backwards.
    """
    forwards: list[Any] = []
    try:
        for row in db.execute(f"SELECT {columns} FROM {table} ORDER BY {key}"):  # noqa: S608
            forwards.append(row)  # noqa: PERF402
    except READING:
        pass
    else:
        return forwards, True
    backwards: list[Any] = []
    descending = ", ".join(f"{name} DESC" for name in key.split(", "))
    try:
        for row in db.execute(f"SELECT {columns} FROM {table} ORDER BY {descending}"):  # noqa: S608
            backwards.append(row)  # noqa: PERF402
    except READING:
        pass
    known = set(forwards)
    return forwards + [row for row in reversed(backwards) if row not in known], False
