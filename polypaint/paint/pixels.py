"""The canvas of a pixel lobby: a raster, and the rectangles that people have cut out of it.

A pixel is a uint32 whose little-endian bytes are R, G, B, A. The raster is (width, length) in the
protocol's words: rows × columns.

Must never import a lobby or a session. Counterparts: `_raster` for the loops, `strokes.py`.
Protocol: docs/protocol.md, section 5, "Pixel mode".
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from polypaint import _codec, _raster
from polypaint._codec import HEADER_BYTES
from polypaint.errors import Refused, StoreError
from polypaint.paint import canvas, packets
from polypaint.paint.canvas import Applied
from polypaint.paint.packets import (
    APPLY_FILTER_SELECTION,
    AREA_MAX,
    BUCKET_FILL,
    CORNER_MAX,
    CREATE_SELECTION,
    NUMBER_MAX,
    PACKETS,
    PEN_MAX,
    REMOVE_SELECTION,
    RESET_CANVAS,
    RESIZE_CANVAS,
    RESIZE_CANVAS_INT,
    SEND_POINTS,
    STAMPS_MAX,
    UPDATE_SELECTION,
    Mode,
)

Pixels: TypeAlias = npt.NDArray[np.uint32]
Rectangle: TypeAlias = tuple[int, int, int, int]
WHITE: Final = 0xFFFFFFFF
PIXEL_BYTES: Final = 4
BAND_PIXELS: Final = 1 << 17
"""Work on a large canvas is done in bands of so many: to copy or free it in one piece would keep
the interpreter, and so the event loop, for too long."""


def whole(value: float) -> int:
    """A pixel field as an integer: floats round half up (section 9)."""
    return math.floor(value + 0.5)


def _rectangle(values: tuple[Any, ...]) -> Rectangle:
    """x, y, length, width in whole pixels. Raises Refused when a corner is beyond the limit.

    The codec has seen the numbers as they were sent; what is kept and sent again is rounded.
    """
    x, y, length, width = map(whole, values[:4])
    if x + length > CORNER_MAX or y + width > CORNER_MAX:
        raise Refused(f"in whole pixels, a corner is beyond {CORNER_MAX}")
    return x, y, length, width


def _within(rectangle: Rectangle) -> Rectangle:
    """The same, moved by a pixel or two if a corner is beyond the limit: far off the canvas."""
    x, y, length, width = rectangle
    return min(x, CORNER_MAX - length), min(y, CORNER_MAX - width), length, width


def _rows(length: int, width: int) -> int:
    """How many rows of this length a canvas may have, `width` at most."""
    return min(width, AREA_MAX // max(1, length))


def _number(value: int) -> float:
    """A whole number so that the codec takes it: beyond NUMBER_MAX only an f32 can hold it."""
    return value if abs(value) <= NUMBER_MAX else float(value)


@dataclass(slots=True)
class Floating:
    """A rectangle cut out of the canvas.

    source: the pixels, without what was off canvas; offset: where in the cut rectangle they lie.
    cut: x, y, length, width as drawn; canvas: the canvas's size then. target, angle: where it is.
    """

    source: Pixels
    offset: tuple[int, int]
    cut: Rectangle
    canvas: tuple[int, int]
    target: Rectangle
    angle: float = 0


class PixelCanvas:
    """The `canvas.Canvas` of a pixel lobby. pixels: uint32 (width, length), C-contiguous."""

    mode = Mode.PIXEL

    def __init__(self) -> None:
        self.pixels: Pixels = _white(int(canvas.LENGTH), int(canvas.WIDTH))
        self.floating: dict[str, Floating] = {}
        self.needs_client_snapshot = False

    @property
    def length(self) -> float:
        """Pixels in a row."""
        return float(self.pixels.shape[1])

    @property
    def width(self) -> float:
        """Rows."""
        return float(self.pixels.shape[0])

    def apply(self, packet: bytes) -> Applied:
        author = packet[8 : 8 + packet[7]].decode()
        return Applied(_APPLY[packet[2]](self, packet, author) + packet)

    def replay(self, packet: bytes) -> None:
        kind = packet[2]
        if kind in (RESIZE_CANVAS.id, RESIZE_CANVAS_INT.id):
            length, width = map(whole, packets.decode(packet))
            if length * width > AREA_MAX:
                packet = RESIZE_CANVAS_INT.encode_reply(0, length, _rows(length, width))
        elif kind in (CREATE_SELECTION.id, UPDATE_SELECTION.id):
            *sides, angle = packets.decode(packet)
            x, y, length, width = map(whole, sides)
            _, date, name, _ = _codec.header(packet)
            rectangle = map(_number, _within((x, y, length, width)))
            packet = PACKETS[kind].encode_reply(date, *rectangle, angle, name=name)
        self.apply(packet)

    # ------------------------------------------------------------ drawing
    def _stamp(self, packet: bytes, _author: str) -> bytes:
        brush, rgba, points = packets.decode(packet)
        _raster.stamp(self.pixels, points, whole(brush), _colour(rgba))
        return b""

    def _fill(self, packet: bytes, _author: str) -> bytes:
        x, y, rgba = packets.decode(packet)
        x, y = whole(x), whole(y)
        if not (0 <= x < self.length and 0 <= y < self.width):
            raise Refused("the fill starts off the canvas")
        _raster.fill(self.pixels, x, y, _colour(rgba))
        return b""

    # ------------------------------------------------------------ selections
    def _cut(self, packet: bytes, author: str) -> bytes:
        x, y, length, width = _rectangle(packets.decode(packet))
        before = self.release(author, _codec.header(packet)[1])
        left, top = max(x, 0), max(y, 0)
        window = self.pixels[top : max(y + width, 0), left : max(x + length, 0)]
        size = (int(self.length), int(self.width))
        self.floating[author] = Floating(
            window.copy(), (left - x, top - y), (x, y, length, width), size, (x, y, length, width)
        )
        window[:] = WHITE
        return before

    def _move(self, packet: bytes, author: str) -> bytes:
        values = packets.decode(packet)
        floating = self._of(author)
        floating.target = _rectangle(values)
        floating.angle = values[4]
        return b""

    def _put_back(self, packet: bytes, author: str) -> bytes:
        self._of(author)
        self.release(author, 0)
        return b""

    def _filter(self, packet: bytes, author: str) -> bytes:
        (name,) = packets.decode(packet)
        floating = self._of(author)
        if name in FILTERS:
            floating.source = filtered(floating.source, name)
        else:
            self.needs_client_snapshot = True
        return b""

    def _of(self, author: str) -> Floating:
        if author not in self.floating:
            raise Refused("there is no selection of yours")
        return self.floating[author]

    def cost(self, packet: bytes) -> int:
        """The factors are what a profile shows, rounded up."""
        kind = packet[2]
        at = HEADER_BYTES + packet[7]
        if kind == SEND_POINTS.id:
            points = (len(packet) - at - 8) // 8
            brush = int.from_bytes(packet[at : at + 4], "little")
            if brush > PEN_MAX:  # written as a float
                brush = whole(packets.decode(packet)[0])
            return brush * brush * points
        author = packet[HEADER_BYTES:at].decode()
        if kind in (BUCKET_FILL.id, RESET_CANVAS.id, CREATE_SELECTION.id):
            return 4 * self.pixels.size + self.release_cost(author)
        if kind in (RESIZE_CANVAS.id, RESIZE_CANVAS_INT.id):
            length, width = map(whole, packets.decode(packet))
            return length * width + self.pixels.size
        if kind == REMOVE_SELECTION.id:
            return self.release_cost(author)
        if kind == APPLY_FILTER_SELECTION.id and author in self.floating:
            return 50 * self.floating[author].source.size
        return 0

    def release_cost(self, author: str) -> int:
        floating = self.floating.get(author)
        if floating is None:
            return 0
        length, width = floating.target[2:]
        return 10 * min((length + width) ** 2, self.pixels.size)

    @property
    def size_cost(self) -> int:
        return 8 * self.pixels.size

    @property
    def snapshot_cost(self) -> int:
        return self.size_cost

    @property
    def free_cost(self) -> int:
        return self.bytes_used // 20

    def load_cost(self, blobs: list[bytes]) -> int:
        return sum(map(len, blobs)) // 2

    def only_held(self, packet: bytes) -> bool:
        """No pixel packet names strokes."""
        return True

    def authors(self) -> list[str]:
        return list(self.floating)

    def release(self, author: str, date: int) -> bytes:
        """Writes back; a REMOVE_SELECTION in the author's name."""
        floating = self.floating.pop(author, None)
        if floating is None:
            return b""
        _raster.place(
            self.pixels,
            floating.source,
            floating.offset,
            floating.cut[2:],
            floating.target,
            floating.angle,
        )
        return REMOVE_SELECTION.encode_reply(date, name=author.encode())

    # ------------------------------------------------------------ the whole canvas
    def _resize(self, packet: bytes, _author: str) -> bytes:
        length, width = map(whole, packets.decode(packet))
        if length * width > AREA_MAX:
            raise Refused(f"{length} × {width} whole pixels are more than {AREA_MAX}")
        pixels = _white(length, width)
        rows, columns = min(width, len(self.pixels)), min(length, int(self.length))
        pixels[:rows, :columns] = self.pixels[:rows, :columns]
        self.pixels = pixels
        return b""

    def _reset(self, packet: bytes, _author: str) -> bytes:
        self.clear()
        return b""

    def forget_snapshot(self) -> None:
        """Nothing is kept here."""

    def clear(self) -> None:
        self.pixels[:] = WHITE
        self.floating = {}
        self.needs_client_snapshot = False

    def free(self) -> None:
        self.pixels = _white(1, 1)
        self.floating = {}

    def paint(self, pixels: Pixels) -> None:
        """Take a client's picture for the truth; the selections that are open stay open."""
        self.pixels = np.ascontiguousarray(pixels)
        self.needs_client_snapshot = False

    def snapshot(self, date: int) -> list[bytes]:
        """What is open first, then the picture.

        An open selection is shown by painting what it cut where it was cut and cutting it again,
        which leaves white; the picture itself comes last.
        """
        chunks = []
        for author, floating in self.floating.items():
            name = author.encode()
            x, y, *_ = floating.cut
            chunks.append(RESIZE_CANVAS_INT.encode_reply(date, *floating.canvas))
            at = (x + floating.offset[0], y + floating.offset[1])
            chunks += _picture(date, floating.source, at, spill=False)
            cut = map(_number, floating.cut)
            chunks.append(CREATE_SELECTION.encode_reply(date, *cut, 0, name=name))
            if (floating.target, floating.angle) != (floating.cut, 0):
                target = map(_number, floating.target)
                chunks.append(
                    UPDATE_SELECTION.encode_reply(date, *target, floating.angle, name=name)
                )
        chunks.append(RESIZE_CANVAS_INT.encode_reply(date, int(self.length), int(self.width)))
        return [b"".join(chunks), *_picture(date, self.pixels, (0, 0), spill=True)]

    def dump(self) -> tuple[dict[str, Any], list[bytes]]:
        floating = {
            author: {
                "source": f.source.shape,
                "offset": f.offset,
                "cut": f.cut,
                "canvas": f.canvas,
                "target": f.target,
                "angle": f.angle,
            }
            for author, f in self.floating.items()
        }
        meta = {
            "length": int(self.length),
            "width": int(self.width),
            "floating": floating,
            "needs_client_snapshot": self.needs_client_snapshot,
        }
        arrays = [self.pixels, *(f.source for f in self.floating.values())]
        return meta, [blob for pixels in arrays for blob in _blobs(pixels)]

    def load(self, meta: dict[str, Any], blobs: list[bytes]) -> None:
        try:
            left = iter(blobs)
            self.pixels = _pixels(left, (meta["width"], meta["length"]))
            self.needs_client_snapshot = bool(meta["needs_client_snapshot"])
            self.floating = {
                author: _floating(_pixels(left, tuple(f["source"])), f)
                for author, f in meta["floating"].items()
            }
            self.pixels = np.ascontiguousarray(self.pixels[: _rows(*self.pixels.shape[::-1])])
            if next(left, None) is not None:
                raise ValueError("there are more blobs than pixels")
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"a stored drawing does not make sense: {error!r}") from error

    @property
    def bytes_used(self) -> int:
        return self.pixels.nbytes + sum(f.source.nbytes for f in self.floating.values())

    @property
    def memory_used(self) -> int:
        return self.bytes_used

    @property
    def selections_used(self) -> int:
        return sum(f.source.nbytes for f in self.floating.values())

    @property
    def snapshot_growth(self) -> int:
        """A picture may take more or less than its pixels."""
        return self.pixels.nbytes

    def growth(self, packet: bytes) -> int:
        """While a canvas is resized, the old one is still there."""
        kind = packet[2]
        if kind in (RESIZE_CANVAS.id, RESIZE_CANVAS_INT.id):
            length, width = map(whole, packets.decode(packet))
            return PIXEL_BYTES * length * width
        if kind == CREATE_SELECTION.id:
            x, y, length, width = map(whole, packets.decode(packet)[:4])
            columns = min(x + length, int(self.length)) - max(x, 0)
            rows = min(y + width, int(self.width)) - max(y, 0)
            return PIXEL_BYTES * max(0, columns) * max(0, rows)
        return 0


_APPLY: Final = {
    SEND_POINTS.id: PixelCanvas._stamp,
    BUCKET_FILL.id: PixelCanvas._fill,
    CREATE_SELECTION.id: PixelCanvas._cut,
    UPDATE_SELECTION.id: PixelCanvas._move,
    REMOVE_SELECTION.id: PixelCanvas._put_back,
    APPLY_FILTER_SELECTION.id: PixelCanvas._filter,
    RESIZE_CANVAS.id: PixelCanvas._resize,
    RESIZE_CANVAS_INT.id: PixelCanvas._resize,
    RESET_CANVAS.id: PixelCanvas._reset,
}
packets.must_apply(_APPLY, Mode.PIXEL)


def _white(length: int, width: int) -> Pixels:
    return np.full((width, length), WHITE, np.uint32)


def _bands(pixels: Pixels) -> Iterator[slice]:
    """All rows, in bands of about BAND_PIXELS; at least one, should there be no row."""
    step = max(1, BAND_PIXELS // max(1, pixels.shape[1]))
    return (slice(top, top + step) for top in range(0, max(1, len(pixels)), step))


def _blobs(pixels: Pixels) -> list[bytes]:
    """For a dump: a band each."""
    return [pixels[band].tobytes() for band in _bands(pixels)]


def _pixels(blobs: Iterator[bytes], shape: tuple[int, int]) -> Pixels:
    """From a dump: as many blobs as it takes. Raises ValueError."""
    parts: list[Pixels] = []
    missing = shape[0] * shape[1]
    while not parts or missing > 0:
        blob = next(blobs, None)
        if blob is None:
            raise ValueError("there are fewer pixels than there should be")
        parts.append(np.frombuffer(blob, "<u4"))
        missing -= parts[-1].size
    return np.concatenate(parts, dtype=np.uint32).reshape(shape)


def _floating(source: Pixels, kept: dict[str, Any]) -> Floating:
    """From a dump; what an older version kept beyond the limits is brought within them."""
    cut, target = _within(tuple(kept["cut"])), _within(tuple(kept["target"]))
    offset = tuple(kept["offset"])
    length, width = kept["canvas"]
    rows = _rows(length, width)
    source = np.ascontiguousarray(source[: max(0, rows - cut[1] - offset[1])])
    return Floating(source, offset, cut, (length, rows), target, kept["angle"])


def _colour(rgba: bytes) -> int:
    return int.from_bytes(rgba, "little")


def _picture(date: int, pixels: Pixels, at: tuple[int, int], spill: bool) -> list[bytes]:
    """SEND_POINTS packets that paint these pixels on white, their first one at this point."""
    colours, sizes, corners = _raster.squares(pixels, WHITE, spill)
    corners += np.array(at, np.int32)
    return _codec.point_packets(SEND_POINTS.id, date, colours, sizes, corners, STAMPS_MAX)


# ---------------------------------------------------------------- filters (section 9)
def _channels(pixels: Pixels) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(pixels).view(np.uint8).reshape(*pixels.shape, 4)


def _joined(channels: npt.NDArray[Any]) -> Pixels:
    shape = channels.shape[:2]
    return np.ascontiguousarray(channels, np.uint8).view(np.uint32).reshape(shape)


def _grayscale(pixels: Pixels) -> Pixels:
    channels = _channels(pixels)
    weighted = channels[..., :3].astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
    channels[..., :3] = ((weighted + 500) // 1000)[..., np.newaxis]
    return _joined(channels)


def _invert(pixels: Pixels) -> Pixels:
    channels = _channels(pixels)
    channels[..., :3] = 255 - channels[..., :3]
    return _joined(channels)


def _blur(pixels: Pixels) -> Pixels:
    """Of rows that have one more above and one below; these two are not returned."""
    channels = _channels(pixels).astype(np.uint16)
    rows = channels[:-2] + 2 * channels[1:-1] + channels[2:]
    rows = np.pad(rows, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return _joined((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:] + 8) >> 4)


FILTERS: Final[dict[str, tuple[int, Callable[[Pixels], Pixels]]]] = {
    "grayscale": (0, _grayscale),
    "invert": (0, _invert),
    "blur": (1, _blur),
}
"""Name → (rows that it needs above and below, how it is done to a band, which it may use up)."""


def filtered(pixels: Pixels, name: str) -> Pixels:
    """The pixels through one of FILTERS; beyond an edge there is what is at the edge."""
    if not pixels.size:
        return pixels
    margin, work = FILTERS[name]
    out = np.empty_like(pixels)
    for band in _bands(pixels):
        rows = np.arange(band.start - margin, min(band.stop, len(pixels)) + margin)
        out[band] = work(pixels[np.clip(rows, 0, len(pixels) - 1)])
    return out
