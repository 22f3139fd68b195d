"""polypaint-fast: a realtime server in which people draw together.

The public names are loaded when they are asked for: a server does not import the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polypaint.client import (
        Client,
        Drawing,
        Match,
        MatchClient,
        MatchRefused,
        Message,
        TankClient,
        TankRefused,
        connect,
        connect_matches,
        connect_tanks,
    )
    from polypaint.errors import (
        ConnectionClosed,
        LoginFailed,
        PolypaintError,
        ProtocolError,
        Refused,
    )
    from polypaint.matches.games import Game, NotYourTurn
    from polypaint.paint.replica import Outcome

_WHERE = {
    "Client": "client.paint",
    "ConnectionClosed": "errors",
    "Drawing": "client.paint",
    "Game": "matches.games",
    "LoginFailed": "errors",
    "Match": "client.matches",
    "MatchClient": "client.matches",
    "MatchRefused": "client.matches",
    "Message": "client.paint",
    "NotYourTurn": "matches.games",
    "Outcome": "paint.replica",
    "PolypaintError": "errors",
    "ProtocolError": "errors",
    "Refused": "errors",
    "connect": "client.paint",
    "TankClient": "client.tanks",
    "TankRefused": "client.tanks",
    "connect_matches": "client.matches",
    "connect_tanks": "client.tanks",
}

__all__ = [
    "Client",
    "ConnectionClosed",
    "Drawing",
    "Game",
    "LoginFailed",
    "Match",
    "MatchClient",
    "MatchRefused",
    "Message",
    "NotYourTurn",
    "Outcome",
    "PolypaintError",
    "ProtocolError",
    "Refused",
    "TankClient",
    "TankRefused",
    "connect",
    "connect_matches",
    "connect_tanks",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"polypaint.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'polypaint' has no attribute {name!r}")
