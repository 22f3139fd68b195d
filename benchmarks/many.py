"""Many people: ten thousand who are there, all who come at once, and those who log in meanwhile.

    python benchmarks/many.py
    python benchmarks/many.py --people 20000 --lobbies 2000 --rounds 5

First, connections that are answered and closed, as many as go. Then so many people log in and sit
in so many lobbies: what each costs in memory, and whether 30 others who draw notice them. At last,
people log in (bcrypt at 2^10 rounds) while 30 draw: how many a second, compared with a process
that does nothing but hash, at the same priority and beside the same drawing.
"""

import argparse
import contextlib
import multiprocessing
import os
import resource
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import bcrypt
import load

from polypaint.paint import packets

ROUNDS = 10
DRAWN = load.LOADS["paced30"]
COMERS = 5_000
WAITING = 16
SPARE_FILES = 200


def come_and_go(address: str, pid: int) -> None:
    """Connections that ask for something impossible and are answered."""
    request = packets.CREATE_ACCOUNT.encode_request(load.DATE, b"a\x01", "pw")
    before, began = load.cpu_seconds(pid), time.perf_counter()
    for _ in range(COMERS // 100):
        socks = [load.open_socket(address) for _ in range(100)]
        for sock in socks:
            sock.sendall(request)
        for sock in socks:
            assert sock.recv(100), "not answered"
            sock.close()
    used, took = load.cpu_seconds(pid) - before, time.perf_counter() - began
    print(f"connect, be answered, be closed: {COMERS / took:.0f} a second; "
          f"{used / COMERS * 1e6:.0f} µs of server CPU each, so {COMERS / used:.0f} a second "
          "and core")  # fmt: skip


def sit(address: str, pid: int, people: int, lobbies: int) -> list[socket.socket]:
    """Everybody logs in and takes a seat; prints what that took."""
    before, began = load.memory_kib(pid), time.perf_counter()
    each = people // lobbies
    socks = [sock for _ in range(lobbies) for sock in load.people(address, each, load.tag())]
    time.sleep(1)
    took, memory = time.perf_counter() - began, load.memory_kib(pid) - before
    print(f"{len(socks)} people in {lobbies} lobbies: {memory / len(socks):.1f} KiB each, with "
          f"their accounts and lobbies; they came within {took:.0f} s")  # fmt: skip
    return socks


def draw(pid: int, address: str, rounds: int) -> list[load.Sample]:
    return [load.measure("paint", pid, {"paint": address}, DRAWN) for _ in range(rounds)]


def told(says: str, some: list[load.Sample], base: list[load.Sample]) -> None:
    """A line about 30 people who drew, compared with the same on a server of their own."""
    cpu, p99 = (statistics.median(getattr(s, n) for s in some) for n in ("cpu_us", "p99_us"))
    before = statistics.median(s.p99_us for s in base)
    print(f"{says}: {cpu:.1f} µs of CPU a delivery, p99 {p99 / 1e3:.1f} ms; alone "
          f"{statistics.median(s.cpu_us for s in base):.1f} µs, {before / 1e3:.1f} ms; "
          f"p99 {p99 / before:.2f} ×, lost {sum(s.lost for s in some)}")  # fmt: skip


# ---------------------------------------------------------------- logins
def log_in(address: str, name: bytes, count: list[int], stop: threading.Event) -> None:
    """Log in, go, and come again."""
    while not stop.is_set():
        with load.open_socket(address) as sock:
            sock.sendall(packets.CONNECTION.encode_request(load.DATE, name, "pw"))
            load.read_until(sock, lambda p: p[2] == packets.CONNECTION.id)
            count[0] += 1


@contextlib.contextmanager
def logging_in(address: str) -> Iterator[list[int]]:
    """People log in all the time; yields how many have so far."""
    tag = load.tag()
    names = [f"visitor{tag}{i}".encode() for i in range(WAITING)]
    for name in names:
        with load.open_socket(address) as sock:
            load.login(sock, name)
    count, stop = [0], threading.Event()
    threads = [threading.Thread(target=log_in, args=(address, n, count, stop)) for n in names]
    for thread in threads:
        thread.start()
    yield count
    stop.set()
    for thread in threads:
        thread.join()


def hash_only(hashes: "multiprocessing.sharedctypes.Synchronized[int]") -> None:
    """What a pool with one thread less than there are cores can do."""
    os.nice(10)
    hashed = bcrypt.hashpw(b"pw", bcrypt.gensalt(ROUNDS))

    def work() -> None:
        while True:
            bcrypt.checkpw(b"pw", hashed)
            with hashes.get_lock():
                hashes.value += 1

    for _ in range(max(1, (os.cpu_count() or 2) - 1) - 1):
        threading.Thread(target=work, daemon=True).start()
    work()


@contextlib.contextmanager
def hashing() -> "Iterator[multiprocessing.sharedctypes.Synchronized[int]]":
    hashes = multiprocessing.Value("q", 0)
    child = multiprocessing.Process(target=hash_only, args=(hashes,), daemon=True)
    child.start()
    yield hashes
    child.kill()
    child.join()


def logins(pid: int, address: str, rounds: int) -> None:
    """How many log in beside people who draw, and what these notice."""
    base, some, ratios, rates = [], [], [], []
    long = replace(DRAWN, seconds=4.0)
    for _ in range(rounds):
        base += [load.measure("paint", pid, {"paint": address}, long)]
        began = time.perf_counter()
        with hashing() as hashes:
            load.measure("paint", pid, {"paint": address}, long)
            possible = hashes.value / (time.perf_counter() - began)
        with logging_in(address) as count:
            began, before = time.perf_counter(), count[0]
            some += [load.measure("paint", pid, {"paint": address}, long)]
            rates.append((count[0] - before) / (time.perf_counter() - began))
        ratios.append(rates[-1] / possible)
    print(f"logins beside 30 who draw: {statistics.median(rates):.1f} a second, "
          f"{statistics.median(ratios):.0%} of what hashing alone reaches")  # fmt: skip
    told("those who draw", some, base)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--lobbies", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if (room := most - SPARE_FILES) < options.people:
        print(
            f"left out: more than {room} people, for the limit of open files (ulimit -n) is {most}"
        )
        options.people = room
    with load.project() as (pid, addresses):
        come_and_go(addresses["paint"], pid)
        base = draw(pid, addresses["paint"], options.rounds)
        socks = sit(addresses["paint"], pid, options.people, options.lobbies)
        told("30 who draw beside them", draw(pid, addresses["paint"], options.rounds), base)
        for sock in socks:
            sock.close()
    with load.project("--bcrypt-rounds", str(ROUNDS), cpu=-1) as (pid, addresses):
        logins(pid, addresses["paint"], options.rounds)


if __name__ == "__main__":
    main()
