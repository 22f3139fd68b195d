"""The web port: health, metrics, lists; and the way in for WebSockets.

Counterparts: `http_protocol.py` speaks HTTP, `websocket.py` takes over upgraded connections,
`pictures.py` has the pictures of drawings.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from polypaint.engine.context import Context
from polypaint.engine.service import Endpoint
from polypaint.errors import StoreError
from polypaint.identity.accounts import is_name
from polypaint.matches.service import MatchService
from polypaint.matches.stats import RANKED_MAX, player_json, ranking_json
from polypaint.net.connection import ConnectionHost
from polypaint.net.http_protocol import HttpProtocol, HttpServer
from polypaint.net.websocket import WebSockets
from polypaint.tanks.maps import MAPS, Map
from polypaint.web import pictures
from polypaint.web.auth import Callers
from polypaint.web.guard import Guard
from polypaint.web.lobby_api import LobbyApi
from polypaint.web.openapi import Documents, application
from polypaint.web.problems import answers, problem_response
from polypaint.web.session_api import SessionApi
from polypaint.web.shell import Shell
from polypaint.web.static_files import StaticFiles

if TYPE_CHECKING:
    from polypaint.runtime.sessions import Sessions

COUNTED: Final = {
    "requests": "HTTP requests answered.",
    "errors": "HTTP requests that failed for a mistake of the server's.",
    "refused": "HTTP connections and heads that were refused.",
    "slow": "HTTP readers closed because they took nothing.",
}
KEPT_S: Final = 0.25
"""How long an answer that costs something is given again to whoever asks."""
QUESTIONS_MAX: Final = 2
"""That the store is asked at the same time."""
STORE_S: Final = 2.0


class Store(pictures.Store, Protocol):
    """What the pages ask of the store, see `store.Store`."""

    async def record(self, player: str) -> Any:
        """A player's totals and history."""

    async def ranking(self, limit: int) -> Any:
        """The players with most wins."""

    async def password_hash(self, name: str) -> bytes | None:
        """What an account's password is checked against."""


class Flusher(Protocol):
    """What the pages ask of the flush, see `flush.Flusher`."""

    @property
    def trouble(self) -> str:
        """Why the journal cannot be written; empty when it can."""


class AppServices(pictures.AppServices, Protocol):
    """What the pages need of the server: `server.Server`."""

    context: Context
    registry: CollectorRegistry
    origins: frozenset[str]
    ready: bool
    sessions: "Sessions"
    stopping: bool

    def journaled(self) -> Awaitable[None]:
        """Wait until the journal holds everything up to now."""

    @property
    def matches(self) -> MatchService:
        """Matches."""

    @property
    def store(self) -> Store:
        """Where results are."""

    @property
    def flusher(self) -> Flusher:
        """What journals."""


class Pages:
    """Every HTTP endpoint."""

    def __init__(self, services: AppServices) -> None:
        callers = Callers(services.effect_runner, services.sessions)
        self.pictures = pictures.Pictures(services, callers)
        self._sessions = SessionApi(services, callers)
        self._lobbies = LobbyApi(services, callers, self.pictures, self._keep)
        self._services = services
        self._static = StaticFiles()
        self._shell = Shell(services, self._static, callers.name)
        self._maps: dict[tuple[str, Callable[[Map], bytes]], bytes] = {}
        self._questions = asyncio.Semaphore(QUESTIONS_MAX)
        self._routes: list[Any] = []
        self._kept: dict[str, tuple[float, Response]] = {}

    def app(self, endpoints: Iterable[str], more: Iterable[BaseRoute] = ()) -> Guard:
        """The ASGI application. endpoints: names of those that have a WebSocket.

        more: what else there is, of single services.
        """
        self._websockets = [f"/ws/{name}" for name in endpoints]
        routes: list[BaseRoute] = [
            *self._shell.routes(),
            Route(self._static.base + "/{path:path}", self._static.serve),
            Route("/api", self.index),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/maps/{name}-mask.png", self.map_mask),
            Route("/maps/{name}.png", self.map_image),
            Route("/ws/{name:path}", self.no_websocket),
            *more,
        ]
        documents = Documents(self._static)
        routers = [self._sessions.router(), self._lobbies.router(), self._router()]
        app = application(routes, routers, documents, self._shell.not_found)
        self._routes = [*routes, *documents.routes(), *(x for r in routers for x in r.routes)]
        return Guard(app, self._services.origins)

    def _router(self) -> APIRouter:
        router = APIRouter(tags=["matches"])
        add = router.add_api_route
        add("/api/matches", self.open_matches, methods=["GET"], response_class=JSONResponse)
        add("/api/players", self.ranking, methods=["GET"], responses=answers(503))
        add("/api/players/{name:path}", self.player, methods=["GET"], responses=answers(404, 503))
        return router

    def routes(self) -> Iterable[Any]:
        """Every endpoint of `app`."""
        return self._routes

    async def index(self, _request: Request) -> Response:
        """What stands where."""
        return JSONResponse(
            {
                "server": "polypaint-fast",
                "page": "/",
                "documents": ["/api/docs", "/api/openapi.json"],
                "session": "/api/session",
                "websocket": self._websockets,
                "maps": [f"/maps/{name}.png" for name in MAPS],
                "lobbies": "/api/lobbies",
                "matches": "/api/matches",
                "players": ["/api/players", "/api/players/{name}"],
                "canvas": "/api/lobbies/{name}/canvas.png|.svg|.json",
                "health": ["/healthz", "/readyz", "/metrics"],
            }
        )

    async def healthz(self, _request: Request) -> Response:
        """The process runs."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _request: Request) -> Response:
        """The process can do its work; or why it cannot."""
        why = (
            "stopping"
            if self._services.stopping
            else "starting"
            if not self._services.ready
            else ""
        )
        if not why and self._services.context.read_only:
            trouble = self._services.flusher.trouble or "no room on the disk"
            why = f"drawings are read-only: {trouble}"
        if not why:
            try:
                async with asyncio.timeout(STORE_S):
                    await self._services.store.password_hash("")
            except (StoreError, TimeoutError):
                why = "the store does not answer"
        if why:
            return PlainTextResponse(f"not ready: {why}\n", 503)
        return PlainTextResponse("ready\n")

    async def metrics(self, _request: Request) -> Response:
        """For Prometheus."""

        async def made() -> Response:
            text = generate_latest(self._services.registry)
            return Response(text, media_type=CONTENT_TYPE_LATEST)

        return await self._keep("metrics", made)

    async def no_websocket(self, request: Request) -> Response:
        """A WebSocket's address, asked for without the upgrade; or one that is none."""
        if request.url.path not in self._websockets:
            known = ", ".join(self._websockets)
            return PlainTextResponse(f"There is no WebSocket here; try {known}.\n", 404)
        text = "This is a WebSocket: send `Connection: Upgrade` and `Upgrade: websocket`.\n"
        headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
        return PlainTextResponse(text, 426, headers)

    async def _keep(self, what: str, make: Callable[[], Awaitable[Response]]) -> Response:
        """An answer that is the same for everybody, made once in a while."""
        now = self._services.now()
        made_at, response = self._kept.get(what, (float("-inf"), None))
        if response is None or now - made_at > KEPT_S:
            response = await make()
            if response.status_code == 200:
                self._kept[what] = now, response
        return response

    async def open_matches(self) -> Response:
        """The public matches that one can join."""
        listing = self._services.matches.manager.listing()
        return Response(b'{"parties":%b}' % listing, media_type="application/json")

    async def ranking(self) -> Response:
        """The players with most victories."""

        async def made() -> Response:
            return await self._stored(
                partial(self._services.store.ranking, RANKED_MAX), ranking_json
            )

        return await self._keep("ranking", made)

    async def player(self, name: str) -> Response:
        """What a player has done."""
        if not is_name(name):
            return problem_response(404, "A name has 1-64 bytes of plain text.")
        return await self._stored(partial(self._services.store.record, name), player_json)

    async def map_mask(self, request: Request) -> Response:
        """Where a map's walls are."""
        return await self._map(request, Map.mask_png)

    async def map_image(self, request: Request) -> Response:
        """What a map looks like."""
        return await self._map(request, Map.image_png)

    async def _map(self, request: Request, draw: Callable[[Map], bytes]) -> Response:
        name = request.path_params["name"]
        if name not in MAPS:
            return PlainTextResponse("There is no such map.\n", 404)
        picture = self._maps.get((name, draw))
        if picture is None:
            picture = await self._services.effect_runner.renderer.run(draw, MAPS[name])
            self._maps[name, draw] = picture
        return Response(picture, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    async def _stored(
        self, ask: Callable[[], Awaitable[Any]], shown: Callable[[Any], Any]
    ) -> Response:
        async with self._questions:  # the store has logins to answer, too
            try:
                return JSONResponse(shown(await ask()))
            except StoreError:
                return problem_response(503, "The store does not answer; try again later.")


class _Counters(Collector):
    """What the web port counts, for Prometheus."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        for name, says in COUNTED.items():
            value = self._server.counters[name]
            yield CounterMetricFamily(f"polypaint_http_{name}", says, value=value)
        yield GaugeMetricFamily(
            "polypaint_http_connections",
            "Open HTTP connections; those that became WebSockets are none.",
            value=self._server.connections,
        )


def web_port(
    services: AppServices,
    host: ConnectionHost,
    endpoints: dict[str, Endpoint],
    routes: Iterable[BaseRoute] = (),
) -> tuple[Callable[[], HttpProtocol], Callable[[], Awaitable[None]]]:
    """(makes the protocol of a new connection, ends what is under way) for the web port."""
    pages = Pages(services)
    websockets = WebSockets(host)
    upgrade = websockets.take_over
    app = pages.app(endpoints, routes)
    server = HttpServer(app, services, endpoints, upgrade, pages.pictures.close)

    async def finish() -> None:
        await server.close()
        await websockets.close()

    services.registry.register(_Counters(server))
    return server.connection, finish
