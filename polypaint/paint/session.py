"""One connection's conversation, without I/O: bytes in; send queue, log and effects out.

The same object serves TCP (`receive`, any chunks) and WebSocket (`receive_message`, one message).
Every packet takes the same path: header → is it allowed now (`Packet.when`) → its handler in
`handles`. Handlers raise what is wrong; `_handle` alone decides what that costs the peer.

Must never do I/O or read a clock. Counterparts: `service.py` moves people between lobbies,
`net/tcp.py` and `net/websocket.py` bring the bytes. Protocol: docs/protocol.md, sections 1-9.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from polypaint import _codec
from polypaint._codec import FrameDecoder
from polypaint.engine import effects
from polypaint.engine.budget import COPIES, ENTRY, Bucket
from polypaint.engine.effects import ACCOUNT_CREATED, ACCOUNT_REFUSED
from polypaint.engine.handlers import Handlers
from polypaint.engine.session import Session
from polypaint.errors import ProtocolError, Refused
from polypaint.identity.accounts import is_name, is_password
from polypaint.paint import extension, packets
from polypaint.paint.channels import Channel, is_channel_name, split_message
from polypaint.paint.lobbies import Lobby, LobbyRules, Member
from polypaint.paint.packets import CODEC, PACKETS, Packet, When
from polypaint.wire import strictjson

if TYPE_CHECKING:
    from polypaint.paint.service import PaintService

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
    """See the module. member: in `lobby`, if any; channels: by name."""

    def __init__(
        self, service: "PaintService", address: str, now: float, rtt_s: Callable[[], float]
    ) -> None:
        super().__init__(service.context, address, now)
        self.service = service
        self.name_bytes = b""
        self.channels: dict[str, Channel] = {}
        self.lobby: Lobby | None = None
        self.member: Member | None = None
        self.extension: extension.Extension | None = None
        self._rtt_s = rtt_s
        self._backlogged_at: float | None = None
        self._decoder = FrameDecoder()
        self._inbox: list[bytes] = []
        self._at = 0
        """How many of them have been handled in this turn."""
        self._rejected: deque[float] = deque()
        self._rejected_count = 0
        self._chat = Bucket(*CHAT, now)
        self.guesses = 0
        """How often they named a drawing or passcode that is not, when that was often already."""
        self._set_deadline(now)

    # ------------------------------------------------------------ in
    def receive(self, data: bytes, now: float) -> None:
        """See `Session.receive`."""
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
        """See `Session.work`."""
        try:
            super().work(now)
        finally:
            del self._inbox[: self._at]
            self._at = 0
        if self._decoder.broken and not self._inbox and not self.closing:
            self.close("framing lost: a size field is smaller than its packet")

    @property
    def stalled(self) -> bool:
        """See `Session.stalled`."""
        return self._at < len(self._inbox) and not self.waiting and not self.closing

    def _handle_next(self, now: float) -> None:
        inbox, at = self._inbox, self._at
        if self.lobby is not None and self.lobby.busy:
            self.waiting = True
            self.lobby.waiters.append(self)
            return
        if inbox[at][2] == ADD_STROKE and self.member is not None:
            taken = self.service.add_strokes(self, inbox, at, now)
            if taken:
                self._drew()
                self._at += taken
                self._flush_set.spent += ENTRY * taken
                return
        self._at += 1
        self._flush_set.spent += len(inbox[at])
        self._handle(inbox[at], now)

    @property
    def held(self) -> bool:
        """Do packets of this session wait for its lobby to thaw? Later ones wait behind them."""
        return self.lobby is not None and self.lobby.holds(self)

    def lost(self, now: float) -> None:
        """See `Session.lost`."""
        super().lost(now)
        self._deadline.cancel()
        self.service.disconnected(self, now)

    # ------------------------------------------------------------ out
    def above_low_mark(self) -> None:
        """See `Session.above_low_mark`."""
        self.send_queue.coalesce(packets.COALESCING)

    def above_high_mark(self, now: float) -> None:
        """Too much waits to be sent: the canvas will take its place."""
        if self.send_queue.attached:
            self.service.above_high_mark(self, now)
        if self.send_queue.queued > 2 * self._queue_max:
            self.close("does not read what it is sent")

    def backlogged(self, now: float) -> None:
        """See `Session.backlogged`."""
        if self._backlogged_at is None:
            self._backlogged_at = now

    def drained(self, now: float) -> None:
        """The connection has taken everything: what shifted meanwhile was sent only now."""
        since, self._backlogged_at = self._backlogged_at, None
        if since is not None and self.lobby is not None and self.member is not None:
            if self.lobby.shifted_at(self.member) > since - self.window_s():
                self.member.shifted_at = now

    @property
    def backlogged_at(self) -> float | None:
        """Since when the connection takes no bytes."""
        return self._backlogged_at

    def window_s(self) -> float:
        """See `lobbies.Guest`: twice the round-trip time."""
        return 2 * self._rtt_s()

    def close(self, reason: str) -> None:
        """See `Session.close`."""
        self._deadline.cancel()
        super().close(reason)

    # ------------------------------------------------------------ every packet
    def _handle(self, packet: bytes, now: float) -> None:
        self.service.counters["packets"] += 1
        self._deadline.cancel()
        kind = PACKETS.get(packet[2])
        if self.name and (kind is None or kind.when is When.IGNORED or self._is_foreign(kind)):
            return
        try:
            self._permit(kind, packet)
            handles[packet[2]](self, packet, now)
        except (ProtocolError, Refused) as error:
            self.reject(packet, str(error), now)

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
        if kind.when is When.DRAWING and self.lobby is None:
            raise ProtocolError("not in a lobby")
        if packet[7] and packet[8 : 8 + packet[7]] != self.name_bytes:
            raise ProtocolError("under somebody else's name")

    def reject(self, packet: bytes, reason: str, now: float) -> None:
        """Drop a packet: before login that ends the connection, after it too many do."""
        self.service.counters["rejected"] += 1
        self._rejected_count += 1
        if self._rejected_count % NOTED_EVERY == 1 or not self.name:
            self.service.effects.append(
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
        self._deadline = self.service.timers.at(
            now + self.service.settings.login_seconds,
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
        self.service.effects.append(effects.CheckPassword(self, name, password))

    def password_checked(self, name: str, ok: bool | None, now: float) -> None:
        """See `effects.Requester`."""
        self.waiting = False
        if self.closing:
            return
        holder = self.service.presence.holder(name) if ok else None
        if ok and holder and self.extension and self.extension.may_replace(holder):
            extension.take_over(holder, now)
            holder = None
        if not ok:
            self.answer_login(BAD_PASSWORD if ok is False else TRY_LATER, now)
        elif holder is not None:
            self.waiting = True  # until it is known whether that connection is still there
            self.service.effects.append(effects.ProbeHolder(self, holder, name))
            return
        else:
            self._come_in(name, now)
        self.service.resume(self, now)

    def holder_probed(self, name: str, now: float) -> None:
        """See `effects.Requester`."""
        self.waiting = False
        if not self.closing:
            self._come_in(name, now)
            self.service.resume(self, now)

    def _come_in(self, name: str, now: float) -> None:
        if not self.service.presence.claim(name, self):
            self.answer_login(ALREADY_CONNECTED, now)
            return
        self.name = name
        self.name_bytes = name.encode()
        self.service.context.known(self.address)
        self.service.channels.join_general(self)
        self.answer_login(ACCEPTED, now)

    def answer_login(self, status: int, now: float) -> None:
        """Say what came of CONNECTION or HELLO; the connection ends if it did not let one in."""
        date = self.context.date(now)
        if self.extension is not None:
            self.send_queue.push(extension.greeting(date, status, self.name))
        else:
            told = min(status, BAD_PASSWORD)
            self.send_queue.push(packets.CONNECTION.encode_reply(date, told))
        if status != ACCEPTED:
            self.close("login refused")

    @handles(packets.CREATE_ACCOUNT)
    def _create_account(self, packet: bytes, now: float) -> None:
        name, password = self._credentials(packet)
        if not is_name(name) or not is_password(password):
            self._answer_account(ACCOUNT_REFUSED, now)
            return
        self.waiting = True
        self.service.effects.append(effects.CreateAccount(self, name, password))

    def account_created(self, status: int, now: float) -> None:
        """The store has answered: ACCOUNT_CREATED, NAME_TAKEN or ACCOUNT_REFUSED."""
        self.waiting = False
        if self.closing:
            return
        self._answer_account(status, now)
        self.service.resume(self, now)

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
            self.service.effects.append(effects.IssueTicket(self))

    def ticket_issued(self, ticket: str, now: float) -> None:
        """See `effects.Requester`."""
        if ticket and not self.closing:
            self.send_queue.push(packets.TICKET.encode_reply(self.context.date(now), ticket))
        self.resume(now)

    # ------------------------------------------------------------ lobbies
    @handles(packets.LOBBY_CREATION)
    def _lobby_creation(self, packet: bytes, now: float) -> None:
        info = LobbyRules.of(self._object(packets.LOBBY_CREATION, packet))
        if info.owner != self.name:
            raise ProtocolError("Owner is not the sender")
        self.service.create(self, info, now)

    @handles(packets.LOBBY_CONNECT)
    def _lobby_connect(self, packet: bytes, now: float) -> None:
        values = self._object(packets.LOBBY_CONNECT, packet)
        lobby = self.lobby
        if lobby is not None and lobby.info.filename == values["Filename"] and self.held:
            lobby.hold(self, packet, drawn=False)
        else:
            self.service.enter(self, values["Filename"], values["Passcode"], now)

    @handles(packets.LOBBY_DISCONNECT)
    def _lobby_disconnect(self, packet: bytes, now: float) -> None:
        extension.conforms(packet)
        self.service.leave(self, now)

    @handles(packets.LOBBY_FETCH)
    def _lobby_fetch(self, packet: bytes, now: float) -> None:
        extension.conforms(packet)
        listing = self.service.directory.text(self.name)
        self._flush_set.spent += len(listing) // COPIES
        self.send_queue.push(packets.LOBBY_FETCH.encode_list(self.context.date(now), listing))

    @handles(packets.LOBBY_INFO_CHANGE)
    def _lobby_info_change(self, packet: bytes, now: float) -> None:
        values = self._object(packets.LOBBY_INFO_CHANGE, packet)
        if values["Owner"] != self.name:
            raise ProtocolError("Owner is not the sender")
        self.service.change_info(self, values, now)

    @handles(packets.FETCH_DATABASE)
    def _fetch_database(self, packet: bytes, now: float) -> None:
        extension.conforms(packet)
        if self.member is None or not self.member.loading:
            raise ProtocolError("nothing to confirm: no canvas is being loaded")
        if self.lobby is not None and self.held and self.member not in self.lobby.waited_for:
            self.lobby.hold(self, packet, drawn=False)
        else:
            self.service.confirmed(self, now)

    @handles(packets.UPDATE_DATABASE)
    def _update_database(self, packet: bytes, now: float) -> None:
        extension.conforms(packet)
        if not self.service.snapshot_requests.is_asked(self.lobby, self.name):
            raise ProtocolError("nobody asked for the canvas to be saved")
        self.service.snapshot_requests.answered(self.lobby, now)

    # ------------------------------------------------------------ channels
    @handles(packets.CHANNEL_CREATION)
    def _channel_creation(self, packet: bytes, now: float) -> None:
        self.service.channels.create(self, _channel_name(packet))

    @handles(packets.CHANNEL_CONNECTION)
    def _channel_connection(self, packet: bytes, now: float) -> None:
        self.service.channels.connect(self, _channel_name(packet), self._inside)

    @handles(packets.CHANNEL_DISCONNECT)
    def _channel_disconnect(self, packet: bytes, now: float) -> None:
        self.service.channels.disconnect(self, _channel_name(packet))

    @handles(packets.CHANNEL_MESSAGE)
    def _channel_message(self, packet: bytes, now: float) -> None:
        name, content = split_message(CODEC.decode(packet)[0])
        channel = self.channels.get(name)
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
        listing = self.service.channels.listing(self, self._inside)
        self._flush_set.spent += len(listing) // COPIES
        self.send_queue.push(packets.CHANNEL_FETCH.encode_list(self.context.date(now), listing))

    # ------------------------------------------------------------ drawing
    @handles(*(kind for kind in PACKETS.values() if kind.relayed))
    def _draw(self, packet: bytes, now: float) -> None:
        mode = PACKETS[packet[2]].mode
        if mode is not None and self.lobby is not None:
            if mode is not self.lobby.info.drawing_mode:
                raise ProtocolError(f"not in a lobby of {mode.value} mode")
        extension.conforms(packet)
        self._drew()
        self.service.draw(self, _codec.with_name(packet, self.name_bytes), now)

    def _drew(self) -> None:
        """What it showed before it was drawn is not shown any more."""
        if self.extension is not None and self.lobby is not None:
            self.lobby.presence.live_ink.drawn(self.lobby.presence.key_of(self))

    # ------------------------------------------------------------ small things
    @property
    def _inside(self) -> str | None:
        """The Filename of the lobby that it is in."""
        return self.lobby.info.filename if self.lobby is not None else None

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
