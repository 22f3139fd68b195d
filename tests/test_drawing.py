"""Drawing: who is sent what, stale positions, and much to compute."""

import pytest

from polypaint import _codec
from polypaint.paint import packets
from polypaint.paint.packets import (
    CHANNEL_MESSAGE,
    FETCH_DATABASE,
    INSERT_STROKE,
    LOBBY_CONNECT,
    LOBBY_DISCONNECT,
    LOBBY_INFO_CHANGE,
    LOBBY_PLAYER_KICK,
    REMOVE_STROKE,
    RESET_CANVAS,
    SELECTED_STROKE,
    UNSELECTED_STROKE,
)

from .painting import DOES_NOT_EXIST, finish, info, pair, rejected, resynced, stroke, xs
from .world import DATE, Peer, World


# ---------------------------------------------------------------- drawing
def test_drawing_is_relayed_to_the_others_only(world):
    ada, bob = pair(world)
    stroke(ada, 5)
    assert ada.take() == []
    (packet,) = bob.take()
    assert _codec.header(packet)[:3] == (12, DATE, b"ada")
    stroke(bob, 6)
    assert packets.decode(ada.take()[0])[0] == 1
    assert xs(world) == [5, 6]


def test_an_empty_name_is_filled_in(world):
    ada, bob = pair(world)
    ada.send(RESET_CANVAS, name=b"")
    assert _codec.header(bob.take()[0])[2] == b"ada"


def test_the_wrong_mode(world):
    ada, _ = pair(world, "pixel")
    stroke(ada)
    ada.send(SELECTED_STROKE, [0])
    assert rejected(world) == 2


def test_leaving_lets_go_of_selections(world):
    ada, bob = pair(world)
    stroke(ada), stroke(ada)
    bob.send(SELECTED_STROKE, [1, 0])
    ada.take()
    bob.send(LOBBY_DISCONNECT)
    (packet,) = ada.take()
    assert _codec.header(packet)[::2][:2] == (UNSELECTED_STROKE.id, b"bob")


def test_leaving_writes_a_floating_selection_back(world):
    ada, bob = pair(world, "pixel")
    bob.send(packets.CREATE_SELECTION, 0, 0, 9, 9, 0)
    ada.take()
    bob.disconnect()
    assert ada.kinds() == ["REMOVE_SELECTION"]
    assert world.service.lobbies["d"].loaded.authors() == []


def test_a_second_selection_puts_the_first_back(world):
    ada, bob = pair(world, "pixel")
    bob.send(packets.CREATE_SELECTION, 0, 0, 9, 9, 0)
    bob.send(packets.CREATE_SELECTION, 20, 0, 9, 9, 0)
    assert ada.kinds() == ["CREATE_SELECTION", "REMOVE_SELECTION", "CREATE_SELECTION"]
    assert bob.take() == []


def test_a_selection_that_is_not_granted(world):
    ada, bob = pair(world)
    stroke(ada), stroke(ada)
    ada.send(SELECTED_STROKE, [0])
    bob.take(), ada.take()
    bob.send(SELECTED_STROKE, [0, 1])
    assert packets.decode(bob.take()[0])[0].tolist() == [0]
    assert packets.decode(ada.take()[0])[0].tolist() == [1]


def test_what_another_holds_is_rejected_and_the_sender_resynced(world):
    ada, bob = pair(world)
    stroke(ada)
    ada.send(SELECTED_STROKE, [0])
    bob.take()
    bob.send(REMOVE_STROKE, [0])
    assert resynced(bob)
    assert xs(world) == [1]
    assert rejected(world) == 0


@pytest.mark.parametrize("rtt_s", [0.0, 0.2])
def test_stale_positions(world, rtt_s):
    window = max(0.05, 2 * rtt_s)
    ada, bob = world.peer("ada"), world.peer("bob", rtt_s=rtt_s)
    ada.create("d")
    for x in range(6):
        stroke(ada, x)
    bob.join("d").send(FETCH_DATABASE)
    world.now += 10
    bob.send(SELECTED_STROKE, [5])
    bob.take()
    ada.send(REMOVE_STROKE, [0])
    world.now += window * 0.9
    bob.send(REMOVE_STROKE, [2])
    assert resynced(bob)
    assert xs(world) == [1, 2, 3, 4, 5]
    world.now += 10
    ada.send(RESET_CANVAS)
    for x in range(4):
        stroke(bob, x)
    bob.send(SELECTED_STROKE, [1])
    assert resynced(bob)
    world.now += 10
    bob.send(FETCH_DATABASE).send(SELECTED_STROKE, [1]).take()
    ada.send(INSERT_STROKE, 0, b"rgba", 1, 1, [[9, 0]])
    bob.send(packets.REPLACE_STROKE, 2, b"rgba", 1, 1, [[7, 0]])
    assert not resynced(bob)
    assert xs(world) == [9, 0, 7, 2, 3]
    bob.send(INSERT_STROKE, 1, b"rgba", 1, 1, [[8, 0]])
    assert resynced(bob)
    assert xs(world)[:3] == [9, 8, 0]


def test_the_window_closes(world):
    ada, bob = pair(world)
    for x in range(4):
        stroke(ada, x)
    ada.send(REMOVE_STROKE, [0])
    world.now += 0.06
    bob.take()
    bob.send(REMOVE_STROKE, [0])
    assert not resynced(bob)
    ada.send(REMOVE_STROKE, [0])
    assert resynced(ada)
    world.now += 0.06
    ada.send(REMOVE_STROKE, [0])
    assert xs(world) == [3]


def test_ones_own_shifts_open_no_window(world):
    ada, _ = pair(world)
    for x in range(4):
        stroke(ada, x)
    ada.send(REMOVE_STROKE, [0]).send(REMOVE_STROKE, [0])
    assert xs(world) == [2, 3]


# ---------------------------------------------------------------- much to compute
def busy_world() -> tuple[World, list, Peer, Peer]:
    """A lobby on whose canvas a fill is being worked; run what waits with `finish`."""
    world = World()
    ada, bob = pair(world, "pixel")
    world.service.canvas_queue.heavy = 1000
    waiting: list = []
    world.defer = waiting.append
    ada.send(packets.BUCKET_FILL, 1, 1, b"\1\2\3\4")
    assert world.service.lobbies["d"].busy
    return world, waiting, ada, bob


def test_a_busy_lobby_waits_and_others_do_not():
    world, waiting, ada, bob = busy_world()
    ada.send(packets.SEND_POINTS, 1, b"abcd", [[1, 1]])
    bob.send(packets.SEND_POINTS, 1, b"abcd", [[2, 2]])
    ada.send(CHANNEL_MESSAGE, "General;hello")
    assert ada.session.waiting
    assert bob.session.waiting
    assert bob.take() == []
    finish(world, waiting)
    assert bob.kinds() == ["BUCKET_FILL", "SEND_POINTS", "CHANNEL_MESSAGE"]
    assert ada.kinds() == ["SEND_POINTS"]
    assert not ada.session.busy


def test_joining_and_leaving_a_busy_lobby():
    world, waiting, ada, bob = busy_world()
    finish(world, waiting)
    bob.send(packets.CREATE_SELECTION, 0, 0, 500, 500, 0)
    finish(world, waiting)
    world.defer = None
    eve, pat = world.peer("eve"), world.peer("pat")
    world.defer = waiting.append
    ada.send(packets.BUCKET_FILL, 900, 600, b"\5\2\3\4")
    eve.join("d")
    pat.join("d")
    assert eve.session.waiting
    bob.disconnect()
    ada.disconnect()
    pat.disconnect()
    assert world.service.lobbies["d"].members == {}
    finish(world, waiting)
    kinds = eve.kinds()
    assert kinds[0] == "LOBBY_CONNECT"
    assert "CREATE_SELECTION" not in kinds
    assert list(world.service.lobbies["d"].members) == ["eve"]
    eve.disconnect()
    finish(world, waiting)
    assert world.service.lobbies["d"].canvas is None


def test_the_owner_shuts_out_who_waits_for_a_busy_lobby():
    world, waiting, ada, bob = busy_world()
    finish(world, waiting)
    ada.send(LOBBY_DISCONNECT)
    world.defer = None
    eve = world.peer("eve")
    world.defer = waiting.append
    bob.send(packets.BUCKET_FILL, 9, 9, b"\7\2\3\4")
    eve.join("d")
    ada.send(LOBBY_INFO_CHANGE, info("d", "private"))
    bob.expect(LOBBY_PLAYER_KICK, world.service.settings.kick_reason)
    finish(world, waiting)
    eve.expect(LOBBY_CONNECT, DOES_NOT_EXIST)
    assert not eve.session.waiting


def test_what_the_worker_refuses_is_rejected():
    world, waiting, ada, bob = busy_world()
    ada.send(packets.BUCKET_FILL, 9000, 9000, b"abcd")
    bob.send(packets.APPLY_FILTER_SELECTION, "blur")
    finish(world, waiting)
    assert rejected(world) == 2


def test_what_was_held_waits_for_a_busy_lobby_too():
    world = World(freeze="lobby")
    ada, bob = pair(world, "pixel")
    world.service.canvas_queue.heavy = 1000
    waiting: list = []
    eve = world.peer("eve")
    world.defer = waiting.append
    eve.join("d")
    finish(world, waiting)
    for x in range(3):
        ada.send(packets.BUCKET_FILL, x, x, bytes([x, 2, 3, 4]))
    eve.send(FETCH_DATABASE)
    bob.take()
    finish(world, waiting)
    assert bob.kinds() == ["BUCKET_FILL"] * 3


def test_everything_costs_what_it_touches():
    world = World()
    ada, _ = pair(world, "pixel")
    canvas = world.service.lobbies["d"].loaded

    def cost(kind, *values) -> int:
        return canvas.cost(kind.encode_request(0, b"ada", *values))

    area = 1280 * 720
    assert cost(packets.SEND_POINTS, 10, b"abcd", [[0, 0]] * 7) == 700
    assert cost(packets.BUCKET_FILL, 0, 0, b"abcd") >= area
    assert cost(packets.RESIZE_CANVAS, 100, 100) >= area
    assert cost(packets.UPDATE_SELECTION, 0, 0, 9, 9, 0) == 0
    assert cost(packets.APPLY_FILTER_SELECTION, "blur") == 0
    assert cost(packets.REMOVE_SELECTION) == 0
    ada.send(packets.CREATE_SELECTION, 0, 0, 100, 100, 0)
    assert cost(packets.APPLY_FILTER_SELECTION, "blur") >= 10_000
    assert cost(packets.REMOVE_SELECTION) >= 10_000
