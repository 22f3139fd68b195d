"""Drawings for the screenshots: strokes as a hand makes them, and a picture of pixels."""

import itertools
import math
from dataclasses import dataclass
from random import Random
from typing import Final

Point = tuple[float, float]
RGBA = tuple[int, int, int, int]

BLUE: Final = (0x00, 0x72, 0xB2)
SKY: Final = (0x56, 0xB4, 0xE9)
RED: Final = (0xD5, 0x5E, 0x00)
SUN: Final = (0xE6, 0x9F, 0x00)
GREEN: Final = (0x00, 0x9E, 0x73)
VIOLET: Final = (0x7A, 0x4F, 0xB5)
PINK: Final = (0xCC, 0x79, 0xA7)
INK: Final = (0x1B, 0x1D, 0x21)
WHITE: Final = (0xFF, 0xFF, 0xFF)


@dataclass(frozen=True)
class Line:
    """One stroke."""

    rgba: RGBA
    width: int
    points: tuple[Point, ...]


class Sketch:
    """Strokes that shake a little."""

    def __init__(self, seed: int) -> None:
        self.lines: list[Line] = []
        self._random = Random(seed)

    def line(
        self, colour: tuple[int, int, int], width: int, *corners: Point, alpha: int = 255
    ) -> None:
        """Through these corners, rounded."""
        self.lines.append(Line((*colour, alpha), width, tuple(self._shaken(_smooth(corners)))))

    def hatch(
        self, colour: tuple[int, int, int], width: int, *shape: Point, alpha: int = 110
    ) -> None:
        """Fill a shape that is convex with lines that lean."""
        left, right = min(x for x, _ in shape), max(x for x, _ in shape)
        height = max(y for _, y in shape) - min(y for _, y in shape)
        x = left - height * 0.4
        while x < right + height * 0.4:
            cut = _cut(shape, x, 0.4)
            if cut:
                self.line(colour, width, *cut, alpha=alpha)
            x += width * 1.5

    def wave(
        self, colour: tuple[int, int, int], width: int, start: Point, length: float, high: float
    ) -> None:
        """A line of waves."""
        count = int(length // 6)
        points = [
            (start[0] + 6 * i, start[1] - high * abs(math.sin(i * 6 / 38))) for i in range(count)
        ]
        self.lines.append(Line((*colour, 255), width, tuple(self._shaken(points))))

    def _shaken(self, points: list[Point]) -> list[Point]:
        phase, other = self._random.uniform(0, 6), self._random.uniform(0, 6)
        return [
            (x + 1.1 * math.sin(y / 31 + phase), y + 1.1 * math.sin(x / 27 + other))
            for x, y in points
        ]


def _smooth(corners: tuple[Point, ...]) -> list[Point]:
    """A Catmull-Rom spline through the corners."""
    ends = [corners[0], *corners, corners[-1]]
    points = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        steps = max(2, int(math.dist(b, c) / 6))
        for step in range(steps):
            t = step / steps
            points.append((_spline(a[0], b[0], c[0], d[0], t), _spline(a[1], b[1], c[1], d[1], t)))
    return [*points, corners[-1]]


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )


def _cut(shape: tuple[Point, ...], at: float, slope: float) -> tuple[Point, Point] | None:
    """Where the line x = at + slope · (y - top) crosses a shape."""
    top = min(y for _, y in shape)
    found = []
    for (x, y), (u, v) in zip(shape, [*shape[1:], shape[0]], strict=True):
        before, after = x - slope * (y - top) - at, u - slope * (v - top) - at
        if (before < 0) != (after < 0):
            share = before / (before - after)
            found.append((x + (u - x) * share, y + (v - y) * share))
    return (found[0], found[1]) if len(found) == 2 else None


def harbour() -> dict[str, list[Line]]:
    """A harbour that three people draw: what each of them does."""
    ada, max_, zoe = Sketch(1), Sketch(2), Sketch(3)
    _sky(zoe)
    _hills(max_)
    _sea(ada)
    _lighthouse(max_)
    _boat(ada, zoe)
    return {"Ada": ada.lines, "Max": max_.lines, "Zoë": zoe.lines}


def _sky(sketch: Sketch) -> None:
    sketch.line(SUN, 96, (850, 170), (851, 171))
    for angle in range(0, 360, 30):
        x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        sketch.line(SUN, 6, (850 + 68 * x, 170 + 68 * y), (850 + 92 * x, 170 + 92 * y))
    for x, y in ((560, 120), (630, 160), (520, 190)):
        wings = ((-22, -4), (-8, -10), (0, 0), (8, -10), (22, -4))
        sketch.line(INK, 4, *((x + dx, y + dy) for dx, dy in wings))
    cloud = [(190, 150), (215, 110), (265, 105), (295, 128), (340, 118), (365, 150), (345, 168)]
    sketch.line(SKY, 5, *cloud, (270, 170), (190, 168), (190, 150))


def _hills(sketch: Sketch) -> None:
    far = [(60, 392), (150, 330), (230, 300), (320, 338), (400, 392)]
    near = [(300, 394), (380, 350), (470, 322), (560, 352), (640, 394)]
    sketch.hatch(VIOLET, 9, (80, 390), (225, 304), (390, 390), alpha=90)
    sketch.line(VIOLET, 5, *far)
    sketch.hatch(GREEN, 9, (320, 392), (470, 328), (622, 392), alpha=110)
    sketch.line(GREEN, 5, *near)


def _sea(sketch: Sketch) -> None:
    sketch.line(BLUE, 5, (40, 396), (420, 394), (800, 397), (1240, 395))
    for row, (start, length) in enumerate(((70, 1120), (110, 300), (700, 520), (80, 1130))):
        sketch.wave(SKY if row % 2 else BLUE, 5, (start, 470 + row * 58), length, 12)


def _lighthouse(sketch: Sketch) -> None:
    sketch.line(INK, 5, (1060, 396), (1076, 220), (1124, 220), (1140, 396))
    for i in range(3):
        y = 244 + 56 * i
        inset = (y - 220) / 176 * 15
        sketch.line(RED, 24, (1086 - inset, y), (1114 + inset, y))
    sketch.line(INK, 5, (1068, 220), (1132, 220))
    sketch.line(INK, 5, (1080, 218), (1080, 188), (1120, 188), (1120, 218))
    sketch.line(SUN, 18, (1100, 205), (1101, 206))
    sketch.line(RED, 8, (1072, 186), (1100, 162), (1128, 186))
    for y in (176, 206):
        sketch.line(SUN, 5, (1060, y + 8), (1014, y - 4 if y < 200 else y + 24))


def _boat(hull: Sketch, sails: Sketch) -> None:
    sails.hatch(RED, 8, (598, 236), (598, 478), (742, 478), alpha=130)
    sails.line(RED, 6, (596, 226), (640, 300), (700, 390), (752, 482), (670, 486), (596, 482))
    sails.hatch(PINK, 8, (566, 262), (566, 478), (474, 478), alpha=120)
    sails.line(PINK, 6, (568, 250), (540, 320), (504, 400), (464, 482), (520, 486), (568, 482))
    hull.line(INK, 8, (582, 200), (583, 350), (582, 506))
    hull.line(INK, 6, (400, 510), (500, 522), (620, 524), (740, 518), (800, 502))
    keel = ((400, 510), (424, 556), (470, 588), (600, 594), (716, 584), (772, 548), (800, 502))
    hull.line(INK, 6, *keel)
    hull.hatch(BLUE, 10, (420, 522), (470, 582), (720, 580), (784, 516), alpha=120)
    hull.line(RED, 4, (584, 202), (622, 212), (584, 224))


def small() -> dict[str, list[Line]]:
    """Small drawings, by their names."""
    return {"Team plan": _plan(), "Two hearts": _hearts(), "Garden": _garden()}


def _plan() -> list[Line]:
    sketch = Sketch(4)
    for x, colour in ((180, BLUE), (520, GREEN), (860, RED)):
        box = ((x, 200), (x + 240, 200), (x + 240, 340), (x, 340), (x, 200))
        for start, end in itertools.pairwise(box):
            sketch.line(colour, 7, start, end)
        for row, length in enumerate((170, 120)):
            y = 250 + 45 * row
            sketch.line(INK, 6, (x + 30, y), (x + 30 + length / 2, y - 6), (x + 30 + length, y))
    for x in (428, 768):
        sketch.line(INK, 6, (x, 270), (x + 84, 270))
        sketch.line(INK, 6, (x + 62, 252), (x + 84, 270), (x + 62, 288))
    sketch.line(SUN, 8, (300, 350), (420, 500), (620, 540), (840, 500), (970, 360))
    sketch.line(SUN, 8, (940, 384), (970, 360), (984, 396))
    return sketch.lines


def _hearts() -> list[Line]:
    sketch = Sketch(5)
    for x, y, size, colour in ((480, 330, 14, PINK), (800, 380, 10, RED)):
        points = []
        for step in range(40):
            t = 2 * math.pi * step / 39
            across = 16 * math.sin(t) ** 3
            up = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
            points.append((x + size * across, y - size * up))
        sketch.line(colour, 16, *points)
    return sketch.lines


def _garden() -> list[Line]:
    sketch = Sketch(6)
    sketch.line(GREEN, 8, (100, 600), (400, 590), (800, 604), (1180, 594))
    for i, colour in enumerate((RED, PINK, VIOLET, SUN, BLUE, RED)):
        x, top = 200 + 175 * i, 330 + 60 * (i % 3)
        sketch.line(GREEN, 8, (x, 596), (x - 12, 500), (x, top))
        sketch.line(GREEN, 8, (x - 8, 530), (x + 34, 490), (x + 52, 500), (x - 6, 534))
        for turn in range(0, 360, 60):
            dx, dy = math.cos(math.radians(turn)), math.sin(math.radians(turn))
            sketch.line(colour, 26, (x + 20 * dx, top + 20 * dy), (x + 42 * dx, top + 42 * dy))
        sketch.line(SUN if colour is not SUN else INK, 30, (x, top), (x + 1, top + 1))
    return sketch.lines


FOX: Final = """
.kk.......
.kok......
.kook.....
.koook.kkk
.koookkooo
.koooooooo
kooooooooo
kooookkooo
kooookkooo
kooooooooo
kwwooooooo
kwwwwoooww
.kwwwwwwww
..kwwwwwkk
...kwwwwwk
....kkwwww
......kkkk
"""
CLOUD: Final = """
...wwww....
.wwwwwwwww.
wwwwwwwwwww
"""
SUNNY: Final = """
.yyy.
yyyyy
yyyyy
yyyyy
.yyy.
"""
FLOWER: Final = """
.p.
pyp
.p.
.G.
"""
PIXEL_COLOURS: Final[dict[str, RGBA]] = {
    "y": (*SUN, 255),
    "k": (*INK, 255),
    "o": (*RED, 255),
    "w": (*WHITE, 255),
    "p": (*PINK, 255),
    "G": (0x00, 0x7A, 0x59, 255),
}
SQUARE: Final = 20


@dataclass(frozen=True)
class Squares:
    """Squares of one size and colour, by their middles."""

    rgba: RGBA
    size: int
    middles: tuple[tuple[int, int], ...]


def meadow() -> list[Squares]:
    """A fox in a meadow, for 1280 × 720 pixels."""
    sky = Squares((0xCF, 0xE8, 0xF6, 255), 720, ((360, 360), (1000, 360)))
    across = range(0, 1280 + SQUARE, SQUARE)
    hills = [(x, 600 + 20 * round(1.5 * math.sin(x / 150))) for x in across]
    grass = tuple((x, y) for x, top in hills for y in range(top, 740, SQUARE))
    art = [sky, Squares((*GREEN, 255), SQUARE, grass)]
    half = FOX.strip("\n").split("\n")
    art += _squares([row + row[::-1] for row in half], 440, 260)
    for picture, left, top in ((CLOUD, 160, 120), (CLOUD, 720, 180), (SUNNY, 1040, 80)):
        art += _squares(picture.strip("\n").split("\n"), left, top)
    for left, top in ((120, 560), (260, 600), (940, 560), (1100, 580), (1000, 620), (360, 640)):
        art += _squares(FLOWER.strip("\n").split("\n"), left, top)
    return art


def _squares(rows: list[str], left: int, top: int) -> list[Squares]:
    found: dict[str, list[tuple[int, int]]] = {}
    for y, row in enumerate(rows):
        for x, letter in enumerate(row):
            if letter in PIXEL_COLOURS:
                at = (left + x * SQUARE + SQUARE // 2, top + y * SQUARE + SQUARE // 2)
                found.setdefault(letter, []).append(at)
    return [Squares(PIXEL_COLOURS[key], SQUARE, tuple(each)) for key, each in found.items()]
