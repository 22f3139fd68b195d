"""What the creator of a lobby says of it: its name, its mode, and who may enter.

Must never know who is inside. Counterparts: `lobby.py` has one, `access.py` asks it.
Protocol: docs/protocol.md, sections 2, 5, 9.
"""

from dataclasses import dataclass, replace
from typing import Final

from polypaint.errors import ProtocolError
from polypaint.identity.accounts import is_clean
from polypaint.paint import packets
from polypaint.paint.packets import Mode

FILENAME_BYTES_MAX: Final = 128
PASSCODE_BYTES_MAX: Final = 1024
MODE_BYTES_MAX: Final = 64
STRICTNESS: Final = {"public": 0, "protected": 1, "private": 2}


@dataclass(frozen=True, slots=True)
class LobbyRules:
    """What the creator says of a lobby. mode: the literal, which only `drawing_mode` reads."""

    filename: str
    owner: str
    mode: str
    protection: str
    passcode: str

    @classmethod
    def of(cls, values: dict[str, str]) -> "LobbyRules":
        """From the five keys of LOBBY_CREATION. Raises ProtocolError."""
        info = cls(*(values[key] for key in packets.LOBBY_KEYS)).called(values["Filename"])
        if not 0 < len(info.mode.encode()) <= MODE_BYTES_MAX:
            raise ProtocolError(f"Mode is not 1-{MODE_BYTES_MAX} bytes")
        return info.protected(info.protection, info.passcode)

    def called(self, filename: str) -> "LobbyRules":
        """The same under another name. Raises ProtocolError."""
        if not is_clean(filename, FILENAME_BYTES_MAX) or ";" in filename:
            raise ProtocolError(f"Filename is not 1-{FILENAME_BYTES_MAX} bytes of plain text")
        return replace(self, filename=filename)

    def protected(self, protection: str, passcode: str) -> "LobbyRules":
        """The same under another protection. Raises ProtocolError."""
        if protection not in STRICTNESS:
            raise ProtocolError("Protection is none of public, protected, private")
        if protection == "protected" and not passcode:
            raise ProtocolError("a protected lobby needs a Passcode")
        if len(passcode.encode()) > PASSCODE_BYTES_MAX:
            raise ProtocolError(f"Passcode is longer than {PASSCODE_BYTES_MAX} bytes")
        return replace(self, protection=protection, passcode=passcode)

    @property
    def drawing_mode(self) -> Mode:
        """Contains `pix`, in any case → pixel; anything else → stroke."""
        return Mode.PIXEL if "pix" in self.mode.casefold() else Mode.STROKE

    def admits(self, name: str, passcode: str) -> bool:
        """May this account enter with this passcode?"""
        return (
            name == self.owner
            or self.protection == "public"
            or (self.protection == "protected" and passcode == self.passcode)
        )

    def is_known_to(self, name: str) -> bool:
        """May this account (empty: nobody's) know that there is this lobby?"""
        return self.protection != "private" or name == self.owner

    @property
    def sole_viewer(self) -> str:
        """Who alone sees from outside who is in it; empty: everybody does."""
        return "" if self.protection == "public" else self.owner

    def locks_out(self, before: "LobbyRules") -> bool:
        """Must those leave who came in under the rules before?"""
        return STRICTNESS[self.protection] > STRICTNESS[before.protection] or (
            self.protection == before.protection == "protected"
            and self.passcode != before.passcode
        )

    def json(self, show_passcode: bool = False) -> dict[str, str]:
        """The five keys; the passcode blank unless it is to be shown."""
        values = (self.filename, self.owner, self.mode, self.protection, self.passcode)
        return dict(zip(packets.LOBBY_KEYS, values, strict=True)) | (
            {} if show_passcode else {"Passcode": ""}
        )

    @property
    def info_change_fields(self) -> dict[str, str]:
        """The four keys of LOBBY_INFO_CHANGE."""
        values = self.json(show_passcode=True)
        return {key: values[key] for key in packets.INFO_KEYS}
