"""A canvas as a file that others can open: PNG, SVG, JSON.

Pure work, and for a large canvas a lot of it: callers run it in another process
(`web/render_worker.py`).

Must never import a session. Counterparts: `web/pictures.py` and `polypaint-fast export`.
"""

import base64
import io
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
from PIL import Image, ImageDraw

from polypaint.errors import PolypaintError, ProtocolError
from polypaint.paint import packets
from polypaint.paint.canvas import Canvas
from polypaint.paint.lobby import empty_canvas
from polypaint.paint.packets import AREA_MAX, SIDE_MAX, Mode
from polypaint.paint.pixels import PixelCanvas, Pixels
from polypaint.paint.strokes import StrokeCanvas

FORMATS: Final = {"png": "image/png", "svg": "image/svg+xml", "json": "application/json"}
THUMBNAIL: Final = "webp"
THUMBNAIL_SIDE_MAX: Final = 320
SVG_END: Final = b"</svg>\n"
COORDINATE_MAX: Final = 1e6
"""Coordinates of strokes are clamped to this before they are drawn."""


def canvas_from(mode: Mode, dump: tuple[dict[str, Any], list[bytes]]) -> Canvas:
    """The canvas that was dumped. Raises StoreError."""
    canvas = empty_canvas(mode)
    canvas.load(*dump)
    return canvas


class TooLarge(PolypaintError):
    """A file would be larger than it may be."""


def render(canvas: Canvas, kind: str, bytes_max: int | None = None) -> bytes:
    """The canvas as a file; kind: a key of FORMATS, or THUMBNAIL.

    Open selections are shown where they are. Raises TooLarge when the file has more than
    bytes_max; it is noticed on the way.
    """
    parts = []
    size = 0
    for part in _parts(canvas, kind):
        parts.append(part)
        size += len(part)
        if bytes_max is not None and size > bytes_max:
            raise TooLarge(f"the file has more than {bytes_max} bytes")
    return b"".join(parts)


def _parts(canvas: Canvas, kind: str) -> Iterator[bytes]:
    if kind == THUMBNAIL:
        yield _thumbnail(canvas)
    elif isinstance(canvas, PixelCanvas):
        canvas = _settled(canvas)
        yield {"png": _png, "svg": _svg_of_pixels, "json": _json_of_pixels}[kind](canvas)
    elif isinstance(canvas, StrokeCanvas):
        draw = {"png": _png_of_strokes, "svg": _svg_of_strokes, "json": _json_of_strokes}[kind]
        yield from draw(canvas)
    else:
        raise AssertionError("there are two kinds of canvas")


def _thumbnail(canvas: Canvas) -> bytes:
    """A small picture: strokes are drawn twice as large first, which makes their edges smooth."""
    side = max(1.0, canvas.length, canvas.width)
    if isinstance(canvas, StrokeCanvas):
        image = _draw(canvas, min(1.0, 2 * THUMBNAIL_SIDE_MAX / side))
    else:
        image = _image(raster(canvas))
    image.thumbnail((THUMBNAIL_SIDE_MAX, THUMBNAIL_SIDE_MAX))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=80)
    return out.getvalue()


def raster(canvas: Canvas, scale: float = 1) -> Pixels:
    """The canvas as uint32 pixels (rows, columns), strokes drawn at this scale."""
    if isinstance(canvas, StrokeCanvas):
        image = _draw(canvas, scale)
        return np.frombuffer(image.tobytes(), "<u4").reshape(image.height, image.width)
    if not isinstance(canvas, PixelCanvas):
        raise AssertionError("there are two kinds of canvas")
    return _settled(canvas).pixels


def read_png(data: bytes, length: int, width: int) -> Pixels:
    """The pixels of a PNG of just this size, uint32 (width, length). Raises ProtocolError."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != (length, width):
                raise ProtocolError(
                    f"the picture is {image.width}×{image.height}, the canvas {length}×{width}"
                )
            pixels = np.frombuffer(image.convert("RGBA").tobytes(), "<u4")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ProtocolError(f"not a PNG: {error}") from None
    return pixels.reshape(width, length).astype(np.uint32)


# ---------------------------------------------------------------- pixels
def _settled(canvas: PixelCanvas) -> PixelCanvas:
    """A copy with all selections written back."""
    twin = PixelCanvas()
    twin.load(*canvas.dump())
    for author in twin.authors():
        twin.release(author, 0)
    return twin


def _image(pixels: Pixels) -> Image.Image:
    channels: npt.NDArray[np.uint8] = np.ascontiguousarray(pixels).view(np.uint8)
    return Image.fromarray(channels.reshape(*pixels.shape, 4), "RGBA")


def _file(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=3)
    return out.getvalue()


def _png(canvas: PixelCanvas) -> bytes:
    return _file(_image(canvas.pixels))


def _svg_of_pixels(canvas: PixelCanvas) -> bytes:
    picture = base64.b64encode(_png(canvas)).decode()
    body = (
        f'<image width="{canvas.length}" height="{canvas.width}" '
        f'href="data:image/png;base64,{picture}"/>'
    )
    return _svg_head(canvas) + body.encode() + b"\n" + SVG_END


def _json_of_pixels(canvas: PixelCanvas) -> bytes:
    return orjson.dumps(
        {
            "mode": "pixel",
            "length": canvas.length,
            "width": canvas.width,
            "png": base64.b64encode(_png(canvas)).decode(),
        }
    )


# ---------------------------------------------------------------- strokes
def _strokes(canvas: StrokeCanvas) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    """(packet, (index, rgba, height, width, points)) of every stroke."""
    return ((packet, packets.decode(packet)) for packet in canvas.strokes)


def _draw(canvas: StrokeCanvas, scale: float) -> Image.Image:
    """Every stroke composed onto white, round ends and joints."""
    length = max(1, min(SIDE_MAX, round(canvas.length * scale)))
    width = max(1, min(SIDE_MAX, AREA_MAX // length, round(canvas.width * scale)))
    image = Image.new("RGBA", (length, width), "white")
    pen = ImageDraw.Draw(image)
    for _, (_, rgba, height, pen_width, points) in _strokes(canvas):
        points = np.clip(points, -COORDINATE_MAX, COORDINATE_MAX) * scale
        if rgba[3] == 255:
            _polyline(pen, points, tuple(rgba), max(height, pen_width) * scale)
            continue
        reach = max(height, pen_width) * scale + 1
        left, top = np.maximum(points.min(0) - reach, 0).astype(int).tolist()
        right, bottom = np.minimum(points.max(0) + reach + 1, image.size).astype(int).tolist()
        if left < right and top < bottom:
            layer = Image.new("RGBA", (right - left, bottom - top), (*rgba[:3], 0))
            moved = points - np.array([left, top])
            size = max(height, pen_width) * scale
            _polyline(ImageDraw.Draw(layer), moved, tuple(rgba), size)
            image.alpha_composite(layer, (left, top))
    return image


def _polyline(pen: Any, points: npt.NDArray[Any], fill: tuple[int, ...], size: float) -> None:
    flat = [tuple(point) for point in points.tolist()]
    radius = size / 2
    if len(flat) > 1:
        pen.line(flat, fill=fill, width=max(1, round(size)), joint="curve")
    for x, y in (flat[0], flat[-1]):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _png_of_strokes(canvas: StrokeCanvas) -> Iterator[bytes]:
    yield _file(_draw(canvas, 1))


def _svg_of_strokes(canvas: StrokeCanvas) -> Iterator[bytes]:
    yield _svg_head(canvas) + b'<rect width="100%" height="100%" fill="white"/>\n'
    for _, (_, rgba, height, width, points) in _strokes(canvas):
        flat = np.repeat(points, 2, axis=0) if len(points) == 1 else points
        listed = " ".join(f"{x:.7g},{y:.7g}" for x, y in flat.tolist())
        red, green, blue, alpha = rgba
        yield (
            f'<polyline points="{listed}" fill="none" stroke="rgb({red},{green},{blue})" '
            f'stroke-opacity="{alpha / 255:.4g}" stroke-width="{max(height, width):.7g}" '
            'stroke-linecap="round" stroke-linejoin="round"/>\n'
        ).encode()
    yield SVG_END


def _json_of_strokes(canvas: StrokeCanvas) -> Iterator[bytes]:
    head = {"mode": "stroke", "length": canvas.length, "width": canvas.width}
    yield orjson.dumps(head)[:-1] + b',"strokes":['
    comma = b""
    for packet, (_, rgba, height, width, points) in _strokes(canvas):
        stroke = {
            "author": packet[8 : 8 + packet[7]].decode(),
            "date": int.from_bytes(packet[3:7], "little"),
            "rgba": list(rgba),
            "height": height,
            "width": width,
            "points": np.ascontiguousarray(points, np.float32),
        }
        yield comma + orjson.dumps(stroke, option=orjson.OPT_SERIALIZE_NUMPY)
        comma = b","
    yield b"]}"


def _svg_head(canvas: Canvas) -> bytes:
    length, width = canvas.length, canvas.width
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{length:g}" height="{width:g}" '
        f'viewBox="0 0 {length:g} {width:g}">\n'
    ).encode()
