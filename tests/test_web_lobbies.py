"""Drawings over HTTP: lists, rules, what owners do, pictures, files that are imported."""

import asyncio
import io
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from polypaint import connect
from polypaint.paint import imports

from .conftest import serving
from .peers import Browser
from .processes import Process
from .test_web_sessions import Page

RED = b"\xff\0\0\xff"


async def signed_in(web: str, name: str = "") -> Page:
    """A page with an account of this name, or a guest's."""
    page = Page(web)
    if name:
        status, _ = await page.ask("POST", "/api/accounts", {"name": name, "password": "pw"})
    else:
        status, _ = await page.ask("POST", "/api/accounts/guest")
    assert status == 201
    return page


def drawing(name: str, rest: str = "") -> str:
    return f"/api/lobbies/{quote(name, safe='')}{rest}"


async def names(page: Page, path: str = "/api/lobbies") -> list[str]:
    status, listed = await page.ask("GET", path)
    assert status == 200
    return [each["name"] for each in listed]


# ---------------------------------------------------------------- lists
async def test_a_new_drawing_is_found_also_when_nobody_is_in_it(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        ada, anybody = await signed_in(web, "ada"), Page(web)
        status, made = await ada.ask("POST", "/api/lobbies", {"name": "Quiet Harbour é/1"})
        assert status == 201
        assert ada.answered["location"] == drawing("Quiet Harbour é/1")
        assert made | {"changed": 0} == {
            "name": "Quiet Harbour é/1", "mode": "stroke", "protection": "public",
            "owner": "ada", "people": [], "changed": 0, "Clients": [],
            "thumbnail": drawing("Quiet Harbour é/1", "/thumbnail.webp"),
            "Filename": "Quiet Harbour é/1", "Owner": "ada", "Mode": "stroke",
            "Protection": "public", "Passcode": "",
        }  # fmt: skip
        assert await names(anybody) == await names(ada, "/api/me/drawings") == [made["name"]]
        assert await anybody.ask("GET", drawing(made["name"])) == (200, made | {"Clients": None})
        assert (await anybody.ask("GET", drawing("other")))[0] == 404
        assert (await anybody.ask("GET", "/api/me/drawings"))[0] == 401
        assert (await anybody.ask("POST", "/api/lobbies", {"name": "x"}))[0] == 401
    async with serving(tmp_path) as server:
        assert await names(Page(server.addresses["web"])) == [made["name"]]


async def test_the_last_changed_comes_first(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        page = await signed_in(web, "ada")
        for name in "abc":
            await page.ask("POST", "/api/lobbies", {"name": name})
        assert await names(page) == ["c", "b", "a"]
        async with connect(server.addresses["paint"], "ada", "pw") as ada:
            a = await ada.join("a")
            while await names(page) != ["a", "c", "b"]:  # a change is noted now and then
                await a.add_stroke(0, RED, 3, 3, [(1, 1)])
            assert await names(page, "/api/me/drawings") == ["a", "c", "b"]


async def test_who_may_see_what(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        ada, bob, anybody = await signed_in(web, "ada"), await signed_in(web, "bob"), Page(web)
        for protection in ("public", "protected", "private"):
            new = {"name": protection, "protection": protection, "passcode": "sesame"}
            assert (await ada.ask("POST", "/api/lobbies", new))[0] == 201
        async with connect(server.addresses["paint"], "ada", "pw") as client:
            await client.join("protected")
            for page, listed, people, private in (
                (anybody, {"public", "protected"}, None, 404),
                (bob, {"public", "protected"}, None, 404),
                (ada, {"public", "protected", "private"}, ["ada"], 200),
            ):
                assert set(await names(page)) == listed
                shown = (await page.ask("GET", drawing("protected")))[1]
                assert (shown["people"], shown["Passcode"]) == (people, "")
                assert (shown["thumbnail"] is None) is (people is None)
                assert (await page.ask("GET", drawing("private")))[0] == private
                assert (await page.ask("GET", drawing("private", "/canvas.png")))[0] == private
                thumbnail = drawing("protected", "/thumbnail.webp")
                assert (await page.ask("GET", thumbnail))[0] == (404 if people is None else 200)
        assert (await bob.ask("GET", thumbnail, x_passcode="sesame"))[0] == 200


# ---------------------------------------------------------------- what owners do
async def test_an_owner_renames_protects_and_deletes(tmp_path):
    async with serving(tmp_path) as server:
        web, paint = server.addresses["web"], server.addresses["paint"]
        ada, bob = await signed_in(web, "ada"), await signed_in(web, "bob")
        for name in ("d", "taken"):
            await ada.ask("POST", "/api/lobbies", {"name": name})
        async with connect(paint, "ada", "pw") as client:
            await (await client.join("d")).add_stroke(0, RED, 9, 9, [(10, 10)])
        for page, status in ((Page(web), 401), (bob, 403)):
            assert (await page.ask("PATCH", drawing("d"), {"name": "e"}))[0] == status
            assert (await page.ask("DELETE", drawing("d")))[0] == status
        assert (await ada.ask("PATCH", drawing("d"), {"name": "taken"}))[0] == 409
        assert (await ada.ask("PATCH", drawing("d"), {"protection": "protected"}))[0] == 409
        assert (await ada.ask("PATCH", drawing("nothing"), {"name": "e"}))[0] == 404
        async with connect(paint, "bob", "pw") as client:
            joined = await client.join("d")
            status, changed = await ada.ask(
                "PATCH", drawing("d"), {"name": "e", "protection": "protected", "passcode": "x"}
            )
            assert (status, changed["name"], changed["protection"]) == (200, "e", "protected")
            while not joined.kicked:
                await asyncio.sleep(0.001)
            assert "called “e”" in joined.kicked
            await client.join("e", "x")
            assert (await ada.ask("GET", drawing("d")))[0] == 404
            assert (await bob.ask("GET", drawing("e", "/canvas.json?passcode=x")))[0] == 200
            assert (await ada.ask("DELETE", drawing("e")))[0] == 204
        assert (await ada.ask("GET", drawing("e")))[0] == 404
        assert await names(ada, "/api/me/drawings") == ["taken"]


async def test_what_was_answered_survives_a_killed_server(tmp_path):
    server = Process(tmp_path).start()
    ada = await signed_in(server.web, "ada")
    for name in ("kept", "gone", "before"):
        assert (await ada.ask("POST", "/api/lobbies", {"name": name}))[0] == 201
    assert (await ada.ask("PATCH", drawing("before"), {"name": "after"}))[0] == 200
    assert (await ada.ask("PATCH", drawing("kept"), {"protection": "private"}))[0] == 200
    assert (await ada.ask("DELETE", drawing("gone")))[0] == 204
    server.kill()
    server.start()
    try:
        ada.web = ada.headers["origin"] = server.web
        assert set(await names(ada)) == {"after", "kept"}
        assert await names(Page(server.web)) == ["after"]
    finally:
        assert await asyncio.to_thread(server.stop) == 0


@pytest.mark.parametrize(
    ("new", "status"),
    [
        ({"name": "a;b"}, 409),
        ({"name": "dessin-ABC123"}, 409),
        ({"name": "é" * 65}, 409),
        ({"name": "d", "protection": "protected"}, 409),
        ({"name": ""}, 422),
        ({"name": "d", "mode": "oil"}, 422),
        ({"name": "d", "owner": "bob"}, 422),
        ({"name": "there"}, 409),
    ],
)
async def test_drawings_that_cannot_be(tmp_path, new, status):
    async with serving(tmp_path) as server:
        ada = await signed_in(server.addresses["web"], "ada")
        await ada.ask("POST", "/api/lobbies", {"name": "there"})
        assert (await ada.ask("POST", "/api/lobbies", new))[0] == status
        assert await names(ada) == ["there"]


async def test_an_account_has_so_many_drawings(tmp_path):
    async with serving(tmp_path, account_lobbies_max=1) as server:
        ada = await signed_in(server.addresses["web"], "ada")
        assert (await ada.ask("POST", "/api/lobbies", {"name": "1"}))[0] == 201
        assert (await ada.ask("POST", "/api/lobbies", {"name": "2"}))[0] == 409
        await ada.ask("DELETE", drawing("1"))
        assert (await ada.ask("POST", "/api/lobbies", {"name": "2"}))[0] == 201


async def test_nothing_is_changed_while_the_disk_is_full(tmp_path):
    async with serving(tmp_path) as server:
        ada = await signed_in(server.addresses["web"], "ada")
        await ada.ask("POST", "/api/lobbies", {"name": "d"})
        server.context.read_only = True
        assert (await ada.ask("POST", "/api/lobbies", {"name": "e"}))[0] == 503
        assert (await ada.ask("PATCH", drawing("d"), {"name": "e"}))[0] == 503
        assert (await ada.ask("DELETE", drawing("d")))[0] == 503
        server.context.read_only = False
        assert await names(ada) == ["d"]


# ---------------------------------------------------------------- pictures and files
@pytest.mark.parametrize("mode", ["stroke", "pixel"])
async def test_a_thumbnail_is_small(tmp_path, mode):
    async with serving(tmp_path) as server:
        ada = await signed_in(server.addresses["web"], "ada")
        await ada.ask("POST", "/api/lobbies", {"name": "d", "mode": mode})
        async with connect(server.addresses["paint"], "ada", "pw") as client:
            d = await client.join("d")
            if mode == "pixel":
                await d.send_points(300, RED, [(640, 360)])
            else:
                await d.add_stroke(0, RED, 300, 300, [(640, 360)])
        path = drawing("d", "/thumbnail.webp")

        def ask(*headers: str):
            with Browser(server.addresses["web"]) as browser:
                return browser.get(path, *headers, "Connection: close").answer()

        status, headers, body = await asyncio.to_thread(ask)
        image = Image.open(io.BytesIO(body))
        assert (status, image.format, image.size) == (200, "WEBP", (320, 180))
        middle = np.array(image.convert("RGB"))[90, 160].tolist()
        assert middle == pytest.approx([255, 0, 0], abs=9)
        assert (await asyncio.to_thread(ask, f"If-None-Match: {headers['etag']}"))[0] == 304


async def test_strokes_of_a_file_are_drawn_in_ones_own_name(tmp_path, monkeypatch):
    monkeypatch.setattr(imports, "PIECE", 3)
    async with serving(tmp_path) as server:
        web, paint = server.addresses["web"], server.addresses["paint"]
        ada, bob = await signed_in(web, "ada"), await signed_in(web, "bob")
        for name in ("from", "to"):
            await ada.ask("POST", "/api/lobbies", {"name": name})
        async with connect(paint, "ada", "pw") as client:
            source = await client.join("from")
            for number in range(10):
                await source.add_stroke(number, RED, 3, 3, [(number, 1), (2.5, number)])
            exported = (await ada.ask("GET", drawing("from", "/canvas.json")))[1]
            target = await client.join("to")
            async with connect(paint, "bob", "pw") as other:
                watched = await other.join("to")
                assert await bob.ask("POST", drawing("to", "/import"), exported) == (
                    200,
                    {"strokes": 10},
                )
                for seen in (target, watched):
                    await seen.settled()
                    assert [bytes(s[8:11]) for s in seen.canvas.strokes] == [b"bob"] * 10
        copied = (await ada.ask("GET", drawing("to", "/canvas.json")))[1]
        assert [s["points"] for s in copied["strokes"]] == [
            s["points"] for s in exported["strokes"]
        ]
        assert (await bob.ask("POST", drawing("to", "/import"), exported))[0] == 200
        assert len((await ada.ask("GET", drawing("to", "/canvas.json")))[1]["strokes"]) == 20
        stroke = exported["strokes"][0] | {"width": -1}
        for wrong in ({}, [], {"strokes": [{}]}, {"strokes": [stroke]}):
            assert (await bob.ask("POST", drawing("to", "/import"), wrong))[0] in (400, 409)
        assert (await Page(web).ask("POST", drawing("to", "/import"), exported))[0] == 401
        await ada.ask("PATCH", drawing("to"), {"protection": "private"})
        assert (await bob.ask("POST", drawing("to", "/import"), exported))[0] == 404
        await ada.ask("POST", "/api/lobbies", {"name": "pixels", "mode": "pixel"})
        assert (await ada.ask("POST", drawing("pixels", "/import"), exported))[0] == 409
