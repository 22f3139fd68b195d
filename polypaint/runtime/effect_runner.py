"""What services ask of the world, carried out: passwords, storage, work off the event loop.

An effect leaves the domain, is done in a thread or by the store, and comes back as a call. What
every service may ask for is carried out here; what only one asks for is registered with it
(`runtime/services.py`).

Counterparts: `engine/effects.py` and each service's; `runtime/runtime.py` hands them over.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from polypaint.engine import effects
from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer, FetchDocument, SaveDocuments
from polypaint.engine.effects import Effect, Question, Requester
from polypaint.engine.service import Carriers, Service
from polypaint.errors import StoreError
from polypaint.net.connection import Connection
from polypaint.runtime.flusher import Flusher
from polypaint.runtime.logins import Logins
from polypaint.runtime.ports import Ports
from polypaint.runtime.supervisor import Supervisor
from polypaint.worker_threads import spare_cores

log = structlog.get_logger()

T = TypeVar("T")


class Outside(Protocol):
    """What whoever carries out a service's effects may use: `EffectRunner`."""

    threads: int
    """How many calls `compute` makes at the same time."""

    def now(self) -> float:
        """Seconds on the server's clock."""

    def utc(self) -> float:
        """UTC seconds."""

    def spawn(self, effect: Effect, work: Coroutine[Any, Any, None]) -> None:
        """Do what takes time for an effect; when it raises, the effect has failed."""

    async def compute(self, call: Callable[[], T]) -> T:
        """What the call returns, made off the event loop."""

    async def answer(
        self, effect: Question, asked: Coroutine[Any, Any, T], then: Callable[[T, float], None]
    ) -> None:
        """Have `then(value, now)` called with what the store says, or the effect fail."""

    def trim(self) -> None:
        """Something was stored: have the journal forget what nobody needs any more."""


class EffectRunner:
    """See the module. links: by the ID of their session's send queue. arm: sees to timers.

    services: whose journal is kept short; `register` what they ask for before `run_effects`.
    """

    def __init__(
        self,
        context: Context,
        ports: Ports,
        logins: Logins,
        services: Sequence[Service],
        book: DocumentBuffer,
        flusher: Flusher,
        connections: dict[int, Connection],
        arm: Callable[[], None],
        supervisor: Supervisor,
    ) -> None:
        self.store = ports.store
        self.closing: list[tuple[Requester, str]] = []
        """Sessions whose connections are to be closed once they have been sent everything."""
        self.renderer = ports.workers("render", 1)
        self.carriers = self._own_carriers()
        self._arm = arm
        self._context = context
        self._logins = logins
        self._services = services
        self._book = book
        self._flusher = flusher
        self._links = connections
        self.now = ports.scheduler.time
        self.utc = ports.clock.utc
        self.threads = max(2, spare_cores())
        self._canvases = ports.workers("canvas", self.threads)
        self._supervisor = supervisor
        self.account_of: Callable[[str], Awaitable[str | None]] = _nobodys
        """Whose a session's cookie or a token is."""
        self._running_effects = False

    def _own_carriers(self) -> Carriers:
        return (
            Carriers()
            .register(effects.CheckPassword, self._check_password)
            .register(effects.CheckCredentials, self._check_credentials)
            .register(effects.CreateAccount, self._create_account)
            .register(effects.ProbeHolder, self._probe_holder)
            .register(effects.IssueTicket, self._issue_ticket)
            .register(effects.Close, self._close)
            .register(effects.Resume, self._resume)
            .register(effects.Rejected, self._rejected)
            .register(effects.DrawingProblem, self._drawing_problem)
            .register(effects.Unexpected, self._unexpected)
            .register(SaveDocuments, self._save_documents)
            .register(FetchDocument, self._fetch_document)
        )

    @property
    def under_way(self) -> bool:
        """Is something still being done?"""
        return self._supervisor.under_way

    @property
    def computing(self) -> bool:
        """Is a thread still computing, after `close` too?"""
        return self.renderer.busy or self._canvases.busy

    def run_effects(self) -> None:
        """Carry out everything that the services have asked for."""
        pending = self._context.effects
        if not pending:
            if self._context.timers.changed:
                self._arm()
            return
        if self._running_effects:
            return
        self._running_effects = True
        queue = deque(pending)
        pending.clear()
        try:
            while queue:
                self._carry_out(queue.popleft())
                queue.extend(pending)
                pending.clear()
        finally:
            self._running_effects = False
        self._arm()

    def _carry_out(self, effect: Effect) -> None:
        where = type(effect).__name__
        try:
            work = self.carriers[type(effect)](effect)
            if work is not None:
                self.spawn(effect, work)
        except Exception as error:
            self._supervisor.report(where, error)
            self._supervisor.call(where, effect.failed, self.now())
            if isinstance(effect, effects.Close | effects.Resume):
                self._abort(effect.session)

    def _abort(self, session: Requester) -> None:
        """Cut a connection that can neither be read nor closed as it should."""
        connection = self._links.get(session.send_queue.id)
        if connection is not None:
            connection.transport.abort()

    def close(self) -> None:
        """End the threads; work that waits for one is dropped."""
        self.renderer.close()
        self._canvases.close()

    def spawn(self, effect: Effect, work: Coroutine[Any, Any, None]) -> None:
        """Do what takes time; what the services ask for then is carried out, too."""

        async def settled() -> None:
            await work
            self.run_effects()

        def failed() -> None:
            self._supervisor.call(where, effect.failed, self.now())
            self.run_effects()

        where = type(effect).__name__
        self._supervisor.spawn(where, settled(), failed)

    async def compute(self, call: Callable[[], T]) -> T:
        """What the call returns, made in one of the threads for canvases."""
        return await self._canvases.run(call)

    # ------------------------------------------------------------ every service's
    def _close(self, effect: effects.Close) -> None:
        self.closing.append((effect.session, effect.reason))
        self._flusher.schedule()

    def _resume(self, effect: effects.Resume) -> None:
        connection = self._links.get(effect.session.send_queue.id)
        if connection is not None:
            connection.update_reading()

    def _rejected(self, effect: effects.Rejected) -> None:
        log.info(
            "rejected",
            name=effect.session.name or None,
            address=effect.session.address,
            what=effect.what,
            reason=effect.reason,
            count=effect.count,
        )

    def _drawing_problem(self, effect: effects.DrawingProblem) -> None:
        log.error(effect.what, drawing=effect.drawing, error=str(effect.error))

    def _unexpected(self, effect: effects.Unexpected) -> None:
        self._supervisor.report(effect.where, effect.error)

    async def _check_password(self, effect: effects.CheckPassword) -> None:
        session = effect.session
        ok = await self._logins.check(
            effect.name, effect.password, session.address, effect.bind, lambda: not session.closing
        )
        session.password_checked(effect.name, ok, self.now())

    async def _check_credentials(self, effect: effects.CheckCredentials) -> None:
        name = await self.account_of(effect.credentials)
        effect.session.password_checked(name or "", bool(name), self.now())

    async def authenticated(self, name: str, password: str, address: str) -> bool | None:
        """Is this the account's password? None: ask again later.

        address: of whoever says so, without a port.
        """
        return await self._logins.check(name, password, address)

    async def _create_account(self, effect: effects.CreateAccount) -> None:
        session = effect.session
        status = await self._logins.create(
            effect.name, effect.password, session.address, lambda: not session.closing
        )
        session.account_created(status, self.now())

    async def _probe_holder(self, effect: effects.ProbeHolder) -> None:
        connection = self._links.get(effect.holder.send_queue.id)
        if connection is not None and not await connection.is_alive():
            address = effect.holder.address
            log.info("closed a dead connection: its owner is back", address=address)
            connection.transport.abort()
            connection.closed()
        effect.session.holder_probed(effect.name, self.now())

    async def _issue_ticket(self, effect: effects.IssueTicket) -> None:
        ticket = await self._logins.ticket(effect.session.name)
        effect.session.ticket_issued(ticket, self.now())

    # ------------------------------------------------------------ documents and results
    async def _save_documents(self, effect: SaveDocuments) -> None:
        ok = await kept("storing documents", self.store.write(effect.changes))
        effect.book.saved(ok, self.now())
        self.trim()

    async def _fetch_document(self, effect: FetchDocument) -> None:
        await self.answer(effect, self.store.read_one(effect.kind, effect.key), effect.then)

    async def answer(
        self, effect: Question, asked: Coroutine[Any, Any, T], then: Callable[[T, float], None]
    ) -> None:
        """Have `then(value, now)` called with what the store says, or the effect fail."""
        try:
            value = await asked
        except StoreError as error:
            log.error("asking the store", about=type(effect).__name__, error=str(error))
            effect.failed(self.now())
        else:
            then(value, self.now())

    # ------------------------------------------------------------ the journal
    def trim(self) -> None:
        """Something was stored: have the journal forget what nobody needs any more."""
        needed = [service.journal_from for service in self._services]
        needed += [self._book.journal_from, self._context.log.batch]
        self._flusher.trim(min(batch for batch in needed if batch is not None))
        self.bound_journal()

    def bound_journal(self) -> None:
        """Store what holds a long journal back; then the next one, and so on."""
        waits = self._context.read_only or self.store.away
        if self._flusher.journal_is_long and not waits:
            for service in self._services:
                service.checkpoint_oldest(self.now())


async def kept(what: str, writing: Coroutine[Any, Any, None], **details: object) -> bool:
    """Has the store done this? If not, the log says why."""
    try:
        await writing
    except StoreError as error:
        log.error(what, **details, error=str(error))
        return False
    return True


async def _nobodys(_credentials: str) -> str | None:
    """Nobody has issued any."""
    return None
