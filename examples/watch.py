"""Watch a drawing live in a terminal: every character shows two pixels, as half blocks.

python examples/watch.py 127.0.0.1:7600 harbour
"""

import argparse
import asyncio
import contextlib
import shutil
import sys

import numpy as np
import numpy.typing as npt
from PIL import Image

from polypaint import ConnectionClosed, PolypaintError, connect
from polypaint.paint import render as picture
from polypaint.paint.canvas import Canvas


def shrink(canvas: Canvas, columns: int, rows: int) -> npt.NDArray[np.uint8]:
    """The canvas as (2 × rows at most, columns at most, 3) pixels."""
    scale = min(columns / canvas.length, 2 * rows / canvas.width)
    size = max(1, round(canvas.length * scale)), max(2, round(canvas.width * scale) // 2 * 2)
    pixels = np.ascontiguousarray(picture.raster(canvas))
    channels = pixels.view(np.uint8).reshape(*pixels.shape, 4)
    image = Image.fromarray(channels, "RGBA").convert("RGB")
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def frame(pixels: npt.NDArray[np.uint8]) -> str:
    """Half blocks: the upper pixel is the foreground, the lower one the background."""
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = []
        for (r, g, b), (x, y, z) in zip(upper.tolist(), lower.tolist(), strict=True):
            cells.append(f"\x1b[38;2;{r};{g};{b};48;2;{x};{y};{z}m▀")
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="127.0.0.1:7600")
    parser.add_argument("drawing", nargs="?", default="harbour")
    parser.add_argument("--name", default="watcher")
    parser.add_argument("--password", default="bot")
    parser.add_argument("--passcode", default="")
    parser.add_argument("--frames", type=int, default=0, help="stop after so many; 0 = never")
    options = parser.parse_args()
    async with connect(options.address, options.name, options.password, create=True) as client:
        drawing = await client.join(options.drawing, options.passcode)
        shown, names = 0, ""
        while True:
            columns, lines = shutil.get_terminal_size()
            text = frame(shrink(drawing.canvas, columns, lines - 2))
            with contextlib.suppress(ConnectionClosed):  # it comes back by itself
                found = [d for d in await client.lobbies() if d["Filename"] == options.drawing]
                names = ", ".join(found[0]["Clients"]) if found else ""
            sys.stdout.write(f"\x1b[H\x1b[2J{text}\n{options.drawing}: {names}\n")
            sys.stdout.flush()
            shown += 1
            if shown == options.frames:
                return
            await drawing.changed()
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except PolypaintError as error:  # nobody there, the wrong password, no such drawing …
        sys.exit(f"watch: {error}")
    except KeyboardInterrupt:
        pass
