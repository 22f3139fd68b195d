"""What a paint session asks of its service: the only way in which it changes anything but itself.

The other way, whatever has a session do something knows it as a `member.Member`.

Counterparts: `session.py` calls these, `service.py` puts them together.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from polypaint.paint.acknowledgements import Handled
from polypaint.paint.channels import Channel, Listener
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.member import Member, Membership

if TYPE_CHECKING:
    from polypaint.paint.session import PaintSession


class ChannelCommands(Protocol):
    """What of `channels.Channels` a session calls."""

    def join_general(self, listener: Listener) -> None:
        """Be in `General`."""

    def create(self, listener: Listener, name: str) -> None:
        """Create and join; an existing one is joined."""

    def connect(self, listener: Listener, name: str, inside: str | None) -> None:
        """Join if it exists; inside: the lobby that the listener is in."""

    def disconnect(self, listener: Listener, name: str) -> None:
        """Leave."""

    def joined(self, listener: Listener) -> Mapping[str, Channel]:
        """The channels that somebody is in, by name."""

    def listing(self, listener: Listener, inside: str | None) -> bytes:
        """What CHANNEL_FETCH shows, as JSON."""


class PaintCommands(Protocol):
    """Packets conform and carry the member's name; every command may raise Refused."""

    @property
    def channels(self) -> ChannelCommands:
        """Chat."""

    @property
    def handled(self) -> Handled:
        """How far clients came whose connections are lost."""

    # ------------------------------------------------------------ who is there
    def claim(self, name: str, holder: "PaintSession") -> bool:
        """Be connected under this name; False when somebody else is."""

    def holder(self, name: str) -> "PaintSession | None":
        """The session that has this name."""

    def part(self, session: "PaintSession", now: float) -> None:
        """Who is logged in goes: their name is free, and they are nowhere any more."""

    def disconnected(self, member: Member, now: float) -> None:
        """The connection is gone, whoever closed it."""

    # ------------------------------------------------------------ lobbies
    def create(self, member: Member, info: LobbyRules, now: float) -> None:
        """LOBBY_CREATION."""

    def enter(self, member: Member, filename: str, passcode: str, now: float) -> None:
        """LOBBY_CONNECT."""

    def leave(self, member: Member, now: float) -> None:
        """LOBBY_DISCONNECT: leave the present lobby, if there is one."""

    def change_info(self, member: Member, values: dict[str, str], now: float) -> None:
        """LOBBY_INFO_CHANGE. Raises ProtocolError, too."""

    def lobby_list(self, name: str) -> bytes:
        """What LOBBY_FETCH shows this person, as JSON."""

    # ------------------------------------------------------------ the canvas
    def draw(self, membership: Membership, packet: bytes, now: float) -> None:
        """A drawing packet."""

    def add_strokes(
        self, membership: Membership, packets: list[bytes], start: int, now: float
    ) -> int:
        """The ADD_STROKE at packets[start:], many at once: how many were taken; 0: use `draw`."""

    def take_back(self, membership: Membership, redo: bool, now: float) -> None:
        """Undo the member's last gesture that still shows, or redo it."""

    def confirmed(self, membership: Membership, now: float) -> None:
        """FETCH_DATABASE: the member has loaded the canvas."""

    def snapshot_saved(self, membership: Membership | None, name: str, now: float) -> None:
        """UPDATE_DATABASE: who was asked has done what it could. Raises ProtocolError."""

    def above_high_mark(self, membership: Membership) -> None:
        """The member's connection is too far behind."""
