"""What people in a lobby do at the moment: where they point, what they draw before it is drawn.

Nothing of it is journaled or kept. What comes from one person within a tick is made one packet of
each kind, and all of a lobby's goes out together, so that it costs each member one send a tick;
whoever lags is not given it. The more people draw, the longer is a tick.

Must never import a session. Counterparts: `presence.py` says who is here, `extension.py` brings
the packets. Protocol: docs/protocol.md, section 10.
"""

from typing import Final

from polypaint._codec import HEADER_BYTES, Broadcast, FlushSet
from polypaint.engine.timers import Timers
from polypaint.paint.packets import HEADER, INK, POINTER

TICK_S: Final = 1 / 30
"""The shortest time between two packets of one person."""
PERSON_S: Final = 0.005
"""How much longer a tick is for each person who points or draws."""
LAG_BYTES: Final = 32 * 1024
"""Whoever has more than this to be sent is not given what people do meanwhile."""
INK_BYTES_MAX: Final = 8192
"""Of one person's ink in a tick; what is more is left out: the stroke itself comes soon."""
KEY = slice(0, 4)
STYLE = slice(4, 12)
DONE = slice(12, 16)
POINTS_AT: Final = 16
"""In the data of INK: the person's key, colour and width, whether the pen is up, points."""


class LiveInk:
    """Of one lobby; see the module."""

    def __init__(self, flush_set: FlushSet) -> None:
        self.broadcast = Broadcast(flush_set, LAG_BYTES)
        self._pointers: dict[int, bytes] = {}
        self._inks: dict[int, list[bytearray]] = {}
        self._waiting = False
        self._told_at = float("-inf")
        self._told = 0
        """Of how many people, the last time."""

    def pointed(self, key: int, packet: bytes, timers: Timers, now: float) -> None:
        """POINTER of the person with this key, which conforms."""
        data = packet[HEADER_BYTES + packet[7] :]
        self._pointers[key] = key.to_bytes(4, "little") + data[4:]
        self._tell_soon(timers, now)

    def inked(self, key: int, packet: bytes, timers: Timers, now: float) -> None:
        """INK of the person with this key, which conforms."""
        data = bytearray(packet[HEADER_BYTES + packet[7] :])
        data[KEY] = key.to_bytes(4, "little")
        waiting = self._inks.setdefault(key, [])
        last = waiting[-1] if waiting else None
        if last is None or any(last[DONE]) or last[STYLE] != data[STYLE]:
            waiting.append(data)
        elif any(data[DONE]) and len(data) == POINTS_AT:
            waiting[-1] = data  # taken back
        else:
            last[DONE] = data[DONE]
            last += data[POINTS_AT:]
        if sum(map(len, waiting)) > INK_BYTES_MAX:
            del waiting[:-1]
            del waiting[0][INK_BYTES_MAX:]
        self._tell_soon(timers, now)

    def drawn(self, key: int) -> None:
        """This person's ink is in the drawing now: what was not told yet must not come after."""
        if self._inks:
            self._inks.pop(key, None)

    def gone(self, key: int) -> None:
        """This person has left."""
        self._inks.pop(key, None)
        self._pointers.pop(key, None)

    def _tell_soon(self, timers: Timers, now: float) -> None:
        if self._waiting:
            return
        at = self._told_at + TICK_S + PERSON_S * self._told
        if at <= now:
            self._tell(now)
        else:
            self._waiting = True
            timers.at(at, self._due)

    def _due(self, now: float) -> None:
        self._waiting = False
        self._tell(now)

    def _tell(self, now: float) -> None:
        self._told = len(self._pointers.keys() | self._inks.keys())
        pieces: list[tuple[int, bytes | bytearray]] = []
        pieces += [(POINTER.id, data) for data in self._pointers.values()]
        pieces += [(INK.id, data) for inks in self._inks.values() for data in inks]
        self._pointers.clear()
        self._inks.clear()
        if pieces:
            self._told_at = now
            told = b"".join(
                HEADER.pack(HEADER.size + len(data), kind, 0, 0) + data for kind, data in pieces
            )
            self.broadcast.publish(told)
