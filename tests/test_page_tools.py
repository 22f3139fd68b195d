"""The tools of the drawing surface in Chromium: each makes its packets, which others receive."""

import numpy as np

from polypaint.paint.packets import decode

from .sheet import Sheet, sheet, shown_pixels

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
        assert (await shown_pixels(one, 0, 0, 1280, 720) == one.drawing.canvas.pixels).all()
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
        assert (await shown_pixels(one, 0, 0, 1280, 720) == pixels).all()
        await one.ask("surface.selectAll()")
        await one.heard("CREATE_SELECTION", 2)
        await one.settled()
        await one.ask("surface.deleteSelection()")
        await one.heard("REMOVE_SELECTION", 2)
        await one.settled()
        assert np.unique(one.drawing.canvas.pixels).tolist() == [0xFFFFFFFF]
        assert await one.ask("refused") == []
