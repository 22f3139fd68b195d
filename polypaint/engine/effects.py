"""What every service asks of the world. Each comes back as a call of the session that asked.

An effect that raises what nobody expected has failed: `Effect.failed` is called in place of its
answer, or after an answer that was only half handled, so that nobody waits for it for ever.

Must never import anything that does it. Counterparts: `runtime/effect_runner.py` carries these
out; `paint/effects.py`, `matches/effects.py` and `engine/documents.py` hold what only one service
asks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

from polypaint._codec import SendQueue

ACCOUNT_CREATED, NAME_TAKEN, ACCOUNT_REFUSED = range(3)
INTERNAL_ERROR: Final = "internal error"
"""Why a connection ends whose conversation met an exception that nobody expected."""


class Effect:
    """What all effects have in common. ABSTRACT: only its subclasses are asked for."""

    __slots__ = ()
    ABSTRACT: ClassVar[bool] = True

    def failed(self, now: float) -> None:
        """It could not be carried out: nobody may go on waiting for it. Never called twice."""


class Question(Effect):
    """An effect that says itself what is done when there is no answer."""

    __slots__ = ()
    ABSTRACT = True
    otherwise: Callable[[float], None]

    def failed(self, now: float) -> None:
        """There is no answer."""
        self.otherwise(now)


class Requester(Protocol):
    """One connection's conversation, as whoever carries out effects sees it."""

    send_queue: SendQueue
    address: str
    name: str
    closing: str

    def password_checked(self, name: str, ok: bool | None, now: float) -> None:
        """The answer to CheckPassword or CheckCredentials; None: the store does not answer."""

    def account_created(self, status: int, now: float) -> None:
        """The answer to CreateAccount: ACCOUNT_CREATED, NAME_TAKEN or ACCOUNT_REFUSED."""

    def ticket_issued(self, ticket: str, now: float) -> None:
        """The answer to IssueTicket; empty: there is none now."""

    def holder_probed(self, name: str, now: float) -> None:
        """The answer to ProbeHolder."""

    def broken(self) -> None:
        """What it waited for has failed in a way that nobody expected: it ends."""


@dataclass(frozen=True, slots=True)
class Awaited(Effect):
    """A session waits for it, and ends when it fails."""

    ABSTRACT: ClassVar[bool] = True

    session: Requester

    def failed(self, _now: float) -> None:
        """The session ends with an internal error."""
        self.session.broken()


@dataclass(frozen=True, slots=True)
class CheckPassword(Awaited):
    """Comes back as `session.password_checked`. bind: make an account of a free name."""

    name: str
    password: str
    bind: bool = False


@dataclass(frozen=True, slots=True)
class CheckCredentials(Awaited):
    """Whose are these? Comes back as `session.password_checked`, with the name of the account."""

    credentials: str


@dataclass(frozen=True, slots=True)
class CreateAccount(Awaited):
    """Comes back as `session.account_created`."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class IssueTicket(Effect):
    """Comes back as `session.ticket_issued`: a ticket of whoever is logged in here."""

    session: Requester

    def failed(self, now: float) -> None:
        """The session is told that there is no ticket now."""
        self.session.ticket_issued("", now)


@dataclass(frozen=True, slots=True)
class ProbeHolder(Awaited):
    """Somebody who has proved to be `name` finds the name held by another connection.

    Comes back as `session.holder_probed`, once the other one has answered, or is gone.
    """

    holder: Requester
    name: str


@dataclass(frozen=True, slots=True)
class Close(Effect):
    """Flush what this session has to be told, then close its connection."""

    session: Requester
    reason: str


@dataclass(frozen=True, slots=True)
class Resume(Effect):
    """The session can take more bytes again."""

    session: Requester


@dataclass(frozen=True, slots=True)
class Rejected(Effect):
    """For the log, at a bounded rate: something that a session sent was rejected."""

    session: Requester
    what: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class DrawingProblem(Effect):
    """For the operator's log: what is wrong with a drawing, and why."""

    what: str
    drawing: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Unexpected(Effect):
    """For the log and the count: an exception that the domain has contained, and where."""

    where: str
    error: Exception
