"""The JavaScript client against a real server: it draws with Python, is cut off, and comes back.

POLYPAINT_CLIENT names a folder with `artist.js` in which the package is installed (`ci/npm`).
"""

import asyncio
import hashlib
import json
import os
import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from polypaint import connect
from polypaint.paint.packets import decode
from polypaint.paint.strokes import StrokeCanvas

from .conftest import serving
from .javascript import CLIENT, FOLDER, node, program, websocket_flags
from .sources import ROOT
from .test_client import Proxy

RED = b"\xff\0\0\xff"


@asynccontextmanager
async def artist(address: str, name: str, lobby: str, session: bool = False):
    """A process that runs `artist.js`."""
    installed = os.environ.get("POLYPAINT_CLIENT")
    script = (
        (f"{installed}/artist.js", "polypaint-client")
        if installed
        else (FOLDER / "artist.js", CLIENT / "index.js")
    )
    argv = [program(), *websocket_flags(), *script]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *map(str, argv), address, name, lobby, json.dumps(session), stdin=pipe, stdout=pipe
    )
    try:
        yield child
        assert await child.wait() == 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


@asynccontextmanager
async def proxied(web: str):
    """(proxy, address behind it)."""
    proxy = Proxy(web)
    try:
        yield proxy, f"ws://{await proxy.start()}/ws/paint"
    finally:
        await proxy.stop()


async def line(child) -> str:
    return (await child.stdout.readline()).decode().strip()


def seen(canvas) -> str:
    """A canvas as `artist.js` says it."""
    if not isinstance(canvas, StrokeCanvas):
        return hashlib.sha256(canvas.pixels.tobytes()).hexdigest()
    held = {i: author for author, own in canvas.selected().items() for i in own}
    hashed = hashlib.sha256()
    for i, packet in enumerate(canvas.strokes):
        _, rgba, height, width, points = decode(packet)
        author = packet[8 : 8 + packet[7]].decode()
        numbers = ",".join(f"{value:g}" for value in points.ravel())
        colour = ",".join(map(str, rgba))
        text = f"{author} {colour} {height:g} {width:g} {numbers} {held.get(i, '')}\n"
        hashed.update(text.encode())
    return hashed.hexdigest()


def content(packet: bytes) -> bytes:
    """A stroke without its index and date."""
    at = 8 + packet[7]
    return packet[8:at] + packet[at + 4 :]


async def cut_after(count: int, drawing, proxy: Proxy) -> None:
    """Break the connection when so many packets of the one behind the proxy have come."""
    if count:
        async for change in drawing.changes():
            count -= change.author == "Zoé"
            if not count:
                proxy.cut()
                return


@pytest.mark.parametrize("mode", ["stroke", "pixel"])
@pytest.mark.parametrize("cut", [False, True], ids=["", "cut"])
@pytest.mark.parametrize("session", [False, True], ids=["", "extension"])
async def test_two_in_javascript_draw_with_python(tmp_path, mode, cut, session):
    async with serving(tmp_path) as server:
        web = server.addresses["web"].removeprefix("http://")
        async with (
            proxied(web) as (proxy, address),
            connect(server.addresses["paint"], "eve", "pw", create=True) as eve,
        ):
            drawing = await eve.create("d", mode)
            async with (
                artist(f"ws://{web}/ws/paint", "ada", "d", session) as ada,
                artist(address, "Zoé", "d", session) as zoe,
            ):
                cutter = asyncio.create_task(cut_after(10 if cut else 0, drawing, proxy))
                for child in (ada, zoe):
                    assert await line(child) == "joined"
                    child.stdin.write(b"draw\n")
                for i in range(40):
                    if mode == "stroke":
                        await drawing.add_stroke(0, RED, 3, 3, [(i, 1), (2, i)])
                    else:
                        drawing.send_points(5, RED, [(4 * i, 3 * i)])
                await cutter
                await drawing.settled()
                outcomes = [json.loads(await line(child)) for child in (ada, zoe)]
                assert all(len(told) >= 40 for told in outcomes)
                resize = drawing.resize_canvas if mode == "stroke" else drawing.resize_canvas_int
                await resize(301, 201)
                canvas = await drawing.settled()
                assert [await line(child) for child in (ada, zoe)] == [seen(canvas)] * 2
                for child in (ada, zoe):
                    child.stdin.write(b"leave\n")
            if not cut:
                lost = [text for told in outcomes for text in told if "ConnectionClosed" in text]
                assert not lost
            if mode == "stroke":
                assert len({content(packet) for packet in canvas.strokes}) == 120
                assert len(canvas.strokes) == 120


def test_the_document_s_example_runs(process, tmp_path):
    """As it stands, but for the address and where the package is."""
    document = (ROOT / "docs/javascript.md").read_text()
    assert run_example(document, process, tmp_path) == [
        "ada: ADD_STROKE",
        "ada [ 10, 10, 200, 120 ]",
    ]


def test_the_readme_s_example_runs(process, tmp_path):
    assert run_example((CLIENT / "README.md").read_text(), process, tmp_path) == ["1"]


def run_example(document: str, process, folder: Path) -> list[str]:
    example = re.findall(r"```js\n(.*?)```", document, re.DOTALL)[0]
    example = example.replace("ws://127.0.0.1:7680/ws/paint", process.websocket)
    example = example.replace('"polypaint-client"', json.dumps(str(CLIENT / "index.js")))
    script = folder / "example.mjs"
    script.write_text(example)
    return node(*websocket_flags(), script).splitlines()
