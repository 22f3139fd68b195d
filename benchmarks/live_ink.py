"""What it costs the server that people see each other's ink while the pen is down.

    python benchmarks/live_ink.py                      30 people who draw, in one lobby
    python benchmarks/live_ink.py --people 8 --strokes 10

Everybody has the extension and draws strokes at an even pace; in every other window they also send
their ink, as often as the clients do (every 33 ms and 5 ms for each other person who draws). The
ratio compares the server's CPU time of two neighbouring windows of one run; the exit status is 1
when its median is above 1.3. The server is a process of its own.
"""

import argparse
import selectors
import socket
import statistics
import sys
import time

import load

from polypaint.paint import packets

RATIO_MAX = 1.3
TELL_S = 0.033
TELL_S_PER_PERSON = 0.005
READ_BYTES = 1 << 18
RGBA = b"\x20\x60\xc0\xff"
POINTS = [[x, 2 * x % 7] for x in range(load.POINTS)]


def joined(address: str, count: int) -> list[socket.socket]:
    """People with the extension, all in one lobby."""
    host, port = address.rsplit(":", 1)
    sockets = []
    for number in range(count):
        name = b"inker-%d" % number
        sock = socket.create_connection((host, int(port)))
        sock.sendall(packets.CREATE_ACCOUNT.encode_request(load.DATE, name, "pw"))
        sock.sendall(packets.HELLO.encode_request(load.DATE, name, 1, 0, 0, "pw"))
        load.read_until(sock, lambda p: p[2] == packets.HELLO.id)
        kind = packets.LOBBY_CONNECT if number else packets.LOBBY_CREATION
        lobby = '{"Filename":"d","Owner":"%s","Mode":"stroke","Protection":"public","Passcode":""}'
        sock.sendall(kind.encode_request(load.DATE, name, lobby % name.decode()))
        if number:
            load.read_until(sock, load.thawed)
            sock.sendall(packets.FETCH_DATABASE.encode_request(load.DATE, name))
        else:
            load.read_until(sock, lambda p: p[2] == packets.LOBBY_CREATION.id)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def window(
    pid: int, sockets: list[socket.socket], seconds: float, every: dict[bytes, float]
) -> float:
    """CPU seconds of the server while each sends every packet at its interval, in seconds."""
    selector = selectors.DefaultSelector()
    for sock in sockets:
        selector.register(sock, selectors.EVENT_READ, sock.recv)
    began, cpu = time.monotonic(), load.cpu_seconds(pid)
    turns = sorted(
        (interval * (n + i / len(sockets)), i, packet)
        for packet, interval in every.items()
        for i in range(len(sockets))
        for n in range(int(seconds / interval))
    )
    for at, i, packet in turns:
        while (left := began + at - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                key.data(READ_BYTES)
        sockets[i].send(packet)
    used = load.cpu_seconds(pid) - cpu
    time.sleep(0.1)  # what is under way does not count for the next window
    for key, _ in selector.select(0):
        key.data(READ_BYTES)
    return used


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--strokes", type=float, default=60, help="of each, a second")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    pause = TELL_S + TELL_S_PER_PERSON * (options.people - 1)
    stroke = packets.ADD_STROKE.encode_request(load.DATE, b"", 0, RGBA, 3, 3, POINTS)
    ink = packets.INK.encode_request(load.DATE, b"", 0, RGBA, 3, 0, POINTS[:8])
    without = {stroke: 1 / options.strokes}
    ratios = []
    with load.project() as (pid, addresses), load.pinned(1):
        sockets = joined(addresses["paint"], options.people)
        window(pid, sockets, 0.5, without | {ink: pause})
        for number in range(options.rounds):
            pair = [without, without | {ink: pause}]
            used = [window(pid, sockets, options.seconds, each) for each in pair]
            ratios.append(used[1] / used[0])
            share = "{:.1f} % of a core without ink, {:.1f} % with".format(
                *(100 * each / options.seconds for each in used)
            )
            print(f"round {number + 1}: {share}: {ratios[-1]:.2f} ×")
    ratio = statistics.median(ratios)
    print(
        f"{options.people} people, {options.strokes:g} strokes a second each, ink every"
        f" {1000 * pause:.0f} ms: {ratio:.2f} × the CPU of the same lobby without it"
    )
    sys.exit(ratio > RATIO_MAX)


if __name__ == "__main__":
    main()
