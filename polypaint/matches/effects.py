"""What only matches ask of the world: results, rankings, paint lobbies, entries of the log.

Where an answer comes back, `then` is called with it, `otherwise` when there is none.

Must never import anything that does it. Counterpart: `runtime/services.py` says what carries these
out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from polypaint.engine.effects import Effect, Question


@dataclass(frozen=True, slots=True)
class CountResult(Question):
    """Comes back as `then((outcome, players), now)`; outcome: `compte`, `doublon`, `conflit`."""

    code: str
    player: str
    statut: str
    then: Callable[[tuple[str, set[str]], float], None]
    otherwise: Callable[[float], None]


class PlayerRecord(Protocol):
    """What a player has done: `store.PlayerRecord`."""

    @property
    def player(self) -> str:
        """Their name."""

    @property
    def wins(self) -> int:
        """Matches won."""

    @property
    def losses(self) -> int:
        """Matches lost."""

    @property
    def draws(self) -> int:
        """Matches without a winner."""

    @property
    def history(self) -> tuple[tuple[str, str], ...]:
        """(match, statut), the newest first."""


@dataclass(frozen=True, slots=True)
class ReadRecord(Question):
    """Comes back as `then(record, now)`."""

    player: str
    then: Callable[[PlayerRecord, float], None]
    otherwise: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ReadRanking(Question):
    """Comes back as `then(records, now)`, the best first."""

    limit: int
    then: Callable[[Sequence[PlayerRecord], float], None]
    otherwise: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ArrangeGameLobby(Effect):
    """A paint lobby for a match, as its game wants it now (`games.GameLobby`).

    painters: who may draw; None: all who may enter. clear: what is drawn in it is wiped off.
    """

    filename: str
    owner: str
    passcode: str
    allowed_authors: frozenset[str] | None
    clear: bool


@dataclass(frozen=True, slots=True)
class RemoveGameLobby(Effect):
    """The match is over, and its paint lobby is not to be kept."""

    filename: str


@dataclass(frozen=True, slots=True)
class Trouble(Effect):
    """For the operator's log."""

    what: str
    details: Mapping[str, object]
