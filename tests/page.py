"""People at the page: a real server, Chromium, and what they do there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from playwright.async_api import async_playwright

from polypaint import connect
from polypaint.runtime.server import Server
from polypaint.settings import load

from .browser import chromium

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
WAIT_MS = 15_000


@dataclass
class Visitor:
    """Somebody with a browser of their own."""

    page: Any
    address: str
    said: list[str] = field(default_factory=list)
    """On the console: it has to stay empty."""
    refused: bool = False
    """Something is refused on purpose, which the browser reports by itself."""

    async def go(self, path: str) -> None:
        """Open a page of the site."""
        await self.page.goto(self.address + path)

    def button(self, name: str) -> Any:
        """By its exact name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def field(self, name: str) -> Any:
        """What is filled in, by its exact name."""
        return self.page.get_by_label(name, exact=True)

    @property
    def dialog(self) -> Any:
        """The dialog that is open."""
        return self.page.get_by_role("dialog")

    @property
    def drawing(self) -> Any:
        """Where one draws."""
        return self.page.get_by_role("application", name="Drawing")

    @property
    def status(self) -> Any:
        """The one line."""
        return self.page.get_by_role("status")

    @property
    def name(self) -> str:
        """Of the drawing that the page shows."""
        return unquote(self.page.url.partition("/d/")[2].partition("#")[0])

    def complaints(self) -> list[str]:
        """What the console should not have said."""
        expected = "Failed to load resource" if self.refused else None
        return [line for line in self.said if not (expected and line.startswith(expected))]

    async def confirm(self, name: str) -> None:
        """Press a button of the dialog."""
        await self.dialog.get_by_role("button", name=name, exact=True).click()

    async def choose(self, name: str) -> None:
        """Something of the menu `More`."""
        await self.button("More").click()
        await self.page.get_by_role("menuitem", name=name, exact=True).click()

    async def draw_now(self) -> str:
        """From the first page to a new drawing; its name."""
        await self.go("/")
        await self.button("Draw now").click()
        await self.drawing.wait_for()
        return self.name

    async def draw(self, *places: tuple[float, float]) -> None:
        """With the mouse."""
        await self.page.mouse.move(*places[0])
        await self.page.mouse.down()
        for place in places[1:]:
            await self.page.mouse.move(*place)
        await self.page.mouse.up()

    async def sign_up(self, name: str, password: str = "a good secret") -> None:
        """On the first page."""
        await self.go("/")
        await self.button("Sign up").click()
        await self.field("Name").fill(name)
        await self.field("Password").fill(password)
        await self.confirm("Sign up")
        await self.button("Sign out").wait_for()


@dataclass
class Site:
    """A server, and a browser to visit it with."""

    folder: Path
    browser: Any
    server: Any = None
    ports: dict[str, int] = field(default_factory=dict)
    visitors: list[Visitor] = field(default_factory=list)

    async def start(self) -> None:
        """Serve; after `stop`, at the addresses of before."""
        free = dict.fromkeys(("paint_port", "matches_port", "tanks_port", "web_port"), 0)
        self.server = Server(load(free | self.ports | {"bcrypt_rounds": 4, "data": self.folder}))
        await self.server.start()
        addresses = self.server.addresses.items()
        self.ports = {f"{name}_port": int(at.rpartition(":")[2]) for name, at in addresses}

    async def stop(self) -> None:
        """The server is away."""
        await self.server.stop()

    @property
    def address(self) -> str:
        """Of its first page, without the slash."""
        return self.server.addresses["web"]

    async def visitor(self, **options: Any) -> Visitor:
        """Somebody new."""
        context = await self.browser.new_context(**({"viewport": DESKTOP} | options))
        context.set_default_timeout(WAIT_MS)
        visitor = Visitor(await context.new_page(), self.address)
        context.on("console", lambda message: visitor.said.append(message.text))
        context.on("weberror", lambda error: visitor.said.append(str(error.error)))
        self.visitors.append(visitor)
        return visitor

    @asynccontextmanager
    async def client(self, name: str = "bob") -> AsyncIterator[Any]:
        """Somebody with the Python client."""
        paint = self.server.addresses["paint"]
        async with connect(paint, name, "pw", create=True) as client:
            yield client


@asynccontextmanager
async def visiting(folder: Path) -> AsyncIterator[Site]:
    """A site to visit. At the end nobody's console may have said anything."""
    async with async_playwright() as playwright:
        program = {"executable_path": chromium(), "args": ["--no-sandbox"]}
        browser = await playwright.chromium.launch(**program)
        site = Site(folder, browser)
        await site.start()
        try:
            yield site
        finally:
            await browser.close()
            await site.stop()
    assert not [line for visitor in site.visitors for line in visitor.complaints()]
