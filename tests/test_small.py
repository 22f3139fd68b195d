"""The small rooms: JSON, accounts, timers, lobby rules, channels' limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polypaint.engine.timers import Timers
from polypaint.errors import ProtocolError
from polypaint.identity.accounts import Presence, is_clean, is_name, is_password, prepared
from polypaint.paint import channels, packets
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.runtime.flush_pacer import FLUSH_S, FlushPacer
from polypaint.runtime.password_hasher import PasswordHasher
from polypaint.wire import strictjson

from .world import World

leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(values)
def test_json_that_conforms(value):
    import orjson

    text = orjson.dumps(value)
    if max((0, *_depths(value))) <= 8:
        assert strictjson.loads(text) == value


def _depths(value, depth=0):
    if isinstance(value, list | dict):
        yield depth + 1
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _depths(inner, depth + 1)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b'{"a":1,"a":2}', b'[{"a":{"b":1,"b":1}}]', b"NaN", b"[Infinity]", b"[" * 9,
        b"[" * 9 + b"]" * 9, b'"\xff"', b'"\\ud800"', b"{'a':1}", b'{"a":1}x',
    ],
)  # fmt: skip
def test_json_that_does_not(text):
    with pytest.raises(ProtocolError):
        strictjson.loads(text)


def test_colons_in_strings_are_no_keys():
    assert strictjson.loads(b'{"a:":"b\\":","c":[":"]}') == {"a:": 'b":', "c": [":"]}


@pytest.mark.parametrize("text", [b"[]", b'{"a":1}', b'{"b":"x"}', b'"a"'])
def test_objects_of_strings(text):
    with pytest.raises(ProtocolError):
        strictjson.loads_strings(text, ("a",))


@pytest.mark.parametrize("name", ["ada", "Zoé", "絵🎨", "x" * 64, "é" * 32, " a b "])
def test_names(name):
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "x" * 65, "é" * 33, "e\u0301", "a\x00", "a\x85", "\ud800"])
def test_names_that_cannot_be(name):
    assert not is_name(name)
    assert not is_clean(name, 64)


def test_passwords_have_limits():
    assert is_password("x" * 1024)
    assert not is_password("")
    assert not is_password("x" * 1025)
    assert prepared("a" * 73) != prepared("a" * 74)


async def test_hashing():
    passwords = PasswordHasher(4)
    await passwords.start()
    hashed = await passwords.hash("a\0b" + "x" * 500)
    assert await passwords.check("a\0b" + "x" * 500, hashed)
    assert not await passwords.check("a\0b" + "x" * 499, hashed)
    assert not await passwords.check("a", hashed)
    assert not await passwords.check("nobody", None)
    passwords.close()


def test_presence():
    presence: Presence[str] = Presence()
    assert presence.claim("ada", "one")
    assert not presence.claim("ada", "two")
    presence.let_go("ada", "two")
    assert presence.holder("ada") == "one"
    presence.let_go("ada", "one")
    assert presence.holder("ada") is None
    assert len(presence) == 0


def test_timers():
    timers, calls = Timers(), []
    assert timers.next_at() is None
    timers.at(2, lambda now: calls.append(("b", now)))
    first = timers.at(1, lambda now: calls.append(("a", now)))
    timers.at(1, lambda now: [timers.at(1.5, lambda now: calls.append(("c", now)))].clear())
    first.cancel()
    assert timers.next_at() == 1
    timers.run_due(1.7)
    timers.run_due(3)
    assert calls == [("c", 1.7), ("b", 3)]


def test_who_is_locked_out():
    public = LobbyRules("d", "ada", "s", "public", "")
    closed = public.protected("protected", "x")
    private = public.protected("private", "")
    assert closed.locks_out(public)
    assert private.locks_out(closed)
    assert closed.protected("protected", "y").locks_out(closed)
    assert not closed.locks_out(closed)
    assert not public.locks_out(private)
    assert not public.protected("public", "y").locks_out(public)
    assert private.admits("ada", "")
    assert not private.admits("bob", "")


def test_channels_have_limits(monkeypatch):
    monkeypatch.setattr(channels, "CHANNELS_MAX", 3)
    monkeypatch.setattr(channels, "JOINED_MAX", 2)
    ada = World().peer("ada")
    for i in range(5):
        ada.send(packets.CHANNEL_CREATION, f"c{i}")
    assert len(ada.world.service.channels.joined(ada.session)) == 2  # type: ignore[arg-type]
    assert len(ada.world.service.channels) == 2  # none that nobody is in
    monkeypatch.setattr(channels, "JOINED_MAX", 20)
    for i in range(5):
        ada.send(packets.CHANNEL_CREATION, f"c{i}")
    assert len(ada.world.service.channels) == 3


def test_a_type_has_one_handler():
    from polypaint.paint.session import handles

    with pytest.raises(ImportError, match="two handlers"):
        handles(packets.CONNECTION)(lambda *_: None)


def test_the_pace_waits_only_when_it_pays():
    alone, crowd = FlushPacer(), FlushPacer()
    for i in range(2000):
        alone.flushed(i * 5e-5, 1)
        crowd.flushed(i * 5e-4, 29)
    assert not alone.busy
    assert alone.wait(0.1) == 0
    assert crowd.busy
    assert crowd.wait(2000 * 5e-4 - 5e-4) == pytest.approx(FLUSH_S)
    assert crowd.wait(5) <= 0
    for i in range(100):
        crowd.flushed(5 + i, 29)
    assert not crowd.busy
