"""Which names new accounts can have, and tickets."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from polypaint.identity.names import is_reserved, problem, skeleton
from polypaint.identity.tickets import KEY_BYTES, PREFIX, VALID_S, Tickets


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada", "\u0430da"),  # Cyrillic a
        ("ada", "ad\uff41"),  # full width
        ("paypal", "p\u0430yp\u0430l"),
        ("scope", "\u0455\u0441\u043e\u0440\u0435"),
        ("adal", "ada1"),
        ("adal", "adaI"),
        ("bOb", "b0b"),
        ("corn", "com"),
        ("ada", "a\u200bda"),
        ("ada", "ad\u00ada"),
        ("ada", "ad\ufe0fa"),
        ("e\u0301a", "\u00e9a"),
    ],
)
def test_names_that_look_alike(one, other):
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ada", "bob"), ("Ada", "ada"), ("é", "e"), ("日本", "日木"), ("rn", "n"), ("a b", "ab")],
)
def test_names_that_do_not(one, other):
    assert skeleton(one) != skeleton(other)


@pytest.mark.parametrize(
    "name",
    ["ada ", " ada", "a  b", "a\u00a0b", "a\u200bb", "a\u202eb", "a\u2066b", "a\u00adb",
     "a\u2028b", "a\ufe0f", "a\u115fb", "\u3164", "a\ufeffb", "a\U000e0041", "a\u034fb"],
)  # fmt: skip
def test_names_with_what_does_not_show(name):
    assert problem(name)


@pytest.mark.parametrize("name", ["ada", "é/a", 'say "hi"', "日本", "Ana María", "[/nope]", "🎨"])
def test_names_that_are_fine(name):
    assert problem(name) is None


@pytest.mark.parametrize(
    "name", ["robot-1", "robot-12", "ROBOT-3", "r0bot-1", "robot-l", "rоbot-7"]
)
def test_names_of_bots_are_reserved(name):
    assert is_reserved(name)
    assert problem(name)


@pytest.mark.parametrize("name", ["robot", "robot-", "robot-lover", "my robot-1", "robot-1a"])
def test_other_robots_are_not(name):
    assert not is_reserved(name)


@given(st.text(max_size=30))
def test_a_skeleton_is_its_own(name):
    assert skeleton(skeleton(name)) == skeleton(name)


# ------------------------------------------------------------ tickets
KEY = bytes(range(KEY_BYTES))


def test_a_ticket_is_of_one_account_one_password_and_one_day():
    tickets = Tickets(KEY)
    ticket = tickets.issue("ada", b"$2b$hash", 1000.0)
    assert tickets.accepts(ticket, "ada", b"$2b$hash", 1000.0)
    assert tickets.accepts(ticket, "ada", b"$2b$hash", 999.0 + VALID_S)
    assert not tickets.accepts(ticket, "ada", b"$2b$hash", 1000.0 + VALID_S)
    assert not tickets.accepts(ticket, "bob", b"$2b$hash", 1000.0)
    assert not tickets.accepts(ticket, "ada", b"$2b$other", 1000.0)
    assert not Tickets(KEY[::-1]).accepts(ticket, "ada", b"$2b$hash", 1000.0)
    assert Tickets(KEY).accepts(ticket, "ada", b"$2b$hash", 1000.0), "after a restart"


@given(st.data())
def test_no_changed_ticket_is_accepted(data):
    tickets = Tickets(KEY)
    ticket = tickets.issue("ada", b"$2b$hash", 0.0)
    at = data.draw(st.integers(0, len(ticket) - 1))
    put = data.draw(st.text(max_size=3))
    changed = ticket[:at] + put + ticket[at + 1 :]
    assert changed == ticket or not tickets.accepts(changed, "ada", b"$2b$hash", 0.0)


@given(st.text() | st.text().map(lambda text: PREFIX + text))
def test_any_text_is_no_ticket(text):
    assert not Tickets(KEY).accepts(text, "ada", b"$2b$hash", 0.0)
