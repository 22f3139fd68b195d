"""Packets that wait in a lobby where nobody may draw for now: in order, bounded for each sender.

Counterparts: `drawing.py` puts them here and takes them out again, `lobby.py` has one of these.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from polypaint.engine.memory import Memory
from polypaint.errors import Refused
from polypaint.paint.member import MemberKey, Membership

PACKETS_MAX: Final = 256
"""Packets that one frozen client may have waiting."""
BYTES_MAX: Final = 4 << 20
"""Their bytes."""


class FrozenPackets:
    """A bounded queue. Counting by sender costs the same however many packets wait."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._entries: deque[tuple[Membership, bytes]] = deque()
        self._of: dict[MemberKey, tuple[int, int]] = {}
        """For each sender: how many packets, and their bytes."""
        self._overflowed: set[MemberKey] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[Membership, bytes]]:
        return iter(self._entries)

    def defer(self, membership: Membership, packet: bytes, drawn: bool = True) -> None:
        """Keep a packet until everybody may draw again. Raises Refused when it is too much.

        drawn: False if it is not drawing, but something that has to be answered or counted behind
        what was drawn: it has as much room again.
        """
        key = membership.member.key
        count, size = self._of.get(key, (0, 0))
        room = 1 if drawn else 2
        problem = ""
        if count >= room * PACKETS_MAX or size + len(packet) > room * BYTES_MAX:
            problem = f"frozen, and {count} packets of {size} bytes are waiting already"
        elif drawn and self._memory.lacks(len(packet), size):
            problem = "frozen, and there is no memory for what waits"
        if problem:
            if drawn:
                self._overflowed.add(key)
            raise Refused(problem)
        self._entries.append((membership, packet))
        self._count(key, 1, len(packet))

    def has(self, key: MemberKey) -> bool:
        """Do packets of this session wait?"""
        return key in self._of

    def pop(self) -> tuple[Membership, bytes]:
        """The packet that has waited longest, and its sender; it does not wait any more."""
        membership, packet = self._entries.popleft()
        self._count(membership.member.key, -1, -len(packet))
        return membership, packet

    def forget(self, key: MemberKey) -> None:
        """Drop what waits of a session that was put out."""
        if key in self._of:
            self._count(key, *(-by for by in self._of[key]))
            self._entries = deque(e for e in self._entries if e[0].member.key != key)

    def take_overflowed(self) -> set[MemberKey]:
        """Whose drawing was too much to be kept: their canvases are not what they should be."""
        overflowed, self._overflowed = self._overflowed, set()
        return overflowed

    def _count(self, key: MemberKey, packets: int, size: int) -> None:
        count, before = self._of.pop(key, (0, 0))
        if count + packets:
            self._of[key] = (count + packets, before + size)
        self._memory.change("held", size)
