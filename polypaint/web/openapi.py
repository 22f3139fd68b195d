"""The application around the endpoints, and the documents that describe them: OpenAPI 3.1 at
`/api/openapi.json`, and a page to read at `/api/docs`.

Both are made from the handlers' types, when they are first asked for.

Counterparts: `app.py` has the endpoints; `guard.py` is what every request passes first.
"""

from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import version
from typing import Any, Final

import orjson
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from polypaint.web.api_page import api_page
from polypaint.web.problems import ProblemDetails, from_exception, from_validation
from polypaint.web.static_files import StaticFile, StaticFiles

TITLE: Final = "polypaint-fast"
DESCRIPTION: Final = (
    "Who asks is said by a session's cookie (pages), by `Authorization: Bearer` with the token of "
    "`POST /api/session`, or by HTTP Basic. Whatever is refused is refused with "
    "`application/problem+json`; its `detail` can be shown to people."
)
SECURITY: Final = {
    "cookie": {"type": "apiKey", "in": "cookie", "name": "polypaint_session"},
    "token": {"type": "http", "scheme": "bearer"},
    "password": {"type": "http", "scheme": "basic"},
}
PAGE_POLICY: Final = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'"

Handler = Callable[[Request, Exception], Awaitable[Response]]


class Documents:
    """The two documents."""

    def __init__(self, static: StaticFiles) -> None:
        self._static = static
        self._app: FastAPI | None = None
        self._json: StaticFile | None = None
        self._page: StaticFile | None = None

    def routes(self) -> list[Route]:
        """Where they are."""
        return [Route("/api/openapi.json", self.openapi), Route("/api/docs", self.docs)]

    def describe(self, app: FastAPI) -> None:
        """These are the endpoints."""
        self._app = app

    async def openapi(self, request: Request) -> Response:
        """The document for programs."""
        if self._json is None:
            self._json = StaticFile.made(orjson.dumps(self._document()), "application/json")
        return self._json.response(request, {"Cache-Control": "no-cache"})

    async def docs(self, request: Request) -> Response:
        """The document for people."""
        if self._page is None:
            html = api_page(self._document(), f"{self._static.base}/docs/api.css")
            self._page = StaticFile.made(html.encode(), "text/html; charset=utf-8")
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY}
        return self._page.response(request, headers)

    def _document(self) -> dict[str, Any]:
        if self._app is None:
            raise AssertionError("no endpoints were described")
        document = self._app.openapi()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["ProblemDetails"] = ProblemDetails.model_json_schema()
        components["securitySchemes"] = SECURITY
        document["security"] = [{}, *({name: []} for name in SECURITY)]
        return document


def application(
    routes: Iterable[BaseRoute],
    routers: Iterable[APIRouter],
    documents: Documents,
    not_found: Handler,
) -> FastAPI:
    """All endpoints as one application. not_found: answers outside of the API."""

    served = list(routes)

    async def failed(request: Request, error: Exception) -> Response:
        is_api = request.url.path.startswith("/api/")
        if isinstance(error, HTTPException) and error.status_code == 405:
            allowed = {"Allow": ", ".join(_methods(served, request.scope))}
            error = HTTPException(405, f"There is no {request.method} here.", allowed)
        return await (from_exception if is_api else not_found)(request, error)

    app = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        version=version("polypaint-fast"),
        routes=[*served, *documents.routes()],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            HTTPException: failed,
            RequestValidationError: from_validation,
        },
    )
    for router in routers:
        app.include_router(router)
        served += router.routes
    documents.describe(app)
    return app


def _methods(routes: Iterable[Any], scope: Scope) -> list[str]:
    """What may be done at the address of a request: the methods of all routes of its path."""
    found: dict[str, set[str]] = {}
    for route in routes:
        if route.matches(scope)[0] is not Match.NONE:
            found.setdefault(route.path, set()).update(route.methods or ())
    return sorted(next(iter(found.values()), set()))
