"""What only paint asks of the world. Each comes back as a call of the same service.

`otherwise` is called instead, or after a call that raised, when something went wrong that nobody
expected (`polypaint.engine.effects.Question`).

Must never import anything that does it. Counterparts: `runtime/drawings.py` carries these out;
`polypaint.engine.effects` holds what every service asks.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polypaint.engine.effects import Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from polypaint.paint.lobby import Lobby
    from polypaint.paint.lobby_rules import LobbyRules


@dataclass(frozen=True, slots=True)
class LoadCanvas(Question):
    """Comes back as `service.canvas_loaded`."""

    lobby: "Lobby"
    otherwise: "Callable[[float], None]"


@dataclass(frozen=True, slots=True)
class SaveCanvas(Question):
    """Comes back as `service.canvas_saved`. meta, blobs: as `Canvas.dump` gives them, at `seq`."""

    lobby: "Lobby"
    info: "LobbyRules"
    seq: int
    batch: int
    meta: dict[str, Any]
    blobs: list[bytes]
    otherwise: "Callable[[float], None]"


@dataclass(frozen=True, slots=True)
class RemoveCanvas(Question):
    """Comes back as `service.canvas_removed`."""

    lobby: "Lobby"
    otherwise: "Callable[[float], None]"


@dataclass(frozen=True, slots=True)
class Work(Question):
    """Much to compute, on a canvas that nobody else touches meanwhile: `work()`, off the loop.

    Comes back as `service.worked`, with what it returned or the Refused that it raised. cost:
    about how many nanoseconds.
    """

    lobby: "Lobby"
    work: "Callable[[], Any]"
    then: "Callable[[Any, float], None]"
    otherwise: "Callable[[float], None]"
    cost: int
