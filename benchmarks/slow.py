"""People who do not read what they are sent: what they cost the server, and the others.

    python benchmarks/slow.py
    python benchmarks/slow.py --mib 1000 --stalled 1,50

Ten people draw as fast as the server takes it, until so many MiB have been drawn; the drawing is
cleared now and then. Then the same again with others in the lobby who never read a byte, and who
are not closed for it. Shown is how much more memory the server has at its worst than before they
came, and what the ten notice: latency, and packets lost, of which there must be none.
"""

import argparse
import socket
import statistics

import load

from polypaint.paint import packets

HEALTHY = load.Load(10, 4, seconds=0.5)
FLAGS = ("--slow-seconds", "3600")


def phase(pid: int, socks: list[socket.socket], own: str, mib: int) -> tuple[float, int, int]:
    """Draw so much: (p99 in µs, most memory in KiB, packets lost or out of order)."""
    p99, memory, wrong, drawn = [], 0, 0, 0
    while drawn < mib << 20:
        clear = packets.RESET_CANVAS.encode_request(load.DATE, f"{own}0000".encode())
        socks[0].sendall(clear)
        sample = load.drive("paint", pid, socks, own, HEALTHY)
        p99.append(sample.p99_us)
        memory = max(memory, load.memory_kib(pid))
        wrong += sample.lost + sample.disorder
        drawn += sample.sent * len(load.stroke(f"{own}0000".encode()))
    return statistics.median(p99), memory, wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=250)
    parser.add_argument("--stalled", default="1,200")
    options = parser.parse_args()
    print(f"{'stalled readers':16}{'memory':>12}{'p99':>10}{'before':>10}{'ratio':>8}{'lost':>6}")
    for count in map(int, options.stalled.split(",")):
        with load.project(*FLAGS) as (pid, addresses):
            own = load.tag()
            socks = load.people(addresses["paint"], HEALTHY.peers, own)
            before, memory_before, _ = phase(pid, socks, own, options.mib)
            stalled = load.people(addresses["paint"], count, own, first=HEALTHY.peers)
            after, memory, wrong = phase(pid, socks, own, options.mib)
            more = (memory - memory_before) / 1024
            print(f"{count:<16}{more:8.1f} MiB{after:7.0f} µs{before:7.0f} µs"
                  f"{after / before:6.2f} ×{wrong:6}")  # fmt: skip
            for sock in socks + stalled:
                sock.close()


if __name__ == "__main__":
    main()
