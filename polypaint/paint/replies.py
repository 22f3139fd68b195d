"""What the server itself says to members: answers, notices in chat, and whether they may draw.

Counterparts: `attendance.py`, `late_join.py`, `drawing.py`. Protocol: docs/protocol.md, section 2.
"""

from typing import Final

from polypaint.engine.context import Context
from polypaint.paint.channels import GENERAL
from polypaint.paint.lobby import Lobby
from polypaint.paint.member import Member
from polypaint.paint.packets import CHANNEL_MESSAGE, LOBBY_FREEZE_STATE, Packet

CREATED, CONNECTED, EXISTS, DOES_NOT_EXIST = range(4)
FULL: Final = (
    "The server's disk is full. You can look and chat; drawing goes on when there is room."
)
NO_MEMORY: Final = "The server has no memory for this at the moment. Try again later."


class Replies:
    """Says it, with the time of the server."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def status(self, member: Member, kind: Packet, status: int, now: float) -> None:
        """Answer a packet of this type."""
        member.send(kind.encode_reply(self._context.date(now), status))

    def notice(self, member: Member, text: str, now: float) -> None:
        """Say something: a message under an empty name."""
        member.send(CHANNEL_MESSAGE.encode_reply(self._context.date(now), f"{GENERAL};{text}"))

    def freeze(self, member: Member, frozen: bool, now: float) -> None:
        """They may not draw, or may again."""
        member.send(LOBBY_FREEZE_STATE.encode_reply(self._context.date(now), int(frozen)))

    def disk_full(self, member: Member, lobby: Lobby, now: float) -> None:
        """They may not draw, and why; it is sent even though nothing can be journaled."""
        date = self._context.date(now)
        text = f"{lobby.info.filename};{FULL}"
        member.send_first(
            LOBBY_FREEZE_STATE.encode_reply(date, 1) + CHANNEL_MESSAGE.encode_reply(date, text)
        )
