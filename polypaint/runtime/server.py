"""The composition root: listeners, connections, rooms, store, on one event loop.

The path of a packet: `net/tcp.py` data_received → `PaintSession.receive` (all frames of the read)
→ `Lobby.draw` → journal and one coalesced write per peer, in `runtime/flusher.py`, once per turn
of the loop. Nothing is released to a peer before the journal holds it.

Counterparts: `__main__.py` starts it; `runtime/effect_runner.py` carries out what the rooms ask
for.
"""

import asyncio
import contextlib
import errno
import gc
import json
import os
import random
import signal
import ssl
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from polypaint import _codec
from polypaint._codec import SendQueue
from polypaint.bus.local import LocalBus
from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.engine.quota import Quota
from polypaint.engine.session import Session
from polypaint.errors import SettingsError, StoreFull
from polypaint.identity.admission import origin
from polypaint.matches.games import Game, fault
from polypaint.matches.service import MatchService
from polypaint.net.connection import Connection, Endpoint
from polypaint.net.tcp import TcpProtocol
from polypaint.paint.service import PaintService
from polypaint.runtime.bot_supervisor import BotSupervisor
from polypaint.runtime.descriptors import raise_descriptors
from polypaint.runtime.effect_runner import EffectRunner
from polypaint.runtime.flusher import Flusher
from polypaint.runtime.logins import Logins
from polypaint.runtime.machine import memory_ceiling
from polypaint.runtime.metrics import measure
from polypaint.runtime.password_hasher import PasswordHasher
from polypaint.runtime.recovery import recover
from polypaint.runtime.supervisor import Supervisor
from polypaint.settings import Settings
from polypaint.store.folder import DataFolder
from polypaint.tanks.moderation import Words
from polypaint.tanks.service import TankService
from polypaint.web.app import web_port

log = structlog.get_logger()

SWEEP_S: Final = 1.0
STOPPING: Final = "the server is stopping"
STOP_S: Final = 9.0
BACKLOG: Final = 1024
REFUSED: Final = (0.1, 5.0)
"""Lines of the log about refused connections of an address: so many a second, so many at once."""
MESSAGE_BYTES_MAX: Final = 1 << 16
"""Of a WebSocket message; what is longer than the protocol allows, but not this, is answered."""
TLS_S: Final = 10.0
"""How long a TLS handshake may take; the time to log in begins after it."""
SWITCH_S: Final = 0.001
"""How long a thread that computes may keep the event loop from the interpreter."""


class Server:
    """One server process. `start`, then `stop`; or `run`, which waits for a signal."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self.addresses: dict[str, Any] = {}
        self.ready = False
        self.stopping = False
        self.slow_seconds = settings.slow_seconds
        self.origins = frozenset(settings.origins.replace(",", " ").split())
        self._loop = asyncio.get_running_loop()
        self.now: Callable[[], float] = self._loop.time
        epoch = time.time() - self._loop.time()
        self.supervisor = Supervisor()
        self._loop.set_exception_handler(self.supervisor.loop_error)
        self._folder = DataFolder(settings.data, settings.durability, settings.store)
        self.store, self.journal = self._folder.store, self._folder.journal
        memory_max = memory_ceiling(settings.memory_max)
        self.context = Context(settings, epoch, lambda: self.flusher.schedule(), memory_max)
        self.book = DocumentBuffer(self.context)
        self.bus = LocalBus(self.context)
        self.paint = PaintService(self.context)
        games = installed()
        self.paint.games = frozenset(games)
        self.matches = MatchService(
            self.context, self.book, self.bus, games, random.SystemRandom(), random.Random
        )
        self.tanks = TankService(
            self.context,
            self.book,
            self.bus.join,
            self.bus.send,
            words(settings.words),
            random.SystemRandom(),
        )
        self.endpoints = {endpoint.name: endpoint for endpoint in self._rooms()}
        self.flusher = Flusher(self.context, self.journal, self, settings.durability == "power")
        self._passwords = PasswordHasher(settings.bcrypt_rounds)
        self.logins = Logins(self.store, self._passwords, settings, self.supervisor)
        self._links: dict[int, Connection] = {}
        self.effect_runner = EffectRunner(
            self.context,
            self.store,
            self.logins,
            self.paint,
            self.book,
            self.flusher,
            self._links,
            self._arm,
            self.supervisor,
        )
        self.run_effects: Callable[[], None] = self.effect_runner.run_effects
        self.after_read: Callable[[], None] = self.flusher.flush_if_large
        self.context.work.notify = self._go_on_soon
        self._bots: BotSupervisor | None = None
        self._listeners: list[asyncio.Server] = []
        self._finish_http: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._last_messages: tuple[bytes, bytes] = (b"", b"")
        self._sweeper: asyncio.TimerHandle | None = None
        self._refused = Quota(*REFUSED)
        measure(self)

    def _rooms(self) -> tuple[Endpoint, ...]:
        return (
            Endpoint(
                "paint",
                self.paint.connect,
                _codec.websocket_messages,
                text=False,
                message_bytes_max=_codec.PACKET_BYTES_MAX,
            ),
            Endpoint(
                "matches",
                self.matches.connect,
                _codec.websocket_texts,
                text=True,
                message_bytes_max=MESSAGE_BYTES_MAX,
            ),
            Endpoint(
                "tanks",
                self.tanks.connect,
                _codec.websocket_texts,
                text=True,
                message_bytes_max=MESSAGE_BYTES_MAX,
            ),
        )

    # ------------------------------------------------------------ life
    async def start(self) -> None:
        """Recover what the last run left, then listen. Raises StoreError, SettingsError."""
        began = time.monotonic()
        await self.store.start()
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
        self.context.log.batch = report.next_batch
        self.paint.restore((x.number, x.info, x.seq) for x in report.lobbies)
        for endpoint in (self.matches, self.tanks):
            kept = {kind: await self.store.read(kind) for kind in endpoint.KINDS}
            endpoint.restore(kept, self.now())
        await self.logins.start()
        with contextlib.suppress(StoreFull):
            self.journal.fill_reserve()
        await self._listen()
        self.matches.manager.address = self._public_address("matches")
        self.run_effects()
        if self.settings.tank_bots:
            self._bots = BotSupervisor(
                self.tanks, self, self.endpoints["tanks"], self.settings.tank_bots
            )
        self._sweep()
        self.ready = True
        self._write_ready_file()

    async def _listen(self) -> None:
        settings = self.settings
        context = _tls(settings)
        if context is None and self.context.is_unauthenticated(settings.host):
            log.warning(
                "passwords and drawings travel in clear text: anybody on the way can read them; "
                "use --tls-cert and --tls-key, or listen on loopback behind a proxy with TLS",
                host=settings.host,
            )
        make_http, self._finish_http = web_port(self, self, self.endpoints)
        scheme = "https" if context else "http"
        factories = {
            name: partial(TcpProtocol, self, endpoint) for name, endpoint in self.endpoints.items()
        }
        for name, factory in (factories | {"web": make_http}).items():
            port = getattr(settings, f"{name}_port")
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
                taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
                hint = f"--{name}-port (0 = any free one)" if taken else "--host"
                raise SettingsError(
                    f"cannot listen on {settings.host}:{port} for {name}: {error.strerror}; "
                    f"choose another with {hint}"
                ) from None
            self._listeners.append(listener)
            host, bound = listener.sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            address = f"{shown}:{bound}"
            self.addresses[name] = f"{scheme}://{address}" if name == "web" else address
            log.info("listening", protocol=name, address=self.addresses[name])

    def _public_address(self, endpoint: str) -> str:
        """Where clients find a protocol, as they are told."""
        host, colon, port = self.addresses[endpoint].rpartition(":")
        return f"{self.settings.public_host or host}{colon}{port}"

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
        self.ready, self.stopping = False, True
        if self._bots is not None:
            await self._bots.close()
        for listener in self._listeners:
            listener.close()
        supervised = self.supervisor.call
        supervised("stopping", self.tanks.stop, self.now())
        connections = list(self._links.values())
        for session in self._sessions():
            supervised("stopping", session.close, STOPPING)
        self.run_effects()
        supervised("stopping", self.flusher.flush)
        for connection in connections:
            if connection.session is not None:  # else the flush has closed it
                supervised("stopping", connection.finish, STOPPING)
                supervised("stopping", connection.closed)
        deadline = self._loop.time() + STOP_S
        try:
            async with asyncio.timeout_at(deadline - 1):
                while self._unsaved() or self.effect_runner.under_way or self.flusher.committing:
                    await asyncio.sleep(0.005)
                if self._finish_http is not None:
                    await self._finish_http()
        except TimeoutError:
            log.warning("stopping before everything was stored; the journal has the rest")
        for connection in connections:
            connection.transport.abort()
        for timer in (self._timer, self._sweeper):
            if timer is not None:
                timer.cancel()
        self.logins.close()
        self._passwords.close()
        self.effect_runner.close()
        self.flusher.close()
        await self._folder.close()
        if self.settings.ready_file is not None:
            with contextlib.suppress(OSError):
                self.settings.ready_file.unlink(missing_ok=True)

    def _unsaved(self) -> bool:
        self.book.save(self.now())
        self.run_effects()
        self.flusher.flush()
        if self.book.journal_from is not None and not self.context.read_only:
            return True
        return not self.context.read_only and any(
            lobby.saving or lobby.busy or lobby.unsaved_from is not None
            for lobby in self.paint.lobbies.values()
        )

    def _sessions(self) -> list[Session]:
        return [
            connection.session
            for connection in self._links.values()
            if connection.session is not None
        ]

    async def run(self) -> bool:
        """Serve until SIGTERM, SIGINT or SIGHUP (the terminal is gone).

        False: threads still compute what nobody waits for.
        """
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.add_signal_handler(number, stop.set)
        maximum = self.settings.connections_max
        self.context.connections_max = raise_descriptors(maximum)
        await self.start()
        await stop.wait()
        log.info("stopping")
        await self.stop()
        log.info("stopped")
        return not self.effect_runner.computing

    # ------------------------------------------------------------ what links ask for
    def connect(self, connection: Connection, endpoint: Endpoint, address: str) -> Session | None:
        """See `net.connection.ConnectionHost`."""
        session: Session | None = endpoint.connect(address, self.now(), connection.rtt_s)
        if session is not None:
            self._links[session.send_queue.id] = connection
        elif (more := self._refused.take(origin(address), self.now())) is not None:
            log.info("connection refused: too many", address=address, not_shown=more)
        return session

    def disconnect(self, session: Session) -> None:
        """See `net.connection.ConnectionHost`."""
        if self._links.pop(session.send_queue.id, None) is not None:
            self.supervisor.call("disconnecting", session.lost, self.now())
            self.run_effects()

    def messages(self, endpoint: Endpoint, data: bytes) -> bytes:
        """See `net.connection.ConnectionHost`: made once for all peers that are sent the same
        object."""
        if self._last_messages[0] is not data:
            self._last_messages = (data, endpoint.messages(data))
        return self._last_messages[1]

    def _go_on(self) -> None:
        """Give those whose share of the last turns was used up another one."""
        try:
            for session in self.context.work.run(self.now()):
                connection = self._links.get(session.send_queue.id)
                if connection is not None:
                    connection.after()
        finally:
            if self.context.work:
                self._go_on_soon()

    def _go_on_soon(self) -> None:
        self._loop.call_soon(self._go_on)

    # ------------------------------------------------------------ time
    def _arm(self) -> None:
        """Wake up when the next timer is due."""
        self.context.timers.changed = False
        at = self.context.timers.next_at()
        if at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = None if at is None else self._loop.call_at(at, self._due)

    def _due(self) -> None:
        self._timer = self._timer_at = None
        now = self.now()
        for call in self.context.timers.due(now):
            self.supervisor.call("timer", call, now)
        self.run_effects()
        self._arm()  # even when nothing came of it: it may have been cancelled, or not quite due

    def _sweep(self) -> None:
        """Close readers that take nothing; see whether a full disk has room again."""
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        now = self.now()
        for connection in list(self._links.values()):
            if connection.stuck_s(now) > self.slow_seconds:
                self.paint.counters["evicted"] += 1
                log.info(
                    "closed a slow reader", name=connection.session and connection.session.name
                )
                connection.transport.abort()
        self.effect_runner.bound_journal()
        self.run_effects()

    # ------------------------------------------------------------ what the flush asks for
    def send(self, send_queues: list[SendQueue]) -> None:
        """See `flush.FlushTarget`: what is not sent straight to a socket."""
        for send_queue in send_queues:
            if send_queue is self.bus.send_queue:
                self.bus.deliver(self.now())
                continue
            connection = self._links.get(send_queue.id)
            if connection is None:
                continue
            try:
                connection.send()
                if connection.session is not None:
                    connection.session.weigh(self.now())
            except Exception as error:
                self._broken(connection, error)
        closing = self.effect_runner.closing
        if not closing and not self.context.effects:
            return
        self.effect_runner.closing = []
        for session, reason in closing:
            connection = self._links.get(session.send_queue.id)
            if connection is not None:
                log.debug("closing", name=session.name, reason=reason)
                try:
                    connection.finish(reason)
                except Exception as error:
                    self.supervisor.report("closing", error)
                    connection.transport.abort()
        self.run_effects()

    def _broken(self, connection: Connection, error: Exception) -> None:
        """Sending to this connection raised what nobody expected: it ends, and no other."""
        self.supervisor.report("sending", error)
        session = connection.session
        if session is None or session.closing:
            connection.transport.abort()
        else:
            session.broken()

    def disk_full(self, now: float) -> None:
        """See `flush.FlushTarget`."""
        self.supervisor.call("disk full", self.paint.turn_read_only, now)
        for connection in list(self._links.values()):
            self.supervisor.call("sending", connection.send)

    def disk_has_room(self, now: float) -> None:
        """See `flush.FlushTarget`."""
        self.supervisor.call("disk has room", self.paint.turn_writable, now)


def words(path: Path | None) -> Words:
    """The word list of the chat moderation. Raises SettingsError."""
    try:
        if path is None:
            return Words((files("polypaint.tanks") / "words.txt").read_text("utf-8"))
        return Words(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the word list {path}: {error}") from None


def installed() -> dict[str, type[Game]]:
    """All games that are installed, by name: ours and those of other packages."""
    games: dict[str, type[Game]] = {}
    for point in entry_points(group="polypaint.games"):
        try:
            game = point.load()
        except Exception as error:
            log.error("a game cannot be loaded", game=point.name, error=repr(error))
            continue
        if problem := fault(game):
            log.error("a game cannot be used", game=point.name, problem=problem)
        else:
            games[game.name] = game
    return games


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


def serve(settings: Settings) -> bool:
    """Run a server on uvloop until it is told to stop. Raises StoreError, SettingsError.

    False: threads still compute what nobody waits for, and would delay the process's end.
    """

    async def main() -> bool:
        server = Server(settings)
        gc.collect()
        gc.freeze()  # what is there at the start stays: it need not be looked at again
        return await server.run()

    sys.setswitchinterval(SWITCH_S)
    return uvloop.run(main())
