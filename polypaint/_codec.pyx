# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=True
"""The hot path: bytes of a connection -> packets -> numpy, and packets -> bytes for many peers.

    FrameDecoder   any chunking of a byte stream -> whole packets
    Codec          a table of layouts -> check, decode and encode the data of every packet type
    Broadcast      what the members of one lobby say in one turn of the loop, each packet once
    SendQueue      what one peer has still to be sent: private packets, its share of a Broadcast
    FlushSet       the broadcasts and queues that have something new: seal, journal, release

The first is in `_framing.pyx`, the last three are in `_fanout.pyx`; all are imported from here.

A packet (little endian): u16 size · u8 type · u32 date · u8 length N · N bytes of name · data.

LIFETIME. Arrays that `Codec.decode` returns are views of the packet (a `bytes` object, which they
keep alive): no copy is made, and they are read-only and may be unaligned. The exception is numbers
that the sender wrote as f32: these are converted, into an array of their own.

LIMITS. A packet has 8…65535 bytes. The files of each of these say what they hold at most.

Bounds checks are off in these files. Every read from a packet stands behind an explicit check of
the packet's length: `_frame` for the header, the first lines of `_check` for the data.

Must never import anything of this package but these and `errors`. Counterpart: `paint/packets.py`,
which declares the layouts; `tests/oracle.py` decodes the same packets in plain Python.
"""

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport floor, isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from polypaint._framing cimport _whole
from polypaint._scan cimport (
    HEADER, PACKET_MAX, WIRE_INT_MAX, _f32_finite, _f64, _frame, _head, _i32, _is_int, _number,
    _pixel, _u32,
)

# For those who import from here.
from polypaint._fanout import Broadcast, FlushSet, SendQueue, Subscription  # no-cython-lint
from polypaint._framing import FrameDecoder, coalesced, header, json_shape  # no-cython-lint
from polypaint._framing import numbered, point_packets, split  # no-cython-lint
from polypaint._framing import with_index, with_name  # no-cython-lint
from polypaint._framing import websocket_messages, websocket_texts  # no-cython-lint
from polypaint.errors import ProtocolError

HEADER_BYTES = 8
PACKET_BYTES_MAX = 65535

cdef enum:
    FIELDS_MAX = 8

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
