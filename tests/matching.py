"""Players of matches in a `World`: what tests of matches do over and over."""

from .world import Talker


def talk(world, address="127.0.0.1"):
    return Talker(world, world.matches, address)


def create(world, owner="ada", rid=None, **parameters):
    talker = talk(world)
    given = {"jeu": "puissance4"} | parameters
    talker.send(requete="creer", id_publique=owner, parametres=given, rid=rid)
    return talker.last()["code_partie"]


def enter(world, name, code, private="pw"):
    talker = talk(world)
    talker.send(requete="connexion", id_publique=name, id_privee=private, code_partie=code)
    return talker


def act(talker, name, rid=None, **action):
    talker.send(requete="action", id_publique=name, action=action, rid=rid)
    return talker.take()


def started(world, **parameters):
    """(code, ada, bob) of a match that has just begun."""
    code = create(world, **parameters)
    ada, bob = enter(world, "ada", code), enter(world, "bob", code)
    ada.take(), bob.take()
    return code, ada, bob


def finish(ada, bob):
    """Ada wins."""
    for i in range(7):
        talker, name = ((ada, "ada"), (bob, "bob"))[i % 2]
        act(talker, name, colonne=i % 2)


def refused(talker, code, **message):
    talker.take()
    talker.send(**message)
    answer = talker.last()
    assert answer["erreur"] == code, answer
    assert answer["message"]
    return answer
