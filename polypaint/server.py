"""The composition root: listeners, connections, rooms, store, on one event loop.

The path of a packet: `net/tcp.py` data_received → `Session.receive` (all frames of the read) →
`Lobby.draw` → journal and one coalesced write per peer, in `flush.py`, once per turn of the loop.
Nothing is released to a peer before the journal holds it.

Counterparts: `__main__.py` starts it; `errands.py` carries out what the rooms ask for.
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
from polypaint._codec import Outbox
from polypaint.admission import origin
from polypaint.book import Book
from polypaint.bus.local import LocalBus
from polypaint.company import Company
from polypaint.conversation import Conversation
from polypaint.errands import Errands
from polypaint.errors import SettingsError, StoreFull
from polypaint.flush import Flusher
from polypaint.ground import Ground
from polypaint.limits import raise_descriptors
from polypaint.logins import Logins
from polypaint.machine import memory_ceiling
from polypaint.matches.games import Game, fault
from polypaint.matches.service import MatchService
from polypaint.metrics import measure
from polypaint.net.http import web_port
from polypaint.net.link import Link, Room
from polypaint.net.passwords import Passwords
from polypaint.net.tcp import TcpConnection
from polypaint.paint.service import PaintService
from polypaint.quota import Quota
from polypaint.recovery import recover
from polypaint.settings import Settings
from polypaint.store.folder import DataFolder
from polypaint.supervise import Supervisor
from polypaint.tanks.moderation import Words
from polypaint.tanks.service import TankService

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
        self.ground = Ground(settings, epoch, lambda: self.flusher.schedule(), memory_max)
        self.book = Book(self.ground)
        self.bus = LocalBus(self.ground)
        self.paint = PaintService(self.ground)
        games = installed()
        self.paint.games = frozenset(games)
        self.matches = MatchService(
            self.ground, self.book, self.bus, games, random.SystemRandom(), random.Random
        )
        self.tanks = TankService(
            self.ground,
            self.book,
            self.bus.join,
            self.bus.send,
            words(settings.words),
            random.SystemRandom(),
        )
        self.rooms = {room.name: room for room in self._rooms()}
        self.flusher = Flusher(self.ground, self.journal, self, settings.durability == "power")
        self._passwords = Passwords(settings.bcrypt_rounds)
        self.logins = Logins(self.store, self._passwords, settings, self.supervisor)
        self._links: dict[int, Link] = {}
        self.errands = Errands(
            self.ground,
            self.store,
            self.logins,
            self.paint,
            self.book,
            self.flusher,
            self._links,
            self._arm,
            self.supervisor,
        )
        self.settle: Callable[[], None] = self.errands.settle
        self.heard: Callable[[], None] = self.flusher.flush_much
        self.ground.work.notify = self._go_on_soon
        self._company: Company | None = None
        self._listeners: list[asyncio.Server] = []
        self._finish_http: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._last_messages: tuple[bytes, bytes] = (b"", b"")
        self._sweeper: asyncio.TimerHandle | None = None
        self._refused = Quota(*REFUSED)
        measure(self)

    def _rooms(self) -> tuple[Room, ...]:
        return (
            Room(
                "paint",
                self.paint.connect,
                _codec.websocket_messages,
                text=False,
                message_bytes_max=_codec.PACKET_BYTES_MAX,
            ),
            Room(
                "matches",
                self.matches.connect,
                _codec.websocket_texts,
                text=True,
                message_bytes_max=MESSAGE_BYTES_MAX,
            ),
            Room(
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
        self.ground.log.batch = report.next_batch
        self.paint.restore((x.number, x.info, x.seq) for x in report.lobbies)
        for room in (self.matches, self.tanks):
            kept = {kind: await self.store.read(kind) for kind in room.KINDS}
            room.restore(kept, self.now())
        await self.logins.start()
        with contextlib.suppress(StoreFull):
            self.journal.fill_reserve()
        await self._listen()
        self.matches.manager.address = self._public_address("matches")
        self.settle()
        if self.settings.tank_bots:
            self._company = Company(self.tanks, self, self.rooms["tanks"], self.settings.tank_bots)
        self._sweep()
        self.ready = True
        self._write_ready_file()

    async def _listen(self) -> None:
        settings = self.settings
        context = _tls(settings)
        if context is None and self.ground.is_stranger(settings.host):
            log.warning(
                "passwords and drawings travel in clear text: anybody on the way can read them; "
                "use --tls-cert and --tls-key, or listen on loopback behind a proxy with TLS",
                host=settings.host,
            )
        make_http, self._finish_http = web_port(self, self, self.rooms)
        scheme = "https" if context else "http"
        factories = {name: partial(TcpConnection, self, room) for name, room in self.rooms.items()}
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

    def _public_address(self, room: str) -> str:
        """Where clients find a protocol, as they are told."""
        host, colon, port = self.addresses[room].rpartition(":")
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
        if self._company is not None:
            await self._company.close()
        for listener in self._listeners:
            listener.close()
        supervised = self.supervisor.call
        supervised("stopping", self.tanks.stop, self.now())
        links = list(self._links.values())
        for session in self._sessions():
            supervised("stopping", session.close, STOPPING)
        self.settle()
        supervised("stopping", self.flusher.flush)
        for link in links:
            if link.session is not None:  # else the flush has closed it
                supervised("stopping", link.finish, STOPPING)
                supervised("stopping", link.closed)
        deadline = self._loop.time() + STOP_S
        try:
            async with asyncio.timeout_at(deadline - 1):
                while self._unsaved() or self.errands.under_way or self.flusher.committing:
                    await asyncio.sleep(0.005)
                if self._finish_http is not None:
                    await self._finish_http()
        except TimeoutError:
            log.warning("stopping before everything was stored; the journal has the rest")
        for link in links:
            link.transport.abort()
        for timer in (self._timer, self._sweeper):
            if timer is not None:
                timer.cancel()
        self.logins.close()
        self._passwords.close()
        self.errands.close()
        self.flusher.close()
        await self._folder.close()
        if self.settings.ready_file is not None:
            with contextlib.suppress(OSError):
                self.settings.ready_file.unlink(missing_ok=True)

    def _unsaved(self) -> bool:
        self.book.save(self.now())
        self.settle()
        self.flusher.flush()
        if self.book.journal_from is not None and not self.ground.read_only:
            return True
        return not self.ground.read_only and any(
            lobby.saving or lobby.busy or lobby.unsaved_from is not None
            for lobby in self.paint.lobbies.values()
        )

    def _sessions(self) -> list[Conversation]:
        return [link.session for link in self._links.values() if link.session is not None]

    async def run(self) -> bool:
        """Serve until SIGTERM, SIGINT or SIGHUP (the terminal is gone).

        False: threads still compute what nobody waits for.
        """
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._loop.add_signal_handler(number, stop.set)
        maximum = self.settings.connections_max
        self.ground.connections_max = raise_descriptors(maximum)
        await self.start()
        await stop.wait()
        log.info("stopping")
        await self.stop()
        log.info("stopped")
        return not self.errands.computing

    # ------------------------------------------------------------ what links ask for
    def connect(self, link: Link, room: Room, address: str) -> Conversation | None:
        """See `net.link.Shell`."""
        session: Conversation | None = room.connect(address, self.now(), link.rtt_s)
        if session is not None:
            self._links[session.outbox.id] = link
        elif (more := self._refused.take(origin(address), self.now())) is not None:
            log.info("connection refused: too many", address=address, not_shown=more)
        return session

    def disconnect(self, session: Conversation) -> None:
        """See `net.link.Shell`."""
        if self._links.pop(session.outbox.id, None) is not None:
            self.supervisor.call("disconnecting", session.lost, self.now())
            self.settle()

    def messages(self, room: Room, data: bytes) -> bytes:
        """See `net.link.Shell`: made once for all peers that are sent the same object."""
        if self._last_messages[0] is not data:
            self._last_messages = (data, room.messages(data))
        return self._last_messages[1]

    def _go_on(self) -> None:
        """Give those whose share of the last turns was used up another one."""
        try:
            for session in self.ground.work.run(self.now()):
                link = self._links.get(session.outbox.id)
                if link is not None:
                    link.after()
        finally:
            if self.ground.work:
                self._go_on_soon()

    def _go_on_soon(self) -> None:
        self._loop.call_soon(self._go_on)

    # ------------------------------------------------------------ time
    def _arm(self) -> None:
        """Wake up when the next timer is due."""
        self.ground.timers.changed = False
        at = self.ground.timers.next_at()
        if at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = None if at is None else self._loop.call_at(at, self._due)

    def _due(self) -> None:
        self._timer = self._timer_at = None
        now = self.now()
        for call in self.ground.timers.due(now):
            self.supervisor.call("timer", call, now)
        self.settle()
        self._arm()  # even when nothing came of it: it may have been cancelled, or not quite due

    def _sweep(self) -> None:
        """Close readers that take nothing; see whether a full disk has room again."""
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        now = self.now()
        for link in list(self._links.values()):
            if link.stuck_s(now) > self.slow_seconds:
                self.paint.counters["evicted"] += 1
                log.info("closed a slow reader", name=link.session and link.session.name)
                link.transport.abort()
        self.errands.bound_journal()
        self.settle()

    # ------------------------------------------------------------ what the flush asks for
    def send(self, outboxes: list[Outbox]) -> None:
        """See `flush.House`: what is not sent straight to a socket."""
        for outbox in outboxes:
            if outbox is self.bus.outbox:
                self.bus.deliver(self.now())
                continue
            link = self._links.get(outbox.id)
            if link is None:
                continue
            try:
                link.send()
                if link.session is not None:
                    link.session.weigh(self.now())
            except Exception as error:
                self._broken(link, error)
        closing = self.errands.closing
        if not closing and not self.ground.effects:
            return
        self.errands.closing = []
        for session, reason in closing:
            link = self._links.get(session.outbox.id)
            if link is not None:
                log.debug("closing", name=session.name, reason=reason)
                try:
                    link.finish(reason)
                except Exception as error:
                    self.supervisor.report("closing", error)
                    link.transport.abort()
        self.settle()

    def _broken(self, link: Link, error: Exception) -> None:
        """Sending to this connection raised what nobody expected: it ends, and no other."""
        self.supervisor.report("sending", error)
        session = link.session
        if session is None or session.closing:
            link.transport.abort()
        else:
            session.broken()

    def disk_full(self, now: float) -> None:
        """See `flush.House`."""
        self.supervisor.call("disk full", self.paint.turn_read_only, now)
        for link in list(self._links.values()):
            self.supervisor.call("sending", link.send)

    def disk_has_room(self, now: float) -> None:
        """See `flush.House`."""
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
