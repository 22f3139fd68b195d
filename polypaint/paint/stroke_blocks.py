"""A long list of strokes, and who holds which, in blocks: to change it costs little at any length.

A block has about BLOCK_STROKES strokes or BLOCK_BYTES. To insert or remove one touches its block,
and one number of every block behind it. What a newcomer is sent is made a block at a time and kept
for as long as the block and its place are unchanged.

Must never import a canvas. Counterpart: `strokes.py`, which has the rules.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final, overload

from polypaint import _codec

BLOCK_STROKES: Final = 1024
BLOCK_BYTES: Final = 256 << 10
FEW: Final = 16
"""Up to so many strokes are deleted from a block one by one; more by copying it."""
PIECES_MAX: Final = 16
"""Of a block; then they are made anew, as one."""
BLOCK_NS: Final = 100
"""About how long it takes to look at a block, or to give it another place."""
STROKE_NS: Final = 60
"""The same for a stroke that is looked at among others."""
INDEX_NS: Final = 2000
"""The same for a stroke that is named by its position."""


class Block:
    """Strokes that stand together.

    start: position of the first; size: their bytes; holders: for each who holds it, None when
    nobody holds any; held: how many are held. joined: see `Strokes.joined`: pieces of the first
    joined_count strokes, of joined_bytes, made when the block began at joined_at. holding: bytes
    of pieces that hold as long as the block does not move, as `Strokes` has counted them.
    """

    __slots__ = (
        "held", "holders", "holding", "joined", "joined_at", "joined_bytes", "joined_count",
        "packets", "size", "start",
    )  # fmt: skip

    def __init__(self, packets: list[bytes], size: int, start: int) -> None:
        self.packets = packets
        self.size = size
        self.start = start
        self.holders: list[str | None] | None = None
        self.held = 0
        self.joined: list[bytes] = []
        self.joined_count = 0
        self.joined_bytes = 0
        self.joined_at = start
        self.holding = 0


class Strokes(Sequence[bytes]):
    """A list of strokes in blocks.

    size: bytes of all strokes; joined_size: of what `joined` has kept; held: how many are held.
    """

    def __init__(self, packets: Sequence[bytes] = ()) -> None:
        self._blocks: list[Block] = []
        self._starts: list[int] = []
        self._count = 0
        self._held: dict[str, dict[Block, int]] = {}
        self._held_blocks = 0
        """How many pairs there are of somebody and a block in which they hold something."""
        self.held = 0
        self._holding = 0
        """Bytes of all pieces that hold."""
        self.size = 0
        self.joined_size = 0
        for at in range(0, len(packets), BLOCK_STROKES):
            self._append_block(list(packets[at : at + BLOCK_STROKES]))

    # ------------------------------------------------------------ reading
    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        return (packet for block in self._blocks for packet in block.packets)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return self.all()[index]
        if not -self._count <= index < self._count:
            raise IndexError(f"there are {self._count} strokes")
        block = self._block(index % self._count)
        return block.packets[index % self._count - block.start]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Strokes | list):
            return len(other) == self._count and all(
                a == b for a, b in zip(self, other, strict=True)
            )
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def all(self) -> list[bytes]:
        """Every stroke, copied block by block: no one step of it takes long."""
        packets: list[bytes] = []
        for block in self._blocks:
            packets += block.packets
        return packets

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self._blocks)

    def _number(self, index: int) -> int:
        """Of the block that has this position, which must be one."""
        return bisect_right(self._starts, index) - 1

    def _block(self, index: int) -> Block:
        return self._blocks[bisect_right(self._starts, index) - 1]

    # ------------------------------------------------------------ changing
    def extend(self, packets: list[bytes], size: int) -> None:
        """Append these; size: their bytes."""
        blocks = self._blocks
        block = blocks[-1] if blocks else None
        if block is None or len(block.packets) >= BLOCK_STROKES or block.size >= BLOCK_BYTES:
            block = Block([], 0, self._count)
            blocks.append(block)
            self._starts.append(self._count)
        block.packets += packets
        block.size += size
        if block.holders is not None:
            block.holders += [None] * len(packets)
        self._count += len(packets)
        self.size += size

    def insert(self, index: int, packet: bytes) -> None:
        """Insert at 0…len."""
        if index == self._count:
            self.extend([packet], len(packet))
            return
        number = self._number(index)
        block = self._blocks[number]
        block.packets.insert(index - block.start, packet)
        if block.holders is not None:
            block.holders.insert(index - block.start, None)
        block.size += len(packet)
        self._count += 1
        self.size += len(packet)
        self._changed(block)
        if len(block.packets) > 2 * BLOCK_STROKES or block.size > 2 * BLOCK_BYTES:
            self._split(number)
        self._renumber(number + 1)

    def replace(self, index: int, packet: bytes) -> None:
        """Put this in the place of another; who holds it still does."""
        block = self._block(index)
        more = len(packet) - len(block.packets[index - block.start])
        block.packets[index - block.start] = packet
        block.size += more
        self.size += more
        self._changed(block)

    def remove(self, indices: list[int]) -> None:
        """Remove these; indices: strictly descending, all of them positions."""
        at = number = 0
        while at < len(indices):
            number = self._number(indices[at])
            block = self._blocks[number]
            first = at
            while at < len(indices) and indices[at] >= block.start:
                at += 1
            self._remove(block, [index - block.start for index in indices[first:at]])
            number = self._tidy(number)
        self._renumber(number)

    def _remove(self, block: Block, offsets: list[int]) -> None:
        """offsets: descending."""
        size = sum([len(block.packets[offset]) for offset in offsets])
        for offset in offsets:
            self._let_go(block, offset)
        if len(offsets) <= FEW:
            for offset in offsets:
                del block.packets[offset]
                if block.holders is not None:
                    del block.holders[offset]
        else:
            gone = set(offsets)
            left = [offset for offset in range(len(block.packets)) if offset not in gone]
            if block.holders is not None:
                block.holders = [block.holders[offset] for offset in left]
            block.packets = [block.packets[offset] for offset in left]
        block.size -= size
        self.size -= size
        self._count -= len(offsets)
        self._changed(block)

    def clear(self) -> None:
        """Remove all, block by block: to free a million objects in one step would take long."""
        self._held = {}
        self._starts = []
        self._count = self.size = self.joined_size = 0
        self._held_blocks = self.held = self._holding = 0
        while self._blocks:
            self._blocks.pop()

    # ------------------------------------------------------------ blocks
    def _append_block(self, packets: list[bytes]) -> None:
        """One block of these, or two if they are large."""
        size = sum(map(len, packets))
        if size > 2 * BLOCK_BYTES and len(packets) > 1:
            half = len(packets) // 2
            self._append_block(packets[:half])
            self._append_block(packets[half:])
            return
        self._blocks.append(Block(packets, size, self._count))
        self._starts.append(self._count)
        self._count += len(packets)
        self.size += size

    def _changed(self, block: Block) -> None:
        """What was made of it does not hold any more; what is appended changes nothing of it."""
        self.joined_size -= block.joined_bytes
        block.joined = []
        block.joined_count = block.joined_bytes = 0
        block.joined_at = block.start
        self._count_holding(block)

    def _count_holding(self, block: Block) -> None:
        """Pieces of this block were made or dropped, or it has moved."""
        holding = block.joined_bytes if block.joined_at == block.start else 0
        self._holding += holding - block.holding
        block.holding = holding

    def _renumber(self, number: int) -> None:
        """Blocks from this one on have moved."""
        start = 0
        if number > 0 and self._blocks:
            number = min(number, len(self._blocks))
            before = self._blocks[number - 1]
            start = before.start + len(before.packets)
        for at in range(number, len(self._blocks)):
            block = self._blocks[at]
            if block.start != start:
                block.start = self._starts[at] = start
                self._count_holding(block)
            start += len(block.packets)

    def _split(self, number: int) -> None:
        """Make two of a block that has become large."""
        block = self._blocks[number]
        half = len(block.packets) // 2
        if not half:
            return
        size = sum(map(len, block.packets[half:]))
        upper = Block(block.packets[half:], size, block.start + half)
        del block.packets[half:]
        block.size -= size
        if block.holders is not None:
            holders, block.holders = block.holders, block.holders[:half]
            upper.holders = holders[half:]
            for author in filter(None, upper.holders):
                self._count_held(block, author, -1)
                self._count_held(upper, author, 1)
        self._blocks.insert(number + 1, upper)
        self._starts.insert(number + 1, upper.start)

    def _tidy(self, number: int) -> int:
        """After a removal: join a small block with a small neighbour, drop an empty one.

        Returns the first block whose place has to be looked at.
        """
        for upper in (number + 1, number):
            if 0 < upper < len(self._blocks):
                lower, block = self._blocks[upper - 1], self._blocks[upper]
                if (
                    2 * (len(lower.packets) + len(block.packets)) <= BLOCK_STROKES
                    and 2 * (lower.size + block.size) <= BLOCK_BYTES
                ):
                    self._merge(lower, block)
                    del self._blocks[upper], self._starts[upper]
                    number = min(number, upper - 1)
        if self._blocks and not self._blocks[number].packets:
            del self._blocks[number], self._starts[number]
        return number

    def _merge(self, lower: Block, upper: Block) -> None:
        """Move the upper block's strokes to the end of the lower one."""
        if lower.holders is not None or upper.holders is not None:
            holders = lower.holders or [None] * len(lower.packets)
            lower.holders = holders + (upper.holders or [None] * len(upper.packets))
            for author in filter(None, upper.holders or ()):
                self._count_held(upper, author, -1)
                self._count_held(lower, author, 1)
        lower.packets += upper.packets
        lower.size += upper.size
        upper.packets, upper.size = [], 0
        self._changed(lower)
        self._changed(upper)

    # ------------------------------------------------------------ who holds what
    def holder(self, index: int) -> str | None:
        """Who holds the stroke at this position."""
        block = self._block(index)
        return None if block.holders is None else block.holders[index - block.start]

    def hold(self, index: int, author: str) -> None:
        """Have this author hold it; nobody else may."""
        block = self._block(index)
        if block.holders is None:
            block.holders = [None] * len(block.packets)
        if block.holders[index - block.start] is None:
            block.holders[index - block.start] = author
            self._count_held(block, author, 1)

    def let_go(self, index: int) -> None:
        """Have nobody hold it."""
        block = self._block(index)
        self._let_go(block, index - block.start)

    def _let_go(self, block: Block, offset: int) -> None:
        author = block.holders[offset] if block.holders is not None else None
        if author is not None and block.holders is not None:
            block.holders[offset] = None
            self._count_held(block, author, -1)

    def _count_held(self, block: Block, author: str, change: int) -> None:
        blocks = self._held.setdefault(author, {})
        self._held_blocks += block not in blocks
        self.held += change
        blocks[block] = blocks.get(block, 0) + change
        if not blocks[block]:
            self._held_blocks -= 1
            del blocks[block]
            if not blocks:
                del self._held[author]
        block.held += change
        if not block.held:
            block.holders = None

    def holders(self) -> list[str]:
        """Everybody who holds something."""
        return list(self._held)

    def others_hold(self, indices: Sequence[int], author: str) -> bool:
        """Does anybody but this author hold one of these?"""
        if not self._held or (len(self._held) == 1 and author in self._held):
            return False
        return any(self.holder(index) not in (None, author) for index in indices)

    def held_by(self, author: str) -> list[int]:
        """Positions of what this author holds, ascending."""
        indices: list[int] = []
        for block in sorted(self._held.get(author, ()), key=_start):
            indices += [
                offset
                for offset, holder in enumerate(block.holders or (), block.start)
                if holder == author
            ]
        return indices

    def release(self, author: str) -> list[int]:
        """Have this author hold nothing; what they held, ascending."""
        indices = self.held_by(author)
        for index in indices:
            self.let_go(index)
        return indices

    def held_cost(self, author: str) -> int:
        """About how many nanoseconds `release` takes."""
        blocks = self._held.get(author)
        if not blocks:
            return 0
        return _held_cost(len(blocks), sum(blocks.values()))

    @property
    def all_held_cost(self) -> int:
        """The same for everybody who holds something."""
        return _held_cost(self._held_blocks, self.held)

    # ------------------------------------------------------------ what a newcomer is sent
    def joined(self, type_id: int) -> list[bytes]:
        """All strokes as packets of this type with their positions as index, in a few pieces.

        Only what is new since the last time is made; the other pieces are the same objects.
        """
        pieces: list[bytes] = []
        for block in self._blocks:
            if block.joined_at != block.start:
                self._changed(block)
            if block.joined_count < len(block.packets):
                if len(block.joined) >= PIECES_MAX:
                    self._changed(block)
                self._join_rest(block, type_id)
            pieces += block.joined
        return pieces

    def _join_rest(self, block: Block, type_id: int) -> None:
        """Make a piece of the strokes of which there is none."""
        done = block.joined_count
        rest = block.packets[done:] if done else block.packets
        block.joined += _codec.numbered(rest, type_id, 1 << 62, block.start + done)
        block.joined_count = len(block.packets)
        block.joined_bytes += len(block.joined[-1])
        self.joined_size += len(block.joined[-1])
        self._count_holding(block)

    @property
    def unjoined(self) -> int:
        """Bytes that `joined` would have to make."""
        return self.size - self._holding

    def forget_joined(self) -> None:
        """Give back the memory of what `joined` has kept."""
        for block in self._blocks:
            self._changed(block)


def _held_cost(blocks: int, held: int) -> int:
    return blocks * BLOCK_STROKES * STROKE_NS + held * INDEX_NS


def _start(block: Any) -> int:
    start: int = block.start
    return start
