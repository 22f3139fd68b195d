"""People who draw at an ordinary pace, and what they notice: the measuring half of the floods.

Everybody sends small strokes (or points) now and then; a round trip is the time until one other
member of the same lobby has one; each other member counts. Counterparts: `floods.py`, `flood.py`,
`abuse.py`.
"""

import contextlib
import heapq
import itertools
import selectors
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import load

from polypaint._codec import FrameDecoder
from polypaint.paint import packets

READ_BYTES = 1 << 20
GRACE_S = 4.0
"""So long is waited for what was sent within a window; what is later counts as so much."""
SEQUENCES = 1 << 22
INK = b"\x20\x60\xc0\xff"


@dataclass
class Window:
    """What was noticed in so many seconds. round_trips in seconds."""

    round_trips: list[float] = field(default_factory=list)
    late: int = 0
    """Strokes that nobody had seen after `GRACE_S`."""

    def percentile(self, share: float) -> float:
        ordered = sorted(self.round_trips)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else GRACE_S


@dataclass
class Sent:
    """A stroke under way, and by how many others it has not been seen yet."""

    group: int
    at: float
    awaited: int


class Person:
    """One connection that is logged in and in a lobby."""

    def __init__(self, sock: socket.socket, name: bytes, mode: str) -> None:
        sock.setblocking(False)
        self.sock, self.name, self.mode = sock, name, mode
        self.closed = False
        self.group = 0
        self._decoder, self._unsent = FrameDecoder(), b""

    def read(self) -> list[bytes]:
        """Packets that have come; notes when the connection is over."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return []
        return self._decoder.feed(data)

    def send(self, packet: bytes) -> None:
        self._unsent += packet
        with contextlib.suppress(BlockingIOError):
            try:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
            except (ConnectionError, BrokenPipeError):
                self.closed = True

    def draw(self, sequence: int) -> None:
        """Something small that carries a number."""
        values: tuple[object, ...]
        kind, values = packets.ADD_STROKE, (0, INK, 3, 3, [(float(sequence), 0.0)])
        if self.mode == "pixel":
            kind, values = packets.SEND_POINTS, (1, INK, [[sequence, -9]])
        self.send(kind.encode_request(load.DATE, self.name, *values))


def sequence(packet: bytes) -> int | None:
    """The number that a packet of `Person.draw` carries; None for other packets."""
    at = 8 + packet[7]
    if not packet[8:at].startswith(b"honest"):
        return None
    if packet[2] == packets.ADD_STROKE.id and len(packet) == at + 24:
        return int(struct.unpack_from("<f", packet, at + 16)[0])
    if packet[2] == packets.SEND_POINTS.id and len(packet) == at + 16:
        return int(struct.unpack_from("<i", packet, at + 8)[0])
    return None


class People:
    """Everybody who is measured, in groups of members of one lobby each."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.groups: list[list[Person]] = []
        self._selector = selectors.DefaultSelector()
        self._sequences = itertools.count(1)
        self._sent: dict[int, Sent] = {}
        self._names = itertools.count()

    def lobby(self, name: str, count: int, mode: str = "stroke") -> list[Person]:
        """So many people log in and sit in a new lobby; the first one owns it."""
        group: list[Person] = []
        owner = b""
        for _ in range(count):
            person = b"honest%d" % next(self._names)
            sock = load.open_socket(self.address)
            load.login(sock, person)
            owner = owner or person
            kind = packets.LOBBY_CONNECT if group else packets.LOBBY_CREATION
            text = load.lobby(name, owner.decode(), mode)
            sock.sendall(kind.encode_request(load.DATE, person, text))
            answered = load.thawed if group else lambda p: p[2] == packets.LOBBY_CREATION.id
            load.read_until(sock, answered)
            group.append(Person(sock, person, mode))
            group[-1].group = len(self.groups)
            self._selector.register(sock, selectors.EVENT_READ, group[-1])
        self.groups.append(group)
        return group

    @property
    def closed(self) -> int:
        return sum(person.closed for group in self.groups for person in group)

    def run(self, seconds: float, rate: float, grace_s: float = GRACE_S) -> list[Window]:
        """Draw for so long, `rate` times a second each: what each group noticed.

        grace_s: how long strokes that are under way in the end are waited for.
        """
        windows = [Window() for _ in self.groups]
        now = time.perf_counter()
        end = now + seconds
        everybody = [p for group in self.groups for p in group if not p.closed]
        due = [(now + i / len(everybody) / rate, i) for i in range(len(everybody))]
        heapq.heapify(due)
        while (now := time.perf_counter()) < end or (self._sent and now < end + grace_s):
            while due and due[0][0] <= now < end:
                at, number = heapq.heappop(due)
                heapq.heappush(due, (at + 1 / rate, number))
                self._draw(everybody[number])
            wait = min([end, *(at for at, _ in due[:1])]) - now if now < end else 0.1
            self._read(max(0.0, wait), windows)
        for sent in self._sent.values():
            windows[sent.group].round_trips += [grace_s] * sent.awaited
            windows[sent.group].late += sent.awaited
        self._sent.clear()
        return windows

    def _draw(self, person: Person) -> None:
        others = [p for p in self.groups[person.group] if p is not person and not p.closed]
        if others and not person.closed:
            number = next(self._sequences) % SEQUENCES
            self._sent[number] = Sent(person.group, time.perf_counter(), len(others))
            person.draw(number)

    def _read(self, wait: float, windows: list[Window]) -> None:
        for key, _ in self._selector.select(wait):
            person: Person = key.data
            arrived = person.read()
            if person.closed:
                self._selector.unregister(person.sock)
                self._forget(person)
                continue
            now = time.perf_counter()
            for packet in arrived:
                number = sequence(packet)
                sent = self._sent.get(number) if number is not None else None
                if number is not None and sent is not None:
                    windows[sent.group].round_trips.append(now - sent.at)
                    sent.awaited -= 1
                    if not sent.awaited:
                        del self._sent[number]

    def _forget(self, person: Person) -> None:
        """Who is closed sees nothing more; that is counted as `closed`, and not as late."""
        for number, sent in list(self._sent.items()):
            if sent.group == person.group:
                sent.awaited -= 1
                if not sent.awaited:
                    del self._sent[number]

    def close(self) -> None:
        for group in self.groups:
            for person in group:
                person.sock.close()
        self._selector.close()


def merged(windows: Iterable[Window]) -> Window:
    """Several windows as one."""
    whole = Window()
    for window in windows:
        whole.round_trips += window.round_trips
        whole.late += window.late
    return whole
