"""The checksum of everything that is journaled or stored: CRC-32.

It finds every flipped bit, and all but one in four thousand million of other damage. zlib's costs
0.15 µs for 300 bytes and 5 µs for 30 KB; blake2b costs three times as much, and there is nobody to
protect from: who can write to the disk can write a checksum too.

Must never do I/O. Counterparts: `engine/journal_buffer.py` for records, `store/` for everything
else.
"""

import struct
from typing import Final
from zlib import crc32

_REAL: Final = struct.Struct("<d")
Field = str | bytes | int | float | None


def of_fields(*fields: Field) -> int:
    """Of a row. Types and lengths count too: no two rows have the same text of fields."""
    return crc32(b"".join(map(_encoded, fields)))


def _encoded(field: Field) -> bytes:
    match field:
        case None:
            kind, data = b"n", b""
        case str():
            kind, data = b"s", field.encode(errors="surrogateescape")
        case float():
            kind, data = b"f", _REAL.pack(field)
        case int():
            kind, data = b"i", b"%d" % field
        case _:
            kind, data = b"b", field
    return b"%b%d:%b" % (kind, len(data), data)
