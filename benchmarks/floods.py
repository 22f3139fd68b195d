"""What somebody does who means to stop everybody: each kind of flood, as bytes.

A flood runs in a process of its own, at a lower priority than the people who are measured. Each
connection has a thread, which logs in, then sends without end as fast as it is taken, and comes
back at once when it is closed. Counterpart: `flood.py`, which measures; to add a kind, write a
generator of bytes and name it in `KINDS`.
"""

import base64
import contextlib
import itertools
import json
import multiprocessing
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import load

from polypaint.paint import packets
from polypaint.paint.packets import Packet

ADDRESS = "127.0.0.2"
"""Attackers come from an address of their own."""
PLAZAS = {"stroke": "plaza", "pixel": "pixel plaza"}
"""The lobbies in which an attacker meets honest people, by mode."""
PLAZA = PLAZAS["stroke"]
CHUNK_BYTES = 1 << 16
RED, BLUE = b"\xff\0\0\xff", b"\0\0\xff\xff"
SOCKET_S, READY_S, SWITCH_S = 5.0, 10.0, 60.0
STROKES = 100_000
Stream = Callable[["Attacker"], Iterator[bytes]]


@dataclass(frozen=True)
class Kind:
    """One kind of flood.

    door: paint, matches, tanks, web, or ws for paint over WebSocket. mode: of the lobby that the
    attacker shares with honest people; None when the flood is of another place. reads: what the
    server answers. logs_in: with an account of its own. strokes: how many the shared lobby holds.
    crowd: idle people who are there. guesses: honest logins are measured meanwhile.
    """

    name: str
    stream: Stream
    door: str = "paint"
    mode: str | None = None
    reads: bool = True
    logs_in: bool = True
    strokes: int = 0
    crowd: int = 0
    lobbies: int = 0
    guesses: bool = False
    flags: tuple[str, ...] = ()


class Attacker:
    """One connection that floods. number: of it; turn: how often it has come back."""

    def __init__(self, kind: Kind, addresses: dict[str, str], number: int) -> None:
        self.kind, self.number, self.turn = kind, number, 0
        self.closed = self.sent = 0
        self.pouring = threading.Event()
        self._made: set[bytes] = set()
        self._addresses = addresses
        self.name = b"attacker%d" % number

    def encode(self, packet: Packet, *values: object) -> bytes:
        return packet.encode_request(load.DATE, self.name, *values)

    def connect(self) -> socket.socket:
        """A connection that is ready for the flood. Raises OSError or RuntimeError."""
        door = self.kind.door
        address = self._addresses["web" if door in ("web", "ws") else door]
        sock = _dial(address.removeprefix("http://"))
        if door == "ws":
            _upgrade(sock, "/ws/paint")
        elif door == "paint" and self.kind.logs_in:
            self._log_in(sock)
            if self.kind.mode:
                text = load.lobby(PLAZAS[self.kind.mode], self.name.decode())
                sock.sendall(self.encode(packets.LOBBY_CONNECT, text))
                load.read_until(sock, load.thawed)
        elif door == "tanks":
            _enter_map(sock, self.name.decode(), self.turn == 0)
        return sock

    def _log_in(self, sock: socket.socket) -> None:
        """Raises RuntimeError, and takes another name, when the old one is still logged in."""
        if self.name not in self._made:
            self._made.add(self.name)
            sock.sendall(self.encode(packets.CREATE_ACCOUNT, "pw"))
        sock.sendall(self.encode(packets.CONNECTION, "pw"))
        (answer,) = load.read_until(sock, lambda p: p[2] == packets.CONNECTION.id)[-1:]
        if packets.decode(answer, True) != (0,):
            self.name = b"attacker%d-%d" % (self.number, len(self._made))
            raise RuntimeError("not let in")

    def flood(self, on: threading.Event) -> None:
        """Until `on` is cleared, whatever the server does."""
        while on.is_set():
            try:
                with self.connect() as sock:
                    self._pour(sock, on)
                    # What stands in the kernel is dropped: the flood ends at once.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except (OSError, RuntimeError):
                self.closed += 1
                time.sleep(0.002)
            self.turn += 1

    def _pour(self, sock: socket.socket, on: threading.Event) -> None:
        self.pouring.set()
        sock.setblocking(False)
        stream, chunk = self.kind.stream(self), b""
        while on.is_set():
            wanted = [sock] if self.kind.reads else []
            readable, writable, _ = select.select(wanted, [sock], [], 0.1)
            if readable and not sock.recv(1 << 20):
                raise ConnectionError("closed")
            if writable:
                chunk = chunk or next(stream, b"")
                if not chunk:  # this connection has said what it had to say
                    readable, _, _ = select.select([sock], [], [], 0.5)
                    return
                taken = sock.send(chunk)
                self.sent += taken
                chunk = chunk[taken:]


def _dial(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), SOCKET_S, (ADDRESS, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _upgrade(sock: socket.socket, path: str) -> None:
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += sock.recv(1) or _closed()


def _closed() -> bytes:
    raise ConnectionError("closed")


def _enter_map(sock: socket.socket, name: str, new: bool) -> None:
    words = {"name": name, "password": "pw"} | ({"newuser": True} if new else {})
    for message in (words, {"requeste": "connect to map", "map": "prairie"}):
        sock.sendall(json.dumps(message).encode() + b"\n")
        sock.recv(1 << 16) or _closed()


# ---------------------------------------------------------------- streams
def _again(chunk: bytes) -> Iterator[bytes]:
    """The same for ever, in large writes."""
    return itertools.repeat(chunk * max(1, CHUNK_BYTES // len(chunk)))


def chat(size: int, channel: str = "General") -> Stream:
    return lambda a: _again(a.encode(packets.CHANNEL_MESSAGE, f"{channel};{'x' * size}"))


def repeated(*parts: tuple[Packet, tuple[object, ...]]) -> Stream:
    """The same packets again and again."""
    return lambda a: _again(b"".join(a.encode(packet, *values) for packet, values in parts))


def stroke_edits(a: Attacker) -> Iterator[bytes]:
    """At the front of a large drawing: 17 go, 17 come."""
    some = a.encode(packets.REMOVE_STROKE, [i * 64 for i in reversed(range(17))])
    one = a.encode(packets.INSERT_STROKE, 0, RED, 3, 3, [(1.0, 2.0)])
    return _again(some + one * 17)


def held_strokes(a: Attacker) -> Iterator[bytes]:
    indices = list(range(16_000))
    parts = (packets.SELECTED_STROKE, packets.UNSELECTED_STROKE)
    return _again(b"".join(a.encode(part, indices) for part in parts))


def lobbies(a: Attacker) -> Iterator[bytes]:
    for i in itertools.count():
        text = load.lobby(f"{a.number}-{a.turn}-{i}", a.name.decode())
        yield a.encode(packets.LOBBY_CREATION, text)


def channels(a: Attacker) -> Iterator[bytes]:
    for i in itertools.count():
        yield a.encode(packets.CHANNEL_CREATION, f"{a.number}-{a.turn}-{i}")


def replays(a: Attacker) -> Iterator[bytes]:
    """In and out of a large drawing, which is different each time, without reading a byte."""
    out = a.encode(packets.LOBBY_DISCONNECT)
    back = a.encode(packets.LOBBY_CONNECT, load.lobby(PLAZA, a.name.decode()))
    one = a.encode(packets.ADD_STROKE, 0, RED, 3, 3, [(1.0, 2.0)])
    return _again(out + back + one)


def passcodes(a: Attacker) -> Iterator[bytes]:
    for i in itertools.count():
        text = json.loads(load.lobby("locked", a.name.decode())) | {"Passcode": str(i)}
        yield a.encode(packets.LOBBY_CONNECT, json.dumps(text))


def guesses(a: Attacker) -> Iterator[bytes]:
    yield packets.CONNECTION.encode_request(load.DATE, b"honest0", f"guess {a.turn}")


def accounts(a: Attacker) -> Iterator[bytes]:
    name = b"new%d-%d" % (a.number, a.turn)
    yield packets.CREATE_ACCOUNT.encode_request(load.DATE, name, "pw")


def _get(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: x", *headers, "", "")).encode()


def renders(a: Attacker) -> Iterator[bytes]:
    return _again(_get(f"/api/lobbies/{PLAZA}/canvas.png"))


def gets(path: str) -> Stream:
    return lambda a: _again(_get(path))


def basic(a: Attacker) -> Iterator[bytes]:
    for i in itertools.count():
        words = base64.b64encode(b"honest0:%d" % i).decode()
        yield _get(f"/api/lobbies/{PLAZA}/canvas.json", f"Authorization: Basic {words}")


def endless_headers(a: Attacker) -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\n"
    yield from _again(b"a: b\r\n")


def endless_value(a: Attacker) -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\na: "
    yield from _again(b"b" * 1024)


def bodies(a: Attacker) -> Iterator[bytes]:
    size = 80 << 20
    yield (
        f"PUT /api/lobbies/{PLAZA}/canvas.png HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {size}\r\n\r\n"
    ).encode()
    yield from _again(b"b" * 1024)


def frames(opcode: int, size: int = 0, *, first: bytes = b"") -> Stream:
    """WebSocket frames of clients, masked with zeros."""
    frame = bytes([opcode, 0x80 | size]) + bytes(4 + size)

    def stream(a: Attacker) -> Iterator[bytes]:
        if first:
            yield first
        yield from _again(frame)

    return stream


def moves(a: Attacker) -> Iterator[bytes]:
    names = ("deplacementavant", "rotationtank", "rotationcannon", "fire")
    return _again(json.dumps(dict.fromkeys(names, 0)).encode() + b"\n")


def asks(**request: object) -> Stream:
    return lambda a: _again(json.dumps(request).encode() + b"\n")


def matches(a: Attacker) -> Iterator[bytes]:
    for i in itertools.count():
        words = {"requete": "creer", "id_publique": a.name.decode(), "rid": f"{a.turn}-{i}",
                 "parametres": {"jeu": "puissance4"}}  # fmt: skip
        yield json.dumps(words).encode() + b"\n"


# ---------------------------------------------------------------- kinds
_SELECT = (packets.CREATE_SELECTION, (0, 0, 1000, 700, 0))
_LIST = {"crowd": 200, "lobbies": 60}
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("chat, 60 kB", chat(60_000)),
        Kind("chat, short", chat(4)),
        Kind("chat in the lobby", chat(20_000, PLAZA), mode="stroke"),
        Kind("list of lobbies", repeated((packets.LOBBY_FETCH, ())), crowd=200, lobbies=60),
        Kind("list of channels", repeated((packets.CHANNEL_FETCH, ())), crowd=200, lobbies=60),
        Kind("lists, not read", repeated((packets.CHANNEL_FETCH, ())), reads=False, crowd=200),
        Kind("list of matches", asks(requete="lister"), door="matches"),
        Kind("list of maps", asks(requeste="list map"), door="tanks"),
        Kind("fills", repeated((packets.BUCKET_FILL, (5, 5, RED)),
                               (packets.BUCKET_FILL, (5, 5, BLUE))), mode="pixel"),
        Kind("selections", repeated(_SELECT, (packets.REMOVE_SELECTION, ())), mode="pixel"),
        Kind("turned selections", repeated(
            _SELECT, (packets.UPDATE_SELECTION, (0, 0, 1200, 700, 33))), mode="pixel"),
        Kind("filters", repeated(_SELECT, (packets.APPLY_FILTER_SELECTION, ("blur",))),
             mode="pixel"),
        Kind("large stamps", repeated((packets.SEND_POINTS, (1000, RED, [[500, 300]] * 60))),
             mode="pixel"),
        Kind("resizes", repeated((packets.RESIZE_CANVAS_INT, (2500, 2500)),
                                 (packets.RESIZE_CANVAS_INT, (1280, 720))), mode="pixel"),
        Kind("stroke edits", stroke_edits, mode="stroke", strokes=STROKES),
        Kind("held strokes", held_strokes, mode="stroke", strokes=STROKES),
        Kind("replays, not read", replays, mode="stroke", reads=False, strokes=STROKES),
        Kind("new lobbies", lobbies),
        Kind("new channels", channels),
        Kind("new matches", matches, door="matches"),
        Kind("new accounts", accounts, logs_in=False, guesses=True),
        Kind("guessed passcodes", passcodes),
        Kind("guessed passwords", guesses, logs_in=False, guesses=True),
        Kind("guesses over HTTP", basic, door="web", guesses=True),
        Kind("renders", renders, door="web", mode="stroke", strokes=3_000),
        Kind("renders, not read", renders, door="web", mode="stroke", reads=False, strokes=3_000),
        Kind("GETs, not read", gets("/metrics"), door="web", reads=False),
        Kind("leaderboard", gets("/api/players"), door="web"),
        Kind("endless headers", endless_headers, door="web"),
        Kind("endless value", endless_value, door="web"),
        Kind("bodies", bodies, door="web", mode="stroke"),
        Kind("pings", frames(0x89, 4), door="ws"),
        Kind("pings, not read", frames(0x89, 125), door="ws", reads=False),
        Kind("continuations", frames(0x00, first=bytes([0x02, 0x80]) + bytes(4)), door="ws"),
        Kind("tank moves", moves, door="tanks"),
    )
}  # fmt: skip


# ---------------------------------------------------------------- the process
def _run(kind: Kind, addresses: dict[str, str], connections: int, orders: Connection) -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    everybody = [Attacker(kind, addresses, i) for i in range(connections)]
    on = threading.Event()
    threads: list[threading.Thread] = []
    while (order := orders.recv()) != "end":
        if order == "on":
            on.set()
            threads = [threading.Thread(target=a.flood, args=(on,)) for a in everybody]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + READY_S
            for a in everybody:
                a.pouring.wait(max(0.0, deadline - time.monotonic()))
        else:
            on.clear()
            for thread, a in zip(threads, everybody, strict=True):
                thread.join()
                a.pouring.clear()
        orders.send((sum(a.sent for a in everybody), sum(a.closed for a in everybody)))


class Flood:
    """Attackers in a process of their own, switched on and off."""

    def __init__(self, kind: Kind, addresses: dict[str, str], connections: int) -> None:
        self._orders, other = multiprocessing.Pipe()
        arguments = (kind, addresses, connections, other)
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        self.sent = self.closed = 0

    def switch(self, order: str, meanwhile: Callable[[], object]) -> None:
        """On or off: calls `meanwhile` until it is done. Raises RuntimeError when it never is."""
        self._orders.send(order)
        deadline = time.monotonic() + SWITCH_S
        while not self._orders.poll():
            meanwhile()
            if time.monotonic() > deadline:
                raise RuntimeError("the attackers do not answer")
        self.sent, self.closed = self._orders.recv()

    def end(self) -> None:
        self._orders.send("end")
        self._process.join(10)
        self._process.kill()
