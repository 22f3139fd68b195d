"""A game that is being played, whose code may be anybody's: what it raises does not get past here.

Every call into a game goes through `RunningGame`. Whatever the game raises, other than the refusal
of an action, and whatever it gives back that nobody could send or keep, becomes a GameFailed, for
which its match is cancelled. A game that never returns cannot be stopped within one process.

Counterparts: `games.Game` is what may fail; `match_server.py` cancels the match.
"""

import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from polypaint.errors import PolypaintError, Refused
from polypaint.matches.games import Game, GameLobby
from polypaint.matches.messages import DEFEAT, DRAW, VICTORY

if TYPE_CHECKING:
    from random import Random

STATE_BYTES_MAX: Final = 1 << 16
"""Of what one viewer is shown of a match, as JSON."""
MOVES_MAX: Final = 100_000
"""Actions in a match, whatever its game allows."""
BY_ITSELF_MAX: Final = 1000
"""Moves beyond those: time that was up, players who left."""
STATUTS: Final = (VICTORY, DEFEAT, DRAW)

T = TypeVar("T")


class GameFailed(PolypaintError):
    """A game's own code has failed. details: for the operator's log, with the traceback."""

    def __init__(self, game: str, doing: str, problem: str, trace: str = "") -> None:
        super().__init__(f"the game {game} failed: {doing}: {problem}")
        self.details = {"game": game, "doing": doing, "problem": problem, "traceback": trace}


def guarded(game: str, doing: str, call: Callable[..., T], *arguments: Any) -> T:
    """What a game's code gives back. Raises GameFailed for whatever it raises."""
    try:
        return call(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # SystemExit, too, is no business of a game
        raise GameFailed(game, doing, repr(problem), traceback.format_exc()) from None


def own_parameters(game: type[Game], given: dict[str, Any]) -> dict[str, Any]:
    """A game's own parameters, complete. Raises Refused, GameFailed."""
    try:
        found = game.parameters(given)
    except Refused:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        trace = traceback.format_exc()
        raise GameFailed(game.name, "parameters", repr(problem), trace) from None
    if not isinstance(found, dict):
        raise GameFailed(game.name, "parameters", "gives back no dict")
    _encoded(game.name, "parameters", found)
    return found


class RunningGame:
    """One match's game. Every method raises GameFailed when the game does not do what it must."""

    def __init__(
        self,
        game: type[Game],
        players: Sequence[str],
        parameters: dict[str, Any],
        random: "Random",
    ) -> None:
        self.name = game.name
        self.secret = game.secret
        self.pace = game.pace
        self.moves_max = min(game.moves_max, MOVES_MAX)
        self._players = frozenset(players)
        self._game = guarded(self.name, "__init__", game, players, parameters, random)

    def act(self, player: str, action: dict[str, Any], now_ms: int) -> None:
        """A player acts. Raises Refused (nothing has changed), GameFailed."""
        try:
            self._game.act(player, action, now_ms)
        except (Refused, KeyboardInterrupt):
            raise
        except BaseException as problem:
            trace = traceback.format_exc()
            raise GameFailed(self.name, "act", repr(problem), trace) from None

    def leave(self, player: str, now_ms: int) -> None:
        """A player has gone for good. Raises GameFailed."""
        self._call("leave", player, now_ms)

    def tick(self, now_ms: int) -> None:
        """Time has passed: what is due happens. Raises GameFailed."""
        self._call("tick", now_ms)

    def results(self) -> dict[str, str] | None:
        """Once it is over, how it ended for each player."""
        results: Any = self._game.results
        if results is None:
            return None
        good = isinstance(results, dict) and self._players == results.keys()
        if not good or any(statut not in STATUTS for statut in results.values()):
            raise GameFailed(self.name, "results", f"not one result for each player: {results!r}")
        return dict(results)

    def due_ms(self) -> int | None:
        """When something happens by itself; None: nothing does. Raises GameFailed."""
        due = self._call("due_ms")
        if due is not None and type(due) is not int:
            raise GameFailed(self.name, "due_ms", f"gives back {due!r}, no whole milliseconds")
        return due

    def game_lobby(self) -> GameLobby | None:
        """The paint lobby that the game wants now, if any. Raises GameFailed."""
        game_lobby = self._call("game_lobby")
        if game_lobby is not None and not isinstance(game_lobby, GameLobby):
            raise GameFailed(self.name, "game_lobby", f"gives back {game_lobby!r}, no GameLobby")
        return game_lobby

    def view(self, viewer: str | None, more: dict[str, Any]) -> orjson.Fragment:
        """What a player is shown, as JSON; None: spectators. more: what the match adds."""
        view = self._call("view", viewer)
        if not isinstance(view, dict):
            raise GameFailed(self.name, "view", "gives back no dict")
        return _encoded(self.name, "view", view | more)

    def shown(self, player: str, action: dict[str, Any], viewer: str | None) -> orjson.Fragment:
        """A player's action as a viewer is shown it. Raises GameFailed."""
        return _encoded(self.name, "shown", self._call("shown", player, action, viewer))

    def _call(self, method: str, *arguments: Any) -> Any:
        return guarded(self.name, method, getattr(self._game, method), *arguments)


def _encoded(game: str, doing: str, value: Any) -> orjson.Fragment:
    encoded = guarded(game, doing, orjson.dumps, value)
    if len(encoded) > STATE_BYTES_MAX:
        raise GameFailed(game, doing, f"{len(encoded)} bytes of JSON, more than {STATE_BYTES_MAX}")
    return orjson.Fragment(encoded)
