# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=True
"""Where packets, lines and WebSocket messages begin and end, and which packets are void by now.

A FrameDecoder holds at most one incomplete packet (65534 bytes).

Must never import anything of this package but `errors`. Counterparts: `_codec.pyx` knows what is
in a packet, `_fanout.pyx` who is sent it; `tests/oracle.py` does the same in plain Python.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcpy

from polypaint._scan cimport HEADER, PACKET_MAX, _frame, _head, _packet, _u32

from polypaint.errors import ProtocolError


cdef const uint8_t* _whole(bytes packet, Py_ssize_t* n) except NULL:
    """The bytes of exactly one packet."""
    cdef const uint8_t* p = _packet(packet, n)
    if p == NULL:
        raise ProtocolError("not exactly one packet: its size field does not match its length")
    return p


# ------------------------------------------------------------------------------- framing
cdef class FrameDecoder:
    """Bytes as they arrive -> whole packets. One per connection.

    After framing is lost (`broken`), everything more is ignored; packets before it still count.
    """

    cdef bytearray rest
    cdef readonly bint broken

    def __cinit__(self):
        self.rest = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of an incomplete packet that are held, at most 65534."""
        return len(self.rest)

    def feed(self, bytes data not None):
        """Whole packets, each `bytes`, that `data` completes. Never raises."""
        cdef list packets = []
        cdef const uint8_t* p
        cdef Py_ssize_t n, at = 0
        cdef int size = 0
        if self.broken:
            return packets
        if len(self.rest):
            self.rest += data
            if _frame(<const uint8_t*>self.rest, len(self.rest)) == 0:
                return packets
            data = bytes(self.rest)
            self.rest.clear()
        p = <const uint8_t*>PyBytes_AS_STRING(data)
        n = PyBytes_GET_SIZE(data)
        while at < n:
            size = _frame(p + at, n - at)
            if size <= 0:
                break
            packets.append(data if size == n
                           else PyBytes_FromStringAndSize(<const char*>p + at, size))
            at += size
        if size < 0:
            self.broken = True
        elif at < n:
            self.rest += PyBytes_FromStringAndSize(<const char*>p + at, n - at)
        return packets


def split(bytes data not None):
    """The packets in `data`, which must hold whole packets only.

    Raises ProtocolError for anything else.
    """
    cdef FrameDecoder decoder = FrameDecoder()
    cdef list packets = decoder.feed(data)
    if decoder.broken or len(decoder.rest):
        raise ProtocolError("not a whole number of packets")
    return packets


def header(bytes packet not None):
    """(type, date, name, offset of the data) of exactly one packet; name as bytes.

    Raises ProtocolError when `packet` is not exactly one packet.
    """
    cdef Py_ssize_t n
    cdef const uint8_t* p = _whole(packet, &n)
    return (p[2], _u32(p + 3), PyBytes_FromStringAndSize(<const char*>p + HEADER, p[7]),
            HEADER + p[7])


def with_name(bytes packet not None, bytes name not None):
    """The packet under this name (the same object when it has it already).

    Raises ProtocolError when it would pass 65535 bytes.
    """
    cdef Py_ssize_t n, size, data, length = PyBytes_GET_SIZE(name)
    cdef const uint8_t* p = _whole(packet, &n)
    cdef const uint8_t* own = <const uint8_t*>PyBytes_AS_STRING(name)
    cdef bytes out
    cdef uint8_t* q
    data = HEADER + p[7]
    if p[7] == length and PyBytes_FromStringAndSize(<const char*>p + HEADER, p[7]) == name:
        return packet
    size = n - p[7] + length
    if length > 255 or size > PACKET_MAX:
        raise ProtocolError("with its sender's name the packet would pass 65535 bytes")
    out = PyBytes_FromStringAndSize(NULL, size)
    q = <uint8_t*>PyBytes_AS_STRING(out)
    _head(q, p, size, own, length)
    memcpy(q + HEADER + length, p + data, n - data)
    return out


def with_index(bytes packet not None, int type_id, int index):
    """The packet with this type and, in the first 4 bytes of its data, this index.

    Raises ProtocolError when the packet has no 4 bytes of data.
    """
    cdef Py_ssize_t n
    cdef const uint8_t* p = _whole(packet, &n)
    cdef bytes out
    cdef uint8_t* q
    cdef uint32_t value = index
    if n < HEADER + p[7] + 4:
        raise ProtocolError("no index in this packet")
    if p[2] == type_id and _u32(p + HEADER + p[7]) == value:
        return packet
    out = PyBytes_FromStringAndSize(<const char*>p, n)
    q = <uint8_t*>PyBytes_AS_STRING(out)
    q[2] = <uint8_t>type_id
    memcpy(q + HEADER + q[7], &value, 4)
    return out


def numbered(list packets not None, int type_id, Py_ssize_t chunk_bytes=262144,
             uint32_t first_index=0):
    """Packets in order, each given this type and its position as index, joined into chunks.

    packets: whole packets with at least 4 bytes of data. chunk_bytes: a chunk ends at the first
    packet that reaches it. first_index: of the first packet. Returns list[bytes]. This is what a
    newcomer to a stroke lobby is sent.
    """
    cdef list chunks = []
    cdef Py_ssize_t count = len(packets), first = 0, last, total, n
    cdef uint32_t index
    cdef bytes out, packet
    cdef uint8_t* q
    while first < count:
        last = first
        total = 0
        while last < count and total < chunk_bytes:
            total += PyBytes_GET_SIZE(<bytes?>packets[last])
            last += 1
        out = PyBytes_FromStringAndSize(NULL, total)
        q = <uint8_t*>PyBytes_AS_STRING(out)
        for i in range(first, last):
            packet = <bytes>packets[i]
            n = PyBytes_GET_SIZE(packet)
            memcpy(q, PyBytes_AS_STRING(packet), n)
            if n < HEADER + 4 or n < HEADER + q[7] + 4:
                raise ProtocolError("no index in this packet")
            index = first_index + <uint32_t>i
            q[2] = <uint8_t>type_id
            memcpy(q + HEADER + q[7], &index, 4)
            q += n
        chunks.append(out)
        first = last
    return chunks


def point_packets(int type_id, uint32_t date, const uint32_t[:] colours, const int32_t[:] sizes,
                  const int32_t[:, :] corners, int64_t stamps_max, Py_ssize_t chunk_bytes=262144):
    """Squares as packets of brush i32, RGBA, points i32 (x, y), under an empty name.

    colours, sizes (n,), corners (n, 2): as `_raster.squares` returns them, sorted; squares of one
    colour and size share packets. stamps_max: pixels that one packet may write. Returns
    list[bytes], whole packets joined into chunks of about chunk_bytes.
    """
    cdef list chunks = []
    cdef uint8_t* chunk = <uint8_t*>malloc(chunk_bytes + PACKET_MAX)
    cdef uint8_t* q
    cdef Py_ssize_t first = 0, last, i, used, packet, n = sizes.shape[0]
    cdef int64_t most, size
    cdef int32_t point
    if chunk == NULL:
        raise MemoryError
    try:
        while first < n:
            used = 0
            with nogil:
                while first < n and used < chunk_bytes:
                    size = sizes[first]
                    most = max(1, min((PACKET_MAX - HEADER - 8) // 8, stamps_max // (size * size)))
                    last = first + 1
                    while (last < n and last - first < most and sizes[last] == size
                           and colours[last] == colours[first]):
                        last += 1
                    packet = HEADER + 8 + 8 * (last - first)
                    q = chunk + used
                    q[0] = packet & 255
                    q[1] = <uint8_t>(packet >> 8)
                    q[2] = <uint8_t>type_id
                    memcpy(q + 3, &date, 4)
                    q[7] = 0
                    point = <int32_t>size
                    memcpy(q + HEADER, &point, 4)
                    memcpy(q + HEADER + 4, &colours[first], 4)
                    q += HEADER + 8
                    for i in range(first, last):
                        point = <int32_t>(corners[i, 0] + size // 2)
                        memcpy(q, &point, 4)
                        point = <int32_t>(corners[i, 1] + size // 2)
                        memcpy(q + 4, &point, 4)
                        q += 8
                    first = last
                    used += packet
            chunks.append(PyBytes_FromStringAndSize(<char*>chunk, used))
    finally:
        free(chunk)
    return chunks


# ------------------------------------------------------------------------------- coalescing
cdef enum Passing:
    P_FIXED = 0         # nothing before it is void because of something behind it
    P_PASSED = 1        # it does not matter to what is coalesced
    P_BY_AUTHOR = 2     # void when its author sends another one
    P_BY_INDEX = 3      # void when another one has its index


def coalesced(bytes data not None, bytes passing not None):
    """Whole packets without those that later ones make void: same end, fewer bytes.

    passing: for each of the 256 types how it behaves, see `paint.packets.Passing`. Returns `data`
    itself when nothing is void. Raises ProtocolError when it is not a whole number of packets,
    MemoryError.
    """
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef const uint8_t* how = <const uint8_t*>PyBytes_AS_STRING(passing)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(data), at = 0, kept = 0, count = 0, i, length
    cdef Py_ssize_t* starts
    cdef int size
    cdef set seen = set()
    cdef bytes out, key
    cdef uint8_t* q
    if PyBytes_GET_SIZE(passing) != 256:
        raise ValueError("passing has one byte for each of 256 types")
    starts = <Py_ssize_t*>malloc((n // HEADER + 1) * sizeof(Py_ssize_t))
    if starts == NULL:
        raise MemoryError
    try:
        while at < n:
            size = _frame(p + at, n - at)
            if size <= 0:
                raise ProtocolError("not a whole number of packets")
            starts[count] = at
            count += 1
            at += size
        for i in range(count - 1, -1, -1):
            at = starts[i]
            size = p[at] | p[at + 1] << 8
            if how[p[at + 2]] == P_FIXED:
                seen.clear()
            elif how[p[at + 2]] != P_PASSED:
                length = HEADER + p[at + 7]         # the name is within the packet: `_frame`
                if how[p[at + 2]] == P_BY_INDEX:
                    if size < length + 4:
                        raise ProtocolError("data shorter or longer than the layout")
                    key = data[at + 2:at + 3] + data[at + length:at + length + 4]
                else:
                    key = data[at + 2:at + 3] + data[at + 7:at + length]
                if key in seen:
                    starts[i] = -1
                    continue
                seen.add(key)
            kept += size
        if kept == n:
            return data
        out = PyBytes_FromStringAndSize(NULL, kept)
        q = <uint8_t*>PyBytes_AS_STRING(out)
        for i in range(count):
            if starts[i] >= 0:
                at = starts[i]
                size = p[at] | p[at + 1] << 8
                memcpy(q, p + at, size)
                q += size
        return out
    finally:
        free(starts)


# ------------------------------------------------------------------------------- JSON, WebSocket
def json_shape(bytes data not None):
    """(colons, greatest depth, elements) of a JSON text, valid or not, in one pass.

    Only what stands outside strings counts. An object with a key twice has more colons than keys:
    `strictjson` finds duplicates so. elements: commas and opening brackets.
    """
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t i = 0, n = PyBytes_GET_SIZE(data), colons = 0, elements = 0
    cdef int depth = 0, deepest = 0
    cdef bint inside = False
    while i < n:
        if inside:
            if p[i] == b"\\":
                i += 1
            elif p[i] == b'"':
                inside = False
        elif p[i] == b'"':
            inside = True
        elif p[i] == b":":
            colons += 1
        elif p[i] == b",":
            elements += 1
        elif p[i] == b"{" or p[i] == b"[":
            elements += 1
            depth += 1
            if depth > deepest:
                deepest = depth
        elif p[i] == b"}" or p[i] == b"]":
            depth -= 1
        i += 1
    return colons, deepest, elements


def websocket_messages(bytes data not None):
    """Whole packets -> the same packets, each as one unmasked binary WebSocket message.

    Raises ProtocolError when `data` is not a whole number of packets.
    """
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(data), at = 0, extra = 0
    cdef int size
    cdef bytes out
    cdef uint8_t* q
    while at < n:
        size = _frame(p + at, n - at)
        if size <= 0:
            raise ProtocolError("not a whole number of packets")
        extra += 2 if size < 126 else 4
        at += size
    out = PyBytes_FromStringAndSize(NULL, n + extra)
    q = <uint8_t*>PyBytes_AS_STRING(out)
    at = 0
    while at < n:
        size = p[at] | p[at + 1] << 8
        q[0] = 0x82
        if size < 126:
            q[1] = <uint8_t>size
            q += 2
        else:
            q[1] = 126
            q[2] = <uint8_t>(size >> 8)
            q[3] = size & 255
            q += 4
        memcpy(q, p + at, size)
        q += size
        at += size
    return out


def websocket_texts(bytes data not None):
    """Whole lines -> the same lines without their ends, each as one unmasked text message.

    Raises ProtocolError when `data` does not end with a line feed.
    """
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(data), at = 0, extra = 0, size
    cdef const uint8_t* end
    cdef bytes out
    cdef uint8_t* q
    cdef int i
    while at < n:
        end = <const uint8_t*>memchr(p + at, 10, n - at)
        if end == NULL:
            raise ProtocolError("not a whole number of lines")
        size = end - (p + at)
        extra += 1 if size < 126 else 3 if size < 65536 else 9  # the line feed goes
        at += size + 1
    out = PyBytes_FromStringAndSize(NULL, n + extra)
    q = <uint8_t*>PyBytes_AS_STRING(out)
    at = 0
    while at < n:
        end = <const uint8_t*>memchr(p + at, 10, n - at)
        size = end - (p + at)
        q[0] = 0x81
        if size < 126:
            q[1] = <uint8_t>size
            q += 2
        elif size < 65536:
            q[1] = 126
            q[2] = <uint8_t>(size >> 8)
            q[3] = size & 255
            q += 4
        else:
            q[1] = 127
            for i in range(8):
                q[2 + i] = <uint8_t>(<size_t>size >> (56 - 8 * i))
            q += 10
        memcpy(q, p + at, size)
        q += size
        at += size + 1
    return out
