"""The examples do what their first lines say, against a real server."""

import asyncio
import subprocess
import sys
from pathlib import Path

from polypaint import connect

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
