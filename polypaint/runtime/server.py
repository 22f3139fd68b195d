"""The composition root: the runtime on the machine's event loop, clocks, threads, files, sockets.

Counterparts: `__main__.py` starts it; `runtime/runtime.py` is all that needs none of these.
"""

import asyncio
import contextlib
import errno
import gc
import json
import os
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from polypaint.errors import SettingsError, StoreFull
from polypaint.matches.games import Game, fault
from polypaint.net.tcp import TcpProtocol
from polypaint.runtime.descriptors import raise_descriptors
from polypaint.runtime.machine import memory_ceiling
from polypaint.runtime.metrics import measure
from polypaint.runtime.password_hasher import PasswordHasher
from polypaint.runtime.ports import MachineClock, Ports, Threads
from polypaint.runtime.runtime import Runtime
from polypaint.runtime.services import SERVICES, Companion, Domain, MakeService
from polypaint.runtime.sessions import Sessions
from polypaint.settings import Settings
from polypaint.store.folder import DataFolder
from polypaint.tanks.moderation import Words
from polypaint.web.app import web_port

log = structlog.get_logger()

BACKLOG: Final = 1024
TLS_S: Final = 10.0
"""How long a TLS handshake may take; the time to log in begins after it."""
SWITCH_S: Final = 0.001
"""How long a thread that computes may keep the event loop from the interpreter."""


class Server(Runtime):
    """One server process: the runtime on real ports. `start`, then `stop`; or `run`, which waits
    for a signal."""

    def __init__(self, settings: Settings, services: Sequence[MakeService] = SERVICES) -> None:
        self._loop = asyncio.get_running_loop()
        self._folder = DataFolder(settings.data, settings.durability, settings.store)
        ports = Ports(
            self._loop,
            MachineClock(),
            Threads,
            PasswordHasher(settings.bcrypt_rounds),
            self._folder.store,
            self._folder.journal,
        )
        memory_max = memory_ceiling(settings.memory_max)
        domain = Domain(words(settings.words), installed(), memory_max, services=services)
        super().__init__(settings, ports, domain)
        self.sessions = Sessions(self.store, self.logins, self.supervisor)
        self.effect_runner.account_of = self.sessions.account_of
        self._loop.set_exception_handler(self.supervisor.loop_error)
        self.registry = CollectorRegistry()
        self.addresses: dict[str, Any] = {}
        self.ready = False
        self._companions: list[Companion] = []
        self._listeners: list[asyncio.Server] = []
        self._finish_http: Callable[[], Awaitable[None]] | None = None
        measure(self)

    # ------------------------------------------------------------ life
    async def start(self) -> None:
        """Recover what the last run left, then listen. Raises StoreError, SettingsError."""
        await self.recover()
        await self.sessions.start()
        with contextlib.suppress(StoreFull):
            self.journal.fill_reserve()
        await self._listen()
        for service in self.services:
            service.listening(self._public_address(service.name))
        self._companions = [r.companion(self) for r in self.registered if r.companion]
        self.begin()
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
        routes = [route for registered in self.registered for route in registered.routes]
        make_http, self._finish_http = web_port(self, self, self.endpoints, routes)
        scheme = "https" if context else "http"
        factories = {
            name: partial(TcpProtocol, self, endpoint) for name, endpoint in self.endpoints.items()
        }
        for name, factory in (factories | {"web": make_http}).items():
            port = getattr(settings, f"{name}_port", 0)
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
            names = (*self.endpoints, "web")
            ready = {name: self.addresses.get(name) for name in names} | {"pid": os.getpid()}
            partial_path = path.with_name(path.name + ".partial")
            partial_path.write_text(json.dumps(ready))
            partial_path.replace(path)

    async def stop(self) -> None:
        """Stop accepting, say goodbye, store every drawing, close."""
        self.ready, self.stopping = False, True
        for companion in self._companions:
            await companion.close()
        for listener in self._listeners:
            listener.close()
        self.sessions.close()
        await super().stop()
        await self._folder.close()
        if self.settings.ready_file is not None:
            with contextlib.suppress(OSError):
                self.settings.ready_file.unlink(missing_ok=True)

    async def stopped_listening(self) -> None:
        """See `Runtime`: HTTP's requests are answered."""
        if self._finish_http is not None:
            await self._finish_http()

    def journaled(self) -> Awaitable[None]:
        """Wait until the journal holds everything up to now."""
        future: asyncio.Future[None] = self._loop.create_future()

        def journaled() -> None:
            if not future.done():  # whoever waited may be gone
                future.set_result(None)

        self.bus.send_queue.call_when_sent(journaled)
        return future

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
