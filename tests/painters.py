"""People who draw in a simulation, each with our client at the far end of a slow wire.

Counterpart: `test_simulation.py`, which has the server, its faults and the clock.
"""

import itertools
import random
from typing import Any

import orjson

from polypaint._codec import FrameDecoder
from polypaint.paint import packets
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.packets import PACKETS, Mode
from polypaint.paint.replica import Outcome, Replica
from polypaint.paint.strokes import StrokeCanvas

from .virtual import DATE
from .world import Peer

LATENCY_S = 0.04
ANSWERED = {packets.CONNECTION: 0, packets.LOBBY_CREATION: 0, packets.LOBBY_CONNECT: 1}
"""What says yes; whoever is told no tries again later."""


class Client:
    """Somebody with our client, at the far end of a slow wire."""

    def __init__(self, simulation: Any, name: str) -> None:
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
        self.peer = Peer(world, "127.0.0.1", 2 * LATENCY_S, self.simulation.buffer_bytes())
        if self.peer.session is None:
            self.peer = None
            return
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
        if peer is not None and peer is self.peer:
            peer.arrive(piece)

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
            if kind in ANSWERED and packets.decode(packet, True)[0] != ANSWERED[kind]:
                self.lose()
                return
            if kind in (packets.ADD_STROKE, packets.INSERT_STROKE):
                assert content(packet) in self.simulation.journaled, "seen before it is journaled"
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
                assert own.outcome in Outcome  # type: ignore[operator]
            out = self.replica.data_to_send()
            if out:
                self.transmit(out)

    def lose(self) -> None:
        """The connection breaks."""
        if self.peer is not None:
            self.peer.lose()
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
        if rng.random() < 0.05 or not self.peer.reads:
            self.peer.reads = not self.peer.reads
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
            self.intended |= {content(canvas.strokes[i]) for i in some}
            return packets.REMOVE_STROKE.encode_request(DATE, name, some)
        if choice < 0.8:
            return packets.SELECTED_STROKE.encode_request(DATE, name, some)
        if choice < 0.88:
            return packets.UNSELECTED_STROKE.encode_request(DATE, name, some)
        if choice < 0.97 and replica.settled:
            self.intended.add(content(canvas.strokes[some[0]]))
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


def content(stroke: bytes) -> bytes:
    """What is unique about a stroke: author and points."""
    return stroke[8 : 8 + stroke[7]] + stroke[-8:]
