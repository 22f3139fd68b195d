"""Does somebody's huge canvas stall other people? Latency in one lobby, work in another.

    python benchmarks/stall.py

One client asks for an answer again and again (LOBBY_CONNECT to where it is); another works on a
canvas of 4096 × 4096, the largest that there is. Shown is the longest wait during each operation,
and how long the operation took; `idle` is the same without any.
"""

import select
import socket
import time

import load

from polypaint.paint import packets
from polypaint.paint.packets import Packet

SIDE = 4096
RED = b"\xff\0\0\xff"
WORK: list[tuple[str, Packet, tuple[object, ...]]] = [
    ("resize", packets.RESIZE_CANVAS_INT, (SIDE, SIDE)),
    ("fill", packets.BUCKET_FILL, (5, 5, RED)),
    ("64 Mi stamps", packets.SEND_POINTS, (1000, RED, [[2000, 2000]] * 67)),
    ("select everything", packets.CREATE_SELECTION, (0, 0, SIDE, SIDE, 0)),
    ("blur", packets.APPLY_FILTER_SELECTION, ("blur",)),
    ("turn", packets.UPDATE_SELECTION, (0, 0, SIDE, SIDE, 33)),
    ("write back", packets.REMOVE_SELECTION, ()),
    ("reset", packets.RESET_CANVAS, ()),
]


def fence(name: bytes, filename: str) -> bytes:
    text = load.lobby(filename, "")
    return packets.LOBBY_CONNECT.encode_request(load.DATE, name, text)


def enter(address: str, name: bytes, filename: str, mode: str) -> socket.socket:
    sock = load.open_socket(address)
    load.login(sock, name)
    text = load.lobby(filename, name.decode(), mode)
    sock.sendall(packets.LOBBY_CREATION.encode_request(load.DATE, name, text))
    load.read_until(sock, lambda p: p[2] == packets.LOBBY_CREATION.id)
    return sock


def answered(packet: bytes) -> bool:
    return packet[2] == packets.LOBBY_CONNECT.id


def longest_wait(quick: socket.socket, slow: socket.socket, seconds: float) -> tuple[float, float]:
    """(longest wait of the quick one, seconds until the slow one was answered), both in ms."""
    worst, began, end = 0.0, time.perf_counter(), float("inf")
    done = 0.0
    while time.perf_counter() < min(end, began + 20):
        asked = time.perf_counter()
        quick.sendall(fence(b"quick", "small"))
        load.read_until(quick, answered)
        worst = max(worst, time.perf_counter() - asked)
        if not done and select.select([slow], [], [], 0)[0]:
            load.read_until(slow, answered)
            done = time.perf_counter() - began
            end = time.perf_counter() + seconds
    return 1e3 * worst, 1e3 * done


def main() -> None:
    with load.project(cpu=-1) as (_, addresses):
        quick = enter(addresses["paint"], b"quick", "small", "stroke")
        slow = enter(addresses["paint"], b"slow", "huge", "pixel")
        slow.sendall(fence(b"slow", "huge"))
        print(f"{'':20}{'longest wait':>14}{'it took':>12}")
        worst, _ = longest_wait(quick, slow, 1)
        print(f"{'idle':20}{worst:11.1f} ms")
        for says, kind, values in WORK:
            slow.sendall(kind.encode_request(load.DATE, b"slow", *values))
            slow.sendall(fence(b"slow", "huge"))
            worst, took = longest_wait(quick, slow, 0.05)
            print(f"{says:20}{worst:11.1f} ms{took:9.0f} ms")
        slow.sendall(packets.LOBBY_DISCONNECT.encode_request(load.DATE, b"slow"))
        slow.sendall(packets.LOBBY_FETCH.encode_request(load.DATE, b"slow"))
        slow.sendall(fence(b"slow", "huge"))
        worst, took = longest_wait(quick, slow, 0.5)
        print(f"{'leave, store, join':20}{worst:11.1f} ms{took:9.0f} ms")


if __name__ == "__main__":
    main()
