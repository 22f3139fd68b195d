"""A drawing's blobs, packed into parts and back, as both stores keep it.

u32 count, u32 sizes, the blobs; compressed with zlib; cut into parts. A drawing may have 64 MiB,
and all this happens in threads: to copy that in one piece would keep the interpreter from the
event loop for a tenth of a second, so nothing here touches much at a time.

Counterpart: `paint.canvas.Canvas.dump`, which makes the blobs.
"""

import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from polypaint.engine import checksum

PIECE_BYTES = 1 << 18
FEED_BYTES = 1 << 14
"""Of compressed data at a time: what zlib does not take at once is copied."""


def packed(blobs: list[bytes], part_bytes: int) -> list[bytes]:
    """Parts of part_bytes each, the last one perhaps smaller."""
    deflate = zlib.compressobj(1)
    parts, rest = [], bytearray()
    for piece in _pieces(blobs):
        rest += deflate.compress(piece)
        while len(rest) >= part_bytes:
            parts.append(bytes(rest[:part_bytes]))
            del rest[:part_bytes]
    rest += deflate.flush()
    parts += [bytes(rest[at : at + part_bytes]) for at in range(0, len(rest), part_bytes)]
    return parts


def of_content(meta: bytes, parts: list[bytes]) -> int:
    """The checksum of a drawing's content: what it says of itself, and its parts."""
    crc = checksum.of_fields(meta, len(parts))
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc


def _pieces(blobs: list[bytes]) -> Iterator[bytes | memoryview]:
    """What is to be compressed, small things together, large ones cut."""
    small = [np.array([len(blobs), *map(len, blobs)], "<u4").tobytes()]
    size = 0
    for blob in blobs:
        if len(blob) < PIECE_BYTES:
            small.append(blob)
            size += len(blob)
        if size >= PIECE_BYTES or len(blob) >= PIECE_BYTES:
            yield b"".join(small)
            small, size = [], 0
        if len(blob) >= PIECE_BYTES:
            view = memoryview(blob)
            yield from (view[at : at + PIECE_BYTES] for at in range(0, len(blob), PIECE_BYTES))
    yield b"".join(small)


def unpacked(parts: Iterable[bytes]) -> list[bytes]:
    """The blobs. Raises ValueError or zlib.error for what `packed` did not make."""
    stream = _Stream(_inflated(parts))
    count = int(np.frombuffer(stream.take(4), "<u4")[0])
    sizes = np.frombuffer(stream.take(4 * count), "<u4").tolist()
    blobs = [stream.take(size) for size in sizes]
    if not stream.ended:
        raise ValueError("its blobs do not add up")
    return blobs


class _Stream:
    """Takes so many bytes at a time from pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Raises ValueError when there are not so many."""
        end = self._at + count
        if end <= len(self._piece):
            taken = self._piece[self._at : end]
            self._at = end
            return taken
        taken_pieces = [self._piece[self._at :]]
        wanted = count - len(taken_pieces[0])
        while wanted > 0:
            self._piece = next(self._pieces, b"")
            if not self._piece:
                raise ValueError("it ends too early")
            taken_pieces.append(self._piece[:wanted])
            self._at = len(taken_pieces[-1])
            wanted -= self._at
        return b"".join(taken_pieces)

    @property
    def ended(self) -> bool:
        """Is there nothing more?"""
        return self._at == len(self._piece) and next(self._pieces, None) is None


def _inflated(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces that are not empty."""
    inflate = zlib.decompressobj()
    for part in parts:
        for at in range(0, len(part), FEED_BYTES):
            data, full = part[at : at + FEED_BYTES], True
            while data or full:
                piece = inflate.decompress(data, PIECE_BYTES)
                data, full = inflate.unconsumed_tail, len(piece) == PIECE_BYTES
                if piece:
                    yield piece
    if not inflate.eof or inflate.unused_data:
        raise ValueError("its compressed data has no proper end")
