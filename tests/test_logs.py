"""A log that cannot be written never changes what the server does; nothing is printed raw."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest
import structlog

from polypaint import connect
from polypaint.runtime import logs

from .processes import START_S, Process


def start(process, stderr):
    """`Process.start`, with another stderr."""
    ready = process.folder / "ready"
    argv = [sys.executable, "-m", "polypaint", "--data", str(process.data)]
    argv += ["--paint-port", "0", "--matches-port", "0", "--web-port", "0", "--tanks-port", "0"]
    argv += ["--bcrypt-rounds", "4", "--ready-file", str(ready), *process.flags]
    before = None if stderr is not None else lambda: os.close(2)
    process.child = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=stderr, cwd=process.folder, preexec_fn=before
    )
    deadline = time.monotonic() + START_S
    while not ready.exists():
        assert process.child.poll() is None, process.child.returncode
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.ready = json.loads(ready.read_text())
    return process


async def draws(process):
    """Somebody can log in and draw, who sends what is rejected (and logged), too."""
    async with connect(process.paint, "ada", "pw", create=True, reconnect=False) as client:
        drawing = await client.create("d")
        for _ in range(30):
            with contextlib.suppress(Exception):
                await drawing.unselected_stroke([7])
        await drawing.add_stroke(0, b"\xff\x00\x00\xff", 3, 3, [(1, 1)])
        assert len((await drawing.settled()).strokes) == 1


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("kind", ["full", "gone", "closed", "slow"])
async def test_a_log_that_cannot_be_written(tmp_path, kind, log_format):
    process = Process(tmp_path, "--log-format", log_format, "--log-level", "debug")
    with contextlib.ExitStack() as stack:
        if kind == "full":
            stderr = stack.enter_context(open("/dev/full", "wb"))
        elif kind == "closed":
            stderr = None
        else:
            reader, writer = os.pipe()
            stderr = stack.enter_context(os.fdopen(writer, "wb"))
            if kind == "gone":
                os.close(reader)
            else:
                stack.callback(os.close, reader)
                os.set_blocking(writer, False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        os.write(writer, bytes(4096))
                os.set_blocking(writer, True)
        start(process, stderr)
        await draws(process)
        assert process.get("/readyz")[0] == 200
        assert process.stop() == 0


async def test_a_closed_stderr_is_no_file_of_ours(tmp_path):
    process = start(Process(tmp_path), None)
    assert os.readlink(f"/proc/{process.child.pid}/fd/2") == "/dev/null"
    assert process.stop() == 0


def test_a_writer_never_blocks_and_says_what_it_dropped():
    reader, fd = os.pipe()
    writer = logs.LineWriter(fd, bytes_max=1 << 20)
    line = "x" * 1000
    for _ in range(3000):
        writer.write(line)  # a pipe holds 64 KiB, the queue 1 MiB
    dropped = writer.dropped
    assert 0 < dropped < 3000
    read = []

    def drain():
        while data := os.read(reader, 1 << 16):
            read.append(data)

    thread = threading.Thread(target=drain)
    thread.start()
    while writer._lines:
        time.sleep(0.001)
    writer.write("the end")
    writer.close()
    os.close(fd)
    thread.join()
    os.close(reader)
    lines = b"".join(read).decode().splitlines()
    told = [int(x.split()[0]) for x in lines if x.endswith("of the log could not be written")]
    assert sum(told) == dropped
    assert lines[-1] == "the end"
    assert lines.count(line) == 3000 - dropped


def test_a_writer_counts_what_a_full_device_does_not_take():
    with open("/dev/full", "wb", buffering=0) as full:
        writer = logs.LineWriter(full.fileno())
        writer.write("lost")
        writer.close()
    assert writer.dropped == 1
    writer.write("later")
    assert writer.dropped == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本", "plain é 日本"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines", "two\\nlines"),
        ("\u202eback", "\\u202eback"),
        ("\u200b", "\\u200b"),
        ("\x9b31m", "\\x9b31m"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_moves_or_hides_is_escaped(text, shown):
    assert logs.visible(text) == shown


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_line_can_control_a_terminal(monkeypatch, log_format):
    reader, fd = os.pipe()
    monkeypatch.setattr(logs, "STDERR", fd)
    monkeypatch.setattr(logs.LineWriter.__init__, "__defaults__", (fd, 1 << 20))
    monkeypatch.setattr(logs, "keep_standard_descriptors", lambda: True)
    before = structlog.get_config()
    writer = logs.set_up(log_format, "info")
    try:
        evil = "\x1b]0;title\x07\n2026 [info] forged \u202e"
        try:
            raise ValueError(evil)
        except ValueError as error:
            structlog.get_logger().error("event", name=evil, listed=[evil], exc_info=error)
    finally:
        writer.close()
        structlog.configure(**before)
        os.close(fd)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode()
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert "Traceback" in text
    assert all(
        line.startswith((" ", "2026", "{")) or "[error" in line for line in text.splitlines()
    )
    forged = [line for line in text.splitlines() if line.startswith("2026 [info] forged")]
    assert not forged


def test_errors_are_not_wrapped(tmp_path):
    folder = tmp_path / ("a" * 100)
    done = subprocess.run(
        [sys.executable, "-m", "polypaint", "--config", str(folder)],
        capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "40"},
    )  # fmt: skip
    assert done.returncode == 2
    assert str(folder) in done.stderr
    assert done.stderr.count("\n") == 1


async def test_an_error_with_a_full_stderr_keeps_its_status(tmp_path):
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "polypaint", "--config", str(tmp_path / "none")],
            stdout=subprocess.DEVNULL, stderr=full, check=False, env=buffered,
        )  # fmt: skip
    assert done.returncode == 2
