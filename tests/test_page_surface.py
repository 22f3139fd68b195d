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
        socket = server.addresses["web"].replace("http", "ws") + "/ws/paint"
        page = await context.new_page()
        wanted = {"address": socket, "name": "ada", "lobby": "sheet", "mode": mode}
        wanted |= {"session": "true"} if session else {}
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


# ---------------------------------------------------------------- strokes
A, B, C = (
    [(100, 100), (300, 100)],
    [(100, 300), (300, 320)],
    [(600, 100), (700, 400)],
)  # lines on the paper


async def with_lines(one: Sheet) -> None:
    """Three lines: two of Bob's, one of Ada's."""
    black = b"\0\0\0\xff"
    one.drawing.add_stroke(0, black, 8, 8, A)
    one.drawing.add_stroke(0, black, 8, 8, B)
    await one.drawing.settled()
    await one.ask("surface.width = 8; surface.colour = '#d55e00'")
    await one.drag(*[await one.to_screen(*place) for place in C])
    await one.heard("ADD_STROKE")
    await one.settled()
    await one.painted()


async def test_a_tap_selects_a_line_and_dragging_moves_it(tmp_path):
    async with sheet(tmp_path) as one:
        await with_lines(one)
        await one.ask("surface.tool = 'select'")
        await one.page.mouse.click(*await one.to_screen(200, 100))
        await one.heard("SELECTED_STROKE")
        await one.settled()
        assert one.drawing.canvas.selected() == {"ada": [0]}
        assert await one.ask("surface.selection") == {"kind": "strokes", "count": 1, "mine": True}
        middle, aside = [await one.to_screen(*place) for place in ((200, 100), (240, 160))]
        await one.drag(middle, aside)
        ((index, _, height, width, points),) = await one.heard("REPLACE_STROKE")
        assert (index, height, width) == (0, 8, 8)
        assert np.abs(points - np.add(A, (40, 60))).max() < 1.5
        await one.settled()
        assert one.drawing.canvas.selected() == {"ada": [0]}, "what is moved stays selected"
        await one.page.mouse.click(*await one.to_screen(1000, 600))
        await one.heard("UNSELECTED_STROKE")
        assert await one.ask("surface.selection") is None


async def test_a_rectangle_selects_and_handles_scale_and_turn(tmp_path):
    async with sheet(tmp_path) as one:
        await with_lines(one)
        await one.ask("surface.tool = 'select'")
        await one.drag(*[await one.to_screen(*at) for at in ((60, 60), (350, 360))])
        await one.heard("SELECTED_STROKE")
        await one.settled()
        assert one.drawing.canvas.selected() == {"ada": [0, 1]}
        # The frame is 96…304 × 96…324: its corner at the lower right to twice the size.
        corner, further = [await one.to_screen(*at) for at in ((304, 324), (512, 552))]
        await one.drag(corner, further)
        (first, second) = await one.heard("REPLACE_STROKE", 2)
        assert (first[3], second[3]) == (16, 16)
        assert np.abs(first[4] - np.array(A) * 2 + 96).max() < 4
        await one.settled()
        await one.ask("surface.rotateSelection(90)")
        turned = (await one.heard("REPLACE_STROKE", 4))[2][4]
        assert abs(turned[0][0] - turned[1][0]) < 1, "it lay, and stands"
        await one.ask("surface.scaleSelection(0.5)")
        await one.heard("REPLACE_STROKE", 6)
        await one.ask("surface.recolourSelection('#009e73')")
        recoloured = (await one.heard("REPLACE_STROKE", 8))[-2:]
        assert [bytes(stroke[1]) for stroke in recoloured] == [b"\0\x9e\x73\xff"] * 2
        await one.ask("surface.nudge(3, 0); surface.nudge(3, 0); surface.nudge(0, -2)")
        nudged = (await one.heard("REPLACE_STROKE", 10))[-2:]
        moved = nudged[0][4] - recoloured[0][4]
        assert np.abs(moved - (6, -2)).max() < 0.01, "a burst is one change"
        await one.settled()
        await one.ask("surface.deleteSelection()")
        ((indices,),) = await one.heard("REMOVE_STROKE")
        assert list(indices) == [1, 0]
        await one.settled()
        assert await one.ask("[surface.selection, drawing.canvas.strokes.length]") == [None, 1]
        assert await one.ask("refused") == []


async def test_strokes_are_brought_to_the_front_and_to_the_back(tmp_path):
    async with sheet(tmp_path) as one:
        await with_lines(one)
        await one.ask("surface.selectNext()")
        await one.heard("SELECTED_STROKE")
        await one.ask("surface.bringToFront()")
        await one.heard("REMOVE_STROKE")
        await one.heard("ADD_STROKE", 2)
        await one.heard("SELECTED_STROKE", 2)
        await one.settled()
        assert one.drawing.canvas.selected() == {"ada": [2]}
        await one.ask("surface.sendToBack()")
        await one.heard("INSERT_STROKE")
        await one.heard("SELECTED_STROKE", 3)
        await one.settled()
        assert one.drawing.canvas.selected() == {"ada": [0]}
        drawn = [stroke["points"] for stroke in await one.ask("surface.strokes()")]
        assert drawn == [2, 2, 2]
        assert np.abs(decode(next(iter(one.drawing.canvas.strokes)))[4] - A).max() < 1


async def test_what_others_hold_is_shown_with_their_name_and_left_alone(tmp_path):
    async with sheet(tmp_path) as one:
        await with_lines(one)
        one.drawing.selected_stroke([0])
        await one.settled()
        await one.painted()
        assert await one.ask("document.querySelector('.surface-overlay').textContent") == "bob"
        await one.ask("surface.tool = 'select'")
        await one.page.mouse.click(*await one.to_screen(200, 100))
        assert await one.ask("refused") == ["bob holds this."]
        await one.ask("surface.tool = 'eraser'")
        await one.drag(*[await one.to_screen(*at) for at in ((200, 60), (200, 400))])
        ((indices,),) = await one.heard("REMOVE_STROKE")
        assert list(indices) == [1], "the one that Bob does not hold"


async def test_the_eraser_takes_away_whole_lines_and_undo_brings_ones_own_back(tmp_path):
    async with sheet(tmp_path) as one:
        await with_lines(one)
        assert await one.ask("[surface.canUndo, surface.canRedo]") == [True, False]
        await one.ask("surface.tool = 'eraser'")
        await one.drag(*[await one.to_screen(*at) for at in ((560, 250), (760, 250))])
        await one.heard("REMOVE_STROKE")
        await one.settled()
        assert await one.ask("drawing.canvas.strokes.length") == 2
        await one.ask("surface.undo()")
        await one.heard("ADD_STROKE", 2)
        await one.settled()
        await one.ask("surface.undo()")
        await one.heard("REMOVE_STROKE", 2)
        await one.settled()
        assert await one.ask("[surface.canUndo, surface.canRedo]") == [False, True]
        assert await one.ask("drawing.canvas.strokes.map((one) => one.author)") == ["bob", "bob"]
        await one.ask("surface.redo()")
        await one.heard("ADD_STROKE", 3)


async def test_with_the_extension_it_is_the_server_that_undoes(tmp_path):
    async with sheet(tmp_path, session=True) as one:
        await one.drawing.add_stroke(0, b"rgba", 3, 3, [(10, 10), (90, 10)])
        assert await one.ask("[surface.canUndo, surface.canRedo]") == [False, False]
        await one.drag(*WAVE)
        await one.drag(*LOOP)
        await one.heard("ADD_STROKE", 2)
        await one.page.wait_for_function("surface.canUndo")
        await one.drawing.replace_stroke(2, b"rgba", 3, 3, [(1, 1)])
        await one.settled()
        await one.ask("surface.undo()")  # Bob has changed the last one since
        ((indices,),) = await one.heard("REMOVE_STROKE")
        assert list(indices) == [1]
        await one.page.wait_for_function("surface.canRedo && !surface.canUndo")
        await one.ask("surface.redo()")
        await one.heard("INSERT_STROKE")
        await one.settled()
        assert await one.ask("drawing.canvas.strokes.map((one) => one.author)") == [
            "bob", "ada", "bob",
        ]  # fmt: skip
        assert await one.ask("refused") == []


async def test_lines_are_stacked_and_unstacked(tmp_path):
    async with sheet(tmp_path) as one:
        await with_lines(one)
        await one.ask("surface.stack()")
        ((indices,),) = await one.heard("REMOVE_STROKE")
        assert list(indices) == [2]
        await one.ask("surface.stack()")  # nothing else is one's own
        await one.settled()
        await one.ask("surface.unstack()")
        again = await one.heard("ADD_STROKE", 2)
        assert again[0][4].tolist() == again[1][4].tolist()


async def test_only_with_the_keyboard(tmp_path):
    async with sheet(tmp_path) as one:
        await one.page.keyboard.press("Tab")
        assert await one.ask("document.activeElement.ariaLabel") == "Drawing"
        press = one.page.keyboard.press
        for key in ("ArrowRight", "ArrowUp", "Space", "ArrowRight", "Shift+ArrowDown", "Enter"):
            await press(key)
        ((*_, points),) = await one.heard("ADD_STROKE")
        zoom = await one.ask("surface.zoom")
        steps = np.diff(points, axis=0) * zoom
        assert np.round(steps).tolist() == [[8, 0], [0, 48]]
        await one.settled()
        await one.ask("surface.selectNext()")
        await one.heard("SELECTED_STROKE")
        await press("ArrowLeft")
        await press("Shift+ArrowLeft")
        ((*_, moved),) = await one.heard("REPLACE_STROKE")
        assert np.abs(moved - points + (11, 0)).max() < 0.01
        await one.settled()
        await press("Escape")  # the cross goes away
        await press("Escape")
        await one.heard("UNSELECTED_STROKE")


async def test_clearing_and_another_size(tmp_path):
    async with sheet(tmp_path) as one:
        await with_lines(one)
        await one.ask("surface.resize(1600, 900)")
        assert await one.heard("RESIZE_CANVAS") == [(1600, 900)]
        await one.settled()
        await one.painted()
        assert await one.ask("surface.paper") == {"width": 1600, "height": 900}
        await one.ask("surface.clear()")
        await one.heard("RESET_CANVAS")
        await one.settled()
        assert await one.ask("surface.strokes()") == []


# ---------------------------------------------------------------- pixels
async def test_pixels_are_filled_and_picked(tmp_path):
    async with sheet(tmp_path, "pixel") as one:
        await one.ask("surface.colour = '#7a4fb5'; surface.tool = 'fill'")
        await one.page.mouse.click(*await one.to_screen(40, 50))
        ((_, _, rgba),) = await one.heard("BUCKET_FILL")
        assert bytes(rgba) == b"\x7a\x4f\xb5\xff"
        await one.settled()
        await one.painted()
        assert (await shown_pixels(one, 1280, 720) == one.drawing.canvas.pixels).all()
        await one.ask("surface.colour = '#000000'; surface.tool = 'pick'")
        await one.page.mouse.click(*await one.to_screen(700, 400))
        assert await one.ask("[surface.colour, surface.tool]") == ["#7a4fb5", "fill"]


async def test_a_part_is_cut_moved_scaled_turned_filtered_and_put_back(tmp_path):
    async with sheet(tmp_path, "pixel") as one:
        one.drawing.send_points(60, b"\xd5\x5e\x00\xff", [(150, 150), (200, 180)])
        await one.drawing.settled()
        await one.painted()
        await one.ask("surface.tool = 'select'")
        await one.drag(*[await one.to_screen(*at) for at in ((100, 100), (250, 250))])
        ((x, y, length, width, angle),) = await one.heard("CREATE_SELECTION")
        assert max(abs(x - 100), abs(y - 100), abs(length - 150), abs(width - 150)) <= 2
        assert angle == 0
        await one.settled()
        assert (await one.ask("surface.selection.kind")) == "pixels"
        await one.drag(*[await one.to_screen(*at) for at in ((170, 170), (370, 270))])
        moved = (await one.heard("UPDATE_SELECTION"))[-1]
        await one.settled()
        await one.ask("surface.rotateSelection(30)")
        await one.settled()
        await one.ask("surface.scaleSelection(1.5)")
        await one.settled()
        for name in ("invert", "blur", "grayscale"):
            await one.ask(f"surface.filter('{name}')")
        filters = await one.heard("APPLY_FILTER_SELECTION", 3)
        assert filters == [("invert",), ("blur",), ("grayscale",)]
        updates = await one.heard("UPDATE_SELECTION", 3)
        assert updates[-1][4] == 30
        assert abs(updates[-1][2] - 1.5 * moved[2]) <= 2
        await one.ask("surface.releaseSelection()")
        await one.heard("REMOVE_SELECTION")
        await one.settled()
        await one.painted()
        assert await one.ask("surface.selection") is None
        pixels = one.drawing.canvas.pixels
        assert len(np.unique(pixels)) > 2
        assert (await shown_pixels(one, 1280, 720) == pixels).all()
        await one.ask("surface.selectAll()")
        await one.heard("CREATE_SELECTION", 2)
        await one.settled()
        await one.ask("surface.deleteSelection()")
        await one.heard("REMOVE_SELECTION", 2)
        await one.settled()
        assert np.unique(one.drawing.canvas.pixels).tolist() == [0xFFFFFFFF]
        assert await one.ask("refused") == []
