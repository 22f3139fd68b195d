"""The data folder: whose it is, the journal in it, and the store, which may be elsewhere.

Counterparts: `sqlite.py` and `mongo.py`; `server.py` and `admin.py` open it.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from polypaint.errors import StoreError
from polypaint.store import Journal, Store
from polypaint.store.sqlite import SqliteJournal, SqliteStore

SQLITE: Final = "sqlite"


class DataFolder:
    """A folder that one process uses at a time. Raises StoreError when another does.

    store: `sqlite`, in the folder, or the address of a MongoDB.
    """

    store: Store
    journal: Journal

    def __init__(self, path: Path, durability: str = "process", store: str = SQLITE) -> None:
        self.path = path
        self._lock = -1
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(f"the data folder {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StoreError(
                f"the data folder {path} is in use by another polypaint-fast; "
                "stop it, or choose another folder with --data"
            ) from None
        synchronous = "FULL" if durability == "power" else "OFF"
        try:
            self.store = open_store(store, path, synchronous)
            self.journal = SqliteJournal(path / "journal.db", synchronous)
        except BaseException:
            os.close(self._lock)
            raise

    async def close(self) -> None:
        """Release everything."""
        await self.store.close()
        self.journal.close()
        os.close(self._lock)


def open_store(store: str, path: Path, synchronous: str = "OFF") -> Store:
    """The store with this address; `sqlite`: the one in this folder. Raises StoreError."""
    if store == SQLITE:
        return SqliteStore(path / "store.db", synchronous)
    from polypaint.store.mongo import MongoStore  # who does not use it need not load it

    return MongoStore(store)
