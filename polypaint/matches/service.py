"""The three roles of matches in one process, and the connections that talk to them.

Each role hears of the others only through the bus; `roles` says which it is.

Counterparts: `runtime/server.py` runs it; the tests' simulation runs it with a bus that
misbehaves.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.matches import manager
from polypaint.matches import match_server as table
from polypaint.matches.effects import Trouble
from polypaint.matches.game_runner import GameFailed
from polypaint.matches.games import Game
from polypaint.matches.manager import Manager
from polypaint.matches.match_server import MatchServer
from polypaint.matches.messages import MANAGER, MATCH, STATS
from polypaint.matches.session import MatchSession
from polypaint.matches.stats import Stats

if TYPE_CHECKING:
    from random import Random


class Bus(Protocol):
    """What matches need of a bus, see `polypaint.bus`."""

    def join(self, role: str, receive: Callable[[dict[str, Any], float], None]) -> None:
        """From now on this role's messages go here."""

    def send(self, role: str, message: dict[str, Any]) -> None:
        """Have the role receive this, at least once, after the turn has been journaled."""


class MatchService:
    """See the module. random: for codes, unguessable; seeded: for games, repeatable."""

    KINDS: Final = (manager.KIND, table.KIND, table.MOVES)
    """Documents that `restore` needs."""

    def __init__(
        self,
        context: Context,
        book: DocumentBuffer,
        bus: Bus,
        games: dict[str, type[Game]],
        random: "Random",
        seeded: "Callable[[int], Random]",
    ) -> None:
        self.context = context
        self.sessions: set[MatchSession] = set()
        self.counters = {"actions": 0, "refused": 0, "games_failed": 0}
        self.manager = Manager(context, book, games, bus.send, self._failed, random)
        self.table = MatchServer(context, book, games, bus.send, self._failed, seeded)
        self.stats = Stats(context, bus.send)
        bus.join(MANAGER, self.manager.receive)
        bus.join(MATCH, self.table.receive)
        bus.join(STATS, self.stats.receive)

    def _failed(self, failure: GameFailed, code: str) -> None:
        """A game has failed; code: in which match, if in one."""
        self.counters["games_failed"] += 1
        self.context.effects.append(Trouble("a game has failed", {"code": code} | failure.details))

    def restore(self, documents: Mapping[str, Iterable[tuple[str, bytes]]], now: float) -> None:
        """What was kept when the server stopped: kind → (key, JSON)."""
        self.manager.restore(documents[manager.KIND], now)
        self.table.restore(documents[table.KIND], documents[table.MOVES], now)

    def connect(
        self, address: str, now: float, _rtt_s: Callable[[], float]
    ) -> MatchSession | None:
        """A new connection; None when there are too many. address: of the peer, without port."""
        if not self.context.admit(address):
            return None
        session = MatchSession(self, address, now)
        self.sessions.add(session)
        return session

    def disconnected(self, session: MatchSession, now: float) -> None:
        """The connection is gone, whoever closed it."""
        self.sessions.discard(session)
        self.table.lost(session, now)
