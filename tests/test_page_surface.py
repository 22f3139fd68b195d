"""The drawing surface in Chromium, with a real server and a TCP client in the same lobby."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import cos, sin
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from polypaint import connect
from polypaint.paint.packets import PACKETS, decode

from .browser import browsing, files
from .conftest import serving

SMOOTHED = 60
"""How much a smoothed edge may differ when it is drawn on another canvas: nobody sees it."""
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
async def sheet(folder, mode: str = "stroke", *, ratio: float = 1, **more) -> AsyncIterator[Sheet]:
    """A page that shows the surface in a new lobby."""
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
        socket = server.addresses["web"].replace("http", "ws") + "/ws/paint"
        page = await context.new_page()
        wanted = {"address": socket, "name": "ada", "lobby": "sheet", "mode": mode}
        with files() as address:
            await page.goto(f"{address}/surface.html?{urlencode(wanted)}")
            await page.wait_for_selector("html[data-ready]")
            touch = await context.new_cdp_session(page)
            yield Sheet(page, touch, drawing, packets)
        listening.cancel()


WAVE = [(300 + 4 * i, 350 + 90 * sin(i / 7)) for i in range(60)]
LOOP = [(500 + 150 * cos(i / 9), 350 + 120 * sin(i / 6)) for i in range(60)]


async def test_what_a_mouse_draws_arrives_with_every_sample(tmp_path):
    async with sheet(tmp_path) as one:
        await one.ask("surface.colour = '#0072b2'; surface.width = 6")
        await one.drag(*WAVE)
        ((_, rgba, height, width, points),) = await one.heard("ADD_STROKE")
        assert (tuple(rgba), height, width) == ((0, 0x72, 0xB2, 255), 6, 6)
        assert len(points) == len(WAVE)
        shown = [await one.to_screen(x, y) for x, y in points[::20].tolist()]
        assert np.abs(np.array(shown) - WAVE[::20]).max() <= 1, "a mouse is on whole pixels"
        assert await one.ask("refused") == []


async def picture(page: Any) -> np.ndarray:
    """What is on the screen, R, G, B of every device pixel."""
    with Image.open(io.BytesIO(await page.screenshot())) as image:
        return np.asarray(image.convert("RGB")).astype(int)


async def test_own_ink_is_there_in_the_frame_of_the_event_and_never_away(tmp_path):
    async with sheet(tmp_path, ratio=2) as one:
        await one.painted()
        white = await picture(one.page)
        await one.page.mouse.move(*LOOP[0])
        await one.page.mouse.down()
        for place in LOOP:
            await one.page.mouse.move(*place)
        live = await picture(one.page)
        assert np.abs(live - white).max() > 200
        # Frame by frame until the drawing shows it: every picture is the same.
        await one.page.mouse.up()
        for _ in range(4):
            assert np.abs(await picture(one.page) - live).max() <= SMOOTHED
        await one.painted()
        assert await one.ask("drawing.canvas.strokes.length") == 1
        assert np.abs(await picture(one.page) - live).max() <= SMOOTHED


async def test_a_pens_pressure_makes_pieces_that_meet(tmp_path):
    async with sheet(tmp_path) as one:
        await one.ask("surface.width = 12")
        await one.pen("Pressed", *WAVE[0], 0.2)
        for i, place in enumerate(WAVE):
            await one.pen("Moved", *place, 0.2 + 0.7 * i / len(WAVE))
        await one.pen("Released", *WAVE[-1])
        strokes = await one.heard("ADD_STROKE", 4)
        widths = [stroke[3] for stroke in strokes]
        assert widths == sorted(widths)
        assert widths[-1] > 2 * widths[0]
        for before, after in zip(strokes, strokes[1:], strict=False):
            assert after[3] / before[3] > 1.15
            assert before[4][-1].tolist() == after[4][0].tolist()
        assert await one.ask("surface.penFirst") is True


async def test_after_a_pen_fingers_pan_and_zoom(tmp_path):
    async with sheet(tmp_path) as one:
        zoom = await one.ask("surface.zoom")
        await one.fingers("Start", (400, 300))
        await one.fingers("Move", (440, 320))
        await one.fingers("Start", (440, 320), (600, 300))
        await one.fingers("Move", (400, 320), (700, 300))
        await one.fingers("End")
        assert await one.ask("surface.zoom") > 1.5 * zoom, "a pinch that began as one finger"
        await one.fingers("Start", (300, 300))
        await one.fingers("Move", (400, 350))
        await one.fingers("End")
        assert len(await one.heard("ADD_STROKE")) == 1, "one finger alone draws, until a pen comes"
        await one.pen("Pressed", 300, 300)
        await one.pen("Moved", 350, 300)
        await one.pen("Released", 350, 300)
        await one.heard("ADD_STROKE", 2)
        before = await one.to_screen(0, 0)
        await one.page.wait_for_function("performance.now() > 0")
        await one.ask("new Promise((done) => setTimeout(done, 450))")  # no longer a palm
        await one.fingers("Start", (300, 300))
        await one.fingers("Move", (340, 325))
        await one.fingers("End")
        after = await one.to_screen(0, 0)
        assert np.round(np.subtract(after, before)).tolist() == [40, 25]
        await one.settled()
        assert await one.ask("drawing.canvas.strokes.length") == 2


async def shown_pixels(one: Sheet, width: int, height: int) -> np.ndarray:
    """The pixels of the page's tiles."""
    flat = await one.ask(
        """(() => {
          const { width, height } = surface.paper;
          const whole = document.createElement("canvas");
          Object.assign(whole, { width, height });
          const context = whole.getContext("2d", { willReadFrequently: true });
          for (const tile of document.querySelectorAll(".surface-tiles > canvas")) {
            context.drawImage(tile, parseInt(tile.style.left), parseInt(tile.style.top));
          }
          const { data } = context.getImageData(0, 0, width, height);
          return btoa(data.reduce((text, byte) => text + String.fromCharCode(byte), ""));
        })()"""
    )
    return np.frombuffer(base64.b64decode(flat), "<u4").reshape(height, width)


@pytest.mark.parametrize("ratio", [1, 1.5])
async def test_pixels_are_equal_in_the_page_and_in_python(tmp_path, ratio):
    async with sheet(tmp_path, "pixel", ratio=ratio) as one:
        red = b"\xff\x00\x00\xff"
        await one.ask("surface.colour = '#009e73'; surface.width = 9")
        await one.drag(*WAVE)
        one.drawing.send_points(5, red, [(x, 300) for x in range(0, 1280, 3)])
        await one.ask("surface.tool = 'eraser'; surface.width = 3")
        await one.drag(*LOOP)
        await one.heard("SEND_POINTS", 2)
        await one.settled()
        await one.painted()
        pixels = one.drawing.canvas.pixels
        assert len(np.unique(pixels)) == 3
        assert (await shown_pixels(one, *pixels.shape[::-1]) == pixels).all()
