"""polypaint-fast without its journal: the difference is what the journal costs. Loses all."""

from polypaint.__main__ import main
from polypaint.store.sqlite_journal import SqliteJournal


def commit(self: SqliteJournal, batches: list[tuple[int, bytes]]) -> None:
    """Forget it."""


if __name__ == "__main__":
    SqliteJournal.commit = commit  # type: ignore[method-assign]
    main()
