# cython: language_level=3
"""Reading a packet's bytes in place: what `_codec`, `_framing` and `_fanout` have in common.

Nothing here checks bounds: every caller stands behind a check of the packet's length.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.math cimport floor
from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.string cimport memcpy

cdef enum:
    HEADER = 8
    PACKET_MAX = 65535
    WIRE_INT_MAX = 0x7FFFFF          # numbers up to this are i32, all other bit patterns are f32
    PIXEL_COORDINATE_MAX = 1 << 24   # f32 pixel coordinates are clamped to this: far away


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


cdef inline const uint8_t* _packet(bytes packet, Py_ssize_t* n) noexcept:
    """The bytes of exactly one packet; NULL when it is not."""
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(packet)
    n[0] = PyBytes_GET_SIZE(packet)
    if n[0] < HEADER or _frame(p, n[0]) != n[0]:
        return NULL
    return p


cdef inline void _head(uint8_t* q, const uint8_t* p, Py_ssize_t size, const uint8_t* name,
                       Py_ssize_t length) noexcept nogil:
    """Write p's header to q, with this size and name."""
    memcpy(q, p, HEADER)
    q[0] = size & 255
    q[1] = <uint8_t>(size >> 8)
    q[7] = <uint8_t>length
    memcpy(q + HEADER, name, length)
