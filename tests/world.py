"""A whole server in virtual time: no sockets, no clock, no threads, no disk.

`World` runs all rooms as `runtime/server.py` does, with a store and a journal in memory; `Peer` is
a connection to paint that a test talks through, `Talker` one to a room that speaks JSON. Work that
waits (passwords, storage) is done at once, or handed to `defer`, so that a simulation can decide
when it comes back.
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson

from polypaint import _codec
from polypaint.bus.local import LocalBus
from polypaint.engine import effects
from polypaint.engine.context import Context
from polypaint.engine.documents import Changes, DocumentBuffer, FetchDocument, SaveDocuments
from polypaint.errors import StoreError
from polypaint.matches import effects as match_effects
from polypaint.matches.games import Game
from polypaint.matches.games.dessin import Dessin
from polypaint.matches.games.puissance4 import Puissance4
from polypaint.matches.service import MatchService
from polypaint.paint import effects as paint_effects
from polypaint.paint import packets
from polypaint.paint.canvas_queue import attempted
from polypaint.paint.packets import PACKETS, Packet, decode
from polypaint.paint.service import PaintService
from polypaint.runtime.recovery import Report, recover
from polypaint.settings import Settings
from polypaint.store import (
    Counted,
    PlayerRecord,
    Sizes,
    StoredAccount,
    StoredLobby,
    StoredResult,
)
from polypaint.tanks.moderation import Words
from polypaint.tanks.service import TankService

T = TypeVar("T")
WORDS = Path(__file__).parent.parent / "polypaint/tanks/words.txt"
DATE = 1_523_750_400


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


class MemoryStore:
    """See `polypaint.store.Store`, which this satisfies: the test of the contracts says so."""

    def __init__(self) -> None:
        self.away = False
        self.problems: list[str] = []
        self.torn_bytes = 0
        self.passwords: dict[str, bytes] = {}
        self.kept: dict[int, tuple[StoredLobby, dict[str, Any], list[bytes]]] = {}
        self.broken = False
        self.documents: dict[tuple[str, str], bytes] = {}
        self.counted: dict[tuple[str, str], str] = {}
        self.conflicting: list[tuple[str, str, str]] = []

    async def start(self) -> None:
        pass

    async def identity(self) -> str:
        return "memory"

    async def ancestors(self) -> set[str]:
        return set()

    async def descend_from(self, identities: set[str]) -> None:
        pass

    async def sizes(self) -> Sizes:
        return Sizes(len(self.passwords), len(self.kept), len(self.documents), len(self.counted))

    async def kinds(self) -> list[str]:
        return sorted({kind for kind, _ in self.documents})

    async def write(self, changes: Changes) -> None:
        if self.broken:
            raise StoreError("broken")
        for name, body in changes.items():
            if body is None:
                self.documents.pop(name, None)
            else:
                self.documents[name] = body

    async def read(
        self, kind: str, after: str | None = None, limit: int | None = None
    ) -> list[tuple[str, bytes]]:
        of_kind = sorted((k, body) for (own, k), body in self.documents.items() if own == kind)
        return [each for each in of_kind if after is None or each[0] > after][:limit]

    async def read_one(self, kind: str, key: str) -> bytes | None:
        return self.documents.get((kind, key))

    async def count(
        self, code: str, player: str, statut: str, now: float
    ) -> tuple[Counted, set[str]]:
        if self.broken:
            raise StoreError("broken")
        outcome = Counted.NEW
        known = self.counted.setdefault((code, player), statut)
        if known is not statut:
            outcome = Counted.AGAIN if known == statut else Counted.CONFLICT
            if outcome is Counted.CONFLICT:
                self.conflicting.append((code, player, statut))
        return outcome, {name for own, name in self.counted if own == code}

    async def results(self, after: tuple[str, str], limit: int) -> list[StoredResult]:
        found = [StoredResult(*name, statut, 0) for name, statut in sorted(self.counted.items())]
        return [each for each in found if (each.code, each.player) > after][:limit]

    async def conflicts(self) -> list[StoredResult]:
        return sorted(StoredResult(*each, 0) for each in self.conflicting)

    async def record(self, player: str) -> PlayerRecord:
        if self.broken:
            raise StoreError("broken")
        own = [(code, s) for (code, name), s in self.counted.items() if name == player][::-1]
        totals = Counter(s for _, s in own)
        return PlayerRecord(
            player, totals["victoire"], totals["defaite"], totals["nul"], tuple(own)
        )

    async def ranking(self, limit: int) -> list[PlayerRecord]:
        names = {name for _, name in self.counted}
        records = [await self.record(name) for name in names]
        records.sort(key=lambda r: (-r.wins, r.losses, r.player))
        return [PlayerRecord(r.player, r.wins, r.losses, r.draws) for r in records[:limit]]

    async def remove(self, number: int) -> None:
        if self.broken:
            raise StoreError("broken")
        self.kept.pop(number, None)

    async def password_hash(self, name: str) -> bytes | None:
        return self.passwords.get(name)

    async def add_account(self, name: str, password_hash: bytes, now: float) -> bool:
        return self.passwords.setdefault(name, password_hash) is password_hash

    async def set_password(self, name: str, password_hash: bytes) -> bool:
        known = name in self.passwords
        if known:
            self.passwords[name] = password_hash
        return known

    async def accounts(self) -> list[StoredAccount]:
        return [StoredAccount(name, 0, hashed) for name, hashed in self.passwords.items()]

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

    async def set_aside_damaged(self) -> list[str]:
        return []

    async def close(self) -> None:
        pass


class MemoryJournal:
    """See `polypaint.store.Journal`."""

    torn_bytes = 0
    store = ""

    def belong_to(self, store: str) -> None:
        self.store = store

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}
        self.problems: list[str] = []
        self.last = 0

    @property
    def needed(self) -> tuple[int, int]:
        return min(self.kept, default=self.last + 1), self.last

    @property
    def empty(self) -> bool:
        return not self.kept

    def commit(self, batches: list[tuple[int, bytes]]) -> None:
        for number, data in batches:
            assert number not in self.kept
            self.kept[number] = data
            self.last = number

    def batches(self) -> Iterator[tuple[int, bytes]]:
        yield from sorted(self.kept.items())

    def trim(self, before: int) -> bool:
        self.kept = {n: data for n, data in self.kept.items() if n >= before}
        return False

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
        self.vanished = False
        """Would the kernel find out that this peer is gone, if it asked?"""
        self.session = world.service.connect(address, world.now, lambda: rtt_s)
        if self.session is not None:
            world.peers[self.session.send_queue.id] = self

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
        self.world.run_effects()
        return self

    def raw(self, type_id: int, data: bytes = b"", name: bytes | None = None) -> "Peer":
        """A packet of any type around any data."""
        own = self.name if name is None else name
        size = 8 + len(own) + len(data)
        head = size.to_bytes(2, "little") + bytes([type_id]) + DATE.to_bytes(4, "little")
        return self.send_bytes(head + bytes([len(own)]) + own + data)

    def hear(self, data: bytes) -> None:
        """Bytes that arrive."""
        self.packets += _codec.split(data)

    def login(self, name: str, password: str = "pw") -> "Peer":
        """Create the account if need be, and log in."""
        self.name = name.encode()
        if self.name not in {n.encode() for n in self.world.store.passwords}:
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

    def disconnect(self) -> None:
        """Lose the connection."""
        assert self.session is not None
        if not self.closed:
            self.closed = "lost"
            self.world.peers.pop(self.session.send_queue.id, None)
            self.session.lost(self.world.now)
            self.world.run_effects()

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


class Talker:
    """A connection to a room that speaks JSON, and all that it was sent."""

    def __init__(self, world: "World", room: Any, address: str = "127.0.0.1") -> None:
        self.world = world
        self.messages: list[dict[str, Any]] = []
        self.closed = ""
        self.reads = True
        self.session = room.connect(address, world.now, lambda: 0.0)
        if self.session is not None:
            world.peers[self.session.send_queue.id] = self

    def send(self, **message: Any) -> "Talker":
        """One object."""
        return self.send_bytes(orjson.dumps(message) + b"\n")

    def send_bytes(self, data: bytes) -> "Talker":
        """Anything."""
        if not self.closed:
            self.session.receive(data, self.world.now)
        self.world.run_effects()
        return self

    def disconnect(self) -> None:
        """Lose the connection."""
        if not self.closed:
            self.closed = "lost"
            self.world.peers.pop(self.session.send_queue.id, None)
            self.session.lost(self.world.now)
            self.world.run_effects()

    def hear(self, data: bytes) -> None:
        """Bytes that arrive."""
        self.messages += [orjson.loads(line) for line in data.splitlines()]

    def take(self) -> list[dict[str, Any]]:
        """What has come since the last time."""
        self.world.run_effects()
        taken, self.messages = self.messages, []
        return taken

    def last(self) -> dict[str, Any]:
        """The last that has come; everything is taken."""
        return self.take()[-1]


class World:
    """See the module. defer: called with work that comes back later; None does it at once.

    at: called with the name of each point at which a killed server may stand.
    """

    def __init__(
        self,
        store: MemoryStore | None = None,
        journal: MemoryJournal | None = None,
        now: float = 0.0,
        defer: Callable[[Callable[[], None]], None] | None = None,
        make_bus: Callable[[Context], Any] = LocalBus,
        seed: int = 0,
        games: Sequence[type[Game]] = (Puissance4, Dessin),
        **settings: Any,
    ) -> None:
        self.now = now
        self.store = store or MemoryStore()
        self.journal = journal or MemoryJournal()
        self.defer = defer or (lambda work: work())
        self.context = Context(Settings(_env_file=None, **settings), DATE)
        self.service = PaintService(self.context)
        self.book = DocumentBuffer(self.context)
        self.bus = make_bus(self.context)
        self.matches = MatchService(
            self.context,
            self.book,
            self.bus,
            {game.name: game for game in games},
            random.Random(seed),
            random.Random,
        )
        self.tanks = TankService(
            self.context,
            self.book,
            self.bus.join,
            self.bus.send,
            Words(WORDS.read_text()),
            random.Random(seed),
        )
        self.at: Callable[[str], None] = lambda _point: None
        self.troubles: list[match_effects.Trouble] = []
        self.injected: type[Exception] | None = None
        """What a test injects; any other unexpected exception is the test's own failure."""
        self.problems: list[effects.DrawingProblem] = []
        self.failures: list[Exception] = []
        """Of what was injected: what was reported for the log."""
        self.peers: dict[int, Peer | Talker] = {}
        self.sessions: dict[str, str] = {}
        """Names of accounts by what a cookie or a bearer token says."""
        self.effects: list[Any] = []
        self.flushed: Callable[[int, bytes], None] = lambda _number, _batch: None
        report = self.report = run(recover(self.store, self.journal))
        self.context.log.batch = report.next_batch
        self.service.restore_lobbies((x.number, x.info, x.seq) for x in report.lobbies)
        for room in (self.matches, self.tanks):
            room.restore({kind: run(self.store.read(kind)) for kind in room.KINDS}, self.now)

    report: Report

    def extended(self, name: str, flags: int = 0, client: int = 0) -> Peer:
        """A new connection that has the extension, logged in with a password."""
        run(self.store.add_account(name, b"pw", 0))
        peer = Peer(self, "127.0.0.1", 0.0).hello(name, "pw", flags, client)
        assert peer.values(packets.HELLO)[-1][::3] == (0, name)
        peer.take()
        return peer

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
            self.run_effects()
        self.now = end

    def run_effects(self) -> None:
        """Carry out effects and flush until nothing is left to do."""
        context = self.context
        while context.effects or context.flush_set.pending or context.log.records or context.work:
            for _ in context.work.run(self.now):
                pass
            while self.service.effects:
                effect = self.service.effects.pop(0)
                self.effects.append(effect)
                self._carry_out(effect)
            self.flush()

    def flush(self) -> None:
        """Seal, journal, release, deliver."""
        number = self.service.log.batch
        batch = self.service.log.take()
        send_queues = self.service.flush_set.seal()
        self.at("sealed")
        if batch:
            self.journal.commit([(number, batch)])
            self.flushed(number, batch)
            self.at("committed")
        for send_queue in send_queues:
            send_queue.release()
            if send_queue is self.bus.send_queue:
                self.bus.deliver(self.now)
                self.at("told")
                continue
            peer = self.peers.get(send_queue.id)
            if peer is not None and peer.reads:
                self.deliver(peer)
            elif peer is not None and peer.session is not None:
                peer.session.backlogged(self.now)
                peer.session.weigh(self.now)
        for peer in list(self.peers.values()):
            if peer.session is not None and peer.session.closing and not peer.closed:
                if peer.reads:
                    self.deliver(peer)
                peer.closed = peer.session.closing
                self.peers.pop(peer.session.send_queue.id, None)
                peer.session.lost(self.now)

    def deliver(self, peer: "Peer | Talker") -> None:
        """Everything that may be sent to this peer."""
        session = peer.session
        assert session is not None
        while session.send_queue.takeable:
            data = session.take(1 << 16, self.now)
            peer.hear(data)
            self.at("sent")
        session.drained(self.now)
        if session.stalled:
            session.work(self.now)

    def _carry_out(self, effect: Any) -> None:
        match effect:
            case effects.CheckPassword(session, name, password, bind):
                if bind:
                    self.store.passwords.setdefault(name, password.encode())
                ok = self.store.passwords.get(name) == password.encode()
                self.defer(lambda: session.password_checked(name, ok, self.now))
            case effects.CheckCredentials(session, credentials):
                owner = self.sessions.get(credentials, "")
                self.defer(lambda: session.password_checked(owner, bool(owner), self.now))
            case effects.ProbeHolder(session, holder, name):
                dead = [
                    p
                    for p in self.peers.values()
                    if isinstance(p, Peer) and p.session is holder and p.vanished
                ]
                self.defer(lambda: self._probed(session, dead, name))
            case effects.IssueTicket(session):
                self.defer(lambda: session.ticket_issued(f"ticket of {session.name}", self.now))
            case effects.CreateAccount(session, name, password):
                added = run(self.store.add_account(name, password.encode(), 0))
                self.defer(lambda: session.account_created(0 if added else 1, self.now))
            case paint_effects.LoadCanvas(lobby=lobby):
                self.defer(lambda: self._load(lobby))
            case paint_effects.SaveCanvas():
                self.defer(lambda: self._save(effect))
            case paint_effects.Work():
                self.defer(lambda: self._worked(effect))
            case paint_effects.RemoveCanvas(lobby=lobby):
                run(self.store.remove(lobby.number))
                self.service.canvas_removed(lobby, True, self.now)
            case SaveDocuments():
                self.defer(lambda: self._save_documents(effect))
            case FetchDocument():
                answer = self.store.read_one(effect.kind, effect.key)
                self.defer(lambda: self._ask(effect, answer))
            case match_effects.CountResult():
                self.defer(lambda: self._count(effect))
            case match_effects.ReadRecord(player=player):
                self.defer(lambda: self._ask(effect, self.store.record(player)))
            case match_effects.ReadRanking(limit=limit):
                self.defer(lambda: self._ask(effect, self.store.ranking(limit)))
            case match_effects.ArrangeGameLobby(filename, owner, passcode, allowed_authors, clear):
                self.service.arrange(filename, owner, passcode, allowed_authors, clear, self.now)
            case match_effects.RemoveGameLobby(filename):
                self.service.remove(filename, "over", self.now)
            case match_effects.Trouble():
                self.troubles.append(effect)
            case effects.Unexpected(error=error):
                self.unexpected(error)
            case effects.DrawingProblem():
                self.problems.append(effect)
            case effects.Close() | effects.Resume() | effects.Rejected():
                pass
            case _:
                raise AssertionError(f"an effect that nobody carries out: {effect!r}")

    def _probed(self, session: Any, dead: list[Any], name: str) -> None:
        for peer in dead:
            peer.disconnect()
        session.holder_probed(name, self.now)

    def _ask(self, effect: Any, answer: Coroutine[Any, Any, Any]) -> None:
        try:
            value = run(answer)
        except StoreError:
            effect.failed(self.now)
        else:
            effect.then(value, self.now)

    def _count(self, effect: match_effects.CountResult) -> None:
        self.at("counting")
        try:
            outcome, players = run(self.store.count(effect.code, effect.player, effect.statut, 0))
        except StoreError:
            effect.failed(self.now)
            return
        self.at("counted")
        effect.then((outcome.value, players), self.now)

    def _save_documents(self, effect: SaveDocuments) -> None:
        try:
            run(self.store.write(effect.changes))
        except StoreError:
            effect.book.saved(False, self.now)
            return
        self.at("stored")
        effect.book.saved(True, self.now)
        self.trim()

    def trim(self) -> None:
        """Have the journal forget what the store has."""
        needed = [x for x in (self.service.journal_from, self.book.journal_from) if x is not None]
        self.journal.trim(min(needed))

    def unexpected(self, error: Exception) -> None:
        """An exception that the domain has contained, or that an effect raised."""
        if self.injected is None or not isinstance(error, self.injected):
            raise error
        self.failures.append(error)

    def _worked(self, effect: paint_effects.Work) -> None:
        try:
            outcome = attempted(effect.work)
        except Exception as error:
            self.unexpected(error)
            effect.failed(self.now)
        else:
            self.service.worked(effect, outcome, self.now)

    def _load(self, lobby: Any) -> None:
        try:
            dump = run(self.store.load(lobby.number))
        except StoreError:
            dump = None
        self.service.canvas_loaded(lobby, self.now, dump)

    def _save(self, effect: paint_effects.SaveCanvas) -> None:
        stored = StoredLobby(effect.lobby.number, effect.info, effect.seq)
        try:
            run(self.store.save(stored, effect.meta, effect.blobs, self.now))
        except StoreError:
            self.service.canvas_saved(effect, False, self.now)
            return
        self.service.canvas_saved(effect, True, self.now)
        self.trim()


def lobby(
    filename: str, owner: str = "", mode: str = "stroke", protection: str = "public",
    passcode: str = "",
) -> str:  # fmt: skip
    """The five-key JSON object."""
    values = (filename, owner, mode, protection, passcode)
    return orjson.dumps(dict(zip(packets.LOBBY_KEYS, values, strict=True))).decode()


numbers = itertools.count(1)
