"""Strokes that come from a file: drawn in somebody's name, as if they had drawn them just now.

They are taken in pieces, so that others draw in between. Must never parse a file. Counterparts:
`lobby.py` applies and publishes; the HTTP API reads files.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from polypaint.engine.budget import ENTRY
from polypaint.engine.context import Context
from polypaint.errors import Refused
from polypaint.paint.attendance import Attendance
from polypaint.paint.checkpoints import Checkpoints
from polypaint.paint.late_join import LateJoin
from polypaint.paint.lobby import Lobby
from polypaint.paint.replays import Replays
from polypaint.paint.replies import NO_MEMORY

PIECE: Final = 256
"""Strokes that are taken together."""
PIECE_S: Final = 0.01
"""From one piece to the next."""
NOT_NOW: Final = "Nobody can draw here just now; try again later."


class Imports:
    """See the module."""

    def __init__(
        self,
        context: Context,
        attendance: Attendance,
        checkpoints: Checkpoints,
        late_join: LateJoin,
        replays: Replays,
    ) -> None:
        self._context = context
        self._attendance = attendance
        self._checkpoints = checkpoints
        self._late_join = late_join
        self._replays = replays

    def add_strokes(
        self,
        lobby: Lobby,
        author: str,
        packets: list[bytes],
        then: Callable[[str], None],
        now: float,
    ) -> None:
        """Draw ADD_STROKE packets that conform and carry the author's name.

        `then(reason)` when that is done; reason: why not all of them count, or empty.
        """
        self._draw(lobby, author, packets, 0, then, now)

    def _draw(
        self,
        lobby: Lobby,
        author: str,
        packets: list[bytes],
        start: int,
        then: Callable[[str], None],
        now: float,
    ) -> None:
        go_on = partial(self._draw, lobby, author, packets, start, then)
        if lobby.busy:
            lobby.when_free(go_on, now)
            return
        if lobby.canvas is None and not lobby.removed:
            self._checkpoints.load(lobby, partial(self._loaded, lobby, go_on, then))
            return
        reason = self._obstacle(lobby, author, packets[start : start + PIECE])
        if not reason:
            reason = self._draw_piece(lobby, author, packets[start : start + PIECE], now)
        if reason or start + PIECE >= len(packets):
            self._end(lobby, author, now)
            then(reason)
            return
        rest = partial(self._draw, lobby, author, packets, start + PIECE, then)
        self._context.timers.at(now + PIECE_S, rest)

    def _loaded(
        self, lobby: Lobby, go_on: Callable[[float], None], then: Callable[[str], None], now: float
    ) -> None:
        """The canvas is there, or cannot be had."""
        if lobby.canvas is None:
            then(NOT_NOW)
        else:
            go_on(now)

    def _obstacle(self, lobby: Lobby, author: str, packets: list[bytes]) -> str:
        if lobby.removed:
            return "There is no such drawing any more."
        if lobby.frozen or self._context.read_only or not lobby.lets_draw(author):
            return NOT_NOW
        growth = sum(map(len, packets)) + lobby.joining_growth
        room = self._replays.has_room(growth, lobby.memory_used, keep=lobby)
        return "" if room else NO_MEMORY

    def _draw_piece(self, lobby: Lobby, author: str, packets: list[bytes], now: float) -> str:
        membership = lobby.members.get(author)
        sender = membership.send_queue if membership is not None else None
        self._context.flush_set.spent += ENTRY * len(packets)
        lobby.active(now)
        for packet in packets:
            try:
                applied = lobby.loaded.apply(packet)
            except Refused as error:
                return str(error)
            lobby.append(applied.packet)
            lobby.broadcast.publish(applied.packet, sender)
        return ""

    def _end(self, lobby: Lobby, author: str, now: float) -> None:
        """The author's own client has drawn none of it: it is shown the canvas."""
        if lobby.removed:
            return
        lobby.weigh()
        membership = lobby.members.get(author)
        if membership is not None:
            self._late_join.resync(membership, now)
        if lobby.needs_saving:
            self._checkpoints.save(lobby, now)
        if not lobby.members:
            lobby.when_free(partial(self._attendance.left, lobby), now)
