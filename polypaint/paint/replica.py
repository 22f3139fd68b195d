"""A client's copy of a lobby's canvas, without I/O: it ends up equal to the server's, always.

The wire tells a client nothing about its own packets. So every packet of one's own stands between
two fences: a fence is a LOBBY_CONNECT to the lobby that one is in, which the server answers
CONNECTED and does nothing else. Answers stand in one order with what the others draw, so they show
where the server has put the packet; there it is applied here too. When somebody else's packet
falls between the two, and it matters, the replica leaves and comes back: the canvas comes anew.

FETCH_DATABASE begins a replay: the canvas is cleared and taken from what follows. A packet that
was under way meanwhile is in that replay, or in the next one, which the server sends when the
confirmation comes to it later than the packet.

Must never do I/O. Counterparts: `client.py` brings the bytes; `lobbies.py` is the other end.
Protocol: docs/protocol.md, sections 5, 6.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

import orjson

from polypaint import _codec
from polypaint.errors import Refused
from polypaint.paint.lobby import AnyCanvas, empty_canvas
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.packets import (
    ADD_STROKE,
    FETCH_DATABASE,
    LOBBY_CONNECT,
    LOBBY_DISCONNECT,
    LOBBY_FREEZE_STATE,
    PACKETS,
    RESIZE_CANVAS_INT,
    Mode,
    decode,
)

CONNECTED: Final = 1


class Outcome(Enum):
    """What became of a packet of one's own."""

    APPLIED = auto()
    REFUSED = auto()
    RESYNCED = auto()
    """The canvas came anew while the packet was under way; it shows whether it counted."""


@dataclass(slots=True, eq=False)
class Own:
    """A drawing packet of one's own.

    shifts: how often others had shifted positions when it was made; sent: the server may have it;
    absorbed: a replay has it, or it was not accepted.
    """

    packet: bytes
    shifts: int = 0
    sent: bool = False
    absorbed: bool = False
    done: bool = False
    outcome: Outcome | None = None
    reason: str = ""


class _Answer(Enum):
    """What a CONNECTED that is still to come will mean."""

    JOINED = auto()
    SETTLED = auto()
    BEFORE = auto()
    AFTER = auto()


@dataclass(slots=True, eq=False)
class Replica:
    """A copy that converges. Read `canvas`; `draw`, `receive`, send what `data_to_send` gives.

    frozen: the server asks to wait; what is drawn meanwhile is sent later. loaded: the canvas is
    there. version: grows with every change of the canvas.
    """

    name: bytes
    info: LobbyRules
    date: int = 0
    canvas: AnyCanvas = field(init=False)
    frozen: bool = False
    loaded: bool = True
    version: int = 0
    doubtful: bool = False
    _answers: deque[_Answer] = field(default_factory=deque)
    _waiting: deque[Own] = field(default_factory=deque)
    _pending: deque[Own] = field(default_factory=deque)
    _out: list[bytes] = field(default_factory=list)
    _finished: list[Own] = field(default_factory=list)
    _fresh: bool = False
    _shifts: int = 0

    def __post_init__(self) -> None:
        self.canvas = empty_canvas(self.info.drawing_mode)

    # ------------------------------------------------------------ what the owner does
    def draw(self, packet: bytes) -> Own:
        """Draw: a whole packet that conforms, under one's own name. It comes out of `finished`.

        Positions in it are those of `canvas` now, and of the packets drawn before it.
        """
        own = Own(packet, self._shifts)
        self._waiting.append(own)
        self._send_waiting()
        return own

    def data_to_send(self) -> bytes:
        """Whole packets to send now."""
        out, self._out = self._out, []
        return b"".join(out)

    def finished(self) -> list[Own]:
        """Packets of one's own whose outcome is known now."""
        finished, self._finished = self._finished, []
        return finished

    def expect_join(self) -> None:
        """A LOBBY_CONNECT has been sent for this lobby by its owner: the canvas will come."""
        self._answers.append(_Answer.JOINED)
        self.loaded = False

    @property
    def settled(self) -> bool:
        """Is nothing under way, in either direction, as far as can be known?"""
        return not (self._answers or self._waiting or self._pending or self.doubtful)

    @property
    def answers(self) -> int:
        """How many CONNECTED are still to come for this replica."""
        return len(self._answers)

    # ------------------------------------------------------------ what the server says
    def receive(self, packet: bytes) -> None:
        """A drawing packet, FREEZE, FETCH_DATABASE, or a CONNECTED that was expected."""
        kind = PACKETS[packet[2]]
        if kind.relayed:
            self._relayed(packet)
        elif kind is LOBBY_FREEZE_STATE:
            self.frozen = decode(packet, True)[0] == 1
        elif kind is FETCH_DATABASE:
            self._cleared()
        elif kind is LOBBY_CONNECT:
            self._answered(self._answers.popleft())
        if self.doubtful and self.loaded and not self._answers:
            self._out.append(LOBBY_DISCONNECT.encode_request(self.date, self.name))
            self._fence(_Answer.JOINED)
            self.loaded = False
        self._send_waiting()

    def _relayed(self, packet: bytes) -> None:
        if self._fresh:  # a replay begins with the size, which shows the mode (section 6)
            self._fresh = False
            mode = Mode.PIXEL if PACKETS[packet[2]] is RESIZE_CANVAS_INT else Mode.STROKE
            if mode is not self.canvas.mode:
                self.canvas = empty_canvas(mode)
        own = self._under_way()
        if own is not None:
            if not (_is_add(own.packet) and _is_add(packet)):
                self.doubtful = True
            elif decode(packet)[0] > self._count():
                self._apply_own(own)
        self._shifts += PACKETS[packet[2]].shifts
        self._apply(packet)

    def _under_way(self) -> Own | None:
        """The packet of one's own that the server may or may not have applied by now."""
        if self._answers and self._answers[0] is _Answer.AFTER:
            own = self._pending[0]
            return None if own.absorbed or own.done else own
        return None

    def _apply(self, packet: bytes) -> None:
        try:
            self.canvas.apply(packet)
        except Refused:
            self.doubtful = True
        self.version += 1

    def _count(self) -> int:
        return len(getattr(self.canvas, "strokes", ()))

    def _cleared(self) -> None:
        """The canvas comes anew: confirm at once, and draw nothing before that has been heard."""
        self.canvas.clear()
        self._fresh = True
        self._shifts += 1
        self.loaded = True
        self.version += 1
        self.doubtful = False
        for own in self._pending:
            own.absorbed = True
        self._out.append(FETCH_DATABASE.encode_request(self.date, self.name))
        self._fence(_Answer.SETTLED)

    def _answered(self, answer: _Answer) -> None:
        if answer is _Answer.AFTER:
            own = self._pending.popleft()
            if not own.absorbed and not own.done:
                self._apply_own(own)
            own.outcome = own.outcome or Outcome.RESYNCED
            self._finished.append(own)

    def _apply_own(self, own: Own) -> None:
        """Here is where the server has applied this packet."""
        own.done = True
        try:
            applied = self.canvas.apply(own.packet)
        except Refused as refusal:
            own.outcome, own.reason = Outcome.REFUSED, str(refusal)
            return
        for packet in _codec.split(applied.correction):
            own.reason = f"not granted: {PACKETS[packet[2]].name}"
        own.outcome = Outcome.APPLIED
        self.version += 1

    # ------------------------------------------------------------ sending
    def _send_waiting(self) -> None:
        if self.frozen or self.doubtful or not self.loaded or _Answer.SETTLED in self._answers:
            return
        if self._waiting:
            self._fence(_Answer.BEFORE)
        while self._waiting:
            own = self._waiting.popleft()
            if PACKETS[own.packet[2]].indices and own.shifts != self._shifts:
                own.outcome, own.reason = Outcome.REFUSED, "positions have changed meanwhile"
                self._finished.append(own)
                continue
            own.sent = True
            self._pending.append(own)
            self._out.append(own.packet)
            self._fence(_Answer.AFTER)

    def _fence(self, answer: _Answer) -> None:
        text = orjson.dumps(self.info.json(show_passcode=True)).decode()
        self._out.append(LOBBY_CONNECT.encode_request(self.date, self.name, text))
        self._answers.append(answer)


def _is_add(packet: bytes) -> bool:
    return packet[2] == ADD_STROKE.id
