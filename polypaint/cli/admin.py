"""What an operator does with a data folder while no server runs on it.

Counterpart: `__main__.py` makes commands of these. Each returns its exit status.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from polypaint.errors import SettingsError, StoreError
from polypaint.identity.accounts import is_name, is_password
from polypaint.paint import render as picture
from polypaint.runtime.logs import visible
from polypaint.runtime.password_hasher import PasswordHasher
from polypaint.runtime.recovery import Report, recover
from polypaint.settings import Settings, is_database
from polypaint.store import Sizes, Store, backup, transfer
from polypaint.store.folder import SQLITE, DataFolder, open_store, to_look_at
from polypaint.tanks.moderation import Conduct
from polypaint.tanks.service import CONDUCT

out = Console()


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[DataFolder]:
    """The data folder, for this process alone. Raises StoreError."""
    _must_be_there(settings)
    async with _opened(DataFolder(settings.data, store=settings.store)) as folder:
        yield folder


def _must_be_there(settings: Settings) -> None:
    if not settings.data.is_dir():
        raise SettingsError(f"there is no data folder {settings.data}; name it with --data")


@asynccontextmanager
async def _opened(folder: DataFolder) -> AsyncIterator[DataFolder]:
    try:
        await folder.store.start()
        yield folder
    finally:
        await folder.close()


async def check(settings: Settings) -> int:
    """Read everything that is stored; nothing is changed."""
    _must_be_there(settings)
    with to_look_at(settings.data) as path:
        return await _checked(settings.model_copy(update={"data": path}))


async def _checked(settings: Settings) -> int:
    async with _open(settings) as folder:
        problems = await folder.store.check()
        report = await recover(folder.store, folder.journal, write=False)
        problems = folder.store.problems + problems + report.problems
        for lobby in report.lobbies:
            try:
                dump = await folder.store.load(lobby.number)
                picture.canvas_from(lobby.info.drawing_mode, dump)
            except StoreError as error:
                if lobby.number not in report.journaled:
                    problems.append(f"drawing {lobby.info.filename!r}: {error}")
    _tell(report, problems)
    return 1 if problems else 0


def _tell(report: Report, problems: list[str]) -> None:
    out.print(f"accounts: {report.accounts}")
    out.print(f"drawings: {len(report.lobbies)}")
    out.print(f"journal records not yet in a stored drawing: {report.replayed}")
    if report.torn_bytes:
        out.print(
            f"a write that a killed server did not finish: {report.torn_bytes} bytes; nobody has "
            "seen what was in it, and the next start ignores it"
        )
    for problem in problems:
        _say(f"PROBLEM: {problem}")
    out.print("everything is sound" if not problems else f"{len(problems)} problems")


async def export(settings: Settings, name: str, to: Path) -> int:
    """Write a drawing to a file."""
    kind = to.suffix.removeprefix(".").lower()
    if kind not in picture.FORMATS:
        raise SettingsError(f"{to}: the file must end in .{', .'.join(picture.FORMATS)}")
    if not to.parent.is_dir():
        raise SettingsError(f"{to}: there is no folder {to.parent}; make it first")
    async with _open(settings) as folder:
        report = await recover(folder.store, folder.journal)
        stored = next((x for x in report.lobbies if x.info.filename == name), None)
        if stored is None:
            raise SettingsError(f"there is no drawing {name!r}; `lobbies list` shows all")
        dump = await folder.store.load(stored.number)
    canvas = picture.canvas_from(stored.info.drawing_mode, dump)
    rendered = await asyncio.to_thread(picture.render, canvas, kind)
    try:
        to.write_bytes(rendered)
    except OSError as error:
        raise SettingsError(f"{to}: {error.strerror}") from None
    _say(f"{to}: {canvas.length:g} × {canvas.width:g}")
    return 0


async def make_backup(settings: Settings, to: Path) -> int:
    """A copy of the data folder, of which a server may be making use."""
    _must_be_there(settings)
    if is_database(settings.store):
        raise SettingsError(
            "this server keeps everything in MongoDB: back that up with `mongodump`, and the data "
            "folder, which has the journal, while the server is stopped"
        )
    with _pages("backing up") as told:
        problems = backup.backup(settings.data, to, told)
    return _backed_up(f"{to} can be used with --data, or made one with `restore`", problems)


async def restore(settings: Settings, source: Path) -> int:
    """A data folder out of a backup."""
    with _pages("restoring") as told:
        problems = backup.restore(source, settings.data, told)
    return _backed_up(f"a server can use it with --data {settings.data}", problems)


@contextmanager
def _pages(what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far a copy of so many pages is."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _backed_up(says: str, problems: list[str]) -> int:
    for problem in problems:
        _say(f"PROBLEM: {problem}")
    out.print("verified: everything is sound" if not problems else f"{len(problems)} problems")
    _say(says)
    return 1 if problems else 0


async def copy(settings: Settings, source: str, target: str) -> int:
    """One store's content into another; a folder's own, or a database's."""
    if _same(source, target):
        raise SettingsError(
            "FROM and TO are the same; to keep a copy, use `polypaint-fast backup`"
        )
    if not is_database(source):
        settings = settings.model_copy(update={"data": Path(source), "store": SQLITE})
    else:
        settings = settings.model_copy(update={"store": source})
    async with _open(settings) as folder:
        await recover(folder.store, folder.journal)  # what so far only the journal has
        async with _target(target, settings.data) as store:
            sizes = await _copied(folder.store, store)
    out.print(f"copied {sizes}", highlight=False)
    where = f"--store {_shown(target)}" if is_database(target) else f"--data {target}"
    _say(f"a server can use it with {where}")
    return 0


def _same(source: str, target: str) -> bool:
    if is_database(source) or is_database(target):
        return source == target
    return Path(source).resolve() == Path(target).resolve()


@asynccontextmanager
async def _target(where: str, used: Path) -> AsyncIterator[Store]:
    """The store to copy into. used: the folder that is open already. Raises StoreError."""
    if is_database(where) or Path(where).resolve() == used.resolve():
        store = open_store(where if is_database(where) else SQLITE, used)
        try:
            await store.start()
            yield store
        finally:
            await store.close()
    else:
        async with _opened(DataFolder(Path(where))) as folder:
            if next(folder.journal.batches(), None) is not None:
                raise StoreError(f"{where} has a journal of its own; copy into an empty folder")
            yield folder.store


async def _copied(source: Store, target: Store) -> Sizes:
    """Copy, and show how far it is."""
    sizes = await source.sizes()
    columns = (
        TextColumn("{task.description:10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out) as bar:
        totals = {
            "accounts": sizes.accounts,
            "drawings": sizes.lobbies,
            "documents": sizes.documents,
            "results": sizes.results,
        }
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=totals[what])
            bar.update(tasks[what], completed=done)

        return await transfer.copy(source, target, time.time(), told)


def _shown(address: str) -> str:
    """An address without the password in it."""
    scheme, _, rest = address.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{host}"


def _add(table: Table, *cells: str) -> None:
    """A row of what anybody may have written: no markup, no escape sequences."""
    table.add_row(*(Text(visible(cell)) for cell in cells))


def _say(text: str) -> None:
    """A line, whatever is in it, as long as it is."""
    out.print(visible(text), markup=False, highlight=False, soft_wrap=True)


async def list_accounts(settings: Settings) -> int:
    """All accounts, by name."""
    table = Table("name", "created")
    async with _open(settings) as folder:
        for account in await folder.store.accounts():
            when = datetime.fromtimestamp(account.created, UTC)
            _add(table, account.name, f"{when:%Y-%m-%d %H:%M}")
    out.print(table)
    return 0


async def list_conduct(settings: Settings) -> int:
    """Who was warned, kicked or banned in the tanks' chat and arena."""
    table = Table("name", "warnings", "kicks", "why", "banned until")
    async with _open(settings) as folder:
        await recover(folder.store, folder.journal)
        for name, document in await folder.store.read(CONDUCT):
            conduct = Conduct.of(orjson.loads(document))
            until = datetime.fromtimestamp(conduct.banned_until, UTC)
            banned = f"{until:%Y-%m-%d %H:%M}" if conduct.banned_until else ""
            kicks = str(len(conduct.kicks))
            reasons = ", ".join(conduct.reasons)
            _add(table, name, str(len(conduct.warnings)), kicks, reasons, banned)
    out.print(table)
    return 0


async def pardon(settings: Settings, name: str) -> int:
    """Forget somebody's warnings, kicks and ban."""
    async with _open(settings) as folder:
        await recover(folder.store, folder.journal)
        if await folder.store.read_one(CONDUCT, name) is None:
            raise SettingsError(f"nothing is known against {name!r}; `accounts conduct` shows all")
        await folder.store.write({(CONDUCT, name): None})
    _say(f"pardoned {name}")
    return 0


async def list_lobbies(settings: Settings) -> int:
    """All drawings, by number."""
    table = Table("number", "Filename", "Owner", "Mode", "Protection")
    async with _open(settings) as folder:
        report = await recover(folder.store, folder.journal, write=False)
        for lobby in report.lobbies:
            info = lobby.info
            _add(
                table,
                str(lobby.number),
                info.filename,
                info.owner,
                info.mode,
                info.protection,
            )
    out.print(table)
    return 0


async def add_account(settings: Settings, name: str, password: str) -> int:
    """Create an account."""
    _must_be_valid(name, password)
    async with _open(settings) as folder:
        hashed = await _hash(settings, password)
        if not await folder.store.add_account(name, hashed, time.time()):
            raise SettingsError(f"there is an account {name!r} already")
    _say(f"created {name}")
    return 0


async def set_password(settings: Settings, name: str, password: str) -> int:
    """Give an account another password."""
    _must_be_valid(name, password)
    async with _open(settings) as folder:
        if not await folder.store.set_password(name, await _hash(settings, password)):
            raise SettingsError(f"there is no account {name!r}")
    _say(f"changed the password of {name}")
    return 0


def _must_be_valid(name: str, password: str) -> None:
    if not is_name(name):
        raise SettingsError("a name has 1-64 UTF-8 bytes, NFC, no control characters")
    if not is_password(password):
        raise SettingsError("a password has 1-1024 UTF-8 bytes")


async def _hash(settings: Settings, password: str) -> bytes:
    passwords = PasswordHasher(settings.bcrypt_rounds)
    try:
        return await passwords.hash(password)
    finally:
        passwords.close()
