"""Whole match servers with their players, faults and clock, each run from one seed.

Players create, join, act, leave, lose connections and watch. The server is killed at any point
between a commit, its messages and their acknowledgement, and started again. Messages between the
roles are repeated, reordered, delayed and lost; the store is slow and fails, and so does the
journal's disk. Afterwards: what two players saw of a match is the
same; `seq` has no gaps, also across restarts; nothing that anybody saw is gone; every result is
counted once and is the one that its player saw; every match is closed.

`POLYPAINT_SEEDS=20000` runs more; a seed that fails prints itself; `POLYPAINT_SEED=123` runs one.
"""

import asyncio
import os
import random
from collections import defaultdict
from functools import partial
from typing import Any

import orjson
import pytest

from polypaint.bus.local import LocalBus
from polypaint.engine.context import Context
from polypaint.errors import StoreError, StoreFull

from .world import MemoryJournal, MemoryStore, Talker, World

SEEDS = int(os.environ.get("POLYPAINT_SEEDS", "2000")) // 4
ONE = os.environ.get("POLYPAINT_SEED")
PARTS = 10
NAMES = ["ada", "bob", "cyd", "dan"]
OVER = ("terminee", "code_inconnu")


class Killed(BaseException):
    """kill -9."""


class UnreliableBus(LocalBus):
    """A bus that repeats, reorders, delays and sometimes loses what it carries."""

    def __init__(self, context: Context, rng: random.Random) -> None:
        super().__init__(context)
        self._context = context
        self._rng = rng
        self.reliable = False

    def _hand_over(self, role: str, message: dict[str, Any]) -> None:
        if self.reliable:
            super()._hand_over(role, message)
            return
        for _ in range(self._rng.choice((0, 1, 1, 1, 2, 3))):
            copy = orjson.loads(orjson.dumps(message))
            late = self._rng.choice((0.0, 0.0, 0.1, 2.0))
            self._context.timers.at(self._now + late, partial(self._roles[role], copy))


class Player:
    """Somebody who plays, and checks what they are told."""

    def __init__(self, simulation: "Simulation", name: str) -> None:
        self.simulation = simulation
        self.name = name
        self.talker: Talker | None = None
        self.code = ""
        self.seq: int | None = None
        self.playing = False

    def listen(self) -> None:
        if self.talker is None:
            return
        messages, self.talker.messages = self.talker.messages, []
        for message in messages:
            self._hear(message)
        if self.talker.closed:
            self.talker = None

    def _hear(self, message: dict[str, Any]) -> None:
        simulation = self.simulation
        if message.get("reponse") == "infos":
            infos = message["infos_partie"]
            self.code = infos["code_partie"]
            self.playing = infos["etat"] == "EN_COURS"
            assert infos["seq"] >= simulation.last[self.code], "an update that was seen is gone"
            if self.seq is not None:
                assert infos["seq"] == self.seq
            self.seq = infos["seq"]
            simulation.last[self.code] = infos["seq"]
        elif message.get("reponse") == "update":
            seq = message["seq"]
            assert seq == (self.seq or 0) + 1, "a gap"
            self.seq = seq
            told = orjson.dumps(message["update_partie"])
            assert simulation.told.setdefault((self.code, seq), told) == told
            simulation.last[self.code] = max(simulation.last[self.code], seq)
            if "statut" in message:
                key = (self.code, self.name)
                assert simulation.seen.setdefault(key, message["statut"]) == message["statut"]
                self.playing = False
        elif message.get("reponse") == "code":
            simulation.codes.append(message["code_partie"])
        elif message.get("reponse") == "deconnecte" or message.get("erreur") in OVER:
            self.code, self.seq = "", None

    # ------------------------------------------------------------ what they do
    def do(self, rng: random.Random) -> None:
        if self.talker is None:
            self.seq = None
            self.talker = Talker(self.simulation.world, self.simulation.world.matches)
        if not self.code or self.seq is None:
            self._come(rng)
        elif rng.random() < 0.06:
            self.talker.disconnect()
        elif rng.random() < 0.03:
            self._send("deconnexion", id_publique=self.name, id_privee="pw")
        else:
            column = rng.choice((0, 1, 2, 3, 4, 5, 6, 7))
            self._send("action", id_publique=self.name, action={"colonne": column})

    def _come(self, rng: random.Random) -> None:
        if self.code:
            self._enter(self.code)
        elif rng.random() < 0.4 or not self.simulation.codes:
            rid = rng.choice((None, 1, 2, 3))
            given = {"jeu": "puissance4"}
            self._send("creer", id_publique=self.name, parametres=given, rid=rid)
        else:
            self._enter(rng.choice(self.simulation.codes[-4:]))

    def _enter(self, code: str) -> None:
        self._send("connexion", id_publique=self.name, id_privee="pw", code_partie=code)

    def _send(self, request: str, **fields: Any) -> None:
        assert self.talker is not None
        self.talker.send(requete=request, **fields)


class Simulation:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.store, self.journal = MemoryStore(), MemoryJournal()
        self.store.disturb, self.journal.disturb = self.take_time, self.disturb_journal
        self.disk: Exception | None = None
        """What the journal's disk says."""
        self.players = [Player(self, name) for name in NAMES]
        self.codes: list[str] = []
        self.told: dict[tuple[str, int], bytes] = {}
        self.last: defaultdict[str, int] = defaultdict(int)
        self.seen: dict[tuple[str, str], str] = {}
        self.kills = 0
        self.starts = 0
        self.now = 0.0
        self.start()

    def start(self) -> None:
        self.starts += 1
        self.store.broken = False
        self.disk = None
        self.world = World(
            self.store,
            self.journal,
            self.now,
            make_bus=lambda context: UnreliableBus(context, self.rng),
            seed=1000 * self.seed + self.starts,
        )
        self.world.at = self.maybe_die

    async def take_time(self, _question: str) -> None:
        """The store is slow now and then."""
        late = self.rng.choice((0.0, 0.0, 0.0, 0.01, 0.3))
        if late:
            await asyncio.sleep(late)

    def disturb_journal(self) -> None:
        """The disk is full, or fails."""
        if self.disk is not None:
            raise self.disk

    def change_disk(self) -> None:
        """It fails for a few steps now and then; a server that starts then could not."""
        if self.disk is not None:
            self.disk = None if self.rng.random() < 0.3 else self.disk
        elif self.rng.random() < 0.02:
            self.disk = self.rng.choice((StoreFull("full"), StoreError("broken")))
            self.journal.reserve = self.rng.random() < 0.5

    def maybe_die(self, _point: str) -> None:
        if self.rng.random() < 0.003:
            raise Killed

    def restart(self) -> None:
        self.kills += 1
        self.now = self.world.now + self.rng.choice((0.0, 5.0, 100.0))
        for player in self.players:
            player.listen()  # what had been sent arrives
            player.talker, player.seq = None, None
        self.start()

    def step(self) -> None:
        rng = self.rng
        self.store.broken = rng.random() < 0.05
        self.change_disk()
        try:
            if rng.random() < 0.3:
                self.world.advance(rng.choice((0.01, 0.5, 3.0, 3.0, 20.0, 61.0)))
            else:
                rng.choice(self.players).do(rng)
        except Killed:
            self.restart()
        for player in self.players:
            player.listen()

    def run(self) -> None:
        for _ in range(self.rng.randrange(20, 300)):
            self.step()
        self.end()
        self.check()

    def end(self) -> None:
        """Everybody goes home, nothing fails any more: all that was begun comes to its end."""
        self.store.broken = False
        self.disk = None
        self.world.at = lambda _point: None
        self.world.bus.reliable = True  # type: ignore[attr-defined]
        for player in self.players:
            if player.talker is not None:
                player.talker.disconnect()
        self.world.advance(2000)
        for player in self.players:
            player.listen()

    def check(self) -> None:
        world = self.world
        assert world.matches.table.matches == {}
        kinds = {kind for kind, _ in world.documents}
        assert kinds <= {"partie"}
        states = {code: p["etat"] for code, p in world.matches.manager.parties.items()}
        assert set(states.values()) <= {"FERMEE", "EXPIREE"}
        results = defaultdict(dict)
        for (code, player), statut in self.store.counted.items():
            results[code][player] = statut
        closed = {code for code, state in states.items() if state == "FERMEE"}
        assert set(results) == closed, "every finished match is closed, and no other"
        for own in results.values():
            assert sorted(own.values()) in (["defaite", "victoire"], ["nul", "nul"])
        for (code, player), statut in self.seen.items():
            assert results[code][player] == statut, "what a player saw is what counts"
        assert self.store.conflicting == []
        assert world.troubles == []


def simulate(seed: int) -> Simulation:
    simulation = Simulation(seed)
    try:
        simulation.run()
        simulation.world.kill()
    except BaseException as error:
        error.add_note(f"POLYPAINT_SEED={seed}")
        raise
    return simulation


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("part", range(PARTS))
def test_results_count_exactly_once_whatever_happens(part):
    seeds = [int(ONE)] if ONE else range(part, SEEDS, PARTS)
    runs = [simulate(seed) for seed in seeds]
    if not ONE:
        assert sum(run.kills for run in runs) > len(runs) / 2
        assert sum(len(run.store.counted) for run in runs) > len(runs)
