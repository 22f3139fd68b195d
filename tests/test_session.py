"""One connection: logging in, what is rejected, coming back; packets and their answers."""

import json
from pathlib import Path

import pytest

from polypaint.engine import effects
from polypaint.errors import ProtocolError
from polypaint.paint.packets import (
    ADD_STROKE,
    CHANNEL_MESSAGE,
    CONNECTION,
    CREATE_ACCOUNT,
    LOBBY_CONNECT,
    LOBBY_CREATION,
    LOBBY_FETCH,
    LOBBY_FREEZE_STATE,
    PACKETS,
    REMOVE_SELECTION,
)

from .painting import (
    pair,
    rejected,
    xs,
)
from .world import DATE, World, lobby

VECTORS = json.loads((Path(__file__).parent / "vectors/paint.json").read_text())


# ---------------------------------------------------------------- malformed vectors
@pytest.mark.parametrize("vector", VECTORS["malformed"], ids=lambda v: v["name"])
def test_malformed(world, vector):
    alice = world.peer()
    state = vector["state"]
    if state not in ("any", "pre-auth"):
        alice.login("bob" if "as bob" in state else "alice")
    if "owned by alice" in state:
        world.peer("alice").create("dessin1", "stroke")
        alice.join("dessin1")
    elif "stroke lobby" in state:
        alice.create("dessin1", "stroke")
    elif "pixel lobby" in state:
        alice.create("dessin1", "pixel")
    alice.take()
    before = world.journal.kept.copy()
    alice.send_bytes(bytes.fromhex(vector["hex"]))
    if vector.get("then_eof"):
        world.advance(1.01)
    if vector["action"] == "close":
        assert alice.closed
    else:
        assert not alice.closed
        assert alice.take() == []
        alice.send(LOBBY_FETCH)
        assert alice.values(LOBBY_FETCH)
    assert world.journal.kept == before


# ---------------------------------------------------------------- login (sections 4, 9)
def test_login_and_its_answers(world):
    ada = world.peer()
    ada.name = b"ada"
    ada.send(CREATE_ACCOUNT, "pw").expect(CREATE_ACCOUNT, 0)
    ada.send(CONNECTION, "pw").expect(CONNECTION, 0)
    again = world.peer()
    again.name = b"ada"
    again.send(CONNECTION, "pw").expect(CONNECTION, 1)
    assert again.closed
    for name, password in (
        ("ada", "no"),
        ("nobody", "pw"),
        ("", "pw"),
        ("ada", ""),
        ("a\tb", "x"),
    ):
        other = world.peer()
        other.name = name.encode()
        other.send(CONNECTION, password).expect(CONNECTION, 2)
        assert other.closed
    ada.disconnect()
    world.peer("ada")


@pytest.mark.parametrize(
    ("name", "password"),
    [("", "pw"), ("e\u0301", "pw"), ("x" * 65, "pw"), ("a", ""), ("a", "x" * 1025), ("a\0", "pw")],
)
def test_accounts_that_cannot_be(world, name, password):
    peer = world.peer()
    peer.name = name.encode()
    peer.send(CREATE_ACCOUNT, password).expect(CREATE_ACCOUNT, 2)
    assert peer.closed


def test_a_name_that_is_taken(world):
    world.peer("ada")
    peer = world.peer()
    peer.name = b"ada"
    peer.send(CREATE_ACCOUNT, "other").expect(CREATE_ACCOUNT, 1)
    assert peer.closed


@pytest.mark.parametrize("kind", [CONNECTION, CREATE_ACCOUNT])
def test_invalid_utf8_closes_in_silence(world, kind):
    for name, data in ((b"\xff", b"pw"), (b"ada", b"\xff")):
        peer = world.peer()
        peer.raw(kind.id, data, name)
        assert peer.closed
        assert peer.take() == []


def test_one_second_to_log_in(world):
    quiet, trickle, quick = world.peer(), world.peer(), world.peer()
    world.advance(0.5)
    trickle.send_bytes(b"\x20")
    quick.login("quick")
    world.advance(0.49)
    trickle.send_bytes(b"\x00")
    assert not quiet.closed
    assert not trickle.closed
    world.advance(0.02)
    assert quiet.closed
    assert trickle.closed
    world.advance(1000)
    assert not quick.closed


def test_after_creating_an_account_the_second_begins_anew(world):
    peer = world.peer()
    peer.name = b"ada"
    world.advance(0.9)
    peer.send(CREATE_ACCOUNT, "pw")
    world.advance(0.9)
    assert not peer.closed
    world.advance(0.2)
    assert peer.closed


def test_pipelining_in_one_write(world):
    name = b"ada"
    text = lobby("d", "ada")
    waiting = []
    world.defer = waiting.append
    peer = world.peer()
    peer.name = name
    peer.send_bytes(
        CREATE_ACCOUNT.encode_request(DATE, name, "pw")
        + CONNECTION.encode_request(DATE, name, "pw")
        + LOBBY_CREATION.encode_request(DATE, name, text)
        + ADD_STROKE.encode_request(DATE, name, 0, b"rgba", 1, 1, [[5, 5]])
    )
    assert peer.session.busy
    while waiting:
        waiting.pop(0)()
        world.run_effects()
    assert peer.kinds() == ["CREATE_ACCOUNT", "CONNECTION", "LOBBY_CREATION"]
    assert xs(world) == [5]
    assert not peer.session.busy


def test_a_password_that_comes_back_too_late(world):
    waiting = []
    world.defer = waiting.append
    lost, failed = world.peer(), world.peer()
    for peer, kind in ((lost, CONNECTION), (failed, CREATE_ACCOUNT)):
        peer.name = b"ada"
        peer.send(kind, "pw")
        peer.disconnect()
    for work in waiting:
        work()
    world.run_effects()
    assert len(world.service.presence) == 0


def test_connections_have_limits():
    world = World(connections_max=5, address_logins_max=2)
    first = world.peer(address="192.0.2.1")
    assert world.peer(address="192.0.2.1").session
    assert world.peer(address="192.0.2.1").session is None
    first.login("bob")
    second = world.peer(address="192.0.2.1")
    assert second.session
    second.disconnect()
    first.disconnect()
    assert world.peer(address="192.0.2.1").session
    assert world.peer(address="192.0.2.1").session is None
    assert world.peer(address="192.0.2.2").session
    assert world.peer("ada").session
    assert world.peer(address="127.0.0.9").session
    assert world.peer(address="127.0.0.9").session is None


# ---------------------------------------------------------------- rejecting (section 3)
def test_fifty_rejected_packets_within_a_minute(world):
    ada = world.peer("ada")
    for _ in range(49):
        ada.raw(CONNECTION.id, b"pw")
    assert not ada.closed
    world.advance(61)
    for _ in range(49):
        ada.raw(27, b"x")
    assert not ada.closed
    ada.raw(27)
    assert ada.closed


def test_unknown_and_deprecated_types_do_not_count(world):
    ada = world.peer("ada")
    for _ in range(100):
        ada.raw(34).raw(255, b"x", b"whoever").raw(0, b"hello").raw(2)
    assert not ada.closed
    assert rejected(world) == 0


@pytest.mark.parametrize("type_id", [3, 28, 30, 32])
def test_what_no_client_may_send(world, type_id):
    ada = world.peer("ada")
    ada.raw(type_id, b"\0\0\0\0")
    assert rejected(world) == 1
    assert not ada.closed


def test_under_somebody_elses_name(world):
    ada = world.peer("ada")
    ada.send(LOBBY_FETCH, name=b"bob")
    assert rejected(world) == 1
    ada.send(LOBBY_FETCH, name=b"").expect(LOBBY_FETCH, "[]")


def test_rejections_are_noted_at_a_bounded_rate(world):
    ada = world.peer("ada")
    for _ in range(40):
        ada.raw(28)
    noted = [e for e in world.effects if isinstance(e, effects.Rejected)]
    assert [e.count for e in noted] == [1, 11, 21, 31]


@pytest.mark.parametrize("type_id", [26, 29])
def test_unsolicited_confirmations(world, type_id):
    ada = world.peer("ada").create("d")
    ada.raw(type_id)
    assert rejected(world) == 1


def test_a_packet_that_would_grow_too_long(world):
    ada, bob = pair(world)
    points = [[1, 1]] * 8188
    ada.send(ADD_STROKE, 0, b"rgba", 1, 1, points, name=b"")
    assert xs(world) == [1]
    assert len(bob.take()[0]) == 8 + 3 + 16 + 8 * 8188
    ada.raw(12, bytes(4) + b"rgba" + b"\1\0\0\0" * 2 + bytes(8 * 8188), b"")
    assert len(xs(world)) == 2
    filler = "x" * (65535 - 8 - 2 - 2)
    ada.send(CHANNEL_MESSAGE, f"d;{filler}", name=b"")
    assert rejected(world) == 1


# ---------------------------------------------------------------- who comes back from elsewhere
def test_a_live_connection_keeps_its_name(world):
    ada = world.peer("ada").create("d")
    again = world.peer()
    again.name = b"ada"
    again.send(CONNECTION, "pw").expect(CONNECTION, 1)
    assert again.closed
    assert not ada.closed
    assert world.service.presence.holder("ada") is ada.session


def test_a_dead_connection_gives_its_name_back_at_once(world):
    ada = world.peer("ada").create("d")
    ada.vanished = True
    again = world.peer()
    again.name = b"ada"
    again.send(CONNECTION, "pw").expect(CONNECTION, 0)
    assert ada.closed
    assert world.service.presence.holder("ada") is again.session
    again.join("d").expect(LOBBY_CONNECT, 1)


def test_of_two_who_come_back_at_once_one_gets_in(world):
    ada = world.peer("ada")
    ada.vanished = True
    waiting: list = []
    world.defer = waiting.append
    both = [world.peer(), world.peer()]
    for peer in both:
        peer.name = b"ada"
        peer.send(CONNECTION, "pw")
    while waiting:
        waiting.pop(0)()
        world.run_effects()
    assert sorted(bool(peer.closed) for peer in both) == [False, True]


def test_who_leaves_while_the_other_connection_is_asked(world):
    ada = world.peer("ada")
    ada.vanished = True
    waiting: list = []
    world.defer = waiting.append
    again = world.peer()
    again.name = b"ada"
    again.send(CONNECTION, "pw")
    waiting.pop(0)()
    world.run_effects()
    again.disconnect()
    while waiting:
        waiting.pop(0)()
        world.run_effects()
    assert world.service.presence.holder("ada") is None
    assert len(world.service.sessions) == 0


# ---------------------------------------------------------------- packets
def test_one_message_is_one_packet(world):
    ada = world.peer("ada")
    ada.session.receive_message(LOBBY_FETCH.encode_request(0, b"ada"), world.now)
    ada.expect(LOBBY_FETCH, "[]")
    for bad in (b"", b"123", LOBBY_FETCH.encode_request(0, b"") * 2):
        with pytest.raises(ProtocolError):
            ada.session.receive_message(bad, world.now)


def test_the_tables_are_complete():
    old = {type_id for type_id in PACKETS if type_id not in range(128, 160)}
    assert old == set(range(34))
    assert REMOVE_SELECTION.encode_reply(0, name=b"x")
    with pytest.raises(ProtocolError):
        LOBBY_FREEZE_STATE.decode_object(LOBBY_FREEZE_STATE.encode_reply(0, 1))
