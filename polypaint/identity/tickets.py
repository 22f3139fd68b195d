"""Tickets: what lets somebody who has logged in lately do so again without a password check.

A ticket is a keyed hash (HMAC-SHA256) over a name, a time at which it ends and the account's
password hash. So the server keeps nothing but one key, a changed password ends all tickets, and
checking one costs microseconds. It is sent where the password would stand.

Must never read a clock or draw random numbers. Counterparts: `runtime/logins.py` keeps the key in
the store; docs/protocol.md, section 4.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Final

PREFIX: Final = "\x1fticket:"
"""No keyboard types it; a password that begins like this is checked as one all the same."""
VALID_S: Final = 24 * 3600
KEY_BYTES: Final = 32
_END: Final = struct.Struct(">Q")


class Tickets:
    """See the module. key: KEY_BYTES that nobody else knows."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, name: str, password_hash: bytes, utc: float) -> str:
        """A ticket for VALID_S from now."""
        end = _END.pack(int(utc) + VALID_S)
        data = end + self._mac(end, name, password_hash)
        return PREFIX + base64.urlsafe_b64encode(data).decode()

    def accepts(self, ticket: str, name: str, password_hash: bytes, utc: float) -> bool:
        """True for a ticket of this account that has not ended."""
        if not ticket.startswith(PREFIX):
            return False
        try:
            data = base64.b64decode(ticket[len(PREFIX) :], b"-_", validate=True)
        except (binascii.Error, ValueError):
            return False
        end, mac = data[: _END.size], data[_END.size :]
        if not hmac.compare_digest(mac, self._mac(end, name, password_hash)):
            return False
        return utc < float(_END.unpack(end)[0])

    def _mac(self, end: bytes, name: str, password_hash: bytes) -> bytes:
        account = hashlib.sha256(password_hash).digest()
        return hmac.digest(self._key, end + account + name.encode(), "sha256")
