# cython: language_level=3
"""What `_codec` calls of `_framing` without the interpreter."""

from libc.stdint cimport uint8_t


cdef const uint8_t* _whole(bytes packet, Py_ssize_t* n) except NULL
