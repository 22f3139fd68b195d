"""The canvas of a stroke lobby: a list of strokes, and who holds which.

A stroke is the ADD_STROKE packet that made it, with author, date and style; only its index is
written anew when it is sent. Who holds a stroke stands beside it, so selections survive shifts.

Must never import a lobby or a session. Counterparts: `stroke_blocks.py` keeps them; `pixels.py`.
Protocol: docs/protocol.md, section 5, "Stroke mode".
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from polypaint import _codec
from polypaint._codec import HEADER_BYTES
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
from polypaint.paint.stroke_blocks import BLOCK_NS, INDEX_NS, STROKE_NS, Strokes

STROKES_MAX: Final = 1_000_000
BYTES_MAX: Final = 512 << 20
STROKE_BYTES: Final = 56
"""What a stroke takes in memory beside its packet, about."""


class StrokeCanvas:
    """The `canvas.Canvas` of a stroke lobby.

    strokes: ADD_STROKE packets whose index field means nothing.
    """

    mode = Mode.STROKE
    needs_client_snapshot = False

    def __init__(self) -> None:
        self.length: float = canvas.LENGTH
        self.width: float = canvas.WIDTH
        self.strokes = Strokes()

    def apply(self, packet: bytes) -> Applied:
        return _APPLY[packet[2]](self, packet)

    def replay(self, packet: bytes) -> None:
        """These limits have never changed."""
        self.apply(packet)

    # ------------------------------------------------------------ strokes
    def _add(self, packet: bytes) -> Applied:
        self._must_fit(len(packet))
        packet = _codec.with_index(packet, ADD_STROKE.id, len(self.strokes))
        self.strokes.extend([packet], len(packet))
        return Applied(packet)

    def add_all(self, packets: list[bytes]) -> bool:
        """Append ADD_STROKE packets that `Codec.accept` has accepted, all or none."""
        size = sum(map(len, packets))
        strokes = self.strokes
        if len(strokes) + len(packets) > STROKES_MAX or strokes.size + size > BYTES_MAX:
            return False
        strokes.extend(packets, size)
        return True

    def _insert(self, packet: bytes) -> Applied:
        index = packets.decode(packet)[0]
        if index > len(self.strokes):
            raise Refused(f"no room at {index}: there are {len(self.strokes)} strokes")
        self._must_fit(len(packet))
        self.strokes.insert(index, _codec.with_index(packet, ADD_STROKE.id, index))
        return Applied(packet)

    def _replace(self, packet: bytes) -> Applied:
        index = packets.decode(packet)[0]
        self._must_exist([index])
        self._not_held_by_others([index], _author(packet))
        self._must_fit(len(packet) - len(self.strokes[index]), 0)
        self.strokes.replace(index, _codec.with_index(packet, ADD_STROKE.id, index))
        return Applied(packet)

    def _remove(self, packet: bytes) -> Applied:
        indices: list[int] = packets.decode(packet)[0].tolist()
        self._must_exist(indices)
        self._not_held_by_others(indices, _author(packet))
        self.strokes.remove(indices)
        return Applied(packet)

    def _must_fit(self, size: int, count: int = 1) -> None:
        if len(self.strokes) + count > STROKES_MAX or self.strokes.size + size > BYTES_MAX:
            raise Stale(f"the drawing is full: {STROKES_MAX} strokes or {BYTES_MAX >> 20} MiB")

    # ------------------------------------------------------------ selections
    def _select(self, packet: bytes) -> Applied:
        author = _author(packet)
        indices: list[int] = packets.decode(packet)[0].tolist()
        self._must_exist(indices)
        granted: dict[int, None] = {}
        refused: dict[int, None] = {}
        for index in indices:
            free = self.strokes.holder(index) in (None, author)
            (granted if free else refused)[index] = None
        for index in granted:
            self.strokes.hold(index, author)
        return _told(packet, SELECTED_STROKE, indices, list(granted), list(refused))

    def _unselect(self, packet: bytes) -> Applied:
        author = _author(packet)
        indices: list[int] = packets.decode(packet)[0].tolist()
        self._must_exist(indices)
        held = [index for index in dict.fromkeys(indices) if self.strokes.holder(index) == author]
        if not held:
            raise Refused("none of these strokes is yours to let go")
        for index in held:
            self.strokes.let_go(index)
        return _told(packet, UNSELECTED_STROKE, indices, held, [])

    def cost(self, packet: bytes) -> int:
        kind = packet[2]
        if kind == INSERT_STROKE.id:
            return BLOCK_NS * self.strokes.blocks
        if kind in (REMOVE_STROKE.id, SELECTED_STROKE.id, UNSELECTED_STROKE.id):
            named = (len(packet) - HEADER_BYTES - packet[7]) // 4
            shifted = BLOCK_NS * self.strokes.blocks if kind == REMOVE_STROKE.id else 0
            return INDEX_NS * named + shifted
        if kind == RESET_CANVAS.id:
            return STROKE_NS * len(self.strokes)
        return 0

    def release_cost(self, author: str) -> int:
        return self.strokes.held_cost(author)

    @property
    def size_cost(self) -> int:
        return STROKE_NS * len(self.strokes) + self.strokes.all_held_cost

    @property
    def snapshot_cost(self) -> int:
        """What is joined already is not joined again."""
        strokes = self.strokes
        return strokes.unjoined + BLOCK_NS * strokes.blocks + strokes.all_held_cost

    @property
    def free_cost(self) -> int:
        return STROKE_NS * len(self.strokes)

    def load_cost(self, blobs: list[bytes]) -> int:
        return STROKE_NS * len(blobs)

    def only_held(self, packet: bytes) -> bool:
        """An index beyond the end is nobody's."""
        named = packets.decode(packet)[0]
        author = _author(packet)
        indices = [named] if isinstance(named, int) else named.tolist()
        count = len(self.strokes)
        return all(index < count and self.strokes.holder(index) == author for index in indices)

    def selected(self) -> dict[str, list[int]]:
        """Indices that each author holds, ascending."""
        return {author: self.strokes.held_by(author) for author in self.strokes.holders()}

    def authors(self) -> list[str]:
        return self.strokes.holders()

    def release(self, author: str, date: int) -> bytes:
        """An UNSELECTED_STROKE in the author's name."""
        return _index_packets(UNSELECTED_STROKE, date, author, self.strokes.release(author))

    def _must_exist(self, indices: Sequence[int]) -> None:
        if max(indices) >= len(self.strokes):
            raise Refused(f"no stroke at {max(indices)}: there are {len(self.strokes)}")

    def _not_held_by_others(self, indices: Sequence[int], author: str) -> None:
        if self.strokes.others_hold(indices, author):
            raise Stale("another user holds one of these strokes")

    # ------------------------------------------------------------ the whole canvas
    def _resize(self, packet: bytes) -> Applied:
        self.length, self.width = map(float, packets.decode(packet))
        return Applied(packet)

    def _reset(self, packet: bytes) -> Applied:
        self.clear()
        return Applied(packet)

    def clear(self) -> None:
        self.strokes.clear()

    def free(self) -> None:
        self.strokes.clear()

    def snapshot(self, date: int) -> list[bytes]:
        """Size, strokes as their authors sent them, selections."""
        selections = b"".join(
            _index_packets(SELECTED_STROKE, date, author, indices)
            for author, indices in self.selected().items()
        )
        size = RESIZE_CANVAS.encode_reply(date, self.length, self.width)
        chunks = [size, *self.strokes.joined(ADD_STROKE.id)]
        return [*chunks, selections] if selections else chunks

    def forget_snapshot(self) -> None:
        self.strokes.forget_joined()

    def dump(self) -> tuple[dict[str, Any], list[bytes]]:
        meta = {"length": self.length, "width": self.width, "selected": self.selected()}
        return meta, self.strokes.all()

    def load(self, meta: dict[str, Any], blobs: list[bytes]) -> None:
        try:
            self.length, self.width = float(meta["length"]), float(meta["width"])
            self.strokes = Strokes(blobs)
            for author, indices in meta["selected"].items():
                for index in indices:
                    if not 0 <= index < len(blobs):
                        raise ValueError("somebody holds a stroke that is not there")
                    if self.strokes.holder(index) is None:
                        self.strokes.hold(index, author)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"a stored drawing does not make sense: {error!r}") from error

    @property
    def bytes_used(self) -> int:
        return self.strokes.size

    @property
    def memory_used(self) -> int:
        return self.strokes.size + STROKE_BYTES * len(self.strokes)

    selections_used = 0

    @property
    def snapshot_growth(self) -> int:
        return self.strokes.unjoined

    def growth(self, packet: bytes) -> int:
        grows = packet[2] in (ADD_STROKE.id, INSERT_STROKE.id, REPLACE_STROKE.id)
        return STROKE_BYTES + len(packet) if grows else 0


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
