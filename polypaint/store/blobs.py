"""A drawing's blobs as one piece of bytes, as both stores keep it.

Counterpart: `paint.canvas.Canvas.dump`, which makes the blobs.
"""

import numpy as np


def joined(blobs: list[bytes]) -> bytes:
    """u32 count, u32 sizes, the blobs."""
    sizes = np.array([len(blobs), *map(len, blobs)], "<u4")
    return b"".join([sizes.tobytes(), *blobs])


def split(payload: bytes) -> list[bytes]:
    """What `joined` joined. Raises ValueError."""
    count = int(np.frombuffer(payload, "<u4", 1)[0])
    sizes = np.frombuffer(payload, "<u4", count, 4)
    ends = np.cumsum(sizes, dtype=np.int64) + 4 + 4 * count
    if count and int(ends[-1]) != len(payload):
        raise ValueError("its blobs do not add up")
    return [
        payload[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)
    ]
