"""A connect-four player: alpha-beta search on bitboards, to a depth of its strength.

    await play(match, strength=8)

A board is two integers of 49 bits: column c, row r (from the bottom) is bit 7·c + r; the seventh
bit of each column stays empty, so that lines do not wrap around.

Counterpart: `polypaint.matches.games.puissance4`, the rules; this file does not import them.
"""

import asyncio
import random
from typing import Any, Final

from polypaint.client.matches import Match, MatchRefused
from polypaint.errors import ConnectionClosed

COLUMNS: Final = 7
ROWS: Final = 6
CENTRE_FIRST: Final = (3, 2, 4, 1, 5, 0, 6)
BOTTOM: Final = [1 << 7 * c for c in range(COLUMNS)]
TOP: Final = [1 << (7 * c + ROWS - 1) for c in range(COLUMNS)]
COLUMN: Final = [((1 << ROWS) - 1) << 7 * c for c in range(COLUMNS)]
FULL: Final = sum(COLUMN)
WIN: Final = 1000
FOURS: Final = [
    sum(1 << (7 * (c + i * right) + r + i * up) for i in range(4))
    for c in range(COLUMNS)
    for r in range(ROWS)
    for right, up in ((1, 0), (0, 1), (1, 1), (1, -1))
    if 0 <= c + 3 * right < COLUMNS and 0 <= r + 3 * up < ROWS
]


def has_four(stones: int) -> bool:
    """Do these stones hold four in a line?"""
    for step in (1, 6, 7, 8):
        pairs = stones & (stones >> step)
        if pairs & (pairs >> 2 * step):
            return True
    return False


def worth(mine: int, theirs: int) -> int:
    """How a quiet board looks: lines that can still be filled, by what stands in them."""
    total = 0
    for four in FOURS:
        own, other = (mine & four).bit_count(), (theirs & four).bit_count()
        if not other:
            total += own * own
        elif not own:
            total -= other * other
    return total


def search(mine: int, theirs: int, depth: int, low: int, high: int) -> int:
    """What the side to move can reach within [low, high]; a win is worth more the sooner it is."""
    both = mine | theirs
    if both == FULL:
        return 0
    for c in CENTRE_FIRST:
        if not both & TOP[c] and has_four(mine | (both + BOTTOM[c] & COLUMN[c])):
            return WIN + depth
    if depth == 0:
        return worth(mine, theirs)
    for c in CENTRE_FIRST:
        if not both & TOP[c]:
            stone = both + BOTTOM[c] & COLUMN[c]
            low = max(low, -search(theirs, mine | stone, depth - 1, -high, -low))
            if low >= high:
                break
    return low


def best_column(mine: int, theirs: int, depth: int, rng: random.Random) -> int:
    """A column to play; among equally good ones any."""
    both = mine | theirs
    found: list[int] = []
    best = -10 * WIN
    for c in CENTRE_FIRST:
        if both & TOP[c]:
            continue
        stones = mine | (both + BOTTOM[c] & COLUMN[c])
        if has_four(stones):
            return c
        value = -search(theirs, stones, depth - 1, -9 * WIN, 1 - best)
        if value > best:
            best, found = value, [c]
        elif value == best:
            found.append(c)
    return rng.choice(found)


def boards(game: dict[str, Any], name: str) -> tuple[int, int]:
    """`jeu_etat` as (mine, theirs)."""
    mine = theirs = 0
    for r, row in enumerate(reversed(game["grille"])):
        for c, owner in enumerate(row):
            if owner is not None:
                bit = 1 << (7 * c + r)
                mine, theirs = (mine | bit, theirs) if owner == name else (mine, theirs | bit)
    return mine, theirs


async def play(match: Match, strength: int = 6, rng: random.Random | None = None) -> str | None:
    """Play until the match is over; `victoire`, `defaite` or `nul`, None when it was cut short.

    strength: moves to look ahead, 1…10.
    """
    name, rng = match.client.name, rng or random.Random()
    while match.statut is None and not match.ended:
        try:
            if match.state == "EN_COURS" and match.game["tour"] == name:
                board = boards(match.game, name)
                column = await asyncio.to_thread(best_column, *board, strength, rng)
                await match.act(colonne=column)
            else:
                await match.changed()
        except (MatchRefused, ConnectionClosed):
            # The match went on meanwhile, or the connection is being made and the seat resumed.
            await asyncio.sleep(0.05)
    return match.statut
