"""A bot that draws: a spiral, stroke by stroke, into a drawing that you can watch.

python examples/draw_bot.py 127.0.0.1:7600 harbour
"""

import argparse
import asyncio
import math

from polypaint import connect


def spiral(turn: int, turns: int) -> list[tuple[float, float]]:
    """One winding of a spiral around the middle of a new canvas."""
    points = []
    for step in range(33):
        angle = 2 * math.pi * step / 32
        radius = 300 * (turn + step / 32) / turns
        points.append((640 + radius * math.cos(angle), 360 + radius * math.sin(angle)))
    return points


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="127.0.0.1:7600")
    parser.add_argument("drawing", nargs="?", default="harbour")
    parser.add_argument("--name", default="spiro")
    parser.add_argument("--password", default="bot")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between strokes")
    options = parser.parse_args()
    async with connect(options.address, options.name, options.password, create=True) as client:
        drawing = await client.join_or_create(options.drawing)
        for turn in range(options.turns):
            hue = turn / options.turns
            colour = bytes([int(255 * hue), 80, int(255 * (1 - hue)), 255])
            await drawing.add_stroke(0, colour, 6, 6, spiral(turn, options.turns))
            print(f"winding {turn + 1} of {options.turns}")
            await asyncio.sleep(options.pause)


if __name__ == "__main__":
    asyncio.run(main())
