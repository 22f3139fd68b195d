"""What became of the drawing packets of a session with the extension, told to it, each once.

A client numbers its drawing packets: the first one of a connection is 1, and a client that comes
back goes on where the server has stopped (`Handled`), so that nothing is drawn twice. An answer
stands where the packet stands in the order of the lobby: its sender can apply it there.

Must never import a session. Counterparts: `extension.py` has it, `replica.js` reads the answers.
Protocol: docs/protocol.md, section 10.
"""

from typing import Final

from polypaint._codec import HEADER_BYTES, SendQueue
from polypaint.paint.packets import ACCEPTED, ADD_STROKE, NUMBER_MAX, REFUSED

KEPT_S: Final = 600.0
"""How long it is known what a lost connection's client had sent."""
KEPT_MAX: Final = 10_000
"""Of how many accounts."""


class Acknowledgements:
    """Of one session. count: the number of the last drawing packet that came."""

    def __init__(self, send_queue: SendQueue) -> None:
        self.count = 0
        self._send_queue = send_queue
        self._waiting: dict[int, tuple[int, bytes]] = {}
        """Of packets that are handled later: their numbers, by the object."""

    def go_on_from(self, count: int) -> None:
        """A client has come back: this was the number of its last packet that came."""
        self.count = count

    def arrived(self) -> None:
        """A drawing packet has come."""
        self.count = _after(self.count)

    def is_for(self, packet: bytes) -> None:
        """What became of the packet that came last will be said of this one."""
        self._waiting[id(packet)] = (self.count, packet)

    def taken(self, count: int, sequence: int, first: int, date: int) -> None:
        """Strokes that came together are in the drawing, from this index on."""
        for _ in range(count):
            self.arrived()
        self._send_queue.push(ACCEPTED.encode_reply(date, self.count, count, sequence, first))

    def accepted(self, packet: bytes, told: bytes, sequence: int, date: int) -> None:
        """It is in the drawing. told: what the others are sent."""
        number = self._number(packet)
        if number is not None:
            at = HEADER_BYTES + told[7] if told else 0
            index = told[at : at + 4] if told[2:3] == bytes([ADD_STROKE.id]) else b""
            self._send_queue.push(
                ACCEPTED.encode_reply(date, number, 1, sequence, int.from_bytes(index, "little"))
            )

    def refused(self, packet: bytes, reason: str, date: int) -> None:
        """It has changed nothing."""
        number = self._number(packet)
        if number is not None:
            self._refuse(number, reason, date)

    def refused_last(self, reason: str, date: int) -> None:
        """Nor has the packet that came last, which is not one at all."""
        number, _ = self._waiting.popitem()[1] if self._is_waiting() else (self.count, b"")
        self._refuse(number, reason, date)

    def forget(self) -> None:
        """They have left the lobby: nothing more is said of what they drew there."""
        self._waiting.clear()

    def _is_waiting(self) -> bool:
        """Is the packet that came last among those of which something will be said?"""
        return bool(self._waiting) and next(reversed(self._waiting.values()))[0] == self.count

    def _refuse(self, number: int, reason: str, date: int) -> None:
        self._send_queue.push(REFUSED.encode_reply(date, number, reason or "refused"))

    def _number(self, packet: bytes) -> int | None:
        number, _ = self._waiting.pop(id(packet), (None, b""))
        return number


class Handled:
    """How far the clients came whose connections are lost, by account."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, int, float]] = {}

    def keep(self, name: str, client: int, count: int, now: float) -> None:
        """This account's connection ends; client: by which its client knows itself."""
        self._kept.pop(name, None)
        self._kept[name] = (client, count, now)
        while len(self._kept) > KEPT_MAX or next(iter(self._kept.values()))[2] < now - KEPT_S:
            del self._kept[next(iter(self._kept))]

    def count(self, name: str, client: int, now: float) -> int:
        """The number of the last packet of this client that came; -1: nobody knows."""
        then, count, at = self._kept.get(name, (0, 0, now))
        return count if then == client != 0 and now - at <= KEPT_S else -1


def _after(number: int) -> int:
    return number % NUMBER_MAX + 1
