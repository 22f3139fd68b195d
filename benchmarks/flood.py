"""Can one person stop everybody? Floods at full speed, and what 30 people who draw notice.

    python benchmarks/flood.py                           every kind, from 1 and from 10 connections
    python benchmarks/flood.py --short                   fewer and shorter windows, 10 connections
    python benchmarks/flood.py --kinds fills,pings --rounds 5 --json build/flood.json
    python benchmarks/flood.py --checkout ../before      the server of another checkout

Windows with and without the flood take turns on one server. A line shows p99 of the round trips of
30 people who draw elsewhere, and of those in the lobby that the attacker is in, as ratios to the
windows without; how many of them were closed; the memory that the flood added at its worst, and
that which has not come back ten seconds later; the longest wait of an honest login, where logins
are what is flooded. Exit status 1 when a bar is missed: 2 × elsewhere, 5 × in the same lobby,
nobody closed, 64 MiB (16 of which may stay), logins within 2 s.

The server is on one core and everything else on another, the server and the people who are
measured at a raised priority where that is allowed, so that neither the attackers nor what else
the machine does is in their way. One core must serve the loop and all worker threads, so that
what is in the way of the loop shows.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import floods
import load
from honest import People, Window, merged

from polypaint.paint import packets

ELSEWHERE, BESIDE = 30, 5
ELSEWHERE_MAX, BESIDE_MAX = 2.0, 5.0
MEMORY_MAX_MIB, STAYS_MAX_MIB = 64.0, 16.0
LOGIN_MAX_S = 2.0
NOISE_S = 0.002
"""A p99 below this is as good as none: a busy flush waits as long."""
RATE = 60.0
"""Strokes a second and person, as of people who draw."""
DRAIN_S, BACK_S = 0.3, 10.0
PRIORITY = -10
RUNS: dict[str, tuple[int, float]] = {"full": (3, 2.0), "short": (2, 1.0)}


@dataclass
class Measured:
    """One kind of flood from so many connections. Ratios of p99; seconds; MiB."""

    kind: str
    connections: int
    elsewhere: float = 0.0
    beside: float | None = None
    before_ms: float = 0.0
    during_ms: float = 0.0
    late: int = 0
    closed: int = 0
    memory: float = 0.0
    stays: float = 0.0
    login_s: float | None = None
    sent_mib: float = 0.0
    attackers_closed: int = 0
    error: str = ""
    missed: list[str] = field(default_factory=list)

    def judge(self) -> None:
        bars = (
            ("elsewhere", self.elsewhere > ELSEWHERE_MAX and self.during_ms > 1e3 * NOISE_S),
            ("same lobby", (self.beside or 0) > BESIDE_MAX),
            ("closed", self.closed > 0),
            ("lost", self.late > 0),
            ("memory", self.memory > MEMORY_MAX_MIB),
            ("memory stays", self.stays > STAYS_MAX_MIB),
            ("logins", (self.login_s or 0) > LOGIN_MAX_S),
            (self.error, bool(self.error)),
        )
        self.missed = [name for name, missed in bars if missed]

    def __str__(self) -> str:
        beside = f"{self.beside:7.1f} ×" if self.beside is not None else " " * 9
        login = f"{self.login_s:6.1f} s" if self.login_s is not None else " " * 8
        return (
            f"{self.kind:20}{self.connections:3}{self.elsewhere:8.1f} ×{beside}"
            f"{self.during_ms:8.1f} ms{self.closed:4}{self.memory:+8.0f}{self.stays:+6.0f} MiB"
            f"{login}{self.sent_mib:7.0f}{self.attackers_closed:6}"
            f"  {'MISSED: ' + ', '.join(self.missed) if self.missed else 'ok'}"
        )


HEAD = (f"{'flood':20}{'from':>3}{'elsewhere':>9}{'beside':>10}{'p99':>11}{'closed':>7}"
        f"{'memory, stays':>16}{'login':>8}{'sent':>7}{'thrown':>8}")  # fmt: skip


class Memory:
    """The most memory that a process has had, in KiB, looked at 50 times a second."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self.most = self.now()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def now(self) -> int:
        return load.memory_kib(self._pid)

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(OSError, IndexError):
                self.most = max(self.most, self.now())

    def end(self) -> None:
        self._over.set()
        self._thread.join()


class Logins:
    """An honest person who comes and goes: the longest that a login has taken, in seconds."""

    def __init__(self, address: str) -> None:
        self.longest = 0.0
        self._address, self._over = address, threading.Event()
        with load.open_socket(address) as sock:
            load.login(sock, b"regular")
        self._thread = threading.Thread(target=self._come, daemon=True)
        self._thread.start()

    def _come(self) -> None:
        asks = packets.CONNECTION.encode_request(load.DATE, b"regular", "pw")
        while not self._over.wait(0.2):
            began = time.perf_counter()
            try:
                with load.open_socket(self._address) as sock:
                    sock.settimeout(20)
                    sock.sendall(asks)
                    load.read_until(sock, lambda p: p[2] == packets.CONNECTION.id)
            except (OSError, RuntimeError):
                self.longest = max(self.longest, 20.0)
            self.longest = max(self.longest, time.perf_counter() - began)

    def end(self) -> float:
        self._over.set()
        self._thread.join()
        return self.longest


# ---------------------------------------------------------------- what is there before
def furnish(address: str, kind: floods.Kind) -> list[socket.socket]:
    """Strokes in the shared lobby, other lobbies and idle people, as the kind of flood wants."""
    there = []
    if kind.strokes:
        sock = load.open_socket(address)
        load.login(sock, b"painter")
        text = load.lobby(floods.PLAZA, "painter")
        sock.sendall(packets.LOBBY_CONNECT.encode_request(load.DATE, b"painter", text))
        load.read_until(sock, load.thawed)
        chunk = load.stroke(b"painter", 32) * 1000
        for _ in range(kind.strokes // 1000):
            sock.sendall(chunk)
        sock.sendall(packets.LOBBY_CONNECT.encode_request(load.DATE, b"painter", text))
        load.read_until(sock, lambda p: p[2] == packets.LOBBY_CONNECT.id)
        sock.close()
    for i in range(kind.crowd):
        name = b"idle%d" % i
        sock = load.open_socket(address)
        load.login(sock, name)
        if i < kind.lobbies:
            text = load.lobby(f"lobby {i}", name.decode())
            sock.sendall(packets.LOBBY_CREATION.encode_request(load.DATE, name, text))
        there.append(sock)
    return there


@contextlib.contextmanager
def server(kind: floods.Kind, checkout: Path | None) -> Iterator[tuple[int, dict[str, str]]]:
    with load.project(*kind.flags, checkout=checkout) as (pid, addresses):
        for process, priority in ((pid, PRIORITY), (0, PRIORITY)):
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, process, priority)
        yield pid, addresses


# ---------------------------------------------------------------- measuring
def p99(windows: list[Window]) -> float:
    """In seconds, the median over the rounds."""
    return statistics.median(window.percentile(0.99) for window in windows)


def ratio(during: list[Window], without: list[Window]) -> float:
    """Of p99 to what it was before the first flood or is between floods, whichever is better.

    A flood from which the server does not recover cannot hide behind its own aftermath.
    """
    return p99(during) / min(without[0].percentile(0.99), p99(without))


def measure(
    kind: floods.Kind, connections: int, rounds: int, seconds: float, checkout: Path | None
) -> Measured:
    found = Measured(kind.name, connections)
    try:
        _measure(found, kind, rounds, seconds, checkout)
    except (OSError, RuntimeError, ValueError) as error:
        found.error = f"{type(error).__name__}: {error}"
    found.judge()
    return found


def _measure(
    found: Measured, kind: floods.Kind, rounds: int, seconds: float, checkout: Path | None
) -> None:
    with server(kind, checkout) as (pid, addresses):
        people = People(addresses["paint"])
        for i in range(ELSEWHERE // 3):
            people.lobby(f"elsewhere {i}", 3)
        if kind.mode:
            people.lobby(floods.PLAZAS[kind.mode], BESIDE, kind.mode)
        crowd = furnish(addresses["paint"], kind)
        flood, memory = floods.Flood(kind, addresses, found.connections), Memory(pid)
        try:
            _rounds(found, people, flood, memory, rounds, seconds, addresses["paint"])
        finally:
            memory.end()
            flood.end()
            people.close()
            for sock in crowd:
                sock.close()


def _rounds(
    found: Measured,
    people: People,
    flood: floods.Flood,
    memory: Memory,
    rounds: int,
    seconds: float,
    address: str,
) -> None:
    without: list[list[Window]] = []
    during: list[list[Window]] = []

    def meanwhile() -> None:
        people.run(0.05, RATE, grace_s=0)

    people.run(0.5, RATE)
    without.append(people.run(seconds, RATE))
    at_first = memory.now()
    flood.switch("on", meanwhile)  # accounts are made and maps entered: not again in each round
    people.run(0.1, RATE)
    flood.switch("off", meanwhile)
    people.run(DRAIN_S, RATE)
    logins = Logins(address) if floods.KINDS[found.kind].guesses else None
    for _ in range(rounds):
        without.append(people.run(seconds, RATE))
        flood.switch("on", meanwhile)
        during.append(people.run(seconds, RATE))
        flood.switch("off", meanwhile)
        people.run(DRAIN_S, RATE)
    found.memory = (memory.most - at_first) / 1024
    found.login_s = logins.end() if logins else None
    began = time.monotonic()
    while (stays := (memory.now() - at_first) / 1024) > STAYS_MAX_MIB:
        people.run(0.2, RATE, grace_s=0.1)
        if time.monotonic() - began > BACK_S:
            break
    found.stays = stays
    found.closed, found.sent_mib = people.closed, flood.sent / 2**20
    found.attackers_closed = flood.closed
    groups = ELSEWHERE // 3
    elsewhere = [[merged(w[:groups]) for w in some] for some in (during, without)]
    found.elsewhere = ratio(*elsewhere)
    found.during_ms, found.before_ms = (1e3 * p99(some) for some in elsewhere)
    if len(people.groups) > groups:
        found.beside = ratio([w[-1] for w in during], [w[-1] for w in without])
    found.late = sum(w.late for some in during for w in some)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", default="; ".join(floods.KINDS), help="separated by ;")
    parser.add_argument("--connections", help="usually 1,10")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of a window")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--checkout", type=Path, help="of the server; this one by default")
    parser.add_argument("--json", type=Path, help="everything that was measured")
    options = parser.parse_args()
    rounds, seconds = RUNS["short" if options.short else "full"]
    counts = options.connections or ("10" if options.short else "1,10")
    kinds = [name.strip() for name in options.kinds.split(";") if name.strip()]
    if unknown := set(kinds) - set(floods.KINDS):
        parser.error(f"unknown: {', '.join(unknown)}; there are {'; '.join(floods.KINDS)}")
    print(HEAD, flush=True)
    everything = []
    with load.pinned(1):
        for name in kinds:
            for count in map(int, counts.split(",")):
                found = measure(
                    floods.KINDS[name], count, options.rounds or rounds,
                    options.seconds or seconds, options.checkout,
                )  # fmt: skip
                print(found, flush=True)
                everything.append(found)
    if options.json:
        options.json.write_text(json.dumps([asdict(found) for found in everything], indent=1))
    missed = [found for found in everything if found.missed]
    print(f"{len(everything) - len(missed)} of {len(everything)} are within all bars")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
