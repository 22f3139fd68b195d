"""Packets 128-159, and what a session has that asked for them with HELLO; old clients see none.

A module for each thing that the extension does has handlers for its packets; `EXTENSION_HANDLERS`
has them all, and `session.py` puts them into its table.

Must never import a session. Protocol: docs/protocol.md, section 10.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from polypaint.engine import effects
from polypaint.errors import ProtocolError
from polypaint.identity.accounts import is_name, is_password
from polypaint.paint import packets
from polypaint.paint.acknowledgements import Acknowledgements
from polypaint.paint.packets import CODEC, Packet

if TYPE_CHECKING:
    from polypaint.paint.lobby import Lobby
    from polypaint.paint.session import PaintSession

VERSION: Final = 1
"""Of the extension, as this server speaks it."""
TAKEOVER: Final = 1
"""Flag of HELLO: end the same account's other session."""
ACCEPTED, ALREADY_CONNECTED, NOT_LET_IN, TAKEN_OVER, TRY_LATER = range(5)
TAKEN_OVER_REASON: Final = "taken over"


@dataclass(slots=True)
class Extension:
    """What a session has that sent HELLO. client: a number by which it knows itself, or 0."""

    answers: Acknowledgements
    history: tuple[bool, bool] | None = None
    """Whether there is something to undo, and to redo, as it was last told; None: it was not."""
    takeover: bool = False
    client: int = 0

    def entered(self) -> None:
        """It is in another lobby: nothing was told of what can be undone there."""
        self.history = None

    def may_replace(self, holder: "PaintSession") -> bool:
        """May it end this session of the same account? Its own lost one, or because it says so."""
        other = holder.extension
        same = other is not None and other.client == self.client != 0
        return self.takeover or same


def hello(session: "PaintSession", packet: bytes, now: float) -> None:
    """Log in: with a password or ticket, or with what the request of the connection has proved."""
    _, flags, client, password = CODEC.decode(packet)
    try:
        name = packet[8 : 8 + packet[7]].decode()
    except UnicodeDecodeError:
        raise ProtocolError("the name is not UTF-8") from None
    asked: effects.Effect | None = None
    if name and is_name(name) and is_password(password):
        asked = effects.CheckPassword(session, name, password)
    elif not name and (credentials := password or session.credentials):
        asked = effects.CheckCredentials(session, credentials)
    answers = Acknowledgements(session.send_queue)
    session.log_in_extended(Extension(answers, None, bool(flags & TAKEOVER), client), asked)
    if asked is None:
        session.answer_login(NOT_LET_IN, now)


def greet(session: "PaintSession", own: Extension, status: int, now: float) -> None:
    """Answer HELLO: also from where a client that has come back goes on."""
    handled = -1
    if status == ACCEPTED:
        handled = session.commands.handled.count(session.name, own.client, now)
        own.answers.go_on_from(max(0, handled))
    session.send(greeting(session.context.date(now), status, session.name, handled))


def greeting(date: int, status: int, name: str, handled: int = -1) -> bytes:
    """HELLO, from the server."""
    return packets.HELLO.encode_reply(date, status, VERSION, handled, name)


def parted(session: "PaintSession", now: float) -> None:
    """A session ends: remember how far its client came."""
    own = session.extension
    if own is not None and own.client:
        session.commands.handled.keep(session.name, own.client, own.answers.count, now)


def take_over(holder: "PaintSession", now: float) -> None:
    """End a session because its owner goes on elsewhere: the name is free at once."""
    if holder.extension is not None:
        told = greeting(holder.context.date(now), TAKEN_OVER, holder.name)
        holder.send(told)
    holder.commands.part(holder, now)
    holder.close(TAKEN_OVER_REASON)


def pointer(session: "PaintSession", packet: bytes, now: float) -> None:
    """Somebody points: the others are told soon."""
    if lobby := _may_show(session, packet):
        key = lobby.presence.key_of(session)
        lobby.presence.live_ink.pointed(key, packet, session.context.timers, now)


def ink(session: "PaintSession", packet: bytes, now: float) -> None:
    """Somebody draws a stroke that is not in the drawing yet: the others are told soon."""
    if lobby := _may_show(session, packet):
        key = lobby.presence.key_of(session)
        lobby.presence.live_ink.inked(key, packet, session.context.timers, now)


def _may_show(session: "PaintSession", packet: bytes) -> "Lobby | None":
    """Where this is to be shown; None: nowhere, for they are in no lobby or may not draw there.

    Raises ProtocolError.
    """
    conforms(packet)
    membership = session.membership
    if membership is None or not membership.lobby.lets_draw(session.name):
        return None
    return membership.lobby


def away(session: "PaintSession", packet: bytes, now: float) -> None:
    """Somebody looks elsewhere, or is back."""
    conforms(packet)
    if session.membership is not None:
        (elsewhere,) = CODEC.decode(packet)
        session.membership.lobby.presence.set_away(session, elsewhere == 1, session.context, now)


def gesture(session: "PaintSession", packet: bytes, _now: float) -> None:
    """What somebody draws from their last packet on is one gesture, or not any more."""
    conforms(packet)
    undo = session.membership.lobby.undo if session.membership is not None else None
    if undo is not None:
        (more,) = CODEC.decode(packet)
        undo.group(session.name, more == 1)


def undo(session: "PaintSession", packet: bytes, now: float) -> None:
    """Take back the last gesture."""
    _take_back(session, packet, False, now)


def redo(session: "PaintSession", packet: bytes, now: float) -> None:
    """Do it again."""
    _take_back(session, packet, True, now)


def _take_back(session: "PaintSession", packet: bytes, again: bool, now: float) -> None:
    conforms(packet)
    if session.membership is None:
        answer_undo(session, again, "you are in no drawing", now)
    else:
        session.commands.take_back(session.membership, again, now)


def answer_undo(session: "PaintSession", again: bool, reason: str, now: float) -> None:
    """Say what came of UNDO or REDO; reason: why nothing, or empty."""
    date = session.context.date(now)
    session.send(packets.UNDONE.encode_reply(date, int(again), int(not reason), reason))
    tell_history(session, now)


def tell_history(session: "PaintSession", now: float) -> None:
    """Say whether there is something to undo, and to redo, if that is another now."""
    own, membership = session.extension, session.membership
    if own is None or membership is None or membership.lobby.undo is None:
        return
    done, undone = membership.lobby.undo.depth(session.name)
    history = (done > 0, undone > 0)
    if own.history != history:
        own.history = history
        session.send(packets.HISTORY.encode_reply(session.context.date(now), *map(int, history)))


def conforms(packet: bytes) -> None:
    """Raises ProtocolError when the data does not have its layout."""
    fault = CODEC.check(packet)
    if fault:
        raise ProtocolError(fault)


Handler: TypeAlias = "Callable[[PaintSession, bytes, float], None]"
EXTENSION_HANDLERS: Final[dict[Packet, Handler]] = {
    packets.HELLO: hello,
    packets.POINTER: pointer,
    packets.INK: ink,
    packets.AWAY: away,
    packets.GESTURE: gesture,
    packets.UNDO: undo,
    packets.REDO: redo,
}
