"""Large drawings: how long a restart takes, and what a late join costs.

python benchmarks/drawings.py
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import load
import numpy as np

from polypaint.paint import packets

HISTORY = 1_000_000


def start(folder: str) -> tuple[subprocess.Popen[bytes], dict[str, str], float]:
    """(process, addresses, seconds until everything listens)."""
    ready = Path(folder, "ready")
    ready.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "polypaint", "--data", f"{folder}/data", "--paint-port", "0"]
    argv += ["--matches-port", "0", "--tanks-port", "0", "--web-port", "0", "--bcrypt-rounds", "4"]
    argv += ["--ready-file", str(ready)]
    began = time.perf_counter()
    child = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    while not ready.exists():
        time.sleep(0.005)
    return child, json.loads(ready.read_text()), time.perf_counter() - began


def draw(address: str, name: bytes, filename: str, count: int, again: int = 0) -> None:
    """So many strokes; then so many times one of them is drawn anew."""
    sock = load.open_socket(address)
    load.login(sock, name)
    text = load.lobby(filename, name.decode())
    sock.sendall(packets.LOBBY_CREATION.encode_request(load.DATE, name, text))
    load.read_until(sock, lambda p: p[2] == packets.LOBBY_CREATION.id)
    one = load.stroke(name)
    for _ in range(count // 100):
        sock.sendall(one * 100)
    path = np.cumsum(np.full((load.POINTS, 2), 1.25), axis=0)
    anew = [
        packets.REPLACE_STROKE.encode_request(load.DATE, name, i, b"\x20\x60\xc0\xff", 3, 2, path)
        for i in range(100)
    ]
    for _ in range(again // 100):
        sock.sendall(b"".join(anew))
    sock.sendall(packets.LOBBY_FETCH.encode_request(load.DATE, name))
    load.read_until(sock, lambda p: p[2] == packets.LOBBY_FETCH.id)
    keep.append(sock)


keep: list[socket.socket] = []


def join(pid: int, address: str, name: bytes, filename: str) -> tuple[float, float, int]:
    """(seconds until drawing, CPU seconds of the server, bytes)."""
    sock = load.open_socket(address)
    load.login(sock, name)
    text = load.lobby(filename, "")
    before, began = load.cpu_seconds(pid), time.perf_counter()
    sock.sendall(packets.LOBBY_CONNECT.encode_request(load.DATE, name, text))
    found = load.read_until(sock, load.thawed)
    seconds = time.perf_counter() - began
    time.sleep(0.05)
    keep.append(sock)
    return seconds, load.cpu_seconds(pid) - before, sum(map(len, found))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        child, addresses, empty = start(folder)
        print(f"start with an empty folder: {empty:.2f} s")
        draw(addresses["paint"], b"ada", "large", 100_000)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child, addresses, full = start(folder)
        print(f"start after kill -9 with 100,000 strokes: {full:.2f} s (+{full - empty:.2f} s)")
        draw(addresses["paint"], b"bob", "ten", 10_000)
        print("late join of 10,000 strokes of 32 points:")
        for kind in ("cold", "warm", "warm", "warm"):
            name = f"eve{len(keep)}".encode()
            seconds, cpu, size = join(child.pid, addresses["paint"], name, "ten")
            print(
                f"  {kind}: {1e3 * seconds:6.1f} ms, server CPU {1e3 * cpu:6.1f} ms, {size} bytes"
            )
        draw(addresses["paint"], b"cyd", "short", 1_000)
        draw(addresses["paint"], b"dan", "long", 1_000, HISTORY)
        print("late join of 1,000 strokes, cold and warm:")
        for says, filename in (("1,000", "short"), (f"{HISTORY:,}", "long")):
            rows = [
                join(child.pid, addresses["paint"], f"eve{len(keep)}".encode(), filename)
                for _ in range(9)
            ]
            cold, warm = rows[0], sorted(rows[1:])[4]
            print(
                f"  {says} packets ago: {1e3 * cold[0]:5.1f} and {1e3 * warm[0]:5.1f} ms, server "
                f"CPU {1e3 * cold[1]:5.2f} and {1e3 * warm[1]:5.2f} ms, {warm[2]} bytes"
            )
        child.terminate()
        child.wait()


if __name__ == "__main__":
    main()
