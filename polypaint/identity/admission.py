"""Which login has its password checked next, whatever door it came through: fair queues.

A check costs a quarter of a second of a core. Attempts wait in a queue for each address, and
within it for each account; addresses have their turn one after the other, and so have the accounts
of an address. So whoever guesses with many connections delays themselves: an honest login waits
for the checks under way and one of each address that is ahead, at most. Failures make the next
attempts of the same address, and more so those of the same address at the same account, wait
longer and longer; that decays, and no account is ever locked: from elsewhere its owner gets in as
fast as before.

This machine's own addresses count as one, as they do behind a proxy; there only accounts are told
apart.

Must never read a clock or hash anything: time is an argument. Counterpart: `runtime/logins.py`.
"""

import ipaddress
import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

WAITING_MAX: Final = 4096
ADDRESS_WAITING_MAX: Final = 128
LOCAL_WAITING_MAX: Final = 2048
ACCOUNT_WAITING_MAX: Final = 16
"""Of one address at one account."""
ACCOUNT_FREE: Final = 5
ADDRESS_FREE: Final = 20
"""Failures before the next attempt has to wait."""
DELAY_S: Final = 0.5
ACCOUNT_DELAY_S_MAX: Final = 8.0
ADDRESS_DELAY_S_MAX: Final = 2.0
HALF_LIFE_S: Final = 60.0
"""After so long half of the failures are forgotten."""
RECORDS_MAX: Final = 20_000
LOCAL: Final = ""
"""The origin of all of this machine's own addresses."""


def origin(address: str) -> str:
    """Whose attempts count together: an IPv4 address, a /64 of IPv6, or this machine."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return LOCAL if address in ("", "local") else address
    if isinstance(ip, ipaddress.IPv6Address):
        mapped = ip.ipv4_mapped
        if mapped is None:
            if ip.is_loopback:
                return LOCAL
            return str(ipaddress.ip_network((ip, 64), strict=False))
        ip = mapped
    return LOCAL if ip.is_loopback else str(ip)


@dataclass(eq=False, slots=True)
class Attempt:
    """A login whose password is to be checked. address: an `origin`."""

    address: str
    account: str


@dataclass(slots=True)
class _Queue:
    """What waits from one address: attempts by account, in the order of their turns."""

    accounts: OrderedDict[str, deque[Attempt]] = field(default_factory=OrderedDict)
    waiting: int = 0
    running: int = 0


@dataclass(slots=True)
class _Failures:
    count: float
    at: float


class Admission:
    """See the module. slots: how many checks are made at the same time."""

    def __init__(self, slots: int) -> None:
        self.running = 0
        self.waiting = 0
        self.refused = 0
        """Attempts that found too many waiting, in all."""
        self._slots = slots
        self._queues: OrderedDict[str, _Queue] = OrderedDict()
        self._failures: OrderedDict[tuple[str, str | None], _Failures] = OrderedDict()

    def ask(self, address: str, account: str) -> Attempt | None:
        """Have an attempt wait for its turn; None when too many wait already."""
        queue = self._queues.get(address) or _Queue()
        attempts = queue.accounts.get(account, ())
        most = ADDRESS_WAITING_MAX if address else LOCAL_WAITING_MAX
        if (
            len(attempts) >= ACCOUNT_WAITING_MAX
            or queue.waiting >= most
            or self.waiting >= WAITING_MAX
        ):
            self.refused += 1
            return None
        attempt = Attempt(address, account)
        self._queues.setdefault(address, queue).accounts.setdefault(account, deque()).append(
            attempt
        )
        queue.waiting += 1
        self.waiting += 1
        return attempt

    def next(self, now: float) -> Attempt | None:
        """The attempt to check now, of which `done` has to be told; None: none yet.

        An address has a second check at the same time only when no other address waits.
        """
        if self.running >= self._slots:
            return None
        for idle in (True, False):
            for address, queue in self._queues.items():
                if queue.waiting and (queue.running == 0) is idle:
                    attempt = self._take(address, queue, now)
                    if attempt is not None:
                        return attempt
        return None

    def _take(self, address: str, queue: _Queue, now: float) -> Attempt | None:
        if self._free_at(address, None) > now:
            return None
        for account, attempts in queue.accounts.items():
            if self._free_at(address, account) <= now:
                attempt = attempts.popleft()
                del queue.accounts[account]
                if attempts:
                    queue.accounts[account] = attempts  # behind the others
                self._queues.move_to_end(address)
                queue.waiting -= 1
                self.waiting -= 1
                queue.running += 1
                self.running += 1
                return attempt
        return None

    def done(self, attempt: Attempt, ok: bool | None, now: float) -> None:
        """The attempt has been checked; None: nothing came of it."""
        self.running -= 1
        queue = self._queues[attempt.address]
        queue.running -= 1
        if not queue.running and not queue.waiting:
            del self._queues[attempt.address]
        key = (attempt.address, attempt.account)
        if ok:
            self._failures.pop(key, None)
        elif ok is False:
            self._failed(key, now)
            if attempt.address:
                self._failed((attempt.address, None), now)

    def withdraw(self, attempt: Attempt) -> None:
        """An attempt that waits is not wanted any more."""
        queue = self._queues[attempt.address]
        attempts = queue.accounts[attempt.account]
        attempts.remove(attempt)
        if not attempts:
            del queue.accounts[attempt.account]
        queue.waiting -= 1
        self.waiting -= 1
        if not queue.running and not queue.waiting:
            del self._queues[attempt.address]

    def next_at(self, now: float) -> float | None:
        """When an attempt that has to wait for time to pass may be checked; None: none has to."""
        times = [
            at
            for address, queue in self._queues.items()
            for account in queue.accounts
            if (at := max(self._free_at(address, None), self._free_at(address, account))) > now
        ]
        return min(times, default=None)

    # ------------------------------------------------------------ failures
    def _failed(self, key: tuple[str, str | None], now: float) -> None:
        record = self._failures.pop(key, None) or _Failures(0, now)
        record.count = record.count * 0.5 ** ((now - record.at) / HALF_LIFE_S) + 1
        record.at = now
        self._failures[key] = record
        if len(self._failures) > RECORDS_MAX:
            self._failures.popitem(last=False)

    def _free_at(self, address: str, account: str | None) -> float:
        """From when on an attempt may be checked."""
        record = self._failures.get((address, account))
        if record is None:
            return float("-inf")
        free = ADDRESS_FREE if account is None else ACCOUNT_FREE
        most = ADDRESS_DELAY_S_MAX if account is None else ACCOUNT_DELAY_S_MAX
        if record.count < free:
            return float("-inf")
        return record.at + min(most, DELAY_S * math.exp2(min(record.count - free, 32)))
