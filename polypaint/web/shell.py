"""The HTML of the page: one shell for all its addresses, of which a browser runs nothing but our
modules.

Which page it is, the browser finds out from the address; here it is only said whether there is
something at the address (200, or 404 with the same shell, which then says so).

Counterparts: `static_files.py` has the modules; `static/page/index.html` is the shell.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from polypaint.matches.service import MatchService
from polypaint.paint.service import PaintService
from polypaint.web.static_files import StaticFile, StaticFiles

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
}
LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


class AppServices(Protocol):
    """What the shell needs of the server: `server.Server`."""

    @property
    def paint(self) -> PaintService:
        """Drawings."""

    @property
    def matches(self) -> MatchService:
        """Matches."""


class Shell:
    """The page's addresses. caller: the account that asks; empty for nobody."""

    def __init__(
        self,
        services: AppServices,
        static: StaticFiles,
        caller: Callable[[Request], Awaitable[str]],
    ) -> None:
        self._services = services
        self._caller = caller
        preload = "\n    ".join(
            f'<link rel="modulepreload" href="{static.base}/{path}">'
            for path in static.modules("page/main.js")
        )
        html = static.shell.replace("{{preload}}", preload).replace("{{base}}", static.base)
        self._html = StaticFile.made(html.encode(), "text/html; charset=utf-8")

    def routes(self) -> list[Route]:
        """The addresses that people see."""
        return [
            Route("/", self.page),
            Route("/d/{name:path}", self.drawing_page),
            Route("/play", self.page),
            Route("/m/{code}", self.match_page),
            Route("/tanks", self.page),
            Route("/admin", self.no_page),
        ]

    async def page(self, request: Request) -> Response:
        """A page that is always there."""
        return self._shell(request, 200)

    async def drawing_page(self, request: Request) -> Response:
        """A drawing's page, if there is one that its visitor may know of."""
        lobby = self._services.paint.lobbies.get(request.path_params["name"])
        known = lobby is not None and lobby.info.is_known_to(await self._caller(request))
        return self._shell(request, 200 if known else 404)

    async def match_page(self, request: Request) -> Response:
        """A match's page, if there is such a match."""
        known = request.path_params["code"] in self._services.matches.manager.parties
        return self._shell(request, 200 if known else 404)

    async def no_page(self, request: Request) -> Response:
        """An address at which nothing is: the page says so and offers the way back."""
        return self._shell(request, 404)

    async def not_found(self, request: Request, error: Exception) -> Response:
        """Answer where there is no route: browsers get the page, programs a line of text."""
        missing = isinstance(error, HTTPException) and error.status_code == 404
        if missing and "text/html" in request.headers.get("accept", ""):
            return self._shell(request, 404)
        return await plain_error(request, error)

    def _shell(self, request: Request, status: int) -> Response:
        headers = dict(HEADERS)
        if _is_trustworthy(request):
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return self._html.response(request, headers, status)


def _is_trustworthy(request: Request) -> bool:
    """Does a browser heed COOP here? Elsewhere it complains about it on the console."""
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    host = request.headers.get("host", "")
    return scheme == "https" or host.startswith(LOOPBACK)


async def plain_error(_request: Request, error: Exception) -> Response:
    """An HTTPException as a line of text."""
    if not isinstance(error, HTTPException):
        raise error
    return PlainTextResponse(error.detail, error.status_code, error.headers)
