"""Chat channels: who hears what.

What is said goes through a broadcast of the channel's own, as drawing does: bytes once, sent once
per turn of the loop. Whoever lags is not given it; nobody is closed for what others say.

Must never import sessions: a member is anything that has a send queue. Counterpart: `session.py`
parses the packets and slows down who says much. Protocol: docs/protocol.md, section 7.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Final, Protocol

import orjson

from polypaint._codec import Broadcast, FlushSet, SendQueue
from polypaint.errors import ProtocolError
from polypaint.identity.accounts import is_clean
from polypaint.paint.member import MemberKey
from polypaint.paint.packets import DATA_BYTES_MAX

GENERAL: Final = "General"
NAME_BYTES_MAX: Final = 64
LOBBY_NAME_BYTES_MAX: Final = 128
CHANNELS_MAX: Final = 100_000
JOINED_MAX: Final = 100
"""Channels that one person may be in."""
LAG_BYTES: Final = 256 * 1024
"""Whoever has more than this to be sent is not given what is said meanwhile."""
ENTRY_BYTES_MAX: Final = 16 * 1024
"""Of one channel in a list; the names of its members end where it is full."""


class Listener(Protocol):
    """Who can be in a channel."""

    send_queue: SendQueue
    name: str

    @property
    def key(self) -> MemberKey:
        """What tells them from everybody else."""


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


class Channel:
    """Members by name, in the order in which they came.

    lobby: it belongs to one. owner: of a lobby that is not public; who alone sees it from outside.
    """

    def __init__(self, name: str, turn: FlushSet, lobby: bool = False, owner: str = "") -> None:
        self.name = name
        self.lobby = lobby
        self.owner = owner
        self.members: dict[str, Listener] = {}
        self.broadcast = Broadcast(turn, LAG_BYTES)
        self._entry = b""

    def add(self, listener: Listener) -> None:
        """They hear what is said from now on."""
        self.members[listener.name] = listener
        listener.send_queue.subscribe(self.broadcast)
        self._entry = b""

    def remove(self, listener: Listener) -> None:
        """They hear nothing more."""
        del self.members[listener.name]
        listener.send_queue.unsubscribe(self.broadcast)
        self._entry = b""

    def show_to(self, owner: str) -> None:
        """Who alone sees it from outside; empty: everybody."""
        self.owner = owner

    @property
    def entry(self) -> bytes:
        """What CHANNEL_FETCH shows of it, as JSON; made once for each change."""
        if not self._entry:
            self._entry = orjson.dumps({"Name": self.name, "Clients": fitting_names(self.members)})
        return self._entry


_NONE: Final[Mapping[str, Channel]] = {}


class Channels:
    """All channels of one server. taken: names of lobbies, which nobody else may use."""

    def __init__(self, turn: FlushSet, taken: Container[str] = ()) -> None:
        self._flush_set = turn
        self._taken = taken
        self._general = Channel(GENERAL, turn)
        self._channels = {GENERAL: self._general}
        self._of_owner: dict[str, dict[str, Channel]] = {}
        self._joined: dict[MemberKey, dict[str, Channel]] = {}
        self._open: list[bytes] | None = None
        """Entries of what everybody sees, `General` apart, until something changes."""

    def __len__(self) -> int:
        return len(self._channels)

    def join_general(self, listener: Listener) -> None:
        """Everybody is in `General` after login."""
        self._add(self._general, listener)

    def create(self, listener: Listener, name: str) -> None:
        """Create and join; an existing one is joined. A lobby's name is for its members."""
        channel = self._channels.get(name)
        if channel is None and name not in self._taken and self._has_room(listener):
            channel = self._channels[name] = Channel(name, self._flush_set)
        if channel is not None and not channel.lobby:
            self._join(channel, listener)

    def connect(self, listener: Listener, name: str, inside: str | None) -> None:
        """Join if it exists; inside: the lobby that the listener is in."""
        channel = self._channels.get(name)
        if channel is not None and channel.lobby and name == inside:
            self._add(channel, listener)
        elif channel is not None and not channel.lobby:
            self._join(channel, listener)

    def disconnect(self, listener: Listener, name: str) -> None:
        """Leave. A channel ends with its last member, unless it is `General` or a lobby's."""
        channel = self.joined(listener).get(name)
        if channel is not None:
            channel.remove(listener)
            self._forget(listener, name)
            self._changed(channel)
            if not channel.members and not channel.lobby and channel is not self._general:
                del self._channels[name]

    def disconnect_all(self, listener: Listener) -> None:
        """Leave every channel."""
        for name in list(self.joined(listener)):
            self.disconnect(listener, name)

    def joined(self, listener: Listener) -> Mapping[str, Channel]:
        """The channels that somebody is in, by name."""
        return self._joined.get(listener.key, _NONE)

    # ------------------------------------------------------------ lobbies
    def open_lobby(self, name: str, owner: str) -> None:
        """A lobby became active: it has a channel, unless a user's has that name already.

        owner: empty if the lobby is public, and everybody sees the channel.
        """
        if name not in self._channels:
            channel = self._channels[name] = Channel(name, self._flush_set, lobby=True)
            self._show(channel, owner)

    def show_lobby(self, name: str, owner: str) -> None:
        """Who may enter the lobby has changed, see `open_lobby`."""
        channel = self._channels.get(name)
        if channel is not None and channel.lobby:
            self._hide(channel)
            self._show(channel, owner)

    def enter_lobby(self, listener: Listener, name: str) -> None:
        """Who joins a lobby joins its channel."""
        if self._channels[name].lobby:
            self._add(self._channels[name], listener)

    def leave_lobby(self, listener: Listener, name: str) -> None:
        """Who leaves a lobby leaves its channel, but not a user's of the same name."""
        channel = self.joined(listener).get(name)
        if channel is not None and channel.lobby:
            self.disconnect(listener, name)

    def close_lobby(self, name: str) -> None:
        """A lobby became inactive: its channel ends."""
        channel = self._channels.get(name)
        if channel is not None and channel.lobby:
            self._hide(channel)
            del self._channels[name]

    # ------------------------------------------------------------ lists
    def listing(self, listener: Listener, inside: str | None) -> bytes:
        """What CHANNEL_FETCH shows, as JSON that fits into a packet.

        inside: the lobby that the listener is in. `General` comes first, then what only this
        person sees, then what everybody sees.
        """
        if self._open is None:
            shared = (c for c in self._channels.values() if not c.owner and c is not self._general)
            self._open = list(whole_entries(c.entry for c in shared))
        own = dict(self._of_owner.get(listener.name, ()))
        here = self._channels.get(inside) if inside is not None else None
        own |= {here.name: here} if here is not None and here.owner else {}
        entries = [self._general.entry, *(c.entry for c in own.values()), *self._open]
        return b"[" + b",".join(whole_entries(entries)) + b"]"

    # ------------------------------------------------------------ small things
    def _has_room(self, listener: Listener) -> bool:
        return len(self._channels) < CHANNELS_MAX and len(self.joined(listener)) < JOINED_MAX

    def _join(self, channel: Channel, listener: Listener) -> None:
        """Join a user's channel; where a lobby has come to the same name, nobody does any more."""
        if channel.name not in self._taken and len(self.joined(listener)) < JOINED_MAX:
            self._add(channel, listener)

    def _add(self, channel: Channel, listener: Listener) -> None:
        channel.add(listener)
        self._joined.setdefault(listener.key, {})[channel.name] = channel
        self._changed(channel)

    def _forget(self, listener: Listener, name: str) -> None:
        joined = self._joined[listener.key]
        del joined[name]
        if not joined:
            del self._joined[listener.key]

    def _show(self, channel: Channel, owner: str) -> None:
        channel.show_to(owner)
        if owner:
            self._of_owner.setdefault(owner, {})[channel.name] = channel
        self._open = None

    def _hide(self, channel: Channel) -> None:
        if channel.owner:
            own = self._of_owner[channel.owner]
            del own[channel.name]
            if not own:
                del self._of_owner[channel.owner]
        self._open = None

    def _changed(self, channel: Channel) -> None:
        if not channel.owner and channel is not self._general:
            self._open = None


def whole_entries(entries: Iterable[bytes]) -> Iterable[bytes]:
    """As many entries, from the first, as fit into one packet."""
    size = 2
    for entry in entries:
        size += len(entry) + 1
        if size > DATA_BYTES_MAX:
            return
        yield entry


def fitting_names(names: Iterable[str]) -> list[str]:
    """As many names, from the first, as fit into an entry, however JSON writes them."""
    fitting: list[str] = []
    size = 0
    for name in names:
        size += len(orjson.dumps(name)) + 1
        if size > ENTRY_BYTES_MAX:
            break
        fitting.append(name)
    return fitting
