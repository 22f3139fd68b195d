"""Who asks over HTTP: accounts, and passcodes, which cannot be guessed fast.

Counterparts: the endpoints ask; `runtime/sessions.py` has the tokens; `runtime/effect_runner.py`
checks passwords, for all protocols in the same queue.
"""

import base64
import binascii
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request

from polypaint.engine.budget import Bucket
from polypaint.identity.tokens import Token
from polypaint.net.credentials import bearer, cookie

if TYPE_CHECKING:
    from polypaint.runtime.sessions import Sessions

GUESSES_RATE: Final = 0.5
GUESSES_BURST: Final = 10.0
"""Wrong passcodes from one address: a second, and at once."""
ADDRESSES_MAX: Final = 10_000
BEARER: Final = {"WWW-Authenticate": 'Bearer realm="polypaint"'}
"""What a page is answered: browsers ask people for a password when they are sent the other one."""
LATER: Final = {"Retry-After": "5"}
CHALLENGE: Final = {
    "WWW-Authenticate": 'Basic realm="polypaint", charset="UTF-8", Bearer realm="polypaint"'
}


class Accounts(Protocol):
    """Who checks passwords: `runtime.effect_runner.EffectRunner`."""

    async def authenticated(self, name: str, password: str, address: str) -> bool | None:
        """Is this the account's password? None: the store does not answer."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. name: empty for nobody. token: that has said so, unless it was a password."""

    name: str
    token: Token | None = None


class Callers:
    """Finds out who asks: a token, a session's cookie, or a name and a password."""

    def __init__(self, accounts: Accounts, sessions: "Sessions") -> None:
        self._accounts = accounts
        self._sessions = sessions

    async def identify(self, request: Request) -> Caller:
        """Who asks.

        Raises HTTPException for a name that is not proven: nobody is taken for a stranger
        silently. A cookie that has expired is none: nobody chose to send it.
        """
        scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
        if scheme == "bearer":
            token = self._sessions.find(bearer(request.headers))
            if token is None:
                raise HTTPException(401, "This token does not count (any more).", CHALLENGE)
            return Caller(token.name, token)
        if scheme:
            return Caller(await self._by_password(request))
        token = self._sessions.find(cookie(request.headers))
        return Caller("") if token is None else Caller(token.name, token)

    async def name(self, request: Request) -> str:
        """The account that asks; empty for nobody. Raises as `identify` does."""
        return (await self.identify(request)).name

    async def _by_password(self, request: Request) -> str:
        scheme, _, encoded = request.headers["authorization"].partition(" ")
        if scheme.lower() != "basic":
            raise HTTPException(401, "Log in with HTTP Basic or a bearer token.", CHALLENGE)
        try:
            name, colon, password = (
                base64.b64decode(encoded, validate=True).decode().partition(":")
            )
        except (binascii.Error, UnicodeDecodeError):
            colon = ""
        if not colon:
            raise HTTPException(401, "This is no name and password of HTTP Basic.", CHALLENGE)
        right = await self._accounts.authenticated(name, password, address_of(request))
        if right is None:
            raise HTTPException(503, "Logins take too long just now; try again later.", LATER)
        if not right:
            raise HTTPException(401, "Wrong name or password.", CHALLENGE)
        return name


def address_of(request: Request) -> str:
    """The peer's address, without its port."""
    return request.client.host if request.client is not None else "local"


class Guesses:
    """Wrong passcodes, by address: who has made too many has to wait."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def check(self, address: str, now: float) -> None:
        """May this address try another passcode? Raises HTTPException when it has to wait."""
        bucket = self._buckets.get(address)
        if bucket is not None and (wait := bucket.charge(now, 0)) > 0:
            retry = {"Retry-After": str(math.ceil(wait))}
            raise HTTPException(429, "Too many wrong passcodes; try again later.", retry)

    def wrong(self, address: str, now: float) -> None:
        """A passcode was wrong."""
        bucket = self._buckets.pop(address, None) or Bucket(GUESSES_RATE, GUESSES_BURST, now)
        bucket.charge(now)
        self._buckets[address] = bucket
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
