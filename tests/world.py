"""A whole paint service in virtual time: no sockets, no clock, no threads, no disk.

`World` runs a `PaintService` as `server.py` does, with a store and a journal in memory; `Peer` is
a connection that a test talks through. Work that waits (passwords, storage) is done at once, or
handed to `defer`, so that a simulation can decide when it comes back.
"""

import itertools
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import orjson

from polypaint import _codec
from polypaint.errors import StoreError
from polypaint.paint import effects, packets
from polypaint.paint.packets import PACKETS, Packet, decode
from polypaint.paint.service import PaintService, attempted
from polypaint.recovery import Report, recover
from polypaint.settings import Settings
from polypaint.store import StoredAccount, StoredLobby

T = TypeVar("T")
DATE = 1_523_750_400


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


class MemoryStore:
    """See `polypaint.store.Store`."""

    def __init__(self) -> None:
        self.passwords: dict[str, bytes] = {}
        self.kept: dict[int, tuple[StoredLobby, dict[str, Any], list[bytes]]] = {}
        self.broken = False

    async def password_hash(self, name: str) -> bytes | None:
        return self.passwords.get(name)

    async def add_account(self, name: str, password_hash: bytes) -> bool:
        return self.passwords.setdefault(name, password_hash) is password_hash

    async def set_password(self, name: str, password_hash: bytes) -> bool:
        known = name in self.passwords
        if known:
            self.passwords[name] = password_hash
        return known

    async def accounts(self) -> list[StoredAccount]:
        return [StoredAccount(name, 0) for name in self.passwords]

    async def lobbies(self) -> list[StoredLobby]:
        return [lobby for lobby, _, _ in self.kept.values()]

    async def load(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        if self.broken or number not in self.kept:
            raise StoreError("not there")
        _, meta, blobs = self.kept[number]
        return orjson.loads(orjson.dumps(meta)), blobs

    async def save(
        self, lobby: StoredLobby, meta: dict[str, Any], blobs: list[bytes], now: float
    ) -> None:
        if self.broken:
            raise StoreError("broken")
        if not meta:
            _, meta, blobs = self.kept[lobby.number]
        self.kept[lobby.number] = (lobby, orjson.loads(orjson.dumps(meta)), blobs)

    async def check(self) -> list[str]:
        return []

    async def close(self) -> None:
        pass


class MemoryJournal:
    """See `polypaint.store.Journal`."""

    torn_bytes = 0

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}

    def commit(self, batches: list[tuple[int, bytes]]) -> None:
        for number, data in batches:
            assert number not in self.kept
            self.kept[number] = data

    def batches(self) -> Iterator[tuple[int, bytes]]:
        yield from sorted(self.kept.items())

    def trim(self, before: int) -> None:
        self.kept = {n: data for n, data in self.kept.items() if n >= before}

    def set_aside(self) -> str:
        self.kept = {}
        return "nowhere"

    def use_reserve(self) -> bool:
        return False

    def fill_reserve(self) -> None:
        pass

    def close(self) -> None:
        pass


class Peer:
    """A connection to the world's service, and all that it was sent."""

    def __init__(self, world: "World", address: str, rtt_s: float) -> None:
        self.world = world
        self.name = b""
        self.packets: list[bytes] = []
        self.closed = ""
        self.reads = True
        self.session = world.service.connect(address, world.now, lambda: rtt_s)
        if self.session is not None:
            world.peers[self.session.outbox.id] = self

    # ------------------------------------------------------------ sending
    def send(self, kind: Packet, *values: Any, name: bytes | None = None) -> "Peer":
        """One request."""
        own = self.name if name is None else name
        return self.send_bytes(kind.encode_request(DATE, own, *values))

    def send_bytes(self, data: bytes) -> "Peer":
        """Anything."""
        assert self.session is not None
        if not self.closed:
            self.session.receive(data, self.world.now)
        self.world.settle()
        return self

    def raw(self, type_id: int, data: bytes = b"", name: bytes | None = None) -> "Peer":
        """A packet of any type around any data."""
        own = self.name if name is None else name
        size = 8 + len(own) + len(data)
        head = size.to_bytes(2, "little") + bytes([type_id]) + DATE.to_bytes(4, "little")
        return self.send_bytes(head + bytes([len(own)]) + own + data)

    def login(self, name: str, password: str = "pw") -> "Peer":
        """Create the account if need be, and log in."""
        self.name = name.encode()
        if self.name not in {n.encode() for n in self.world.store.passwords}:
            self.send(packets.CREATE_ACCOUNT, password)
        self.send(packets.CONNECTION, password)
        self.expect(packets.CONNECTION, 0)
        self.take()
        return self

    def create(self, filename: str, mode: str = "stroke", **other: str) -> "Peer":
        """LOBBY_CREATION."""
        return self.send(
            packets.LOBBY_CREATION, lobby(filename, self.name.decode(), mode, **other)
        )

    def join(self, filename: str, passcode: str = "") -> "Peer":
        """LOBBY_CONNECT."""
        return self.send(packets.LOBBY_CONNECT, lobby(filename, passcode=passcode))

    def disconnect(self) -> None:
        """Lose the connection."""
        assert self.session is not None
        if not self.closed:
            self.closed = "lost"
            self.world.peers.pop(self.session.outbox.id, None)
            self.session.lost(self.world.now)
            self.world.settle()

    # ------------------------------------------------------------ receiving
    def take(self) -> list[bytes]:
        """What has come since the last time."""
        self.world.settle()
        taken, self.packets = self.packets, []
        return taken

    def kinds(self) -> list[str]:
        """Names of what has come since the last time."""
        return [PACKETS[packet[2]].name for packet in self.take()]

    def values(self, kind: Packet) -> list[tuple[Any, ...]]:
        """Values of all packets of this type that have come and not been taken."""
        self.world.settle()
        return [decode(p, True) for p in self.packets if p[2] == kind.id]

    def expect(self, kind: Packet, *values: Any) -> "Peer":
        """The last packet of this type says this."""
        found = self.values(kind)
        assert found, f"no {kind.name}; there came {[PACKETS[p[2]].name for p in self.packets]}"
        assert found[-1] == values
        return self


class World:
    """See the module. defer: called with work that comes back later; None does it at once."""

    def __init__(
        self,
        store: MemoryStore | None = None,
        journal: MemoryJournal | None = None,
        now: float = 0.0,
        defer: Callable[[Callable[[], None]], None] | None = None,
        **settings: Any,
    ) -> None:
        self.now = now
        self.store = store or MemoryStore()
        self.journal = journal or MemoryJournal()
        self.defer = defer or (lambda work: work())
        self.service = PaintService(Settings(_env_file=None, **settings), DATE)
        self.peers: dict[int, Peer] = {}
        self.effects: list[effects.Effect] = []
        self.flushed: Callable[[int, bytes], None] = lambda _number, _batch: None
        report = self.report = run(recover(self.store, self.journal))
        known = [(x.number, x.info, x.seq) for x in report.lobbies]
        self.service.restore(known, report.next_batch)

    report: Report

    def peer(self, name: str = "", address: str = "127.0.0.1", rtt_s: float = 0.0) -> Peer:
        """A new connection, logged in if it has a name."""
        peer = Peer(self, address, rtt_s)
        return peer.login(name) if name else peer

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while (at := self.service.timers.next_at()) is not None and at <= end:
            self.now = max(self.now, at)
            self.service.timers.run_due(self.now)
            self.settle()
        self.now = end

    def settle(self) -> None:
        """Carry out effects and flush until nothing is left to do."""
        while self.service.effects or self.service.turn.pending or self.service.log.records:
            while self.service.effects:
                effect = self.service.effects.pop(0)
                self.effects.append(effect)
                self._carry_out(effect)
            self.flush()

    def flush(self) -> None:
        """Seal, journal, release, deliver."""
        number = self.service.log.batch
        batch = self.service.log.take()
        outboxes = self.service.turn.seal()
        if batch:
            self.journal.commit([(number, batch)])
            self.flushed(number, batch)
        for outbox in outboxes:
            outbox.release()
            peer = self.peers.get(outbox.id)
            if peer is not None and peer.reads:
                self.deliver(peer)
            elif peer is not None and peer.session is not None:
                peer.session.backlogged(self.now)
                if outbox.queued > self.service.settings.backlog_bytes_max:
                    self.service.lagging(peer.session, self.now)
        for peer in list(self.peers.values()):
            if peer.session is not None and peer.session.closing and not peer.closed:
                if peer.reads:
                    self.deliver(peer)
                peer.closed = peer.session.closing
                self.peers.pop(peer.session.outbox.id, None)
                peer.session.lost(self.now)

    def deliver(self, peer: Peer) -> None:
        """Everything that may be sent to this peer."""
        session = peer.session
        assert session is not None
        while session.outbox.takeable:
            data = session.take(1 << 16, self.now)
            peer.packets += _codec.split(data)
        session.drained(self.now)
        if session.stalled:
            session.work(self.now)

    def _carry_out(self, effect: effects.Effect) -> None:
        match effect:
            case effects.CheckPassword(session, name, password):
                ok = self.store.passwords.get(name) == password.encode()
                self.defer(lambda: session.password_checked(name, ok, self.now))
            case effects.CreateAccount(session, name, password):
                added = run(self.store.add_account(name, password.encode()))
                self.defer(lambda: session.account_created(0 if added else 1, self.now))
            case effects.LoadCanvas(lobby=lobby):
                self.defer(lambda: self._load(lobby))
            case effects.SaveCanvas():
                self.defer(lambda: self._save(effect))
            case effects.Work(work=work):
                self.defer(lambda: self._worked(effect, attempted(work)))
            case _:
                pass

    def _worked(self, effect: effects.Work, outcome: Any) -> None:
        self.service.worked(effect, outcome, self.now)

    def _load(self, lobby: Any) -> None:
        try:
            dump = run(self.store.load(lobby.number))
        except StoreError:
            dump = None
        self.service.canvas_loaded(lobby, self.now, dump)

    def _save(self, effect: effects.SaveCanvas) -> None:
        stored = StoredLobby(effect.lobby.number, effect.info, effect.seq)
        try:
            run(self.store.save(stored, effect.meta, effect.blobs, self.now))
        except StoreError:
            self.service.canvas_saved(effect, False, self.now)
            return
        self.service.canvas_saved(effect, True, self.now)
        self.journal.trim(self.service.journal_from)


def lobby(
    filename: str, owner: str = "", mode: str = "stroke", protection: str = "public",
    passcode: str = "",
) -> str:  # fmt: skip
    """The five-key JSON object."""
    values = (filename, owner, mode, protection, passcode)
    return orjson.dumps(dict(zip(packets.LOBBY_KEYS, values, strict=True))).decode()


numbers = itertools.count(1)
