"""Real servers as processes, on free ports, with folders of their own: ours, and a database.

Counterparts: `conftest.py` makes fixtures of them; `benchmarks/stores.py` starts them too.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

START_S = 30


class Process:
    """`polypaint-fast serve` as an operator runs it."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.flags = flags
        self.log = folder / "log"
        self.child: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, str | int] = {}

    def start(self, *, wait: bool = True) -> "Process":
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "polypaint", "--data", str(self.data)]
        argv += ["--paint-port", "0", "--matches-port", "0", "--web-port", "0"]
        argv += ["--tanks-port", "0", "--bcrypt-rounds", "4"]
        argv += ["--ready-file", str(ready), *self.flags]
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + START_S
        while wait and not ready.exists():
            assert self.child.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)
        if wait:
            self.ready = json.loads(ready.read_text())
        return self

    @property
    def paint(self) -> str:
        return str(self.ready["paint"])

    @property
    def matches(self) -> str:
        return str(self.ready["matches"])

    @property
    def tanks(self) -> str:
        return str(self.ready["tanks"])

    @property
    def web(self) -> str:
        return str(self.ready["web"])

    @property
    def websocket(self) -> str:
        return self.web.replace("http", "ws", 1) + "/ws/paint"

    def kill(self) -> None:
        """kill -9."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit status."""
        assert self.child is not None
        self.child.send_signal(number)
        return self.child.wait(15)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """HTTP GET: status and body."""
        return http(self.web + path, None, **headers)


def lasting_port() -> int:
    """A free port that a server can come back to.

    Not of those that the kernel gives to clients: somebody who dials such a port again and again
    while nobody listens may at last be connected to themselves, and hold it.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def http(
    url: str, data: bytes | None = None, method: str = "GET", **headers: str
) -> tuple[int, bytes]:
    """(status, body) of one request."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    request = urllib.request.Request(url, data, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def mongo_program() -> list[str] | None:
    """How to start a server that speaks MongoDB's protocol; None when there is none."""
    if (mongod := shutil.which("mongod")) is not None:
        return [mongod, "--bind_ip", "127.0.0.1", "--dbpath", "{data}", "--port", "{port}"]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    ferretdb = cache / "polypaint-fast/ferretdb-1.24.0"
    if not ferretdb.exists():
        return None
    return [
        str(ferretdb), "--handler=sqlite", "--sqlite-url=file:{data}/", "--state-dir={data}",
        "--listen-addr=127.0.0.1:{port}", "--debug-addr=-", "--telemetry=disable",
        "--log-level=error",
    ]  # fmt: skip


class Mongo:
    """A real server that speaks MongoDB's protocol, which can be stopped and started again."""

    def __init__(self, program: list[str], data: Path) -> None:
        self.port = lasting_port()
        self._argv = [part.format(data=data, port=self.port) for part in program]
        self._child: subprocess.Popen[bytes] | None = None

    def uri(self, database: str) -> str:
        return f"mongodb://127.0.0.1:{self.port}/{database}"

    def start(self) -> "Mongo":
        self._child = subprocess.Popen(
            self._argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return self
            time.sleep(0.02)
        raise AssertionError("the database does not start")

    def hang(self) -> None:
        """From now on it takes everything and answers nothing, until `wake`."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
