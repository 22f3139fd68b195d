"""The web port: health, metrics, pictures of lobbies; and the way in for WebSockets.

Counterparts: `websocket.py` takes over upgraded connections, `paint/picture.py` draws.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from polypaint.accounts import is_name
from polypaint.errors import ProtocolError, Refused, StoreError
from polypaint.ground import Ground
from polypaint.matches.service import MatchService
from polypaint.matches.stats import RANKED_MAX, player_json, ranking_json
from polypaint.net.link import Room, Shell
from polypaint.net.websocket import WebSocketConnection
from polypaint.paint import picture
from polypaint.paint.canvas import Canvas
from polypaint.paint.lobbies import Lobby
from polypaint.paint.service import PaintService
from polypaint.tanks.maps import MAPS, Map

HEADERS_S: Final = 10.0
BODY_S: Final = 30.0
KEEP_ALIVE_S: Final = 15
CONNECTIONS_MAX: Final = 2000
PICTURE_BYTES_MAX: Final = 80 << 20
RENDERS_MAX: Final = 4


class Errands(Protocol):
    """What the pages ask for that takes time: `errands.Errands`."""

    renderer: ThreadPoolExecutor

    async def authenticated(self, name: str, password: str) -> bool | None:
        """Is this the account's password? None: the store does not answer."""

    async def canvas_of(self, lobby: Lobby) -> Canvas | None:
        """A copy of a lobby's canvas, from memory or from the store."""


class Store(Protocol):
    """What the pages ask of the store, see `store.Store`."""

    async def record(self, player: str) -> Any:
        """A player's totals and history."""

    async def ranking(self, limit: int) -> Any:
        """The players with most wins."""


class Site(Protocol):
    """What the pages need of the server: `server.Server`."""

    ground: Ground
    paint: PaintService
    matches: MatchService
    registry: CollectorRegistry
    ready: bool

    @property
    def errands(self) -> Errands:
        """What takes time."""

    @property
    def store(self) -> Store:
        """Where results are."""

    def now(self) -> float:
        """Seconds on the server's clock."""

    def settle(self) -> None:
        """Carry out what the service has asked for."""


class Pages:
    """Every HTTP endpoint."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._renders = asyncio.Semaphore(RENDERS_MAX)
        self._maps: dict[tuple[str, Callable[[Map], bytes]], bytes] = {}

    def app(self) -> Starlette:
        """The ASGI application."""
        canvas = "/api/lobbies/{name:path}/canvas.{kind}"
        return Starlette(
            routes=[
                Route("/", self.index),
                Route("/healthz", self.healthz),
                Route("/readyz", self.readyz),
                Route("/metrics", self.metrics),
                Route("/api/lobbies", self.lobbies),
                Route("/api/matches", self.open_matches),
                Route("/api/players", self.ranking),
                Route("/maps/{name}-mask.png", self.map_mask),
                Route("/maps/{name}.png", self.map_image),
                Route("/api/players/{name:path}", self.player),
                Route(canvas, self.canvas, methods=["GET"]),
                Route(canvas, self.replace_canvas, methods=["PUT"]),
            ]
        )

    async def index(self, _request: Request) -> Response:
        """What stands where."""
        return JSONResponse(
            {
                "server": "polypaint-fast",
                "websocket": ["/ws/paint", "/ws/matches", "/ws/tanks"],
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
        """The process can do its work."""
        if self._site.ready and not self._site.ground.read_only:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready: no room on the disk, or stopping\n", 503)

    async def metrics(self, _request: Request) -> Response:
        """For Prometheus."""
        text = generate_latest(self._site.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def lobbies(self, request: Request) -> Response:
        """The active lobbies, as LOBBY_FETCH lists them."""
        name = await self._account(request)
        return JSONResponse(self._site.paint.lobby_listing(name))

    async def open_matches(self, _request: Request) -> Response:
        """The public matches that one can join."""
        listing = self._site.matches.manager.listing()
        return Response(b'{"parties":%b}' % listing, media_type="application/json")

    async def ranking(self, _request: Request) -> Response:
        """The players with most victories."""
        return await self._stored(self._site.store.ranking(RANKED_MAX), ranking_json)

    async def player(self, request: Request) -> Response:
        """What a player has done."""
        name = request.path_params["name"]
        if not is_name(name):
            return PlainTextResponse("A name has 1-64 bytes of plain text.\n", 404)
        return await self._stored(self._site.store.record(name), player_json)

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
            picture = await asyncio.get_running_loop().run_in_executor(
                self._site.errands.renderer, draw, MAPS[name]
            )
            self._maps[name, draw] = picture
        return Response(picture, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    async def _stored(self, question: Awaitable[Any], shown: Callable[[Any], Any]) -> Response:
        try:
            return JSONResponse(shown(await question))
        except StoreError:
            return PlainTextResponse("The store does not answer; try again later.\n", 503)

    async def canvas(self, request: Request) -> Response:
        """A lobby's canvas as a file, for those who may enter it."""
        kind = request.path_params["kind"]
        lobby = self._site.paint.lobbies.get(request.path_params["name"])
        passcode = request.headers.get("x-passcode") or request.query_params.get("passcode", "")
        if kind not in picture.FORMATS or lobby is None:
            return _missing()
        name = await self._account(request)
        if not lobby.info.admits(name, passcode):
            return _missing()
        async with self._renders:
            canvas = await self._site.errands.canvas_of(lobby)
            if canvas is None:
                return PlainTextResponse("The drawing could not be read.\n", 503)
            data = await asyncio.get_running_loop().run_in_executor(
                self._site.errands.renderer, picture.render, canvas, kind
            )
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return Response(data, media_type=picture.FORMATS[kind], headers=headers)

    async def replace_canvas(self, request: Request) -> Response:
        """A client that was asked (UPDATE_DATABASE) brings its picture."""
        site = self._site
        lobby = site.paint.lobbies.get(request.path_params["name"])
        name = await self._account(request)
        if request.path_params["kind"] != "png" or lobby is None or lobby.canvas is None:
            return _missing()
        if name not in lobby.members:
            return _missing()
        try:
            async with asyncio.timeout(BODY_S):
                data = await _body(request)
            length, width = int(lobby.loaded.length), int(lobby.loaded.width)
            pixels = await asyncio.get_running_loop().run_in_executor(
                site.errands.renderer, picture.read_png, data, length, width
            )
            site.paint.picture(lobby, name, pixels, site.now())
        except TimeoutError:
            return PlainTextResponse(f"No picture within {BODY_S:g} s.\n", 408)
        except (ProtocolError, Refused) as error:
            return PlainTextResponse(f"{error}\n", 409 if isinstance(error, Refused) else 400)
        site.settle()
        return Response(status_code=204)

    async def _account(self, request: Request) -> str:
        """The name under which somebody asks; empty for nobody, or a wrong password."""
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return name if await self._site.errands.authenticated(name, password) else ""


def _missing() -> Response:
    """The same answer for what does not exist and what one may not see."""
    return PlainTextResponse("There is no such drawing, or it is not for you.\n", 404)


async def _body(request: Request) -> bytes:
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > PICTURE_BYTES_MAX:
            raise ProtocolError(f"a picture has at most {PICTURE_BYTES_MAX >> 20} MiB")
        parts.append(part)
    return b"".join(parts)


class HttpConnection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a limit on how long a request's head may take."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        idle = getattr(self.cycle, "response_complete", True)  # no cycle before the first request
        if self._deadline is None and idle:
            self._arm()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """See `httptools`."""
        self._disarm()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(HEADERS_S, self.transport.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def protocol_factory(
    pages: Pages, shell: Shell, rooms: dict[str, Room]
) -> tuple[Callable[[], HttpConnection], Callable[[], Awaitable[None]]]:
    """(makes the protocol of a new connection, ends what is under way) for the web port."""

    def websocket(**_: Any) -> asyncio.Protocol:
        return WebSocketConnection(shell, rooms)

    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        pages.app(),
        ws=websocket,  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        limit_concurrency=CONNECTIONS_MAX,
    )
    config.load()
    state = ServerState()

    async def finish() -> None:
        for connection in list(state.connections):
            connection.shutdown()
        while state.tasks:
            await asyncio.sleep(0.01)

    return lambda: HttpConnection(config, state, {}), finish
