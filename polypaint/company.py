"""Company: a map with people on it fills up with bots, when the operator allows it.

The bots are ordinary clients on the server's own port, with accounts of their own.

Counterparts: `bots/tanks.py` drives; `server.py` starts this with `--tank-bots`.
"""

import asyncio
import contextlib
import secrets
import time
from typing import Final

import structlog

from polypaint.bots import tanks as bot
from polypaint.client.tanks import TankClient, connect_tanks
from polypaint.errors import PolypaintError
from polypaint.net.passwords import Passwords
from polypaint.store import Store
from polypaint.tanks.service import TankService

log = structlog.get_logger()

LOOK_S: Final = 1.0
PREFIX: Final = "robot-"


class Company:
    """See the module. size: how many tanks there shall be on a map with people, bots included."""

    def __init__(
        self, service: TankService, store: Store, passwords: Passwords, address: str, size: int
    ) -> None:
        self._service = service
        self._store = store
        self._passwords = passwords
        self._address = address
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
                people = [f for f in battle.alive if not f.name.startswith(PREFIX)]
                mine = [bot for bot, (map_, _) in self._bots.items() if map_ == name]
                wanted = self._size - len(people) if people else 0
                if len(mine) < wanted:
                    self._add(name)
                elif mine and not people:
                    self._bots.pop(mine[0])[1].cancel()

    def _add(self, map_: str) -> None:
        number = next(i for i in range(1, 1000) if f"{PREFIX}{i}" not in self._bots)
        name = f"{PREFIX}{number}"
        task = asyncio.get_running_loop().create_task(self._play(name, map_))
        self._bots[name] = (map_, task)

        def gone(_: object) -> None:
            if name in self._bots and self._bots[name][1] is task:
                del self._bots[name]

        task.add_done_callback(gone)

    async def _play(self, name: str, map_: str) -> None:
        password = secrets.token_hex(16)
        try:
            hashed = await self._passwords.hash(password)
            if not await self._store.add_account(name, hashed, time.time()):
                await self._store.set_password(name, hashed)
            client: TankClient
            async with connect_tanks(self._address, name, password) as client:
                with contextlib.suppress(asyncio.CancelledError):
                    await bot.play(client, map_)
        except PolypaintError as error:
            log.warning("a bot had to go", name=name, error=str(error))
