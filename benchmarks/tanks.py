"""Tanks: the arena's step, CPU for each delivered message beside Colyseus, an hour of honest bots.

python benchmarks/tanks.py [--seconds 5] [--hours 1]

The server (accounts, budgets, walls, moderated chat, journal) and a minimal Colyseus room, which
passes messages on and does nothing else, get the same traffic over WebSocket: 16 players, each
moving 20 times a second, every move told to all 16. Without Node and npm, Colyseus is left out.
"""

import argparse
import asyncio
import json
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import drawings
import load
import uvloop
from websockets.asyncio.client import connect

from polypaint.tanks.arena import Arena
from polypaint.tanks.maps import MAPS
from polypaint.tanks.vehicles import JITTER_S, TANKS, Budget

PLAYERS, RATE = 16, 20
MOVE = {"deplacementavant": 2.5, "rotationtank": 1.5, "rotationcannon": -1.5, "fire": 0}
PACKAGES = ("@colyseus/core@0.15", "@colyseus/ws-transport@0.15")


# ---------------------------------------------------------------- the arena alone
def arena(tanks: int, steps: int = 300) -> tuple[float, float, float]:
    """(ms of CPU for 1/30 s with every tank moving, p50 and p99; µs a move)."""
    rng = random.Random(1)
    field = Arena(MAPS["ville"], tanks)
    slots = [field.join(rng.choice(sorted(TANKS)), rng.random()) for _ in range(tanks)]
    times, moving = [], 0.0
    for _ in range(steps):
        began = time.perf_counter()
        for slot in slots:
            if rng.random() < RATE / 30:
                fire = int(rng.random() < 1 / RATE)
                field.move(slot, rng.uniform(-2, 4), rng.uniform(-4, 4), rng.uniform(-6, 6), fire)
        moving += time.perf_counter() - began
        field.step()
        field.life[:] = 100  # nobody leaves: the load stays
        times.append(time.perf_counter() - began)
    times.sort()
    per_move = moving / (tanks * steps * RATE / 30)
    return times[len(times) // 2] * 1e3, times[int(len(times) * 0.99)] * 1e3, per_move * 1e6


# ---------------------------------------------------------------- the same traffic for both
async def traffic(
    pid: int, wires: list[Any], message: bytes | str, seconds: float
) -> tuple[float, float]:
    """(CPU µs of the server for each delivered message, deliveries a second)."""
    heard = 0

    async def listen(wire: Any) -> None:
        nonlocal heard
        async for _ in wire:
            heard += 1

    async def talk(wire: Any) -> None:
        at = time.perf_counter() + random.random() / RATE
        while True:
            await asyncio.sleep(max(at - time.perf_counter(), 0))
            await wire.send(message)
            at += 1 / RATE

    tasks = [asyncio.create_task(work(w)) for w in wires for work in (listen, talk)]
    await asyncio.sleep(1)
    before, began, first = load.cpu_seconds(pid), time.perf_counter(), heard
    await asyncio.sleep(seconds)
    cpu, count = load.cpu_seconds(pid) - before, heard - first
    span = time.perf_counter() - began
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return cpu / count * 1e6, count / span


async def ours(seconds: float) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        child, addresses, _ = drawings.start(folder)
        url = addresses["web"].replace("http", "ws", 1) + "/ws/tanks"
        wires = []
        for i in range(PLAYERS):
            wire = await connect(url, compression=None)
            await wire.send(json.dumps({"name": f"p{i}", "password": "pw", "newuser": True}))
            await wire.send(json.dumps({"requeste": "connect to map", "map": "prairie"}))
            wires.append(wire)
        await asyncio.sleep(0.5)
        result = await traffic(child.pid, wires, json.dumps(MOVE), seconds)
        child.terminate()
        child.wait()
        return result


def modules() -> Path | None:
    """Where Colyseus is; None when it cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    folder = load.BUILD / "colyseus"
    if not (folder / "node_modules/@colyseus/core").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--prefix", str(folder), *PACKAGES]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            return None
    return folder / "node_modules"


def packed(message: dict[str, float]) -> bytes:
    """A message `m` as Colyseus frames it: type 13, then its name and its map in MessagePack."""
    pairs = b"".join(
        bytes([0xA0 | len(k)]) + k.encode() + b"\xcb" + struct.pack(">d", v)
        for k, v in message.items()
    )
    return b"\x0d\xa1m" + bytes([0x80 | len(message)]) + pairs


async def colyseus(where: Path, seconds: float) -> tuple[float, float]:
    port = 20_000 + random.randrange(10_000)
    child = subprocess.Popen(
        ["node", str(load.HERE / "rivals/colyseus.js"), str(port)],
        env={"NODE_PATH": str(where), "PATH": "/usr/bin:/bin:/usr/local/bin"},
        stdout=subprocess.DEVNULL,
    )
    try:
        await asyncio.sleep(1.5)
        wires = []
        for _ in range(PLAYERS):
            seat = await asyncio.to_thread(reserved, port)
            room = seat["room"]
            url = f"ws://127.0.0.1:{port}/{room['processId']}/{room['roomId']}"
            wire = await connect(f"{url}?sessionId={seat['sessionId']}", compression=None)
            await wire.recv()
            await wire.send(b"\x0a")
            wires.append(wire)
        return await traffic(child.pid, wires, packed(MOVE), seconds)
    finally:
        child.terminate()
        child.wait()


def reserved(port: int) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/matchmake/joinOrCreate/arena",
        b"{}",
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


# ---------------------------------------------------------------- budgets
def budgets(hours: float, factor: float, rng: random.Random) -> tuple[int, int]:
    """(messages, times that the budget was exceeded) of clients up to 250 ms late.

    factor: how much more than its tank can a client does.
    """
    messages = kicks = 0
    for tank in TANKS.values():
        for pace in (0.033, 0.1, 0.5):
            budget, sent, arrived = Budget(tank, 0.0), 0.0, 0.0
            while sent < hours * 3600:
                span = pace * rng.uniform(0.5, 1.5)
                sent += span
                arrived = max(arrived, sent + rng.uniform(0, JITTER_S))
                done = factor * span
                messages += 1
                wrong = budget.spend(
                    tank.turn * done, tank.turret * done, tank.speed * done, 0, arrived
                )
                if wrong:
                    kicks += 1
                    if factor > 1:
                        break
    return messages, kicks


def caught(factor: float, rng: random.Random) -> float:
    """Seconds until a cheat of so much is caught, at 20 messages a second, median of 100."""
    found = []
    for _ in range(100):
        budget, now = Budget(TANKS["leger"], 0.0), 0.0
        while True:
            now += 1 / RATE
            amount = TANKS["leger"].speed * factor / RATE
            if budget.spend(0, 0, amount * rng.uniform(0.9, 1.1), 0, now):
                break
        found.append(now)
    return statistics.median(found)


async def main(seconds: float, hours: float) -> None:
    for tanks in (16, 200, 1000):
        p50, p99, move = arena(tanks)
        print(f"{tanks} tanks, 20 moves/s each: a step p50 {p50:.2f} ms, p99 {p99:.2f} ms, "
              f"{move:.0f} µs a move")  # fmt: skip
    cpu, rate = await ours(seconds)
    print(f"polypaint-fast: {cpu:.1f} µs of CPU a delivered message, {rate:,.0f}/s")
    where = modules()
    if where is not None:
        plain, rate = await colyseus(where, seconds)
        print(f"colyseus room, relaying only: {plain:.1f} µs, {rate:,.0f}/s; "
              f"ratio {cpu / plain:.2f} ×")  # fmt: skip
    else:
        print("left out: a Colyseus room, which needs node and npm, and a network")
    rng = random.Random(1)
    messages, kicks = budgets(hours, 1.0, rng)
    print(f"honest, up to 250 ms late, {hours:g} h each: {messages:,} messages, {kicks} kicks")
    for factor in (1.3, 1.5, 2, 3):
        print(f"{factor} × too fast: caught after {caught(factor, rng):.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--hours", type=float, default=1)
    given = parser.parse_args()
    uvloop.run(main(given.seconds, given.hours))
    sys.exit(0)
