"""Chat on the maps and its moderation, in virtual time (docs/tanks.md, section 5)."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from polypaint.errors import SettingsError
from polypaint.tanks.moderation import Words, plain

from .driving import STILL, enter, pair, talk
from .world import WORDS, Talker, World


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("idiot", "minor"), ("Quel IDIOT !", "minor"), ("idiotie", ""), ("idiomatic", ""),
        ("salaud", "serious"), ("ｓａｌａｕｄ", "serious"), ("sаlаud", "serious"),
        ("SALAUD", "serious"), ("sálàüd", "serious"), ("$alaud", "serious"), ("sa1aud", "serious"),
        ("s\u200balaud", "serious"), ("saaalaud", "serious"), ("salauds", ""), ("bonjour", ""),
        ("idi0t", "minor"), ("1diot", "minor"), ("a salad", ""), ("idiot salaud", "serious"),
        ("ιdιοτ", "minor"), ("", ""), ("1234", ""),
    ],
)  # fmt: skip
def test_words(text, weight):
    assert Words(WORDS.read_text()).weigh(text) == weight


def test_word_lists_of_operators():
    words = Words("# ours\n[minor]\nChou\n[serious]\npatate # not a compliment\n")
    assert (words.weigh("chou!"), words.weigh("PATATE"), words.weigh("idiot")) == (
        "minor", "serious", "",
    )  # fmt: skip
    for bad in ("chou", "[minor]\ntwo words", "[nothing]"):
        with pytest.raises(SettingsError, match="line"):
            Words(bad)


@given(st.text(max_size=60))
def test_any_text_can_be_weighed(text):
    assume(text.isprintable())
    assert plain(plain(text)) == plain(plain(plain(text)))
    Words(WORDS.read_text()).weigh(text)


def test_the_ladder(world):
    ada, bob = pair(world)

    def say(text, rid="x"):
        ada.take(), bob.take()
        ada.send(message=text, rid=rid)
        return ada.take()

    assert say("bonjour") == [{"player": "ada", "message": "bonjour", "crid": "x"}]
    assert say("bonjour") == [{"message blocked": True, "reason": "repeat", "crid": "x"}]
    assert say("a" * 16, None) == [{"message blocked": True, "reason": "flood", "crid": None}]
    world.advance(5)
    assert say("idiot")[0] == {"message blocked": True, "reason": "language", "crid": "x"}
    assert bob.take() == []
    warned = {"message blocked": True, "reason": "language", "advertisement": True, "crid": "x"}
    assert say("salaud") == [warned]
    world.advance(601)  # the battle is over by now
    for talker in (ada, bob):
        talker.send(requeste="connect to map", map="prairie")
    assert say("connard") == [warned]
    assert say("salope") == [warned]
    kicked = say("putain")
    assert kicked[0] == {
        "message blocked": True, "reason": "language", "kick": True, "crid": "x",
    }  # fmt: skip
    assert kicked[1] == {"player": "ada", "kick": 1}
    assert ada.closed
    assert {"player": "ada", "kick": 1} in bob.take()


def test_kicks_lead_to_bans(world):
    login = {"name": "ada", "password": "pw", "newuser": False}

    def kicked():
        ada = enter(world, "ada")
        ada.send(**STILL | {"fire": -1})
        assert ada.closed

    def banned():
        told = Talker(world, world.tanks).send(**login).last()
        return told.get("reason") == "banned"

    kicked()
    assert not banned()
    for span in (600, 3600, 24 * 3600):
        kicked()
        assert banned()
        again = World(world.store, world.journal, world.now)
        assert Talker(again, again.tanks).send(**login).last()["reason"] == "banned"
        world = World(world.store, world.journal, world.now)
        world.advance(span - 1)
        assert banned()
        world.advance(2)
        assert not banned()


def test_the_rate_of_chat(world):
    ada, _bob = pair(world)
    for i in range(7):
        ada.send(message=f"number {i}", rid=i)
    told = ada.take()
    assert [m.get("error") for m in told] == [None] * 5 + ["rate"] * 2
    assert told[-1]["crid"] == 6


def test_chat_in_the_lobby(world):
    ada = talk(world, "ada").send(message="anybody?", rid=1)
    assert ada.last() == {"message blocked": True, "reason": "not on a map", "crid": 1}
