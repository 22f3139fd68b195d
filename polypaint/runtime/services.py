"""Which services a server runs: one function for each, and one line in `SERVICES`.

Such a function takes what services are made of (`Parts`) and returns the service with what belongs
to it at the edge (`Registered`): what carries out the effects that it alone asks for, HTTP routes,
and what runs beside it.

Counterparts: `engine/service.py` is the contract; `runtime/runtime.py` goes through the list.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Final, Protocol, TypeAlias

from starlette.routing import BaseRoute

from polypaint._codec import SendQueue
from polypaint.bus import Bus
from polypaint.bus.local import LocalBus
from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.engine.service import Carriers, Requests, Service
from polypaint.matches.effects import ArrangeGameLobby, RemoveGameLobby
from polypaint.matches.games import Game
from polypaint.matches.service import MatchService
from polypaint.net.connection import ConnectionHost
from polypaint.paint.service import PaintService
from polypaint.runtime.bot_supervisor import BotSupervisor
from polypaint.runtime.drawings import DrawingEffects
from polypaint.runtime.effect_runner import Outside
from polypaint.runtime.results import ResultEffects
from polypaint.store import Store
from polypaint.tanks.moderation import Words
from polypaint.tanks.service import TankService

MATCH_OVER: Final = "The match is over."


class LoopbackBus(Bus, Protocol):
    """A bus whose messages wait in a send queue until the turn is journaled: `LocalBus`."""

    send_queue: SendQueue

    def deliver(self, now: float) -> None:
        """What was sent is journaled: hand it over."""


@dataclass(frozen=True, slots=True)
class Domain:
    """What a runtime is to serve. random: for codes, unguessable; seeded: for games.

    bus: made for the context; memory_max: bytes that large things may take together.
    """

    words: Words
    games: dict[str, type[Game]]
    memory_max: int
    random: Random = field(default_factory=SystemRandom)
    seeded: Callable[[int], Random] = Random
    bus: Callable[[Context], LoopbackBus] = LocalBus
    services: "Sequence[MakeService]" = field(default_factory=lambda: SERVICES)


@dataclass(frozen=True, slots=True)
class Parts:
    """What services are made of."""

    context: Context
    documents: DocumentBuffer
    bus: Requests
    store: Store
    outside: Outside
    domain: Domain


class Companion(Protocol):
    """What runs beside a service until the server stops."""

    async def close(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A service, and what belongs to it at the edge. companion: is started once all listen."""

    service: Service
    carriers: Carriers = field(default_factory=Carriers)
    routes: tuple[BaseRoute, ...] = ()
    companion: Callable[[ConnectionHost], Companion] | None = None


MakeService: TypeAlias = Callable[[Parts], Registered]


def paint(parts: Parts) -> Registered:
    """Drawings and chat."""
    service = PaintService(parts.context, frozenset(parts.domain.games))
    now = parts.outside.now

    def arrange(wanted: ArrangeGameLobby) -> None:
        who = wanted.filename, wanted.owner, wanted.passcode, wanted.allowed_authors
        service.arrange(*who, wanted.clear, now())

    def remove(unwanted: RemoveGameLobby) -> None:
        service.remove(unwanted.filename, MATCH_OVER, now())

    carriers = DrawingEffects(service, parts.store, parts.outside).carriers()
    carriers.register(ArrangeGameLobby, arrange).register(RemoveGameLobby, remove)
    return Registered(service, carriers)


def matches(parts: Parts) -> Registered:
    """Board games, and dessin."""
    domain = parts.domain
    service = MatchService(
        parts.context, parts.documents, parts.bus, domain.games, domain.random, domain.seeded
    )
    return Registered(service, ResultEffects(parts.store, parts.outside).carriers())


def tanks(parts: Parts) -> Registered:
    """Tanks, and their bots."""
    domain, settings = parts.domain, parts.context.settings
    service = TankService(parts.context, parts.documents, parts.bus, domain.words, domain.random)

    def bots(host: ConnectionHost) -> BotSupervisor:
        return BotSupervisor(service, host, settings.tank_bots)

    return Registered(service, companion=bots if settings.tank_bots else None)


SERVICES: Final[tuple[MakeService, ...]] = (
    paint,
    matches,
    tanks,
)
