"""The drawing surface in Chromium: ink, the view, pixels; a TCP client draws along."""

import asyncio
from math import cos, sin

import numpy as np
import pytest

from .sheet import picture, sheet, shown_pixels

SMOOTHED = 60
"""How much a smoothed edge may differ when it is drawn on another canvas: nobody sees it."""
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


@pytest.mark.parametrize("ratio", [1, 1.5, 2])
async def test_own_ink_is_there_in_the_frame_of_the_event_and_never_away(tmp_path, ratio):
    async with sheet(tmp_path, ratio=ratio) as one:
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
        assert (await shown_pixels(one, 0, 0, *pixels.shape[::-1]) == pixels).all()


async def test_a_large_drawing_of_pixels_is_shown_in_small_canvases(tmp_path):
    async with sheet(tmp_path, "pixel") as one:
        side = 4096
        one.drawing.resize_canvas_int(side, side)
        one.drawing.bucket_fill(side - 1, side - 1, b"\x10\x20\x30\xff")
        one.drawing.send_points(40, b"\xd5\x5e\0\xff", [(x, x) for x in range(0, side, 7)])
        await one.settled()
        await one.ask("surface.fit()")
        await one.painted()
        areas = await one.ask(
            "[...document.querySelectorAll('canvas')].map((c) => c.width * c.height)"
        )
        assert max(areas) <= 4 << 20
        assert sum(areas) >= side * side
        pixels = one.drawing.canvas.pixels
        for at in (0, 1000, side - 256):
            shown = await shown_pixels(one, at, at, 256, 256)
            assert (shown == pixels[at : at + 256, at : at + 256]).all()


async def test_every_coalesced_sample_is_in_the_stroke(tmp_path):
    async with sheet(tmp_path) as one:
        await one.ask(
            """(() => {
              PointerEvent.prototype.getCoalescedEvents = function () {
                const { pointerType, clientX, clientY } = this;
                const before = { pointerType, clientX: clientX - 1, clientY: clientY + 3 };
                return [new PointerEvent("pointermove", before), this];
              };
            })()"""
        )
        await one.drag(*WAVE)
        ((*_, points),) = await one.heard("ADD_STROKE")
        assert len(points) == 1 + 2 * (len(WAVE) - 1)


async def test_without_what_plain_http_lacks(tmp_path):
    async with sheet(tmp_path) as one:
        await one.ask("delete PointerEvent.prototype.getCoalescedEvents")
        await one.ask("delete Crypto.prototype.randomUUID")
        await one.ask("delete Navigator.prototype.clipboard")
        await one.drag(*WAVE)
        ((*_, points),) = await one.heard("ADD_STROKE")
        assert len(points) == len(WAVE)


async def test_refused_ink_goes_away_and_says_why(tmp_path):
    async with sheet(tmp_path) as one:
        await one.painted()
        white = await picture(one.page)
        await one.ask(
            """import("/client/index.js").then(({ Refused }) => {
              window.answer = null;
              drawing.draw = () => new Promise((_, no) => {
                window.answer = () => no(new Refused("the drawing is full"));
              });
            })"""
        )
        await one.drag(*WAVE)
        assert np.abs(await picture(one.page) - white).max() > 200, "it stays until one knows"
        await one.ask("answer()")
        await one.painted()
        assert np.abs(await picture(one.page) - white).max() == 0
        assert await one.ask("refused") == ["Not accepted: the drawing is full."]


async def test_a_lost_connection_keeps_what_is_drawn_and_sends_it_once(tmp_path):
    async with sheet(tmp_path, expected="WebSocket connection to ") as one:
        one.drawing.add_stroke(0, b"\0\0\0\xff", 9, 9, [(100, 100), (900, 100)])
        await one.settled()
        await one.painted()
        offline = one.ask("new Promise((done) => client.on('offline', done))")
        waiting = asyncio.create_task(offline)
        await one.ask("0")  # the page listens by now
        one.proxy.open = False
        one.proxy.cut()
        await waiting
        before = await picture(one.page)
        await one.drag(*WAVE)
        drawn = await picture(one.page)
        assert np.abs(drawn - before).max() > 200
        one.proxy.open = True
        await one.heard("ADD_STROKE")
        await one.settled()
        await one.painted()
        assert np.abs(await picture(one.page) - drawn).max() <= SMOOTHED
        assert await one.ask("drawing.canvas.strokes.length") == 2
        assert await one.ask("refused") == []


async def test_two_fingers_undo_and_three_redo(tmp_path):
    async with sheet(tmp_path) as one:
        await one.drag(*WAVE)
        await one.heard("ADD_STROKE")
        await one.settled()
        await one.fingers("Start", (300, 300), (400, 300))
        await one.fingers("End")
        await one.heard("REMOVE_STROKE")
        await one.settled()
        await one.fingers("Start", (300, 300), (400, 300), (500, 300))
        await one.fingers("End")
        await one.heard("ADD_STROKE", 2)
        await one.settled()
        assert await one.ask("drawing.canvas.strokes.length") == 1


async def test_what_changes_in_one_frame_is_painted_whole(tmp_path):
    async with sheet(tmp_path) as one:
        black = b"\0\0\0\xff"
        one.drawing.add_stroke(0, black, 9, 9, [(100, 100), (200, 100)])
        await one.drawing.settled()
        await one.painted()
        # One is removed and another comes, on the same tile, before the page paints again.
        await one.ask("window.requestAnimationFrame = (work) => void (window.paint = work)")
        one.drawing.remove_stroke([0])
        one.drawing.add_stroke(0, black, 9, 9, [(100, 300), (200, 300)])
        await one.drawing.settled()
        await one.ask(
            "drawing.waitFor((canvas) => canvas.strokes[0]?.points[1] === 300).then(() => {})"
        )
        await one.ask("paint()")
        shown = await picture(one.page)
        for y, colour in ((100, 255), (300, 0)):
            left, top = map(round, await one.to_screen(150, y))
            assert shown[top, left].tolist() == [colour] * 3


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
