"""The three roles of matches in one process, and the connections that talk to them.

Each role hears of the others only through the bus; `roles` says which it is.

Counterparts: `runtime/server.py` runs it; the tests' simulation runs it with a bus that
misbehaves.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.engine.role_messages import MANAGER, MATCH, STATS
from polypaint.engine.service import Documents, Gauge, Requests, Service, text_endpoint
from polypaint.matches import manager, move_log
from polypaint.matches import match_server as table
from polypaint.matches.effects import Trouble
from polypaint.matches.game_runner import GameFailed
from polypaint.matches.games import Game
from polypaint.matches.manager import Manager
from polypaint.matches.match_server import MatchServer
from polypaint.matches.session import MatchSession
from polypaint.matches.stats import Stats
from polypaint.matches.viewer import ViewerKey

if TYPE_CHECKING:
    from random import Random


class MatchService(Service):
    """See the module. random: for codes, unguessable; seeded: for games, repeatable."""

    name = "matches"
    KINDS = (manager.KIND, table.KIND, move_log.KIND)
    PREFIX = "match_"
    COUNTED: ClassVar = {
        "actions": "Actions that players took in matches.",
        "refused": "Requests about matches that were refused.",
        "games_failed": "Matches that were cancelled because their game failed.",
    }

    def __init__(
        self,
        context: Context,
        book: DocumentBuffer,
        bus: Requests,
        games: dict[str, type[Game]],
        random: "Random",
        seeded: "Callable[[int], Random]",
    ) -> None:
        self.endpoint = text_endpoint(self.name, self.connect)
        self.context = context
        self.sessions: dict[ViewerKey, MatchSession] = {}
        self.counters = dict.fromkeys(self.COUNTED, 0)
        self.manager = Manager(context, book, games, bus, self._failed, random)
        self.table = MatchServer(context, book, games, bus, self._failed, seeded)
        self.stats = Stats(context, bus)
        bus.join(MANAGER, self.manager.receive)
        bus.join(MATCH, self.table.receive)
        bus.join(STATS, self.stats.receive)

    def _failed(self, failure: GameFailed, code: str) -> None:
        """A game has failed; code: in which match, if in one."""
        self.count("games_failed")
        self.context.effects.append(Trouble("a game has failed", {"code": code} | failure.details))

    def restore(self, documents: Documents, now: float) -> None:
        """What was kept when the server stopped: kind → (key, JSON)."""
        self.manager.restore(documents[manager.KIND], now)
        self.table.restore(documents[table.KIND], documents[move_log.KIND], now)

    def listening(self, address: str) -> None:
        """Where the match server is, as players are told."""
        self.manager.listening(address)

    def gauges(self) -> Mapping[str, Gauge]:
        """Matches."""
        return {"matches": Gauge("Matches that are not closed.", lambda: len(self.table.matches))}

    def connect(
        self, address: str, now: float, _rtt_s: Callable[[], float]
    ) -> MatchSession | None:
        """A new connection; None when there are too many. address: of the peer, without port."""
        if not self.context.admit(address):
            return None
        session = MatchSession(self, address, now)
        self.sessions[session.key] = session
        return session

    def disconnected(self, session: MatchSession, now: float) -> None:
        """The connection is gone, whoever closed it."""
        self.sessions.pop(session.key, None)
        self.table.lost(session, now)
