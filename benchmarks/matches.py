"""Many matches at once: actions a second, CPU of the server for each, memory of an open match.

python benchmarks/matches.py [--matches 1000] [--seconds 5]

2 × MATCHES connections play connect four, each as fast as it is answered; a match that ends begins
anew. Beside it, in the same run: the same messages through a process that only parses each line
with orjson and passes it on to both players (asyncio streams on uvloop), the least that a server
without rules, seats and journal would do.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine
from typing import Any, TypeAlias

import drawings
import load
import orjson
import uvloop

Work: TypeAlias = list[Coroutine[Any, Any, None]]
DRAWN = [int(c) for c in "015502320345364356222230416104501114435666"]
"""Columns of a whole match that nobody wins."""
RELAY = """
import asyncio, sys, orjson, uvloop
waiting = {}
class Peer(asyncio.Protocol):
    other = None
    rest = b""
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        *lines, self.rest = (self.rest + data).split(b"\\n")
        for line in lines:
            message = orjson.loads(line)
            if "pair" in message:
                if message["pair"] in waiting:
                    self.other = waiting.pop(message["pair"])
                    self.other.other = self
                else:
                    waiting[message["pair"]] = self
                continue
            out = orjson.dumps(message) + b"\\n"
            self.transport.write(out)
            if self.other is not None: self.other.transport.write(out)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Peer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
uvloop.run(main())
"""


class Wire(asyncio.Protocol):
    """A connection that counts what it hears and hands it on."""

    def __init__(self) -> None:
        self.rest = b""
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.queue.put_nowait(line)

    def say(self, message: dict[str, object]) -> None:
        self.transport.write(orjson.dumps(message) + b"\n")  # type: ignore[attr-defined]


async def dial(address: str) -> Wire:
    host, _, port = address.rpartition(":")
    _, wire = await asyncio.get_running_loop().create_connection(Wire, host, int(port))
    return wire


async def begin(number: int, first: Wire, second: Wire, left: bool) -> str:
    """A new match on two connections; its code."""
    names = (f"a{number}", f"b{number}")
    for wire, name in zip((first, second), names, strict=True):
        if left:
            wire.say({"requete": "deconnexion", "id_publique": name, "id_privee": "pw"})
    first.say({"requete": "creer", "id_publique": names[0], "parametres": {"jeu": "puissance4"}})
    while b'"code"' not in (line := await first.queue.get()):
        pass
    code = str(orjson.loads(line)["code_partie"])
    for wire, name in zip((first, second), names, strict=True):
        wire.say(
            {
                "requete": "connexion",
                "id_publique": name,
                "id_privee": "pw",
                "code_partie": code,
                "rid": "in",
            }
        )
        while b'"rid":"in"' not in (line := await wire.queue.get()):
            assert b"erreur" not in line, line
    return code


async def play(
    number: int, wires: tuple[Wire, Wire], stop: asyncio.Event, count: list[int]
) -> None:
    """Play matches one after the other, each to a full board."""
    names = (f"a{number}", f"b{number}")
    while not stop.is_set():
        for i, column in enumerate(DRAWN):
            who = i % 2
            wires[who].say(
                {"requete": "action", "id_publique": names[who], "action": {"colonne": column}}
            )
            for wire in wires:
                while b'"update"' not in await wire.queue.get():
                    pass
            count[0] += 1
            if stop.is_set():
                return
        await begin(number, *wires, left=True)


async def relayed(
    number: int, wires: tuple[Wire, Wire], stop: asyncio.Event, count: list[int], board: object
) -> None:
    names = (f"a{number}", f"b{number}")
    while not stop.is_set():
        who = count[0] % 2
        wires[who].say(
            {"reponse": "update", "update_partie": {"joueur": names[who], "jeu_etat": board}}
        )
        for wire in wires:
            await wire.queue.get()
        count[0] += 1


def memory(pid: int) -> int:
    """Resident bytes."""
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


async def pairs_at(address: str, count: int) -> list[tuple[Wire, Wire]]:
    return [(await dial(address), await dial(address)) for _ in range(count)]


async def measure(
    pid: int, work: Work, stop: asyncio.Event, count: list[int], s: float
) -> tuple[float, float]:
    """(actions a second, CPU microseconds of the server for each)."""
    tasks = [asyncio.create_task(w) for w in work]
    await asyncio.sleep(1)
    before, began, actions = load.cpu_seconds(pid), time.perf_counter(), count[0]
    await asyncio.sleep(s)
    cpu, actions = load.cpu_seconds(pid) - before, count[0] - actions
    rate = actions / (time.perf_counter() - began)
    stop.set()
    await asyncio.gather(*tasks)
    return rate, cpu / actions * 1e6


async def main(matches: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        child, addresses, _ = drawings.start(folder)
        address = addresses["matches"]
        wires = await pairs_at(address, matches)
        before = memory(child.pid)
        gate = asyncio.Semaphore(50)

        async def open_one(number: int) -> None:
            async with gate:
                await begin(number, *wires[number], left=False)

        began = time.perf_counter()
        await asyncio.gather(*(open_one(n) for n in range(matches)))
        spent = time.perf_counter() - began
        print(f"{matches} matches opened, with two logins each, in {spent:.1f} s")
        print(f"memory: {(memory(child.pid) - before) / matches / 1024:.1f} KiB an open match")
        stop, count = asyncio.Event(), [0]
        work: Work = [play(n, wires[n], stop, count) for n in range(matches)]
        rate, cpu = await measure(child.pid, work, stop, count, seconds)
        print(f"polypaint-fast: {rate:,.0f} actions/s, {cpu:.0f} µs of CPU an action")
        child.terminate()
        child.wait()
    relay = subprocess.Popen([sys.executable, "-c", RELAY], stdout=subprocess.PIPE)
    assert relay.stdout is not None
    address = f"127.0.0.1:{int(relay.stdout.readline())}"
    wires = await pairs_at(address, matches)
    for n, pair in enumerate(wires):
        for wire in pair:
            wire.say({"pair": n})
    await asyncio.sleep(0.5)
    board = {"grille": [[None] * 7 for _ in range(6)], "tour": "a1", "gagnant": None}
    stop, count = asyncio.Event(), [0]
    work = [relayed(n, wires[n], stop, count, board) for n in range(matches)]
    rate, plain = await measure(relay.pid, work, stop, count, seconds)
    print(
        f"a relay without rules: {rate:,.0f} messages/s, {plain:.0f} µs; ratio {cpu / plain:.1f} ×"
    )
    relay.terminate()
    relay.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--matches", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5)
    given = parser.parse_args()
    uvloop.run(main(given.matches, given.seconds))
