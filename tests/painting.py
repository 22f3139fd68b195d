"""What tests of paint share: people in a lobby, and what came of what they did."""

import orjson

from polypaint.paint import packets
from polypaint.paint.packets import (
    ADD_STROKE,
    FETCH_DATABASE,
    LOBBY_CONNECT,
    LOBBY_CREATION,
)

from .world import Peer, World

CREATED, CONNECTED, EXISTS, DOES_NOT_EXIST = range(4)


def stroke(peer: Peer, x: float = 1, index: int = 0) -> Peer:
    return peer.send(ADD_STROKE, index, b"rgba", 1, 1, [[x, 0]])


def xs(world: World, name: str = "d") -> list[float]:
    canvas = world.service.lobbies[name].loaded
    return [packets.decode(s)[4][0][0] for s in canvas.strokes]


def pair(world: World, mode: str = "stroke") -> tuple[Peer, Peer]:
    """Two people in one lobby, everything taken."""
    ada, bob = world.peer("ada"), world.peer("bob")
    ada.create("d", mode).expect(LOBBY_CREATION, CREATED)
    bob.join("d").expect(LOBBY_CONNECT, CONNECTED)
    if packets.FETCH_DATABASE.id in {p[2] for p in bob.packets}:
        bob.send(FETCH_DATABASE)
    ada.take(), bob.take()
    world.now += 10
    return ada, bob


def rejected(world: World) -> int:
    return world.service.counters["rejected"]


def info(filename: str, protection: str, passcode: str = "", owner: str = "ada") -> str:
    values = (filename, owner, protection, passcode)
    return orjson.dumps(dict(zip(packets.INFO_KEYS, values, strict=True))).decode()


def resynced(peer: Peer) -> bool:
    return "FETCH_DATABASE" in peer.kinds()


def finish(world: World, waiting: list) -> None:
    while waiting:
        waiting.pop(0)()
        world.run_effects()
