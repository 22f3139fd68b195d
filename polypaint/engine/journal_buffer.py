"""The log of a turn: records, in order, that the journal keeps in one commit before anybody sees
what they tell.

A record belongs to a stream, which has a number: a drawing's own, or DOCUMENTS. What is in it only
the stream's owner knows.

Must never do I/O. Counterparts: `store.Journal` keeps batches, `runtime/recovery.py` reads them
back.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from zlib import crc32

from polypaint.errors import StoreError

RECORD: Final = struct.Struct("<IIQI")
"""Of a log record: bytes that follow, stream number, sequence number, checksum; then the bytes."""
UNCHECKED: Final = struct.Struct("<IIQ")
"""The same in journals of format 2 and older."""
DOCUMENTS: Final = 0xFFFF_FFFF
"""The stream of `book.DocumentBuffer`; drawings are counted from 1."""
_SPREAD: Final = 0x9E37_79B1
"""Checksums begin with this, so that zeros are no record, and each stream's differ."""
_PRIME: Final = 0xFFFF_FFFB
"""The largest of 32 bits: whatever bit of a number is flipped, its remainder changes."""


@dataclass(slots=True)
class JournalBuffer:
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
        crc = crc32(record, ((number + 1) * _SPREAD + seq) % _PRIME)  # `_checksum`, uncalled
        self.records.append(RECORD.pack(len(record), number, seq, crc) + record)
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


class Record(NamedTuple):
    """One record of a batch. number: its stream; seq: its place in it."""

    number: int
    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Damaged:
    """Bytes of a batch that are no record any more. number, seq: as far as they can be read."""

    number: int | None
    seq: int | None
    size: int


def is_of_documents(record: bytes) -> bool:
    """Does a record, with its header, belong to the stream of documents?"""
    number: int = RECORD.unpack_from(record)[1]
    return number == DOCUMENTS


def records(batch: bytes) -> Iterator[Record]:
    """Every record of a batch, in order. Raises StoreError at the first that is damaged."""
    for part in salvaged(batch):
        if isinstance(part, Damaged):
            raise StoreError("a journal batch is damaged")
        yield part


def salvaged(batch: bytes) -> Iterator[Record | Damaged]:
    """Every record of a batch, in order, and what stands between them where it is damaged."""
    at = 0
    while at < len(batch):
        record = _record_at(batch, at)
        if record is None:
            end = _next_record(batch, at + 1)
            yield _damaged(batch, at, end)
            at = end
        else:
            yield record
            at += RECORD.size + len(record.data)


def _record_at(batch: bytes, at: int) -> Record | None:
    """The record that begins here; None when none does, or its checksum is wrong."""
    start = at + RECORD.size
    if start > len(batch):
        return None
    size, number, seq, crc = RECORD.unpack_from(batch, at)
    if start + size > len(batch):
        return None
    data = batch[start : start + size]
    return Record(number, seq, data) if _checksum(number, seq, data) == crc else None


def _next_record(batch: bytes, at: int) -> int:
    """Where the next record begins that is whole; the end when none is."""
    while at < len(batch) and _record_at(batch, at) is None:
        at += 1
    return at


def _damaged(batch: bytes, at: int, end: int) -> Damaged:
    """What can be said of a damaged part. Its header is believed if it fits the damage."""
    if at + RECORD.size <= end:
        size, number, seq, _ = RECORD.unpack_from(batch, at)
        if at + RECORD.size + size == end:
            return Damaged(number, seq, end - at)
    return Damaged(None, None, end - at)


def _checksum(number: int, seq: int, data: bytes) -> int:
    return crc32(data, ((number + 1) * _SPREAD + seq) % _PRIME)


def checked(batch: bytes) -> bytes:
    """A batch of format 2, whose records had no checksums, as it is today. Raises StoreError."""
    log = JournalBuffer()
    at = 0
    while at < len(batch):
        start = at + UNCHECKED.size
        if start > len(batch):
            raise StoreError("a journal batch ends in the middle of a record")
        size, number, seq = UNCHECKED.unpack_from(batch, at)
        if start + size > len(batch):
            raise StoreError("a journal batch ends in the middle of a record")
        log.add(number, seq, batch[start : start + size])
        at = start + size
    return log.take()


def missing(numbers: list[int], first: int, last: int) -> str:
    """Which batches are not there, as text: `3, 7-9`.

    first: that is needed, 0 where that is not known; last: that was committed, the same.
    """
    known = set(numbers)
    begin = first or (1 if last else min(known, default=1))
    end = max([*numbers, last])
    gaps: list[tuple[int, int]] = []
    expected = begin
    for number in [*sorted(x for x in known if x >= begin), end + 1]:
        if number > expected:
            gaps.append((expected, number - 1))
        expected = number + 1
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in gaps)
