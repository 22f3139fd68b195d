"""The log of a turn: records, in order, that the journal keeps in one commit before anybody sees
what they tell.

A record belongs to a stream, which has a number: a drawing's own, or DOCUMENTS. What is in it only
the stream's owner knows.

Must never do I/O. Counterparts: `store.Journal` keeps batches, `recovery.py` reads them back.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from polypaint.errors import StoreError

RECORD: Final = struct.Struct("<IIQ")
"""Of a log record: bytes that follow, stream number, sequence number; then what it says."""
DOCUMENTS: Final = 0xFFFF_FFFF
"""The stream of `book.Book`; drawings are counted from 1."""


@dataclass(slots=True)
class Log:
    """Records of the turn, for one commit. batch: its number in the journal; size: their bytes.

    notify: called without arguments when the first record of a turn arrives.
    """

    batch: int = 1
    records: list[bytes] = field(default_factory=list)
    size: int = 0
    notify: Callable[[], None] | None = None

    def add(self, number: int, seq: int, record: bytes) -> None:
        """One more record of this stream."""
        if not self.records and self.notify is not None:
            self.notify()
        self.records.append(RECORD.pack(len(record), number, seq) + record)
        self.size += len(record)

    def take(self) -> bytes:
        """All records since the last time; the next batch begins."""
        if not self.records:
            return b""
        batch = b"".join(self.records)
        self.records.clear()
        self.size = 0
        self.batch += 1
        return batch


def records(batch: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(stream number, sequence number, record) of each record. Raises StoreError."""
    at = 0
    while at < len(batch):
        if at + RECORD.size > len(batch):
            raise StoreError("a journal batch ends in the middle of a record")
        size, number, seq = RECORD.unpack_from(batch, at)
        at += RECORD.size
        if at + size > len(batch):
            raise StoreError("a journal batch ends in the middle of a record")
        yield number, seq, batch[at : at + size]
        at += size
