"""Logs: how lines look, and a writer that never delays or ends what the server does.

Lines wait in a bounded queue for a thread that writes them to stderr. When stderr takes nothing
(a full device, a reader that is gone or slow, a closed descriptor), lines are dropped and counted,
and how many is said in the first line that can be written again. Logging never raises.

What peers send may stand in a line: control characters, and others that move or hide text in a
terminal, are escaped.

Counterparts: `__main__.py` and `server.serve` set this up; structlog renders.
"""

import contextlib
import logging
import os
import sys
import threading
import time
import unicodedata
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

WAITING_BYTES_MAX: Final = 4 << 20
"""Of lines that wait to be written; later ones are dropped."""
CLOSE_S: Final = 1.0
"""How long the end of the process waits for the last lines to be written."""
STDERR: Final = 2
RETRY_S: Final = 0.5
HIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode categories that are escaped: control, format (bidi, zero width), surrogates, breaks."""


def visible(text: str) -> str:
    """The text with characters that move or hide others written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode("ascii") if unicodedata.category(c) in HIDDEN else c
        for c in text
    )


def _all_visible(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A processor of structlog's: no value of an event can control a terminal."""
    for key, value in event.items():
        if key == "exception" and isinstance(value, str):
            event[key] = "\n".join(f"    {visible(line)}" for line in value.splitlines())
        elif isinstance(value, str):
            event[key] = visible(value)
    return event


class LineWriter:
    """Writes lines to a file descriptor in a thread. `write` never blocks and never raises.

    dropped: lines that were not written, in all.
    """

    def __init__(self, fd: int = STDERR, bytes_max: int = WAITING_BYTES_MAX) -> None:
        self.dropped = 0
        self._fd = fd
        self._lines: list[bytes] = []
        self._bytes = 0
        self._bytes_max = bytes_max
        self._untold = 0
        self._some = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def write(self, line: str) -> None:
        """Have this line written, if there is room for it in the queue."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._some:
            if self._bytes + len(data) > self._bytes_max or self._closing:
                self._drop(1)
                return
            self._lines.append(data)
            self._bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            self._some.notify()

    msg = write
    debug = info = warning = warn = error = critical = exception = log = fatal = write

    def _drop(self, lines: int) -> None:
        self.dropped += lines
        self._untold += lines

    def _run(self) -> None:
        while True:
            with self._some:
                while not self._lines and not self._closing:
                    self._some.wait()
                if not self._lines:
                    return
                untold, self._untold = self._untold, 0
                batch, self._lines, self._bytes = self._lines, [], 0
            if untold:
                batch.insert(0, f"{untold} lines of the log could not be written\n".encode())
            written = self._written(b"".join(batch))
            if not written:
                with self._some:
                    self._drop(len(batch) - bool(untold))
                    self._untold += untold
                    if self._closing:
                        return
                time.sleep(RETRY_S)  # of this thread alone; lines wait meanwhile

    def _written(self, data: bytes) -> bool:
        """True when all of it could be written."""
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Write what waits, for so long as `CLOSE_S`; what comes later is dropped."""
        with self._some:
            self._closing = True
            self._some.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_S)


class _Forwarded(logging.Handler):
    """What libraries log through `logging` (uvicorn, asyncio) as events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        with contextlib.suppress(Exception):
            log = structlog.get_logger()
            level = max(record.levelno, logging.DEBUG)
            log.log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def keep_standard_descriptors() -> bool:
    """Open the null device in place of standard streams that are closed; False if stderr was.

    Otherwise the next file that is opened, a database for example, would have the descriptor of
    stderr, and whatever any library writes to stderr would be written into it.
    """
    open_already = True
    for fd in range(STDERR + 1):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor: this one
            open_already = open_already and fd != STDERR
            if null != fd:  # somebody else was faster
                os.close(null)
    return open_already


def discard_stderr() -> None:
    """Throw away what is still buffered for stderr, and all that is written there from now on.

    Python flushes it once more at the end, and would end with a status of its own if that failed.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, STDERR)
    os.close(null)


def set_up(log_format: str, log_level: str) -> LineWriter:
    """Have structlog and `logging` write to stderr. The writer is to be closed at the end."""
    keep_standard_descriptors()
    writer = LineWriter()
    level = getattr(logging, log_level.upper())
    colors = log_format == "console" and sys.stderr is not None and os.isatty(STDERR)
    final: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _all_visible,
            final,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: writer,
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[_Forwarded()], force=True)
    logging.raiseExceptions = False
    return writer
