"""A store and a journal in memory, which a test can make slow, broken and full.

Counterparts: `polypaint.store` declares both; `world.py` runs a server on them.
"""

import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson

from polypaint.engine.documents import Changes
from polypaint.errors import StoreError
from polypaint.store import (
    Counted,
    PlayerRecord,
    Sizes,
    StoredAccount,
    StoredLobby,
    StoredResult,
)


def asked(method):
    """A method of the store that may take long and fail, before and after it has done its work."""

    @functools.wraps(method)
    async def call(self, *args: Any, **kwargs: Any) -> Any:
        name = method.__name__
        self.at(f"asked: {name}")
        if self.disturb is not None:
            await self.disturb(name)
        result = await method(self, *args, **kwargs)
        self.at(f"did: {name}")
        if self.disturb is not None:
            await self.disturb(name)
        return result

    return call


def nowhere(_point: str) -> None:
    """A point at which nothing happens."""


class MemoryStore:
    """See `polypaint.store.Store`, which this satisfies: the test of the contracts says so."""

    def __init__(self) -> None:
        self.away = False
        self.problems: list[str] = []
        self.torn_bytes = 0
        self.passwords: dict[str, bytes] = {}
        self.kept: dict[int, tuple[StoredLobby, dict[str, Any], list[bytes]]] = {}
        self.broken = False
        self.documents: dict[tuple[str, str], bytes] = {}
        self.counted: dict[tuple[str, str], str] = {}
        self.conflicting: list[tuple[str, str, str]] = []
        self.at: Callable[[str], None] = nowhere
        """Told of every question, before and after it is answered."""
        self.world: Any = None
        """Whose it is."""
        self.disturb: Callable[[str], Awaitable[None]] | None = None
        """Takes time, or raises, in place of the disk."""

    def fork(self) -> "MemoryStore":
        """Another with the same content."""
        other = MemoryStore()
        for name in ("passwords", "kept", "documents", "counted"):
            setattr(other, name, dict(getattr(self, name)))
        return other

    async def start(self) -> None:
        pass

    async def identity(self) -> str:
        return "memory"

    async def ancestors(self) -> set[str]:
        return set()

    async def descend_from(self, identities: set[str]) -> None:
        pass

    async def sizes(self) -> Sizes:
        return Sizes(len(self.passwords), len(self.kept), len(self.documents), len(self.counted))

    async def kinds(self) -> list[str]:
        return sorted({kind for kind, _ in self.documents})

    @asked
    async def write(self, changes: Changes) -> None:
        if self.broken:
            raise StoreError("broken")
        for name, body in changes.items():
            if body is None:
                self.documents.pop(name, None)
            else:
                self.documents[name] = body

    @asked
    async def read(
        self, kind: str, after: str | None = None, limit: int | None = None
    ) -> list[tuple[str, bytes]]:
        of_kind = sorted((k, body) for (own, k), body in self.documents.items() if own == kind)
        return [each for each in of_kind if after is None or each[0] > after][:limit]

    @asked
    async def read_one(self, kind: str, key: str) -> bytes | None:
        return self.documents.get((kind, key))

    @asked
    async def count(
        self, code: str, player: str, statut: str, now: float
    ) -> tuple[Counted, set[str]]:
        if self.broken:
            raise StoreError("broken")
        outcome = Counted.NEW
        known = self.counted.setdefault((code, player), statut)
        if known is not statut:
            outcome = Counted.AGAIN if known == statut else Counted.CONFLICT
            if outcome is Counted.CONFLICT:
                self.conflicting.append((code, player, statut))
        return outcome, {name for own, name in self.counted if own == code}

    async def results(self, after: tuple[str, str], limit: int) -> list[StoredResult]:
        found = [StoredResult(*name, statut, 0) for name, statut in sorted(self.counted.items())]
        return [each for each in found if (each.code, each.player) > after][:limit]

    async def conflicts(self) -> list[StoredResult]:
        return sorted(StoredResult(*each, 0) for each in self.conflicting)

    @asked
    async def record(self, player: str) -> PlayerRecord:
        if self.broken:
            raise StoreError("broken")
        return self._record(player)

    def _record(self, player: str) -> PlayerRecord:
        own = [(code, s) for (code, name), s in self.counted.items() if name == player][::-1]
        totals = Counter(s for _, s in own)
        return PlayerRecord(
            player, totals["victoire"], totals["defaite"], totals["nul"], tuple(own)
        )

    @asked
    async def ranking(self, limit: int) -> list[PlayerRecord]:
        names = {name for _, name in self.counted}
        records = [self._record(name) for name in names]
        records.sort(key=lambda r: (-r.wins, r.losses, r.player))
        return [PlayerRecord(r.player, r.wins, r.losses, r.draws) for r in records[:limit]]

    @asked
    async def remove(self, number: int) -> None:
        if self.broken:
            raise StoreError("broken")
        self.kept.pop(number, None)

    @asked
    async def password_hash(self, name: str) -> bytes | None:
        return self.passwords.get(name)

    @asked
    async def add_account(self, name: str, password_hash: bytes, now: float) -> bool:
        return self.passwords.setdefault(name, password_hash) is password_hash

    @asked
    async def set_password(self, name: str, password_hash: bytes) -> bool:
        known = name in self.passwords
        if known:
            self.passwords[name] = password_hash
        return known

    @asked
    async def accounts(self) -> list[StoredAccount]:
        return [StoredAccount(name, 0, hashed) for name, hashed in self.passwords.items()]

    @asked
    async def lobbies(self) -> list[StoredLobby]:
        return [lobby for lobby, _, _ in self.kept.values()]

    @asked
    async def load(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        if self.broken or number not in self.kept:
            raise StoreError("not there")
        _, meta, blobs = self.kept[number]
        return orjson.loads(orjson.dumps(meta)), blobs

    @asked
    async def save(
        self, lobby: StoredLobby, meta: dict[str, Any], blobs: list[bytes], now: float
    ) -> None:
        if self.broken:
            raise StoreError("broken")
        if not meta:
            _, meta, blobs = self.kept[lobby.number]
        self.kept[lobby.number] = (lobby, orjson.loads(orjson.dumps(meta)), blobs)

    async def check(self) -> list[str]:
        return []

    async def set_aside_damaged(self) -> list[str]:
        return []

    async def close(self) -> None:
        pass


class MemoryJournal:
    """See `polypaint.store.Journal`."""

    torn_bytes = 0
    store = ""

    def belong_to(self, store: str) -> None:
        self.store = store

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}
        self.problems: list[str] = []
        self.last = 0
        self.at: Callable[[str], None] = nowhere
        self.committed: Callable[[int, bytes], None] = lambda _number, _batch: None
        """Told of every batch that is kept."""
        self.disturb: Callable[[], None] = lambda: None
        """Raises, in place of the disk."""
        self.reserve = False
        """Is there room that is kept for the end?"""

    def fork(self) -> "MemoryJournal":
        """Another with the same content."""
        other = MemoryJournal()
        other.kept, other.last, other.store = dict(self.kept), self.last, self.store
        return other

    @property
    def needed(self) -> tuple[int, int]:
        return min(self.kept, default=self.last + 1), self.last

    @property
    def empty(self) -> bool:
        return not self.kept

    def commit(self, batches: list[tuple[int, bytes]]) -> None:
        self.at("sealed")
        self.disturb()
        for number, data in batches:
            assert number not in self.kept
            self.kept[number] = data
            self.last = number
            self.committed(number, data)
        self.at("committed")

    def batches(self) -> Iterator[tuple[int, bytes]]:
        yield from sorted(self.kept.items())

    def trim(self, before: int) -> bool:
        self.kept = {n: data for n, data in self.kept.items() if n >= before}
        return False

    def set_aside(self) -> str:
        self.kept = {}
        return "nowhere"

    def use_reserve(self) -> bool:
        used, self.reserve = self.reserve, False
        return used

    def fill_reserve(self) -> None:
        self.disturb()

    def close(self) -> None:
        pass
