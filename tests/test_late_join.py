"""Who needs the canvas gets it: newcomers, resyncs, frozen lobbies, pictures of clients."""

import numpy as np
import pytest

from polypaint.errors import Refused
from polypaint.paint import packets
from polypaint.paint.late_join import CONFIRM_S
from polypaint.paint.packets import (
    ADD_STROKE,
    FETCH_DATABASE,
    LOBBY_DISCONNECT,
    LOBBY_FETCH,
    LOBBY_FREEZE_STATE,
    REMOVE_STROKE,
    RESET_CANVAS,
    SELECTED_STROKE,
    UNSELECTED_STROKE,
    UPDATE_DATABASE,
)

from .painting import finish, pair, rejected, resynced, stroke, xs
from .world import DATE, Peer, World


# ---------------------------------------------------------------- late join, resync (section 6)
def test_a_newcomer_sees_what_there_is_and_others_do_not_wait(world):
    ada, bob = pair(world)
    for x in range(3):
        stroke(ada, x)
    ada.send(SELECTED_STROKE, [1])
    bob.take()
    eve = world.peer("eve").join("d")
    kinds = eve.kinds()
    assert kinds[:3] == ["LOBBY_CONNECT", "LOBBY_FREEZE_STATE", "FETCH_DATABASE"]
    assert kinds[3:] == ["RESIZE_CANVAS", *["ADD_STROKE"] * 3, "SELECTED_STROKE",
                         "LOBBY_FREEZE_STATE"]  # fmt: skip
    assert bob.take() == []


def test_what_others_draw_meanwhile_comes_after_the_replay(world):
    ada, bob = pair(world)
    stroke(ada)
    eve = world.peer("eve")
    eve.reads = False
    eve.join("d")
    stroke(ada, 2)
    assert eve.packets == []
    eve.reads = True
    world.deliver(eve)
    assert eve.kinds()[-2:] == ["LOBBY_FREEZE_STATE", "ADD_STROKE"]


def test_drawing_under_way_at_a_resync_is_in_the_next_one(world):
    ada, bob = pair(world)
    stroke(ada)
    ada.send(SELECTED_STROKE, [0])
    bob.take()
    bob.send(REMOVE_STROKE, [0])
    stroke(bob, 2)
    assert resynced(bob)
    bob.send(FETCH_DATABASE)
    assert bob.kinds().count("ADD_STROKE") == 2
    bob.send(FETCH_DATABASE)
    assert bob.take() == []


def test_a_resync_that_is_asked_for_during_a_replay_follows_it(world):
    ada, bob = pair(world)
    stroke(ada)
    ada.send(SELECTED_STROKE, [0])
    bob.take()
    bob.reads = False
    bob.send(REMOVE_STROKE, [0]).send(REMOVE_STROKE, [0])
    bob.reads = True
    world.deliver(bob)
    world.run_effects()
    assert bob.kinds().count("FETCH_DATABASE") == 1
    bob.send(FETCH_DATABASE)
    assert bob.kinds().count("FETCH_DATABASE") == 1
    bob.send(FETCH_DATABASE)
    assert bob.take() == []


def wrong_again_and_again(world: World, edits: int) -> tuple[Peer, Peer]:
    """ada holds a stroke which bob, who does not know, tries to remove again and again."""
    ada, bob = pair(world)
    stroke(ada)
    ada.send(SELECTED_STROKE, [0])
    bob.take()
    for _ in range(edits):
        bob.send(REMOVE_STROKE, [0])
    return ada, bob


def test_a_stale_sender_has_one_snapshot_under_way(world):
    """However much of theirs does not count: the next comes when they have loaded the last."""
    before = world.service.counters["resyncs"]
    _, bob = wrong_again_and_again(world, 100)
    assert bob.kinds().count("FETCH_DATABASE") == 1
    for _ in range(3):
        for _ in range(10):
            bob.send(REMOVE_STROKE, [0])
        assert bob.take() == []
        bob.send(FETCH_DATABASE)
        assert bob.kinds().count("FETCH_DATABASE") == 1
    bob.send(FETCH_DATABASE)
    assert bob.take() == []
    assert world.service.counters["resyncs"] == before + 4
    assert rejected(world) == 0


def test_who_never_confirms_is_resynced_now_and_then(world):
    _, bob = wrong_again_and_again(world, 5)
    bob.take()
    world.advance(CONFIRM_S - 0.1)
    assert bob.take() == []
    world.advance(0.2)
    assert bob.kinds().count("FETCH_DATABASE") == 1
    world.advance(10 * CONFIRM_S)
    assert bob.take() == [], "nothing of theirs was wrong since"
    bob.send(REMOVE_STROKE, [0])
    assert bob.kinds().count("FETCH_DATABASE") == 1


def test_what_follows_a_lobby_that_has_to_be_waited_for_waits_too(world):
    """First for the last snapshot to be read, then for a busy canvas: and nothing overtakes."""
    ada, bob = pair(world, "pixel")
    eve = world.peer("eve").create("e")
    stroke(eve)
    world.peer("pat").join("e")
    waiting: list = []
    bob.take()
    bob.reads = False
    bob.join("e")
    bob.join("d").send(packets.SEND_POINTS, 1, b"rgba", [[1, 1]])
    world.service.canvas_queue.heavy = 1000
    world.defer = waiting.append
    ada.take()
    ada.send(packets.BUCKET_FILL, 1, 1, b"\1\2\3\4")
    bob.reads = True
    world.deliver(bob)
    world.run_effects()
    assert bob.session.waiting
    finish(world, waiting)
    assert rejected(world) == 0
    assert ada.kinds() == ["SEND_POINTS"]


def test_a_slow_reader_is_given_the_canvas_instead(world):
    ada, bob = pair(world)
    bob.reads = False
    for x in range(30):
        ada.send(ADD_STROKE, 0, b"rgba", 1, 1, [[x, 0]] * 8000)
    assert not bob.session.send_queue.attached
    assert bob.session.send_queue.queued < 2 << 20
    ada.send(REMOVE_STROKE, [0])
    bob.send(REMOVE_STROKE, [0])
    assert len(xs(world)) == 29
    bob.reads = True
    world.deliver(bob)
    kinds = bob.kinds()
    assert kinds.count("FETCH_DATABASE") == 1
    assert kinds.count("ADD_STROKE") == 29
    stroke(ada)
    assert bob.kinds() == ["ADD_STROKE"]
    assert world.service.counters["resyncs"] >= 1


def test_who_lags_is_spared_what_is_void_by_now(world):
    """A long drag is no reason for a resync: only where it ended matters."""
    ada, bob = pair(world)
    stroke(ada), stroke(ada, 2)
    bob.take()
    resyncs = world.service.counters["resyncs"]
    bob.reads = False
    for x in range(300):
        ada.send(packets.REPLACE_STROKE, 0, b"rgba", 1, 1, [[x, 0]] * 2000)
        stroke(ada, x)
    assert bob.session.send_queue.queued < 1 << 20
    bob.reads = True
    world.deliver(bob)
    assert world.service.counters["resyncs"] == resyncs
    kinds = bob.kinds()
    assert kinds.count("ADD_STROKE") == 300
    assert 1 <= kinds.count("REPLACE_STROKE") < 60
    assert "FETCH_DATABASE" not in kinds


def test_a_slow_reader_who_leaves_gets_no_replay(world):
    ada, bob = pair(world)
    bob.reads = False
    for x in range(30):
        ada.send(ADD_STROKE, 0, b"rgba", 1, 1, [[x, 0]] * 8000)
    bob.send(LOBBY_DISCONNECT)
    bob.reads = True
    world.deliver(bob)
    assert "FETCH_DATABASE" not in bob.kinds()


def test_a_backlog_makes_positions_stale_until_it_is_drained(world):
    ada, bob = pair(world)
    stroke(ada), stroke(ada, 2), stroke(ada, 3)
    bob.take()
    bob.reads = False
    stroke(ada, 4)
    ada.send(REMOVE_STROKE, [0])
    world.now += 5
    bob.send(REMOVE_STROKE, [0])
    assert xs(world) == [2, 3, 4]
    bob.reads = True
    world.deliver(bob)
    world.run_effects()
    assert resynced(bob)


def test_who_does_not_read_is_not_heard(world):
    ada = world.peer("ada")
    for i in range(200):
        world.peer(f"p{i}").create(f"{'n' * 110}{i}")
    ada.reads = False
    one = LOBBY_FETCH.encode_request(DATE, b"ada")
    ada.send_bytes(one * 500)
    assert ada.session.busy
    assert ada.session.stalled
    assert ada.session.send_queue.queued < 3 << 20
    ada.reads = True
    world.deliver(ada)
    world.run_effects()
    while ada.session.stalled:
        ada.session.work(world.now)
        world.run_effects()
    assert len(ada.take()) == 500


# ---------------------------------------------------------------- freeze = "lobby"
def frozen_world() -> tuple[World, Peer, Peer, Peer]:
    world = World(freeze="lobby")
    ada, bob = pair(world)
    stroke(ada)
    bob.take()
    eve = world.peer("eve").join("d")
    return world, ada, bob, eve


def test_the_whole_lobby_waits_for_the_newcomer():
    world, ada, bob, eve = frozen_world()
    assert ada.values(LOBBY_FREEZE_STATE) == bob.values(LOBBY_FREEZE_STATE) == [(1,)]
    assert eve.values(LOBBY_FREEZE_STATE)[-1] == (1,)
    ada.take(), bob.take(), eve.take()
    stroke(ada, 2)
    stroke(bob, 3)
    ada.join("d")
    assert xs(world) == [1]
    assert ada.take() == []
    eve.send(FETCH_DATABASE)
    assert ada.kinds() == ["LOBBY_FREEZE_STATE", "ADD_STROKE", "LOBBY_CONNECT"]
    assert bob.kinds() == ["LOBBY_FREEZE_STATE", "ADD_STROKE"]
    assert eve.kinds() == ["LOBBY_FREEZE_STATE", "ADD_STROKE", "ADD_STROKE"]
    assert xs(world) == [1, 2, 3]


def test_a_newcomer_that_takes_too_long_is_put_out():
    world, ada, bob, eve = frozen_world()
    world.advance(9.9)
    assert "eve" in world.service.lobbies["d"].members
    world.advance(0.2)
    assert eve.kinds()[-1] == "LOBBY_PLAYER_KICK"
    assert ada.values(LOBBY_FREEZE_STATE)[-1] == (0,)
    assert not eve.closed
    world.advance(20)


def test_a_newcomer_that_leaves_unfreezes_and_what_was_held_counts():
    world, ada, bob, eve = frozen_world()
    ada.send(UNSELECTED_STROKE, [0])
    stroke(bob, 2)
    bob.send(RESET_CANVAS)
    bob.send(REMOVE_STROKE, [7])
    stroke(bob, 3)
    bob.disconnect()
    ada.take()
    eve.disconnect()
    assert xs(world) == [3]
    assert ada.kinds()[-2:] == ["RESET_CANVAS", "ADD_STROKE"]
    assert rejected(world) == 1


def test_who_left_while_frozen_holds_nothing_afterwards():
    world = World(freeze="lobby")
    ada, bob = pair(world, "pixel")
    eve = world.peer("eve").join("d")
    bob.send(packets.CREATE_SELECTION, 0, 0, 9, 9, 0)
    bob.disconnect()
    ada.take()
    eve.send(FETCH_DATABASE)
    assert ada.kinds() == ["LOBBY_FREEZE_STATE", "CREATE_SELECTION", "REMOVE_SELECTION"]


def test_who_comes_back_sees_what_their_lost_connection_had_drawn():
    world, ada, bob, eve = frozen_world()
    stroke(bob, 2)
    bob.disconnect()
    back = world.peer("bob").join("d")
    back.take()
    eve.send(FETCH_DATABASE)
    back.send(FETCH_DATABASE)
    assert xs(world) == [1, 2]
    assert back.kinds() == ["LOBBY_FREEZE_STATE", "ADD_STROKE"]


def test_a_frozen_client_may_have_256_packets_waiting():
    world, ada, _, eve = frozen_world()
    for x in range(260):
        stroke(ada, x)
    assert rejected(world) == 4
    eve.send(FETCH_DATABASE)
    assert len(xs(world)) == 257


def test_a_confirmation_waits_behind_what_is_held():
    world = World(freeze="lobby")
    ada, bob = pair(world)
    stroke(ada)
    ada.send(SELECTED_STROKE, [0])
    bob.send(REMOVE_STROKE, [0])
    eve = world.peer("eve").join("d")
    stroke(bob, 2)
    bob.take()
    bob.send(FETCH_DATABASE)
    assert bob.take() == []
    eve.send(FETCH_DATABASE)
    assert bob.kinds().count("ADD_STROKE") == 2


# ---------------------------------------------------------------- unknown filters
def filtered(*names: str) -> tuple[World, list[Peer]]:
    world = World()
    people = [world.peer(name) for name in names]
    people[0].create("d", "pixel")
    for person in people[1:]:
        person.join("d").send(FETCH_DATABASE)
    people[0].send(packets.CREATE_SELECTION, 0, 0, 9, 9, 0)
    people[0].send(packets.APPLY_FILTER_SELECTION, "sepia")
    for person in people:
        person.take()
    return world, people


def test_a_client_saves_what_only_clients_know():
    world, (ada, bob) = filtered("ada", "bob")
    lobby_ = world.service.lobbies["d"]
    eve = world.peer("eve").join("d")
    assert eve.kinds() == ["LOBBY_CONNECT", "LOBBY_FREEZE_STATE"]
    assert ada.kinds() == ["UPDATE_DATABASE"]
    assert bob.take() == []
    picture = np.zeros((720, 1280), np.uint32)
    with pytest.raises(Refused, match="not ask you"):
        world.service.picture(lobby_, "bob", picture, world.now)
    with pytest.raises(Refused, match="size"):
        world.service.picture(lobby_, "ada", picture[:5], world.now)
    lobby_.begin_saving()
    with pytest.raises(Refused, match="again"):
        world.service.picture(lobby_, "ada", picture, world.now)
    lobby_.end_saving()
    world.service.picture(lobby_, "ada", picture, world.now)
    world.run_effects()
    assert eve.kinds()[0:2] == ["LOBBY_FREEZE_STATE", "FETCH_DATABASE"]
    assert not lobby_.loaded.needs_client_snapshot
    ada.send(UPDATE_DATABASE)
    assert rejected(world) == 1
    assert np.frombuffer(world.store.kept[1][2][0], np.uint32).any() == 0


def test_a_client_that_only_echoes():
    world, (ada, _) = filtered("ada", "bob")
    eve = world.peer("eve").join("d")
    pat = world.peer("pat").join("d")
    assert pat.kinds() == ["LOBBY_CONNECT", "LOBBY_FREEZE_STATE"]
    ada.send(UPDATE_DATABASE)
    assert "RESIZE_CANVAS_INT" in eve.kinds()
    assert "RESIZE_CANVAS_INT" in pat.kinds()


def test_three_members_are_asked_for_two_seconds_each():
    world, people = filtered("a", "b", "c", "d")
    eve = world.peer("eve").join("d")
    pat = world.peer("pat").join("d")
    pat.disconnect()
    asked = []
    for _ in range(4):
        asked.append([p.name for p in people if "UPDATE_DATABASE" in p.kinds()])
        world.advance(2)
    assert asked == [[b"a"], [b"b"], [b"c"], []]
    assert "FETCH_DATABASE" in eve.kinds()


def test_alone_there_is_nobody_to_ask():
    world, (ada,) = filtered("ada")
    ada.send(LOBBY_DISCONNECT)
    eve = world.peer("eve").join("d")
    assert "RESIZE_CANVAS_INT" in eve.kinds()
