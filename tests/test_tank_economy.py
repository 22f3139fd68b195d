"""Xp, coins and results of tanks, also across kills (docs/tanks.md, section 4)."""

import random
from functools import partial

import orjson
import pytest

from polypaint.engine.documents import change
from polypaint.engine.journal_buffer import DOCUMENTS, records
from polypaint.tanks import battle as battles

from .driving import STILL, enter, fire, pair, place, talk
from .world import Talker, World


@pytest.fixture
def world():
    return World()


def test_buying(world):
    ada = talk(world, "ada")
    ada.send(requeste="buy tank", tank="moyen", rid=1)
    assert ada.last() == {
        "reponse": "no", "reason": "not enough coins", "crid": 1, "xp": 0, "coin": 0,
    }  # fmt: skip
    profile = world.tanks.economy._profiles["ada"]
    world.tanks.economy.enter("gift", "1", profile, 0, 350, world.now)
    assert world.tanks.economy.enter("gift", "1", profile, 0, 350, world.now) == (0, 0)
    for tank, answer, reason in (
        ("x", "no", "unknown tank"), ("leger", "no", "already owned"), ("moyen", "yes", None),
        ("moyen", "no", "already owned"), ("lourd", "no", "not enough coins"),
    ):  # fmt: skip
        ada.send(requeste="buy tank", tank=tank)
        told = ada.last()
        assert (told["reponse"], told["reason"]) == (answer, reason)
    assert told["coin"] == 50
    ada.send(requeste="connect to map", map="prairie", tank="moyen")
    assert ada.take()[1]["playerinfo"]["tank"] == "moyen"
    ada.send(requeste="buy tank", tank="lourd")
    assert ada.last()["reason"] == "on a map"
    ada.disconnect()
    again = World(world.store, world.journal, world.now)
    told = Talker(again, again.tanks).send(name="ada", password="pw", newuser=False).last()
    assert told["myinfo"]["coin"] == 50
    assert told["myinfo"]["tanklist"].keys() == {"leger", "moyen"}


def check_ledger(store):
    """Every balance is the sum of its entries, and none is below zero."""
    sums = {}
    for (kind, _), body in store.documents.items():
        if kind == "ecriture":
            entry = orjson.loads(body)
            xp, coin = sums.get(entry["joueur"], (0, 0))
            sums[entry["joueur"]] = (xp + entry["xp"], coin + entry["coin"])
    for (kind, name), body in store.documents.items():
        if kind == "char":
            balance = orjson.loads(body)
            assert sums[name] == (balance["xp"], balance["coin"])
            assert min(sums[name]) >= 0
    return sums


class Killed(BaseException):
    pass


@pytest.mark.parametrize("seed", range(60))
def test_kills_of_the_server_take_nothing_back(seed):
    """What a player was shown of xp and coins is there after any kill; nothing counts twice."""
    rng = random.Random(seed)
    world = World(seed=seed)
    names = ["ada", "bob", "cyd"]
    kept = {name: [(0, 0)] for name in names}
    talkers: dict[str, Talker] = {}

    def committed(_number, batch):
        for stream, _, record in records(batch):
            if stream == DOCUMENTS:
                (kind, name), body = change(record)
                if kind == "char":
                    balance = orjson.loads(body or b"")
                    kept[name].append((balance["xp"], balance["coin"]))

    def die(_point):
        if rng.random() < 0.01:
            raise Killed

    def listen():
        for name, talker in talkers.items():
            for message in talker.messages:
                shown = []
                if "coin" in message:
                    shown.append((message.get("player", name), message))
                elif "playerclassement" in message:
                    shown += [(p["player"], p) for p in message["playerclassement"]]
                elif "myinfo" in message:
                    shown.append((name, message["myinfo"]))
                for who, balance in shown:
                    assert (balance["xp"], balance["coin"]) in kept[who], (
                        "shown before it was kept"
                    )
            talker.messages = []

    def act():
        name = rng.choice(names)
        talker = talkers.get(name)
        if talker is None or talker.closed:
            talker = talkers[name] = Talker(world, world.tanks)
            new = name not in world.store.passwords
            talker.send(name=name, password="pw", newuser=new)
            talker.send(requeste="connect to map", map="prairie")
        elif talker.session.battle is None:
            talker.send(requeste="buy tank", tank="moyen")
            talker.send(requeste="connect to map", map="prairie")
        elif rng.random() < 0.02:
            talker.disconnect()
        else:
            battle = talker.session.battle
            others = [f for f in battle.fighting() if f is not talker.session.fighter]
            if others and talker.session.fighter is not None:
                place(world, name, 300, 500)
                place(world, others[0].name, 400, 500)
            talker.send(**STILL | {"fire": 1})

    kills = 0
    for _ in range(400):
        world.at, world.flushed = die, committed
        try:
            act()
            world.advance(rng.choice((0.2, 1.05, 1.05)))
        except Killed:
            kills += 1
            listen()
            talkers.clear()
            world = World(world.store, world.journal, world.now, seed=seed + 1000 * kills)
        listen()
    world.at = lambda _point: None
    for talker in talkers.values():
        talker.disconnect()
    world.advance(60)
    sums = check_ledger(world.store)
    for name in names:
        assert sums.get(name, (0, 0)) == kept[name][-1], "what was kept is there"
    assert world.tanks._results == set()
    assert kills


# ---------------------------------------------------------------- who there was to fight
def test_a_second_account_that_comes_and_goes_makes_no_victories(world):
    ada, bob = talk(world, "ada"), talk(world, "bob")
    for _ in range(20):
        for talker in (ada, bob):
            talker.send(requeste="connect to map", map="prairie")
        bob.send(**{"quit the map": True})
        closed = [m for m in ada.take() if "map closed" in m]
        assert closed[0]["winer"] == "ada"
        world.advance(0.5)
    world.advance(60)
    assert world.store.counted == {}
    assert orjson.loads(orjson.dumps(world.tanks.online()))["ada"]["xp"] == 0


def test_who_stayed_for_a_while_was_there_to_fight(world):
    ada, bob = pair(world)
    cyd = enter(world, "cyd")
    world.advance(battles.PLAYED_S + 0.1)
    bob.send(**{"quit the map": True})
    cyd.send(**{"quit the map": True})
    assert (ada.take()[-2]["xp"], ada.session.profile.coin) == (battles.WIN_XP, battles.WIN_COIN)
    world.advance(5)
    statuts = {player: statut for (_, player), statut in world.store.counted.items()}
    assert statuts == {"ada": "victoire", "bob": "defaite", "cyd": "defaite"}


def test_who_came_at_the_end_has_not_taken_part(world):
    pair(world)
    world.advance(battles.PLAYED_S + 0.1)
    late = enter(world, "late")
    late.send(**{"quit the map": True})
    world.tanks.battles["prairie"].close("time is up", world.now)
    world.advance(5)
    assert {player for _, player in world.store.counted} == {"ada", "bob"}


def test_ranks_of_many_who_fell(world):
    """The same ranks as counting who is better, without comparing everybody with everybody."""
    battle = world.tanks.battles["prairie"]
    pair(world)
    rng = random.Random(1)
    for i in range(300):
        name = f"p{i}"
        battle.fighters[name] = copy = object.__new__(battles.Fighter)
        copy.__dict__.update(battle.fighters["ada"].__dict__, name=name, fell=rng.randrange(50))
    ranks = battle._ranks()
    fell = {name: f.fell if f.fell >= 0 else 1000 for name, f in battle.fighters.items()}
    for name, rank in ranks.items():
        assert rank == 1 + sum(other > fell[name] for other in fell.values())


# ---------------------------------------------------------------- bots of the server
def bot(world, name):
    talker = Talker(world, world.tanks, connect=partial(world.tanks.connect_bot, name))
    talker.send(requeste="connect to map", map="prairie")
    return talker


def test_a_bot_needs_no_account_and_leaves_nothing_behind(world):
    ada = enter(world, "ada")
    robot = bot(world, "robot-1")
    assert robot.take()[0]["connection"] is True
    place(world, "ada", 300, 500)
    place(world, "robot-1", 500, 500, 180)
    fire(world, ada, 3)
    world.advance(5)
    assert next(m for m in ada.take() if "map closed" in m)["winer"] == "ada"
    assert ada.session.profile.coin == battles.KILL_COIN + battles.WIN_COIN
    assert world.store.counted == {}, "a victory over bots is none"
    assert world.store.passwords.keys() == {"ada"}
    robot.disconnect()
    assert not [key for _, key in world.documents if "robot-1" in key.split(":")[-1]]


def test_a_person_who_is_called_like_a_bot_keeps_what_is_theirs(world):
    world.add_account("robot-1")  # of old
    person = talk(world, "robot-1")
    world.tanks.economy.enter("gift", "1", person.session.profile, 5, 300, world.now)
    person.disconnect()
    robot = bot(world, "robot-1")
    again = talk(world, "robot-1")
    assert robot.closed
    assert (again.session.profile.xp, again.session.profile.coin) == (5, 300)
