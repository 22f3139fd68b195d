"""A page with a drawing surface, and a TCP client in the same lobby: for tests."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
from PIL import Image

from polypaint import connect
from polypaint.paint.packets import PACKETS, decode

from .browser import browsing, files
from .conftest import serving
from .test_client import Proxy

VIEWPORT = {"width": 1000, "height": 700}
WAIT_S = 20


@dataclass
class Sheet:
    """A page with a surface, and a Python client in its lobby."""

    page: Any
    touch: Any
    drawing: Any
    """Of the Python client."""
    packets: list[bytes]
    """What the Python client has received."""
    proxy: Proxy
    """Between the page and the server."""

    async def ask(self, script: str) -> Any:
        """What a script in the page gives."""
        return await self.page.evaluate(script)

    async def heard(self, name: str, count: int = 1) -> list[tuple[Any, ...]]:
        """Wait for so many packets of a type; their values."""

        def found() -> list[bytes]:
            return [packet for packet in self.packets if PACKETS[packet[2]].name == name]

        async with asyncio.timeout(WAIT_S):
            while len(found()) < count:
                await asyncio.sleep(0.01)
        return [decode(packet) for packet in found()]

    async def settled(self) -> None:
        """Wait until both sides show the same."""
        await self.ask("drawing.settled().then(() => {})")
        await self.drawing.settled()

    async def painted(self) -> None:
        """Wait until the page has painted all that it knows."""
        await self.ask("drawing.settled().then(() => surface.painted())")

    async def drag(self, *places: tuple[float, float]) -> None:
        """With the left button of a mouse."""
        await self.page.mouse.move(*places[0])
        await self.page.mouse.down()
        for place in places[1:]:
            await self.page.mouse.move(*place)
        await self.page.mouse.up()

    async def pen(self, kind: str, x: float, y: float, force: float = 0.5) -> None:
        """An event of a pen: Pressed, Moved, Released."""
        event = {"type": f"mouse{kind}", "x": x, "y": y, "button": "left", "clickCount": 1}
        event |= {"buttons": int(kind != "Released"), "pointerType": "pen", "force": force}
        await self.touch.send("Input.dispatchMouseEvent", event)

    async def fingers(self, kind: str, *places: tuple[float, float]) -> None:
        """touchStart, touchMove, touchEnd; with all fingers that are down then."""
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        event = {"type": f"touch{kind}", "touchPoints": points}
        await self.touch.send("Input.dispatchTouchEvent", event)

    async def to_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a place of the paper is on the screen."""
        left, top, zoom = await self.ask(
            "(() => { const { left, top } = document.querySelector('.surface-paper')"
            ".getBoundingClientRect(); return [left, top, surface.zoom]; })()"
        )
        return left + x * zoom, top + y * zoom


@asynccontextmanager
async def sheet(
    folder, mode: str = "stroke", *, ratio: float = 1, session: bool = False, **more
) -> AsyncIterator[Sheet]:
    """A page that shows the surface in a new lobby. session: it has the extension."""
    options = {"viewport": VIEWPORT, "device_scale_factor": ratio, "has_touch": True} | more
    async with (
        serving(folder) as server,
        browsing(**options) as context,
        connect(server.addresses["paint"], "bob", "pw", create=True) as client,
    ):
        drawing = await client.create("sheet", mode=mode)
        packets: list[bytes] = []

        async def listen() -> None:
            hear = packets.append
            async for change in drawing.changes():
                hear(change.packet)

        listening = asyncio.create_task(listen())
        proxy = Proxy(server.addresses["web"].removeprefix("http://"))
        socket = f"ws://{await proxy.start()}/ws/paint"
        page = await context.new_page()
        wanted = {"address": socket, "name": "ada", "lobby": "sheet", "mode": mode}
        wanted |= {"session": "true"} if session else {}
        try:
            with files() as address:
                await page.goto(f"{address}/surface.html?{urlencode(wanted)}")
                await page.wait_for_selector("html[data-ready]")
                touch = await context.new_cdp_session(page)
                yield Sheet(page, touch, drawing, packets, proxy)
        finally:
            listening.cancel()
            await proxy.stop()


async def picture(page: Any) -> np.ndarray:
    """What is on the screen, R, G, B of every device pixel."""
    with Image.open(io.BytesIO(await page.screenshot())) as image:
        return np.asarray(image.convert("RGB")).astype(int)


async def shown_pixels(one: Sheet, left: int, top: int, width: int, height: int) -> np.ndarray:
    """The pixels of a part of the page's tiles."""
    flat = await one.page.evaluate(
        """([left, top, width, height]) => {
          const part = document.createElement("canvas");
          Object.assign(part, { width, height });
          const context = part.getContext("2d", { willReadFrequently: true });
          for (const tile of document.querySelectorAll(".surface-tiles > canvas")) {
            const { style } = tile;
            context.drawImage(tile, parseInt(style.left) - left, parseInt(style.top) - top);
          }
          const { data } = context.getImageData(0, 0, width, height);
          return btoa(data.reduce((text, byte) => text + String.fromCharCode(byte), ""));
        }""",
        [left, top, width, height],
    )
    return np.frombuffer(base64.b64decode(flat), "<u4").reshape(height, width)
