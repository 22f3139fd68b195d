"""How often the same thing is said: so many at once, then so many a second, for each key.

Must never read a clock: time is an argument. Counterparts: `supervise.py` and `logins.py`, which
bound what they log.
"""

from collections import OrderedDict
from typing import Final

KEYS_MAX: Final = 10_000


class Quota:
    """See the module. rate: a second; burst: at once. The keys used longest ago are forgotten."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._keys: OrderedDict[str, tuple[float, float, int]] = OrderedDict()
        """key → (what is left, when that was so, how many were turned away since the last one)"""

    def take(self, key: str, now: float) -> int | None:
        """How many were turned away before this one; None when this one is turned away, too."""
        left, at, away = self._keys.pop(key, (self._burst, now, 0))
        left = min(self._burst, left + (now - at) * self._rate)
        taken = left >= 1
        self._keys[key] = (left - 1, now, 0) if taken else (left, now, away + 1)
        if len(self._keys) > KEYS_MAX:
            self._keys.popitem(last=False)
        return away if taken else None
