"""Chromium for tests, and the files of the page as a server gives them.

Where there is no browser the test is skipped, or fails in CI.
"""

import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import Any, NoReturn

import pytest

from .sources import ROOT

FOLDERS = (ROOT / "polypaint/web/static", ROOT / "tests/js")


def missing(what: str) -> NoReturn:
    """End the test: something is not installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def chromium() -> str:
    """Where Chromium is."""
    return which("chromium") or missing("needs Chromium: apt install chromium")


@asynccontextmanager
async def browsing(expected: str = "no such text", **options: Any) -> AsyncIterator[Any]:
    """A context of a headless Chromium. What pages say on the console is an error.

    expected: what they may say begins with this.
    """
    program = chromium()
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        missing("needs Playwright: pip install playwright")
    said: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            context = await browser.new_context(**options)
            context.on("console", lambda message: said.append(message.text))
            context.on("weberror", lambda error: said.append(str(error.error)))
            yield context
        finally:
            await browser.close()
    assert not [text for text in said if not text.startswith(expected)]


class _Files(SimpleHTTPRequestHandler):
    """The shipped static files, and those of the tests."""

    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0].lstrip("/")
        found = (folder / name for folder in FOLDERS if (folder / name).is_file())
        return str(next(found, Path("/nowhere")))

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def files() -> Iterator[str]:
    """An address at which the files are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(ROOT)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
