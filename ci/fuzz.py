"""Random and mutated bytes against the sanitised codec, raster and outboxes: `make fuzz`.

    python ci/fuzz.py [--inputs 10000000] [--seed 1]

Run it on extensions that were built with -fsanitize=address,undefined (`make fuzz` does): the
sanitizers abort at the first wrong access, and the last seed printed runs it again. An input is
one packet, one chunk of a stream, or one step of an outbox.
"""

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np

from polypaint import _codec, _raster
from polypaint._codec import Broadcast, FlushSet, FrameDecoder, SendQueue
from polypaint.errors import ProtocolError
from polypaint.paint.packets import COALESCING, CODEC, STAMPS_MAX

VECTORS = Path(__file__).parent.parent / "tests/vectors/paint.json"
ROUND = 2000


def corpus() -> list[bytes]:
    """Packets to begin from, the largest left out: they would only slow things down."""
    document = json.loads(VECTORS.read_text())
    found = [bytes.fromhex(v["hex"]) for v in document["vectors"] + document["malformed"]]
    return [packet for packet in found if len(packet) < 300]


def mutated(rng: random.Random, packet: bytes) -> bytes:
    """A packet with a few bytes changed, cut or added; its size field mostly right."""
    data = bytearray(packet)
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(data) + 1)
        action = rng.random()
        if action < 0.5 and at < len(data):
            data[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif action < 0.7:
            del data[at : at + rng.randint(1, 9)]
        elif action < 0.9:
            data[at:at] = rng.randbytes(rng.randint(1, 9))
        else:
            data[at : at + 4] = rng.choice((b"\xff\xff\xff\x7f", b"\0\0\x80\x7f", b"\0\0\0\x80"))
    if rng.random() < 0.9 and len(data) >= 8:
        data[:2] = len(data).to_bytes(2, "little")
    return bytes(data)


def attempt(work: object, *arguments: object) -> object:
    """What bad input may cost: a ProtocolError, never anything else."""
    try:
        return work(*arguments)  # type: ignore[operator]
    except ProtocolError:
        return None


def fuzz_packets(rng: random.Random, packets: list[bytes]) -> int:
    for _ in range(ROUND):
        packet = mutated(rng, rng.choice(packets))
        if attempt(_codec.header, packet) is not None:
            reply = rng.random() < 0.3
            attempt(CODEC.check, packet, reply)
            values = attempt(CODEC.decode, packet, reply)
            if isinstance(values, tuple):
                attempt(CODEC.encode, packet[2], 0, b"ada", values, reply)
        choice = rng.random()
        if choice < 0.2:
            attempt(_codec.with_name, packet, b"alice"[: rng.randint(0, 5)])
        elif choice < 0.4:
            attempt(_codec.with_index, packet, 12, rng.randrange(1 << 20))
        elif choice < 0.6:
            attempt(_codec.numbered, [packet, packet], 12, 1 << 18, rng.randrange(1 << 20))
        elif choice < 0.8:
            CODEC.accept(
                [packet, packets[0]], 0, 2, packet[2] if len(packet) > 2 else 0, b"bob", 7
            )
        elif choice < 0.9:
            attempt(_codec.websocket_messages, packet)
        else:
            more = [mutated(rng, rng.choice(packets)) for _ in range(rng.randint(0, 4))]
            attempt(_codec.coalesced, b"".join([packet, *more]), COALESCING)
    return ROUND


def fuzz_streams(rng: random.Random, packets: list[bytes]) -> int:
    stream = b"".join(mutated(rng, rng.choice(packets)) for _ in range(20))
    decoder, steps = FrameDecoder(), 0
    while stream:
        cut = rng.randint(1, min(len(stream), rng.choice((3, 40, 4000))))
        for packet in decoder.feed(stream[:cut]):
            assert _codec.header(packet)
        assert decoder.pending < 65535
        stream, steps = stream[cut:], steps + 1
    _codec.json_shape(rng.randbytes(rng.randint(0, 60)))
    return steps + 1


def fuzz_outboxes(rng: random.Random, packets: list[bytes]) -> int:
    turn = FlushSet()
    broadcasts = [Broadcast(turn) for _ in range(2)]
    channels = [Broadcast(turn, 200) for _ in range(2)]
    boxes = [SendQueue(turn) for _ in range(4)]
    for _ in range(300):
        box, broadcast, data = rng.choice(boxes), rng.choice(broadcasts), rng.choice(packets)
        action = rng.randrange(13)
        if action < 3:
            said = rng.choice((broadcast, broadcast, rng.choice(channels)))
            said.publish(data, box if rng.random() < 0.8 else None)
        elif action == 3:
            box.push(data)
        elif action == 4:
            box.attach(broadcast)
        elif action == 5:
            box.detach()
        elif action == 6:
            box.send_snapshot([data, data])
        elif action == 7:
            box.drop_broadcasts()
        elif action == 10:
            box.subscribe(rng.choice(channels))
        elif action == 11:
            box.unsubscribe(rng.choice(channels))
        elif action == 12:
            box.drop()
        elif action == 8:
            for sealed in turn.seal():
                sealed.release()
        else:
            box.fd = rng.choice((-1, -1, 1 << 20))  # a descriptor that nobody has
            box.direct = True
            turn.send_committed()
        box.take(rng.choice((1, 100, 1 << 20)))
        assert box.queued >= 0
        assert box.replaying >= 0
    return 300


def fuzz_raster(rng: random.Random, _packets: list[bytes]) -> int:
    width, height = rng.randint(1, 40), rng.randint(1, 40)
    canvas = np.frombuffer(rng.randbytes(4 * width * height), np.uint32).reshape(height, width)
    canvas = canvas & np.uint32(rng.choice((1, 3, 0xFFFFFFFF)))

    def far() -> int:
        return rng.choice((0, -1, 1 << 24, -(1 << 24), 2**31 - 1, rng.randint(-50, 50)))

    points = np.array([[far(), far()] for _ in range(4)], np.int32)
    _raster.stamp(canvas, points, rng.randint(1, 1000), 7)
    _raster.fill(canvas, rng.randrange(width), rng.randrange(height), rng.randrange(4))
    source = canvas[: rng.randint(0, height), : rng.randint(0, width)].copy()
    cut = (rng.randint(1, 16384), rng.randint(1, 16384))
    target = (rng.randint(-99, 99), far() % (1 << 23), rng.randint(1, 90), rng.randint(1, 90))
    offset = (rng.randint(0, 50), rng.randint(0, 50))
    _raster.place(canvas, source, offset, cut, target, rng.choice((0, 90, 45.5, -1e30, 3e38)))
    found = _raster.squares(canvas, 0, rng.random() < 0.5)
    chunks = _codec.point_packets(18, 0, *found, STAMPS_MAX, rng.choice((64, 1 << 18)))
    assert len(_codec.split(b"".join(chunks))) <= len(found[0])
    return 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    packets = corpus()
    done, began, seed = 0, time.monotonic(), options.seed
    targets = (fuzz_packets, fuzz_streams, fuzz_outboxes, fuzz_raster)
    while done < options.inputs:
        rng = random.Random(seed)
        for target in targets:
            done += target(rng, packets)
        seed += 1
        if seed % 500 == 0:
            print(f"{done} inputs, {time.monotonic() - began:.0f} s, seed {seed}", flush=True)
    print(f"{done} inputs without a finding, seeds {options.seed} to {seed - 1}")


if __name__ == "__main__":
    main()
