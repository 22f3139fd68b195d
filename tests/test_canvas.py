"""Both canvases: the rules of section 5, and snapshots and dumps that lose nothing."""

import random

import numpy as np
import pytest

from polypaint import _codec
from polypaint.errors import Refused, Stale, StoreError
from polypaint.paint import packets, pixels, strokes
from polypaint.paint.canvas import Canvas
from polypaint.paint.packets import Mode, decode
from polypaint.paint.pixels import WHITE, PixelCanvas
from polypaint.paint.strokes import StrokeCanvas

from .test_simulation import same

RED, BLUE = b"\xff\0\0\xff", b"\0\0\xff\xff"


def word(rgba: bytes) -> int:
    return int.from_bytes(rgba, "little")


def draw(canvas: Canvas, kind, *values, name="ada"):
    return canvas.apply(kind.encode_request(7, name.encode(), *values))


def add(canvas: StrokeCanvas, x: float, name="ada"):
    return draw(canvas, packets.ADD_STROKE, 0, RED, 1, 1, [[x, 0]], name=name)


def order(canvas: StrokeCanvas) -> list[float]:
    return [decode(stroke)[4][0][0] for stroke in canvas.strokes]


@pytest.fixture
def five() -> StrokeCanvas:
    canvas = StrokeCanvas()
    for x in range(5):
        add(canvas, x)
    return canvas


# ---------------------------------------------------------------- strokes
def test_add_is_relayed_with_the_true_index(five):
    applied = draw(five, packets.ADD_STROKE, 99, RED, 1, 1, [[9, 9]])
    assert decode(applied.packet)[0] == 5


def test_insert_replace_remove(five):
    draw(five, packets.INSERT_STROKE, 0, RED, 1, 1, [[10, 0]])
    draw(five, packets.INSERT_STROKE, 6, RED, 1, 1, [[11, 0]])
    draw(five, packets.REPLACE_STROKE, 1, BLUE, 1, 1, [[12, 0]])
    assert order(five) == [10, 12, 1, 2, 3, 4, 11]
    draw(five, packets.REMOVE_STROKE, [6, 2, 0])
    assert order(five) == [12, 2, 3, 4]


def test_removing_many_is_the_same_as_removing_few():
    canvas = StrokeCanvas()
    for x in range(100):
        add(canvas, x)
    draw(canvas, packets.SELECTED_STROKE, [99])
    draw(canvas, packets.REMOVE_STROKE, list(range(98, 8, -1)))
    assert order(canvas) == [*range(9), 99]
    assert canvas.selected() == {"ada": [9]}
    assert canvas.bytes_used == sum(map(len, canvas.strokes))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (packets.INSERT_STROKE, (6, RED, 1, 1, [[0, 0]])),
        (packets.REPLACE_STROKE, (5, RED, 1, 1, [[0, 0]])),
        (packets.REMOVE_STROKE, ([5, 0],)),
        (packets.SELECTED_STROKE, ([0, 5],)),
        (packets.UNSELECTED_STROKE, ([0],)),
    ],
)
def test_refused_strokes_change_nothing(five, kind, values):
    before = five.dump()
    with pytest.raises(Refused):
        draw(five, kind, *values)
    assert five.dump() == before


def test_selections_are_exclusive_and_the_sender_is_told(five):
    draw(five, packets.SELECTED_STROKE, [1, 3])
    applied = draw(five, packets.SELECTED_STROKE, [3, 4, 1], name="bob")
    assert decode(applied.packet)[0].tolist() == [4]
    kind, _, name, _ = _codec.header(applied.correction)
    assert (kind, name) == (packets.UNSELECTED_STROKE.id, b"bob")
    assert decode(applied.correction)[0].tolist() == [3, 1]
    nothing = draw(five, packets.SELECTED_STROKE, [1], name="bob")
    assert nothing.packet == b""
    assert five.selected() == {"ada": [1, 3], "bob": [4]}
    assert five.authors() == ["ada", "bob"]


def test_unselecting_leaves_out_what_one_does_not_hold(five):
    draw(five, packets.SELECTED_STROKE, [1, 2])
    applied = draw(five, packets.UNSELECTED_STROKE, [0, 2])
    assert decode(applied.packet)[0].tolist() == [2]
    assert applied.correction == b""


def test_selections_survive_shifts_and_replacement(five):
    draw(five, packets.SELECTED_STROKE, [2])
    draw(five, packets.INSERT_STROKE, 0, RED, 1, 1, [[9, 9]], name="bob")
    draw(five, packets.REMOVE_STROKE, [1], name="bob")
    draw(five, packets.REPLACE_STROKE, 2, BLUE, 1, 1, [[8, 8]])
    assert five.selected() == {"ada": [2]}
    assert five.only_held(packets.REMOVE_STROKE.encode_request(0, b"ada", [2]))
    assert not five.only_held(packets.REMOVE_STROKE.encode_request(0, b"ada", [2, 1]))
    assert not five.only_held(packets.REMOVE_STROKE.encode_request(0, b"ada", [77]))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (packets.REMOVE_STROKE, ([3, 2],)),
        (packets.REPLACE_STROKE, (2, RED, 1, 1, [[0, 0]])),
    ],
)
def test_what_another_holds_is_not_touched(five, kind, values):
    draw(five, packets.SELECTED_STROKE, [2])
    before = five.dump()
    with pytest.raises(Stale):
        draw(five, kind, *values, name="bob")
    assert five.dump() == before


def test_release_unselects_in_the_members_name(five):
    draw(five, packets.SELECTED_STROKE, [0, 4])
    told = five.release("ada", 9)
    assert _codec.header(told)[:3] == (packets.UNSELECTED_STROKE.id, 9, b"ada")
    assert decode(told)[0].tolist() == [4, 0]
    assert five.release("ada", 9) == b""


def test_reset_clears_strokes_and_selections_and_keeps_the_size(five):
    draw(five, packets.RESIZE_CANVAS, 300.5, 20)
    draw(five, packets.SELECTED_STROKE, [0])
    draw(five, packets.RESET_CANVAS)
    assert (five.strokes, five.selected(), five.length) == ([], {}, 300.5)
    draw(five, packets.RESIZE_CANVAS_INT, 40, 30)
    assert (five.length, five.width) == (40, 30)


def test_a_drawing_has_a_limit(five, monkeypatch):
    monkeypatch.setattr(strokes, "STROKES_MAX", 5)
    with pytest.raises(Stale, match="full"):
        add(five, 9)
    draw(five, packets.REPLACE_STROKE, 0, BLUE, 1, 1, [[8, 8]])
    monkeypatch.setattr(strokes, "BYTES_MAX", five.bytes_used)
    with pytest.raises(Stale, match="full"):
        draw(five, packets.REPLACE_STROKE, 0, BLUE, 1, 1, [[8, 8], [1, 1]])


def test_many_selected_strokes_take_many_packets():
    canvas = StrokeCanvas()
    for x in range(20_000):
        add(canvas, x % 7)
    for part in range(2):
        draw(canvas, packets.SELECTED_STROKE, list(range(part * 10_000, (part + 1) * 10_000)))
    twin = replayed(canvas)
    assert twin.selected() == canvas.selected()  # type: ignore[attr-defined]
    told = canvas.release("ada", 0)
    assert len(_codec.split(told)) == 2


# ---------------------------------------------------------------- pixels
@pytest.fixture
def small() -> PixelCanvas:
    canvas = PixelCanvas()
    draw(canvas, packets.RESIZE_CANVAS_INT, 40, 30)
    return canvas


def test_a_new_canvas_is_white(small):
    assert PixelCanvas().pixels.shape == (720, 1280)
    assert (small.pixels == WHITE).all()


def test_stamps_replace_and_float_brushes_round_half_up(small):
    draw(small, packets.SEND_POINTS, 2.5, RED, [[10, 10]])
    assert (small.pixels == word(RED)).sum() == 9
    assert small.pixels[9, 9] == word(RED)
    draw(small, packets.SEND_POINTS, 1, b"\1\2\3\0", [[10, 10]])
    assert small.pixels[10, 10] == word(b"\1\2\3\0")


def test_fill_and_its_start(small):
    draw(small, packets.SEND_POINTS, 1, RED, [[x, 15] for x in range(40)])
    draw(small, packets.BUCKET_FILL, -0.5, 3.4, BLUE)
    assert (small.pixels[:15] == word(BLUE)).all()
    assert (small.pixels[16:] == WHITE).all()
    for x, y in ((40, 0), (0, 30), (-0.51, 0), (0, -1)):
        with pytest.raises(Refused):
            draw(small, packets.BUCKET_FILL, x, y, RED)


def test_a_selection_is_cut_and_written_back_elsewhere(small):
    draw(small, packets.SEND_POINTS, 4, RED, [[5, 5]])
    draw(small, packets.CREATE_SELECTION, 3, 3, 4, 4, 0)
    assert (small.pixels == WHITE).all()
    draw(small, packets.UPDATE_SELECTION, 20, 10, 8, 4, 0)
    assert (small.pixels == WHITE).all()
    draw(small, packets.REMOVE_SELECTION)
    assert (small.pixels[10:14, 20:28] == word(RED)).all()
    assert (small.pixels == word(RED)).sum() == 32


def test_repeated_updates_do_not_degrade(small):
    draw(small, packets.SEND_POINTS, 3, RED, [[10, 10], [20, 12]])
    before = small.pixels.copy()
    draw(small, packets.CREATE_SELECTION, 2, 2, 30, 20, 0)
    for angle in range(0, 360, 7):
        draw(small, packets.UPDATE_SELECTION, 5, 5, 3, 2, angle)
    draw(small, packets.UPDATE_SELECTION, 2, 2, 30, 20, 0)
    draw(small, packets.REMOVE_SELECTION)
    assert np.array_equal(small.pixels, before)


def test_a_second_selection_writes_the_first_back_and_says_so(small):
    draw(small, packets.SEND_POINTS, 1, RED, [[1, 1]])
    draw(small, packets.CREATE_SELECTION, 0, 0, 5, 5, 0)
    applied = draw(small, packets.CREATE_SELECTION, 20, 20, 5, 5, 0)
    kinds = [packet[2] for packet in _codec.split(applied.packet)]
    assert kinds == [packets.REMOVE_SELECTION.id, packets.CREATE_SELECTION.id]
    assert small.pixels[1, 1] == word(RED)


def test_what_was_off_canvas_writes_nothing_back(small):
    draw(small, packets.BUCKET_FILL, 0, 0, RED)
    draw(small, packets.CREATE_SELECTION, -5, -5, 10, 10, 0)
    draw(small, packets.UPDATE_SELECTION, 10, 10, 10, 10, 0)
    draw(small, packets.REMOVE_SELECTION)
    assert (small.pixels[:5, :5] == WHITE).all()
    assert (small.pixels == WHITE).sum() == 25
    for x, y in ((100, 100), (-50, 0)):
        draw(small, packets.CREATE_SELECTION, x, y, 10, 10, 0)
        draw(small, packets.APPLY_FILTER_SELECTION, "blur")
        assert small.floating["ada"].source.size == 0
        draw(small, packets.REMOVE_SELECTION)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (packets.UPDATE_SELECTION, (0, 0, 1, 1, 0)),
        (packets.REMOVE_SELECTION, ()),
        (packets.APPLY_FILTER_SELECTION, ("blur",)),
    ],
)
def test_without_a_selection(small, kind, values):
    draw(small, packets.CREATE_SELECTION, 0, 0, 5, 5, 0, name="bob")
    with pytest.raises(Refused):
        draw(small, kind, *values)


def naive_filter(name: str, source: np.ndarray) -> np.ndarray:
    height, width = source.shape
    channels = source.view(np.uint8).reshape(height, width, 4).astype(int)
    out = channels.copy()
    for y in range(height):
        for x in range(width):
            r, g, b, _ = channels[y, x]
            if name == "grayscale":
                out[y, x, :3] = (299 * r + 587 * g + 114 * b + 500) // 1000
            elif name == "invert":
                out[y, x, :3] = 255 - channels[y, x, :3]
            else:
                total = np.zeros(4, int)
                for dy, dx in ((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
                    row, column = min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)
                    total += (2 - abs(dy)) * (2 - abs(dx)) * channels[row, column]
                out[y, x] = (total + 8) // 16
    return out.astype(np.uint8).view(np.uint32).reshape(height, width)


@pytest.mark.parametrize("name", ["grayscale", "invert", "blur"])
def test_filters(name, small):
    small.pixels[:] = np.random.default_rng(1).integers(0, 2**32, (30, 40), np.uint32)
    source = small.pixels[2:9, 3:11].copy()
    draw(small, packets.CREATE_SELECTION, 3, 2, 8, 7, 0)
    draw(small, packets.APPLY_FILTER_SELECTION, name)
    assert np.array_equal(small.floating["ada"].source, naive_filter(name, source))
    assert not small.needs_client_snapshot


def test_an_unknown_filter_asks_for_a_snapshot(small):
    draw(small, packets.CREATE_SELECTION, 3, 2, 8, 7, 0)
    applied = draw(small, packets.APPLY_FILTER_SELECTION, "Négatif")
    assert applied.packet
    assert small.needs_client_snapshot
    small.paint(np.zeros((30, 40), np.uint32))
    assert not small.needs_client_snapshot
    assert small.only_held(applied.packet)


def test_resize_keeps_the_top_left(small):
    draw(small, packets.BUCKET_FILL, 0, 0, RED)
    draw(small, packets.RESIZE_CANVAS, 20.5, 50.4)
    assert small.pixels.shape == (50, 21)
    assert (small.pixels[:30] == word(RED)).all()
    assert (small.pixels[30:] == WHITE).all()


# ---------------------------------------------------------------- both
def replayed(canvas: Canvas) -> Canvas:
    twin = type(canvas)()
    if canvas.mode is Mode.PIXEL:
        draw(twin, packets.SEND_POINTS, 900, RED, [[200, 200]])
        draw(twin, packets.CREATE_SELECTION, 0, 0, 100, 100, 0, name="old")
    else:
        add(twin, 1)  # type: ignore[arg-type]
    twin.clear()
    for packet in _codec.split(b"".join(canvas.snapshot(1))):
        assert packets.CODEC.check(packet) == ""
        twin.apply(packet)
    return twin


def scribble(seed: int) -> PixelCanvas:
    rng = random.Random(seed)
    canvas = PixelCanvas()
    draw(canvas, packets.RESIZE_CANVAS_INT, rng.randint(20, 90), rng.randint(20, 90))
    for _ in range(25):
        x, y = rng.randint(-10, 90), rng.randint(-10, 90)
        size = rng.randint(1, 60), rng.randint(1, 60)
        colour = bytes(rng.choice((0, 9, 255)) for _ in range(4))
        kind, values = rng.choice(
            [
                (packets.SEND_POINTS, (rng.randint(1, 20), colour, [[x, y], [y, x]])),
                (packets.CREATE_SELECTION, (x, y, *size, 0)),
                (packets.UPDATE_SELECTION, (y, x, *size, rng.choice((0, 90, 33.5)))),
                (packets.APPLY_FILTER_SELECTION, (rng.choice(list(pixels.FILTERS)),)),
                (packets.RESIZE_CANVAS_INT, (rng.randint(10, 90), rng.randint(10, 90))),
                (packets.BUCKET_FILL, (x, y, colour)),
            ]
        )
        try:
            draw(canvas, kind, *values, name=rng.choice(("ada", "bob", "eve")))
        except Refused:
            pass
    return canvas


@pytest.mark.parametrize("seed", range(60))
def test_a_pixel_snapshot_shows_everything(seed):
    canvas = scribble(seed)
    twin = replayed(canvas)
    assert same(canvas, twin)
    for author in canvas.authors():
        canvas.release(author, 0)
        twin.release(author, 0)
    assert same(canvas, twin)


def test_a_stroke_snapshot_shows_authors_and_dates(five):
    add(five, 8, name="Zoé")
    draw(five, packets.SELECTED_STROKE, [1, 2], name="bob")
    twin = replayed(five)
    assert same(five, twin)
    assert _codec.header(twin.strokes[5])[1:3] == (7, "Zoé".encode())  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(20))
def test_dumps_load(seed):
    canvas = scribble(seed)
    twin = PixelCanvas()
    twin.load(*canvas.dump())
    assert same(canvas, twin)
    assert twin.bytes_used == canvas.bytes_used


def test_stroke_dumps_load(five):
    draw(five, packets.SELECTED_STROKE, [1, 2], name="bob")
    meta, blobs = five.dump()
    add(five, 9)
    twin = StrokeCanvas()
    twin.load(meta, blobs)
    assert order(twin) == [0, 1, 2, 3, 4]
    assert twin.selected() == {"bob": [1, 2]}


@pytest.mark.parametrize("kind", [StrokeCanvas, PixelCanvas])
@pytest.mark.parametrize("meta", [{}, {"length": "x", "width": 3, "selected": {}, "floating": {}}])
def test_dumps_that_make_no_sense(kind, meta):
    with pytest.raises(StoreError):
        kind().load(meta, [b"abc"])


# ---------------------------------------------------------------- for whoever lags
def some_packet(rng: random.Random, mode: Mode):
    """Any drawing packet: (declaration, values)."""
    at = [rng.randrange(40), rng.randrange(40), rng.randrange(1, 30), rng.randrange(1, 30)]
    points = [[rng.randrange(40), rng.randrange(40)] for _ in range(rng.randrange(1, 4))]
    if mode is Mode.PIXEL:
        return rng.choice(
            [(packets.UPDATE_SELECTION, (*at, rng.randrange(360)))] * 8
            + [(packets.SEND_POINTS, (rng.randrange(1, 9), rng.choice([RED, BLUE]), points))] * 3
            + [(packets.BUCKET_FILL, (*at[:2], rng.choice([RED, BLUE])))]
            + [(packets.CREATE_SELECTION, (*at, 0)), (packets.REMOVE_SELECTION, ())]
            + [(packets.APPLY_FILTER_SELECTION, ("invert",)), (packets.RESET_CANVAS, ())]
            + [(packets.RESIZE_CANVAS_INT, (rng.randrange(20, 60), rng.randrange(20, 60)))]
        )
    index = rng.randrange(6)
    stroke = (index, rng.choice([RED, BLUE]), 1, 2, points)
    return rng.choice(
        [(packets.REPLACE_STROKE, stroke)] * 8
        + [(packets.ADD_STROKE, stroke)] * 3
        + [(packets.INSERT_STROKE, stroke), (packets.REMOVE_STROKE, ([index],))]
        + [(packets.SELECTED_STROKE, ([index],)), (packets.UNSELECTED_STROKE, ([index],))]
        + [(packets.RESET_CANVAS, ())] * (rng.random() < 0.1)
    )


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("seed", range(40))
def test_who_lags_sees_the_same_in_fewer_packets(mode, seed):
    """What is left out makes no difference: not at the end, and not to what comes after it."""
    rng = random.Random(seed)
    truth = StrokeCanvas() if mode is Mode.STROKE else PixelCanvas()
    told, dropped = b"", 0
    for _ in range(300):
        kind, values = some_packet(rng, mode)
        try:
            told += draw(truth, kind, *values, name=rng.choice(["ada", "bob", "é"])).packet
        except Refused:
            continue
    seen = type(truth)()
    cuts = sorted(rng.sample(range(len(_codec.split(told))), 3))
    parts = _codec.split(told)
    for begin, end in zip([0, *cuts], [*cuts, len(parts)], strict=True):
        whole = b"".join(parts[begin:end])
        left = _codec.coalesced(whole, packets.COALESCING)
        dropped += len(whole) - len(left)
        for packet in _codec.split(left):
            seen.apply(packet)
    assert same(seen, truth)
    assert dropped > 0


def test_only_whole_packets_are_coalesced():
    move = packets.UPDATE_SELECTION.encode_request(7, b"ada", 1, 2, 3, 4, 5)
    other = packets.UPDATE_SELECTION.encode_request(7, b"bob", 1, 2, 3, 4, 5)
    assert _codec.coalesced(move + other + move, packets.COALESCING) == other + move
    assert _codec.coalesced(b"", packets.COALESCING) == b""
    alone = move + other
    assert _codec.coalesced(alone, packets.COALESCING) is alone
    for wrong in (move[:-1], move + b"\0", b"\0" * 8):
        with pytest.raises(_codec.ProtocolError, match="whole number"):
            _codec.coalesced(wrong, packets.COALESCING)
    short = b"\x0a\0" + bytes([packets.REPLACE_STROKE.id]) + bytes(7)
    with pytest.raises(_codec.ProtocolError):
        _codec.coalesced(short, packets.COALESCING)
    with pytest.raises(ValueError, match="256"):
        _codec.coalesced(move, b"")
