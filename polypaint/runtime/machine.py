"""What the machine gives this process: memory, as a container's limit or the hardware has it.

Counterpart: `runtime/server.py`, which makes limits of it where the settings say nothing.
"""

import os
from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")
LIMITS: Final = ("memory.max", "memory/memory.limit_in_bytes")
"""Of this process's control group: version 2, version 1."""
PART: Final = 0.5
"""Of the machine's memory: what is left goes to connections, the store and the system."""
UNKNOWN_BYTES: Final = 1 << 30


def memory_bytes(cgroup: Path = CGROUP) -> int:
    """Bytes of memory that there are; a container's limit counts if it is less."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        found = UNKNOWN_BYTES
    for name in LIMITS:
        try:
            text = (cgroup / name).read_text().strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) > 0:  # `max`: there is none
            found = min(found, int(text))
    return found


def memory_ceiling(wanted: int | None) -> int:
    """What large things may take together: what was asked for, or a part of what there is."""
    return wanted if wanted is not None else int(PART * memory_bytes())
