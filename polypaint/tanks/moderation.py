"""The chat's moderation: which words, how they are recognised, and what follows.

A message is made plain (NFKC, case, accents, look-alikes) and its whole words are looked up. Minor
words, floods and repeats block the message; serious ones warn, the third within ten minutes kicks,
and whoever is kicked again within a day may not log in for a while.

Must never do I/O: the word list arrives as text. Protocol: docs/tanks.md, section 5.
"""

import re
import unicodedata
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from polypaint.errors import SettingsError

MINOR, SERIOUS = "minor", "serious"
WARNED_S: Final = 600.0
WARNINGS: Final = 3
KICKED_S: Final = 24 * 3600.0
BANS_S: Final = (0.0, 600.0, 3600.0, 24 * 3600.0)
"""How long the first, second … kick within a day keeps one out."""
REPEAT_S: Final = 10.0
REPEATS: Final = 3
RUN: Final = 16
"""So many equal characters in a row are a flood."""
_LOOKALIKES: Final = str.maketrans(
    dict(
        zip(
            "авеёкмнорстухіїјѕԁԛԝһӏ" + "αβεικνορτυχωη" + "ɑıłøđ" + "@$",
            "abeekmhopctyxiijsdqwhl" + "abeikvoptuxwn" + "ailod" + "as",
            strict=True,
        )
    )
)
_DIGITS: Final = (str.maketrans("0134578", "oieastb"), str.maketrans("0134578", "oleastb"))
"""Digits that stand for letters in a word; 1 may be either."""
_RUNS: Final = re.compile(r"(.)\1{2,}")


def plain(text: str) -> str:
    """Text as it is compared: NFKC, no case, no accents, no look-alikes, nothing invisible."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_LOOKALIKES)
    letters = unicodedata.normalize("NFKD", folded)
    return "".join(c for c in letters if unicodedata.category(c) not in ("Mn", "Cf", "Cc"))


def forms(text: str) -> set[str]:
    """The whole words of a text, in every way that they may be meant."""
    found: set[str] = set()
    for token in re.findall(r"\w+", plain(text).replace("_", " ")):
        ways = {token}
        if any(c.isalpha() for c in token):
            ways |= {token.translate(digits) for digits in _DIGITS}
        found |= ways | {_RUNS.sub(r"\1", way) for way in ways}
    return found


class Words:
    """A word list. Raises SettingsError that names the line that is wrong."""

    def __init__(self, text: str) -> None:
        self._words: dict[str, str] = {}
        weight = ""
        for number, line in enumerate(text.splitlines(), 1):
            word = line.partition("#")[0].strip()
            if word in (f"[{MINOR}]", f"[{SERIOUS}]"):
                weight = word[1:-1]
            elif word and (not weight or len(re.findall(r"\w+", word)) != 1):
                raise SettingsError(
                    f"word list, line {number}: [{MINOR}] or [{SERIOUS}], then one word a line"
                )
            elif word:
                self._words[plain(word)] = weight

    def weigh(self, text: str) -> str:
        """SERIOUS, MINOR, or an empty string."""
        found = {self._words.get(form, "") for form in forms(text)}
        return SERIOUS if SERIOUS in found else MINOR if MINOR in found else ""


@dataclass(slots=True)
class Conduct:
    """What is remembered of a player. Times are UTC seconds."""

    warnings: list[float] = field(default_factory=list)
    kicks: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    banned_until: float = 0.0

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Conduct":
        """From what was kept."""
        return cls(**document)

    def json(self) -> dict[str, Any]:
        """What is kept."""
        return {
            "warnings": self.warnings,
            "kicks": self.kicks,
            "reasons": self.reasons,
            "banned_until": self.banned_until,
        }

    def warn(self, utc: float) -> bool:
        """A serious word. True: it was one too many, and the count starts again."""
        self.warnings = [at for at in self.warnings if utc - at < WARNED_S] + [utc]
        if len(self.warnings) < WARNINGS:
            return False
        self.warnings = []
        return True

    def kick(self, reason: str, utc: float) -> float:
        """Put out; until when they may not come back (UTC seconds; 0: at once)."""
        self.kicks = [at for at in self.kicks if utc - at < KICKED_S] + [utc]
        self.reasons = [*self.reasons, reason][-20:]
        ban = BANS_S[min(len(self.kicks), len(BANS_S)) - 1]
        self.banned_until = utc + ban if ban else 0.0
        return self.banned_until


class Listener:
    """One player's chat, to notice floods and repeats."""

    def __init__(self) -> None:
        self._said: deque[tuple[float, str]] = deque(maxlen=REPEATS)

    def hears(self, text: str, now: float) -> str:
        """Why a message is a flood or a repeat, or an empty string."""
        said = plain(text)
        if re.search(rf"(.)\1{{{RUN - 1}}}", said):
            return "flood"
        repeated = any(said == before and now - at < REPEAT_S for at, before in self._said)
        self._said.append((now, said))
        return "repeat" if repeated else ""
