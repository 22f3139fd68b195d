"""Noughts and crosses: a third game, as another package would bring it. See docs/games.md."""

from collections.abc import Sequence
from random import Random
from typing import Any

from polypaint import Game, NotYourTurn, Refused

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


class Morpion(Game):
    """An action is `{"case": 0…8}`; `jeu_etat` has the nine cells and whose turn it is."""

    name = "morpion"
    players = range(2, 3)

    def __init__(self, players: Sequence[str], parameters: dict[str, Any], random: Random) -> None:
        super().__init__(players, parameters, random)
        self.cells: list[str | None] = [None] * 9
        self.flush_set = 0

    def act(self, player: str, action: dict[str, Any], now_ms: int) -> None:
        """Check everything, then change something."""
        if player != self.seats[self.flush_set]:
            raise NotYourTurn(f"it is {self.seats[self.flush_set]}'s turn")
        cell = action.get("case")
        if type(cell) is not int or cell not in range(9) or self.cells[cell] is not None:
            raise Refused("an action names a free cell, 0 to 8")
        self.cells[cell] = player
        self.flush_set = 1 - self.flush_set
        if any(all(self.cells[i] == player for i in line) for line in LINES):
            self.end(winners=[player])
        elif all(self.cells):
            self.end(winners=[], drawn=self.seats)

    def view(self, viewer: str | None) -> dict[str, Any]:
        """Everybody sees everything."""
        turn = self.seats[self.flush_set] if self.results is None else None
        return {"cases": self.cells, "tour": turn}
