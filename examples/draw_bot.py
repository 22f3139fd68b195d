"""A bot that draws: spirals, stroke by stroke, into a drawing that you can watch, until Ctrl-C.

python examples/draw_bot.py 127.0.0.1:7600 harbour
"""

import argparse
import asyncio
import colorsys
import math
import random
import sys

from polypaint import PolypaintError, connect

TURNS = 12


class Spiral:
    """A spiral somewhere on a canvas of this size, in colours of its own."""

    def __init__(self, length: float, width: float, rng: random.Random) -> None:
        self.radius = min(length, width) * rng.uniform(0.1, 0.45)
        self.x, self.y = rng.uniform(0, length), rng.uniform(0, width)
        self.hue = rng.random()
        self.way = rng.choice((-1, 1))

    def winding(self, turn: int) -> list[tuple[float, float]]:
        """One turn of it, from the middle outwards."""
        points = []
        for step in range(33):
            angle = self.way * 2 * math.pi * step / 32
            radius = self.radius * (turn + step / 32) / TURNS
            points.append((self.x + radius * math.cos(angle), self.y + radius * math.sin(angle)))
        return points

    def colour(self, turn: int) -> bytes:
        """Red, green, blue, opacity."""
        shade = colorsys.hsv_to_rgb((self.hue + turn / TURNS / 3) % 1, 0.8, 0.9)
        return bytes([*(int(255 * part) for part in shade), 255])


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="127.0.0.1:7600")
    parser.add_argument("drawing", nargs="?", default="harbour")
    parser.add_argument("--name", default="spiro")
    parser.add_argument("--password", default="bot")
    parser.add_argument("--turns", type=int, default=0, help="stop after so many; 0 = never")
    parser.add_argument("--seed", type=int, help="for the same spirals every time")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between strokes")
    options = parser.parse_args()
    async with connect(options.address, options.name, options.password, create=True) as client:
        drawing = await client.join_or_create(options.drawing)
        rng, drawn = random.Random(options.seed), 0
        while not options.turns or drawn < options.turns:
            turn = drawn % TURNS
            if turn == 0:
                spiral = Spiral(drawing.canvas.length, drawing.canvas.width, rng)
            await drawing.add_stroke(0, spiral.colour(turn), 6, 6, spiral.winding(turn))
            drawn += 1
            print(f"winding {drawn} of {options.turns or 'many'}")
            await asyncio.sleep(options.pause)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except PolypaintError as error:  # nobody there, the wrong password, no such drawing …
        sys.exit(f"draw_bot: {error}")
    except KeyboardInterrupt:
        pass
