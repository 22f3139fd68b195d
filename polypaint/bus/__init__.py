"""How roles tell each other things: the contract, and the bus within one process.

Messages arrive at least once, in any order; every role answers a repeat as it answered the first.
Nothing leaves before the journal holds what it tells.

Must never import a room. Counterpart: `local.py`.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

Receive: TypeAlias = Callable[[dict[str, Any], float], None]
"""How a role takes a message: `receive(message, now)`."""


class Bus(Protocol):
    """Carries messages to roles by name."""

    def join(self, role: str, receive: Receive) -> None:
        """From now on this role's messages go here."""

    def send(self, role: str, message: dict[str, Any]) -> None:
        """Have the role receive this, at least once, after the turn has been journaled."""
