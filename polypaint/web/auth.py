"""Who asks over HTTP: accounts (HTTP Basic), and passcodes, which cannot be guessed fast.

Counterparts: `http.py` and `pictures.py` ask; `runtime/effect_runner.py` checks passwords, for all
protocols in the same queue.
"""

import base64
import binascii
import math
from collections import OrderedDict
from typing import Final, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request

from polypaint.engine.budget import Bucket

GUESSES_RATE: Final = 0.5
GUESSES_BURST: Final = 10.0
"""Wrong passcodes from one address: a second, and at once."""
ADDRESSES_MAX: Final = 10_000
CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="polypaint", charset="UTF-8"'}


class Accounts(Protocol):
    """Who checks passwords: `runtime.effect_runner.EffectRunner`."""

    async def authenticated(self, name: str, password: str, address: str) -> bool | None:
        """Is this the account's password? None: the store does not answer."""


async def caller(request: Request, accounts: Accounts) -> str:
    """The account that asks; empty when the request names none.

    Raises HTTPException for a name that is not proven: nobody is taken for a stranger silently.
    """
    given = request.headers.get("authorization")
    if given is None:
        return ""
    scheme, _, encoded = given.partition(" ")
    if scheme.lower() != "basic":
        raise HTTPException(401, "Accounts log in with HTTP Basic here.", CHALLENGE)
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise HTTPException(401, "This is no name and password of HTTP Basic.", CHALLENGE)
    right = await accounts.authenticated(name, password, address_of(request))
    if right is None:
        raise HTTPException(503, "The store does not answer; try again later.")
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
