"""Tanks as one service: who is connected, the maps, bans, results on their way to be counted.

Counterparts: `runtime/server.py` runs it; `session.py` is one connection, `battle.py` one run of a
map. Protocol: docs/tanks.md.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson

from polypaint.engine.budget import COPIES
from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.engine.role_messages import RESULT, RESULT_RETRY_S_MAX, STATS, TANKS
from polypaint.engine.service import Documents, Gauge, Requests, Service, text_endpoint
from polypaint.identity.accounts import Presence
from polypaint.tanks.battle import Battle
from polypaint.tanks.economy import Economy, Profile
from polypaint.tanks.maps import MAPS
from polypaint.tanks.moderation import Conduct, Words
from polypaint.tanks.session import TankSession
from polypaint.tanks.viewer import ViewerKey

if TYPE_CHECKING:
    from random import Random

CONDUCT: Final = "conduite"
RESULTS: Final = "resultat"


class TankService(Service):
    """See the module."""

    name = "tanks"
    KINDS = (RESULTS,)
    PREFIX = "tank_"
    COUNTED: ClassVar = {
        "moves": "Moves of tanks.",
        "messages": "Chat messages on the maps.",
        "kicks": "Players put out for what they did.",
        "battles": "Times that a map was opened.",
    }

    def __init__(
        self,
        context: Context,
        book: DocumentBuffer,
        bus: Requests,
        words: Words,
        random: "Random",
    ) -> None:
        self.endpoint = text_endpoint(self.name, self.connect)
        self.context = context
        self.words = words
        self.economy = Economy(context, book, self.changed)
        self.presence: Presence[TankSession] = Presence()
        self.sessions: dict[ViewerKey, TankSession] = {}
        self.counters = dict.fromkeys(self.COUNTED, 0)
        self.stopping = False
        self._book = book
        self._bus = bus
        self._random = random
        self._online: dict[str, bytes] = {}
        """`listplayercoinfo` in pieces, each made when it changes."""
        self._results: set[str] = set()
        """Those that are not counted yet, by battle and name."""
        self.battles = {name: self._new_battle(name) for name in MAPS}
        bus.join(TANKS, self.receive)

    # ------------------------------------------------------------ connections
    def connect(self, address: str, now: float, _rtt_s: Callable[[], float]) -> TankSession | None:
        """A new connection; None when there are too many. address: of the peer, without port."""
        if not self.context.admit(address):
            return None
        session = TankSession(self, address, now)
        self.sessions[session.key] = session
        return session

    def connect_bot(
        self, name: str, address: str, now: float, rtt_s: Callable[[], float]
    ) -> TankSession | None:
        """As `connect`, for a bot of this server: logged in already, without an account."""
        session = self.connect(address, now, rtt_s)
        if session is not None:
            session.come_in(Profile(name, {}, kept=False), now)
        return session

    def disconnected(self, session: TankSession, now: float) -> None:
        """The connection is gone, whoever closed it."""
        self.sessions.pop(session.key, None)
        if session.battle is not None:
            gone = {"player": session.name, "quit the game": True}
            session.battle.leave(session, gone, now)
        if session.name:
            self.presence.let_go(session.name, session)
            self.changed(session.name)
        if session.profile is not None:
            self.economy.release(session.profile)

    def welcome(self, session: TankSession, profile: Profile, now: float) -> None:
        """Somebody has logged in; who was here under this name has to go."""
        older = self.presence.holder(profile.name)
        if older is not None:
            self.put_out(older, "logged in from another connection", now)
            self.presence.let_go(profile.name, older)
        self.presence.claim(profile.name, session)
        self.economy.hold(profile)

    def gauges(self) -> Mapping[str, Gauge]:
        """Tanks."""
        battles = self.battles.values
        alive = Gauge("Tanks on all maps.", lambda: sum(battle.alive for battle in battles()))
        return {"tanks_alive": alive}

    # ------------------------------------------------------------ lists
    def online(self) -> orjson.Fragment:
        """`listplayercoinfo`."""
        listed = b"{%b}" % b",".join(self._online.values())
        self.context.flush_set.spent += len(listed) // COPIES
        return orjson.Fragment(listed)

    def changed(self, name: str) -> None:
        """Somebody is here, elsewhere or gone, or has another balance."""
        session = self.presence.holder(name)
        if session is None or session.profile is None:
            self._online.pop(name, None)
            return
        battle = session.battle
        entry = {"xp": session.profile.xp, "map": battle.map.name if battle else None}
        self._online[name] = orjson.dumps({name: entry})[1:-1]

    def maps(self) -> dict[str, Any]:
        """`availablemap`."""
        return {
            name: battle.map.json(battle.alive, battle.state)
            for name, battle in self.battles.items()
        }

    # ------------------------------------------------------------ kicks and bans
    def conduct(
        self,
        name: str,
        then: Callable[[Conduct, float], None],
        failed: Callable[[float], None],
        now: float,
    ) -> None:
        """Have `then(conduct, now)` called with what is remembered of a player."""

        def found(document: bytes | None, now: float) -> None:
            then(Conduct.of(orjson.loads(document)) if document else Conduct(), now)

        self._book.fetch(CONDUCT, name, found, failed, now)

    def remember(self, name: str, conduct: Conduct, now: float) -> None:
        """Keep what there is to be remembered of a player."""
        self._book.put(CONDUCT, name, conduct.json(), now)

    def kick(self, session: TankSession, conduct: Conduct, reason: str, now: float) -> None:
        """Put somebody out for what they did, and remember it."""
        self.count("kicks")
        conduct.kick(reason, self.context.utc(now))
        self.remember(session.name, conduct, now)
        self.put_out(session, reason, now)

    def put_out(self, session: TankSession, reason: str, now: float) -> None:
        """#9, then the connection closes."""
        told = {"player": session.name, "kick": 1}
        if session.battle is not None and session.fighter is not None:
            session.battle.leave(session, told, now)
        else:
            if session.battle is not None:
                session.battle.leave(session, None, now)
            session.say(told)
        session.close(reason)

    # ------------------------------------------------------------ battles
    def _new_battle(self, name: str) -> Battle:
        self.count("battles")
        return Battle(
            self.context,
            self.economy,
            MAPS[name],
            f"{name}-{self._random.getrandbits(60):015x}",
            self._random.random,
            self._over,
        )

    def _over(self, battle: Battle, results: dict[str, str], now: float) -> None:
        """A battle has ended: its results go to the stats server, the map opens again."""
        self.battles[battle.map.name] = self._new_battle(battle.map.name)
        for name, statut in results.items():
            result = RESULT.make(
                id_publique=name,
                statut=statut,
                code_partie=battle.run,
                attendus=list(results),
                de=TANKS,
            )
            self._book.put(RESULTS, f"{battle.run}:{name}", result, now)
            self._report(f"{battle.run}:{name}", result, now)

    def _report(self, key: str, result: dict[str, Any], now: float) -> None:
        """Have a result counted."""
        self._results.add(key)
        self._bus.request(RESULT.key(STATS, key), STATS, result, now, RESULT_RETRY_S_MAX)

    def receive(self, message: dict[str, Any], now: float) -> None:
        """From the stats server: it has a result."""
        key = f"{message['code_partie']}:{message['id_publique']}"
        self._bus.acknowledged(RESULT.key(STATS, key))
        if key in self._results:
            self._results.discard(key)
            self._book.remove(RESULTS, key, now)

    def restore(self, documents: Documents, now: float) -> None:
        """Results that were on their way when the server stopped: kind → (key, JSON)."""
        for key, body in documents[RESULTS]:
            self._report(key, orjson.loads(body), now)

    def stop(self, now: float) -> None:
        """The operator stops the server: every map is closed."""
        self.stopping = True
        for battle in list(self.battles.values()):
            if battle.fighters or battle.spectators:
                battle.close("shutdown", now)
