"""A process that renders pictures, one job after the other, for `renderer.py`, its counterpart.

A job may take long, or more memory than there should be; then this process is ended, by its own
limits or from outside, and nothing else is. A job and its result, as bytes on stdin and stdout:

    u32 size of the head · head (JSON) · u32 size of each blob · the blobs
    u8 Outcome · u64 size · data, or a text that says what is wrong

Before the first job it says READY, one byte: from then on time counts.
"""

import contextlib
import enum
import os
import resource
import signal
import struct
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from polypaint.errors import PolypaintError
from polypaint.paint import render as picture
from polypaint.paint.packets import Mode
from polypaint.paint.render import TooLarge

COUNT: Final = struct.Struct("<I")
RESULT: Final = struct.Struct("<BQ")
READY: Final = b"\xff"
NICENESS: Final = 10
SPARE_BYTES: Final = 1 << 30
"""Of address space that a job may use beyond what the process has at its start."""
KEPT_BYTES_MAX: Final = 256 << 20
"""A process that has grown beyond this ends after its job, and gives it back."""


class Outcome(enum.IntEnum):
    """What came of a job."""

    DONE = 0
    REFUSED = 1
    TOO_LARGE = 2
    FAILED = 3


def main() -> None:
    """Work until stdin ends."""
    limit()
    jobs, results = sys.stdin.buffer, sys.stdout.buffer
    results.write(READY)
    results.flush()
    while (size := jobs.read(COUNT.size)) and len(size) == COUNT.size:
        outcome, data = done(jobs, COUNT.unpack(size)[0])
        signal.setitimer(signal.ITIMER_PROF, 0)
        results.write(RESULT.pack(outcome, len(data)) + data)
        results.flush()
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > KEPT_BYTES_MAX:
            return


def limit() -> None:
    """Give way to the server, and have an end to memory."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    for number in (signal.SIGINT, signal.SIGTERM):  # the server decides, and closes stdin
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        size = pages * os.sysconf("SC_PAGESIZE") + SPARE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def done(jobs: BinaryIO, size: int) -> tuple[Outcome, bytes]:
    """Do one job: what came of it."""
    try:
        head = orjson.loads(jobs.read(size))
        sizes = struct.unpack(f"<{head['blobs']}I", jobs.read(COUNT.size * head["blobs"]))
        blobs = [jobs.read(size) for size in sizes]
        signal.setitimer(signal.ITIMER_PROF, head["seconds"])  # SIGPROF ends the process
        return Outcome.DONE, work(head, blobs)
    except (MemoryError, TooLarge):
        return Outcome.TOO_LARGE, b""
    except PolypaintError as error:
        return Outcome.REFUSED, str(error).encode()
    except Exception:
        return Outcome.FAILED, traceback.format_exc().encode(errors="replace")


def work(head: dict[str, Any], blobs: list[bytes]) -> bytes:
    """The result of a job. Raises ProtocolError, StoreError, TooLarge."""
    canvas = picture.canvas_from(Mode(head["mode"]), (head["meta"], blobs))
    return picture.render(canvas, head["kind"], head["bytes_max"])


if __name__ == "__main__":
    main()
