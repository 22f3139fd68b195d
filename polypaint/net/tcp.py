"""The protocols over TCP: bytes to the session, bytes to the socket, nothing else.

Counterpart: `link.py`.
"""

import asyncio
from typing import cast

from polypaint.net.link import Link, Room, Shell


class TcpConnection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, shell: Shell, room: Room) -> None:
        self._shell = shell
        self._room = room
        self._link: Link | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        link = Link(self._shell, self._room, transport)
        if link.open():
            self._link = link
            link.after()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        link = self._link
        if link is not None and link.session is not None:
            link.session.receive(data, self._shell.now())
            link.after()

    def eof_received(self) -> bool:
        """The peer says no more, so it is leaving: it gets what waits for it, if it takes it."""
        if self._link is not None:
            self._link.close()
        return False

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._link is not None:
            self._link.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._link is not None:
            self._link.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._link is not None:
            self._link.closed()
