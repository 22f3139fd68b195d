"""The whole server under load, beside a relay in C that does nothing but pass bytes on.

    python benchmarks/end_to_end.py                    every load, 5 rounds, the journal on and off
    python benchmarks/end_to_end.py --loads ping --rounds 3
    python benchmarks/end_to_end.py --json FILE

Servers take turns; a ratio compares two servers within one round, and the table shows the median.
Absolute times differ from machine to machine and from run to run: believe the ratios.
"""

import argparse
import json
import statistics
from collections import defaultdict
from contextlib import AbstractContextManager
from pathlib import Path

import load

SERVERS = ("relay", "polypaint", "unjournaled", "ws", "socket.io", "nats", "streams")


def serving(name: str) -> AbstractContextManager[tuple[int, dict[str, str]]]:
    if name == "relay":
        return load.relay()
    if name in ("polypaint", "unjournaled"):
        return load.project(journal=name == "polypaint")
    return load.rival(name)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loads", default=",".join(load.LOADS))
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    servers = options.servers.split(",")
    for name in [n for n in servers if not load.available(n)]:
        print(f"{name}: not to be had here")
        servers.remove(name)
    samples: defaultdict[tuple[str, str], list[load.Sample]] = defaultdict(list)
    for number in range(options.rounds):
        for name in servers:
            print(f"\rround {number + 1} of {options.rounds}: {name:16}", end="", flush=True)
            with serving(name) as (pid, addresses):
                for wanted in options.loads.split(","):
                    (kind,) = addresses.keys() & load.FRAMED or {"paint"}
                    try:
                        found = load.measure(kind, pid, addresses, load.LOADS[wanted])
                    except RuntimeError as error:
                        print(f"\n{name}, {wanted}: {error}")
                        continue
                    samples[name, wanted].append(found)
    print()
    for wanted in options.loads.split(","):
        print(f"\n{wanted}: {load.LOADS[wanted]}")
        print(f"{'':14}{'CPU µs':>9}{'× relay':>9}{'/s':>12}{'p50 µs':>9}{'p99 µs':>9}  lost")
        for name in servers:
            rows = samples[name, wanted]
            if not rows:
                continue
            base = samples.get(("relay", wanted), rows)
            ratio = statistics.median(
                a.cpu_us / b.cpu_us for a, b in zip(rows, base, strict=False)
            )
            middle = {k: statistics.median(vars(r)[k] for r in rows) for k in vars(rows[0])}
            print(
                f"{name:14}{middle['cpu_us']:9.3f}{ratio:9.2f}{middle['deliveries_per_s']:12.0f}"
                f"{middle['p50_us']:9.0f}{middle['p99_us']:9.0f}  {sum(r.lost for r in rows)}"
            )
    if options.json:
        document = {f"{a} {b}": [r.row() for r in rows] for (a, b), rows in samples.items()}
        options.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
