"""A file of strokes, as `canvas.json` is, read into packets.

Counterpart: `paint/render.py`, which writes such files.
"""

from typing import Any, Final

import numpy as np
import orjson

from polypaint.errors import ProtocolError, Refused
from polypaint.paint.packets import ADD_STROKE

SCHEMA: Final = {
    "type": "object",
    "required": ["strokes"],
    "properties": {
        "strokes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["rgba", "height", "width", "points"],
                "properties": {
                    "rgba": {"type": "array", "items": {"type": "integer"}},
                    "height": {"type": "number"},
                    "width": {"type": "number"},
                    "points": {"type": "array", "items": {"type": "array"}},
                },
            },
        }
    },
}
"""Of such a file, as far as it is read."""
FILE_BYTES_MAX: Final = 16 << 20
STROKES_MAX: Final = 100_000
WRONG: Final = "this is no file of strokes, as `canvas.json` is"


def stroke_packets(data: bytes, author: str, date: int) -> list[bytes]:
    """ADD_STROKE packets in the author's name.

    Raises ProtocolError for what is no such file, Refused for a stroke that cannot be drawn.
    """
    try:
        value = orjson.loads(data)
    except ValueError:
        raise ProtocolError(WRONG) from None
    strokes = value.get("strokes") if isinstance(value, dict) else None
    if not isinstance(strokes, list):
        raise ProtocolError(WRONG)
    if len(strokes) > STROKES_MAX:
        raise ProtocolError(f"a file has at most {STROKES_MAX} strokes")
    name = author.encode()
    packets = []
    for number, stroke in enumerate(strokes):
        try:
            packets.append(_packet(stroke, name, date))
        except (KeyError, TypeError, ValueError, OverflowError, ProtocolError):
            raise Refused(f"stroke {number} of the file cannot be drawn") from None
    return packets


def _packet(stroke: dict[str, Any], name: bytes, date: int) -> bytes:
    points = np.array(stroke["points"], np.float32)
    rgba = bytes(stroke["rgba"])
    height, width = float(stroke["height"]), float(stroke["width"])
    return ADD_STROKE.encode_request(date, name, 0, rgba, height, width, points)
