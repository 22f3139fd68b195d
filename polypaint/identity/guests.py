"""Names that are made up for guests, and what their accounts have in place of a password's hash.

Must never draw random numbers by itself: the source is handed in. Counterparts: `names.py`, which
names there can be; `runtime/logins.py`, which creates the accounts.
"""

from collections.abc import Sequence
from typing import Final, Protocol

NO_PASSWORD: Final = b"!"
"""No bcrypt hash: no password is right for it."""
TRIES_MAX: Final = 12
"""Names that are tried before there is none to be had; the last are out of millions."""
_ADJECTIVES: Final = (
    "Able Airy Amber Ample Autumn Blue Bold Brave Breezy Bright Brisk Calm Cheerful Clever Cosy "
    "Curious Dappled Daring Dusty Eager Early Easy Fair Fancy Fast Fond Free Fresh Gentle Glad "
    "Golden Grand Green Happy Hazel Honest Humble Jolly Keen Kind Late Light Lively Lucky Merry "
    "Mild Misty Neat Nimble Noble Patient Plain Proud Quick Quiet Rapid Rosy Rusty Shy Silent "
    "Silver Simple Snowy Soft Spry Starry Steady Still Sunny Swift Tidy Tranquil Warm Wild Witty"
)
_NOUNS: Final = (
    "Acorn Alder Aspen Badger Beaver Beetle Birch Bison Bramble Brook Cedar Clover Comet Crane "
    "Cricket Curlew Daisy Deer Dolphin Dove Eagle Elm Falcon Fern Finch Fox Gecko Goose Hare Hawk "
    "Hazelnut Heron Hill Ibis Ivy Jay Juniper Kestrel Kite Koala Lark Lemur Linden Lizard Lynx "
    "Magpie Maple Marten Meadow Mole Moose Moth Nettle Newt Oak Orca Otter Owl Panda Pebble Pine "
    "Plover Poplar Poppy Puffin Quail Rabbit Raven River Robin Rowan Seal Sparrow Squirrel Stork "
    "Swallow Swan Thrush Tiger Toad Trout Tulip Turtle Vole Walnut Whale Willow Wren Yak"
)
ADJECTIVES: Final = tuple(_ADJECTIVES.split())
NOUNS: Final = tuple(_NOUNS.split())


class Random(Protocol):
    """As much of `random.Random` as is needed."""

    def choice(self, options: Sequence[str], /) -> str:
        """One of them."""

    def randrange(self, start: int, stop: int, /) -> int:
        """start ≤ it < stop."""


def made_up(random: Random, tries: int) -> str:
    """A readable name, which somebody may have; tries: how many were taken already."""
    name = f"{random.choice(ADJECTIVES)} {random.choice(NOUNS)}"
    return f"{name} {random.randrange(2, 10 ** min(2 + tries // 3, 6))}" if tries else name
