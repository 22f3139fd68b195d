"""Whoever is on a map, as a battle sees them: an interface to a session.

A session may live beside the battle or, one day, be reached through messages only. So a battle
knows it by its key and by the methods of `Viewer`, and a session changes nothing of a battle but
through the methods of `Battle`.

Must never import a session. Counterparts: `session.py` implements it; `battle.py` calls it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from polypaint.tanks.battle import Battle, Fighter

ViewerKey: TypeAlias = tuple[int, int]
"""(process, number): of a session, and of no other one."""


class Viewer(Protocol):
    """A session, as battles see it."""

    @property
    def key(self) -> ViewerKey:
        """What tells it from every other session."""

    @property
    def name(self) -> str:
        """The player's name."""

    def say(self, message: Mapping[str, object]) -> None:
        """One object, behind all that it was sent before."""

    def entered(
        self, battle: "Battle", fighter: "Fighter | None", welcome: Mapping[str, object]
    ) -> None:
        """It is on a map now, with a tank or without: it is sent `welcome`, then all that the
        battle publishes."""

    def left(self) -> None:
        """It is on no map any more, and is sent nothing more that the battle publishes."""
