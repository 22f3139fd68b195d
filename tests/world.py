"""A whole server in virtual time: no sockets, no clock, no threads, no disk.

`World` runs the runtime that ships, on a virtual machine; `Peer` is a connection to paint that a
test talks through, `Talker` one to a service that speaks JSON. Work that waits (passwords,
storage) is done at once, or handed to `defer`, so that a test can decide when it is begun.

Counterparts: `virtual.py` is the machine, `memory_store.py` its disk.
"""

import functools
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import orjson

from polypaint._codec import FrameDecoder
from polypaint.bus.local import LocalBus
from polypaint.engine import effects
from polypaint.engine.context import Context
from polypaint.engine.memory import UNLIMITED
from polypaint.matches import effects as match_effects
from polypaint.matches.games import Game
from polypaint.matches.games.dessin import Dessin
from polypaint.matches.games.puissance4 import Puissance4
from polypaint.net.tcp import TcpProtocol
from polypaint.paint import packets
from polypaint.paint.packets import PACKETS, Packet, decode
from polypaint.runtime.logins import KIND as TICKETS
from polypaint.runtime.ports import Ports
from polypaint.runtime.runtime import Runtime
from polypaint.runtime.services import Domain
from polypaint.settings import Settings
from polypaint.tanks.moderation import Words

from .memory_store import MemoryJournal, MemoryStore
from .virtual import DATE, PlainHasher, VirtualClock, VirtualLoop, VirtualTransport, VirtualWorkers

WORDS = Path(__file__).parent.parent / "polypaint/tanks/words.txt"
BACK_S = 2.5
"""How long work may take that a test does not want to wait for."""


@functools.cache
def words() -> Words:
    """The chat's rules, read once."""
    return Words(WORDS.read_text())


@functools.cache
def _settings_of(given: tuple[tuple[str, Any], ...]) -> Settings:
    return Settings(_env_file=None, **dict(given))


def settings_of(**given: Any) -> Settings:
    """Settings of a world's own; nothing of them comes from the environment."""
    return _settings_of(tuple(sorted(given.items()))).model_copy()


class Wire:
    """A connection to one of the world's services, and all that it was sent.

    reads: False fills the peer's socket; see `World` for buffer_bytes.
    """

    def __init__(
        self,
        world: "World",
        service: str,
        address: str,
        rtt_s: float = 0.0,
        connect: Callable[..., Any] | None = None,
        buffer_bytes: int | None = None,
    ) -> None:
        self.world = world
        self._lost = False
        endpoint = world.runtime.endpoints[service]
        if connect is not None:
            endpoint = replace(endpoint, connect=connect)
        protocol = TcpProtocol(world.runtime, endpoint)
        self.transport = VirtualTransport(
            world.loop, protocol, self._arrived, address, rtt_s, buffer_bytes
        )
        with world.loop.running():
            protocol.connection_made(self.transport)
        connection = protocol._connection
        self.session = connection.session if connection is not None else None
        if self.session is not None:
            world.peers[self.session.send_queue.id] = self
            world.transports.append(self.transport)

    @property
    def closed(self) -> str:
        """Why the connection has ended; empty while it has not."""
        if self._lost:
            return "lost"
        if self.session is None or not self.transport.is_closing():
            return ""
        return self.session.closing or "closed"

    @property
    def reads(self) -> bool:
        return not self.transport.full

    @reads.setter
    def reads(self, reads: bool) -> None:
        with self.world.loop.running():
            self.transport.set_full(not reads)

    @property
    def vanished(self) -> bool:
        """Would the kernel find out that this peer is gone, if it asked?"""
        return self.transport.socket.vanished

    @vanished.setter
    def vanished(self, vanished: bool) -> None:
        self.transport.socket.vanished = vanished

    def send_bytes(self, data: bytes) -> Any:
        """Anything."""
        self.arrive(data)
        self.world.run_effects()
        return self

    def arrive(self, data: bytes) -> None:
        """The server reads this, and has not yet ended its turn."""
        if not self.closed:
            with self.world.loop.running():
                self.transport.receive(data)

    def disconnect(self) -> None:
        """Lose the connection."""
        self.lose()
        self.world.run_effects()

    def lose(self) -> None:
        """Lose the connection; the server has not yet ended its turn."""
        if not self.closed:
            self._lost = True
            with self.world.loop.running():
                self.transport.lose()

    def _arrived(self, data: bytes) -> None:
        self.hear(data)
        self.world.pass_point("sent")

    def hear(self, data: bytes) -> None:
        """Bytes that arrive."""
        raise NotImplementedError


class Peer(Wire):
    """A connection to paint."""

    def __init__(
        self, world: "World", address: str, rtt_s: float, buffer_bytes: int | None = None
    ) -> None:
        self.name = b""
        self.packets: list[bytes] = []
        self._decoder = FrameDecoder()
        super().__init__(world, "paint", address, rtt_s, buffer_bytes=buffer_bytes)

    # ------------------------------------------------------------ sending
    def send(self, kind: Packet, *values: Any, name: bytes | None = None) -> "Peer":
        """One request."""
        own = self.name if name is None else name
        return self.send_bytes(kind.encode_request(DATE, own, *values))

    def raw(self, type_id: int, data: bytes = b"", name: bytes | None = None) -> "Peer":
        """A packet of any type around any data."""
        own = self.name if name is None else name
        size = 8 + len(own) + len(data)
        head = size.to_bytes(2, "little") + bytes([type_id]) + DATE.to_bytes(4, "little")
        return self.send_bytes(head + bytes([len(own)]) + own + data)

    def hear(self, data: bytes) -> None:
        """Bytes that arrive."""
        self.packets += self._decoder.feed(data)

    def login(self, name: str, password: str = "pw") -> "Peer":
        """Create the account if need be, and log in."""
        self.name = name.encode()
        if name not in self.world.store.passwords:
            self.send(packets.CREATE_ACCOUNT, password)
        self.send(packets.CONNECTION, password)
        self.expect(packets.CONNECTION, 0)
        self.take()
        return self

    def hello(self, name: str = "", password: str = "", flags: int = 0, client: int = 0) -> "Peer":
        """HELLO, under a name with a password, or with what the connection's request has said."""
        self.name = name.encode()
        self.send(packets.HELLO, 1, flags, client, password)
        self.name = self.session.name.encode()
        return self

    def create(self, filename: str, mode: str = "stroke", **other: str) -> "Peer":
        """LOBBY_CREATION."""
        return self.send(
            packets.LOBBY_CREATION, lobby(filename, self.name.decode(), mode, **other)
        )

    def join(self, filename: str, passcode: str = "") -> "Peer":
        """LOBBY_CONNECT."""
        return self.send(packets.LOBBY_CONNECT, lobby(filename, passcode=passcode))

    # ------------------------------------------------------------ receiving
    def take(self) -> list[bytes]:
        """What has come since the last time."""
        self.world.run_effects()
        taken, self.packets = self.packets, []
        return taken

    def kinds(self) -> list[str]:
        """Names of what has come since the last time."""
        return [PACKETS[packet[2]].name for packet in self.take()]

    def values(self, kind: Packet) -> list[tuple[Any, ...]]:
        """Values of all packets of this type that have come and not been taken."""
        self.world.run_effects()
        return [decode(p, True) for p in self.packets if p[2] == kind.id]

    def expect(self, kind: Packet, *values: Any) -> "Peer":
        """The last packet of this type says this."""
        found = self.values(kind)
        assert found, f"no {kind.name}; there came {[PACKETS[p[2]].name for p in self.packets]}"
        assert found[-1] == values
        return self


class Talker(Wire):
    """A connection to a service that speaks JSON."""

    def __init__(
        self,
        world: "World",
        service: Any,
        address: str = "127.0.0.1",
        connect: Callable[..., Any] | None = None,
    ) -> None:
        self.messages: list[dict[str, Any]] = []
        self._rest = b""
        name = "matches" if service is world.matches else "tanks"
        super().__init__(world, name, address, connect=connect)

    def send(self, **message: Any) -> "Talker":
        """One object."""
        return self.send_bytes(orjson.dumps(message) + b"\n")

    def hear(self, data: bytes) -> None:
        """Bytes that arrive."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.messages += [orjson.loads(line) for line in lines]

    def take(self) -> list[dict[str, Any]]:
        """What has come since the last time."""
        self.world.run_effects()
        taken, self.messages = self.messages, []
        return taken

    def last(self) -> dict[str, Any]:
        """The last that has come; everything is taken."""
        return self.take()[-1]


class World:
    """See the module; a test that makes many kills them.

    defer: called with work that is begun later; None does it at once. at: called with the name of
    each point at which a killed server may stand. takes: seconds that threads compute for one
    thing. recovered: called before anything is done. Raises what the store raises.
    """

    all: ClassVar[set["World"]] = set()
    """Those that have not been killed."""

    def __init__(
        self,
        store: MemoryStore | None = None,
        journal: MemoryJournal | None = None,
        now: float = 0.0,
        make_bus: Callable[[Context], Any] = LocalBus,
        seed: int = 0,
        games: Sequence[type[Game]] = (Puissance4, Dessin),
        loop: VirtualLoop | None = None,
        takes: Callable[[], float] | None = None,
        recovered: Callable[["World"], None] | None = None,
        **settings: Any,
    ) -> None:
        self.at: Callable[[str], None] = lambda _point: None
        self.flushed: Callable[[int, bytes], None] = lambda _number, _batch: None
        """Called with the number and the records of every batch that is journaled."""
        self.troubles: list[match_effects.Trouble] = []
        self.injected: type[Exception] | tuple[type[Exception], ...] = ()
        """What a test injects; any other unexpected exception is the test's own failure."""
        self.problems: list[effects.DrawingProblem] = []
        self.failures: list[BaseException] = []
        """Of what was injected: what was reported for the log."""
        self.effects: list[Any] = []
        """Everything that was asked for."""
        self.peers: dict[int, Wire] = {}
        self.sessions: dict[str, str] = {}
        """Names of accounts by what a cookie or a bearer token says."""
        self.transports: list[VirtualTransport] = []
        self._broken: BaseException | None = None
        World.all.add(self)
        self.loop = loop or VirtualLoop(now)
        self.store = store or MemoryStore()
        self.journal = journal or MemoryJournal()
        if self.store.world is not None and self.store.world.loop.dead:
            self.store.world.kill()
        self.store.world = self
        self.store.at = self.journal.at = self.pass_point
        self.journal.committed = lambda *batch: self._told(self.flushed, *batch)
        given = settings_of(**settings)
        self.runtime = runtime = Runtime(
            given,
            Ports(
                self.loop,
                VirtualClock(self.loop),
                lambda _name, _threads, **_: VirtualWorkers(self.loop, takes),  # type: ignore[arg-type]
                PlainHasher(given.bcrypt_rounds, VirtualWorkers(self.loop, takes)),
                self.store,
                self.journal,
            ),
            Domain(
                words=words(),
                games={game.name: game for game in games},
                memory_max=UNLIMITED,
                random=random.Random(seed),
                bus=make_bus,
            ),
        )
        runtime.supervisor.report = self._reported  # type: ignore[assignment]
        runtime.effect_runner.account_of = self._account_of
        self.loop.set_exception_handler(runtime.supervisor.loop_error)
        self.context = runtime.context
        self.service = runtime.paint
        self._carry_out = runtime.effect_runner._carry_out
        runtime.effect_runner._carry_out = self._noted
        self.book, self.bus = runtime.book, runtime.bus
        self.matches, self.tanks = runtime.matches, runtime.tanks
        try:
            self.report = self.loop.run(runtime.recover())
            if recovered is not None:
                recovered(self)
            with self.loop.running():
                runtime.begin()
            self.run_effects()
        except BaseException:
            self.kill()
            raise

    @property
    def now(self) -> float:
        """Seconds on the server's clock; set, time has passed and nothing has been done yet."""
        return self.loop.time()

    @now.setter
    def now(self, now: float) -> None:
        self.loop.block(now - self.loop.time())

    @property
    def documents(self) -> dict[tuple[str, str], bytes]:
        """What the store keeps of matches and tanks."""
        kept = self.store.documents
        return {name: body for name, body in kept.items() if name[0] != TICKETS}

    @property
    def defer(self) -> Callable[[Callable[[], None]], None] | None:
        """Is given all work that waits, to be called when it shall begin."""
        return self.loop.defer

    @defer.setter
    def defer(self, defer: Callable[[Callable[[], None]], None] | None) -> None:
        self.loop.defer = defer

    def peer(self, name: str = "", address: str = "127.0.0.1", rtt_s: float = 0.0) -> Peer:
        """A new connection, logged in if it has a name."""
        peer = Peer(self, address, rtt_s)
        self.run_effects()
        return peer.login(name) if name else peer

    def extended(self, name: str, flags: int = 0, client: int = 0) -> Peer:
        """A new connection that has the extension, logged in with a password."""
        self.add_account(name)
        peer = Peer(self, "127.0.0.1", 0.0).hello(name, "pw", flags, client)
        assert peer.values(packets.HELLO)[-1][::3] == (0, name)
        peer.take()
        return peer

    def add_account(self, name: str) -> None:
        """An account whose password is `pw`."""
        self.store.passwords.setdefault(name, self.runtime.ports.hasher.hashed("pw"))  # type: ignore[attr-defined]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        self.run_effects(end)
        while self.loop.next_at() <= end:
            self.loop.step()
            self.run_effects(end)
        self.loop.run_until(end)
        self.check()

    def run_effects(self, until: float | None = None) -> None:
        """Carry out effects and flush until nothing is left to do.

        Time passes until all work has come back that takes BACK_S at most; but not beyond `until`.
        """
        end = min(self.now + BACK_S, self.now + BACK_S if until is None else until)
        with self.loop.running():
            self.runtime.run_effects()
            self._end_turn()
            while (
                self.runtime.supervisor.under_way
                and not self.loop.deferred
                and self.loop.next_at() <= end
            ):
                self.loop.step()
                self._end_turn()
        self.check()

    def end_turn(self) -> None:
        """Run what is ready; everybody reads what they were sent. Time stands still."""
        with self.loop.running():
            self._end_turn()
        self.check()

    def _end_turn(self) -> None:
        self.loop.run_ready()
        while sum(transport.pull() for transport in self.transports if transport.direct):
            self.loop.run_ready()

    def deliver(self, _peer: Wire) -> None:
        """Everything that may be sent to this peer."""
        self.run_effects()

    def kill(self) -> None:
        """kill -9: what was not journaled is gone; every connection is."""
        World.all.discard(self)
        self.loop.kill()
        for transport in self.transports:
            transport.socket.close()

    # ------------------------------------------------------------ what goes wrong
    def pass_point(self, point: str) -> None:
        """The server stands at a point at which it may be killed."""
        self._told(self.at, point)

    def _told(self, hook: Callable[..., None], *args: Any) -> None:
        """Call a test's own; what it raises ends the test, whoever catches it."""
        try:
            hook(*args)
        except BaseException as error:
            self._broken = self._broken or error
            self.loop.dead = True
            raise

    def _reported(self, _where: str, error: BaseException, **_details: object) -> None:
        """An exception that nobody expected."""
        if isinstance(error, self.injected):
            self.failures.append(error)
        else:
            self._broken = self._broken or error

    async def _account_of(self, credentials: str) -> str | None:
        return self.sessions.get(credentials)

    def _noted(self, effect: Any) -> None:
        """An effect is carried out."""
        self.effects.append(effect)
        if isinstance(effect, match_effects.Trouble):
            self.troubles.append(effect)
        elif isinstance(effect, effects.DrawingProblem):
            self.problems.append(effect)
        self._carry_out(effect)

    def check(self) -> None:
        """Raise what has gone wrong, if something has."""
        if self._broken is not None:
            broken, self._broken = self._broken, None
            raise broken


def lobby(
    filename: str, owner: str = "", mode: str = "stroke", protection: str = "public",
    passcode: str = "",
) -> str:  # fmt: skip
    """The five-key JSON object."""
    values = (filename, owner, mode, protection, passcode)
    return orjson.dumps(dict(zip(packets.LOBBY_KEYS, values, strict=True))).decode()


numbers = itertools.count(1)
