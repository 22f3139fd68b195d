"""Whatever is said to the rooms that speak JSON: an answer, no exception, nothing remembered."""

import hypothesis.strategies as st
import orjson
from hypothesis import given, settings

from polypaint.engine.budget import Bucket
from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.settings import Settings

from .matching import create
from .world import Talker, World

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["ada", "bob", "pw", "puissance4", "dessin", "prairie", "ville", "leger"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
MATCH_KEYS = ["id_publique", "id_privee", "code_partie", "parametres", "action", "rid"]
MATCHES = st.builds(
    lambda request, fields: {"requete": request} | fields,
    st.sampled_from(
        ["creer", "connexion", "action", "deconnexion", "statistiques", "classement", "lister",
         "spectateur", "stat", "fermer", "x"]
    ),
    st.dictionaries(
        st.sampled_from(MATCH_KEYS),
        VALUES
        | st.fixed_dictionaries({"jeu": st.sampled_from(["puissance4", "dessin"])})
        | st.fixed_dictionaries({"colonne": st.integers(-1, 7)}),
    ),
)  # fmt: skip
TANKS = st.dictionaries(
    st.sampled_from(
        ["name", "password", "newuser", "requeste", "map", "tank", "rid", "message", "fire",
         "deplacementavant", "rotationtank", "rotationcannon", "quit the map"]
    ),
    VALUES | st.sampled_from(["connect to map", "list map", "buy tank", "spectate", True, 0, 1]),
)  # fmt: skip


@given(st.lists(MATCHES, max_size=25))
@settings(max_examples=150)
def test_any_request_about_matches_is_answered(requests):
    world = World()
    talkers = [Talker(world, world.matches) for _ in range(2)]
    for i, request in enumerate(requests):
        talker = talkers[i % 2]
        if talker.closed:
            talker = talkers[i % 2] = Talker(world, world.matches)
        talker.take()
        talker.send_bytes(orjson.dumps(request) + b"\n")
        assert talker.messages, request
        world.advance(0.05)
    assert world.troubles == []


@given(st.lists(TANKS, max_size=25))
@settings(max_examples=150)
def test_any_message_about_tanks_is_answered(messages):
    world = World()
    talkers = []
    for name in ("ada", "bob"):
        talker = Talker(world, world.tanks)
        talker.send(name=name, password="pw", newuser=True)
        talker.send(requeste="connect to map", map="prairie")
        talkers.append(talker)
    talkers.append(Talker(world, world.tanks))
    for i, message in enumerate(messages):
        talker = talkers[i % 3]
        if talker.closed:
            talker = talkers[i % 3] = Talker(world, world.tanks)
        talker.take()
        talker.send_bytes(orjson.dumps(message) + b"\n")
        assert talker.messages, message
        world.advance(0.2)


@given(st.binary(max_size=300), st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_any_bytes(data, sizes):
    for room in ("matches", "tanks"):
        world = World()
        talker = Talker(world, getattr(world, room))
        at = i = 0
        while at < len(data) and not talker.closed:
            talker.send_bytes(data[at : at + sizes[i % len(sizes)]])
            at += sizes[i % len(sizes)]
            i += 1
        assert all("erreur" in m or "error" in m or "reponse" in m for m in talker.messages)
        assert world.journal.kept == {}


def test_who_asks_for_more_than_they_read_is_paused_not_closed():
    """All is answered in the end; until then no more waits than may, and one answer."""
    limit = 1 << 16
    world = World(backlog_bytes_max=limit)
    for i in range(60):
        create(world, owner=f"p{i}")
    talker = Talker(world, world.matches)
    talker.reads = False
    talker.send_bytes(b"".join(b'{"requete":"lister","rid":%d}\n' % i for i in range(150)))
    one = len(world.matches.manager.listing())
    for _ in range(50):
        world.advance(0.1)
        assert talker.session.send_queue.queued < limit + 2 * one
    assert not talker.closed
    assert talker.session.busy, "no more is read"
    talker.reads = True
    for _ in range(200):
        world.deliver(talker)
        world.advance(0.1)
    assert [m["rid"] for m in talker.take()] == list(range(150))
    assert not talker.closed


def test_who_does_not_read_what_others_do_is_closed():
    limit = 1 << 16
    world = World(backlog_bytes_max=limit)
    code = create(world)
    talker = Talker(world, world.matches).send(requete="spectateur", code_partie=code)
    talker.reads = False
    ada = Talker(world, world.matches)
    for _ in range(2000):
        ada.send(requete="connexion", id_publique="ada", id_privee="pw", code_partie=code)
        ada.send(requete="deconnexion", id_publique="ada", id_privee="pw")
        world.advance(0.05)
        if talker.closed:
            break
    assert talker.closed == "does not read what it is sent"
    assert talker.session.send_queue.queued < 2 * limit + 1000


def test_documents_wait_for_a_store_that_is_away():
    world = World()
    book = world.book
    world.store.broken = True
    book.put("k", "1", {"a": 1}, world.now)
    world.advance(2)
    book.put("k", "1", {"a": 2}, world.now)
    book.put("k", "2", {"a": 3}, world.now)
    book.remove("k", "2", world.now)
    world.run_effects()
    world.advance(3)
    assert world.journal.kept
    found = []
    book.fetch("k", "1", lambda document, _now: found.append(document), print, world.now)
    assert found == [b'{"a":2}']
    world.store.broken = False
    world.advance(10)
    assert world.documents == {("k", "1"): b'{"a":2}'}
    assert world.journal.kept == {}
    assert book.journal_from is None


def test_documents_are_in_the_store_after_a_kill():
    world = World()
    world.book.put("k", "é", {"a": [None, 1.5, "x"]}, world.now)
    world.run_effects()
    again = World(world.store, world.journal, world.now)
    assert again.documents == {("k", "é"): b'{"a":[null,1.5,"x"]}'}
    assert again.journal.kept == {}
    assert DocumentBuffer(Context(Settings(_env_file=None))).journal_from is None


def test_a_bucket():
    bucket = Bucket(10, 3, 0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(0.1)
    assert not bucket.take(0.1)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
