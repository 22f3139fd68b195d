"""Stale positions: could a member have named a stroke before knowing of the last shift?

The wire has no version numbers. So a packet that names positions is doubtful for as long as its
sender may not have been sent, or may not have read, the last packet that shifts them.

Must never read a clock. Counterpart: `lobby.py` asks. Protocol: docs/protocol.md, section 5.
"""

from typing import Final

from polypaint.paint.member import Membership

WINDOW_S_MIN: Final = 0.05


class Staleness:
    """Of one lobby: the last shift, and the last one by anybody else than its author."""

    def __init__(self) -> None:
        self._shifts: list[tuple[str, float]] = []

    def shifted(self, name: str, now: float) -> None:
        """A packet of this author has shifted positions."""
        self._shifts = [(name, now), *(s for s in self._shifts if s[0] != name)][:2]

    def shifted_at(self, membership: Membership) -> float:
        """When this member was last sent something that shifts positions."""
        others = (at for name, at in self._shifts if name != membership.name)
        return max(membership.shifted_at, next(others, float("-inf")))

    def is_doubtful(self, membership: Membership, now: float) -> bool:
        """Could the member have sent this before it knew of the last shift?"""
        shifted_at = self.shifted_at(membership)
        member = membership.member
        window = max(member.window_s(), WINDOW_S_MIN)
        since = member.backlogged_at
        if since is not None and shifted_at > since - window:
            return True
        return now - shifted_at < window or not member.subscribed

    def clear(self) -> None:
        """Nobody is here any more to have a stale position."""
        self._shifts = []
