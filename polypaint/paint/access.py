"""Who may create, enter or change a lobby: decided here, for every way in.

Must never move anybody. Counterparts: `attendance.py` asks, then moves people; `lobby_rules.py`
has the rules of one lobby. Protocol: docs/protocol.md, sections 5, 9.
"""

import re
from typing import Final

from polypaint.engine.budget import Rates
from polypaint.engine.context import Context
from polypaint.errors import Refused
from polypaint.paint.directory import Directory
from polypaint.paint.lobby import Lobby, empty_bytes
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.member import Member
from polypaint.paint.replays import Replays
from polypaint.paint.replies import NO_MEMORY

CREATIONS: Final = (1.0, 60.0)
"""Drawings a second, and at once, that an account may create; then it is slowed down."""
GUESSES: Final = (2.0, 20.0)
"""The same for joining a drawing that is not there, or with a passcode that is wrong."""
ADDRESS_GUESSES: Final = (10.0, 100.0)
"""The same for all accounts of an address."""
GUESS_S_MAX: Final = 10.0
"""The longest that anybody waits for it."""
CODE: Final = re.compile("[0-9A-Z]{6,}")
"""Of a match."""


class Access:
    """The rules for all lobbies of a server.

    games: those whose matches have drawings; the names of these are theirs.
    """

    def __init__(self, context: Context, directory: Directory, replays: Replays) -> None:
        self.games = frozenset({"dessin"})
        self._context = context
        self._settings = context.settings
        self._directory = directory
        self._replays = replays
        self._creating = Rates(*CREATIONS)
        self._guessing = Rates(*GUESSES)
        self._guessing_from = Rates(*ADDRESS_GUESSES)

    def keep_names_for(self, games: frozenset[str]) -> None:
        """These games, and no others, have matches with drawings."""
        self.games = games

    # ------------------------------------------------------------ creating
    def reopens(self, lobby: Lobby, name: str) -> bool:
        """Is this the account's own stored drawing, which nobody is in?"""
        return not lobby.members and lobby.info.owner == name

    def is_reserved(self, filename: str) -> bool:
        """Is this a name for the drawing of a match: a game, and the code of the match?"""
        game, _, code = filename.rpartition("-")
        return game in self.games and CODE.fullmatch(code) is not None

    def no_more(self, name: str, info: LobbyRules) -> str:
        """Why this account may not have another drawing; empty if it may."""
        most, own = self._settings.lobbies_max, self._settings.account_lobbies_max
        if len(self._directory.lobbies) >= most:
            return f"The server keeps {most} drawings and no more."
        if self._directory.owned_by(name) >= own:
            return f"You have {own} drawings, which is the limit."
        return "" if self._replays.has_room(empty_bytes(info.drawing_mode)) else NO_MEMORY

    def created(self, member: Member, now: float) -> None:
        """They have a new drawing: who makes many is slowed down."""
        member.delay(self._creating.charge(member.name, now), now)

    # ------------------------------------------------------------ entering
    def admits(self, lobby: Lobby, name: str, passcode: str) -> bool:
        """May this account enter with this passcode?"""
        return not lobby.removed and lobby.info.admits(name, passcode)

    def has_room(self, lobby: Lobby) -> bool:
        """Is there memory to show the drawing to one more?"""
        return self._replays.has_room(lobby.joining_growth, lobby.memory_used, keep=lobby)

    def guessed(self, member: Member, now: float) -> None:
        """Somebody names lobbies or passcodes that are not: who does it often is slowed down."""
        wait = self._guessing.charge(member.name, now)
        if self._context.is_unauthenticated(member.address):
            wait = max(wait, self._guessing_from.charge(member.address, now))
        if wait > 0:
            member.guessed(min(wait, GUESS_S_MAX), now)

    # ------------------------------------------------------------ changing
    def of_owner(self, filename: str, name: str) -> Lobby:
        """The lobby, whose rules this account may change. Raises Refused."""
        lobby = self._directory.lobbies.get(filename)
        if lobby is None or lobby.info.owner != name:
            raise Refused("no lobby of yours has this Filename")
        return lobby
