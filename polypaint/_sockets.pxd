# cython: language_level=3
"""Writing a broadcast to sockets, without the interpreter lock and without a copy.

Counterpart: `_fanout.pyx`, which says who is sent what.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

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


cdef inline void send_share(Target* target, uint8_t* buffer, size_t length, const Part* parts,
                            Py_ssize_t part_count) noexcept nogil:
    """Send a peer its share of a turn, in one system call.

    parts: who said what of the `length` bytes in `buffer`. target.sent of target.total were taken.
    """
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
        target.total = length - at
        if target.total:
            target.sent = send(target.fd, buffer + at, target.total,
                               MSG_NOSIGNAL | MSG_DONTWAIT)
    else:
        for i in range(part_count + 1):
            if i < part_count and parts[i].owner != target.id:
                continue
            end = parts[i].start if i < part_count else length
            if end > at:
                if count < GAPS:
                    gaps[count].iov_base = buffer + at
                    gaps[count].iov_len = end - at
                    count += 1
                target.total += end - at
            if i < part_count and parts[i].end > at:
                at = parts[i].end
        if count:
            memset(&message, 0, sizeof(message))
            message.msg_iov = gaps
            message.msg_iovlen = count
            target.sent = sendmsg(target.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
    if target.sent < 0:
        target.sent = 0      # whatever is wrong, the transport meets it too
