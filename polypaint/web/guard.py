"""What every request passes before it comes to an endpoint.

A request that changes something and comes from a page of another site is refused: a browser would
send it in the name of whoever looks at that page. Bodies are bounded before they are read.
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from polypaint.net.credentials import may_come_from
from polypaint.web.problems import problem_response

BODY_BYTES_MAX: Final = 64 << 10
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
UPLOADS: Final = ("/import", "/canvas.png")
"""Ends of paths whose endpoints bound bodies themselves."""


class Guard:
    """See the module. origins: other sites whose pages may act in their users' names."""

    def __init__(self, app: ASGIApp, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI. HEAD is answered as GET is; whoever sends the answer leaves its body out."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = None
        if scope["method"] not in SAFE:
            host = headers.get("host", "")
            if not may_come_from(headers.get("origin"), host, self._origins):
                refusal = problem_response(403, "Pages of other sites may not do this.")
            elif _size(headers) > BODY_BYTES_MAX and not scope["path"].endswith(UPLOADS):
                refusal = problem_response(413, f"At most {BODY_BYTES_MAX} bytes are read here.")
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def _size(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0
