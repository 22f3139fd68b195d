"""Moves of matches as documents: one each, in their order; forgotten a few at a time.

Counterpart: `match_server.py`, which keeps every move before anybody sees it.
"""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any, Final

from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.matches.game_runner import BY_ITSELF_MAX, MOVES_MAX

KIND: Final = "coup"
FORGOTTEN_AT_ONCE: Final = 200
"""Moves of a match that is no more; the others follow, FORGET_S later."""
FORGET_S: Final = 0.05
KEY_DIGITS: Final = 6
assert MOVES_MAX + BY_ITSELF_MAX < 10**KEY_DIGITS, "keys of moves are in their order"


class MoveLog:
    """See the module."""

    def __init__(self, context: Context, book: DocumentBuffer) -> None:
        self._context = context
        self._book = book

    def add(self, code: str, seq: int, move: dict[str, Any], now: float) -> None:
        """Keep the move of this match that has this number."""
        self._book.put(KIND, _key(code, seq), move, now)

    def forget(self, code: str, count: int, now: float) -> None:
        """A match that had so many moves is no more."""
        self._forget([_key(code, seq) for seq in range(count, 0, -1)], now)

    def _forget(self, keys: list[str], now: float) -> None:
        """The last of these first."""
        for key in keys[-FORGOTTEN_AT_ONCE:]:
            self._book.remove(KIND, key, now)
        rest = keys[:-FORGOTTEN_AT_ONCE]
        if rest:
            self._context.writing_at(now + FORGET_S, partial(self._forget, rest))

    def restore(
        self, documents: Iterable[tuple[str, bytes]], codes: Collection[str], now: float
    ) -> dict[str, list[bytes]]:
        """The moves of these matches, in order, as JSON; those of others are forgotten."""
        played: dict[str, list[bytes]] = {}
        orphans: list[str] = []
        for key, body in documents:
            code = key.partition(":")[0]
            if code in codes:
                played.setdefault(code, []).append(body)
            else:
                orphans.append(key)
        self._forget(orphans, now)
        return played


def _key(code: str, seq: int) -> str:
    return f"{code}:{seq:0{KEY_DIGITS}}"
