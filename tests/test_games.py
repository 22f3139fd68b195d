"""The rules of the games, and the paint lobby that goes with one (docs/matches.md, section 4)."""

import random

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given

from polypaint.errors import Refused
from polypaint.matches.games import Game, NotYourTurn
from polypaint.matches.games.dessin import WORDS, Dessin, plain
from polypaint.matches.games.puissance4 import Puissance4
from polypaint.paint.packets import ADD_STROKE, LOBBY_CONNECT, LOBBY_PLAYER_KICK

from .matching import enter, started
from .world import World, lobby


@pytest.fixture
def world():
    return World()


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
            assert game.results[turn] == "victoire"  # type: ignore[index]
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
    allowed_authors = []
    now = 0
    while game.results is None:
        painter = game.view(None)["dessinateur"]
        allowed_authors.append(painter)
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
    assert allowed_authors == ["a", "b", "c"]
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
    assert game.game_lobby().painter is None


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
            move: tuple[str | None, dict | None, int] = (None, None, now)
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
    game_lobby = view["atelier"]
    allowed_authors = [world.peer("ada"), world.peer("bob")]
    for peer in allowed_authors:
        peer.send(LOBBY_CONNECT, lobby(game_lobby["salon"], passcode=game_lobby["passe"]))
        peer.expect(LOBBY_CONNECT, 1)
        peer.take()
    for peer in allowed_authors:
        peer.send(ADD_STROKE, 0, b"rgba", 1, 1, [[1, 0]])
    canvas = world.service.lobbies[game_lobby["salon"]].loaded
    assert len(canvas.strokes) == 1
    world.advance(61)
    assert len(canvas.strokes) == 0
    for peer in allowed_authors:
        peer.take()
        peer.send(ADD_STROKE, 0, b"rgba", 1, 1, [[1, 0]])
    assert len(canvas.strokes) == 1
    world.advance(61)
    assert game_lobby["salon"] not in world.service.lobbies
    assert allowed_authors[0].values(LOBBY_PLAYER_KICK)
    assert world.store.kept == {}
    assert game_lobby["salon"] not in World(world.store, world.journal, world.now).service.lobbies


def test_a_studio_that_is_kept(world):
    code, *_ = started(world, jeu="dessin", garder=True, duree=10)
    world.advance(21)
    assert f"dessin-{code}" in world.service.lobbies
    assert world.service.lobbies[f"dessin-{code}"].allowed_authors is None
    world.advance(100)
    assert f"dessin-{code}" in World(world.store, world.journal, world.now).service.lobbies
