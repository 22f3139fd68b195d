"""What is accepted can be stored, sent again and loaded again, near every limit.

Whatever a session takes is seen the same by a member who was there, by a newcomer, after storing
and loading, and after a replay of the log.
"""

import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polypaint import _codec
from polypaint._codec import FlushSet
from polypaint.engine.journal_buffer import JournalBuffer, records
from polypaint.errors import Refused
from polypaint.paint import packets
from polypaint.paint.canvas import Canvas
from polypaint.paint.lobby import Lobby, empty_canvas
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.packets import AREA_MAX, CORNER_MAX, NUMBER_MAX, PACKETS, Mode
from polypaint.paint.pixels import PixelCanvas
from polypaint.paint.replica import Replica

from .test_simulation import same
from .world import DATE, World


def f32(value: float) -> bytes:
    return struct.pack("<f", value)


def number(value: float) -> bytes:
    """A four-byte number: an integer as i32, where that is allowed."""
    whole = isinstance(value, int) and abs(value) <= NUMBER_MAX
    return struct.pack("<i", value) if whole else f32(value)


def packed(*values: float) -> bytes:
    return b"".join(map(number, values))


class Watcher:
    """A newcomer or an old member: a canvas made of what the server sends."""

    def __init__(self, name: str, mode: Mode) -> None:
        info = LobbyRules("d", "ada", mode.value, "public", "")
        self.replica = Replica(name.encode(), info)

    def hear(self, told: list[bytes]) -> Canvas:
        for packet in told:
            kind = PACKETS[packet[2]]
            if kind.relayed or kind in (packets.FETCH_DATABASE, packets.LOBBY_FREEZE_STATE):
                self.replica.receive(packet)
        assert not self.replica.doubtful
        return self.replica.canvas


def agree(mode: Mode, sent: list[tuple[str, int, bytes]], heavy: int = 1 << 60) -> World:
    """Send these (author, type, data); everybody agrees on what came of them."""
    world = World()
    world.service.canvas_queue.heavy = heavy
    log: list[bytes] = []
    world.flushed = lambda _number, batch: log.append(batch)
    people = {"ada": world.peer("ada"), "bob": world.peer("bob")}
    people["ada"].create("d", mode.value)
    people["bob"].join("d")
    old = Watcher("eve", mode)
    eve = world.peer("eve").join("d")
    old.hear(eve.take())
    for name, type_id, data in sent:
        if not people[name].closed:
            people[name].raw(type_id, data)
    truth = world.service.lobbies["d"].loaded
    assert not world.failures
    assert same(old.hear(eve.take()), truth), "a member sees another canvas"
    new = world.peer("new").join("d")
    world.advance(10)  # an unknown filter: the others are asked for a picture first
    assert same(Watcher("new", mode).hear(new.take()), truth), "a newcomer sees another canvas"
    meta, blobs = truth.dump()
    loaded = empty_canvas(mode)
    loaded.load(orjson.loads(orjson.dumps(meta)), blobs)
    assert same(loaded, truth), "it is stored as another canvas"
    again = replayed(log)
    assert same(again, truth), "the log says something else"
    return world


def replayed(log: list[bytes]) -> Canvas:
    lobby = Lobby(1, LobbyRules("d", "ada", "", "public", ""), JournalBuffer(), FlushSet())
    for batch in log:
        for _, seq, record in records(batch):
            if lobby.canvas is None:
                first = packets.LOBBY_CREATION.decode_object(record)
                lobby.info = LobbyRules.of(first)
            lobby.replay(seq, record)
    return lobby.loaded


# ---------------------------------------------------------------- every packet, near its limits
HALVES = [-0.5, 0, 0.5, 1.5]


def near(*limits: float) -> st.SearchStrategy[float]:
    values = [limit + half for limit in limits for half in HALVES]
    return st.sampled_from([int(v) if v == int(v) else v for v in values])


sides = near(1, 2, 40, 16384)
at = near(-CORNER_MAX, -40, 0, 30, CORNER_MAX - 16384, CORNER_MAX - 17, CORNER_MAX - 1)
coordinates = near(-NUMBER_MAX, -3, 0, 20, NUMBER_MAX) | st.just(3e38)
index = st.integers(0, 5) | st.sampled_from([NUMBER_MAX])
rgba = st.binary(min_size=4, max_size=4)
pens = near(1, 2, 1000)


def joined(*parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(*parts).map(b"".join)


def many(part: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(part, max_size=4).map(b"".join)


def body(kind: packets.Packet) -> st.SearchStrategy[bytes]:
    """Data of a drawing packet, made of values near the limits of its fields."""
    stroke = joined(
        index.map(number), rgba, pens.map(number), pens.map(number),
        many(st.tuples(coordinates, coordinates).map(lambda p: f32(p[0]) + f32(p[1]))),
    )  # fmt: skip
    rectangle = st.tuples(at, at, sides, sides).map(lambda v: packed(*v))
    angles = st.sampled_from([0, 90, 33.25, 3.4e38, NUMBER_MAX]).map(number)
    small = st.tuples(near(2, 40, 60), near(2, 40)) | st.tuples(near(16384), near(1))
    return {
        "ADD_STROKE": stroke,
        "INSERT_STROKE": stroke,
        "REPLACE_STROKE": stroke,
        "REMOVE_STROKE": st.lists(index, max_size=4).map(lambda v: packed(*sorted(v)[::-1])),
        "SELECTED_STROKE": many(index.map(number)),
        "UNSELECTED_STROKE": many(index.map(number)),
        "SEND_POINTS": joined(pens.map(number), rgba, many(st.tuples(at, at).map(
            lambda v: packed(*v)))),
        "CREATE_SELECTION": rectangle.map(lambda data: data + bytes(4)),
        "UPDATE_SELECTION": joined(rectangle, angles),
        "REMOVE_SELECTION": st.just(b""),
        "APPLY_FILTER_SELECTION": st.sampled_from([b"blur", b"invert", b"\xff\xfe", b"x" * 64,
                                                   b"grayscale", b"", b"x" * 65]),
        "BUCKET_FILL": joined(at.map(number), at.map(number), rgba),
        "RESIZE_CANVAS": small.map(lambda v: struct.pack("<2d", *v)),
        "RESIZE_CANVAS_INT": small.map(lambda v: packed(*v)),
        "RESET_CANVAS": st.just(b""),
    }[kind.name]  # fmt: skip


def drawing(mode: Mode) -> st.SearchStrategy[tuple[str, int, bytes]]:
    kinds = [k for k in PACKETS.values() if k.relayed and k.mode in (None, mode)]
    people = st.sampled_from(["ada", "bob"])
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.tuples(people, st.just(kind.id), body(kind))
    )


SMALL = ("ada", packets.RESIZE_CANVAS_INT.id, packed(60, 40))


@pytest.mark.parametrize("heavy", [-1, 1 << 60])
@pytest.mark.parametrize("mode", list(Mode))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_accepted_is_kept(mode: Mode, heavy: int, data: st.DataObject) -> None:
    sent = data.draw(st.lists(drawing(mode), min_size=1, max_size=12))
    agree(mode, [SMALL, *sent], heavy)


CREATE, UPDATE = packets.CREATE_SELECTION.id, packets.UPDATE_SELECTION.id
CORNER = -float(CORNER_MAX)
CASES: dict[str, list[tuple[int, bytes]]] = {
    "the corner that only a float can hold": [(CREATE, packed(CORNER, CORNER, 1, 1, 0))],
    "rounded beyond the corner": [(CREATE, packed(8388591.5, 0, 16.5, 1, 0))],
    "moved beyond the corner": [
        (CREATE, packed(0, 0, 9, 9, 0)),
        (UPDATE, packed(0, 8388591.5, 1, 16.5, 0)),
    ],
    "moved to the corner": [
        (CREATE, packed(0, 0, 9, 9, 0)),
        (UPDATE, packed(CORNER, CORNER, 2.5, 2.5, 33.5)),
    ],
    "rounded to more pixels than there may be": [
        (packets.RESIZE_CANVAS.id, struct.pack("<2d", 1365.5, 12286.5))
    ],
    "the same in four bytes": [(packets.RESIZE_CANVAS_INT.id, packed(1365.5, 12286.5))],
    "a filter's name that is no text": [
        (CREATE, packed(0, 0, 300, 300, 0)),
        (packets.APPLY_FILTER_SELECTION.id, b"\xff\xfe"),
    ],
}


@pytest.mark.parametrize("heavy", [-1, 1 << 60])
@pytest.mark.parametrize("case", CASES)
def test_near_the_limits_of_a_pixel_canvas(case: str, heavy: int) -> None:
    world = agree(Mode.PIXEL, [("ada", *packet) for packet in CASES[case]], heavy)
    assert not world.service.lobbies["d"].busy
    assert world.service.lobbies["d"].members.keys() == {"ada", "bob", "eve", "new"}


def test_a_canvas_as_large_as_may_be() -> None:
    agree(Mode.PIXEL, [("ada", packets.RESIZE_CANVAS.id, struct.pack("<2d", 16384, 1023.5))])


# ---------------------------------------------------------------- what an older version has kept
def kept(**changes: Any) -> PixelCanvas:
    """A canvas from a dump in which these are other values; its selection, cut at the bottom."""
    length, width = changes.pop("size", (64, 48))
    floating = {
        "source": (2, 3), "offset": (0, 0), "cut": (5, 40, 3, 2), "canvas": (length, width),
        "target": (5, 40, 3, 2), "angle": 0,
    } | changes  # fmt: skip
    rows, columns = floating["source"]  # type: ignore[misc]
    canvas = PixelCanvas()
    canvas.load(
        {"length": length, "width": width, "floating": {"ada": floating},
         "needs_client_snapshot": False},
        [np.arange(length * width, dtype="<u4").tobytes(), bytes(4 * rows * columns)],
    )  # fmt: skip
    return canvas


@pytest.mark.parametrize(
    "changes",
    [
        {"cut": (8388592, 0, 17, 1), "source": (1, 0)},
        {"target": (0, 8388592, 1, 17)},
        {"target": (-CORNER_MAX, -CORNER_MAX, 1, 1)},
        {"canvas": (1366, 12287), "cut": (0, 12280, 3, 7), "source": (7, 3)},
    ],
)
def test_a_stored_selection_beyond_the_limits_opens(changes: dict[str, Any]) -> None:
    canvas = kept(**changes)
    twin = PixelCanvas()
    for packet in _codec.split(b"".join(canvas.snapshot(DATE))):
        twin.apply(packet)
    assert same(canvas, twin)


def test_a_stored_canvas_beyond_the_limits_opens() -> None:
    canvas = PixelCanvas()
    canvas.load(
        {"length": 1366, "width": 12287, "floating": {}, "needs_client_snapshot": False},
        [bytes(4 * 1366 * 12287)],
    )
    assert (canvas.length, canvas.width) == (1366, AREA_MAX // 1366)
    assert canvas.snapshot(DATE)


def test_a_log_beyond_the_limits_is_replayed_to_its_end() -> None:
    """Today these are refused; a journal of yesterday has them, and what came after them."""
    name = b"ada"
    beyond = [
        packets.RESIZE_CANVAS.encode_request(DATE, name, 1365.5, 12286.5),
        packets.CREATE_SELECTION.encode_request(DATE, name, 8388591.5, 0, 16.5, 1, 0),
        packets.UPDATE_SELECTION.encode_request(DATE, name, 8388591.5, 0, 16.5, 1, 3.5),
    ]
    canvas = PixelCanvas()
    for packet in beyond[:2]:
        with pytest.raises(Refused):
            canvas.apply(packet)
    for packet in [*beyond, packets.RESIZE_CANVAS_INT.encode_request(DATE, name, 20, 20)]:
        canvas.replay(packet)
    canvas.replay(packets.SEND_POINTS.encode_request(DATE, name, 20, b"abcd", [[10, 10]]))
    assert canvas.floating["ada"].target == (CORNER_MAX - 17, 0, 17, 1)
    assert (canvas.pixels == int.from_bytes(b"abcd", "little")).all()
    assert canvas.snapshot(DATE)


# ---------------------------------------------------------------- errors of ours
class Broken(Exception):
    """Nobody expects it."""


@pytest.fixture(params=[-1, 1 << 60], ids=["off the loop", "on the loop"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """A world with ada and bob at a pixel drawing, and a way to break a canvas's method."""
    world = World()
    world.injected = Broken
    world.service.canvas_queue.heavy = request.param
    ada, bob = world.peer("ada").create("d", "pixel"), world.peer("bob").join("d")
    ada.take(), bob.take()

    def break_(method: str) -> None:
        def raise_(*_args: object) -> None:
            raise Broken

        monkeypatch.setattr(PixelCanvas, method, raise_)

    yield world, ada, bob, break_
    monkeypatch.undo()
    lobby = world.service.lobbies["d"]
    assert not lobby.busy
    assert not lobby.waiters
    bob.take()
    ada.raw(packets.BUCKET_FILL.id, packed(1, 1) + b"abcd")
    assert "BUCKET_FILL" in bob.kinds()
    assert all(isinstance(error, Broken) for error in world.failures)
    assert world.failures


def test_drawing_that_fails_is_rejected(broken) -> None:
    world, ada, bob, break_ = broken
    break_("apply")
    ada.raw(packets.BUCKET_FILL.id, packed(1, 1) + b"abcd")
    assert bob.take() == []
    assert "FETCH_DATABASE" in ada.kinds()
    assert world.service.counters["rejected"] == 1


def test_a_snapshot_that_fails_puts_out_who_waits_for_it(broken) -> None:
    world, ada, bob, break_ = broken
    world.service.lobbies["d"].repainted()
    break_("snapshot")
    eve = world.peer("eve").join("d")
    assert "LOBBY_PLAYER_KICK" in eve.kinds()
    assert eve.session.membership is None
    assert not eve.session.waiting


def test_a_dump_that_fails_is_tried_again(broken, monkeypatch: pytest.MonkeyPatch) -> None:
    world, ada, bob, break_ = broken
    lobby = world.service.lobbies["d"]
    break_("dump")
    seen: list[object] = []
    world.service.read(lobby, lambda dump, _now: seen.append(dump), world.now)
    world.service.save(lobby, world.now)
    world.run_effects()
    assert seen == [None]
    assert lobby.saved_seq != lobby.seq
    monkeypatch.undo()
    world.advance(10)
    assert lobby.saved_seq == lobby.seq


def test_a_selection_that_cannot_be_released_keeps_nobody(broken) -> None:
    world, ada, bob, break_ = broken
    bob.raw(CREATE, packed(0, 0, 9, 9, 0))
    ada.take()
    break_("release")
    bob.send(packets.LOBBY_DISCONNECT)
    bob.join("d")
    assert bob.session.membership.lobby is world.service.lobbies["d"]


def test_what_waited_for_failed_work_goes_on() -> None:
    world = World()
    world.injected = Broken
    ada, bob = world.peer("ada").create("d", "pixel"), world.peer("bob").join("d")
    lobby = world.service.lobbies["d"]

    def raise_(_now: float) -> None:
        raise Broken

    world.service.canvas_queue.heavy = -1
    waiting: list = []
    world.defer = waiting.append
    ada.raw(packets.BUCKET_FILL.id, packed(1, 1) + b"abcd")
    lobby.when_free(raise_, world.now)
    bob.raw(packets.BUCKET_FILL.id, packed(1, 1) + b"dcba")
    assert bob.session.waiting
    while waiting:
        waiting.pop(0)()
        world.run_effects()
    assert not bob.session.waiting
    assert "BUCKET_FILL" in ada.kinds()
    assert [type(error) for error in world.failures] == [Broken]
