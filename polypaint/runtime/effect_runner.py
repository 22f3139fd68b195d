"""What the rooms ask of the world, carried out: passwords, storage, work off the event loop.

An effect leaves the domain, is done in a thread or by the store, and comes back as a call. The
table at the end says which method carries out which.

Counterparts: `engine/effects.py` and each room's; `runtime/runtime.py` hands them over.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

import structlog

from polypaint.engine import effects
from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer, FetchDocument, SaveDocuments
from polypaint.engine.effects import Requester
from polypaint.errors import StoreError
from polypaint.matches import effects as match_effects
from polypaint.net.connection import Connection
from polypaint.paint import effects as paint_effects
from polypaint.paint.canvas_queue import attempted
from polypaint.paint.lobby import Lobby
from polypaint.paint.service import PaintService
from polypaint.paint.work_queue import WorkQueue
from polypaint.runtime.flusher import Flusher
from polypaint.runtime.logins import Logins
from polypaint.runtime.ports import Ports
from polypaint.runtime.supervisor import Supervisor
from polypaint.store import StoredLobby
from polypaint.worker_threads import spare_cores

log = structlog.get_logger()


class Question(Protocol):
    """Something that the store is asked, and its answer handed to whoever asked."""

    @property
    def then(self) -> Callable[[Any, float], None]:
        """Called with the answer."""

    @property
    def failed(self) -> Callable[[float], None]:
        """Called when there is none."""


class EffectRunner:
    """See the module. links: by the ID of their session's send queue. arm: sees to timers."""

    def __init__(
        self,
        context: Context,
        ports: Ports,
        logins: Logins,
        paint: PaintService,
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
        self._arm = arm
        self._context = context
        self._logins = logins
        self._paint = paint
        self._book = book
        self._flusher = flusher
        self._links = connections
        self._loop = ports.scheduler
        self._utc = ports.clock.utc
        threads = max(2, spare_cores())
        self._canvases = ports.workers("canvas", threads)
        self._waiting_work = WorkQueue(threads)
        self._supervisor = supervisor
        self.account_of: Callable[[str], Awaitable[str | None]] = _nobodys
        """Whose a session's cookie or a token is."""
        self._running_effects = False

    @property
    def under_way(self) -> bool:
        """Is something still being done?"""
        return self._supervisor.under_way or len(self._waiting_work) > 0

    @property
    def computing(self) -> bool:
        """Is a thread still computing, after `close` too?"""
        return self.renderer.busy or self._canvases.busy

    def run_effects(self) -> None:
        """Carry out everything that the rooms have asked for."""
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

    def _carry_out(self, effect: Any) -> None:
        where = type(effect).__name__
        try:
            _RUNNERS[type(effect)](self, effect)
        except Exception as error:
            self._supervisor.report(where, error)
            self._supervisor.call(where, effect.failed, self._now())
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

    def _spawn(self, effect: Any, work: Coroutine[Any, Any, None]) -> None:
        """Do what takes time; what the rooms ask for then is carried out, too."""

        async def settled() -> None:
            await work
            self.run_effects()

        def failed() -> None:
            self._supervisor.call(where, effect.failed, self._now())
            self.run_effects()

        where = type(effect).__name__
        self._supervisor.spawn(where, settled(), failed)

    def _now(self) -> float:
        return self._loop.time()

    # ------------------------------------------------------------ every room's
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

    def _check_password(self, effect: effects.CheckPassword) -> None:
        self._spawn(effect, self._checked(effect))

    async def _checked(self, effect: effects.CheckPassword) -> None:
        session = effect.session
        ok = await self._logins.check(
            effect.name, effect.password, session.address, effect.bind, lambda: not session.closing
        )
        session.password_checked(effect.name, ok, self._now())

    def _check_credentials(self, effect: effects.CheckCredentials) -> None:
        self._spawn(effect, self._recognized(effect))

    async def _recognized(self, effect: effects.CheckCredentials) -> None:
        name = await self.account_of(effect.credentials)
        effect.session.password_checked(name or "", bool(name), self._now())

    async def authenticated(self, name: str, password: str, address: str) -> bool | None:
        """Is this the account's password? None: ask again later.

        address: of whoever says so, without a port.
        """
        return await self._logins.check(name, password, address)

    def _create_account(self, effect: effects.CreateAccount) -> None:
        self._spawn(effect, self._created(effect))

    async def _created(self, effect: effects.CreateAccount) -> None:
        session = effect.session
        status = await self._logins.create(
            effect.name, effect.password, session.address, lambda: not session.closing
        )
        session.account_created(status, self._now())

    def _probe_holder(self, effect: effects.ProbeHolder) -> None:
        self._spawn(effect, self._probed(effect))

    async def _probed(self, effect: effects.ProbeHolder) -> None:
        connection = self._links.get(effect.holder.send_queue.id)
        if connection is not None and not await connection.is_alive():
            address = effect.holder.address
            log.info("closed a dead connection: its owner is back", address=address)
            connection.transport.abort()
            connection.closed()
        effect.session.holder_probed(effect.name, self._now())

    def _issue_ticket(self, effect: effects.IssueTicket) -> None:
        self._spawn(effect, self._issued(effect))

    async def _issued(self, effect: effects.IssueTicket) -> None:
        ticket = await self._logins.ticket(effect.session.name)
        effect.session.ticket_issued(ticket, self._now())

    # ------------------------------------------------------------ documents and results
    def _save_documents(self, effect: SaveDocuments) -> None:
        self._spawn(effect, self._documents_saved(effect))

    async def _documents_saved(self, effect: SaveDocuments) -> None:
        ok = await self._kept("storing documents", self.store.write(effect.changes))
        effect.book.saved(ok, self._now())
        self._trim()

    async def _kept(
        self, what: str, writing: Coroutine[Any, Any, None], **details: object
    ) -> bool:
        """Has the store done this? If not, the log says why."""
        try:
            await writing
        except StoreError as error:
            log.error(what, **details, error=str(error))
            return False
        return True

    def _fetch_document(self, effect: FetchDocument) -> None:
        self._ask(effect, self.store.read_one(effect.kind, effect.key))

    def _count_result(self, effect: match_effects.CountResult) -> None:
        self._ask(effect, self._counted(effect))

    async def _counted(self, effect: match_effects.CountResult) -> tuple[str, set[str]]:
        outcome, players = await self.store.count(
            effect.code, effect.player, effect.statut, self._utc()
        )
        return outcome.value, players

    def _read_record(self, effect: match_effects.ReadRecord) -> None:
        self._ask(effect, self.store.record(effect.player))

    def _read_ranking(self, effect: match_effects.ReadRanking) -> None:
        self._ask(effect, self.store.ranking(effect.limit))

    def _ask(self, effect: Question, answer: Coroutine[Any, Any, Any]) -> None:
        self._spawn(effect, self._asked(effect, answer))

    async def _asked(self, effect: Question, answer: Coroutine[Any, Any, Any]) -> None:
        try:
            value = await answer
        except StoreError as error:
            log.error("asking the store", about=type(effect).__name__, error=str(error))
            effect.failed(self._now())
        else:
            effect.then(value, self._now())

    def _trouble(self, effect: match_effects.Trouble) -> None:
        log.error(effect.what, **effect.details)

    def _arrange_studio(self, effect: match_effects.ArrangeGameLobby) -> None:
        e = effect
        self._paint.arrange(
            e.filename, e.owner, e.passcode, e.allowed_authors, e.clear, self._now()
        )

    def _remove_studio(self, effect: match_effects.RemoveGameLobby) -> None:
        self._paint.remove(effect.filename, "The match is over.", self._now())

    # ------------------------------------------------------------ paint's
    def _load_canvas(self, effect: paint_effects.LoadCanvas) -> None:
        self._spawn(effect, self._loaded(effect.lobby))

    async def _loaded(self, lobby: Lobby) -> None:
        dump = None
        try:
            dump = await self.store.load(lobby.number)
        except StoreError as error:
            log.error("loading a drawing", drawing=lobby.info.filename, error=str(error))
        self._paint.canvas_loaded(lobby, self._now(), dump)

    def _save_canvas(self, effect: paint_effects.SaveCanvas) -> None:
        self._spawn(effect, self._saved(effect))

    async def _saved(self, effect: paint_effects.SaveCanvas) -> None:
        stored = StoredLobby(effect.lobby.number, effect.info, effect.seq)
        ok = await self._kept(
            "storing a drawing",
            self.store.save(stored, effect.meta, effect.blobs, self._utc()),
            drawing=effect.info.filename,
        )
        self._paint.canvas_saved(effect, ok, self._now())
        self._trim()

    def _remove_canvas(self, effect: paint_effects.RemoveCanvas) -> None:
        self._spawn(effect, self._removed(effect.lobby))

    async def _removed(self, lobby: Lobby) -> None:
        ok = await self._kept(
            "forgetting a drawing", self.store.remove(lobby.number), drawing=lobby.info.filename
        )
        self._paint.canvas_removed(lobby, ok, self._now())
        self._trim()

    def _trim(self) -> None:
        needed = self._book.journal_from
        before = self._paint.journal_from
        self._flusher.trim(before if needed is None else min(before, needed))
        self.bound_journal()

    def bound_journal(self) -> None:
        """Store the drawing that holds a long journal back; then the next one, and so on."""
        waits = self._context.read_only or self.store.away
        if self._flusher.journal_is_long and not waits:
            self._paint.checkpoint_oldest(self._now())

    def _work(self, effect: paint_effects.Work) -> None:
        self._waiting_work.add(effect)
        self._begin_work()

    def _begin_work(self) -> None:
        while (effect := self._waiting_work.next()) is not None:
            self._spawn(effect, self._worked(effect))

    async def _worked(self, effect: paint_effects.Work) -> None:
        try:
            outcome = await self._canvases.run(attempted, effect.work)
            self._paint.worked(effect, outcome, self._now())
        finally:
            self._waiting_work.done(effect)
            self._begin_work()

    async def dump_of(self, lobby: Lobby) -> tuple[dict[str, Any], list[bytes]] | None:
        """A drawing as `Canvas.dump` has it, from memory or the store; None: it cannot be read."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def then(dump: Any, _now: float) -> None:
            if not future.done():  # whoever asked may be gone
                future.set_result(dump)

        self._paint.read(lobby, then, self._now())
        self.run_effects()
        dump = await future
        try:
            return dump or await self.store.load(lobby.number)
        except StoreError as error:
            log.error("reading a drawing", drawing=lobby.info.filename, error=str(error))
            return None


async def _nobodys(_credentials: str) -> None:
    """Where there are no sessions, nobody has one."""


_RUNNERS: Final[dict[type, Any]] = {
    effects.CheckPassword: EffectRunner._check_password,
    effects.CheckCredentials: EffectRunner._check_credentials,
    effects.CreateAccount: EffectRunner._create_account,
    effects.ProbeHolder: EffectRunner._probe_holder,
    effects.IssueTicket: EffectRunner._issue_ticket,
    effects.Close: EffectRunner._close,
    effects.Resume: EffectRunner._resume,
    effects.Rejected: EffectRunner._rejected,
    SaveDocuments: EffectRunner._save_documents,
    FetchDocument: EffectRunner._fetch_document,
    match_effects.CountResult: EffectRunner._count_result,
    match_effects.ReadRecord: EffectRunner._read_record,
    match_effects.ReadRanking: EffectRunner._read_ranking,
    match_effects.ArrangeGameLobby: EffectRunner._arrange_studio,
    match_effects.RemoveGameLobby: EffectRunner._remove_studio,
    match_effects.Trouble: EffectRunner._trouble,
    effects.DrawingProblem: EffectRunner._drawing_problem,
    effects.Unexpected: EffectRunner._unexpected,
    paint_effects.LoadCanvas: EffectRunner._load_canvas,
    paint_effects.SaveCanvas: EffectRunner._save_canvas,
    paint_effects.RemoveCanvas: EffectRunner._remove_canvas,
    paint_effects.Work: EffectRunner._work,
}
