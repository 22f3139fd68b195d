"""Logging in through every door: fair turns, tickets, new accounts, what the log says."""

import asyncio
import re

import bcrypt
import pytest
from structlog.testing import capture_logs

from polypaint import LoginFailed, connect, connect_matches, connect_tanks
from polypaint.engine.effects import ACCOUNT_CREATED, ACCOUNT_REFUSED, NAME_TAKEN
from polypaint.identity.accounts import prepared
from polypaint.runtime.logins import KEY, KIND
from polypaint.runtime.password_hasher import PasswordHasher, rounds_of

from .conftest import serving

SOON_S = 20
ELSEWHERE = "203.0.113.5"
HOME = "198.51.100.1"


async def until(condition):
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.005)


class Slow:
    """In place of bcrypt: checks that last until they are let go, one after the other."""

    def __init__(self, passwords, right):
        self.asked = []
        self.passwords = passwords
        self.right = right
        passwords.check = self.check

    async def check(self, password, hashed):
        future = asyncio.get_running_loop().create_future()
        self.asked.append((password, future))
        return await future

    async def let_go(self):
        """End the check that is under way; its password."""
        await until(lambda: self.asked)
        password, future = self.asked.pop(0)
        future.set_result(password == self.right)
        for _ in range(5):
            await asyncio.sleep(0)
        return password


async def test_an_honest_login_is_behind_two_guesses_whatever_another_address_does(tmp_path):
    async with serving(tmp_path) as server:
        logins = server.logins
        logins.admission._slots = 1
        assert await logins.create("ada", "pw", HOME) == ACCOUNT_CREATED
        slow = Slow(server.ports.hasher, "pw")
        guesses = [
            asyncio.ensure_future(logins.check("ada", f"{i}", ELSEWHERE)) for i in range(64)
        ]
        await until(lambda: slow.asked and logins.counts["refused"] == 64 - 17)
        honest = asyncio.ensure_future(logins.check("ada", "pw", HOME))
        await until(lambda: logins.admission.waiting == 17)
        checked = [await slow.let_go() for _ in range(3)]
        assert "pw" in checked, "behind the guess under way, and one more at most"
        assert await honest is True
        for guess in guesses:
            guess.cancel()
        await asyncio.gather(*guesses, return_exceptions=True)
        assert (logins.admission.waiting, logins.admission.running) == (0, 0)


async def test_nothing_is_hashed_for_who_is_gone(tmp_path):
    async with serving(tmp_path) as server:
        logins = server.logins
        logins.admission._slots = 1
        slow = Slow(server.ports.hasher, "pw")
        first = asyncio.ensure_future(logins.check("a", "first", HOME))
        await until(lambda: slow.asked)
        gone = asyncio.ensure_future(logins.check("b", "gone", HOME, wanted=lambda: False))
        last = asyncio.ensure_future(logins.check("c", "pw", HOME))
        await until(lambda: logins.admission.waiting == 2)
        assert [await slow.let_go(), await slow.let_go()] == ["first", "pw"]
        assert [await first, await gone, await last] == [False, None, True]


# ------------------------------------------------------------ tickets
async def come_back(server, client, ticket):
    """A client whose connection is cut is back, without a password check."""
    await until(lambda: ticket(client))
    accepted, tickets = (server.logins.counts[x] for x in ("accepted", "ticket"))
    for connection in list(server._links.values()):
        connection.transport.abort()
    await until(lambda: server.logins.counts["ticket"] == tickets + 1)
    assert server.logins.counts["accepted"] == accepted


async def test_a_paint_client_comes_back_with_a_ticket(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect(server.addresses["paint"], "ada", "pw", create=True) as ada,
    ):
        drawing = await ada.create("d")
        await come_back(server, ada, lambda client: client._ticket)
        await drawing.add_stroke(0, b"\xff\x00\x00\xff", 3, 3, [(1, 1)])
        assert len((await drawing.settled()).strokes) == 1


async def test_a_tank_client_comes_back_with_a_ticket(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect_tanks(server.addresses["tanks"], "ada", "pw", create=True) as ada,
    ):
        await come_back(server, ada, lambda client: client._ticket)
        await until(lambda: not ada.closed and ada._transport is not None)


async def test_a_match_client_comes_back_with_a_ticket_and_may_leave(tmp_path):
    async with (
        serving(tmp_path) as server,
        connect_matches(server.addresses["matches"], "ada", "pw") as ada,
    ):
        match = await ada.create("puissance4")
        await come_back(server, ada, lambda client: client._ticket)
        await until(lambda: ada._transport is not None and ada.shown == ada._ticket)
        seat = server.matches.table.matches[match.code].seats["ada"]
        await until(lambda: seat.viewer is not None)
        await match.leave()


async def test_a_ticket_that_has_become_worthless_is_given_up_for_the_password(tmp_path):
    async with serving(tmp_path) as server:
        address = server.addresses
        async with (
            connect(address["paint"], "ada", "pw", create=True) as ada,
            connect_matches(address["matches"], "bob", "pw") as bob,
            connect_tanks(address["tanks"], "eve", "pw", create=True) as eve,
        ):
            await bob.create("puissance4")
            await until(lambda: ada._ticket and bob._ticket and eve._ticket)
            for name in ("ada", "bob", "eve"):
                await server.store.set_password(name, await server.ports.hasher.hash("pw"))
            before = server.logins.counts["accepted"]
            for connection in list(server._links.values()):
                connection.transport.abort()
            await until(lambda: server.logins.counts["accepted"] == before + 3)
            assert server.logins.counts["ticket"] == 0


async def test_a_ticket_outlives_the_server(tmp_path):
    async with serving(tmp_path) as server:
        assert await server.logins.create("ada", "pw", HOME) == ACCOUNT_CREATED
        ticket = await server.logins.ticket("ada")
        key = await server.store.read_one(KIND, KEY)
    async with serving(tmp_path) as server:
        assert await server.store.read_one(KIND, KEY) == key
        assert await server.logins.check("ada", ticket, ELSEWHERE) is True
        assert await server.logins.check("bob", ticket, ELSEWHERE) is False
        assert server.logins.counts["ticket"] == 1


async def test_nobody_gets_a_ticket_for_somebody_who_is_not_there(tmp_path):
    async with serving(tmp_path) as server:
        assert await server.logins.ticket("nobody") == ""


# ------------------------------------------------------------ new accounts
async def test_names_that_look_like_others_or_are_reserved(tmp_path):
    async with serving(tmp_path) as server:
        logins, address = server.logins, server.addresses
        assert await logins.create("ada", "pw", HOME) == ACCOUNT_CREATED
        assert await logins.create("ada", "pw", HOME) == NAME_TAKEN
        assert await logins.create("\u0430da", "pw", HOME) == NAME_TAKEN
        for name in ("ada ", "a\u200bda2", "robot-1", "Robot-17"):
            assert await logins.create(name, "pw", HOME) in (ACCOUNT_REFUSED, NAME_TAKEN)
        with pytest.raises(LoginFailed):
            await connect(address["paint"], "\u0430da", "pw", create=True).open()
        with pytest.raises(LoginFailed):
            await connect_tanks(address["tanks"], "robot-3", "pw", create=True).open()
        assert await logins.check("\u0430da", "pw", HOME, bind=True) is False
        assert [account.name for account in await server.store.accounts()] == ["ada"]
    async with serving(tmp_path) as server:
        assert await server.logins.create("\u0430da", "pw", HOME) == NAME_TAKEN


async def test_an_account_that_has_such_a_name_already_keeps_it(tmp_path):
    async with serving(tmp_path) as server:
        for name in ("ada", "\u0430da", "ada ", "robot-9"):
            hashed = await server.ports.hasher.hash("pw")
            assert await server.store.add_account(name, hashed, 0)
    async with serving(tmp_path) as server:
        for name in ("ada", "\u0430da", "ada ", "robot-9"):
            assert await server.logins.check(name, "pw", HOME) is True


async def test_one_address_makes_so_many_accounts_in_an_hour(tmp_path):
    async with serving(tmp_path, address_accounts_max=3) as server:
        logins = server.logins
        made = [await logins.create(f"x{i}", "pw", ELSEWHERE) for i in range(5)]
        assert made == [ACCOUNT_CREATED] * 3 + [ACCOUNT_REFUSED] * 2
        assert await logins.check("x9", "pw", ELSEWHERE, bind=True) is None
        assert await logins.create("x9", "pw", HOME) == ACCOUNT_CREATED
        made = [await logins.create(f"y{i}", "pw", "127.0.0.1") for i in range(5)]
        assert made == [ACCOUNT_CREATED] * 5


# ------------------------------------------------------------ the cost of a hash
@pytest.mark.parametrize("now", [4, 5, 6, 7])
async def test_a_failed_check_costs_the_same_whatever_the_account(monkeypatch, now):
    spent = 0
    real_check, real_hash = bcrypt.checkpw, bcrypt.hashpw

    def check(password, hashed):
        nonlocal spent
        spent += 1 << rounds_of(hashed)
        return real_check(password, hashed)

    def hash_(password, salt):
        nonlocal spent
        spent += 1 << rounds_of(salt)
        return real_hash(password, salt)

    old = [bcrypt.hashpw(prepared("pw"), bcrypt.gensalt(rounds)) for rounds in (4, 5, 6)]
    passwords = PasswordHasher(now)
    await passwords.start(6)
    monkeypatch.setattr(bcrypt, "checkpw", check)
    monkeypatch.setattr(bcrypt, "hashpw", hash_)
    costs = set()
    for hashed in (None, *old):
        spent = 0
        assert await passwords.check("wrong", hashed) is False
        costs.add(spent)
    assert costs == {1 << max(now, 6)}
    passwords.close()


async def test_a_hash_of_another_cost_is_made_anew_at_login(tmp_path):
    async with serving(tmp_path, bcrypt_rounds=5) as server:
        assert await server.logins.create("ada", "pw", HOME) == ACCOUNT_CREATED
    async with serving(tmp_path, bcrypt_rounds=4) as server:
        assert await server.logins.check("ada", "no", HOME) is False
        assert rounds_of(await server.store.password_hash("ada")) == 5  # type: ignore[arg-type]
        assert await server.logins.check("ada", "pw", HOME) is True
        await until(lambda: not server.effect_runner.under_way)
        assert rounds_of(await server.store.password_hash("ada")) == 4  # type: ignore[arg-type]
        assert await server.logins.check("ada", "pw", HOME) is True


# ------------------------------------------------------------ what is said
async def test_logins_are_logged_with_their_address_at_a_bounded_rate(tmp_path):
    async with serving(tmp_path) as server:
        logins = server.logins
        with capture_logs() as lines:
            await logins.create("ada", "pw", HOME)
            await logins.check("ada", "pw", HOME)
            for _ in range(40):
                await logins.check("ada", "pw", ELSEWHERE)
                await logins.check(await logins.ticket("ada"), "no", "192.0.2.7")
        said = [(line["event"], line["address"]) for line in lines]
        assert said[:2] == [("account created", HOME), ("logged in", HOME)]
        assert 20 <= said.count(("logged in", ELSEWHERE)) <= 30
        assert list(lines[1]) == ["address", "name", "event", "log_level"]


async def test_a_failed_login_is_a_line_that_fail2ban_reads(tmp_path, process):
    with pytest.raises(LoginFailed):
        await connect(process.paint, "a address=9.9.9.9", "no").open()
    await until(lambda: "login failed" in process.log.read_text())
    pattern = re.compile(r"^\S+ \[info\s*\] login failed\s+address=(\S+)\s", re.MULTILINE)
    assert pattern.findall(process.log.read_text()) == ["127.0.0.1"]
