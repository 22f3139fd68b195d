"""Who a request or a WebSocket is: sessions of the web, for pages (cookies) and programs (tokens).

One place for all protocols: whoever shows the word that a login over HTTP has given out is its
account, without a password check. Words are kept hashed in the store, so they survive a restart.

Counterparts: `identity/tokens.py` decides which count; `logins.py` checks passwords and makes
accounts; `net/websocket.py` hands the word of a WebSocket's request to its session.
"""

import asyncio
import secrets
import time
from typing import Final, Protocol

import structlog

from polypaint.errors import StoreError
from polypaint.identity.tokens import (
    GUEST_VALID_S,
    KIND,
    VALID_S,
    WORD_BYTES,
    Documents,
    Token,
    Tokens,
)
from polypaint.runtime.logins import Logins
from polypaint.runtime.supervisor import Supervisor

log = structlog.get_logger()

SWEEP_S: Final = 3600.0


class Store(Protocol):
    """Where tokens are kept: `store.Store`."""

    async def write(self, changes: Documents) -> None:
        """Keep these documents, forget those that are None."""

    async def read(self, kind: str) -> list[tuple[str, bytes]]:
        """All documents of a kind."""


class Sessions:
    """See the module."""

    def __init__(self, store: Store, logins: Logins, supervisor: Supervisor) -> None:
        self.tokens = Tokens()
        self.logins = logins
        self._store = store
        self._supervisor = supervisor
        self._loop = asyncio.get_running_loop()
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Learn which tokens there are. Raises StoreError."""
        await self._keep(self.tokens.restore(await self._store.read(KIND), time.time()))
        self._sweep_later()

    def close(self) -> None:
        """Forget no more."""
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _keep(self, changes: Documents) -> None:
        if changes:
            await self._store.write(changes)

    # ------------------------------------------------------------ who somebody is
    def find(self, word: str) -> Token | None:
        """The token that this word is, if it counts."""
        return self.tokens.find(word, time.time()) if word else None

    async def account_of(self, word: str) -> str | None:
        """The account for which this word stands; None for no one's."""
        token = self.find(word)
        return None if token is None else token.name

    # ------------------------------------------------------------ words
    async def issue(self, name: str, about: str) -> tuple[str, Token]:
        """A new word for an account that has proven who it is. Raises StoreError.

        It counts once the store has it.
        """
        word = secrets.token_urlsafe(WORD_BYTES)
        valid = GUEST_VALID_S if self.logins.is_guest(name) else VALID_S
        token, changes = self.tokens.issue(word, name, about, time.time(), valid)
        try:
            await self._keep(changes)
        except BaseException:
            self.tokens.revoke([token])
            raise
        return word, token

    async def renew(self, token: Token) -> Token:
        """A word is used: the token, which may last longer now. Raises StoreError."""
        renewed, changes = self.tokens.renew(token, time.time())
        await self._keep(changes)
        return renewed

    def listed(self, name: str) -> list[Token]:
        """An account's tokens, the newest first."""
        return self.tokens.listed(name, time.time())

    async def revoke(self, tokens: list[Token]) -> None:
        """End these. Raises StoreError: then they may come back with a restart."""
        await self._keep(self.tokens.revoke(tokens))

    async def rename(self, before: str, after: str) -> None:
        """A guest has become a lasting account: their words stand for that now."""
        await self._keep(self.tokens.rename(before, after, VALID_S))

    # ------------------------------------------------------------ the end of words
    def _sweep_later(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweep_later()
        self._supervisor.spawn("forgetting tokens", self._forget_expired(), _nothing)

    async def _forget_expired(self) -> None:
        try:
            await self.revoke(self.tokens.expired(time.time()))
        except StoreError as error:
            log.error("forgetting tokens", error=str(error))


def _nothing() -> None:
    """They are forgotten when the server starts."""
