"""Lobbies and channels: who enters, who leaves, what is stored; a full disk."""

import json

import orjson
import pytest

from polypaint.paint import effects as paint_effects
from polypaint.paint import packets
from polypaint.paint.checkpoints import SAVE_AGAIN_S
from polypaint.paint.packets import (
    CHANNEL_FETCH,
    CHANNEL_MESSAGE,
    LOBBY_CONNECT,
    LOBBY_CREATION,
    LOBBY_DISCONNECT,
    LOBBY_FETCH,
    LOBBY_FREEZE_STATE,
    LOBBY_INFO_CHANGE,
    LOBBY_PLAYER_KICK,
    SELECTED_STROKE,
)

from .painting import (
    CONNECTED,
    CREATED,
    DOES_NOT_EXIST,
    EXISTS,
    info,
    pair,
    rejected,
    stroke,
    xs,
)
from .world import Peer, World, lobby


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
