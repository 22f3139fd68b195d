"""Who one is on the web: sessions, accounts, guests, tokens; over HTTP and over WebSockets."""

import asyncio
import base64
import json
from http.cookies import SimpleCookie

import pytest

from polypaint import connect
from polypaint.identity.guests import NO_PASSWORD
from polypaint.identity.tokens import ACCOUNT_TOKENS_MAX, KIND
from polypaint.net.credentials import COOKIE

from .conftest import serving
from .peers import Browser, basic
from .processes import Process

ADA = {"name": "ada", "password": "pw"}


class Page:
    """A browser, as far as cookies go."""

    def __init__(self, web: str, **headers: str) -> None:
        self.web = web
        self.cookie = ""
        self.headers = {"origin": web} | headers

    def _ask(self, method: str, path: str, body: object, headers: dict[str, str]):
        data = b"" if body is None else json.dumps(body).encode()
        sent = {"Host": self.web.removeprefix("http://"), "Connection": "close"} | headers
        sent["Content-Length"] = str(len(data))
        if body is not None:
            sent["Content-Type"] = "application/json"
        if self.cookie:
            sent["Cookie"] = f"other=1; {COOKIE}={self.cookie}"
        head = "".join(f"{key}: {value}\r\n" for key, value in sent.items() if value)
        with Browser(self.web) as browser:
            browser.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
            return browser.answer()

    async def ask(self, method: str, path: str, body: object = None, **headers: str):
        """(status, body)"""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        status, self.answered, data = await asyncio.to_thread(
            self._ask, method, path, body, self.headers | named
        )
        if (set_cookie := self.answered.get("set-cookie")) is not None:
            self.morsel = SimpleCookie(set_cookie)[COOKIE]
            self.cookie = self.morsel.value
        if status >= 400:
            assert self.answered["content-type"] == "application/problem+json"
            assert json.loads(data)["detail"]
        is_json = "json" in self.answered.get("content-type", "")
        return status, json.loads(data) if data and is_json else data or None

    async def name(self) -> str | None:
        status, session = await self.ask("GET", "/api/session")
        assert status == 200
        return session["name"]


async def test_signing_up_in_and_out(tmp_path):
    async with serving(tmp_path) as server:
        page = Page(server.addresses["web"])
        assert await page.ask("GET", "/api/session") == (
            200,
            {"name": None, "guest": False, "rights": []},
        )
        status, session = await page.ask("POST", "/api/accounts", ADA)
        assert (status, session["name"], session["guest"]) == (201, "ada", False)
        assert session["token"] == page.cookie
        assert page.morsel["httponly"]
        assert page.morsel["samesite"] == "strict"
        assert page.morsel["path"] == "/"
        assert not page.morsel["secure"]
        assert await page.name() == "ada"
        old = page.cookie
        assert (await page.ask("DELETE", "/api/session"))[0] == 204
        assert await page.name() is None
        page.cookie = old
        assert await page.name() is None, "the session is over, not only its cookie"
        assert page.cookie == ""
        assert (await page.ask("POST", "/api/session", ADA | {"password": "no"}))[0] == 401
        assert page.answered["www-authenticate"].startswith("Bearer"), "no dialog of the browser"
        assert (await page.ask("POST", "/api/session", ADA | {"name": "bob"}))[0] == 401
        assert (await page.ask("POST", "/api/session", ADA))[0] == 200
        assert await page.name() == "ada"


async def test_a_cookie_is_secure_where_the_page_is(tmp_path):
    async with serving(tmp_path) as server:
        page = Page(server.addresses["web"], **{"X-Forwarded-Proto": "https"})
        await page.ask("POST", "/api/accounts", ADA)
        assert page.morsel["secure"]


@pytest.mark.parametrize(
    "name", ["robot-1", "\u0430da", "ada ", " ada", "a  b", "x" * 65, "", "a\nb"]
)
async def test_names_that_nobody_can_have(tmp_path, name):
    async with serving(tmp_path) as server:
        page = Page(server.addresses["web"])
        assert (await page.ask("POST", "/api/accounts", ADA))[0] == 201
        status, _ = await page.ask("POST", "/api/accounts", {"name": name, "password": "pw"})
        assert status in (409, 422)
        assert (await page.ask("POST", "/api/accounts", ADA))[0] == 409


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"name": "ada"},
        {"name": 1, "password": "pw"},
        ADA | {"admin": True},
        "x" * 70_000,
    ],
)
async def test_bodies_that_are_none(tmp_path, body):
    async with serving(tmp_path) as server:
        status, _ = await Page(server.addresses["web"]).ask("POST", "/api/session", body)
        assert status == (413 if isinstance(body, str) else 422)


# ---------------------------------------------------------------- programs
async def test_a_token_is_worth_as_much_as_a_password(tmp_path):
    async with serving(tmp_path) as server:
        program = Page(server.addresses["web"], origin="")
        _, session = await program.ask("POST", "/api/accounts", ADA)
        program.cookie = ""
        bearer = {"authorization": f"Bearer {session['token']}"}
        _, who = await program.ask("GET", "/api/session", **bearer)
        assert who["name"] == "ada"
        assert (await program.ask("GET", "/api/lobbies", **bearer))[0] == 200
        for wrong in ("Bearer", "Bearer x", "Digest x"):
            assert (await program.ask("GET", "/api/lobbies", authorization=wrong))[0] == 401
        _, who = await program.ask("GET", "/api/session", authorization=basic("ada", "pw"))
        assert who["name"] == "ada"


async def test_tokens_are_listed_and_revoked_by_their_owner(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        laptop, phone, bob = Page(web), Page(web), Page(web)
        await laptop.ask("POST", "/api/accounts", ADA, user_agent="Laptop")
        await phone.ask("POST", "/api/session", ADA, user_agent="Phone " * 100)
        await bob.ask("POST", "/api/accounts", {"name": "bob", "password": "pw"})
        assert (await Page(web).ask("GET", "/api/session/tokens"))[0] == 401
        _, tokens = await laptop.ask("GET", "/api/session/tokens")
        assert [(token["about"][:6], token["current"]) for token in tokens] == [
            ("Phone ", False),
            ("Laptop", True),
        ]
        phones = f"/api/session/tokens/{tokens[0]['id']}"
        assert (await bob.ask("DELETE", phones))[0] == 404
        assert await phone.name() == "ada"
        assert (await laptop.ask("DELETE", phones))[0] == 204
        assert await phone.name() is None
        await phone.ask("POST", "/api/session", ADA)
        assert (await laptop.ask("DELETE", "/api/session/tokens"))[0] == 204
        assert (await phone.name(), await laptop.name(), await bob.name()) == (None, "ada", "bob")


async def test_an_account_has_so_many_tokens(tmp_path):
    async with serving(tmp_path) as server:
        page = Page(server.addresses["web"])
        await page.ask("POST", "/api/accounts", ADA)
        first, page.cookie = page.cookie, ""
        for _ in range(ACCOUNT_TOKENS_MAX):
            await page.ask("POST", "/api/session", ADA)
            page.cookie = ""
        assert len(await server.store.read(KIND)) == ACCOUNT_TOKENS_MAX
        page.cookie = first
        assert await page.name() is None


def test_tokens_survive_a_killed_server_and_are_stored_hashed(tmp_path):
    async def signed_in(web: str, cookie: str) -> str | None:
        page = Page(web)
        page.cookie = cookie
        return await page.name()

    server = Process(tmp_path).start()
    page = Page(server.web)
    asyncio.run(page.ask("POST", "/api/accounts/guest"))
    name = asyncio.run(page.name())
    server.kill()
    assert all(page.cookie.encode() not in path.read_bytes() for path in server.data.iterdir())
    server.start()
    try:
        assert asyncio.run(signed_in(server.web, page.cookie)) == name
    finally:
        assert server.stop() == 0


# ---------------------------------------------------------------- guests
async def test_a_guest_is_a_real_account_that_no_password_opens(tmp_path):
    async with serving(tmp_path) as server:
        web, paint = server.addresses["web"], server.addresses["paint"]
        page = Page(web)
        status, session = await page.ask("POST", "/api/accounts/guest")
        name = session["name"]
        assert (status, session["guest"], await page.name()) == (201, True, name)
        assert len(name.split()) == 2
        assert await server.store.password_hash(name) == NO_PASSWORD
        for password in ("!", "", "pw", NO_PASSWORD.decode()):
            with pytest.raises(Exception, match="password"):
                async with connect(paint, name, password or "x"):
                    pass
            given = base64.b64encode(f"{name}:{password}".encode()).decode()
            other = Page(web)
            assert (await other.ask("GET", "/api/lobbies", authorization=f"Basic {given}"))[
                0
            ] == 401
        assert (await other.ask("POST", "/api/accounts", {"name": name, "password": "x"}))[
            0
        ] == 409


async def test_a_guest_who_stays_keeps_their_drawings(tmp_path):
    async with serving(tmp_path) as server:
        page = Page(server.addresses["web"])
        _, session = await page.ask("POST", "/api/accounts/guest")
        ticket = await server.logins.ticket(session["name"])
        async with connect(server.addresses["paint"], session["name"], ticket) as guest:
            await guest.create("mine", "stroke", "private")
            status, kept = await page.ask("PUT", "/api/account", ADA)
            assert (status, kept["name"], kept["guest"]) == (200, "ada", False)
        assert await page.name() == "ada"
        assert server.paint.lobbies["mine"].info.owner == "ada"
        assert (await page.ask("PUT", "/api/account", ADA))[0] == 409
        async with connect(server.addresses["paint"], "ada", "pw") as ada:
            await ada.join("mine")
    async with serving(tmp_path) as server:
        assert server.paint.lobbies["mine"].info.owner == "ada"
        assert await server.store.password_hash(session["name"]) == NO_PASSWORD


async def test_a_guest_may_keep_their_name(tmp_path):
    async with serving(tmp_path) as server:
        page = Page(server.addresses["web"])
        name = (await page.ask("POST", "/api/accounts/guest"))[1]["name"]
        kept = await page.ask("PUT", "/api/account", {"name": name, "password": "pw"})
        assert kept == (200, {"name": name, "guest": False, "rights": ["draw", "create"]})
        async with connect(server.addresses["paint"], name, "pw"):
            pass


async def test_guests_of_one_address_are_limited(tmp_path):
    async with serving(tmp_path, address_guests_max=2) as server:
        names = [await server.logins.create_guest("203.0.113.1") for _ in range(2)]
        assert len(set(names)) == 2
        with pytest.raises(Exception, match="address"):
            await server.logins.create_guest("203.0.113.1")
        assert await server.logins.create_guest("203.0.113.2")
    async with serving(tmp_path / "none", address_guests_max=0) as server:
        assert (await Page(server.addresses["web"]).ask("POST", "/api/accounts/guest"))[0] == 403


# ---------------------------------------------------------------- pages of others
async def test_pages_of_other_sites_change_nothing(tmp_path):
    async with serving(tmp_path, origins="https://friend.example") as server:
        page = Page(server.addresses["web"])
        await page.ask("POST", "/api/accounts", ADA)
        for origin in ("https://evil.example", "null", "http://[", "http://localhost"):
            for method, path in (
                ("POST", "/api/session"),
                ("DELETE", "/api/session"),
                ("POST", "/api/accounts/guest"),
                ("PUT", "/api/account"),
            ):
                assert (await page.ask(method, path, origin=origin))[0] == 403, (origin, path)
        assert await page.name() == "ada"
        assert (await page.ask("DELETE", "/api/session", origin="https://friend.example"))[
            0
        ] == 204


# ---------------------------------------------------------------- WebSockets
async def test_a_websocket_hands_over_what_its_request_says(tmp_path):
    async with serving(tmp_path) as server:
        web = server.addresses["web"]
        page = Page(web)
        _, session = await page.ask("POST", "/api/accounts", ADA)
        cookie, bearer = f"Cookie: {COOKIE}={page.cookie}", f"Authorization: Bearer {page.cookie}"
        for name in ("paint", "matches", "tanks"):
            for lines, word in ((cookie, page.cookie), (bearer, page.cookie), ("X: y", "")):
                with Browser(web) as browser:
                    upgrade = (
                        f"GET /ws/{name} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        f"Sec-WebSocket-Key: {'A' * 22}==\r\n{lines}\r\n\r\n"
                    )
                    browser.send(upgrade.encode())
                    assert (await asyncio.to_thread(browser.answer))[0] == 101
                    (opened,) = server._sessions()
                    assert opened.credentials == word
                    account = await server.effect_runner.account_of(opened.credentials)
                    assert account == ("ada" if word else None)
                while server._sessions():
                    await asyncio.sleep(0.001)
