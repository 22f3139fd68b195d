"""The JavaScript client against this package: bytes, numbers, strokes and pixels are equal.

Python writes down what it does, Node does it again (`tests/js`). POLYPAINT_SEEDS, as in
`test_simulation`, says how many transcripts of the simulation are replayed.
"""

import hashlib
import json
import random
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import orjson
import pytest

from polypaint import _codec, _raster
from polypaint._codec import FrameDecoder
from polypaint.errors import ProtocolError, Refused
from polypaint.paint import packets, replica
from polypaint.paint.canvas import Canvas
from polypaint.paint.lobby import empty_canvas
from polypaint.paint.packets import (
    CODEC,
    CORNER_MAX,
    INFO_KEYS,
    LOBBY_KEYS,
    NUMBER_MAX,
    PACKETS,
    Body,
    Field,
    Tail,
)
from polypaint.paint.strokes import StrokeCanvas
from polypaint.wire import strictjson

from . import painters
from .javascript import FOLDER, Records, node
from .test_simulation import SEEDS, play

VECTORS = json.loads((Path(__file__).parent / "vectors/paint.json").read_text())
PARTS = 20
TRANSCRIPTS = min(SEEDS, 1000)
CANVASES = 60
PLACEMENTS = 10_000
PACKETS_TRIED = 20_000
EVERY = 20
"""So many packets lie between two looks at a canvas."""


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.test.*js")), ids=lambda p: p.name)
def test_in_javascript(path):
    node("--test", path)


# ---------------------------------------------------------------- transcripts
def digest(*parts: bytes) -> str:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part)
    return hashed.hexdigest()


def state(canvas: Canvas) -> dict[str, Any]:
    """A canvas as `replay.js` says it."""
    sizes = {"mode": canvas.mode.value, "length": canvas.length, "width": canvas.width}
    if isinstance(canvas, StrokeCanvas):
        strokes = digest(*_codec.numbered(canvas.strokes.all(), 12))
        return sizes | {"strokes": strokes, "selected": canvas.selected()}
    floating = {
        author: {
            "source": [*f.source.shape, digest(f.source.tobytes())],
            "offset": f.offset,
            "cut": f.cut,
            "target": f.target,
            "angle": f.angle,
        }
        for author, f in canvas.floating.items()  # type: ignore[attr-defined]
    }
    pixels = digest(canvas.pixels.tobytes())  # type: ignore[attr-defined]
    unsure = canvas.needs_client_snapshot
    return sizes | {"pixels": pixels, "floating": floating, "unsure": unsure}


class Recorded(replica.Replica):
    """A replica that writes down what happens to it; all of it, when it is over."""

    transcripts: ClassVar[list["Recorded"]] = []

    def __post_init__(self) -> None:
        super().__post_init__()
        self.transcripts.append(self)
        info = self.info.json(show_passcode=True)
        self.lines = [("N", orjson.dumps({"name": self.name.decode(), "info": info}))]
        self.after_read = 0

    def expect_join(self) -> None:
        super().expect_join()
        self.lines.append(("J", b""))

    def draw(self, packet: bytes) -> replica.Own:
        self.lines.append(("D", packet))
        return super().draw(packet)

    def receive(self, packet: bytes) -> None:
        super().receive(packet)
        self.lines.append(("R", packet))
        self.after_read += 1
        if self.after_read % EVERY == 0:
            self.look()

    def data_to_send(self) -> bytes:
        data = super().data_to_send()
        self.lines.append(("S", data))
        return data

    def finished(self) -> list[replica.Own]:
        found = super().finished()
        self.lines.append(("F", orjson.dumps([told_of(own) for own in found])))
        return found

    def look(self) -> None:
        """Write down what the canvas is."""
        seen = {
            "settled": self.settled,
            "loaded": self.loaded,
            "frozen": self.frozen,
            "version": self.version,
            "answers": self.answers,
        }
        self.lines.append(("C", orjson.dumps(seen | state(self.canvas))))


def told_of(own: replica.Own) -> tuple[str, bool]:
    """What became of a packet, and is there more to say?"""
    assert own.outcome is not None
    return own.outcome.name.lower(), own.reason != ""


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("part", range(PARTS))
def test_a_replica_in_javascript_does_the_same(part, tmp_path, monkeypatch):
    monkeypatch.setattr(painters, "Replica", Recorded)
    monkeypatch.setattr(Recorded, "transcripts", [])
    records = Records(tmp_path / "transcripts")
    for seed in range(part * TRANSCRIPTS // PARTS, (part + 1) * TRANSCRIPTS // PARTS):
        play(seed)
        for transcript in Recorded.transcripts:
            transcript.look()
            for line in transcript.lines:
                records.add(*line)
        Recorded.transcripts.clear()
    counts = json.loads(node(FOLDER / "replay.js", records.close()))
    assert counts["replicas"] >= TRANSCRIPTS // PARTS
    assert counts["canvases"] >= counts["replicas"]


# ---------------------------------------------------------------- canvases
HALVES = [
    (r, g, b)
    for r in range(0, 256, 5)
    for g in range(0, 256, 7)
    for b in range(256)
    if (299 * r + 587 * g + 114 * b) % 1000 == 500
]
"""Colours whose gray lies between two."""


def a_stroke_packet(rng: random.Random, count: int) -> tuple[Any, ...]:
    at = rng.randint(0, count + 1)
    some = rng.sample(range(count + 2), rng.randint(1, min(count + 2, 20)))
    style = rng.randbytes(4), rng.randint(1, 9), rng.uniform(1, 9), [[rng.random(), 2]]
    return rng.choice((
        (packets.ADD_STROKE, at, *style), (packets.ADD_STROKE, at, *style),
        (packets.INSERT_STROKE, at, *style), (packets.REPLACE_STROKE, at, *style),
        (packets.REMOVE_STROKE, sorted(some, reverse=True)),
        (packets.SELECTED_STROKE, some), (packets.SELECTED_STROKE, some * 2),
        (packets.UNSELECTED_STROKE, some), (packets.RESIZE_CANVAS, rng.uniform(1, 99), 7.5),
        (packets.RESET_CANVAS,) if rng.random() < 0.1 else (packets.RESIZE_CANVAS_INT, 8, 9),
    ))  # fmt: skip


def a_pixel_packet(rng: random.Random, _count: int) -> tuple[Any, ...]:
    x, y = (rng.choice((rng.randint(-40, 300), rng.uniform(-40, 200))) for _ in range(2))
    half = bytes(rng.choice(HALVES)) + b"\xff"
    rgba = rng.choice((bytes(rng.choice((0, 1, 127, 254, 255)) for _ in range(4)), half))
    sides = rng.randint(1, 200), rng.choice((rng.randint(1, 150), rng.uniform(1, 150)))
    points = [[rng.randint(-50, 300), rng.randint(-50, 200)] for _ in range(rng.randint(1, 9))]
    brush = rng.choice((1, 2, 7, 15, 16, 17, 40, 2.5, 1000))
    kind = rng.choice(("grayscale", "invert", "blur", "sepia"))
    beyond = CORNER_MAX - 1.5, y, 1.5, 2  # once it is rounded
    larger = rng.choice(((280, 180), (2047.5, 8193.9)))  # the same
    return rng.choice((
        (packets.SEND_POINTS, brush, rgba, points), (packets.SEND_POINTS, 9, rgba, points),
        (packets.BUCKET_FILL, x, y, rgba), (packets.CREATE_SELECTION, x, y, *sides, 0),
        (packets.CREATE_SELECTION, x, y, *sides, 0), (packets.CREATE_SELECTION, *beyond, 0),
        (packets.UPDATE_SELECTION, x, y, *sides, an_angle(rng)),
        (packets.UPDATE_SELECTION, x, y, *sides, an_angle(rng)),
        (packets.UPDATE_SELECTION, *beyond, 7),
        (packets.REMOVE_SELECTION,), (packets.APPLY_FILTER_SELECTION, kind),
        (packets.RESET_CANVAS,) if rng.random() < 0.1 else (packets.BUCKET_FILL, 1, 1, rgba),
        (packets.RESIZE_CANVAS, *larger),
        (packets.RESIZE_CANVAS, rng.uniform(100, 280), rng.uniform(90, 180)),
    ))  # fmt: skip


@pytest.mark.parametrize("mode", list(packets.Mode))
def test_a_canvas_in_javascript_does_the_same(mode, tmp_path):
    rng = random.Random(5)
    records = Records(tmp_path / "packets")
    pixel = mode is packets.Mode.PIXEL
    for _ in range(CANVASES):
        canvas = empty_canvas(mode)
        records.add("M", bytes([pixel]))
        smaller = (packets.RESIZE_CANVAS_INT, 240, 160)
        for step in range(60):
            make = a_pixel_packet if pixel else a_stroke_packet
            kind, *values = make(rng, len(getattr(canvas, "strokes", ()))) if step else smaller
            name = rng.choice((b"ada", "Zoé".encode()))
            packet = kind.encode_request(rng.getrandbits(32), name, *values)
            try:
                canvas.apply(packet)
                refused = False
            except Refused:
                refused = True
            records.add("A", bytes([refused]) + packet)
            if step % 5 == 4:
                records.add_json("E", state(canvas))
    counts = json.loads(node(FOLDER / "replay.js", records.close()))
    assert counts["canvases"] == 12 * CANVASES


# ---------------------------------------------------------------- placing
def test_selections_are_placed_with_the_same_bits(tmp_path):
    rng = random.Random(1)
    records = Records(tmp_path / "placements")
    for _ in range(PLACEMENTS):
        angle = an_angle(rng)
        records.add("T", struct.pack("<3d", angle, *_raster.turn(angle)))
        width, height = rng.randint(1, 70), rng.randint(1, 50)
        columns, rows = rng.randint(1, 40), rng.randint(1, 40)
        offset = rng.randint(0, 3), rng.randint(0, 3)
        cut = columns + offset[0] + rng.randint(0, 3), rows + offset[1] + rng.randint(0, 3)
        target = (
            rng.randint(-20, width), rng.randint(-20, height),
            rng.choice((cut[0], rng.randint(1, 90))), rng.choice((cut[1], rng.randint(1, 90))),
        )  # fmt: skip
        canvas = np.zeros((height, width), np.uint32)
        source = np.arange(1, rows * columns + 1, dtype=np.uint32).reshape(rows, columns)
        _raster.place(canvas, source, offset, cut, target, angle)
        numbers = struct.pack("<12i", width, height, columns, rows, *offset, *cut, *target)
        found = hashlib.sha256(canvas.tobytes()).digest()
        records.add("L", struct.pack("<d", angle) + numbers + found)
    node(FOLDER / "agree.js", records.close())


def an_angle(rng: random.Random) -> float:
    """As UPDATE_SELECTION can carry it: an integer or an f32."""
    choice = rng.random()
    if choice < 0.2:
        return float(rng.randint(-NUMBER_MAX, NUMBER_MAX))
    if choice < 0.4:
        return rng.choice((0, 30, 45, 60, 90, 135, 180, 270, 360, -90, -45)) * 1.0
    real = rng.uniform(-720, 720) if choice < 0.9 else rng.uniform(-3.4e38, 3.4e38)
    return float(np.float32(real))


# ---------------------------------------------------------------- the codec
def a_number(rng: random.Random, low: float, high: float) -> float:
    choice = rng.random()
    if choice < 0.1:
        return rng.choice((low, high))
    if choice < 0.6:
        return rng.randint(max(int(low), -NUMBER_MAX), min(int(high), NUMBER_MAX))
    return float(np.float32(rng.uniform(max(low, -1e6), min(high, 1e6))))


def a_value(rng: random.Random, spec: Field | Tail) -> Any:
    if isinstance(spec, Field):
        if spec.kind == "rgba":
            return rng.randbytes(4)
        if spec.kind in ("index", "i32"):
            return rng.randint(int(spec.low), int(min(spec.high, NUMBER_MAX)))
        return a_number(rng, spec.low, min(spec.high, 4096.0 if spec.low == 1 else spec.high))
    count = rng.randint(1, 6)
    if spec.kind == "text":
        return "".join(rng.choice('aé;\u2028\U0001f600{}":,\ufeff\\ ') for _ in range(count))
    if spec.kind == "points_f32":
        return [[rng.uniform(-1e6, 1e6), rng.choice((0.0, -0.0, 3e38))] for _ in range(count)]
    if spec.kind == "points_number":
        return [[rng.randint(-99, 99), rng.randint(-NUMBER_MAX, 5)] for _ in range(count)]
    return sorted(rng.sample(range(NUMBER_MAX), count), reverse=rng.random() < 0.9)


def a_packet(rng: random.Random) -> tuple[bytes, bool]:
    """A packet, often damaged; and whether it is one that the server sends."""
    reply = rng.random() < 0.5
    chosen = [p for p in PACKETS.values() if (p.reply if reply else p.request) is not None]
    kind = rng.choice(chosen)
    body = kind.reply if reply else kind.request
    assert body is not None
    name = rng.choice(("", "ada", "Zoé", "x" * 64)).encode()
    try:
        packet = CODEC.encode(kind.id, rng.getrandbits(32), name, some_values(rng, body), reply)
    except ProtocolError:
        return a_packet(rng)
    return damaged(rng, packet) if rng.random() < 0.6 else packet, reply


def some_values(rng: random.Random, body: Body) -> tuple[Any, ...]:
    return tuple(
        a_value(rng, spec) for spec in (*body.fields, *((body.tail,) if body.tail else ()))
    )


def damaged(rng: random.Random, packet: bytes) -> bytes:
    """The same with other bytes, more, or fewer; its size is usually right."""
    data = bytearray(packet)
    first = 8 + data[7]
    for _ in range(rng.randint(1, 3)):
        at = first + 4 * rng.randint(0, 5)
        four = struct.pack("<f", rng.choice((np.nan, np.inf, -0.0, 1e-40, -1e-40, 2.5, -2.5, 3e7)))
        choice = rng.random()
        if choice < 0.5 and at + 4 <= len(data):
            data[at : at + 4] = four if choice < 0.35 else rng.randbytes(4)
        elif choice < 0.7:
            data += rng.randbytes(rng.choice((1, 4, 8)))
        elif choice < 0.9 and len(data) >= first + 4:
            del data[-rng.choice((1, 4)) :]
        elif choice < 0.95:
            data[2] = rng.randrange(256)
        else:
            data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.9:
        data[:2] = len(data).to_bytes(2, "little")
    return bytes(data)


def plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.ravel().tolist()
    return list(value) if isinstance(value, bytes) else value


def told(packet: bytes, reply: bool) -> dict[str, Any]:
    """What Python finds in a packet."""
    try:
        values = CODEC.decode(packet, reply)
    except ProtocolError as error:
        wrong = str(error)
        return {"hex": packet.hex(), "reply": reply, "wrong": wrong, "values": None}
    kind = PACKETS[packet[2]]
    body = kind.reply if reply else kind.request
    assert body is not None
    named = dict(zip(body.names, map(plain, values), strict=True))
    return {"hex": packet.hex(), "reply": reply, "wrong": "", "values": named}


def test_packets_are_read_and_refused_alike(tmp_path):
    rng = random.Random(2)
    records = Records(tmp_path / "packets")
    given = [a_packet(rng) for _ in range(PACKETS_TRIED)]
    for vector in (*VECTORS["vectors"], *VECTORS["malformed"]):
        given += [(bytes.fromhex(vector["hex"]), reply) for reply in (False, True)]
    found = [told(packet, reply) for packet, reply in given]
    for record in found:
        records.add_json("P", record)
    encoded = node(FOLDER / "agree.js", records.close()).split()
    good = [record for record in found if not record["wrong"]]
    assert len({record["wrong"] for record in found}) >= 11, "too few kinds of damage were tried"
    assert len(good) > PACKETS_TRIED / 3
    for text, record in zip(encoded, good, strict=True):
        assert told(bytes.fromhex(text), record["reply"])["values"] == record["values"]


def test_streams_are_split_alike(tmp_path):
    rng = random.Random(3)
    records = Records(tmp_path / "streams")
    for _ in range(500):
        stream = b"".join(a_packet(rng)[0] for _ in range(rng.randint(0, 6)))
        decoder, whole, chunks = FrameDecoder(), [], []
        while stream:
            cut = rng.choice((1, rng.randint(1, 9), rng.randint(1, len(stream))))
            chunk, stream = stream[:cut], stream[cut:]
            chunks.append(chunk.hex())
            whole += [packet.hex() for packet in decoder.feed(chunk)]
        ended = {"broken": decoder.broken, "pending": decoder.pending}
        records.add_json("X", {"chunks": chunks, "packets": whole} | ended)
    node(FOLDER / "agree.js", records.close())


JSON_PIECES = (
    "{}[]:,", '""', '"\\ud800"', '"\\ud83d\\ude00"', "1e999", "-0", "NaN", "null", '"a":"b"',
    '"Owner":"x"', "[[[[[[[[1]]]]]]]]", "[[[[[[[1]]]]]]]", '{"a":1,"a":2}', "\t", "\x01", '"\\x"',
)  # fmt: skip


def a_json(rng: random.Random) -> str:
    """An object such as lobbies have, often damaged."""
    keys = [key for key in LOBBY_KEYS if rng.random() < 0.97]
    values = {key: rng.choice(("", "é:{\"", "\\", 5, None, ["x"], {"a": 1})) if rng.random() < 0.1
              else rng.choice(("a", "", "é:{\"", "\\")) for key in keys}  # fmt: skip
    text = json.dumps(values, ensure_ascii=rng.random() < 0.5)
    for _ in range(rng.choice((0, 0, 1, 2))):
        at = rng.randint(0, len(text))
        piece = rng.choice(JSON_PIECES)
        text = text[:at] + rng.choice((piece, "," + piece, "")) + text[at + rng.randint(0, 2) :]
    return text


def test_json_is_read_and_refused_alike(tmp_path):
    rng = random.Random(4)
    records = Records(tmp_path / "json")
    accepted = 0
    for _ in range(5000):
        text, keys = a_json(rng), rng.choice((LOBBY_KEYS, INFO_KEYS))
        try:
            found = strictjson.loads_strings(text.encode(), keys)
            accepted += 1
        except ProtocolError:
            found = None
        records.add_json("J", {"text": text, "keys": keys, "found": found})
    assert 1000 < accepted < 4000
    for count in range(strictjson.ELEMENTS_MAX - 9, strictjson.ELEMENTS_MAX + 9):
        text = json.dumps(dict.fromkeys(INFO_KEYS, ",") | {"more": [0] * count})
        try:
            found = strictjson.loads_strings(text.encode(), INFO_KEYS)
        except ProtocolError:
            found = None
        records.add_json("J", {"text": text, "keys": INFO_KEYS, "found": found})
    node(FOLDER / "agree.js", records.close())
