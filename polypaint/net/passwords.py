"""bcrypt, off the event loop: a pool of its own, of fewer threads than the machine has cores.

Counterpart: `accounts.prepared` makes what is hashed. Protocol: docs/protocol.md, section 4.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import bcrypt

from polypaint.accounts import prepared
from polypaint.workers import pool, spare_cores

T = TypeVar("T")


class Passwords:
    """Hashes and checks. Nobody can tell from the time it takes whether an account exists."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._pool = pool("bcrypt", spare_cores())
        self._nobody = b""

    async def start(self) -> None:
        """Make the hash that unknown names are checked against."""
        self._nobody = await self.hash("nobody")

    async def hash(self, password: str) -> bytes:
        """A new salted hash."""
        return await self._do(bcrypt.hashpw, prepared(password), bcrypt.gensalt(self._rounds))

    async def check(self, password: str, hashed: bytes | None) -> bool:
        """Is this the password? None, an unknown account, is never, and takes as long."""
        right = await self._do(bcrypt.checkpw, prepared(password), hashed or self._nobody)
        return right and hashed is not None

    async def _do(self, work: Callable[..., T], *arguments: bytes) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
