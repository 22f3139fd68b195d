"""Company: a map with people on it fills up with bots, when the operator allows it.

The bots are clients within this process: each is one end of a pair of sockets whose other end is a
connection like any other's. They have no accounts, so nobody can log in as one, they take nobody's
name, and nothing of them is kept or ranked.

Counterparts: `bots/tanks.py` drives; `runtime/services.py` starts this with `--tank-bots`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from polypaint.bots import tanks as bot
from polypaint.client.tanks import TankClient
from polypaint.client.transports import LINE_STREAM, Transport, on_socket
from polypaint.errors import PolypaintError
from polypaint.identity.names import BOTS
from polypaint.net.connection import ConnectionHost
from polypaint.net.tcp import TcpProtocol
from polypaint.tanks.battle import Battle
from polypaint.tanks.service import TankService

log = structlog.get_logger()

LOOK_S: Final = 1.0
PREFIX: Final = BOTS


class BotSupervisor:
    """See the module. size: how many tanks there shall be on a map with people, bots included."""

    def __init__(self, service: TankService, host: ConnectionHost, size: int) -> None:
        self._service = service
        self._host = host
        self._size = size
        self._bots: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._task = asyncio.get_running_loop().create_task(self._look())

    async def close(self) -> None:
        """Send all bots home."""
        tasks = [self._task, *(task for _, task in self._bots.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        """Now and then see who is where."""
        while True:
            await asyncio.sleep(LOOK_S)
            for name, battle in self._service.battles.items():
                try:
                    self._fill(name, battle)
                except Exception as error:
                    self._host.report("tank bots", error, map=name)

    def _fill(self, name: str, battle: Battle) -> None:
        """One bot more, or one less, where that is wanted."""
        people = [f for f in battle.fighting() if f.profile.kept]
        mine = [bot for bot, (map_, _) in self._bots.items() if map_ == name]
        wanted = self._size - len(people) if people else 0
        if len(mine) < wanted:
            self._add(name)
        elif mine and not people:
            self._bots.pop(mine[0])[1].cancel()

    def _add(self, map_: str) -> None:
        taken = self._service.presence.holder
        names = (f"{PREFIX}{i}" for i in range(1, 1000))
        name = next(name for name in names if name not in self._bots and taken(name) is None)
        task = asyncio.get_running_loop().create_task(self._play(name, map_))
        self._bots[name] = (map_, task)

        def gone(_: object) -> None:
            if name in self._bots and self._bots[name][1] is task:
                del self._bots[name]

        task.add_done_callback(gone)

    async def _play(self, name: str, map_: str) -> None:
        try:
            async with _Bot(name, self._connection) as client:
                with contextlib.suppress(asyncio.CancelledError):
                    await bot.play(client, map_)
        except PolypaintError as error:
            log.warning("a bot had to go", name=name, error=str(error))
        except Exception as error:
            self._host.report("tank bots", error, name=name)

    def _connection(self, name: str) -> TcpProtocol:
        """The server's end of a bot's connection."""
        connect = partial(self._service.connect_bot, name)
        return TcpProtocol(self._host, replace(self._service.endpoint, connect=connect))


class _Bot(TankClient):
    """A client that is let in without a password. accept: its name → the server's end."""

    def __init__(self, name: str, accept: Callable[[str], TcpProtocol]) -> None:
        super().__init__("this server", name, "")
        self._accept = accept

    async def _open_transport(self) -> Transport:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        await loop.create_unix_connection(partial(self._accept, self.name), sock=theirs)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return on_socket(reader, writer, LINE_STREAM)

    async def _greet(self) -> None:
        self._logged_in(await self._answer_to_login())
