"""The maps: their size, their walls, where tanks begin. Drawn here, from rules, not stored.

Counterparts: `arena.py` uses the walls; `web/app.py` serves both pictures.
Protocol: docs/tanks.md, section 4.
"""

import io
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

CELL: Final = 10
"""Units on a side of a cell of the wall mask, and of a pixel of its picture."""
MARGIN: Final = 60
SPAWN_RADIUS: Final = 24.0


@dataclass(frozen=True)
class Map:
    """A place to fight. size: (width, height) in units. walls: boxes (x, y, width, height)."""

    name: str
    size: tuple[int, int]
    players_max: int
    walls: tuple[tuple[int, int, int, int], ...]
    context: tuple[int, int, int]
    bricks: tuple[int, int, int]

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """bool (height / 10, width / 10): is there a wall?"""
        mask = np.zeros((self.size[1] // CELL, self.size[0] // CELL), bool)
        for x, y, width, height in self.walls:
            mask[y // CELL : (y + height) // CELL, x // CELL : (x + width) // CELL] = True
        mask.setflags(write=False)
        return mask

    @cached_property
    def _boxes(self) -> npt.NDArray[np.float64]:
        """float64 (4, walls, 1): left, top, right, bottom."""
        boxes = [(x, y, x + w, y + h) for x, y, w, h in self.walls]
        return np.array(boxes, float).reshape(-1, 4).T[:, :, None]

    def is_open(self, x0: float, y0: float, x1: float, y1: float, radius: float) -> bool:
        """Is there surely nothing in the way of a disc from one point to another?"""
        left, right = (x0, x1) if x0 < x1 else (x1, x0)
        top, bottom = (y0, y1) if y0 < y1 else (y1, y0)
        left, right, top, bottom = left - radius, right + radius, top - radius, bottom + radius
        if left < 0 or top < 0 or right > self.size[0] or bottom > self.size[1]:
            return False
        return not any(
            x < right and x + w > left and y < bottom and y + h > top for x, y, w, h in self.walls
        )

    def blocked(
        self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], radius: float
    ) -> npt.NDArray[np.bool_]:
        """bool (n,): does a disc with its centre there touch a wall or the edge? x, y: (n,)."""
        width, height = self.size
        outside = (x < radius) | (y < radius) | (x > width - radius) | (y > height - radius)
        left, top, right, bottom = self._boxes
        dx = np.maximum(np.maximum(left - x, x - right), 0)
        dy = np.maximum(np.maximum(top - y, y - bottom), 0)
        struck: npt.NDArray[np.bool_] = outside | (dx * dx + dy * dy < radius * radius).any(0)
        return struck

    @cached_property
    def spawns(self) -> npt.NDArray[np.float64]:
        """float64 (n, 3): x, y, angle in degrees, towards the middle; on free ground."""
        width, height = self.size
        columns = np.linspace(MARGIN, width - MARGIN, 8)
        rows = np.linspace(MARGIN, height - MARGIN, 6)
        x, y = (a.ravel() for a in np.meshgrid(columns, rows))
        angle = np.degrees(np.arctan2(height / 2 - y, width / 2 - x)) % 360
        places = np.stack([x, y, angle], axis=1)
        return places[~self.blocked(x, y, SPAWN_RADIUS)]

    def mask_png(self) -> bytes:
        """`maprealimg`: 8-bit grey, one pixel per 10 units, 0 = wall."""
        return _png(Image.fromarray(np.where(self.mask, 0, 255).astype(np.uint8)))

    def image_png(self) -> bytes:
        """`mapimage`, for the eye: one pixel per unit."""
        width, height = self.size
        rng = np.random.default_rng(len(self.name))
        grain = rng.normal(0, 1, (height // 4, width // 4))
        for _ in range(3):
            grain = (grain + np.roll(grain, 1, 0) + np.roll(grain, 1, 1)) / 3
        grain = np.repeat(np.repeat(grain, 4, 0), 4, 1)[:height, :width, None] * 40
        picture = np.array(self.context) + grain
        lines = np.zeros((height, width, 1), bool)
        lines[::100], lines[:, ::100] = True, True
        picture = np.where(lines, picture - 10, picture)
        for x, y, w, h in self.walls:
            picture[y + 6 : y + h + 6, x + 6 : x + w + 6] *= 0.6  # its shadow
        for x, y, w, h in self.walls:
            box = picture[y : y + h, x : x + w]
            box[:] = self.bricks
            box[:3], box[:, :3] = np.array(self.bricks) + 40, np.array(self.bricks) + 40
            box[-3:], box[:, -3:] = np.array(self.bricks) - 40, np.array(self.bricks) - 40
        return _png(Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)))

    def json(self, players: int, state: str) -> dict[str, Any]:
        """A value of `availablemap`."""
        return {
            "name": self.name,
            "size": list(self.size),
            "players": players,
            "max_players": self.players_max,
            "state": state,
        }


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _town() -> tuple[tuple[int, int, int, int], ...]:
    """Blocks of houses with streets between them, and a square in the middle."""
    walls = []
    for column in range(5):
        for row in range(4):
            x, y = 120 + 290 * column, 110 + 280 * row
            if (column, row) in ((2, 1), (2, 2)):
                continue
            width, height = (200, 70) if (column + row) % 2 else (80, 160)
            walls.append((x, y, width, height))
            if (column + row) % 3 == 0:
                walls.append((x + 110, y + 100, 60, 60))
    return tuple(walls)


MAPS: Final = {
    "prairie": Map("prairie", (1000, 1000), 16, (), (112, 150, 80), (120, 110, 90)),
    "ville": Map("ville", (1600, 1200), 24, _town(), (150, 148, 142), (138, 84, 66)),
}
