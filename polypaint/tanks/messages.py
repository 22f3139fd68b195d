"""Every message that tank clients send, declared once. The kind follows from the keys.

The wire keeps the source's words and its spelling; this module is where they meet ours.

Must never import a session. Counterpart: `session.py` has a handler for each kind.
Protocol: docs/tanks.md, section 2.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from polypaint.errors import ProtocolError, Refused
from polypaint.wire import strictjson

CHAT_MAX: Final = 500
HUGE: Final = 1e300


class When(Enum):
    """In which states of a connection a message is in place."""

    LOGIN = "before login"
    ONLINE = "after login"
    MAP = "on a map"


class TankRefusal(Refused):
    """A message was refused: `code` is one of ERRORS."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


ERRORS: Final = {
    "bad json": "not one JSON object as the protocol has them, or too long",
    "unknown message": "its keys belong to no message",
    "ambiguous message": "its keys belong to several messages",
    "bad field": "a key is missing, or its value is not what it has to be",
    "not logged in": "only a login is understood before login",
    "not on a map": "this is said on a map, and you are on none",
    "rate": "too many messages; this one was dropped",
}


def refused(code: str) -> TankRefusal:
    """One of ERRORS."""
    assert code in ERRORS
    return TankRefusal(code)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _true(value: Any) -> bool:
    return value is True


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < HUGE


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _words(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= CHAT_MAX and bool(value.strip())


@dataclass(frozen=True, slots=True)
class Kind:
    """A message. marks: the keys by which it is known; fields: what it holds.

    cost: units of work, of about a nanosecond (`engine/budget.py`).
    """

    name: str
    says: str
    when: When
    marks: tuple[str, ...]
    fields: dict[str, Callable[[Any], bool]]
    optional: dict[str, Callable[[Any], bool]]
    request: str = ""
    cost: int = 20_000

    def check(self, message: dict[str, Any]) -> None:
        """Raises TankRefusal `bad field`."""
        for key, valid in self.fields.items():
            if key not in message or not valid(message[key]):
                raise refused("bad field")
        for key, valid in self.optional.items():
            if message.get(key) is not None and not valid(message[key]):
                raise refused("bad field")


def _request(name: str, says: str, **fields: Callable[[Any], bool]) -> Kind:
    required = {k: v for k, v in fields.items() if k != "tank" or name == "buy tank"}
    optional = {k: v for k, v in fields.items() if k not in required}
    return Kind(name, says, When.ONLINE, ("requeste",), required, optional, name)


LOGIN = Kind(
    "login",
    "Log in; with newuser, create the account first.",
    When.LOGIN,
    ("name", "password", "newuser"),
    {"name": _text, "password": _text, "newuser": _flag},
    {},
)
CONNECT = _request(
    "connect to map", "Enter a map, with a tank that one owns.", map=_text, tank=_text
)
LIST = _request("list map", "The maps, and all tanks with their prices.")
BUY = _request("buy tank", "Buy a tank with coins.", tank=_text)
SPECTATE = _request("spectate", "Watch a map without a tank.", map=_text)
TOKEN = _request("token", "A ticket, which stands in for the password for a day.")
MOVE = Kind(
    "move",
    "What one's tank has done since the last such message.",
    When.MAP,
    ("deplacementavant", "rotationtank", "rotationcannon", "fire"),
    {
        "deplacementavant": _number,
        "rotationtank": _number,
        "rotationcannon": _number,
        "fire": _count,
    },
    {},
)
CHAT = Kind(
    "chat", "Say something on the map.", When.ONLINE, ("message",), {"message": _words}, {}
)
QUIT = Kind(
    "quit",
    "Leave the map; one stays on the server.",
    When.MAP,
    ("quit the map",),
    {"quit the map": _true},
    {},
)
KINDS: Final = (LOGIN, CONNECT, LIST, BUY, SPECTATE, TOKEN, MOVE, CHAT, QUIT)
_SHAPES: Final = {kind.marks: kind for kind in KINDS if not kind.request}
_REQUESTS: Final = {kind.request: kind for kind in KINDS if kind.request}
_BARE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|\b(?:True|False|None)\b')
_JSON: Final = {b"True": b"true", b"False": b"false", b"None": b"null"}


def kind_of(message: dict[str, Any]) -> Kind:
    """Which message this is, by its keys. Raises TankRefusal."""
    found = {
        marks for marks in (*_SHAPES, ("requeste",)) if any(mark in message for mark in marks)
    }
    if not found:
        raise refused("unknown message")
    if len(found) > 1:
        raise refused("ambiguous message")
    marks = found.pop()
    if marks != ("requeste",):
        return _SHAPES[marks]
    request = message["requeste"]
    if not isinstance(request, str):
        raise refused("bad field")
    kind = _REQUESTS.get(request)
    if kind is None:
        raise refused("unknown message")
    return kind


def parse(line: bytes) -> Any:
    """JSON, in which True, False and None may stand as the source's clients send them.

    Raises ProtocolError.
    """
    try:
        return strictjson.loads(line)
    except ProtocolError:
        if not any(word in line for word in _JSON):
            raise
    return strictjson.loads(_BARE.sub(lambda m: _JSON.get(m.group(), m.group()), line))
