"""The protocols over TCP: bytes to the session, bytes to the socket, nothing else.

Counterpart: `connection.py`.
"""

import asyncio
from typing import cast

from polypaint.engine.service import Endpoint
from polypaint.net.connection import Connection, ConnectionHost


class TcpProtocol(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, host: ConnectionHost, endpoint: Endpoint) -> None:
        self._host = host
        self._endpoint = endpoint
        self._connection: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        connection = Connection(self._host, self._endpoint, transport)
        if connection.open():
            self._connection = connection
            connection.after()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        connection = self._connection
        if connection is not None and connection.session is not None:
            connection.session.receive(data, self._host.now())
            connection.after()

    def eof_received(self) -> bool:
        """The peer says no more, so it is leaving: it gets what waits for it, if it takes it."""
        if self._connection is not None:
            self._connection.close()
        return False

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._connection is not None:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._connection is not None:
            self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._connection is not None:
            self._connection.closed()
