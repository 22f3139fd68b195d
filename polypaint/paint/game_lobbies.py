"""Lobbies of games: a match has one arranged, says who may draw in it, and has it removed.

Must never know a game. Counterparts: `matches/effects.py` asks, `access.py` keeps their names
free. Protocol: docs/games.md.
"""

from functools import partial

from polypaint.engine.context import Context
from polypaint.engine.effects import DrawingProblem
from polypaint.errors import Refused
from polypaint.paint.attendance import Attendance
from polypaint.paint.checkpoints import Checkpoints
from polypaint.paint.directory import Directory
from polypaint.paint.lobby import Lobby
from polypaint.paint.lobby_rules import LobbyRules


class GameLobbies:
    """What matches ask of lobbies."""

    def __init__(
        self,
        context: Context,
        directory: Directory,
        attendance: Attendance,
        checkpoints: Checkpoints,
    ) -> None:
        self._context = context
        self._directory = directory
        self._attendance = attendance
        self._checkpoints = checkpoints

    def arrange(
        self,
        filename: str,
        owner: str,
        passcode: str,
        allowed_authors: frozenset[str] | None,
        clear: bool,
        now: float,
    ) -> None:
        """Have a protected lobby in which only these may draw; None: all members.

        clear: wipe what is drawn in it. Does nothing but that when the lobby is as it should be.
        """
        lobby = self._directory.lobbies.get(filename)
        if lobby is None:
            lobby = self._directory.add(
                LobbyRules(filename, owner, "stroke", "protected", passcode)
            )
            lobby.begin_log(self._context.date(now))
        elif lobby.info.owner != owner and lobby.info.passcode != passcode:
            taken = Refused(
                "a drawing of somebody else has the name of a match's; it stays theirs"
            )
            self._context.effects.append(DrawingProblem("a name is taken", filename, taken))
            return
        elif clear:
            lobby.when_free(partial(self._wipe, lobby), now)
        lobby.let_draw(allowed_authors)
        if not lobby.members:
            lobby.when_free(partial(self._attendance.left, lobby), now)

    def _wipe(self, lobby: Lobby, now: float) -> None:
        if lobby.canvas is not None:
            lobby.wipe(self._context.date(now))
        elif not lobby.removed:
            self._checkpoints.load(lobby, partial(self._wipe_loaded, lobby))

    def _wipe_loaded(self, lobby: Lobby, now: float) -> None:
        """The canvas is there, or cannot be had."""
        if lobby.canvas is not None:
            lobby.wipe(self._context.date(now))

    def remove(self, filename: str, reason: str, now: float) -> None:
        """Put everybody out of a lobby and forget its drawing."""
        lobby = self._directory.remove(filename)
        if lobby is None:
            return
        told = lobby.end_log(self._context.date(now), reason)
        for membership in list(lobby.members.values()):
            membership.member.send(told)
            self._attendance.leave(membership.member, now)
        self._checkpoints.forget(lobby, now)
