"""How often the same thing is said: so many at once, then so many a second, for each key.

Must never read a clock: time is an argument. Counterparts: `runtime/supervisor.py` and
`runtime/logins.py`, which bound what they log.
"""

from collections import OrderedDict
from typing import Final

from polypaint.engine.budget import Bucket

KEYS_MAX: Final = 10_000


class Quota:
    """See the module. rate: a second; burst: at once. The keys used longest ago are forgotten."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._keys: OrderedDict[str, tuple[Bucket, int]] = OrderedDict()
        """key → (its tokens, how many were turned away since the last one that was not)"""

    def take(self, key: str, now: float) -> int | None:
        """How many were turned away before this one; None when this one is turned away, too."""
        if key not in self._keys:
            self._keys[key] = (Bucket(self._rate, self._burst, now), 0)
        bucket, away = self._keys.pop(key)
        taken = bucket.take(now)
        self._keys[key] = (bucket, 0 if taken else away + 1)
        if len(self._keys) > KEYS_MAX:
            self._keys.popitem(last=False)
        return away if taken else None
