"""The codec against the oracle: vectors, chunkings, mutations, round trips; the send queues."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polypaint import _codec
from polypaint._codec import Broadcast, Codec, FlushSet, FrameDecoder, SendQueue
from polypaint.errors import ProtocolError
from polypaint.paint.packets import CODEC, PACKETS, When

from . import oracle, strategies

EXTENSION = 128
"""Types from here on are no part of the specification that the vectors are of."""
VECTORS = json.loads((Path(__file__).parent / "vectors/paint.json").read_text())


def plain(values):
    """Arrays as lists, numbers compared by value."""
    return tuple(v.tolist() if isinstance(v, np.ndarray) else v for v in values)


def agree(packet: bytes, reply: bool) -> None:
    """Codec and oracle accept the same packets and read the same values."""
    try:
        expected = oracle.decode(packet, reply)
    except oracle.Bad:
        with pytest.raises(ProtocolError):
            CODEC.decode(packet, reply)
        return
    assert plain(CODEC.decode(packet, reply)) == expected
    assert CODEC.check(packet, reply) == ""


# ---------------------------------------------------------------- vectors
@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda v: v["name"])
def test_vector(vector):
    packet = bytes.fromhex(vector["hex"])
    decoded = vector["decoded"]
    reply = vector["direction"] != "client->server"
    type_id, date, name, at = _codec.header(packet)
    assert (len(packet), type_id, date) == (decoded["size"], decoded["type"], decoded["date"])
    assert name.decode() == decoded["name"]
    assert at == 8 + decoded["name_len"]
    agree(packet, reply)
    values = CODEC.decode(packet, reply)
    body = PACKETS[type_id].reply if reply else PACKETS[type_id].request
    assert body is not None
    renamed = {"length": "width", "width": "height"} if "brush" not in decoded else {}
    for key, value in zip(body.names, values, strict=True):
        key = (
            renamed.get(key, key) if "indices" not in decoded and "points" not in decoded else key
        )
        if key in decoded:
            value = value.tolist() if isinstance(value, np.ndarray) else value
            value = list(value) if isinstance(value, bytes) else value
            assert value == decoded[key]
    for key in ("status", "password", "filter", "channel", "text"):
        if key in decoded and "content" not in decoded:
            assert values[0] == decoded[key]
    if "json" in decoded:
        assert json.loads(values[0]) == decoded["json"]


@pytest.mark.parametrize("stream", VECTORS["streams"], ids=lambda v: v["name"])
def test_stream(stream):
    decoder = FrameDecoder()
    packets = [p for chunk in stream["chunks_hex"] for p in decoder.feed(bytes.fromhex(chunk))]
    assert packets == [bytes.fromhex(p) for p in stream["packets_hex"]]
    assert decoder.pending == 0


def test_every_type_has_a_name_of_the_specification():
    assert {str(i): p.name for i, p in PACKETS.items() if i < EXTENSION} == {
        key: name.upper() for key, name in VECTORS["types"].items()
    }


# ---------------------------------------------------------------- framing
def make(type_id: int, data: bytes, name: bytes = b"ada") -> bytes:
    size = 8 + len(name) + len(data)
    head = size.to_bytes(2, "little") + bytes([type_id, 1, 2, 3, 4, len(name)])
    return head + name + data


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_any_chunking_gives_the_same_packets(bodies, data):
    packets = [make(i % 34, body) for i, body in enumerate(bodies)]
    stream = b"".join(packets)
    decoder, received = FrameDecoder(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        received += decoder.feed(stream[:cut])
        stream = stream[cut:]
    assert received == packets
    assert not decoder.broken


@given(st.binary(max_size=400), st.data())
@settings(max_examples=300)
def test_garbage_is_split_as_the_oracle_splits_it(stream, data):
    decoder, received, rest = FrameDecoder(), [], stream
    while rest:
        cut = data.draw(st.integers(1, len(rest)))
        received += decoder.feed(rest[:cut])
        rest = rest[cut:]
    packets, left, lost = oracle.frames(stream)
    assert (received, decoder.broken) == (packets, lost)
    if not lost:
        assert decoder.pending == len(left)


def test_one_byte_at_a_time_the_largest_packet():
    packet = make(10, bytes(65535 - 11))
    decoder = FrameDecoder()
    for at in range(len(packet) - 1):
        assert decoder.feed(packet[at : at + 1]) == []
    assert decoder.pending == 65534
    assert decoder.feed(packet[-1:]) == [packet]


def test_after_framing_is_lost_nothing_is_held():
    decoder = FrameDecoder()
    assert decoder.feed(make(5, b"") + b"\x07\0" + bytes(50)) == [make(5, b"")]
    assert decoder.broken
    assert decoder.feed(bytes(100_000)) == []
    assert decoder.pending == 0


def test_split_wants_whole_packets():
    one = make(5, b"x")
    assert _codec.split(one + one) == [one, one]
    for bad in (one[:-1], one + b"\0", b"\x01\0"):
        with pytest.raises(ProtocolError):
            _codec.split(bad)


@pytest.mark.parametrize("bad", [b"", b"\0" * 7, make(1, b"")[:-1], make(1, b"") + b"x"])
def test_header_wants_exactly_one_packet(bad):
    for work in (_codec.header, CODEC.check, CODEC.decode, lambda p: _codec.with_name(p, b"")):
        with pytest.raises(ProtocolError):
            work(bad)


# ---------------------------------------------------------------- values
@given(strategies.packets(), st.just(False))
@settings(max_examples=400)
def test_decode_undoes_encode(packet, reply):
    kind, date, name, values = packet
    try:
        encoded = CODEC.encode(kind.id, date, name, values, reply)
    except ProtocolError as error:
        assert "pixels" in str(error)  # of an area or of stamps: a rule over several fields
        return
    assert _codec.header(encoded) == (kind.id, date, name, 8 + len(name))
    agree(encoded, reply)
    for got, given_ in zip(CODEC.decode(encoded, reply), values, strict=True):
        if isinstance(got, np.ndarray):
            assert np.array_equal(got, np.array(given_, got.dtype))
        elif isinstance(given_, float):
            assert got == pytest.approx(given_, rel=1e-6, abs=1e-37)
        else:
            assert got == given_
    assert CODEC.encode(kind.id, date, name, CODEC.decode(encoded, reply), reply) == encoded


@given(strategies.packets(reply=True))
def test_replies_too(packet):
    kind, date, name, values = packet
    try:
        encoded = CODEC.encode(kind.id, date, name, values, True)
    except ProtocolError as error:
        assert "pixels" in str(error)
        return
    agree(encoded, True)


@given(strategies.packets(), st.data())
@settings(max_examples=400)
def test_mutations_are_judged_as_the_oracle_judges_them(packet, data):
    kind, date, name, values = packet
    try:
        encoded = bytearray(CODEC.encode(kind.id, date, name, values))
    except ProtocolError:
        return
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(8 + len(name), len(encoded)))
        action = data.draw(st.sampled_from(["set", "cut", "add", "ff"]))
        if action == "set" and at < len(encoded):
            encoded[at] = data.draw(st.integers(0, 255))
        elif action == "cut":
            del encoded[at:]
        elif action == "add":
            encoded[at:at] = data.draw(st.binary(max_size=8))
        else:
            encoded[at : at + 4] = b"\xff\xff\xff\x7f"
    encoded[:2] = len(encoded).to_bytes(2, "little")
    agree(bytes(encoded), False)


@given(st.sampled_from(sorted(oracle.KINDS)), st.binary(max_size=120))
@settings(max_examples=400)
def test_random_data_is_judged_as_the_oracle_judges_it(type_id, data):
    agree(make(type_id, data), False)


def test_points_are_views_of_the_packet():
    packet = PACKETS[12].encode_request(0, b"ada", 0, b"rgba", 1, 1, [[1, 2], [3, 4]])
    points = CODEC.decode(packet)[-1]
    assert not points.flags.owndata
    assert not points.flags.writeable
    assert points.dtype == np.dtype("<f4")
    indices = CODEC.decode(PACKETS[13].encode_request(0, b"", [3, 1]))[0]
    assert not indices.flags.owndata


def test_numbers_written_as_floats():
    data = np.array([2.5, 3.0], "<f4").tobytes() + np.array([7, -1], "<i4").tobytes()
    packet = make(18, b"\x03\0\0\0rgba" + data)
    assert CODEC.decode(packet)[2].tolist() == [[3, 3], [7, -1]]
    huge = np.array([3e38, -3e38], "<f4").tobytes()
    assert CODEC.decode(make(18, b"\x03\0\0\0rgba" + huge))[2].tolist() == [[1 << 24, -(1 << 24)]]


@pytest.mark.parametrize(
    ("type_id", "values"),
    [
        (12, (0, b"abc", 1, 1, [[0, 0]])),
        (12, (1 << 23, b"abcd", 1, 1, [[0, 0]])),
        (12, (0, b"abcd", 0, 1, [[0, 0]])),
        (12, (0, b"abcd", 1, 1)),
        (13, ([1 << 23],)),
        (13, ([1, 2],)),
        (13, ([],)),
        (22, ("é" * 40,)),
        (28, ()),
        (300, ()),
        (10, ("x" * 65528,)),
    ],
)
def test_what_does_not_conform_is_not_encoded(type_id, values):
    with pytest.raises(ProtocolError):
        CODEC.encode(type_id, 0, b"", values)


def test_a_name_of_256_bytes_is_not_encoded():
    with pytest.raises(ProtocolError):
        CODEC.encode(5, 0, bytes(256), ())


def test_with_name():
    packet = make(12, b"data", b"")
    assert _codec.with_name(packet, b"") is packet
    named = _codec.with_name(packet, b"ada")
    assert named == make(12, b"data", b"ada")
    assert _codec.with_name(named, b"ada") is named
    assert _codec.with_name(named, b"bob") == make(12, b"data", b"bob")
    with pytest.raises(ProtocolError, match="65535"):
        _codec.with_name(make(12, bytes(65527), b""), b"a")


def test_with_index():
    packet = make(14, b"\x01\0\0\0rest")
    assert _codec.with_index(packet, 14, 1) is packet
    assert _codec.with_index(packet, 12, 513) == make(12, b"\x01\x02\0\0rest")
    with pytest.raises(ProtocolError):
        _codec.with_index(make(14, b"abc"), 12, 0)


def test_numbered():
    packets = [make(14, bytes(4) + bytes([i])) for i in range(5)]
    chunks = _codec.numbered(packets, 12, 40)
    assert len(chunks) > 1
    expected = [make(12, i.to_bytes(4, "little") + bytes([i])) for i in range(5)]
    assert _codec.split(b"".join(chunks)) == expected
    assert _codec.numbered([], 12) == []
    assert _codec.numbered(packets[2:], 12, 1 << 18, 2) == [b"".join(expected[2:])]
    with pytest.raises(ProtocolError):
        _codec.numbered([make(14, b"abc")], 12)


def test_a_table_is_checked():
    row = (1, False, (), "none", 0, 0, "none", 0.0)
    with pytest.raises(ValueError, match="twice"):
        Codec([row, row])
    with pytest.raises(ValueError, match="bounds"):
        Codec([(300, *row[1:])])


def test_every_client_packet_has_a_layout():
    for packet in PACKETS.values():
        if packet.when not in (When.NEVER, When.IGNORED):
            assert packet.request is not None


# ---------------------------------------------------------------- JSON, WebSocket
@given(st.text(alphabet='{}[]":\\ a,', max_size=40))
def test_json_shape_never_fails(text):
    colons, depth, elements = _codec.json_shape(text.encode())
    assert 0 <= colons <= text.count(":")
    assert 0 <= elements <= sum(map(text.count, ",[{"))
    assert depth <= text.count("{") + text.count("[")


def test_websocket_messages():
    small, large, largest = make(5, b""), make(5, bytes(200)), make(5, bytes(65524))
    out = _codec.websocket_messages(small + large + largest)
    assert out[:2] == bytes([0x82, len(small)])
    rest = out[2 + len(small) :]
    assert rest[:4] == b"\x82\x7e" + len(large).to_bytes(2, "big")
    assert rest[4 : 4 + len(large)] == large
    assert rest[4 + len(large) :][:4] == b"\x82\x7e\xff\xff"
    with pytest.raises(ProtocolError):
        _codec.websocket_messages(small[:-1])


@given(st.lists(st.sampled_from([0, 1, 125, 126, 65535, 65536, 70000]), max_size=6))
def test_websocket_texts(sizes):
    lines = [b"x" * size for size in sizes]
    out, at = _codec.websocket_texts(b"".join(line + b"\n" for line in lines)), 0
    for line in lines:
        assert out[at] == 0x81
        size, head = out[at + 1], 2
        if size == 126:
            size, head = int.from_bytes(out[at + 2 : at + 4], "big"), 4
        elif size == 127:
            size, head = int.from_bytes(out[at + 2 : at + 10], "big"), 10
        assert out[at + head : at + head + size] == line
        at += head + size
    assert at == len(out)
    with pytest.raises(ProtocolError):
        _codec.websocket_texts(b"a\nb")


# ---------------------------------------------------------------- fan-out
class Model:
    """What each peer must have received in the end, kept naively."""

    def __init__(self) -> None:
        self.flush_set = FlushSet()
        self.broadcast = Broadcast(self.flush_set)
        self.send_queues = [SendQueue(self.flush_set) for _ in range(4)]
        self.expected = [b""] * 4
        self.received = [b""] * 4
        self.inside = [False] * 4
        self.channel = Broadcast(self.flush_set)
        self.chatting = [False] * 4
        self.said = [b""] * 4

    def flush(self, limit: int) -> None:
        for send_queue in self.flush_set.seal():
            send_queue.release()
        for i, send_queue in enumerate(self.send_queues):
            self.received[i] += send_queue.take(limit)

    def drain(self) -> None:
        self.flush(1 << 20)
        for i, send_queue in enumerate(self.send_queues):
            while send_queue.takeable:
                self.received[i] += send_queue.take(1 << 20)


@pytest.mark.parametrize("seed", range(200))
def test_everybody_gets_everything_but_their_own_in_order(seed):
    rng = random.Random(seed)
    model = Model()
    for step in range(150):
        i = rng.randrange(4)
        data = make(10, bytes([step]) * rng.randint(0, 40))
        action = rng.choice(
            ("put", "put", "put", "push", "in", "out", "flush", "replay", "nobody", "say", "chat")
        )
        if action == "put" and model.inside[i]:
            model.broadcast.publish(data, model.send_queues[i])
            for k in range(4):
                if k != i and model.inside[k]:
                    model.expected[k] += data
        elif action == "say":
            said = make(11, bytes([step]) * rng.randint(0, 40))
            model.channel.publish(said, model.send_queues[i])
            for k in range(4):
                if k != i and model.chatting[k]:
                    model.said[k] += said
        elif action == "chat":
            box = model.send_queues[i]
            (box.unsubscribe if model.chatting[i] else box.subscribe)(model.channel)
            model.chatting[i] = not model.chatting[i]
        elif action == "nobody":
            model.broadcast.publish(data)
            for k in range(4):
                if model.inside[k]:
                    model.expected[k] += data
        elif action == "push":
            model.send_queues[i].push(data)
            model.expected[i] += data
        elif action == "replay":
            model.send_queues[i].send_snapshot([data, data])
            model.expected[i] += 2 * data
        elif action == "in":
            model.send_queues[i].attach(model.broadcast)
            model.inside[i] = True
        elif action == "out":
            model.send_queues[i].detach()
            model.inside[i] = False
        elif action == "flush":
            model.flush(rng.choice((1, 100, 1 << 16)))
        assert all(
            o.attached == inside for o, inside in zip(model.send_queues, model.inside, strict=True)
        )
    model.drain()
    for i, received in enumerate(model.received):
        packets = _codec.split(received)
        assert b"".join(p for p in packets if p[2] != 11) == model.expected[i]
        assert b"".join(p for p in packets if p[2] == 11) == model.said[i]
    assert all(o.queued == 0 and o.replaying == 0 for o in model.send_queues)


def test_those_who_said_nothing_share_one_object():
    model = Model()
    for send_queue in model.send_queues:
        send_queue.attach(model.broadcast)
    model.broadcast.publish(make(1, b"a"), model.send_queues[0])
    model.broadcast.publish(make(1, b"b"), model.send_queues[0])
    for send_queue in model.flush_set.seal():
        send_queue.release()
    first, second = model.send_queues[1].take(100), model.send_queues[2].take(100)
    assert first is second
    assert model.send_queues[0].take(100) == b""


def test_who_lags_is_not_given_what_a_channel_says():
    turn = FlushSet()
    channel = Broadcast(turn, drop_above=100)
    lags, reads = SendQueue(turn), SendQueue(turn)
    for box in (lags, reads):
        box.subscribe(channel)
        box.subscribe(channel)
    lags.push(bytes(101))
    channel.publish(make(10, b"said"))
    for box in turn.seal():
        box.release()
    assert reads.take(1000) == make(10, b"said")
    assert lags.take(1000) == bytes(101)
    assert turn.dropped == len(make(10, b"said"))
    channel.publish(make(10, b"again"))
    for box in turn.seal():
        box.release()
    assert lags.take(1000) == make(10, b"again")


def test_the_turn_knows_how_much_is_copied_and_waits():
    model = Model()
    for box in model.send_queues:
        box.attach(model.broadcast)
    model.broadcast.publish(bytes(100), model.send_queues[0])
    assert (model.flush_set.size, model.flush_set.spent) == (100, 400 // 16)
    model.drain()
    assert (model.flush_set.size, model.flush_set.spent) == (0, 400 // 16)


def test_nothing_is_taken_before_it_is_released():
    model = Model()
    box = model.send_queues[0]
    box.push(b"x")
    assert not box.takeable
    sealed = model.flush_set.seal()
    box.push(b"y")
    assert sealed == [box]
    assert not box.takeable
    box.release()
    assert box.take(100) == b"x"
    assert box.take(100) == b""


def test_nothing_is_kept_for_a_peer_that_is_gone():
    turn = FlushSet()
    lobby, channel = Broadcast(turn), Broadcast(turn)
    gone, here = SendQueue(turn), SendQueue(turn)
    for send_queue in (gone, here):
        send_queue.attach(lobby)
        send_queue.subscribe(channel)
    packet = make(12, bytes(4))
    gone.push(packet)
    gone.send_snapshot([packet])
    for sealed in turn.seal():
        sealed.release()
    lobby.publish(packet)
    gone.push(packet)
    gone.call_when_sent(lambda: pytest.fail("nobody is there"))
    gone.drop()
    channel.publish(packet)
    lobby.publish(packet)
    for sealed in turn.seal():
        sealed.release()
    assert (gone.queued, gone.replaying, gone.attached, gone.takeable) == (0, 0, False, False)
    assert gone.take(1 << 20) == b""
    assert here.take(1 << 20) == packet * 3
    gone.attach(lobby)
    lobby.publish(packet)
    turn.seal()[0].release()


def test_shed_drops_what_a_replay_replaces():
    model = Model()
    box, other = model.send_queues[:2]
    box.attach(model.broadcast)
    calls = []
    model.broadcast.publish(make(1, b"relayed"), other)
    box.push(b"private")
    box.send_snapshot([b"replay"])
    box.call_when_sent(lambda: calls.append(1))
    assert box.drop_broadcasts() == len(make(1, b"relayed")) + len(b"replay")
    assert not box.attached
    assert (box.queued, box.replaying) == (7, 0)
    model.drain()
    assert model.received[0] == b"private"
    assert calls == [1]


def test_urgent_bytes_pass_everything():
    model = Model()
    model.send_queues[0].push(b"later")
    model.send_queues[0].send_first(b"now")
    assert model.send_queues[0].take(100) == b"now"
    model.drain()
    assert model.received[0] == b"later"


def test_the_turn_says_when_something_is_new():
    told = []
    turn = FlushSet(lambda: told.append(1))
    broadcast, box, other = Broadcast(turn), SendQueue(turn), SendQueue(turn)
    box.attach(broadcast)
    assert not turn.pending
    broadcast.publish(b"a", other)
    other.push(b"b")
    assert told == [1]
    assert turn.pending
    assert set(turn.seal()) == {box, other}
    assert not turn.pending
    box.push(b"c")
    assert told == [1, 1]


def test_a_burst_is_not_remembered():
    model = Model()
    model.send_queues[0].attach(model.broadcast)
    for _ in range(40):
        model.broadcast.publish(bytes(65535), model.send_queues[1])
    model.drain()
    assert len(model.received[0]) == 40 * 65535
    model.broadcast.publish(b"x", model.send_queues[1])
    model.drain()
    assert model.received[0][-1:] == b"x"
