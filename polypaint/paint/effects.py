"""What the domain asks of the world. Each comes back as a call of the same service, or not at all.

Must never import anything that does it. Counterpart: `server.py` carries these out.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from polypaint.paint.lobbies import Lobby, LobbyInfo
    from polypaint.paint.session import Session


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """Comes back as `session.password_checked`."""

    session: "Session"
    name: str
    password: str


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """Comes back as `session.account_created`."""

    session: "Session"
    name: str
    password: str


@dataclass(frozen=True, slots=True)
class LoadCanvas:
    """Comes back as `service.canvas_loaded`."""

    lobby: "Lobby"


@dataclass(frozen=True, slots=True)
class SaveCanvas:
    """Comes back as `service.canvas_saved`. meta, blobs: as `Canvas.dump` gives them, at `seq`."""

    lobby: "Lobby"
    info: "LobbyInfo"
    seq: int
    batch: int
    meta: dict[str, Any]
    blobs: list[bytes]


@dataclass(frozen=True, slots=True)
class Work:
    """Much to compute, on a canvas that nobody else touches meanwhile: `work()`, off the loop.

    Comes back as `service.worked`, with what it returned or the Refused that it raised.
    """

    lobby: "Lobby"
    work: "Callable[[], Any]"
    then: "Callable[[Any, float], None]"


@dataclass(frozen=True, slots=True)
class Close:
    """Flush what this session has to be told, then close its connection."""

    session: "Session"
    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """The session can take more bytes again."""

    session: "Session"


@dataclass(frozen=True, slots=True)
class Rejected:
    """For the log, at a bounded rate: a packet was rejected."""

    session: "Session"
    type_id: int
    reason: str
    count: int


Effect: TypeAlias = (
    CheckPassword | CreateAccount | LoadCanvas | SaveCanvas | Work | Close | Resume | Rejected
)
