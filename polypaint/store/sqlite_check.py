"""The whole of `store.db` looked at: its structure, and the checksum of every row.

What is damaged is named. A document, drawing or result that is damaged goes into the table
`damaged`, where nobody reads it by mistake; an account stays, so that nobody else can take its
name. Where the structure of the file is damaged, a new file gets every row that can be read.

Counterpart: `sqlite_store.py`, on whose thread all this runs.
"""

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

import orjson

from polypaint.engine import checksum
from polypaint.store.blobs import of_content
from polypaint.store.sqlite_files import (
    READING,
    Step,
    Transaction,
    move_aside,
    opened,
    rows_of,
    text,
)

TEXT: Final = {"name", "kind", "key"}
"""Keys that are text, which may be damaged so that it is no text any more."""
STATUTS: Final = ("victoire", "defaite", "nul")
VERIFIED_BYTES_MAX: Final = 2 << 30
"""A larger file's structure and drawings are looked at by `check`, not at every start."""
PARTS: Final = "SELECT data FROM parts WHERE number = ? ORDER BY part"
PARTS_UNSORTED: Final = "SELECT part, data FROM parts NOT INDEXED WHERE number = ?"
SEALED: Final = {
    "accounts": ("name", ("name", "hash", "created")),
    "lobbies": (
        "number", ("number", "filename", "owner", "mode", "protection", "passcode", "seq"),
    ),
    "documents": ("kind, key", ("kind", "key", "body")),
    "results": ("rowid", ("code", "player", "statut", "at")),
    "conflicts": ("rowid", ("code", "player", "statut", "at")),
}  # fmt: skip
"""What the checksum of a row is of; and the key of its table."""
COPIED: Final = {
    "identity": ("rowid", ("id",)),
    "ancestors": ("id", ("id",)),
    "damaged": ("rowid", ("what", "name", "body", "at")),
    **{table: (key, (*columns, "crc")) for table, (key, columns) in SEALED.items()},
    "lobbies": ("number", (*SEALED["lobbies"][1], "meta", "saved", "crc", "content_crc")),
}
"""What a new file gets of a damaged one, beside the drawings' parts."""
NAMED: Final = {
    "accounts": lambda row: f"the account {row[0]!r}",
    "lobbies": lambda row: f"drawing number {row[0]} {row[1]!r}",
    "documents": lambda row: f"the document {row[0]} {row[1]!r}",
    "results": lambda row: f"the result of {row[1]!r} in {row[0]!r}",
    "conflicts": lambda row: f"the conflicting result of {row[1]!r} in {row[0]!r}",
}


def seal(db: sqlite3.Connection) -> None:
    """Give all rows their checksums: of a file that had none."""
    for table, (key, columns) in SEALED.items():
        names = key.split(", ")
        where = _where(names)
        selected = ", ".join((*names, *columns))
        rows = db.execute(f"SELECT {selected} FROM {table}").fetchall()  # noqa: S608
        count = len(names)
        sums = [(checksum.of_fields(*row[count:]), *_bound(row[:count])) for row in rows]
        db.executemany(f"UPDATE {table} SET crc = ? WHERE {where}", sums)  # noqa: S608
    for number, meta in db.execute("SELECT number, meta FROM lobbies").fetchall():
        crc = of_content(meta, [part for (part,) in db.execute(PARTS, (number,))])
        db.execute("UPDATE lobbies SET content_crc = ? WHERE number = ?", (crc, number))


def count_totals(db: sqlite3.Connection) -> None:
    """Make the totals anew from the results."""
    db.execute("DELETE FROM totals")
    db.execute(f"INSERT INTO totals {_COUNTED}")


_COUNTED: Final = (
    "SELECT player, sum(statut = 'victoire'), sum(statut = 'defaite'), sum(statut = 'nul') "
    "FROM results GROUP BY player ORDER BY player"
)


# ---------------------------------------------------------------- looking
def structure(db: sqlite3.Connection, thorough: bool = False) -> list[str]:
    """What is wrong with the file itself. A large one is only looked at when it is asked for."""
    try:
        ((pages,),) = db.execute("PRAGMA page_count")
        ((size,),) = db.execute("PRAGMA page_size")
        if not thorough and pages * size > VERIFIED_BYTES_MAX:
            return []
        pragma = "integrity_check" if thorough else "quick_check"
        found = [row[0] for row in db.execute(f"PRAGMA {pragma}")]
    except READING as error:
        found = [str(error)]
    return [] if found == ["ok"] else [f"store.db: {' '.join(x.split())}" for x in found]


def problems(db: sqlite3.Connection) -> list[str]:
    """All that is wrong; nothing is changed."""
    found = structure(db, thorough=True)
    for table in SEALED:
        damaged, whole = _damaged(db, table)
        found += [f"{NAMED[table](row)} is damaged" for _, row in damaged]
        if not whole:
            found.append(f"store.db: {table} cannot be read to the end")
    found += _damaged_content(db)
    found += _damaged_totals(db)
    try:
        ((identities,),) = db.execute("SELECT count(*) FROM identity WHERE length(id) = 24")
        if identities != 1:
            found.append("store.db: its identity is damaged")
    except READING as error:
        found.append(f"store.db: its identity: {error}")
    return found


def _damaged(db: sqlite3.Connection, table: str) -> tuple[list[tuple[Any, Any]], bool]:
    """(key, row) of each row whose checksum is wrong; and whether all could be read."""
    key, columns = SEALED[table]
    names = key.split(", ")
    rows, whole = rows_of(db, table, key, ", ".join((*names, *columns, "crc")))
    count = len(names)
    damaged = [
        (row[:count], row[count:-1])
        for row in rows
        if checksum.of_fields(*row[count:-1]) != row[-1] or not _readable(table, row[count:-1])
    ]
    return damaged, whole


def _readable(table: str, row: Any) -> bool:
    """A document must be JSON, whatever its checksum says."""
    if table != "documents":
        return True
    try:
        orjson.loads(row[2])
    except ValueError:
        return False
    return True


def _damaged_content(db: sqlite3.Connection) -> list[str]:
    """The drawings whose content is not what was stored."""
    found = []
    columns = "number, filename, meta, content_crc"
    for number, filename, meta, crc in rows_of(db, "lobbies", "number", columns)[0]:
        try:
            parts = [part for (part,) in db.execute(PARTS, (number,))]
            whole = of_content(meta, parts) == crc
        except READING:
            whole = False
        if not whole:
            found.append(f"drawing {filename!r} is damaged")
    return found


def _damaged_totals(db: sqlite3.Connection) -> list[str]:
    try:
        kept = db.execute("SELECT player, won, lost, drawn FROM totals ORDER BY player").fetchall()
        if kept != db.execute(_COUNTED).fetchall():
            return ["the players' totals differ from their results"]
    except READING as error:
        return [f"the players' totals: {error}"]
    return []


# ---------------------------------------------------------------- mending
def set_aside(db: sqlite3.Connection) -> list[str]:
    """Move rows that are damaged out of the way; sentences that name them."""
    found = []
    for table in SEALED:
        damaged, _ = _damaged(db, table)
        for key, row in damaged:
            name = NAMED[table](row)
            if table == "accounts":
                found.append(f"{name} is damaged; `accounts password` gives it another password")
            else:
                _move(db, table, key, row)
                found.append(f"{name} is damaged; it was set aside, in the table `damaged`")
    found += _damaged_content(db)
    if _damaged_totals(db):
        found += _damaged_totals(db)
        with Transaction(db):
            count_totals(db)
    return found


def _move(db: sqlite3.Connection, table: str, key: Any, row: Any) -> None:
    where = _where(SEALED[table][0].split(", "))
    body = repr(row).encode(errors="replace")
    with Transaction(db):
        db.execute(
            "INSERT INTO damaged VALUES (?, ?, ?, ?)",
            (table, _plain(NAMED[table](row)), body, time.time()),
        )
        db.execute(f"DELETE FROM {table} WHERE {where}", _bound(key))  # noqa: S608
        if table == "lobbies":  # another drawing may get this number
            ((lowest,),) = db.execute("SELECT min(0, coalesce(min(number), 0)) FROM parts")
            db.execute("UPDATE parts SET number = ? WHERE number = ?", (lowest - 1, *key))


def _where(names: list[str]) -> str:
    return " AND ".join(f"{n} = CAST(? AS TEXT)" if n in TEXT else f"{n} = ?" for n in names)


def _bound(key: Any) -> list[Any]:
    return [x.encode(errors="surrogateescape") if isinstance(x, str) else x for x in key]


def _plain(text: str) -> str:
    return text.encode(errors="replace").decode()


def rebuild(path: Path, versions: tuple[Step, ...]) -> list[str]:
    """Give what can be read of a damaged file to a new one. Raises StoreError.

    The file must be closed. The damaged one is kept.
    """
    kept = move_aside(path)
    old = sqlite3.connect(kept, isolation_level=None)
    old.text_factory = text
    new = opened(path, versions, "NORMAL")
    found = [f"store.db was made anew of what could be read; it was kept as {kept.name}"]
    try:
        with Transaction(new):
            new.execute("DELETE FROM identity")
            for table, (key, columns) in COPIED.items():
                found += _copied(old, new, table, key, columns)
            found += _copied_parts(old, new)
            count_totals(new)
    finally:
        old.close()
        new.close()
    return found


def _copied(
    old: sqlite3.Connection,
    new: sqlite3.Connection,
    table: str,
    key: str,
    columns: tuple[str, ...],
) -> list[str]:
    """One table's rows; what did not come along."""
    names = ", ".join(columns)
    rows, whole = rows_of(old, table, key, names)
    places = ", ".join("?" * len(columns))
    lost = 0
    for row in rows:
        try:
            new.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", row)  # noqa: S608
        except (sqlite3.Error, UnicodeError, OverflowError):
            lost += 1
    found = [] if whole else [f"store.db: some of its {table} could not be read"]
    return found + ([f"store.db: {lost} of its {table} make no sense"] if lost else [])


def _copied_parts(old: sqlite3.Connection, new: sqlite3.Connection) -> list[str]:
    """The content of every drawing."""
    found = []
    wanted = new.execute("SELECT number, filename, meta, content_crc FROM lobbies").fetchall()
    for number, filename, meta, crc in wanted:
        parts: list[bytes] = []
        for ask in (_indexed, _unindexed):
            try:
                parts = ask(old, number)
            except READING:
                continue
            if of_content(meta, parts) == crc:
                break
        else:
            found.append(f"drawing {filename!r} is damaged")
        rows = [(number, i, part) for i, part in enumerate(parts)]
        new.executemany("INSERT INTO parts VALUES (?, ?, ?)", rows)
    return found


def _indexed(db: sqlite3.Connection, number: int) -> list[bytes]:
    return [part for (part,) in db.execute(PARTS, (number,))]


def _unindexed(db: sqlite3.Connection, number: int) -> list[bytes]:
    rows = db.execute(PARTS_UNSORTED, (number,)).fetchall()
    return [part for _, part in sorted(rows)]
