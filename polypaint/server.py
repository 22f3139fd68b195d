"""The composition root: listeners, sessions, domain, store, on one event loop.

The path of a packet: `net/tcp.py` data_received → `Session.receive` (all frames of the read) →
`Lobby.draw` → journal and one coalesced write per peer, here in `_flush`, once per turn of the
loop. Nothing is released to a peer before the journal holds it.

Counterpart: `__main__.py` starts it; `paint/service.py` is what it runs.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import ssl
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
import uvloop
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from polypaint import _codec
from polypaint._codec import Outbox
from polypaint.accounts import is_name, is_password
from polypaint.errors import SettingsError, StoreError, StoreFull
from polypaint.net.http import Pages, protocol_factory
from polypaint.net.link import Link
from polypaint.net.passwords import Passwords
from polypaint.net.tcp import PaintConnection
from polypaint.pace import Pace
from polypaint.paint import effects, picture
from polypaint.paint.canvas import Canvas
from polypaint.paint.lobbies import Lobby
from polypaint.paint.service import PaintService, attempted
from polypaint.paint.session import ACCOUNT_CREATED, ACCOUNT_REFUSED, NAME_TAKEN, Session
from polypaint.recovery import recover
from polypaint.settings import Settings
from polypaint.store import StoredLobby
from polypaint.store.sqlite import DataFolder

log = structlog.get_logger()

RETRY_S: Final = 0.5
SWEEP_S: Final = 1.0
STOP_S: Final = 9.0
BACKLOG: Final = 1024
TLS_S: Final = 10.0
"""How long a TLS handshake may take; the time to log in begins after it."""
SWITCH_S: Final = 0.001
"""How long a thread that computes may keep the event loop from the interpreter."""


class Server:
    """One server process. `start`, then `stop`; or `run`, which waits for a signal."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self.renderer = ThreadPoolExecutor(1, "render")
        self.addresses: dict[str, Any] = {}
        self.ready = False
        self._loop = asyncio.get_running_loop()
        epoch = time.time() - self._loop.time()
        self.service = PaintService(settings, epoch, self._schedule)
        self._folder = DataFolder(settings.data, settings.durability)
        self.store, self.journal = self._folder.store, self._folder.journal
        self._passwords = Passwords(settings.bcrypt_rounds)
        self._links: dict[int, Link] = {}
        self._closing: list[tuple[Session, str]] = []
        self._listeners: list[asyncio.Server] = []
        self._finish_http: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._pace = Pace()
        self._directly = settings.durability == "process"
        self._commits = 0
        self._commit_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._unwritten: list[tuple[int, bytes]] = []
        self._withheld: list[Outbox] = []
        self._committing: asyncio.Future[None] | None = None
        self._last_messages: tuple[bytes, bytes] = (b"", b"")
        self._journal_thread = ThreadPoolExecutor(1, "journal")
        self._canvases = ThreadPoolExecutor(max(1, (os.cpu_count() or 2) - 1), "canvas")
        self._settling = False
        self._blocked = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._measure()

    # ------------------------------------------------------------ life
    async def start(self) -> None:
        """Recover what the last run left, then listen. Raises StoreError, SettingsError."""
        await self._passwords.start()
        began = time.monotonic()
        report = await recover(self.store, self.journal)
        for problem in report.problems:
            log.error("recovery", problem=problem)
        if report.torn_bytes:
            log.warning("recovered a half-written end of the journal", bytes=report.torn_bytes)
        log.info(
            "recovered",
            drawings=len(report.lobbies),
            accounts=report.accounts,
            replayed=report.replayed,
            seconds=round(time.monotonic() - began, 3),
        )
        known = [(lobby.number, lobby.info, lobby.seq) for lobby in report.lobbies]
        self.service.restore(known, report.next_batch)
        with contextlib.suppress(StoreFull):
            self.journal.fill_reserve()
        await self._listen()
        self._sweep()
        self.ready = True
        self._write_ready_file()

    async def _listen(self) -> None:
        settings = self.settings
        context = _tls(settings)
        make_http, self._finish_http = protocol_factory(Pages(self), self)
        scheme = "https" if context else "http"
        for name, port, factory in (
            ("paint", settings.paint_port, lambda: PaintConnection(self)),
            ("web", settings.web_port, make_http),
        ):
            try:
                listener = await self._loop.create_server(
                    factory,
                    settings.host,
                    port,
                    ssl=context,
                    ssl_handshake_timeout=TLS_S if context else None,
                    backlog=BACKLOG,
                )
            except OSError as error:
                raise SettingsError(
                    f"cannot listen on {settings.host}:{port} for {name}: {error.strerror}; "
                    f"choose another with --{name}-port (0 = any free one)"
                ) from None
            self._listeners.append(listener)
            host, bound = listener.sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            address = f"{shown}:{bound}"
            self.addresses[name] = f"{scheme}://{address}" if name == "web" else address
            log.info("listening", protocol=name, address=self.addresses[name])

    def _write_ready_file(self) -> None:
        path = self.settings.ready_file
        if path is not None:
            names = ("paint", "matches", "tanks", "web")
            ready = {name: self.addresses.get(name) for name in names} | {"pid": os.getpid()}
            partial_path = path.with_name(path.name + ".partial")
            partial_path.write_text(json.dumps(ready))
            partial_path.replace(path)

    async def stop(self) -> None:
        """Stop accepting, say goodbye, store every drawing, close."""
        self.ready = False
        for listener in self._listeners:
            listener.close()
        for session in list(self.service.sessions):
            session.close("the server is stopping")
        self.settle()
        self._flush()
        for link in list(self._links.values()):
            link.finish("the server is stopping")
        for session in list(self.service.sessions):
            self.disconnect(session)
        deadline = self._loop.time() + STOP_S
        try:
            async with asyncio.timeout_at(deadline - 1):
                while self._unsaved() or self._tasks or self._committing:
                    await asyncio.sleep(0.005)
                if self._finish_http is not None:
                    await self._finish_http()
        except TimeoutError:
            log.warning("stopping before everything was stored; the journal has the rest")
        for link in list(self._links.values()):
            link.transport.abort()
        for timer in (self._timer, self._sweeper):
            if timer is not None:
                timer.cancel()
        self._passwords.close()
        self.renderer.shutdown(wait=False, cancel_futures=True)
        self._journal_thread.shutdown()
        self._canvases.shutdown()
        await self._folder.close()

    def _unsaved(self) -> bool:
        self._flush()
        return not self.service.read_only and any(
            lobby.saving or lobby.busy or lobby.unsaved_from is not None
            for lobby in self.service.lobbies.values()
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stop.set)
        await self.start()
        await stop.wait()
        log.info("stopping")
        await self.stop()
        log.info("stopped")

    # ------------------------------------------------------------ what links ask for
    def now(self) -> float:
        """See `net.link.Shell`."""
        return self._loop.time()

    def connect(self, link: Link, address: str) -> Session | None:
        """See `net.link.Shell`."""
        session = self.service.connect(address, self.now(), link.rtt_s)
        if session is not None:
            self._links[session.outbox.id] = link
        return session

    def disconnect(self, session: Session) -> None:
        """See `net.link.Shell`."""
        self._links.pop(session.outbox.id, None)
        session.lost(self.now())
        self.settle()

    def messages(self, data: bytes) -> bytes:
        """See `net.link.Shell`: made once for all peers that are sent the same object."""
        if self._last_messages[0] is not data:
            self._last_messages = (data, _codec.websocket_messages(data))
        return self._last_messages[1]

    def settle(self) -> None:
        """See `net.link.Shell`."""
        if not self.service.effects:
            if self.service.timers.changed:
                self._arm()
            return
        if self._settling:
            return
        self._settling = True
        pending = self.service.effects
        queue = deque(pending)
        pending.clear()
        try:
            while queue:
                effect = queue.popleft()
                _EFFECTS[type(effect)](self, effect)
                queue.extend(pending)
                pending.clear()
        finally:
            self._settling = False
        self._arm()

    # ------------------------------------------------------------ time
    def _arm(self) -> None:
        """Wake up when the next timer is due."""
        self.service.timers.changed = False
        at = self.service.timers.next_at()
        if at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = None if at is None else self._loop.call_at(at, self._due)

    def _due(self) -> None:
        self._timer = self._timer_at = None
        self.service.timers.run_due(self.now())
        self.settle()
        self._arm()  # even when nothing came of it: it may have been cancelled, or not quite due

    def _sweep(self) -> None:
        """Close readers that take nothing; see whether a full disk has room again."""
        now = self.now()
        for link in list(self._links.values()):
            since = link.paused_at
            if since is not None and now - since > self.settings.slow_seconds:
                self.service.counters["evicted"] += 1
                log.info("closed a slow reader", name=link.session and link.session.name)
                link.transport.abort()
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    # ------------------------------------------------------------ the flush
    def _schedule(self) -> None:
        """Something is new: flush at the end of this turn of the loop."""
        if not self._scheduled:
            self._scheduled = True
            wait = self._pace.wait(self._loop.time()) if self._pace.busy else 0.0
            if wait > 0:
                self._loop.call_later(wait, self._flush)
            else:
                self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Journal the turn, then send it: in this order."""
        self._scheduled = False
        service = self.service
        if self._directly and not service.read_only and not self._withheld:
            number = service.log.batch
            batch = service.log.take()
            if not batch or self._committed_now([(number, batch)]):
                before = service.turn.sends
                slow = service.turn.deliver()
                now = self._loop.time()
                self._pace.flushed(now, service.turn.sends - before + len(slow))
                self._send_rest(slow)
                return
            self._unwritten.append((number, batch))
            self._withheld += service.turn.seal()
            self._full()
            return
        self._flush_carefully()

    def _flush_carefully(self) -> None:
        """Seal the turn, journal it, release it, when the journal cannot be written at once."""
        if self._committing is not None:
            return
        service = self.service
        number = service.log.batch
        batch = service.log.take()
        self._withheld += service.turn.seal()
        if batch:
            self._unwritten.append((number, batch))
        if not self._unwritten:
            self._release()
        elif service.read_only:
            # Only what members who left had selected is recorded now; recovery ends a dead
            # server's selections in the same way, so the others may be told before it is written.
            if not self._blocked:
                self._release()
        else:
            future = self._loop.run_in_executor(
                self._journal_thread, self.journal.commit, list(self._unwritten)
            )
            self._committing = future
            future.add_done_callback(self._committed)

    def _committed_now(self, batches: list[tuple[int, bytes]]) -> bool:
        """Commit on the event loop; False when there is no room."""
        began = time.perf_counter()
        try:
            self.journal.commit(batches)
        except StoreError as error:
            log.error("the journal cannot be written", error=str(error))
            return False
        self._commits += 1
        self._commit_s += time.perf_counter() - began
        return True

    def _committed(self, future: "asyncio.Future[None]") -> None:
        """A synced commit has come back."""
        self._committing = None
        error = future.exception()
        if isinstance(error, StoreError):
            log.error("the journal cannot be written", error=str(error))
            self._full()
            return
        if error is not None:
            raise error
        self._unwritten.clear()
        self._release()
        if self.service.turn.pending or self.service.log.records:
            self._schedule()

    def _full(self) -> None:
        """The journal takes nothing more: use the reserve, let people look, forbid drawing."""
        log.error("drawings are read-only until there is room on the disk")
        if self.journal.use_reserve():
            with contextlib.suppress(StoreError):
                self.journal.commit(self._unwritten)
                self._unwritten.clear()
        self._blocked = bool(self._unwritten)
        self.service.turn_read_only(self.now())
        if not self._blocked:
            self._release()
        for link in list(self._links.values()):
            link.send()
        self._loop.call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        """Is there room again?"""
        try:
            self.journal.fill_reserve()
            if self._unwritten:
                self.journal.commit(self._unwritten)
        except StoreError:
            self._loop.call_later(RETRY_S, self._retry)
            return
        self._unwritten.clear()
        self._blocked = False
        log.info("the journal can be written again")
        self._release()
        self.service.turn_writable(self.now())
        self.settle()

    def _release(self) -> None:
        """What was sealed is journaled: send it."""
        outboxes, self._withheld = self._withheld, []
        for outbox in outboxes:
            outbox.release()
        self._send_rest(outboxes)

    def _send_rest(self, outboxes: list[Outbox]) -> None:
        """What is not sent straight to a socket; and who lags; and who is to be closed."""
        for outbox in outboxes:
            link = self._links.get(outbox.id)
            if link is None:
                continue
            link.send()
            if outbox.queued > self.settings.backlog_bytes_max and link.session is not None:
                self.service.lagging(link.session, self.now())
                if outbox.queued > self.settings.backlog_bytes_max:
                    link.session.close("does not read what it asked for")
        if not self._closing and not self.service.effects:
            return
        closing, self._closing = self._closing, []
        for session, reason in closing:
            link = self._links.get(session.outbox.id)
            if link is not None:
                log.debug("closing", name=session.name, reason=reason)
                link.finish(reason)
        self.settle()

    # ------------------------------------------------------------ effects
    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_close(self, effect: effects.Close) -> None:
        self._closing.append((effect.session, effect.reason))
        self._schedule()

    def _on_resume(self, effect: effects.Resume) -> None:
        link = self._links.get(effect.session.outbox.id)
        if link is not None:
            link.update_reading()

    def _on_rejected(self, effect: effects.Rejected) -> None:
        log.info(
            "rejected",
            name=effect.session.name or None,
            address=effect.session.address,
            type=effect.type_id,
            reason=effect.reason,
            count=effect.count,
        )

    def _on_check_password(self, effect: effects.CheckPassword) -> None:
        self._spawn(self._check_password(effect))

    async def _check_password(self, effect: effects.CheckPassword) -> None:
        ok = await self.authenticated(effect.name, effect.password)
        effect.session.password_checked(effect.name, ok, self.now())
        self.settle()

    async def authenticated(self, name: str, password: str) -> bool:
        """See `net.http.Site`."""
        if not is_name(name) or not is_password(password):
            return False
        try:
            hashed = await self.store.password_hash(name)
        except StoreError as error:
            log.error("login", error=str(error))
            return False
        return await self._passwords.check(password, hashed)

    def _on_create_account(self, effect: effects.CreateAccount) -> None:
        self._spawn(self._create_account(effect))

    async def _create_account(self, effect: effects.CreateAccount) -> None:
        try:
            hashed = await self._passwords.hash(effect.password)
            added = await self.store.add_account(effect.name, hashed)
            status = ACCOUNT_CREATED if added else NAME_TAKEN
        except StoreError as error:
            log.error("creating an account", error=str(error))
            status = ACCOUNT_REFUSED
        effect.session.account_created(status, self.now())
        self.settle()

    def _on_load(self, effect: effects.LoadCanvas) -> None:
        self._spawn(self._load(effect.lobby))

    async def _load(self, lobby: Lobby) -> None:
        dump = None
        try:
            dump = await self.store.load(lobby.number)
        except StoreError as error:
            log.error("loading a drawing", drawing=lobby.info.filename, error=str(error))
        self.service.canvas_loaded(lobby, self.now(), dump)
        self.settle()

    def _on_save(self, effect: effects.SaveCanvas) -> None:
        self._spawn(self._save(effect))

    async def _save(self, effect: effects.SaveCanvas) -> None:
        stored = StoredLobby(effect.lobby.number, effect.info, effect.seq)
        ok = True
        try:
            await self.store.save(stored, effect.meta, effect.blobs, time.time())
        except StoreError as error:
            ok = False
            log.error("storing a drawing", drawing=effect.info.filename, error=str(error))
        self.service.canvas_saved(effect, ok, self.now())
        self._trim()
        self.settle()

    def _trim(self) -> None:
        if self._committing is None and not self._unwritten:
            try:
                self.journal.trim(self.service.journal_from)
            except StoreError as error:
                log.error("trimming the journal", error=str(error))

    def _on_work(self, effect: effects.Work) -> None:
        self._spawn(self._work(effect))

    async def _work(self, effect: effects.Work) -> None:
        outcome = await self._loop.run_in_executor(self._canvases, attempted, effect.work)
        self.service.worked(effect, outcome, self.now())
        self.settle()

    async def canvas_of(self, lobby: Lobby) -> Canvas | None:
        """See `net.http.Site`."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def then(dump: Any, _now: float) -> None:
            if not future.done():  # whoever asked may be gone
                future.set_result(dump)

        self.service.read(lobby, then, self.now())
        self.settle()
        dump = await future
        try:
            dump = dump or await self.store.load(lobby.number)
            return await self._loop.run_in_executor(
                self.renderer, picture.canvas_from, lobby.info.drawing_mode, dump
            )
        except StoreError as error:
            log.error("reading a drawing", drawing=lobby.info.filename, error=str(error))
            return None

    # ------------------------------------------------------------ metrics
    def _measure(self) -> None:
        service = self.service
        for name, says, value in (
            ("connections", "Open connections.", lambda: len(service.sessions)),
            ("logged_in", "Connections that have logged in.", lambda: len(service.presence)),
            ("lobbies", "Drawings that are kept.", lambda: len(service.lobbies)),
            ("lobbies_active", "Drawings with people at them.", self._active),
            ("channels", "Chat channels.", lambda: len(service.channels)),
            ("read_only", "1 while the disk is full.", lambda: service.read_only),
        ):
            Gauge(f"polypaint_{name}", says, registry=self.registry).set_function(value)
        self.registry.register(_Counters(self))

    @property
    def commits(self) -> tuple[int, float]:
        """Group commits on the event loop, and the seconds that they took together."""
        return self._commits, self._commit_s

    def _active(self) -> int:
        return sum(bool(lobby.members) for lobby in self.service.lobbies.values())


class _Counters(Collector):
    """What the server counts, for Prometheus."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        for name, says in (
            ("packets", "Packets received."),
            ("rejected", "Packets rejected."),
            ("resyncs", "Times that somebody was given the canvas again."),
            ("evicted", "Slow readers closed."),
        ):
            value = self._server.service.counters[name]
            yield CounterMetricFamily(f"polypaint_{name}", says, value=value)
        commits, seconds = self._server.commits
        yield SummaryMetricFamily(
            "polypaint_journal_commit_seconds",
            "Time of group commits.",
            count_value=commits,
            sum_value=seconds,
        )
        yield CounterMetricFamily(
            "polypaint_sends", "Direct writes to sockets.", value=self._server.service.turn.sends
        )


_EFFECTS: Final[dict[type, Any]] = {
    effects.CheckPassword: Server._on_check_password,
    effects.CreateAccount: Server._on_create_account,
    effects.LoadCanvas: Server._on_load,
    effects.SaveCanvas: Server._on_save,
    effects.Work: Server._on_work,
    effects.Close: Server._on_close,
    effects.Resume: Server._on_resume,
    effects.Rejected: Server._on_rejected,
}


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """Raises SettingsError when certificate or key cannot be used."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"cannot use {settings.tls_cert}: {error}") from None
    return context


def serve(settings: Settings) -> None:
    """Run a server on uvloop until it is told to stop. Raises StoreError, SettingsError."""

    async def main() -> None:
        server = Server(settings)
        gc.collect()
        gc.freeze()  # what is there at the start stays: it need not be looked at again
        await server.run()

    sys.setswitchinterval(SWITCH_S)
    uvloop.run(main())
