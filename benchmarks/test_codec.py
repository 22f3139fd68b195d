"""The codec, per packet and per point, beside plain Python and beside memcpy.

pytest benchmarks/test_codec.py --benchmark-group-by=group
"""

from typing import Any, TypeAlias

import numpy as np
import pytest

from polypaint import _codec, _raster
from polypaint._codec import FrameDecoder
from polypaint.paint import packets
from polypaint.paint.packets import CODEC
from polypaint.paint.strokes import StrokeCanvas
from tests import oracle

Benchmark: TypeAlias = Any


def stroke(points: int) -> bytes:
    path = np.cumsum(np.full((points, 2), 1.25), axis=0)
    return packets.ADD_STROKE.encode_request(0, b"somebody", 0, b"rgba", 3, 2, path)


STROKES = {points: stroke(points) for points in (32, 1024)}
STREAM = STROKES[32] * 200


@pytest.mark.benchmark(group="split 200 strokes")
def test_splitter(benchmark: Benchmark) -> None:
    assert len(benchmark(lambda: FrameDecoder().feed(STREAM))) == 200


@pytest.mark.benchmark(group="split 200 strokes")
def test_oracle_frames(benchmark: Benchmark) -> None:
    assert len(benchmark(lambda: oracle.frames(STREAM))[0]) == 200


@pytest.mark.benchmark(group="split 200 strokes")
def test_copy(benchmark: Benchmark) -> None:
    array = np.frombuffer(STREAM, np.uint8)
    benchmark(array.copy)


@pytest.mark.parametrize("points", STROKES)
@pytest.mark.benchmark(group="a stroke: validate")
def test_check(benchmark: Benchmark, points: int) -> None:
    assert benchmark(CODEC.check, STROKES[points]) == ""


@pytest.mark.parametrize("points", STROKES)
@pytest.mark.benchmark(
    group="200 strokes in a batch: check, with name and index as they are relayed"
)
def test_accept(benchmark: Benchmark, points: int) -> None:
    told = _codec.split(b"".join(_codec.numbered([STROKES[points]] * 200, 12)))
    assert len(benchmark(CODEC.accept, told, 0, 200, 12, b"somebody", 0)) == 200


@pytest.mark.parametrize("points", STROKES)
@pytest.mark.benchmark(group="a stroke: decode")
def test_decode(benchmark: Benchmark, points: int) -> None:
    assert benchmark(CODEC.decode, STROKES[points])[4].shape == (points, 2)


@pytest.mark.parametrize("points", STROKES)
@pytest.mark.benchmark(group="a stroke: decode")
def test_oracle_decode(benchmark: Benchmark, points: int) -> None:
    assert len(benchmark(oracle.decode, STROKES[points])[4]) == points


@pytest.mark.benchmark(group="a stroke: encode")
def test_encode(benchmark: Benchmark) -> None:
    values = CODEC.decode(STROKES[32])
    assert benchmark(CODEC.encode, 12, 0, b"somebody", values) == STROKES[32]


@pytest.mark.benchmark(group="a stroke: apply")
def test_apply(benchmark: Benchmark) -> None:
    canvas = StrokeCanvas()
    benchmark(canvas.apply, STROKES[32])


@pytest.mark.benchmark(group="snapshot of 10,000 strokes")
def test_numbered(benchmark: Benchmark) -> None:
    benchmark(_codec.numbered, [STROKES[32]] * 10_000, 12)


@pytest.mark.benchmark(group="picture of 1280 × 720 as squares")
def test_squares(benchmark: Benchmark) -> None:
    picture = np.full((720, 1280), 0xFFFFFFFF, np.uint32)
    points = np.random.default_rng(1).integers(0, 700, (200, 2), np.int32)
    for i, point in enumerate(points):
        _raster.stamp(picture, point[np.newaxis], 30, i % 5)
    benchmark(_raster.squares, picture, 0xFFFFFFFF, True)
