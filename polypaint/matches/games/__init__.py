"""What a game is. Every game is one small class of pure rules, found by its name.

Games of others come through the entry-point group `polypaint.games`; docs/games.md writes one.

Must never import a role. Counterpart: `matches/match_server.py` runs games.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from polypaint.errors import Refused

if TYPE_CHECKING:
    from random import Random


PLAYERS_MAX: Final = 100


class NotYourTurn(Refused):
    """The action may be fine, but somebody else is to act."""


@dataclass(frozen=True, slots=True)
class GameLobby:
    """A paint lobby that a game wants to have. painter: who alone may draw in it; None: nobody.

    keep: shall it stay when the match is over? round: when it changes, the canvas is cleared.
    """

    painter: str | None
    keep: bool
    round: int


class Game(ABC):
    """One match's rules and state. A function of its arguments and the calls made: nothing else.

    Times are whole milliseconds since play began. A method that raises Refused must have changed
    nothing: check first, then act. One that raises anything else, or gives back what is not as
    described here, ends its match without results.
    """

    name: ClassVar[str]
    """In `parametres.jeu`."""
    players: ClassVar[range]
    """How many can play, as `range(least, most + 1)`."""
    secret: ClassVar[bool] = False
    """Do viewers see different things?"""
    hidden: ClassVar[frozenset[str]] = frozenset()
    """Parameters that nobody is shown."""
    moves_max: ClassVar[int] = 10_000
    """Accepted actions after which no more are taken; time and players who leave still end it."""
    pace: ClassVar[tuple[float, float] | None] = None
    """How fast one player may act: (actions a second, at once); None: as fast as requests go."""

    def __init__(
        self, players: Sequence[str], parameters: dict[str, Any], random: "Random"
    ) -> None:
        """players: in order of play, the creator first. random: the same for a replay."""
        self.seats = list(players)
        self.left: list[str] = []
        self.results: dict[str, str] | None = None
        """Once it is over: each player's `victoire`, `defaite` or `nul`."""

    @classmethod
    def parameters(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The game's own parameters, complete. given: all but jeu, joueurs, prive.

        Raises Refused that names the one that is wrong.
        """
        for name in given:
            raise Refused(f"parametres.{name} is not known to {cls.name}")
        return {}

    @abstractmethod
    def act(self, player: str, action: dict[str, Any], now_ms: int) -> None:
        """A player acts. Raises NotYourTurn or Refused, and changes nothing then."""

    def leave(self, player: str, now_ms: int) -> None:
        """A player is gone for good. As it stands: they lose; who is left alone wins."""
        self.seats.remove(player)
        self.left.append(player)
        if len(self.seats) == 1:
            self.end(self.seats)

    def end(self, winners: Sequence[str], drawn: Sequence[str] = ()) -> None:
        """It is over: these win, these draw, the others lose."""
        self.results = (
            dict.fromkeys([*self.seats, *self.left], "defaite")
            | dict.fromkeys(drawn, "nul")
            | dict.fromkeys(winners, "victoire")
        )

    @abstractmethod
    def view(self, viewer: str | None) -> dict[str, Any]:
        """`jeu_etat` for this player, or for a spectator."""

    def shown(self, player: str, action: dict[str, Any], viewer: str | None) -> dict[str, Any]:
        """An action that was just accepted, as others are shown it."""
        return action

    def due_ms(self) -> int | None:
        """When `tick` is to be called; None while nothing happens by itself."""
        return None

    def tick(self, now_ms: int) -> None:  # noqa: B027
        """Time has come for what happens by itself."""

    def game_lobby(self) -> GameLobby | None:
        """The paint lobby that goes with the match, as it should be now."""
        return None


def fault(game: Any) -> str:
    """Why this cannot be a game, as whoever wrote it should know; empty when it can."""
    if not isinstance(game, type) or not issubclass(game, Game):
        return "it is no subclass of polypaint.Game"
    if not isinstance(getattr(game, "name", None), str) or not game.name:
        return "name is not a text"
    players = getattr(game, "players", None)
    if not isinstance(players, range) or not players or players.step != 1 or players.start < 1:
        return "players is not range(least, most + 1)"
    if players.stop - 1 > PLAYERS_MAX:
        return f"players: a match has at most {PLAYERS_MAX}"
    moves, pace, hidden = (getattr(game, name) for name in ("moves_max", "pace", "hidden"))
    if type(moves) is not int or moves < 1:
        return "moves_max is not a whole number of 1 or more"
    if pace is not None and not (isinstance(pace, tuple) and len(pace) == 2 and min(pace) > 0):
        return "pace is not (actions a second, actions at once)"
    if not isinstance(hidden, frozenset | set):
        return "hidden is not a frozenset"
    missing = ", ".join(sorted(game.__abstractmethods__))
    return f"it does not define {missing}" if missing else ""


def shown(games: Mapping[str, type[Game]], parameters: dict[str, Any]) -> dict[str, Any]:
    """`parametres` without those that would spoil the game."""
    game = games.get(parameters["jeu"])
    return {k: v for k, v in parameters.items() if game is None or k not in game.hidden}
