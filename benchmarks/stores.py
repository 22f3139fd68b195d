"""The store on MongoDB, near, 200 ms away, and gone: what it takes, and whether drawing notices.

    python benchmarks/stores.py                  needs mongod, or FerretDB as ci/ferretdb builds it
    python benchmarks/stores.py --rounds 5 --kills 20

First, what each store writes in a second. Then 30 people draw 60 strokes a second each, on a
server with each store; servers take turns, and the table shows the medians. At last, servers are
killed while the database is gone, and everything must be there when it is back.
"""

import argparse
import asyncio
import contextlib
import os
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import load

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from polypaint import connect
from polypaint.paint.canvas import Canvas
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.strokes import StrokeCanvas
from polypaint.store import Store, StoredLobby
from polypaint.store.mongo import MongoStore
from polypaint.store.sqlite_store import SqliteStore
from tests.processes import Mongo, Process, lasting_port, mongo_program

SLOW_S = 0.2
TIME_S = 2.0
DRAWING_BYTES = 290_000
DRAWN = load.Load(30, 30, rate=60, seconds=6)


class Proxy:
    """In front of a database: passes bytes on after a while, or lets nobody through."""

    def __init__(self, port: int) -> None:
        self.port = lasting_port()
        self.delay_s = 0.0
        self.gone = False
        self._to = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self._run, args=(started,), daemon=True).start()
        started.wait()

    def _run(self, started: threading.Event) -> None:
        async def main() -> None:
            await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            started.set()
            await asyncio.Event().wait()

        self._loop.run_until_complete(main())

    def set(self, *, delay_s: float = 0.0, gone: bool = False) -> None:
        """How it is from now on."""
        self.delay_s, self.gone = delay_s, gone
        if gone:
            self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.gone:
            writer.transport.abort()
            return
        back, on = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, on}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pass(reader, on), self._pass(back, writer))
        self._writers -= {writer, on}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(1 << 16):
            loop.call_later(self.delay_s / 2, writer.write, data)
        loop.call_later(self.delay_s / 2, writer.close)


async def per_second(work: Callable[[int], Awaitable[object]], at_once: int = 16) -> float:
    """How many of these are done in a second, so many at once."""
    numbers = iter(range(1 << 30))
    end = time.perf_counter() + TIME_S
    began = time.perf_counter()
    done = 0

    async def some() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await work(next(numbers))
            done += 1

    await asyncio.gather(*(some() for _ in range(at_once)))
    return done / (time.perf_counter() - began)


async def writes(store: Store) -> dict[str, float]:
    """What a store takes in a second."""
    await store.start()
    picture = [os.urandom(DRAWING_BYTES)]

    def documents(i: int) -> Awaitable[None]:
        entry = b'{"joueur":"ada","xp":1,"coin":2,"a":1.5}'
        return store.write({("ecriture", f"{i}:{j}"): entry for j in range(100)})

    def drawing(i: int) -> Awaitable[None]:
        info = LobbyRules(f"d{i % 50}", "ada", "stroke", "public", "")
        return store.save(StoredLobby(i % 50, info, i), {"a": 1}, picture, 0)

    return {
        "documents": 100 * await per_second(documents, 1),
        "results": await per_second(lambda i: store.count(f"C{i // 2}", f"p{i % 2}", "nul", 0)),
        "accounts": await per_second(lambda i: store.add_account(f"p{i}", b"x" * 60, 0)),
        "drawings": await per_second(drawing, 4),
    }


def draw(rounds: int, proxy: Proxy, uri: str) -> dict[str, list[load.Sample]]:
    """Latency while people draw, with each store."""
    samples: defaultdict[str, list[load.Sample]] = defaultdict(list)
    for _ in range(rounds):
        for name in ("sqlite", "near", "slow", "gone"):
            proxy.set()
            store = "sqlite" if name == "sqlite" else f"{uri}{secrets.token_hex(4)}"
            with load.project("--store", store) as (pid, addresses):
                # who draws has to log in, so the database goes away when they have
                change = threading.Timer(
                    0.7,
                    proxy.set,
                    (),
                    {"delay_s": SLOW_S * (name == "slow"), "gone": name == "gone"},
                )
                change.start()
                samples[name].append(load.measure("paint", pid, addresses, DRAWN))
                change.join()
                proxy.set()
    return samples


def strokes(canvas: Canvas) -> int:
    """How many there are."""
    assert isinstance(canvas, StrokeCanvas)
    return len(canvas.strokes)


def kills(rounds: int, proxy: Proxy, uri: str) -> int:
    """Strokes that were drawn while the database was gone, in servers that were then killed."""
    drawn = 0
    with tempfile.TemporaryDirectory() as name:
        server = Process(Path(name), "--store", uri + secrets.token_hex(4))

        async def one_round(first: bool) -> None:
            nonlocal drawn
            async with connect(server.paint, "ada", "pw", create=first) as ada:
                drawing = await ada.join_or_create("d")
                kept = strokes(await drawing.settled())
                assert kept == drawn, f"of {drawn} strokes {kept} are left"
                proxy.set(gone=True)
                for _ in range(100):
                    await drawing.add_stroke(0, bytes(4), 3, 3, [(1, 1), (5, 5)])
                drawn = strokes(await drawing.settled())

        for number in range(rounds + 1):
            proxy.set()
            server.start()
            asyncio.run(one_round(first=number == 0))
            server.kill()
        proxy.set()
    return drawn


@contextlib.contextmanager
def database(program: list[str]) -> Iterator[Mongo]:
    with tempfile.TemporaryDirectory() as folder:
        server = Mongo(program, Path(folder)).start()
        print(f"database: {Path(program[0]).name}")
        try:
            yield server
        finally:
            server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    if (program := mongo_program()) is None:
        print(
            "left out: all, for want of a database: install mongod, or run ci/ferretdb (needs Go)"
        )
        return
    with database(program) as mongo, tempfile.TemporaryDirectory() as folder:
        proxy = Proxy(mongo.port)
        uri = f"mongodb://127.0.0.1:{proxy.port}/b"
        print(f"\n{'written in a second':20}{'documents':>12}{'results':>10}{'accounts':>10}"
              f"{'drawings of 290 kB':>20}")  # fmt: skip
        for name, store, delay in (
            ("sqlite", lambda: SqliteStore(Path(folder, "store.db")), 0.0),
            ("mongodb, near", lambda: MongoStore(uri + "writes"), 0.0),
            ("mongodb, 200 ms away", lambda: MongoStore(uri + "slow"), SLOW_S),
        ):
            proxy.set(delay_s=delay)
            found = asyncio.run(_closed(store))
            widths = {"documents": 12, "results": 10, "accounts": 10, "drawings": 20}
            print(f"{name:20}" + "".join(f"{found[k]:{w}.0f}" for k, w in widths.items()))
        proxy.set()
        samples = draw(options.rounds, proxy, uri)
        print(
            f"\n{'30 people draw 60/s':20}{'p50':>10}{'p99':>10}{'p99 to sqlite':>16}{'lost':>6}"
        )
        for name, some in samples.items():
            ratio = statistics.median(
                s.p99_us / other.p99_us for s, other in zip(some, samples["sqlite"], strict=True)
            )
            p50, p99 = (statistics.median(getattr(s, f"p{n}_us") for s in some) for n in (50, 99))
            lost = sum(s.lost for s in some)
            print(f"{name:20}{p50 / 1e3:7.2f} ms{p99 / 1e3:7.2f} ms{ratio:8.2f} ×{lost:6}")
        drawn = kills(options.kills, proxy, uri)
        print(f"\n{options.kills} times killed with the database gone: {drawn} strokes, none lost")


async def _closed(make: Callable[[], Store]) -> dict[str, float]:
    store = make()
    try:
        return await writes(store)
    finally:
        await store.close()


if __name__ == "__main__":
    main()
