"""Undo and redo of strokes: section 10, as scripts and against a model."""

import random
from dataclasses import dataclass, field
from itertools import count

import pytest

from polypaint.paint import undo, undo_plan
from polypaint.paint.packets import (
    ADD_STROKE,
    CREATE_ACCOUNT,
    FETCH_DATABASE,
    GESTURE,
    HISTORY,
    INSERT_STROKE,
    LOBBY_DISCONNECT,
    PACKETS,
    REDO,
    REMOVE_STROKE,
    REPLACE_STROKE,
    RESET_CANVAS,
    RESIZE_CANVAS,
    SELECTED_STROKE,
    UNDO,
    UNDONE,
    UNSELECTED_STROKE,
    Packet,
    decode,
)
from polypaint.paint.undo_plan import pieces

from .copies import Copy, picture
from .world import DATE, Peer, World

RED, BLUE, GREEN = b"\xff\0\0\xff", b"\0\0\xff\xff", b"\0\xff\0\xff"
dates = count(DATE)


@pytest.fixture
def world() -> World:
    return World()


def say(peer: Peer, kind: Packet, *values: object) -> Peer:
    """A packet whose date nobody else's has."""
    peer.world.now += 10  # nothing is stale
    return peer.send_bytes(kind.encode_request(next(dates), peer.name, *values))


def add(peer: Peer, x: float, rgba: bytes = RED) -> Peer:
    return say(peer, ADD_STROKE, 0, rgba, 1, 1, [[x, 0]])


def replace(peer: Peer, index: int, x: float, rgba: bytes = RED, width: float = 1) -> Peer:
    return say(peer, REPLACE_STROKE, index, rgba, 1, width, [[x, 0]])


def xs(world: World) -> list[float]:
    return [decode(s)[4][0][0] for s in world.service.lobbies["d"].loaded.strokes]


def stroke(world: World, index: int) -> tuple:
    """(author, colour, width) of a stroke."""
    packet = world.service.lobbies["d"].loaded.strokes[index]
    _, rgba, _, width, _ = decode(packet)
    return packet[8 : 8 + packet[7]].decode(), rgba, width


def outcome(peer: Peer, kind: Packet = UNDO) -> str:
    """What came of UNDO or REDO: empty, or why not."""
    peer.take()
    peer.send(kind)
    redo, done, reason = peer.values(UNDONE)[-1]
    assert redo == (kind is REDO)
    assert done == (not reason)
    return reason


def equal_after_recovery(world: World) -> None:
    """A server that is killed now and started again has the same strokes."""
    again = World(world.store, world.journal, now=world.now)
    again.peer("witness").join("d")
    one, other = (each.service.lobbies["d"].loaded for each in (world, again))
    assert list(other.strokes) == list(one.strokes)
    assert (other.length, other.width) == (one.length, one.width)


def three(world: World) -> tuple[Peer, Peer, Peer]:
    """ada and bob with the extension, and an old client, in one lobby."""
    ada, bob, old = world.extended("ada"), world.extended("bob"), world.peer("old")
    ada.create("d")
    for peer in (bob, old):
        peer.join("d").send(FETCH_DATABASE)
    for peer in (ada, bob, old):
        peer.take()
    return ada, bob, old


# ---------------------------------------------------------------- what is taken back
def test_an_own_stroke_goes_and_comes_back_as_ordinary_packets(world):
    ada, bob, old = three(world)
    add(ada, 1), add(bob, 2), add(ada, 3)
    old.take()
    assert outcome(ada) == ""
    assert xs(world) == [1, 2]
    assert outcome(ada) == ""
    assert xs(world) == [2]
    assert outcome(ada) == "there is nothing to undo"
    assert outcome(ada, REDO) == ""
    assert outcome(ada, REDO) == ""
    assert xs(world) == [1, 2, 3]
    assert outcome(ada, REDO) == "there is nothing to redo"
    kinds = [PACKETS[p[2]].name for p in old.take()]
    assert kinds == ["REMOVE_STROKE", "REMOVE_STROKE", "INSERT_STROKE", "ADD_STROKE"]
    equal_after_recovery(world)


def test_what_is_removed_comes_back_with_its_author_date_and_place(world):
    ada, bob, _ = three(world)
    for x in range(5):
        add(bob, x)
    before = picture(world.service.lobbies["d"].loaded)
    say(ada, REMOVE_STROKE, [3, 2])
    assert outcome(ada) == ""
    assert picture(world.service.lobbies["d"].loaded) == before
    say(ada, REMOVE_STROKE, [3, 2])
    say(bob, REMOVE_STROKE, [1])
    add(bob, 9)
    assert outcome(ada) == ""
    assert xs(world) == [0, 2, 3, 4, 9]
    assert stroke(world, 1)[0] == "bob"
    assert outcome(bob) == ""
    assert outcome(bob) == ""
    assert xs(world) == [0, 1, 2, 3, 4]


def test_only_fields_that_nobody_changed_since_are_taken_back(world):
    ada, bob, _ = three(world)
    add(ada, 1)
    replace(ada, 0, 1, GREEN)
    replace(bob, 0, 1, GREEN, width=7)
    assert outcome(ada) == ""
    assert stroke(world, 0) == ("bob", RED, 7)
    assert outcome(ada) == "there is nothing to undo"
    assert stroke(world, 0) == ("bob", RED, 7)  # bob's width would go with the stroke
    assert outcome(bob) == ""
    assert stroke(world, 0) == ("ada", RED, 1)
    assert outcome(ada) == "there is nothing to undo"


def test_a_stroke_that_somebody_else_removed_is_left_alone(world):
    ada, bob, _ = three(world)
    add(ada, 1), replace(ada, 0, 2, BLUE)
    say(bob, REMOVE_STROKE, [0])
    assert outcome(ada) == "there is nothing to undo"
    assert outcome(bob) == ""
    assert stroke(world, 0) == ("ada", BLUE, 1)


def test_what_somebody_else_holds_is_refused_by_name_and_stays(world):
    ada, bob, _ = three(world)
    add(ada, 1)
    say(bob, SELECTED_STROKE, [0])
    assert outcome(ada).startswith("bob holds")
    assert xs(world) == [1]
    say(bob, UNSELECTED_STROKE, [0])
    assert outcome(ada) == ""
    assert xs(world) == []


def test_what_one_holds_oneself_is_taken_back_and_still_held(world):
    ada, bob, old = three(world)
    add(bob, 1)
    say(ada, SELECTED_STROKE, [0])
    replace(ada, 0, 5, BLUE)
    old.take()
    assert outcome(ada) == ""
    assert stroke(world, 0) == ("bob", RED, 1)
    assert world.service.lobbies["d"].loaded.selected() == {"ada": [0]}
    kinds = [PACKETS[p[2]].name for p in old.take()]
    assert kinds == ["UNSELECTED_STROKE", "REPLACE_STROKE", "SELECTED_STROKE"]


def test_clearing_and_resizing_are_taken_back(world):
    ada, bob, _ = three(world)
    for x in range(300):
        add(bob if x % 3 else ada, x)
    before = picture(world.service.lobbies["d"].loaded)
    say(ada, RESET_CANVAS)
    say(ada, RESIZE_CANVAS, 100, 200)
    say(bob, RESIZE_CANVAS, 300, 400)
    assert outcome(ada) == ""  # the size is bob's
    assert xs(world) == list(range(300))
    assert outcome(bob) == ""
    assert outcome(ada, REDO) == ""
    assert xs(world) == []
    add(bob, -1)
    assert outcome(ada) == ""
    assert xs(world) == [*range(300), -1]
    assert outcome(bob) == ""
    canvas = world.service.lobbies["d"].loaded
    assert (canvas.length, canvas.width) == (100, 200)
    assert picture(canvas)[24:] == before[24:]


# ---------------------------------------------------------------- gestures
def test_what_is_one_gesture_is_one_entry(world):
    ada, _, _ = three(world)
    add(ada, 1)
    add(ada, 2).send(GESTURE, 1)
    add(ada, 3), add(ada, 4)
    ada.send(GESTURE, 0)
    add(ada, 5)
    assert outcome(ada) == ""
    assert xs(world) == [1, 2, 3, 4]
    assert outcome(ada) == ""
    assert xs(world) == [1]
    assert outcome(ada, REDO) == ""
    assert xs(world) == [1, 2, 3, 4]


def test_a_gesture_whose_first_packet_was_refused_takes_nothing_older_with_it(world):
    ada, _, _ = three(world)
    add(ada, 1)
    say(ada, REMOVE_STROKE, [9]).send(GESTURE, 1)
    add(ada, 2), add(ada, 3)
    ada.send(GESTURE, 0)
    assert outcome(ada) == ""
    assert xs(world) == [1]


def test_a_gesture_within_itself(world):
    ada, _, _ = three(world)
    add(ada, 1), add(ada, 2).send(GESTURE, 1)
    replace(ada, 1, 7, BLUE), say(ada, REMOVE_STROKE, [0])
    say(ada, REMOVE_STROKE, [0]), add(ada, 3)
    ada.send(GESTURE, 0)
    assert outcome(ada) == ""
    assert xs(world) == [1]
    assert outcome(ada, REDO) == ""
    assert xs(world) == [3]


# ---------------------------------------------------------------- stacks
def test_a_new_action_clears_redo_and_one_is_told(world):
    ada, bob, _ = three(world)
    add(ada, 1)
    assert ada.values(HISTORY) == [(1, 0)]
    outcome(ada)
    assert ada.values(HISTORY) == [(0, 1)]
    add(ada, 2)
    assert ada.values(HISTORY)[-1] == (1, 0)
    assert outcome(ada, REDO) == "there is nothing to redo"
    assert bob.values(HISTORY) == []


def test_a_stack_is_a_hundred_deep(world):
    ada, _, _ = three(world)
    for x in range(130):
        add(ada, x)
    for _ in range(undo.DEPTH):
        assert outcome(ada) == ""
    assert outcome(ada) == "there is nothing to undo"
    assert xs(world) == list(range(30))
    for _ in range(undo.DEPTH):
        assert outcome(ada, REDO) == ""
    assert xs(world) == list(range(130))


def test_a_stack_is_kept_for_ten_minutes_also_where_nobody_is(world):
    ada, bob, old = three(world)
    add(bob, 1), add(ada, 2), add(bob, 3)
    say(ada, REMOVE_STROKE, [0])
    for peer in (ada, bob, old):
        peer.disconnect()
    assert world.service.lobbies["d"].canvas is None
    world.advance(599)
    ada = world.extended("ada").create("d").send(FETCH_DATABASE)
    assert ada.values(HISTORY)[-1] == (1, 0)
    assert outcome(ada) == ""
    assert outcome(ada) == ""
    assert xs(world) == [1, 3]
    assert stroke(world, 0)[0] == "bob"
    ada.disconnect()
    world.advance(601)
    assert world.service.lobbies["d"].undo is None
    ada = world.extended("ada").create("d").send(FETCH_DATABASE)
    assert outcome(ada) == "there is nothing to undo"


def test_the_oldest_goes_when_there_is_too_much(world, monkeypatch):
    monkeypatch.setattr(undo, "BYTES_MAX", 5 * (undo.STEP_BYTES + 100))
    ada, bob, _ = three(world)
    for x in range(4):
        add(bob, x), add(ada, 10 + x)
    history = world.service.lobbies["d"].undo
    assert history.used <= undo.BYTES_MAX
    assert (history.depth("bob"), history.depth("ada")) == ((2, 0), (3, 0))
    world.service.lobbies["d"].weigh()
    assert world.context.memory.used["undo"] == history.used
    history.forget()
    assert history.used == 0


def test_a_drawing_with_too_many_strokes_is_not_remembered_while_nobody_is_there(
    world, monkeypatch
):
    monkeypatch.setattr(undo, "PARKED_MAX", 1)
    ada = world.extended("ada").create("d")
    add(ada, 1), add(ada, 2)
    ada.send(LOBBY_DISCONNECT)
    ada.create("d").send(FETCH_DATABASE)
    assert outcome(ada) == "there is nothing to undo"


def test_where_nothing_can_be_taken_back_one_is_told_why(world):
    ada = world.extended("ada")
    assert outcome(ada) == "you are in no drawing"
    ada.create("p", "pixel")
    assert outcome(ada) == "only strokes can be undone"
    ada.create("d")
    add(ada, 1)
    lobby = world.service.lobbies["d"]
    lobby.allowed_authors = frozenset()
    assert outcome(ada) == "it is not your turn to draw"
    lobby.allowed_authors = None
    lobby.wipe(DATE)
    assert outcome(ada) == "there is nothing to undo"
    world.context.read_only = True
    assert outcome(ada) == "nobody can draw at the moment"


def test_taking_back_that_fails_leaves_everybody_with_the_same(world, monkeypatch):
    ada, bob, _ = three(world)
    add(ada, 1)

    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(undo, "apply", broken)
    world.injected = ZeroDivisionError
    assert outcome(ada) == "the server could not do this"
    assert FETCH_DATABASE.id in {packet[2] for packet in bob.packets}
    assert len(world.failures) == 1


def test_much_to_take_back_is_done_off_the_loop(world):
    ada, bob, _ = three(world)
    for x in range(60):
        add(bob, x)
    say(ada, RESET_CANVAS)
    later: list = []
    world.defer = later.append
    world.service.canvas_queue.heavy = 1
    ada.send(UNDO)
    assert world.service.lobbies["d"].busy
    while later:
        later.pop(0)()
        world.run_effects()
    assert xs(world) == list(range(60))


def test_a_full_drawing_is_refused(world, monkeypatch):
    ada, bob, _ = three(world)
    add(ada, 1)
    say(ada, REMOVE_STROKE, [0])
    add(bob, 2)
    monkeypatch.setattr(undo_plan, "STROKES_MAX", 1)
    assert outcome(ada) == "the drawing is full"


def test_old_clients_cannot(world):
    old = world.peer("old").create("d")
    add(old, 1)
    old.send(UNDO).send(GESTURE, 1)
    assert xs(world) == [1]
    assert world.service.counters["rejected"] == 0
    assert CREATE_ACCOUNT.id not in {packet[2] for packet in old.packets}


# ---------------------------------------------------------------- against a model
Written = tuple[bytes, str]
"""A value, and who has written it."""


@dataclass(eq=False)
class Seen:
    """A stroke. fields: of each, all that was written, the last at the end; restored: what the
    fields were when it was last brought back."""

    fields: list[list[Written]]
    restored: list[Written] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ever = [{value for value, _ in written} for written in self.fields]

    @property
    def tops(self) -> list[Written]:
        return [written[-1] for written in self.fields]

    def must_be_for(self, undoer: str, redo: bool) -> None:
        """It may go: nobody else has written to it since this person made it, or had it back."""
        then = self.restored if redo else []
        assert all(top[1] == undoer or top in then for top in self.tops)


class Model:
    """Strokes as an old client sees them, and who has written what."""

    def __init__(self) -> None:
        self.strokes: list[Seen] = []
        self.gone: list[Seen] = []

    def hear(self, packet: bytes, undoer: str, redo: bool) -> None:
        """A packet that others drew; or that came of UNDO or REDO of this person."""
        author = undoer or packet[8 : 8 + packet[7]].decode()
        if packet[2] in (ADD_STROKE.id, INSERT_STROKE.id):
            index = decode(packet)[0]
            self.strokes.insert(
                index, self._back(packet, undoer, redo) if undoer else _fresh(packet, author)
            )
        elif packet[2] == REMOVE_STROKE.id:
            for index in decode(packet)[0].tolist():
                stroke = self.strokes.pop(index)
                self.gone.append(stroke)
                if undoer:
                    stroke.must_be_for(undoer, redo)
        elif packet[2] == REPLACE_STROKE.id:
            stroke = self.strokes[decode(packet)[0]]
            for ever, value in zip(stroke.ever, pieces(packet), strict=True):
                ever.add(value)
            for written, value in zip(stroke.fields, pieces(packet), strict=True):
                if written[-1][0] == value:
                    continue
                if not undoer:
                    written.append((value, author))
                elif redo:
                    written.append((value, undoer))
                else:
                    assert _undone(written, value, undoer), "what somebody else wrote is gone"
        elif packet[2] == RESET_CANVAS.id:
            self.gone += self.strokes
            self.strokes = []

    def _back(self, packet: bytes, undoer: str, redo: bool) -> "Seen":
        """A stroke that was there: it is as it went, but for what this person had done to it."""
        wanted = pieces(packet)
        for stroke in reversed(self.gone):
            fields = [written[:] for written in stroke.fields]
            if redo and all(map(_holds, stroke.ever, wanted)):
                for written, value in zip(fields, wanted, strict=True):
                    written += [(value, undoer)] if written[-1][0] != value else []
            elif not all(map(_undone, fields, wanted, [undoer] * len(fields))):
                continue
            self.gone.remove(stroke)
            stroke.fields = fields
            stroke.restored = stroke.tops
            return stroke
        raise AssertionError("a stroke that never was")

    @property
    def shown(self) -> list[list[bytes]]:
        return [[value for value, _ in stroke.tops] for stroke in self.strokes]


def _holds(ever: set[bytes], value: bytes) -> bool:
    return value in ever


def _undone(written: list[Written], value: bytes, undoer: str) -> bool:
    """Take away what this person wrote last, until the value is this; False: it never is."""
    while written[-1][0] != value:
        if written[-1][1] != undoer or len(written) == 1:
            return False
        written.pop()
    return True


def _fresh(packet: bytes, author: str) -> Seen:
    return Seen([[(value, author)] for value in pieces(packet)])


def random_action(rng: random.Random, copy: Copy) -> None:
    """Draw, change, remove, hold, clear: some of it as one gesture."""
    many = rng.random() < 0.2
    for number in range(rng.randrange(2, 5) if many else 1):
        if number == 1:
            copy.peer.send(GESTURE, 1)
        size = len(copy.canvas.strokes)
        index = rng.randrange(size + 1)
        style = (rng.choice([RED, BLUE, GREEN]), 1, rng.randrange(1, 4), [[rng.randrange(9), 0]])
        some = sorted(rng.sample(range(size), min(size, rng.randrange(1, 4))), reverse=True)
        kinds = [ADD_STROKE] * 4 + [INSERT_STROKE, REPLACE_STROKE, REPLACE_STROKE]
        kinds += [REMOVE_STROKE, SELECTED_STROKE, UNSELECTED_STROKE]
        kind = rng.choice(kinds) if rng.random() < 0.98 else rng.choice([RESET_CANVAS])
        if kind in (ADD_STROKE, INSERT_STROKE, REPLACE_STROKE):
            copy.draw(kind, index, *style, date=next(dates))
        elif kind is RESET_CANVAS:
            copy.draw(kind, date=next(dates))
        elif some:
            copy.draw(kind, some, date=next(dates))
        copy.read()
    if many:
        copy.peer.send(GESTURE, 0)


@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_actions_of_four_people(seed):
    rng = random.Random(seed)
    world = World()
    copies = [Copy(world, name, "d", "stroke", client=i + 1) for i, name in enumerate("abcd")]
    old = world.peer("old").join("d").send(FETCH_DATABASE)
    old.take()
    model = Model()
    for _ in range(1000):
        copy = rng.choice(copies)
        world.now += rng.choice([0.001, 0.3, 10])
        if rng.random() < 0.6:
            random_action(rng, copy)
            undoer, redo = "", False
        else:
            redo = rng.random() < 0.3
            copy.peer.send(REDO if redo else UNDO)
            undoer = copy.name
        for packet in old.take():
            if PACKETS[packet[2]].relayed:
                model.hear(packet, undoer, redo)
        canvas = world.service.lobbies["d"].loaded
        assert [pieces(packet) for packet in canvas.strokes] == model.shown
        if rng.random() < 0.03:
            copy.peer.disconnect()
            copy.join()
            old.take()
    for copy in copies:
        assert picture(copy.read().canvas) == picture(world.service.lobbies["d"].loaded)
    equal_after_recovery(world)


@pytest.mark.parametrize("seed", range(20))
def test_n_undos_and_n_redos_are_the_identity(seed):
    rng = random.Random(seed)
    world = World()
    copies = [Copy(world, name, "d", "stroke") for name in "ab"]
    for _ in range(60):
        world.now += 10
        random_action(rng, rng.choice(copies))
    ada = copies[0].peer
    say(ada, UNSELECTED_STROKE, list(range(len(world.service.lobbies["d"].loaded.strokes))) or [0])
    copies[1].peer.send(LOBBY_DISCONNECT)  # nobody holds anything
    before = picture(world.service.lobbies["d"].loaded)
    undone = sum(not outcome(ada) for _ in range(rng.randrange(1, 60)))
    assert undone
    assert sum(not outcome(ada, REDO) for _ in range(undone)) == undone
    assert picture(world.service.lobbies["d"].loaded) == before
