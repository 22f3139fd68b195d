"""`polypaint-fast play puissance4`: a match in the terminal, against a person or a bot.

Counterparts: `client/matches.py` talks to the server, `bots/puissance4.py` is the bot.
"""

import asyncio
import contextlib
import secrets
import sys
import threading
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from polypaint.bots import puissance4
from polypaint.client.matches import Match, MatchRefused, connect_matches
from polypaint.errors import ConnectionClosed

out = Console(highlight=False)
STONES: Final = ("bright_yellow", "bright_red")
COLUMNS: Final = ("1", "2", "3", "4", "5", "6", "7")
ENDS: Final = {"victoire": "You have won!", "defaite": "You have lost.", "nul": "A draw."}


async def play(address: str, name: str, private: str, code: str | None, strength: int) -> int:
    """Play a match to its end; 0, or 1 when it was cut short. strength 0: no bot."""
    async with connect_matches(address, name, private) as client:
        match = await (client.create("puissance4") if code is None else client.join(code))
        if code is None and not strength:
            out.print(f"The match is [bold]{match.code}[/]. Your opponent joins it with")
            out.print(f"  polypaint-fast play puissance4 --code {match.code} --name NAME")
        async with contextlib.AsyncExitStack() as stack:
            if strength:
                await stack.enter_async_context(_opponent(address, match.code, strength))
            return await _person(match)


@contextlib.asynccontextmanager
async def _opponent(address: str, code: str, strength: int) -> Any:
    """A bot at the other seat, under a name of its own."""
    name = f"bot-{secrets.token_hex(3)}"  # names like robot-7 are the server's own
    async with connect_matches(address, name, secrets.token_hex(16)) as client:
        playing = asyncio.create_task(puissance4.play(await client.join(code), strength))
        try:
            yield
        finally:
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await playing


async def _person(match: Match) -> int:
    name, typed = match.client.name, _typed()
    shown = None
    while match.statut is None and not match.ended:
        if shown != (match.seq, match.state):
            shown = (match.seq, match.state)
            _show(match)
        if match.state == "EN_COURS" and match.game["tour"] == name:
            await _move(match, typed)
        else:
            with contextlib.suppress(ConnectionClosed):
                await match.changed()
    _show(match)
    out.print(ENDS.get(match.statut or "", f"The match was cut short: {match.ended}"))
    return 0 if match.statut else 1


async def _move(match: Match, typed: "asyncio.Queue[str]") -> None:
    """Take a column from the keyboard, unless the match ends first."""
    out.print("Your column (1-7, q gives up): ", end="")
    line = asyncio.ensure_future(typed.get())
    changed = asyncio.ensure_future(match.changed())
    await asyncio.wait({line, changed}, return_when=asyncio.FIRST_COMPLETED)
    changed.cancel()
    if not line.done():
        line.cancel()
        out.print()
        return
    word = line.result().strip().lower()
    try:
        if word in ("q", ""):
            await match.leave()
        elif word in COLUMNS:
            await match.act(colonne=COLUMNS.index(word))
        else:
            out.print("A column is a number from 1 to 7.")
    except MatchRefused as refusal:
        full = refusal.code == "action_invalide"  # the server counts columns from 0
        out.print("This column is full." if full else f"{refusal}", style="red", markup=False)
    except ConnectionClosed as error:
        out.print(f"{error}", style="red", markup=False)


def _typed() -> "asyncio.Queue[str]":
    """Lines from the keyboard, as they are typed; an empty string at the end."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the match is over, and so is the loop
            for line in sys.stdin:
                loop.call_soon_threadsafe(queue.put_nowait, line if line.strip() else " ?")
            loop.call_soon_threadsafe(queue.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    return queue


def _show(match: Match) -> None:
    """The board."""
    if not match.game:
        out.print("Waiting for the other player …")
        return
    text = Text("\n")
    for row in match.game["grille"]:
        for owner in row:
            if owner is None:
                text.append(" ·", "dim")
            else:
                text.append(" ●", STONES[match.players.index(owner) % 2])
        text.append("\n")
    text.append(" 1 2 3 4 5 6 7\n", "dim")
    for player, colour in zip(match.players, STONES, strict=False):
        text.append("●", colour)
        turn = " to play" if match.game["tour"] == player else ""
        text.append(f" {player}{turn}\n")
    out.print(text)
