"""The bus between roles: what is requested is sent until it is acknowledged."""

import pytest

from polypaint.bus.reliable import ReliableBus
from polypaint.engine.context import Context
from polypaint.engine.role_messages import ANSWER, REQUEST, answer, handlers, name_of, request
from polypaint.matches.role_messages import ROLE_MESSAGES
from polypaint.settings import Settings


class Carrier:
    """A bus that keeps what it is given."""

    def __init__(self) -> None:
        self.sent = []

    def join(self, role, receive):
        self.sent.append((role, receive))

    def send(self, role, message):
        self.sent.append((role, message))
        if message == {"raises": True}:
            raise RuntimeError("injected")


@pytest.fixture
def context():
    return Context(Settings(_env_file=None))


def sent_at(context, carrier, until):
    """When something was sent."""
    times = []
    while (at := context.timers.next_at()) is not None and at <= until:
        before = len(carrier.sent)
        context.timers.run_due(at)
        times += [at] * (len(carrier.sent) - before)
    return times


def test_it_is_sent_ever_later_until_it_is_acknowledged(context):
    carrier = Carrier()
    bus = ReliableBus(context, carrier)
    bus.request("key", "match", {"a": 1}, 0.0, 5.0)
    assert carrier.sent == [("match", {"a": 1})]
    assert sent_at(context, carrier, 20.0) == [1, 3, 7, 12, 17]
    bus.acknowledged("key")
    bus.acknowledged("another")
    assert sent_at(context, carrier, 1000.0) == []
    assert context.timers.next_at() is None


def test_what_is_new_takes_the_place_of_what_was_requested(context):
    carrier = Carrier()
    bus = ReliableBus(context, carrier)
    bus.request("key", "match", {"a": 1}, 0.0)
    bus.request("key", "match", {"a": 2}, 0.5)
    assert sent_at(context, carrier, 2.6) == [1.5, 2.5]
    assert [message for _, message in carrier.sent] == [{"a": 1}, {"a": 2}, {"a": 2}, {"a": 2}]


def test_what_is_known_is_sent_now_and_then(context):
    carrier = Carrier()
    bus = ReliableBus(context, carrier)
    bus.request("key", "match", {}, 0.0, 30.0)
    bus.slow_down("key")
    bus.slow_down("another")
    assert sent_at(context, carrier, 70.0) == [1, 31, 61]


def test_a_carrier_that_raises_is_asked_again(context):
    carrier = Carrier()
    bus = ReliableBus(context, carrier)
    with pytest.raises(RuntimeError):
        bus.request("key", "match", {"raises": True}, 0.0)
    assert context.timers.next_at() == 1.0


def test_what_is_declared():
    ask = request("ask", "one two", "a b", "c")
    told = answer("told", "one", "a")
    assert ask.make(a=1, b=2) == {REQUEST: "ask", "a": 1, "b": 2}
    assert told.make(a=1) == {ANSWER: "told", "a": 1}
    assert [name_of(ask.make(a=1, b=2, c=3)), name_of(told.make(a=1))] == ["ask", "told"]
    assert ask.key("one", "x") != ask.key("two", "x")
    for wrong in ({"a": 1}, {"a": 1, "b": 2, "d": 3}):
        with pytest.raises(TypeError, match="ask has"):
            ask.make(**wrong)
    assert handlers("two", [ask, told], {ask: print}) == {"ask": print}
    with pytest.raises(TypeError, match="told"):
        handlers("one", [ask, told], {ask: print})
    with pytest.raises(TypeError, match="told"):
        handlers("two", [ask, told], {ask: print, told: print})


def test_every_message_between_roles_is_documented(request):
    text = (request.config.rootpath / "docs/matches.md").read_text()
    for message in ROLE_MESSAGES:
        assert f"`{message.name}`" in text or f'"{message.name}"' in text, message.name
