"""A tank driver: an honest client that drives, aims, fires and says a word now and then.

    await play(client, "prairie")

It never does more than its tank can in the time since its last message.
"""

import asyncio
import contextlib
import math
import random
from typing import Final

from polypaint.client.tanks import Field, Pose, TankClient, TankRefused, moved, turn
from polypaint.errors import ConnectionClosed
from polypaint.tanks.vehicles import TANKS, Tank

EVERY_S: Final = 0.1
CLOSE: Final = 180.0
"""Units; nearer than this it keeps its distance."""
AIMED: Final = 4.0
"""Degrees off that are near enough to fire."""
GREETINGS: Final = ("bonjour !", "salut", "hello", "gl hf")


class Driver:
    """Decides what a tank does next."""

    def __init__(self, tank: Tank, rng: random.Random) -> None:
        self.tank = tank
        self._rng = rng
        self._loaded_s = tank.reload_s
        self._dodge = 1.0
        self._blocked = 0

    def next(self, field: Field, span_s: float) -> tuple[float, float, float, int]:
        """(forward, hull, cannon, fire) for so many seconds."""
        me = field.me
        assert me is not None
        self._loaded_s += span_s
        target = self._target(field, me)
        if self._rng.random() < 0.02:
            self._dodge = -self._dodge
        if target is None:
            hull = self._limited(self._dodge * 20, self.tank.turn, span_s)
            return self._ahead(field, me, hull, 0.5, span_s), hull, 0.0, 0
        dx, dy = target.x - me.x, target.y - me.y
        bearing = math.degrees(math.atan2(dy, dx))
        far = math.hypot(dx, dy)
        wanted = bearing if far > CLOSE else bearing + 80 * self._dodge
        if self._blocked:
            self._blocked -= 1
            wanted = me.angle + 90 * self._dodge
        hull = self._limited(turn(me.angle, wanted), self.tank.turn, span_s)
        aim = turn(me.angle + hull + me.cannon, bearing)
        cannon = self._limited(aim, self.tank.turret, span_s)
        off = abs(aim - cannon)
        fire = int(off < AIMED and self._loaded_s >= self.tank.reload_s)
        if fire:
            self._loaded_s = 0.0
        return self._ahead(field, me, hull, 0.9, span_s), hull, cannon, fire

    def _target(self, field: Field, me: Pose) -> Pose | None:
        """The nearest who is alive."""
        others = [v.pose for n, v in field.vehicles.items() if n != field.name and v.life > 0]
        return min(others, key=lambda p: math.hypot(p.x - me.x, p.y - me.y), default=None)

    def _limited(self, wanted: float, rate: float, span_s: float) -> float:
        most = 0.95 * rate * span_s
        return max(-most, min(most, wanted))

    def _ahead(self, field: Field, me: Pose, hull: float, pace: float, span_s: float) -> float:
        """Forward, and another way when a wall is there."""
        forward = pace * self.tank.speed * span_s
        after = moved(field.map, self.tank.name, me, forward, hull, 0)
        if math.hypot(after.x - me.x, after.y - me.y) < 0.5 * forward:
            self._blocked = 8
        return forward


async def play(
    client: TankClient,
    map_: str,
    battles: int | None = None,
    rng: random.Random | None = None,
    every_s: float = EVERY_S,
) -> None:
    """Fight on a map, again and again; battles: how often, None: until the connection closes."""
    rng = rng or random.Random()
    while battles != 0 and not client.closed:
        try:
            field = await client.enter(map_)
            if rng.random() < 0.3:
                with contextlib.suppress(TankRefused):
                    await client.say(rng.choice(GREETINGS))
            await _fight(client, field, rng, every_s)
            battles = None if battles is None else battles - 1
        except (TankRefused, ConnectionClosed):
            await asyncio.sleep(0.5)


async def _fight(client: TankClient, field: Field, rng: random.Random, every_s: float) -> None:
    while field.me is None and field.ended is None:
        await client.changed()
    own = field.own
    driver = Driver(TANKS[own.kind if own is not None else "leger"], rng)
    last = client.now()
    while True:
        await asyncio.sleep(every_s * rng.uniform(0.9, 1.1))
        now = client.now()
        if field.over:
            return
        if not field.dead:
            client.drive(*driver.next(field, min(now - last, 1.0)))
        last = now
