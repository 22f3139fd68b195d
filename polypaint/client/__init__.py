"""Python clients: `connect` to draw, `connect_matches` and `connect_tanks` to play.

Each speaks over TCP (`host:port`, `tls://host:port`) and WebSocket (`ws://host:port/ws/paint`).
"""

from polypaint.client.matches import Match, MatchClient, MatchRefused, connect_matches
from polypaint.client.paint import Change, Client, Drawing, Message, connect
from polypaint.client.tanks import Field, TankClient, TankRefused, connect_tanks

__all__ = [
    "Change",
    "Client",
    "Drawing",
    "Field",
    "Match",
    "MatchClient",
    "MatchRefused",
    "Message",
    "TankClient",
    "TankRefused",
    "connect",
    "connect_matches",
    "connect_tanks",
]
