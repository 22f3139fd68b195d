"""All lobbies by name: who owns how many, which are active, which the journal still has to keep.

Each list is kept up to date as things change, so that nobody has to walk over all lobbies: not for
a list that is shown, which is made once for each change, nor for each drawing that is stored.

Must never touch a canvas. Counterparts: `access.py` decides who gets a new lobby, `lobby.py` tells
of changes. Protocol: docs/protocol.md, sections 2, 5.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

import orjson

from polypaint.engine.context import Context
from polypaint.paint.channels import fitting_names, whole_entries
from polypaint.paint.lobby import Lobby
from polypaint.paint.lobby_rules import LobbyRules

TIDY_MIN: Final = 64
"""Entries of `Unsaved`, beside those that hold, after which it is rid of those that do not."""


class Directory:
    """All lobbies of a server; iterated, the active ones, most recently active first."""

    def __init__(self, context: Context) -> None:
        self.lobbies: dict[str, Lobby] = {}
        """Every drawing that is kept, by its Filename."""
        self.unsaved = Unsaved()
        self._context = context
        self._show_passcodes = context.settings.expose_passcodes
        self._hide_private = context.settings.hide_private
        self._next_number = 1
        self._of_owner: defaultdict[str, dict[Lobby, None]] = defaultdict(dict)
        self._recent: dict[Lobby, float | None] = {}
        """All lobbies, the last changed at the end: when that was, if it was in this run."""
        self._entries: dict[Lobby, bytes] = {}
        """The least recently active first; empty when it has to be made anew."""
        self._hidden_of: Counter[str] = Counter()
        self._hidden: dict[Lobby, str] = {}
        """Those that only their owners see, and who these were when they were listed."""
        self._text = b""

    # ------------------------------------------------------------ what there is
    def add(self, info: LobbyRules, number: int | None = None) -> Lobby:
        """A lobby that was not there. number: of one that the store has."""
        number = self._next_number if number is None else number
        self._next_number = max(self._next_number, number + 1)
        context = self._context
        lobby = Lobby(number, info, context.log, context.flush_set, context.memory, self)
        self.lobbies[info.filename] = lobby
        self._of_owner[info.owner][lobby] = None
        self._recent[lobby] = None
        return lobby

    def restore(self, stored: Iterable[tuple[int, LobbyRules, int]]) -> None:
        """What the store has: (number, rules, sequence number of the drawing)."""
        for number, info, seq in stored:
            self.add(info, number).stored_up_to(seq)

    def remove(self, filename: str) -> Lobby | None:
        """Have no lobby of this name any more; the one that there was."""
        lobby = self.lobbies.pop(filename, None)
        if lobby is not None:
            self._disown(lobby, lobby.info.owner)
            del self._recent[lobby]
        return lobby

    def _disown(self, lobby: Lobby, owner: str) -> None:
        drawings = self._of_owner[owner]
        drawings.pop(lobby, None)
        if not drawings:
            del self._of_owner[owner]

    def rename(self, lobby: Lobby, filename: str) -> None:
        """A lobby has another name from now on, which nobody else's has."""
        del self.lobbies[lobby.info.filename]
        self.lobbies[filename] = lobby

    def hand_over(self, before: str, after: str) -> list[Lobby]:
        """One account's lobbies are another's from now on; these are they."""
        moved = list(self._of_owner.get(before, ()))
        for lobby in moved:
            self._disown(lobby, before)
            self._of_owner[after][lobby] = None
        return moved

    @property
    def all_saved(self) -> bool:
        """Has the store every drawing as it is?"""
        return not any(
            lobby.saving or lobby.busy or lobby.unsaved_from is not None
            for lobby in self.lobbies.values()
        )

    def owned_by(self, name: str) -> int:
        """How many drawings this account has."""
        return len(self._of_owner.get(name, ()))

    def drawings_of(self, name: str) -> list[Lobby]:
        """An account's drawings, the last changed first."""
        drawings = self._of_owner.get(name, ())
        return sorted(drawings, key=lambda x: (self._recent[x] or 0, x.number), reverse=True)

    def recent(self) -> Iterator[Lobby]:
        """All lobbies, the last changed first."""
        return reversed(self._recent)

    def changed_at(self, lobby: Lobby) -> float | None:
        """UTC seconds of its last change; None: not since the server started."""
        return self._recent.get(lobby)

    def _note_change(self, lobby: Lobby, now: float) -> None:
        if lobby in self._recent:
            del self._recent[lobby]
            self._recent[lobby] = round(self._context.utc(now), 3)

    def needs_journal(self, lobby: Lobby, batch: int) -> None:
        self.unsaved.add(lobby, batch)

    # ------------------------------------------------------------ what is active
    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Lobby]:
        """The most recently active first."""
        return reversed(self._entries)

    def changed(self, lobby: Lobby) -> None:
        """Its members or its rules have changed."""
        self._text = b""
        self._entries.pop(lobby, None)
        if lobby in self._hidden:
            owner = self._hidden.pop(lobby)
            self._hidden_of[owner] -= 1
            if not self._hidden_of[owner]:
                del self._hidden_of[owner]
        if lobby.members:
            self._entries[lobby] = b""
            if self._hide_private and lobby.info.protection == "private":
                self._hidden[lobby] = lobby.info.owner
                self._hidden_of[lobby.info.owner] += 1

    def touched(self, lobby: Lobby, now: float) -> None:
        """Somebody has drawn in it."""
        self._note_change(lobby, now)
        if lobby in self._entries:
            self._text = b""
            self._entries[lobby] = self._entries.pop(lobby)

    def text(self, name: str) -> bytes:
        """The list as JSON that fits into a packet, for this person; made once for each change."""
        if name in self._hidden_of:
            return self._made(name)
        if not self._text:
            self._text = self._made(name)
        return self._text

    def _made(self, name: str) -> bytes:
        return b"[" + b",".join(whole_entries(self._visible(name))) + b"]"

    def _visible(self, name: str) -> Iterator[bytes]:
        for lobby in self:
            if lobby not in self._hidden or lobby.info.owner == name:
                yield self._entries[lobby] or self._entry(lobby)

    def _entry(self, lobby: Lobby) -> bytes:
        """What is shown of a lobby; of very many members only the first."""
        shown = lobby.info.json(self._show_passcodes)
        entry = orjson.dumps({**shown, "Clients": fitting_names(lobby.members)})
        self._entries[lobby] = entry
        return entry


class Unsaved:
    """Lobbies of whose log the journal has to keep something, by the first batch needed."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Lobby]] = []
        self._numbers = count()
        self._tidy_at = TIDY_MIN

    def add(self, lobby: Lobby, batch: int) -> None:
        """It needs the journal from this batch on; see `Lobby.unsaved_from`."""
        heapq.heappush(self._heap, (batch, next(self._numbers), lobby))
        if len(self._heap) > self._tidy_at:
            self._heap = [entry for entry in self._heap if _holds(entry)]
            heapq.heapify(self._heap)
            self._tidy_at = 2 * len(self._heap) + TIDY_MIN

    def first(self) -> Lobby | None:
        """Whoever needs the oldest batch: the one to be stored if the journal grows too long."""
        heap = self._heap
        while heap and not _holds(heap[0]):
            heapq.heappop(heap)
        return heap[0][2] if heap else None


def _holds(entry: tuple[int, int, Lobby]) -> bool:
    """Is this still what the lobby needs?"""
    batch, _, lobby = entry
    return lobby.unsaved_from == batch
