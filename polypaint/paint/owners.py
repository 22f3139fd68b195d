"""What the owners of drawings do from outside: create, rename, protect, delete, hand over.

The rules are those of the protocol's own packets. Must never do I/O. Counterparts: `access.py`
decides, `attendance.py` moves people; the HTTP API asks.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from polypaint.engine.context import Context
from polypaint.errors import Refused
from polypaint.paint.access import Access
from polypaint.paint.attendance import Attendance
from polypaint.paint.channels import Channels
from polypaint.paint.checkpoints import Checkpoints
from polypaint.paint.directory import Directory
from polypaint.paint.game_lobbies import GameLobbies
from polypaint.paint.lobby import Lobby
from polypaint.paint.lobby_rules import LobbyRules

TAKEN: Final = "There is a drawing of this name already; choose another."
DELETED: Final = "The owner has deleted this drawing."


class Owners:
    """See the module. Everything is journaled with the next flush."""

    def __init__(
        self,
        context: Context,
        directory: Directory,
        access: Access,
        attendance: Attendance,
        checkpoints: Checkpoints,
        channels: Channels,
        game_lobbies: GameLobbies,
    ) -> None:
        self._context = context
        self._directory = directory
        self._access = access
        self._attendance = attendance
        self._checkpoints = checkpoints
        self._channels = channels
        self._game_lobbies = game_lobbies

    def create(self, info: LobbyRules, now: float) -> Lobby:
        """Have a new drawing without entering it. Raises Refused."""
        self._must_be_free(info.filename)
        if reason := self._access.no_more(info.owner, info):
            raise Refused(reason)
        lobby = self._directory.add(info)
        lobby.begin_log(self._context.date(now))
        lobby.active(now)
        lobby.when_free(partial(self._attendance.left, lobby), now)
        return lobby

    def rename(self, lobby: Lobby, filename: str, now: float) -> None:
        """Call a drawing something else; who is in it leaves. Raises Refused, ProtocolError."""
        info = lobby.info.called(filename)
        self._must_be_free(filename)
        for membership in list(lobby.members.values()):
            reason = f"This drawing is called “{filename}” now."
            self._attendance.put_out(membership, reason, now)
        self._directory.rename(lobby, filename)
        self._change(lobby, info, now)

    def protect(self, lobby: Lobby, protection: str, passcode: str, now: float) -> None:
        """Have other rules of entry. Raises ProtocolError."""
        self._attendance.protect(lobby, protection, passcode, now)

    def delete(self, lobby: Lobby, now: float) -> None:
        """Put everybody out and forget the drawing."""
        self._game_lobbies.remove(lobby.info.filename, DELETED, now)

    def hand_over(self, before: str, after: str, now: float) -> None:
        """All drawings of one account are another's from now on: the same person's."""
        for lobby in self._directory.hand_over(before, after):
            self._change(lobby, replace(lobby.info, owner=after), now)
            if lobby.members:
                self._channels.show_lobby(lobby.info.filename, lobby.info.sole_viewer)

    def _change(self, lobby: Lobby, info: LobbyRules, now: float) -> None:
        lobby.change_info(info, self._context.date(now))
        if lobby.canvas is None:
            self._checkpoints.save(lobby, now)

    def _must_be_free(self, filename: str) -> None:
        if filename in self._directory.lobbies or self._access.is_reserved(filename):
            raise Refused(TAKEN)
