"""The Python client of tanks: log in, enter a map, drive, fire, chat, from asyncio.

    async with connect_tanks("127.0.0.1:7602", "ada", "secret", create=True) as client:
        field = await client.enter("prairie")
        client.drive(forward=6, hull=3, fire=1)
        print(field.me, field.others(now=client.now()))

`Field` is what is known of the map, and the reference for smooth play: one's own tank is predicted
(what was sent counts at once; what the server says of it corrects it), the others are shown a
little late, between two positions that are known. docs/tanks.md, section 6, tells how.

Counterpart: `polypaint.tanks`. Protocol: docs/tanks.md.
"""

import asyncio
import ssl
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from polypaint.client.lines import LOGIN_S, LineClient
from polypaint.errors import ConnectionClosed, LoginFailed, ProtocolError, Refused
from polypaint.tanks.arena import drive
from polypaint.tanks.maps import MAPS, Map
from polypaint.tanks.vehicles import TANKS

SHOWN_LATE_S: Final = 0.15
"""How much later than heard the others' movement is shown: there is time for two messages."""
HEARD_MAX: Final = 64
NO_ANSWER: Final = f"no answer to the login within {LOGIN_S:g} s; is this the port of tanks?"


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a tank is: units and degrees, as in `playerinfo`."""

    x: float
    y: float
    angle: float
    cannon: float


class Vehicle:
    """A tank on the map, as the server has told of it."""

    def __init__(self, info: dict[str, Any], now: float) -> None:
        self.kind: str = info["tank"]
        self.life: int = info["life"]
        self.xp: int = info["xp"]
        self.coin: int = info["coin"]
        self.pose = Pose(info["x"], info["y"], info["angle"], info["cannon"])
        self._times: deque[float] = deque([now], HEARD_MAX)
        self._poses: deque[Pose] = deque([self.pose], HEARD_MAX)

    def moved(self, map_: Map, forward: float, hull: float, cannon: float, now: float) -> None:
        """A #8: what it has really done."""
        self.pose = moved(map_, self.kind, self.pose, forward, hull, cannon)
        self._times.append(now)
        self._poses.append(self.pose)

    def shown(self, now: float) -> Pose:
        """Where to draw it: SHOWN_LATE_S ago, between the positions before and after."""
        at = now - SHOWN_LATE_S
        i = bisect_right(self._times, at)
        if i == 0:
            return self._poses[0]
        if i == len(self._times):
            return self._poses[-1]
        before, after = self._poses[i - 1], self._poses[i]
        part = (at - self._times[i - 1]) / (self._times[i] - self._times[i - 1])
        return Pose(
            before.x + part * (after.x - before.x),
            before.y + part * (after.y - before.y),
            (before.angle + part * turn(before.angle, after.angle)) % 360,
            (before.cannon + part * turn(before.cannon, after.cannon)) % 360,
        )


def turn(start: float, end: float) -> float:
    """The shorter way from one angle to another, −180…180 degrees."""
    return (end - start + 180) % 360 - 180


def moved(map_: Map, kind: str, pose: Pose, forward: float, hull: float, cannon: float) -> Pose:
    """Where a tank is after a move, walls included, as the server reckons it."""
    angle = (pose.angle + hull) % 360
    x, y, _ = drive(map_, TANKS[kind], pose.x, pose.y, angle, forward)
    return Pose(x, y, angle, (pose.cannon + cannon) % 360)


class Field:
    """What is known of the map that one is on, without I/O. me: one's own tank, predicted."""

    def __init__(self, name: str, map_: Map) -> None:
        self.name = name
        self.map = map_
        self.vehicles: dict[str, Vehicle] = {}
        self.me: Pose | None = None
        self.dead = False
        self.ended: dict[str, Any] | None = None
        """#18, once the map is closed; {} when one has left it."""
        self.chat: deque[tuple[str, str]] = deque(maxlen=200)
        self._sent: deque[tuple[float, float, float]] = deque()

    @property
    def over(self) -> bool:
        """Is there nothing more to do here?"""
        return self.ended is not None

    @property
    def own(self) -> Vehicle | None:
        """One's own tank, as the server has told of it."""
        return self.vehicles.get(self.name)

    def others(self, now: float) -> dict[str, Pose]:
        """Where to draw the others now."""
        return {n: v.shown(now) for n, v in self.vehicles.items() if n != self.name}

    def act(self, forward: float, hull: float, cannon: float, fire: int) -> dict[str, Any]:
        """The message for a move that counts here at once."""
        own = self.own
        if own is not None and self.me is not None:
            self._sent.append((forward, hull, cannon))
            self.me = moved(self.map, own.kind, self.me, forward, hull, cannon)
        return {
            "deplacementavant": forward,
            "rotationtank": hull,
            "rotationcannon": cannon,
            "fire": fire,
        }

    def hear(self, message: dict[str, Any], now: float) -> None:
        """Something that the server says of the map. now: any clock, in seconds."""
        if "map closed" in message:
            self.ended = message
            return
        player = message.get("player")
        if not isinstance(player, str):
            return
        if "playerinfo" in message:
            self.vehicles[player] = vehicle = Vehicle(message["playerinfo"], now)
            if player == self.name:
                self.me = vehicle.pose
        elif "message" in message:
            self.chat.append((player, message["message"]))
        elif "quit the game" in message or "kick" in message:
            self.vehicles.pop(player, None)
            if player == self.name:
                self.ended = {}
        elif player in self.vehicles:
            self._hear_of(self.vehicles[player], player, message, now)

    def _hear_of(self, vehicle: Vehicle, player: str, message: dict[str, Any], now: float) -> None:
        if "deplacementavant" in message:
            forward, hull = message["deplacementavant"], message["rotationtank"]
            vehicle.moved(self.map, forward, hull, message["rotationcannon"], now)
            if player == self.name:
                self._correct(vehicle)
        vehicle.life = message.get("life", vehicle.life)
        vehicle.xp = message.get("xp", vehicle.xp)
        vehicle.coin = message.get("coin", vehicle.coin)
        if "dead" in message:
            vehicle.life = 0
            self.dead |= player == self.name

    def _correct(self, vehicle: Vehicle) -> None:
        """The server has taken one move of ours: what it says, and then what it has not seen."""
        if self._sent:
            self._sent.popleft()
        pose = vehicle.pose
        for deltas in self._sent:
            pose = moved(self.map, vehicle.kind, pose, *deltas)
        self.me = pose


class TankRefused(Refused):
    """The server said no; the message is its reason."""


class TankClient(LineClient):
    """A player. field: the map that they are on, or None. blocked: #15 and #17, as they came."""

    def __init__(
        self,
        address: str,
        name: str,
        password: str,
        create: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(address, tls)
        self.name = name
        self.field: Field | None = None
        self.xp = self.coin = 0
        self.tanks: dict[str, Any] = {}
        self.maps: dict[str, Any] = {}
        self.online: dict[str, Any] = {}
        self.blocked: deque[dict[str, Any]] = deque(maxlen=100)
        self.errors: deque[str] = deque(maxlen=100)
        self._password = password
        self._ticket = ""
        self._create = create
        self._login: asyncio.Future[dict[str, Any]] | None = None
        self._event = asyncio.Event()

    def now(self) -> float:
        """Seconds, on the clock that the field is told."""
        return asyncio.get_running_loop().time()

    # ------------------------------------------------------------ login
    async def _greet(self) -> None:
        if self._ticket:
            answer = await self._try(self._ticket, newuser=False)
            if answer["connection"] or answer["reason"] != "bad credentials":
                self._logged_in(answer)
                return
            self._ticket = ""  # it has ended, or the password is another now
        if self._create:
            answer = await self._try(self._password, newuser=True)
            self._create = False
            if answer["connection"] or answer["reason"] != "name taken":
                self._logged_in(answer)
                return
        self._logged_in(await self._try(self._password, newuser=False))

    async def _try(self, password: str, newuser: bool) -> dict[str, Any]:
        self.send({"name": self.name, "password": password, "newuser": newuser})
        return await self._answer_to_login()

    async def _answer_to_login(self) -> dict[str, Any]:
        self._login = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(LOGIN_S):
                return await self._login
        except TimeoutError:
            raise ConnectionClosed(NO_ANSWER) from None

    def _logged_in(self, answer: dict[str, Any]) -> None:
        if not answer["connection"]:
            raise LoginFailed(answer["reason"])
        self.send({"requeste": "token"})
        mine = answer["myinfo"]
        self.xp, self.coin, self.tanks = mine["xp"], mine["coin"], mine["tanklist"]
        self.maps, self.online = answer["availablemap"], answer["listplayercoinfo"]

    # ------------------------------------------------------------ the lobby
    async def enter(self, map_: str, tank: str | None = None) -> Field:
        """Enter a map. Raises TankRefused."""
        chosen = {} if tank is None else {"tank": tank}
        return await self._go({"requeste": "connect to map", "map": map_} | chosen)

    async def spectate(self, map_: str) -> Field:
        """Watch a map. Raises TankRefused."""
        return await self._go({"requeste": "spectate", "map": map_})

    async def _go(self, request: dict[str, Any]) -> Field:
        _checked(await self.ask(request))
        if self.field is None:
            raise ConnectionClosed("the connection was lost while entering")
        return self.field

    async def available(self) -> dict[str, Any]:
        """The maps, and all tanks with their prices."""
        return await self.ask({"requeste": "list map"})

    async def buy(self, tank: str) -> None:
        """Buy a tank. Raises TankRefused."""
        answer = await self.ask({"requeste": "buy tank", "tank": tank})
        self.xp, self.coin = answer["xp"], answer["coin"]
        _checked(answer)

    # ------------------------------------------------------------ on the map
    def drive(self, forward: float = 0, hull: float = 0, cannon: float = 0, fire: int = 0) -> None:
        """What one's tank has done since the last time. Raises ConnectionClosed."""
        if self.field is None or self.field.ended is not None:
            raise ConnectionClosed("you are on no map")
        self.send(self.field.act(forward, hull, cannon, fire))

    async def say(self, text: str) -> None:
        """Chat. Raises TankRefused when it was blocked."""
        answer = await self.ask({"message": text})
        if answer.get("message blocked"):
            raise TankRefused(answer["reason"])
        if "error" in answer:
            raise TankRefused(answer["error"])

    def quit(self) -> None:
        """Leave the map."""
        self.send({"quit the map": True})

    async def changed(self) -> None:
        """Wait until something is heard. Raises ConnectionClosed."""
        if self.closed:
            raise ConnectionClosed(self.closed)
        await self._event.wait()

    # ------------------------------------------------------------ what the server says
    def _hear(self, message: dict[str, Any]) -> None:
        if "erreur" in message:
            raise ProtocolError("tanks are not spoken of there; is this their port?")
        if "connection" in message:
            if self._login is not None and not self._login.done():
                self._login.set_result(message)
        elif "mapinfo" in message:
            self._arrive(message["mapinfo"])
        elif "token" in message:
            self._ticket = message["token"]
        elif "error" in message:
            self.errors.append(message["error"])
        elif "message blocked" in message:
            self.blocked.append(message)
        elif self.field is not None:
            self.field.hear(message, self.now())
        if message.get("player") == self.name:
            if "kick" in message:
                self.closed = "kicked"  # to log in again would kick whoever took the name over
            self.xp, self.coin = message.get("xp", self.xp), message.get("coin", self.coin)
        self._answered(message.get("crid"), message)
        self._event.set()
        self._event = asyncio.Event()

    def _arrive(self, info: dict[str, Any]) -> None:
        name = info["mapimage"].rpartition("/")[2].removesuffix(".png")
        self.field = Field(self.name, MAPS[name])
        now = self.now()
        for player, other in info["Otherplayerinfo"].items():
            self.field.vehicles[player] = Vehicle(other, now)

    def _lost(self, reason: str) -> None:
        if self.field is not None and self.field.ended is None:
            self.field.ended = {}
        if self._login is not None and not self._login.done():
            self._login.set_exception(ConnectionClosed(reason))
            self._login.exception()  # nobody may wait for it any more
        self._event.set()


def _checked(answer: dict[str, Any]) -> None:
    if answer.get("reponse") == "no":
        raise TankRefused(answer["reason"])
    if "error" in answer:
        raise TankRefused(answer["error"])


def connect_tanks(
    address: str,
    name: str,
    password: str,
    create: bool = False,
    tls: ssl.SSLContext | None = None,
) -> TankClient:
    """A client for `async with`. create: make the account first, unless the name is taken."""
    return TankClient(address, name, password, create, tls)
