# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=True
"""The hot path: bytes of a connection -> packets -> numpy, and packets -> bytes for many peers.

    FrameDecoder   any chunking of a byte stream -> whole packets
    Codec          a table of layouts -> check, decode and encode the data of every packet type
    Broadcast      what the members of one lobby say in one turn of the loop, each packet once
    SendQueue      what one peer has still to be sent: private packets, its share of a Broadcast
    FlushSet       the broadcasts and queues that have something new: seal, journal, release

A packet (little endian): u16 size · u8 type · u32 date · u8 length N · N bytes of name · data.

LIFETIME. Arrays that `Codec.decode` returns are views of the packet (a `bytes` object, which they
keep alive): no copy is made, and they are read-only and may be unaligned. The exception is numbers
that the sender wrote as f32: these are converted, into an array of their own.

LIMITS. A packet has 8…65535 bytes. A FrameDecoder holds at most one incomplete packet (65534
bytes). A Broadcast is emptied every turn. What a SendQueue holds is bounded by its owner, who
watches `queued`.

Bounds checks are off in this file. Every read from a packet stands behind an explicit check of the
packet's length: `_frame` for the header, the first lines of `_check` for the data.

Must never import anything of this package but `errors`. Counterpart: `paint/packets.py`, which
declares the layouts; `tests/oracle.py` decodes the same packets in plain Python.
"""

from collections import deque

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport floor, isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from polypaint.errors import ProtocolError

HEADER_BYTES = 8
PACKET_BYTES_MAX = 65535

cdef enum:
    HEADER = 8
    PACKET_MAX = 65535
    WIRE_INT_MAX = 0x7FFFFF          # numbers up to this are i32, all other bit patterns are f32
    FIELDS_MAX = 8
    PIXEL_COORDINATE_MAX = 1 << 24   # f32 pixel coordinates are clamped to this: far away

# Kinds of a field. The names are what `paint/packets.py` declares.
cdef enum FieldKind:
    K_NUMBER = 1        # 4 bytes: i32 if |v| <= WIRE_INT_MAX, else a finite f32
    K_INDEX = 2         # the same, and a whole number >= 0
    K_RGBA = 3          # 4 bytes R, G, B, A
    K_F64 = 4
    K_I32 = 5           # a status: plain i32

cdef enum TailKind:
    T_NONE = 0
    T_TEXT = 1          # UTF-8; also JSON
    T_POINTS_F32 = 2
    T_POINTS_NUMBER = 3
    T_INDICES = 4
    T_INDICES_DESCENDING = 5

cdef enum Rule:
    R_NONE = 0
    R_AREA = 1          # field 0 * field 1 <= rule_max
    R_STAMPS = 2        # field 0 squared * points <= rule_max
    R_CORNER = 3        # |field 0 + field 2| and |field 1 + field 3| <= rule_max

FIELD_KINDS = {"number": K_NUMBER, "index": K_INDEX, "rgba": K_RGBA, "f64": K_F64, "i32": K_I32}
TAIL_KINDS = {"none": T_NONE, "text": T_TEXT, "points_f32": T_POINTS_F32,
              "points_number": T_POINTS_NUMBER, "indices": T_INDICES,
              "indices_descending": T_INDICES_DESCENDING}
RULES = {"none": R_NONE, "area": R_AREA, "stamps": R_STAMPS, "corner": R_CORNER}

cdef enum Fault:
    OK = 0
    F_LAYOUT, F_LENGTH, F_EMPTY, F_DIVIDE, F_FINITE, F_RANGE, F_INDEX, F_ORDER, F_UTF8, F_RULE
    F_LONG

FAULTS = (
    "",
    "no such packet in this direction",
    "data shorter or longer than the layout",
    "the list is empty",
    "the list's length does not divide",
    "a number is NaN or infinite",
    "a number is out of range",
    "an index is negative or not a whole number",
    "indices are not strictly descending",
    "text is not UTF-8",
    "more pixels than the limit, or a corner beyond it",
    "text is longer or shorter than the limit",
)


# ------------------------------------------------------------------------------- reading bytes
cdef inline uint32_t _u32(const uint8_t* p) noexcept nogil:
    cdef uint32_t v
    memcpy(&v, p, 4)
    return v


cdef inline int32_t _i32(const uint8_t* p) noexcept nogil:
    cdef int32_t v
    memcpy(&v, p, 4)
    return v


cdef inline double _f64(const uint8_t* p) noexcept nogil:
    cdef double v
    memcpy(&v, p, 8)
    return v


cdef inline bint _is_int(int32_t v) noexcept nogil:
    return -WIRE_INT_MAX <= v <= WIRE_INT_MAX


cdef inline bint _f32_finite(uint32_t bits) noexcept nogil:
    return (bits & 0x7F800000) != 0x7F800000


cdef inline double _f32(const uint8_t* p) noexcept nogil:
    cdef float v
    memcpy(&v, p, 4)
    return v


cdef inline bint _number(const uint8_t* p, double* out) noexcept nogil:
    """The 4-byte number at p, written as i32 or f32; False when it is neither."""
    cdef int32_t v = _i32(p)
    if _is_int(v):
        out[0] = v
        return True
    if not _f32_finite(_u32(p)):
        return False
    out[0] = _f32(p)
    return True


cdef inline int32_t _pixel(const uint8_t* p) noexcept nogil:
    """A checked number as a pixel coordinate: floats round half up."""
    cdef int32_t v = _i32(p)
    cdef double f
    if _is_int(v):
        return v
    f = floor(_f32(p) + 0.5)
    if f > PIXEL_COORDINATE_MAX:
        return PIXEL_COORDINATE_MAX
    if f < -PIXEL_COORDINATE_MAX:
        return -PIXEL_COORDINATE_MAX
    return <int32_t>f


cdef inline int _frame(const uint8_t* p, Py_ssize_t n) noexcept nogil:
    """Size of the packet that starts at p: 0 when bytes are missing, -1 when framing is lost."""
    cdef int size
    if n < 2:
        return 0
    size = p[0] | p[1] << 8
    if size < HEADER:
        return -1
    if n >= HEADER and size < HEADER + p[7]:
        return -1
    return size if n >= size else 0


cdef const uint8_t* _whole(bytes packet, Py_ssize_t* n) except NULL:
    """The bytes of exactly one packet."""
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(packet)
    n[0] = PyBytes_GET_SIZE(packet)
    if n[0] < HEADER or _frame(p, n[0]) != n[0]:
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


cdef inline void _head(uint8_t* q, const uint8_t* p, Py_ssize_t size, const uint8_t* name,
                       Py_ssize_t length) noexcept nogil:
    """Write p's header to q, with this size and name."""
    memcpy(q, p, HEADER)
    q[0] = size & 255
    q[1] = <uint8_t>(size >> 8)
    q[7] = <uint8_t>length
    memcpy(q + HEADER, name, length)


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


# ------------------------------------------------------------------------------- layouts
cdef struct Layout:
    bint known
    int fields
    int kinds[FIELDS_MAX]
    double low[FIELDS_MAX]
    double high[FIELDS_MAX]
    int fixed               # bytes of the fields together
    int tail
    int tail_min            # items; for text: bytes
    int tail_max
    int rule
    double rule_max


cdef int _check_tail(const Layout* row, const uint8_t* p, Py_ssize_t n) noexcept nogil:
    """A fault, or OK. p: the tail, n: its bytes."""
    cdef Py_ssize_t i, count
    cdef uint32_t bits, bad = 0
    cdef double value, before = 1e300
    if row.tail == T_NONE:
        return F_LENGTH if n else OK
    if row.tail == T_TEXT:
        return OK if row.tail_min <= n <= row.tail_max else F_LONG
    if row.tail == T_POINTS_F32 or row.tail == T_POINTS_NUMBER:
        if n & 7:
            return F_DIVIDE
        if n < 8 * row.tail_min:
            return F_EMPTY
        if row.tail == T_POINTS_F32:     # on exponent bits, so that the compiler makes it SIMD
            for i in range(n >> 2):
                memcpy(&bits, p + 4 * i, 4)
                bad |= (bits & 0x7F800000) == 0x7F800000
            return F_FINITE if bad else OK
        for i in range(n >> 2):
            bits = _u32(p + 4 * i)
            bad |= (not _is_int(<int32_t>bits)) & (not _f32_finite(bits))
        return F_FINITE if bad else OK
    if n & 3:
        return F_DIVIDE
    count = n >> 2
    if count < row.tail_min:
        return F_EMPTY
    for i in range(count):
        if not _number(p + 4 * i, &value):
            return F_FINITE
        if value < 0 or value > WIRE_INT_MAX or value != floor(value):
            return F_INDEX
        if row.tail == T_INDICES_DESCENDING:
            if value >= before:
                return F_ORDER
            before = value
    return OK


cdef int _check(const Layout* row, const uint8_t* p, Py_ssize_t n, double* values) noexcept nogil:
    """A fault, or OK with the fields in `values`. p: the data of a packet, n: its bytes."""
    cdef int i, fault
    cdef Py_ssize_t at = 0
    cdef double v
    if not row.known:
        return F_LAYOUT
    if n < row.fixed:
        return F_LENGTH
    for i in range(row.fields):
        if row.kinds[i] == K_F64:
            v = _f64(p + at)
            at += 8
            if not isfinite(v):
                return F_FINITE
        elif row.kinds[i] == K_RGBA:
            at += 4
            values[i] = 0
            continue
        elif row.kinds[i] == K_I32:
            v = _i32(p + at)
            at += 4
        else:
            if not _number(p + at, &v):
                return F_FINITE
            at += 4
            if row.kinds[i] == K_INDEX and (v < 0 or v != floor(v)):
                return F_INDEX
        if v < row.low[i] or v > row.high[i]:
            return F_RANGE
        values[i] = v
    fault = _check_tail(row, p + at, n - at)
    if fault:
        return fault
    if row.rule == R_AREA:
        if values[0] * values[1] > row.rule_max:
            return F_RULE
    elif row.rule == R_STAMPS:
        if values[0] * values[0] * ((n - at) >> 3) > row.rule_max:
            return F_RULE
    elif row.rule == R_CORNER:
        if (values[0] + values[2] > row.rule_max or values[1] + values[3] > row.rule_max):
            return F_RULE
    return OK


cdef class Codec:
    """Checks, decodes and encodes the data of packets by a table of layouts.

    rows: one (type ID, reply, fields, tail, tail_min, tail_max, rule, rule_max) for each layout;
    fields: (kind, low, high) each; kinds and rules by the names in FIELD_KINDS, TAIL_KINDS, RULES.
    reply: False for what a client sends, True for what the server sends.
    Raises ValueError for a table that declares a layout twice or is out of bounds.
    """

    cdef Layout[2][256] table

    def __cinit__(self, rows):
        cdef Layout* row
        cdef int i
        memset(&self.table, 0, sizeof(self.table))
        for type_id, reply, fields, tail, tail_min, tail_max, rule, rule_max in rows:
            if not 0 <= type_id <= 255 or len(fields) > FIELDS_MAX:
                raise ValueError(f"layout of type {type_id} is out of bounds")
            row = &self.table[1 if reply else 0][<int>type_id]
            if row.known:
                raise ValueError(f"layout of type {type_id} is declared twice")
            row.known = True
            row.fields = len(fields)
            for i, (kind, low, high) in enumerate(fields):
                row.kinds[i] = FIELD_KINDS[kind]
                row.low[i] = low
                row.high[i] = high
                row.fixed += 8 if row.kinds[i] == K_F64 else 4
            row.tail = TAIL_KINDS[tail]
            row.tail_min = tail_min
            row.tail_max = tail_max
            row.rule = RULES[rule]
            row.rule_max = rule_max

    def check(self, bytes packet not None, bint reply=False):
        """"" when the data of this packet conforms to its layout, else what is wrong with it.

        Raises ProtocolError when it is not one packet.
        """
        cdef double[FIELDS_MAX] values
        cdef Py_ssize_t n
        cdef const uint8_t* p = _whole(packet, &n)
        cdef int at = HEADER + p[7]
        cdef const Layout* row = &self.table[1 if reply else 0][p[2]]
        cdef int fault = _check(row, p + at, n - at, values)
        if not fault and row.tail == T_TEXT:
            try:
                PyUnicode_DecodeUTF8(<const char*>p + at + row.fixed, n - at - row.fixed, NULL)
            except UnicodeDecodeError:
                fault = F_UTF8
        return FAULTS[fault]

    def accept(self, list packets not None, Py_ssize_t start, Py_ssize_t stop, int type_id,
               bytes name not None, int first_index):
        """Requests of one type that conform, under this name, numbered from first_index on.

        packets[start:stop]: whole packets; the type's layout begins with an index. Returns
        list[bytes]: it ends before the first packet that has another type or name, or does not
        conform. This is `check`, `with_name` and `with_index` in one pass, for what people do
        most: draw strokes.
        """
        cdef double[FIELDS_MAX] values
        cdef list accepted = []
        cdef bytes packet, out
        cdef const uint8_t* p
        cdef const uint8_t* own = <const uint8_t*>PyBytes_AS_STRING(name)
        cdef uint8_t* q
        cdef Py_ssize_t i, n, at, size, length = PyBytes_GET_SIZE(name)
        cdef uint32_t index = first_index
        cdef const Layout* row = &self.table[0][type_id & 255]
        if not row.known or row.fields == 0 or row.kinds[0] != K_INDEX:
            return accepted
        for i in range(start, min(stop, <Py_ssize_t>len(packets))):
            packet = <bytes?>packets[i]
            p = <const uint8_t*>PyBytes_AS_STRING(packet)
            n = PyBytes_GET_SIZE(packet)
            if n < HEADER or _frame(p, n) != n or p[2] != type_id:
                break
            at = HEADER + p[7]
            size = n - p[7] + length
            if p[7] and (p[7] != length or memcmp(p + HEADER, own, length)):
                break
            if size > PACKET_MAX or _check(row, p + at, n - at, values):
                break
            if p[7] == length and _u32(p + at) == index:
                accepted.append(packet)
            else:
                out = PyBytes_FromStringAndSize(NULL, size)
                q = <uint8_t*>PyBytes_AS_STRING(out)
                _head(q, p, size, own, length)
                memcpy(q + HEADER + length, &index, 4)
                memcpy(q + HEADER + length + 4, p + at + 4, n - at - 4)
                accepted.append(out)
            index += 1
        return accepted

    def decode(self, bytes packet not None, bint reply=False):
        """The values in a packet's data, in the order of its layout, as a tuple.

        number → int if written as i32, else float · index → int · rgba → 4 bytes · f64 → float
        points_f32 → float32 (n, 2) · points_number → int32 (n, 2), floats rounded half up ·
        indices → int32 (n,) · text → str. Raises ProtocolError for data that does not conform.
        """
        cdef double[FIELDS_MAX] values
        cdef Py_ssize_t n, length
        cdef const uint8_t* p = _whole(packet, &n)
        cdef int at = HEADER + p[7], i, fault
        cdef const Layout* row = &self.table[1 if reply else 0][p[2]]
        cdef list out = []
        fault = _check(row, p + at, n - at, values)
        if fault:
            raise ProtocolError(FAULTS[fault])
        for i in range(row.fields):
            if row.kinds[i] == K_F64:
                out.append(values[i])
                at += 8
                continue
            if row.kinds[i] == K_RGBA:
                out.append(PyBytes_FromStringAndSize(<const char*>p + at, 4))
            elif row.kinds[i] == K_NUMBER and not _is_int(_i32(p + at)):
                out.append(values[i])
            else:
                out.append(<int64_t>values[i])
            at += 4
        length = n - at
        if row.tail == T_TEXT:
            try:
                out.append(PyUnicode_DecodeUTF8(<const char*>p + at, length, NULL))
            except UnicodeDecodeError:
                raise ProtocolError(FAULTS[F_UTF8]) from None
        elif row.tail == T_POINTS_F32:
            out.append(np.frombuffer(packet, "<f4", length >> 2, at).reshape(-1, 2))
        elif row.tail == T_POINTS_NUMBER:
            out.append(_whole_numbers(packet, at, length >> 2).reshape(-1, 2))
        elif row.tail != T_NONE:
            out.append(_whole_numbers(packet, at, length >> 2))
        return tuple(out)

    def encode(self, int type_id, uint32_t date, bytes name not None, tuple values not None,
               bint reply=False):
        """One packet. values: as `decode` returns them; arrays may be anything array-like.

        Raises ProtocolError when the values do not conform or do not fit into 65535 bytes.
        """
        if not 0 <= type_id <= 255 or not self.table[1 if reply else 0][type_id].known:
            raise ProtocolError(FAULTS[F_LAYOUT])
        cdef const Layout* row = &self.table[1 if reply else 0][type_id]
        cdef int i
        cdef list parts = [bytes(HEADER), name]
        cdef bytes packet
        cdef uint8_t* p
        cdef Py_ssize_t size
        cdef double[FIELDS_MAX] checked
        if len(values) != row.fields + (row.tail != T_NONE):
            raise ProtocolError(FAULTS[F_LENGTH])
        for i in range(row.fields):
            parts.append(_encode_field(row.kinds[i], values[i]))
        if row.tail == T_TEXT:
            parts.append(values[row.fields].encode())
        elif row.tail == T_POINTS_F32:
            parts.append(np.ascontiguousarray(values[row.fields], "<f4").tobytes())
        elif row.tail != T_NONE:
            parts.append(_encode_whole(values[row.fields]))
        packet = b"".join(parts)
        size = PyBytes_GET_SIZE(packet)
        if size > PACKET_MAX or PyBytes_GET_SIZE(name) > 255:
            raise ProtocolError("the packet would pass 65535 bytes, or its name 255")
        p = <uint8_t*>PyBytes_AS_STRING(packet)
        p[0] = size & 255
        p[1] = <uint8_t>(size >> 8)
        p[2] = <uint8_t>type_id
        memcpy(p + 3, &date, 4)
        p[7] = <uint8_t>PyBytes_GET_SIZE(name)
        i = _check(row, p + HEADER + p[7], size - HEADER - p[7], checked)
        if i:
            raise ProtocolError(FAULTS[i])
        return packet


cdef _whole_numbers(bytes packet, Py_ssize_t at, Py_ssize_t count):
    """Checked 4-byte numbers as int32 (count,): a view when all are written as i32."""
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(packet) + at
    cdef Py_ssize_t i
    cdef int32_t[::1] out
    for i in range(count):
        if not _is_int(_i32(p + 4 * i)):
            break
    else:
        return np.frombuffer(packet, "<i4", count, at)
    array = np.empty(count, "<i4")
    out = array
    for i in range(count):
        out[i] = _pixel(p + 4 * i)
    return array


cdef bytes _encode_field(int kind, value):
    if kind == K_RGBA:
        rgba = bytes(value)
        if len(rgba) != 4:
            raise ProtocolError("a colour is four bytes: R, G, B, A")
        return rgba
    if kind == K_F64:
        return np.array(value, "<f8").tobytes()
    if kind == K_NUMBER and isinstance(value, (float, np.floating)):
        return np.array(value, "<f4").tobytes()
    if kind != K_I32 and not -WIRE_INT_MAX <= value <= WIRE_INT_MAX:
        raise ProtocolError(FAULTS[F_RANGE])
    return np.array(value, "<i4").tobytes()


cdef bytes _encode_whole(values):
    array = np.asarray(values)
    if array.size and (array.min() < -WIRE_INT_MAX or array.max() > WIRE_INT_MAX):
        raise ProtocolError(FAULTS[F_RANGE])
    return np.ascontiguousarray(array, "<i4").tobytes()


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
                        raise ProtocolError(FAULTS[F_LENGTH])
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


# ------------------------------------------------------------------------------- fan-out
cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    ssize_t send(int, const void*, size_t, int)
    ssize_t sendmsg(int, const msghdr*, int)
    int MSG_NOSIGNAL, MSG_DONTWAIT

cdef enum:
    GAPS = 64           # pieces of one sendmsg; who spoke more often gets a copy
    COPIES = 16         # bytes copied to one peer in a unit of work, see `engine/budget.py`

cdef struct Target:     # plain memory, so that sockets are written without the GIL
    int fd
    int64_t id
    size_t start
    size_t total
    ssize_t sent
    bint spoke
    void* subscription  # borrowed: the broadcast's table holds it
    const char* framed  # what to send instead, as WebSocket messages; NULL: the turn as it is


cdef struct Part:               # bytes [start, end) of a turn were said by the peer with this ID
    int64_t owner
    size_t start
    size_t end


cdef class FlushSet:
    """What is new since the last flush. The order of a flush is: seal · commit · release.

    `seal` closes the turn: what comes after it belongs to the next. Only when the journal has
    committed what the turn holds may its bytes be released to the peers.
    """

    cdef list broadcasts, send_queues
    cdef int64_t next_id
    cdef readonly object notify
    cdef readonly int64_t sends         # system calls of `send_committed` so far
    cdef readonly int64_t dropped       # bytes that broadcasts have not given to who lags
    cdef readonly Py_ssize_t size       # bytes that broadcasts hold for the next flush
    cdef public int64_t spent           # units of work so far, see `engine/budget.py`

    def __cinit__(self, notify=None):
        """notify: called without arguments when the first thing of a turn arrives."""
        self.broadcasts = []
        self.send_queues = []
        self.notify = notify

    @property
    def pending(self) -> bool:
        """Is there anything to flush?"""
        return bool(self.broadcasts or self.send_queues)

    cdef _announce(self):
        if self.notify is not None and not self.broadcasts and not self.send_queues:
            self.notify()

    def send_committed(self):
        """Close and release the turn, whose journal is committed: send it to the sockets.

        Peers that have nothing else waiting are sent their share at once, without the GIL and
        without a copy. Returns the send_queues that have something to `take`.
        """
        cdef SendQueue send_queue
        cdef list send_queues = self._end(True)
        for send_queue in send_queues:
            send_queue.release()
        return send_queues

    def seal(self):
        """Close the turn. Returns the send_queues to release once the journal is committed."""
        return self._end(False)

    cdef list _end(self, bint direct):
        """Give every peer its share; direct: of those that can be sent to at once, by sending."""
        cdef Broadcast broadcast
        cdef SendQueue send_queue
        cdef list send_queues
        notify, self.notify = self.notify, None
        try:
            for broadcast in self.broadcasts:
                if direct:
                    broadcast._deliver()
                else:
                    broadcast._distribute()
        finally:
            self.notify = notify
        self.broadcasts = []
        self.size = 0
        send_queues = self.send_queues
        self.send_queues = []
        for send_queue in send_queues:
            send_queue._seal()
        return send_queues


cdef class Subscription:
    """What one peer has had of one broadcast."""

    cdef Broadcast broadcast
    cdef SendQueue send_queue
    cdef size_t cursor                   # bytes of the broadcast's turn that are dealt with
    cdef int64_t spoke                   # the broadcast's turn in which this peer last spoke

    def __cinit__(self, Broadcast broadcast not None, SendQueue send_queue not None):
        self.broadcast = broadcast
        self.send_queue = send_queue
        self.cursor = broadcast.length

    cdef bint _whole(self):
        """Is the peer to be given all of the turn?"""
        return self.cursor == 0 and self.spoke != self.broadcast.number


cdef class Broadcast:
    """What is said to the members of one lobby or channel in one turn, in order, bytes once.

    drop_above: peers for whom more bytes than this are queued already are not given the turn,
    since they can do without; 0: everybody is given everything.
    """

    cdef FlushSet turn
    cdef uint8_t* buffer
    cdef size_t length, capacity
    cdef Part* parts
    cdef Py_ssize_t part_count, part_capacity
    cdef int64_t number                 # of the turn; who spoke in it carries it
    cdef Target* targets
    cdef Py_ssize_t target_capacity
    cdef readonly Py_ssize_t drop_above
    cdef dict subscriptions             # by the ID of their send_queue

    def __cinit__(self, FlushSet turn not None, Py_ssize_t drop_above=0):
        self.turn = turn
        self.drop_above = drop_above
        self.subscriptions = {}
        self.number = 1

    def __dealloc__(self):
        free(self.buffer)
        free(self.parts)
        free(self.targets)

    def publish(self, bytes data not None, SendQueue sender=None):
        """Whole packets for every member but the sender; for all of them when there is none.

        Raises MemoryError.
        """
        cdef Py_ssize_t n = PyBytes_GET_SIZE(data)
        cdef int64_t owner = sender.id if sender is not None else 0
        cdef size_t capacity
        cdef void* grown
        cdef Subscription subscription
        if self.length == 0:
            self.turn._announce()
            self.turn.broadcasts.append(self)
        if self.length + n > self.capacity:
            capacity = 2 * (self.length + n)
            grown = realloc(self.buffer, capacity)
            if grown == NULL:
                raise MemoryError
            self.buffer = <uint8_t*>grown
            self.capacity = capacity
        if self.part_count == self.part_capacity:
            capacity = 2 * self.part_capacity + 16
            grown = realloc(self.parts, capacity * sizeof(Part))
            if grown == NULL:
                raise MemoryError
            self.parts = <Part*>grown
            self.part_capacity = capacity
        memcpy(self.buffer + self.length, PyBytes_AS_STRING(data), n)
        if sender is not None:
            subscription = sender.lobby
            if subscription is None or subscription.broadcast is not self:
                subscription = self.subscriptions.get(owner)
            if subscription is not None:
                subscription.spoke = self.number
        if self.part_count and self.parts[self.part_count - 1].owner == owner:
            self.parts[self.part_count - 1].end += n
        else:
            self.parts[self.part_count] = Part(owner, self.length, self.length + n)
            self.part_count += 1
        self.length += n
        self.turn.size += n
        self.turn.spent += n * <int64_t>len(self.subscriptions) // COPIES

    cdef bytes _share(self, Subscription subscription):
        """What this peer has not yet been given of the turn, without its own parts."""
        cdef size_t start = subscription.cursor, total = 0, begin
        cdef int64_t own = subscription.send_queue.id
        cdef Py_ssize_t i
        cdef bytes out
        cdef uint8_t* q
        for i in range(self.part_count):
            if self.parts[i].owner != own and self.parts[i].end > start:
                total += self.parts[i].end - max(self.parts[i].start, start)
        if total == 0:
            return b""
        out = PyBytes_FromStringAndSize(NULL, total)
        q = <uint8_t*>PyBytes_AS_STRING(out)
        for i in range(self.part_count):
            if self.parts[i].owner != own and self.parts[i].end > start:
                begin = max(self.parts[i].start, start)
                memcpy(q, self.buffer + begin, self.parts[i].end - begin)
                q += self.parts[i].end - begin
        return out

    cdef _distribute(self):
        """Give every member what it has not had; those who said nothing share one object."""
        cdef Subscription subscription
        cdef bytes everything = None
        for subscription in self.subscriptions.values():
            everything = self._give(subscription, everything)
        self._begin_anew()

    cdef bytes _give(self, Subscription subscription, bytes everything):
        """Stage a peer's share; everything: the shared object, made when it is needed."""
        cdef SendQueue send_queue = subscription.send_queue
        if self.drop_above and send_queue.queued > self.drop_above:
            self.turn.dropped += self.length - subscription.cursor
        elif subscription._whole():
            if everything is None:
                everything = PyBytes_FromStringAndSize(<char*>self.buffer, self.length)
            send_queue._stage((everything,), self.length)
        else:
            send_queue._collect(subscription)
        subscription.cursor = 0
        return everything

    cdef _deliver(self):
        """Send every member what it has not had; stage it for those who cannot be sent to."""
        cdef Subscription subscription
        cdef SendQueue send_queue
        cdef bytes everything = None, share, data
        cdef Py_ssize_t count = 0, i
        cdef Target* target
        cdef dict framed = {}           # kind of framing, or an send_queue's ID -> messages
        if <Py_ssize_t>len(self.subscriptions) > self.target_capacity:
            self.target_capacity = 2 * len(self.subscriptions)
            target = <Target*>realloc(self.targets, self.target_capacity * sizeof(Target))
            if target == NULL:
                self.target_capacity = 0
                raise MemoryError
            self.targets = target
        for subscription in self.subscriptions.values():
            send_queue = subscription.send_queue
            if send_queue._is_direct():
                target = &self.targets[count]
                target.fd = send_queue.fd
                target.id = send_queue.id
                target.start = subscription.cursor
                target.spoke = subscription.spoke == self.number
                target.subscription = <void*>subscription
                target.framed = NULL
                if send_queue.framing:
                    data = self._framed(subscription, framed)
                    target.framed = PyBytes_AS_STRING(data)
                    target.total = PyBytes_GET_SIZE(data)
                subscription.cursor = 0
                count += 1
            else:
                everything = self._give(subscription, everything)
        with nogil:
            for i in range(count):
                self._send_to(&self.targets[i])
        self.turn.sends += count
        for i in range(count):
            target = &self.targets[i]
            if target.sent < <ssize_t>target.total:
                subscription = <Subscription>target.subscription
                send_queue = subscription.send_queue
                send_queue.direct = False  # the rest begins inside a packet: nothing is dropped
                if target.framed != NULL:
                    send_queue.rest = target.framed[target.sent:target.total]
                    send_queue._stage(b"", 0)
                    continue
                subscription.cursor = target.start
                share = self._share(subscription)
                subscription.cursor = 0
                send_queue._stage(share[target.sent:], len(share) - target.sent)
        self._begin_anew()

    cdef bytes _framed(self, Subscription subscription, dict framed):
        """A peer's share as messages, made once for all who get everything."""
        cdef SendQueue send_queue = subscription.send_queue
        cdef bint whole = subscription._whole()
        key = -send_queue.framing if whole else send_queue.id
        cdef bytes data = framed.get(key)
        if data is None:
            if whole:
                data = PyBytes_FromStringAndSize(<char*>self.buffer, self.length)
            else:
                data = self._share(subscription)
            data = websocket_messages(data) if send_queue.framing == 1 else websocket_texts(data)
            framed[key] = data
        return data

    cdef void _send_to(self, Target* target) noexcept nogil:
        """One system call; target.sent of target.total bytes were taken."""
        cdef iovec[GAPS] gaps
        cdef msghdr message
        cdef Py_ssize_t i, count = 0
        cdef size_t at = target.start, end
        target.sent = 0
        if target.framed != NULL:
            if target.total:
                target.sent = send(target.fd, target.framed, target.total,
                                   MSG_NOSIGNAL | MSG_DONTWAIT)
            if target.sent < 0:
                target.sent = 0
            return
        target.total = 0
        if not target.spoke:
            target.total = self.length - at
            if target.total:
                target.sent = send(target.fd, self.buffer + at, target.total,
                                   MSG_NOSIGNAL | MSG_DONTWAIT)
        else:
            for i in range(self.part_count + 1):
                if i < self.part_count and self.parts[i].owner != target.id:
                    continue
                end = self.parts[i].start if i < self.part_count else self.length
                if end > at:
                    if count < GAPS:
                        gaps[count].iov_base = self.buffer + at
                        gaps[count].iov_len = end - at
                        count += 1
                    target.total += end - at
                if i < self.part_count and self.parts[i].end > at:
                    at = self.parts[i].end
            if count:
                memset(&message, 0, sizeof(message))
                message.msg_iov = gaps
                message.msg_iovlen = count
                target.sent = sendmsg(target.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
        if target.sent < 0:
            target.sent = 0      # whatever is wrong, the transport meets it too

    cdef _begin_anew(self):
        self.length = 0
        self.part_count = 0
        self.number += 1
        if self.capacity > 1 << 20:      # a burst must not be remembered for ever
            free(self.buffer)
            self.buffer = NULL
            self.capacity = 0


cdef class SendQueue:
    """What one peer has still to be sent, in the order in which it came to be.

    Three kinds of things stand in the queue: private bytes; bytes relayed in a lobby or a channel,
    which `drop_broadcasts` may drop because a replay of the canvas can take its place; and calls,
    made when everything before them has been taken. Sizes are in bytes.

    A peer is attached to one lobby, whose packets and its private ones keep their order, and
    subscribed to any number of channels.
    """

    cdef FlushSet turn
    cdef Subscription lobby
    cdef dict channels                   # broadcast -> subscription
    cdef readonly int64_t id
    cdef public int fd                   # of the socket, or -1: everything goes through `take`
    cdef public bint direct              # the transport holds nothing: the socket may be written
    cdef public int framing              # sent as WebSocket messages: 1 packets, 2 lines; 0: as is
    cdef bytes rest                      # of such messages, what the socket did not take
    cdef bint dirty
    cdef list staged, sealed
    cdef object ready
    cdef readonly Py_ssize_t queued      # private and relayed
    cdef readonly Py_ssize_t replaying   # of replays: no sign of slowness

    def __cinit__(self, FlushSet turn not None):
        turn.next_id += 1
        self.id = turn.next_id
        self.turn = turn
        self.fd = -1
        self.channels = {}
        self.staged = []
        self.sealed = []
        self.ready = deque()

    cdef bint _is_direct(self):
        return (self.fd >= 0 and self.direct and not self.dirty
                and len(self.sealed) == 0 and len(self.ready) == 0)

    cdef _stage(self, piece, Py_ssize_t size):
        if not self.dirty:
            self.turn._announce()
            self.turn.send_queues.append(self)
            self.dirty = True
        self.staged.append(piece)
        self.queued += size

    cdef _collect(self, Subscription subscription):
        """Take over what the broadcast holds for this peer up to now."""
        cdef bytes share = subscription.broadcast._share(subscription)
        subscription.cursor = subscription.broadcast.length
        if share:
            self._stage((share,), PyBytes_GET_SIZE(share))

    cdef _seal(self):
        self.sealed += self.staged
        self.staged = []
        self.dirty = False

    def push(self, bytes data not None):
        """Private packets, after all that the peer is to get of its lobby up to now."""
        if self.lobby is not None:
            self._collect(self.lobby)
        self._stage(data, PyBytes_GET_SIZE(data))

    def send_snapshot(self, list chunks not None):
        """The state of a canvas as packets; chunks may be shared with other send_queues."""
        cdef bytes chunk
        if self.lobby is not None:
            self._collect(self.lobby)
        for chunk in chunks:
            self._stage([chunk], 0)
            self.replaying += PyBytes_GET_SIZE(chunk)

    def call_when_sent(self, call):
        """`call()` is made by `take` when all that stands before it has been taken."""
        if self.lobby is not None:
            self._collect(self.lobby)
        self._stage(call, 0)

    def send_first(self, bytes data not None):
        """Past the queue and past the journal: for what must be said while neither can move."""
        self.ready.appendleft(data)
        self.queued += PyBytes_GET_SIZE(data)

    def attach(self, Broadcast broadcast not None):
        """From now on get what is put into this lobby's broadcast, no more of the last one's."""
        self.detach()
        self.lobby = Subscription(broadcast, self)
        broadcast.subscriptions[self.id] = self.lobby

    def detach(self):
        """Get what the lobby's broadcast has for this peer up to now, and nothing more."""
        if self.lobby is not None:
            self._collect(self.lobby)
            del self.lobby.broadcast.subscriptions[self.id]
            self.lobby = None

    def subscribe(self, Broadcast broadcast not None):
        """From now on get what is put into this channel's broadcast, too."""
        cdef Subscription subscription
        if broadcast not in self.channels:
            subscription = Subscription(broadcast, self)
            self.channels[broadcast] = broadcast.subscriptions[self.id] = subscription

    def unsubscribe(self, Broadcast broadcast not None):
        """Get what the channel's broadcast has for this peer up to now, and nothing more."""
        cdef Subscription subscription = self.channels.pop(broadcast, None)
        if subscription is not None:
            self._collect(subscription)
            del broadcast.subscriptions[self.id]

    def drop(self):
        """The peer is gone: it is given nothing more, and nothing is kept for it."""
        cdef Broadcast broadcast
        if self.lobby is not None:
            self.lobby.broadcast.subscriptions.pop(self.id, None)
            self.lobby = None
        for broadcast in self.channels:
            broadcast.subscriptions.pop(self.id, None)
        self.channels = {}
        self.staged = []
        self.sealed = []
        self.ready = deque()
        self.rest = None
        self.queued = self.replaying = 0

    @property
    def attached(self) -> bool:
        """Is this peer given what a lobby says?"""
        return self.lobby is not None

    def drop_broadcasts(self):
        """Detach, and drop all relayed bytes and replays. Returns how many bytes were dropped.

        Private packets and calls stay. The peer needs a replay before it is attached again.
        """
        cdef Py_ssize_t before = self.queued + self.replaying
        self.detach()
        self.staged = [piece for piece in self.staged if not isinstance(piece, (tuple, list))]
        self.sealed = [piece for piece in self.sealed if not isinstance(piece, (tuple, list))]
        self.ready = deque(piece for piece in self.ready if not isinstance(piece, (tuple, list)))
        self.replaying = 0
        self.queued = sum(len(piece) for part in (self.staged, self.sealed, self.ready)
                          for piece in part if isinstance(piece, bytes))
        return before - self.queued

    def coalesce(self, bytes passing not None):
        """Drop relayed packets that later ones make void, see `coalesced`; bytes dropped.

        What is left of a run of pieces is a piece of this peer's own; where little would be won,
        the pieces stay what they are, shared with others.
        """
        cdef list run = [], pieces = []
        cdef Py_ssize_t before = self.queued
        for piece in self.ready:
            if isinstance(piece, tuple):
                run.append(piece)
                continue
            pieces += self._coalesced(run, passing)
            run = []
            pieces.append(piece)
        pieces += self._coalesced(run, passing)
        self.ready = deque(pieces)
        return before - self.queued

    cdef list _coalesced(self, list run, bytes passing):
        cdef bytes whole, left
        if not run:
            return run
        whole = b"".join([piece[0] for piece in run])
        left = coalesced(whole, passing)
        if 4 * PyBytes_GET_SIZE(left) > 3 * PyBytes_GET_SIZE(whole):
            return run
        self.queued -= PyBytes_GET_SIZE(whole) - PyBytes_GET_SIZE(left)
        return [(left,)]

    def release(self):
        """The journal holds what was sealed: it may be taken now."""
        self.ready.extend(self.sealed)
        self.sealed = []

    def take_rest(self):
        """What a socket did not take of a direct send: to be written first, as it is."""
        rest, self.rest = self.rest, None
        return rest or b""

    @property
    def takeable(self) -> bool:
        """Would `take` return something or make a call?"""
        return bool(self.ready)

    def take(self, Py_ssize_t limit):
        """Bytes to send next: whole packets; more than `limit` only if a single piece is larger.

        b"" when there is nothing to take.
        """
        cdef list pieces = []
        cdef Py_ssize_t total = 0, size
        while self.ready:
            piece = self.ready[0]
            if isinstance(piece, bytes):
                data = piece
            elif isinstance(piece, (tuple, list)):
                data = piece[0]
            else:
                self.ready.popleft()
                piece()
                continue
            size = PyBytes_GET_SIZE(<bytes>data)
            if total and total + size > limit:
                break
            self.ready.popleft()
            if isinstance(piece, list):
                self.replaying -= size
            else:
                self.queued -= size
            pieces.append(data)
            total += size
            if total >= limit:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
