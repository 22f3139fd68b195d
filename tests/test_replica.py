"""A client's copy of a canvas, packet by packet. See also the simulations."""

from polypaint import _codec
from polypaint.paint import packets
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.packets import PACKETS
from polypaint.paint.replica import CONNECTED, Replica

from .world import DATE

RED = b"\xff\0\0\xff"


def sent(replica: Replica) -> list[str]:
    """The names of the packets that it wants to send."""
    return [PACKETS[packet[2]].name for packet in _codec.split(replica.data_to_send())]


def test_who_is_joining_anew_does_not_join_once_more_before_the_canvas_has_come():
    replica = Replica(b"ada", LobbyRules("d", "ada", "pixel", "public", ""))
    connected = packets.LOBBY_CONNECT.encode_reply(DATE, CONNECTED)
    replica.draw(packets.SEND_POINTS.encode_request(DATE, b"ada", 1, RED, [(1, 1)]))
    assert sent(replica) == ["LOBBY_CONNECT", "SEND_POINTS", "LOBBY_CONNECT"]
    replica.receive(connected)
    replica.receive(packets.SEND_POINTS.encode_request(DATE, b"bob", 1, RED, [(2, 2)]))
    replica.receive(connected)
    assert sent(replica) == ["LOBBY_DISCONNECT", "LOBBY_CONNECT"]  # who was first is not known
    replica.receive(connected)  # a large canvas comes a while later
    assert sent(replica) == []
    replica.receive(packets.FETCH_DATABASE.encode_reply(DATE))
    replica.receive(packets.RESIZE_CANVAS_INT.encode_request(DATE, b"", 40, 30))
    assert sent(replica) == ["FETCH_DATABASE", "LOBBY_CONNECT"]
    replica.receive(connected)
    assert replica.settled
