"""Whole servers with their clients, faults and clock, each run from one seed.

Clients draw, erase, select, chat, come and go over a network that cuts and delays; connections
break, the server is killed between any two events and started again. Afterwards every member's
canvas equals the server's and a newcomer's, nothing that anybody saw is gone, and nobody's stroke
was removed by mistake. `POLYPAINT_SEEDS=20000` runs more; a seed that fails prints itself, and
`POLYPAINT_SEED=123` runs one.
"""

import heapq
import itertools
import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest

from polypaint import _codec
from polypaint._codec import FrameDecoder
from polypaint.engine.journal_buffer import records
from polypaint.engine.memory import UNLIMITED
from polypaint.paint import packets
from polypaint.paint.canvas import Canvas
from polypaint.paint.lobby import empty_canvas
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.packets import PACKETS, Mode
from polypaint.paint.replica import Outcome, Replica
from polypaint.paint.strokes import StrokeCanvas

from .world import DATE, MemoryJournal, MemoryStore, Peer, World

SEEDS = int(os.environ.get("POLYPAINT_SEEDS", "1000"))
ONE = os.environ.get("POLYPAINT_SEED")
LATENCY_S = 0.04
PARTS = 20


class Client:
    """Somebody with our client, at the far end of a slow wire."""

    def __init__(self, simulation: "Simulation", name: str) -> None:
        self.simulation = simulation
        self.name = name
        self.replica: Replica | None = None
        self.peer: Peer | None = None
        self.decoder = FrameDecoder()
        self.intended: set[bytes] = set()
        self.arrives_at = {"up": 0.0, "down": 0.0}
        self.strokes = itertools.count()
        self.wants_in = True

    # ------------------------------------------------------------ the wire
    def connect(self) -> None:
        world = self.simulation.world
        self.peer = Peer(world, "127.0.0.1", 2 * LATENCY_S)
        self.decoder = FrameDecoder()
        name = self.name.encode()
        out = packets.CREATE_ACCOUNT.encode_request(DATE, name, "pw")
        if self.name in world.store.passwords:
            out = b""
        out += packets.CONNECTION.encode_request(DATE, name, "pw")
        info = LobbyRules("d", "c0", self.simulation.mode.value, "public", "")
        self.replica = Replica(name, info)
        text = orjson.dumps(info.json(True)).decode()
        if self.name == "c0" and not self.simulation.created:
            self.simulation.created = True
            out += packets.LOBBY_CREATION.encode_request(DATE, name, text)
        else:
            self.replica.expect_join()
            out += packets.LOBBY_CONNECT.encode_request(DATE, name, text)
        self.transmit(out)

    def transmit(self, data: bytes) -> None:
        """Up the wire, in pieces."""
        rng = self.simulation.rng
        peer = self.peer
        while data:
            cut = rng.choice((len(data), len(data), rng.randint(1, len(data))))
            piece, data = data[:cut], data[cut:]
            self.simulation.later("up", self, lambda piece=piece: self._arrive(peer, piece))

    def _arrive(self, peer: Peer | None, piece: bytes) -> None:
        if peer is not None and peer is self.peer and not peer.closed:
            assert peer.session is not None
            peer.session.receive(piece, self.simulation.now)
            self.simulation.turn()

    def hear(self) -> None:
        """Down the wire: whatever the server has sent by now."""
        peer = self.peer
        if peer is None or not peer.packets:
            return
        data = b"".join(peer.packets)
        peer.packets = []
        self.simulation.later("down", self, lambda: self._heard(peer, data))

    def _heard(self, peer: Peer, data: bytes) -> None:
        if peer is not self.peer or self.replica is None:
            return
        for packet in self.decoder.feed(data):
            kind = PACKETS[packet[2]]
            if kind is packets.LOBBY_CONNECT:
                status = packets.decode(packet, True)[0]
                if status != 1:
                    self.lose()
                    return
            if kind.relayed or kind in (
                packets.LOBBY_CONNECT,
                packets.LOBBY_FREEZE_STATE,
                packets.FETCH_DATABASE,
            ):
                self.replica.receive(packet)
        self.pump()

    def pump(self) -> None:
        if self.replica is not None:
            for own in self.replica.finished():
                assert own.outcome in Outcome
            out = self.replica.data_to_send()
            if out:
                self.transmit(out)

    def lose(self) -> None:
        """The connection breaks."""
        if self.peer is not None:
            self.peer.disconnect()
        self.peer = self.replica = None

    # ------------------------------------------------------------ the person
    def act(self) -> None:
        rng = self.simulation.rng
        replica = self.replica
        if self.peer is None or self.peer.closed:
            self.peer = self.replica = None
            if self.wants_in:
                self.connect()
            return
        if replica is None or not replica.loaded or (not replica.version and self.name != "c0"):
            return
        if rng.random() < 0.03:
            self.lose()
            return
        draw = self._stroke if self.simulation.mode is Mode.STROKE else self._pixel
        packet = draw(rng, replica)
        if packet:
            replica.draw(packet)
            self.pump()

    def _stroke(self, rng: random.Random, replica: Replica) -> bytes:
        name = self.name.encode()
        canvas = replica.canvas
        assert isinstance(canvas, StrokeCanvas)
        count = len(canvas.strokes)
        points = [[next(self.strokes), ord(self.name[1])]]
        choice = rng.random()
        if choice < 0.5 or not count:
            return packets.ADD_STROKE.encode_request(DATE, name, count, b"abcd", 1, 1, points)
        if choice < 0.6:
            at = rng.randint(0, count)
            return packets.INSERT_STROKE.encode_request(DATE, name, at, b"abcd", 1, 1, points)
        some = sorted(rng.sample(range(count), min(count, rng.randint(1, 3))), reverse=True)
        if choice < 0.7 and replica.settled:
            self.intended |= {_content(canvas.strokes[i]) for i in some}
            return packets.REMOVE_STROKE.encode_request(DATE, name, some)
        if choice < 0.8:
            return packets.SELECTED_STROKE.encode_request(DATE, name, some)
        if choice < 0.88:
            return packets.UNSELECTED_STROKE.encode_request(DATE, name, some)
        if choice < 0.97 and replica.settled:
            self.intended.add(_content(canvas.strokes[some[0]]))
            return packets.REPLACE_STROKE.encode_request(
                DATE, name, some[0], b"efgh", 2, 2, points
            )
        if choice < 0.98:
            return packets.RESET_CANVAS.encode_request(DATE, name)
        return packets.RESIZE_CANVAS.encode_request(DATE, name, rng.uniform(1, 99), 40.5)

    def _pixel(self, rng: random.Random, replica: Replica) -> bytes:
        name = self.name.encode()
        at = [[rng.randint(-4, 52), rng.randint(-4, 40)] for _ in range(rng.randint(1, 4))]
        colour = bytes(rng.choice((0, 255)) for _ in range(4))
        rectangle = (*at[0], rng.randint(1, 30), rng.randint(1, 30))
        choice = rng.random()
        if choice < 0.5:
            return packets.SEND_POINTS.encode_request(DATE, name, rng.randint(1, 9), colour, at)
        if choice < 0.6:
            return packets.BUCKET_FILL.encode_request(DATE, name, *at[0], colour)
        if choice < 0.75:
            return packets.CREATE_SELECTION.encode_request(DATE, name, *rectangle, 0)
        if choice < 0.87:
            angle = rng.choice((0, 90, 33, 271.5))
            return packets.UPDATE_SELECTION.encode_request(DATE, name, *rectangle, angle)
        if choice < 0.91:
            kind = rng.choice(("blur", "invert", "grayscale"))
            return packets.APPLY_FILTER_SELECTION.encode_request(DATE, name, kind)
        if choice < 0.97:
            return packets.REMOVE_SELECTION.encode_request(DATE, name)
        if choice < 0.98:
            return packets.RESET_CANVAS.encode_request(DATE, name)
        sides = rng.randint(20, 60), rng.randint(20, 60)
        return packets.RESIZE_CANVAS_INT.encode_request(DATE, name, *sides)


def _content(stroke: bytes) -> bytes:
    """What is unique about a stroke: author and points."""
    return stroke[8 : 8 + stroke[7]] + stroke[-8:]


class Simulation:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.mode = self.rng.choice((Mode.STROKE, Mode.PIXEL))
        self.settings: dict[str, Any] = {
            "freeze": self.rng.choice(("newcomer", "newcomer", "lobby"))
        }
        self.heavy = self.rng.choice((-1, 1000, 10_000, 10**9))
        calm = self.mode is Mode.STROKE and self.settings["freeze"] == "lobby"
        self.acts = 2 if calm else self.rng.choice((2, 2, 8))
        """How often somebody does something in 0.2 s, at most."""
        self.memory_max = UNLIMITED
        self.now = 0.0
        self.created = False
        self.store, self.journal = MemoryStore(), MemoryJournal()
        self.shadow: dict[int, tuple[int, Canvas]] = {}
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.ties = itertools.count()
        self.clients = [Client(self, f"c{i}") for i in range(self.rng.randint(2, 4))]
        self.origin: dict[bytes, bytes] = {}
        self.turning = False
        self.generation = 0
        self.start()

    # ------------------------------------------------------------ time
    def at(self, when: float, work: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (when, next(self.ties), work))

    def later(self, way: str, client: Client, work: Callable[[], None]) -> None:
        """In order for each client and way, at most LATENCY_S late."""
        delay = self.rng.uniform(0, LATENCY_S)
        client.arrives_at[way] = max(client.arrives_at[way], self.now + delay)
        self.at(client.arrives_at[way], work)

    def defer(self, work: Callable[[], None]) -> None:
        generation = self.generation

        def back() -> None:
            if generation == self.generation:
                work()
                self.turn()

        self.at(self.now + self.rng.uniform(0, 0.02), back)

    def turn(self) -> None:
        """The loop's turn ends a little later: until then nothing is journaled or sent."""
        if self.turning:
            return
        self.turning = True
        generation = self.generation

        def end() -> None:
            if generation == self.generation:
                self.turning = False
                self.world.run_effects()
                for client in self.clients:
                    client.hear()

        self.at(self.now + self.rng.choice((0, 0, 0.001)), end)

    def run_until(self, end: float) -> None:
        while self.queue and self.queue[0][0] <= end:
            self.now, _, work = heapq.heappop(self.queue)
            self.world.now = self.now
            due = self.world.service.timers.next_at()
            if due is not None and due <= self.now:
                self.world.service.timers.run_due(self.now)
                self.turn()
            work()
        self.now = self.world.now = end

    # ------------------------------------------------------------ the server
    def start(self) -> None:
        self.generation += 1
        self.turning = False
        self.world = World(self.store, self.journal, self.now, self.defer, **self.settings)
        self.world.service.canvas_queue.heavy = self.heavy
        self.world.context.memory.bytes_max = self.memory_max
        self.world.flushed = self.saw
        assert not self.world.report.problems
        stored = {lobby.number: lobby for lobby in self.world.report.lobbies}
        for number, (seq, shadow) in self.shadow.items():
            assert stored[number].seq >= seq, "something that was seen is lost"
            if stored[number].seq == seq:
                for author in shadow.authors():
                    shadow.release(author, 0)
                kept = empty_canvas(self.mode)
                _, meta, blobs = self.store.kept[number]
                kept.load(meta, blobs)
                assert same(kept, shadow), "the recovered canvas differs"

    def saw(self, _number: int, batch: bytes) -> None:
        """A batch is journaled and about to be seen: keep our own reading of it."""
        for number, seq, record in records(batch):
            if number not in self.shadow:
                self.shadow[number] = (0, empty_canvas(self.mode))
            before, canvas = self.shadow[number]
            assert seq == before + 1
            for packet in _codec.split(record):
                kind = PACKETS[packet[2]]
                if kind.relayed:
                    if kind in (packets.REMOVE_STROKE, packets.REPLACE_STROKE):
                        self.meant(packet, canvas)
                    canvas.apply(packet)
            self.shadow[number] = (seq, canvas)

    def meant(self, packet: bytes, canvas: Canvas) -> None:
        """Nobody's stroke is ever removed by mistake: whoever names one has meant that one.

        A stroke that was replaced meanwhile is still the same stroke. The one exception is in the
        protocol: right after a shift a position may name a stroke that its author holds.
        """
        assert isinstance(canvas, StrokeCanvas)
        author = packet[8 : 8 + packet[7]].decode()
        client = next(c for c in self.clients if c.name == author)
        named = packets.decode(packet)[0]
        for index in [named] if isinstance(named, int) else named.tolist():
            content = _content(canvas.strokes[index])
            root = self.origin.setdefault(content, content)
            held = index in canvas.selected().get(author, ())
            assert held or root in {self.origin.get(c, c) for c in client.intended}
            if packet[2] == packets.REPLACE_STROKE.id:
                self.origin[_content(packet)] = root

    def kill(self) -> None:
        """kill -9: what was not journaled is gone; every connection is."""
        for client in self.clients:
            client.peer = client.replica = None
        self.start()
        lobby = self.world.service.lobbies.get("d")
        if lobby is None:
            self.created = False

    def set_memory(self, bytes_max: int) -> None:
        """From now on large things may take so much: what is beyond it is refused."""
        self.memory_max = self.world.context.memory.bytes_max = bytes_max

    # ------------------------------------------------------------ the play
    def play(self) -> None:
        first = self.clients[0]
        first.connect()
        self.run_until(1.0)
        if self.mode is Mode.PIXEL and first.replica is not None:
            first.replica.draw(packets.RESIZE_CANVAS_INT.encode_request(DATE, b"c0", 48, 36))
            first.pump()
        self.set_memory(self.rng.choice((UNLIMITED, UNLIMITED, 1500, 6000, 30_000)))
        for part in range(PARTS):
            for client in self.clients:
                for _ in range(self.rng.randint(0, self.acts)):
                    self.at(self.now + self.rng.uniform(0, 0.2), client.act)
            if self.rng.random() < 0.05:
                self.at(self.now + self.rng.uniform(0, 0.2), self.kill)
            self.run_until(1.0 + 0.2 * (part + 1))
        self.come_together()

    def come_together(self) -> None:
        """Everybody is in, nothing is under way: all canvases are the same."""
        self.set_memory(UNLIMITED)
        newcomer = Client(self, "c9")
        self.clients.append(newcomer)
        for _ in range(200):
            self.run_until(self.now + 0.5)
            for client in self.clients:
                if client.peer is None or client.peer.closed:
                    client.peer = client.replica = None
                    client.connect()
            if all(c.replica is not None and c.replica.settled and c.replica.loaded
                   and not c.replica.frozen for c in self.clients):  # fmt: skip
                break
        else:
            raise AssertionError("it never comes to rest")
        self.run_until(self.now + 1)
        server = self.world.service.lobbies["d"]
        for client in self.clients:
            assert client.replica is not None
            assert same(client.replica.canvas, server.loaded), f"{client.name} sees another canvas"
            assert not client.replica.doubtful
        assert not self.world.failures


def same(one: Canvas, other: Canvas) -> bool:
    """Are these two canvases equal, selections included?"""
    if isinstance(one, StrokeCanvas) and isinstance(other, StrokeCanvas):
        return (
            (one.length, one.width) == (other.length, other.width)
            and one.selected() == other.selected()
            and _codec.numbered(one.strokes.all(), 12) == _codec.numbered(other.strokes.all(), 12)
        )
    (meta, _), (other_meta, _) = one.dump(), other.dump()
    order = sorted(meta["floating"]), sorted(other_meta["floating"])
    return (
        order[0] == order[1]
        and np.array_equal(one.pixels, other.pixels)
        and all(
            np.array_equal(one.floating[a].source, other.floating[a].source)
            and one.floating[a].target == other.floating[a].target
            for a in order[0]
        )
    )


def play(seed: int) -> None:
    try:
        Simulation(seed).play()
    except BaseException as error:
        error.add_note(f"seed {seed}: POLYPAINT_SEED={seed} pytest tests/test_simulation.py")
        raise


@pytest.mark.parametrize("part", range(20))
def test_every_seed_converges(part: int) -> None:
    seeds = [int(ONE)] if ONE else range(part * SEEDS // 20, (part + 1) * SEEDS // 20)
    for seed in seeds:
        play(seed)
