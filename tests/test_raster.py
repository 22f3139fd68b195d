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


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, -1), (4, 0), (0, 3)])
def test_fill_off_the_canvas(x, y):
    with pytest.raises(IndexError):
        _raster.fill(np.zeros((3, 4), np.uint32), x, y, 1)


# docs/protocol.md, section 9, "Placing", word for word.
SINE = (
    -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
    2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10,
)  # fmt: skip
COSINE = (
    4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
    -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11,
)  # fmt: skip


def polynomial(coefficients, z):
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = coefficient + z * value
    return value


def turn(angle):
    rest = math.fmod(angle, 360)
    q = math.floor(rest / 90 + 0.5)
    t = (rest - 90 * q) * (3.141592653589793 / 180)
    z = t * t
    s = t + t * z * polynomial(SINE, z)
    c = 1 - (0.5 * z - z * z * polynomial(COSINE, z))
    return ((c, s), (-s, c), (-c, -s), (s, -c))[q % 4]


def placed(canvas, source, offset, cut, target, angle):
    canvas = canvas.copy()
    x, y, w, h = target
    cosine, sine = turn(angle)
    for j in range(canvas.shape[0]):
        for i in range(canvas.shape[1]):
            dx, dy = i + 0.5 - (x + w / 2), j + 0.5 - (y + h / 2)
            u = (dx * cosine + dy * sine) / w * cut[0] + cut[0] / 2
            v = (dy * cosine - dx * sine) / h * cut[1] + cut[1] / 2
            if 0 <= u < cut[0] and 0 <= v < cut[1]:
                column, row = math.floor(u) - offset[0], math.floor(v) - offset[1]
                if 0 <= column < source.shape[1] and 0 <= row < source.shape[0]:
                    canvas[j, i] = source[row, column]
    return canvas


angles = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.floats(-720, 720)


@given(angles)
@settings(max_examples=500)
def test_turn_is_the_texts(angle):
    assert _raster.turn(angle) == turn(angle)
    cosine, sine = _raster.turn(angle)
    assert math.isclose(cosine, math.cos(math.radians(math.fmod(angle, 360))), abs_tol=4e-15)
    assert math.isclose(sine, math.sin(math.radians(math.fmod(angle, 360))), abs_tol=4e-15)


TURNS = [
    ("0x1.ad663a8ae2fdcp-1", "0x1.16daed770771dp-1"),
    ("0x1.ace214390ca91p-6", "-0x1.ffd315bbf4275p-1"),
    ("0x1.0000000000000p+0", "-0x1.a5fea5ec6fd1dp-73"),
    ("0x1.fb046a930947ap-1", "0x1.1d06c968d9e19p-3"),
    ("0x1.6a09e667f3bccp-1", "0x1.6a09e667f3bcdp-1"),
    ("-0x1.0d580dffb2581p-2", "-0x1.edf89aa6e1569p-1"),
]


def test_turn_has_the_same_bits_everywhere():
    angles = (33.0, 271.5, -1e-20, 3.4e38, 45.0, -12345.25)
    assert [tuple(v.hex() for v in _raster.turn(angle)) for angle in angles] == TURNS
    for quarters in range(-9, 9):
        exact = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters % 4]
        assert _raster.turn(90.0 * quarters) == exact


@given(
    st.tuples(st.integers(-10, 30), st.integers(-10, 30), sides, sides),
    st.sampled_from((0, 90, 180, 270, 360, -90, 45, 30.5, 12345.25)) | angles,
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
    assert np.array_equal(canvas, expected)


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
