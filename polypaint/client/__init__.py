"""Python clients: `connect` to draw, `connect_matches` to play matches.

Each speaks over TCP (`host:port`, `tls://host:port`) and WebSocket (`ws://host:port/ws/paint`).
"""

from polypaint.client.matches import Match, MatchClient, MatchRefused, connect_matches
from polypaint.client.paint import Change, Client, Drawing, Message, connect

__all__ = [
    "Change",
    "Client",
    "Drawing",
    "Match",
    "MatchClient",
    "MatchRefused",
    "Message",
    "connect",
    "connect_matches",
]
