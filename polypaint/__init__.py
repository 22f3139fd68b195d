"""polypaint-fast: a realtime server in which people draw together.

The public names are loaded when they are asked for: a server does not import the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polypaint.client import Client, Drawing, Message, connect
    from polypaint.errors import (
        ConnectionClosed,
        LoginFailed,
        PolypaintError,
        ProtocolError,
        Refused,
    )
    from polypaint.paint.replica import Outcome

_WHERE = {
    "Client": "client",
    "ConnectionClosed": "errors",
    "Drawing": "client",
    "LoginFailed": "errors",
    "Message": "client",
    "Outcome": "paint.replica",
    "PolypaintError": "errors",
    "ProtocolError": "errors",
    "Refused": "errors",
    "connect": "client",
}

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


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"polypaint.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'polypaint' has no attribute {name!r}")
