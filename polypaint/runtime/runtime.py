"""The runtime: services, their journal, their effects, timers and connections, over ports.

The path of a packet: `net/tcp.py` data_received → `PaintSession.receive` (all frames of the read)
→ `Lobby.draw` → journal and one coalesced write per peer, in `flusher.py`, once per turn of the
loop. Nothing is released to a peer before the journal holds it.

Must never open a socket or a file, read a clock, or start a thread but through `ports.py`: the
tests run this very code in virtual time. Counterpart: `server.py` gives it the machine's ports,
and listens.
"""

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import Final, TypeVar

import structlog

from polypaint._codec import SendQueue
from polypaint.bus.reliable import ReliableBus
from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.engine.quota import Quota
from polypaint.engine.service import Endpoint, Service, missing
from polypaint.engine.session import Session
from polypaint.identity.admission import origin
from polypaint.matches.service import MatchService
from polypaint.net.connection import Connection
from polypaint.paint.service import PaintService
from polypaint.runtime.effect_runner import EffectRunner
from polypaint.runtime.flusher import Flusher
from polypaint.runtime.logins import Logins
from polypaint.runtime.ports import Handle, Ports
from polypaint.runtime.recovery import Report, recover
from polypaint.runtime.services import Domain, Parts, Registered
from polypaint.runtime.supervisor import Supervisor
from polypaint.settings import Settings
from polypaint.tanks.service import TankService

log = structlog.get_logger()

S = TypeVar("S", bound=Service)

SWEEP_S: Final = 1.0
STOPPING: Final = "the server is stopping"
STOP_S: Final = 8.0
"""How long storing everything may take at the end."""
REFUSED: Final = (0.1, 5.0)
"""Lines of the log about refused connections of an address: so many a second, so many at once."""


class Runtime:
    """See the module. `recover`, then `begin`; it satisfies `ConnectionHost` and `FlushTarget`."""

    def __init__(self, settings: Settings, ports: Ports, domain: Domain) -> None:
        self.settings = settings
        self.ports = ports
        self.stopping = False
        self.slow_seconds = settings.slow_seconds
        self.origins = frozenset(settings.origins.replace(",", " ").split())
        self.store, self.journal = ports.store, ports.journal
        self._scheduler = ports.scheduler
        self.now: Callable[[], float] = ports.scheduler.time
        epoch = ports.clock.utc() - ports.scheduler.time()
        self.supervisor = Supervisor(ports.scheduler)
        notify: Callable[[], None] = lambda: self.flusher.schedule()  # noqa: E731
        self.context = Context(settings, epoch, notify, domain.memory_max)
        self.book = DocumentBuffer(self.context)
        self.bus = domain.bus(self.context)
        self.services: list[Service] = []
        self.evicted = 0
        """Readers that were closed because they took nothing."""
        self.flusher = Flusher(self.context, self, ports, settings.durability == "power")
        self.logins = Logins(ports, settings, self.supervisor)
        self._links: dict[int, Connection] = {}
        self.effect_runner = EffectRunner(
            self.context,
            ports,
            self.logins,
            self.services,
            self.book,
            self.flusher,
            self._links,
            self._arm,
            self.supervisor,
        )
        self.registered = self._register(domain)
        self.services += [registered.service for registered in self.registered]
        self.endpoints = {service.name: service.endpoint for service in self.services}
        self.run_effects: Callable[[], None] = self.effect_runner.run_effects
        self.after_read: Callable[[], None] = self.flusher.flush_if_large
        self.context.work.notify = self._go_on_soon
        self._timer: Handle | None = None
        self._timer_at: float | None = None
        self._last_messages: tuple[bytes, bytes] = (b"", b"")
        self._sweeper: Handle | None = None
        self._refused = Quota(*REFUSED)

    def _register(self, domain: Domain) -> list[Registered]:
        """Make the services, and see that every effect that they may ask for is carried out.

        Raises TypeError for one that nobody carries out.
        """
        runner, registered = self.effect_runner, []
        requests = ReliableBus(self.context, self.bus)
        parts = Parts(self.context, self.book, requests, self.store, runner, domain)
        for make in domain.services:
            registered.append(made := make(parts))
            runner.carriers.include(made.carriers)
        packages = {type(made.service).__module__.rpartition(".")[0] for made in registered}
        for package in sorted(packages | {"polypaint"}):
            if names := missing(runner.carriers, package):
                raise TypeError(f"effects of {package} that nobody carries out: {names}")
        return registered

    def service(self, kind: type[S]) -> S:
        """The service of this class. Raises LookupError when none runs."""
        for service in self.services:
            if isinstance(service, kind):
                return service
        raise LookupError(f"no {kind.__name__} runs")

    # What the web pages show of single services.
    @cached_property
    def paint(self) -> PaintService:
        """Drawings."""
        return self.service(PaintService)

    @cached_property
    def matches(self) -> MatchService:
        """Matches."""
        return self.service(MatchService)

    @cached_property
    def tanks(self) -> TankService:
        """Tanks."""
        return self.service(TankService)

    # ------------------------------------------------------------ life
    async def recover(self) -> Report:
        """Restore what the last run left. Raises StoreError."""
        began = self.ports.clock.precise()
        await self.store.start()
        report = await recover(self.store, self.journal, self.ports.clock.utc)
        for problem in report.problems:
            log.error("recovery", problem=problem)
        if report.torn_bytes:
            log.warning("recovered a half-written end of the journal", bytes=report.torn_bytes)
        log.info(
            "recovered",
            drawings=len(report.lobbies),
            accounts=report.accounts,
            replayed=report.replayed,
            seconds=round(self.ports.clock.precise() - began, 3),
        )
        self.context.log.batch = report.next_batch
        self.paint.restore_lobbies((x.number, x.info, x.seq) for x in report.lobbies)
        for service in self.services:
            kept = {kind: await self.store.read(kind) for kind in service.KINDS}
            service.restore(kept, self.now())
        await self.logins.start()
        return report

    def begin(self) -> None:
        """Do what `recover` has found to do, and see to slow readers from now on."""
        self.run_effects()
        self._sweep()

    async def stop(self) -> None:
        """Say goodbye, store every drawing, end the threads."""
        self.stopping = True
        supervised = self.supervisor.call
        for service in self.services:
            supervised("stopping", service.stop, self.now())
        connections = list(self._links.values())
        for session in self._sessions():
            supervised("stopping", session.close, STOPPING)
        self.run_effects()
        supervised("stopping", self.flusher.flush)
        for connection in connections:
            if connection.session is not None:  # else the flush has closed it
                supervised("stopping", connection.finish, STOPPING)
                supervised("stopping", connection.closed)
        try:
            async with asyncio.timeout(STOP_S):
                while self._unsaved() or self.effect_runner.under_way or self.flusher.committing:
                    await asyncio.sleep(0.005)
                await self.stopped_listening()
        except TimeoutError:
            log.warning("stopping before everything was stored; the journal has the rest")
        for connection in connections:
            connection.transport.abort()
        for timer in (self._timer, self._sweeper):
            if timer is not None:
                timer.cancel()
        self.logins.close()
        self.ports.hasher.close()
        self.effect_runner.close()
        self.flusher.close()

    async def stopped_listening(self) -> None:
        """Wait for what a listener still has under way, while `stop` stores everything."""

    def _unsaved(self) -> bool:
        self.book.save(self.now())
        self.run_effects()
        self.flusher.flush()
        if self.context.read_only:
            return False
        return self.book.journal_from is not None or not all(x.saved for x in self.services)

    def _sessions(self) -> list[Session]:
        return [
            connection.session
            for connection in self._links.values()
            if connection.session is not None
        ]

    # ------------------------------------------------------------ what connections ask for
    def connect(self, connection: Connection, endpoint: Endpoint, address: str) -> Session | None:
        """See `ConnectionHost`."""
        session = endpoint.connect(address, self.now(), connection.rtt_s)
        if session is not None:
            self._links[session.send_queue.id] = connection
        elif (more := self._refused.take(origin(address), self.now())) is not None:
            log.info("connection refused: too many", address=address, not_shown=more)
        return session

    def disconnect(self, session: Session) -> None:
        """See `ConnectionHost`."""
        if self._links.pop(session.send_queue.id, None) is not None:
            self.supervisor.call("disconnecting", session.lost, self.now())
            self.run_effects()

    def messages(self, endpoint: Endpoint, data: bytes) -> bytes:
        """See `ConnectionHost`: made once for all peers that are sent the same
        object."""
        if self._last_messages[0] is not data:
            self._last_messages = (data, endpoint.messages(data))
        return self._last_messages[1]

    def report(self, where: str, error: BaseException, **details: object) -> None:
        """See `ConnectionHost`."""
        self.supervisor.report(where, error, **details)

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
        self._scheduler.call_soon(self._go_on)

    # ------------------------------------------------------------ time
    def _arm(self) -> None:
        """Wake up when the next timer is due."""
        self.context.timers.changed = False
        at = self.context.timers.next_at()
        if at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = None if at is None else self._scheduler.call_at(at, self._due)

    def _due(self) -> None:
        self._timer = self._timer_at = None
        now = self.now()
        for call in self.context.timers.due(now):
            self.supervisor.call("timer", call, now)
        self.run_effects()
        self._arm()  # even when nothing came of it: it may have been cancelled, or not quite due

    def _sweep(self) -> None:
        """Close readers that take nothing; see whether a full disk has room again."""
        self._sweeper = self._scheduler.call_later(SWEEP_S, self._sweep)
        now = self.now()
        for connection in list(self._links.values()):
            if connection.stuck_s(now) > self.slow_seconds:
                self.evicted += 1
                log.info(
                    "closed a slow reader", name=connection.session and connection.session.name
                )
                connection.transport.abort()
        self.effect_runner.bound_journal()
        self.run_effects()

    # ------------------------------------------------------------ what the flush asks for
    def send(self, send_queues: list[SendQueue]) -> None:
        """See `FlushTarget`: what is not sent straight to a socket."""
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
        """See `FlushTarget`."""
        self.context.turn_read_only(True)
        for service in self.services:
            self.supervisor.call("disk full", service.turn_read_only, now)
        for connection in list(self._links.values()):
            self.supervisor.call("sending", connection.send)

    def disk_has_room(self, now: float) -> None:
        """See `FlushTarget`."""
        self.context.turn_read_only(False)
        for service in self.services:
            self.supervisor.call("disk has room", service.turn_writable, now)
