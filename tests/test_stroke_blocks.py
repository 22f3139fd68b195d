"""Strokes in blocks are a list, whatever is done with them, and cost what is touched."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polypaint import _codec
from polypaint.errors import Refused
from polypaint.paint import packets, stroke_blocks
from polypaint.paint.canvas_queue import HEAVY
from polypaint.paint.stroke_blocks import BLOCK_STROKES, Strokes
from polypaint.paint.strokes import StrokeCanvas

ADD = packets.ADD_STROKE
RGBA = b"abcd"


def stroke(x: float, points: int = 1, name: bytes = b"ada") -> bytes:
    return ADD.encode_request(0, name, 0, RGBA, 1, 1, [[x, 0]] * points)


class Model:
    """What `Strokes` should be: two lists."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.holders: list[str | None] = []

    def held_by(self, author: str) -> list[int]:
        return [at for at, holder in enumerate(self.holders) if holder == author]


def one_change(rng: random.Random, strokes: Strokes, model: Model, made: int) -> None:
    count = len(model.packets)
    choice = rng.random()
    packet = stroke(made, rng.choice((1, 1, 1, 40)))
    author = rng.choice("ab")
    if choice < 0.35 or not count:
        many = [packet] * rng.randint(1, 5)
        strokes.extend(many, sum(map(len, many)))
        model.packets += many
        model.holders += [None] * len(many)
    elif choice < 0.5:
        at = rng.randint(0, count)
        strokes.insert(at, packet)
        model.packets.insert(at, packet)
        model.holders.insert(at, None)
    elif choice < 0.6:
        at = rng.randrange(count)
        strokes.replace(at, packet)
        model.packets[at] = packet
    elif choice < 0.75:
        named = sorted(rng.sample(range(count), rng.randint(1, min(count, 30))), reverse=True)
        strokes.remove(named)
        for at in named:
            del model.packets[at], model.holders[at]
    elif choice < 0.9:
        at = rng.randrange(count)
        if model.holders[at] is None:
            strokes.hold(at, author)
            model.holders[at] = author
        else:
            strokes.let_go(at)
            model.holders[at] = None
    elif choice < 0.97:
        assert strokes.release(author) == model.held_by(author)
        model.holders = [None if h == author else h for h in model.holders]
    elif choice < 0.98:
        strokes.clear()
        model.packets, model.holders = [], []


def agree(strokes: Strokes, model: Model) -> None:
    assert strokes == model.packets
    assert list(strokes) == strokes[:] == strokes.all() == model.packets
    assert len(strokes) == len(model.packets)
    assert strokes.size == sum(map(len, model.packets))
    kept = [b for b in strokes._blocks if b.joined_at == b.start]
    assert strokes.unjoined == strokes.size - sum(len(piece) for b in kept for piece in b.joined)
    assert strokes.held == sum(holder is not None for holder in model.holders)
    assert strokes.all_held_cost == sum(map(strokes.held_cost, strokes.holders()))
    assert [strokes.holder(at) for at in range(len(strokes))] == model.holders
    assert set(strokes.holders()) == set(model.holders) - {None}
    for author in "ab":
        assert strokes.held_by(author) == model.held_by(author)
        others = [at for at, h in enumerate(model.holders) if h not in (None, author)]
        assert not others or strokes.others_hold(others[-1:], author)
        assert not strokes.others_hold(model.held_by(author), author)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_blocks_are_a_list(seed: int) -> None:
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stroke_blocks, "BLOCK_STROKES", rng.choice((2, 4, 9)))
        patch.setattr(stroke_blocks, "BLOCK_BYTES", rng.choice((400, 1 << 18)))
        patch.setattr(stroke_blocks, "FEW", 2)
        patch.setattr(stroke_blocks, "PIECES_MAX", rng.choice((1, 3)))
        strokes, model = Strokes(), Model()
        for made in range(120):
            one_change(rng, strokes, model, made)
            if rng.random() < 0.2:
                joined = strokes.joined(ADD.id)
                again = strokes.joined(ADD.id)
                assert [a for a, b in zip(joined, again, strict=True) if a is not b] == []
                assert b"".join(joined) == b"".join(_codec.numbered(model.packets, ADD.id))
                assert strokes.joined_size == sum(map(len, joined))
                assert strokes.unjoined == 0
            agree(strokes, model)
        again = Strokes(model.packets)  # type: ignore[assignment]
        assert again == model.packets
        strokes.forget_joined()
        assert (strokes.joined_size, strokes.unjoined) == (0, strokes.size)


def test_removing_most_leaves_few_blocks() -> None:
    strokes = Strokes([stroke(0)] * (40 * BLOCK_STROKES))
    for _ in range(BLOCK_STROKES - 1):
        step = len(strokes) // 40
        strokes.remove(list(range(len(strokes) - 1, -1, -step))[:40])
    assert strokes.blocks <= 3


def test_positions_are_as_in_a_list() -> None:
    strokes = Strokes([stroke(x) for x in range(5)])
    assert strokes[-1] == stroke(4)
    assert strokes[1:3] == [stroke(1), stroke(2)]
    for index in (5, -6):
        with pytest.raises(IndexError):
            strokes[index]
    assert strokes != "five"
    assert strokes != [stroke(x) for x in range(4)]


# ---------------------------------------------------------------- what things cost
def canvas_of(count: int) -> StrokeCanvas:
    canvas = StrokeCanvas()
    canvas.load({"length": 1280, "width": 720, "selected": {}}, [stroke(1)] * count)
    return canvas


def request(kind: packets.Packet, *values: object) -> bytes:
    return kind.encode_request(0, b"ada", *values)


def test_snapshots_share_what_has_not_changed() -> None:
    """A hundred newcomers to a busy drawing: each snapshot makes one block anew."""
    canvas = canvas_of(20 * BLOCK_STROKES)
    first = canvas.snapshot(0)
    made = {id(chunk): chunk for chunk in first}
    for _ in range(100):
        canvas.apply(stroke(2))
        snapshot = canvas.snapshot(0)
        made |= {id(chunk): chunk for chunk in snapshot}
        assert [a for a, b in zip(first[1:21], snapshot[1:21], strict=True) if a is not b] == []
    assert sum(map(len, made.values())) < 1.6 * canvas.bytes_used
    whole = b"".join(_codec.numbered(canvas.strokes.all(), ADD.id))
    assert b"".join(canvas.snapshot(0)[1:]) == whole


def test_a_snapshot_costs_what_is_new() -> None:
    canvas = canvas_of(40 * BLOCK_STROKES)
    assert canvas.snapshot_cost > HEAVY
    canvas.snapshot(0)
    canvas.apply(stroke(2))
    assert canvas.snapshot_cost < HEAVY / 5
    canvas.forget_snapshot()
    assert canvas.snapshot_cost > HEAVY


def test_a_change_at_the_beginning_touches_one_block() -> None:
    canvas = canvas_of(300 * BLOCK_STROKES)
    before = [block.packets for block in canvas.strokes._blocks]
    canvas.apply(request(packets.INSERT_STROKE, 0, RGBA, 1, 1, [[0, 0]]))
    canvas.apply(request(packets.REMOVE_STROKE, [1]))
    after = [block.packets for block in canvas.strokes._blocks]
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert {len(packets) for packets in after} == {BLOCK_STROKES}


def test_what_names_many_strokes_leaves_the_loop() -> None:
    canvas = canvas_of(20_000)
    many = list(range(15_999, -1, -1))
    for kind in (packets.SELECTED_STROKE, packets.UNSELECTED_STROKE, packets.REMOVE_STROKE):
        assert canvas.cost(request(kind, many)) > HEAVY
        assert canvas.cost(request(kind, many[:17])) < HEAVY
    assert canvas.release_cost("ada") == 0
    canvas.apply(request(packets.SELECTED_STROKE, many))
    assert canvas.release_cost("ada") > HEAVY
    assert canvas.release_cost("bob") == 0
    for cost in (canvas.cost(request(packets.RESET_CANVAS)), canvas.size_cost, canvas.free_cost):
        assert cost > HEAVY
    assert canvas.load_cost(canvas.strokes.all()) > HEAVY
    canvas.free()
    assert len(canvas.strokes) == 0


def test_a_stroke_held_where_there_is_none_is_refused() -> None:
    with pytest.raises(Exception, match="does not make sense"):
        StrokeCanvas().load({"length": 9, "width": 9, "selected": {"ada": [1]}}, [stroke(1)])
    with pytest.raises(Refused):
        canvas_of(3).apply(request(packets.REMOVE_STROKE, [3]))
