"""The load generator: opens and logs in peers, drives them from C, reads the server's CPU time.

A delivery is one packet at one receiver. Figures: deliveries per second, server CPU per delivery
(µs, all threads, user and system), latency percentiles (µs), packets lost and out of order (0).
The server runs on CPU 0 and the generator on CPU 1 where there are two.
"""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from polypaint._codec import FrameDecoder
from polypaint.paint import packets

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "benchmarks"
SAMPLES = 1 << 20
POINTS = 32
STOP_S = 15
DATE = 1_523_750_400
VECTOR = bytes(12)
ATTACHED = [{"_placeholder": True, "num": number} for number in range(2)]
EVENT = ["server-broadcast", "d", *ATTACHED]


class Result(ctypes.Structure):
    _fields_ = [
        *((n, ctypes.c_uint64) for n in ("sent", "delivered", "lost", "disorder", "samples")),
        ("seconds", ctypes.c_double),
        ("latency_us", ctypes.c_float * SAMPLES),
    ]


@dataclass(frozen=True)
class Sample:
    """One measurement."""

    deliveries_per_s: float
    cpu_us: float
    p50_us: float
    p99_us: float
    sent: int
    lost: int
    disorder: int

    def row(self) -> dict[str, float]:
        return {name: round(value, 3) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Load:
    """What is asked of a server. rate: packets a second and sender; 0 keeps `window` under way."""

    peers: int
    senders: int
    rate: float = 0
    window: int = 64
    seconds: float = 1.0


LOADS = {
    "ping": Load(2, 1, window=1),
    "saturated50": Load(50, 10),
    "paced30": Load(30, 30, rate=60, seconds=1.5),
    "paced100": Load(100, 30, rate=60, seconds=1.5),
}


def built(name: str, *flags: str) -> Path:
    """A C file of this folder, compiled if it has changed."""
    source, target = HERE / f"{name}.c", BUILD / name
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        command = [
            os.environ.get("CC", "cc"),
            "-O2",
            "-Wall",
            *flags,
            "-o",
            str(target),
            str(source),
        ]
        subprocess.run(command, check=True)
    return target


def generator() -> Any:
    return ctypes.CDLL(str(built("load", "-shared", "-fPIC")))


@contextlib.contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """On this CPU, and so what is started inside."""
    before = os.sched_getaffinity(0)
    if cpu in before:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, all threads, in seconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total * 1e-9


# ---------------------------------------------------------------- servers
@contextlib.contextmanager
def project(
    *flags: str,
    journal: bool = True,
    cpu: int = 0,
    checkout: Path | None = None,
    log: Path = Path(os.devnull),
) -> Iterator[tuple[int, dict[str, str]]]:
    """A polypaint-fast of its own: (pid, addresses).

    journal: False leaves the commits out. cpu: the one it runs on; -1 for all. checkout: of the
    server, if it is another than this one. log: what it writes.
    """
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready")
        module = ["-m", "polypaint"] if journal else [str(HERE / "unjournaled.py")]
        argv = [sys.executable, *module, "--data", f"{folder}/data", "--ready-file", str(ready)]
        argv += ["--paint-port", "0", "--matches-port", "0", "--tanks-port", "0"]
        argv += ["--web-port", "0"]
        argv += ["--bcrypt-rounds", "4", *flags]
        environment = dict(os.environ)
        if checkout is not None:
            environment["PYTHONPATH"] = str(built_checkout(checkout))
        with pinned(cpu), log.open("ab") as errors:
            child = subprocess.Popen(argv, stderr=errors, env=environment, cwd=folder)
        try:
            while not ready.exists():
                time.sleep(0.01)
                if child.poll() is not None:
                    raise RuntimeError("the server did not start")
            yield child.pid, json.loads(ready.read_text())
        finally:
            ended(child)


def ended(child: subprocess.Popen[bytes]) -> None:
    """Ask a server to end. Raises RuntimeError when it does not, and has been killed."""
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        raise RuntimeError(f"the server did not end within {STOP_S} s") from None


def built_checkout(checkout: Path) -> Path:
    """Another checkout, whose extensions are built in place if they have not been. Raises
    CalledProcessError when they cannot be."""
    checkout = checkout.resolve()
    if not list((checkout / "polypaint").glob("_codec.*.so")):
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(command, cwd=checkout, check=True)
    return checkout


@contextlib.contextmanager
def relay() -> Iterator[tuple[int, dict[str, str]]]:
    """The yardstick in C."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pinned(0):
        child = subprocess.Popen([built("relay"), str(port)])
    try:
        time.sleep(0.2)
        yield child.pid, {"raw": f"127.0.0.1:{port}"}
    finally:
        child.kill()
        child.wait()


# ---------------------------------------------------------------- rivals
NODE = {"ws": ("ws", "8"), "socket.io": ("socket.io", "4")}


@contextlib.contextmanager
def rival(name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Another relay, from its public package: ws, socket.io, streams, nats."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    if name in NODE:
        modules = BUILD / "node" / "node_modules"
        argv = ["node", str(HERE / "rivals" / f"{name}.js"), str(port)]
        environment = os.environ | {"NODE_PATH": str(modules)}
    elif name == "nats":
        argv, environment = ["nats-server", "-a", "127.0.0.1", "-p", str(port)], dict(os.environ)
    else:
        argv = [sys.executable, str(HERE / "rivals" / f"{name}.py"), str(port)]
        environment = dict(os.environ)
    with pinned(0):
        child = subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield child.pid, {KINDS.get(name, "raw"): f"127.0.0.1:{port}"}
    finally:
        child.kill()
        child.wait()


KINDS = {"ws": "ws", "socket.io": "socket.io", "nats": "nats"}
FRAMED = {"raw", *KINDS.values()}


def available(name: str) -> bool:
    """Can this rival be run here? Its package is fetched if need be."""
    if name == "nats":
        return shutil.which("nats-server") is not None
    if name not in NODE:
        return True
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    folder, (package, version) = BUILD / "node", NODE[name]
    if not (folder / "node_modules" / package).exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--prefix", str(folder), f"{package}@{version}"]
        return subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
    return True


def needs(name: str) -> str:
    """Why a rival that is not `available` cannot be run."""
    return "which needs node and npm, and a network" if name in NODE else "which is not installed"


def websocket(address: str, path: str) -> socket.socket:
    """A connection on which messages may be sent."""
    sock = open_socket(address)
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += sock.recv(1)
    return sock


def binary(data: bytes, opcode: int = 2) -> bytes:
    """One message from a client, masked with zeros."""
    size = len(data)
    head = bytes([0x80 | opcode, 0x80 | size]) if size < 126 else bytes([0x80 | opcode, 0xFE])
    return head + (size.to_bytes(2, "big") if size >= 126 else b"") + bytes(4) + data


def nats_socket(address: str) -> socket.socket:
    sock = open_socket(address)
    sock.sendall(b'CONNECT {"verbose":false,"echo":false}\r\nSUB d 1\r\nPING\r\n')
    answer = b""
    while b"PONG\r\n" not in answer:
        answer += sock.recv(4096)
    return sock


def socketio(address: str) -> socket.socket:
    sock = websocket(address, "/socket.io/?EIO=4&transport=websocket")
    sock.sendall(binary(b"40", 1))
    answer = b""
    while b"40{" not in answer:
        answer += sock.recv(4096)
    sock.sendall(binary(b'42["join-room","d"]', 1))
    return sock


def wire(kind: str, packet: bytes) -> bytes:
    """A packet as it goes onto this kind of wire; what stands behind it is known to `measure`."""
    if kind == "ws":
        return binary(packet)
    if kind == "socket.io":
        return binary(b"452-" + orjson.dumps(EVENT), 1) + binary(packet) + binary(VECTOR)
    if kind == "nats":
        return b"PUB d %d\r\n%b\r\n" % (len(packet), packet)
    return packet


# ---------------------------------------------------------------- peers
def open_socket(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def lobby(name: str, owner: str, mode: str = "stroke") -> str:
    values = (name, owner, mode, "public", "")
    return orjson.dumps(dict(zip(packets.LOBBY_KEYS, values, strict=True))).decode()


def memory_kib(pid: int) -> int:
    """Memory of a process that is its own, in KiB; what it has mapped from files is not."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])


def read_until(sock: socket.socket, done: Any) -> list[bytes]:
    """Packets up to the first for which `done` is true."""
    decoder, found = FrameDecoder(), list[bytes]()
    while True:
        data = sock.recv(1 << 18)
        if not data:
            raise RuntimeError("the server closed a connection")
        arrived = decoder.feed(data)
        found += arrived
        if any(map(done, arrived)):
            return found


def login(sock: socket.socket, name: bytes) -> None:
    sock.sendall(
        packets.CREATE_ACCOUNT.encode_request(DATE, name, "pw")
        + packets.CONNECTION.encode_request(DATE, name, "pw")
    )
    read_until(sock, lambda p: p[2] == packets.CONNECTION.id)


def thawed(packet: bytes) -> bool:
    return packet[2] == packets.LOBBY_FREEZE_STATE.id and packets.decode(packet, True) == (0,)


def people(address: str, count: int, tag: str, first: int = 0) -> list[socket.socket]:
    """Logged in, in one lobby of their own; first: how many are there already."""
    socks = []
    for i in range(first, first + count):
        name = f"{tag}{i:04}".encode()
        sock = open_socket(address)
        login(sock, name)
        text = lobby(tag, f"{tag}0000")
        if i == 0:
            sock.sendall(packets.LOBBY_CREATION.encode_request(DATE, name, text))
            read_until(sock, lambda p: p[2] == packets.LOBBY_CREATION.id)
        else:
            sock.sendall(packets.LOBBY_CONNECT.encode_request(DATE, name, text))
            read_until(sock, thawed)
        socks.append(sock)
    return socks


def stroke(name: bytes, points: int = POINTS) -> bytes:
    """An ADD_STROKE like those of somebody who draws."""
    path = np.cumsum(np.full((points, 2), 1.25), axis=0)
    return packets.ADD_STROKE.encode_request(DATE, name, 0, b"\x20\x60\xc0\xff", 3, 2, path)


# ---------------------------------------------------------------- measuring
_tags = iter(range(10_000))


def tag() -> str:
    """Of a lobby and its people: no other has it."""
    return f"{next(_tags):04}"


def measure(kind: str, pid: int, addresses: dict[str, str], load: Load) -> Sample:
    """One load against a running server. kind: paint, raw, ws, socket.io or nats."""
    own, address = tag(), addresses[kind]
    if kind == "paint":
        socks = people(address, load.peers, own)
    else:
        opened = {"ws": lambda a: websocket(a, "/"), "nats": nats_socket, "socket.io": socketio}
        socks = [opened.get(kind, open_socket)(address) for _ in range(load.peers)]
    drive(kind, pid, socks, own, replace(load, seconds=0.3))
    sample = drive(kind, pid, socks, own, load)
    for sock in socks:
        sock.close()
    return sample


def drive(kind: str, pid: int, socks: list[socket.socket], own: str, load: Load) -> Sample:
    """The same with people who are there already, of whom the first ones draw."""
    names = [f"{own}{i:04}".encode() for i in range(load.senders)]
    wires = [ctypes.create_string_buffer(wire(kind, stroke(name))) for name in names]
    size = len(wires[0]) - 1
    stamp = size - 8 * POINTS - {"nats": 2, "socket.io": len(binary(VECTOR))}.get(kind, 0)
    framing = {"ws": 1, "socket.io": 1, "nats": 2}.get(kind, 0)
    fds = (ctypes.c_int * load.peers)(*(s.fileno() for s in socks))
    pointers = (ctypes.c_void_p * len(wires))(*(ctypes.addressof(w) for w in wires))
    result = Result()
    function = generator().drive
    function.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p,
                         ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_double,
                         ctypes.c_double, ctypes.c_void_p]  # fmt: skip
    with pinned(1):
        before = cpu_seconds(pid)
        broken = function(fds, load.peers, load.senders, pointers, size, stamp, framing,
                          load.window, load.rate, load.seconds, ctypes.byref(result))  # fmt: skip
        used = cpu_seconds(pid) - before
    if broken:
        raise RuntimeError("a connection broke")
    latency = np.sort(np.frombuffer(result.latency_us, np.float32)[: result.samples])
    return Sample(
        result.delivered / result.seconds,
        used / max(1, result.delivered) * 1e6,
        float(latency[len(latency) // 2]),
        float(latency[int(len(latency) * 0.99)]),
        result.sent,
        result.lost,
        result.disorder if kind == "paint" else 0,
    )
