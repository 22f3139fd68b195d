"""What both kinds of canvas have in common: the contract that a lobby and a replica rely on.

A canvas is a deterministic state machine. Its state is a function of the packets that `apply` has
accepted, in order: the server, a restarted server, and every client that applies the same packets
have the same canvas.

Must never import a lobby or a session. Counterparts: `strokes.py`, `pixels.py`.
Protocol: docs/protocol.md, section 5.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from polypaint.paint.packets import Mode

LENGTH: float = 1280
WIDTH: float = 720


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a packet.

    packet: what the other members get and the journal keeps: whole packets, perhaps not the bytes
    that were sent; empty when nothing is to be told. correction: whole packets for the sender.
    """

    packet: bytes = b""
    correction: bytes = b""


class Canvas(Protocol):
    """A lobby's drawing with the selections that are open in it."""

    @property
    def mode(self) -> Mode:
        """Which kind of canvas this is."""

    @property
    def length(self) -> float:
        """The horizontal side."""

    @property
    def width(self) -> float:
        """The vertical side."""

    needs_client_snapshot: bool
    """A filter that only clients know was applied: our pixels are not the truth any more."""

    def apply(self, packet: bytes) -> Applied:
        """Apply a packet that carries its author's name and conforms to its layout.

        Raises Refused, or Stale when the author should be resynced; then nothing has changed.
        """

    def replay(self, packet: bytes) -> None:
        """Apply a packet of the log.

        What an older version has accepted beyond today's limits is brought within them, so that
        every drawing opens. Raises as `apply` does.
        """

    def cost(self, packet: bytes) -> int:
        """About how many nanoseconds `apply` takes at worst; 0 for next to nothing."""

    def release_cost(self, author: str) -> int:
        """The same for `release`."""

    @property
    def size_cost(self) -> int:
        """The same for reading the whole canvas once (`dump`)."""

    @property
    def snapshot_cost(self) -> int:
        """The same for `snapshot`."""

    @property
    def free_cost(self) -> int:
        """The same for `free`."""

    def load_cost(self, blobs: list[bytes]) -> int:
        """The same for `load`."""

    def only_held(self, packet: bytes) -> bool:
        """Does its author hold every stroke that this packet names?"""

    def authors(self) -> list[str]:
        """Who has something selected."""

    def release(self, author: str, date: int) -> bytes:
        """End what the author has selected; what the others are told (whole packets, or empty)."""

    def snapshot(self, date: int) -> list[bytes]:
        """The state as ordinary packets, joined into chunks; for an empty canvas of any size."""

    def forget_snapshot(self) -> None:
        """Give back the memory of what is kept for the next `snapshot`."""

    def free(self) -> None:
        """Give back all memory; the canvas is not used again."""

    def clear(self) -> None:
        """Back to an empty canvas without selections, for a snapshot to follow."""

    def dump(self) -> tuple[dict[str, Any], list[bytes]]:
        """Everything, as JSON-able values and blobs, for `load`; later changes do not show."""

    def load(self, meta: dict[str, Any], blobs: list[bytes]) -> None:
        """Become what was dumped. Raises StoreError when that makes no sense."""

    @property
    def bytes_used(self) -> int:
        """The size of the drawing, in bytes."""

    @property
    def memory_used(self) -> int:
        """About how much memory it takes, selections too, without what a snapshot keeps."""

    @property
    def selections_used(self) -> int:
        """How much of that selections take."""

    @property
    def snapshot_growth(self) -> int:
        """About how much memory the next `snapshot` would take more."""

    def growth(self, packet: bytes) -> int:
        """About how much more memory the canvas would take after `apply`; 0 for next to none."""
