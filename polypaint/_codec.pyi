from collections.abc import Iterable
from typing import Any, Self

from typing_extensions import disjoint_base

from polypaint._fanout import Broadcast as Broadcast
from polypaint._fanout import FlushSet as FlushSet
from polypaint._fanout import SendQueue as SendQueue
from polypaint._fanout import Subscription as Subscription
from polypaint._framing import FrameDecoder as FrameDecoder
from polypaint._framing import coalesced as coalesced
from polypaint._framing import header as header
from polypaint._framing import json_shape as json_shape
from polypaint._framing import numbered as numbered
from polypaint._framing import point_packets as point_packets
from polypaint._framing import split as split
from polypaint._framing import websocket_messages as websocket_messages
from polypaint._framing import websocket_texts as websocket_texts
from polypaint._framing import with_index as with_index
from polypaint._framing import with_name as with_name
from polypaint.errors import ProtocolError as ProtocolError

HEADER_BYTES: int
PACKET_BYTES_MAX: int
FIELD_KINDS: dict[str, int]
TAIL_KINDS: dict[str, int]
RULES: dict[str, int]
FAULTS: tuple[str, ...]

@disjoint_base
class Codec:
    def __new__(cls, rows: Iterable[tuple[Any, ...]]) -> Self: ...
    def check(self, packet: bytes, reply: bool = False) -> str: ...
    def accept(
        self,
        packets: list[bytes],
        start: int,
        stop: int,
        type_id: int,
        name: bytes,
        first_index: int,
    ) -> list[bytes]: ...
    def decode(self, packet: bytes, reply: bool = False) -> tuple[Any, ...]: ...
    def encode(
        self, type_id: int, date: int, name: bytes, values: tuple[Any, ...], reply: bool = False
    ) -> bytes: ...
