"""The paint protocol's packets, decoded in plain Python from its text alone.

Written without looking at the codec, for the codec to be compared with. Slow and simple. `Bad`
says that data does not conform.
"""

import math
import struct
from typing import Any


class Bad(Exception):
    pass


STROKE, POINTS, RECTANGLE, FILL = "stroke", "points", "rectangle", "fill"
KINDS = {
    3: ("text",), 4: ("text1",), 5: ("empty",), 6: ("text1",), 7: ("text1",), 8: ("text1",),
    9: ("text1",), 10: ("text1",), 11: ("empty",), 12: (STROKE,), 13: ("descending",),
    14: (STROKE,), 15: ("indices",), 16: ("indices",), 17: (STROKE,), 18: (POINTS,),
    19: (RECTANGLE, 0), 20: ("empty",), 21: (RECTANGLE, None), 22: ("text64",), 23: ("doubles",),
    24: ("empty",), 25: (FILL,), 26: ("empty",), 27: ("empty",), 29: ("empty",), 30: ("text",),
    31: ("text1",), 33: ("sides",), 128: ("whole", 3, (1, 0, 0), None, 0), 129: ("one",),
    132: ("pointer",), 133: ("ink",), 134: ("whole", 1, (0,), (1,), None),
    137: ("whole", 1, (0,), (1,), None),
    138: ("empty",), 139: ("empty",),
}  # fmt: skip
REPLIES = {
    **{i: k for i, k in KINDS.items() if i not in (7, 8, 9, 27, 134, 137, 138, 139)},
    3: ("status",), 4: ("status",), 5: ("text1",), 6: ("status",), 11: ("text1",),
    28: ("status",), 30: ("status",), 32: ("text1",),
    128: ("whole", 3, (0, 1, -1), (4, None, None), 0), 129: ("text1",),
    130: ("whole", 1, (0,), (1,), 1), 131: ("whole", 1, (0,), (1,), 1),
    135: ("accepted",), 136: ("whole", 1, (0,), (0x7FFFFF,), 1),
    140: ("whole", 2, (0, 0), (1, 1), 0), 141: ("whole", 2, (0, 0), (1, 1), None),
}  # fmt: skip


def frames(stream: bytes) -> tuple[list[bytes], bytes, bool]:
    """(packets, what is left, whether framing is lost)."""
    packets: list[bytes] = []
    while len(stream) >= 2:
        size = stream[0] + 256 * stream[1]
        if size < 8 or (len(stream) >= 8 and size < 8 + stream[7]):
            return packets, b"", True
        if len(stream) < size:
            break
        packets.append(stream[:size])
        stream = stream[size:]
    return packets, stream, False


def header(packet: bytes) -> tuple[int, int, bytes, bytes]:
    """(type, date, name, data)."""
    n = packet[7]
    return packet[2], int.from_bytes(packet[3:7], "little"), packet[8 : 8 + n], packet[8 + n :]


def number(four: bytes) -> float:
    """i32 up to 0x7FFFFF, else a finite f32."""
    value = int.from_bytes(four, "little", signed=True)
    if abs(value) <= 0x7FFFFF:
        return value
    (real,) = struct.unpack("<f", four)
    if not math.isfinite(real):
        raise Bad("not finite")
    return float(real)


def within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise Bad("out of range")
    return value


def index(four: bytes) -> int:
    value = number(four)
    if value < 0 or value != int(value) or value > 0x7FFFFF:
        raise Bad("no index")
    return int(value)


def fours(data: bytes) -> list[bytes]:
    if len(data) % 4:
        raise Bad("does not divide")
    return [data[i : i + 4] for i in range(0, len(data), 4)]


def rounded(value: float) -> int:
    return max(-(1 << 24), min(1 << 24, math.floor(value + 0.5)))


def decode(packet: bytes, reply: bool = False) -> tuple[Any, ...]:
    """The values of the data, arrays as lists. Raises Bad."""
    type_id, _, _, data = header(packet)
    table = REPLIES if reply else KINDS
    if type_id not in table:
        raise Bad("no layout")
    kind, *rest = table[type_id]
    values: tuple[Any, ...] = _DECODERS[str(kind)](data, *rest)
    return values


def _empty(data: bytes) -> tuple[Any, ...]:
    if data:
        raise Bad("must be empty")
    return ()


def _text(data: bytes, low: int = 0, high: int = 65527) -> tuple[Any, ...]:
    within(len(data), low, high)
    try:
        return (data.decode("utf-8", "strict"),)
    except UnicodeDecodeError:
        raise Bad("not UTF-8") from None


def _status(data: bytes) -> tuple[Any, ...]:
    if len(data) != 4:
        raise Bad("not 4 bytes")
    return (int(within(int.from_bytes(data, "little", signed=True), 0, 3)),)


def _whole(data: bytes, count: int, low: Any, high: Any, text: int | None) -> tuple[Any, ...]:
    """So many i32, each within its bounds (up to 0x7FFFFF by default), then text of so many bytes
    at least; None: nothing more."""
    if len(data) < 4 * count or (text is None and len(data) != 4 * count):
        raise Bad("length")
    values = struct.unpack(f"<{count}i", data[: 4 * count])
    for value, least, most in zip(values, low, high or [None] * count, strict=True):
        within(value, least, 0x7FFFFF if most is None else most)
    return (*values, *(() if text is None else _text(data[4 * count :], text)))


def _stroke(data: bytes) -> tuple[Any, ...]:
    if len(data) < 24 or (len(data) - 16) % 8:
        raise Bad("length")
    coordinates = struct.unpack(f"<{(len(data) - 16) // 4}f", data[16:])
    if not all(map(math.isfinite, coordinates)):
        raise Bad("not finite")
    points = [[x, y] for x, y in zip(coordinates[::2], coordinates[1::2], strict=True)]
    height = within(number(data[8:12]), 1, 1000)
    width = within(number(data[12:16]), 1, 1000)
    return index(data[:4]), data[4:8], height, width, points


def _pointer(data: bytes) -> tuple[Any, ...]:
    if len(data) != 28:
        raise Bad("length")
    coordinates = [within(number(four), -0x7FFFFF, 0x7FFFFF) for four in fours(data[4:])]
    return (index(data[:4]), *coordinates)


def _accepted(data: bytes) -> tuple[Any, ...]:
    if len(data) != 20:
        raise Bad("length")
    (sequence,) = struct.unpack("<d", data[8:16])
    if not math.isfinite(sequence):
        raise Bad("not finite")
    numbers = _whole(data[:8], 2, (0, 1), None, None)
    return (*numbers, within(sequence, 0, 2**53), index(data[16:]))


def _ink(data: bytes) -> tuple[Any, ...]:
    if not 16 <= len(data) <= 16 + 512 * 8 or len(data) % 8:
        raise Bad("length")
    coordinates = struct.unpack(f"<{(len(data) - 16) // 4}f", data[16:])
    if not all(map(math.isfinite, coordinates)):
        raise Bad("not finite")
    points = [[x, y] for x, y in zip(coordinates[::2], coordinates[1::2], strict=True)]
    width = within(number(data[8:12]), 1, 1000)
    done = int(within(int.from_bytes(data[12:16], "little", signed=True), 0, 1))
    return index(data[:4]), data[4:8], width, done, points


def _points(data: bytes) -> tuple[Any, ...]:
    if len(data) < 16 or (len(data) - 8) % 8:
        raise Bad("length")
    brush = within(number(data[:4]), 1, 1000)
    flat = [rounded(number(four)) for four in fours(data[8:])]
    if brush * brush * (len(flat) // 2) > 64 * 1024 * 1024:
        raise Bad("too many stamps")
    return brush, data[4:8], [[x, y] for x, y in zip(flat[::2], flat[1::2], strict=True)]


def _indices(data: bytes, descending: bool = False) -> tuple[Any, ...]:
    found = [index(four) for four in fours(data)]
    if not found:
        raise Bad("empty")
    if descending and any(a <= b for a, b in zip(found, found[1:], strict=False)):
        raise Bad("order")
    return (found,)


def _rectangle(data: bytes, angle: float | None) -> tuple[Any, ...]:
    if len(data) != 20:
        raise Bad("length")
    x, y, length, width, turned = (number(four) for four in fours(data))
    for at, side in ((x, length), (y, width)):
        within(at, -(1 << 23), 1 << 23)
        within(side, 1, 16384)
        within(at + side, -(1 << 23), 1 << 23)
    if angle is not None and turned != angle:
        raise Bad("angle")
    return x, y, length, width, turned


def _canvas(length: float, width: float) -> tuple[Any, ...]:
    within(length, 1, 16384)
    within(width, 1, 16384)
    within(length * width, 1, 16 * 1024 * 1024)
    return length, width


def _doubles(data: bytes) -> tuple[Any, ...]:
    if len(data) != 16:
        raise Bad("length")
    sides = struct.unpack("<2d", data)
    if not all(map(math.isfinite, sides)):
        raise Bad("not finite")
    return _canvas(*sides)


def _sides(data: bytes) -> tuple[Any, ...]:
    if len(data) != 8:
        raise Bad("length")
    return _canvas(number(data[:4]), number(data[4:]))


def _fill(data: bytes) -> tuple[Any, ...]:
    if len(data) != 12:
        raise Bad("length")
    low, high = -0x7FFFFF, 0x7FFFFF
    at = [within(number(four), low, high) for four in (data[:4], data[4:8])]
    return at[0], at[1], data[8:]


_DECODERS: dict[str, Any] = {
    "empty": _empty,
    "text": _text,
    "text1": lambda data: _text(data, 1),
    "text64": lambda data: _text(data, 1, 64),
    "one": lambda data: _text(data, 1, 1),
    "status": _status,
    "whole": _whole,
    "pointer": _pointer,
    "ink": _ink,
    "accepted": _accepted,
    STROKE: _stroke,
    POINTS: _points,
    "indices": _indices,
    "descending": lambda data: _indices(data, True),
    RECTANGLE: _rectangle,
    "doubles": _doubles,
    "sides": _sides,
    FILL: _fill,
}
