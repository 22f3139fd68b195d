"""What only matches ask of the world: results, rankings, paint lobbies, entries of the log.

Where an answer comes back, `then` is called with it, `failed` when there is none.

Must never import anything that does it. Counterpart: `runtime/effect_runner.py` carries these out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from polypaint.engine.effects import Effect


@dataclass(frozen=True, slots=True)
class CountResult:
    """Comes back as `then((outcome, players), now)`; outcome: `compte`, `doublon`, `conflit`."""

    code: str
    player: str
    statut: str
    then: Callable[[tuple[str, set[str]], float], None]
    failed: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """Comes back as `then(record, now)`, a `store.PlayerRecord`."""

    player: str
    then: Callable[[Any, float], None]
    failed: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ReadRanking:
    """Comes back as `then(records, now)`, `store.PlayerRecord`s, the best first."""

    limit: int
    then: Callable[[Any, float], None]
    failed: Callable[[float], None]


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
    details: dict[str, Any]
