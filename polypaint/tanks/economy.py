"""Xp, coins and tanks: balances that only a ledger changes, once for each event.

A change is an entry under a key of its own and the new balance, kept in one commit with whatever
else the turn tells. A balance never goes below zero.

Must never import the arena. Protocol: docs/tanks.md, section 4.
"""

from collections.abc import Callable
from typing import Any, Final

import orjson

from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.tanks.vehicles import FIRST, TANKS

PROFILES: Final = "char"
LEDGER: Final = "ecriture"


class Profile:
    """What a player has. holders: how many connections and battles need it in memory.

    kept: is it stored? A bot's is not, and counts for nothing once the bot has gone.
    """

    def __init__(self, name: str, document: dict[str, Any], kept: bool = True) -> None:
        self.name = name
        self.kept = kept
        self.xp: int = document.get("xp", 0)
        self.coin: int = document.get("coin", 0)
        self.tanks: list[str] = document.get("tanks", [FIRST])
        self.holders = 0

    def json(self) -> dict[str, Any]:
        """`myinfo`."""
        owned = {name: TANKS[name].json() for name in self.tanks if name in TANKS}
        return {"xp": self.xp, "coin": self.coin, "tanklist": owned}


class Economy:
    """Every profile that is in memory, and the ledger. changed: is told whose balance changes."""

    def __init__(
        self, context: Context, book: DocumentBuffer, changed: Callable[[str], None]
    ) -> None:
        self._context = context
        self._changed = changed
        self._book = book
        self._profiles: dict[str, Profile] = {}
        self._entered: dict[str, set[str]] = {}

    def fetch(
        self,
        name: str,
        then: Callable[[Profile, float], None],
        failed: Callable[[float], None],
        now: float,
    ) -> None:
        """Have `then(profile, now)` called; hold the profile before anything else happens."""

        def found(document: bytes | None, now: float) -> None:
            profile = self._profiles.get(name)
            if profile is None:
                profile = Profile(name, orjson.loads(document) if document else {})
                self._profiles[name] = profile
            then(profile, now)
            self.release(profile, 0)

        if name in self._profiles:
            then(self._profiles[name], now)
        else:
            self._book.fetch(PROFILES, name, found, failed, now)

    def hold(self, profile: Profile) -> None:
        """One holder more."""
        profile.holders += 1

    def release(self, profile: Profile, count: int = 1) -> None:
        """So many of its holders are gone."""
        profile.holders -= count
        if profile.holders <= 0 and self._profiles.get(profile.name) is profile:
            self._profiles.pop(profile.name, None)

    def enter(
        self, series: str, event: str, profile: Profile, xp: int, coin: int, now: float
    ) -> tuple[int, int]:
        """One entry: (xp, coin) by which the balance really changed; (0, 0) for a repeat.

        series, event: together, and with the name, the entry's key.
        """
        key = f"{series}:{event}:{profile.name}"
        entered = self._entered.setdefault(series, set())
        if key in entered:
            return 0, 0
        entered.add(key)
        xp, coin = max(xp, -profile.xp), max(coin, -profile.coin)
        profile.xp += xp
        profile.coin += coin
        self._keep(key, profile, xp, coin, now)
        return xp, coin

    def close(self, series: str) -> None:
        """No more entries of this series will come."""
        self._entered.pop(series, None)

    def buy(self, profile: Profile, tank: str, now: float) -> str:
        """Why a tank cannot be bought; an empty string: it was, and is paid for."""
        if tank not in TANKS:
            return "unknown tank"
        if tank in profile.tanks:
            return "already owned"
        price = TANKS[tank].price
        if profile.coin < price:
            return "not enough coins"
        profile.coin -= price
        profile.tanks.append(tank)
        self._keep(f"achat:{tank}:{profile.name}", profile, 0, -price, now)
        return ""

    def _keep(self, key: str, profile: Profile, xp: int, coin: int, now: float) -> None:
        self._changed(profile.name)
        if not profile.kept:
            return
        entry = {"joueur": profile.name, "xp": xp, "coin": coin, "a": self._context.utc(now)}
        balance = {"xp": profile.xp, "coin": profile.coin, "tanks": profile.tanks}
        self._book.put(LEDGER, key, entry, now)
        self._book.put(PROFILES, profile.name, balance, now)
