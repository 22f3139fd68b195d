"""Every benchmark, one after another, and at the end what was left out, and why.

    python benchmarks/run.py                 what `make bench` runs
    python benchmarks/run.py --loads ping    arguments go to end_to_end.py

One that fails does not stop the others; the exit status is 1 then. A benchmark that cannot measure
something here says so in a line that begins with `left out: `, and goes on.
"""

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "build"
LEFT_OUT = "left out: "
END_TO_END = ("end_to_end.py", "--json", f"{RESULTS}/bench.json", "--chart",
              f"{RESULTS}/bench.svg")  # fmt: skip
PROGRAMS = (
    ("flood.py", "--short"),
    ("abuse.py", "--seconds", "20"),
    ("stall.py",),
    ("drawings.py",),
    ("journal.py",),
    ("matches.py",),
    ("tanks.py",),
    ("stores.py",),
    ("slow.py",),
    ("live_ink.py",),
    ("many.py",),
)
PYTEST = ("-m", "pytest", str(HERE), "-q", "--no-cov", "--benchmark-columns=median,ops")


def run(name: str, *command: str) -> tuple[int, list[str]]:
    """Run one, showing what it says: (exit status, what it left out)."""
    began, missing = time.monotonic(), []
    print(f"\n──── {name}", flush=True)
    child = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        print(line, end="", flush=True)
        if line.startswith(LEFT_OUT):
            missing.append(f"{name}: {line.removeprefix(LEFT_OUT).strip()}")
    status = child.wait()
    print(f"({time.monotonic() - began:.0f} s{f', exit status {status}' if status else ''})")
    return status, missing


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    failed, missing = list[str](), list[str]()
    wanted = [(program, arguments) for program, *arguments in PROGRAMS]
    wanted.insert(0, (END_TO_END[0], [*END_TO_END[1:], *sys.argv[1:]]))
    commands = [(program, [str(HERE / program), *arguments]) for program, arguments in wanted]
    for name, command in [*commands, ("pytest benchmarks", list(PYTEST))]:
        status, without = run(name, *command)
        missing += without
        if status:
            failed.append(f"{name}: exit status {status}")
    print("\nEverything was measured." if not missing else "\nLeft out:")
    for line in missing:
        print(f"  {line}")
    if failed:
        print("Failed, or missed a bar that it has:")
        sys.exit("\n".join(f"  {line}" for line in failed))


if __name__ == "__main__":
    main()
