"""Whole servers with their clients, faults and clock, each run from one seed.

Clients draw, erase, select, chat, come and go over a network that cuts and delays, and read or
don't. Everything of the server's fails and takes its time by seed: the store, the journal and its
disk, the threads, the sockets, which take a part of what they are sent. The server is killed at
any point and started again. Afterwards every member's canvas equals the server's and a newcomer's,
nothing that anybody saw is gone, nothing was seen that was not journaled, and nobody's stroke was
removed by mistake. `POLYPAINT_SEEDS=20000` runs more; a seed that fails prints itself, and
`POLYPAINT_SEED=123` runs one.

Counterparts: `world.py` runs the server that ships, `painters.py` has the people.
"""

import asyncio
import heapq
import itertools
import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from polypaint import _codec
from polypaint.engine.journal_buffer import DOCUMENTS, records
from polypaint.engine.memory import UNLIMITED
from polypaint.errors import StoreError, StoreFull
from polypaint.paint import packets
from polypaint.paint.canvas import Canvas
from polypaint.paint.lobby import empty_canvas
from polypaint.paint.packets import PACKETS, Mode
from polypaint.paint.strokes import StrokeCanvas

from .memory_store import MemoryJournal, MemoryStore
from .painters import LATENCY_S, Client, content
from .virtual import DATE, VirtualLoop
from .world import World

SEEDS = int(os.environ.get("POLYPAINT_SEEDS", "2000")) * 3 // 4
ONE = os.environ.get("POLYPAINT_SEED")
PARTS = 20
LATE_S = (0.0, 0.0, 0.0, 0.001)
"""The loop is so late for what is due."""


class Killed(BaseException):
    """kill -9."""


class Injected(Exception):
    """Nobody expects this."""


class Simulation:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.mode = self.rng.choice((Mode.STROKE, Mode.PIXEL))
        self.settings: dict[str, Any] = {
            "freeze": self.rng.choice(("newcomer", "newcomer", "lobby")),
            "durability": self.rng.choice(("process", "process", "power")),
        }
        self.heavy = self.rng.choice((-1, 1000, 10_000, 10**9))
        self.acts = self.rng.choice((2, 2, 8))
        """How often somebody does something in 0.2 s, at most."""
        self.memory_max = UNLIMITED
        self.faulty = self.rng.choice((0.0, 0.0, 0.02, 0.2))
        """How often the store fails."""
        self.killing = self.rng.choice((0.0, 0.0, 0.0005))
        self.disk: Exception | None = None
        """What the journal's disk says."""
        self.store, self.journal = MemoryStore(), MemoryJournal()
        self.store.disturb, self.journal.disturb = self.disturb_store, self.disturb_journal
        self.journaled: set[bytes] = set()
        self.shadow: dict[int, tuple[int, Canvas]] = {}
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.ties = itertools.count()
        self.clients = [Client(self, f"c{i}") for i in range(self.rng.randint(2, 4))]
        self.origin: dict[bytes, bytes] = {}
        self.now = 0.0
        self.kills = self.faults = 0
        self.start()

    # ------------------------------------------------------------ what goes wrong
    async def disturb_store(self, _question: str) -> None:
        """The store takes its time, and fails."""
        await asyncio.sleep(self.rng.choice((0.0, self.rng.uniform(0, 0.01))))
        if self.rng.random() < self.faulty:
            self.faults += 1
            raise Injected if self.rng.random() < 0.1 else StoreError("injected")

    def disturb_journal(self) -> None:
        """The disk is full, or fails."""
        if self.disk is not None:
            raise self.disk

    @property
    def created(self) -> bool:
        """Is there a lobby?"""
        return "d" in self.world.service.lobbies

    def takes(self) -> float:
        """How long a thread takes for one thing."""
        return self.rng.uniform(0, 0.02)

    def buffer_bytes(self) -> int | None:
        """Of a connection that the server writes to directly; None: over TLS."""
        return self.rng.choice((None, 1, 1, 60_000))

    def break_disk(self) -> None:
        """The journal can't be written for a while."""
        self.faults += 1
        self.disk = self.rng.choice((StoreFull("full"), StoreError("broken"), Injected()))
        self.journal.reserve = self.rng.random() < 0.5
        self.at(self.now + self.rng.uniform(0, 1.5), self.mend_disk)

    def mend_disk(self) -> None:
        self.disk = None

    def set_memory(self, bytes_max: int) -> None:
        """From now on large things may take so much: what is beyond it is refused."""
        self.memory_max = self.world.context.memory.bytes_max = bytes_max

    # ------------------------------------------------------------ time
    def at(self, when: float, work: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (when, next(self.ties), work))

    def later(self, way: str, client: Client, work: Callable[[], None]) -> None:
        """In order for each client and way, at most LATENCY_S late."""
        delay = self.rng.uniform(0, LATENCY_S)
        client.arrives_at[way] = max(client.arrives_at[way], self.now + delay)
        self.at(client.arrives_at[way], work)

    def run_until(self, end: float) -> None:
        """Let time pass: the network's and the server's."""
        while True:
            arrives = self.queue[0][0] if self.queue else float("inf")
            if min(arrives, self.world.loop.next_at()) > end:
                break
            try:
                self.turn(arrives)
            except Killed:
                self.kill()
            self.now = max(self.now, self.world.now)
            for client in self.clients:
                client.hear()
        self.world.loop.run_until(end)
        self.now = max(self.now, end)

    def turn(self, arrives: float) -> None:
        """One turn of the loop: everything that has come by now."""
        loop = self.world.loop
        if arrives <= loop.next_at():
            loop.run_until(arrives + self.rng.choice(LATE_S))
            self.now = loop.time()
            while self.queue and self.queue[0][0] <= self.now:
                heapq.heappop(self.queue)[2]()
        else:
            loop.step()
        self.world.end_turn()

    # ------------------------------------------------------------ the server
    def start(self) -> None:
        """The server, again and again until it starts."""
        while True:
            loop = VirtualLoop(self.now, self.rng, LATE_S)
            try:
                World(
                    self.store,
                    self.journal,
                    loop=loop,
                    takes=self.takes,
                    recovered=self.recovered,
                    **self.settings,
                )
                return
            except (StoreError, Injected, Killed):
                self.now = loop.time() + 0.1

    def recovered(self, world: World) -> None:
        """A server has recovered, and is about to begin."""
        self.world = world
        self.now = world.now
        world.injected = Injected
        world.service.canvas_queue.heavy = self.heavy
        world.context.memory.bytes_max = self.memory_max
        assert not world.report.problems
        stored = {lobby.number: lobby for lobby in world.report.lobbies}
        for number, (seq, shadow) in list(self.shadow.items()):
            assert stored[number].seq >= seq, "something that was seen is lost"
            kept = empty_canvas(self.mode)
            _, meta, blobs = self.store.kept[number]
            kept.load(meta, blobs)
            if stored[number].seq == seq:
                for author in shadow.authors():
                    shadow.release(author, 0)
                assert same(kept, shadow), "the recovered canvas differs"
            else:  # stored before the journal had it: nobody has seen the last of it
                self.shadow[number] = (stored[number].seq, kept)
                if isinstance(kept, StrokeCanvas):
                    self.journaled.update(content(stroke) for stroke in kept.strokes.all())
        world.at, world.flushed = self.maybe_die, self.saw

    def maybe_die(self, _point: str) -> None:
        if self.rng.random() < self.killing:
            raise Killed

    def kill(self) -> None:
        """kill -9: what was not journaled is gone; every connection is."""
        self.kills += 1
        self.world.kill()
        for client in self.clients:
            client.hear()  # what had been sent arrives
            client.peer = client.replica = None
        self.start()

    def saw(self, _number: int, batch: bytes) -> None:
        """A batch is journaled and about to be seen: keep our own reading of it."""
        for number, seq, record in records(batch):
            if number == DOCUMENTS:
                continue
            if number not in self.shadow:
                self.shadow[number] = (0, empty_canvas(self.mode))
            before, canvas = self.shadow[number]
            assert seq == before + 1
            for packet in _codec.split(record):
                kind = PACKETS[packet[2]]
                if kind.relayed:
                    if kind in (packets.REMOVE_STROKE, packets.REPLACE_STROKE):
                        self.meant(packet, canvas)
                    if self.mode is Mode.STROKE:
                        self.journaled.add(content(packet))
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
            stroke = content(canvas.strokes[index])
            root = self.origin.setdefault(stroke, stroke)
            held = index in canvas.selected().get(author, ())
            assert held or root in {self.origin.get(c, c) for c in client.intended}
            if packet[2] == packets.REPLACE_STROKE.id:
                self.origin[content(packet)] = root

    # ------------------------------------------------------------ the play
    def play(self) -> None:
        first = self.clients[0]
        first.connect()
        self.run_until(self.now + 1.0)
        if self.mode is Mode.PIXEL and first.replica is not None:
            first.replica.draw(packets.RESIZE_CANVAS_INT.encode_request(DATE, b"c0", 48, 36))
            first.pump()
        self.set_memory(self.rng.choice((UNLIMITED, UNLIMITED, 1500, 6000, 30_000)))
        for _ in range(PARTS):
            for client in self.clients:
                for _ in range(self.rng.randint(0, self.acts)):
                    self.at(self.now + self.rng.uniform(0, 0.2), client.act)
            if self.rng.random() < 0.05:
                self.at(self.now + self.rng.uniform(0, 0.2), self.kill)
            if self.rng.random() < self.faulty / 2:
                self.at(self.now + self.rng.uniform(0, 0.2), self.break_disk)
            self.run_until(self.now + 0.2)
        self.come_together()

    def come_together(self) -> None:
        """Everybody is in, nothing is under way: all canvases are the same."""
        self.set_memory(UNLIMITED)
        self.faulty = self.killing = 0.0
        self.mend_disk()
        self.clients.append(Client(self, "c9"))
        for client in self.clients:
            if client.peer is not None:
                client.peer.reads = True
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
        and np.array_equal(one.pixels, other.pixels)  # type: ignore[attr-defined]
        and all(
            np.array_equal(one.floating[a].source, other.floating[a].source)  # type: ignore[attr-defined]
            and one.floating[a].target == other.floating[a].target  # type: ignore[attr-defined]
            for a in order[0]
        )
    )


def play(seed: int) -> None:
    try:
        simulation = Simulation(seed)
        simulation.play()
        simulation.world.kill()
    except BaseException as error:
        error.add_note(f"seed {seed}: POLYPAINT_SEED={seed} pytest tests/test_simulation.py")
        raise


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("part", range(20))
def test_every_seed_converges(part: int) -> None:
    seeds = [int(ONE)] if ONE else range(part * SEEDS // 20, (part + 1) * SEEDS // 20)
    for seed in seeds:
        play(seed)
