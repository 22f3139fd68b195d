"""Which names a new account can have: none that looks like another's, or is reserved.

Two names look alike when their skeletons are equal (Unicode Technical Standard 39, section 4).
Accounts that exist already keep their names.

Must never do I/O but read the table that comes along. Counterparts: `accounts.is_name`, what a
name is on the wire; `runtime/logins.py`, which creates accounts.
"""

import re
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Final

BOTS: Final = "robot-"
"""Accounts of bots are called this and a number."""
HIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
IGNORABLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters of other categories that show nothing (Default_Ignorable_Code_Point)."""


def problem(name: str) -> str | None:
    """Why no new account can have this name; None when one can, if nobody has it."""
    if name != name.strip() or "  " in name:
        return "spaces at its ends, or two in a row"
    for c in name:
        category = unicodedata.category(c)
        if category in HIDDEN or (category == "Zs" and c != " ") or IGNORABLE.match(c):
            return "a character that does not show"
    if is_reserved(name):
        return "reserved for bots"
    return None


def is_reserved(name: str) -> bool:
    """True for what is, or looks like, the name of a bot."""
    return _reserved().fullmatch(skeleton(name.casefold()).casefold()) is not None


def skeleton(name: str) -> str:
    """The same for all names that look the same."""
    table = _table()
    shown = (c for c in unicodedata.normalize("NFD", name) if not IGNORABLE.match(c))
    mapped = "".join(table.get(c, c) for c in shown if unicodedata.category(c) not in HIDDEN)
    return unicodedata.normalize("NFD", mapped)


@cache
def _table() -> dict[str, str]:
    """Character → what it looks like."""
    table = {}
    for line in (files("polypaint.identity") / "confusables.txt").read_text("ascii").splitlines():
        if line and not line.startswith("#"):
            target, sources = (
                "".join(chr(int(x, 16)) for x in part.split()) for part in line.split(";")
            )
            table.update(dict.fromkeys(sources, target))
    for source, target in table.items():  # what something looks like may look like a third
        table[source] = "".join(table.get(c, c) for c in target)
    return table


@cache
def _reserved() -> re.Pattern[str]:
    digits = "".join({skeleton(d).casefold() for d in "0123456789"})
    return re.compile(f"{re.escape(skeleton(BOTS).casefold())}[0-9{re.escape(digits)}]+")
