"""Node for tests: the program, and files of records that Python writes and JavaScript reads."""

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "js"
WEBSOCKET = 22
"""From this version of Node on it has a WebSocket without being asked."""


def node(*arguments: object, **more: Any) -> str:
    """What a script says. It is skipped where there is no Node, but for CI; it must succeed."""
    program = shutil.which("node")
    if program is None:
        missing = "needs Node 18 or newer: apt install nodejs npm, or https://nodejs.org"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=110, **more
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-6000:]}"
    return done.stdout


def websocket_flags() -> list[str]:
    """What makes Node offer a WebSocket."""
    major = int(node("--version").lstrip("v").partition(".")[0])
    return [] if major >= WEBSOCKET else ["--experimental-websocket", "--no-warnings"]


class Records:
    """A file for `tests/js/read.js`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")

    def add(self, tag: str, data: bytes = b"") -> None:
        """One record."""
        self._file.write(struct.pack("<cI", tag.encode(), len(data)) + data)

    def add_json(self, tag: str, value: Any) -> None:
        """One record that is a JSON text."""
        self.add(tag, json.dumps(value, ensure_ascii=False).encode())

    def close(self) -> Path:
        """No more records; where they are."""
        self._file.close()
        return self.path
