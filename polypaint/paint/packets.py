"""Every packet of the paint protocol, declared once.

The codec's layout table, encoders, the dispatch table's completeness, the client's senders, the
tables of `docs/protocol.md` and the test strategies all come from `PACKETS`. To add a packet,
declare it here and write its handler: a packet without a handler stops the import.

Must never import a session or a lobby. Counterpart: `_codec.Codec`, which runs these layouts.
Protocol: docs/protocol.md, sections 1-3.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Any, Final

from polypaint import _codec
from polypaint.errors import ProtocolError
from polypaint.wire import strictjson

NUMBER_MAX: Final = 0x7FFFFF
"""Four-byte numbers up to this magnitude are i32; other bit patterns are f32."""
INDEX_MAX: Final = NUMBER_MAX
PEN_MAX: Final = 1000
SIDE_MAX: Final = 16384
AREA_MAX: Final = 16 << 20
"""Pixels of a canvas."""
STAMPS_MAX: Final = 64 << 20
"""Pixel writes of one SEND_POINTS."""
CORNER_MAX: Final = 1 << 23
INK_POINTS_MAX: Final = 512
"""Points of one INK."""
FILTER_BYTES_MAX: Final = 64
HEADER: Final = Struct("<HBIB")
DATA_BYTES_MAX: Final = _codec.PACKET_BYTES_MAX - _codec.HEADER_BYTES

LOBBY_KEYS: Final = ("Filename", "Owner", "Mode", "Protection", "Passcode")
INFO_KEYS: Final = ("Filename", "Owner", "Protection", "Passcode")


class Mode(Enum):
    """What a lobby's canvas is made of."""

    STROKE = "stroke"
    PIXEL = "pixel"


class When(Enum):
    """The state in which a session may send a packet."""

    NEVER = "the server only"
    IGNORED = "dropped, not counted"
    LOGIN = "before login"
    ONLINE = "logged in"
    DRAWING = "in a lobby"


@dataclass(frozen=True, slots=True)
class Field:
    """One number of fixed size. kind: a key of `_codec.FIELD_KINDS`; low, high: inclusive."""

    name: str
    kind: str
    low: float = -NUMBER_MAX
    high: float = NUMBER_MAX


@dataclass(frozen=True, slots=True)
class Tail:
    """What fills the rest of the data. kind: a key of `_codec.TAIL_KINDS`.

    least, most: items (points, indices), for text bytes. keys: of a JSON object of strings.
    """

    name: str
    kind: str
    least: int = 1
    most: int = DATA_BYTES_MAX
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """The data of a packet in one direction. rule: a key of `_codec.RULES`, with its limit."""

    fields: tuple[Field, ...] = ()
    tail: Tail | None = None
    rule: str = "none"
    rule_max: float = 0

    def row(self, type_id: int, reply: bool) -> tuple[Any, ...]:
        """This layout as the codec takes it."""
        tail = self.tail or Tail("", "none", 0, 0)
        fields = tuple((f.kind, float(f.low), float(f.high)) for f in self.fields)
        return (type_id, reply, fields, tail.kind, tail.least, tail.most, self.rule, self.rule_max)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values, in the order in which the codec takes and gives them."""
        return (*(f.name for f in self.fields), *((self.tail.name,) if self.tail else ()))


class Coalescing(Enum):
    """What becomes of a packet in the queue of somebody who does not read: see `coalesced`.

    A packet is left out when a later one has the same effect and stands behind nothing FIXED.
    """

    BARRIER = 0
    TRANSPARENT = 1
    LATEST_BY_AUTHOR = 2
    """Only its author's latest one counts."""
    LATEST_BY_INDEX = 3
    """Only the latest one with its index counts."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet type.

    request: what a client sends; reply: what the server sends (for a drawing packet the same: it
    is relayed). indices: it names strokes by position. shifts: it changes positions of strokes.
    passing: may it be left out for somebody who lags, or passed by what is? extension: it is for
    sessions that began with HELLO, and dropped in silence when another one sends it.
    """

    id: int
    name: str
    says: str
    when: When
    request: Body | None = None
    reply: Body | None = None
    mode: Mode | None = None
    indices: bool = False
    shifts: bool = False
    relayed: bool = False
    coalescing: Coalescing = Coalescing.BARRIER
    extension: bool = False

    def encode_request(self, date: int, name: bytes, *values: Any) -> bytes:
        """The packet as a client sends it. Raises ProtocolError when values do not conform."""
        return CODEC.encode(self.id, date, name, values)

    def encode_reply(self, date: int, *values: Any, name: bytes = b"") -> bytes:
        """The packet as the server sends it. Raises ProtocolError when values do not conform."""
        return CODEC.encode(self.id, date, name, values, True)

    def encode_list(self, date: int, text: bytes) -> bytes:
        """The packet around a list that is UTF-8 and fits, as the server sends it."""
        return HEADER.pack(HEADER.size + len(text), self.id, date, 0) + text

    def decode_object(self, packet: bytes) -> dict[str, str]:
        """The JSON object of strings in a request. Raises ProtocolError."""
        (text,) = CODEC.decode(packet)
        if self.request is None or self.request.tail is None:
            raise ProtocolError(f"{self.name} holds no JSON")
        return strictjson.loads_strings(text.encode(), self.request.tail.keys)


def decode(packet: bytes, reply: bool = False) -> tuple[Any, ...]:
    """The values in a packet's data, see `_codec.Codec.decode`. Raises ProtocolError."""
    return CODEC.decode(packet, reply)


# ---------------------------------------------------------------- layouts that several share
EMPTY = Body()
PASSWORD = Body(tail=Tail("password", "text", 0))
STATUS = Body((Field("status", "i32", 0, 3),))
LOBBY = Body(tail=Tail("lobby", "text", keys=LOBBY_KEYS))
INFO = Body(tail=Tail("info", "text", keys=INFO_KEYS))
CHANNEL = Body(tail=Tail("channel", "text"))
LISTING = Body(tail=Tail("listing", "text"))
STROKE = Body(
    (
        Field("index", "index", 0, INDEX_MAX),
        Field("rgba", "rgba"),
        Field("height", "number", 1, PEN_MAX),
        Field("width", "number", 1, PEN_MAX),
    ),
    Tail("points", "points_f32"),
)
POINTS = Body(
    (Field("brush", "number", 1, PEN_MAX), Field("rgba", "rgba")),
    Tail("points", "points_number"),
    "stamps",
    STAMPS_MAX,
)
INDICES = Body(tail=Tail("indices", "indices"))


def _rectangle(angle: float) -> Body:
    return Body(
        (
            Field("x", "number", -CORNER_MAX, CORNER_MAX),
            Field("y", "number", -CORNER_MAX, CORNER_MAX),
            Field("length", "number", 1, SIDE_MAX),
            Field("width", "number", 1, SIDE_MAX),
            Field("angle", "number", -angle, angle),
        ),
        rule="corner",
        rule_max=CORNER_MAX,
    )


def _canvas(kind: str) -> Body:
    sides = tuple(Field(name, kind, 1, SIDE_MAX) for name in ("length", "width"))
    return Body(sides, rule="area", rule_max=AREA_MAX)


# ---------------------------------------------------------------- the declarations
def _deprecated(type_id: int, name: str) -> Packet:
    return Packet(type_id, name, "Deprecated: dropped.", When.IGNORED)


def _drawing(
    type_id: int,
    name: str,
    says: str,
    body: Body,
    mode: Mode | None = None,
    indices: bool = False,
    shifts: bool = False,
    coalescing: Coalescing = Coalescing.BARRIER,
) -> Packet:
    return Packet(
        type_id, name, says, When.DRAWING, body, body, mode, indices, shifts, True, coalescing
    )


MESSAGE = _deprecated(0, "MESSAGE")
LINE_MODE = _deprecated(1, "LINE_MODE")
PIXEL_MODE = _deprecated(2, "PIXEL_MODE")
CONNECTION = Packet(
    3,
    "CONNECTION",
    "Log in; answered 0 accepted, 1 already connected, 2 bad password.",
    When.LOGIN,
    PASSWORD,
    STATUS,
)
LOBBY_CREATION = Packet(
    4,
    "LOBBY_CREATION",
    "Create a lobby and join it; answered 0 created, 2 exists.",
    When.ONLINE,
    LOBBY,
    STATUS,
)
LOBBY_FETCH = Packet(5, "LOBBY_FETCH", "List the active lobbies.", When.ONLINE, EMPTY, LISTING)
LOBBY_CONNECT = Packet(
    6,
    "LOBBY_CONNECT",
    "Join a lobby; answered 1 connected, 3 does not exist.",
    When.ONLINE,
    LOBBY,
    STATUS,
)
CHANNEL_CREATION = Packet(
    7, "CHANNEL_CREATION", "Create a chat channel and join it.", When.ONLINE, CHANNEL
)
CHANNEL_CONNECTION = Packet(8, "CHANNEL_CONNECTION", "Join a chat channel.", When.ONLINE, CHANNEL)
CHANNEL_DISCONNECT = Packet(9, "CHANNEL_DISCONNECT", "Leave a chat channel.", When.ONLINE, CHANNEL)
CHANNEL_MESSAGE = Packet(
    10,
    "CHANNEL_MESSAGE",
    "Say something: `<channel>;<content>`, to the channel's other members.",
    When.ONLINE,
    Body(tail=Tail("message", "text")),
    Body(tail=Tail("message", "text")),
)
CHANNEL_FETCH = Packet(11, "CHANNEL_FETCH", "List the chat channels.", When.ONLINE, EMPTY, LISTING)
ADD_STROKE = _drawing(
    12,
    "ADD_STROKE",
    "Append a stroke; relayed with its true index.",
    STROKE,
    Mode.STROKE,
    coalescing=Coalescing.TRANSPARENT,
)
REMOVE_STROKE = _drawing(
    13,
    "REMOVE_STROKE",
    "Remove strokes, indices strictly descending.",
    Body(tail=Tail("indices", "indices_descending")),
    Mode.STROKE,
    True,
    True,
)
INSERT_STROKE = _drawing(
    14, "INSERT_STROKE", "Insert a stroke at 0…count.", STROKE, Mode.STROKE, True, True
)
SELECTED_STROKE = _drawing(
    15,
    "SELECTED_STROKE",
    "Hold strokes; nobody else can while one does.",
    INDICES,
    Mode.STROKE,
    True,
)
UNSELECTED_STROKE = _drawing(
    16, "UNSELECTED_STROKE", "Let strokes go.", INDICES, Mode.STROKE, True
)
REPLACE_STROKE = _drawing(
    17,
    "REPLACE_STROKE",
    "Replace a stroke, at 0…count−1.",
    STROKE,
    Mode.STROKE,
    True,
    coalescing=Coalescing.LATEST_BY_INDEX,
)
SEND_POINTS = _drawing(
    18,
    "SEND_POINTS",
    "Stamp a square of brush × brush pixels at every point.",
    POINTS,
    Mode.PIXEL,
    coalescing=Coalescing.TRANSPARENT,
)
CREATE_SELECTION = _drawing(
    19,
    "CREATE_SELECTION",
    "Cut a rectangle out of the canvas; white stays behind.",
    _rectangle(0),
    Mode.PIXEL,
)
REMOVE_SELECTION = _drawing(
    20, "REMOVE_SELECTION", "Write one's selection back onto the canvas.", EMPTY, Mode.PIXEL
)
UPDATE_SELECTION = _drawing(
    21,
    "UPDATE_SELECTION",
    "Move, scale or turn one's selection (degrees clockwise).",
    _rectangle(3.4e38),
    Mode.PIXEL,
    coalescing=Coalescing.LATEST_BY_AUTHOR,
)
APPLY_FILTER_SELECTION = _drawing(
    22,
    "APPLY_FILTER_SELECTION",
    "Filter one's selection: `grayscale`, `invert`, `blur`, others.",
    Body(tail=Tail("filter_name", "text", 1, FILTER_BYTES_MAX)),
    Mode.PIXEL,
)
RESIZE_CANVAS = _drawing(23, "RESIZE_CANVAS", "Give the canvas a new size.", _canvas("f64"))
RESET_CANVAS = _drawing(
    24, "RESET_CANVAS", "Clear the canvas and all selections; the size stays.", EMPTY, shifts=True
)
BUCKET_FILL = _drawing(
    25,
    "BUCKET_FILL",
    "Fill the 4-connected region of equal pixels.",
    Body((Field("x", "number"), Field("y", "number"), Field("rgba", "rgba"))),
    Mode.PIXEL,
    coalescing=Coalescing.TRANSPARENT,
)
UPDATE_DATABASE = Packet(
    26,
    "UPDATE_DATABASE",
    "Save your canvas, please; echoed when that is done.",
    When.DRAWING,
    EMPTY,
    EMPTY,
)
LOBBY_DISCONNECT = Packet(27, "LOBBY_DISCONNECT", "Leave the lobby.", When.DRAWING, EMPTY)
LOBBY_FREEZE_STATE = Packet(
    28, "LOBBY_FREEZE_STATE", "0: you may draw. 1: wait.", When.NEVER, None, STATUS
)
FETCH_DATABASE = Packet(
    29,
    "FETCH_DATABASE",
    "Clear the canvas and take what follows; echoed when that is done.",
    When.DRAWING,
    EMPTY,
    EMPTY,
)
CREATE_ACCOUNT = Packet(
    30,
    "CREATE_ACCOUNT",
    "Create an account; answered 0 created, 1 name taken, 2 refused.",
    When.LOGIN,
    PASSWORD,
    STATUS,
)
LOBBY_INFO_CHANGE = Packet(
    31, "LOBBY_INFO_CHANGE", "Change who may enter one's lobby.", When.ONLINE, INFO, INFO
)
LOBBY_PLAYER_KICK = Packet(
    32,
    "LOBBY_PLAYER_KICK",
    "You were put out of the lobby; with a reason.",
    When.NEVER,
    None,
    Body(tail=Tail("reason", "text")),
)
RESIZE_CANVAS_INT = _drawing(
    33, "RESIZE_CANVAS_INT", "Give the canvas a new size.", _canvas("number")
)
HELLO = Packet(
    128,
    "HELLO",
    "Log in, and have the extension; answered 0 accepted, 1 already connected, 2 not let in, "
    "3 taken over, 4 try again later.",
    When.LOGIN,
    Body(
        (
            Field("version", "i32", 1, NUMBER_MAX),
            Field("flags", "i32", 0, NUMBER_MAX),
            Field("client", "i32", 0, NUMBER_MAX),
        ),
        Tail("password", "text", 0),
    ),
    Body(
        (
            Field("status", "i32", 0, 4),
            Field("version", "i32", 1, NUMBER_MAX),
            Field("handled", "i32", -1, NUMBER_MAX),
        ),
        Tail("account", "text", 0),
    ),
)
TICKET = Packet(
    129,
    "TICKET",
    "Ask for a ticket (`version`: 1), which stands in for the password for a day.",
    When.ONLINE,
    Body(tail=Tail("version", "text", most=1)),
    Body(tail=Tail("ticket", "text")),
)
"""Of the extension: older servers drop it in silence, and only who has asked is ever sent it."""
PEOPLE = Packet(
    130,
    "PEOPLE",
    "Who is in the lobby, as a JSON array; `part` 0 begins it, 1 goes on.",
    When.NEVER,
    None,
    Body((Field("part", "i32", 0, 1),), Tail("people", "text")),
    extension=True,
)
PERSON = Packet(
    131,
    "PERSON",
    "Somebody has come or changed, as a JSON object; `gone` 1: has left.",
    When.NEVER,
    None,
    Body((Field("gone", "i32", 0, 1),), Tail("person", "text")),
    extension=True,
)
POINTING = Body(
    (
        Field("key", "index", 0, INDEX_MAX),
        *(Field(name, "number") for name in ("x", "y", "left", "top", "right", "bottom")),
    )
)
POINTER = Packet(
    132,
    "POINTER",
    "Where one points, and what one sees of the paper.",
    When.ONLINE,
    POINTING,
    POINTING,
    coalescing=Coalescing.TRANSPARENT,
    extension=True,
)
INKING = Body(
    (
        Field("key", "index", 0, INDEX_MAX),
        Field("rgba", "rgba"),
        Field("width", "number", 1, PEN_MAX),
        Field("done", "i32", 0, 1),
    ),
    Tail("points", "points_f32", 0, INK_POINTS_MAX),
)
INK = Packet(
    133,
    "INK",
    "More of the stroke that one draws now; `done` 1: the pen is up; and no points: taken back.",
    When.ONLINE,
    INKING,
    INKING,
    coalescing=Coalescing.TRANSPARENT,
    extension=True,
)
AWAY = Packet(
    134,
    "AWAY",
    "One looks elsewhere (1), or is back (0).",
    When.ONLINE,
    Body((Field("away", "i32", 0, 1),)),
    extension=True,
)
ACCEPTED = Packet(
    135,
    "ACCEPTED",
    "So many drawing packets of one's own, up to this number, stand in the drawing now.",
    When.NEVER,
    None,
    Body(
        (
            Field("number", "i32", 0, NUMBER_MAX),
            Field("count", "i32", 1, NUMBER_MAX),
            Field("sequence", "f64", 0, 2**53),
            Field("index", "index", 0, INDEX_MAX),
        )
    ),
    extension=True,
)
REFUSED = Packet(
    136,
    "REFUSED",
    "The drawing packet of one's own with this number has changed nothing.",
    When.NEVER,
    None,
    Body((Field("number", "i32", 0, NUMBER_MAX),), Tail("reason", "text")),
    extension=True,
)
GESTURE = Packet(
    137,
    "GESTURE",
    "What one draws from one's last packet on is undone as one (1), until that ends (0).",
    When.ONLINE,
    Body((Field("more", "i32", 0, 1),)),
    extension=True,
)
UNDO = Packet(
    138, "UNDO", "Take back one's last gesture that still shows.", When.ONLINE, EMPTY,
    extension=True,
)  # fmt: skip
REDO = Packet(139, "REDO", "Do it again.", When.ONLINE, EMPTY, extension=True)
UNDONE = Packet(
    140,
    "UNDONE",
    "What came of UNDO (`redo` 0) or REDO (1): `done`, or the reason why not.",
    When.NEVER,
    None,
    Body((Field("redo", "i32", 0, 1), Field("done", "i32", 0, 1)), Tail("reason", "text", 0)),
    extension=True,
)
HISTORY = Packet(
    141,
    "HISTORY",
    "Is there something to undo, and to redo?",
    When.NEVER,
    None,
    Body((Field("undo", "i32", 0, 1), Field("redo", "i32", 0, 1))),
    extension=True,
)

_DECLARED = [value for value in list(globals().values()) if isinstance(value, Packet)]
PACKETS: Final[dict[int, Packet]] = {packet.id: packet for packet in _DECLARED}
CODEC: Final = _codec.Codec(
    body.row(packet.id, reply)
    for packet in _DECLARED
    for reply, body in ((False, packet.request), (True, packet.reply))
    if body is not None
)
COALESCING: Final = bytes(
    PACKETS[kind].coalescing.value if kind in PACKETS else Coalescing.BARRIER.value
    for kind in range(256)
)
"""For `_codec.coalesced`."""
if len(PACKETS) != len(_DECLARED):
    raise ImportError("two packets have the same type ID")


def must_apply(table: Collection[int], mode: Mode) -> None:
    """Raises ImportError unless a canvas of this mode applies every packet that it may be sent."""
    drawn = {kind.id for kind in _DECLARED if kind.relayed and kind.mode in (None, mode)}
    if wrong := drawn ^ set(table):
        names = ", ".join(sorted(PACKETS[kind].name for kind in wrong))
        raise ImportError(f"a {mode.value} canvas has no method for, or too many: {names}")
