"""Section 10 as scripts: what sessions have that began with HELLO, and what others never see."""

import pytest

from polypaint.paint import packets
from polypaint.paint.extension import TAKEN_OVER_REASON, TAKEOVER
from polypaint.paint.packets import ADD_STROKE, CHANNEL_MESSAGE, HELLO, LOBBY_CONNECT

from .world import Peer, World

ACCEPTED, ALREADY_CONNECTED, NOT_LET_IN, TAKEN_OVER, TRY_LATER = range(5)


@pytest.fixture
def world() -> World:
    return World()


def stroke(peer: Peer, x: float = 1) -> Peer:
    return peer.send(ADD_STROKE, 0, b"rgba", 1, 1, [[x, 0]])


# ---------------------------------------------------------------- HELLO
def test_a_password_a_cookie_and_a_token_let_one_in(world):
    world.peer("ada").disconnect()
    world.sessions["of ada"] = "ada"
    password = world.peer().hello("ada", "pw").expect(HELLO, ACCEPTED, 1, -1, "ada")
    password.disconnect()
    cookie = Peer(world, "127.0.0.1", 0)
    cookie.session.credentials = "of ada"
    cookie.hello().expect(HELLO, ACCEPTED, 1, -1, "ada")
    assert cookie.session.name == "ada"
    cookie.disconnect()
    token = world.peer().hello("", "of ada").expect(HELLO, ACCEPTED, 1, -1, "ada")
    token.create("d")
    assert world.service.lobbies["d"].info.owner == "ada"


@pytest.mark.parametrize(
    ("name", "password", "credentials"),
    [
        ("ada", "wrong", ""),
        ("nobody", "pw", ""),
        ("", "", ""),
        ("", "", "of nobody"),
        ("ada", "", "of ada"),
        ("", "x", "of ada"),
    ],
)
def test_who_proves_nothing_is_not_let_in(world, name, password, credentials):
    world.peer("ada").disconnect()
    world.sessions["of ada"] = "ada"
    peer = Peer(world, "127.0.0.1", 0)
    peer.session.credentials = credentials
    peer.hello(name, password).expect(HELLO, NOT_LET_IN, 1, -1, "")
    assert peer.closed == "login refused"


def test_a_store_that_does_not_answer_says_so(world):
    kept = []
    world.defer = kept.append
    peer = Peer(world, "127.0.0.1", 0).hello("ada", "pw")
    peer.session.password_checked("ada", None, world.now)
    peer.expect(HELLO, TRY_LATER, 1, -1, "")
    assert peer.closed


def test_the_same_person_twice(world):
    first = world.extended("ada")
    second = (
        Peer(world, "127.0.0.1", 0).hello("ada", "pw").expect(HELLO, ALREADY_CONNECTED, 1, -1, "")
    )
    assert second.closed
    assert not first.closed


@pytest.mark.parametrize("extended", [True, False])
def test_taking_over_ends_the_other_session_and_says_why(world, extended):
    first = world.extended("ada") if extended else world.peer("ada")
    first.create("d")
    bob = world.peer("bob").join("d")
    stroke(first)
    first.take(), bob.take()
    second = world.extended("ada", TAKEOVER)
    assert first.closed == TAKEN_OVER_REASON
    if extended:
        first.expect(HELLO, TAKEN_OVER, 1, -1, "ada")
    else:
        assert HELLO.id not in {packet[2] for packet in first.packets}
    assert set(world.service.lobbies["d"].members) == {"bob"}
    second.join("d").expect(LOBBY_CONNECT, 1)
    stroke(bob, 2)
    assert ADD_STROKE.id in {packet[2] for packet in second.take()}
    bob.send(CHANNEL_MESSAGE, "General;hello")
    assert CHANNEL_MESSAGE.id not in {packet[2] for packet in first.take()}
    assert world.service.presence.holder("ada") is second.session


def test_a_client_that_comes_back_takes_its_own_lost_connection_over(world):
    first = world.extended("ada", client=7)
    other = Peer(world, "127.0.0.1", 0).hello("ada", "pw", client=8)
    other.expect(HELLO, ALREADY_CONNECTED, 1, -1, "")
    assert not first.closed
    world.extended("ada", client=7)
    assert first.closed == TAKEN_OVER_REASON


def test_the_second_to_log_in_holds_for_hello(world):
    late = Peer(world, "127.0.0.1", 0)
    world.advance(1.1)
    assert late.closed == "too late to log in"
    early = world.extended("ada")
    world.advance(60)
    assert not early.closed


def test_a_second_hello_is_rejected_and_so_is_a_malformed_one(world):
    ada = world.extended("ada")
    ada.send(HELLO, 1, 0, 0, "")
    assert world.service.counters["rejected"] == 1
    assert not ada.closed
    bad = Peer(world, "127.0.0.1", 0).raw(HELLO.id, b"123")
    assert bad.closed
    negative = Peer(world, "127.0.0.1", 0).raw(HELLO.id, b"\xff" * 12)
    assert negative.closed


def test_what_belongs_to_the_extension_is_dropped_from_others(world):
    ada = world.peer("ada")
    for kind in packets.PACKETS.values():
        if kind.extension:
            ada.raw(kind.id, b"123")
    assert world.service.counters["rejected"] == 0
    assert ada.take() == []
