"""What one account may have and how fast: drawings, guesses; lists and queues that stay fair."""

from collections import Counter
from typing import NoReturn

import orjson
import pytest

from polypaint.engine.budget import Rates
from polypaint.engine.context import Context
from polypaint.engine.effects import Rejected
from polypaint.engine.journal_buffer import JournalBuffer
from polypaint.paint import access, packets
from polypaint.paint.directory import TIDY_MIN, Unsaved
from polypaint.paint.effects import Work
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.packets import (
    CHANNEL_FETCH,
    CHANNEL_MESSAGE,
    LOBBY_CONNECT,
    LOBBY_CREATION,
    LOBBY_DISCONNECT,
    LOBBY_FETCH,
    LOBBY_INFO_CHANGE,
    PACKETS,
    Mode,
)
from polypaint.paint.replies import CONNECTED, CREATED, DOES_NOT_EXIST, EXISTS
from polypaint.paint.service import PaintService
from polypaint.paint.work_queue import LONG, WorkQueue
from polypaint.settings import Settings

from .world import DATE, Peer, World


def rules(filename: str, protection: str, passcode: str = "", owner: str = "ada") -> str:
    values = (filename, owner, protection, passcode)
    return orjson.dumps(dict(zip(packets.INFO_KEYS, values, strict=True))).decode()


def listed(peer: Peer, kind: packets.Packet = LOBBY_FETCH) -> list[dict[str, object]]:
    peer.send(kind)
    listing: list[dict[str, object]] = orjson.loads(peer.values(kind)[-1][0])
    return listing


# ---------------------------------------------------------------- drawings of one account
def test_an_account_has_so_many_drawings_and_others_still_create() -> None:
    world = World(account_lobbies_max=2)
    ada, bob = world.peer("ada"), world.peer("bob")
    for name in "xy":
        ada.create(name).expect(LOBBY_CREATION, CREATED)
    ada.create("z").expect(LOBBY_CREATION, EXISTS)
    ada.expect(CHANNEL_MESSAGE, "General;You have 2 drawings, which is the limit.")
    ada.create("x").expect(LOBBY_CREATION, CREATED)
    bob.create("z").expect(LOBBY_CREATION, CREATED)


def test_the_limit_holds_after_a_restart() -> None:
    world = World(account_lobbies_max=1)
    world.peer("ada").create("x").disconnect()
    again = World(world.store, world.journal, account_lobbies_max=1)
    again.peer("ada").create("y").expect(LOBBY_CREATION, EXISTS)
    again.service.remove("x", "over", again.now)
    again.run_effects()
    again.peer("bob")
    ada = next(p for p in again.peers.values() if p.name == b"ada")  # type: ignore[attr-defined]
    ada.create("y").expect(LOBBY_CREATION, CREATED)  # type: ignore[attr-defined]


def test_who_creates_faster_than_a_person_could_is_slowed_down() -> None:
    world = World()
    ada = world.peer("ada")
    text = [LOBBY_CREATION.encode_request(DATE, b"ada", info(f"d{i}")) for i in range(200)]
    ada.send_bytes(b"".join(text))
    rate, burst = access.CREATIONS
    assert burst <= len(world.service.lobbies) <= burst + 2
    world.advance(10)
    assert burst + 9 * rate <= len(world.service.lobbies) <= burst + 12 * rate
    ada.disconnect()
    ada = world.peer("ada")
    before = len(world.service.lobbies)
    ada.send_bytes(b"".join(text[100:]))
    assert len(world.service.lobbies) <= before + 2


def info(filename: str, owner: str = "ada", mode: str = "stroke") -> str:
    values = (filename, owner, mode, "public", "")
    return orjson.dumps(dict(zip(packets.LOBBY_KEYS, values, strict=True))).decode()


def test_rates_are_forgotten_when_they_are_full() -> None:
    rates = Rates(1, 2)
    for i in range(1000):
        rates.charge(f"n{i}", float(i))
    assert len(rates) < 5
    for _ in range(50):
        wait = rates.charge("one", 1000.0)
    assert wait == pytest.approx(2)  # debts end, so that others of an address need not pay them


# ---------------------------------------------------------------- guesses
def guess(peer: Peer, count: int) -> int:
    """How many wrong passcodes are tried of so many sent."""
    before = len(peer.values(LOBBY_CONNECT))
    text = orjson.dumps(dict(zip(packets.LOBBY_KEYS, ("d", "", "", "", "no"), strict=True)))
    peer.send_bytes(LOBBY_CONNECT.encode_request(DATE, peer.name, text.decode()) * count)
    return len(peer.values(LOBBY_CONNECT)) - before


def test_who_guesses_passcodes_is_slowed_down_and_logged_and_never_locked_out() -> None:
    world = World()
    world.peer("ada").create("d", protection="protected", passcode="sesame")
    mallory = world.peer("mallory")
    rate, burst = access.GUESSES
    assert burst <= guess(mallory, 1000) <= burst + 2
    world.advance(10)
    assert len(mallory.values(LOBBY_CONNECT)) <= burst + 12 * rate
    noted = [e for e in world.effects if isinstance(e, Rejected)]
    assert 1 <= len(noted) <= 4
    assert world.service.counters["rejected"] == 0
    mallory.disconnect()
    again = world.peer("mallory")
    assert guess(again, 100) <= 2
    bob = world.peer("bob")
    bob.join("d", "wrong").expect(LOBBY_CONNECT, DOES_NOT_EXIST)
    bob.join("d", "sesame").expect(LOBBY_CONNECT, CONNECTED)
    world.advance(60)
    again.join("d", "sesame")
    world.advance(60)
    again.expect(LOBBY_CONNECT, CONNECTED)


def test_the_accounts_of_an_address_guess_together() -> None:
    world = World()
    world.peer("ada").create("d", protection="protected", passcode="sesame")
    people = [world.peer(f"m{i}", address="10.0.0.1") for i in range(20)]
    total = sum(guess(peer, 100) for peer in people)
    assert total <= access.ADDRESS_GUESSES[1] + 2 * len(people)
    world.advance(access.GUESS_S_MAX)
    most = access.ADDRESS_GUESSES[0] * access.GUESS_S_MAX
    assert sum(len(p.values(LOBBY_CONNECT)) for p in people) <= total + most + 2 * len(people)


# ---------------------------------------------------------------- lists
def test_names_full_of_quotes_do_not_empty_the_lists() -> None:
    world = World()
    ada = world.peer("ada").create("d")
    for i in range(540):
        world.peer(f"{'''''' * 9}{chr(34) * 50}{i}").join("d")
    (lobby,) = listed(ada)
    assert lobby["Clients"][0] == "ada"  # type: ignore[index]
    assert len(lobby["Clients"]) > 100  # type: ignore[arg-type]
    general, channel = listed(ada, CHANNEL_FETCH)
    assert len(general["Clients"]) > 100  # type: ignore[arg-type]
    assert len(channel["Clients"]) > 100  # type: ignore[arg-type]


def test_a_list_is_made_once_for_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    people = [world.peer(f"p{i}").create(f"d{i}") for i in range(30)]
    made: Counter[str] = Counter()
    real = LobbyRules.json

    def counted(self: LobbyRules, show_passcode: bool = False) -> dict[str, str]:
        made[self.filename] += 1
        return real(self, show_passcode)

    first = world.service.directory.text("p0")
    monkeypatch.setattr(LobbyRules, "json", counted)
    for peer in people:
        assert world.service.directory.text(peer.name.decode()) is first
    assert not made
    people[3].send(LOBBY_DISCONNECT)
    for _ in range(5):
        assert len(listed(people[0])) == 29
    assert not made
    people[3].join("d7")
    people[7].send(LOBBY_INFO_CHANGE, rules("d7", "protected", "x", "p7"))
    made.clear()
    for _ in range(5):
        (seen,) = [x for x in listed(people[0]) if x["Filename"] == "d7"]
        assert seen["Protection"] == "protected"
        assert seen["Clients"] == ["p7"]
    assert made == {"d7": 1}


def test_lists_show_the_most_recently_active_first() -> None:
    world = World()
    people = [world.peer(f"p{i}").create(f"d{i}") for i in range(3)]
    stroke = packets.ADD_STROKE.encode_request(DATE, b"", 0, b"abcd", 1, 1, [[1, 2]])
    for i in (1, 0):
        world.advance(1)
        people[i].send_bytes(stroke)
    assert [x["Filename"] for x in listed(people[2])] == ["d0", "d1", "d2"]
    world.advance(1)
    people[2].send(packets.RESET_CANVAS)
    assert [x["Filename"] for x in listed(people[1])] == ["d2", "d0", "d1"]


def test_a_hidden_lobby_is_shown_to_its_owner_alone_and_comes_back() -> None:
    world = World(hide_private=True)
    ada, bob = world.peer("ada").create("d"), world.peer("bob")
    assert len(listed(bob)) == 1
    ada.send(LOBBY_INFO_CHANGE, rules("d", "private"))
    assert (len(listed(bob)), len(listed(ada))) == (0, 1)
    ada.send(LOBBY_INFO_CHANGE, rules("d", "public"))
    assert (len(listed(bob)), len(listed(ada))) == (1, 1)
    ada.send(LOBBY_INFO_CHANGE, rules("d", "private"))
    ada.send(LOBBY_DISCONNECT)
    assert not listed(ada)
    assert not list(world.service.directory)
    assert len(world.service.directory) == 0


# ---------------------------------------------------------------- the journal
class Needs:
    """As much of a lobby as `Unsaved` looks at."""

    def __init__(self, batch: int) -> None:
        self.unsaved_from: int | None = batch


def test_who_needs_the_oldest_batch_is_known_without_asking_all() -> None:
    unsaved = Unsaved()
    many = [Needs(batch) for batch in range(1000)]
    for need in many:
        unsaved.add(need, need.unsaved_from)  # type: ignore[arg-type]
    assert unsaved.first() is many[0]  # type: ignore[comparison-overlap]
    many[0].unsaved_from = None
    many[1].unsaved_from = 2000
    unsaved.add(many[1], 2000)  # type: ignore[arg-type]
    assert unsaved.first() is many[2]  # type: ignore[comparison-overlap]
    for batch in range(3000, 9000):
        many[5].unsaved_from = batch
        unsaved.add(many[5], batch)  # type: ignore[arg-type]
    assert len(unsaved._heap) <= 2 * len(many) + TIDY_MIN
    for need in many:
        need.unsaved_from = None
    assert unsaved.first() is None


def test_storing_a_drawing_does_not_look_at_the_others() -> None:
    """What the journal needs is asked after every save."""

    class Lobbies(dict):
        def values(self) -> NoReturn:
            raise AssertionError("it walks over all lobbies")

    world = World()
    ada = world.peer("ada").create("d")
    everything = Lobbies(world.service.lobbies)
    world.service.lobbies = world.service.directory.lobbies = everything
    before = world.service.journal_from
    ada.send(packets.RESET_CANVAS)
    assert world.service.journal_from == before
    ada.send(LOBBY_DISCONNECT)
    assert world.service.journal_from == world.context.log.batch
    assert world.journal.kept == {}


def test_rules_that_change_while_nobody_is_there_are_journaled_at_once() -> None:
    """Whoever writes the journal is told that there is something, though nobody is sent it."""
    told: list[int] = []
    context = Context(Settings(_env_file=None), DATE, lambda: told.append(1))
    paint = PaintService(context)
    paint.restore_lobbies([(1, LobbyRules("d", "ada", "stroke", "public", ""), 1)])
    paint.lobbies["d"].change_info(LobbyRules("d", "ada", "stroke", "private", ""), DATE)
    assert told
    log = JournalBuffer(notify=lambda: told.append(2))
    told.clear()
    log.add(1, 1, b"a")
    log.add(1, 2, b"b")
    assert told == [2]
    log.take()
    log.add(1, 3, b"c")
    assert told == [2, 2]


# ---------------------------------------------------------------- drawings of matches
def test_nobody_takes_the_name_of_a_match_s_drawing() -> None:
    world = World()
    mallory = world.peer("mallory")
    mallory.create("dessin-ABC123").expect(LOBBY_CREATION, EXISTS)
    for name in ("dessin-abc123", "dessin-2", "dessin", "croquis-ABC123"):
        mallory.create(name).expect(LOBBY_CREATION, CREATED)
    world.service.access.games = frozenset({"croquis"})
    mallory.create("croquis-ABC124").expect(LOBBY_CREATION, EXISTS)


def test_a_match_does_not_take_over_a_stranger_s_drawing() -> None:
    world = World()
    world.service.access.games = frozenset()
    mallory = world.peer("mallory").create("dessin-ABC123")
    mallory.send(packets.RESIZE_CANVAS, 99, 99)
    arrange = world.service.arrange
    arrange("dessin-ABC123", "ada", "secret", frozenset({"ada"}), True, world.now)
    world.run_effects()
    lobby = world.service.lobbies["dessin-ABC123"]
    assert lobby.allowed_authors is None
    assert "stays theirs" in str(world.problems)
    arrange("dessin-ABC124", "ada", "secret", frozenset({"ada"}), True, world.now)
    arrange("dessin-ABC124", "bob", "secret", frozenset({"bob"}), False, world.now)
    assert world.service.lobbies["dessin-ABC124"].allowed_authors == frozenset({"bob"})


# ---------------------------------------------------------------- work on canvases
class Owned:
    """As much of a lobby as the queue looks at."""

    def __init__(self, owner: str) -> None:
        self.info = LobbyRules(owner, owner, "pixel", "public", "")


def work(owner: str, cost: int) -> Work:
    return Work(Owned(owner), lambda: None, _nothing, _nothing, cost)  # type: ignore[arg-type]


def _nothing(_outcome: object, _now: float) -> None:
    pass


def order(queue: WorkQueue) -> list[str]:
    """Owners in the order in which one thread at a time does all."""
    done = []
    while (next_ := queue.next()) is not None:
        done.append(next_.lobby.info.owner)
        queue.done(next_)
    return done


def test_who_has_much_work_waits_for_who_has_little() -> None:
    queue = WorkQueue(2)
    for _ in range(8):
        queue.add(work("mallory", 10_000_000))
    assert queue.next() is not None
    queue.add(work("ada", 1_000_000))
    queue.add(work("bob", 1_000_000))
    assert order(queue)[:3] == ["ada", "bob", "mallory"]
    assert len(queue) == 0


def test_long_work_leaves_a_thread_to_short_work() -> None:
    queue = WorkQueue(2)
    for owner in "abcdefgh":
        queue.add(work(owner, 2 * LONG))
    first = queue.next()
    assert first is not None
    assert queue.next() is None
    queue.add(work("ada", LONG))
    short = queue.next()
    assert short is not None
    assert short.lobby.info.owner == "ada"
    queue.add(work("ada", LONG))
    assert queue.next() is None
    queue.done(first)
    queue.done(short)
    assert len(order(queue)) == 8


def test_the_queue_forgets_who_has_no_work() -> None:
    queue = WorkQueue(2)
    for round_ in range(3):
        for owner in "ab":
            queue.add(work(owner, 5))
        assert order(queue) == ["a", "b"], round_
    assert queue._ends == {}


# ---------------------------------------------------------------- declarations
@pytest.mark.parametrize("mode", list(Mode))
def test_a_canvas_that_lacks_a_packet_stops_the_import(mode: Mode) -> None:
    drawn = [k.id for k in PACKETS.values() if k.relayed and k.mode in (None, mode)]
    packets.must_apply(drawn, mode)
    with pytest.raises(ImportError, match=PACKETS[drawn[0]].name):
        packets.must_apply(drawn[1:], mode)
    with pytest.raises(ImportError, match="LOBBY_FETCH"):
        packets.must_apply([*drawn, LOBBY_FETCH.id], mode)
