"""The journal's mark: which batches it must have, in a file of its own.

After each commit the batch's number is noted in memory that the operating system writes to the
file: it survives a killed process, and costs 0.2 µs. Whoever opens the journal then sees whether
its end is missing, which SQLite would not say; and which batches had been forgotten already.

Counterpart: `sqlite_journal.py`.
"""

import mmap
import struct
from functools import partial
from pathlib import Path
from typing import Final

NUMBERS: Final = struct.Struct("<QQQQ")
"""first, last, and both inverted: whatever is damaged differs."""
INVERTED: Final = 0xFFFF_FFFF_FFFF_FFFF


def read(path: Path) -> tuple[int, int] | None:
    """(first batch that is needed, last batch that was committed); None when damaged.

    (0, 0) when there is no mark. Raises OSError.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0, 0
    if len(data) != NUMBERS.size:
        return None
    first, last, not_first, not_last = NUMBERS.unpack(data)
    whole = first == not_first ^ INVERTED and last == not_last ^ INVERTED
    return (first, last) if whole else None


class Mark:
    """The mark of an open journal. Raises OSError."""

    def __init__(self, path: Path, first: int, last: int) -> None:
        self.first = first
        self.last = last
        unfinished = path.with_name(path.name + ".partial")
        unfinished.write_bytes(self._packed())
        unfinished.replace(path)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), NUMBERS.size)
        self._put = partial(NUMBERS.pack_into, self._memory, 0)

    def _packed(self) -> bytes:
        first, last = self.first, self.last
        return NUMBERS.pack(first, last, first ^ INVERTED, last ^ INVERTED)

    def committed(self, last: int) -> None:
        """The journal has batches up to this one."""
        self.last = last
        first = self.first
        self._put(first, last, first ^ INVERTED, last ^ INVERTED)

    def forgotten(self, before: int) -> None:
        """Nobody needs batches with lower numbers any more."""
        self.first = max(self.first, before)
        self.committed(self.last)

    def close(self) -> None:
        """Release the memory."""
        self._memory.close()
