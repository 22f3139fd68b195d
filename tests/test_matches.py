"""Matches from coming to the end, in virtual time (docs/matches.md)."""

import pytest

from polypaint.matches import match_server as table

from .matching import act, create, enter, finish, refused, started, talk
from .world import World


@pytest.fixture
def world():
    return World()


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
    assert not world.store.counted


def test_leaving_during_play_loses(world):
    code, ada, bob = started(world)
    ada.send(requete="deconnexion", id_publique="ada", id_privee="pw")
    lost, gone = ada.take()
    assert (lost["statut"], lost["seq"]) == ("defaite", 1)
    assert gone == {"reponse": "deconnecte"}
    assert bob.take()[0]["statut"] == "victoire"
    assert world.store.counted == {(code, "ada"): "defaite"}
    bob.disconnect()
    assert world.store.counted[code, "bob"] == "victoire"
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
    assert [k for k in world.documents if k[0] != "partie"] == []


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
    assert world.store.counted == {}
    world.advance(table.RESULT_S + 1)
    assert world.store.counted == {(code, "ada"): "victoire", (code, "bob"): "defaite"}
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


def test_spectators_are_no_strangers_but_counted(world):
    world = World(address_logins_max=4, address_spectators_max=6)
    code = create(world)
    address = "192.0.2.1"
    watching = []
    for _ in range(6):
        watching.append(talk(world, address))
        watching[-1].send(requete="spectateur", code_partie=code)
        assert watching[-1].last()["reponse"] == "infos"
    asking = [talk(world, address) for _ in range(4)]
    refused(asking[0], "complet", requete="spectateur", code_partie=code)
    assert talk(world, address).session is None, "strangers are counted as ever"
    watching.pop().send(requete="deconnexion", id_publique="x", id_privee="y")
    asking.pop().disconnect()
    assert talk(world, address).session is None, "who watches no more is a stranger again"
    for talker in (*watching, *asking):
        talker.disconnect()
    world.advance(1)
    assert talk(world, address).session is not None
    assert world.matches.table._spectators.by_address == {}
    for talker in list(world.peers.values()):
        talker.disconnect()
    assert not world.context._strangers
    assert world.context.connections == 0


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
    assert again.store.counted == {}
    again.advance(table.RESULT_S + 2)
    assert sorted(again.store.counted.values()) == ["defaite", "victoire"]
    assert again.matches.table.matches == {}


def test_a_full_disk_refuses_what_would_be_lost(world):
    _, ada, bob = started(world)
    world.context.read_only = True
    refused(ada, "debit", requete="action", id_publique="ada", action={"colonne": 1})
    refused(ada, "debit", requete="deconnexion", id_publique="ada", id_privee="pw")
    refused(talk(world), "debit", requete="creer", id_publique="x",
            parametres={"jeu": "puissance4"})  # fmt: skip
    bob.disconnect()
    world.advance(120)
    assert not [m for m in ada.take() if m["reponse"] == "update"]
    world.context.read_only = False
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
    assert len(world.store.counted) == 2
    assert code not in world.matches.table.matches


def test_conflicting_results_are_kept_apart(world):
    code, ada, bob = started(world)
    world.store.counted[code, "ada"] = "nul"
    finish(ada, bob)
    world.advance(60)
    assert world.store.counted[code, "ada"] == "nul"
    assert world.store.conflicting == [(code, "ada", "victoire")]
    assert world.troubles[0].details["player"] == "ada"
    assert code not in world.matches.table.matches


def test_a_match_whose_game_is_gone_is_cancelled(world):
    code, ada, _ = started(world)
    act(ada, "ada", colonne=1)
    world.book.save(world.now)
    world.run_effects()
    for name, body in world.documents.items():
        world.store.documents[name] = body.replace(b'"jeu":"puissance4"', b'"jeu":"echecs"')
    again = World(world.store, world.journal, world.now)
    assert again.troubles == [] or again.troubles[0].details["code"] == code
    again.advance(2)
    assert again.troubles[0].details["code"] == code
    assert again.matches.manager.parties[code]["etat"] == "ANNULEE"
    assert again.matches.table.matches == {}
