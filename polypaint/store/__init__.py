"""What a server needs of storage: the contracts that the stores and the journal fulfil.

A `Store` keeps accounts, drawings, documents and results, and may be far away: it is awaited. A
`Journal` keeps what happened since, is always local, and is written before anybody sees it.

Must never import the network. Counterpart: `polypaint.runtime.recovery` reads both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from polypaint.engine.documents import Changes
from polypaint.paint.lobby_rules import LobbyRules


@dataclass(frozen=True, slots=True)
class StoredLobby:
    """A drawing in the store, without its content. seq: of the last log record that is in it."""

    number: int
    info: LobbyRules
    seq: int


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account. created: UTC seconds. password_hash: by bcrypt."""

    name: str
    created: float
    password_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, order=True)
class StoredResult:
    """What a player did in a match. at: UTC seconds."""

    code: str
    player: str
    statut: str
    at: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is in a store."""

    accounts: int
    lobbies: int
    documents: int
    results: int

    @property
    def empty(self) -> bool:
        """Is there nothing at all?"""
        return not (self.accounts or self.lobbies or self.documents or self.results)

    def __str__(self) -> str:
        return (
            f"{self.accounts} accounts, {self.lobbies} drawings, {self.documents} documents and "
            f"{self.results} results"
        )


class Counted(Enum):
    """What came of a result."""

    NEW = "compte"
    AGAIN = "doublon"
    CONFLICT = "conflit"
    """There is another one under its key; it was kept apart and is not counted."""


@dataclass(frozen=True, slots=True)
class PlayerRecord:
    """What a player has done. history: (match, statut), newest first, at most HISTORY_MAX."""

    player: str
    wins: int = 0
    losses: int = 0
    draws: int = 0
    history: tuple[tuple[str, str], ...] = ()


HISTORY_MAX: Final = 1000
UNFINISHED: Final = ("copie", "source")
"""Kind and key of the document that a store holds while another is copied into it."""


class Store(Protocol):
    """What is kept. Every method raises StoreError; writing, StoreFull too.

    What was damaged since it was stored raises StoreDamaged when it is asked for by its name, and
    is left out of lists.
    """

    away: bool
    """Did it fail to answer the last time that it was asked?"""
    problems: list[str]
    """What was found to be damaged, and mended, when it was opened."""
    torn_bytes: int
    """What a killed server had begun to write and did not finish."""

    async def start(self) -> None:
        """Make ready what is there, or make it anew; called once, before anything else."""

    async def identity(self) -> str:
        """A word that no other store has, the same for as long as this one exists."""

    async def ancestors(self) -> set[str]:
        """The identities of the stores of which this one is a copy."""

    async def descend_from(self, identities: set[str]) -> None:
        """Note that this one has what those have."""

    async def sizes(self) -> Sizes:
        """How much there is."""

    async def password_hash(self, name: str) -> bytes | None:
        """The bcrypt hash of an account; None when there is no such account."""

    async def add_account(self, name: str, password_hash: bytes, now: float) -> bool:
        """False when the name is taken. now: UTC seconds."""

    async def set_password(self, name: str, password_hash: bytes) -> bool:
        """False when there is no such account."""

    async def accounts(self) -> list[StoredAccount]:
        """All accounts, by name."""

    async def lobbies(self) -> list[StoredLobby]:
        """All drawings, by number."""

    async def load(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        """A drawing as `Canvas.dump` gave it."""

    async def save(
        self, lobby: StoredLobby, meta: dict[str, Any], blobs: list[bytes], now: float
    ) -> None:
        """Keep a drawing, in one step; without meta only its info and seq. now: UTC seconds."""

    async def remove(self, number: int) -> None:
        """Forget a drawing, if it is there."""

    async def write(self, changes: Changes) -> None:
        """Keep these documents, forget those that are None; after a StoreError, all again."""

    async def kinds(self) -> list[str]:
        """Every kind of which there are documents, in order."""

    async def read(
        self, kind: str, after: str | None = None, limit: int | None = None
    ) -> list[tuple[str, bytes]]:
        """Documents of a kind: (key, JSON), by key; so many of those that come after a key."""

    async def read_one(self, kind: str, key: str) -> bytes | None:
        """One document as JSON."""

    async def count(
        self, code: str, player: str, statut: str, now: float
    ) -> tuple[Counted, set[str]]:
        """Keep the result of a player in a match, once; and who has one in this match now.

        now: UTC seconds.
        """

    async def results(self, after: tuple[str, str], limit: int) -> list[StoredResult]:
        """So many of the results that count, by (code, player), after this one."""

    async def conflicts(self) -> list[StoredResult]:
        """All results that were kept apart, in order."""

    async def record(self, player: str) -> PlayerRecord:
        """A player's totals and history; zeros for one who is not known."""

    async def ranking(self, limit: int) -> list[PlayerRecord]:
        """The players with most wins, then fewest losses, then by name; without their history."""

    async def check(self) -> list[str]:
        """What is wrong with what is stored; empty when nothing is. Nothing is changed."""

    async def set_aside_damaged(self) -> list[str]:
        """Move what is damaged to where nobody reads it; sentences that name it."""

    async def close(self) -> None:
        """Release everything."""


class Journal(Protocol):
    """The log of all lobbies since their drawings were last stored."""

    torn_bytes: int
    """What a killed server had begun to write and did not finish; nobody has seen it."""
    problems: list[str]
    """What was found to be damaged; complete when all batches have been read."""

    @property
    def store(self) -> str:
        """The identity of the store to which it belongs; empty before the first."""

    @property
    def needed(self) -> tuple[int, int]:
        """(first, last) of the batches that it must have; last is 0 where that is not known."""

    @property
    def empty(self) -> bool:
        """Is there nothing in it that the store may not have?"""

    def commit(self, batches: list[tuple[int, bytes]]) -> None:
        """Keep these numbered batches, all or none. Raises StoreFull, StoreError."""

    def belong_to(self, store: str) -> None:
        """Note the identity of the store that will get what is journaled. Raises StoreError."""

    def batches(self) -> Iterator[tuple[int, bytes]]:
        """Everything that is kept, in order, damaged or not: see `log.salvaged`."""

    def trim(self, before: int) -> bool:
        """Forget some batches with lower numbers. Are there more? Raises StoreError."""

    def set_aside(self) -> str:
        """Begin an empty journal and keep the old one for examination; its name now."""

    def use_reserve(self) -> bool:
        """Give up the room that was put by for a full disk; False when there is none."""

    def fill_reserve(self) -> None:
        """Put room by for a full disk. Raises StoreFull, StoreError."""

    def close(self) -> None:
        """Release everything."""
