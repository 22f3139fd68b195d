"""Hypothesis strategies made from the packet declarations: nothing is said twice."""

import struct

import numpy as np
from hypothesis import strategies as st

from polypaint.paint.packets import (
    NUMBER_MAX,
    PACKETS,
    Body,
    Field,
    Packet,
    Tail,
)

REQUESTS = [packet for packet in PACKETS.values() if packet.request is not None]
REPLIES = [packet for packet in PACKETS.values() if packet.reply is not None]

names = st.text(max_size=40).map(str.encode).filter(lambda name: len(name) <= 255)
dates = st.integers(0, 2**32 - 1)


def numbers(low: float, high: float, whole: bool = False):
    ints = st.integers(max(-NUMBER_MAX, int(low)), min(NUMBER_MAX, int(high)))
    if whole:
        return ints
    floats = st.floats(low, high, width=32, allow_nan=False, allow_subnormal=False)
    return ints | floats


def _f32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def field(spec: Field):
    if spec.kind == "rgba":
        return st.binary(min_size=4, max_size=4)
    if spec.kind == "f64":
        return st.floats(spec.low, min(spec.high, 4096))
    if spec.kind in ("index", "i32"):
        return st.integers(int(spec.low), int(min(spec.high, NUMBER_MAX)))
    low, high = max(spec.low, -3e38), min(spec.high, 3e38)
    if spec.name in ("length", "width"):
        high = min(high, 4096)
    if spec.name in ("x", "y"):
        low, high = max(low, -(2**22)), min(high, 2**22)
    return numbers(_f32(low), _f32(high))


def tail(spec: Tail):
    coordinates = st.floats(width=32, allow_nan=False, allow_infinity=False)
    if spec.kind == "text":
        text = st.text(min_size=spec.least, max_size=60)
        return text.filter(lambda t: spec.least <= len(t.encode()) <= spec.most)
    if spec.kind == "points_f32":
        points = st.lists(st.tuples(coordinates, coordinates), min_size=spec.least, max_size=40)
        return points if spec.least else points.map(lambda p: np.array(p, "<f4").reshape(-1, 2))
    if spec.kind == "points_number":
        whole = numbers(-NUMBER_MAX, NUMBER_MAX, whole=True)
        return st.lists(st.tuples(whole, whole), min_size=1, max_size=40)
    indices = st.lists(st.integers(0, NUMBER_MAX), min_size=1, max_size=40, unique=True)
    if spec.kind == "indices_descending":
        return indices.map(lambda found: sorted(found, reverse=True))
    return indices


def values(body: Body):
    parts = [field(f) for f in body.fields]
    if body.tail is not None:
        parts.append(tail(body.tail))
    return st.tuples(*parts)


@st.composite
def packets(draw, reply: bool = False, kinds: list[Packet] | None = None):
    """(declaration, date, name, values) of a packet that conforms."""
    packet = draw(st.sampled_from(kinds or (REPLIES if reply else REQUESTS)))
    body = packet.reply if reply else packet.request
    assert body is not None
    return packet, draw(dates), draw(names), draw(values(body))
