"""Mixed abuse beside 50 honest people: is everything still right, and is nothing left over?

    python benchmarks/abuse.py                      a minute
    python benchmarks/abuse.py --seconds 3600       an hour
    python benchmarks/abuse.py --seed 7             another order of events

Forty people draw in eight lobbies of their own, ten in the two in which attackers are. One kind of
flood after another comes, in an order that the seed decides, each for a few seconds, from 1 to 10
connections. In the end every replica must equal the server's canvas; every stroke that the server
put in order for somebody must be there; nobody may have been closed; there may be no traceback in
the log; and when all have left, threads, open files, connections and memory must be what they
were when everybody had left for the first time, after a short while of the same. Exit status 1 if
not.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import random
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import floods
import load
import uvloop

from polypaint import connect
from polypaint.client.paint import Client, Drawing
from polypaint.errors import ConnectionClosed
from polypaint.paint.render import render
from polypaint.paint.replica import Outcome

LOBBIES, MEMBERS = 8, 5
RATE = 3.0
"""Things that somebody does in a second."""
WARM_S = 15.0
SETTLE_S, PICTURE_S = 60.0, 90.0
LEFT_S = 75.0
"""So long after everybody has left things are looked at for what is left over."""
MEMORY_MAX_MIB = 64.0
ASKING = 1
"""Connections of whoever asks how many there are."""
SPARE = 3
"""Threads and files that pools and the store may have opened meanwhile."""
INK = b"\x20\x60\xc0\xff"


@dataclass
class Person:
    """Somebody honest. strokes: numbers of those of which the server has said that they count."""

    client: Client
    drawing: Drawing
    mode: str
    strokes: set[int] = field(default_factory=set)
    readers: list[asyncio.Task[None]] = field(default_factory=list)


@dataclass(frozen=True)
class Counts:
    """What a process holds."""

    threads: int
    files: int
    connections: int
    memory_mib: float


class Server:
    """What is asked of it from outside."""

    def __init__(self, pid: int, addresses: dict[str, str]) -> None:
        self.pid, self.addresses = pid, addresses

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.addresses["web"] + path, timeout=PICTURE_S) as answer:
            return bytes(answer.read())

    def counts(self) -> Counts:
        metrics = self.get("/metrics").decode()
        (connections,) = re.findall(r"^polypaint_connections (\S+)", metrics, re.MULTILINE)
        process = Path(f"/proc/{self.pid}")
        return Counts(
            len(list((process / "task").iterdir())),
            len(list((process / "fd").iterdir())),
            int(float(connections)),
            load.memory_kib(self.pid) / 1024,
        )

    def left(self) -> Counts:
        """Counts once nobody is connected any more."""
        deadline = time.monotonic() + LEFT_S
        while self.counts().connections > ASKING and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(2)
        return self.counts()


# ---------------------------------------------------------------- honest people
async def _read(client: Client) -> None:
    """What is said is read, and forgotten."""
    async for _ in client.messages():
        pass


async def _person(address: str, name: str, lobby: str, mode: str, owner: bool) -> Person:
    client = connect(address, name, "pw", create=True, reconnect=False)
    await client.open()
    drawing = await (client.create(lobby, mode) if owner else client.join(lobby))
    person = Person(client, drawing, mode)
    person.readers.append(asyncio.ensure_future(_read(client)))
    return person


async def gather_people(address: str, lobbies: list[tuple[str, str]]) -> list[list[Person]]:
    """Groups of members of one lobby each. lobbies: (name, mode)."""
    groups = []
    for lobby, mode in lobbies:
        group: list[Person] = []
        for i in range(MEMBERS):
            # Owners of the plazas come back, and open them again.
            name = f"honest {lobby} {i}"
            group.append(await _person(address, name, lobby, mode, owner=not group))
        groups.append(group)
    return groups


async def draw(person: Person, rng: random.Random, numbers: Iterator[int], until: float) -> None:
    """At an ordinary pace. Raises ConnectionClosed when the server ends it."""
    drawing = person.drawing
    while time.monotonic() < until:
        await asyncio.sleep(rng.expovariate(RATE))
        if person.mode == "pixel":
            _paint(drawing, rng)
            continue
        number = next(numbers)
        done = drawing.add_stroke(0, INK, 3, 3, [(float(number), rng.uniform(0, 700))])
        done.add_done_callback(_counted(person, number))
        if rng.random() < 0.1:
            held = rng.randrange(max(1, len(getattr(drawing.canvas, "strokes", ()))))
            drawing.selected_stroke([held])
            drawing.unselected_stroke([held])
        if rng.random() < 0.05:
            drawing.resize_canvas(rng.randint(800, 1600), rng.randint(600, 1000))


def _paint(drawing: Drawing, rng: random.Random) -> None:
    x, y = rng.randrange(1200), rng.randrange(700)
    kind = rng.random()
    if kind < 0.7:
        drawing.send_points(rng.randint(1, 20), rng.randbytes(3) + b"\xff", [(x, y), (x + 3, y)])
    elif kind < 0.8:
        drawing.bucket_fill(x, y, rng.randbytes(3) + b"\xff")
    else:
        drawing.create_selection(x, y, 60, 40, 0)
        drawing.update_selection(x + 9, y + 9, 80, 40, rng.randrange(360))
        drawing.remove_selection()


def _counted(person: Person, number: int) -> Callable[[asyncio.Future[Outcome]], None]:
    def done(future: asyncio.Future[Outcome]) -> None:
        if not future.cancelled() and future.exception() is None:
            person.strokes.add(number)

    return done


# ---------------------------------------------------------------- attackers
def _pause() -> None:
    time.sleep(0.02)


def abuse(addresses: dict[str, str], rng: random.Random, until: float) -> int:
    """One flood after another; how many there were."""
    count = 0
    while (left := until - time.monotonic()) > 0:
        kind = rng.choice(list(floods.KINDS.values()))
        flood = floods.Flood(kind, addresses, rng.randint(1, 10))
        flood.switch("on", _pause)
        time.sleep(min(left, rng.uniform(1, 5)))
        flood.switch("off", _pause)
        flood.end()
        count += 1
    return count


# ---------------------------------------------------------------- what must hold
async def compare(server: Server, groups: list[list[Person]]) -> list[str]:
    """What is not as it must be, in words."""
    wrong = []
    for group in groups:
        lobby = group[0].drawing.info.filename
        try:
            async with asyncio.timeout(SETTLE_S):
                canvases = [await person.drawing.settled() for person in group]
        except (TimeoutError, ConnectionClosed) as error:
            wrong.append(f"{lobby}: a replica does not settle: {error!r}")
            continue
        # Confirmed by the server after all that: every replica has what it has.
        path = f"/api/lobbies/{quote(lobby)}/canvas.json"
        try:
            truth = json.loads(await asyncio.to_thread(server.get, path))
        except OSError as error:
            wrong.append(f"{lobby}: the server does not show it: {error}")
            continue
        seen = [json.loads(render(canvas, "json")) for canvas in canvases]
        for person, picture in zip(group, seen, strict=True):
            if picture != truth:
                wrong.append(f"{lobby}: {person.client.name} sees another canvas than the server")
        if lobby not in floods.PLAZAS.values() and group[0].mode == "stroke":
            shown = {int(stroke["points"][0][0]) for stroke in truth["strokes"]}
            wrong += [
                f"{lobby}: {len(person.strokes - shown)} strokes of {person.client.name} are lost"
                for person in group
                if person.strokes - shown
            ]
    return wrong


async def take_part(
    server: Server, lobbies: list[tuple[str, str]], seed: int, seconds: float, orders: Connection
) -> None:
    """People come, draw, are compared with the server, and leave: tells what is wrong."""
    groups = await gather_people(server.addresses["paint"], lobbies)
    people = [person for group in groups for person in group]
    orders.send("there")
    await asyncio.to_thread(orders.recv)
    until = time.monotonic() + seconds
    rng, numbers = random.Random(seed), iter(range(1, 1 << 22))
    drawing = [draw(person, random.Random(rng.random()), numbers, until) for person in people]
    ended = await asyncio.gather(*drawing, return_exceptions=True)
    orders.send("drawn")
    await asyncio.to_thread(orders.recv)
    wrong = [
        f"{person.client.name} was closed: {error!r}"
        for person, error in zip(people, ended, strict=True)
        if isinstance(error, BaseException)
    ]
    wrong += await compare(server, groups)
    for person in people:
        for task in person.readers:
            task.cancel()
        with contextlib.suppress(ConnectionClosed, OSError):
            await person.client.close()
    orders.send((wrong, sum(len(person.strokes) for person in people)))


def _process(*arguments: Any) -> None:
    uvloop.run(take_part(*arguments))


def scene(server: Server, rng: random.Random, seconds: float, turn: int) -> list[str]:
    """Two processes of people, and one flood after another: what is wrong in the end.

    Whoever shares a lobby with attackers has much to do, which must not slow down the others.
    """
    modes = ["stroke", "pixel"]
    calm = [(f"calm {turn} {i}", modes[i % 2]) for i in range(LOBBIES)]
    plazas = [(name, mode) for mode, name in floods.PLAZAS.items()]
    context = multiprocessing.get_context("fork")
    ends = []
    for lobbies in (calm, plazas):
        orders, other = multiprocessing.Pipe()
        arguments = (server, lobbies, rng.randrange(1 << 30), seconds, other)
        context.Process(target=_process, args=arguments, daemon=True).start()
        other.close()
        ends.append(orders)
    for orders in ends:
        orders.recv()
    for orders in ends:
        orders.send("draw")
    count = abuse(server.addresses, rng, time.monotonic() + seconds)
    for orders in ends:
        orders.recv()
    for orders in ends:
        orders.send("compare")
    told = [orders.recv() for orders in ends]
    drawn = sum(strokes for _, strokes in told)
    print(f"{count} floods in {seconds:.0f} s; {drawn} strokes of people", flush=True)
    return [line for wrong, _ in told for line in wrong]


def run(server: Server, seconds: float, seed: int) -> list[str]:
    rng = random.Random(seed)
    scene(server, rng, min(WARM_S, seconds), 0)
    before = server.left()
    wrong = scene(server, rng, seconds, 1)
    after = server.left()
    print(f"left over: {before} before, {after} afterwards")
    for name in ("threads", "files"):
        if getattr(after, name) > getattr(before, name) + SPARE:
            wrong.append(f"{name}: {getattr(before, name)}, afterwards {getattr(after, name)}")
    if after.connections > ASKING:
        wrong.append(f"{after.connections - ASKING} connections are left over")
    if (more := after.memory_mib - before.memory_mib) > MEMORY_MAX_MIB:
        wrong.append(f"{more:.0f} MiB more memory than before")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkout", type=Path, help="of the server; this one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        wrong = []
        try:
            with load.project(checkout=options.checkout, log=log) as (pid, addresses):
                wrong = run(Server(pid, addresses), options.seconds, options.seed)
        except (OSError, EOFError, RuntimeError) as error:
            wrong.append(repr(error))
        text = log.read_text()
        wrong += [f"traceback in the log: {text[at:at + 9000]}"
                  for at in [text.find("Traceback")] if at >= 0]  # fmt: skip
    print("\n".join(wrong) or "everything is right, and nothing is left over")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
