"""A client's copy of a canvas, kept as the extension lets one: by what is sent, and by answers."""

from collections import deque
from typing import Any

from polypaint.paint.lobby import AnyCanvas, empty_canvas
from polypaint.paint.packets import (
    ACCEPTED,
    FETCH_DATABASE,
    LOBBY_FREEZE_STATE,
    PACKETS,
    REFUSED,
    Mode,
    Packet,
    decode,
)

from .world import DATE, World


class Copy:
    """A peer with the extension that is in one lobby, and its copy of the canvas."""

    def __init__(self, world: World, name: str, filename: str, mode: str, client: int = 0) -> None:
        self.name = name
        self.client = client
        self.canvas = empty_canvas(Mode(mode))
        self.refusals: list[str] = []
        self.others: list[bytes] = []
        """What was told that is neither drawing nor an answer to it."""
        self._world, self._filename = world, filename
        self._pending: deque[tuple[int, bytes]] = deque()
        self._number = 0
        self.join()

    def join(self) -> None:
        """Connect, and join the lobby, or create it."""
        self.peer = self._world.extended(self.name, client=self.client)
        self._number = self.peer.session.extension.answers.count
        self._pending.clear()
        if self._filename in self._world.service.lobbies:
            self.peer.join(self._filename)
        else:
            self.peer.create(self._filename, self.canvas.mode.value)
        self.read()

    def draw(self, kind: Packet, *values: Any, date: int = DATE) -> None:
        """Send a drawing packet."""
        packet = kind.encode_request(date, self.name.encode(), *values)
        self._number += 1
        self._pending.append((self._number, packet))
        self.peer.send_bytes(packet)

    def read(self) -> "Copy":
        """Take in everything that has come."""
        while packets := self.peer.take():
            for packet in packets:
                self._take(packet)
        return self

    def _take(self, packet: bytes) -> None:
        kind = PACKETS[packet[2]]
        if kind.relayed:
            self.canvas.apply(packet)
        elif kind is FETCH_DATABASE:
            self.canvas.clear()
            self.peer.send(FETCH_DATABASE)
        elif kind is ACCEPTED:
            number, count, _, _ = decode(packet, True)
            for own in range(number - count + 1, number + 1):
                sent, drawn = self._pending.popleft()
                assert sent == own
                self.canvas.apply(drawn)
        elif kind is REFUSED:
            number, reason = decode(packet, True)
            assert self._pending.popleft()[0] == number
            self.refusals.append(reason)
        elif kind is not LOBBY_FREEZE_STATE:
            self.others.append(packet)

    @property
    def settled(self) -> bool:
        """Is everything answered?"""
        return not self._pending


def picture(canvas: AnyCanvas) -> bytes:
    """All that there is to be seen of a canvas, and who holds what."""
    return b"".join(canvas.snapshot(DATE))
