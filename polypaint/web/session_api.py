"""Who one is: signing in and out, making accounts, guests; the tokens of one's sessions.

Everything goes through the one login module. A page gets a cookie that its scripts cannot read, a
program the same word as a token.

Counterparts: `runtime/sessions.py`, `runtime/logins.py`; `auth.py` finds out who asks.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from polypaint.engine.effects import ACCOUNT_CREATED, NAME_TAKEN
from polypaint.errors import Refused, StoreError
from polypaint.identity.accounts import PASSWORD_BYTES_MAX, is_name
from polypaint.identity.names import problem
from polypaint.identity.tokens import Token
from polypaint.net.credentials import COOKIE
from polypaint.paint.service import PaintService
from polypaint.web.auth import BEARER, LATER, Caller, Callers, address_of
from polypaint.web.problems import Problem, answers

if TYPE_CHECKING:
    from polypaint.runtime.sessions import Sessions

AWAY: Final = "The store does not answer; try again later."
NAME: Final = r"^[^\u0000-\u001f\u007f-\u009f]+$"

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=NAME, examples=["ada"])]
Password = Annotated[str, Field(min_length=1, max_length=PASSWORD_BYTES_MAX)]


class Strict(BaseModel):
    """A body in which nothing is guessed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Login(Strict):
    """A name and a password."""

    name: Name
    password: Password


class SessionInfo(BaseModel):
    """Who one is. name: null for nobody. rights: what one may do."""

    name: str | None
    guest: bool
    rights: list[str]


class SignedIn(SessionInfo):
    """The same, with the token for `Authorization: Bearer`."""

    token: str


class TokenInfo(BaseModel):
    """One of one's sessions. about: what signed in. current: is it the one that asks?"""

    id: str
    created: datetime
    expires: datetime
    about: str
    current: bool


class AppServices(Protocol):
    """What this needs of the server: `server.Server`."""

    sessions: "Sessions"

    @property
    def paint(self) -> PaintService:
        """Drawings."""

    def now(self) -> float:
        """Seconds on the server's clock."""

    def run_effects(self) -> None:
        """Carry out what the service has asked for."""


class SessionApi:
    """The endpoints."""

    def __init__(self, services: AppServices, callers: Callers) -> None:
        self._services = services
        self._sessions = services.sessions
        self._logins = services.sessions.logins
        self._callers = callers

    def router(self) -> APIRouter:
        """Where they are."""
        router = APIRouter(tags=["who one is"])
        add = router.add_api_route
        add("/api/session", self.who, methods=["GET"], responses=answers(401))
        add("/api/session", self.sign_in, methods=["POST"], responses=answers(401, 403, 413, 503))
        add(
            "/api/session", self.sign_out, methods=["DELETE"], status_code=204,
            responses=answers(401, 403, 503),
        )  # fmt: skip
        add("/api/session/tokens", self.tokens, methods=["GET"], responses=answers(401))
        add(
            "/api/session/tokens", self.revoke_others, methods=["DELETE"], status_code=204,
            responses=answers(401, 403, 503),
        )  # fmt: skip
        add(
            "/api/session/tokens/{id}", self.revoke, methods=["DELETE"], status_code=204,
            responses=answers(401, 403, 404, 503),
        )  # fmt: skip
        add(
            "/api/accounts", self.sign_up, methods=["POST"], status_code=201,
            responses=answers(403, 409, 413, 429, 503),
        )  # fmt: skip
        add(
            "/api/accounts/guest", self.guest, methods=["POST"], status_code=201,
            responses=answers(403, 429, 503),
        )  # fmt: skip
        add(
            "/api/account", self.keep, methods=["PUT"],
            responses=answers(401, 403, 409, 413, 429, 503),
        )  # fmt: skip
        return router

    # ------------------------------------------------------------ sessions
    async def who(self, request: Request, response: Response) -> SessionInfo:
        """Who one is, and what one may do; 200 for nobody, too."""
        caller = await self._callers.identify(request)
        if caller.token is not None and COOKIE in request.cookies:
            try:
                renewed = await self._sessions.renew(caller.token)
            except StoreError:
                renewed = caller.token  # it still counts
            if renewed is not caller.token:
                self._set_cookie(request, response, request.cookies[COOKIE], renewed)
        elif not caller.name and COOKIE in request.cookies:
            response.delete_cookie(COOKIE)
        return self._info(caller.name)

    async def sign_in(self, login: Login, request: Request, response: Response) -> SignedIn:
        """Sign in: a cookie for pages, a token for programs."""
        right = await self._logins.check(login.name, login.password, address_of(request))
        if right is None:
            raise Problem(503, "Logins take too long just now; try again later.", LATER)
        if not right:
            raise Problem(401, "Wrong name or password.", BEARER)
        return await self._signed_in(login.name, request, response)

    async def sign_out(self, request: Request, response: Response) -> None:
        """End this session."""
        caller = await self._callers.identify(request)
        if caller.token is not None:
            await self._revoke([caller.token])
        response.delete_cookie(COOKIE)

    async def tokens(self, request: Request) -> list[TokenInfo]:
        """One's sessions, the newest first."""
        caller = await self._somebody(request)
        return [
            TokenInfo(
                id=token.id,
                created=datetime.fromtimestamp(token.created, UTC),
                expires=datetime.fromtimestamp(token.expires, UTC),
                about=token.about,
                current=caller.token is not None and token.key == caller.token.key,
            )
            for token in self._sessions.listed(caller.name)
        ]

    async def revoke_others(self, request: Request) -> None:
        """End all of one's sessions but the one that asks."""
        caller = await self._somebody(request)
        mine = caller.token.key if caller.token is not None else ""
        tokens = self._sessions.listed(caller.name)
        await self._revoke([token for token in tokens if token.key != mine])

    async def revoke(self, id: str, request: Request) -> None:  # noqa: A002
        """End one of one's sessions."""
        caller = await self._somebody(request)
        tokens = [token for token in self._sessions.listed(caller.name) if token.id == id]
        if not tokens:
            raise Problem(404, "You have no such session.")
        await self._revoke(tokens)

    # ------------------------------------------------------------ accounts
    async def sign_up(self, login: Login, request: Request, response: Response) -> SignedIn:
        """Make an account, and sign in."""
        await self._create(login, request)
        return await self._signed_in(login.name, request, response)

    async def guest(self, request: Request, response: Response) -> SignedIn:
        """Be a guest: an account with a made-up name and no password, and signed in."""
        try:
            name = await self._logins.create_guest(address_of(request))
        except Refused as error:
            status = 429 if self._logins.guests_max else 403
            raise Problem(status, str(error)) from None
        except StoreError:
            raise Problem(503, AWAY, LATER) from None
        return await self._signed_in(name, request, response)

    async def keep(self, login: Login, request: Request, response: Response) -> SessionInfo:
        """A guest stays: with a name and a password of their choice, and all their drawings."""
        caller = await self._somebody(request)
        if not self._logins.is_guest(caller.name):
            raise Problem(409, "You are no guest: your account is a lasting one already.")
        try:
            if login.name == caller.name:
                status = await self._logins.set_first_password(
                    login.name, login.password, address_of(request)
                )
                if status != ACCOUNT_CREATED:
                    raise Problem(429, "Too many logins just now; try again later.", LATER)
            else:
                await self._create(login, request)
                self._services.paint.owners.hand_over(
                    caller.name, login.name, self._services.now()
                )
                self._services.run_effects()
            await self._sessions.rename(caller.name, login.name)
        except StoreError:
            raise Problem(503, AWAY, LATER) from None
        return self._info(login.name)

    async def _create(self, login: Login, request: Request) -> None:
        wrong = problem(login.name) if is_name(login.name) else "too long, or not normalized (NFC)"
        if wrong:
            raise Problem(409, f"This cannot be a name here: {wrong}.")
        address = address_of(request)
        status = await self._logins.create(login.name, login.password, address)
        if status == NAME_TAKEN:
            raise Problem(409, "Somebody has this name, or one that looks like it.")
        if status != ACCOUNT_CREATED:
            raise Problem(429, "Too many new accounts just now; try again later.", LATER)

    # ------------------------------------------------------------ what they share
    async def _somebody(self, request: Request) -> Caller:
        caller = await self._callers.identify(request)
        if not caller.name:
            raise Problem(401, "Sign in first.", BEARER)
        return caller

    def _info(self, name: str) -> SessionInfo:
        rights = ["draw", "create"] if name else []
        return SessionInfo(name=name or None, guest=self._logins.is_guest(name), rights=rights)

    async def _signed_in(self, name: str, request: Request, response: Response) -> SignedIn:
        before = self._sessions.find(request.cookies.get(COOKIE, ""))
        try:
            word, token = await self._sessions.issue(name, request.headers.get("user-agent", ""))
            if before is not None:
                await self._sessions.revoke([before])
        except StoreError:
            raise Problem(503, AWAY, LATER) from None
        self._set_cookie(request, response, word, token)
        return SignedIn(**self._info(name).model_dump(), token=word)

    async def _revoke(self, tokens: list[Token]) -> None:
        try:
            await self._sessions.revoke(tokens)
        except StoreError:
            raise Problem(503, AWAY, LATER) from None

    @staticmethod
    def _set_cookie(request: Request, response: Response, word: str, token: Token) -> None:
        scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
        response.set_cookie(
            COOKIE, word, max_age=int(token.valid), path="/", httponly=True, samesite="strict",
            secure=scheme == "https",
        )  # fmt: skip
