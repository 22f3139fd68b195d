"""Every login and every new account, whatever door it comes through: paint, matches, tanks, HTTP.

A ticket is accepted at once; a password waits for its turn (`identity/admission.py`) and is
checked in a thread. What came of it is counted and logged, with the address, at a bounded rate.

Counterparts: `runtime/password_hasher.py` hashes; `runtime/effect_runner.py` asks on behalf of the
sessions.
"""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Final

import orjson
import structlog

from polypaint.engine.effects import ACCOUNT_CREATED, ACCOUNT_REFUSED, NAME_TAKEN
from polypaint.engine.quota import Quota
from polypaint.errors import Refused, StoreError
from polypaint.identity import guests
from polypaint.identity.accounts import is_name, is_password
from polypaint.identity.admission import Admission, Attempt, origin
from polypaint.identity.names import problem, skeleton
from polypaint.identity.tickets import KEY_BYTES, PREFIX, Tickets
from polypaint.runtime.password_hasher import rounds_of
from polypaint.runtime.ports import Handle, Ports
from polypaint.runtime.supervisor import Supervisor
from polypaint.settings import Settings

log = structlog.get_logger()

LINES: Final = (1.0, 20.0)
"""Lines of the log about the logins of one address: so many a second, so many at once."""
HOUR_S: Final = 3600.0
KIND: Final = "tickets"
KEY: Final = "key"


def _always() -> bool:
    return True


class Logins:
    """See the module. counts: accepted, ticket, failed, refused, created: how many there were."""

    def __init__(self, ports: Ports, settings: Settings, supervisor: Supervisor) -> None:
        self.counts: Counter[str] = Counter(accepted=0, ticket=0, failed=0, refused=0, created=0)
        self.admission = Admission(ports.hasher.threads)
        self._store = ports.store
        self._passwords = ports.hasher
        self._utc = ports.clock.utc
        self._rounds = settings.bcrypt_rounds
        self._supervisor = supervisor
        self._loop = ports.scheduler
        self._tickets = Tickets(b"")
        self._looks: set[int] = set()
        """Of all accounts' names: hashes of their skeletons."""
        self._waiting: dict[Attempt, tuple[asyncio.Future[bool], Callable[[], bool]]] = {}
        self._timer: Handle | None = None
        self._lines = Quota(*LINES)
        most = settings.address_accounts_max
        self._new = Quota(most / HOUR_S, most)
        self.guests_max = settings.address_guests_max
        self._new_guests = Quota(self.guests_max / HOUR_S, self.guests_max)
        self._guests: set[str] = set()
        self._random = random.SystemRandom()

    async def start(self) -> None:
        """Learn which accounts there are, and the key of tickets. Raises StoreError."""
        highest = self._rounds
        for account in await self._store.accounts():
            self._looks.add(hash(skeleton(account.name)))
            if account.password_hash == guests.NO_PASSWORD:
                self._guests.add(account.name)
            highest = max(highest, rounds_of(account.password_hash))
        kept = await self._store.read_one(KIND, KEY)
        key = bytes.fromhex(orjson.loads(kept)) if kept else secrets.token_bytes(KEY_BYTES)
        if not kept:
            await self._store.write({(KIND, KEY): orjson.dumps(key.hex())})
        self._tickets = Tickets(key)
        await self._passwords.start(highest)

    # ------------------------------------------------------------ logging in
    async def check(
        self,
        name: str,
        password: str,
        address: str,
        bind: bool = False,
        wanted: Callable[[], bool] = _always,
    ) -> bool | None:
        """Is this the account's password, or a ticket of it? None: ask again later.

        bind: a name that nobody has becomes an account. wanted: False once nobody waits for the
        answer any more; then nothing is hashed.
        """
        if not is_name(name) or not is_password(password):
            return False
        try:
            hashed = await self._store.password_hash(name)
            if hashed and self._tickets.accepts(password, name, hashed, self._utc()):
                self._note("ticket", name, address)
                return True
            attempt = await self._wait_turn(origin(address), name, wanted)
            if attempt is None:
                self._note("refused", name, address)
                return None
            return await self._attempted(attempt, name, password, address, bind)
        except StoreError as error:
            log.error("login", error=str(error))
            return None

    async def _attempted(
        self, attempt: Attempt, name: str, password: str, address: str, bind: bool
    ) -> bool | None:
        ok: bool | None = None
        try:
            hashed = await self._store.password_hash(name)
            if hashed is None and bind:
                status, limited = await self._add(name, password, address)
                if status == ACCOUNT_CREATED:
                    ok = True
                    return ok
                if limited:
                    return None
                hashed = await self._store.password_hash(name)  # somebody was faster, perhaps
            known = None if hashed == guests.NO_PASSWORD else hashed
            ok = await self._passwords.check(password, known)
            self._note("accepted" if ok else "failed", name, address)
            if ok and hashed and rounds_of(hashed) != self._rounds:
                rehash = self._rehash(name, password, hashed)
                self._supervisor.spawn("hashing a password anew", rehash, _nothing)
            return ok
        finally:
            self._done(attempt, ok)

    async def _rehash(self, name: str, password: str, old: bytes) -> None:
        """Keep the password as `--bcrypt-rounds` asks for now, unless it is another meanwhile."""
        new = await self._passwords.hash(password)
        if await self._store.password_hash(name) == old:
            await self._store.set_password(name, new)

    async def ticket(self, name: str) -> str:
        """A ticket for somebody who is logged in; empty when none can be made now."""
        try:
            hashed = await self._store.password_hash(name)
        except StoreError as error:
            log.error("making a ticket", error=str(error))
            return ""
        return "" if hashed is None else self._tickets.issue(name, hashed, self._utc())

    # ------------------------------------------------------------ new accounts
    async def create(
        self, name: str, password: str, address: str, wanted: Callable[[], bool] = _always
    ) -> int:
        """Make an account: ACCOUNT_CREATED, NAME_TAKEN or ACCOUNT_REFUSED."""
        if not is_name(name) or not is_password(password):
            return ACCOUNT_REFUSED
        attempt = await self._wait_turn(origin(address), name, wanted)
        if attempt is None:
            self._note("refused", name, address)
            return ACCOUNT_REFUSED
        try:
            return (await self._add(name, password, address))[0]
        except StoreError as error:
            log.error("creating an account", error=str(error))
            return ACCOUNT_REFUSED
        finally:
            self._done(attempt, None)

    async def _add(self, name: str, password: str, address: str) -> tuple[int, bool]:
        """(what came of it, is it only for now?) Raises StoreError."""
        looks = hash(skeleton(name))
        if looks in self._looks:
            return NAME_TAKEN, False
        wrong = problem(name) or ("a ticket" if password.startswith(PREFIX) else None)
        where = origin(address)
        limited = bool(where) and self._new.take(where, self._loop.time()) is None
        if wrong or limited:
            why = wrong or "too many new accounts of this address in the last hour"
            self._note("refused", name, address, reason=why)
            return ACCOUNT_REFUSED, not wrong
        self._looks.add(looks)
        added = False
        try:
            hashed = await self._passwords.hash(password)
            added = await self._store.add_account(name, hashed, self._utc())
        finally:
            if not added:
                self._looks.discard(looks)
        if added:
            self._note("created", name, address)
        return (ACCOUNT_CREATED if added else NAME_TAKEN), False

    # ------------------------------------------------------------ guests
    def is_guest(self, name: str) -> bool:
        """Is this an account without a password?"""
        return name in self._guests

    async def create_guest(self, address: str) -> str:
        """Make an account with a made-up name and no password. Raises Refused, StoreError."""
        if not self.guests_max:
            raise Refused("There are no guests here: sign in, or make an account.")
        where = origin(address)
        if where and self._new_guests.take(where, self._loop.time()) is None:
            self._note("refused", "guest", address, reason="too many guests of this address")
            raise Refused("Too many guests have come from your address; try again later.")
        for tries in range(guests.TRIES_MAX):
            name = guests.made_up(self._random, tries)
            looks = hash(skeleton(name))
            if looks in self._looks:
                continue
            self._looks.add(looks)
            if await self._store.add_account(name, guests.NO_PASSWORD, self._utc()):
                self._guests.add(name)
                self._note("created", name, address)
                return name
        raise Refused("No name could be found for a guest; try again.")

    async def set_first_password(self, name: str, password: str, address: str) -> int:
        """Give a guest a password: ACCOUNT_CREATED or ACCOUNT_REFUSED; see `create`."""
        if name not in self._guests or not is_password(password) or password.startswith(PREFIX):
            return ACCOUNT_REFUSED
        attempt = await self._wait_turn(origin(address), name, _always)
        if attempt is None:
            return ACCOUNT_REFUSED
        try:
            await self._store.set_password(name, await self._passwords.hash(password))
        finally:
            self._done(attempt, None)
        self._guests.discard(name)
        return ACCOUNT_CREATED

    # ------------------------------------------------------------ taking turns
    async def _wait_turn(
        self, where: str, name: str, wanted: Callable[[], bool]
    ) -> Attempt | None:
        """Wait for the turn; None when too many wait, or when it is not wanted any more."""
        attempt = self.admission.ask(where, name)
        if attempt is None:
            return None
        future: asyncio.Future[bool] = self._loop.create_future()
        self._waiting[attempt] = future, wanted
        self._dispatch()
        try:
            return attempt if await future else None
        except asyncio.CancelledError:
            if self._waiting.pop(attempt, None) is not None:
                self.admission.withdraw(attempt)
            elif not future.cancelled():
                self._done(attempt, None)
            raise

    def _dispatch(self) -> None:
        """Let those begin whose turn it is."""
        now = self._loop.time()
        while (attempt := self.admission.next(now)) is not None:
            future, wanted = self._waiting.pop(attempt)
            wants = not future.cancelled() and wanted()
            if not wants:
                self.admission.done(attempt, None, now)
            if not future.cancelled():
                future.set_result(wants)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.admission.next_at(now) if self.admission.waiting else None
        if at is not None:
            self._timer = self._loop.call_at(at, self._dispatch)

    def _done(self, attempt: Attempt, ok: bool | None) -> None:
        self.admission.done(attempt, ok, self._loop.time())
        self._dispatch()

    def close(self) -> None:
        """Begin no more checks."""
        if self._timer is not None:
            self._timer.cancel()

    def _note(self, what: str, name: str, address: str, **details: str) -> None:
        """Count it, and tell the log; the address comes first, where filters look for it."""
        self.counts[what] += 1
        more = self._lines.take(f"{what} {origin(address)}", self._loop.time())
        if more is not None:
            hidden = {"not_shown": more} if more else {}
            log.info(_SAID[what], address=address or "local", name=name, **details, **hidden)


_SAID: Final = {
    "accepted": "logged in",
    "ticket": "logged in with a ticket",
    "failed": "login failed",
    "refused": "login refused",
    "created": "account created",
}


def _nothing() -> None:
    """The next login hashes it anew."""
