"""What is due by itself goes on being due, whatever was raised the last time."""

import pytest

from polypaint.matches.match_server import TICK_AGAIN_S
from polypaint.tanks import battle as battles

from .driving import face_to_face, fire, kinds
from .matching import act, started
from .test_failing_games import Fragile
from .world import World


class Injected(Exception):
    """Nobody expects this."""


class Once:
    """Raises the first time, then does what it stands in for."""

    def __init__(self, real) -> None:
        self.real, self.fired = real, 0

    def __call__(self, *args):
        self.fired += 1
        if self.fired == 1:
            raise Injected
        return self.real(*args)


@pytest.fixture
def world():
    made = World(games=[Fragile])
    made.injected = Injected
    return made


def test_shells_fly_on(world, monkeypatch):
    ada, bob = face_to_face(world)
    battle = world.tanks.battles["prairie"]
    once = Once(battle.arena.step)
    monkeypatch.setattr(battle.arena, "step", once)
    fire(world, ada)
    world.advance(5)
    assert len(world.failures) == 1
    assert "life" in kinds(bob.take())
    assert not battle.arena.flying


@pytest.mark.parametrize("broken", ["_ranks", "_reward", "_counted"])
def test_a_map_opens_again(world, monkeypatch, broken):
    ada, bob = face_to_face(world)
    battle = world.tanks.battles["prairie"]
    monkeypatch.setattr(battle, broken, Once(getattr(battle, broken)))
    world.advance(battles.TIME_S + 1)
    assert len(world.failures) == 1
    assert battle.state == battles.DISPOSED
    for talker in (ada, bob):
        assert "map closed" in kinds(talker.take())
        talker.send(requeste="connect to map", map="prairie", rid="again")
        assert "reponse" in kinds(talker.take())
    assert world.tanks.battles["prairie"].alive == 2


def test_a_game_is_called_again(world, monkeypatch):
    code, ada, bob = started(world, jeu="fragile")
    act(ada, "ada", due=500)
    bob.take()
    once = Once(world.matches.table._moved)
    monkeypatch.setattr(world.matches.table, "_moved", once)
    world.advance(0.6)
    assert len(world.failures) == 1
    world.advance(TICK_AGAIN_S)
    assert once.fired == 2
    assert [m["reponse"] for m in bob.take()] == ["update"]
    assert world.matches.table.matches[code].state == "EN_COURS"
