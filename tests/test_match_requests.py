"""Requests of the match protocol: lines, fields, rates, errors (docs/matches.md, 1-3)."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from polypaint.engine.session import LINE_BYTES_MAX, Lines
from polypaint.matches.messages import ERRORS, REQUESTS

from .matching import create, refused, talk
from .world import World


@pytest.fixture
def world():
    return World()


@given(
    st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=12),
    st.lists(st.integers(1, 30), min_size=1),
)
def test_any_chunking_gives_the_same_lines(lines, sizes):
    data = b"".join(line + b"\n" for line in lines)
    whole = Lines(16).feed(data)
    chunked, found, at, i = Lines(16), [], 0, 0
    while at < len(data):
        found += chunked.feed(data[at : at + sizes[i % len(sizes)]])
        at += sizes[i % len(sizes)]
        i += 1
    assert found == whole
    expected = [line.removesuffix(b"\r") for line in lines]
    assert whole == [None if len(line) > 16 else line for line in expected if line]


def test_a_line_without_end_holds_no_memory():
    lines = Lines()
    assert lines.feed(b"x" * (LINE_BYTES_MAX + 2)) == [None]
    for _ in range(100):
        assert lines.feed(b"x" * 100_000) == []
    assert len(lines._rest) == 0
    assert lines.feed(b"x\n{}\n") == [b"{}"]


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b"3", b"null", b'{"a":NaN}', b'{"a":1e999}', b'{"a":1,"a":2}', b"\xff",
        b'{"a":"\xff"}', b'{"a":' + b"[" * 9 + b"]" * 9 + b"}", b'{"a":"\\ud800"}',
    ],
)  # fmt: skip
def test_what_is_no_object_is_answered_json(world, line):
    assert talk(world).send_bytes(line + b"\n").last()["erreur"] == "json"


def test_a_line_that_is_too_long(world):
    talker = talk(world)
    talker.send_bytes(b'{"a":"' + b"x" * LINE_BYTES_MAX + b'"}\n')
    assert talker.last()["erreur"] == "trop_grand"
    rest = b'{"requete":"lister","x":"%b"}'
    padded = rest % (b"y" * (LINE_BYTES_MAX - len(rest) + 2))
    assert len(padded) == LINE_BYTES_MAX
    assert talker.send_bytes(padded + b"\r\n\n\r\n").take() == [
        {"reponse": "parties", "parties": []}
    ]


def test_five_faults_within_ten_seconds_close(world):
    talker = talk(world)
    for _ in range(4):
        talker.send_bytes(b"{\n")
    world.advance(11)
    for _ in range(4):
        talker.send_bytes(b"{\n")
    assert not talker.closed
    talker.send_bytes(b"{\n")
    assert talker.closed
    assert [m["erreur"] for m in talker.messages] == ["json"] * 9


@pytest.mark.parametrize("rid", ["x" * 65, [], {}, "é" * 33])
def test_a_bad_rid_is_not_echoed(world, rid):
    answer = refused(talk(world), "champ", requete="lister", rid=rid)
    assert "rid" not in answer


@pytest.mark.parametrize("rid", ["x" * 64, 7, 1.5, True, False, "é" * 32])
def test_rids_are_echoed(world, rid):
    assert talk(world).send(requete="lister", rid=rid).last()["rid"] == rid
    assert refused(talk(world), "inconnu", requete="?", rid=rid)["rid"] == rid


def test_the_rate(world):
    talker = talk(world)
    for _ in range(250):
        talker.send(requete="lister")
    answers = talker.take()
    assert [m.get("erreur") for m in answers] == [None] * 200 + ["debit"] * 50
    world.advance(0.1)
    for _ in range(20):
        talker.send(requete="lister")
    assert sum("erreur" not in m for m in talker.take()) == 10


@pytest.mark.parametrize("name", ["stat", "fermer", "ouvrir", "etat", "note", "fermee", "", "x"])
def test_messages_between_servers_are_unknown_to_clients(world, name):
    refused(talk(world), "inconnu", requete=name, code_partie="x")


BAD = {
    "id_publique": [None, 3, "", "x" * 65, "a\nb", True, {}],
    "id_privee": [None, 3, "", "x" * 1025, []],
    "parametres": [None, 3, "x", []],
    "action": [None, 3, "x", [], True],
    "code_partie": [3, [], {}, True],
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_field_is_checked(world, name):
    code = create(world)
    good = {
        "id_publique": "ada", "id_privee": "pw", "code_partie": code, "action": {},
        "parametres": {"jeu": "puissance4"},
    }  # fmt: skip
    before = dict(world.journal.kept)
    for field in REQUESTS[name].fields:
        message = {f.name: good[f.name] for f in REQUESTS[name].fields} | {"requete": name}
        if not field.optional:
            without = {k: v for k, v in message.items() if k != field.name}
            assert field.name in refused(talk(world), "champ", **without)["message"]
        for value in BAD[field.name]:  # type: ignore[attr-defined]
            if not (field.optional and value is None):
                answer = refused(talk(world), "champ", **message | {field.name: value})
                assert field.name in answer["message"]
    assert world.journal.kept == before
    refused(talk(world), "champ", x=1)
    refused(talk(world), "champ", requete=3)


def test_every_error_is_declared():
    assert set(ERRORS) == {
        "json", "inconnu", "champ", "trop_grand", "debit", "code_inconnu", "code_requis",
        "non_connecte", "identite", "complet", "pas_commencee", "pas_votre_tour", "terminee",
        "action_invalide", "occupe",
    }  # fmt: skip
