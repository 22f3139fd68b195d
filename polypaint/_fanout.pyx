# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=True
"""What many peers are sent: bytes once for all of them, journaled before anybody sees them.

    Broadcast      what the members of one lobby say in one turn of the loop, each packet once
    SendQueue      what one peer has still to be sent: private packets, its share of a Broadcast
    FlushSet       the broadcasts and queues that have something new: seal, journal, release

LIMITS. A Broadcast is emptied every turn. What a SendQueue holds is bounded by its owner, who
watches `queued`.

Must never import anything of this package but `_framing`. Counterparts: `_sockets.pxd` writes;
`runtime/flusher.py` says when.
"""

from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from polypaint._sockets cimport Part, Target, send_share

from polypaint._framing import coalesced, websocket_messages, websocket_texts

cdef enum:
    COPIES = 16         # bytes copied to one peer in a unit of work, see `engine/budget.py`


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
                send_share(&self.targets[i], self.buffer, self.length, self.parts,
                           self.part_count)
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
