"""What a service is: one protocol with everything behind it, as the server that runs it sees it.

A service declares its endpoint, the documents that it needs at the start, what it counts, and how
its journal is kept short. The effects that it alone asks for are registered in `Carriers`, each
with what carries it out; `missing` finds those that nobody carries out.

Must never do I/O. Counterparts: `runtime/services.py` lists the services; `runtime/server.py`,
`runtime/effect_runner.py` and `runtime/metrics.py` go through that list.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, TypeAlias, TypeVar, cast

from polypaint import _codec
from polypaint.engine.effects import Effect
from polypaint.engine.session import Session

MESSAGE_BYTES_MAX: Final = 1 << 16
"""Of a WebSocket message of lines: what is too long for a line, but not for this, is answered."""

E = TypeVar("E", bound=Effect)
Connect: TypeAlias = Callable[[str, float, Callable[[], float]], Session | None]
"""(address without port, now, asks for the round-trip time in seconds) → the session of a new
connection; None when there are too many."""
Documents: TypeAlias = Mapping[str, Iterable[tuple[str, bytes]]]
"""Kind → the stored documents of that kind: (key, JSON)."""
Carrier: TypeAlias = Callable[[E], Coroutine[object, object, None] | None]
"""Carries an effect out: at once, or in a task if it returns a coroutine."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service is reached: a TCP port, and `/ws/{name}` on the web port.

    messages: what stands in a send queue as WebSocket messages, text or binary.
    message_bytes_max: of a WebSocket message that comes in.
    """

    name: str
    connect: Connect
    messages: Callable[[bytes], bytes]
    text: bool
    message_bytes_max: int


def text_endpoint(name: str, connect: Connect) -> Endpoint:
    """An endpoint of lines: one JSON object a line, or a text message."""
    return Endpoint(name, connect, _codec.websocket_texts, True, MESSAGE_BYTES_MAX)


def packet_endpoint(name: str, connect: Connect) -> Endpoint:
    """An endpoint of binary packets: one or several whole ones in a binary message."""
    return Endpoint(name, connect, _codec.websocket_messages, False, _codec.PACKET_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that goes up and down, as the metrics show it."""

    says: str
    value: Callable[[], float]


class Carriers(dict[type[Effect], Callable[[Effect], Coroutine[object, object, None] | None]]):
    """Class of an effect → what carries it out."""

    def register(self, kind: type[E], carrier: Carrier[E]) -> "Carriers":
        """Raises TypeError for a class that has a carrier already."""
        if kind in self:
            raise TypeError(f"{kind.__name__} is carried out twice")
        self[kind] = cast("Callable[[Effect], Coroutine[object, object, None] | None]", carrier)
        return self

    def include(self, others: "Carriers") -> None:
        """Register all of these. Raises TypeError for a class that has a carrier already."""
        for kind, carrier in others.items():
            self.register(kind, carrier)


class Requests(Protocol):
    """A bus as services see it: `bus.reliable.ReliableBus`.

    Messages arrive at least once, in any order, after the turn that sent them has been journaled;
    every role answers a repeat as it answered the first.
    """

    def join(self, role: str, receive: Callable[[dict[str, Any], float], None]) -> None:
        """From now on this role's messages go to `receive(message, now)`."""

    def send(self, role: str, message: dict[str, Any]) -> None:
        """Have the role receive this; it may be lost."""

    def request(
        self,
        key: Hashable,
        role: str,
        message: dict[str, Any],
        now: float,
        wait_s_max: float = 1.0,
    ) -> None:
        """Send this again and again, ever later, until its key is acknowledged.

        It takes the place of what was requested under the same key.
        """

    def slow_down(self, key: Hashable) -> None:
        """From now on send it every wait_s_max only: it is known, but not yet done with."""

    def acknowledged(self, key: Hashable) -> None:
        """Send it no more, if it still is."""


class Service(ABC):
    """See the module.

    name: of the service in settings (`{name}_port`), the ready file and the WebSocket's path.
    KINDS: of the documents that `restore` is given. COUNTED: key of `counters` → its help, shown
    as `polypaint_{PREFIX}{key}_total`.
    """

    name: ClassVar[str]
    KINDS: ClassVar[tuple[str, ...]] = ()
    COUNTED: ClassVar[Mapping[str, str]] = {}
    PREFIX: ClassVar[str] = ""

    endpoint: Endpoint
    counters: dict[str, int]

    @abstractmethod
    def connect(self, address: str, now: float, rtt_s: Callable[[], float]) -> Session | None:
        """The session of a new connection; None when there are too many.

        address: of the peer, without its port. rtt_s: asks for the round-trip time in seconds.
        """

    def restore(self, documents: Documents, now: float) -> None:  # noqa: B027
        """The documents of KINDS as they were when the server stopped; before any connection."""

    def count(self, name: str) -> None:
        """One more of what COUNTED names."""
        self.counters[name] += 1

    def listening(self, address: str) -> None:  # noqa: B027
        """Clients find this service at `address` (host:port); called before any connection."""

    def stop(self, now: float) -> None:  # noqa: B027
        """The operator stops the server; all sessions are closed after this."""

    def gauges(self) -> Mapping[str, Gauge]:
        """What is measured: name, shown as `polypaint_{name}` → the gauge."""
        return {}

    # ------------------------------------------------------------ what it keeps
    @property
    def saved(self) -> bool:
        """Has the store everything that must be in it before the process ends?"""
        return True

    @property
    def journal_from(self) -> int | None:
        """The first batch of the journal that is still needed; None when none is.

        Documents are not counted: `DocumentBuffer` knows of them.
        """
        return None

    def checkpoint_oldest(self, now: float) -> None:  # noqa: B027
        """Have stored what holds the journal back for longest."""

    def turn_read_only(self, now: float) -> None:  # noqa: B027
        """The journal cannot be written: `context.read_only` is set; tell people."""

    def turn_writable(self, now: float) -> None:  # noqa: B027
        """The journal can be written again."""


def declared() -> Iterator[type[Effect]]:
    """Every class of effects that is there to be asked for; those made of others are not."""
    classes = [Effect]
    while classes:
        for kind in classes.pop().__subclasses__():
            classes.append(kind)
            # A dataclass with slots is made twice; only one of the two can be found by its name.
            if vars(sys.modules[kind.__module__]).get(kind.__name__) is kind:
                if not vars(kind).get("ABSTRACT", False):
                    yield kind


def missing(carriers: Carriers, package: str) -> list[str]:
    """Names of the effects that are declared in this package and that nobody carries out."""
    return sorted(
        kind.__qualname__
        for kind in declared()
        if kind not in carriers and f"{kind.__module__}.".startswith(f"{package}.")
    )
