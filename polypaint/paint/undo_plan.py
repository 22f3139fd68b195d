"""Strokes as they are to be once something is taken back, and the ordinary packets that do it.

A plan says for each stroke whether it is to be there, and what it is then. Its packets change
strokes first, then remove, then bring back: behind the nearest stroke of those that stood before
them, under their own author and date.

Must never import a lobby. Counterpart: `undo.py` makes plans.
Protocol: docs/protocol.md, section 10.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from polypaint import _codec
from polypaint._codec import HEADER_BYTES
from polypaint.errors import Refused
from polypaint.paint.packets import (
    ADD_STROKE,
    DATA_BYTES_MAX,
    HEADER,
    INSERT_STROKE,
    REMOVE_STROKE,
    REPLACE_STROKE,
    RESIZE_CANVAS,
    SELECTED_STROKE,
    UNSELECTED_STROKE,
)
from polypaint.paint.strokes import BYTES_MAX, STROKES_MAX, StrokeCanvas

if TYPE_CHECKING:
    from polypaint.paint.undo import UndoHistory

FIELDS: Final = 5
"""Of a stroke: author and date, colour, height, width, points."""
INDEX_BYTES: Final = 4
STYLE: Final = ((4, 8), (8, 12), (12, 16))
"""Colour, height and width in the data of ADD_STROKE; points follow."""


class Writer:
    """An action that has written something; each is an object of its own."""

    __slots__ = ("author",)

    def __init__(self, author: str) -> None:
        self.author = author


ORIGIN: Final = Writer("")
"""Of what was there before anything was noted."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Tracked:
    """A stroke. packet: as it stands in the canvas, the very object; None: it is not there.

    life: who last had it come or go; fields: who last wrote them; before: what it stood behind
    when it was removed.
    """

    packet: bytes | None
    life: Writer = ORIGIN
    fields: list[Writer] = field(default_factory=lambda: [ORIGIN] * FIELDS)
    before: "Tracked | None" = None


def pieces(packet: bytes) -> list[bytes]:
    """A stroke's fields."""
    at = HEADER_BYTES + packet[7]
    style = [packet[at + start : at + end] for start, end in STYLE]
    return [packet[3:at], *style, packet[at + STYLE[-1][1] :]]


def joined(fields: list[bytes]) -> bytes:
    """A stroke of these fields, as an ADD_STROKE at 0."""
    head, *data = fields
    body = head + bytes(INDEX_BYTES) + b"".join(data)
    return HEADER.pack(3 + len(body), ADD_STROKE.id, 0, 0)[:3] + body


class State:
    """What a stroke is to be."""

    def __init__(self, stroke: Tracked) -> None:
        self.stroke = stroke
        self.there = stroke.packet is not None
        self.life = stroke.life
        self.fields = list(stroke.fields)
        self.pieces = pieces(stroke.packet) if stroke.packet is not None else []

    @property
    def packet(self) -> bytes:
        """The stroke, as an ADD_STROKE at 0."""
        return joined(self.pieces)

    @property
    def differs(self) -> bool:
        """Is it there, and is it to be there as another?"""
        packet = self.stroke.packet
        return packet is not None and self.there and pieces(packet) != self.pieces


@dataclass(slots=True)
class Sizes:
    """What the canvas's size is to be. writer: who has written it then; None: it stays."""

    length: float
    width: float
    writer: Writer | None = None


class Plan:
    """See the module."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.states: dict[Tracked, State] = {}

    def state(self, stroke: Tracked) -> State:
        """What is to become of this one; strokes come back in the order of the first call."""
        state = self.states.get(stroke)
        if state is None:
            state = self.states[stroke] = State(stroke)
        return state

    @property
    def changed(self) -> list[State]:
        """Strokes that are there, and are to be others."""
        return [state for state in self.states.values() if state.differs]

    @property
    def removed(self) -> list[Tracked]:
        """Strokes that are not to be there any more."""
        return [s for s, state in self.states.items() if s.packet and not state.there]

    @property
    def restored(self) -> list[State]:
        """Strokes that are to be there again."""
        return [state for s, state in self.states.items() if not s.packet and state.there]

    def must_be_free(self, canvas: StrokeCanvas, name: str) -> None:
        """Raises Refused when somebody else holds what is to change, or it would not fit."""
        touched = [*self.removed, *(state.stroke for state in self.changed)]
        at = positions(canvas, touched)
        for stroke in touched:
            holder = canvas.strokes.holder(at[stroke])
            if holder not in (None, name):
                raise Refused(f"{holder} holds what this would change; try again when they let go")
        restored = self.restored
        size = sum(sum(map(len, state.pieces)) + 7 for state in [*restored, *self.changed])
        if (
            len(canvas.strokes) + len(restored) > STROKES_MAX
            or canvas.strokes.size + size > BYTES_MAX
        ):
            raise Refused("the drawing is full")


def positions(canvas: StrokeCanvas, strokes: list[Tracked]) -> dict[Tracked, int]:
    """Where these stand; all of them are there."""
    wanted = {id(stroke.packet): stroke for stroke in strokes}
    found: dict[Tracked, int] = {}
    if wanted:
        for index, packet in enumerate(canvas.strokes):
            stroke = wanted.get(id(packet))
            if stroke is not None:
                found[stroke] = index
    return found


def apply(
    plan: Plan, history: "UndoHistory", canvas: StrokeCanvas, name: str, date: int
) -> list[bytes]:
    """Make it true; the packets that did. name: who does it. The canvas accepts all of them."""
    made: list[bytes] = []
    removed, restored = plan.removed, plan.restored
    anchors = _anchors(restored, set(removed))
    known = [*removed, *(state.stroke for state in plan.changed)]
    at = positions(canvas, [*known, *(anchor for anchor in anchors if anchor is not None)])
    for state in plan.changed:
        made += _change(history, canvas, state, at[state.stroke], name, date)
    indices = sorted((at[stroke] for stroke in removed), reverse=True)
    made += _remove(history, canvas, removed, indices, name, date)
    ascending = indices[::-1]
    places = [
        (at[anchor] + 1 - bisect_left(ascending, at[anchor]) if anchor is not None else 0, states)
        for anchor, states in anchors.items()
    ]
    shift = 0
    for place, states in sorted(places, key=lambda each: each[0]):
        for state in states:
            made.append(_restore(history, canvas, state, place + shift))
            shift += 1
    for stroke, state in plan.states.items():
        stroke.life, stroke.fields = state.life, state.fields
    if plan.sizes.writer is not None:
        packet = RESIZE_CANVAS.encode_request(
            date, name.encode(), plan.sizes.length, plan.sizes.width
        )
        made.append(canvas.apply(packet).packet)
    return made


def _change(
    history: "UndoHistory", canvas: StrokeCanvas, state: State, index: int, name: str, date: int
) -> list[bytes]:
    """Replace a stroke under its own author; whoever takes back may hold it, and still does."""
    packet = _codec.with_index(state.packet, REPLACE_STROKE.id, index)
    held = canvas.strokes.holder(index) is not None
    made = [packet]
    if held:
        own = name.encode()
        made.insert(0, UNSELECTED_STROKE.encode_request(date, own, [index]))
        made.append(SELECTED_STROKE.encode_request(date, own, [index]))
    for each in made:
        canvas.apply(each)
    history.moved(state.stroke, canvas.strokes[index])
    return made


def _remove(
    history: "UndoHistory",
    canvas: StrokeCanvas,
    removed: list[Tracked],
    indices: list[int],
    name: str,
    date: int,
) -> list[bytes]:
    """indices: of what is removed, descending."""
    for index in indices:
        stroke = history.known(canvas.strokes[index])
        if stroke is not None:
            stroke.before = history.track(canvas.strokes[index - 1]) if index else None
    own = name.encode()
    most = (DATA_BYTES_MAX - len(own)) // INDEX_BYTES
    made = [
        REMOVE_STROKE.encode_request(date, own, indices[start : start + most])
        for start in range(0, len(indices), most)
    ]
    for packet in made:
        canvas.apply(packet)
    for stroke in removed:
        history.moved(stroke, None)
    return made


def _restore(history: "UndoHistory", canvas: StrokeCanvas, state: State, index: int) -> bytes:
    """Bring a stroke back at a position."""
    last = index == len(canvas.strokes)
    kind = ADD_STROKE if last else INSERT_STROKE
    packet = canvas.apply(_codec.with_index(state.packet, kind.id, index)).packet
    history.moved(state.stroke, canvas.strokes[index])
    return packet


def _anchors(restored: list[State], removed: set[Tracked]) -> dict[Tracked | None, deque[State]]:
    """What is to come back, in order, by the stroke behind which it does; None: at the start."""
    anchors: dict[Tracked | None, deque[State]] = {}
    where: dict[Tracked, deque[State]] = {}
    for state in restored:
        before = state.stroke.before
        while before is not None and before not in where:
            if before.packet is not None and before not in removed:
                break
            before = before.before
        if before is not None and before in where:
            row = where[before]
            if row[-1].stroke is before:
                row.append(state)
            else:
                row.insert([each.stroke for each in row].index(before) + 1, state)
        else:
            row = anchors.setdefault(before, deque())
            row.appendleft(state)
        where[state.stroke] = row
    return anchors
