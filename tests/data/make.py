"""Makes data folders as the version that is installed writes them: python tests/data/make.py TO

`stopped.tar.xz` is of a server that stopped cleanly, `killed.tar.xz` of one that was killed while
people drew and played, so that its journal holds what its store does not have; `mongodb.json.xz`
holds the collections of a database. Each comes with what it means, as that version reads it back.

Run with version 0.2.0 (3d3bf01); what it made is kept, and newer versions must open it unharmed.
"""

import asyncio
import base64
import io
import json
import lzma
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

from bson import json_util

sys.path.insert(0, str(Path(__file__).parents[2]))

from polypaint import connect, connect_matches, connect_tanks
from polypaint.bots import puissance4 as bot
from polypaint.client.tanks import TankRefused
from polypaint.runtime.recovery import recover
from polypaint.store import Store
from polypaint.store.folder import DataFolder
from polypaint.store.mongo import MongoStore
from tests.processes import Mongo, Process, mongo_program

KEPT = ("store.db", "store.db-wal", "journal.db", "journal.db-wal")
COLOUR = bytes((10, 120, 200, 255))


async def play(server: Process, leave: Callable[[], None]) -> None:
    """Draw and play; call `leave` while two drawings, a match and a tank are still under way."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        ada, bob, elo = [
            await enter(connect(server.paint, name, "pw", create=True))
            for name in ("ada", "bob", "élo")
        ]
        strokes = await ada.join_or_create("strokes")
        pixels = await bob.join_or_create("pixels", "pixel")
        secret = await elo.create("private", "stroke", "protected", "sésame")
        for x in range(20):
            await strokes.add_stroke(0, COLOUR, 3, 1 + x % 9, [(7 * x, x), (9 * x, 5), (1, x)])
            await pixels.send_points(2.5, COLOUR, [(10 + 40 * x, 10), (400, 300 + x)])
        await strokes.remove_stroke([4, 3])
        await strokes.selected_stroke([2, 1])
        await secret.add_stroke(0, COLOUR, 3, 3, [(1, 1), (5, 5)])
        mine = await (await enter(connect_matches(server.matches, "ada", "pw"))).create(
            "puissance4"
        )
        theirs = await (await enter(connect_matches(server.matches, "bob", "pw"))).join(mine.code)
        await asyncio.gather(bot.play(mine, 1, Random(1)), bot.play(theirs, 1, Random(2)))
        await mine.leave()
        await theirs.leave()
        other = await (await enter(connect_matches(server.matches, "élo", "pw"))).create(
            "puissance4"
        )
        third = await (await enter(connect_matches(server.matches, "zoé", "pw"))).join(other.code)
        for column, seat in ((3, other), (3, third), (2, other)):
            while seat.state != "EN_COURS" or seat.game["tour"] != seat.client.name:
                await seat.changed()
            await seat.act(colonne=column)
        tanks = [
            await enter(connect_tanks(server.tanks, name, "pw", create=True))
            for name in ("ada", "bob")
        ]
        field = await tanks[0].enter("prairie")
        await tanks[1].enter("prairie")
        tanks[0].drive(forward=1, hull=2, fire=1)
        with suppress(TankRefused):
            await tanks[0].say("idiot")
        tanks[1].quit()
        while field.ended is None:
            await tanks[0].changed()
        await strokes.settled()
        await pixels.settled()
        await asyncio.sleep(1.5)  # documents are stored after a second
        for x in range(5):
            await strokes.add_stroke(0, COLOUR, 3, 2, [(700, 7 * x), (600, 5)])
            await pixels.send_points(2.5, COLOUR, [(900, 10), (800, 300 + x)])
        await strokes.settled()
        await pixels.settled()
        leave()


async def content(store: Store) -> dict[str, Any]:
    """Everything that a store holds, as JSON."""

    def text(data: bytes) -> str:
        return base64.b85encode(data).decode()

    lobbies = []
    for each in await store.lobbies():
        meta, blobs = await store.load(each.number)
        info = each.info
        about = [each.number, info.filename, info.owner, info.mode, info.protection, info.passcode]
        lobbies.append([*about, each.seq, meta, [text(blob) for blob in blobs]])
    return {
        "accounts": [
            [a.name, a.created, a.password_hash.decode()] for a in await store.accounts()
        ],
        "lobbies": lobbies,
        "documents": {
            kind: [[key, body.decode()] for key, body in await store.read(kind)]
            for kind in await store.kinds()
        },
        "results": [
            [r.code, r.player, r.statut, r.at] for r in await store.results(("", ""), 999)
        ],
        "conflicts": [[r.code, r.player, r.statut, r.at] for r in await store.conflicts()],
    }


async def read(data: Path) -> dict[str, Any]:
    """What a folder means: as this version recovers it."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary, "data")
        shutil.copytree(data, copy)
        folder = DataFolder(copy)
        await recover(folder.store, folder.journal)
        found = await content(folder.store)
        await folder.close()
    return found


def pack(data: Path, to: Path) -> None:
    """The folder's files and what they mean, in one archive."""
    meaning = json.dumps(asyncio.run(read(data)), ensure_ascii=False).encode()
    with tarfile.open(to, "w:xz", preset=9) as archive:
        for name in KEPT:
            if (data / name).exists():
                archive.add(data / name, name)
        info = tarfile.TarInfo("content.json")
        info.size = len(meaning)
        archive.addfile(info, io.BytesIO(meaning))


def database(to: Path, temporary: Path) -> None:
    """A database after a server that stopped."""
    program = mongo_program()
    assert program is not None, "needs a database: build FerretDB with ci/ferretdb"
    (temporary / "mongo").mkdir()
    mongo = Mongo(program, temporary / "mongo").start()
    try:
        server = Process(temporary, "--store", mongo.uri("made")).start()
        asyncio.run(play(server, lambda: None))
        assert server.stop() == 0
        found = asyncio.run(dumped(mongo.uri("made")))
    finally:
        mongo.stop()
    to.write_bytes(lzma.compress(json_util.dumps(found).encode(), preset=9))


async def dumped(uri: str) -> dict[str, Any]:
    store = MongoStore(uri)
    await store.start()
    names = ("accounts", "lobbies", "parts", "documents", "results", "conflicts", "schema")
    collections = {name: [each async for each in store._db[name].find({})] for name in names}
    found = {"collections": collections, "content": await content(store)}
    await store.close()
    return found


def main(to: Path) -> None:
    for name in ("stopped", "killed"):
        with tempfile.TemporaryDirectory() as temporary:
            server = Process(Path(temporary)).start()
            if name == "killed":
                asyncio.run(play(server, server.kill))
            else:
                asyncio.run(play(server, lambda: None))
                assert server.stop() == 0
            pack(server.data, to / f"{name}.tar.xz")
    with tempfile.TemporaryDirectory() as temporary:
        database(to / "mongodb.json.xz", Path(temporary))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
