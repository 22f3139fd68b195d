"""Tokens: what a browser or a program shows to say who it is, once it has logged in.

A token is a long random word, so that its SHA-256 is enough: only that is kept, and whoever reads
the store cannot use it. Each ends after a while without use, or when it is revoked; an account has
so many at most, then the oldest goes.

Must never read a clock or draw random numbers: both are arguments. Counterparts:
`runtime/sessions.py` keeps them in the store; `tickets.py`, which stand where a password would.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Final

import orjson

KIND: Final = "token"
"""Of the documents in which they are stored."""
VALID_S: Final = 30 * 86_400
GUEST_VALID_S: Final = 365 * 86_400
"""A guest has no password to come back with."""
ACCOUNT_TOKENS_MAX: Final = 50
ABOUT_BYTES_MAX: Final = 200
WORD_BYTES: Final = 32
"""Of randomness in a token."""

Documents = dict[tuple[str, str], bytes | None]


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token. key: its hash. created, expires: UTC seconds. valid: seconds from
    its last use. about: what logged in, for its owner's eyes."""

    key: str
    name: str
    created: float
    expires: float
    valid: float
    about: str

    @property
    def id(self) -> str:
        """What it is called when it is listed."""
        return self.key[:16]


class Tokens:
    """All tokens. What has to be stored comes back as documents, for the caller to keep."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._of: dict[str, dict[str, None]] = {}
        """name → keys, the oldest first."""

    def __len__(self) -> int:
        return len(self._tokens)

    def restore(self, documents: Iterable[tuple[str, bytes]], utc: float) -> Documents:
        """What the store has; those that have expired are to be forgotten."""
        forgotten: Documents = {}
        found = [Token(key=key, **orjson.loads(body)) for key, body in documents]
        for token in sorted(found, key=lambda token: token.created):
            if token.expires <= utc:
                forgotten[KIND, token.key] = None
            else:
                self._add(token)
        return forgotten

    def _add(self, token: Token) -> None:
        self._tokens[token.key] = token
        self._of.setdefault(token.name, {})[token.key] = None

    def _drop(self, token: Token) -> None:
        self._tokens.pop(token.key, None)
        keys = self._of.get(token.name, {})
        keys.pop(token.key, None)
        if not keys:
            self._of.pop(token.name, None)

    def issue(
        self, word: str, name: str, about: str, utc: float, valid: float = VALID_S
    ) -> tuple[Token, Documents]:
        """Have this word, which nobody can guess, stand for an account."""
        about = about.encode()[:ABOUT_BYTES_MAX].decode(errors="ignore")
        token = Token(hashed(word), name, utc, utc + valid, valid, about)
        changes: Documents = {}
        while len(self._of.get(name, ())) >= ACCOUNT_TOKENS_MAX:
            oldest = self._tokens[next(iter(self._of[name]))]
            self._drop(oldest)
            changes[KIND, oldest.key] = None
        self._add(token)
        changes[KIND, token.key] = _document(token)
        return token, changes

    def find(self, word: str, utc: float) -> Token | None:
        """The token that this word is, while it counts."""
        token = self._tokens.get(hashed(word))
        return token if token is not None and utc < token.expires else None

    def renew(self, token: Token, utc: float) -> tuple[Token, Documents]:
        """It is used: once half of its time is over, it gets all of it again."""
        if token.key not in self._tokens or token.expires - utc > token.valid / 2:
            return token, {}
        renewed = self._tokens[token.key] = replace(token, expires=utc + token.valid)
        return renewed, {(KIND, token.key): _document(renewed)}

    def listed(self, name: str, utc: float) -> list[Token]:
        """An account's tokens that count, the newest first."""
        tokens = [self._tokens[key] for key in reversed(self._of.get(name, {}))]
        return [token for token in tokens if utc < token.expires]

    def revoke(self, tokens: Iterable[Token]) -> Documents:
        """End these."""
        changes: Documents = {}
        for token in tokens:
            self._drop(token)
            changes[KIND, token.key] = None
        return changes

    def expired(self, utc: float) -> list[Token]:
        """Those that can be forgotten."""
        return [token for token in self._tokens.values() if token.expires <= utc]

    def rename(self, before: str, after: str, valid: float) -> Documents:
        """An account has another name; its tokens go on, for so long from their next use."""
        changes: Documents = {}
        for key in list(self._of.get(before, {})):
            token = self._tokens[key]
            self._drop(token)
            self._add(renamed := replace(token, name=after, valid=valid))
            changes[KIND, key] = _document(renamed)
        return changes


def hashed(word: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(word.encode(errors="replace")).hexdigest()


def _document(token: Token) -> bytes:
    values = asdict(token)
    del values["key"]
    return orjson.dumps(values)
