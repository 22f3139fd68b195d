"""Undo and redo in a stroke lobby: what each person has done, and how it is taken back.

One stack a person. A stroke is known by itself, not by its position: a `Tracked` follows it
through changes, removal and return. Of everything that can be changed (whether a stroke is there,
each of its fields, the canvas's size) it is known which action wrote it last, and an entry takes
back only what its own action wrote last. So it never takes away what somebody else did later.
Taking an entry back gives the entry that does it again.

Must never import a lobby, or read a clock. Counterparts: `undo_plan.py` turns what is to be true
into packets, `strokes.py` applies them. Protocol: docs/protocol.md, section 10.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from polypaint.errors import Refused
from polypaint.paint import packets
from polypaint.paint.canvas import Applied
from polypaint.paint.packets import (
    ADD_STROKE,
    INSERT_STROKE,
    REMOVE_STROKE,
    REPLACE_STROKE,
    RESET_CANVAS,
    RESIZE_CANVAS,
    RESIZE_CANVAS_INT,
)
from polypaint.paint.strokes import StrokeCanvas
from polypaint.paint.undo_plan import (
    ORIGIN,
    Plan,
    Sizes,
    State,
    Tracked,
    Writer,
    apply,
    pieces,
)

DEPTH: Final = 100
KEPT_S: Final = 600.0
"""How long a stack is kept after its person has left."""
BYTES_MAX: Final = 32 << 20
"""What can be taken back in one drawing; of more, the oldest goes first."""
STEP_BYTES: Final = 400
"""What a step takes in memory beside its packet, about."""
PARKED_MAX: Final = 100_000
"""Strokes of a drawing that is only in the store, in which something can still be taken back."""
STEP_NS: Final = 20_000
"""About how long one takes to be taken back."""
STROKE_NS: Final = 60
"""The same for each stroke among which those are looked for."""
NOTHING: Final = {False: "there is nothing to undo", True: "there is nothing to redo"}


@dataclass(slots=True)
class Presence:
    """A stroke came (`there`) or went. packet: what it was then; fields: who had written them."""

    stroke: Tracked
    there: bool
    packet: bytes
    fields: tuple[Writer, ...]
    before: Writer
    after: Writer


@dataclass(slots=True)
class Change:
    """A field of a stroke was `old` and became another."""

    stroke: Tracked
    field: int
    old: bytes
    new: bytes
    before: Writer
    after: Writer


@dataclass(slots=True)
class Resize:
    """The canvas had a size and has another."""

    old: tuple[float, float]
    new: tuple[float, float]
    before: Writer
    after: Writer


Steps: TypeAlias = list[Presence | Change | Resize]
Noted: TypeAlias = tuple[Applied, Steps]


@dataclass(slots=True, eq=False)
class Entry:
    """One gesture: actions, each of some steps, in the order in which they were done."""

    number: int
    actions: list[Steps] = field(default_factory=list)
    size: int = 0

    def add(self, steps: Steps) -> int:
        """One action more; how much memory it takes."""
        size = sum(STEP_BYTES + len(getattr(step, "packet", b"")) for step in steps)
        self.actions.append(steps)
        self.size += size
        return size


@dataclass(slots=True)
class Stack:
    """Of one person. last: the entry of their last packet, if that is in one; open: it goes on."""

    done: list[Entry] = field(default_factory=list)
    undone: list[Entry] = field(default_factory=list)
    last: Entry | None = None
    open: bool = False
    expires: float | None = None


class UndoHistory:
    """Of one lobby; see the module. used: bytes, about."""

    def __init__(self) -> None:
        self.used = 0
        self._stacks: dict[str, Stack] = {}
        self._strokes: WeakValueDictionary[int, Tracked] = WeakValueDictionary()
        self._parked: list[tuple[int, Tracked]] = []
        """Strokes by their positions, while the canvas is only in the store."""
        self._size_writer = ORIGIN
        self._last_number = 0

    # ------------------------------------------------------------ people
    def came(self, name: str) -> None:
        """From now on it is noted what this person does."""
        self._stacks.setdefault(name, Stack()).expires = None

    def went(self, name: str, now: float) -> float:
        """Somebody has left; when `expire` has to be called."""
        stack = self._stacks.get(name)
        if stack is not None:
            stack.expires = now + KEPT_S
            stack.open, stack.last = False, None
        return now + KEPT_S

    def expire(self, now: float) -> None:
        """Forget the stacks of those who have been away for too long."""
        for name, stack in list(self._stacks.items()):
            if stack.expires is not None and stack.expires <= now:
                self._forget([*stack.done, *stack.undone])
                del self._stacks[name]

    @property
    def empty(self) -> bool:
        """Is there nothing to keep it for?"""
        return not self._stacks

    def depth(self, name: str) -> tuple[int, int]:
        """How many gestures this person can undo, and redo."""
        stack = self._stacks.get(name)
        return (0, 0) if stack is None else (len(stack.done), len(stack.undone))

    def group(self, name: str, more: bool) -> None:
        """What this person does from their last packet on is one gesture, until not `more`."""
        stack = self._stacks.get(name)
        if stack is not None:
            stack.open = more
            if not more:
                stack.last = None

    def forget(self) -> None:
        """Nothing can be taken back any more."""
        for stack in self._stacks.values():
            self._forget([*stack.done, *stack.undone])
            stack.done, stack.undone, stack.last = [], [], None

    # ------------------------------------------------------------ a canvas that comes and goes
    def park(self, canvas: StrokeCanvas) -> None:
        """The canvas goes to the store: strokes are known by their positions until it is back."""
        if len(canvas.strokes) > PARKED_MAX:
            self.forget()
        for index, packet in enumerate(canvas.strokes if self._strokes else ()):
            stroke = self._strokes.get(id(packet))
            if stroke is not None:
                self._parked.append((index, stroke))
        self._strokes = WeakValueDictionary()

    def unpark(self, canvas: StrokeCanvas) -> None:
        """It is back."""
        parked, self._parked = self._parked, []
        for index, stroke in parked:
            stroke.packet = canvas.strokes[index]
            self._strokes[id(stroke.packet)] = stroke

    # ------------------------------------------------------------ what is done
    def added(self, name: str, strokes: list[bytes]) -> None:
        """These have been appended, as they stand in the canvas; each was drawn on its own."""
        if name in self._stacks and self._stacks[name].expires is None:
            for packet in strokes:
                self._record(name, [self._created(packet, Writer(name))])

    def apply(self, canvas: StrokeCanvas, packet: bytes) -> Applied:
        """`canvas.apply`, and note what it does. Raises Refused."""
        name = packet[8 : 8 + packet[7]].decode()
        stack = self._stacks.get(name)
        noted = stack is not None and stack.expires is None
        note = _NOTES.get(packet[2])
        if note is None:
            return canvas.apply(packet)
        try:
            applied, steps = note(self, canvas, packet, Writer(name), noted)
        except Refused:
            if stack is not None and not stack.open:
                stack.last = None
            raise
        if noted and steps:
            self._record(name, steps)
        return applied

    def _record(self, name: str, steps: Steps) -> None:
        stack = self._stacks[name]
        self._forget(stack.undone)
        stack.undone = []
        if not (stack.open and stack.last is not None):
            self._last_number += 1
            stack.last = Entry(self._last_number)
            stack.done.append(stack.last)
        self.used += stack.last.add(steps)
        if len(stack.done) > DEPTH:
            self._forget([stack.done.pop(0)])
        self._bound()

    def _bound(self) -> None:
        """Let the oldest go while there is too much."""
        while self.used > BYTES_MAX:
            oldest = min(
                (stack for stack in self._stacks.values() if stack.done or stack.undone),
                key=lambda stack: min(e.number for e in (*stack.done[:1], *stack.undone)),
            )
            gone = (oldest.done or oldest.undone).pop(0)
            if gone is oldest.last:
                oldest.last = None
            self._forget([gone])

    def _forget(self, entries: Iterable[Entry]) -> None:
        self.used -= sum(entry.size for entry in entries)

    # ------------------------------------------------------------ noting
    def track(self, packet: bytes) -> Tracked:
        """The stroke that stands in the canvas as this very object."""
        stroke = self._strokes.get(id(packet))
        if stroke is None:
            stroke = Tracked(packet)
            self._strokes[id(packet)] = stroke
        return stroke

    def known(self, packet: bytes) -> Tracked | None:
        """The same, if anything of it is noted."""
        return self._strokes.get(id(packet))

    def moved(self, stroke: Tracked, packet: bytes | None) -> None:
        """The stroke is another object in the canvas now; None: it is not there any more."""
        if stroke.packet is not None:
            self._strokes.pop(id(stroke.packet), None)
        stroke.packet = packet
        if packet is not None:
            self._strokes[id(packet)] = stroke

    def _created(self, packet: bytes, writer: Writer) -> Presence:
        stroke = self.track(packet)
        before, stroke.life = stroke.life, writer
        stroke.fields = [writer] * len(stroke.fields)
        return Presence(stroke, True, packet, tuple(stroke.fields), before, writer)

    def _note_add(self, canvas: StrokeCanvas, packet: bytes, writer: Writer, noted: bool) -> Noted:
        applied = canvas.apply(packet)
        return applied, [self._created(canvas.strokes[-1], writer)] if noted else []

    def _note_insert(
        self, canvas: StrokeCanvas, packet: bytes, writer: Writer, noted: bool
    ) -> Noted:
        applied = canvas.apply(packet)
        index = packets.decode(packet)[0]
        return applied, [self._created(canvas.strokes[index], writer)] if noted else []

    def _note_replace(
        self, canvas: StrokeCanvas, packet: bytes, writer: Writer, noted: bool
    ) -> Noted:
        index = packets.decode(packet)[0]
        old = canvas.strokes[index] if index < len(canvas.strokes) else b""
        applied = canvas.apply(packet)
        stroke = self.track(old) if noted else self.known(old)
        if stroke is None:
            return applied, []
        new = canvas.strokes[index]
        steps: Steps = []
        for at, (was, now) in enumerate(zip(pieces(old), pieces(new), strict=True)):
            if was != now:
                steps.append(Change(stroke, at, was, now, stroke.fields[at], writer))
                stroke.fields[at] = writer
        self.moved(stroke, new)
        return applied, steps

    def _note_remove(
        self, canvas: StrokeCanvas, packet: bytes, writer: Writer, noted: bool
    ) -> Noted:
        indices: list[int] = packets.decode(packet)[0].tolist()
        count = len(canvas.strokes)
        gone = [
            (canvas.strokes[i], canvas.strokes[i - 1] if i else None)
            for i in reversed(indices)
            if i < count
        ]
        applied = canvas.apply(packet)
        return applied, self._removed(gone, writer, noted)

    def _note_reset(
        self, canvas: StrokeCanvas, packet: bytes, writer: Writer, noted: bool
    ) -> Noted:
        strokes = canvas.strokes.all()
        applied = canvas.apply(packet)
        gone = list(zip(strokes, [None, *strokes[:-1]], strict=True)) if strokes else []
        return applied, self._removed(gone, writer, noted)

    def _removed(
        self, gone: list[tuple[bytes, bytes | None]], writer: Writer, noted: bool
    ) -> Steps:
        """gone: strokes, each with the one that stood before it, ascending."""
        steps: Steps = []
        for packet, before in gone:
            stroke = self.track(packet) if noted else self.known(packet)
            if stroke is None:
                continue
            stroke.before = None if before is None else self.track(before)
            fields = tuple(stroke.fields)
            steps.append(Presence(stroke, False, packet, fields, stroke.life, writer))
            stroke.life = writer
        for packet, _ in gone:
            stroke = self.known(packet)
            if stroke is not None:
                self.moved(stroke, None)
        return steps

    def _note_resize(
        self, canvas: StrokeCanvas, packet: bytes, writer: Writer, _noted: bool
    ) -> Noted:
        old = (canvas.length, canvas.width)
        applied = canvas.apply(packet)
        new = (canvas.length, canvas.width)
        before, self._size_writer = self._size_writer, writer
        return applied, [Resize(old, new, before, writer)] if old != new else []

    # ------------------------------------------------------------ taking back
    def cost(self, canvas: StrokeCanvas, name: str, redo: bool) -> int:
        """About how many nanoseconds `take_back` takes."""
        stack = self._stacks.get(name, Stack())
        entries = stack.undone if redo else stack.done
        steps = sum(map(len, entries[-1].actions)) if entries else 0
        return STEP_NS * steps + STROKE_NS * len(canvas.strokes)

    def take_back(self, canvas: StrokeCanvas, name: str, redo: bool, date: int) -> list[bytes]:
        """Undo the last gesture of this person that still shows, or redo it: the packets that do.

        They have been applied. Raises Refused, when there is none, or somebody holds what it would
        change; then nothing has changed but that gestures without effect are forgotten.
        """
        stack = self._stacks.get(name, Stack())
        source, target = (stack.undone, stack.done) if redo else (stack.done, stack.undone)
        stack.last = None
        while source:
            entry = source[-1]
            plan, inverse = self._planned(entry, name, Sizes(canvas.length, canvas.width))
            if inverse.actions:
                plan.must_be_free(canvas, name)
            source.pop()
            self._forget([entry])
            if not inverse.actions:
                continue
            made = apply(plan, self, canvas, name, date)
            if plan.sizes.writer is not None:
                self._size_writer = plan.sizes.writer
            target.append(inverse)
            self.used += inverse.size
            if made:
                return made
        raise Refused(NOTHING[redo])

    def _planned(self, entry: Entry, name: str, sizes: Sizes) -> tuple[Plan, Entry]:
        """What is to be true when the entry is taken back, and the entry that does it again."""
        plan = Plan(sizes)
        inverse = Entry(entry.number)
        size_writer = self._size_writer
        for action in reversed(entry.actions):
            steps: Steps = []
            for step in action:
                if isinstance(step, Resize):
                    if size_writer is step.after:
                        size_writer = plan.sizes.writer = step.before
                        plan.sizes.length, plan.sizes.width = step.old
                        steps.append(Resize(step.new, step.old, step.after, step.before))
                elif isinstance(step, Change):
                    steps += _change_back(plan.state(step.stroke), step)
                else:
                    steps += _presence_back(plan.state(step.stroke), step, name)
            if steps:
                inverse.add(steps)
        return plan, inverse


def _change_back(state: State, step: Change) -> list[Change]:
    """Give the field its old value, if it has the one of this step."""
    if not state.there or state.fields[step.field] is not step.after:
        return []
    state.fields[step.field] = step.before
    state.pieces[step.field] = step.old
    return [Change(step.stroke, step.field, step.new, step.old, step.after, step.before)]


def _presence_back(state: State, step: Presence, name: str) -> list[Presence]:
    """Take the stroke away, unless somebody else has changed it since; or bring it back."""
    if state.life is not step.after or state.there is not step.there:
        return []
    if step.there:
        pairs = zip(state.fields, step.fields, strict=True)
        if not all(now is then or now.author == name for now, then in pairs):
            return []
        back = Presence(
            step.stroke, False, state.packet, tuple(state.fields), step.after, step.before
        )
    else:
        state.pieces = pieces(step.packet)
        state.fields = list(step.fields)
        back = Presence(step.stroke, True, step.packet, step.fields, step.after, step.before)
    state.there = not step.there
    state.life = step.before
    return [back]


Note: TypeAlias = Callable[[UndoHistory, StrokeCanvas, bytes, Writer, bool], Noted]
_NOTES: Final[dict[int, Note]] = {
    ADD_STROKE.id: UndoHistory._note_add,
    INSERT_STROKE.id: UndoHistory._note_insert,
    REPLACE_STROKE.id: UndoHistory._note_replace,
    REMOVE_STROKE.id: UndoHistory._note_remove,
    RESET_CANVAS.id: UndoHistory._note_reset,
    RESIZE_CANVAS.id: UndoHistory._note_resize,
    RESIZE_CANVAS_INT.id: UndoHistory._note_resize,
}
