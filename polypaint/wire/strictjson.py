"""JSON as the protocols allow it: stricter than what parsers accept.

Not allowed: invalid UTF-8, NaN and infinities, lone surrogates, an object with a key twice, more
than 8 levels, more than 1000 elements.

Must never import anything above `_codec`. Counterpart: `orjson`, which does the parsing.
"""

from typing import Any

import orjson

from polypaint._codec import json_shape
from polypaint.errors import ProtocolError

DEPTH_MAX = 8
ELEMENTS_MAX = 1000
"""Members, items and containers of a text, all together: each costs more than its bytes."""
ELEMENT_COST = 500
"""Nanoseconds that one takes."""


def loads(data: bytes) -> Any:
    """The value of a JSON text. Raises ProtocolError that says what is wrong with it."""
    colons, depth, elements = json_shape(data)
    if elements > ELEMENTS_MAX:
        raise ProtocolError(f"JSON has more than {ELEMENTS_MAX} elements")
    if depth > DEPTH_MAX:
        raise ProtocolError(f"JSON is nested deeper than {DEPTH_MAX} levels")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"not JSON: {error.msg}") from None
    if _keys(value) != colons:
        raise ProtocolError("JSON has an object with the same key twice")
    return value


def cost(data: bytes) -> int:
    """About how many nanoseconds `loads` takes, from above, without looking closely."""
    count = data.count
    return len(data) + ELEMENT_COST * (count(b",") + count(b"[") + count(b"{"))


def loads_strings(data: bytes, keys: tuple[str, ...]) -> dict[str, str]:
    """A JSON object's values for these keys, which must all be strings; other keys are ignored.

    Raises ProtocolError.
    """
    value = loads(data)
    if not isinstance(value, dict):
        raise ProtocolError("JSON is not an object")
    for key in keys:
        if key not in value:
            raise ProtocolError(f"JSON has no key {key}")
        if not isinstance(value[key], str):
            raise ProtocolError(f"JSON key {key} is not a string")
    return {key: value[key] for key in keys}


def _keys(value: Any) -> int:
    """How many keys all objects in a value have together; its depth is bounded."""
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    if isinstance(value, list):
        return sum(map(_keys, value))
    return 0
