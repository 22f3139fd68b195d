"""What a request says of who sends it: a session's cookie, a bearer token; and from which page.

The same for HTTP and for requests that become WebSockets. Must never decide whose a word is:
`runtime/sessions.py` does.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

COOKIE: Final = "polypaint_session"


Headers = Mapping[str, str]
"""Of a request, whatever read them: names in any case."""


def bearer(headers: Headers) -> str:
    """The token of `Authorization: Bearer`; empty when there is none."""
    scheme, _, word = headers.get("authorization", "").partition(" ")
    return word.strip() if scheme.lower() == "bearer" else ""


def cookie(headers: Headers) -> str:
    """What the session's cookie holds; empty when there is none."""
    given = headers.get("cookie", "")
    if COOKIE not in given:
        return ""
    try:
        morsel = SimpleCookie(given).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


def credentials(headers: Headers) -> str:
    """What can stand for an account without a name and a password; empty when there is nothing."""
    return bearer(headers) or cookie(headers)


def may_come_from(origin: str | None, host: str, origins: AbstractSet[str]) -> bool:
    """May a page of this origin act in the name of whoever looks at it? None: it is no page.

    host: that the request was sent to. origins: others that may.
    """
    if origin is None or origin in origins:
        return True
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False
