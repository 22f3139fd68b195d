"""What people do at the page: the first page, a drawing, the connection."""

import asyncio
import io
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import expect

from polypaint.paint.packets import decode

from .page import Visitor, visiting

WAIT_S = 15


# ------------------------------------------------------------ the first page
async def test_draw_now_is_one_click_from_nothing_to_ink_that_others_see(tmp_path):
    async with visiting(tmp_path) as site, site.client() as bob:
        ada = await site.visitor()
        name = await ada.draw_now()
        drawing = await bob.join(name)
        async with asyncio.timeout(WAIT_S):
            await ada.draw((400, 300), (500, 380), (640, 320))
            await drawing.wait_for(lambda canvas: len(canvas.strokes) == 1)
        await ada.go("/")
        await expect(ada.button("Sign up")).to_be_visible()
        await expect(ada.page.get_by_role("link", name=name, exact=True)).to_be_visible()


async def test_a_new_drawing_is_as_one_wants_it(tmp_path):
    async with visiting(tmp_path) as site:
        ada, eve = await site.visitor(), await site.visitor()
        await ada.go("/")
        await ada.button("New drawing").click()
        await ada.field("Name").fill("Blue room")
        await ada.field("Pixels").check()
        await ada.field("With a passcode").check()
        await ada.confirm("Create")
        await expect(ada.dialog.get_by_role("alert")).to_have_text("Please choose a passcode.")
        await ada.field("Passcode").fill("open, sesame")
        await ada.confirm("Create")
        await expect(ada.page.get_by_role("toolbar", name="Tools")).to_contain_text("Brush")

        await eve.go("/d/Blue%20room")
        await eve.field("Passcode").fill("please")
        await eve.confirm("Enter")
        await expect(eve.dialog.get_by_role("alert")).to_have_text("That is not the passcode.")
        await eve.field("Passcode").fill("open, sesame")
        await eve.confirm("Enter")
        await eve.drawing.wait_for()
        await eve.page.reload()  # the passcode stands behind the # now
        await eve.drawing.wait_for()
        assert eve.page.url == ada.page.url


async def test_only_its_owner_enters_a_private_drawing(tmp_path):
    async with visiting(tmp_path) as site:
        ada, eve = await site.visitor(), await site.visitor()
        await ada.go("/")
        await ada.button("New drawing").click()
        await ada.field("Name").fill("diary")
        await ada.field("Only me").check()
        await ada.confirm("Create")
        await ada.drawing.wait_for()
        eve.refused = True
        await eve.go("/d/diary")
        await expect(eve.page.get_by_role("heading")).to_have_text("There is no such drawing")
        await eve.page.get_by_role("link", name="Back to the drawings").click()
        await expect(eve.button("Draw now")).to_be_visible()
        await expect(eve.page.get_by_role("link", name="diary")).to_have_count(0)


async def test_a_guest_becomes_somebody_and_keeps_the_drawings(tmp_path):
    async with visiting(tmp_path) as site:
        ada, tablet = await site.visitor(), await site.visitor()
        name = await ada.draw_now()
        await ada.sign_up("ada")
        await tablet.go("/")
        await tablet.button("Sign in").click()
        await tablet.field("Name").fill("ada")
        await tablet.field("Password").fill("a good secret")
        await tablet.confirm("Sign in")
        await expect(tablet.page.get_by_role("heading", name="Your drawings")).to_be_visible()
        await expect(tablet.page.get_by_role("link", name=name, exact=True)).to_be_visible()
        await expect(tablet.button("Sign in")).to_have_count(0)
        await tablet.button("Sign out").click()
        await expect(tablet.button("Sign in")).to_be_visible()
        await expect(tablet.page.get_by_role("heading", name="Your drawings")).to_have_count(0)


async def test_own_drawings_are_renamed_searched_for_and_deleted(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor()
        name = await ada.draw_now()
        await ada.go("/")
        await ada.button(f"Change {name}").click()
        await ada.page.get_by_role("menuitem", name="Rename…").click()
        await ada.field("Name").fill("Harbour at dusk")
        await ada.confirm("Rename")
        link = ada.page.get_by_role("link", name="Harbour at dusk", exact=True)
        await expect(link).to_be_visible()
        await ada.page.get_by_role("searchbox", name="Search").fill("nowhere")
        await expect(link).to_have_count(0)
        await ada.page.get_by_role("searchbox", name="Search").fill("DUSK")
        await link.click()
        await ada.drawing.wait_for()
        await ada.go("/")
        await ada.button("Change Harbour at dusk").click()
        await ada.page.get_by_role("menuitem", name="Delete…").click()
        await ada.confirm("Delete")
        await expect(link).to_have_count(0)


async def test_a_wrong_password_is_said(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor()
        await ada.sign_up("ada")
        await ada.button("Sign out").click()
        await ada.button("Sign in").click()
        await ada.field("Name").fill("ada")
        await ada.field("Password").fill("a guess")
        ada.refused = True
        await ada.confirm("Sign in")
        said = "That name and password do not belong together."
        await expect(ada.dialog.get_by_role("alert")).to_have_text(said)


async def test_what_is_nowhere_says_so(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor()
        ada.refused = True
        await ada.go("/d/Atlantis")
        await expect(ada.page.get_by_role("main")).to_contain_text("“Atlantis” does not exist")
        await ada.page.get_by_role("link", name="Back to the drawings").click()
        await expect(ada.button("Draw now")).to_be_visible()
        session = await ada.page.evaluate("fetch('/api/session').then((answer) => answer.json())")
        assert session["name"] is None, "nobody becomes a guest by a wrong address"


# ------------------------------------------------------------ a drawing
NAMES = {
    "stroke": ["Pen", "Eraser", "Select", "Hand"],
    "pixel": ["Brush", "Eraser", "Fill", "Pick colour", "Select", "Hand"],
}
FRENCH = ["Crayon", "Gomme", "Sélectionner", "Main"]
EVERYWHERE = ["Undo", "Redo", "Zoom in", "Zoom out", "Fit", "Chat", "Share", "More"]
MENU = ["Export PNG", "Export SVG", "Export JSON", "Import…", "Resize…", "Clear…"]
MENU += ["Who may enter…", "Help"]


async def create(visitor: Visitor, name: str, kind: str) -> None:
    """A new public drawing, and its page."""
    await visitor.go("/")
    await visitor.button("New drawing").click()
    await visitor.field("Name").fill(name)
    await visitor.field("Pixels" if kind == "pixel" else "Strokes").check()
    await visitor.confirm("Create")
    await visitor.drawing.wait_for()


@pytest.mark.parametrize("kind", NAMES)
async def test_everything_has_its_name_and_role(kind, tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor()
        await create(ada, "names", kind)
        tools = ada.page.get_by_role("toolbar", name="Tools").get_by_role("button")
        assert await tools.all_inner_texts() == NAMES[kind]
        for name in EVERYWHERE:
            await expect(ada.button(name)).to_be_visible()
        for name in ("Width", "Opacity"):
            await expect(ada.page.get_by_role("slider", name=name, exact=True)).to_be_visible()
        await expect(ada.field("Colour")).to_be_visible()
        people = ada.page.get_by_role("list", name="People", exact=True)
        await expect(people.get_by_role("listitem")).to_have_count(1)
        await ada.button("More").click()
        items = await ada.page.get_by_role("menuitem").all_inner_texts()
        assert [item for item in items if item != "List of strokes"] == MENU


async def test_french_is_complete(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor(locale="fr-FR")
        await ada.go("/")
        assert await ada.page.locator("html").get_attribute("lang") == "fr"
        await ada.button("Dessiner maintenant").click()
        await ada.page.get_by_role("application", name="Dessin").wait_for()
        tools = ada.page.get_by_role("toolbar", name="Outils").get_by_role("button")
        assert await tools.all_inner_texts() == FRENCH
        await ada.page.keyboard.press("?")
        await ada.dialog.get_by_role("button", name="English").click()
        await ada.drawing.wait_for()
        await expect(ada.button("Share")).to_be_visible()


async def test_keys_choose_tools_and_can_be_switched_off(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor()
        await create(ada, "keys", "pixel")
        press = ada.page.keyboard.press

        async def chosen(name: str) -> None:
            await expect(ada.button(name)).to_have_attribute("aria-pressed", "true")

        for key, name in {
            "e": "Eraser",
            "s": "Select",
            "h": "Hand",
            "f": "Fill",
            "p": "Brush",
        }.items():
            await press(key)
            await chosen(name)
        before = await ada.page.locator(".percent").inner_text()
        await press("+")
        await expect(ada.page.locator(".percent")).not_to_have_text(before)
        await press("0")
        await expect(ada.page.locator(".percent")).to_have_text(before)
        await press("?")
        await ada.dialog.get_by_label("Single keys work").uncheck()
        await press("Escape")
        await expect(ada.dialog).to_have_count(0)
        await press("e")
        await chosen("Brush")
        await ada.button("Fill").press("ArrowUp")
        await expect(ada.button("Eraser")).to_be_focused()
        await press("Enter")
        await chosen("Eraser")


async def test_tab_hides_everything_and_goes_round_the_page(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor()
        await ada.draw_now()
        await ada.page.keyboard.press("Tab")
        await expect(ada.button("Share")).to_be_hidden()
        await expect(ada.drawing).to_be_visible()
        await ada.page.keyboard.press("Tab")
        await expect(ada.button("Share")).to_be_visible()
        await expect(ada.page.get_by_role("link", name="All drawings")).to_be_focused()
        focused = set()
        for _ in range(40):
            await ada.page.keyboard.press("Tab")
            script = (
                "(document.activeElement.ariaLabel ?? document.activeElement.innerText).trim()"
            )
            focused.add(await ada.page.evaluate(script))
            if "Drawing" in focused:
                break
        assert {"More", "Chat", "Share", "Pen", "Colour", "Width", "Fit", "Drawing"} <= focused


async def test_colour_width_and_opacity_are_those_of_the_stroke(tmp_path):
    async with visiting(tmp_path) as site, site.client() as bob:
        ada = await site.visitor()
        drawing = await bob.join(await ada.draw_now())
        await ada.button("Green").click()
        await expect(ada.field("Colour")).to_have_value("#009e73")
        await ada.field("Width").fill("24")
        await ada.field("Opacity").fill("50")
        await ada.draw((400, 300), (500, 380))
        async with asyncio.timeout(WAIT_S):
            await drawing.wait_for(lambda canvas: len(canvas.strokes) == 1)
        values = decode(drawing.canvas.strokes[0])
        assert tuple(values[1]) == (0x00, 0x9E, 0x73, 128)
        assert values[2:4] == (24, 24)


async def test_people_talk_in_several_channels(tmp_path):
    async with visiting(tmp_path) as site, site.client() as bob:
        ada = await site.visitor()
        name = await ada.draw_now()
        await bob.join(name)
        heard = bob.messages()
        await bob.say(name, "shall we draw a boat?")
        await expect(ada.button("Chat")).to_have_attribute("aria-description", "1 unread message")
        await ada.button("Chat").click()
        log = ada.page.get_by_role("log")
        await expect(log).to_contain_text("shall we draw a boat?")
        await expect(ada.button("Chat")).not_to_have_attribute(
            "aria-description", "1 unread message"
        )
        await ada.page.get_by_role("textbox", name="Message", exact=True).fill("Yes; a red one")
        await ada.page.keyboard.press("Enter")
        async with asyncio.timeout(WAIT_S):
            message = await anext(heard)
        assert (message.channel, message.content) == (name, "Yes; a red one")
        await expect(log).to_contain_text("Yes; a red one")

        await ada.button("Join a channel").click()
        await ada.field("Name of a channel").fill("sailors")
        await ada.button("Join").click()
        await expect(log).not_to_contain_text("a red one")
        await bob.join_channel("sailors")
        await ada.page.get_by_role("textbox", name="Message", exact=True).fill("ahoy")
        await ada.button("Send").click()
        async with asyncio.timeout(WAIT_S):
            message = await anext(heard)
        assert (message.channel, message.content) == ("sailors", "ahoy")
        await ada.button("Leave this channel").click()
        await expect(ada.page.get_by_role("tab", name="This drawing")).to_have_attribute(
            "aria-selected", "true"
        )


async def test_the_link_is_copied_and_its_code_can_be_read(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor(permissions=["clipboard-read", "clipboard-write"])
        await ada.draw_now()
        await ada.button("Share").click()
        assert await ada.field("Link").input_value() == ada.page.url
        await ada.button("Copy link").click()
        await expect(ada.button("Copied")).to_be_visible()
        assert await ada.page.evaluate("navigator.clipboard.readText()") == ada.page.url
        picture = await ada.page.get_by_role("img", name="QR code of the link").screenshot()
        (found,) = zxingcpp.read_barcodes(np.array(Image.open(io.BytesIO(picture)).convert("L")))
        assert found.text == ada.page.url


async def test_the_link_is_copied_without_a_clipboard_too(tmp_path):
    """As on plain HTTP in a LAN."""
    async with visiting(tmp_path) as site:
        ada = await site.visitor(permissions=["clipboard-read"])
        await ada.page.add_init_script("delete Navigator.prototype.clipboard")
        await ada.draw_now()
        await ada.button("Share").click()
        await ada.button("Copy link").click()
        await expect(ada.button("Copied")).to_be_visible()
        message = ada.page.get_by_role("textbox", name="Message", exact=True)
        await ada.button("Chat").click()
        await message.focus()
        await ada.page.keyboard.press("Control+V")
        assert await message.input_value() == ada.page.url


async def test_clear_asks_once_and_resize_is_what_was_asked(tmp_path):
    async with visiting(tmp_path) as site, site.client() as bob:
        ada = await site.visitor()
        drawing = await bob.join(await ada.draw_now())
        await ada.draw((400, 300), (500, 380))
        async with asyncio.timeout(WAIT_S):
            await drawing.wait_for(lambda canvas: len(canvas.strokes) == 1)
            await ada.choose("Clear…")
            await ada.confirm("Cancel")
            await ada.choose("Clear…")
            await ada.confirm("Clear")
            await drawing.wait_for(lambda canvas: not canvas.strokes)
            await ada.choose("Resize…")
            await ada.field("Across").fill("0")
            await ada.confirm("Resize")
            await expect(ada.dialog.get_by_role("alert")).to_contain_text("1 to 16384")
            await ada.field("Across").fill("800")
            await ada.field("Down").fill("600")
            await ada.confirm("Resize")
            await drawing.wait_for(lambda canvas: (canvas.length, canvas.width) == (800, 600))


async def test_a_drawing_is_exported(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor()
        name = await ada.draw_now()
        await ada.draw((400, 300), (500, 380))
        for kind in ("PNG", "SVG", "JSON"):
            async with ada.page.expect_download() as download:
                await ada.choose(f"Export {kind}")
            file = await download.value
            assert file.suggested_filename == f"{name}.{kind.lower()}"
            assert Path(await file.path()).stat().st_size > 100


async def test_who_may_enter_is_changed_by_the_owner_alone(tmp_path):
    async with visiting(tmp_path) as site:
        ada, eve, joe = [await site.visitor() for _ in range(3)]
        name = await ada.draw_now()
        await eve.go(f"/d/{quote(name)}")
        await eve.drawing.wait_for()
        await eve.choose("Who may enter…")
        await expect(eve.status).to_contain_text("Only ")
        await ada.choose("Who may enter…")
        await ada.field("With a passcode").check()
        await ada.field("Passcode").fill("1234")
        await ada.confirm("Save")
        await ada.button("Share").click()
        await expect(ada.field("Link")).to_have_value(re.compile("#1234$"))
        await expect(eve.dialog).to_contain_text("You are out of this drawing")
        await joe.go(f"/d/{quote(name)}")
        await expect(joe.field("Passcode")).to_be_visible()


# ------------------------------------------------------------ what a person can do
async def relayed(drawing: Any, wanted: set[str], do: Awaitable[None]) -> None:
    """Do something, until these types of packets have come to a client in the same drawing."""
    missing = set(wanted)

    async def listen() -> None:
        async for change in drawing.changes():
            missing.discard(change.kind.name)
            if not missing:
                return

    async with asyncio.timeout(WAIT_S):
        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)  # it listens from now on
        await do
        try:
            await listening
        except asyncio.CancelledError:
            pytest.fail(f"did not come: {missing}")


async def test_all_that_strokes_can_do_is_done_by_a_person(tmp_path):
    async with visiting(tmp_path) as site, site.client() as bob:
        ada = await site.visitor()
        drawing = await bob.join(await ada.draw_now())

        async def everything() -> None:
            await ada.draw((400, 300), (700, 300))
            await ada.draw((400, 400), (700, 400))
            await ada.draw((400, 500), (700, 500))
            await drawing.wait_for(lambda canvas: len(canvas.strokes) == 3)
            await ada.page.keyboard.press("s")
            await ada.page.mouse.click(550, 300)
            await expect(ada.page.get_by_role("toolbar", name="Selection")).to_be_visible()
            await ada.button("Red").click()
            for action in ("Recolour", "Rotate", "Bring to front", "Send to back", "Done"):
                await ada.button(action).click()
            await ada.button("Eraser").click()
            await ada.draw((550, 380), (550, 420))
            await drawing.wait_for(lambda canvas: len(canvas.strokes) < 3)
            await ada.choose("Resize…")
            await ada.field("Across").fill("800")
            await ada.confirm("Resize")
            await ada.choose("Clear…")
            await ada.confirm("Clear")

        kinds = {"ADD_STROKE", "SELECTED_STROKE", "REPLACE_STROKE", "REMOVE_STROKE"}
        kinds |= {"INSERT_STROKE", "UNSELECTED_STROKE", "RESIZE_CANVAS", "RESET_CANVAS"}
        await relayed(drawing, kinds, everything())


async def test_all_that_pixels_can_do_is_done_by_a_person(tmp_path):
    async with visiting(tmp_path) as site, site.client() as bob:
        ada = await site.visitor()
        await create(ada, "pixels", "pixel")
        drawing = await bob.join("pixels")

        async def everything() -> None:
            await ada.draw((400, 300), (700, 300))
            await ada.button("Fill").click()
            await ada.button("Orange").click()
            await ada.page.mouse.click(300, 500)
            await ada.button("Select").click()
            await ada.draw((350, 250), (600, 450))
            for action in ("Rotate", "Grayscale", "Invert", "Blur", "Done"):
                await ada.button(action).click()
            await ada.choose("Resize…")
            await ada.field("Down").fill("600")
            await ada.confirm("Resize")

        kinds = {"SEND_POINTS", "BUCKET_FILL", "CREATE_SELECTION", "UPDATE_SELECTION"}
        kinds |= {"APPLY_FILTER_SELECTION", "REMOVE_SELECTION", "RESIZE_CANVAS_INT"}
        await relayed(drawing, kinds, everything())


async def test_the_list_of_strokes_says_whose_they_are_and_who_holds_them(tmp_path):
    async with visiting(tmp_path) as site, site.client() as bob:
        ada = await site.visitor()
        drawing = await bob.join(await ada.draw_now())
        await ada.draw((400, 300), (500, 380))
        async with asyncio.timeout(WAIT_S):
            await drawing.wait_for(lambda canvas: len(canvas.strokes) == 1)
        drawing.selected_stroke([0])
        await ada.choose("List of strokes")
        row = ada.page.get_by_role("list", name="List of strokes").get_by_role("listitem")
        await expect(row).to_contain_text("held by bob")
        await ada.button("Who is here").click()
        people = ada.page.get_by_role("list", name="Who is here")
        await expect(people).to_contain_text("holds 1 stroke")
        drawing.unselected_stroke([0])
        await ada.choose("List of strokes")
        await expect(row).not_to_contain_text("held by")
        await ada.button("Next").click()
        await expect(row).to_contain_text("selected")
        await ada.page.keyboard.press("Delete")
        async with asyncio.timeout(WAIT_S):
            await drawing.wait_for(lambda canvas: not canvas.strokes)


async def test_one_draws_with_the_keyboard_alone(tmp_path):
    async with visiting(tmp_path) as site, site.client() as bob:
        ada = await site.visitor()
        drawing = await bob.join(await ada.draw_now())
        await expect(ada.drawing).to_be_focused()
        for key in ("ArrowRight", "Space", "Shift+ArrowRight", "Shift+ArrowDown", "Space"):
            await ada.page.keyboard.press(key)
        async with asyncio.timeout(WAIT_S):
            await drawing.wait_for(lambda canvas: len(canvas.strokes) == 1)
        await expect(ada.button("Undo")).to_be_enabled()
        await ada.page.keyboard.press("Control+z")
        async with asyncio.timeout(WAIT_S):
            await drawing.wait_for(lambda canvas: not canvas.strokes)
        await expect(ada.button("Redo")).to_be_enabled()
        await ada.page.keyboard.press("Control+Shift+z")
        async with asyncio.timeout(WAIT_S):
            await drawing.wait_for(lambda canvas: len(canvas.strokes) == 1)


# ------------------------------------------------------------ the connection
async def test_one_goes_on_in_another_tab(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor()
        name = await ada.draw_now()
        other = Visitor(await ada.page.context.new_page(), ada.address)
        await other.go(f"/d/{quote(name)}")
        await other.confirm("Continue here")
        await other.drawing.wait_for()
        await expect(ada.dialog).to_contain_text("You went on elsewhere")
        await ada.confirm("Continue here")
        await ada.drawing.wait_for()
        await expect(other.dialog).to_contain_text("You went on elsewhere")


async def test_offline_is_said_and_what_is_drawn_meanwhile_is_sent(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor()
        name = await ada.draw_now()
        await site.stop()
        await expect(ada.status).to_have_text("Offline…")
        await ada.draw((400, 300), (500, 380))
        await site.start()
        await expect(ada.status).to_have_text("")
        async with site.client() as bob:
            drawing = await bob.join(name)
            async with asyncio.timeout(WAIT_S):
                await drawing.wait_for(lambda canvas: len(canvas.strokes) == 1)
        ada.said.clear()  # the browser reports each connection that is refused
