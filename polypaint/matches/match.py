"""One match and its seats: how it stands, what is kept of it, what is shown to whom.

Must never send or keep anything itself. Counterpart: `match_server.py` says what happens to it.
Protocol: docs/matches.md, section 2.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from polypaint.engine.budget import Bucket
from polypaint.matches.effects import ArrangeGameLobby, RemoveGameLobby
from polypaint.matches.game_runner import RunningGame
from polypaint.matches.games import Game, GameLobby, shown
from polypaint.matches.messages import DEFEAT

if TYPE_CHECKING:
    from polypaint.engine.timers import Timer
    from polypaint.matches.viewer import Viewer, ViewerKey

CREATED, OPEN, PLAYING, OVER, EXPIRED, CANCELLED = (
    "CREEE", "OUVERTE", "EN_COURS", "TERMINEE", "EXPIREE", "ANNULEE",
)  # fmt: skip
TAKEN, AWAY, DONE, GONE = "CONNECTE", "ABSENT", "RESULTAT", "PARTI"
NOTHING: Final = orjson.Fragment(b"{}")

States: TypeAlias = dict[str | None, orjson.Fragment]
"""Viewer → `jeu_etat` for them; under None what spectators are shown."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a game says after a move, asked before anything of the move is kept or told.

    actions: viewer → the action as they are shown it.
    """

    results: dict[str, str] | None
    game_lobby: GameLobby | None
    due_ms: int | None
    states: States
    actions: dict[str | None, Any]


class Seat:
    """A player's place in a match. viewer: whoever sits there, while somebody does."""

    def __init__(self, name: str, state: str = AWAY) -> None:
        self.name = name
        self.state = state
        self.viewer: Viewer | None = None
        self.hold: Timer | None = None
        self.acknowledged = False
        """Has the stats server its result?"""
        self._pacer: Bucket | None = None

    def is_hasty(self, pace: tuple[float, float] | None, now: float) -> bool:
        """Does this player act faster than the game allows?"""
        if pace is None:
            return False
        if self._pacer is None:
            self._pacer = Bucket(*pace, now)
        return not self._pacer.take(now)

    def end_hold(self) -> None:
        """Nobody waits for this player to come back any more."""
        if self.hold is not None:
            self.hold.cancel()
            self.hold = None


class Match:
    """One match. shown: its parameters without those that would spoil the game."""

    def __init__(
        self, code: str, opening: dict[str, Any], games: Mapping[str, type[Game]]
    ) -> None:
        self.code = code
        self.shown = shown(games, opening["parametres"])
        self.owner: str = opening["createur"]
        self.parameters: dict[str, Any] = opening["parametres"]
        self.created: float = opening["cree"]
        self.seed: int = opening["graine"]
        self.secret: str = opening["secret"]
        self.state = CREATED
        self.version = 0
        self.told = -1
        """The last version that the manager has noted."""
        self.seats: dict[str, Seat] = {}
        self.spectators: dict[ViewerKey, Viewer] = {}
        self.game: RunningGame | None = None
        self.began = 0.0
        self.seq = 0
        self.last_ms = 0
        self.due_ms: int | None = None
        self.results: dict[str, str] = {}
        self.game_lobby: GameLobby | None = None
        self.timer: Timer | None = None

    @property
    def size(self) -> int:
        """How many seats there are."""
        return int(self.parameters["joueurs"])

    def document(self) -> dict[str, Any]:
        """What is kept: everything but the moves."""
        return {
            "createur": self.owner,
            "parametres": self.parameters,
            "cree": self.created,
            "graine": self.seed,
            "secret": self.secret,
            "etat": self.state,
            "n": self.version,
            "places": [
                {"joueur": s.name, "etat": s.state, "compte": s.acknowledged}
                for s in self.seats.values()
            ],
            "debut": self.began,
            "resultats": self.results,
        }

    @classmethod
    def restored(
        cls, code: str, document: dict[str, Any], games: Mapping[str, type[Game]]
    ) -> "Match":
        """From what was kept. Raises what a damaged document leads to."""
        match = cls(code, document, games)
        match.state, match.version = document["etat"], document["n"]
        match.began = document["debut"]
        match.results = document["resultats"]
        for place in document["places"]:
            seat = match.seats[place["joueur"]] = Seat(place["joueur"], place["etat"])
            seat.acknowledged = place["compte"]
        return match

    def replay(self, moves: Iterable[dict[str, Any]]) -> None:
        """Play the moves again, from the game's beginning. Raises GameFailed, Refused."""
        game = self.game
        assert game is not None
        for move in moves:
            if move["j"] is None:
                game.tick(move["t"])
            elif move["a"] is None:
                game.leave(move["j"], move["t"])
                self.results[move["j"]] = DEFEAT
            else:
                game.act(move["j"], move["a"], move["t"])
            self.last_ms = move["t"]

    def viewers(self) -> "Iterable[tuple[str | None, Viewer]]":
        """Everybody who is shown what happens: (player's name or None, viewer)."""
        for seat in self.seats.values():
            if seat.viewer is not None:
                yield seat.name, seat.viewer
        for viewer in self.spectators.values():
            yield None, viewer

    def states(self) -> States:
        """What everybody who is there is shown of the game. Raises GameFailed."""
        return self._states(self.game_lobby)

    def outcome(self, name: str | None, action: dict[str, Any] | None) -> Outcome:
        """What the game says now that it has taken a move. Raises GameFailed."""
        game = self.game
        assert game is not None
        results, wanted = game.results(), game.game_lobby()
        game_lobby = (
            None if results is not None and wanted is not None and not wanted.keep else wanted
        )
        due_ms = game.due_ms() if results is None else None
        actions: dict[str | None, Any] = {}
        if game.secret and name is not None and action is not None:
            actions = {viewer: game.shown(name, action, viewer) for viewer in self._names()}
        return Outcome(results, wanted, due_ms, self._states(game_lobby), actions)

    def _states(self, game_lobby: GameLobby | None) -> States:
        game = self.game
        if game is None:
            return dict.fromkeys(self._names(), NOTHING)
        more = {}
        if game_lobby is not None:
            more = {"atelier": {"salon": self.studio_name, "passe": self.secret}}
        if game.secret:
            return {name: game.view(name, more) for name in self._names()}
        return dict.fromkeys(self._names(), game.view(None, more))

    def _names(self) -> list[str | None]:
        """Whoever may be shown something; None: spectators."""
        players = [seat.name for seat in self.seats.values() if seat.viewer is not None]
        return [*players, None] if self.spectators else [*players]

    def arrange(self, wanted: GameLobby | None) -> ArrangeGameLobby | RemoveGameLobby | None:
        """What has to be done to have the paint lobby as the game wants it now."""
        before, self.game_lobby = self.game_lobby, wanted
        playing = self.state != OVER
        if wanted is None or not (playing or wanted.keep):
            self.game_lobby = None
            return RemoveGameLobby(self.studio_name) if before is not None or wanted else None
        if playing and wanted == before:
            return None
        clear = playing and before is not None and wanted.round != before.round
        allowed_authors = (
            frozenset([wanted.painter] if wanted.painter else []) if playing else None
        )
        return ArrangeGameLobby(self.studio_name, self.owner, self.secret, allowed_authors, clear)

    @property
    def studio_name(self) -> str:
        """The Filename of the paint lobby that goes with the match."""
        return f"{self.parameters['jeu']}-{self.code}"

    def infos(self, state: Any) -> dict[str, Any]:
        """`infos_partie`. state: `jeu_etat` for whoever is shown it."""
        players = [
            {"id_publique": seat.name, "present": seat.viewer is not None}
            for seat in self.seats.values()
        ]
        return {
            "code_partie": self.code,
            "jeu": self.parameters["jeu"],
            "parametres": self.shown,
            "etat": self.state,
            "joueurs": players,
            "jeu_etat": state,
            "seq": self.seq,
        }
