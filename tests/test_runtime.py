"""The runtime on virtual ports: what its parts do when the machine fails them."""

import random

import pytest

from polypaint.errors import StoreDamaged, StoreError, StoreFull
from polypaint.paint.packets import ADD_STROKE, CHANNEL_MESSAGE

from .memory_store import MemoryJournal, MemoryStore
from .virtual import VirtualLoop
from .world import World


def broken(error: Exception):
    """A disturbance that raises."""

    def disturb(*_args):
        raise error

    return disturb


async def raising(_question: str) -> None:
    raise StoreError("the database does not answer")


# ------------------------------------------------------------ the flusher
@pytest.mark.parametrize("error", [StoreFull("full"), StoreError("it fails")])
def test_what_is_new_while_a_synced_commit_fails_is_sent_once_it_can_be(error):
    """Nothing else may come that would have it flushed."""
    world = World(durability="power", loop=VirtualLoop(), takes=lambda: 0.01)
    ada, bob = world.peer("ada"), world.peer("bob")
    ada.create("d")
    bob.join("d")
    world.advance(1)
    ada.take(), bob.take()
    world.journal.disturb = broken(error)
    ada.arrive(ADD_STROKE.encode_request(0, b"ada", 0, b"rgba", 1, 1, [[1, 1]]))
    world.end_turn()
    assert world.runtime.flusher.committing
    bob.arrive(CHANNEL_MESSAGE.encode_request(0, b"bob", "General;hello"))
    world.end_turn()
    world.advance(0.1)
    assert world.context.read_only
    world.journal.disturb = lambda: None
    world.advance(2)
    assert not world.context.read_only
    assert ada.values(CHANNEL_MESSAGE)[-1] == ("General;hello",)
    assert world.runtime.flusher.idle


# ------------------------------------------------------------ recovery
def drawn() -> tuple[MemoryStore, MemoryJournal]:
    """A drawing that is in the store, and one stroke more in the journal."""
    world = World()
    ada = world.peer("ada")
    ada.create("d").send(ADD_STROKE, 0, b"rgba", 1, 1, [[1, 1]])
    ada.disconnect()
    world.advance(2)
    ada = world.peer("ada")
    ada.join("d").send(ADD_STROKE, 1, b"rgba", 1, 1, [[2, 2]])
    world.kill()
    assert world.store.kept
    assert world.journal.kept
    return world.store, world.journal


def test_a_store_that_does_not_answer_at_the_start_loses_nothing():
    store, journal = drawn()
    load = store.load
    store.load = raising
    with pytest.raises(StoreError, match="does not answer"):
        World(store, journal)
    assert journal.kept
    store.load = load
    again = World(store, journal)
    again.peer("ada").join("d")
    assert len(again.service.lobbies["d"].loaded.strokes) == 2


def test_a_drawing_that_is_damaged_in_the_store_is_reported():
    store, journal = drawn()

    async def damaged(_number):
        raise StoreDamaged("it is damaged")

    store.load = damaged
    assert "it is damaged" in str(World(store, journal).report.problems)


# ------------------------------------------------------------ the virtual machine
def test_the_same_seed_is_the_same_run():
    """Else no seed that fails could be looked at."""

    def run(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        world = World(loop=VirtualLoop(0.0, rng, (0.0, 0.001)), takes=lambda: rng.uniform(0, 1))
        ada, bob = world.peer("ada"), world.peer("bob")
        ada.create("d", "pixel")
        bob.join("d")
        for i in range(20):
            ada.arrive(CHANNEL_MESSAGE.encode_request(0, b"ada", f"General;{i}"))
            world.advance(rng.random())
        return bob.take()

    assert run(1) == run(1)
