"""bcrypt, off the event loop: a pool of its own, of fewer threads than the machine has cores.

Counterparts: `accounts.prepared` makes what is hashed; `polypaint.runtime.logins` says whose turn
it is. Protocol: docs/protocol.md, section 4.
"""

from collections.abc import Callable
from typing import TypeVar

import bcrypt

from polypaint.identity.accounts import prepared
from polypaint.runtime.ports import MakeWorkers, Threads
from polypaint.worker_threads import spare_cores

T = TypeVar("T")


def rounds_of(hashed: bytes) -> int:
    """The cost of a bcrypt hash; 0 when it is none."""
    try:
        return int(hashed.split(b"$")[2])
    except (IndexError, ValueError):
        return 0


class PasswordHasher:
    """Hashes and checks. Nobody can tell from the time it takes whether an account exists.

    That holds, too, where accounts have hashes of different costs, because the setting changed: a
    check that fails costs as much as the most expensive of them.
    """

    def __init__(self, rounds: int, workers: MakeWorkers = Threads) -> None:
        self.threads = spare_cores()
        self._rounds = rounds
        self._highest = rounds
        self._pool = workers("bcrypt", self.threads)
        self._nobody = b""

    async def start(self, highest: int = 0) -> None:
        """Make the hash that unknown names are checked against. highest: cost of any account's."""
        self._highest = max(self._rounds, highest)
        self._nobody = await self._do(
            bcrypt.hashpw, prepared("nobody"), bcrypt.gensalt(self._highest)
        )

    async def hash(self, password: str) -> bytes:
        """A new salted hash."""
        return await self._do(bcrypt.hashpw, prepared(password), bcrypt.gensalt(self._rounds))

    async def check(self, password: str, hashed: bytes | None) -> bool:
        """Is this the password? None, an unknown account, is never, and takes as long."""
        right = await self._do(self._checked, prepared(password), hashed or self._nobody)
        return right and hashed is not None

    def _checked(self, secret: bytes, hashed: bytes) -> bool:
        if bcrypt.checkpw(secret, hashed):
            return True
        # 2**r + (2**r + … + 2**(highest - 1)) = 2**highest
        for rounds in range(max(rounds_of(hashed), 4), self._highest):
            bcrypt.hashpw(secret, bcrypt.gensalt(rounds))
        return False

    async def _do(self, work: Callable[..., T], *arguments: bytes) -> T:
        return await self._pool.run(work, *arguments)

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._pool.close()
