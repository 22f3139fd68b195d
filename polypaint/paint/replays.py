"""Snapshots in memory: those that lobbies keep for newcomers, and those on their way to somebody.

One that is larger than its drawing (of pixels that are all different) is given back when the last
one who waits for it has been sent it; others when memory is needed, least recently used first.

Must never make one. Counterparts: `late_join.py` sends them; `engine/memory.py` counts what they
take.
"""

from collections import Counter
from typing import Final

from polypaint.engine.memory import Memory
from polypaint.paint.lobby import Lobby
from polypaint.paint.member import MemberKey

SMALL_BYTES: Final = 1 << 20
"""Of a snapshot that is kept in any case."""


class Replays:
    """All snapshots that are in memory, and what they take."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._kept: dict[Lobby, list[bytes]] = {}
        self._under_way: dict[MemberKey, tuple[Lobby, list[bytes]]] = {}
        self._waited_for: Counter[Lobby] = Counter()

    def begin(self, key: MemberKey, lobby: Lobby, pieces: list[bytes]) -> None:
        """A member is sent this snapshot, which the lobby has just made or still keeps."""
        self.end(key)
        self._memory.hold(pieces)
        self._under_way[key] = (lobby, pieces)
        self._waited_for[lobby] += 1
        self._keep(lobby)

    def end(self, key: MemberKey) -> None:
        """It has been sent, or will not be."""
        lobby, pieces = self._under_way.pop(key, (None, ()))
        if lobby is None:
            return
        self._memory.drop(pieces)
        self._waited_for[lobby] -= 1
        self._give_back(lobby)

    def unwanted(self, lobby: Lobby) -> None:
        """A lobby has made a snapshot, and who wanted it has left."""
        self._keep(lobby)
        self._give_back(lobby)

    def _keep(self, lobby: Lobby) -> None:
        """What this lobby keeps was used last."""
        before, pieces = self._kept.pop(lobby, []), lobby.kept_snapshot or []
        self._memory.hold(pieces)
        self._memory.drop(before)
        self._kept[lobby] = pieces

    def _give_back(self, lobby: Lobby) -> None:
        """Forget a snapshot that is larger than its drawing, when nobody waits for it."""
        if self._waited_for[lobby]:
            return
        del self._waited_for[lobby]
        size = sum(map(len, self._kept.get(lobby, ())))
        if size > max(SMALL_BYTES, lobby.memory_used) and not lobby.busy:
            self.forget(lobby)

    def forget(self, lobby: Lobby) -> None:
        """Have a lobby give back what it keeps; nobody may be working on its canvas."""
        self._memory.drop(self._kept.pop(lobby, []))
        lobby.forget_snapshot()

    def has_room(self, size: int, own: int = 0, keep: Lobby | None = None) -> bool:
        """May something take so much more memory? Snapshots are given back for it.

        own: what it takes already. keep: a lobby whose snapshot is needed.
        """
        if not self._memory.lacks(size, own):
            return True
        for lobby in list(self._kept):
            if not lobby.busy and lobby is not keep:
                self.forget(lobby)
                if not self._memory.lacks(size, own):
                    return True
        return False
