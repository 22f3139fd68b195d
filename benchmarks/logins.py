"""How long an honest login takes while one account is guessed at, and how long it takes until
everybody is back after a restart: with tickets, and without.

    python benchmarks/logins.py [--people 200] [--guessers 64] [--rounds 12]

Starts servers of its own, on loopback.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from polypaint.client.transports import PACKET_STREAM, open_transport
from polypaint.paint import packets
from polypaint.paint.packets import decode
from tests.processes import Process

HONEST = 8


async def log_in(address: str, name: str, password: str) -> tuple[bool, str]:
    """(was it accepted, a ticket)."""
    transport = await open_transport(address, None, PACKET_STREAM)
    try:
        transport.send(packets.CONNECTION.encode_request(0, name.encode(), password))
        (answer, *_) = await transport.receive()
        if decode(answer, True)[0] != 0:
            return False, ""
        transport.send(packets.TICKET.encode_request(0, b"", "1"))
        while True:
            for packet in await transport.receive():
                if packet[2] == packets.TICKET.id:
                    return True, decode(packet, True)[0]
    finally:
        await transport.close()


async def create(address: str, name: str) -> None:
    transport = await open_transport(address, None, PACKET_STREAM)
    transport.send(packets.CREATE_ACCOUNT.encode_request(0, name.encode(), "pw"))
    await transport.receive()
    await transport.close()


async def timed(address: str, name: str, password: str) -> float:
    began = time.perf_counter()
    ok, _ = await log_in(address, name, password)
    assert ok, name
    return time.perf_counter() - began


async def guess(address: str, number: int) -> None:
    while True:
        try:
            await log_in(address, "victim", f"{number}")
        except (OSError, ValueError):
            await asyncio.sleep(0.01)


async def under_attack(address: str, guessers: int) -> list[float]:
    tasks = [asyncio.ensure_future(guess(address, i)) for i in range(guessers)]
    await asyncio.sleep(2)
    seconds = [await timed(address, f"p{i}", "pw") for i in range(HONEST)]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seconds


async def everybody(address: str, secrets: dict[str, str]) -> list[float]:
    return list(await asyncio.gather(*(timed(address, n, s) for n, s in secrets.items())))


def shown(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    middle, last = statistics.median(ordered), ordered[-1]
    print(f"{what:44} median {middle:7.3f} s   last {last:7.3f} s", flush=True)


async def people(address: str, names: list[str]) -> dict[str, str]:
    """Accounts, and a ticket of each."""
    tickets = {}
    for name in [*names, "victim"]:
        await create(address, name)
        tickets[name] = (await log_in(address, name, "pw"))[1]
    return tickets


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--guessers", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=12)
    given = parser.parse_args()
    names = [f"p{i}" for i in range(max(given.people, HONEST))]
    with tempfile.TemporaryDirectory() as folder:
        cheap = Process(Path(folder)).start()  # accounts are made with cheap hashes, …
        asyncio.run(people(cheap.paint, names))
        cheap.stop()
        server = Process(Path(folder), "--bcrypt-rounds", str(given.rounds)).start()
        asyncio.run(everybody(server.paint, dict.fromkeys([*names, "victim"], "pw")))
        time.sleep(1)  # … and hashed anew as people log in
        shown("one login, nobody else", asyncio.run(everybody(server.paint, {"p0": "pw"})))
        shown(
            "all log in with passwords",
            asyncio.run(everybody(server.paint, dict.fromkeys(names, "pw"))),
        )
        tickets = asyncio.run(again(server.paint, names))
        server.stop()
        server.start()
        shown("all come back with tickets", asyncio.run(everybody(server.paint, tickets)))
        shown(
            "all come back with passwords",
            asyncio.run(everybody(server.paint, dict.fromkeys(names, "pw"))),
        )
        shown(
            f"one login, {given.guessers} guess at another account",
            asyncio.run(under_attack(server.paint, given.guessers)),
        )
        server.stop()


async def again(address: str, names: list[str]) -> dict[str, str]:
    return {name: (await log_in(address, name, "pw"))[1] for name in names}


if __name__ == "__main__":
    main()
