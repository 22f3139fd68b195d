"""From what is stored and the journal since: everything as it was when the server stopped.

What is damaged costs only itself: a drawing gets what its own records tell up to the first that is
missing, documents get every change that can be read, and the report names the rest.

Must never import the network. Counterparts: `store` keeps both, `paint.lobby` replays.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from polypaint._codec import FlushSet, split
from polypaint.engine.documents import Changes, change
from polypaint.engine.journal_buffer import DOCUMENTS, Damaged, JournalBuffer, missing, salvaged
from polypaint.errors import PolypaintError, StoreDamaged, StoreError
from polypaint.paint.lobby import Lobby, empty_canvas
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.packets import LOBBY_CREATION
from polypaint.store import UNFINISHED, Journal, Store, StoredLobby

Records = dict[int, bytes]
"""Of one stream: sequence number → record."""


@dataclass(slots=True)
class Report:
    """What was found. problems: sentences for the operator; nothing of them is repaired."""

    accounts: int = 0
    lobbies: list[StoredLobby] = field(default_factory=list)
    journaled: set[int] = field(default_factory=set)
    replayed: int = 0
    torn_bytes: int = 0
    next_batch: int = 1
    problems: list[str] = field(default_factory=list)


async def recover(
    store: Store, journal: Journal, utc: Callable[[], float] = time.time, write: bool = True
) -> Report:
    """Bring the store up to date with the journal, then empty the journal.

    write: False only looks (`polypaint-fast check`). A record that cannot be replayed ends the
    replay of its lobby only, and is reported. Raises StoreError when the store cannot be read or
    written now, and when the journal is that of another store, or the store holds half a copy.
    """
    await _must_belong(journal, store, write)
    report = Report(torn_bytes=store.torn_bytes + journal.torn_bytes)
    if write:
        report.problems += await store.set_aside_damaged()
    stored = {lobby.number: lobby for lobby in await store.lobbies()}
    sound = len(report.problems)
    streams = _read(journal, {n: x.info.filename for n, x in stored.items()}, report)
    changes = _changes(streams.pop(DOCUMENTS, {}), report)
    if write and changes:
        await store.write(changes)
    for number, records in streams.items():
        lobby = await _replayed(store, stored.get(number), number, records, report)
        if lobby is not None and lobby.removed:
            stored.pop(number, None)
            if write:
                await store.remove(number)
        elif lobby is not None:
            report.journaled.add(number)
            stored[number] = StoredLobby(number, lobby.info, lobby.seq)
            if write:
                lobby.release_all(int(utc()))
                await store.save(stored[number], *lobby.loaded.dump(), utc())
    if write:
        _empty(journal, report, damaged=len(report.problems) > sound)
    report.lobbies = list(stored.values())
    report.accounts = len(await store.accounts())
    return report


def _empty(journal: Journal, report: Report, damaged: bool) -> None:
    """The store has everything: forget it, or keep it for examination."""
    if damaged:
        report.problems.append(f"the journal was kept as {journal.set_aside()}")
    while journal.trim(report.next_batch):
        pass


async def _must_belong(journal: Journal, store: Store, write: bool) -> None:
    """Raises StoreError when this journal was not written for this store."""
    if await store.read_one(*UNFINISHED) is not None:
        raise StoreError(
            "a copy into this store was not finished: run `polypaint-fast copy` again, to its end"
        )
    identity = await store.identity()
    if journal.store not in ("", identity):
        if not journal.empty:
            raise StoreError(
                "the journal in the data folder belongs to another store, and has what that one "
                "does not have yet: start once with that --store, or take another --data"
            )
        if journal.store not in await store.ancestors():
            raise StoreError(
                "this is not the store that the data folder was last used with, nor a copy of it: "
                "see to --store and --data; if it is the right one all the same, remove "
                "journal.db, which holds nothing, from the data folder"
            )
    if write:
        journal.belong_to(identity)


# ---------------------------------------------------------------- the journal
def _read(journal: Journal, names: dict[int, str], report: Report) -> dict[int, Records]:
    """The journal's records by stream; what is damaged or missing in it is reported."""
    streams: defaultdict[int, Records] = defaultdict(dict)
    damaged: list[Damaged] = []
    first, last = journal.needed
    numbers: list[int] = []
    for batch, data in journal.batches():
        numbers.append(batch)
        for part in salvaged(data):
            if isinstance(part, Damaged):
                damaged.append(part)
            else:
                streams[part.number][part.seq] = part.data
                _name(part.number, part.data, names)
    report.next_batch = max([*numbers, last, 0]) + 1
    report.problems += journal.problems
    if gaps := missing(numbers, first, last):
        report.problems.append(f"the journal's batches {gaps} are missing")
    report.problems += [f"{_stream(part, names)} is damaged in the journal" for part in damaged]
    return streams


def _name(number: int, record: bytes, names: dict[int, str]) -> None:
    """A drawing that is only in the journal gets its name from there."""
    if number != DOCUMENTS and number not in names:
        try:
            names[number] = _founding(record).filename
        except (PolypaintError, LookupError):
            names[number] = f"number {number}"


def _stream(part: Damaged, names: dict[int, str]) -> str:
    if part.number is None:
        return f"something ({part.size} bytes)"
    if part.number == DOCUMENTS:
        return f"a document (change {part.seq})"
    return f"drawing {names.get(part.number, part.number)!r} (record {part.seq})"


def _changes(records: Records, report: Report) -> Changes:
    """What the journal knows of documents: every change that can be read."""
    changes: Changes = {}
    for seq, record in sorted(records.items()):
        try:
            name, body = change(record)
        except (StoreError, TypeError, ValueError) as error:
            report.problems.append(f"a document (change {seq}): {error}")
            continue
        changes[name] = body
        report.replayed += 1
    if records:
        gone = max(records) - min(records) + 1 - len(records)
        if gone:
            report.problems.append(f"{gone} changes of documents are missing in the journal")
    return changes


async def _replayed(
    store: Store,
    stored: StoredLobby | None,
    number: int,
    records: Records,
    report: Report,
) -> Lobby | None:
    """A lobby as the journal leaves it; None when there is nothing to be had."""
    log, turn = JournalBuffer(), FlushSet()
    entries = sorted(records.items())
    try:
        if stored is None:
            lobby = Lobby(number, _founding(entries[0][1]), log, turn)
        else:
            lobby = Lobby(number, stored.info, log, turn)
            lobby.stored_up_to(stored.seq)
            canvas = empty_canvas(stored.info.drawing_mode)
            canvas.load(*await store.load(number))
            lobby.load(canvas)
    except (PolypaintError, LookupError) as error:
        if isinstance(error, StoreError) and not isinstance(error, StoreDamaged):
            raise  # it is not damaged, it only cannot be read now: nothing may be given up
        report.problems.append(f"drawing number {number}: {error}")
        return None
    try:
        for seq, packet in entries:
            if seq > lobby.seq:
                lobby.replay(seq, packet)
                report.replayed += 1
    except PolypaintError as error:
        report.problems.append(f"drawing {lobby.info.filename!r}: {error}")
    return lobby


def _founding(packet: bytes) -> LobbyRules:
    """What the first record of a lobby says. Raises PolypaintError."""
    if split(packet)[0][2] != LOBBY_CREATION.id:
        raise StoreDamaged("neither the store nor the journal has its beginning")
    return LobbyRules.of(LOBBY_CREATION.decode_object(packet))
