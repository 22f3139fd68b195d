"""Whoever is at a match, as the match server sees them: an interface to a session.

A session may live beside the match or, one day, be reached through messages only. So a match knows
it by its key and by the methods of `Viewer`, and a session changes nothing of a match but through
the methods of `MatchServer`.

Must never import a session. Counterparts: `session.py` implements it; `match_server.py` calls it.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol, TypeAlias

from polypaint.matches.messages import MatchRefusal

ViewerKey: TypeAlias = tuple[int, int]
"""(process, number): of a session, and of no other one."""
Answer: TypeAlias = Callable[["Mapping[str, object] | MatchRefusal", float], None]
"""Takes what a request is answered with, and the time."""


class Standing(Enum):
    """What a session has to do with matches."""

    NOWHERE = "at no match"
    SEATED = "has a seat"
    WATCHING = "watches without a seat"
    OVER = "the match that it was at has been closed"

    @property
    def at_match(self) -> bool:
        """Is it shown what happens at a match?"""
        return self in (Standing.SEATED, Standing.WATCHING)


class Viewer(Protocol):
    """A session, as matches see it."""

    @property
    def key(self) -> ViewerKey:
        """What tells it from every other session."""

    @property
    def name(self) -> str:
        """The account's name; empty before login."""

    @property
    def address(self) -> str:
        """Of the peer, without its port."""

    def send(self, lines: bytes) -> None:
        """Whole lines, behind all that it was sent before."""

    def placed(self, standing: Standing) -> None:
        """It stands like this from now on."""

    def displaced(self) -> None:
        """Another connection has taken its seat; it ends."""
