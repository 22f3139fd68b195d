"""A lobby: who is inside, and one ordered log of what happened to the drawing.

A lobby's drawing is a function of its log: restart, late join and resync are readings of it. The
log's records are packets: LOBBY_CREATION first, then drawing packets as they were accepted,
LOBBY_INFO_CHANGE with the passcode, and what the server sent in the name of members who left.

Must never import a session or do I/O. Counterparts: `attendance.py` moves people, `drawing.py`
brings what they draw, `canvas_queue.py` works on the canvas, `checkpoints.py` has it stored.
Protocol: docs/protocol.md, sections 5, 6, 9.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from typing import Final, Protocol, TypeAlias

import orjson

from polypaint import _codec
from polypaint._codec import Broadcast, FlushSet
from polypaint.engine.budget import is_heavy
from polypaint.engine.journal_buffer import RECORD, JournalBuffer
from polypaint.engine.memory import Kind, Memory
from polypaint.errors import Refused, Stale, StoreError
from polypaint.paint.canvas import LENGTH, WIDTH, Applied
from polypaint.paint.frozen_packets import FrozenPackets
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.member import Member, Membership
from polypaint.paint.packets import (
    ADD_STROKE,
    CODEC,
    INSERT_STROKE,
    LOBBY_CREATION,
    LOBBY_INFO_CHANGE,
    LOBBY_PLAYER_KICK,
    PACKETS,
    RESET_CANVAS,
    Coalescing,
    Mode,
    Packet,
)
from polypaint.paint.pixels import PIXEL_BYTES, PixelCanvas
from polypaint.paint.presence import Presence
from polypaint.paint.staleness import Staleness
from polypaint.paint.strokes import StrokeCanvas
from polypaint.paint.undo import UndoHistory

AnyCanvas: TypeAlias = StrokeCanvas | PixelCanvas
"""Every kind of canvas that there is."""

RUN_MAX: Final = 256
"""Strokes that are taken together."""
ACTIVITY_S: Final = 0.5
"""How often a list of lobbies is told that somebody draws."""
WEIGH_BYTES: Final = 256 << 10
"""How much is logged until the canvas is weighed again."""
CHECKPOINT_BYTES: Final = 8 << 20
"""A drawing is stored again when its log since the last time is longer than this."""


class Observer(Protocol):
    """Who keeps lists of lobbies."""

    def changed(self, lobby: "Lobby") -> None:
        """Its members or its rules have changed."""

    def touched(self, lobby: "Lobby", now: float) -> None:
        """Somebody draws in it; said at most every ACTIVITY_S."""

    def needs_journal(self, lobby: "Lobby", batch: int) -> None:
        """The journal has to keep its log from this batch on."""


class Keeping(Enum):
    """What the store has been asked to do with a drawing."""

    IDLE = auto()
    SAVING = auto()
    """To keep it as it was a moment ago."""
    ENDING = auto()
    """The same, and the drawing was removed since: it is forgotten when that is over."""
    REMOVED = auto()
    """To forget it."""


_BEGIN: Final = {Keeping.IDLE: Keeping.SAVING}
_END: Final = {Keeping.SAVING: Keeping.IDLE, Keeping.ENDING: Keeping.REMOVED}
_REMOVE: Final = {Keeping.IDLE: Keeping.REMOVED, Keeping.SAVING: Keeping.ENDING}


class Lobby:
    """One drawing and the people at it. canvas: None while the drawing is only in the store."""

    def __init__(
        self,
        number: int,
        info: LobbyRules,
        log: JournalBuffer,
        turn: FlushSet,
        memory: Memory | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.number = number
        self.info = info
        self.canvas: AnyCanvas | None = None
        self.members: dict[str, Membership] = {}
        self.broadcast = Broadcast(turn)
        self._flush_set = turn
        self._presence: Presence | None = None
        self.seq = 0
        self.keeping = Keeping.IDLE
        self.saved_seq = -1
        self.unsaved_from: int | None = None
        self.unsaved_bytes = 0
        self.waited_for: set[Membership] = set()
        """Newcomers for whom the whole lobby waits until they have loaded the canvas."""
        self.busy = False
        """Is its canvas being worked on elsewhere? Nobody may touch it then."""
        self.deferred: list[Callable[[float], None]] = []
        self.waiters: list[Member] = []
        self.allowed_authors: frozenset[str] | None = None
        """Who alone may draw, for as long as a game says so; None: all members."""
        self.repaints = 0
        """How often the canvas became another one without a change of `seq`."""
        self.memory_used = 0
        """Of the canvas, when it was last weighed; it is kept when the canvas is unloaded."""
        self.above_low_mark = False
        """Would a snapshot take more memory than there is? Then growth is looked at closely."""
        self.staleness = Staleness()
        self._log = log
        self._memory = memory or Memory()
        self.frozen_packets = FrozenPackets(self._memory)
        self._observer = observer
        self._active_at = float("-inf")
        self._counted: dict[Kind, int] = {"canvases": 0, "selections": 0, "undo": 0}
        self.undo: UndoHistory | None = None
        """What can be taken back; there is none while nobody is here, or was lately, who can."""
        self._weigh_at = WEIGH_BYTES
        self._snapshot: tuple[int, list[bytes]] | None = None

    @property
    def stroke_count(self) -> int:
        """How many strokes there are."""
        return len(getattr(self.canvas, "strokes", ()))

    # ------------------------------------------------------------ the log
    def append(self, packet: bytes) -> None:
        """Add whole packets to the log: they are journaled before anybody sees them."""
        self.seq += 1
        if self.unsaved_from is None:
            self.need_journal(self._log.batch)
        self.unsaved_bytes += len(packet) + RECORD.size
        self._log.add(self.number, self.seq, packet)
        if self.unsaved_bytes > self._weigh_at:
            self.weigh()

    def need_journal(self, batch: int | None) -> None:
        """From this batch on; None: the store has everything."""
        self.unsaved_from = batch
        if batch is not None and self._observer is not None:
            self._observer.needs_journal(self, batch)

    def weigh(self) -> None:
        """Say what the canvas takes by now, unless it is being worked on."""
        if self.busy:
            return
        self._weigh_at = self.unsaved_bytes + WEIGH_BYTES
        used = selections = 0
        if self.canvas is not None:
            self.memory_used = used = self.canvas.memory_used
            selections = self.canvas.selections_used
        self._count("canvases", used - selections)
        self._count("selections", selections)
        self._count("undo", self.undo.used if self.undo is not None else 0)
        self.above_low_mark = self._memory.lacks(self.joining_growth, used) > 0

    def _count(self, kind: Kind, now: int) -> None:
        if now != self._counted[kind]:
            self._memory.change(kind, now - self._counted[kind])
            self._counted[kind] = now

    def begin_log(self, date: int) -> None:
        """Begin the log of a new lobby with an empty canvas."""
        self.canvas = empty_canvas(self.info.drawing_mode)
        self.weigh()
        text = orjson.dumps(self.info.json(show_passcode=True)).decode()
        self.append(LOBBY_CREATION.encode_request(date, self.info.owner.encode(), text))

    def change_info(self, info: LobbyRules, date: int) -> None:
        """Other rules of entry."""
        self.info = info
        self._changed()
        text = orjson.dumps(info.info_change_fields).decode()
        name = info.owner.encode()
        self.append(LOBBY_INFO_CHANGE.encode_request(date, name, text))

    def end_log(self, date: int, reason: str) -> bytes:
        """End the log: the drawing is to be forgotten. Returns what its members are told."""
        self.keeping = _REMOVE.get(self.keeping, self.keeping)
        told = LOBBY_PLAYER_KICK.encode_reply(date, reason)
        self.append(told)
        return told

    def wipe(self, date: int) -> None:
        """Clear the canvas in the owner's name, before everybody."""
        packet = RESET_CANVAS.encode_request(date, self.info.owner.encode())
        applied = self.loaded.apply(packet)
        if self.undo is not None:
            self.undo.forget()
        self.append(applied.packet)
        self.broadcast.publish(applied.packet)

    def replay(self, seq: int, record: bytes) -> None:
        """Apply a record of the journal, unless the drawing has it. Raises StoreError."""
        if seq <= self.seq:
            return
        if seq != self.seq + 1:
            raise StoreError(f"{self.info.filename!r}: the journal goes from {self.seq} to {seq}")
        self.seq = seq
        self.unsaved_bytes += len(record)
        for packet in _codec.split(record):
            if packet[2] == LOBBY_CREATION.id:
                self.canvas = empty_canvas(self.info.drawing_mode)
            elif packet[2] == LOBBY_PLAYER_KICK.id:
                self.keeping = Keeping.REMOVED
            elif packet[2] == LOBBY_INFO_CHANGE.id:
                values = LOBBY_INFO_CHANGE.decode_object(packet)
                info = self.info.protected(values["Protection"], values["Passcode"])
                self.info = replace(info, filename=values["Filename"], owner=values["Owner"])
            else:
                self.loaded.replay(packet)

    def release_all(self, date: int) -> None:
        """End all selections: nobody is here any more to do it (after a killed server)."""
        for author in self.loaded.authors():
            self.loaded.release(author, date)

    @property
    def loaded(self) -> AnyCanvas:
        """The canvas of a lobby that is in memory."""
        if self.canvas is None:
            raise AssertionError("this lobby's canvas is not loaded")
        return self.canvas

    @property
    def needs_saving(self) -> bool:
        """Is the log since the last checkpoint long enough for another?"""
        return (
            self.unsaved_bytes > CHECKPOINT_BYTES
            and self.canvas is not None
            and self.unsaved_bytes > self.canvas.bytes_used // 2
        )

    # ------------------------------------------------------------ drawing
    def permit(self, membership: Membership, packet: bytes, now: float) -> bool:
        """Raises Stale when it is not this member's turn to draw.

        packet: conforms to its layout and carries the member's name. Returns whether positions in
        it may have changed since it was sent, for `attempt`.
        """
        if not self.lets_draw(membership.name):
            raise Stale("it is not your turn to draw")
        return PACKETS[packet[2]].indices and self.staleness.is_doubtful(membership, now)

    def attempt(self, packet: bytes, doubtful: bool) -> tuple[Applied, bool]:
        """Apply a packet that was permitted; also says whether its sender is to be resynced.

        doubtful: positions in it may be stale: then it counts only if its author holds everything
        that it names, or if it is an INSERT_STROKE, which destroys nothing. Raises Refused, Stale.
        """
        resync = doubtful and not self.loaded.only_held(packet)
        if resync and packet[2] != INSERT_STROKE.id:
            raise Stale("positions have changed since this packet was sent")
        canvas = self.loaded
        if self.undo is not None and isinstance(canvas, StrokeCanvas):
            return self.undo.apply(canvas, packet), resync
        return canvas.apply(packet), resync

    def take_back(self, name: str, redo: bool, date: int) -> list[bytes]:
        """Undo this person's last gesture, or redo it: packets for everybody. Raises Refused."""
        canvas = self.loaded
        if self.undo is None or not isinstance(canvas, StrokeCanvas):
            raise Refused("only strokes can be undone")
        return self.undo.take_back(canvas, name, redo, date)

    def take_back_cost(self, name: str, redo: bool) -> int:
        """About how many nanoseconds that takes."""
        canvas = self.canvas
        if self.undo is None or not isinstance(canvas, StrokeCanvas):
            return 0
        return self.undo.cost(canvas, name, redo)

    def publish_taken_back(self, packets: list[bytes], now: float) -> None:
        """Log what has taken something back, and put it before everybody, who asked for it too."""
        if packets:
            told = b"".join(packets)
            self.append(told)
            self.broadcast.publish(told)
            self.staleness.shifted("", now)
            self.weigh()
            self.active(now)

    def add_strokes(
        self, membership: Membership, packets: list[bytes], start: int, now: float
    ) -> int:
        """Apply and publish the ADD_STROKE packets that stand at packets[start:] together.

        Returns how many it took, RUN_MAX at most; 0: apply them one by one.
        """
        canvas = self.canvas
        if not isinstance(canvas, StrokeCanvas) or self.allowed_authors is not None:
            return 0
        name, first = membership.name_bytes, len(canvas.strokes)
        accepted = CODEC.accept(packets, start, start + RUN_MAX, ADD_STROKE.id, name, first)
        if not accepted or not canvas.add_all(accepted):
            return 0
        if self.undo is not None:
            self.undo.added(membership.name, accepted)
        joined = accepted[0] if len(accepted) == 1 else b"".join(accepted)
        self.append(joined)
        self.broadcast.publish(joined, membership.send_queue)
        if now - self._active_at > ACTIVITY_S:
            self.active(now)
        return len(accepted)

    def publish_applied(
        self, applied: Applied, membership: Membership, kind: Packet, now: float
    ) -> None:
        """The canvas has accepted a packet: log it and put it before the others."""
        if now - self._active_at > ACTIVITY_S:
            self.active(now)
        if applied.packet:
            self.append(applied.packet)
            self.broadcast.publish(applied.packet, membership.send_queue)
            if kind.shifts:
                self.staleness.shifted(membership.name, now)
            if kind.coalescing is Coalescing.BARRIER:
                self.weigh()
        if applied.correction and not membership.member.extended:
            membership.member.send(applied.correction)

    def released(self, told: bytes) -> None:
        """A leaving member's selection has ended: tell the others in that member's name."""
        self.weigh()
        if told:
            self.append(told)
            self.broadcast.publish(told)

    def snapshot(self, date: int) -> list[bytes]:
        """The state as packets; made once for each state, and shared by all who need it."""
        if self._snapshot is None or self._snapshot[0] != self.seq:
            self._snapshot = (self.seq, self.loaded.snapshot(date))
        return self._snapshot[1]

    @property
    def kept_snapshot(self) -> list[bytes] | None:
        """The snapshot that is there, of whatever state."""
        return self._snapshot[1] if self._snapshot is not None else None

    def forget_snapshot(self) -> None:
        """Give back the memory of what is kept for the next snapshot."""
        self._snapshot = None
        if self.canvas is not None:
            self.canvas.forget_snapshot()

    @property
    def joining_growth(self) -> int:
        """About how much memory it takes to have somebody join.

        For a drawing that has not been in memory since the server started, that is not known: 0.
        """
        if self.canvas is None:
            return 2 * self.memory_used
        return self.canvas.snapshot_growth if self.snapshot_cost else 0

    @property
    def snapshot_cost(self) -> int:
        """About how many nanoseconds `snapshot` takes; nothing when the snapshot is there."""
        if self._snapshot is not None and self._snapshot[0] == self.seq:
            return 0
        return self.loaded.snapshot_cost

    def repainted(self) -> None:
        """The canvas is another, by no packet: what was made of it does not hold any more."""
        self._snapshot = None
        self.repaints += 1

    # ------------------------------------------------------------ one at a time at the canvas
    def when_free(self, call: Callable[[float], None], now: float) -> None:
        """Make this call when the canvas may be touched: now, or after what came before."""
        if self.busy or self.deferred:
            self.deferred.append(call)
        else:
            call(now)

    def begin_work(self) -> None:
        """The canvas is being worked on elsewhere."""
        self.busy = True

    def end_work(self, call: Callable[[float], None]) -> None:
        """It may be touched again, by this call before all others: see `next_deferred`."""
        self.busy = False
        self.deferred.insert(0, call)

    def next_deferred(self) -> Callable[[float], None] | None:
        """The call to be made now of those that wait for the canvas."""
        return self.deferred.pop(0) if self.deferred and not self.busy else None

    def wait(self, member: Member) -> None:
        """Have a member's session go on when the canvas may be touched."""
        member.wait()
        self.waiters.append(member)

    def next_waiter(self, now: float) -> Member | None:
        """Who has waited longest for the canvas of those who have not given it much to do lately.

        Whoever goes on may at once keep it busy again, and then waits behind all others.
        """
        if self.busy or not self.waiters:
            return None
        light = (at for at, member in enumerate(self.waiters) if not is_heavy(member, now))
        return self.waiters.pop(next(light, 0))

    # ------------------------------------------------------------ in memory and in the store
    def load(self, canvas: AnyCanvas) -> None:
        """The drawing is in memory now."""
        self.canvas = canvas
        if self.undo is not None and isinstance(canvas, StrokeCanvas):
            self.undo.unpark(canvas)
        self.weigh()

    def unload(self) -> None:
        """Forget the canvas: the store has it."""
        if self.undo is not None and isinstance(self.canvas, StrokeCanvas):
            self.undo.park(self.canvas)
        self.canvas = None
        self.weigh()
        self._snapshot = None
        self.staleness.clear()
        self._presence = None

    def stored_up_to(self, seq: int) -> None:
        """The store has the drawing as it was at this number; nothing else is known of it."""
        self.seq = self.saved_seq = seq

    @property
    def saving(self) -> bool:
        """Is the store keeping the drawing at the moment?"""
        return self.keeping in _END

    @property
    def removed(self) -> bool:
        """Has the log ended?"""
        return self.keeping in (Keeping.ENDING, Keeping.REMOVED)

    def begin_saving(self) -> bool:
        """Have it stored; False when that is being done, or the drawing is no more."""
        if self.keeping not in _BEGIN:
            return False
        self.keeping = _BEGIN[self.keeping]
        return True

    def dumped(self) -> None:
        """A checkpoint is being made of the canvas as it is now."""
        self.unsaved_bytes = 0
        self.weigh()

    def end_saving(self) -> None:
        """The store has kept it, or could not; see `saved`."""
        self.keeping = _END.get(self.keeping, self.keeping)

    def saved(self, seq: int, batch: int) -> None:
        """The store has the drawing as it was at this number.

        batch: the first of the journal that may have what came later.
        """
        self.saved_seq = seq
        self.need_journal(None if self.seq == seq else batch)

    # ------------------------------------------------------------ people
    @property
    def presence(self) -> Presence:
        """Who is here, as those with the extension are told."""
        if self._presence is None:
            self._presence = Presence(self._flush_set)
        return self._presence

    def can_undo(self, name: str, _now: float) -> None:
        """Note from now on what this member does."""
        if isinstance(self.canvas, StrokeCanvas):
            self.undo = self.undo or UndoHistory()
            self.undo.came(name)

    def expire_undo(self, now: float) -> None:
        """Forget what those have done who have been away for long."""
        if self.undo is not None:
            self.undo.expire(now)
            if self.undo.empty:
                self.undo = None
            self.weigh()

    def lets_draw(self, name: str) -> bool:
        """May this member draw, as far as a game says?"""
        return self.allowed_authors is None or name in self.allowed_authors

    @property
    def frozen(self) -> bool:
        """Does everybody wait for somebody to load the canvas?"""
        return bool(self.waited_for)

    def await_loading(self, membership: Membership) -> None:
        """Everybody waits until this newcomer has loaded the canvas."""
        self.waited_for.add(membership)

    def stop_awaiting(self, membership: Membership) -> None:
        """Nobody waits for them any more."""
        self.waited_for.discard(membership)

    def let_draw(self, allowed_authors: frozenset[str] | None) -> None:
        """Only these may draw from now on; None: all members."""
        self.allowed_authors = allowed_authors

    def active(self, now: float) -> None:
        """Somebody draws."""
        self._active_at = now
        if self._observer is not None:
            self._observer.touched(self, now)

    def add_member(self, membership: Membership) -> None:
        """Somebody has come."""
        self.members[membership.name] = membership
        self._changed()

    def remove_member(self, membership: Membership) -> None:
        """Somebody has left."""
        del self.members[membership.name]
        self.waited_for.discard(membership)
        self._changed()

    def _changed(self) -> None:
        if self._observer is not None:
            self._observer.changed(self)


def empty_canvas(mode: Mode) -> AnyCanvas:
    """A new canvas of 1280 × 720."""
    return PixelCanvas() if mode is Mode.PIXEL else StrokeCanvas()


def empty_bytes(mode: Mode) -> int:
    """About how much memory a new canvas takes."""
    return int(PIXEL_BYTES * LENGTH * WIDTH) if mode is Mode.PIXEL else 0
