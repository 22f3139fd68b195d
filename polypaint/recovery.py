"""From what is stored and the journal since: everything as it was when the server stopped.

Must never import the network. Counterparts: `store` keeps both, `paint.lobbies` replays.
"""

import time
from collections import defaultdict
from dataclasses import dataclass, field

from polypaint._codec import Turn, split
from polypaint.book import Changes, change
from polypaint.errors import PolypaintError, StoreError
from polypaint.log import DOCUMENTS, Log, records
from polypaint.paint.lobbies import Lobby, LobbyInfo, empty_canvas
from polypaint.paint.packets import LOBBY_CREATION
from polypaint.store import UNFINISHED, Journal, Store, StoredLobby


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


async def recover(store: Store, journal: Journal, write: bool = True) -> Report:
    """Bring the store up to date with the journal, then empty the journal.

    write: False only looks (`polypaint-fast check`). A record that cannot be replayed ends the
    replay of its lobby only, and is reported. Raises StoreError when storing fails, and when the
    journal is that of another store, or the store holds half a copy.
    """
    await _must_belong(journal, store, write)
    report = Report(torn_bytes=journal.torn_bytes)
    stored = {lobby.number: lobby for lobby in await store.lobbies()}
    by_lobby: defaultdict[int, list[tuple[int, bytes]]] = defaultdict(list)
    changes: Changes = {}
    try:
        for batch, data in journal.batches():
            report.next_batch = batch + 1
            for number, seq, record in records(data):
                if number == DOCUMENTS:
                    name, body = change(record)
                    changes[name] = body
                    report.replayed += 1
                else:
                    by_lobby[number].append((seq, record))
    except StoreError as error:
        report.problems.append(str(error))
    if write and changes:
        await store.write(changes)
    for number, entries in by_lobby.items():
        lobby = await _replayed(store, stored.get(number), number, entries, report)
        if lobby is not None and lobby.removed:
            stored.pop(number, None)
            if write:
                await store.remove(number)
        elif lobby is not None:
            report.journaled.add(number)
            stored[number] = StoredLobby(number, lobby.info, lobby.seq)
            if write:
                lobby.settle(int(time.time()))
                await store.save(stored[number], *lobby.loaded.dump(), time.time())
    if write and report.problems:
        report.problems.append(f"the journal was kept as {journal.set_aside()}")
    elif write:
        journal.trim(report.next_batch)
    report.lobbies = list(stored.values())
    report.accounts = len(await store.accounts())
    return report


async def _must_belong(journal: Journal, store: Store, write: bool) -> None:
    """Raises StoreError when this journal was not written for this store."""
    if await store.read_one(*UNFINISHED) is not None:
        raise StoreError(
            "a copy into this store was not finished: run `polypaint-fast copy` again, to its end"
        )
    identity = await store.identity()
    if journal.store not in ("", identity) and next(journal.batches(), None) is not None:
        raise StoreError(
            "the journal in the data folder belongs to another store, and has what that one does "
            "not have yet: start once with that --store, or take another --data"
        )
    if write:
        journal.belong_to(identity)


async def _replayed(
    store: Store,
    stored: StoredLobby | None,
    number: int,
    entries: list[tuple[int, bytes]],
    report: Report,
) -> Lobby | None:
    """A lobby as the journal leaves it; None when there is nothing to be had."""
    log, turn = Log(), Turn()
    try:
        if stored is None:
            lobby = Lobby(number, _founding(entries[0][1]), log, turn)
        else:
            lobby = Lobby(number, stored.info, log, turn)
            lobby.seq = stored.seq
            canvas = empty_canvas(stored.info.drawing_mode)
            canvas.load(*await store.load(number))
            lobby.canvas = canvas
    except PolypaintError as error:
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


def _founding(packet: bytes) -> LobbyInfo:
    """What the first record of a lobby says. Raises PolypaintError."""
    if split(packet)[0][2] != LOBBY_CREATION.id:
        raise StoreError("neither the store nor the journal has its beginning")
    return LobbyInfo.of(LOBBY_CREATION.decode_object(packet))
