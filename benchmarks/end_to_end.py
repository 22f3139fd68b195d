"""The whole server under load, beside a relay in C that does nothing but pass bytes on.

    python benchmarks/end_to_end.py                    every load, 5 rounds, the journal on and off
    python benchmarks/end_to_end.py --loads ping --rounds 3
    python benchmarks/end_to_end.py --json build/bench.json --chart build/bench.svg
    python benchmarks/end_to_end.py --against ../before      two checkouts, nothing else

Servers take turns; a ratio compares two servers within one round, and the table shows the median.
Absolute times differ from machine to machine and from run to run: believe the ratios. With
--against, the exit status is 1 when this checkout takes more than 1.03 times the CPU of the other.
"""

import argparse
import json
import math
import statistics
import sys
from collections import defaultdict
from contextlib import AbstractContextManager
from pathlib import Path

import load

AGAINST = "other checkout"
AGAINST_MAX = 1.03
SERVERS = ("relay", "polypaint", "unjournaled", "ws", "socket.io", "nats", "streams")


def serving(
    name: str, checkout: Path | None
) -> AbstractContextManager[tuple[int, dict[str, str]]]:
    if name == AGAINST:
        return load.project(checkout=checkout)
    if name == "relay":
        return load.relay()
    if name in ("polypaint", "unjournaled"):
        return load.project(journal=name == "polypaint")
    return load.rival(name)


def chart(ratios: dict[tuple[str, str], float]) -> str:
    """CPU per delivery as bars, relative to the relay in C, on a logarithmic scale."""
    parts, y = [], 20
    for wanted in dict.fromkeys(wanted for _, wanted in ratios):
        parts.append(f'<text x="10" y="{y + 12}" font-weight="bold">{wanted}</text>')
        y += 20
        for name in (n for n, w in ratios if w == wanted):
            ratio = ratios[name, wanted]
            width = 20 + 110 * math.log10(max(ratio, 0.1) / 0.1)
            colour = "#2060c0" if name == "polypaint" else "#b8c0cc"
            parts.append(
                f'<text x="100" y="{y + 12}" text-anchor="end">{name}</text>'
                f'<rect x="108" y="{y + 2}" width="{width:.0f}" height="12" fill="{colour}"/>'
                f'<text x="{112 + width:.0f}" y="{y + 12}">{ratio:.2f} ×</text>'
            )
            y += 17
        y += 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="560" height="{y + 10}" '
        'font-family="sans-serif" font-size="11">'
        '<rect width="100%" height="100%" fill="white"/>'
        '<text x="10" y="14">server CPU per delivery, relative to a relay in C (log scale)</text>'
        f"{''.join(parts)}</svg>\n"
    )


def compared(samples: dict[tuple[str, str], list[load.Sample]], loads: list[str]) -> int:
    """Prints what this checkout takes of the other's CPU; 1 when it is too much, else 0."""
    print(f"\n{'CPU to ' + AGAINST:22}{'median':>8}{'from':>8}{'to':>8}")
    worst = 0.0
    for wanted in loads:
        pairs = zip(samples["polypaint", wanted], samples[AGAINST, wanted], strict=True)
        ratios = sorted(own.cpu_us / other.cpu_us for own, other in pairs)
        middle = statistics.median(ratios)
        worst = max(worst, middle)
        print(f"{wanted:22}{middle:8.3f}{ratios[0]:8.3f}{ratios[-1]:8.3f}")
    return int(worst > AGAINST_MAX)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loads", default=",".join(load.LOADS))
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="every sample")
    parser.add_argument("--chart", type=Path, help="the ratios as an SVG")
    parser.add_argument("--against", type=Path, help="another checkout to compare with")
    options = parser.parse_args()
    servers = options.servers.split(",")
    if options.against:
        servers = [AGAINST, "polypaint"]
    for name in [n for n in servers if not load.available(n)]:
        print(f"left out: {name}, {load.needs(name)}")
        servers.remove(name)
    samples: defaultdict[tuple[str, str], list[load.Sample]] = defaultdict(list)
    for number in range(options.rounds):
        # Who comes second may find the machine as the first has left it: they change places.
        for name in servers if number % 2 else servers[::-1]:
            print(f"\rround {number + 1} of {options.rounds}: {name:16}", end="", flush=True)
            with serving(name, options.against) as (pid, addresses):
                for wanted in options.loads.split(","):
                    (kind,) = addresses.keys() & load.FRAMED or {"paint"}
                    try:
                        found = load.measure(kind, pid, addresses, load.LOADS[wanted])
                    except RuntimeError as error:
                        print(f"\n{name}, {wanted}: {error}")
                        continue
                    samples[name, wanted].append(found)
    print()
    ratios: dict[tuple[str, str], float] = {}
    for wanted in options.loads.split(","):
        print(f"\n{wanted}: {load.LOADS[wanted]}")
        print(f"{'':14}{'CPU µs':>9}{'× relay':>9}{'/s':>12}{'p50 µs':>9}{'p99 µs':>9}  lost")
        for name in servers:
            rows = samples[name, wanted]
            if not rows:
                continue
            base = samples.get(("relay", wanted), rows)
            pairs = zip(rows, base, strict=False)
            ratio = statistics.median(own.cpu_us / yardstick.cpu_us for own, yardstick in pairs)
            ratios[name, wanted] = ratio
            middle = {k: statistics.median(vars(r)[k] for r in rows) for k in vars(rows[0])}
            print(
                f"{name:14}{middle['cpu_us']:9.3f}{ratio:9.2f}{middle['deliveries_per_s']:12.0f}"
                f"{middle['p50_us']:9.0f}{middle['p99_us']:9.0f}  {sum(r.lost for r in rows)}"
            )
    if options.against:
        sys.exit(compared(samples, options.loads.split(",")))
    if options.chart:
        options.chart.write_text(chart(ratios))
    if options.json:
        document = {f"{a} {b}": [r.row() for r in rows] for (a, b), rows in samples.items()}
        options.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
