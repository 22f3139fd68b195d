"""The examples do what their first lines say, against a real server."""

import asyncio
import subprocess
import sys
from pathlib import Path

from polypaint import connect
from polypaint.paint.packets import decode

from .processes import Process, lasting_port

EXAMPLES = Path(__file__).parent.parent / "examples"


def start(name: str, *arguments: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-u", str(EXAMPLES / name), *arguments]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


async def output(child: subprocess.Popen[str]) -> str:
    text, _ = await asyncio.to_thread(child.communicate, timeout=30)
    return text


async def test_a_bot_draws_and_another_watches(process):
    async with connect(process.paint, "ada", "pw", create=True) as ada:
        drawing = await ada.create("harbour")
        watch = start("watch.py", process.paint, "harbour", "--frames", "2")
        while len((await ada.lobbies())[0]["Clients"]) < 2:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        bot = start("draw_bot.py", process.websocket, "harbour", "--turns", "3", "--pause", "0")
        text = await output(bot)
        assert "winding 3 of 3" in text, text
        assert len(drawing.canvas.strokes) == 3
        text = await output(watch)
        assert watch.returncode == 0, text
        assert text.count("▀") > 1000
        assert "harbour: ada, watcher" in text


async def test_a_bot_goes_on_after_kill_9(tmp_path):
    port = str(lasting_port())
    process = Process(tmp_path, "--paint-port", port).start()
    bot = start("draw_bot.py", process.paint, "harbour", "--turns", "40", "--pause", "0.03")
    async with connect(process.paint, "ada", "pw", create=True) as ada:
        while not await ada.lobbies():
            await asyncio.sleep(0.02)
        drawing = await ada.join("harbour")
        await drawing.wait_for(lambda c: len(c.strokes) >= 10)
        process.kill()
        process.start()
        text = await output(bot)
        assert "winding 40 of 40" in text, text
        await drawing.wait_for(lambda c: len(c.strokes) == 40)
        points = [decode(stroke)[4][0].tolist() for stroke in drawing.canvas.strokes]
        assert len({tuple(p) for p in points}) == 40
    assert process.stop() == 0


async def test_tanks_fight(process):
    bots = start("tank_bots.py", process.tanks)
    try:
        lines = [await asyncio.to_thread(bots.stdout.readline) for _ in range(3)]
    finally:
        bots.terminate()
        await output(bots)
    assert all(" life at " in line for line in lines), lines


async def test_a_bot_answers(process):
    async with connect(process.paint, "ada", "pw", create=True) as ada:
        bot = start("chat_bot.py", process.paint)
        try:
            while len((await ada.channels())[0]["Clients"]) < 2:
                await asyncio.sleep(0.02)
            messages = ada.messages()
            await ada.create("d")
            for question, expected in (
                ("!lobbies", "d (1)"),
                ("!who", "ada, echo"),
                ("!nonsense", "I know"),
            ):
                await ada.say("General", question)
                assert expected in (await anext(messages)).content
        finally:
            bot.terminate()
            await output(bot)
