"""Connect four: 7 columns, 6 rows; four in a line win, a full board is a draw.

Counterpart: `games.Game`; `polypaint/bots/puissance4.py` plays it. Protocol: docs/matches.md.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from polypaint.errors import Refused
from polypaint.matches.games import Game, NotYourTurn

if TYPE_CHECKING:
    from random import Random

COLUMNS: Final = 7
ROWS: Final = 6
LINES: Final = [
    [(row + i * down, column + i * right) for i in range(4)]
    for row in range(ROWS)
    for column in range(COLUMNS)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1))
    if row + 3 * down < ROWS and 0 <= column + 3 * right < COLUMNS
]
LINES_AT: Final = {
    (row, column): [line for line in LINES if (row, column) in line]
    for row in range(ROWS)
    for column in range(COLUMNS)
}
"""Only a line through the newest stone can have become full."""


class Puissance4(Game):
    """`jeu_etat`: grille (6 rows, the top one first), tour, gagnant."""

    name = "puissance4"
    players = range(2, 3)

    def __init__(
        self, players: Sequence[str], parameters: dict[str, Any], random: "Random"
    ) -> None:
        super().__init__(players, parameters, random)
        self._board: list[list[str | None]] = [[None] * COLUMNS for _ in range(ROWS)]
        self._turn: str | None = self.seats[0]
        self._winner: str | None = None

    def act(self, player: str, action: dict[str, Any], now_ms: int) -> None:
        """Drop a stone: `{"colonne": 0…6}`. Raises Refused, NotYourTurn."""
        if player != self._turn:
            raise NotYourTurn(f"it is {self._turn}'s turn")
        column = action.get("colonne")
        if type(column) is not int or not 0 <= column < COLUMNS or len(action) != 1:
            raise Refused(f'an action is {{"colonne": 0…{COLUMNS - 1}}}')
        row = self._landing(column)
        if row is None:
            raise Refused(f"column {column} is full")
        self._board[row][column] = player
        self._turn = next(name for name in self.seats if name != player)
        if any(
            all(self._board[r][c] == player for r, c in line) for line in LINES_AT[row, column]
        ):
            self._winner = player
            self._finish([player])
        elif all(self._board[0]):
            self._finish([], drawn=self.seats)

    def leave(self, player: str, now_ms: int) -> None:
        """A player has gone for good: the other has won."""
        super().leave(player, now_ms)
        self._turn, self._winner = None, self.seats[0]

    def view(self, viewer: str | None) -> dict[str, Any]:
        """`jeu_etat`, the same for everybody."""
        return {"grille": self._board, "tour": self._turn, "gagnant": self._winner}

    def _landing(self, column: int) -> int | None:
        """The lowest free row."""
        return next((r for r in reversed(range(ROWS)) if self._board[r][column] is None), None)

    def _finish(self, winners: Sequence[str], drawn: Sequence[str] = ()) -> None:
        self._turn = None
        self.end(winners, drawn)
