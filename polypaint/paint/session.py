"""One connection's conversation, without I/O: bytes in; send queue, log and effects out.

The same object serves TCP (`receive`, any chunks) and WebSocket (`receive_message`, one message).
Every packet takes the same path: header → is it allowed now (`Packet.when`) → its handler in
`handles`. Handlers raise what is wrong; `_handle` alone decides what that costs the peer.

What it wants done it calls in `commands.PaintCommands`; lobbies and channels know it as a
`member.Member`, and nothing else of it.

Must never do I/O or read a clock. Counterparts: `service.py` carries the commands out,
`net/tcp.py` and `net/websocket.py` bring the bytes. Protocol: docs/protocol.md, sections 1-9.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from polypaint import _codec
from polypaint._codec import Broadcast, FrameDecoder
from polypaint.engine import effects
from polypaint.engine.budget import COPIES, ENTRY, Bucket
from polypaint.engine.context import Context
from polypaint.engine.effects import ACCOUNT_CREATED, ACCOUNT_REFUSED
from polypaint.engine.handlers import Handlers
from polypaint.engine.session import Session
from polypaint.errors import ProtocolError, Refused
from polypaint.identity.accounts import is_name, is_password
from polypaint.paint import extension, packets
from polypaint.paint.channels import is_channel_name, split_message
from polypaint.paint.commands import PaintCommands
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.member import Membership
from polypaint.paint.packets import CODEC, PACKETS, Packet, When
from polypaint.wire import strictjson

ACCEPTED, ALREADY_CONNECTED, BAD_PASSWORD = range(3)
TRY_LATER: Final = extension.TRY_LATER
"""To CONNECTION, whose protocol has no word for it, it is BAD_PASSWORD."""
ADD_STROKE: Final = packets.ADD_STROKE.id
TICKET_VERSION: Final = b"1"
REJECTED_MAX: Final = 50
REJECTED_S: Final = 60.0
NOTED_EVERY: Final = 10
CHAT: Final = (10.0, 100.0)
"""Messages a second, and at once, that one person may say; then they are slowed down."""
CHAT_BYTES: Final = 8192
"""A longer message counts as more than one."""
CHAT_PEOPLE: Final = 1000
"""So does one to more people."""

Handler: TypeAlias = "Callable[[PaintSession, bytes, float], None]"
handles: Final = Handlers[Handler]("id")


class PaintSession(Session):
    """One connection's conversation.

    membership: of the lobby that it is in, if any; `joined` and `removed` set it.
    """

    def __init__(
        self,
        commands: PaintCommands,
        context: Context,
        counters: dict[str, int],
        address: str,
        now: float,
        rtt_s: Callable[[], float],
    ) -> None:
        super().__init__(context, address, now)
        self.membership: Membership | None = None
        self.extension: extension.Extension | None = None
        self.name_bytes = b""
        self.commands = commands
        self._counters = counters
        self._rtt_s = rtt_s
        self._backlogged_at: float | None = None
        self._decoder = FrameDecoder()
        self._inbox: list[bytes] = []
        self._at = 0
        """How many of them have been handled in this turn."""
        self._rejected: deque[float] = deque()
        self._rejected_count = 0
        self._chat = Bucket(*CHAT, now)
        self._guesses = 0
        """How often they named a drawing or passcode that is not, when that was often already."""
        self._set_deadline(now)

    # ------------------------------------------------------------ in
    def receive(self, data: bytes, now: float) -> None:
        packets = self._decoder.feed(data)
        self._flush_set.spent += ENTRY * len(packets)
        self._inbox += packets
        self.work(now)

    def receive_message(self, packet: bytes, now: float) -> None:
        """One WebSocket message. Raises ProtocolError when it is not exactly one packet."""
        _codec.header(packet)
        self._inbox.append(packet)
        self.work(now)

    def work(self, now: float) -> None:
        try:
            super().work(now)
        finally:
            del self._inbox[: self._at]
            self._at = 0
        if self._decoder.broken and not self._inbox and not self.closing:
            self.close("framing lost: a size field is smaller than its packet")

    @property
    def stalled(self) -> bool:
        return self._at < len(self._inbox) and not self.waiting and not self.closing

    def _handle_next(self, now: float) -> None:
        inbox, at = self._inbox, self._at
        membership = self.membership
        if membership is not None:
            if membership.lobby.busy:
                membership.lobby.wait(self)
                return
            if inbox[at][2] == ADD_STROKE:
                taken = self.commands.add_strokes(membership, inbox, at, now)
                if taken:
                    if self.extension is not None:
                        self._drew(membership)
                        lobby, date = membership.lobby, self.context.date(now)
                        first = lobby.stroke_count - taken
                        self.extension.answers.taken(taken, lobby.seq, first, date)
                        extension.tell_history(self, now)
                    self._at += taken
                    self._flush_set.spent += ENTRY * taken
                    return
        self._at += 1
        self._flush_set.spent += len(inbox[at])
        self._handle(inbox[at], now)

    def lost(self, now: float) -> None:
        super().lost(now)
        self._deadline.cancel()
        self.commands.disconnected(self, now)

    # ------------------------------------------------------------ out
    def above_low_mark(self) -> None:
        self.send_queue.coalesce(packets.COALESCING)

    def above_high_mark(self, now: float) -> None:
        """Too much waits to be sent: the canvas will take its place."""
        if self.send_queue.attached and self.membership is not None:
            self.commands.above_high_mark(self.membership)
        if self.send_queue.queued > 2 * self._queue_max:
            self.close("does not read what it is sent")

    def backlogged(self, now: float) -> None:
        if self._backlogged_at is None:
            self._backlogged_at = now

    def drained(self, now: float) -> None:
        """The connection has taken everything: what shifted meanwhile was sent only now."""
        since, self._backlogged_at = self._backlogged_at, None
        if since is not None and self.membership is not None:
            self.membership.drained(since, now)

    @property
    def backlogged_at(self) -> float | None:
        """Since when the connection takes no bytes; None while it does."""
        return self._backlogged_at

    def window_s(self) -> float:
        """Twice the round-trip time."""
        return 2 * self._rtt_s()

    def close(self, reason: str) -> None:
        self._deadline.cancel()
        super().close(reason)

    # ------------------------------------------------------------ what lobbies have it do
    @property
    def receiving_snapshot(self) -> bool:
        """Is a snapshot waiting to be sent, or half sent?"""
        return self.send_queue.replaying > 0

    @property
    def subscribed(self) -> bool:
        """Is it sent what its lobby publishes?"""
        return self.send_queue.attached

    def send(self, data: bytes) -> None:
        """Whole packets for this member alone."""
        self.send_queue.push(data)

    def send_first(self, data: bytes) -> None:
        """The same before everything else, even while nothing can be journaled."""
        self.send_queue.send_first(data)

    def send_snapshot(self, chunks: list[bytes]) -> None:
        """The canvas, as whole packets."""
        self.send_queue.send_snapshot(chunks)

    def call_when_sent(self, call: Callable[[float], None]) -> None:
        """Make this call when the connection has taken all that stands before."""
        self.send_queue.call_when_sent(lambda: call(self.taken_at))

    def subscribe(self, broadcast: Broadcast) -> None:
        """Be sent what this lobby publishes from now on."""
        self.send_queue.attach(broadcast)

    def unsubscribe(self) -> None:
        """Be sent nothing more of a lobby's."""
        self.send_queue.detach()

    def skip_broadcasts(self) -> None:
        """Drop what it has not been sent yet of its lobby's packets and snapshots; unsubscribe."""
        self.send_queue.drop_broadcasts()

    def joined(self, membership: Membership) -> None:
        """It is in this lobby now."""
        self.membership = membership
        if self.extension is not None:
            self.extension.entered()

    def removed(self) -> None:
        """It is in no lobby any more."""
        self.membership = None
        if self.extension is not None:
            self.extension.answers.forget()

    def drawn(self, packet: bytes, told: bytes, sequence: int, now: float) -> None:
        """One of its packets is in the drawing."""
        if self.extension is not None:
            self.extension.answers.accepted(packet, told, sequence, self.context.date(now))
            extension.tell_history(self, now)

    def taken_back(self, redo: bool, reason: str, now: float) -> None:
        """It has undone, or redone, something."""
        extension.answer_undo(self, redo, reason, now)

    def not_drawn(self, packet: bytes, reason: str, now: float) -> None:
        """One of its packets has changed nothing."""
        if self.extension is not None:
            self.extension.answers.refused(packet, reason, self.context.date(now))

    def guessed(self, wait_s: float, now: float) -> None:
        """It has named too many drawings or passcodes that are not: log some, and slow down."""
        self._guesses += 1
        if self._guesses % NOTED_EVERY == 1:
            reason = "names drawings or passcodes that are not"
            what = str(packets.LOBBY_CONNECT.id)
            self.context.effects.append(effects.Rejected(self, what, reason, self._guesses))
        self.delay(wait_s, now)

    # ------------------------------------------------------------ every packet
    def _handle(self, packet: bytes, now: float) -> None:
        self._counters["packets"] += 1
        self._deadline.cancel()
        kind = PACKETS.get(packet[2])
        if self.name and (kind is None or kind.when is When.IGNORED or self._is_foreign(kind)):
            return
        own = self.extension if kind is not None and kind.relayed else None
        if own is not None:
            own.answers.arrived()
        try:
            self._permit(kind, packet)
            handles[packet[2]](self, packet, now)
        except (ProtocolError, Refused) as error:
            if own is not None:
                own.answers.refused_last(str(error), self.context.date(now))
            self.refused(packet, str(error), now)

    @property
    def extended(self) -> bool:
        """Has it asked for the extension?"""
        return self.extension is not None

    def _is_foreign(self, kind: Packet) -> bool:
        """Does it belong to an extension that this session has not asked for?"""
        return kind.extension and self.extension is None

    def _permit(self, kind: Packet | None, packet: bytes) -> None:
        """Is this packet in place? Raises ProtocolError."""
        if not self.name:
            if kind is None or kind.when is not When.LOGIN:
                raise ProtocolError("the first packet must be CONNECTION, CREATE_ACCOUNT or HELLO")
            return
        if kind is None or kind.when in (When.LOGIN, When.NEVER):
            raise ProtocolError("not from a client that is logged in")
        if kind.when is When.DRAWING and self.membership is None:
            raise ProtocolError("not in a lobby")
        if packet[7] and packet[8 : 8 + packet[7]] != self.name_bytes:
            raise ProtocolError("under somebody else's name")

    def refused(self, packet: bytes, reason: str, now: float) -> None:
        """Drop a packet: before login that ends the connection, after it too many do."""
        self._counters["rejected"] += 1
        self._rejected_count += 1
        if self._rejected_count % NOTED_EVERY == 1 or not self.name:
            self.context.effects.append(
                effects.Rejected(self, str(packet[2]), reason, self._rejected_count)
            )
        self._rejected.append(now)
        while self._rejected[0] <= now - REJECTED_S:
            self._rejected.popleft()
        if not self.name:
            self.close(reason)
        elif len(self._rejected) >= REJECTED_MAX:
            self.close(f"{REJECTED_MAX} packets rejected within a minute")

    # ------------------------------------------------------------ login
    def _set_deadline(self, now: float) -> None:
        """Until the first complete packet; trickled bytes do not extend it (section 4)."""
        self._deadline = self.context.timers.at(
            now + self.context.settings.login_seconds,
            lambda _now: self.close("too late to log in"),
        )

    def _credentials(self, packet: bytes) -> tuple[str, str]:
        """Name and password. Raises ProtocolError for invalid UTF-8."""
        try:
            name = packet[8 : 8 + packet[7]].decode()
            (password,) = CODEC.decode(packet)
        except UnicodeDecodeError:
            raise ProtocolError("the name is not UTF-8") from None
        return name, password

    @handles(packets.CONNECTION)
    def _connection(self, packet: bytes, now: float) -> None:
        name, password = self._credentials(packet)
        if not is_name(name) or not is_password(password):
            self.answer_login(BAD_PASSWORD, now)
            return
        self.waiting = True
        self.context.effects.append(effects.CheckPassword(self, name, password))

    def password_checked(self, name: str, ok: bool | None, now: float) -> None:
        self.waiting = False
        if self.closing:
            return
        holder = self.commands.holder(name) if ok else None
        if holder and self.extension and self.extension.may_replace(holder):
            extension.take_over(holder, now)
            holder = None
        if not ok:
            self.answer_login(BAD_PASSWORD if ok is False else TRY_LATER, now)
        elif holder is not None:
            self.waiting = True  # until it is known whether that connection is still there
            self.context.effects.append(effects.ProbeHolder(self, holder, name))
            return
        else:
            self._come_in(name, now)
        self.resume(now)

    def holder_probed(self, name: str, now: float) -> None:
        self.waiting = False
        if not self.closing:
            self._come_in(name, now)
            self.resume(now)

    def _come_in(self, name: str, now: float) -> None:
        if not self.commands.claim(name, self):
            self.answer_login(ALREADY_CONNECTED, now)
            return
        self.name = name
        self.name_bytes = name.encode()
        self.context.known(self.address)
        self.commands.channels.join_general(self)
        self.answer_login(ACCEPTED, now)

    def answer_login(self, status: int, now: float) -> None:
        """Say what came of CONNECTION or HELLO; the connection ends if it did not let one in."""
        date = self.context.date(now)
        if self.extension is not None:
            extension.greet(self, self.extension, status, now)
        else:
            told = min(status, BAD_PASSWORD)
            self.send_queue.push(packets.CONNECTION.encode_reply(date, told))
        if status != ACCEPTED:
            self.close("login refused")

    def log_in_extended(self, began: extension.Extension, asked: effects.Effect | None) -> None:
        """HELLO has come: have the extension, and wait for the answer to what it asks, if any."""
        self.extension = began
        if asked is not None:
            self.wait()
            self.context.effects.append(asked)

    @handles(packets.CREATE_ACCOUNT)
    def _create_account(self, packet: bytes, now: float) -> None:
        name, password = self._credentials(packet)
        if not is_name(name) or not is_password(password):
            self._answer_account(ACCOUNT_REFUSED, now)
            return
        self.waiting = True
        self.context.effects.append(effects.CreateAccount(self, name, password))

    def account_created(self, status: int, now: float) -> None:
        """The store has answered: ACCOUNT_CREATED, NAME_TAKEN or ACCOUNT_REFUSED."""
        self.waiting = False
        if self.closing:
            return
        self._answer_account(status, now)
        self.resume(now)

    def _answer_account(self, status: int, now: float) -> None:
        self.send_queue.push(packets.CREATE_ACCOUNT.encode_reply(self.context.date(now), status))
        if status == ACCOUNT_CREATED:
            self._set_deadline(now)
        else:
            self.close("account refused")

    @handles(packets.TICKET)
    def _ticket(self, packet: bytes, now: float) -> None:
        """Types of the extension are dropped, not counted, when they are not as they should be."""
        if packet[8 + packet[7] :] == TICKET_VERSION:
            self.waiting = True
            self.context.effects.append(effects.IssueTicket(self))

    def ticket_issued(self, ticket: str, now: float) -> None:
        if ticket and not self.closing:
            self.send_queue.push(packets.TICKET.encode_reply(self.context.date(now), ticket))
        self.resume(now)

    # ------------------------------------------------------------ lobbies
    @handles(packets.LOBBY_CREATION)
    def _lobby_creation(self, packet: bytes, now: float) -> None:
        info = LobbyRules.of(self._object(packets.LOBBY_CREATION, packet))
        if info.owner != self.name:
            raise ProtocolError("Owner is not the sender")
        self.commands.create(self, info, now)

    @handles(packets.LOBBY_CONNECT)
    def _lobby_connect(self, packet: bytes, now: float) -> None:
        values = self._object(packets.LOBBY_CONNECT, packet)
        membership = self.membership
        inside = membership is not None and membership.lobby.info.filename == values["Filename"]
        if membership is not None and inside and membership.defers:
            membership.defer(packet, drawn=False)
        else:
            self.commands.enter(self, values["Filename"], values["Passcode"], now)

    @handles(packets.LOBBY_DISCONNECT)
    def _lobby_disconnect(self, packet: bytes, now: float) -> None:
        extension.conforms(packet)
        self.commands.leave(self, now)

    @handles(packets.LOBBY_FETCH)
    def _lobby_fetch(self, packet: bytes, now: float) -> None:
        extension.conforms(packet)
        listing = self.commands.lobby_list(self.name)
        self._flush_set.spent += len(listing) // COPIES
        self.send_queue.push(packets.LOBBY_FETCH.encode_list(self.context.date(now), listing))

    @handles(packets.LOBBY_INFO_CHANGE)
    def _lobby_info_change(self, packet: bytes, now: float) -> None:
        values = self._object(packets.LOBBY_INFO_CHANGE, packet)
        if values["Owner"] != self.name:
            raise ProtocolError("Owner is not the sender")
        self.commands.change_info(self, values, now)

    @handles(packets.FETCH_DATABASE)
    def _fetch_database(self, packet: bytes, now: float) -> None:
        extension.conforms(packet)
        membership = self.membership
        if membership is None or not membership.sent:
            raise ProtocolError("nothing to confirm: no canvas is being loaded")
        if membership.defers and not membership.awaited:
            membership.defer(packet, drawn=False)
        else:
            self.commands.confirmed(membership, now)
            extension.tell_history(self, now)

    @handles(packets.UPDATE_DATABASE)
    def _update_database(self, packet: bytes, now: float) -> None:
        extension.conforms(packet)
        self.commands.snapshot_saved(self.membership, self.name, now)

    # ------------------------------------------------------------ channels
    @handles(packets.CHANNEL_CREATION)
    def _channel_creation(self, packet: bytes, now: float) -> None:
        self.commands.channels.create(self, _channel_name(packet))

    @handles(packets.CHANNEL_CONNECTION)
    def _channel_connection(self, packet: bytes, now: float) -> None:
        self.commands.channels.connect(self, _channel_name(packet), self._inside)

    @handles(packets.CHANNEL_DISCONNECT)
    def _channel_disconnect(self, packet: bytes, now: float) -> None:
        self.commands.channels.disconnect(self, _channel_name(packet))

    @handles(packets.CHANNEL_MESSAGE)
    def _channel_message(self, packet: bytes, now: float) -> None:
        name, content = split_message(CODEC.decode(packet)[0])
        channel = self.commands.channels.joined(self).get(name)
        if not content:
            return
        if channel is None:
            raise Refused("not a member of this channel")
        told = _codec.with_name(packet, self.name_bytes)
        channel.broadcast.publish(told, self.send_queue)
        worth = 1 + len(told) / CHAT_BYTES + len(channel.members) / CHAT_PEOPLE
        self.delay(self._chat.charge(now, worth), now)

    @handles(packets.CHANNEL_FETCH)
    def _channel_fetch(self, packet: bytes, now: float) -> None:
        extension.conforms(packet)
        listing = self.commands.channels.listing(self, self._inside)
        self._flush_set.spent += len(listing) // COPIES
        self.send_queue.push(packets.CHANNEL_FETCH.encode_list(self.context.date(now), listing))

    # ------------------------------------------------------------ drawing
    @handles(*(kind for kind in PACKETS.values() if kind.relayed))
    def _draw(self, packet: bytes, now: float) -> None:
        membership, mode = self.membership, PACKETS[packet[2]].mode
        if membership is None:
            raise ProtocolError("not in a lobby")
        if mode is not None and mode is not membership.lobby.info.drawing_mode:
            raise ProtocolError(f"not in a lobby of {mode.value} mode")
        extension.conforms(packet)
        self._drew(membership)
        packet = _codec.with_name(packet, self.name_bytes)
        if self.extension is not None:
            self.extension.answers.is_for(packet)
        self.commands.draw(membership, packet, now)

    def _drew(self, membership: Membership) -> None:
        """What it showed before it was drawn is not shown any more."""
        if self.extension is not None:
            presence = membership.lobby.presence
            presence.live_ink.drawn(presence.key_of(self))

    # ------------------------------------------------------------ small things
    @property
    def _inside(self) -> str | None:
        """The Filename of the lobby that it is in."""
        return self.membership.lobby.info.filename if self.membership is not None else None

    def _object(self, kind: Packet, packet: bytes) -> dict[str, str]:
        """The JSON object in a packet, whose parsing counts as work. Raises ProtocolError."""
        self._flush_set.spent += strictjson.cost(packet)
        return kind.decode_object(packet)


for _kind, _handler in extension.EXTENSION_HANDLERS.items():
    handles(_kind)(_handler)


def _channel_name(packet: bytes) -> str:
    (name,) = CODEC.decode(packet)
    if not is_channel_name(name):
        raise ProtocolError("not a channel's name")
    return str(name)


handles.must_be(k for k in PACKETS.values() if k.when not in (When.NEVER, When.IGNORED))
