"""What becomes of one's own packets, told to those with the extension: section 10."""

import random
from typing import cast

import pytest

from polypaint.paint import acknowledgements
from polypaint.paint.acknowledgements import Handled
from polypaint.paint.packets import (
    ACCEPTED,
    ADD_STROKE,
    CREATE_SELECTION,
    FETCH_DATABASE,
    HELLO,
    INSERT_STROKE,
    LOBBY_CREATION,
    PACKETS,
    REFUSED,
    REMOVE_STROKE,
    REPLACE_STROKE,
    RESET_CANVAS,
    SELECTED_STROKE,
    UNSELECTED_STROKE,
    Packet,
    decode,
)

from .copies import Copy, picture
from .world import DATE, Peer, World

STROKE = (b"rgba", 1, 1, [[1, 0]])


@pytest.fixture
def world() -> World:
    return World()


def answers(peer: Peer) -> list[tuple]:
    """Names and values of all answers; everything is taken."""
    return [
        (PACKETS[p[2]].name, *decode(p, True))
        for p in peer.take()
        if p[2] in (ACCEPTED.id, REFUSED.id)
    ]


def strokes(name: str, *indices: int) -> bytes:
    return b"".join(ADD_STROKE.encode_request(DATE, name.encode(), i, *STROKE) for i in indices)


def pair(world: World) -> tuple[Peer, Peer]:
    ada, bob = world.extended("ada"), world.extended("bob")
    ada.create("d")
    bob.join("d").send(FETCH_DATABASE)
    ada.take(), bob.take()
    world.now += 10
    return ada, bob


def test_every_packet_is_answered_once_with_its_number_and_index(world):
    ada, bob = pair(world)
    bob.send_bytes(strokes("bob", 0))
    ada.send_bytes(strokes("ada", 0))
    assert answers(ada) == [("ACCEPTED", 1, 1, 3, 1)]
    ada.send_bytes(strokes("ada", 7, 7, 7))
    assert answers(ada) == [("ACCEPTED", 4, 3, 4, 2)]
    ada.send(REMOVE_STROKE, [9]).send(INSERT_STROKE, 0, *STROKE)
    assert answers(ada) == [
        ("REFUSED", 5, "no stroke at 9: there are 5"),
        ("ACCEPTED", 6, 1, 5, 0),
    ]
    assert answers(bob) == [("ACCEPTED", 1, 1, 2, 0)]


def test_what_does_not_conform_or_is_not_ones_own_is_answered_too(world):
    ada = world.extended("ada")
    ada.send_bytes(strokes("ada", 0))
    ada.create("d").raw(ADD_STROKE.id, b"123").raw(ADD_STROKE.id, b"", name=b"bob")
    ada.send(CREATE_SELECTION, 0, 0, 1, 1, 0)
    found = answers(ada)
    assert [each[:2] for each in found] == [("REFUSED", i) for i in (1, 2, 3, 4)]
    assert found[0][2] == "not in a lobby"
    assert "somebody else" in found[2][2]


def test_a_refusal_says_why_and_a_resync_follows(world):
    ada, bob = pair(world)
    ada.send_bytes(strokes("ada", 0, 0)).send(SELECTED_STROKE, [0])
    world.now += 10
    ada.take(), bob.take()
    bob.send(REPLACE_STROKE, 0, *STROKE)
    kinds = [PACKETS[p[2]].name for p in bob.packets]
    assert kinds[0] == "REFUSED"
    assert "FETCH_DATABASE" in kinds
    assert answers(bob) == [("REFUSED", 1, "another user holds one of these strokes")]
    ada.send(RESET_CANVAS)
    bob.take()
    bob.send(REMOVE_STROKE, [0])
    assert answers(bob)[0][:2] == ("REFUSED", 2)


def test_what_was_not_granted_is_no_packet_of_its_own(world):
    ada, bob = pair(world)
    ada.send_bytes(strokes("ada", 0, 0)).send(SELECTED_STROKE, [0])
    world.now += 10
    bob.take()
    bob.send(SELECTED_STROKE, [0, 1])
    assert UNSELECTED_STROKE.id not in {p[2] for p in bob.packets}
    assert [a[0] for a in answers(bob)] == ["ACCEPTED"]


def test_old_clients_get_no_answers(world):
    ada = world.peer("ada")
    ada.create("d").expect(LOBBY_CREATION, 0)
    ada.send_bytes(strokes("ada", 0, 0)).send(REMOVE_STROKE, [9])
    assert not answers(ada)


def test_what_waits_while_the_lobby_is_frozen_is_answered_in_order():
    world = World(freeze="lobby")
    ada = world.extended("ada")
    ada.create("d")
    bob = world.extended("bob").join("d")
    ada.take()
    ada.send_bytes(strokes("ada", 0)).send(REMOVE_STROKE, [5])
    assert answers(ada) == []
    bob.send(FETCH_DATABASE)
    assert [a[:2] for a in answers(ada)] == [("ACCEPTED", 1), ("REFUSED", 2)]


def test_drawing_before_a_canvas_is_confirmed_needs_no_other(world):
    ada, bob = pair(world)
    ada.send_bytes(strokes("ada", 0)).send(SELECTED_STROKE, [0])
    bob.send(REPLACE_STROKE, 0, *STROKE)
    resyncs = world.service.counters["resyncs"]
    bob.send_bytes(strokes("bob", 0)).send(FETCH_DATABASE)
    world.advance(5)
    assert world.service.counters["resyncs"] == resyncs


# ---------------------------------------------------------------- coming back
def test_a_client_that_comes_back_hears_how_far_it_came(world):
    ada = world.extended("ada", client=7)
    ada.create("d")
    ada.send_bytes(strokes("ada", 0, 0)).send(REMOVE_STROKE, [9])
    ada.disconnect()
    again = Peer(world, "127.0.0.1", 0).hello("ada", "pw", client=7)
    again.expect(HELLO, 0, 1, 3, "ada")
    again.create("d").take()
    again.send_bytes(strokes("ada", 0))
    assert answers(again) == [("ACCEPTED", 4, 1, 3, 2)]
    again.disconnect()
    Peer(world, "127.0.0.1", 0).hello("ada", "pw", client=8).expect(HELLO, 0, 1, -1, "ada")


def test_a_lost_connection_that_is_taken_over_is_told_of_too(world):
    ada = world.extended("ada", client=7)
    ada.create("d").send_bytes(strokes("ada", 0))
    Peer(world, "127.0.0.1", 0).hello("ada", "pw", client=7).expect(HELLO, 0, 1, 1, "ada")


def test_how_far_one_came_is_forgotten_in_the_end(monkeypatch):
    monkeypatch.setattr(acknowledgements, "KEPT_MAX", 2)
    handled = Handled()
    for name in ("ada", "bob", "cid"):
        handled.keep(name, 1, 5, 100)
    assert [handled.count(n, 1, 100) for n in ("ada", "bob", "cid")] == [-1, 5, 5]
    assert handled.count("cid", 1, 700) == 5
    assert handled.count("cid", 1, 701) == -1
    handled.keep("dan", 0, 5, 800)
    assert handled.count("dan", 0, 800) == -1
    assert handled.count("cid", 1, 100) == -1


# ---------------------------------------------------------------- copies
@pytest.mark.parametrize("seed", range(20))
def test_copies_are_the_canvas_without_fences(seed):
    rng = random.Random(seed)
    world = World(freeze=rng.choice(["newcomer", "lobby"]))
    copies = [Copy(world, name, "d", "stroke") for name in ("ada", "bob", "cid")]
    for _ in range(150):
        copy = rng.choice(copies)
        canvas = world.service.lobbies["d"].loaded
        any_index = rng.randrange(len(canvas.strokes) + 2)
        style = (rng.randbytes(4), 1, rng.randrange(1, 9), [[rng.random(), 1]])
        kind, *values = rng.choice(
            [
                (ADD_STROKE, 0, *style),
                (ADD_STROKE, 0, *style),
                (INSERT_STROKE, any_index, *style),
                (REPLACE_STROKE, any_index, *style),
                (REMOVE_STROKE, [any_index]),
                (SELECTED_STROKE, [any_index, 0]),
                (UNSELECTED_STROKE, [any_index]),
            ]
        )
        copy.draw(cast(Packet, kind), *values)
        if rng.random() < 0.5:
            rng.choice(copies).read()
        if rng.random() < 0.05:
            copy.peer.disconnect()
            copy.join()
        world.advance(rng.choice([0.001, 0.2]))
    for copy in copies:
        copy.read()
        assert copy.settled
    for copy in copies:
        assert picture(copy.read().canvas) == picture(world.service.lobbies["d"].loaded)
