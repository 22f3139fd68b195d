"""Tank players in a `World`: what tests of tanks do over and over."""

import orjson

from .world import Talker

STILL = {"deplacementavant": 0, "rotationtank": 0, "rotationcannon": 0, "fire": 0}


def talk(world, name="", password="pw"):
    talker = Talker(world, world.tanks)
    if name:
        new = name not in world.store.passwords
        talker.send(name=name, password=password, newuser=new)
        assert talker.take()[-1]["connection"] is True
    return talker


def enter(world, name, map_="prairie", **more):
    talker = talk(world, name)
    talker.send(**{"requeste": "connect to map", "map": map_, "rid": f"r-{name}"} | more)
    return talker


def pair(world, map_="prairie"):
    """Two players on a map."""
    ada, bob = enter(world, "ada", map_), enter(world, "bob", map_)
    ada.take(), bob.take()
    return ada, bob


def fighter(world, name, map_="prairie"):
    return world.tanks.battles[map_].fighters[name]


def place(world, name, x, y, angle=0.0, map_="prairie"):
    """Put somebody's tank somewhere."""
    arena, slot = world.tanks.battles[map_].arena, fighter(world, name, map_).slot
    arena.x[slot], arena.y[slot], arena.angle[slot], arena.cannon[slot] = x, y, angle, 0


def face_to_face(world):
    ada, bob = pair(world)
    place(world, "ada", 300, 500)
    place(world, "bob", 500, 500, 180)
    return ada, bob


def fire(world, talker, times=1):
    for _ in range(times):
        world.advance(1.01)
        talker.send(**STILL | {"fire": 1})


def kinds(messages):
    """What each message is, by the key that says it."""
    marks = ("life", "dead", "coin", "kick", "quit the game", "map closed", "deplacementavant",
             "playerinfo", "message", "message blocked", "error", "reponse")  # fmt: skip
    return [next(mark for mark in marks if mark in m) for m in messages]


def online(world):
    """`listplayercoinfo`."""
    return orjson.loads(orjson.dumps(world.tanks.online()))
