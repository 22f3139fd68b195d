"""What matches ask of the world, carried out: results that count, rankings, entries of the log.

Counterparts: `matches/effects.py` declares the effects; `runtime/effect_runner.py` runs this.
"""

import structlog

from polypaint.engine.service import Carriers
from polypaint.matches.effects import CountResult, ReadRanking, ReadRecord, Trouble
from polypaint.runtime.effect_runner import Outside
from polypaint.store import Store

log = structlog.get_logger()


class ResultEffects:
    """See the module."""

    def __init__(self, store: Store, outside: Outside) -> None:
        self._store = store
        self._outside = outside

    def carriers(self) -> Carriers:
        """What carries out which effect."""
        return (
            Carriers()
            .register(CountResult, self._count)
            .register(ReadRecord, self._read_record)
            .register(ReadRanking, self._read_ranking)
            .register(Trouble, self._trouble)
        )

    async def _count(self, effect: CountResult) -> None:
        await self._outside.answer(effect, self._counted(effect), effect.then)

    async def _counted(self, effect: CountResult) -> tuple[str, set[str]]:
        outcome, players = await self._store.count(
            effect.code, effect.player, effect.statut, self._outside.utc()
        )
        return outcome.value, players

    async def _read_record(self, effect: ReadRecord) -> None:
        await self._outside.answer(effect, self._store.record(effect.player), effect.then)

    async def _read_ranking(self, effect: ReadRanking) -> None:
        await self._outside.answer(effect, self._store.ranking(effect.limit), effect.then)

    def _trouble(self, effect: Trouble) -> None:
        log.error(effect.what, **effect.details)
