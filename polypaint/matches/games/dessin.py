"""Draw and guess: in turn one player draws a word, the others guess it; most points win.

Counterpart: `games.Game`; the drawing itself is in a paint lobby. Protocol: docs/matches.md.
"""

import unicodedata
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from polypaint.errors import Refused
from polypaint.matches.games import Game, GameLobby

if TYPE_CHECKING:
    from random import Random

POINTS_MAX: Final = 100
POINTS_MIN: Final = 10
PAINTER_POINTS: Final = 25
GUESS_MAX: Final = 64
WORD_MAX: Final = 40
WORDS: Final = (files("polypaint.matches.games") / "dessin.txt").read_text("utf-8").split()


def plain(word: str) -> str:
    """A word without what people type differently: case, accents, hyphens, spaces."""
    letters: str = unicodedata.normalize("NFKD", word.casefold().replace("œ", "oe"))
    return "".join(c for c in letters if c.isalnum())


class Dessin(Game):
    """`jeu_etat`: see docs/matches.md; the word is shown to those who know it."""

    name = "dessin"
    players = range(2, 9)
    secret = True
    hidden = frozenset({"mots"})
    moves_max = 20_000
    pace = (1.0, 8.0)  # of a person: a program would find the word by trying them all

    def __init__(
        self, players: Sequence[str], parameters: dict[str, Any], random: "Random"
    ) -> None:
        super().__init__(players, parameters, random)
        self._rounds: int = parameters["tours"]
        self._duration_ms: int = 1000 * parameters["duree"]
        self._keep: bool = parameters["garder"]
        words: list[str] = parameters["mots"] or WORDS
        turns = self._rounds * len(self.seats)
        self._words: list[str] = []
        while len(self._words) < turns:
            self._words += random.sample(words, len(words))
        self._painters: list[str] = self.seats * self._rounds
        self._points = dict.fromkeys(self.seats, 0)
        self._turn = 0
        self._began_ms = self._seen_ms = 0
        self._found: list[str] = []
        self._last: dict[str, str] | None = None
        self._right = False

    @classmethod
    def parameters(cls, given: dict[str, Any]) -> dict[str, Any]:
        """tours 1…5, duree 10…300 s, garder, mots (a list of 1…100), complete. Raises Refused."""
        values: dict[str, Any] = {"tours": 1, "duree": 80, "garder": False, "mots": []} | given
        super().parameters({k: v for k, v in given.items() if k not in _VALID})
        for name, (valid, says) in _VALID.items():
            if not valid(values[name]):
                raise Refused(f"parametres.{name} is not {says}")
        return values

    def act(self, player: str, action: dict[str, Any], now_ms: int) -> None:
        """A guess: `{"mot": guess}`. Raises Refused, NotYourTurn."""
        guess = action.get("mot")
        if not isinstance(guess, str) or not 0 < len(guess) <= GUESS_MAX or len(action) != 1:
            raise Refused(f'an action is {{"mot": 1-{GUESS_MAX} characters}}')
        if player == self._painter:
            raise Refused("who draws does not guess")
        if player in self._found:
            raise Refused("you have found the word already")
        self._seen_ms = now_ms
        self._right = plain(guess) == plain(self._word)
        if not self._right:
            return
        left = max(self._began_ms + self._duration_ms - now_ms, 0) / self._duration_ms
        self._points[player] += max(POINTS_MIN, round(POINTS_MAX * left))
        self._points[self._painter] += PAINTER_POINTS
        self._found.append(player)
        self._maybe_next(now_ms)

    def shown(self, player: str, action: dict[str, Any], viewer: str | None) -> dict[str, Any]:
        """The action as a viewer is shown it: right guesses are hidden from who still guesses."""
        return action if viewer == player or not self._right else {"trouve": True}

    def leave(self, player: str, now_ms: int) -> None:
        """A player has gone for good: who drew is replaced."""
        self._seen_ms = now_ms
        painted = player == self._painter
        before = self._painters[: self._turn]
        after = [name for name in self._painters[self._turn :] if name != player]
        super().leave(player, now_ms)
        self._points.pop(player)
        if player in self._found:
            self._found.remove(player)
        if self.results is not None:
            return
        self._painters = before + after
        if painted:
            self._last = {"dessinateur": player, "mot": self._word}
            self._words.pop(self._turn)
            self._begin(now_ms)
        else:
            self._maybe_next(now_ms)

    def due_ms(self) -> int | None:
        """When this drawing's time is up."""
        return self._began_ms + self._duration_ms

    def tick(self, now_ms: int) -> None:
        """Time has passed: a drawing whose time is up makes room for the next."""
        self._seen_ms = now_ms
        if now_ms >= self._began_ms + self._duration_ms:
            self._next(now_ms)

    def view(self, viewer: str | None) -> dict[str, Any]:
        """`jeu_etat` for a viewer; None: spectators. Only who draws is shown the word."""
        over = self.results is not None
        word = "" if over else self._word
        knows = viewer is not None and (viewer in self._found or viewer == self._painter)
        return {
            "tour": min(self._turn + 1, len(self._painters)),
            "tours": len(self._painters),
            "dessinateur": None if over else self._painter,
            "mot": word if knows and not over else None,
            "indice": "".join("_" if c.isalnum() else c for c in word),
            "reste_ms": 0 if over else self._began_ms + self._duration_ms - self._seen_ms,
            "trouve": list(self._found),
            "points": dict(self._points),
            "dernier": self._last,
        }

    def game_lobby(self) -> GameLobby | None:
        """A lobby in which only who draws may draw."""
        painter = None if self.results is not None else self._painter
        return GameLobby(painter, self._keep, self._turn)

    # ------------------------------------------------------------ turns
    @property
    def _painter(self) -> str:
        return self._painters[min(self._turn, len(self._painters) - 1)]

    @property
    def _word(self) -> str:
        return self._words[min(self._turn, len(self._words) - 1)]

    def _maybe_next(self, now_ms: int) -> None:
        """Has everybody found it?"""
        if all(name in self._found for name in self.seats if name != self._painter):
            self._next(now_ms)

    def _next(self, now_ms: int) -> None:
        self._last = {"dessinateur": self._painter, "mot": self._word}
        self._turn += 1
        self._begin(now_ms)

    def _begin(self, now_ms: int) -> None:
        self._found = []
        self._began_ms = now_ms
        if self._turn < len(self._painters):
            return
        best = max(self._points.values())
        leaders = [name for name, points in self._points.items() if points == best]
        alone = len(leaders) == 1
        self.end(leaders if alone else [], drawn=[] if alone else leaders)


def _whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _are_words(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 100
        and all(isinstance(w, str) and len(w) <= WORD_MAX and plain(w) for w in value)
    )


_VALID: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "tours": (lambda v: _whole(v, 1, 5), "1…5"),
    "duree": (lambda v: _whole(v, 10, 300), "10…300 seconds"),
    "garder": (lambda v: isinstance(v, bool), "true or false"),
    "mots": (_are_words, f"a list of at most 100 words of at most {WORD_MAX} characters"),
}
