"""What a lobby knows of the people in it: an interface to each session, and its own notes of each.

A session may live beside its lobby or, one day, be reached through messages only: so a lobby knows
it by a key and by the methods of `Member`, and a session changes nothing of a lobby but through
`Membership` and the commands of the service.

Must never import a session. Counterparts: `session.py` implements `Member`, `lobby.py` keeps
memberships.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from polypaint._codec import Broadcast, SendQueue

if TYPE_CHECKING:
    from polypaint.paint.lobby import Lobby

MemberKey: TypeAlias = tuple[int, int]
"""(process, number): of a session, and of no other one."""


class Member(Protocol):
    """A session, as lobbies, channels and whatever moves people see it."""

    send_queue: SendQueue
    """Only to name the sender of what is broadcast."""
    name: str
    heavy_at: float

    @property
    def key(self) -> MemberKey:
        """What tells it from every other session."""

    @property
    def name_bytes(self) -> bytes:
        """The account's name, in UTF-8."""

    @property
    def address(self) -> str:
        """Of the peer, without its port."""

    @property
    def closing(self) -> str:
        """Why it ends; empty while it does not."""

    @property
    def extended(self) -> bool:
        """Has this connection asked for the extension?"""

    @property
    def membership(self) -> "Membership | None":
        """Of the lobby that it is in."""

    # ------------------------------------------------------------ the state of its connection
    def window_s(self) -> float:
        """How long after an index-shifting packet an index of theirs may be stale."""

    @property
    def backlogged_at(self) -> float | None:
        """Since when the connection takes no bytes; None while it does."""

    @property
    def receiving_snapshot(self) -> bool:
        """Is a snapshot waiting to be sent, or half sent?"""

    @property
    def subscribed(self) -> bool:
        """Is it sent what its lobby publishes? Not while it is too far behind."""

    # ------------------------------------------------------------ what it is sent
    def send(self, data: bytes) -> None:
        """Whole packets for this member alone, behind all that it was sent before."""

    def send_first(self, data: bytes) -> None:
        """The same before everything else, even while nothing can be journaled."""

    def send_snapshot(self, chunks: list[bytes]) -> None:
        """The canvas, as whole packets."""

    def call_when_sent(self, call: Callable[[float], None]) -> None:
        """Make this call, with the time, when the connection has taken all that stands before."""

    def subscribe(self, broadcast: Broadcast) -> None:
        """Send it what this lobby publishes from now on, and no more of the last one's."""

    def unsubscribe(self) -> None:
        """Send it nothing more of a lobby's."""

    def skip_broadcasts(self) -> None:
        """Drop what it has not been sent yet of its lobby's packets and snapshots; unsubscribe."""

    # ------------------------------------------------------------ what happens to it
    def joined(self, membership: "Membership") -> None:
        """It is in this lobby now."""

    def removed(self) -> None:
        """It is in no lobby any more."""

    def drawn(self, packet: bytes, told: bytes, sequence: int, now: float) -> None:
        """One of its packets is in the drawing. told: what the others are sent."""

    def not_drawn(self, packet: bytes, reason: str, now: float) -> None:
        """One of its packets has changed nothing, which need not be its fault."""

    def taken_back(self, redo: bool, reason: str, now: float) -> None:
        """It has undone, or redone, something; reason: why not, empty if it has."""

    def refused(self, packet: bytes, reason: str, now: float) -> None:
        """One of its packets was not accepted, and should have been another."""

    def guessed(self, wait_s: float, now: float) -> None:
        """It has named too many drawings or passcodes that are not: it is slowed down."""

    def wait(self) -> None:
        """Nothing more that it has sent is handled until `resume`."""

    def resume(self, now: float) -> None:
        """What it waited for has come."""

    def delay(self, seconds: float, now: float) -> None:
        """Nothing more that it has sent is handled for so long."""

    def charge(self, cost_ns: int, now: float) -> None:
        """It has asked for so much work off the event loop: others go first meanwhile."""


class Copy(Enum):
    """What a member has of the canvas, as far as the server can know."""

    CURRENT = auto()
    """Every snapshot that it was sent is confirmed."""
    JOINING = auto()
    """Its first snapshot is not confirmed yet."""
    RENEWED = auto()
    """Nor is the one that it was sent in mid-session."""
    WRONG = auto()
    """It needs another one, once the one that is under way has been sent and confirmed."""


class Event(Enum):
    """What changes a member's `Copy`."""

    JOINED = auto()
    """The first snapshot was asked for."""
    DREW = auto()
    """A packet of theirs came, made with the copy that they had then."""
    FOUND_WRONG = auto()
    """Their copy is not the canvas: a packet of theirs was stale or did not count."""
    RESYNCED = auto()
    """Another snapshot was asked for."""
    CONFIRMED = auto()
    """They have loaded every snapshot that was asked for."""


_NEXT: Final[dict[Event, dict[Copy, Copy]]] = {
    Event.JOINED: dict.fromkeys(Copy, Copy.JOINING),
    Event.DREW: {
        Copy.CURRENT: Copy.CURRENT,
        Copy.JOINING: Copy.JOINING,
        Copy.RENEWED: Copy.WRONG,  # what they drew is not in the snapshot that they will load
        Copy.WRONG: Copy.WRONG,
    },
    Event.FOUND_WRONG: dict.fromkeys(Copy, Copy.WRONG),
    Event.RESYNCED: dict.fromkeys(Copy, Copy.RENEWED),
    Event.CONFIRMED: {
        Copy.CURRENT: Copy.CURRENT,
        Copy.JOINING: Copy.CURRENT,
        Copy.RENEWED: Copy.CURRENT,
        Copy.WRONG: Copy.WRONG,
    },
}


@dataclass(slots=True, eq=False)
class Membership:
    """One session in one lobby, from its joining to its leaving.

    requested: snapshots that were asked for and are not confirmed; sent: how many of them were
    sent; snapshot_at: when the last one was. shifted_at: when this member alone was last sent
    something that shifts positions; warned_at: when they were told that there is no memory.
    """

    lobby: "Lobby"
    member: Member
    name: str = field(init=False)
    name_bytes: bytes = field(init=False)
    send_queue: SendQueue = field(init=False)
    """Only to name the sender of what is broadcast."""
    copy: Copy = Copy.CURRENT
    requested: int = 0
    sent: int = 0
    snapshot_at: float = float("-inf")
    retrying: bool = False
    """Does a timer wait for the confirmation?"""
    shifted_at: float = float("-inf")
    warned_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.name, self.name_bytes = self.member.name, self.member.name_bytes
        self.send_queue = self.member.send_queue

    @property
    def present(self) -> bool:
        """Has this member not left since?"""
        return self.lobby.members.get(self.name) is self

    # ------------------------------------------------------------ its copy of the canvas
    def went(self, event: Event) -> None:
        """Something has happened to its copy."""
        self.copy = _NEXT[event][self.copy]

    def snapshot_requested(self, event: Event, now: float) -> None:
        """A snapshot is being made for this member."""
        self.went(event)
        self.requested += 1
        self.snapshot_at = now

    def snapshot_sent(self, now: float) -> None:
        """It is on its way; positions in it are new to the member."""
        self.sent += 1
        self.shifted_at = self.snapshot_at = now

    def snapshot_confirmed(self) -> None:
        """The member has loaded one."""
        self.sent -= 1
        self.requested -= 1
        if not self.requested:
            self.went(Event.CONFIRMED)

    # ------------------------------------------------------------ what its session tells it
    def defer(self, packet: bytes, drawn: bool) -> None:
        """Keep a packet until the lobby thaws, see `FrozenPackets.defer`. Raises Refused."""
        self.lobby.frozen_packets.defer(self, packet, drawn)

    @property
    def defers(self) -> bool:
        """Do packets of this member wait for the lobby to thaw? Later ones wait behind them."""
        return self.lobby.frozen_packets.has(self.member.key)

    @property
    def awaited(self) -> bool:
        """Does the whole lobby wait for this member to load the canvas?"""
        return self in self.lobby.waited_for

    def drained(self, since: float, now: float) -> None:
        """The connection takes bytes again, after `since`: what shifted then was sent only now."""
        if self.lobby.staleness.shifted_at(self) > since - self.member.window_s():
            self.shifted_at = now

    def warn(self, now: float, every_s: float) -> bool:
        """Should the member be told now that there is no memory? Not too often."""
        due = now - self.warned_at > every_s
        if due:
            self.warned_at = now
        return due

    def retry(self, waiting: bool) -> bool:
        """Begin or end to wait for a confirmation, with a timer; False if that is so already."""
        changed = self.retrying is not waiting
        self.retrying = waiting
        return changed
