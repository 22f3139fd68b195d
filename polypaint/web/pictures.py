"""Pictures of drawings over HTTP, for those who may enter them; and pictures that members bring.

What has been rendered is kept as long as there is room for it. A picture that somebody is still
reading takes room, too: there is an end to it, and the slowest readers pay.

Counterparts: `renderer.py` makes them; `paint/client_snapshots.py` decides who is asked for a
picture.
"""

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from polypaint.engine.context import Context
from polypaint.errors import ProtocolError, Refused, StoreError
from polypaint.paint import render as picture
from polypaint.paint.lobby import Lobby
from polypaint.paint.pixels import Pixels
from polypaint.paint.service import PaintService
from polypaint.web.auth import Accounts, Callers, Guesses, address_of
from polypaint.web.problems import problem_response
from polypaint.web.renderer import Loaded, NotRendered, Renderer

log = structlog.get_logger()

MEDIA_TYPES: Final = {**picture.FORMATS, picture.THUMBNAIL: "image/webp"}
BODY_S: Final = 30.0
PICTURE_S: Final = 60.0
"""How long somebody waits for a picture."""
PICTURE_BYTES_MAX: Final = 80 << 20
ALIVE_BYTES_MAX: Final = 80 << 20
"""Of all pictures that are kept or being read."""
KEPT_BYTES_MAX: Final = 16 << 20
"""Of those that nobody reads."""
UPLOADS_BYTES_MAX: Final = 80 << 20
"""Of all pictures that are on their way in."""
PNG_BYTES_MORE: Final = 1 << 16
"""A PNG has at most the bytes of its pixels, and these."""


class EffectRunner(Accounts, Protocol):
    """What takes time: `runtime.effect_runner.EffectRunner`."""

    renderer: Any


class Store(Protocol):
    """What the pictures ask of the store, see `store.Store`."""

    async def load(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        """A drawing as `Canvas.dump` gave it."""


class AppServices(Protocol):
    """What the pictures need of the server: `server.Server`."""

    context: Context

    @property
    def paint(self) -> PaintService:
        """Drawings."""

    @property
    def effect_runner(self) -> EffectRunner:
        """What takes time."""

    @property
    def store(self) -> Store:
        """Where drawings are."""

    def now(self) -> float:
        """Seconds on the server's clock."""

    def report(self, where: str, error: BaseException, **details: object) -> None:
        """An exception that nobody expected: it is logged and counted."""

    def run_effects(self) -> None:
        """Carry out what the service has asked for."""


@dataclass(slots=True, eq=False)
class Picture:
    """A rendered file, and who is being sent it since when."""

    parts: list[bytes]
    size: int
    etag: str
    readers: dict[asyncio.Task[Any], float] = field(default_factory=dict)


class Shelf:
    """All pictures that take memory: those that are kept, and those that are being read."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._kept: OrderedDict[str, Picture] = OrderedDict()
        self._alive: dict[Picture, None] = {}

    @property
    def bytes_alive(self) -> int:
        """Of all of them."""
        return sum(picture.size for picture in self._alive)

    def get(self, etag: str) -> Picture | None:
        """The picture, if it is kept."""
        found = self._kept.get(etag)
        if found is not None:
            self._kept.move_to_end(etag)
        return found

    def put(self, new: Picture, now: float) -> None:
        """Keep a picture. Raises NotRendered when there is no room for it.

        First those go that nobody reads, then those whose readers have had time enough.
        """
        limit = ALIVE_BYTES_MAX - new.size
        self._shrink(limit)
        if self.bytes_alive > limit:
            self._evict(limit, now)
        if self.bytes_alive > limit:
            raise NotRendered(503, "Too many large pictures are being read; try again later.")
        self._kept[new.etag] = new
        self._alive[new] = None

    def _shrink(self, limit: int) -> None:
        for etag, kept in list(self._kept.items()):
            if self.bytes_alive <= limit:
                return
            if not kept.readers:
                del self._kept[etag], self._alive[kept]

    def _evict(self, limit: int, now: float) -> None:
        """Close the connections of those who have been reading for longest."""
        reading = [
            (since, picture) for picture in self._alive for since in picture.readers.values()
        ]
        reading.sort(key=lambda pair: pair[0])
        for since, slow in reading:
            if self.bytes_alive <= limit or now - since < self._patience_s:
                return
            for task in list(slow.readers):
                task.cancel()
            self._forget(slow)

    def _forget(self, gone: Picture) -> None:
        self._alive.pop(gone, None)
        if self._kept.get(gone.etag) is gone:
            del self._kept[gone.etag]

    def read(self, shown: Picture, task: asyncio.Task[Any], now: float) -> None:
        """Somebody is being sent it."""
        shown.readers[task] = now
        self._alive[shown] = None

    def done(self, shown: Picture, task: asyncio.Task[Any]) -> None:
        """They have it, or are gone."""
        shown.readers.pop(task, None)
        if not shown.readers and self._kept.get(shown.etag) is not shown:
            self._alive.pop(shown, None)
        self._shrink_kept()

    def _shrink_kept(self) -> None:
        unread = [kept for kept in self._kept.values() if not kept.readers]
        size = sum(kept.size for kept in unread)
        for kept in unread:
            if size <= KEPT_BYTES_MAX:
                return
            size -= kept.size
            self._forget(kept)


class Pictures:
    """The endpoints of one drawing's picture."""

    def __init__(self, services: AppServices, callers: Callers) -> None:
        self._callers = callers
        self.renderer = Renderer()
        self.guesses = Guesses()
        self._services = services
        self._shelf = Shelf(services.context.settings.slow_seconds)
        self._boot = secrets.token_hex(4)
        """So that nothing of an earlier run is taken for something of this one."""
        self._making: dict[int, asyncio.Lock] = {}
        """By drawing: one picture of each is made at a time."""
        self._uploads: dict[Lobby, int] = {}

    def close(self) -> None:
        """End what is being rendered."""
        self.renderer.close()

    # ------------------------------------------------------------ out
    async def show(self, request: Request, drawing: str, kind: str, passcode: str) -> Response:
        """A lobby's canvas as a file, for those who may enter it."""
        name = await self._callers.name(request)
        lobby = self._services.paint.lobbies.get(drawing)
        address, now = address_of(request), self._services.now()
        if passcode:
            self.guesses.check(address, now)
        if lobby is None or kind not in MEDIA_TYPES or not lobby.info.admits(name, passcode):
            if passcode:
                self.guesses.wrong(address, now)
            return _missing()
        etag = self._etag(lobby, kind)
        headers = {"Cache-Control": "private, no-cache", "ETag": etag}
        headers["Vary"] = "Authorization, X-Passcode"
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        try:
            async with asyncio.timeout(PICTURE_S):
                shown = await self._made(lobby, kind, name or self._who(address, lobby))
        except NotRendered as error:
            raise HTTPException(error.status, str(error)) from None
        except TimeoutError:
            raise HTTPException(503, "Too many pictures are being asked for.") from None
        except ProtocolError as error:
            raise HTTPException(503, str(error)) from None
        headers["ETag"] = shown.etag
        return PictureResponse(self._services, self._shelf, shown, MEDIA_TYPES[kind], headers)

    def _who(self, address: str, lobby: Lobby) -> str:
        """Who shares turns: an address; or, behind a proxy on this machine, who wants the same."""
        return (
            address
            if self._services.context.is_unauthenticated(address)
            else f"{address} {lobby.number}"
        )

    def _etag(self, lobby: Lobby, kind: str) -> str:
        return f'"{self._boot}-{lobby.number}-{lobby.seq}-{lobby.repaints}-{kind}"'

    async def _made(self, lobby: Lobby, kind: str, who: str) -> Picture:
        """The picture as the drawing is now."""
        lock = self._making.setdefault(lobby.number, asyncio.Lock())
        try:
            async with lock:
                etag = self._etag(lobby, kind)
                found = self._shelf.get(etag)
                if found is not None:
                    return found
                parts = await self.renderer.do(who, lambda: self._load(lobby, kind))
                made = Picture(parts, sum(map(len, parts)), etag)
                self._shelf.put(made, self._services.now())
                return made
        finally:
            if not lock.locked():
                self._making.pop(lobby.number, None)

    async def _load(self, lobby: Lobby, kind: str) -> Loaded:
        mode = lobby.info.drawing_mode.value
        dump = await dump_of(self._services, lobby)
        if dump is None:
            raise NotRendered(503, "The drawing could not be read.")
        meta, blobs = dump
        head = {"kind": kind, "mode": mode, "meta": meta, "bytes_max": PICTURE_BYTES_MAX}
        return head, blobs

    # ------------------------------------------------------------ in
    async def replace(self, request: Request, drawing: str, kind: str) -> Response:
        """A client that was asked (UPDATE_DATABASE) brings its picture."""
        services = self._services
        name = await self._callers.name(request)
        lobby = services.paint.lobbies.get(drawing)
        if kind != "png" or lobby is None or name not in lobby.members:
            return _missing()
        try:
            size = self._expected(request, lobby, name)
        except Refused as error:
            return problem_response(409, str(error))
        self._uploads[lobby] = size
        try:
            async with asyncio.timeout(BODY_S):
                data = [part async for part in request.stream()]
            if lobby.canvas is None:
                raise Refused("nobody waits for this picture any more")
            length, width = int(lobby.canvas.length), int(lobby.canvas.width)
            pixels = await services.effect_runner.renderer.run(_decoded, data, length, width)
            services.paint.picture(lobby, name, pixels, services.now())
        except TimeoutError:
            return problem_response(408, f"No picture within {BODY_S:g} s.")
        except (ProtocolError, Refused) as error:
            return problem_response(409 if isinstance(error, Refused) else 400, str(error))
        finally:
            del self._uploads[lobby]
        services.run_effects()
        return Response(status_code=204)

    def _expected(self, request: Request, lobby: Lobby, name: str) -> int:
        """The size of a picture that is wanted, before any of it is read.

        Raises Refused, or HTTPException when it is larger than it can be, or one too many.
        """
        canvas = lobby.canvas
        if canvas is None or not self._services.paint.snapshot_requests.is_asked(lobby, name):
            raise Refused("the server did not ask you for this picture")
        if lobby in self._uploads:
            raise Refused("a picture of this drawing is on its way already")
        size = int(request.headers.get("content-length", "0"))
        largest = 4 * int(canvas.length) * (int(canvas.width) + 1) + PNG_BYTES_MORE
        if size > min(largest, PICTURE_BYTES_MAX):
            raise HTTPException(413, f"A picture of this drawing has at most {largest} bytes.")
        if sum(self._uploads.values()) + size > UPLOADS_BYTES_MAX:
            raise HTTPException(503, "Too many pictures are on their way; try again.")
        return size


class PictureResponse(Response):
    """A picture, sent part by part as its reader takes it."""

    def __init__(
        self,
        services: AppServices,
        shelf: Shelf,
        shown: Picture,
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        headers["Content-Length"] = str(shown.size)
        super().__init__(None, 200, headers, media_type)
        self._services = services
        self._shelf = shelf
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `starlette.responses.Response`."""
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a response is sent by a task")
        self._shelf.read(self._shown, task, self._services.now())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            for part in self._shown.parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._shelf.done(self._shown, task)


async def dump_of(
    services: AppServices, lobby: Lobby
) -> tuple[dict[str, Any], list[bytes]] | None:
    """A drawing as `Canvas.dump` has it, from memory or the store; None: it cannot be read."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def then(dump: Any, _now: float) -> None:
        if not future.done():  # whoever asked may be gone
            future.set_result(dump)

    services.paint.read(lobby, then, services.now())
    services.run_effects()
    dump = await future
    try:
        return dump or await services.store.load(lobby.number)
    except StoreError as error:
        log.error("reading a drawing", drawing=lobby.info.filename, error=str(error))
        return None


def _decoded(parts: list[bytes], length: int, width: int) -> Pixels:
    return picture.read_png(b"".join(parts), length, width)


def _missing() -> Response:
    """The same answer for what does not exist and what one may not see."""
    return problem_response(404, "There is no such drawing, or it is not for you.")
