"""polypaint-fast: a realtime server in which people draw together."""

from polypaint.client import Client, Drawing, Message, connect
from polypaint.errors import (
    ConnectionClosed,
    LoginFailed,
    PolypaintError,
    ProtocolError,
    Refused,
)
from polypaint.paint.replica import Outcome

__all__ = [
    "Client",
    "ConnectionClosed",
    "Drawing",
    "LoginFailed",
    "Message",
    "Outcome",
    "PolypaintError",
    "ProtocolError",
    "Refused",
    "connect",
]
