"""Two bots fight on a map, and somebody watches: python examples/tank_bots.py HOST:PORT [MAP]"""

import argparse
import asyncio
import contextlib
import secrets
import sys

import uvloop

from polypaint import ConnectionClosed, PolypaintError, connect_tanks
from polypaint.bots import tanks as bot


async def main(address: str, map_: str) -> None:
    names = [f"bot-{secrets.token_hex(2)}" for _ in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                connect_tanks(address, name, secrets.token_hex(8), create=True)
            )
            for name in names
        ]
        watcher, *fighters = clients
        field = await watcher.spectate(map_)
        fights = [asyncio.create_task(bot.play(client, map_, battles=1)) for client in fighters]
        shown: dict[str, int] = {}
        while not field.over:
            with contextlib.suppress(ConnectionClosed):
                await watcher.changed()
            for name, vehicle in field.vehicles.items():
                if shown.get(name) != vehicle.life:
                    shown[name] = vehicle.life
                    x, y = vehicle.pose.x, vehicle.pose.y
                    print(f"{name} has {vehicle.life} life at {x:.0f}, {y:.0f}", flush=True)
        print(f"the winner is {(field.ended or {}).get('winer')}", flush=True)
        await asyncio.gather(*fights)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("map", nargs="?", default="prairie")
    given = parser.parse_args()
    try:
        uvloop.run(main(given.address, given.map))
    except PolypaintError as error:
        sys.exit(f"tank_bots: {error}")
    except KeyboardInterrupt:
        pass
