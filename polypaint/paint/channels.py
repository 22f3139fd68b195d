"""Chat channels: who hears what.

Must never import sessions: a member is anything that has an outbox. Counterpart: `session.py`
parses the packets. Protocol: docs/protocol.md, section 7.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from polypaint._codec import Outbox
from polypaint.accounts import is_clean
from polypaint.errors import ProtocolError

GENERAL: Final = "General"
NAME_BYTES_MAX: Final = 64
LOBBY_NAME_BYTES_MAX: Final = 128
CHANNELS_MAX: Final = 100_000
JOINED_MAX: Final = 1000
"""Channels that one person may be in."""


class Listener(Protocol):
    """Who can be in a channel."""

    outbox: Outbox
    name: str
    channels: "dict[str, Channel]"


def is_channel_name(name: str, bytes_max: int = NAME_BYTES_MAX) -> bool:
    """Can a channel have this name?"""
    return is_clean(name, bytes_max) and ";" not in name and name.strip(" ") == name


def split_message(text: str) -> tuple[str, str]:
    """(channel, content) of `<channel>;<content>`, spaces around the first `;` stripped.

    Raises ProtocolError when there is no channel name.
    """
    channel, separator, content = text.partition(";")
    channel = channel.strip(" ")
    if not separator or not is_channel_name(channel, LOBBY_NAME_BYTES_MAX):
        raise ProtocolError("a message is <channel>;<content>")
    return channel, content.strip(" ")


@dataclass(slots=True, eq=False)
class Channel:
    """Members by name, in the order in which they came. lobby: it belongs to one."""

    name: str
    lobby: bool = False
    members: dict[str, Listener] = field(default_factory=dict)


class Channels:
    """All channels of one server."""

    def __init__(self) -> None:
        self._channels = {GENERAL: Channel(GENERAL)}

    def __len__(self) -> int:
        return len(self._channels)

    def join_general(self, listener: Listener) -> None:
        """Everybody is in `General` after login."""
        self._add(self._channels[GENERAL], listener)

    def create(self, listener: Listener, name: str) -> None:
        """Create and join; an existing one is joined. A lobby's channel is for its members."""
        channel = self._channels.get(name)
        if channel is None and len(self._channels) < CHANNELS_MAX:
            channel = self._channels[name] = Channel(name)
        if channel is not None and not channel.lobby:
            self._add(channel, listener)

    def connect(self, listener: Listener, name: str, inside: str | None) -> None:
        """Join if it exists; inside: the lobby that the listener is in."""
        channel = self._channels.get(name)
        if channel is not None and (not channel.lobby or name == inside):
            self._add(channel, listener)

    def disconnect(self, listener: Listener, name: str) -> None:
        """Leave. A channel ends with its last member, unless it is `General` or a lobby's."""
        channel = listener.channels.pop(name, None)
        if channel is not None:
            del channel.members[listener.name]
            if not channel.members and not channel.lobby and name != GENERAL:
                del self._channels[name]

    def disconnect_all(self, listener: Listener) -> None:
        """Leave every channel."""
        for name in list(listener.channels):
            self.disconnect(listener, name)

    def say(self, listener: Listener, name: str, packet: bytes) -> bool:
        """To the other members; False when the listener is not one of them."""
        channel = listener.channels.get(name)
        if channel is None:
            return False
        for member in channel.members.values():
            if member is not listener:
                member.outbox.push(packet)
        return True

    def open_lobby(self, name: str) -> None:
        """A lobby became active: it has a channel, unless a user's has that name already."""
        self._channels.setdefault(name, Channel(name, lobby=True))

    def enter_lobby(self, listener: Listener, name: str) -> None:
        """Who joins a lobby joins its channel."""
        if self._channels[name].lobby:
            self._add(self._channels[name], listener)

    def leave_lobby(self, listener: Listener, name: str) -> None:
        """Who leaves a lobby leaves its channel, but not a user's of the same name."""
        channel = listener.channels.get(name)
        if channel is not None and channel.lobby:
            self.disconnect(listener, name)

    def close_lobby(self, name: str) -> None:
        """A lobby became inactive: its channel ends."""
        channel = self._channels.get(name)
        if channel is not None and channel.lobby:
            del self._channels[name]

    def listing(self, visible_lobbies: set[str]) -> list[dict[str, Any]]:
        """What CHANNEL_FETCH shows: `General` first, lobby channels only if visible."""
        return [
            {"Name": channel.name, "Clients": list(channel.members)}
            for channel in self._channels.values()
            if not channel.lobby or channel.name in visible_lobbies
        ]

    def _add(self, channel: Channel, listener: Listener) -> None:
        if len(listener.channels) < JOINED_MAX:
            channel.members[listener.name] = listener
            listener.channels[channel.name] = channel
