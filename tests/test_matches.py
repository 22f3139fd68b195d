"""The match protocol, message by message, in virtual time (docs/matches.md)."""

import random

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given

from polypaint.conversation import LINE_BYTES_MAX, Lines
from polypaint.errors import Refused
from polypaint.matches import manager, table
from polypaint.matches.games import Game, NotYourTurn
from polypaint.matches.games.dessin import WORDS, Dessin, plain
from polypaint.matches.games.puissance4 import Puissance4
from polypaint.matches.messages import ALPHABET, ERRORS, REQUESTS
from polypaint.paint.packets import ADD_STROKE, LOBBY_CONNECT, LOBBY_PLAYER_KICK

from .world import Talker, World, lobby


@pytest.fixture
def world():
    return World()


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


# ---------------------------------------------------------------- framing and faults
@given(
    st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=12),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_any_chunking_gives_the_same_lines(lines, sizes):
    data = b"".join(line + b"\n" for line in lines)
    whole = Lines(16).feed(data)
    chunked, found, at, i = Lines(16), [], 0, 0
    while at < len(data):
        found += chunked.feed(data[at : at + sizes[i % len(sizes)]])
        at += sizes[i % len(sizes)]
        i += 1
    assert found == whole
    expected = [line.removesuffix(b"\r") for line in lines]
    assert whole == [None if len(line) > 16 else line for line in expected if line]


def test_a_line_without_end_holds_no_memory():
    lines = Lines()
    assert lines.feed(b"x" * (LINE_BYTES_MAX + 2)) == [None]
    for _ in range(100):
        assert lines.feed(b"x" * 100_000) == []
    assert len(lines._rest) == 0
    assert lines.feed(b"x\n{}\n") == [b"{}"]


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b"3", b"null", b'{"a":NaN}', b'{"a":1e999}', b'{"a":1,"a":2}', b"\xff",
        b'{"a":"\xff"}', b'{"a":' + b"[" * 9 + b"]" * 9 + b"}", b'{"a":"\\ud800"}',
    ],
)  # fmt: skip
def test_what_is_no_object_is_answered_json(world, line):
    assert talk(world).send_bytes(line + b"\n").last()["erreur"] == "json"


def test_a_line_that_is_too_long(world):
    talker = talk(world)
    talker.send_bytes(b'{"a":"' + b"x" * LINE_BYTES_MAX + b'"}\n')
    assert talker.last()["erreur"] == "trop_grand"
    rest = b'{"requete":"lister","x":"%b"}'
    padded = rest % (b"y" * (LINE_BYTES_MAX - len(rest) + 2))
    assert len(padded) == LINE_BYTES_MAX
    assert talker.send_bytes(padded + b"\r\n\n\r\n").take() == [
        {"reponse": "parties", "parties": []}
    ]


def test_five_faults_within_ten_seconds_close(world):
    talker = talk(world)
    for _ in range(4):
        talker.send_bytes(b"{\n")
    world.advance(11)
    for _ in range(4):
        talker.send_bytes(b"{\n")
    assert not talker.closed
    talker.send_bytes(b"{\n")
    assert talker.closed
    assert [m["erreur"] for m in talker.messages] == ["json"] * 9


@pytest.mark.parametrize("rid", ["x" * 65, [], {}, "é" * 33])
def test_a_bad_rid_is_not_echoed(world, rid):
    answer = refused(talk(world), "champ", requete="lister", rid=rid)
    assert "rid" not in answer


@pytest.mark.parametrize("rid", ["x" * 64, 7, 1.5, True, False, "é" * 32])
def test_rids_are_echoed(world, rid):
    assert talk(world).send(requete="lister", rid=rid).last()["rid"] == rid
    assert refused(talk(world), "inconnu", requete="?", rid=rid)["rid"] == rid


def test_the_rate(world):
    talker = talk(world)
    for _ in range(250):
        talker.send(requete="lister")
    answers = talker.take()
    assert [m.get("erreur") for m in answers] == [None] * 200 + ["debit"] * 50
    world.advance(0.1)
    for _ in range(20):
        talker.send(requete="lister")
    assert sum("erreur" not in m for m in talker.take()) == 10


@pytest.mark.parametrize("name", ["stat", "fermer", "ouvrir", "etat", "note", "fermee", "", "x"])
def test_messages_between_servers_are_unknown_to_clients(world, name):
    refused(talk(world), "inconnu", requete=name, code_partie="x")


BAD = {
    "id_publique": [None, 3, "", "x" * 65, "a\nb", True, {}],
    "id_privee": [None, 3, "", "x" * 1025, []],
    "parametres": [None, 3, "x", []],
    "action": [None, 3, "x", [], True],
    "code_partie": [3, [], {}, True],
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_field_is_checked(world, name):
    code = create(world)
    good = {
        "id_publique": "ada", "id_privee": "pw", "code_partie": code, "action": {},
        "parametres": {"jeu": "puissance4"},
    }  # fmt: skip
    before = dict(world.journal.kept)
    for field in REQUESTS[name].fields:
        message = {f.name: good[f.name] for f in REQUESTS[name].fields} | {"requete": name}
        if not field.optional:
            without = {k: v for k, v in message.items() if k != field.name}
            assert field.name in refused(talk(world), "champ", **without)["message"]
        for value in BAD[field.name]:
            if not (field.optional and value is None):
                answer = refused(talk(world), "champ", **message | {field.name: value})
                assert field.name in answer["message"]
    assert world.journal.kept == before
    refused(talk(world), "champ", x=1)
    refused(talk(world), "champ", requete=3)


# ---------------------------------------------------------------- creating
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
    for _ in range(world.ground.settings.address_matches_max):
        talker.send(**message)
    refused(talker, "debit", **message)
    assert talk(world, "192.0.2.2").send(**message).last()["reponse"] == "code"


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
    stranger, ada = talk(world, "192.0.2.66"), talk(world, "192.0.2.1")
    private = ada.send(**message).last()["code_partie"]
    assert stranger.send(**message).last()["code_partie"] != private
    assert ada.send(**message).last()["code_partie"] == private
    taken = message | {"rid": 2, "parametres": {"jeu": "dessin"}}
    assert stranger.send(**taken).last()["reponse"] == "code"
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
    world.settle()
    for key, body in world.store.documents.items():
        if key[0] == manager.KIND:
            party = orjson.loads(body)
            del party["origine"]
            world.store.documents[key] = orjson.dumps(party)
    again = World(world.store, world.journal, world.now, seed=1)
    assert create(again, rid=1) == code


def test_the_list_is_made_only_when_it_changes(world, monkeypatch):
    made = []
    shown = manager.shown
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


# ---------------------------------------------------------------- coming and going
def test_both_are_told_when_somebody_comes(world):
    code = create(world)
    ada = talk(world).send(
        requete="connexion", id_publique="ada", id_privee="pw", code_partie=code, rid="r"
    )
    infos = ada.last()
    assert infos["rid"] == "r"
    assert infos["infos_partie"] == {
        "code_partie": code, "jeu": "puissance4", "etat": "OUVERTE", "seq": 0, "jeu_etat": {},
        "parametres": {"jeu": "puissance4", "joueurs": 2, "prive": False},
        "joueurs": [{"id_publique": "ada", "present": True}],
    }  # fmt: skip
    bob = enter(world, "bob", code)
    told = ada.last()
    assert "rid" not in told
    assert told["infos_partie"] == bob.last()["infos_partie"]
    assert told["infos_partie"]["etat"] == "EN_COURS"
    assert told["infos_partie"]["jeu_etat"]["tour"] == "ada"


def test_the_creator_plays_first_whenever_they_come(world):
    code = create(world)
    enter(world, "bob", code)
    infos = enter(world, "ada", code).last()["infos_partie"]
    assert infos["jeu_etat"]["tour"] == "ada"
    assert [p["id_publique"] for p in infos["joueurs"]] == ["ada", "bob"]


def test_codes_may_be_typed_carelessly(world):
    code = create(world)
    typed = f" {code.lower().replace('0', 'o').replace('1', 'l')} "
    assert enter(world, "ada", typed).last()["reponse"] == "infos"


def test_identity(world):
    code = create(world)
    enter(world, "ada", code)
    wrong = {"requete": "connexion", "id_publique": "ada", "id_privee": "no", "code_partie": code}
    refused(talk(world), "identite", **wrong)
    assert world.store.passwords.keys() == {"ada"}
    refused(talk(world), "code_inconnu", **wrong | {"id_publique": "eve", "code_partie": "ZZZZZZ"})
    assert "eve" not in world.store.passwords


def test_one_match_a_connection(world):
    code, ada, _ = started(world)
    entering = {"requete": "connexion", "id_publique": "ada", "id_privee": "pw"}
    refused(ada, "occupe", **entering, code_partie=code)
    refused(ada, "identite", **entering | {"id_publique": "eve"}, code_partie=code)
    refused(ada, "occupe", requete="spectateur", code_partie=code)
    refused(ada, "identite", requete="action", id_publique="bob", action={"colonne": 1})
    refused(talk(world), "complet", **entering | {"id_publique": "eve"}, code_partie=code)
    refused(talk(world), "non_connecte", requete="action", id_publique="ada", action={})
    leaving = {"requete": "deconnexion", "id_publique": "ada", "id_privee": "no"}
    refused(ada, "identite", **leaving)
    refused(talk(world), "non_connecte", **leaving)


def test_the_code_may_be_missing_when_there_is_one_match(world):
    entering = {"requete": "connexion", "id_publique": "ada", "id_privee": "pw"}
    refused(talk(world), "code_requis", **entering)
    code = create(world)
    assert talk(world).send(**entering).last()["infos_partie"]["code_partie"] == code
    create(world)
    refused(talk(world), "code_requis", **entering)
    bob = enter(world, "bob", code)
    bob.disconnect()
    resumed = talk(world).send(requete="connexion", id_publique="bob", id_privee="pw")
    assert resumed.last()["infos_partie"]["code_partie"] == code


def test_a_seat_is_resumed_and_the_older_connection_closed(world):
    code, ada, bob = started(world)
    act(ada, "ada", colonne=3)
    again = enter(world, "ada", code)
    infos = again.last()["infos_partie"]
    assert infos["seq"] == 1
    assert infos["jeu_etat"]["grille"][5][3] == "ada"
    assert ada.closed
    act(bob, "bob", colonne=3)
    assert act(again, "ada", colonne=3)[-1]["seq"] == 3


def test_a_lost_seat_is_held_then_lost(world):
    code, ada, bob = started(world)
    bob.disconnect()
    assert ada.last()["infos_partie"]["joueurs"][1] == {"id_publique": "bob", "present": False}
    world.advance(59)
    assert ada.take() == []
    bob = enter(world, "bob", code)
    assert ada.last()["infos_partie"]["joueurs"][1]["present"]
    bob.disconnect()
    world.advance(61)
    update, infos = ada.take()[1:3]
    assert update["update_partie"]["joueur"] == "bob"
    assert update["update_partie"]["action"] is None
    assert (update["seq"], update["statut"]) == (1, "victoire")
    assert update["update_partie"]["jeu_etat"]["gagnant"] == "ada"
    assert infos["infos_partie"]["etat"] == "TERMINEE"
    refused(talk(world), "terminee", requete="connexion", id_publique="bob", id_privee="pw",
            code_partie=code)  # fmt: skip
    refused(ada, "terminee", requete="action", id_publique="ada", action={"colonne": 1})


def test_leaving_the_lobby_frees_the_seat(world):
    code = create(world)
    ada = enter(world, "ada", code)
    ada.send(requete="deconnexion", id_publique="ada", id_privee="pw", rid=4)
    assert ada.last() == {"reponse": "deconnecte", "rid": 4}
    assert not ada.closed
    refused(ada, "non_connecte", requete="action", id_publique="ada", action={})
    ada.send(requete="connexion", id_publique="ada", id_privee="pw", code_partie=code)
    assert ada.last()["reponse"] == "infos"
    ada.disconnect()
    world.advance(61)
    assert world.matches.table.matches[code].seats == {}
    assert not world.store.results


def test_leaving_during_play_loses(world):
    code, ada, bob = started(world)
    ada.send(requete="deconnexion", id_publique="ada", id_privee="pw")
    lost, gone = ada.take()
    assert (lost["statut"], lost["seq"]) == ("defaite", 1)
    assert gone == {"reponse": "deconnecte"}
    assert bob.take()[0]["statut"] == "victoire"
    assert world.store.results == {(code, "ada"): "defaite"}
    bob.disconnect()
    assert world.store.results[code, "bob"] == "victoire"
    assert world.matches.table.matches == {}
    assert world.matches.manager.parties[code]["etat"] == "FERMEE"
    refused(talk(world), "code_inconnu", requete="connexion", id_publique="bob", id_privee="pw",
            code_partie=code)  # fmt: skip


def test_a_match_that_is_never_filled_expires(world):
    code = create(world)
    ada = enter(world, "ada", code)
    ada.take()
    world.advance(table.EXPIRES_S + 1)
    assert ada.last()["infos_partie"]["etat"] == "EXPIREE"
    assert world.matches.table.matches == {}
    refused(ada, "code_inconnu", requete="spectateur", code_partie=code)
    world.advance(2)
    assert [k for k in world.store.documents if k[0] != "partie"] == []


# ---------------------------------------------------------------- play
def test_play_to_the_end(world):
    code, ada, bob = started(world)
    refused(bob, "pas_votre_tour", requete="action", id_publique="bob", action={"colonne": 1})
    (mine,) = act(ada, "ada", rid=9, colonne=0)
    (theirs,) = bob.take()
    assert mine.pop("rid") == 9
    assert mine == theirs
    assert mine["update_partie"]["action"] == {"colonne": 0}
    finish_rest = [(bob, "bob", 1), (ada, "ada", 0), (bob, "bob", 1), (ada, "ada", 0),
                   (bob, "bob", 1), (ada, "ada", 0)]  # fmt: skip
    for talker, name, column in finish_rest:
        act(talker, name, colonne=column)
    assert bob.take()[-1]["statut"] == "defaite"
    refused(ada, "terminee", requete="action", id_publique="ada", action={"colonne": 1})
    assert world.store.results == {}
    world.advance(table.RESULT_S + 1)
    assert world.store.results == {(code, "ada"): "victoire", (code, "bob"): "defaite"}
    refused(ada, "terminee", requete="action", id_publique="ada", action={"colonne": 1})
    stats = talk(world).send(requete="statistiques", id_publique="ada", rid=1).last()
    assert stats == {
        "reponse": "statistiques", "id_publique": "ada", "victoires": 1, "defaites": 0, "nuls": 0,
        "parties": [{"code_partie": code, "statut": "victoire"}], "rid": 1,
    }  # fmt: skip
    ranking = talk(world).send(requete="classement").last()["classement"]
    assert [(r["id_publique"], r["victoires"]) for r in ranking] == [("ada", 1), ("bob", 0)]
    nobody = talk(world).send(requete="statistiques", id_publique="x").last()
    assert (nobody["victoires"], nobody["parties"]) == (0, [])
    again = create(world)
    ada.send(requete="connexion", id_publique="ada", id_privee="pw", code_partie=again)
    assert ada.last()["reponse"] == "infos"


@pytest.mark.parametrize(
    "action", [{"colonne": v} for v in (7, -1, "3", True, 1.0, None, [])] + [{}, {"c": 1}]
)
def test_what_the_rules_refuse_changes_nothing(world, action):
    _, ada, _ = started(world)
    before = dict(world.journal.kept)
    refused(ada, "action_invalide", requete="action", id_publique="ada", action=action)
    assert world.journal.kept == before
    assert act(ada, "ada", colonne=1)[0]["seq"] == 1


def test_an_action_before_the_beginning(world):
    ada = enter(world, "ada", create(world))
    refused(ada, "pas_commencee", requete="action", id_publique="ada", action={"colonne": 1})


def test_spectators(world):
    code, ada, bob = started(world, prive=True)
    eve = talk(world).send(requete="spectateur", code_partie=code, rid=5)
    assert eve.last()["rid"] == 5
    refused(eve, "non_connecte", requete="action", id_publique="eve", action={"colonne": 1})
    refused(eve, "occupe", requete="spectateur", code_partie=code)
    finish(ada, bob)
    updates = [m for m in eve.take() if m["reponse"] == "update"]
    assert [m["seq"] for m in updates] == [1, 2, 3, 4, 5, 6, 7]
    assert not any("statut" in m or "rid" in m for m in updates)
    eve.disconnect()
    assert not world.matches.table.matches[code].spectators


def test_a_spectator_may_go_and_come_back_as_a_player(world):
    code = create(world)
    eve = talk(world).send(requete="spectateur", code_partie=code)
    eve.take()
    eve.send(requete="deconnexion", id_publique="eve", id_privee="pw", rid=1)
    assert eve.last() == {"reponse": "deconnecte", "rid": 1}
    for name in ("eve", "zoe"):
        eve.send(requete="connexion", id_publique=name, id_privee="pw", code_partie=code)
        assert eve.last()["reponse"] == "infos"
        eve.send(requete="deconnexion", id_publique=name, id_privee="pw")
    assert world.matches.table.matches[code].seats == {}


def test_how_it_ended_can_be_seen_after_a_restart(world):
    code, ada, bob = started(world)
    finish(ada, bob)
    again = World(world.store, world.journal, world.now, seed=1)
    infos = enter(again, "bob", code).last()
    assert infos["infos_partie"]["etat"] == "TERMINEE"
    assert infos["infos_partie"]["jeu_etat"]["gagnant"] == "ada"
    assert infos["statut"] == "defaite"
    assert again.store.results == {}
    again.advance(table.RESULT_S + 2)
    assert sorted(again.store.results.values()) == ["defaite", "victoire"]
    assert again.matches.table.matches == {}


def test_a_full_disk_refuses_what_would_be_lost(world):
    _, ada, bob = started(world)
    world.ground.read_only = True
    refused(ada, "debit", requete="action", id_publique="ada", action={"colonne": 1})
    refused(ada, "debit", requete="deconnexion", id_publique="ada", id_privee="pw")
    refused(talk(world), "debit", requete="creer", id_publique="x",
            parametres={"jeu": "puissance4"})  # fmt: skip
    bob.disconnect()
    world.advance(120)
    assert not [m for m in ada.take() if m["reponse"] == "update"]
    world.ground.read_only = False
    world.advance(2)
    assert [m["statut"] for m in ada.take() if m["reponse"] == "update"] == ["victoire"]


def test_statistics_while_the_store_is_away(world):
    world.store.broken = True
    refused(talk(world), "debit", requete="statistiques", id_publique="ada")
    code, ada, bob = started(world)
    finish(ada, bob)
    ada.disconnect(), bob.disconnect()
    world.advance(60)
    assert code in world.matches.table.matches
    world.store.broken = False
    world.advance(60)
    assert len(world.store.results) == 2
    assert code not in world.matches.table.matches


def test_conflicting_results_are_kept_apart(world):
    code, ada, bob = started(world)
    world.store.results[code, "ada"] = "nul"
    finish(ada, bob)
    world.advance(60)
    assert world.store.results[code, "ada"] == "nul"
    assert world.store.conflicts == [(code, "ada", "victoire")]
    assert world.troubles[0].details["player"] == "ada"
    assert code not in world.matches.table.matches


def test_a_match_whose_game_is_gone_is_cancelled(world):
    code, ada, _ = started(world)
    act(ada, "ada", colonne=1)
    world.book.save(world.now)
    world.settle()
    for name, body in world.store.documents.items():
        world.store.documents[name] = body.replace(b'"jeu":"puissance4"', b'"jeu":"echecs"')
    again = World(world.store, world.journal, world.now)
    assert again.troubles == [] or again.troubles[0].details["code"] == code
    again.advance(2)
    assert again.troubles[0].details["code"] == code
    assert again.matches.manager.parties[code]["etat"] == "ANNULEE"
    assert again.matches.table.matches == {}


def test_every_error_is_declared():
    assert set(ERRORS) == {
        "json", "inconnu", "champ", "trop_grand", "debit", "code_inconnu", "code_requis",
        "non_connecte", "identite", "complet", "pas_commencee", "pas_votre_tour", "terminee",
        "action_invalide", "occupe",
    }  # fmt: skip


# ---------------------------------------------------------------- games
@given(st.lists(st.integers(-1, 7), max_size=60))
def test_puissance4_follows_its_rules(columns):
    game = Puissance4(["a", "b"], {}, random.Random(0))
    stones = 0
    for column in columns:
        turn = "ab"[stones % 2]
        before = orjson.dumps(game.view(None))
        if game.results is not None:
            break
        with pytest.raises(NotYourTurn):
            game.act("ba"[stones % 2], {"colonne": column}, 0)
        try:
            game.act(turn, {"colonne": column}, 0)
        except Refused:
            assert orjson.dumps(game.view(None)) == before
            continue
        stones += 1
        board = game.view(None)["grille"]
        assert sum(cell is not None for row in board for cell in row) == stones
        won = any(
            all(
                0 <= r + i * dr < 6
                and 0 <= c + i * dc < 7
                and board[r + i * dr][c + i * dc] == turn
                for i in range(4)
            )
            for r in range(6)
            for c in range(7)
            for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1))
        )
        assert (game.results is not None) == (won or stones == 42)
        if won:
            assert game.results[turn] == "victoire"
            assert game.view(None)["gagnant"] == turn


def test_puissance4_drawn():
    game = Puissance4(["a", "b"], {}, random.Random(0))
    order = [int(c) for c in "015502320345364356222230416104501114435666"]
    for i, column in enumerate(order):
        if game.results is None:
            game.act("ab"[i % 2], {"colonne": column}, 0)
    assert game.results == {"a": "nul", "b": "nul"}
    assert game.view(None)["gagnant"] is None


def dessin(players="abc", **given):
    return Dessin(list(players), Dessin.parameters(given), random.Random(1))


def test_words_are_compared_as_people_type_them():
    assert plain("Cerf-Volant") == plain("cerf volant")
    assert plain("ÉLÉPHANT") == plain("elephant")
    assert plain("œil") == plain("oeil")
    assert len({plain(word) for word in WORDS}) == len(WORDS)


def test_dessin_plays_every_painter_once_and_counts_points():
    game = dessin(mots=["chat", "chien", "lune"], duree=100)
    painters = []
    now = 0
    while game.results is None:
        painter = game.view(None)["dessinateur"]
        painters.append(painter)
        word = game.view(painter)["mot"]
        others = [p for p in "abc" if p != painter]
        assert [game.view(p)["mot"] for p in [*others, None]] == [None] * 3
        with pytest.raises(Refused):
            game.act(painter, {"mot": word}, now)
        game.act(others[0], {"mot": "nonsense"}, now)
        assert game.shown(others[0], {"mot": "nonsense"}, others[1]) == {"mot": "nonsense"}
        now += 10_000
        game.act(others[0], {"mot": word.upper()}, now)
        assert game.shown(others[0], {"mot": word}, others[1]) == {"trouve": True}
        assert game.shown(others[0], {"mot": word}, others[0]) == {"mot": word}
        with pytest.raises(Refused):
            game.act(others[0], {"mot": word}, now)
        now += 10_000
        game.act(others[1], {"mot": word}, now)
    assert painters == ["a", "b", "c"]
    assert sum(game.view(None)["points"].values()) == 3 * (90 + 80 + 2 * 25)
    assert sorted(game.results.values()).count("victoire") <= 1


def test_dessin_goes_on_by_itself_when_time_is_up():
    game = dessin("ab", duree=10)
    assert game.due_ms() == 10_000
    game.tick(9_999)
    assert game.view(None)["tour"] == 1
    game.tick(10_000)
    assert game.view(None)["dernier"]["dessinateur"] == "a"
    assert game.view(None)["dessinateur"] == "b"
    game.tick(20_000)
    assert game.results == {"a": "nul", "b": "nul"}
    assert game.studio().painter is None


def test_dessin_without_its_painter():
    game = dessin("abc", tours=2)
    game.leave("a", 5)
    assert game.view(None)["dessinateur"] == "b"
    assert game.view(None)["tours"] == 4
    word = game.view("b")["mot"]
    game.act("c", {"mot": word}, 6)
    assert game.view(None)["dessinateur"] == "c"
    game.leave("b", 7)
    assert game.results == {"a": "defaite", "b": "defaite", "c": "victoire"}


def test_more_turns_than_words():
    game = dessin("ab", tours=5, mots=["chat"])
    for i in range(10):
        game.tick(80_000 * (i + 1))
    assert game.results is not None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 90)), max_size=60))
def test_games_are_functions_of_their_moves(steps):
    """Played again from the same moves, a game is in the same state."""
    moves, now = [], 0
    game = dessin("abcd", duree=60)
    for who, what, seconds in steps:
        if game.results is not None:
            break
        now += 1000 * seconds
        player = "abcd"[who]
        if game.due_ms() <= now:
            move = (None, None, now)
        elif what == 0 and player in game.seats:
            move = (player, None, now)
        elif player in game.seats:
            painter = game.view(None)["dessinateur"]
            word = game.view(painter)["mot"] if what < 4 else "nothing"
            move = (player, {"mot": word}, now)
        else:
            continue
        try:
            replay(game, move)
        except Refused:
            continue
        moves.append(move)
    again = dessin("abcd", duree=60)
    for move in moves:
        replay(again, move)
    for viewer in (*"abcd", None):
        assert again.view(viewer) == game.view(viewer)
    assert again.results == game.results


def replay(game: Game, move) -> None:
    player, action, now = move
    if player is None:
        game.tick(now)
    elif action is None:
        game.leave(player, now)
    else:
        game.act(player, action, now)


def test_who_draws_alone_may_draw_in_the_studio(world):
    code, ada, bob = started(world, jeu="dessin", mots=["chat", "chien"], duree=60)
    view = enter(world, "ada", code).last()["infos_partie"]["jeu_etat"]
    studio = view["atelier"]
    painters = [world.peer("ada"), world.peer("bob")]
    for peer in painters:
        peer.send(LOBBY_CONNECT, lobby(studio["salon"], passcode=studio["passe"]))
        peer.expect(LOBBY_CONNECT, 1)
        peer.take()
    for peer in painters:
        peer.send(ADD_STROKE, 0, b"rgba", 1, 1, [[1, 0]])
    canvas = world.service.lobbies[studio["salon"]].loaded
    assert len(canvas.strokes) == 1
    world.advance(61)
    assert len(canvas.strokes) == 0
    for peer in painters:
        peer.take()
        peer.send(ADD_STROKE, 0, b"rgba", 1, 1, [[1, 0]])
    assert len(canvas.strokes) == 1
    world.advance(61)
    assert studio["salon"] not in world.service.lobbies
    assert painters[0].values(LOBBY_PLAYER_KICK)
    assert world.store.kept == {}
    assert studio["salon"] not in World(world.store, world.journal, world.now).service.lobbies


def test_a_studio_that_is_kept(world):
    code, *_ = started(world, jeu="dessin", garder=True, duree=10)
    world.advance(21)
    assert f"dessin-{code}" in world.service.lobbies
    assert world.service.lobbies[f"dessin-{code}"].painters is None
    world.advance(100)
    assert f"dessin-{code}" in World(world.store, world.journal, world.now).service.lobbies


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
    world.settle()
    assert world.matches.table.matches == {}
    refused(talk(world), "code_inconnu", requete="spectateur", code_partie=code)
    world.advance(table.LATE_S + 1)
    assert world.matches.table._forgotten == set()


def test_a_match_server_that_has_forgotten_is_told_to_close_again(world):
    """After a killed match server, say: it cannot know that the match was played already."""
    _, opening = closed(world)
    world.matches.table._forgotten.clear()
    world.matches.table.receive(opening, world.now)
    world.settle()
    assert world.matches.table.matches == {}
    assert {kind for kind, _ in world.store.documents} <= {"partie"}
