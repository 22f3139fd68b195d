"""The arena of one map: tanks and shells as arrays, in fixed steps of 1/30 s.

Tanks move when their players say so, at once; shells fly in steps. One step is a few operations on
arrays, whatever stands on the map. What happens depends only on what was called, in which order: a
`log` of the calls, played again by `replay`, comes to the same end.

x, y: units from the top-left corner, y downwards. Angles: degrees, 0 along +x, clockwise; the
cannon's relative to the hull.

Must never read a clock. Counterpart: `battle.py` decides what a hit is worth.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from polypaint.tanks.maps import CELL, Map
from polypaint.tanks.vehicles import TANKS, Tank

STEP_S: Final = 1 / 30
STRIDE: Final = 1.0
"""Units between the points at which a moving tank is checked against walls."""
SHELLS: Final = 64
"""How many shells there is room for at first."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hit:
    """A shell has struck. life: what the victim has left."""

    victim: int
    shooter: int
    life: int


def drive(
    map_: Map, tank: Tank, x: float, y: float, angle: float, forward: float
) -> tuple[float, float, float]:
    """(x, y, how far) a tank comes along its hull before the first wall."""
    if forward == 0:
        return x, y, 0.0
    heading = math.radians(angle)
    across, down = math.cos(heading), math.sin(heading)
    if map_.is_open(x, y, x + forward * across, y + forward * down, tank.radius):
        return x + forward * across, y + forward * down, forward
    count = math.ceil(abs(forward) / STRIDE)
    way = np.linspace(forward / count, forward, count)
    xs, ys = x + way * across, y + way * down
    struck = map_.blocked(xs, ys, tank.radius)
    first = int(np.argmax(struck)) if struck.any() else count
    if first == 0:
        return x, y, 0.0
    return float(xs[first - 1]), float(ys[first - 1]), float(way[first - 1])


class Arena:
    """See the module. Tanks are numbered slots, given out by `join` and free after `leave`.

    x, y, angle, cannon, radius: float64 (slots,); life: int64 (slots,), 0: dead or free.
    """

    def __init__(self, map_: Map, slots: int | None = None, record: bool = False) -> None:
        n = map_.players_max if slots is None else slots
        self.map = map_
        self.steps = 0
        self.x, self.y = np.zeros(n), np.zeros(n)
        self.angle, self.cannon, self.radius = np.zeros(n), np.zeros(n), np.zeros(n)
        self.life: Ints = np.zeros(n, np.int64)
        self.log: list[tuple[Any, ...]] | None = [] if record else None
        self._tanks: list[Tank | None] = [None] * n
        self._free = list(range(n))[::-1]
        self._shells = 0
        self._sx, self._sy = np.zeros(SHELLS), np.zeros(SHELLS)
        self._vx, self._vy = np.zeros(SHELLS), np.zeros(SHELLS)
        self._owner: Ints = np.zeros(SHELLS, np.int64)
        self._damage: Ints = np.zeros(SHELLS, np.int64)

    # ------------------------------------------------------------ tanks
    @property
    def flying(self) -> int:
        """How many shells there are."""
        return self._shells

    def join(self, kind: str, chance: float) -> int:
        """A new tank; its slot. chance: 0…1, where it begins when several places are as good."""
        self._record("join", kind, chance)
        slot = self._free.pop()
        self._tanks[slot] = tank = TANKS[kind]
        self.x[slot], self.y[slot], self.angle[slot] = self._spawn(chance)
        self.cannon[slot] = 0.0
        self.radius[slot], self.life[slot] = tank.radius, tank.life
        return slot

    def leave(self, slot: int) -> None:
        """A tank is gone; its shells fly on."""
        self._record("leave", slot)
        self._tanks[slot] = None
        self.life[slot] = 0
        self._owner[: self._shells][self._owner[: self._shells] == slot] = -1
        self._free.append(slot)

    def _spawn(self, chance: float) -> Floats:
        """Far from everybody."""
        spawns = self.map.spawns
        alive = self.life > 0
        if not alive.any():
            place: Floats = spawns[int(chance * len(spawns)) % len(spawns)]
            return place
        dx = spawns[:, None, 0] - self.x[alive]
        dy = spawns[:, None, 1] - self.y[alive]
        nearest = np.min(dx * dx + dy * dy, axis=1)
        best = np.argsort(-nearest, kind="stable")[:4]
        chosen: Floats = spawns[best[int(chance * len(best)) % len(best)]]
        return chosen

    def move(self, slot: int, forward: float, hull: float, cannon: float, shots: int) -> float:
        """A player acts: turn, drive, aim, fire. Returns how far it could drive."""
        self._record("move", slot, forward, hull, cannon, shots)
        tank = self._tanks[slot]
        if tank is None or self.life[slot] <= 0:
            return 0.0
        angle = (float(self.angle[slot]) + hull) % 360
        self.angle[slot] = angle
        self.cannon[slot] = (self.cannon[slot] + cannon) % 360
        if forward:
            x, y = float(self.x[slot]), float(self.y[slot])
            self.x[slot], self.y[slot], forward = drive(self.map, tank, x, y, angle, forward)
        for _ in range(shots):
            self._fire(slot, tank)
        return forward

    # ------------------------------------------------------------ shells
    def _fire(self, slot: int, tank: Tank) -> None:
        n = self._shells
        if n == len(self._sx):
            for name in ("_sx", "_sy", "_vx", "_vy", "_owner", "_damage"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        aim = np.radians(self.angle[slot] + self.cannon[slot])
        self._sx[n], self._sy[n] = self.x[slot], self.y[slot]
        self._vx[n] = tank.shell_speed * np.cos(aim) * STEP_S
        self._vy[n] = tank.shell_speed * np.sin(aim) * STEP_S
        self._owner[n], self._damage[n] = slot, tank.damage
        self._shells = n + 1

    def step(self) -> list[Hit]:
        """1/30 s goes by: shells fly until a wall, the edge or a tank that is not their own."""
        self.steps += 1
        n = self._shells
        if n == 0:
            return []
        sx, sy, vx, vy = self._sx[:n], self._sy[:n], self._vx[:n], self._vy[:n]
        reach = self._free_way(sx, sy, vx, vy)
        hits, struck = self._strike(sx, sy, vx, vy, reach)
        stay = ~struck & (reach >= 1)
        left = int(np.count_nonzero(stay))
        sx += vx
        sy += vy
        for array in (self._sx, self._sy, self._vx, self._vy, self._owner, self._damage):
            array[:left] = array[:n][stay]
        self._shells = left
        return hits

    def _free_way(self, sx: Floats, sy: Floats, vx: Floats, vy: Floats) -> Floats:
        """float64 (shells,): the part of this step before a wall; 1 when there is none."""
        longest = float(np.max(np.hypot(vx, vy)))
        count = max(int(np.ceil(longest / (CELL / 4))), 1)
        parts = np.arange(1, count + 1) / count
        columns = np.floor((sx[:, None] + vx[:, None] * parts) / CELL).astype(np.int64)
        rows = np.floor((sy[:, None] + vy[:, None] * parts) / CELL).astype(np.int64)
        height, width = self.map.mask.shape
        outside = (columns < 0) | (rows < 0) | (columns >= width) | (rows >= height)
        wall = self.map.mask[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
        struck = outside | wall
        return np.where(struck.any(1), np.argmax(struck, 1) / count, 1.0)

    def _strike(
        self, sx: Floats, sy: Floats, vx: Floats, vy: Floats, reach: Floats
    ) -> tuple[list[Hit], npt.NDArray[np.bool_]]:
        """Who is hit on the way: (hits in order of slots of shells, which shells have struck)."""
        n = len(sx)
        struck = np.zeros(n, bool)
        targets = np.flatnonzero(self.life > 0)
        if not len(targets):
            return [], struck
        dx, dy = self.x[targets] - sx[:, None], self.y[targets] - sy[:, None]
        length = vx * vx + vy * vy
        along = (dx * vx[:, None] + dy * vy[:, None]) / length[:, None]
        along = np.clip(along, 0.0, reach[:, None])
        near = np.hypot(dx - along * vx[:, None], dy - along * vy[:, None]) <= self.radius[targets]
        near &= targets != self._owner[:n, None]
        hits = []
        for shell in np.flatnonzero(near.any(1)):
            ways = np.where(near[shell], along[shell], np.inf)
            for i in np.argsort(ways, kind="stable"):
                if ways[i] == np.inf:
                    break
                victim = int(targets[i])
                if self.life[victim] > 0:  # an earlier shell may have ended it
                    struck[shell] = True
                    life = max(int(self.life[victim] - self._damage[shell]), 0)
                    self.life[victim] = life
                    hits.append(Hit(victim, int(self._owner[shell]), life))
                    break
        return hits, struck

    # ------------------------------------------------------------ recordings
    def _record(self, what: str, *arguments: Any) -> None:
        if self.log is not None:
            self.log.append((self.steps, what, *arguments))

    def state(self) -> dict[str, Any]:
        """Everything that there is, to compare."""
        n = self._shells
        tanks = np.stack([self.x, self.y, self.angle, self.cannon, self.life.astype(float)])
        shells = np.stack([self._sx[:n], self._sy[:n], self._vx[:n], self._vy[:n]])
        return {"steps": self.steps, "tanks": tanks.tolist(), "shells": shells.tolist()}


def replay(map_: Map, slots: int, log: list[tuple[Any, ...]], steps: int) -> Arena:
    """The arena after these calls and so many steps."""
    arena = Arena(map_, slots)
    for at, what, *arguments in log:
        while arena.steps < at:
            arena.step()
        getattr(arena, what)(*arguments)
    while arena.steps < steps:
        arena.step()
    return arena
