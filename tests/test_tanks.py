"""The tank protocol, message by message, in virtual time (docs/tanks.md)."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from polypaint.errors import StoreError
from polypaint.tanks import battle as battles
from polypaint.tanks.session import LOGIN_S
from polypaint.tanks.vehicles import JITTER_S, TANKS, Budget

from .driving import STILL, enter, face_to_face, fighter, fire, kinds, online, pair, place, talk
from .world import Talker, World


@pytest.fixture
def world():
    return World()


def test_a_new_account_and_what_it_is_told(world):
    ada = Talker(world, world.tanks)
    ada.send(name="ada", password="pw", newuser=True)
    (told,) = ada.take()
    assert told["listplayercoinfo"] == {"ada": {"xp": 0, "map": None}}
    assert told["myinfo"] == {
        "xp": 0, "coin": 0, "tanklist": {"leger": TANKS["leger"].json()},
    }  # fmt: skip
    assert told["availablemap"]["ville"] == {
        "name": "ville", "size": [1600, 1200], "players": 0, "max_players": 24, "state": "WAITING",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"name": "ada", "password": "pw", "newuser": True}, "name taken"),
        ({"name": "ada", "password": "no", "newuser": False}, "bad credentials"),
        ({"name": "eve", "password": "pw", "newuser": False}, "bad credentials"),
        ({"name": "", "password": "pw", "newuser": True}, "bad name"),
        ({"name": "x" * 65, "password": "pw", "newuser": True}, "bad name"),
        ({"name": "eve", "password": "", "newuser": True}, "bad credentials"),
    ],
)
def test_refused_logins(world, message, reason):
    talk(world, "ada").disconnect()
    talker = Talker(world, world.tanks).send(**message)
    assert talker.take() == [{"connection": False, "reason": reason}]
    assert not talker.closed


def test_five_failures_close(world):
    talker = Talker(world, world.tanks)
    for _ in range(5):
        assert not talker.closed
        talker.send(name="eve", password="x", newuser=False)
    assert talker.closed


def test_login_within_ten_seconds(world):
    talker = Talker(world, world.tanks)
    world.advance(LOGIN_S - 0.1)
    assert not talker.closed
    world.advance(0.2)
    assert talker.closed
    ada = talk(world, "ada")
    world.advance(60)
    assert not ada.closed


def test_a_newer_login_wins(world):
    ada, bob = pair(world)
    again = talk(world, "ada")
    assert ada.take()[-1] == {"player": "ada", "kick": 1}
    assert ada.closed
    assert {"player": "ada", "kick": 1} in bob.take()
    again.send(requeste="list map")
    assert again.last()["tanks"].keys() == TANKS.keys()
    lobby = talk(world, "cyd")
    talk(world, "cyd")
    assert lobby.take() == [{"player": "cyd", "kick": 1}]
    assert lobby.closed
    assert online(world).keys() == {"ada", "bob", "cyd"}


def test_a_store_that_is_away(world):
    talk(world, "ada").disconnect()
    world.book.save(world.now)
    world.run_effects()
    original = world.store.read_one

    async def away(kind, key):
        raise StoreError("away")

    world.store.read_one = away
    talker = Talker(world, world.tanks).send(name="ada", password="pw", newuser=False)
    assert talker.take() == [{"connection": False, "reason": "busy"}]
    world.store.read_one = original
    talker.send(name="ada", password="pw", newuser=False)
    assert talker.last()["connection"] is True


# ---------------------------------------------------------------- which message, and when
@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({}, "unknown message"),
        ({"x": 1, "rid": 5}, "unknown message"),
        ({"requeste": "fly"}, "unknown message"),
        ({"requeste": 3}, "bad field"),
        ({"message": "a", "fire": 1}, "ambiguous message"),
        ({"requeste": "list map", "message": "a"}, "ambiguous message"),
        ({"requeste": "connect to map"}, "bad field"),
        ({"requeste": "connect to map", "map": 3}, "bad field"),
        ({"requeste": "connect to map", "map": "ville", "tank": 3}, "bad field"),
        ({"requeste": "buy tank"}, "bad field"),
        (STILL, "not on a map"),
        ({"quit the map": True}, "not on a map"),
        ({"name": "x", "password": "y", "newuser": False}, "unknown message"),
        ({"message": "a", "rid": []}, "bad field"),
        ({"message": ""}, "bad field"),
        ({"message": "x" * 501}, "bad field"),
        ({"message": 3}, "bad field"),
    ],
)
def test_messages_in_the_lobby(world, message, code):
    ada = talk(world, "ada").send(**message)
    rid = message.get("rid")
    assert ada.take() == [{"error": code, "crid": rid if isinstance(rid, int) else None}]


@pytest.mark.parametrize(
    "message", [{"message": "a"}, {"requeste": "list map"}, STILL, {"quit the map": True}]
)
def test_before_login_only_a_login_is_understood(world, message):
    talker = Talker(world, world.tanks).send(**message | {"rid": "r"})
    assert talker.take() == [{"error": "not logged in", "crid": "r"}]


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b'{"a":NaN}', b'{"a":1,"a":1}', b"\xff", b'{"a":1e999}', b'{"a":Tru}',
     b'{"a":' + b"[" * 9 + b"]" * 9 + b"}", b'{"m":"' + b"x" * 5000 + b'"}'],
)  # fmt: skip
def test_bad_json(world, line):
    ada = talk(world, "ada").send_bytes(line + b"\n")
    assert ada.take() == [{"error": "bad json", "crid": None}]


def test_bare_literals_are_understood_outside_strings(world):
    talker = Talker(world, world.tanks)
    talker.send_bytes(b'{"name":"ada","password":"True","newuser":True}\n')
    assert talker.last()["connection"] is True
    ada = enter(world, "bob")
    ada.take()
    ada.send_bytes(b'{"message":"a \\"True\\" None","rid":None}\n')
    assert ada.last()["message"] == 'a "True" None'
    ada.send_bytes(b'{"quit the map":True,"rid":3}\n')
    assert ada.last() == {"player": "bob", "quit the game": True}


@pytest.mark.parametrize(
    "bad",
    [
        {"fire": 0.5}, {"fire": True}, {"fire": "1"}, {"fire": None}, {"deplacementavant": "x"},
        {"rotationtank": True}, {"rotationcannon": []}, {"deplacementavant": None},
    ],
)  # fmt: skip
def test_bad_moves_do_not_kick(world, bad):
    ada = enter(world, "ada")
    ada.take()
    ada.send(**STILL | bad)
    assert ada.take() == [{"error": "bad field", "crid": None}]
    missing = {k: v for k, v in STILL.items() if k not in bad}
    ada.send(**missing)
    assert ada.take() == [{"error": "bad field", "crid": None}]
    assert not ada.closed


# ---------------------------------------------------------------- the lobby and maps
def test_entering_a_map(world):
    ada = enter(world, "ada", "ville")
    yes, mine = ada.take()
    assert yes["crid"] == "r-ada"
    assert yes["mapinfo"] == {
        "mapsize": [1600, 1200], "mapimage": "/maps/ville.png",
        "maprealimg": "/maps/ville-mask.png", "Otherplayerinfo": {},
    }  # fmt: skip
    info = mine["playerinfo"]
    assert mine["player"] == "ada"
    assert info.keys() == {"x", "y", "angle", "cannon", "life", "tank", "xp", "coin"}
    assert (info["life"], info["tank"]) == (60, "leger")
    bob = enter(world, "bob", "ville")
    (told,) = ada.take()
    yes, his = bob.take()
    assert told == his
    assert yes["mapinfo"]["Otherplayerinfo"] == {"ada": info}
    assert world.tanks.maps()["ville"]["state"] == "RUNNING"
    eve = talk(world, "eve")
    assert online(world)["bob"] == {"xp": 0, "map": "ville"}
    eve.send(requeste="spectate", map="ville", rid=1)
    assert eve.last()["mapinfo"]["Otherplayerinfo"].keys() == {"ada", "bob"}
    ada.send(**STILL)
    assert eve.last()["player"] == "ada"
    eve.send(**STILL)
    assert eve.last() == {"error": "not on a map", "crid": None}
    eve.send(**{"quit the map": True})
    ada.send(**STILL)
    assert eve.take() == []


def test_refused_entries(world):
    def no(talker, reason, **message):
        talker.take()
        talker.send(**{"requeste": "connect to map", "rid": 7} | message)
        assert talker.last() == {"reponse": "no", "reason": reason, "crid": 7}

    ada = talk(world, "ada")
    no(ada, "unknown map", map="nowhere")
    no(ada, "tank not owned", map="ville", tank="lourd")
    no(ada, "unknown map", requeste="spectate", map="x")
    ada.send(requeste="connect to map", map="ville")
    no(ada, "already on a map", map="prairie")
    no(ada, "already on a map", requeste="spectate", map="prairie")
    world.tanks.battles["prairie"].state = battles.CLOSING
    no(talk(world, "bob"), "closed", map="prairie")
    world.context.read_only = True
    no(talk(world, "cyd"), "closed", map="ville")


def test_a_full_map(world):
    for i in range(16):
        assert enter(world, f"p{i}").take()[0]["reponse"] == "yes"
    assert enter(world, "late").last() == {"reponse": "no", "reason": "full", "crid": "r-late"}


def test_quitting_and_losing_the_connection(world):
    ada, bob = pair(world)
    cyd = enter(world, "cyd")
    cyd.take(), ada.take(), bob.take()
    cyd.send(**{"quit the map": True, "rid": 1})
    gone = {"player": "cyd", "quit the game": True}
    assert cyd.take() == [gone]
    assert gone in ada.take()
    assert not cyd.closed
    cyd.send(requeste="connect to map", map="prairie", rid=2)
    assert cyd.last()["reason"] == "dead"  # who quits has fallen
    bob.disconnect()
    messages = ada.take()
    assert {"player": "bob", "quit the game": True} in messages
    closed = messages[-1]
    assert closed["map closed"] is True
    assert closed["winer"] == "ada"
    assert closed["crid"] == "r-ada"
    assert closed["playerclassement"][0]["player"] == "ada"
    assert online(world)["ada"]["map"] is None
    cyd.send(requeste="connect to map", map="prairie")
    assert cyd.take()[0]["reponse"] == "yes"


def test_leaving_before_the_fight_costs_nothing(world):
    ada = enter(world, "ada")
    ada.send(**{"quit the map": True})
    ada.take()
    ada.send(requeste="connect to map", map="prairie")
    assert ada.take()[0]["reponse"] == "yes"


# ---------------------------------------------------------------- moving
def test_a_move_is_applied_and_told_to_all(world):
    ada, bob = pair(world)
    place(world, "ada", 500, 500, 90)
    world.advance(0.1)
    move = {"deplacementavant": 12, "rotationtank": 10.0, "rotationcannon": -5.5, "fire": 0}
    ada.send(**move)
    assert ada.take() == bob.take() == [{"player": "ada"} | move]
    arena, slot = world.tanks.battles["prairie"].arena, fighter(world, "ada").slot
    assert arena.angle[slot] == 100
    assert arena.cannon[slot] == pytest.approx(354.5)
    assert arena.x[slot] == pytest.approx(500 + 12 * math.cos(math.radians(100)))
    assert arena.y[slot] == pytest.approx(500 + 12 * math.sin(math.radians(100)))


def test_walls_and_the_edge_clamp(world):
    ada = enter(world, "ada", "ville")
    ada.take()
    place(world, "ada", 100, 150, 0, "ville")  # a wall begins at x = 120
    world.advance(1)
    ada.send(**STILL | {"deplacementavant": 100})
    (told,) = ada.take()
    assert told["deplacementavant"] == pytest.approx(8, abs=1)
    world.advance(1)
    ada.send(**STILL | {"deplacementavant": 100})
    assert ada.take()[0]["deplacementavant"] == pytest.approx(0, abs=1)
    place(world, "ada", 20, 600, 180, "ville")
    world.advance(1)
    ada.send(**STILL | {"deplacementavant": 60})
    assert ada.take()[0]["deplacementavant"] == pytest.approx(8, abs=1)
    assert not ada.closed


@pytest.mark.parametrize(
    "cheat",
    [
        {"deplacementavant": 200}, {"deplacementavant": -200}, {"rotationtank": 200},
        {"rotationcannon": -300}, {"fire": 4}, {"fire": -1}, {"fire": 10**18},
        {"deplacementavant": 1e290},
    ],
)  # fmt: skip
def test_cheating_kicks(world, cheat):
    ada, bob = pair(world)
    world.advance(1)
    ada.send(**STILL | cheat)
    assert ada.closed
    assert ada.take()[-1] == {"player": "ada", "kick": 1}
    assert bob.take()[0] == {"player": "ada", "kick": 1}


@given(st.data())
@hypothesis_settings(max_examples=200)
def test_an_honest_client_is_never_kicked(data):
    """Up to 250 ms of jitter, bursts, pauses and a loss of pace."""
    tank = TANKS[data.draw(st.sampled_from(sorted(TANKS)))]
    spans = data.draw(st.lists(st.floats(0.005, 0.75), min_size=1, max_size=60))
    pauses = data.draw(st.lists(st.floats(0, 3), min_size=len(spans), max_size=len(spans)))
    delays = data.draw(st.lists(st.floats(0, JITTER_S), min_size=len(spans), max_size=len(spans)))
    budget = Budget(tank, 0.0)
    sent = arrived = 0.0
    shots = data.draw(st.booleans())
    loaded = 0.0
    for span, delay, pause in zip(spans, delays, pauses, strict=True):
        sent += span + max(pause - 2, 0)
        arrived = max(arrived, sent + delay)  # in order
        fired = int(shots and sent - loaded >= tank.reload_s)
        loaded = sent if fired else loaded
        assert (
            budget.spend(tank.turn * span, tank.turret * span, tank.speed * span, fired, arrived)
            == ""
        )


@given(st.floats(1.35, 5), st.integers(3, 30), st.integers(0, 2))
def test_a_cheat_is_caught_within_a_second(factor, rate, which):
    tank = TANKS["leger"]
    budget, now = Budget(tank, 0.0), 0.0
    rates = [tank.turn, tank.turret, tank.speed]
    while now <= 1.0 + 1 / rate:
        now += 1 / rate
        amounts = [0.0, 0.0, 0.0]
        amounts[which] = factor * rates[which] / rate
        if budget.spend(amounts[0], amounts[1], amounts[2], 0, now):
            return
    raise AssertionError("not caught")


def test_the_rate_of_moves(world):
    ada = enter(world, "ada")
    ada.take()
    for _ in range(70):
        ada.send(**STILL)
    told = ada.take()
    assert told.count({"error": "rate", "crid": None}) == 10
    assert not ada.closed


# ---------------------------------------------------------------- fighting
def test_a_hit_and_a_death(world):
    ada, bob = face_to_face(world)
    world.tanks.economy._profiles["bob"].xp = 4
    fire(world, ada)
    world.advance(1)
    told = bob.take()
    assert kinds(told) == ["deplacementavant", "life"]
    assert told[1] == {"player": "bob", "life": 40}
    fire(world, ada, 2)
    world.advance(1)
    told = [m for m in bob.take() if "deplacementavant" not in m]
    assert kinds(told)[:5] == ["life", "life", "dead", "coin", "coin"]
    assert told[2] == {"player": "bob", "dead": 1, "perte xp": 4}
    assert told[3] == {"player": "bob", "xp": 0, "coin": 0}
    assert told[4] == {"player": "ada", "xp": 20, "coin": 25}
    rewards = {m["player"]: (m["xp"], m["coin"]) for m in told[5:-1]}
    assert rewards == {"ada": (70, 125), "bob": (5, 0)}
    closed = told[-1]
    assert closed == {
        "map closed": True, "reason": "last tank alive", "winer": "ada", "crid": "r-bob",
        "playerclassement": [
            {"player": "ada", "rank": 1, "xp": 70, "coin": 125},
            {"player": "bob", "rank": 2, "xp": 5, "coin": 0},
        ],
    }  # fmt: skip
    run = next(iter(world.store.counted))[0]
    assert world.store.counted == {(run, "ada"): "victoire", (run, "bob"): "defaite"}
    assert world.tanks.maps()["prairie"]["state"] == "WAITING"


def test_the_dead_watch_and_chat(world):
    ada, bob = face_to_face(world)
    cyd = enter(world, "cyd")
    fire(world, ada, 3)
    world.advance(1)
    bob.take(), cyd.take()
    bob.send(**STILL | {"deplacementavant": 10_000})
    assert bob.take() == []
    bob.send(requeste="connect to map", map="prairie", rid=1)
    assert bob.last() == {"reponse": "no", "reason": "dead", "crid": 1}
    bob.send(message="well done", rid=2)
    assert bob.last() == {"player": "bob", "message": "well done", "crid": 2}
    assert cyd.last() == {"player": "bob", "message": "well done"}
    bob.send(**{"quit the map": True})
    assert bob.last() == {"player": "bob", "quit the game": True}
    assert world.tanks.battles["prairie"].state == "RUNNING"


def test_shells_stop_at_walls(world):
    ada, _bob = pair(world, "ville")
    place(world, "ada", 60, 200, 0, "ville")
    place(world, "bob", 260, 200, 0, "ville")  # a house stands between them
    fire(world, ada)
    world.advance(2)
    assert fighter(world, "bob", "ville").fell < 0
    assert world.tanks.battles["ville"].arena.life[fighter(world, "bob", "ville").slot] == 60


def test_time_is_up(world):
    ada, bob = pair(world)
    for _ in range(31):
        world.advance(10)
        ada.send(requeste="list map"), bob.send(requeste="list map")
    closed = next(m for m in ada.take() if "map closed" in m)
    assert closed["reason"] == "time is up"
    assert closed["winer"] is None
    assert [p["rank"] for p in closed["playerclassement"]] == [1, 1]
    assert sorted(world.store.counted.values()) == ["nul", "nul"]


def test_two_who_kill_each_other_at_once(world):
    ada, bob = face_to_face(world)
    arena = world.tanks.battles["prairie"].arena
    arena.life[:] = np.where(arena.life > 0, 20, arena.life)
    world.advance(1.01)
    ada.send(**STILL | {"fire": 1})
    bob.send(**STILL | {"fire": 1})
    world.advance(2)
    closed = next(m for m in ada.take() if "map closed" in m)
    assert closed["winer"] is None
    assert [p["rank"] for p in closed["playerclassement"]] == [1, 1]


def test_an_operators_stop(world):
    ada, bob = pair(world)
    world.tanks.stop(world.now)
    assert ada.last()["reason"] == "shutdown"
    ada.send(requeste="connect to map", map="ville", rid=1)
    assert ada.last()["reason"] == "closed"


def test_nobody_dies_while_it_cannot_be_kept(world):
    ada, bob = face_to_face(world)
    fire(world, ada, 3)
    world.context.read_only = True
    world.advance(5)
    assert not [m for m in bob.take() if "dead" in m]
    world.context.read_only = False
    world.advance(5)
    assert [m for m in bob.take() if "dead" in m]
