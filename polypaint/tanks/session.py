"""One connection's conversation about tanks: messages in, answers out.

Every message takes the same path: one JSON object → its kind, by its keys → is it in place now →
its fields → its handler in `handles`. Handlers raise what is wrong; `answer` alone tells it.

Must never do I/O. Counterparts: `service.py`; `messages.py` declares the messages.
Protocol: docs/tanks.md, sections 1-5.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from polypaint.engine import effects
from polypaint.engine.budget import CREATION, Bucket
from polypaint.engine.effects import ACCOUNT_CREATED, NAME_TAKEN
from polypaint.engine.handlers import Handlers
from polypaint.engine.session import JsonSession, line, loads, valid_rid
from polypaint.identity.accounts import is_name, is_password
from polypaint.tanks import messages
from polypaint.tanks.battle import Battle, Fighter
from polypaint.tanks.economy import Profile
from polypaint.tanks.messages import KINDS, Kind, TankRefusal, When, kind_of, parse, refused
from polypaint.tanks.moderation import SERIOUS, Conduct, Listener
from polypaint.tanks.vehicles import TANKS

if TYPE_CHECKING:
    from polypaint.tanks.service import TankService

LOGIN_S: Final = 10.0
FAILURES_MAX: Final = 5
MOVES: Final = (30.0, 60.0)
CHATS: Final = (1.0, 5.0)
OTHERS: Final = (10.0, 40.0)
"""Of each: so many a second, and so many at once."""
WEIGHED: Final = 1000
"""Units of work of looking at one character of a message, in all forms that it may be meant."""

Handler: TypeAlias = "Callable[[TankSession, dict[str, Any], Any, float], None]"
handles: Final = Handlers[Handler]("name")


class TankSession(JsonSession):
    """See the module. battle: where they are, if anywhere; fighter: their tank, if any."""

    def __init__(self, service: "TankService", address: str, now: float) -> None:
        super().__init__(service.context, address, now)
        self.service = service
        self.profile: Profile | None = None
        self.conduct = Conduct()
        self.battle: Battle | None = None
        self.fighter: Fighter | None = None
        self._failures = 0
        self._creating = ""
        self._ticket_rid: Any = None
        self._listener = Listener()
        self._buckets = {
            "move": Bucket(*MOVES, now),
            "chat": Bucket(*CHATS, now),
            "": Bucket(*OTHERS, now),
        }
        self._deadline = self.context.timers.at(now + LOGIN_S, self._too_late)

    def _too_late(self, now: float) -> None:
        if self.waiting:  # for us
            self._deadline = self.context.timers.at(now + 1, self._too_late)
        elif not self.name:
            self.close("too late to log in")

    # ------------------------------------------------------------ every message
    def answer(self, line: bytes, now: float) -> None:
        """One message. Raises ProtocolError when it is no JSON object."""
        message = loads(line, parse)
        rid = message.get("rid")
        good = valid_rid(rid)
        try:
            if not good:
                raise refused("bad field")
            kind = kind_of(message)
            self._permit(kind, now)
            kind.check(message)
            self.context.flush_set.spent += kind.cost
            handles[kind.name](self, message, rid, now)
        except TankRefusal as refusal:
            self.say({"error": refusal.code, "crid": rid if good else None})

    def _permit(self, kind: Kind, now: float) -> None:
        """Is this message in place, and not one of too many? Raises TankRefusal."""
        if not self.name and kind.when is not When.LOGIN:
            raise refused("not logged in")
        if self.name and kind.when is When.LOGIN:
            raise refused("unknown message")
        if not self._buckets.get(kind.name, self._buckets[""]).take(now):
            raise refused("rate")
        if kind.when is When.MAP and self.battle is None:
            raise refused("not on a map")

    def faulty(self, reason: str, too_long: bool) -> None:
        """Answer a line that is not a valid message with an error."""
        self.say({"error": "bad json", "crid": None})

    def disconnected(self, now: float) -> None:
        """The connection is gone: its tank leaves the map."""
        self._deadline.cancel()
        self.service.disconnected(self, now)
        self.profile = None

    # ------------------------------------------------------------ login
    @handles(messages.LOGIN)
    def _login(self, message: dict[str, Any], _rid: Any, now: float) -> None:
        name, password = message["name"], message["password"]
        if not is_name(name):
            self._refuse("bad name")
        elif not is_password(password):
            self._refuse("bad credentials")
        elif message["newuser"]:
            self.wait()
            self._creating = name
            self.context.effects.append(effects.CreateAccount(self, name, password))
        else:
            self.wait()
            self.context.effects.append(effects.CheckPassword(self, name, password))

    def _refuse(self, reason: str) -> None:
        """#2."""
        self.say({"connection": False, "reason": reason})
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self.close(f"{FAILURES_MAX} logins failed")

    def account_created(self, status: int, now: float) -> None:
        """Log in with the new account, or say why there is none."""
        if status == ACCOUNT_CREATED:
            self._identified(self._creating, now)
        else:
            self._refuse("name taken" if status == NAME_TAKEN else "busy")
            self.resume(now)

    def password_checked(self, name: str, ok: bool | None, now: float) -> None:
        """Log in, or say why not; ok is None when the store does not answer."""
        if ok:
            self._identified(name, now)
        else:
            self._refuse("busy" if ok is None else "bad credentials")
            self.resume(now)

    def _identified(self, name: str, now: float) -> None:
        """It is they: may they come in, and what do they have?"""

        def known(conduct: Conduct, now: float) -> None:
            if conduct.banned_until > self.context.utc(now):
                self._refuse("banned")
                self.resume(now)
                return
            self.conduct = conduct
            self.service.economy.fetch(name, self._come_in, self._busy, now)

        self.service.conduct(name, known, self._busy, now)

    def _busy(self, now: float) -> None:
        """The store does not answer."""
        self._refuse("busy")
        self.resume(now)

    def _come_in(self, profile: Profile, now: float) -> None:
        """The login has succeeded."""
        if not self.closing:
            self.come_in(profile, now)
        self.resume(now)

    def come_in(self, profile: Profile, now: float) -> None:
        """#3."""
        self.context.known(self.address)
        self.name = profile.name
        self._deadline.cancel()
        self.service.welcome(self, profile, now)
        self.profile = profile
        self.service.changed(self.name)
        self.say(
            {
                "connection": True,
                "listplayercoinfo": self.service.online(),
                "myinfo": profile.json(),
                "availablemap": self.service.maps(),
            }
        )

    def entered(
        self, battle: Battle, fighter: Fighter | None, welcome: Mapping[str, object]
    ) -> None:
        """On a map now: said to this player, shown to all others."""
        self.battle, self.fighter = battle, fighter
        self.service.changed(self.name)
        self.say(welcome)
        self.send_queue.attach(battle.broadcast)

    def left(self) -> None:
        """On no map any more."""
        self.send_queue.detach()
        self.battle = self.fighter = None
        if self.name:
            self.service.changed(self.name)

    @handles(messages.TOKEN)
    def _ticket(self, _message: dict[str, Any], rid: Any, _now: float) -> None:
        self.wait()
        self._ticket_rid = rid
        self.context.effects.append(effects.IssueTicket(self))

    def ticket_issued(self, ticket: str, now: float) -> None:
        """Answer the request for a ticket; empty: there is none now."""
        answer = {"token": ticket} if ticket else {"reponse": "no", "reason": "busy"}
        self.say(answer | {"crid": self._ticket_rid})
        self.resume(now)

    # ------------------------------------------------------------ the lobby
    @handles(messages.CONNECT)
    def _connect(self, message: dict[str, Any], rid: Any, now: float) -> None:
        profile = self._own()
        battle = self.service.battles.get(message["map"])
        tank = message.get("tank") or profile.tanks[0]
        reason = ""
        if self.fighter is not None and self.fighter.fell >= 0:
            reason = "dead"
        elif self.battle is not None:
            reason = "already on a map"
        elif battle is None:
            reason = "unknown map"
        elif tank not in profile.tanks:
            reason = "tank not owned"
        elif self.service.stopping or self.context.read_only:
            reason = "closed"
        else:
            reason = battle.refusal(self.name)
        if reason or battle is None:
            self.say({"reponse": "no", "reason": reason, "crid": rid})
        else:
            battle.enter(self, profile, tank, rid, now)

    @handles(messages.SPECTATE)
    def _spectate(self, message: dict[str, Any], rid: Any, _now: float) -> None:
        battle = self.service.battles.get(message["map"])
        reason = "unknown map" if battle is None else ""
        if self.battle is not None:
            reason = "already on a map"
        elif battle is not None and not battle.watch(self, rid):
            reason = "full"
        if reason:
            self.say({"reponse": "no", "reason": reason, "crid": rid})

    @handles(messages.LIST)
    def _list(self, _message: dict[str, Any], rid: Any, _now: float) -> None:
        self.context.flush_set.spent += CREATION
        tanks = {name: tank.json() for name, tank in TANKS.items()}
        self.say({"availablemap": self.service.maps(), "tanks": tanks, "crid": rid})

    @handles(messages.BUY)
    def _buy(self, message: dict[str, Any], rid: Any, now: float) -> None:
        profile = self._own()
        if self.battle is not None:
            reason = "on a map"
        elif self.context.read_only:
            reason = "the server's disk is full"
        else:
            reason = self.service.economy.buy(profile, message["tank"], now)
        self.say(
            {
                "reponse": "no" if reason else "yes",
                "reason": reason or None,
                "crid": rid,
                "xp": profile.xp,
                "coin": profile.coin,
            }
        )

    def _own(self) -> Profile:
        assert self.profile is not None, "who is logged in has a profile"
        return self.profile

    # ------------------------------------------------------------ on a map
    @handles(messages.MOVE)
    def _move(self, message: dict[str, Any], _rid: Any, now: float) -> None:
        if self.battle is None or self.fighter is None:
            raise refused("not on a map")
        self.service.count("moves")
        wrong = self.battle.move(
            self.fighter,
            message["deplacementavant"],
            message["rotationtank"],
            message["rotationcannon"],
            message["fire"],
            now,
        )
        if wrong:
            self.service.kick(self, self.conduct, wrong, now)

    @handles(messages.QUIT)
    def _quit(self, _message: dict[str, Any], _rid: Any, now: float) -> None:
        if self.battle is not None:
            self.battle.leave(self, {"player": self.name, "quit the game": True}, now)

    # ------------------------------------------------------------ chat
    @handles(messages.CHAT)
    def _chat(self, message: dict[str, Any], rid: Any, now: float) -> None:
        text = message["message"]
        if self.battle is None or self.fighter is None:
            self._block(rid, "not on a map")
            return
        self.service.count("messages")
        self.context.flush_set.spent += WEIGHED * len(text)
        wrong = self._listener.hears(text, now)
        weight = self.service.words.weigh(text)
        if weight == SERIOUS:
            self._warn(rid, now)
        elif weight or wrong:
            self._block(rid, wrong or "language")
        else:
            told = {"player": self.name, "message": text}
            self.battle.broadcast.publish(line(told), self.send_queue)
            self.say(told | {"crid": rid})

    def _block(self, rid: Any, reason: str, **more: bool) -> None:
        """#17, or with more #15 and #16."""
        self.say({"message blocked": True, "reason": reason, **more, "crid": rid})

    def _warn(self, rid: Any, now: float) -> None:
        too_many = self.conduct.warn(self.context.utc(now))
        self.service.remember(self.name, self.conduct, now)
        if too_many:
            self._block(rid, "language", kick=True)
            self.service.kick(self, self.conduct, "language", now)
        else:
            self._block(rid, "language", advertisement=True)


handles.must_be(KINDS)
