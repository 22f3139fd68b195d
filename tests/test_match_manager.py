"""Creating, listing and closing matches, in virtual time (docs/matches.md)."""

import orjson
import pytest

from polypaint.matches import manager, session
from polypaint.matches import match_server as table
from polypaint.matches.messages import ALPHABET

from .matching import create, enter, finish, refused, started, talk
from .world import World


@pytest.fixture
def world():
    return World()


def test_codes(world):
    codes = {create(world) for _ in range(50)}
    assert len(codes) == 50
    assert all(len(code) == 6 and set(code) <= set(ALPHABET) for code in codes)


def test_creating_is_idempotent_and_survives(world):
    code = create(world, rid=1)
    assert create(world, rid=1) == code
    assert create(world, rid="1") != code
    assert create(world, owner="bob", rid=1) != code
    given = {"jeu": "puissance4", "prive": True}
    refused(talk(world), "champ", requete="creer", id_publique="ada", parametres=given, rid=1)
    again = World(world.store, world.journal, world.now, seed=1)
    assert create(again, rid=1) == code
    again.advance(table.EXPIRES_S + 1)
    assert create(again, rid=1) == code
    again.advance(manager.REMEMBERED_S + 1)
    assert create(again, rid=1) != code


@pytest.mark.parametrize(
    "parameters",
    [
        {}, {"jeu": "x"}, {"jeu": 3}, {"jeu": "puissance4", "joueurs": 3},
        {"jeu": "puissance4", "joueurs": True}, {"jeu": "puissance4", "prive": 1},
        {"jeu": "puissance4", "x": 1}, {"jeu": "dessin", "joueurs": 9},
        {"jeu": "dessin", "joueurs": 1}, {"jeu": "dessin", "tours": 0},
        {"jeu": "dessin", "duree": 9}, {"jeu": "dessin", "mots": ["-"]},
        {"jeu": "dessin", "mots": "x"}, {"jeu": "dessin", "garder": 1}, {"jeu": "dessin", "x": 1},
    ],
)  # fmt: skip
def test_parameters_out_of_range(world, parameters):
    answer = refused(
        talk(world), "champ", requete="creer", id_publique="ada", parametres=parameters
    )
    assert "parametres" in answer["message"]
    assert not world.matches.manager.parties


def test_limits_on_creating():
    world = World(matches_max=3)
    for _ in range(3):
        create(world)
    message = {"requete": "creer", "id_publique": "a", "parametres": {"jeu": "puissance4"}}
    refused(talk(world), "debit", **message)
    world.advance(table.EXPIRES_S + 1)
    create(world)
    world = World()
    talker = talk(world, "192.0.2.1")
    for _ in range(world.context.settings.address_matches_max):
        talker.send(**message)
    refused(talker, "debit", **message)
    assert talk(world, "192.0.2.2").send(**message).last()["reponse"] == "code"


def test_nobody_creates_matches_faster_than_a_person(world):
    message = {"requete": "creer", "id_publique": "ada", "parametres": {"jeu": "puissance4"}}
    talker = talk(world)
    for _ in range(150):
        talker.send(**message)
    assert sum("erreur" not in m for m in talker.take()) == session.CREATED_BURST
    refused(talker, "debit", **message)
    world.advance(1)
    assert talker.send(**message).last()["reponse"] == "code"


def test_one_account_has_so_many_matches_that_are_not_over():
    world = World(account_matches_max=3)
    message = {"requete": "creer", "id_publique": "ada", "parametres": {"jeu": "puissance4"}}
    codes = [create(world) for _ in range(3)]
    refused(talk(world), "debit", **message)
    assert create(world, owner="bob")
    assert talk(world, "192.0.2.2").send(**message).last()["reponse"] == "code"
    again = World(world.store, world.journal, world.now, account_matches_max=3)
    refused(talk(again), "debit", **message)
    ada, bob = enter(again, "ada", codes[0]), enter(again, "bob", codes[0])
    finish(ada, bob)
    again.advance(table.RESULT_S + 5)
    assert create(again) not in codes


def test_a_stranger_who_guesses_a_rid_learns_no_code_and_takes_no_rid(world):
    given = {"jeu": "puissance4", "prive": True}
    message = {"requete": "creer", "id_publique": "ada", "parametres": given, "rid": 1}
    unauthenticated, ada = talk(world, "192.0.2.66"), talk(world, "192.0.2.1")
    private = ada.send(**message).last()["code_partie"]
    assert unauthenticated.send(**message).last()["code_partie"] != private
    assert ada.send(**message).last()["code_partie"] == private
    taken = message | {"rid": 2, "parametres": {"jeu": "dessin"}}
    assert unauthenticated.send(**taken).last()["reponse"] == "code"
    assert ada.send(**message | {"rid": 2}).last()["reponse"] == "code"
    again = World(world.store, world.journal, world.now, seed=1)
    assert talk(again, "192.0.2.1").send(**message).last()["code_partie"] == private
    assert talk(again, "192.0.2.66").send(**message).last()["code_partie"] != private


def test_a_rid_that_nobody_can_guess_holds_from_any_network(world):
    message = {
        "requete": "creer", "id_publique": "ada", "parametres": {"jeu": "puissance4"},
        "rid": "R" * manager.UNGUESSABLE,
    }  # fmt: skip
    code = talk(world, "192.0.2.1").send(**message).last()["code_partie"]
    assert talk(world, "192.0.2.2").send(**message).last()["code_partie"] == code


def test_what_an_older_version_has_kept_is_remembered(world):
    code = create(world, rid=1)
    world.book.save(world.now)
    world.run_effects()
    for key, body in world.documents.items():
        if key[0] == manager.KIND:
            party = orjson.loads(body)
            del party["origine"]
            world.store.documents[key] = orjson.dumps(party)
    again = World(world.store, world.journal, world.now, seed=1)
    assert create(again, rid=1) == code


def test_the_list_is_made_only_when_it_changes(world, monkeypatch):
    made = []
    shown = manager.shown  # type: ignore[attr-defined]
    monkeypatch.setattr(manager, "shown", lambda *given: (made.append(1), shown(*given))[1])
    for _ in range(30):
        create(world)
    talker = talk(world)
    for _ in range(100):
        talker.send(requete="lister")
    assert all(len(answer["parties"]) == 30 for answer in talker.take())
    assert len(made) == 30
    code = create(world)
    assert talker.send(requete="lister").last()["parties"][0]["code_partie"] == code


def test_creating_and_listing_do_not_walk_what_is_remembered_of_a_day():
    world = World()
    for i in range(50):
        create(world, owner=f"p{i}")
    world.advance(table.EXPIRES_S + 5)
    parties = world.matches.manager.parties
    assert {party["etat"] for party in parties.values()} == {"EXPIREE"}

    class Walked(dict):
        def __iter__(self):
            raise AssertionError("walked")

        items = values = keys = __reversed__ = __iter__

    world.matches.manager.parties = Walked(parties)
    code = create(world)
    listed = talk(world).send(requete="lister").last()["parties"]
    assert [entry["code_partie"] for entry in listed] == [code]


def test_the_list_of_open_matches(world):
    code = create(world)
    create(world, prive=True)
    listed = talk(world).send(requete="lister", rid=1).last()
    assert [p["code_partie"] for p in listed["parties"]] == [code]
    assert listed["parties"][0]["libres"] == 2
    enter(world, "ada", code)
    assert talk(world).send(requete="lister").last()["parties"][0]["libres"] == 1
    enter(world, "bob", code)
    assert talk(world).send(requete="lister").last()["parties"] == []


# ---------------------------------------------------------------- messages that come late
def closed(world):
    """(code, the `ouvrir` that opened it) of a match that was played, counted and closed."""
    sent = []
    world.bus._hand_over, plain_hand_over = (
        lambda role, message: (sent.append((role, message)), plain_hand_over(role, message))[1],
        world.bus._hand_over,
    )
    code, ada, bob = started(world)
    finish(ada, bob)
    for talker, name in ((ada, "ada"), (bob, "bob")):
        talker.send(requete="deconnexion", id_publique=name, id_privee="pw")
    world.advance(5)
    assert world.matches.manager.parties[code]["etat"] == "FERMEE"
    assert world.matches.table.matches == {}
    (opening,) = [m for role, m in sent if m.get("requete") == "ouvrir"]
    return code, opening


def test_a_late_message_does_not_bring_a_match_back(world):
    code, opening = closed(world)
    world.matches.table.receive(opening, world.now)
    world.run_effects()
    assert world.matches.table.matches == {}
    refused(talk(world), "code_inconnu", requete="spectateur", code_partie=code)
    world.advance(table.LATE_S + 1)
    assert world.matches.table._forgotten == set()


def test_a_match_server_that_has_forgotten_is_told_to_close_again(world):
    """After a killed match server, say: it cannot know that the match was played already."""
    _, opening = closed(world)
    world.matches.table._forgotten.clear()
    world.matches.table.receive(opening, world.now)
    world.run_effects()
    assert world.matches.table.matches == {}
    assert {kind for kind, _ in world.documents} <= {"partie"}
