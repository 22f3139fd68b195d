"""Stamps, fills, placing and squares, each against a naive reading of the text."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polypaint import _codec, _raster
from polypaint.paint.packets import CODEC, STAMPS_MAX

WHITE = 0xFFFFFFFF
sides = st.integers(1, 24)


def canvas_of(data, width: int, height: int, colours: int = 3) -> np.ndarray:
    cells = st.lists(st.integers(0, colours - 1), min_size=width * height, max_size=width * height)
    flat = np.array(data.draw(cells), np.uint32) * 0x01010101
    return np.where(flat == 0, WHITE, flat).astype(np.uint32).reshape(height, width)


@given(sides, sides, st.integers(1, 9), st.data())
def test_stamp(width, height, size, data):
    points = data.draw(
        st.lists(st.tuples(st.integers(-30, 40), st.integers(-30, 40)), min_size=1, max_size=5)
    )
    canvas = np.zeros((height, width), np.uint32)
    expected = canvas.copy()
    for x, y in points:
        for row in range(y - size // 2, y - size // 2 + size):
            for column in range(x - size // 2, x - size // 2 + size):
                if 0 <= row < height and 0 <= column < width:
                    expected[row, column] = 7
    _raster.stamp(canvas, np.array(points, np.int32), size, 7)
    assert np.array_equal(canvas, expected)


def test_stamp_far_away_writes_nothing():
    canvas = np.zeros((5, 5), np.uint32)
    points = np.array([[1 << 24, 0], [0, -(1 << 24)], [2**31 - 1, -(2**31)]], np.int32)
    _raster.stamp(canvas, points, 1000, 7)
    assert not canvas.any()


@given(sides, sides, st.data())
def test_fill(width, height, data):
    canvas = canvas_of(data, width, height)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    expected, old, stack = canvas.copy(), canvas[y, x], [(x, y)]
    while stack:
        i, j = stack.pop()
        if 0 <= i < width and 0 <= j < height and expected[j, i] == old and old != 5:
            expected[j, i] = 5
            stack += [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
    changed = _raster.fill(canvas, x, y, 5)
    assert np.array_equal(canvas, expected)
    assert changed == np.count_nonzero(expected == 5)


def test_fill_of_a_maze_grows_its_stack():
    canvas = np.zeros((301, 301), np.uint32)
    canvas[1::2, ::2] = 1
    canvas[1::4, 0] = 0
    reached = canvas == 0
    assert _raster.fill(canvas, 0, 0, 9) == reached.sum()
    assert _raster.fill(canvas, 0, 0, 9) == 0


@pytest.mark.parametrize("at", [(-1, 0), (0, -1), (4, 0), (0, 3)])
def test_fill_off_the_canvas(at):
    with pytest.raises(IndexError):
        _raster.fill(np.zeros((3, 4), np.uint32), *at, 1)


def placed(canvas, source, offset, cut, target, angle):
    """Every pixel centre of the canvas, mapped back by the text's rule."""
    canvas = canvas.copy()
    x, y, width, height = target
    turn = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}.get(angle % 360)
    cosine, sine = turn or (math.cos(math.radians(angle)), math.sin(math.radians(angle)))
    for row in range(canvas.shape[0]):
        for column in range(canvas.shape[1]):
            dx, dy = column + 0.5 - (x + width / 2), row + 0.5 - (y + height / 2)
            u = (dx * cosine + dy * sine) / width * cut[0] + cut[0] / 2
            v = (dy * cosine - dx * sine) / height * cut[1] + cut[1] / 2
            if 0 <= u < cut[0] and 0 <= v < cut[1]:
                i, j = math.floor(u) - offset[0], math.floor(v) - offset[1]
                if 0 <= i < source.shape[1] and 0 <= j < source.shape[0]:
                    canvas[row, column] = source[j, i]
    return canvas


@given(
    st.tuples(st.integers(-10, 30), st.integers(-10, 30), sides, sides),
    st.sampled_from((0, 90, 180, 270, 360, -90, 45, 30.5, 12345.25)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.data(),
)
@settings(max_examples=200)
def test_place(target, angle, offset, data):
    source = canvas_of(data, data.draw(st.integers(1, 8)), data.draw(st.integers(1, 8)), 9)
    cut = (source.shape[1] + offset[0], source.shape[0] + offset[1])
    canvas = np.zeros((24, 24), np.uint32)
    expected = placed(canvas, source, offset, cut, target, angle)
    _raster.place(canvas, source, offset, cut, target, angle)
    different = np.count_nonzero(canvas != expected)
    assert different == 0 if angle % 90 == 0 else different <= 2  # centres on an edge


def test_place_where_it_was_is_the_identity():
    canvas = np.arange(400, dtype=np.uint32).reshape(20, 20)
    source = canvas[3:9, 2:12].copy()
    blank = np.zeros_like(canvas)
    _raster.place(blank, source, (0, 0), (10, 6), (2, 3, 10, 6), 0)
    assert np.array_equal(blank[3:9, 2:12], source)
    assert np.count_nonzero(blank) == np.count_nonzero(source)


@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.data())
@settings(max_examples=150)
def test_squares_paint_the_picture(width, height, spill, data):
    picture = canvas_of(data, width, height, data.draw(st.integers(1, 4)))
    colours, sizes, corners = _raster.squares(picture, WHITE, spill)
    big = np.full((height + 600, width + 600), WHITE, np.uint32)
    for colour, size, (x, y) in zip(colours, sizes, corners.tolist(), strict=True):
        big[y : y + size, x : x + size] = colour
    assert np.array_equal(big[:height, :width], picture)
    if not spill:
        assert (big[height:] == WHITE).all()
        assert (big[:, width:] == WHITE).all()
    chunks = _codec.point_packets(18, 5, colours, sizes, corners, STAMPS_MAX, 64)
    painted = np.full((height, width), WHITE, np.uint32)
    for packet in _codec.split(b"".join(chunks)):
        brush, rgba, points = CODEC.decode(packet, True)
        _raster.stamp(painted, points, brush, int.from_bytes(rgba, "little"))
    assert np.array_equal(painted, picture)


def test_squares_of_one_colour_are_few():
    picture = np.zeros((1024, 2048), np.uint32)
    colours, sizes, _ = _raster.squares(picture, WHITE, True)
    assert sizes.tolist() == [512] * 8
    assert set(colours.tolist()) == {0}
    assert _raster.squares(np.full((9, 9), WHITE, np.uint32), WHITE, False)[0].size == 0
    assert _raster.squares(np.zeros((0, 5), np.uint32), WHITE, False)[0].size == 0


def test_packets_of_large_squares_stay_within_the_limit():
    picture = np.zeros((8192, 2048), np.uint32)
    chunks = _codec.point_packets(18, 0, *_raster.squares(picture, WHITE, True), STAMPS_MAX)
    for packet in _codec.split(b"".join(chunks)):
        assert CODEC.check(packet, True) == ""
