"""Pictures that only clients have: asked for, one member after the other, and waited for.

After a filter that the server does not know, its pixels are not the truth any more. A member is
asked to save the canvas; one that can brings its picture, one that cannot says so, and after ASK_S
without an answer the next one is asked. Newcomers wait until there is a picture, or until there
will be none.

Must never touch the store. Counterpart: `attendance.py`. Protocol: docs/protocol.md, section 6.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from polypaint.engine.context import Context
from polypaint.engine.timers import Timer
from polypaint.errors import ProtocolError, Refused
from polypaint.paint.lobby import Lobby
from polypaint.paint.member import Membership
from polypaint.paint.packets import UPDATE_DATABASE
from polypaint.paint.pixels import PixelCanvas

ASK_S: Final = 2.0
ASKED_MAX: Final = 3


class _Asking:
    """Of one lobby. asked: members' names; saving: a picture has come, and is being stored."""

    def __init__(self, lobby: Lobby) -> None:
        self.lobby = lobby
        self.waiting: list[Membership] = []
        self.asked: list[str] = []
        self.timer: Timer | None = None
        self.saving = False


class SnapshotRequests:
    """All lobbies in which somebody is being asked. welcome: shows a newcomer what there is."""

    def __init__(self, context: Context, welcome: Callable[[Membership, float], None]) -> None:
        self._context = context
        self._welcome = welcome
        self._asking: dict[Lobby, _Asking] = {}

    def ask(self, lobby: Lobby, newcomer: Membership | None, now: float) -> None:
        """Have a member save the canvas; a newcomer, if there is one, waits for it."""
        asking = self._asking.get(lobby)
        if asking is not None:
            if newcomer is not None:
                asking.waiting.append(newcomer)
            return
        asking = self._asking[lobby] = _Asking(lobby)
        if newcomer is not None:
            asking.waiting.append(newcomer)
        self._ask_next(asking, now)

    def _ask_next(self, asking: _Asking, now: float) -> None:
        waiting = {newcomer.name for newcomer in asking.waiting}
        candidates = [n for n in asking.lobby.members if n not in waiting | set(asking.asked)]
        if asking.saving:
            return
        if not candidates or len(asking.asked) >= ASKED_MAX:
            self._end(asking, now)
            return
        asking.asked.append(candidates[0])
        member = asking.lobby.members[candidates[0]].member
        member.send(UPDATE_DATABASE.encode_reply(self._context.date(now)))
        asking.timer = self._context.timers.at(now + ASK_S, partial(self._ask_next, asking))

    def _end(self, asking: _Asking, now: float) -> None:
        """There is a picture, or there will be none: the newcomers get what there is."""
        if asking.timer is not None:
            asking.timer.cancel()
        del self._asking[asking.lobby]
        for newcomer in asking.waiting:
            self._welcome(newcomer, now)

    def gone(self, membership: Membership) -> None:
        """A member has left the lobby: it waits no more."""
        asking = self._asking.get(membership.lobby)
        if asking is not None and membership in asking.waiting:
            asking.waiting.remove(membership)

    def is_asked(self, lobby: Lobby | None, name: str) -> bool:
        """Is this member being asked for a picture?"""
        asking = self._asking.get(lobby) if lobby is not None else None
        return asking is not None and name in asking.asked

    def saved(self, membership: Membership | None, name: str, now: float) -> None:
        """UPDATE_DATABASE from a member that was asked: it has done what it could.

        Raises ProtocolError when nobody asked it.
        """
        lobby = membership.lobby if membership is not None else None
        if lobby is None or not self.is_asked(lobby, name):
            raise ProtocolError("nobody asked for the canvas to be saved")
        asking = self._asking[lobby]
        if not asking.saving:
            self._end(asking, now)

    def brought(self, lobby: Lobby, name: str, pixels: npt.NDArray[np.uint32]) -> None:
        """A member's picture becomes the canvas, which is to be stored now. Raises Refused.

        pixels: uint32 (width, length), like `PixelCanvas.pixels`.
        """
        asking = self._asking.get(lobby)
        if asking is None or name not in asking.asked or asking.saving:
            raise Refused("the server did not ask you for this picture")
        canvas = lobby.canvas
        if not isinstance(canvas, PixelCanvas) or pixels.shape != canvas.pixels.shape:
            raise Refused("the picture does not have the canvas's size")
        if lobby.saving or lobby.busy:
            raise Refused("the drawing is being stored; try again")
        canvas.paint(pixels)
        lobby.repainted()
        asking.saving = True

    def stored(self, lobby: Lobby, now: float) -> None:
        """The store has kept the drawing, perhaps with a picture that was brought."""
        asking = self._asking.get(lobby)
        if asking is not None and asking.saving:
            self._end(asking, now)
