"""One run of a map: who fights, what a hit is worth, who wins.

WAITING, until two tanks are there; RUNNING, until one is left or time is up; CLOSING; DISPOSED.
What a player is shown of their xp and coins is in the same commit as the entry that made it.

A fight counts for its players only if there was somebody to fight: others who shot or were shot,
or were on the map for PLAYED_S of it. Otherwise a second account that comes and goes would make
victories.

Counterparts: `arena.py` moves tanks and shells; `service.py` opens the map again.
Protocol: docs/tanks.md, sections 3 and 4.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from polypaint._codec import Broadcast
from polypaint.engine.context import Context
from polypaint.engine.session import line
from polypaint.tanks.arena import STEP_S, Arena, Hit
from polypaint.tanks.economy import Economy, Profile
from polypaint.tanks.maps import Map
from polypaint.tanks.vehicles import TANKS, Budget
from polypaint.tanks.viewer import Viewer, ViewerKey

if TYPE_CHECKING:
    from polypaint.engine.timers import Timer

TIME_S: Final = 300.0
BEHIND_MAX: Final = 15
"""Steps that are made up for when the server was busy; the rest of the time stood still."""
KILL_XP, KILL_COIN = 20, 25
LOSS_XP: Final = 10
WIN_XP, WIN_COIN = 50, 100
TIE_XP, TIE_COIN = 20, 40
STAYED_XP: Final = 5
PLAYED_S: Final = 10.0
"""Seconds of the fight after which somebody has taken part in it, shot or not."""
SPECTATORS_MAX: Final = 200
WAITING, RUNNING, CLOSING, DISPOSED = "WAITING", "RUNNING", "CLOSING", "DISPOSED"


class Fighter:
    """A player in a battle. rid: of the request with which they came, for `crid` at its end."""

    def __init__(self, viewer: Viewer, profile: Profile, kind: str, rid: Any, now: float) -> None:
        self.name = profile.name
        self.viewer: Viewer | None = viewer
        """Their connection, while they are on the map."""
        self.profile = profile
        self.kind = kind
        self.rid = rid
        self.slot = -1
        self.budget = Budget(TANKS[kind], now)
        self.kills = 0
        self.fell = -1
        """The step at which they died or left; −1: they fight."""
        self.came_at = now
        self.fell_at = 0.0
        self.shot = False


class Battle:
    """See the module. run: its name in the ledger and in results. over: called at its end."""

    def __init__(
        self,
        context: Context,
        economy: Economy,
        map_: Map,
        run: str,
        chance: Callable[[], float],
        over: "Callable[[Battle, dict[str, str], float], None]",
    ) -> None:
        self.map = map_
        self.run = run
        self.state = WAITING
        self.arena = Arena(map_)
        self.fighters: dict[str, Fighter] = {}
        self.spectators: dict[ViewerKey, tuple[Viewer, Any]] = {}
        """Who watches, and the rid of the request with which they came."""
        self.broadcast = Broadcast(context.flush_set)
        self._context = context
        self._economy = economy
        self._chance = chance
        self._over = over
        self.alive = 0
        """How many fight."""
        self._began_at = 0.0
        self._slots: dict[int, Fighter] = {}
        self._next_step = 0.0
        self._stepper: Timer | None = None
        self._limit: Timer | None = None

    # ------------------------------------------------------------ who is there
    def fighting(self) -> list[Fighter]:
        """Who fights."""
        return [f for f in self._slots.values() if f.fell < 0]

    def refusal(self, name: str) -> str:
        """Why this player cannot enter, or an empty string."""
        fighter = self.fighters.get(name)
        if self.state in (CLOSING, DISPOSED):
            return "closed"
        if fighter is not None:
            return "dead"  # or has left this battle, which is the same to it
        return "full" if len(self._slots) >= self.map.players_max else ""

    def enter(self, viewer: Viewer, profile: Profile, kind: str, rid: Any, now: float) -> None:
        """A tank more."""
        fighter = Fighter(viewer, profile, kind, rid, now)
        others = self.infos()
        fighter.slot = self.arena.join(kind, self._chance())
        self._economy.hold(profile)
        self.fighters[profile.name] = self._slots[fighter.slot] = fighter
        self.alive += 1
        viewer.entered(self, fighter, self.welcome(others, rid))
        self.tell({"player": profile.name, "playerinfo": self.info(fighter)})
        if self.state == WAITING and self.alive >= 2:
            self.state = RUNNING
            self._began_at = now
            self._limit = self._context.writing_at(now + TIME_S, self._time_is_up)

    def watch(self, viewer: Viewer, rid: Any) -> bool:
        """Show the map to somebody without a tank; False when there are too many."""
        if len(self.spectators) >= SPECTATORS_MAX:
            return False
        self.spectators[viewer.key] = viewer, rid
        viewer.entered(self, None, self.welcome(self.infos(), rid))
        return True

    def welcome(self, others: dict[str, Any], rid: Any) -> dict[str, Any]:
        """#5."""
        name = self.map.name
        return {
            "reponse": "yes",
            "crid": rid,
            "mapinfo": {
                "mapsize": list(self.map.size),
                "mapimage": f"/maps/{name}.png",
                "maprealimg": f"/maps/{name}-mask.png",
                "Otherplayerinfo": others,
            },
        }

    def infos(self) -> dict[str, Any]:
        """`Otherplayerinfo`: all whose tanks are on the map."""
        return {f.name: self.info(f) for f in self._slots.values()}

    def info(self, fighter: Fighter) -> dict[str, Any]:
        """`playerinfo`."""
        arena, slot = self.arena, fighter.slot
        return {
            "x": round(float(arena.x[slot]), 3),
            "y": round(float(arena.y[slot]), 3),
            "angle": round(float(arena.angle[slot]), 3),
            "cannon": round(float(arena.cannon[slot]), 3),
            "life": int(arena.life[slot]),
            "tank": fighter.kind,
            "xp": fighter.profile.xp,
            "coin": fighter.profile.coin,
        }

    def tell(self, message: dict[str, Any]) -> None:
        """To all clients on the map."""
        self.broadcast.publish(line(message))

    def leave(self, viewer: Viewer, told: dict[str, Any] | None, now: float) -> None:
        """Somebody leaves the map; told: what all on it hear if they had a tank, they too."""
        fighter = self._fighter(viewer)
        if told is not None and fighter is not None:
            self.tell(told)
        self.spectators.pop(viewer.key, None)
        viewer.left()
        if fighter is not None:
            fighter.viewer = None
            self._fall(fighter, now)
            if self.state == WAITING:
                del self.fighters[fighter.name]
                self._economy.release(fighter.profile)
            self._maybe_over(now)

    def _fighter(self, viewer: Viewer) -> Fighter | None:
        """Whose tank this viewer drives; None: a spectator."""
        fighter = self.fighters.get(viewer.name)
        here = fighter.viewer if fighter is not None else None
        return fighter if here is not None and here.key == viewer.key else None

    def _fall(self, fighter: Fighter, now: float) -> None:
        """A tank is off the map: its player has left it."""
        self._end_fight(fighter, now)
        if self._slots.pop(fighter.slot, None) is not None:
            self.arena.leave(fighter.slot)

    def _end_fight(self, fighter: Fighter, now: float) -> None:
        """Somebody fights no more."""
        if fighter.fell < 0:
            fighter.fell, fighter.fell_at = self.arena.steps, now
            self.alive -= 1

    # ------------------------------------------------------------ fighting
    def move(
        self,
        fighter: Fighter,
        forward: float,
        hull: float,
        cannon: float,
        shots: int,
        now: float,
    ) -> str:
        """#7. Returns why it is cheating, or an empty string."""
        if fighter.fell >= 0 or self.state not in (WAITING, RUNNING):
            return ""
        if shots < 0:
            return "negative fire"
        wrong = fighter.budget.spend(hull, cannon, forward, shots, now)
        if wrong:
            return wrong
        driven = self.arena.move(fighter.slot, forward, hull, cannon, shots)
        self.tell(
            {
                "player": fighter.name,
                "deplacementavant": driven,
                "rotationtank": hull,
                "rotationcannon": cannon,
                "fire": shots,
            }
        )
        if shots and self._stepper is None:
            self._next_step = now + STEP_S
            self._wait()
        return ""

    def _wait(self) -> None:
        """For the next step; while the disk is full, nobody may die: it could not be kept."""
        self._stop_stepping()
        self._stepper = self._context.writing_at(self._next_step, self._step)

    def _stop_stepping(self) -> None:
        if self._stepper is not None:
            self._stepper.cancel()
            self._stepper = None

    def _step(self, now: float) -> None:
        """Shells fly, for as long as there are any.

        First the next step is waited for, then this one is made: whatever raises ends no battle.
        """
        due = 0
        while due < BEHIND_MAX and self._next_step <= now:
            self._next_step += STEP_S
            due += 1
        if self._next_step <= now:
            self._next_step = now + STEP_S
        self._wait()
        for _ in range(max(due, 1)):
            for hit in self.arena.step():
                self._hit(hit, now)
            if not self.arena.flying:
                break
        if self.state in (WAITING, RUNNING):
            self._maybe_over(now)
        if not self.arena.flying or self.state not in (WAITING, RUNNING):
            self._stop_stepping()

    def _hit(self, hit: Hit, now: float) -> None:
        """#10, and if that was the end of it #11, #12, #12."""
        victim = self._slots[hit.victim]
        self.tell({"player": victim.name, "life": hit.life})
        if hit.life > 0:
            return
        self._end_fight(victim, now)
        victim.shot = True
        event = f"mort:{victim.name}"
        lost, _ = self._economy.enter(self.run, event, victim.profile, -LOSS_XP, 0, now)
        self.tell({"player": victim.name, "dead": 1, "perte xp": -lost})
        self.tell_balance(victim)
        killer = self._slots.get(hit.shooter)
        if killer is not None:
            killer.kills += 1
            self._economy.enter(self.run, event, killer.profile, KILL_XP, KILL_COIN, now)
            self.tell_balance(killer)

    def tell_balance(self, fighter: Fighter) -> None:
        """#12."""
        profile = fighter.profile
        self.tell({"player": profile.name, "xp": profile.xp, "coin": profile.coin})

    # ------------------------------------------------------------ the end
    def _maybe_over(self, now: float) -> None:
        """Is one left, or none?"""
        if self._context.read_only:
            self._context.writing_at(now, self._maybe_over)
        elif self.state == RUNNING and self.alive <= 1:
            self.close("last tank alive", now)

    def _time_is_up(self, now: float) -> None:
        self._limit = None
        if self.state == RUNNING:
            self.close("time is up", now)

    def close(self, reason: str, now: float) -> None:
        """#18, after rewards and results are stored; then everybody is in the lobby.

        Whatever raises on the way: nobody stays on a closed map, and it opens again.
        """
        fought = self.state == RUNNING
        self.state = CLOSING
        message = {"map closed": True, "reason": reason, "winer": None, "playerclassement": []}
        results: dict[str, str] = {}
        try:
            results = self._conclude(message, fought, now)
        finally:
            self._dismiss(message)
            self._dispose()
            self._over(self, results, now)

    def _conclude(self, message: dict[str, Any], fought: bool, now: float) -> dict[str, str]:
        """Reward who fought, and complete what everybody is told. Returns the results."""
        ranks = self._ranks()
        best = [name for name, rank in ranks.items() if rank == 1]
        winner = best[0] if fought and len(best) == 1 else None
        played = self._played(now) if fought else set()
        for name in ranks:
            if played - {name}:
                self._reward(self.fighters[name], winner, best, now)
        message["winer"] = winner
        message["playerclassement"] = [
            {
                "player": name,
                "rank": rank,
                "xp": self.fighters[name].profile.xp,
                "coin": self.fighters[name].profile.coin,
            }
            for name, rank in ranks.items()
        ]
        counted = self._counted(played)
        return {n: _statut(n, winner, best) for n in ranks if n in counted}

    def _dismiss(self, message: dict[str, Any]) -> None:
        """Tell everybody, and send them off the map."""
        present = [(f.viewer, f.rid) for f in self.fighters.values() if f.viewer is not None]
        watching = list(self.spectators.values())
        self.spectators.clear()
        for viewer, rid in [*present, *watching]:
            viewer.left()
            viewer.say(message | {"crid": rid})

    def _played(self, now: float) -> set[str]:
        """Who has taken part in the fight."""
        return {
            f.name
            for f in self.fighters.values()
            if f.shot
            or f.kills
            or (f.fell_at if f.fell >= 0 else now) - max(f.came_at, self._began_at) >= PLAYED_S
        }

    def _counted(self, played: set[str]) -> set[str]:
        """Whose results count: people who took part or stayed, if other people took part."""
        people = {f.name for f in self.fighters.values() if f.profile.kept}
        stayed = {f.name for f in self.fighters.values() if f.viewer is not None}
        opponents = played & people
        return {name for name in people & (played | stayed) if opponents - {name}}

    def _ranks(self) -> dict[str, int]:
        """Everybody's rank, the best first: who fights by kills and life, then who fell last."""

        def strength(fighter: Fighter) -> tuple[int, int, int]:
            if fighter.fell >= 0:
                return 0, fighter.fell, 0
            return 1, fighter.kills, int(self.arena.life[fighter.slot])

        strengths = {f.name: strength(f) for f in self.fighters.values()}
        order = sorted(strengths, key=lambda name: strengths[name], reverse=True)
        ranks: dict[str, int] = {}
        first: dict[tuple[int, int, int], int] = {}
        for place, name in enumerate(order, 1):
            ranks[name] = first.setdefault(strengths[name], place)
        return ranks

    def _reward(self, fighter: Fighter, winner: str | None, best: list[str], now: float) -> None:
        """For who stayed to the end."""
        if fighter.viewer is None:
            return
        xp, coin = STAYED_XP, 0
        if fighter.name == winner:
            xp, coin = WIN_XP, WIN_COIN
        elif fighter.name in best:
            xp, coin = TIE_XP, TIE_COIN
        self._economy.enter(self.run, "fin", fighter.profile, xp, coin, now)
        self.tell_balance(fighter)

    def _dispose(self) -> None:
        self.state = DISPOSED
        for timer in (self._stepper, self._limit):
            if timer is not None:
                timer.cancel()
        self._economy.close(self.run)
        for fighter in self.fighters.values():
            fighter.viewer = None
            self._economy.release(fighter.profile)


def _statut(name: str, winner: str | None, best: list[str]) -> str:
    if winner is None:
        return "nul" if name in best else "defaite"
    return "victoire" if name == winner else "defaite"
