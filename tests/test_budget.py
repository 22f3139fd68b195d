"""The work budget: a flood delays its sender, and nobody else. See `polypaint.engine.budget`."""

import pytest

from polypaint._codec import FlushSet, SendQueue
from polypaint.engine import budget
from polypaint.engine.budget import SHARE, Bucket, WorkQueue
from polypaint.paint import packets
from polypaint.paint.packets import CHANNEL_MESSAGE

from .world import Peer, World


class Digger:
    """Has `left` pieces of work, of so many units each."""

    def __init__(
        self, queue: WorkQueue, turn: FlushSet, left: int, units: int = SHARE // 4
    ) -> None:
        self.send_queue = SendQueue(turn)
        self.heavy_at = float("-inf")
        self.left = left
        self.done: list[float] = []
        self._queue = queue
        self._flush_set = turn
        self._units = units

    def work(self, now: float) -> None:
        began, stop = self._flush_set.spent, self._queue.share(self, now)
        while self.left and self._flush_set.spent < stop:
            self.left -= 1
            self.done.append(now)
            self._flush_set.spent += self._units
        if self._flush_set.spent - began >= SHARE:
            self.heavy_at = now
        if self.left:
            self._queue.defer(self, now)


@pytest.fixture
def turn() -> FlushSet:
    return FlushSet()


@pytest.fixture
def queue(turn: FlushSet) -> WorkQueue:
    return WorkQueue(turn)


def turns(queue: WorkQueue, now: float = 0.0) -> float:
    while queue:
        now += 0.001
        for _ in queue.run(now):
            pass
    return now


def test_a_session_stops_at_its_share_and_goes_on_in_later_turns(queue, turn):
    digger = Digger(queue, turn, 10)
    told = []
    queue.notify = lambda: told.append(1)
    digger.work(0.0)
    assert len(digger.done) == 4
    assert told == [1]
    turns(queue)
    assert [digger.done.count(at) for at in sorted(set(digger.done))] == [4, 1, 1, 1, 1, 1, 1]
    assert told == [1]


def test_a_turn_has_an_end_however_many_want_something_of_it(queue, turn):
    diggers = [Digger(queue, turn, 8) for _ in range(10)]
    for digger in diggers:
        digger.work(0.0)
    assert sum(len(d.done) for d in diggers) == budget.TURN // (SHARE // 4)
    end = turns(queue)
    assert not any(d.left for d in diggers)
    for at in {x for d in diggers for x in d.done}:
        assert sum(d.done.count(at) for d in diggers) <= budget.TURN // (SHARE // 4)
        assert max(d.done.count(at) for d in diggers) <= 4
    assert end > 0


def test_all_who_dig_have_as_much(queue, turn):
    diggers = [Digger(queue, turn, 1000) for _ in range(7)]
    for digger in diggers:
        digger.work(0.0)
    now = 0.0
    for _ in range(70):
        now += 0.001
        for _ in queue.run(now):
            pass
        counts = [len(d.done) for d in diggers]
        assert max(counts) - min(counts) <= 8


def test_who_did_little_goes_before_those_who_did_much(queue, turn):
    heavy = [Digger(queue, turn, 1000) for _ in range(10)]
    for digger in heavy:
        digger.work(0.0)
    for turn_number in range(1, 6):  # each has had a share
        for _ in queue.run(turn_number / 1000):
            pass
    late = Digger(queue, turn, 1)
    late.work(0.005)  # this turn is used up
    assert late.left == 1
    for _ in queue.run(0.006):
        break
    assert late.left == 0


def test_who_did_much_cannot_go_past_the_queue_by_reading_anew(queue, turn):
    first, again = Digger(queue, turn, 1000), Digger(queue, turn, 4)
    again.work(0.0)
    first.work(0.0)
    again.left = 4
    again.work(0.001)
    assert again.left == 4
    turns(queue, 0.001)
    assert again.left == first.left == 0


def test_who_has_ended_is_not_called(queue, turn):
    digger = Digger(queue, turn, 100)
    digger.work(0.0)
    queue.forget(digger)
    assert not queue
    turns(queue)
    assert len(digger.done) == 4


def test_an_error_of_one_leaves_the_queue_whole(queue, turn):
    broken, other = Digger(queue, turn, 100), Digger(queue, turn, 100)
    for digger in (broken, other):
        digger.work(0.0)
    broken.work = lambda now: [].clear() if 1 / 0 else None
    with pytest.raises(ZeroDivisionError):
        turns(queue)
    turns(queue, 1.0)
    assert other.left == 0


def test_what_is_broadcast_counts_as_work(world):
    ada, bob = pair(world)
    before = world.context.flush_set.spent
    ada.session.send_queue.push(b"")
    world.service.channels.joined(bob.session)["General"].broadcast.publish(bytes(1600))
    assert world.context.flush_set.spent - before == 2 * 1600 // budget.COPIES


def test_a_bucket_lends_and_says_how_long_it_takes():
    bucket = Bucket(10, 5, 0.0)
    assert [bucket.charge(0.0) for _ in range(6)] == pytest.approx([0, 0, 0, 0, 0, 0.1])
    assert bucket.charge(0.1) == pytest.approx(0.1)
    assert bucket.charge(100.0, 6) == pytest.approx(0.1)


# ---------------------------------------------------------------- sessions
@pytest.fixture
def world() -> World:
    return World()


def pair(world: World) -> tuple[Peer, Peer]:
    ada, bob = world.peer("ada"), world.peer("bob")
    ada.create("d")
    bob.join("d")
    for peer in (ada, bob):
        peer.take()
    return ada, bob


def test_a_read_full_of_requests_is_handled_in_turns(world):
    ada, bob = pair(world)
    request = packets.CHANNEL_FETCH.encode_request(0, b"ada")
    ada.session.receive(request * 5000, world.now)
    assert ada.session.busy  # so that nothing more is read
    answered = world.context.flush_set.spent
    bob.session.receive(request[:7] + b"\0", world.now + 0.001)
    assert not bob.session.busy
    assert world.context.flush_set.spent - answered < SHARE
    assert len(ada.values(packets.CHANNEL_FETCH)) == 5000


def test_lines_are_handled_in_turns_too(world):
    session = world.tanks.connect("127.0.0.1", world.now, lambda: 0.0)
    session.receive(b'{"x": 1}\n' * 3000, world.now)
    assert session.busy
    for _ in range(300):
        world.now += 0.001
        for _ in world.context.work.run(world.now):
            pass
    assert not session.busy


# ---------------------------------------------------------------- chat
def test_who_says_much_is_slowed_down_and_loses_nothing(world):
    ada, bob = pair(world)
    for number in range(300):
        ada.send(CHANNEL_MESSAGE, f"General;{number}")
    after_read = len(bob.values(CHANNEL_MESSAGE))
    assert 90 <= after_read <= 110
    world.advance(1.0)
    assert len(bob.values(CHANNEL_MESSAGE)) - after_read <= 11
    world.advance(60.0)
    said = [text for (text,) in bob.values(CHANNEL_MESSAGE)]
    assert said == [f"General;{number}" for number in range(300)]


def test_long_messages_count_as_many(world):
    ada, bob = pair(world)
    for _ in range(100):
        ada.send(CHANNEL_MESSAGE, "General;" + "x" * 60_000)
    assert len(bob.values(CHANNEL_MESSAGE)) < 15


def test_nobody_is_closed_for_what_others_say(world):
    ada, bob = pair(world)
    world.runtime.slow_seconds = float("inf")
    bob.reads = False
    for _ in range(40):
        for _ in range(10):
            ada.send(CHANNEL_MESSAGE, "General;" + "x" * 60_000)
        world.advance(60.0)
    assert not bob.session.closing
    assert bob.session.send_queue.queued < 2 * packets.DATA_BYTES_MAX + 256 * 1024
    bob.reads = True
    bob.send(packets.CHANNEL_FETCH)
    ada.send(CHANNEL_MESSAGE, "General;are you?")
    assert bob.values(CHANNEL_MESSAGE)[-1] == ("General;are you?",)


def test_what_is_said_is_one_object_for_all_who_hear_it(world):
    people = [world.peer(f"p{n}") for n in range(4)]
    for peer in people:
        peer.reads = False
    people[0].send(CHANNEL_MESSAGE, "General;hello")
    taken = [peer.session.send_queue.take(1000) for peer in people[1:]]
    assert taken[0].endswith(b"General;hello")
    assert taken[0] is taken[1] is taken[2]


# ---------------------------------------------------------------- lists of channels
def channels(peer: Peer) -> dict[str, list[str]]:
    peer.send(packets.CHANNEL_FETCH)
    (text,) = peer.values(packets.CHANNEL_FETCH)[-1]
    return {each["Name"]: each["Clients"] for each in packets.strictjson.loads(text.encode())}  # type: ignore[attr-defined]


def test_names_that_json_writes_long_do_not_empty_the_list(world):
    people = [world.peer('"' * 50 + str(n)) for n in range(600)]
    shown = channels(people[0])
    assert 100 < len(shown["General"]) < 600
    people[0].send(packets.CHANNEL_CREATION, "café")
    assert "café" in channels(people[1])


def test_a_list_is_made_once_for_each_change(world):
    ada, bob = pair(world)
    ada.send(packets.CHANNEL_CREATION, "café")
    made = world.service.channels.listing(bob.session, "d")
    kept = world.service.channels._open
    assert world.service.channels.listing(ada.session, "d") == made
    assert world.service.channels._open is kept
    bob.send(packets.CHANNEL_CONNECTION, "café")
    assert channels(ada)["café"] == ["ada", "bob"]


def test_one_person_is_in_so_many_channels_and_can_make_no_more(world):
    ada = world.peer("ada")
    for number in range(200):
        ada.send(packets.CHANNEL_CREATION, f"c{number}")
    assert len(world.service.channels) == 100


def test_nobody_comes_to_hear_a_drawing_that_is_named_like_their_channel(world):
    eve, ada, bob = (world.peer(name) for name in ("eve", "ada", "bob"))
    eve.send(packets.CHANNEL_CREATION, "den")
    ada.create("den", protection="private")
    for kind in (packets.CHANNEL_CONNECTION, packets.CHANNEL_CREATION):
        ada.send(kind, "den")
    ada.send(CHANNEL_MESSAGE, "den;a secret")
    assert not eve.values(CHANNEL_MESSAGE)
    bob.send(packets.CHANNEL_CREATION, "den")
    assert channels(bob)["den"] == ["eve"]


def test_a_channel_cannot_take_the_name_of_a_stored_drawing(world):
    ada, eve = world.peer("ada"), world.peer("eve")
    ada.create("den", protection="private").send(packets.LOBBY_DISCONNECT)
    eve.send(packets.CHANNEL_CREATION, "den")
    assert "den" not in channels(eve)
    ada.create("den", protection="private")
    assert channels(ada)["den"] == ["ada"]
    assert "den" not in channels(eve)
