"""Sections 1-9 as scripts: what a peer sends, what it and others are then sent."""

import json
from pathlib import Path

import numpy as np
import orjson
import pytest

from polypaint import _codec
from polypaint.engine import effects
from polypaint.errors import ProtocolError, Refused
from polypaint.paint import effects as paint_effects
from polypaint.paint import packets
from polypaint.paint.checkpoints import SAVE_AGAIN_S
from polypaint.paint.late_join import CONFIRM_S
from polypaint.paint.packets import (
    ADD_STROKE,
    CHANNEL_FETCH,
    CHANNEL_MESSAGE,
    CONNECTION,
    CREATE_ACCOUNT,
    FETCH_DATABASE,
    INSERT_STROKE,
    LOBBY_CONNECT,
    LOBBY_CREATION,
    LOBBY_DISCONNECT,
    LOBBY_FETCH,
    LOBBY_FREEZE_STATE,
    LOBBY_INFO_CHANGE,
    LOBBY_PLAYER_KICK,
    PACKETS,
    REMOVE_SELECTION,
    REMOVE_STROKE,
    RESET_CANVAS,
    SELECTED_STROKE,
    UNSELECTED_STROKE,
    UPDATE_DATABASE,
)

from .world import DATE, Peer, World, lobby

VECTORS = json.loads((Path(__file__).parent / "vectors/paint.json").read_text())
CREATED, CONNECTED, EXISTS, DOES_NOT_EXIST = range(4)


@pytest.fixture
def world() -> World:
    return World()


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


# ---------------------------------------------------------------- lobbies (sections 5, 9)
def test_creating_and_joining(world):
    ada, bob = world.peer("ada"), world.peer("bob")
    ada.create("d").expect(LOBBY_CREATION, CREATED)
    assert ada.kinds() == ["LOBBY_CREATION"]
    bob.create("d").expect(LOBBY_CREATION, EXISTS)
    bob.take()
    bob.join("d")
    assert bob.kinds() == [
        "LOBBY_CONNECT",
        "LOBBY_FREEZE_STATE",
        "FETCH_DATABASE",
        "RESIZE_CANVAS",
        "LOBBY_FREEZE_STATE",
    ]
    bob.join("d").expect(LOBBY_CONNECT, CONNECTED)
    assert bob.kinds() == ["LOBBY_CONNECT"]
    bob.join("elsewhere").expect(LOBBY_CONNECT, DOES_NOT_EXIST)
    assert list(world.service.lobbies["d"].members) == ["ada", "bob"]
    ada.create("d").expect(LOBBY_CREATION, EXISTS)


def test_joining_another_lobby_leaves_the_first(world):
    ada, bob = pair(world)
    bob.create("e")
    assert list(world.service.lobbies["d"].members) == ["ada"]
    stroke(ada)
    assert [k for k in bob.kinds() if k == "ADD_STROKE"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"Filename": ""}, {"Filename": "x" * 129}, {"Filename": "a;b"}, {"Filename": "e\u0301"},
        {"Owner": "bob"}, {"Mode": ""}, {"Mode": "m" * 65}, {"Protection": "Public"},
        {"Protection": "protected"}, {"Passcode": "x" * 1025}, {"Passcode": 5}, {"Owner": None},
    ],
)  # fmt: skip
def test_lobbies_that_cannot_be(world, change):
    ada = world.peer("ada")
    values = dict(zip(packets.LOBBY_KEYS, ("d", "ada", "stroke", "public", ""), strict=True))
    ada.raw(LOBBY_CREATION.id, orjson.dumps(values | change))
    assert rejected(world) == 1
    assert ada.take() == []
    assert not world.service.lobbies


def test_extra_keys_are_fine_and_double_keys_are_not(world):
    ada = world.peer("ada")
    good = lobby("d", "ada")
    ada.raw(4, (good[:-1] + ',"Extra":[1,{"x":null}]}').encode()).expect(LOBBY_CREATION, CREATED)
    for bad in (
        good[:-1] + ',"Mode":"pixel"}',
        good[:-1] + ',"x":' + "[" * 8 + "]" * 8 + "}",
        good[:-1] + ',"x":"\\ud800"}',
        good[:-1] + ',"x":NaN}',
        good[:-1],
    ):
        ada.raw(4, bad.replace('"d"', '"e"').encode())
    assert rejected(world) == 5
    assert list(world.service.lobbies) == ["d"]


@pytest.mark.parametrize(
    ("literal", "mode"),
    [("stroke", "stroke"), ("Trait", "stroke"), ("PIXEL", "pixel"), ("mode pixels", "pixel")],
)
def test_the_mode_is_read_casefolded_and_emitted_as_it_was(world, literal, mode):
    ada = world.peer("ada").create("d", literal)
    assert world.service.lobbies["d"].info.drawing_mode.value == mode
    ada.send(LOBBY_FETCH)
    listing = json.loads(ada.values(LOBBY_FETCH)[-1][0])
    assert listing[0]["Mode"] == literal


def test_protected_and_private_lobbies(world):
    ada, bob = world.peer("ada"), world.peer("bob")
    ada.create("p", protection="protected", passcode="sesame")
    bob.join("p", "wrong").expect(LOBBY_CONNECT, DOES_NOT_EXIST)
    bob.join("p", "sesame").expect(LOBBY_CONNECT, CONNECTED)
    bob.send(LOBBY_DISCONNECT)
    ada.create("q", protection="private")
    bob.join("q").expect(LOBBY_CONNECT, DOES_NOT_EXIST)
    ada.join("p").expect(LOBBY_CONNECT, CONNECTED)
    bob.send(LOBBY_FETCH)
    listing = json.loads(bob.values(LOBBY_FETCH)[-1][0])
    assert listing == [
        {"Filename": "p", "Owner": "ada", "Mode": "stroke", "Protection": "protected",
         "Passcode": "", "Clients": ["ada"]}
    ]  # fmt: skip


def test_passcodes_are_shown_and_private_lobbies_hidden_on_request():
    world = World(expose_passcodes=True, hide_private=True)
    ada, bob = world.peer("ada"), world.peer("bob")
    ada.create("p", protection="protected", passcode="sesame")
    bob.send(LOBBY_FETCH)
    assert '"Passcode":"sesame"' in bob.values(LOBBY_FETCH)[-1][0]
    ada.send(LOBBY_INFO_CHANGE, info("p", "private"))
    bob.send(LOBBY_FETCH).expect(LOBBY_FETCH, "[]")
    ada.send(LOBBY_FETCH)
    assert "private" in ada.values(LOBBY_FETCH)[-1][0]


def test_an_empty_lobby_is_stored_and_comes_back(world):
    ada, bob = pair(world)
    for x in range(3):
        stroke(ada, x)
    ada.send(LOBBY_DISCONNECT)
    stroke(bob, 3)
    bob.disconnect()
    lobby_ = world.service.lobbies["d"]
    assert lobby_.canvas is None
    assert world.journal.kept == {}
    ada.send(LOBBY_FETCH).expect(LOBBY_FETCH, "[]")
    eve = world.peer("eve")
    eve.create("d").expect(LOBBY_CREATION, EXISTS)
    eve.join("d").expect(LOBBY_CONNECT, CONNECTED)
    assert [p for p in eve.kinds() if p == "ADD_STROKE"] == ["ADD_STROKE"] * 4
    assert xs(world) == [0, 1, 2, 3]


def test_the_owner_reopens_a_stored_drawing(world):
    ada = world.peer("ada").create("d", "pixel")
    ada.send(packets.SEND_POINTS, 3, b"rgba", [[1, 1]])
    ada.send(LOBBY_DISCONNECT).take()
    ada.create("d", "stroke", protection="protected", passcode="x")
    assert list(dict.fromkeys(ada.kinds())) == [
        "LOBBY_CREATION",
        "LOBBY_FREEZE_STATE",
        "FETCH_DATABASE",
        "RESIZE_CANVAS_INT",
        "SEND_POINTS",
    ]
    info_ = world.service.lobbies["d"].info
    assert (info_.mode, info_.protection, info_.passcode) == ("pixel", "protected", "x")


def test_a_drawing_that_cannot_be_loaded(world):
    ada = world.peer("ada").create("d").send(LOBBY_DISCONNECT)
    ada.take()
    world.store.broken = True
    ada.join("d").expect(LOBBY_CONNECT, DOES_NOT_EXIST)
    ada.create("d").expect(LOBBY_CREATION, EXISTS)
    world.store.broken = False
    number = world.service.lobbies["d"].number
    stored, _, blobs = world.store.kept[number]
    world.store.kept[number] = (stored, {"nonsense": 1}, blobs)
    ada.join("d").expect(LOBBY_CONNECT, DOES_NOT_EXIST)


def test_who_waits_for_a_drawing_may_be_gone_or_shut_out(world):
    ada = world.peer("ada").create("d").send(LOBBY_DISCONNECT)
    waiting = []
    bob, eve = world.peer("bob"), world.peer("eve")
    world.defer = waiting.append
    bob.join("d")
    eve.join("d")
    assert bob.session.waiting
    eve.disconnect()
    ada.send(LOBBY_INFO_CHANGE, info("d", "private"))
    while waiting:
        waiting.pop(0)()
        world.run_effects()
    bob.expect(LOBBY_CONNECT, DOES_NOT_EXIST)
    assert world.service.lobbies["d"].canvas is None


def test_a_store_that_fails_is_tried_again(world):
    ada = world.peer("ada").create("d")
    stroke(ada)
    world.store.broken = True
    ada.send(LOBBY_DISCONNECT)
    assert world.service.lobbies["d"].canvas is not None
    world.store.broken = False
    world.advance(SAVE_AGAIN_S + 1)
    assert world.service.lobbies["d"].canvas is None
    assert world.store.kept


def test_there_is_a_limit_to_lobbies():
    world = World(lobbies_max=1)
    ada = world.peer("ada").create("d")
    ada.create("e").expect(LOBBY_CREATION, EXISTS)
    assert list(world.service.lobbies["d"].members) == ["ada"]


def info(filename: str, protection: str, passcode: str = "", owner: str = "ada") -> str:
    values = (filename, owner, protection, passcode)
    return orjson.dumps(dict(zip(packets.INFO_KEYS, values, strict=True))).decode()


def test_stricter_rules_put_everybody_out(world):
    ada, bob = pair(world)
    ada.send(LOBBY_INFO_CHANGE, info("d", "protected", "x"))
    assert bob.kinds() == ["LOBBY_PLAYER_KICK"]
    assert ada.take() == []
    assert list(world.service.lobbies["d"].members) == ["ada"]
    bob.join("d").expect(LOBBY_CONNECT, DOES_NOT_EXIST)
    bob.join("d", "x").expect(LOBBY_CONNECT, CONNECTED)
    bob.take()
    ada.send(LOBBY_INFO_CHANGE, info("d", "protected", "y"))
    assert bob.kinds() == ["LOBBY_PLAYER_KICK"]
    bob.join("d", "y").take()
    ada.send(LOBBY_INFO_CHANGE, info("d", "public", "z"))
    told = bob.values(LOBBY_INFO_CHANGE)
    assert json.loads(told[0][0])["Passcode"] == ""
    assert bob.take()[0][8:11] == b"ada"
    assert not bob.closed


def test_the_owner_need_not_be_inside(world):
    ada, bob = pair(world)
    ada.send(LOBBY_DISCONNECT)
    ada.send(LOBBY_INFO_CHANGE, info("d", "private"))
    bob.expect(LOBBY_PLAYER_KICK, world.service.settings.kick_reason)
    assert world.service.lobbies["d"].canvas is None
    ada.send(LOBBY_INFO_CHANGE, info("d", "public"))
    assert world.store.kept[1][0].info.protection == "public"
    bob.send(LOBBY_INFO_CHANGE, info("d", "private", owner="bob"))
    ada.send(LOBBY_INFO_CHANGE, info("nowhere", "private"))
    ada.send(LOBBY_INFO_CHANGE, info("d", "protected", ""))
    bob.send(LOBBY_INFO_CHANGE, info("d", "private"))
    assert rejected(world) == 4
    assert world.service.lobbies["d"].info.protection == "public"


def test_lists_are_cut_so_that_the_json_stays_whole(world):
    owners = [world.peer(f"owner{i}") for i in range(400)]
    for i, owner in enumerate(owners):
        world.now = float(i)
        owner.create(f"{'n' * 100}{i}")
    owners[0].send(LOBBY_FETCH)
    (text,) = owners[0].values(LOBBY_FETCH)[-1]
    listing = json.loads(text)
    assert 200 < len(listing) < 400
    assert listing[0]["Owner"] == "owner399"


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


def resynced(peer: Peer) -> bool:
    return "FETCH_DATABASE" in peer.kinds()


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


# ---------------------------------------------------------------- channels (section 7)
def channels(peer: Peer) -> dict[str, list[str]]:
    peer.send(CHANNEL_FETCH)
    listing = json.loads(peer.values(CHANNEL_FETCH)[-1][0])
    peer.take()
    return {entry["Name"]: entry["Clients"] for entry in listing}


def test_channels_come_and_go(world):
    ada, bob = world.peer("ada"), world.peer("bob")
    assert channels(ada) == {"General": ["ada", "bob"]}
    ada.send(packets.CHANNEL_CREATION, "café")
    bob.send(packets.CHANNEL_CONNECTION, "café").send(packets.CHANNEL_CONNECTION, "none")
    assert channels(bob)["café"] == ["ada", "bob"]
    ada.send(CHANNEL_MESSAGE, "café ;  a;b ")
    (packet,) = bob.take()
    assert packets.decode(packet, True) == ("café ;  a;b ",)
    assert ada.take() == []
    ada.send(packets.CHANNEL_DISCONNECT, "café")
    ada.send(packets.CHANNEL_DISCONNECT, "café")
    ada.send(CHANNEL_MESSAGE, "café;x")
    assert rejected(world) == 1
    assert bob.take() == []
    bob.disconnect()
    assert channels(ada) == {"General": ["ada"]}
    ada.send(packets.CHANNEL_DISCONNECT, "General")
    assert channels(ada) == {"General": []}


def test_empty_messages_are_ignored(world):
    ada, bob = world.peer("ada"), world.peer("bob")
    ada.send(CHANNEL_MESSAGE, "General;").send(CHANNEL_MESSAGE, "General ;   ")
    assert bob.take() == []
    assert rejected(world) == 0


@pytest.mark.parametrize("name", ["", "a;b", " a", "a ", "x" * 65, "a\n"])
def test_channels_that_cannot_be(world, name):
    world.peer("ada").raw(packets.CHANNEL_CREATION.id, name.encode())
    assert rejected(world) == 1
    assert len(world.service.channels) == 1


@pytest.mark.parametrize("text", ["nothing", ";x", "a" * 129 + ";x"])
def test_messages_that_cannot_be(world, text):
    world.peer("ada").send(CHANNEL_MESSAGE, text)
    assert rejected(world) == 1


def test_a_lobby_has_a_channel_for_its_members(world):
    ada, bob = pair(world)
    eve = world.peer("eve")
    assert channels(ada)["d"] == ["ada", "bob"]
    assert channels(eve)["d"] == ["ada", "bob"]
    eve.send(packets.CHANNEL_CONNECTION, "d").send(packets.CHANNEL_CREATION, "d")
    assert channels(ada)["d"] == ["ada", "bob"]
    ada.send(packets.CHANNEL_DISCONNECT, "d")
    assert channels(bob)["d"] == ["bob"]
    ada.send(packets.CHANNEL_CONNECTION, "d")
    assert channels(bob)["d"] == ["bob", "ada"]
    ada.send(LOBBY_INFO_CHANGE, info("d", "private"))
    assert "d" not in channels(eve)
    assert channels(ada)["d"] == ["ada"]
    ada.send(LOBBY_DISCONNECT)
    assert "d" not in channels(ada)


def test_a_lobby_named_like_a_channel_has_none(world):
    ada, bob = world.peer("ada"), world.peer("bob")
    bob.send(packets.CHANNEL_CREATION, "d")
    ada.create("d")
    assert channels(ada)["d"] == ["bob"]
    ada.send(LOBBY_DISCONNECT)
    assert channels(ada)["d"] == ["bob"]
    ada.create("General")
    ada.send(LOBBY_DISCONNECT)
    assert channels(ada)["General"] == ["ada", "bob"]


# ---------------------------------------------------------------- a full disk
def test_read_only_and_back(world):
    ada, bob = pair(world)
    stroke(ada)
    bob.send(SELECTED_STROKE, [0])
    ada.take(), bob.take()
    world.runtime.disk_full(world.now)
    world.deliver(ada)
    world.deliver(bob)
    assert ada.values(LOBBY_FREEZE_STATE) == [(1,)]
    assert "disk is full" in ada.values(CHANNEL_MESSAGE)[0][0]
    ada.take()
    stroke(ada, 2)
    assert xs(world) == [1]
    eve = world.peer("eve").join("d")
    assert eve.values(LOBBY_FREEZE_STATE)[-1] == (1,)
    assert "ADD_STROKE" in eve.kinds()
    eve.create("new").expect(LOBBY_CREATION, EXISTS)
    assert "disk is full" in eve.values(CHANNEL_MESSAGE)[0][0]
    ada.send(LOBBY_INFO_CHANGE, info("d", "private"))
    assert world.service.lobbies["d"].info.protection == "public"
    for peer in (ada, bob, eve):
        peer.disconnect()
    assert world.service.lobbies["d"].canvas is not None
    world.runtime.disk_has_room(world.now)
    world.run_effects()
    assert world.service.lobbies["d"].canvas is None
    pat = world.peer("pat").join("d")
    assert pat.kinds().count("ADD_STROKE") == 2


# ---------------------------------------------------------------- checkpoints
def test_long_logs_are_stored(world, monkeypatch):
    monkeypatch.setattr("polypaint.paint.lobby.CHECKPOINT_BYTES", 1000)
    ada, _ = pair(world)
    for x in range(50):
        stroke(ada, x)
    saves = [e for e in world.effects if isinstance(e, paint_effects.SaveCanvas)]
    assert saves
    assert len(world.journal.kept) < 50
    again = World(world.store, world.journal)
    eve = again.peer("eve").join("d")
    assert eve.kinds().count("ADD_STROKE") == 50


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


def finish(world: World, waiting: list) -> None:
    while waiting:
        waiting.pop(0)()
        world.run_effects()


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
