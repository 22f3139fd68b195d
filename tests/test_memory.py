"""Memory has a ceiling: what counts, what is given back, who is refused and told so."""

import gc
import random
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from polypaint.engine.memory import Memory
from polypaint.paint import frozen_packets, packets
from polypaint.paint.checkpoints import LOADS_MAX
from polypaint.paint.lobby import WEIGH_BYTES
from polypaint.paint.packets import (
    ADD_STROKE,
    CHANNEL_MESSAGE,
    FETCH_DATABASE,
    LOBBY_CONNECT,
    LOBBY_CREATION,
    LOBBY_DISCONNECT,
)
from polypaint.paint.replays import Replays
from polypaint.paint.replies import CREATED, DOES_NOT_EXIST, EXISTS, NO_MEMORY
from polypaint.runtime import machine
from polypaint.settings import Settings, load

from .world import DATE, Peer, World

MIB = 1 << 20
RGBA = b"\1\2\3\4"


def stroke(points: int = 1) -> bytes:
    return ADD_STROKE.encode_request(DATE, b"", 0, RGBA, 1, 1, [[1, 2]] * points)


def told(peer: Peer) -> list[str]:
    """What the server says to this peer in chat."""
    return [text for (text,) in peer.values(CHANNEL_MESSAGE)]


# ---------------------------------------------------------------- the ledger
def test_what_is_used_is_counted_by_kind() -> None:
    memory = Memory(6400)
    memory.change("canvases", 1000)
    memory.change("held", 300)
    memory.change("canvases", -400)
    assert (memory.used["canvases"], memory.used["held"], memory.total) == (600, 300, 900)


def test_small_things_may_use_what_large_ones_may_not() -> None:
    memory = Memory(6400)
    assert memory.lacks(4800) == 0
    assert memory.lacks(4801) == 1
    memory.change("canvases", 4800)
    assert not memory.tight
    memory.change("canvases", 100)
    assert memory.tight
    assert memory.lacks(100) == 0
    assert memory.lacks(101) == 201
    assert memory.lacks(50, own=51) == 150
    memory.change("canvases", 1500)
    assert memory.lacks(100) == 100


def test_what_several_share_counts_once() -> None:
    memory = Memory()
    pieces = [bytes(100), bytes(50)]
    one, other = [pieces[0], pieces[1]], [pieces[0]]
    memory.hold(one)
    memory.hold(other)
    memory.hold(other)
    assert memory.used["snapshots"] == 150
    memory.drop(one)
    assert memory.used["snapshots"] == 100
    memory.drop(other)
    memory.drop(other)
    assert memory.used["snapshots"] == memory.total == 0


# ---------------------------------------------------------------- how much there is
def test_a_container_s_limit_is_the_machine_s(tmp_path: Path) -> None:
    assert machine.memory_bytes(tmp_path) > 0
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.memory_bytes(tmp_path) == machine.memory_bytes(tmp_path / "nowhere")
    (tmp_path / "memory.max").write_text(f"{MIB}\n")
    assert machine.memory_bytes(tmp_path) == MIB


def test_the_ceiling_is_a_setting() -> None:
    assert load({"memory_max": "512MiB"}).memory_max == 512 * MIB
    assert machine.memory_ceiling(512 * MIB) == 512 * MIB
    assert 0 < machine.memory_ceiling(Settings().memory_max) <= machine.memory_bytes()
    with pytest.raises(Exception, match="memory_max"):
        load({"memory_max": "much"})


# ---------------------------------------------------------------- what counts
def counted(world: World) -> dict[str, int]:
    return dict(world.context.memory.used.items())


def test_canvases_and_selections_count_while_they_are_there() -> None:
    world = World()
    ada, bob = world.peer("ada"), world.peer("bob")
    ada.create("p", "pixel")
    bob.create("s")
    assert counted(world)["canvases"] == 4 * 1280 * 720
    ada.send(packets.RESIZE_CANVAS_INT, 100, 50)
    assert counted(world)["canvases"] == 20_000
    ada.send(packets.CREATE_SELECTION, -10, 0, 20, 50, 0)
    assert counted(world)["selections"] == 4 * 10 * 50
    for _ in range(20):
        bob.send_bytes(stroke(8000))
    assert counted(world)["canvases"] > 20 * 64_000 - WEIGH_BYTES - 64_000
    for peer in (ada, bob):
        peer.send(LOBBY_DISCONNECT)
    assert set(counted(world).values()) == {0}
    ada.join("p")
    assert counted(world)["canvases"] == 20_000


def test_a_snapshot_counts_while_somebody_has_it() -> None:
    world = World()
    ada = world.peer("ada").create("d")
    for _ in range(100):
        ada.send_bytes(stroke(500))
    size = world.service.lobbies["d"].loaded.bytes_used
    slow = [world.peer(f"n{i}") for i in range(10)]
    for peer in slow:
        peer.reads = False
        peer.join("d")
        ada.send_bytes(stroke())
    assert size <= counted(world)["snapshots"] < 1.3 * size
    for peer in slow:
        peer.disconnect()
    ada.send(LOBBY_DISCONNECT)
    assert set(counted(world).values()) == {0}


def noise(world: World, peer: Peer, side: int = 512) -> None:
    """A drawing of pixels that are all different."""
    peer.send(packets.RESIZE_CANVAS_INT, side, side)
    canvas = world.service.lobbies["d"].loaded
    values = random.Random(1).randbytes(4 * side * side)
    canvas.pixels[:] = memoryview(values).cast("I", (side, side))
    world.service.lobbies["d"].repainted()


def test_a_snapshot_that_is_larger_than_its_drawing_is_given_back() -> None:
    world = World()
    ada = world.peer("ada").create("d", "pixel")
    noise(world, ada)
    size = world.service.lobbies["d"].loaded.bytes_used
    bob, eve = world.peer("bob"), world.peer("eve")
    bob.reads = eve.reads = False
    bob.join("d")
    eve.join("d")
    assert 3 * size < counted(world)["snapshots"] < 8 * size
    bob.reads = True
    world.deliver(bob)
    assert counted(world)["snapshots"] > size
    eve.reads = True
    world.deliver(eve)
    assert counted(world)["snapshots"] == 0
    assert world.service.lobbies["d"].kept_snapshot is None


def test_nobody_waits_for_a_snapshot_that_is_ready() -> None:
    """Who wanted it has left while it was made."""
    world = World()
    ada = world.peer("ada").create("d", "pixel")
    noise(world, ada)
    waiting: list = []
    bob = world.peer("bob")
    world.defer = waiting.append
    bob.join("d")
    bob.disconnect()
    while waiting:
        waiting.pop(0)()
        world.run_effects()
    assert counted(world)["snapshots"] == 0


def test_held_packets_count_and_are_bounded_in_bytes() -> None:
    world = World(freeze="lobby")
    ada, bob = world.peer("ada").create("d"), world.peer("bob").join("d")
    eve = world.peer("eve").join("d")
    bob.send(FETCH_DATABASE)
    packet = stroke(8000)
    fit = frozen_packets.BYTES_MAX // (len(packet) + 3)
    for _ in range(fit + 3):
        ada.send_bytes(packet)
    lobby = world.service.lobbies["d"]
    assert len(lobby.frozen_packets) == fit
    assert counted(world)["held"] == fit * (len(packet) + 3) <= frozen_packets.BYTES_MAX
    assert world.service.counters["rejected"] == 3
    assert ada.session.membership.defers
    assert not bob.session.membership.defers
    eve.send(FETCH_DATABASE)
    assert not lobby.frozen_packets
    assert counted(world)["held"] == 0
    assert not ada.session.membership.defers


def test_who_draws_too_much_while_frozen_is_answered_and_resynced() -> None:
    """What was refused is not on the server's canvas: its author is shown that."""
    world = World(freeze="lobby")
    ada = world.peer("ada").create("d")
    eve = world.peer("eve").join("d")
    for _ in range(frozen_packets.PACKETS_MAX + 3):
        ada.send_bytes(stroke())
    ada.take()
    ada.join("d")
    assert ada.take() == []
    eve.send(FETCH_DATABASE)
    kinds = ada.kinds()
    assert "LOBBY_CONNECT" in kinds
    assert kinds.count("ADD_STROKE") == frozen_packets.PACKETS_MAX
    assert kinds.index("LOBBY_CONNECT") < kinds.index("FETCH_DATABASE")


def test_who_waits_does_not_look_at_what_others_hold() -> None:
    """Holding a packet, and asking whether one is held, costs the same however many there are."""

    class Looked(list):
        seen = 0

        def __iter__(self) -> Iterator[object]:
            Looked.seen += 1
            return super().__iter__()

    world = World(freeze="lobby")
    ada = world.peer("ada").create("d")
    world.peer("eve").join("d")
    lobby = world.service.lobbies["d"]
    for _ in range(frozen_packets.PACKETS_MAX):
        ada.send_bytes(stroke())
    waiting = lobby.frozen_packets
    waiting._entries = Looked(waiting)  # type: ignore[assignment]
    assert ada.session.membership.defers
    ada.send_bytes(stroke())
    assert Looked.seen == 0


# ---------------------------------------------------------------- who is refused
def small_world(ceiling: int, **settings: Any) -> World:
    world = World(**settings)
    world.context.memory.bytes_max = ceiling
    return world


def test_a_drawing_is_not_created_where_there_is_no_memory() -> None:
    world = small_world(4 * MIB)
    ada = world.peer("ada")
    ada.create("d", "pixel").expect(LOBBY_CREATION, EXISTS)
    assert told(ada)[-1].endswith(NO_MEMORY)
    ada.create("d", "stroke").expect(LOBBY_CREATION, CREATED)


def test_who_joins_is_told_that_there_is_no_memory() -> None:
    world = small_world(16 * MIB)
    ada, bob = world.peer("ada").create("d", "pixel"), world.peer("bob").create("e", "pixel")
    eve = world.peer("eve").create("home")
    world.context.memory.bytes_max = 8 * MIB
    eve.join("d").expect(LOBBY_CONNECT, DOES_NOT_EXIST)
    assert told(eve)[-1].endswith(NO_MEMORY)
    assert eve.session.membership.lobby is world.service.lobbies["home"]
    bob.send(LOBBY_DISCONNECT)
    world.context.memory.bytes_max = 16 * MIB
    assert "FETCH_DATABASE" in eve.join("d").kinds()
    assert ada.session.membership.lobby is eve.session.membership.lobby


def test_a_stored_drawing_that_does_not_fit_leaves_again() -> None:
    world = small_world(64 * MIB)
    ada = world.peer("ada").create("d", "pixel")
    ada.send(LOBBY_DISCONNECT)
    lobby = world.service.lobbies["d"]
    lobby.memory_used = 0  # as after a restart: it is not known
    world.context.memory.bytes_max = 4 * MIB
    ada.join("d").expect(LOBBY_CONNECT, DOES_NOT_EXIST)
    assert lobby.canvas is None
    assert not ada.session.waiting
    assert set(counted(world).values()) == {0}


def test_few_drawings_are_loaded_at_a_time() -> None:
    """Their sizes are not known before: those that come later may find no room any more."""
    world = small_world(64 * MIB)
    for i in range(20):
        world.peer(f"p{i}").create(f"d{i}", "pixel").disconnect()
    again = World(world.store, world.journal)
    again.context.memory.bytes_max = 32 * MIB
    waiting: list = []
    people = [again.peer(f"p{i}") for i in range(20)]
    again.defer = waiting.append
    for i, peer in enumerate(people):
        peer.join(f"d{i}")
    assert len(waiting) == LOADS_MAX
    while waiting:
        waiting.pop(0)()
        again.run_effects()
        assert again.context.memory.total <= 32 * MIB + LOADS_MAX * 4 * 1280 * 720
    inside = [peer for peer in people if peer.session.membership]
    assert 3 <= len(inside) <= 8
    assert again.context.memory.total <= 32 * MIB
    assert not any(peer.session.waiting for peer in people)
    for peer in people:
        peer.disconnect()
    assert set(counted(again).values()) == {0}


def test_large_resizes_and_selections_are_refused_and_resynced() -> None:
    world = small_world(16 * MIB)
    ada, bob = world.peer("ada").create("d", "pixel"), world.peer("bob").join("d")
    ada.take(), bob.take()
    ada.send(packets.RESIZE_CANVAS_INT, 4096, 4096)
    assert "FETCH_DATABASE" in ada.kinds()
    for _ in range(6):
        ada.send(packets.CREATE_SELECTION, 0, 0, 1280, 720, 0, name=b"")
        bob.send(packets.CREATE_SELECTION, 0, 0, 1280, 720, 0, name=b"")
    assert world.context.memory.total <= 16 * MIB
    assert any(text.endswith(NO_MEMORY) for text in told(bob))
    assert len(told(bob)) == 1
    assert not ada.closed
    assert not bob.closed
    bob.take()
    ada.send(packets.SEND_POINTS, 3, RGBA, [[1, 1]])
    assert "SEND_POINTS" in bob.kinds()


def test_a_large_drawing_grows_no_more_and_small_ones_do() -> None:
    world = small_world(32 * MIB)
    ada, bob = world.peer("ada").create("d"), world.peer("bob").create("e")
    for _ in range(1000):
        ada.send_bytes(stroke(8000))
        ada.take()
        if "FETCH_DATABASE" in [packets.PACKETS[p[2]].name for p in ada.packets]:
            break
    assert world.context.memory.total <= 32 * MIB
    bob.send_bytes(stroke())
    assert len(world.service.lobbies["e"].loaded.strokes) == 1
    eve = world.peer("eve").join("e")
    assert "ADD_STROKE" in eve.kinds()


def test_snapshots_are_given_back_first_and_the_oldest_first() -> None:
    world = small_world(1 << 40)
    people = [world.peer(f"p{i}").create(f"d{i}") for i in range(3)]
    for peer in people:
        for _ in range(20):
            peer.send_bytes(stroke(8000))
    for i in (1, 0, 2):
        world.peer(f"n{i}").join(f"d{i}")
    kept = [world.service.lobbies[f"d{i}"] for i in (1, 0, 2)]
    assert all(lobby.kept_snapshot for lobby in kept)
    memory = world.context.memory
    memory.bytes_max = int((memory.total - MIB) / 0.75)
    assert world.service.replays.has_room(0, memory.bytes_max)
    assert [bool(lobby.kept_snapshot) for lobby in kept] == [False, True, True]
    kept[1].busy = True
    memory.bytes_max = 1
    assert not world.service.replays.has_room(1)
    assert [bool(lobby.kept_snapshot) for lobby in kept] == [False, True, False]
    assert isinstance(world.service.replays, Replays)


# ---------------------------------------------------------------- who does not read
def test_who_does_not_read_gets_one_snapshot() -> None:
    """(join, draw, join another) again and again costs one snapshot, not one each time."""
    world = World()
    owner = world.peer("owner").create("a")
    for _ in range(200):
        owner.send_bytes(stroke(1000))
    size = world.service.lobbies["a"].loaded.bytes_used
    world.peer("other").create("b")
    mallory = world.peer("mallory")
    mallory.reads = False
    for _ in range(60):
        mallory.join("a").send_bytes(stroke())
        mallory.join("b")
    assert mallory.session.send_queue.replaying < 1.1 * size
    assert mallory.session.waiting
    assert counted(world)["snapshots"] < 1.3 * size
    mallory.reads = True
    world.deliver(mallory)
    world.run_effects()
    world.deliver(mallory)
    assert not mallory.session.waiting
    assert mallory.session.membership.lobby is world.service.lobbies["b"]
    assert mallory.values(LOBBY_CONNECT) == [(1,)] * 120


def test_a_lost_session_leaves_nothing_behind() -> None:
    """Its memory comes back at once, not with the next full collection."""
    world = World()
    owner = world.peer("owner").create("a")
    owner.send_bytes(stroke(100))
    mallory = world.peer("mallory")
    mallory.reads = False
    mallory.join("a")
    mallory.join("a")
    world.peer("other").create("b")
    mallory.join("b")
    session = weakref.ref(mallory.session)
    gc.collect()
    gc.disable()
    try:
        mallory.disconnect()
        mallory.session = None
        world.effects.clear()
        world.advance(world.service.settings.login_seconds + 1)
        assert session() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- who is put out
@pytest.mark.parametrize("kicked", [True, False])
def test_what_waits_of_somebody_who_was_put_out_is_not_drawn(kicked: bool) -> None:
    world = World(freeze="lobby")
    ada, bob = world.peer("ada").create("d"), world.peer("bob").join("d")
    bob.send(FETCH_DATABASE)
    eve = world.peer("eve").join("d")
    bob.send_bytes(stroke())
    lobby = world.service.lobbies["d"]
    assert [who.name for who, _ in lobby.frozen_packets] == ["bob"]
    if kicked:
        rules = dict(zip(packets.INFO_KEYS, ("d", "ada", "private", ""), strict=True))
        ada.send(packets.LOBBY_INFO_CHANGE, orjson.dumps(rules).decode())
    else:
        bob.send(LOBBY_DISCONNECT)
        eve.send(FETCH_DATABASE)
    assert not lobby.frozen_packets
    assert len(lobby.loaded.strokes) == (0 if kicked else 1)
    assert counted(world)["held"] == 0
