"""The data folder: whose it is, the journal in it, and the store, which may be elsewhere.

Counterparts: `sqlite_store.py`, `sqlite_journal.py` and `mongo.py`; `runtime/server.py` and
`cli/admin.py` open it.
"""

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from polypaint.errors import StoreError
from polypaint.store import Journal, Store, wal
from polypaint.store.sqlite_files import READING, Errors, files
from polypaint.store.sqlite_journal import SqliteJournal
from polypaint.store.sqlite_store import SqliteStore

SQLITE: Final = "sqlite"
STORE: Final = "store.db"
JOURNAL: Final = "journal.db"
MARK: Final = "journal.mark"
LOCK: Final = "lock"


class DataFolder:
    """A folder that one process uses at a time. Raises StoreError when another does.

    store: `sqlite`, in the folder, or the address of a MongoDB.
    """

    store: Store
    journal: Journal

    def __init__(self, path: Path, durability: str = "process", store: str = SQLITE) -> None:
        self.path = path
        self._lock = lock(path)
        power = durability == "power"
        try:
            if store == SQLITE:
                need_store(path)
            self.store = open_store(store, path, "FULL" if power else "NORMAL")
            self.journal = SqliteJournal(path / JOURNAL, "FULL" if power else "OFF")
        except BaseException:
            os.close(self._lock)
            raise

    async def close(self) -> None:
        """Release everything."""
        await self.store.close()
        self.journal.close()
        os.close(self._lock)


def lock(path: Path) -> int:
    """Take a folder for this process, and make it if there is none; close what this returns.

    Raises StoreError when another process has it.
    """
    held = -1
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"the data folder {path}: {error.strerror}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise StoreError(
            f"the data folder {path} is in use by another polypaint-fast; "
            "stop it, or choose another folder with --data"
        ) from None
    return held


def need_store(path: Path) -> None:
    """Raises StoreError when other files say that a store should be here, and it is not."""
    if (path / STORE).exists():
        return
    left = [name for name in (JOURNAL, MARK, f"{STORE}-wal") if (path / name).exists()]
    if left:
        raise StoreError(
            f"the data folder {path} has {' and '.join(left)}, but no {STORE}: put it back, or "
            "restore a backup with `polypaint-fast restore`. If this server keeps everything in a "
            "database, name it with --store; to begin with nothing, take another --data"
        )


def open_store(store: str, path: Path, synchronous: str = "NORMAL") -> Store:
    """The store with this address; `sqlite`: the one in this folder. Raises StoreError."""
    if store == SQLITE:
        return SqliteStore(path / STORE, synchronous)
    from polypaint.store.mongo import MongoStore  # who does not use it need not load it

    return MongoStore(store)


@contextmanager
def to_look_at(path: Path) -> Iterator[Path]:
    """A folder that may be opened without changing anything in this one.

    This one itself, unless it is damaged so that opening it would mend it: then a copy, for as
    long as it is needed. Raises StoreError.
    """
    if not any(_would_be_mended(path / name) for name in (STORE, JOURNAL)):
        yield path
        return
    held = lock(path)
    try:
        with Errors(f"copying what is damaged in {path}", path / JOURNAL):
            folder = tempfile.TemporaryDirectory(prefix="check-", dir=path)
            for name in (STORE, JOURNAL):
                for file in files(path / name)[:2]:
                    if file.exists():
                        shutil.copyfile(file, Path(folder.name, file.name))
            if (path / MARK).exists():
                shutil.copyfile(path / MARK, Path(folder.name, MARK))
        with folder:
            yield Path(folder.name)
    finally:
        os.close(held)


def _would_be_mended(database: Path) -> bool:
    if not database.exists():
        return False
    main, log, _ = files(database)
    with Errors(str(database), database):
        if wal.scan(log, main).problems:
            return True
    try:
        with closing(sqlite3.connect(f"file:{main}?mode=ro&immutable=1", uri=True)) as db:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except READING:
        return True
    return False
