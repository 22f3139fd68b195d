"""What a game is. Every game is one small class of pure rules, found by its name.

Games of others come through the entry-point group `polypaint.games`; docs/games.md writes one.

Must never import a role. Counterpart: `matches/table.py` runs games.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from polypaint.errors import Refused

if TYPE_CHECKING:
    from random import Random


class NotYourTurn(Refused):
    """The action may be fine, but somebody else is to act."""


@dataclass(frozen=True, slots=True)
class Studio:
    """A paint lobby that a game wants to have. painter: who alone may draw in it; None: nobody.

    keep: shall it stay when the match is over? round: when it changes, the canvas is cleared.
    """

    painter: str | None
    keep: bool
    round: int


class Game(ABC):
    """One match's rules and state. A function of its arguments and the calls made: nothing else.

    Times are whole milliseconds since play began. What a method that raises has changed must be
    nothing: check first, then act.
    """

    name: ClassVar[str]
    """In `parametres.jeu`."""
    players: ClassVar[range]
    """How many can play, as `range(least, most + 1)`."""
    secret: ClassVar[bool] = False
    """Do viewers see different things?"""
    hidden: ClassVar[frozenset[str]] = frozenset()
    """Parameters that nobody is shown."""

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

    def studio(self) -> Studio | None:
        """The paint lobby that goes with the match, as it should be now."""
        return None


def shown(games: Mapping[str, type[Game]], parameters: dict[str, Any]) -> dict[str, Any]:
    """`parametres` without those that would spoil the game."""
    game = games.get(parameters["jeu"])
    return {k: v for k, v in parameters.items() if game is None or k not in game.hidden}
