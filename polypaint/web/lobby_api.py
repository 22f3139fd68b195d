"""Drawings over HTTP: lists, one of them, and what its owner does with it.

What somebody may not know of is answered as what is not there. The rules are those of
`paint/owners.py`; nothing is answered before the journal holds it.

Counterparts: `pictures.py` has the pictures, `strokes_file.py` reads what is imported.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Annotated, Any, Final, Literal, Protocol
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.convertors import PathConvertor, register_url_convertor

from polypaint.engine.context import Context
from polypaint.engine.quota import Quota
from polypaint.errors import ProtocolError, Refused
from polypaint.paint.lobby import Lobby
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.packets import Mode
from polypaint.paint.replies import FULL
from polypaint.paint.service import PaintService
from polypaint.web.auth import BEARER, Callers
from polypaint.web.pictures import MEDIA_TYPES, Pictures
from polypaint.web.problems import Problem, answers
from polypaint.web.session_api import NAME, Strict
from polypaint.web.strokes_file import FILE_BYTES_MAX, SCHEMA, stroke_packets

LISTED_MAX: Final = 1000
"""Drawings in one list: those that were changed last."""
LOOKED_AT_MAX: Final = 20_000
"""Of which so many are looked at, if most are not for who asks."""
CREATIONS: Final = (1.0, 60.0)
"""Drawings of an account: a second, and at once."""
JOURNAL_S: Final = 10.0
IMPORT_S: Final = 60.0
FILE: Final = {"application/json": {"schema": SCHEMA}}
MISSING: Final = "There is no such drawing, or it is not for you."

Filename = Annotated[
    str, Field(min_length=1, max_length=128, pattern=NAME, examples=["Quiet Harbour"])
]
InPath = Annotated[
    str, Path(min_length=1, max_length=128, pattern=NAME, examples=["Quiet Harbour"])
]
Passcode = Annotated[str, Field(max_length=1024)]
Kind = Annotated[str, Path(json_schema_extra={"enum": ["png", "svg", "json"]})]
Protection = Literal["public", "protected", "private"]
WithPasscode = Annotated[str, Query(max_length=1024, description="Of a protected drawing.")]
PassHeader = Annotated[str, Header(max_length=1024, description="The passcode, out of logs.")]


class DrawingName(PathConvertor):
    """A drawing's name in a path: slashes may be in it, but not what stands behind it."""

    regex = r"(?!(?:.*/)?(?:canvas\.[^/]*|thumbnail\.webp|import)$).+?"


register_url_convertor("drawing", DrawingName())


class DrawingInfo(BaseModel):
    """A drawing. people: who is there; null when one may not know. changed: UTC seconds of the
    last change since the server started. thumbnail: null when one needs a passcode for it. What
    begins with a capital is the same, as the paint protocol has it."""

    name: str
    mode: Literal["stroke", "pixel"]
    protection: Protection
    owner: str
    people: list[str] | None
    thumbnail: str | None
    changed: float | None
    Filename: str
    Owner: str
    Mode: str
    Protection: str
    Passcode: str
    Clients: list[str] | None = None


class NewDrawing(Strict):
    """A drawing to be made."""

    name: Filename
    mode: Literal["stroke", "pixel"] = "stroke"
    protection: Protection = "public"
    passcode: Passcode = ""


class Changes(Strict):
    """What is to be another way; what is not named stays."""

    name: Filename | None = None
    protection: Protection | None = None
    passcode: Passcode | None = None


class Imported(BaseModel):
    """How many strokes were added."""

    strokes: int


class AppServices(Protocol):
    """What this needs of the server: `server.Server`."""

    context: Context

    @property
    def paint(self) -> PaintService:
        """Drawings."""

    def now(self) -> float:
        """Seconds on the server's clock."""

    def run_effects(self) -> None:
        """Carry out what the service has asked for."""

    def journaled(self) -> Awaitable[None]:
        """Wait until the journal holds everything up to now."""


class LobbyApi:
    """The endpoints. keep: has an answer that is the same for everybody made once in a while."""

    def __init__(
        self,
        services: AppServices,
        callers: Callers,
        pictures: Pictures,
        keep: Callable[[str, Callable[[], Awaitable[Response]]], Awaitable[Response]],
    ) -> None:
        self._services = services
        self._callers = callers
        self._pictures = pictures
        self._keep = keep
        self._creating = Quota(*CREATIONS)

    def router(self) -> APIRouter:
        """Where they are; the more special paths first, since names may have slashes."""
        router = APIRouter(tags=["drawings"])
        add, one = router.add_api_route, "/api/lobbies/{name:path}"
        alone = "/api/lobbies/{name:drawing}"
        many: dict[str, Any] = {"response_model": list[DrawingInfo]}
        files: dict[int | str, dict[str, Any]] = {
            200: {
                "description": "The picture.",
                "content": {kind: {} for kind in MEDIA_TYPES.values()},
            },
            304: {"description": "The one that is there is the same."},
        }
        shown = files | answers(401, 404, 429, 503)
        add("/api/lobbies", self.lobbies, methods=["GET"], responses=answers(401, 503), **many)
        add(
            "/api/lobbies", self.create, methods=["POST"], status_code=201,
            responses=answers(401, 403, 409, 413, 429, 503),
        )  # fmt: skip
        add("/api/me/drawings", self.own, methods=["GET"], responses=answers(401, 503), **many)
        add(one + "/canvas.{kind}", self.canvas, methods=["GET"], responses=shown,
            response_class=Response)  # fmt: skip
        add(
            one + "/canvas.{kind}", self.upload, methods=["PUT"], status_code=204,
            responses=answers(400, 401, 403, 404, 408, 409, 413, 503),
        )  # fmt: skip
        add(one + "/thumbnail.webp", self.thumbnail, methods=["GET"], responses=shown,
            response_class=Response)  # fmt: skip
        add(
            one + "/import", self.import_file, methods=["POST"],
            responses=answers(401, 403, 404, 408, 409, 413, 503),
            openapi_extra={"requestBody": {"required": True, "content": FILE}},
        )  # fmt: skip
        add(alone, self.about, methods=["GET"], responses=answers(401, 404, 503))
        add(alone, self.change, methods=["PATCH"],
            responses=answers(401, 403, 404, 409, 413, 503))  # fmt: skip
        add(alone, self.delete, methods=["DELETE"], status_code=204,
            responses=answers(401, 403, 404, 503))  # fmt: skip
        return router

    # ------------------------------------------------------------ lists
    async def lobbies(self, request: Request) -> Response:
        """The drawings that one may know of, the last changed first."""
        name = await self._callers.name(request)

        async def made() -> Response:
            recent = islice(self._services.paint.directory.recent(), LOOKED_AT_MAX)
            visible = (lobby for lobby in recent if lobby.info.is_known_to(name))
            return self._listing(visible, name)

        return await made() if name else await self._keep("lobbies", made)

    async def own(self, request: Request) -> Response:
        """One's own drawings, the last changed first."""
        name = await self._somebody(request)
        return self._listing(self._services.paint.directory.drawings_of(name), name)

    def _listing(self, drawings: Iterable[Lobby], name: str) -> Response:
        shown = [self._shown(lobby, name) for lobby in islice(drawings, LISTED_MAX)]
        return Response(orjson.dumps(shown), media_type="application/json")

    def _shown(self, lobby: Lobby, name: str) -> dict[str, Any]:
        info = lobby.info
        admitted = name in lobby.members or info.admits(name, "")
        people = list(lobby.members) if admitted else None
        pixel = info.drawing_mode is Mode.PIXEL
        thumbnail = f"/api/lobbies/{quote(info.filename, safe='')}/thumbnail.webp"
        shown: dict[str, Any] = {
            "name": info.filename,
            "mode": "pixel" if pixel else "stroke",
            "protection": info.protection,
            "owner": info.owner,
            "people": people,
            "thumbnail": thumbnail if info.admits(name, "") else None,
            "changed": self._services.paint.directory.changed_at(lobby),
            **info.json(show_passcode=False),
        }
        if name and admitted:
            shown["Clients"] = people
        return shown

    # ------------------------------------------------------------ one drawing
    async def about(self, name: InPath, request: Request) -> DrawingInfo:
        """What one may know of a drawing."""
        who = await self._callers.name(request)
        return DrawingInfo(**self._shown(self._known(name, who), who))

    async def create(self, new: NewDrawing, request: Request, response: Response) -> DrawingInfo:
        """Have a new drawing."""
        who = await self._somebody(request)
        values = (new.name, who, new.mode, new.protection, new.passcode)
        keys = ("Filename", "Owner", "Mode", "Protection", "Passcode")
        self._must_be_writable()
        if self._creating.take(who, self._services.now()) is None:
            raise Problem(429, "Too many drawings at once; wait a moment.", {"Retry-After": "1"})
        try:
            info = LobbyRules.of(dict(zip(keys, values, strict=True)))
            lobby = self._services.paint.owners.create(info, self._services.now())
        except (ProtocolError, Refused) as error:
            raise Problem(409, _sentence(error)) from None
        await self._settle()
        response.headers["Location"] = f"/api/lobbies/{quote(new.name, safe='')}"
        return DrawingInfo(**self._shown(lobby, who))

    async def change(self, name: InPath, changes: Changes, request: Request) -> DrawingInfo:
        """Rename a drawing, or say who may enter; its owner may."""
        who = await self._somebody(request)
        lobby = self._owned(name, who)
        owners, now = self._services.paint.owners, self._services.now()
        info = lobby.info
        try:
            protection = changes.protection or info.protection
            passcode = info.passcode if changes.passcode is None else changes.passcode
            wanted = info.protected(protection, passcode)
            if changes.name is not None and changes.name != info.filename:
                owners.rename(lobby, changes.name, now)
            if wanted != info:
                owners.protect(lobby, protection, passcode, now)
        except (ProtocolError, Refused) as error:
            raise Problem(409, _sentence(error)) from None
        await self._settle()
        return DrawingInfo(**self._shown(lobby, who))

    async def delete(self, name: InPath, request: Request) -> None:
        """Forget a drawing for good; its owner may. Who is in it is put out."""
        lobby = self._owned(name, await self._somebody(request))
        self._services.paint.owners.delete(lobby, self._services.now())
        await self._settle()

    async def import_file(self, name: InPath, request: Request) -> Imported:
        """Add the strokes of a file as `canvas.json` is, in one's own name."""
        who = await self._somebody(request)
        lobby = self._known(name, who)
        if who not in lobby.members and not lobby.info.admits(who, ""):
            raise Problem(403, "Enter this drawing first.")
        if lobby.info.drawing_mode is Mode.PIXEL:
            raise Problem(409, "Strokes cannot be added to a drawing of pixels.")
        self._must_be_writable()
        data = await self._body(request)
        loop = asyncio.get_running_loop()
        date = self._services.context.date(self._services.now())
        try:
            packets = await loop.run_in_executor(None, stroke_packets, data, who, date)
        except ProtocolError as error:
            raise Problem(400, _sentence(error)) from None
        except Refused as error:
            raise Problem(409, _sentence(error)) from None
        done: asyncio.Future[str] = loop.create_future()

        def then(reason: str) -> None:
            if not done.done():  # whoever asked may be gone
                done.set_result(reason)

        if packets:
            now = self._services.now()
            self._services.paint.imports.add_strokes(lobby, who, packets, then, now)
            self._services.run_effects()
            async with asyncio.timeout(IMPORT_S):
                if reason := await done:
                    raise Problem(409, reason)
            await self._settle()
        return Imported(strokes=len(packets))

    # ------------------------------------------------------------ pictures
    async def canvas(
        self,
        name: InPath,
        kind: Kind,
        request: Request,
        passcode: WithPasscode = "",
        x_passcode: PassHeader = "",
    ) -> Response:
        """The drawing as a file, for those who may enter it."""
        return await self._pictures.show(request, name, kind, x_passcode or passcode)

    async def thumbnail(
        self,
        name: InPath,
        request: Request,
        passcode: WithPasscode = "",
        x_passcode: PassHeader = "",
    ) -> Response:
        """A small picture of the drawing: at most 320 pixels wide and high."""
        return await self._pictures.show(request, name, "webp", x_passcode or passcode)

    async def upload(self, name: InPath, kind: Kind, request: Request) -> Response:
        """A client that was asked (UPDATE_DATABASE) brings its picture."""
        return await self._pictures.replace(request, name, kind)

    # ------------------------------------------------------------ what they share
    async def _somebody(self, request: Request) -> str:
        name = await self._callers.name(request)
        if not name:
            raise Problem(401, "Sign in first.", BEARER)
        return name

    def _known(self, name: str, who: str) -> Lobby:
        lobby = self._services.paint.lobbies.get(name)
        if lobby is None or not lobby.info.is_known_to(who):
            raise Problem(404, MISSING)
        return lobby

    def _owned(self, name: str, who: str) -> Lobby:
        lobby = self._known(name, who)
        if lobby.info.owner != who or self._services.paint.access.is_reserved(name):
            raise Problem(403, "Only the owner of this drawing may do this.")
        self._must_be_writable()
        return lobby

    def _must_be_writable(self) -> None:
        if self._services.context.read_only:
            raise Problem(503, FULL, {"Retry-After": "60"})

    async def _settle(self) -> None:
        """Carry out what was asked for, and wait until the journal has it."""
        self._services.run_effects()
        try:
            async with asyncio.timeout(JOURNAL_S):
                await self._services.journaled()
        except TimeoutError:
            raise Problem(503, FULL, {"Retry-After": "60"}) from None

    @staticmethod
    async def _body(request: Request) -> bytes:
        if int(request.headers.get("content-length", "0")) > FILE_BYTES_MAX:
            raise Problem(413, f"A file has at most {FILE_BYTES_MAX >> 20} MiB.")
        try:
            async with asyncio.timeout(IMPORT_S):
                return await request.body()
        except TimeoutError:
            raise Problem(408, "The file did not come in time.") from None


def _sentence(error: Exception) -> str:
    """An error's text, to be shown."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
