"""What every room asks of the world. Each comes back as a call of the session that asked.

Must never import anything that does it. Counterparts: `server.py` carries these out;
`paint/effects.py` and `matches/effects.py` hold what only one room asks.
"""

from dataclasses import dataclass
from typing import Protocol

from polypaint._codec import Outbox

ACCOUNT_CREATED, NAME_TAKEN, ACCOUNT_REFUSED = range(3)


class Conversing(Protocol):
    """One connection's conversation, as whoever carries out effects sees it."""

    outbox: Outbox
    address: str
    name: str

    def password_checked(self, name: str, ok: bool | None, now: float) -> None:
        """The answer to CheckPassword; None: the store does not answer."""

    def account_created(self, status: int, now: float) -> None:
        """The answer to CreateAccount: ACCOUNT_CREATED, NAME_TAKEN or ACCOUNT_REFUSED."""


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """Comes back as `session.password_checked`. bind: make an account of a free name."""

    session: Conversing
    name: str
    password: str
    bind: bool = False


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """Comes back as `session.account_created`."""

    session: Conversing
    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Close:
    """Flush what this session has to be told, then close its connection."""

    session: Conversing
    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """The session can take more bytes again."""

    session: Conversing


@dataclass(frozen=True, slots=True)
class Rejected:
    """For the log, at a bounded rate: something that a session sent was rejected."""

    session: Conversing
    what: str
    reason: str
    count: int
