"""SQLite's write-ahead log, read for damage before SQLite reads it.

Its frames carry a running checksum, and SQLite takes the first that is wrong for the end: whatever
follows a flipped bit is lost without a word. Here each frame is checked by itself, after the
checksum that the one before it says. A frame in which one bit is wrong is corrected (the checksum
tells which), one in which more is wrong is left out, and all others are kept.

File format: https://www.sqlite.org/fileformat2.html#walformat. Must never import the rest of the
store. Counterpart: `sqlite_files.py`, which opens the database afterwards.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

HEADER: Final = 32
FRAME_HEADER: Final = 24
LITTLE, BIG = 0x377F0682, 0x377F0683
VERSION: Final = 3007000
CHUNK: Final = 512
"""Frames that are checked together."""

Words = npt.NDArray[np.uint32]


@dataclass(slots=True)
class Scan:
    """What is in a log. problems: sentences; torn_bytes: of a write that was never finished.

    mended: the log as it should be; None when it is.
    """

    problems: list[str] = field(default_factory=list)
    torn_bytes: int = 0
    mended: bytes | None = None


@dataclass(slots=True)
class _Damaged:
    """A frame in which something is wrong. content: its first 8 bytes and its page, as they
    should be; None: that cannot be told."""

    page: int
    content: bytes | None = None
    sums: Words | None = None
    """Its checksum as it should be."""
    corrected: bool = True


class _Sums:
    """The checksum as a linear function of the words that it runs over."""

    def __init__(self, pairs: int) -> None:
        """pairs: of 32-bit words."""
        a, power = np.array([[1, 1], [1, 2]], np.uint32), np.eye(2, dtype=np.uint32)
        own = np.empty((pairs, 2, 2), np.uint32)
        b = np.array([[1, 0], [1, 1]], np.uint32)
        for i in range(pairs - 1, -1, -1):
            own[i] = power @ b
            power = power @ a
        self.before = power
        """Of the checksum before."""
        self.words = np.ascontiguousarray(own.transpose(1, 0, 2).reshape(2, pairs * 2))
        """Of each word."""

    def after(self, before: Words, words: Words) -> Words:
        """The checksums of rows of words, each after the checksum before it: (n, 2)."""
        own = np.stack([(words * w).sum(axis=1, dtype=np.uint32) for w in self.words], axis=1)
        after: Words = own + before @ self.before.T
        return after

    def flipped(self, difference: Words, words: Words) -> list[tuple[int, int]]:
        """Every (word, bit) that a flipped bit can have been, by the difference it made."""
        found = []
        for bit in range(32):
            made = self.words * np.uint32(1 << bit)
            is_set = (words >> np.uint32(bit)) & np.uint32(1)
            for state, change in ((0, made), (1, np.uint32(0) - made)):
                fits = (change == difference[:, None]).all(axis=0) & (is_set == state)
                found += [(int(i), bit) for i in np.flatnonzero(fits)]
        return found


class _Log:
    """A write-ahead log in memory. order: of the bytes in the words of its checksums."""

    def __init__(self, data: bytes, page_size: int, order: str) -> None:
        self.data = data
        self.order = order
        self.size = FRAME_HEADER + page_size
        self.count = (len(data) - HEADER) // self.size
        self.sums = _Sums((8 + page_size) // 8)
        frames = np.frombuffer(data, np.uint8, self.count * self.size, HEADER)
        self.frames = frames.reshape(self.count, self.size)
        heads = self.frames[:, :FRAME_HEADER].copy().view(">u4").astype(np.uint32)
        self.pages, self.commits = heads[:, 0], heads[:, 1]
        self.salts, self.stored = heads[:, 2:4], heads[:, 4:6]
        self.header = np.frombuffer(data, ">u4", 8).astype(np.uint32)
        self.header_damaged = not (_after(self.header[:6], order) == self.header[6:8]).all()
        self.before = self.header[6:8]
        """The checksum before the first frame."""
        if self.header_damaged:
            self._mend_header(page_size)
        self.right = self._right()

    def _mend_header(self, page_size: int) -> None:
        header = self.header.copy()
        header[:3] = BIG if self.order == ">u4" else LITTLE, VERSION, page_size
        header[4:6] = self.salts[0]
        header[6:8] = _after(header[:6], self.order)
        if not (self.sums.after(self.before[None], self.words(0, 1))[0] == self.stored[0]).all():
            self.before = header[6:8]
        self.header = header

    def words(self, start: int, end: int) -> Words:
        """What the checksums of these frames run over."""
        some = self.frames[start:end]
        body = np.concatenate([some[:, :8], some[:, FRAME_HEADER:]], axis=1)
        return body.view(self.order).astype(np.uint32)

    def _right(self) -> npt.NDArray[np.bool_]:
        """Which frames' checksums are right after the one before."""
        right = np.empty(self.count, np.bool_)
        previous = np.concatenate([self.before[None], self.stored])
        for at in range(0, self.count, CHUNK):
            end = min(at + CHUNK, self.count)
            after = self.sums.after(previous[at:end], self.words(at, end))
            right[at:end] = (after == self.stored[at:end]).all(axis=1)
        return right

    def content(self, i: int) -> bytes:
        """The first 8 bytes of a frame, and its page."""
        return self.frames[i, :8].tobytes() + self.frames[i, FRAME_HEADER:].tobytes()


def scan(wal: Path, database: Path) -> Scan:
    """Look at a database's write-ahead log; nothing is changed. Raises OSError."""
    try:
        data = wal.read_bytes()
    except FileNotFoundError:
        return Scan()
    if len(data) < HEADER:
        return Scan(torn_bytes=len(data))
    log = _opened(data, database)
    if log is None:
        return Scan(torn_bytes=len(data) - HEADER)
    return _scanned(log, wal.name)


def _opened(data: bytes, database: Path) -> _Log | None:
    """None when it has no whole frame, or nothing says how long one is."""
    header = np.frombuffer(data, ">u4", 8).astype(np.uint32)
    orders = [
        order for order in ("<u4", ">u4") if (_after(header[:6], order) == header[6:8]).all()
    ]
    size = int(header[2]) if orders else _page_size(database)
    if size is None or len(data) < HEADER + FRAME_HEADER + size:
        return None
    logs = [_Log(data, size, order) for order in orders or ("<u4", ">u4")]
    return max(logs, key=lambda log: int(log.right.sum()))


def _page_size(database: Path) -> int | None:
    """From the database's own header."""
    try:
        with database.open("rb") as file:
            said = int.from_bytes(file.read(18)[16:18], "big")
    except OSError:
        return None
    size = 1 << 16 if said == 1 else said
    return size if size >= 512 and size & (size - 1) == 0 else None


def _after(words: Words, order: str) -> Words:
    """The checksum of a header."""
    row = np.frombuffer(words.astype(">u4").tobytes(), order).astype(np.uint32)[None]
    result: Words = _Sums(len(words) // 2).after(np.zeros((1, 2), np.uint32), row)[0]
    return result


def _scanned(log: _Log, name: str) -> Scan:
    same_salts = (log.salts == log.header[4:6]).all(axis=1)
    # What is left of before the log last began anew has other salts, and is right by itself.
    belong = int(np.flatnonzero(same_salts)[-1]) + 1 if same_salts.any() else 0
    if belong < log.count and log.right[belong]:
        belong += 1
    damaged = _damaged(log, same_salts, belong)
    commits = [i for i in range(belong) if _commits(log, damaged, i)]
    end = commits[-1] + 1 if commits else 0
    damaged = {i: frame for i, frame in damaged.items() if i < end}
    found = Scan(torn_bytes=(belong - end) * log.size)
    if belong == log.count:
        rest = log.data[HEADER + log.count * log.size :]
        found.torn_bytes += (
            len(rest) if rest[8:16] == log.header[4:6].astype(">u4").tobytes() else 0
        )
    if log.header_damaged:
        found.problems.append(f"{name} is damaged in its header: corrected")
    for i, frame in damaged.items():
        outcome = "corrected" if frame.corrected else "kept as it is"
        outcome = "left out" if frame.content is None else outcome
        found.problems.append(f"{name} is damaged at frame {i + 1} (page {frame.page}): {outcome}")
    if found.problems:
        found.mended = _mended(log, damaged, end)
    return found


def _commits(log: _Log, damaged: dict[int, _Damaged], i: int) -> bool:
    """Does this frame end a transaction?"""
    if i not in damaged:
        return bool(log.commits[i])
    content = damaged[i].content
    return content is not None and content[4:8] != bytes(4)


def _damaged(log: _Log, same_salts: npt.NDArray[np.bool_], end: int) -> dict[int, _Damaged]:
    """The frames in which something is wrong."""
    damaged: dict[int, _Damaged] = {}
    for i in map(int, np.flatnonzero(~(log.right & same_salts)[:end])):
        before = log.before if i == 0 else log.stored[i - 1]
        if i - 1 in damaged:
            before = damaged[i - 1].sums if damaged[i - 1].sums is not None else before
        if i - 1 in damaged and damaged[i - 1].sums is None:  # nothing to check it against
            damaged[i] = _Damaged(int(log.pages[i]), corrected=False)
            if same_salts[i] and damaged[i].page:
                damaged[i].content, damaged[i].sums = log.content(i), log.stored[i]
            continue
        frame = _examined(log, before, i)
        if frame is not None or not same_salts[i]:
            damaged[i] = frame or _Damaged(int(log.pages[i]), log.content(i), log.stored[i])
    return damaged


def _examined(log: _Log, before: Words, i: int) -> _Damaged | None:
    """What is wrong with a frame: its checksum, one bit of the rest, or more; None: nothing."""
    page, content = int(log.pages[i]), log.content(i)
    wanted = log.sums.after(before[None], log.words(i, i + 1))
    difference = log.stored[i] - wanted[0]
    if not difference.any():
        return None
    if i + 1 < log.count:
        following = log.sums.after(wanted, log.words(i + 1, i + 2))[0]
        if (following == log.stored[i + 1]).all():
            return _Damaged(page, content, wanted[0])
    words = np.frombuffer(content, log.order).astype(np.uint32)
    flipped = log.sums.flipped(difference, words)
    flip = _likeliest(log, i, flipped)
    if flip is None:
        in_sum = sum(int(x).bit_count() for x in log.stored[i] ^ wanted[0]) == 1
        kept = content if flipped or in_sum else None
        sums = None if kept is None else log.stored[i]
        return _Damaged(page, kept, sums, corrected=in_sum and not flipped)
    words[flip[0]] ^= np.uint32(1 << flip[1])
    right = words.astype(log.order).tobytes()
    return _Damaged(int.from_bytes(right[:4], "big"), right, log.stored[i])


def _likeliest(log: _Log, i: int, flipped: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Which bit of several; None: it cannot be told. A page that cannot be is no such page."""
    page = int(log.pages[i])
    if not 0 < page <= int(log.commits.max()):
        in_number = [flip for flip in flipped if flip[0] == 0]
        return in_number[0] if len(in_number) == 1 else None
    return flipped[0] if len(flipped) == 1 else None


def _mended(log: _Log, damaged: dict[int, _Damaged], end: int) -> bytes:
    """The log with the right header, without what cannot be corrected, under new checksums."""
    parts = [log.header.astype(">u4").tobytes()]
    salts = parts[0][16:24]
    before = log.header[6:8][None]
    for i in range(end):
        content = damaged[i].content if i in damaged else log.content(i)
        if content is None:
            continue
        words = np.frombuffer(content, log.order).astype(np.uint32)[None]
        before = log.sums.after(before, words)
        parts += [content[:8], salts, before.astype(">u4").tobytes(), content[8:]]
    return b"".join(parts)


def mend(wal: Path, found: Scan) -> None:
    """Put what a scan made of a damaged log in its place. Raises OSError."""
    if found.mended is not None:
        partial = wal.with_name(wal.name + ".partial")
        partial.write_bytes(found.mended)
        partial.replace(wal)
