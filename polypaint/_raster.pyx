# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=True
"""Pixel work that numpy has no single operation for: stamps, fills, placing selections, blocks.

A canvas is a C-contiguous uint32 array (height, width); a pixel is the little-endian word of its
bytes R, G, B, A. Coordinates are pixels from the top-left corner, x to the right, y downwards.
Every loop is clipped to the canvas before it starts: that is why bounds checks can be off.

Must never import anything of this package. Counterpart: `paint/pixels.py`.
"""

import numpy as np

from libc.math cimport fabs, floor, fmod
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free, malloc, realloc

cdef double RADIANS = 3.141592653589793 / 180.0
# Polynomials of the sine and the cosine on ±45 degrees (those of fdlibm).
cdef double S1 = -1.66666666666666324348e-01
cdef double S2 = 8.33333333332248946124e-03
cdef double S3 = -1.98412698298579493134e-04
cdef double S4 = 2.75573137070700676789e-06
cdef double S5 = -2.50507602534068634195e-08
cdef double S6 = 1.58969099521155010221e-10
cdef double C1 = 4.16666666666666019037e-02
cdef double C2 = -1.38888888888741095749e-03
cdef double C3 = 2.48015872894767294178e-05
cdef double C4 = -2.75573143513906633035e-07
cdef double C5 = 2.08757232129817482790e-09
cdef double C6 = -1.13596475577881948265e-11


def stamp(uint32_t[:, ::1] canvas, const int32_t[:, :] points, int size, uint32_t colour):
    """Set a size×size square for every point (n, 2); top-left = point - size // 2; clipped."""
    cdef Py_ssize_t height = canvas.shape[0], width = canvas.shape[1], i, x, y
    cdef int64_t left, top, right, bottom
    with nogil:
        for i in range(points.shape[0]):
            left = <int64_t>points[i, 0] - size // 2
            top = <int64_t>points[i, 1] - size // 2
            right = min(left + size, width)
            bottom = min(top + size, height)
            left = max(left, 0)
            top = max(top, 0)
            for y in range(top, bottom):
                for x in range(left, right):
                    canvas[y, x] = colour


cdef struct Span:
    int32_t left
    int32_t right       # exclusive
    int32_t y


def fill(uint32_t[:, ::1] canvas, int x, int y, uint32_t colour):
    """Fill the 4-connected region of equal pixels around (x, y). Returns how many were changed.

    Raises IndexError for a start that is off the canvas, MemoryError.
    """
    cdef Py_ssize_t height = canvas.shape[0], width = canvas.shape[1]
    cdef uint32_t old
    cdef Span* stack = NULL
    cdef Span* grown
    cdef Py_ssize_t used = 0, room = 0, changed = 0
    cdef int32_t left, right, at, next_y
    cdef int step
    cdef Span span
    cdef bint failed = False
    if not (0 <= x < width and 0 <= y < height):
        raise IndexError("the fill starts off the canvas")
    old = canvas[y, x]
    if old == colour:
        return 0
    with nogil:
        room = 1024
        stack = <Span*>malloc(room * sizeof(Span))
        failed = stack == NULL
        if not failed:
            stack[0] = Span(x, x + 1, y)
            used = 1
        while used and not failed:
            used -= 1
            span = stack[used]
            at = span.left
            while at < span.right:
                if canvas[span.y, at] != old:
                    at += 1
                    continue
                left = at
                while left > 0 and canvas[span.y, left - 1] == old:
                    left -= 1
                right = at
                while right < width and canvas[span.y, right] == old:
                    right += 1
                for at in range(left, right):
                    canvas[span.y, at] = colour
                at = right
                changed += right - left
                if used + 2 > room:
                    room *= 2
                    grown = <Span*>realloc(stack, room * sizeof(Span))
                    if grown == NULL:
                        failed = True
                        break
                    stack = grown
                for step in range(-1, 2, 2):
                    next_y = span.y + step
                    if 0 <= next_y < height:
                        stack[used] = Span(left, right, next_y)
                        used += 1
        free(stack)
    if failed:
        raise MemoryError
    return changed


cdef void _turn(double angle, double* cosine, double* sine) noexcept nogil:
    """Cosine and sine of a finite angle in degrees, the same bits on every machine.

    Only operations that IEEE 754 rounds exactly, in this order: docs/protocol.md, section 9. The
    remainder and the distance to the nearest quarter turn are exact; so are whole quarter turns.
    """
    cdef double rest = fmod(angle, 360.0), quarters, x, z, s, c
    quarters = floor(rest / 90.0 + 0.5)
    x = (rest - 90.0 * quarters) * RADIANS
    z = x * x
    s = x + x * z * (S1 + z * (S2 + z * (S3 + z * (S4 + z * (S5 + z * S6)))))
    c = 1.0 - (0.5 * z - z * z * (C1 + z * (C2 + z * (C3 + z * (C4 + z * (C5 + z * C6))))))
    cdef int quadrant = <int>quarters & 3
    cosine[0] = c if quadrant == 0 else -s if quadrant == 1 else -c if quadrant == 2 else s
    sine[0] = s if quadrant == 0 else c if quadrant == 1 else -s if quadrant == 2 else -c


def turn(double angle):
    """(cosine, sine) of a finite angle in degrees, as `place` uses them."""
    cdef double cosine, sine
    _turn(angle, &cosine, &sine)
    return cosine, sine


def place(uint32_t[:, ::1] canvas, const uint32_t[:, :] source, (int, int) offset,
          (int, int) cut, (int, int, int, int) target, double angle):
    """Write a floating selection onto the canvas, nearest neighbour, clipped.

    source: the pixels that were cut, (rows, columns). cut: width and height of the rectangle as it
    was drawn; offset: where in it `source` lies (what was off canvas is clear). target: x, y,
    width, height now; angle: degrees clockwise about its centre. Every pixel centre of the target
    is mapped back into the cut rectangle.
    """
    cdef double cosine, sine, centre_x, centre_y, reach_x, reach_y, dx, dy, u, v
    cdef double width = target[2], height = target[3]
    cdef Py_ssize_t x, y, left, top, right, bottom
    cdef int64_t column, row
    with nogil:
        _turn(angle, &cosine, &sine)
        centre_x = target[0] + width / 2
        centre_y = target[1] + height / 2
        reach_x = (fabs(width * cosine) + fabs(height * sine)) / 2 + 1
        reach_y = (fabs(width * sine) + fabs(height * cosine)) / 2 + 1
        left = <Py_ssize_t>max(0, floor(centre_x - reach_x))
        top = <Py_ssize_t>max(0, floor(centre_y - reach_y))
        right = <Py_ssize_t>min(<double>canvas.shape[1], floor(centre_x + reach_x) + 1)
        bottom = <Py_ssize_t>min(<double>canvas.shape[0], floor(centre_y + reach_y) + 1)
        for y in range(top, bottom):
            dy = y + 0.5 - centre_y
            for x in range(left, right):
                dx = x + 0.5 - centre_x
                u = (dx * cosine + dy * sine) / width * cut[0] + cut[0] / 2.0
                v = (dy * cosine - dx * sine) / height * cut[1] + cut[1] / 2.0
                if 0 <= u < cut[0] and 0 <= v < cut[1]:
                    column = <int64_t>floor(u) - offset[0]
                    row = <int64_t>floor(v) - offset[1]
                    if 0 <= column < source.shape[1] and 0 <= row < source.shape[0]:
                        canvas[y, x] = source[row, column]


# ------------------------------------------------------------------------------- squares
cdef struct Block:
    uint32_t colour
    int32_t size
    int32_t x
    int32_t y


cdef struct Blocks:
    Block* items
    Py_ssize_t used
    Py_ssize_t room
    bint failed
    bint spill
    uint32_t background


cdef enum State:
    WILD, UNIFORM, MIXED


cdef void _emit(Blocks* out, uint32_t colour, int size, int x, int y) noexcept nogil:
    cdef Block* grown
    if colour == out.background or out.failed:
        return
    if out.used == out.room:
        grown = <Block*>realloc(out.items, (2 * out.room + 256) * sizeof(Block))
        if grown == NULL:
            out.failed = True
            return
        out.items = grown
        out.room = 2 * out.room + 256
    out.items[out.used] = Block(colour, size, x, y)
    out.used += 1


cdef State _squares(const uint32_t[:, :] pixels, int x, int y, int size, Blocks* out,
                    uint32_t* colour) noexcept nogil:
    """Emit the squares inside this one, unless it has one colour: then its parent decides."""
    cdef uint32_t[4] colours
    cdef State[4] states
    cdef State state = WILD
    cdef int i, half = size // 2
    if x >= pixels.shape[1] or y >= pixels.shape[0]:
        return WILD
    if size == 1:
        colour[0] = pixels[y, x]
        return UNIFORM
    for i in range(4):
        states[i] = _squares(pixels, x + (i & 1) * half, y + (i >> 1) * half, half, out,
                             &colours[i])
        if states[i] == MIXED:
            state = MIXED
        elif states[i] == UNIFORM and state != MIXED:
            if state == WILD:
                colour[0] = colours[i]
                state = UNIFORM
            elif colours[i] != colour[0]:
                state = MIXED
        elif states[i] == WILD and not out.spill:
            state = MIXED
    if state == MIXED:
        for i in range(4):
            if states[i] == UNIFORM:
                _emit(out, colours[i], half, x + (i & 1) * half, y + (i >> 1) * half)
    return state


def squares(const uint32_t[:, :] pixels, uint32_t background, bint spill):
    """The picture as squares of one colour whose sides are powers of two up to 512.

    Returns (colours uint32 (n,), sizes int32 (n,), corners int32 (n, 2): x, y of the top-left
    pixel), sorted by colour and size. Squares of the background's colour are left out; spill:
    squares may reach past the right and lower edges. Raises MemoryError.
    """
    cdef Blocks out
    cdef uint32_t colour = 0
    cdef int x, y
    cdef Py_ssize_t i
    out.items = NULL
    out.used = out.room = 0
    out.failed = False
    out.spill = spill
    out.background = background
    with nogil:
        for y in range(0, pixels.shape[0], 512):
            for x in range(0, pixels.shape[1], 512):
                if _squares(pixels, x, y, 512, &out, &colour) == UNIFORM:
                    _emit(&out, colour, 512, x, y)
    if out.failed:
        free(out.items)
        raise MemoryError
    colours = np.empty(out.used, np.uint32)
    sizes = np.empty(out.used, np.int32)
    corners = np.empty((out.used, 2), np.int32)
    cdef uint32_t[::1] colours_view = colours
    cdef int32_t[::1] sizes_view = sizes
    cdef int32_t[:, ::1] corners_view = corners
    with nogil:
        for i in range(out.used):
            colours_view[i] = out.items[i].colour
            sizes_view[i] = out.items[i].size
            corners_view[i, 0] = out.items[i].x
            corners_view[i, 1] = out.items[i].y
        free(out.items)
    order = np.lexsort((sizes, colours))
    return colours[order], sizes[order], corners[order]
