"""Fair queues for logins: how many checks an honest person waits for, in a simulation."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from polypaint.engine.quota import KEYS_MAX, Quota
from polypaint.identity.admission import (
    ACCOUNT_DELAY_S_MAX,
    ACCOUNT_FREE,
    ACCOUNT_WAITING_MAX,
    ADDRESS_DELAY_S_MAX,
    ADDRESS_FREE,
    ADDRESS_WAITING_MAX,
    HALF_LIFE_S,
    LOCAL_WAITING_MAX,
    RECORDS_MAX,
    WAITING_MAX,
    Admission,
    origin,
)

CHECK_S = 0.25


class Pool:
    """Threads that check passwords, in virtual time; remembers whom they checked."""

    def __init__(self, slots=1):
        self.admission = Admission(slots)
        self.now = 0.0
        self.checked = []

    def check(self, ok):
        """Check whoever is next; waits until somebody may be."""
        attempt = self.admission.next(self.now)
        if attempt is None:
            at = self.admission.next_at(self.now)
            assert at is not None
            self.now = at
            attempt = self.admission.next(self.now)
            assert attempt is not None
        self.now += CHECK_S
        self.admission.done(attempt, ok(attempt), self.now)
        self.checked.append(attempt)
        return attempt

    def log_in(self, address, account):
        """An honest person asks; checks are made until theirs has been."""
        mine = self.admission.ask(address, account)
        while self.check(lambda attempt: attempt is mine) is not mine:
            pass


def guess(pool, address, accounts, connections=64):
    """Have so many connections wait with a guess each, at all times."""
    for i in range(connections):
        pool.admission.ask(address, accounts[i % len(accounts)])


@pytest.mark.parametrize("accounts", [["ada"], ["ada", "bob"], [f"x{i}" for i in range(64)]])
@pytest.mark.parametrize(
    "same", [False, True], ids=["their own account", "the account guessed at"]
)
def test_an_honest_login_waits_for_one_guess_of_another_address(accounts, same):
    pool = Pool()
    honest = accounts[0] if same else "eve"
    for _ in range(20):
        guess(pool, "203.0.113.5", accounts)
        for _ in range(10):
            pool.check(lambda attempt: attempt.address == "198.51.100.1")
            guess(pool, "203.0.113.5", accounts, 1)
        before, began = len(pool.checked), pool.now
        pool.log_in("198.51.100.1", honest)
        assert len(pool.checked) - before <= 2
        assert pool.now - began <= 2


def test_on_this_machine_an_honest_login_waits_for_one_guess_at_each_other_account():
    pool = Pool()
    for _ in range(5):
        guess(pool, "", ["ada", "bob"], 32)
        before = len(pool.checked)
        pool.log_in("", "eve")
        assert len(pool.checked) - before <= 3


def test_many_addresses_have_their_turns():
    pool = Pool()
    for address in range(10):
        guess(pool, f"203.0.113.{address}", ["ada"], 16)
    first = [pool.check(lambda _: None).address for _ in range(10)]
    assert len(set(first)) == 10


def test_an_address_has_a_second_check_only_when_no_other_waits():
    admission = Admission(2)
    for account in ("a", "b"):
        admission.ask("203.0.113.1", account)
    admission.ask("203.0.113.2", "c")
    one, other = admission.next(0), admission.next(0)
    assert {one.address, other.address} == {"203.0.113.1", "203.0.113.2"}
    assert admission.next(0) is None
    admission.done(other, True, 0)  # type: ignore[arg-type]
    assert admission.next(0).address == "203.0.113.1"


def test_failures_make_the_next_attempt_wait_longer_and_are_forgotten():
    admission = Admission(1)

    def fail(now):
        admission.ask("203.0.113.1", "ada")
        attempt = admission.next(now)
        if attempt is None:
            now = due_at(admission, now)
            attempt = admission.next(now)
        admission.done(attempt, False, now)  # type: ignore[arg-type]
        return now

    times = [0.0]
    for _ in range(ACCOUNT_FREE + 8):
        times.append(fail(times[-1]))
    waits = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert waits[:ACCOUNT_FREE] == [0.0] * ACCOUNT_FREE
    assert waits[ACCOUNT_FREE:] == sorted(waits[ACCOUNT_FREE:])
    assert waits[-1] == pytest.approx(ACCOUNT_DELAY_S_MAX)
    admission.ask("203.0.113.2", "ada")
    elsewhere = admission.next(times[-1])
    assert elsewhere is not None, "from elsewhere nobody has to wait"
    admission.done(elsewhere, True, times[-1])
    later = times[-1] + 10 * HALF_LIFE_S
    admission.ask("203.0.113.1", "ada")
    assert admission.next(later) is not None, "after a while nobody has to"


def test_the_right_password_ends_the_wait():
    admission = Admission(1)
    for ok in [False] * (ACCOUNT_FREE + 3) + [True, False]:
        admission.ask("203.0.113.1", "ada")
        now = admission.next_at(1e9) or 1e9
        admission.done(admission.next(now), ok, now)  # type: ignore[arg-type]
    admission.ask("203.0.113.1", "ada")
    assert admission.next(now) is not None


def due_at(admission: Admission, now: float) -> float:
    """When somebody may be next."""
    at = admission.next_at(now)
    assert at is not None
    return at


def test_an_address_that_guesses_at_ever_new_names_waits_too():
    admission = Admission(1)
    now = 0.0
    for i in range(ADDRESS_FREE + 10):
        admission.ask("203.0.113.1", f"x{i}")
        attempt = admission.next(now)
        if attempt is None:
            now = due_at(admission, now)
            attempt = admission.next(now)
        admission.done(attempt, False, now)  # type: ignore[arg-type]
    admission.ask("203.0.113.1", "new")
    assert admission.next(now) is None
    assert now < due_at(admission, now) <= now + ADDRESS_DELAY_S_MAX


def test_what_waits_is_bounded():
    admission = Admission(1)
    taken = [admission.ask("203.0.113.1", "ada") for _ in range(100)]
    assert sum(x is not None for x in taken) == ACCOUNT_WAITING_MAX
    taken = [admission.ask("203.0.113.1", f"x{i}") for i in range(1000)]
    assert admission.waiting == ADDRESS_WAITING_MAX
    for i in range(10_000):
        admission.ask("", f"x{i}")
    assert admission.waiting == ADDRESS_WAITING_MAX + LOCAL_WAITING_MAX
    for address in range(200):
        for i in range(64):
            admission.ask(f"198.51.{address}.1", f"x{i}")
    assert admission.waiting == WAITING_MAX
    assert admission.refused > 0


def test_records_of_failures_are_bounded():
    admission = Admission(1)
    for i in range(RECORDS_MAX + 100):
        attempt = admission.ask("", f"x{i}")
        assert admission.next(0.0) is attempt
        admission.done(attempt, False, 0.0)  # type: ignore[arg-type]
    assert len(admission._failures) == RECORDS_MAX
    assert not admission._queues


@given(
    st.lists(
        st.tuples(st.sampled_from(["ask", "next", "done", "withdraw"]), st.integers(0, 3),
                  st.integers(0, 3), st.sampled_from([True, False, None])),
    )
)  # fmt: skip
def test_any_order_of_events(events):
    admission = Admission(2)
    waiting, running, now = [], [], 0.0
    for what, address, account, ok in events:
        now += 0.1
        if what == "ask":
            waiting.append(admission.ask(f"203.0.113.{address}" if address else "", f"{account}"))
        elif what == "next" and (attempt := admission.next(now)) is not None:
            waiting.remove(attempt)
            running.append(attempt)
        elif what == "done" and running:
            admission.done(running.pop(0), ok, now)
        elif what == "withdraw" and waiting:
            admission.withdraw(waiting.pop())  # type: ignore[arg-type]
        assert (admission.waiting, admission.running) == (len(waiting), len(running))
        assert len(running) <= 2
    for attempt in running:
        admission.done(attempt, None, now)
    while waiting:
        now = max(now, admission.next_at(now) or now)
        attempt = admission.next(now)
        waiting.remove(attempt)
        admission.done(attempt, None, now)  # type: ignore[arg-type]
    assert not admission._queues


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("127.0.0.1", ""),
        ("127.3.2.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("local", ""),
        ("", ""),
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_whose_attempts_count_together(address, whose):
    assert origin(address) == whose


def test_a_quota_says_how_many_it_turned_away():
    quota = Quota(1.0, 2.0)
    assert [quota.take("a", 0.0) for _ in range(5)] == [0, 0, None, None, None]
    assert quota.take("b", 0.0) == 0
    assert quota.take("a", 1.0) == 3
    for i in range(KEYS_MAX + 10):
        quota.take(str(i), 2.0)
    assert len(quota._keys) == KEYS_MAX
