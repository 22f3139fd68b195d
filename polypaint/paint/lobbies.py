"""Lobbies: who may enter, who is inside, and one ordered log of what happened to the drawing.

A lobby's drawing is a function of its log: restart, late join and resync are readings of it. The
log's records are packets: LOBBY_CREATION first, then drawing packets as they were accepted,
LOBBY_INFO_CHANGE with the passcode, and what the server sent in the name of members who left.

Must never import a session or do I/O. Counterparts: `service.py` moves people, `store` keeps.
Protocol: docs/protocol.md, sections 5, 6, 9.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import orjson

from polypaint import _codec
from polypaint._codec import Broadcast, FlushSet, SendQueue
from polypaint.engine.journal_buffer import RECORD, JournalBuffer
from polypaint.engine.memory import Kind, Memory
from polypaint.errors import ProtocolError, Refused, Stale, StoreError
from polypaint.identity.accounts import is_clean
from polypaint.paint import packets
from polypaint.paint.canvas import LENGTH, WIDTH, Applied, Canvas
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
from polypaint.paint.strokes import StrokeCanvas

FILENAME_BYTES_MAX: Final = 128
PASSCODE_BYTES_MAX: Final = 1024
MODE_BYTES_MAX: Final = 64
STRICTNESS: Final = {"public": 0, "protected": 1, "private": 2}
RUN_MAX: Final = 256
"""Strokes that are taken together."""
WINDOW_S_MIN: Final = 0.05
ACTIVITY_S: Final = 0.5
"""How often a list of lobbies is told that somebody draws."""
HELD_MAX: Final = 256
"""Packets that one frozen client may have waiting."""
HELD_BYTES_MAX: Final = 4 << 20
"""Their bytes."""
WEIGH_BYTES: Final = 256 << 10
"""How much is logged until the canvas is weighed again."""
CHECKPOINT_BYTES: Final = 8 << 20
"""A drawing is stored again when its log since the last time is longer than this."""


@dataclass(frozen=True, slots=True)
class LobbyRules:
    """What the creator says of a lobby. mode: the literal, which only `drawing_mode` reads."""

    filename: str
    owner: str
    mode: str
    protection: str
    passcode: str

    @classmethod
    def of(cls, values: dict[str, str]) -> "LobbyRules":
        """From the five keys of LOBBY_CREATION. Raises ProtocolError."""
        info = cls(*(values[key] for key in packets.LOBBY_KEYS))
        if not is_clean(info.filename, FILENAME_BYTES_MAX) or ";" in info.filename:
            raise ProtocolError(f"Filename is not 1-{FILENAME_BYTES_MAX} bytes of plain text")
        if not 0 < len(info.mode.encode()) <= MODE_BYTES_MAX:
            raise ProtocolError(f"Mode is not 1-{MODE_BYTES_MAX} bytes")
        return info.protected(info.protection, info.passcode)

    def protected(self, protection: str, passcode: str) -> "LobbyRules":
        """The same under another protection. Raises ProtocolError."""
        if protection not in STRICTNESS:
            raise ProtocolError("Protection is none of public, protected, private")
        if protection == "protected" and not passcode:
            raise ProtocolError("a protected lobby needs a Passcode")
        if len(passcode.encode()) > PASSCODE_BYTES_MAX:
            raise ProtocolError(f"Passcode is longer than {PASSCODE_BYTES_MAX} bytes")
        return replace(self, protection=protection, passcode=passcode)

    @property
    def drawing_mode(self) -> Mode:
        """Contains `pix`, in any case → pixel; anything else → stroke."""
        return Mode.PIXEL if "pix" in self.mode.casefold() else Mode.STROKE

    def admits(self, name: str, passcode: str) -> bool:
        """May this account enter with this passcode?"""
        return (
            name == self.owner
            or self.protection == "public"
            or (self.protection == "protected" and passcode == self.passcode)
        )

    def is_known_to(self, name: str) -> bool:
        """May this account (empty: nobody's) know that there is this lobby?"""
        return self.protection != "private" or name == self.owner

    @property
    def sole_viewer(self) -> str:
        """Who alone sees from outside who is in it; empty: everybody does."""
        return "" if self.protection == "public" else self.owner

    def locks_out(self, before: "LobbyRules") -> bool:
        """Must those leave who came in under the rules before?"""
        return STRICTNESS[self.protection] > STRICTNESS[before.protection] or (
            self.protection == before.protection == "protected"
            and self.passcode != before.passcode
        )

    def json(self, show_passcode: bool = False) -> dict[str, str]:
        """The five keys; the passcode blank unless it is to be shown."""
        values = (self.filename, self.owner, self.mode, self.protection, self.passcode)
        return dict(zip(packets.LOBBY_KEYS, values, strict=True)) | (
            {} if show_passcode else {"Passcode": ""}
        )

    @property
    def settled(self) -> dict[str, str]:
        """The four keys of LOBBY_INFO_CHANGE."""
        values = self.json(show_passcode=True)
        return {key: values[key] for key in packets.INFO_KEYS}


class Guest(Hashable, Protocol):
    """Who can be in a lobby, as lobbies see it."""

    send_queue: SendQueue
    name: str
    name_bytes: bytes

    @property
    def extended(self) -> bool:
        """Has this connection asked for the extension?"""

    def window_s(self) -> float:
        """How long after an index-shifting packet an index of theirs may be stale."""

    @property
    def backlogged_at(self) -> float | None:
        """Since when their connection takes no bytes."""


@dataclass(slots=True, eq=False)
class Member:
    """A guest in a lobby.

    shifted_at: when they were last sent a replay; loading: replays that they have not confirmed;
    confirming: nor that it came in mid-session; behind: they drew before they confirmed, so they
    need another; again: they need another as soon as this one is on its way; short: what they drew
    while frozen was too much, so they need another when they thaw; warned_at: when they were last
    told that there is no memory.
    """

    guest: Guest
    shifted_at: float = float("-inf")
    loading: int = 0
    confirming: bool = False
    behind: bool = False
    again: bool = False
    short: bool = False
    warned_at: float = float("-inf")


class Lobby:
    """One drawing and the people at it. canvas: None while the drawing is only in the store."""

    def __init__(
        self,
        number: int,
        info: LobbyRules,
        log: JournalBuffer,
        turn: FlushSet,
        memory: Memory | None = None,
    ) -> None:
        self.number = number
        self.info = info
        self.canvas: Canvas | None = None
        self.members: dict[str, Member] = {}
        self.broadcast = Broadcast(turn)
        self._flush_set = turn
        self._presence: Presence | None = None
        self.seq = 0
        self.on_change: Callable[[Lobby], None] = _nobody
        """Called when its members or its rules have changed."""
        self.on_activity: Callable[[Lobby], None] = _nobody
        """Called when somebody draws, at most every ACTIVITY_S."""
        self.on_unsaved: Callable[[Lobby, int], None] = _ignore
        """Called when the journal has to keep its log, with the first batch that it needs."""
        self._active_at = float("-inf")
        self.saving = False
        self.saved_seq = -1
        self.unsaved_from: int | None = None
        self.unsaved_bytes = 0
        self.held: deque[tuple[Guest, bytes]] = deque()
        self.waited_for: set[Member] = set()
        self.busy = False
        """Is its canvas being worked on elsewhere? Nobody may touch it then."""
        self.deferred: list[Callable[[float], None]] = []
        self.waiters: list[Guest] = []
        self.allowed_authors: frozenset[str] | None = None
        """Who alone may draw, for as long as a game says so; None: all members."""
        self.removed = False
        self.repaints = 0
        """How often the canvas became another one without a change of `seq`."""
        self.memory_used = 0
        """Of the canvas, when it was last weighed; it is kept when the canvas is unloaded."""
        self.above_low_mark = False
        """Would a snapshot take more memory than there is? Then growth is looked at closely."""
        self._log = log
        self._memory = memory or Memory()
        self._counted: dict[Kind, int] = {"canvases": 0, "selections": 0}
        self._weigh_at = WEIGH_BYTES
        self._held_by: dict[Guest, tuple[int, int]] = {}
        self._shifts: list[tuple[str, float]] = []
        self._snapshot: tuple[int, list[bytes]] | None = None

    # ------------------------------------------------------------ the log
    def record(self, packet: bytes) -> None:
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
        if batch is not None:
            self.on_unsaved(self, batch)

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
        self.above_low_mark = self._memory.lacks(self.joining_growth, used) > 0

    def _count(self, kind: Kind, now: int) -> None:
        if now != self._counted[kind]:
            self._memory.change(kind, now - self._counted[kind])
            self._counted[kind] = now

    def found(self, date: int) -> None:
        """Begin the log of a new lobby with an empty canvas."""
        self.canvas = empty_canvas(self.info.drawing_mode)
        self.weigh()
        text = orjson.dumps(self.info.json(show_passcode=True)).decode()
        self.record(LOBBY_CREATION.encode_request(date, self.info.owner.encode(), text))

    def change_info(self, info: LobbyRules, date: int) -> None:
        """Other rules of entry."""
        self.info = info
        self.on_change(self)
        text = orjson.dumps(info.settled).decode()
        name = info.owner.encode()
        self.record(LOBBY_INFO_CHANGE.encode_request(date, name, text))

    def end(self, date: int, reason: str) -> bytes:
        """End the log: the drawing is to be forgotten. Returns what its members are told."""
        self.removed = True
        told = LOBBY_PLAYER_KICK.encode_reply(date, reason)
        self.record(told)
        return told

    def wipe(self, date: int) -> None:
        """Clear the canvas in the owner's name, before everybody."""
        packet = RESET_CANVAS.encode_request(date, self.info.owner.encode())
        applied = self.loaded.apply(packet)
        self.record(applied.packet)
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
                self.removed = True
            elif packet[2] == LOBBY_INFO_CHANGE.id:
                values = LOBBY_INFO_CHANGE.decode_object(packet)
                self.info = self.info.protected(values["Protection"], values["Passcode"])
            else:
                self.loaded.replay(packet)

    def run_effects(self, date: int) -> None:
        """End all selections: nobody is here any more to do it (after a killed server)."""
        for author in self.loaded.authors():
            self.loaded.release(author, date)

    @property
    def loaded(self) -> Canvas:
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
    def permit(self, member: Member, packet: bytes, now: float) -> bool:
        """Raises Stale when it is not this member's turn to draw.

        packet: conforms to its layout and carries the member's name. Returns whether positions in
        it may have changed since it was sent, for `attempt`.
        """
        if not self.lets_draw(member.guest.name):
            raise Stale("it is not your turn to draw")
        return PACKETS[packet[2]].indices and self._maybe_stale(member, now)

    def attempt(self, packet: bytes, doubtful: bool) -> tuple[Applied, bool]:
        """Apply a packet that was permitted; also says whether its sender is to be resynced.

        doubtful: positions in it may be stale: then it counts only if its author holds everything
        that it names, or if it is an INSERT_STROKE, which destroys nothing. Raises Refused, Stale.
        """
        resync = doubtful and not self.loaded.only_held(packet)
        if resync and packet[2] != INSERT_STROKE.id:
            raise Stale("positions have changed since this packet was sent")
        return self.loaded.apply(packet), resync

    def when_free(self, call: Callable[[float], None], now: float) -> None:
        """Make this call when the canvas may be touched: now, or after what came before."""
        if self.busy or self.deferred:
            self.deferred.append(call)
        else:
            call(now)

    def add_strokes(self, member: Member, packets: list[bytes], start: int, now: float) -> int:
        """`draw` for the ADD_STROKE packets that stand at packets[start:] together.

        Returns how many it took, RUN_MAX at most; 0: use `draw`.
        """
        canvas = self.canvas
        if not isinstance(canvas, StrokeCanvas) or self.allowed_authors is not None:
            return 0
        guest = member.guest
        accepted = CODEC.accept(
            packets, start, start + RUN_MAX, ADD_STROKE.id, guest.name_bytes, len(canvas.strokes)
        )
        if not accepted or not canvas.add_all(accepted):
            return 0
        joined = accepted[0] if len(accepted) == 1 else b"".join(accepted)
        self.record(joined)
        self.broadcast.publish(joined, guest.send_queue)
        if now - self._active_at > ACTIVITY_S:
            self.active(now)
        return len(accepted)

    def tell(self, applied: Applied, member: Member, kind: Packet, now: float) -> None:
        """The canvas has accepted a packet: record it and put it before the others."""
        if now - self._active_at > ACTIVITY_S:
            self.active(now)
        if applied.packet:
            self.record(applied.packet)
            self.broadcast.publish(applied.packet, member.guest.send_queue)
            if kind.shifts:
                self._shifted(member.guest.name, now)
            if kind.coalescing is Coalescing.BARRIER:
                self.weigh()
        if applied.correction:
            member.guest.send_queue.push(applied.correction)

    def released(self, told: bytes) -> None:
        """A leaving member's selection has ended: tell the others in that member's name."""
        self.weigh()
        if told:
            self.record(told)
            self.broadcast.publish(told)

    def _shifted(self, name: str, now: float) -> None:
        """Remember the last shift, and the last one by anybody else than its author."""
        self._shifts = [(name, now), *(s for s in self._shifts if s[0] != name)][:2]

    def shifted_at(self, member: Member) -> float:
        """When this member was last sent something that shifts positions."""
        others = (at for name, at in self._shifts if name != member.guest.name)
        return max(member.shifted_at, next(others, float("-inf")))

    def _maybe_stale(self, member: Member, now: float) -> bool:
        """Could the member have sent this before it knew of the last shift? (section 5)"""
        shifted_at = self.shifted_at(member)
        window = max(member.guest.window_s(), WINDOW_S_MIN)
        since = member.guest.backlogged_at
        if since is not None and shifted_at > since - window:
            return True
        return now - shifted_at < window or not member.guest.send_queue.attached

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
        """See `canvas.Canvas.snapshot_cost`; nothing when the snapshot is there."""
        if self._snapshot is not None and self._snapshot[0] == self.seq:
            return 0
        return self.loaded.snapshot_cost

    def repainted(self) -> None:
        """The canvas is another, by no packet: what was made of it does not hold any more."""
        self._snapshot = None
        self.repaints += 1

    # ------------------------------------------------------------ packets that wait
    def hold(self, guest: Guest, packet: bytes, drawn: bool = True) -> None:
        """Keep a packet until everybody may draw again. Raises Refused when it is too much.

        drawn: False if it is not drawing, but something that has to be answered or counted behind
        what was drawn: it has as much room again.
        """
        count, size = self._held_by.get(guest, (0, 0))
        room = 1 if drawn else 2
        if count >= room * HELD_MAX or size + len(packet) > room * HELD_BYTES_MAX:
            raise Refused(f"frozen, and {count} packets of {size} bytes are waiting already")
        if drawn and self._memory.lacks(len(packet), size):
            raise Refused("frozen, and there is no memory for what waits")
        self.held.append((guest, packet))
        self._hold(guest, 1, len(packet))

    def holds(self, guest: Guest) -> bool:
        """Do packets of this guest wait?"""
        return guest in self._held_by

    def next_held(self) -> tuple[Guest, bytes]:
        """The packet that has waited longest; it does not wait any more."""
        guest, packet = self.held.popleft()
        self._hold(guest, -1, -len(packet))
        return guest, packet

    def forget_held(self, guest: Guest) -> None:
        """Drop what waits of a guest who was put out."""
        if guest in self._held_by:
            self._hold(guest, *(-by for by in self._held_by[guest]))
            self.held = deque(entry for entry in self.held if entry[0] is not guest)

    def _hold(self, guest: Guest, packets: int, size: int) -> None:
        count, before = self._held_by.pop(guest, (0, 0))
        if count + packets:
            self._held_by[guest] = (count + packets, before + size)
        self._memory.change("held", size)

    # ------------------------------------------------------------ people
    @property
    def presence(self) -> Presence:
        """Who is here, as those with the extension are told."""
        if self._presence is None:
            self._presence = Presence(self._flush_set)
        return self._presence

    def lets_draw(self, name: str) -> bool:
        """May this member draw, as far as a game says?"""
        return self.allowed_authors is None or name in self.allowed_authors

    @property
    def frozen(self) -> bool:
        """Does everybody wait for somebody to load the canvas?"""
        return bool(self.waited_for)

    def active(self, now: float) -> None:
        """Somebody draws."""
        self._active_at = now
        self.on_activity(self)

    def add_member(self, member: Member) -> None:
        """Somebody has come."""
        self.members[member.guest.name] = member
        self.on_change(self)

    def remove_member(self, member: Member) -> None:
        """Somebody has left."""
        del self.members[member.guest.name]
        self.waited_for.discard(member)
        self.on_change(self)

    def unload(self) -> None:
        """Forget the canvas: the store has it."""
        self.canvas = None
        self.weigh()
        self._snapshot = None
        self._shifts = []
        self._presence = None


def _nobody(_lobby: Lobby) -> None:
    """Whom a lobby tells that nobody lists."""


def _ignore(_lobby: Lobby, _batch: int) -> None:
    """The same."""


def empty_canvas(mode: Mode) -> Canvas:
    """A new canvas of 1280 × 720."""
    return PixelCanvas() if mode is Mode.PIXEL else StrokeCanvas()


def empty_bytes(mode: Mode) -> int:
    """About how much memory a new canvas takes."""
    return int(PIXEL_BYTES * LENGTH * WIDTH) if mode is Mode.PIXEL else 0
