"""Who is here, where they point, what they draw before it is drawn: section 10."""

import json

import numpy as np
import pytest

from polypaint.paint import live_ink, presence
from polypaint.paint.packets import (
    ADD_STROKE,
    AWAY,
    CHANNEL_MESSAGE,
    INK,
    LOBBY_DISCONNECT,
    PACKETS,
    PEOPLE,
    PERSON,
    POINTER,
    SELECTED_STROKE,
    decode,
)

from .world import DATE, Peer, World

RED, BLUE = b"\xff\0\0\xff", b"\0\0\xff\xff"


@pytest.fixture
def world() -> World:
    return World()


def stroke(peer: Peer, x: float = 1) -> Peer:
    return peer.send(ADD_STROKE, 0, b"rgba", 1, 1, [[x, 0]])


def people(peer: Peer) -> list[dict]:
    """Everybody who is in a lobby, as this peer was told."""
    peer.world.advance(presence.TICK_S)
    here: dict[int, dict] = {}
    for packet in peer.take():
        if packet[2] == PEOPLE.id:
            part, listed = decode(packet, True)
            here = here if part else {}
            here |= {person["key"]: person for person in json.loads(listed)}
        elif packet[2] == PERSON.id:
            gone, text = decode(packet, True)
            person = json.loads(text)
            here.pop(person["key"], None)
            here |= {} if gone else {person["key"]: person}
    return list(here.values())


def changes(peer: Peer) -> list[tuple[str, int]]:
    """(name, has gone?) of those of whom this peer was told."""
    peer.world.advance(presence.TICK_S)
    told = [decode(p, True) for p in peer.take() if p[2] == PERSON.id]
    return [(json.loads(text)["name"], gone) for gone, text in told]


def inks(peer: Peer) -> list[tuple]:
    """(key, colour, width, done, points) of all ink that this peer was shown."""
    shown = [decode(p, True) for p in peer.take() if p[2] == INK.id]
    return [(key, rgba, width, done, points.tolist()) for key, rgba, width, done, points in shown]


def pair(world: World, mode: str = "stroke") -> tuple[Peer, Peer]:
    """Two people with the extension in one lobby, everything taken."""
    ada, bob = world.extended("ada"), world.extended("bob")
    ada.create("d", mode)
    bob.join("d")
    ada.take(), bob.take()
    world.now += 1
    return ada, bob


# ---------------------------------------------------------------- who is here
def test_who_is_here_is_told_to_those_with_the_extension(world):
    ada = world.extended("ada")
    ada.create("d")
    world.now += 5
    old = world.peer("old").join("d")
    bob = world.extended("bob").join("d")
    expected = [
        {"key": 1, "name": "ada", "role": "owner", "colour": 0, "since": DATE, "away": False},
        {"key": 2, "name": "old", "role": "drawer", "colour": 1, "since": DATE + 5, "away": False},
        {"key": 3, "name": "bob", "role": "drawer", "colour": 2, "since": DATE + 5, "away": False},
    ]
    assert people(bob) == expected
    assert people(ada) == expected
    old.disconnect()
    bob.send(AWAY, 1).send(AWAY, 1)
    assert changes(ada) == [("old", 1), ("bob", 0)]
    assert people(world.extended("cid").join("d"))[1]["away"]
    bob.send(LOBBY_DISCONNECT)
    bob.take()
    ada.send(AWAY, 1)
    assert changes(bob) == []


def test_colours_go_round_and_keys_are_never_two_peoples(world):
    ada = world.extended("ada")
    ada.create("d")
    others = [world.peer(f"p{i}").join("d") for i in range(10)]
    others[2].disconnect()
    world.peer("late").join("d")
    here = people(ada)
    assert [person["colour"] for person in here] == [0, 1, 2, 4, 5, 6, 7, 0, 1, 2, 3]
    assert len({person["key"] for person in here}) == len(here) == 11


def test_a_long_list_comes_in_parts_and_ends(world, monkeypatch):
    monkeypatch.setattr(presence, "PART_BYTES", 300)
    monkeypatch.setattr(presence, "LISTED_MAX", 7)
    ada = world.extended("ada")
    ada.create("d")
    for i in range(9):
        world.peer(f"p{i}").join("d")
    world.advance(1)
    cid = world.extended("cid").join("d")
    parts = [part for part, _ in cid.values(PEOPLE)]
    assert parts == [0, *[1] * (len(parts) - 1)]
    assert len(parts) > 2
    assert [person["name"] for person in people(cid)] == [
        "ada", *(f"p{i}" for i in range(6)),
    ]  # fmt: skip


def test_who_lags_is_told_anew_with_the_canvas(world):
    ada, bob = pair(world)
    bob.reads = False
    bob.session._queue_max = 1000
    for i in range(60):
        stroke(ada, i)
    world.peer("cid").join("d")
    bob.reads = True
    world.deliver(bob)
    assert world.service.counters["resyncs"]
    assert [person["name"] for person in people(bob)] == ["ada", "bob", "cid"]


def test_who_comes_and_goes_all_the_time_is_told_now_and_then(world):
    ada, bob = pair(world)
    cid = world.extended("cid")
    for _ in range(400):
        world.advance(0.001)
        cid.join("d").send(LOBBY_DISCONNECT)
    told = b"".join(ada.take())
    assert len(told) < 8000
    cid.join("d")
    assert [person["name"] for person in people(bob)][-1] == "cid"
    assert {person["name"] for person in people(ada)} >= {"cid"}


# ---------------------------------------------------------------- pointers
def test_pointers_are_told_and_coalesced_thirty_times_a_second(world):
    ada, bob = pair(world)
    told = 0
    for i in range(1000):
        world.advance(0.001)
        ada.send(POINTER, 0, i, 2.5, 0, 0, 1280, 720)
        shown = [decode(p, True) for p in bob.take() if p[2] == POINTER.id]
        told += len(shown)
    assert 20 <= told <= 30
    world.advance(1)
    assert [decode(p, True) for p in bob.take()][-1] == (1, 999, 2.5, 0, 0, 1280, 720)


def test_a_pointer_is_not_journaled(world):
    ada, _ = pair(world)
    before = dict(world.journal.kept)
    ada.send(POINTER, 0, 1, 2, 0, 0, 1, 1).send(INK, 0, RED, 3, 0, [[1, 1]])
    world.advance(1)
    assert world.journal.kept == before


# ---------------------------------------------------------------- ink
def test_ink_of_a_tick_is_one_packet_of_each_stroke(world):
    ada, bob = pair(world)
    ada.send(INK, 0, RED, 3, 0, [[1, 1]])
    assert inks(bob) == [(1, RED, 3, 0, [[1, 1]])]
    ada.send(INK, 0, RED, 3, 0, [[2, 2]]).send(INK, 0, RED, 3, 1, [[3, 3]])
    ada.send(INK, 0, BLUE, 3, 0, [[4, 4]]).send(INK, 0, BLUE, 3, 0, [[5, 5]])
    assert inks(bob) == []
    world.advance(0.05)
    assert inks(bob) == [
        (1, RED, 3, 1, [[2, 2], [3, 3]]),
        (1, BLUE, 3, 0, [[4, 4], [5, 5]]),
    ]


def test_ink_that_is_taken_back_is_told_so(world):
    ada, bob = pair(world)
    ada.send(INK, 0, RED, 3, 0, [[1, 1]]).take()
    bob.take()
    ada.send(INK, 0, RED, 3, 0, [[2, 2]]).send(INK, 0, RED, 3, 1, np.empty((0, 2)))
    world.advance(0.05)
    assert inks(bob) == [(1, RED, 3, 1, [])]


def test_ink_does_not_come_behind_its_stroke(world):
    ada, bob = pair(world)
    ada.send(INK, 0, RED, 3, 0, [[1, 1]])
    bob.take()
    ada.send(INK, 0, RED, 3, 1, [[2, 2]])
    stroke(ada)
    world.advance(1)
    assert [PACKETS[p[2]].name for p in bob.take()] == ["ADD_STROKE"]


def test_much_ink_in_a_tick_is_bounded(world):
    ada, bob = pair(world)
    ada.send(INK, 0, RED, 3, 0, [[0, 0]])
    bob.take()
    for i in range(60):
        ada.send(INK, 0, RED, 3, 0, [[i, i]] * 500)
    world.advance(1)
    assert sum(map(len, bob.take())) <= live_ink.INK_BYTES_MAX + 100


def test_ticks_are_longer_the_more_people_draw(world):
    ada = world.extended("ada")
    ada.create("d")
    others = [world.extended(f"p{i}").join("d") for i in range(30)]
    ada.take()
    told = 0
    for i in range(100):
        world.advance(0.01)
        for other in others:
            other.send(INK, 0, RED, 3, 0, [[i, i]])
        told += any(p[2] == INK.id for p in ada.take())
    assert 4 <= told <= 8


def test_who_lags_is_not_given_what_people_do(world):
    ada, bob = pair(world)
    bob.reads = False
    for i in range(400):
        world.advance(0.05)
        ada.send(INK, 0, RED, 3, 0, [[i, i]] * 100)
    assert bob.session.send_queue.queued < 2 * live_ink.LAG_BYTES
    assert not bob.closed


def test_outside_a_lobby_and_out_of_turn_nothing_is_told(world):
    ada, bob = pair(world)
    world.service.lobbies["d"].allowed_authors = frozenset({"bob"})
    ada.send(INK, 0, RED, 3, 0, [[1, 1]]).send(POINTER, 0, 1, 2, 0, 0, 1, 1)
    world.advance(1)
    assert bob.take() == []
    ada.send(LOBBY_DISCONNECT)
    ada.send(INK, 0, RED, 3, 0, [[1, 1]]).send(AWAY, 1)
    assert world.service.counters["rejected"] == 0
    ada.raw(INK.id, b"123").raw(POINTER.id, b"").raw(AWAY.id, b"\2\0\0\0")
    assert world.service.counters["rejected"] == 3


# ---------------------------------------------------------------- old clients
def script(world: World, extended: bool) -> list[bytes]:
    """What two old clients are sent while a third, with or without the extension, draws."""
    old, other = world.peer("old"), world.peer("other")
    ada = world.extended("ada") if extended else world.peer("ada")
    old.create("d")
    for peer in (ada, other):
        peer.join("d")
    for i in range(30):
        world.advance(0.03)
        if extended:
            ada.send(POINTER, 0, i, i, 0, 0, 9, 9).send(INK, 0, RED, 3, i % 2, [[i, i]])
            ada.send(AWAY, i % 2)
        stroke(ada, i)
        stroke(old, -i)
        if i % 5 == 4:
            old.send(SELECTED_STROKE, [0])
            ada.send(CHANNEL_MESSAGE, "d;hello")
    ada.disconnect()
    world.advance(2)
    return [b"".join(old.take()), b"".join(other.take())]


def test_old_clients_are_sent_the_same_bytes_beside_new_ones():
    with_new, without = World(), World()
    assert script(with_new, True) == script(without, False)
    assert with_new.service.counters["rejected"] == 0
