"""One match and its seats: how it stands, what is kept of it, what is shown to whom.

Must never send or keep anything itself. Counterpart: `table.py` says what happens to it.
Protocol: docs/matches.md, section 2.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import orjson

from polypaint.matches.games import Game, Studio

if TYPE_CHECKING:
    from polypaint.matches.session import MatchSession
    from polypaint.timers import Timer

CREATED, OPEN, PLAYING, OVER, EXPIRED, CANCELLED = (
    "CREEE", "OUVERTE", "EN_COURS", "TERMINEE", "EXPIREE", "ANNULEE",
)  # fmt: skip
TAKEN, AWAY, DONE, GONE = "CONNECTE", "ABSENT", "RESULTAT", "PARTI"
RETRY_S: Final = 1.0
RETRY_S_MAX: Final = 30.0


class Seat:
    """A player's place in a match. session: their connection, while there is one."""

    def __init__(self, name: str, state: str = AWAY) -> None:
        self.name = name
        self.state = state
        self.session: MatchSession | None = None
        self.hold: Timer | None = None
        self.acknowledged = False
        """Has the stats server its result?"""
        self.retry_s = RETRY_S

    def end_hold(self) -> None:
        """Nobody waits for this player to come back any more."""
        if self.hold is not None:
            self.hold.cancel()
            self.hold = None

    def next_wait(self) -> float:
        """Seconds until its result is sent again: ever longer, until it is acknowledged."""
        wait = RETRY_S_MAX if self.acknowledged else self.retry_s
        self.retry_s = min(2 * self.retry_s, RETRY_S_MAX)
        return wait


class Match:
    """One match. shown: its parameters without those that would spoil the game."""

    def __init__(self, code: str, opening: dict[str, Any], shown: dict[str, Any]) -> None:
        self.code = code
        self.shown = shown
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
        self.spectators: set[MatchSession] = set()
        self.game: Game | None = None
        self.began = 0.0
        self.seq = 0
        self.last_ms = 0
        self.results: dict[str, str] = {}
        self.studio: Studio | None = None
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

    def viewers(self) -> Iterable[tuple[str | None, "MatchSession"]]:
        """Everybody who is shown what happens: (player's name or None, connection)."""
        for seat in self.seats.values():
            if seat.session is not None:
                yield seat.name, seat.session
        for session in self.spectators:
            yield None, session

    def views(self) -> Callable[[str | None], Any]:
        """Viewer → `jeu_etat` for them; encoded once where all are shown the same."""
        if self.game is None or self.game.secret:
            return self._view
        shared = orjson.Fragment(orjson.dumps(self._view(None)))
        return lambda _viewer: shared

    def _view(self, viewer: str | None) -> dict[str, Any]:
        if self.game is None:
            return {}
        view = self.game.view(viewer)
        if self.studio is not None:
            view = view | {"atelier": {"salon": self.studio_name, "passe": self.secret}}
        return view

    @property
    def studio_name(self) -> str:
        """The Filename of the paint lobby that goes with the match."""
        return f"{self.parameters['jeu']}-{self.code}"

    def infos(self, state: Any) -> dict[str, Any]:
        """`infos_partie`. state: `jeu_etat` for whoever is shown it, see `views`."""
        players = [
            {"id_publique": seat.name, "present": seat.session is not None}
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
