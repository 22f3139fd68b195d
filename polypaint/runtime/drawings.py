"""What paint asks of the world, carried out: drawings loaded and stored, work on canvases.

Counterparts: `paint/effects.py` declares the effects; `runtime/effect_runner.py` runs this, in
tasks and threads.
"""

import structlog

from polypaint.engine.service import Carriers
from polypaint.errors import StoreError
from polypaint.paint.canvas_queue import attempted
from polypaint.paint.effects import LoadCanvas, RemoveCanvas, SaveCanvas, Work
from polypaint.paint.service import PaintService
from polypaint.paint.work_queue import WorkQueue
from polypaint.runtime.effect_runner import Outside, kept
from polypaint.store import Store, StoredLobby

log = structlog.get_logger()


class DrawingEffects:
    """See the module."""

    def __init__(self, paint: PaintService, store: Store, outside: Outside) -> None:
        self._paint = paint
        self._store = store
        self._outside = outside
        self._waiting = WorkQueue(outside.threads)

    def carriers(self) -> Carriers:
        """What carries out which effect."""
        return (
            Carriers()
            .register(LoadCanvas, self._load)
            .register(SaveCanvas, self._save)
            .register(RemoveCanvas, self._remove)
            .register(Work, self._work)
        )

    async def _load(self, effect: LoadCanvas) -> None:
        lobby, dump = effect.lobby, None
        try:
            dump = await self._store.load(lobby.number)
        except StoreError as error:
            log.error("loading a drawing", drawing=lobby.info.filename, error=str(error))
        self._paint.canvas_loaded(lobby, self._outside.now(), dump)

    async def _save(self, effect: SaveCanvas) -> None:
        stored = StoredLobby(effect.lobby.number, effect.info, effect.seq)
        utc = self._outside.utc()
        ok = await kept(
            "storing a drawing",
            self._store.save(stored, effect.meta, effect.blobs, utc),
            drawing=effect.info.filename,
        )
        self._paint.canvas_saved(effect, ok, self._outside.now())
        self._outside.trim()

    async def _remove(self, effect: RemoveCanvas) -> None:
        lobby = effect.lobby
        ok = await kept(
            "forgetting a drawing", self._store.remove(lobby.number), drawing=lobby.info.filename
        )
        self._paint.canvas_removed(lobby, ok, self._outside.now())
        self._outside.trim()

    def _work(self, effect: Work) -> None:
        self._waiting.add(effect)
        self._begin_work()

    def _begin_work(self) -> None:
        while (effect := self._waiting.next()) is not None:
            self._outside.spawn(effect, self._worked(effect))

    async def _worked(self, effect: Work) -> None:
        try:
            outcome = await self._outside.compute(lambda: attempted(effect.work))
            self._paint.worked(effect, outcome, self._outside.now())
        finally:
            self._waiting.done(effect)
            self._begin_work()
