"""Node for tests: the program, and files of records that Python writes and JavaScript reads."""

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

FOLDER = Path(__file__).parent / "js"
CLIENT = FOLDER.parent.parent / "polypaint/web/static/client"
ASKED, UNASKED = (20, 10), (22,)
"""From these versions of Node on it has a WebSocket: when it is asked for, and without that."""


def program() -> str:
    """Where Node is. Where there is none, the test is skipped, or fails in CI."""
    return shutil.which("node") or missing("needs Node: apt install nodejs, or https://nodejs.org")


def missing(what: str) -> NoReturn:
    """End the test: something is not installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def node(*arguments: object) -> str:
    """What a script says; it must succeed."""
    argv = [program(), *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-6000:]}"
    return done.stdout


def websocket_flags() -> list[str]:
    """What makes Node offer a WebSocket."""
    version = tuple(map(int, node("--version").strip().lstrip("v").split(".")))
    if version < ASKED:
        missing("needs Node 20.10 or newer, for its WebSocket: https://nodejs.org")
    return [] if version >= UNASKED else ["--experimental-websocket", "--no-warnings"]


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
