"""Accounts: which names and passwords there can be, and who is connected. For all protocols.

Must never import sockets, a database or bcrypt: hashing is work that waits, and is done outside.
Counterparts: `runtime/password_hasher.py` hashes, `store` keeps. Protocol: docs/protocol.md,
sections 1, 4.
"""

import base64
import hashlib
import unicodedata
from typing import Final, Generic, TypeVar

NAME_BYTES_MAX: Final = 64
PASSWORD_BYTES_MAX: Final = 1024

T = TypeVar("T")


def is_clean(text: str, bytes_max: int) -> bool:
    """1…bytes_max UTF-8 bytes, NFC, no control characters, no lone surrogates."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return False
    return (
        0 < size <= bytes_max
        and unicodedata.is_normalized("NFC", text)
        and not any(unicodedata.category(c) == "Cc" for c in text)
    )


def is_name(name: str) -> bool:
    """Can an account have this name?"""
    return is_clean(name, NAME_BYTES_MAX)


def is_password(password: str) -> bool:
    """Can an account have this password?"""
    return 0 < len(password.encode(errors="replace")) <= PASSWORD_BYTES_MAX


def prepared(password: str) -> bytes:
    """What bcrypt is given: base64(SHA-256), since bcrypt itself stops at 72 bytes or a NUL."""
    return base64.b64encode(hashlib.sha256(password.encode()).digest())


class Presence(Generic[T]):
    """Who is connected: one holder for each name."""

    def __init__(self) -> None:
        self._holders: dict[str, T] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def claim(self, name: str, holder: T) -> bool:
        """Take the name; False when somebody has it."""
        return self._holders.setdefault(name, holder) is holder

    def holder(self, name: str) -> T | None:
        """Who has the name?"""
        return self._holders.get(name)

    def let_go(self, name: str, holder: T) -> bool:
        """Give the name back, if this holder has it; False if not."""
        if self._holders.get(name) is not holder:
            return False
        del self._holders[name]
        return True
