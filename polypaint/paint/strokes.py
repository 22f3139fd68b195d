"""The canvas of a stroke lobby: a list of strokes, and who holds which.

A stroke is the ADD_STROKE packet that made it, with author, date and style; only its index is
written anew when it is sent. Selections name strokes by identity, so they survive shifts.

Must never import a lobby or a session. Counterpart: `pixels.py`.
Protocol: docs/protocol.md, section 5, "Stroke mode".
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from polypaint import _codec
from polypaint.errors import Refused, Stale, StoreError
from polypaint.paint import canvas, packets
from polypaint.paint.canvas import Applied
from polypaint.paint.packets import (
    ADD_STROKE,
    INSERT_STROKE,
    REMOVE_STROKE,
    REPLACE_STROKE,
    RESET_CANVAS,
    RESIZE_CANVAS,
    RESIZE_CANVAS_INT,
    SELECTED_STROKE,
    UNSELECTED_STROKE,
    Mode,
)

STROKES_MAX: Final = 1_000_000
BYTES_MAX: Final = 512 << 20
FEW: Final = 16
"""Up to so many strokes are deleted one by one; more by copying the list."""


class StrokeCanvas:
    """See `canvas.Canvas`. strokes: ADD_STROKE packets whose index field means nothing."""

    mode = Mode.STROKE
    needs_client_snapshot = False

    def __init__(self) -> None:
        self.length: float = canvas.LENGTH
        self.width: float = canvas.WIDTH
        self.strokes: list[bytes] = []
        self._ids: list[int] = []
        self._next_id = 0
        self._bytes = 0
        self._holder: dict[int, str] = {}

    def apply(self, packet: bytes) -> Applied:
        """See `canvas.Canvas.apply`."""
        return _APPLY[packet[2]](self, packet)

    def replay(self, packet: bytes) -> None:
        """See `canvas.Canvas.replay`: these limits have never changed."""
        self.apply(packet)

    # ------------------------------------------------------------ strokes
    def _add(self, packet: bytes) -> Applied:
        self._make_room(len(packet))
        index = len(self.strokes)
        packet = _codec.with_index(packet, ADD_STROKE.id, index)
        self.strokes.append(packet)
        self._ids.append(self._next_id)
        self._next_id += 1
        return Applied(packet)

    def add_all(self, packets: list[bytes]) -> bool:
        """Append ADD_STROKE packets that `Codec.accept` has accepted, all or none."""
        size = sum(map(len, packets))
        if len(self.strokes) + len(packets) > STROKES_MAX or self._bytes + size > BYTES_MAX:
            return False
        self.strokes += packets
        self._ids += range(self._next_id, self._next_id + len(packets))
        self._next_id += len(packets)
        self._bytes += size
        return True

    def _insert(self, packet: bytes) -> Applied:
        index = packets.decode(packet)[0]
        if index > len(self.strokes):
            raise Refused(f"no room at {index}: there are {len(self.strokes)} strokes")
        self._make_room(len(packet))
        self.strokes.insert(index, _codec.with_index(packet, ADD_STROKE.id, index))
        self._ids.insert(index, self._next_id)
        self._next_id += 1
        return Applied(packet)

    def _replace(self, packet: bytes) -> Applied:
        index = packets.decode(packet)[0]
        (stroke,) = self._resolve([index])
        self._not_held_by_others([stroke], _author(packet))
        self._make_room(len(packet) - len(self.strokes[index]), 0)
        self.strokes[index] = _codec.with_index(packet, ADD_STROKE.id, index)
        return Applied(packet)

    def _remove(self, packet: bytes) -> Applied:
        indices: list[int] = packets.decode(packet)[0].tolist()
        strokes = self._resolve(indices)
        self._not_held_by_others(strokes, _author(packet))
        for index in indices:
            self._bytes -= len(self.strokes[index])
        for stroke in strokes:
            self._holder.pop(stroke, None)
        if len(indices) <= FEW:
            for index in indices:
                del self.strokes[index], self._ids[index]
        else:
            gone = set(indices)
            self.strokes = [s for i, s in enumerate(self.strokes) if i not in gone]
            self._ids = [s for i, s in enumerate(self._ids) if i not in gone]
        return Applied(packet)

    def _make_room(self, size: int, count: int = 1) -> None:
        if len(self.strokes) + count > STROKES_MAX or self._bytes + size > BYTES_MAX:
            raise Stale(f"the drawing is full: {STROKES_MAX} strokes or {BYTES_MAX >> 20} MiB")
        self._bytes += size

    # ------------------------------------------------------------ selections
    def _select(self, packet: bytes) -> Applied:
        author = _author(packet)
        indices: list[int] = packets.decode(packet)[0].tolist()
        strokes = self._resolve(indices)
        granted = {
            index: stroke
            for index, stroke in zip(indices, strokes, strict=True)
            if self._holder.get(stroke, author) == author
        }
        for stroke in granted.values():
            self._holder[stroke] = author
        refused = [index for index in dict.fromkeys(indices) if index not in granted]
        return _told(packet, SELECTED_STROKE, indices, list(granted), refused)

    def _unselect(self, packet: bytes) -> Applied:
        author = _author(packet)
        indices: list[int] = packets.decode(packet)[0].tolist()
        strokes = self._resolve(indices)
        held = {
            index: stroke
            for index, stroke in zip(indices, strokes, strict=True)
            if self._holder.get(stroke) == author
        }
        if not held:
            raise Refused("none of these strokes is yours to let go")
        for stroke in held.values():
            del self._holder[stroke]
        return _told(packet, UNSELECTED_STROKE, indices, list(held), [])

    def cost(self, packet: bytes) -> int:
        """See `canvas.Canvas.cost`."""
        return 0

    def release_cost(self, author: str) -> int:
        """See `canvas.Canvas.release_cost`."""
        return 0

    @property
    def size_cost(self) -> int:
        """See `canvas.Canvas.size_cost`: packets are joined, not read."""
        return 0

    def only_held(self, packet: bytes) -> bool:
        """See `canvas.Canvas.only_held`. An index beyond the end is nobody's."""
        named = packets.decode(packet)[0]
        author = _author(packet)
        indices = [named] if isinstance(named, int) else named.tolist()
        return all(
            index < len(self._ids) and self._holder.get(self._ids[index]) == author
            for index in indices
        )

    def selected(self) -> dict[str, list[int]]:
        """Indices that each author holds, ascending."""
        held: dict[str, list[int]] = {}
        if self._holder:
            for index, stroke in enumerate(self._ids):
                if stroke in self._holder:
                    held.setdefault(self._holder[stroke], []).append(index)
        return held

    def authors(self) -> list[str]:
        """See `canvas.Canvas.authors`."""
        return list(dict.fromkeys(self._holder.values()))

    def release(self, author: str, date: int) -> bytes:
        """See `canvas.Canvas.release`: an UNSELECTED_STROKE in the author's name."""
        indices = self.selected().get(author, [])
        for index in indices:
            del self._holder[self._ids[index]]
        return _index_packets(UNSELECTED_STROKE, date, author, indices)

    def _resolve(self, indices: Sequence[int]) -> list[int]:
        if max(indices) >= len(self._ids):
            raise Refused(f"no stroke at {max(indices)}: there are {len(self._ids)}")
        return [self._ids[index] for index in indices]

    def _not_held_by_others(self, strokes: Sequence[int], author: str) -> None:
        if self._holder and any(self._holder.get(s, author) != author for s in strokes):
            raise Stale("another user holds one of these strokes")

    # ------------------------------------------------------------ the whole canvas
    def _resize(self, packet: bytes) -> Applied:
        self.length, self.width = map(float, packets.decode(packet))
        return Applied(packet)

    def _reset(self, packet: bytes) -> Applied:
        self.clear()
        return Applied(packet)

    def clear(self) -> None:
        """See `canvas.Canvas.clear`."""
        self.strokes = []
        self._ids = []
        self._bytes = 0
        self._holder = {}

    def snapshot(self, date: int) -> list[bytes]:
        """See `canvas.Canvas.snapshot`: size, strokes as their authors sent them, selections."""
        selections = b"".join(
            _index_packets(SELECTED_STROKE, date, author, indices)
            for author, indices in self.selected().items()
        )
        size = RESIZE_CANVAS.encode_reply(date, self.length, self.width)
        chunks = [size, *_codec.numbered(self.strokes, ADD_STROKE.id)]
        return [*chunks, selections] if selections else chunks

    def dump(self) -> tuple[dict[str, Any], list[bytes]]:
        """See `canvas.Canvas.dump`."""
        meta = {"length": self.length, "width": self.width, "selected": self.selected()}
        return meta, list(self.strokes)

    def load(self, meta: dict[str, Any], blobs: list[bytes]) -> None:
        """See `canvas.Canvas.load`."""
        self.clear()
        try:
            self.length, self.width = float(meta["length"]), float(meta["width"])
            self.strokes = list(blobs)
            self._ids = list(range(self._next_id, self._next_id + len(blobs)))
            self._next_id += len(blobs)
            self._bytes = sum(map(len, blobs))
            for author, indices in meta["selected"].items():
                for index in indices:
                    self._holder[self._ids[index]] = author
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"a stored drawing does not make sense: {error!r}") from error

    @property
    def bytes_used(self) -> int:
        """See `canvas.Canvas.bytes_used`."""
        return self._bytes


_APPLY: Final = {
    ADD_STROKE.id: StrokeCanvas._add,
    INSERT_STROKE.id: StrokeCanvas._insert,
    REPLACE_STROKE.id: StrokeCanvas._replace,
    REMOVE_STROKE.id: StrokeCanvas._remove,
    SELECTED_STROKE.id: StrokeCanvas._select,
    UNSELECTED_STROKE.id: StrokeCanvas._unselect,
    RESIZE_CANVAS.id: StrokeCanvas._resize,
    RESIZE_CANVAS_INT.id: StrokeCanvas._resize,
    RESET_CANVAS.id: StrokeCanvas._reset,
}
packets.must_apply(_APPLY, Mode.STROKE)


def _author(packet: bytes) -> str:
    return packet[8 : 8 + packet[7]].decode()


def _told(
    packet: bytes, kind: packets.Packet, asked: list[int], granted: list[int], refused: list[int]
) -> Applied:
    """The packet for the others with what was granted; an UNSELECTED_STROKE for the rest."""
    _, date, name, _ = _codec.header(packet)
    if len(granted) != len(asked):
        packet = kind.encode_reply(date, np.array(granted), name=name) if granted else b""
    correction = UNSELECTED_STROKE.encode_reply(date, refused, name=name) if refused else b""
    return Applied(packet, correction)


def _index_packets(kind: packets.Packet, date: int, author: str, indices: list[int]) -> bytes:
    """As many packets as it takes to name these strokes; the highest first."""
    name = author.encode()
    most = (packets.DATA_BYTES_MAX - len(name)) // 4
    indices = sorted(indices, reverse=True)
    return b"".join(
        kind.encode_reply(date, indices[at : at + most], name=name)
        for at in range(0, len(indices), most)
    )
