"""Games that fail: their match is cancelled with a reason, and nothing else is harmed."""

import random
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from polypaint.errors import Refused
from polypaint.matches import game_runner as running
from polypaint.matches import match_server as table
from polypaint.matches import move_log
from polypaint.matches.game_runner import GameFailed, own_parameters
from polypaint.matches.games import Game, GameLobby, NotYourTurn, fault
from polypaint.matches.games.puissance4 import Puissance4

from .matching import act, create, enter, finish, refused, started, talk
from .world import World


class Boom(Exception):
    """What our game raises."""


class Fragile(Game):
    """Every method calls what stands in `breaks` under its name, if anything does."""

    name = "fragile"
    players = range(2, 4)
    secret = True
    breaks: ClassVar[dict[str, Callable[[], Any]]] = {}

    def __init__(self, players, parameters, random):
        self._maybe("__init__")
        super().__init__(players, parameters, random)
        self.due = None

    def _maybe(self, method, usual=None):
        call = self.breaks.get(method)
        return usual if call is None else call()

    @classmethod
    def parameters(cls, given):
        call = cls.breaks.get("parameters")
        return given if call is None else call()

    def act(self, player, action, now_ms):
        self._maybe("act")
        if action.get("no"):
            raise Refused("no")
        if action.get("not yet"):
            raise NotYourTurn("not yet")
        if "due" in action:
            self.due = now_ms + action["due"]
        if action.get("end"):
            self.end([player])
            self.results = self._maybe("results", self.results)

    def leave(self, player, now_ms):
        self._maybe("leave")
        super().leave(player, now_ms)

    def view(self, viewer):
        return self._maybe("view", {"viewer": viewer})

    def shown(self, player, action, viewer):
        return self._maybe("shown", action)

    def due_ms(self):
        return self._maybe("due_ms", self.due)

    def tick(self, now_ms):
        self._maybe("tick")
        self.due = None

    def game_lobby(self):
        return self._maybe("game_lobby", GameLobby(None, False, 0))


def boom():
    raise Boom("as planned")


def leaves():
    raise SystemExit(3)


@pytest.fixture(autouse=True)
def _whole():
    Fragile.breaks = {}
    yield
    Fragile.breaks = {}


@pytest.fixture
def world():
    return World(games=[Fragile, Puissance4])


def check_the_server(world, before):
    """The failed match is cancelled and closed; another goes on; new ones can be played."""
    Fragile.breaks = {}
    code, other, players = before
    world.advance(5)
    assert world.matches.manager.parties[code]["etat"] == "ANNULEE"
    assert code not in world.matches.table.matches
    assert not [key for kind, key in world.documents if kind != "partie" and code in key]
    assert world.matches.counters["games_failed"] == 1
    (trouble,) = [t for t in world.troubles if t.what == "a game has failed"]
    assert trouble.details["code"] == code
    assert trouble.details["game"] == "fragile"
    for player in players:
        assert not player.closed
        assert not player.session.waiting
        player.take()
        assert player.send(requete="lister").last()["reponse"] == "parties"
    finish(*other)
    assert other[1].take()[-1]["statut"] == "defaite"
    assert world.store.counted == {}
    again = started(world, jeu="fragile")
    assert act(again[1], "ada", x=1)[-1]["seq"] == 1


def told_why(talker):
    """A seat hears that its match is cancelled, and why."""
    infos = [m for m in talker.take() if m.get("reponse") == "infos"][-1]
    assert infos["infos_partie"]["etat"] == "ANNULEE"
    assert infos["infos_partie"]["jeu_etat"] == {}
    assert "failed" in infos["motif"]


def test_the_beginning_fails(world):
    other = started(world)[1:]
    for method, fails in (("__init__", boom), ("due_ms", boom), ("game_lobby", leaves)):
        world.matches.counters["games_failed"] = 0
        world.troubles.clear()
        code = create(world, jeu="fragile")
        ada = enter(world, "ada", code)
        ada.take()
        Fragile.breaks = {method: fails}
        bob = talk(world)
        bob.send(requete="connexion", id_publique="bob", id_privee="pw", code_partie=code, rid=1)
        answer = bob.take()[-1]
        assert (answer["erreur"], answer["rid"]) == ("terminee", 1)
        told_why(ada)
        world.advance(2)
        assert world.matches.manager.parties[code]["etat"] == "ANNULEE"
        assert world.matches.counters["games_failed"] == 1
        Fragile.breaks = {}
    check_the_server(world, (code, other, [ada, bob]))


MOMENTS = [
    ("act", boom), ("act", leaves), ("act", lambda: [].pop()), ("view", boom), ("shown", boom),
    ("game_lobby", boom), ("due_ms", boom), ("view", lambda: None), ("view", lambda: {1: 2}),
    ("view", lambda: {"a": object()}), ("view", lambda: {"a": 1 << 70}),
    ("view", lambda: {"a": "x" * running.STATE_BYTES_MAX}), ("shown", lambda: {"a": {1}}),
    ("game_lobby", lambda: 3), ("due_ms", lambda: "soon"), ("due_ms", lambda: 1.5),
]  # fmt: skip


@pytest.mark.parametrize(("method", "fails"), MOMENTS)
def test_an_action_fails(world, method, fails):
    other = started(world)[1:]
    code, ada, bob = started(world, jeu="fragile")
    eve = talk(world).send(requete="spectateur", code_partie=code)
    act(ada, "ada", x=1)
    bob.take(), eve.take()
    Fragile.breaks = {method: fails}
    ada.send(requete="action", id_publique="ada", action={"x": 2}, rid=7)
    answer = ada.messages[-1]
    assert (answer["erreur"], answer["rid"]) == ("terminee", 7)
    for talker in (ada, bob, eve):
        told_why(talker)
    refused(ada, "terminee", requete="action", id_publique="ada", action={"x": 3})
    check_the_server(world, (code, other, [ada, bob, eve]))


@pytest.mark.parametrize(
    "results",
    [
        {}, {"ada": "victoire"}, {"ada": "victoire", "bob": "rien"}, ["ada"], "victoire",
        {"ada": "victoire", "bob": "defaite", "eve": "nul"}, {"ada": {}, "bob": "nul"},
    ],
)  # fmt: skip
def test_results_that_are_none_count_for_nothing(world, results):
    other = started(world)[1:]
    code, ada, bob = started(world, jeu="fragile")
    Fragile.breaks = {"results": lambda: results}
    refused(ada, "terminee", requete="action", id_publique="ada", action={"end": True})
    told_why(bob)
    check_the_server(world, (code, other, [ada, bob]))


@pytest.mark.parametrize("method", ["tick", "view", "due_ms", "game_lobby"])
def test_what_happens_by_itself_fails(world, method):
    other = started(world)[1:]
    code, ada, bob = started(world, jeu="fragile")
    act(ada, "ada", due=3000)
    Fragile.breaks = {method: boom}
    world.advance(4)
    told_why(ada)
    told_why(bob)
    check_the_server(world, (code, other, [ada, bob]))


@pytest.mark.parametrize("method", ["leave", "view", "game_lobby", "due_ms"])
@pytest.mark.parametrize("way", ["deconnexion", "lost", "held too long"])
def test_somebody_leaves_and_that_fails(world, way, method):
    other = started(world)[1:]
    code = create(world, jeu="fragile", joueurs=3)
    ada, bob, cyd = (enter(world, name, code) for name in ("ada", "bob", "cyd"))
    if way == "held too long":
        cyd.disconnect()
    ada.take(), bob.take()
    Fragile.breaks = {method: boom}
    if way == "deconnexion":
        cyd.send(requete="deconnexion", id_publique="cyd", id_privee="pw", rid=2)
        assert cyd.last() == {"reponse": "deconnecte", "rid": 2}
    elif way == "lost":
        cyd.disconnect()
    if way != "deconnexion":
        for talker in other:
            talker.take()
        world.advance(61)
    told_why(ada)
    told_why(bob)
    check_the_server(world, (code, other, [ada, bob]))


@pytest.mark.parametrize("way", ["spectateur", "connexion"])
def test_somebody_comes_to_look_and_that_fails(world, way):
    other = started(world)[1:]
    code, ada, bob = started(world, jeu="fragile")
    if way == "connexion":
        bob.disconnect()
    Fragile.breaks = {"view": boom}
    eve = talk(world)
    if way == "spectateur":
        refused(eve, "terminee", requete="spectateur", code_partie=code, rid=1)
    else:
        refused(eve, "terminee", requete="connexion", id_publique="bob", id_privee="pw",
                code_partie=code, rid=1)  # fmt: skip
    told_why(ada)
    check_the_server(world, (code, other, [ada, eve]))


@pytest.mark.parametrize("fails", [boom, leaves, lambda: None, lambda: {"x": object()}])
def test_parameters_fail(world, fails):
    Fragile.breaks = {"parameters": fails}
    given = {"jeu": "fragile"}
    refused(talk(world), "champ", requete="creer", id_publique="ada", parametres=given)
    assert not world.matches.manager.parties
    assert world.matches.counters["games_failed"] == 1
    Fragile.breaks = {}
    assert create(world, jeu="fragile")


def test_what_ended_well_counts_though_it_cannot_be_shown_any_more(world):
    code, ada, bob = started(world, jeu="fragile")
    assert act(ada, "ada", end=True)[-1]["statut"] == "victoire"
    bob.take()
    Fragile.breaks = {"view": boom, "game_lobby": boom}
    eve = talk(world).send(requete="spectateur", code_partie=code)
    assert eve.last()["infos_partie"]["jeu_etat"] == {}
    bob.send(requete="deconnexion", id_publique="bob", id_privee="pw")
    again = World(world.store, world.journal, world.now, seed=1, games=[Puissance4])
    again.advance(table.RESULT_S + 5)
    assert world.store.counted == {(code, "ada"): "victoire", (code, "bob"): "defaite"}
    assert again.matches.manager.parties[code]["etat"] == "FERMEE"


@pytest.mark.parametrize("method", ["__init__", "act", "tick", "leave", "view"])
def test_a_restart_fails(world, method):
    code = create(world, jeu="fragile", joueurs=3)
    ada, *_, cyd = (enter(world, name, code) for name in ("ada", "bob", "cyd"))
    act(ada, "ada", due=10)
    world.advance(1)
    cyd.send(requete="deconnexion", id_publique="cyd", id_privee="pw")
    whole = started(world)[0]
    Fragile.breaks = {method: boom}
    again = World(world.store, world.journal, world.now, seed=1, games=[Fragile, Puissance4])
    Fragile.breaks = {} if method != "view" else Fragile.breaks
    enter(again, "ada", code)
    again.advance(2)
    assert again.matches.manager.parties[code]["etat"] == "ANNULEE"
    assert set(again.matches.table.matches) == {whole}
    assert enter(again, "ada", whole).last()["infos_partie"]["etat"] == "EN_COURS"


def test_refusals_are_no_failures(world):
    _, ada, _ = started(world, jeu="fragile")
    refused(ada, "action_invalide", requete="action", id_publique="ada", action={"no": 1})
    refused(ada, "pas_votre_tour", requete="action", id_publique="ada", action={"not yet": 1})
    assert world.matches.counters["games_failed"] == 0


# ---------------------------------------------------------------- bounds
def test_a_game_that_is_always_due_does_not_stop_the_server(world):
    code, ada, _ = started(world, jeu="fragile")
    act(ada, "ada", x=1)
    Fragile.breaks = {"due_ms": lambda: 0}
    act(ada, "ada", x=1)
    world.advance(1)
    moves = world.matches.table.matches[code].seq
    assert 50 <= moves <= 1.1 / table.TICK_S_MIN


def test_a_game_that_never_ends_is_cancelled(world, monkeypatch):
    monkeypatch.setattr(table, "MOVES_MAX", 20)
    monkeypatch.setattr(table, "BY_ITSELF_MAX", 5)
    code, ada, bob = started(world, jeu="fragile")
    Fragile.breaks = {"due_ms": lambda: 0}
    act(ada, "ada", x=1)
    world.advance(60)
    told_why(bob)
    assert code not in world.matches.table.matches


def test_a_match_takes_so_many_actions(world, monkeypatch):
    monkeypatch.setattr(Fragile, "moves_max", 5)
    code, ada, bob = started(world, jeu="fragile")
    for i in range(5):
        assert act(ada, "ada", x=i)[-1]["seq"] == i + 1
    refused(ada, "action_invalide", requete="action", id_publique="ada", action={"x": 6})
    bob.send(requete="deconnexion", id_publique="bob", id_privee="pw")
    assert ada.take()[-1]["infos_partie"]["etat"] == "TERMINEE"
    assert code in world.matches.table.matches


def test_a_player_acts_as_fast_as_a_person(world, monkeypatch):
    monkeypatch.setattr(Fragile, "pace", (1.0, 3.0))
    _, ada, bob = started(world, jeu="fragile")
    assert [m.get("erreur") for i in range(5) for m in act(ada, "ada", x=i)] == [
        None, None, None, "debit", "debit",
    ]  # fmt: skip
    assert act(bob, "bob", x=1)[-1]["reponse"] == "update"
    world.advance(1)
    assert act(ada, "ada", x=1)[-1]["reponse"] == "update"


def test_moves_are_forgotten_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(move_log, "FORGOTTEN_AT_ONCE", 10)
    monkeypatch.setattr(Fragile, "pace", None)
    world = World(games=[Fragile])
    code, ada, bob = started(world, jeu="fragile")
    for i in range(45):
        world.advance(0.1)
        act(ada, "ada", x=i)
    act(ada, "ada", end=True)
    removed, remove = [], world.book.remove

    def count(kind, key, now):
        if kind == move_log.KIND:
            removed.append(now)
        remove(kind, key, now)

    monkeypatch.setattr(world.book, "remove", count)
    ada.disconnect(), bob.disconnect()
    for _ in range(100):
        if code not in world.matches.table.matches:
            break
        world.advance(0.01)
    store, journal = world.store.fork(), world.journal.fork()
    again = World(store, journal, world.now, seed=1, games=[Fragile])
    world.advance(5)
    assert len(removed) == 46
    assert max(removed.count(at) for at in removed) == 10
    assert {kind for kind, _ in world.documents} == {"partie"}
    again.advance(5)  # killed in the middle of it
    assert {kind for kind, _ in again.documents} == {"partie"}


def test_what_cannot_be_a_game():
    def game(**changed: Any) -> Any:
        return type("X", (Fragile,), changed)

    assert fault(Fragile) == fault(game()) == ""
    for wrong in (
        3, dict, Game, game(name=3), game(players=2), game(players=range(3)),
        game(players=range(2, 9, 2)), game(players=range(2, 1000)), game(moves_max=0),
        game(moves_max=True), game(pace=(0, 1)), game(pace=3), game(hidden="x"),
    ):  # fmt: skip
        assert fault(wrong), wrong


def test_a_game_that_is_interrupted_is_not_taken_for_one_that_fails():
    def interrupt():
        raise KeyboardInterrupt

    game = running.RunningGame(Fragile, ["a", "b"], {}, random.Random(0))
    Fragile.breaks = dict.fromkeys(("parameters", "act", "view"), interrupt)
    with pytest.raises(KeyboardInterrupt):
        own_parameters(Fragile, {})
    with pytest.raises(KeyboardInterrupt):
        game.act("a", {}, 0)
    with pytest.raises(KeyboardInterrupt):
        game.view("a", {})
    Fragile.breaks = {"view": boom}
    with pytest.raises(GameFailed, match="as planned"):
        game.view("a", {})
