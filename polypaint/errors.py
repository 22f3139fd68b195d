"""The error tree. Every message says what happened and, where a person can act, what to do.

PolypaintError
├── ProtocolError    the peer's bytes are wrong: dropped and counted, or the connection closes
│   └── FramingError the byte stream has lost its packets: the connection closes
├── Refused          a rule said no: nothing changed, the connection stays open
│   └── Stale        the peer acted on a canvas that has since changed: it is resynced
├── StoreError       the store or journal could not do its work
│   ├── StoreFull    … because the disk is full: it is tried again
│   └── StoreDamaged … because what it holds is damaged
├── SettingsError    a flag, variable or configuration file is wrong
└── ConnectionClosed a client's connection ended (client side only)
    └── LoginFailed  … because the server did not accept name and password
"""


class PolypaintError(Exception):
    """Anything that this package raises on purpose."""


class ProtocolError(PolypaintError):
    """The peer sent what the protocol does not allow."""


class FramingError(ProtocolError):
    """Where packets begin and end is no longer known."""


class Refused(PolypaintError):
    """A rule of the domain said no; nothing has changed."""


class Stale(Refused):
    """The packet names strokes by positions that have changed since it was sent."""


class StoreError(PolypaintError):
    """The store or the journal could not do its work."""


class StoreFull(StoreError):
    """There is no room left on the disk; writing is tried again until there is."""


class StoreDamaged(StoreError):
    """What was stored is not what is read: a checksum or the file's structure is wrong."""


class SettingsError(PolypaintError):
    """A flag, an environment variable or the configuration file is wrong."""


class ConnectionClosed(PolypaintError):
    """The connection to the server has ended."""


class LoginFailed(ConnectionClosed):
    """The server did not accept this name and password."""
