"""The tanks that there are, and how much one may do at a time.

Must never import the arena. Protocol: docs/tanks.md, sections 3 and 4.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

JITTER_S: Final = 0.25
"""How late a message may be without its sender being taken for a cheat."""
CREDIT_S_MAX: Final = 1.0
ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Tank:
    """A kind of tank.

    speed, shell_speed: units/s; turn, turret: degrees/s; life, damage: points; radius: units;
    price: coins.
    """

    name: str
    speed: float
    turn: float
    turret: float
    reload_s: float
    life: int
    damage: int
    shell_speed: float
    radius: float
    price: int

    def json(self) -> dict[str, Any]:
        """As clients are shown it."""
        return asdict(self)


TANKS: Final = {
    "leger": Tank("leger", 120, 120, 180, 1.0, 60, 20, 400, 12, 0),
    "moyen": Tank("moyen", 95, 95, 150, 1.4, 100, 30, 420, 15, 300),
    "lourd": Tank("lourd", 70, 70, 120, 2.0, 160, 45, 450, 18, 900),
}
FIRST: Final = "leger"
"""Owned by everybody."""


class Budget:
    """How much movement, turning and firing a tank has done, on the server's clock.

    Messages hold what was done since the last one. Each kind of doing has a level, which grows by
    what was done and falls by what time allows; it never falls below zero for longer than one
    message, so a pause is no credit, and an honest client that is late is never above the limit.
    """

    def __init__(self, tank: Tank, now: float) -> None:
        shots = 1 / tank.reload_s
        self._rates = (tank.turn, tank.turret, tank.speed, shots)
        self._limits = (
            tank.turn * JITTER_S,
            tank.turret * JITTER_S,
            tank.speed * JITTER_S,
            1 + shots * JITTER_S,
        )
        self._levels = [0.0, 0.0, 0.0, 0.0]
        self._at = now

    def spend(self, hull: float, turret: float, forward: float, shots: int, now: float) -> str:
        """One message's doings; why it is too much, or an empty string."""
        credit = min(now - self._at, CREDIT_S_MAX)
        self._at = now
        for i, amount in enumerate((hull, turret, forward, shots)):
            level = max(self._levels[i], 0.0) + abs(amount) - self._rates[i] * credit
            self._levels[i] = level
            if level > self._limits[i] + ROUNDING:
                return WRONGS[i]
        return ""


WRONGS: Final = (
    "turned too fast",
    "turned its cannon too fast",
    "moved too fast",
    "fired too fast",
)
