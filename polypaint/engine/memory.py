"""What the large things that a server holds take together, against one ceiling.

Whoever holds something large says so here, by kind, and asks before it takes much more. Bytes that
several share (pieces of a snapshot) are counted once. Small things may use all of the ceiling,
large ones only three quarters of it, so that a few large drawings do not stop all small ones.

Must never ask the machine: what there is, is an argument. Counterparts: `runtime/machine.py` knows
the machine, `paint/replays.py` gives back what is least needed.
"""

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["canvases", "selections", "snapshots", "held", "undo"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
UNLIMITED: Final = 1 << 62
SMALL: Final = 1 / 64
"""Of the ceiling: what takes less than this is small."""
FOR_LARGE: Final = 3 / 4
"""Of the ceiling: what large things may use."""


class Memory:
    """See the module. bytes_max: the ceiling. used: bytes by kind; total: of all kinds."""

    def __init__(self, bytes_max: int = UNLIMITED) -> None:
        self.bytes_max = bytes_max
        self.used: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self.total = 0
        self.tight = False
        """Is so much used that large things may not grow any more?"""
        self._shared: dict[int, int] = {}

    def change(self, kind: Kind, by: int) -> None:
        """Something takes so much more; less, if it is negative."""
        self.used[kind] += by
        self.total += by
        self.tight = self.total > FOR_LARGE * self.bytes_max

    def lacks(self, size: int, own: int = 0) -> int:
        """How many bytes have to be given back before something may take `size` more; 0: none.

        own: what it takes already.
        """
        small = size + own <= SMALL * self.bytes_max
        ceiling = self.bytes_max if small else int(FOR_LARGE * self.bytes_max)
        return max(0, self.total + size - ceiling)

    # ------------------------------------------------------------ what several share
    def hold(self, pieces: Iterable[bytes]) -> None:
        """Somebody holds these pieces of a snapshot, and perhaps others do."""
        shared = self._shared
        more = 0
        for piece in pieces:
            holders = shared.get(id(piece), 0)
            if not holders:
                more += len(piece)
            shared[id(piece)] = holders + 1
        self.change("snapshots", more)

    def drop(self, pieces: Iterable[bytes]) -> None:
        """They hold them no more: call it while these very objects are still there."""
        shared = self._shared
        less = 0
        for piece in pieces:
            holders = shared.pop(id(piece))
            if holders > 1:
                shared[id(piece)] = holders - 1
            else:
                less += len(piece)
        self.change("snapshots", -less)
