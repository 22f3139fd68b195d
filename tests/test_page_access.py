"""The page for everybody: with axe, on a phone, left-handed, in the dark, on a slow line."""

import io
from typing import Any
from urllib.parse import quote, unquote

import pytest
from axe_playwright_python.async_playwright import Axe
from PIL import Image
from playwright.async_api import expect

from .page import PHONE, Visitor, visiting

FIRST_LOAD_BYTES_MAX = 150_000


# ------------------------------------------------------------ for everybody
async def violations(visitor: Visitor) -> list[str]:
    """What axe finds that keeps somebody from using the page."""
    found = await Axe().run(visitor.page)
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
        for each in found.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
async def test_axe_finds_nothing_serious(scheme, device, tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor(color_scheme=scheme, reduced_motion="reduce", **device)
        await ada.draw_now()
        await ada.go("/")
        await expect(ada.button("Sign out")).to_be_visible()
        assert not await violations(ada)
        await ada.button("New drawing").click()
        await ada.field("With a passcode").check()
        assert not await violations(ada)
        await ada.confirm("Cancel")
        await ada.draw_now()
        assert not await violations(ada)
        for panel in ("Who is here", "Chat", "Share"):
            await ada.button(panel).click()
            assert not await violations(ada)
        await ada.button("More").click()
        assert not await violations(ada)
        await ada.page.get_by_role("menuitem", name="Help").click()
        assert not await violations(ada)


async def test_on_a_phone_all_is_large_enough_and_sheets_leave_the_drawing_in_view(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor(**PHONE)
        await ada.draw_now()
        for button in await ada.page.get_by_role("button").all():
            if await button.is_visible():
                box = await button.bounding_box()
                assert min(box["width"], box["height"]) >= 44, await button.inner_text()
        for sheet in ("Palette", "Who is here", "Chat", "Share", "More"):
            await ada.button(sheet).click()
            height = await ada.page.evaluate(
                "Math.max(...[...document.querySelectorAll('.panel, .palette, .menu')]"
                ".map((each) => each.getBoundingClientRect().height))"
            )
            assert 100 < height <= 740 * 0.6 + 1
        assert await ada.page.evaluate("document.documentElement.scrollWidth") == 360
        await ada.go("/")
        await expect(ada.button("Draw now")).to_be_visible()
        assert await ada.page.evaluate("document.documentElement.scrollWidth") == 360


async def test_for_the_left_hand_tools_are_on_the_right(tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor()
        await ada.draw_now()
        tools = ada.page.get_by_role("toolbar", name="Tools")
        assert (await tools.bounding_box())["x"] < 100
        await ada.button("More").click()
        await ada.page.get_by_role("menuitemcheckbox", name="Left-handed").click()
        assert (await tools.bounding_box())["x"] > 1100
        await ada.page.reload()
        await ada.drawing.wait_for()
        assert (await tools.bounding_box())["x"] > 1100


@pytest.mark.parametrize(("scheme", "desk"), [("light", "237, 238, 240"), ("dark", "23, 24, 27")])
async def test_the_desk_is_light_or_dark_and_the_paper_white(scheme, desk, tmp_path):
    async with visiting(tmp_path) as site:
        ada = await site.visitor(color_scheme=scheme)
        await ada.draw_now()
        await expect(ada.page.locator("body")).to_have_css("background-color", f"rgb({desk})")
        paper = Image.open(io.BytesIO(await ada.page.screenshot())).convert("RGB")
        assert paper.getpixel((640, 400)) == (255, 255, 255)


# ------------------------------------------------------------ weight
async def loaded(visitor: Visitor, path: str) -> tuple[int, set[str]]:
    """Bytes that a page needs from the network, and the paths that were not in the cache."""
    session = await visitor.page.context.new_cdp_session(visitor.page)
    urls: dict[str, str] = {}
    kept: set[str] = set()
    size = 0

    def done(event: dict[str, Any]) -> None:
        nonlocal size
        size += event["encodedDataLength"]

    session.on(
        "Network.requestWillBeSent", lambda e: urls.update({e["requestId"]: e["request"]["url"]})
    )

    def answered(event: dict[str, Any]) -> None:
        if event["response"]["fromDiskCache"]:
            kept.add(event["requestId"])

    session.on("Network.responseReceived", answered)
    session.on("Network.requestServedFromCache", lambda e: kept.add(e["requestId"]))
    session.on("Network.loadingFinished", done)
    await session.send("Network.enable")
    await visitor.go(path)
    await visitor.drawing.wait_for()
    await session.detach()
    paths = {
        unquote(url.removeprefix(visitor.address)) for key, url in urls.items() if key not in kept
    }
    return size, {path for path in paths if not path.startswith(("/api", "data:"))}


async def test_the_first_load_is_light_and_the_second_fetches_the_html_only(tmp_path):
    async with visiting(tmp_path) as site:
        ada, eve = await site.visitor(), await site.visitor()
        path = f"/d/{quote(await ada.draw_now())}"
        size, paths = await loaded(eve, path)
        assert size < FIRST_LOAD_BYTES_MAX
        assert len(paths) > 20
        await eve.go("/")
        _, again = await loaded(eve, path)
        icon = {path for path in again if path.endswith("/icon.svg")}  # asked for at any time
        assert again - icon == {unquote(path)}
