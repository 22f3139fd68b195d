"""One connection's conversation about matches: requests in, answers out.

Every request takes the same path: one JSON object → its `rid` → may it ask so often → is it known
→ its fields → its handler in `handles`. Handlers raise what is wrong; `answer` alone tells it.

Must never do I/O. Counterparts: `service.py` has the roles; `messages.py` declares the requests.
Protocol: docs/matches.md, sections 1-3.
"""

import hmac
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from polypaint.engine import effects
from polypaint.engine.budget import COPIES, CREATION, Bucket
from polypaint.engine.handlers import Handlers
from polypaint.engine.session import JsonSession, loads, valid_rid
from polypaint.matches import messages
from polypaint.matches.messages import REQUESTS, MatchRefusal, refused
from polypaint.matches.viewer import Answer, Standing

if TYPE_CHECKING:
    from polypaint.matches.service import MatchService

RATE: Final = 100.0
BURST: Final = 200.0
CREATED_RATE: Final = 10.0
CREATED_BURST: Final = 100.0
"""Of `creer`: matches that one connection creates, a second and at once."""
TAKEN_OVER: Final = "your seat was resumed from another connection"

Handler: TypeAlias = "Callable[[MatchSession, dict[str, Any], float], None]"
handles: Final = Handlers[Handler]("name")


class MatchSession(JsonSession):
    """See the module. standing: what this connection has to do with matches."""

    def __init__(self, service: "MatchService", address: str, now: float) -> None:
        super().__init__(service.context, address, now)
        self.service = service
        self.standing = Standing.NOWHERE
        self._bucket = Bucket(RATE, BURST, now)
        self._creating = Bucket(CREATED_RATE, CREATED_BURST, now)
        self._entering: dict[str, Any] = {}
        self._private = ""
        self._ticket_rid: Any = None

    # ------------------------------------------------------------ every request
    def answer(self, line: bytes, now: float) -> None:
        """One request. Raises ProtocolError when it is no JSON object."""
        message = loads(line)
        rid = message.get("rid")
        if not valid_rid(rid):
            self.refuse(refused("champ", "rid is no scalar of at most 64 bytes"), None)
            return
        try:
            if not self._bucket.take(now):
                raise refused("debit")
            name = message.get("requete")
            if not isinstance(name, str):
                raise refused("champ", "requete is missing: the name of a request")
            request = REQUESTS.get(name)
            if request is None:
                raise refused("inconnu")
            request.check(message)
            self.context.flush_set.spent += request.cost
            handles[name](self, message, now)
        except MatchRefusal as refusal:
            self.refuse(refusal, rid)

    def reply(self, message: Mapping[str, object], rid: Any) -> None:
        """Answer a request."""
        self.say(message if rid is None else {**message, "rid": rid})

    def refuse(self, refusal: MatchRefusal, rid: Any) -> None:
        """Say why a request was refused."""
        self.service.count("refused")
        self.reply({"erreur": refusal.code, "message": str(refusal)}, rid)

    def placed(self, standing: Standing) -> None:
        """The match server has given it a place, or taken it away."""
        self.standing = standing

    def displaced(self) -> None:
        """Another connection has taken this seat: say so, that nobody takes it back unasked."""
        self.standing = Standing.NOWHERE
        self.refuse(refused("occupe", TAKEN_OVER), None)
        self.close(TAKEN_OVER)

    def faulty(self, reason: str, too_long: bool) -> None:
        """Answer a line that is not a valid message with an error."""
        self.refuse(refused("trop_grand" if too_long else "json", reason), None)

    def disconnected(self, now: float) -> None:
        """The connection is gone: the seat is held for a while."""
        self.service.disconnected(self, now)

    # ------------------------------------------------------------ the manager's
    @handles(messages.CREER)
    def _create(self, message: dict[str, Any], now: float) -> None:
        if not self._creating.take(now):
            raise refused("debit", "you create matches faster than a person could")
        self.context.flush_set.spent += CREATION
        reply = partial(self.reply, rid=message.get("rid"))
        self.service.manager.create(message, self.address, reply, now)

    @handles(messages.LISTER)
    def _list(self, message: dict[str, Any], _now: float) -> None:
        listed = self.service.manager.listing()
        self.context.flush_set.spent += len(listed) // COPIES
        listing = orjson.Fragment(listed)
        self.reply({"reponse": "parties", "parties": listing}, message.get("rid"))

    # ------------------------------------------------------------ the match server's
    @handles(messages.CONNEXION)
    def _enter(self, message: dict[str, Any], _now: float) -> None:
        name = message["id_publique"]
        if self.standing.at_match:
            other = self.standing is Standing.SEATED and self.name != name
            raise refused("identite" if other else "occupe")
        self.service.table.find(name, message.get("code_partie"))  # before hashing for nothing
        self.wait()
        self._entering = message
        self.context.effects.append(
            effects.CheckPassword(self, name, message["id_privee"], bind=True)
        )

    def password_checked(self, name: str, ok: bool | None, now: float) -> None:
        """Take the seat, or say why not; ok is None when accounts cannot be read."""
        message, self._entering = self._entering, {}
        rid = message.get("rid")
        if not self.closing:
            try:
                if ok is None:
                    raise refused("debit", "accounts cannot be read now; try again later")
                if not ok:
                    raise refused("identite")
                self._identified(name, message["id_privee"])
                self.service.table.enter(self, name, message.get("code_partie"), rid, now)
            except MatchRefusal as refusal:
                self.refuse(refusal, rid)
        self.resume(now)

    def _identified(self, name: str, private: str) -> None:
        if not self.name:
            self.context.known(self.address)
        self.name = name
        self._private = private
        self.standing = Standing.NOWHERE

    def account_created(self, status: int, now: float) -> None:
        """Never called: accounts are made by `connexion`."""
        raise AssertionError("accounts come to be with the first `connexion`")

    @handles(messages.JETON)
    def _ticket(self, message: dict[str, Any], _now: float) -> None:
        if not self.name:
            raise refused("non_connecte")
        self.wait()
        self._ticket_rid = message.get("rid")
        self.context.effects.append(effects.IssueTicket(self))

    def ticket_issued(self, ticket: str, now: float) -> None:
        """Answer `jeton`; an empty ticket: there is none now."""
        if ticket:
            self.reply({"reponse": "jeton", "jeton": ticket}, self._ticket_rid)
        else:
            refusal = refused("debit", "accounts cannot be read now; try again later")
            self.refuse(refusal, self._ticket_rid)
        self.resume(now)

    @handles(messages.ACTION)
    def _act(self, message: dict[str, Any], now: float) -> None:
        self._must_be(message["id_publique"])
        self.service.table.act(self, message["action"], message.get("rid"), now)
        self.service.count("actions")

    @handles(messages.DECONNEXION)
    def _leave(self, message: dict[str, Any], now: float) -> None:
        if self.standing is not Standing.WATCHING:  # spectators may just go
            self._must_be(message["id_publique"])
            private = message["id_privee"]
            if not hmac.compare_digest(private.encode(), self._private.encode()):
                raise refused("identite")
        self.service.table.leave(self, now)
        self.reply({"reponse": "deconnecte"}, message.get("rid"))

    def _must_be(self, name: str) -> None:
        """Is this connection at a match, as this player? Raises MatchRefusal."""
        if self.standing is not Standing.SEATED:
            raise refused("terminee" if self.standing is Standing.OVER else "non_connecte")
        if name != self.name:
            raise refused("identite")

    @handles(messages.SPECTATEUR)
    def _watch(self, message: dict[str, Any], now: float) -> None:
        if self.standing.at_match:
            raise refused("occupe")
        infos = self.service.table.watch(self, message["code_partie"], now)
        self.reply({"reponse": "infos", "infos_partie": infos}, message.get("rid"))

    # ------------------------------------------------------------ the stats server's
    @handles(messages.STATISTIQUES)
    def _statistics(self, message: dict[str, Any], _now: float) -> None:
        self.service.stats.player(message["id_publique"], self._answer(message.get("rid")))

    @handles(messages.CLASSEMENT)
    def _ranking(self, message: dict[str, Any], _now: float) -> None:
        self.service.stats.ranking(self._answer(message.get("rid")))

    def _answer(self, rid: Any) -> Answer:
        """Wait for what comes back later; what takes it."""

        def answer(found: Mapping[str, object] | MatchRefusal, now: float) -> None:
            if isinstance(found, MatchRefusal):
                self.refuse(found, rid)
            else:
                self.reply(found, rid)
            self.resume(now)

        self.wait()
        return answer


handles.must_be(REQUESTS.values())
