"""Drawings between memory and the store: loaded for who enters, stored, forgotten.

A checkpoint is the canvas at a sequence number. It is taken when the last one leaves, and when the
log since the last one is long; then the journal may forget what no drawing needs any more.

Must never do I/O: the store is asked through `effects`. Counterparts: `lobby.py` says what is not
stored yet, `directory.py` what the journal has to keep for it.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from polypaint.engine.context import Context
from polypaint.engine.effects import DrawingProblem
from polypaint.errors import StoreError
from polypaint.paint.canvas_queue import CanvasQueue
from polypaint.paint.directory import Directory
from polypaint.paint.effects import LoadCanvas, RemoveCanvas, SaveCanvas
from polypaint.paint.lobby import AnyCanvas, Lobby, empty_canvas
from polypaint.paint.replays import Replays

SAVE_AGAIN_S: Final = 5.0
LOADS_MAX: Final = 4
"""Drawings that are loaded at the same time."""

Dump: TypeAlias = tuple[dict[str, Any], list[bytes]]
"""A drawing as `Canvas.dump` gives it: JSON-able values, and blobs."""


class Checkpoints:
    """Keeps memory and store together. stored: called when the store has kept a drawing."""

    def __init__(
        self,
        context: Context,
        directory: Directory,
        queue: CanvasQueue,
        replays: Replays,
        stored: Callable[[Lobby, float], None],
    ) -> None:
        self._context = context
        self._directory = directory
        self._queue = queue
        self._replays = replays
        self._stored = stored
        self._loading: dict[Lobby, list[Callable[[float], None]]] = {}
        self._loads = 0
        self._to_load: deque[Lobby] = deque()
        self._removing: set[Lobby] = set()

    # ------------------------------------------------------------ loading
    def load(self, lobby: Lobby, then: Callable[[float], None]) -> None:
        """Have the canvas brought; `then(now)` when it is there, or cannot be had."""
        if lobby not in self._loading:
            self._loading[lobby] = []
            self._to_load.append(lobby)
            self._load_next()
        self._loading[lobby].append(then)

    def _load_next(self) -> None:
        """How large a drawing is, is known when it is there: so few are loaded at a time."""
        while self._to_load and self._loads < LOADS_MAX:
            self._loads += 1
            lobby = self._to_load.popleft()
            failed = partial(self.loaded, lobby, dump=None)
            self._context.effects.append(LoadCanvas(lobby, failed))

    def loaded(self, lobby: Lobby, now: float, dump: Dump | None) -> None:
        """The store has brought a drawing; None: it could not."""
        if dump is None:
            self._in_memory(lobby, None, now)
            return
        canvas = empty_canvas(lobby.info.drawing_mode)
        self._queue.work(
            lobby,
            canvas.load_cost(dump[1]),
            partial(canvas.load, *dump),
            partial(self._decoded, lobby, canvas),
            partial(self._in_memory, lobby, None),
            now,
        )

    def _decoded(self, lobby: Lobby, canvas: AnyCanvas, outcome: Any, now: float) -> None:
        if isinstance(outcome, StoreError):
            self._context.effects.append(
                DrawingProblem("a stored drawing is damaged", lobby.info.filename, outcome)
            )
            self._in_memory(lobby, None, now)
        else:
            self._in_memory(lobby, canvas, now)

    def _in_memory(self, lobby: Lobby, canvas: AnyCanvas | None, now: float) -> None:
        """A drawing is in memory; None: it is not to be had. Who has waited for it goes on."""
        if lobby not in self._loading:
            return
        if canvas is not None:
            lobby.load(canvas)
        self._loads -= 1
        self._load_next()
        for waiter in self._loading.pop(lobby):
            self._context.contain("a drawing was waited for", waiter, now)
        if lobby.canvas is not None and not lobby.members:
            self.emptied(lobby, now)

    # ------------------------------------------------------------ storing
    def save(self, lobby: Lobby, now: float) -> None:
        """Have the store keep the drawing as it is now."""
        if not lobby.begin_saving():
            return
        if lobby.canvas is None:
            self._save(lobby, lobby.seq, self._context.log.batch, ({}, []), now)
        else:
            lobby.when_free(partial(self._dump, lobby), now)

    def _dump(self, lobby: Lobby, now: float) -> None:
        canvas = lobby.loaded
        lobby.dumped()
        then = partial(self._save, lobby, lobby.seq, self._context.log.batch)
        failed = partial(self._not_saved, lobby)
        self._queue.work(lobby, canvas.size_cost, canvas.dump, then, failed, now)

    def _save(self, lobby: Lobby, seq: int, batch: int, dump: Dump, _now: float) -> None:
        failed = partial(self._not_saved, lobby)
        self._context.effects.append(SaveCanvas(lobby, lobby.info, seq, batch, *dump, failed))

    def _not_saved(self, lobby: Lobby, now: float) -> None:
        """The drawing was not kept; the journal has what is not stored. It is tried again."""
        lobby.end_saving()
        if lobby.removed:
            self._forget(lobby, now)
        else:
            self._context.timers.at(now + SAVE_AGAIN_S, partial(self.save, lobby))

    def saved(self, effect: SaveCanvas, ok: bool, now: float) -> None:
        """The store has kept a drawing, or could not; then it is tried again."""
        lobby = effect.lobby
        if not ok or lobby.removed:
            self._not_saved(lobby, now)
            return
        lobby.end_saving()
        lobby.saved(effect.seq, effect.batch)
        self._stored(lobby, now)
        if not lobby.members:
            self.emptied(lobby, now)

    def emptied(self, lobby: Lobby, now: float) -> None:
        """Nobody is in it: store it, then forget its canvas."""
        if lobby.frozen_packets or lobby in self._loading or lobby.busy or lobby.deferred:
            return
        if lobby.seq != lobby.saved_seq:
            self.save(lobby, now)
        elif not lobby.saving and lobby.canvas is not None:
            self._unload(lobby, now)

    def _unload(self, lobby: Lobby, now: float) -> None:
        """Forget a canvas: the store has it."""
        canvas = lobby.loaded
        self._replays.forget(lobby)
        lobby.unload()
        done, failed = _ignore, partial(_ignore, None)
        self._queue.work(lobby, canvas.free_cost, canvas.free, done, failed, now)

    # ------------------------------------------------------------ forgetting
    def forget(self, lobby: Lobby, now: float) -> None:
        """Have the store forget a drawing whose log has ended."""
        self._removing.add(lobby)
        if not lobby.saving:
            self._forget(lobby, now)

    def _forget(self, lobby: Lobby, _now: float) -> None:
        failed = partial(self.forgotten, lobby, False)
        self._context.effects.append(RemoveCanvas(lobby, failed))

    def forgotten(self, lobby: Lobby, ok: bool, now: float) -> None:
        """The store has forgotten a drawing, or could not; then it is tried again."""
        if ok:
            self._removing.discard(lobby)
            lobby.need_journal(None)
        else:
            self._context.timers.at(now + SAVE_AGAIN_S, partial(self._forget, lobby))

    # ------------------------------------------------------------ the journal
    @property
    def journal_from(self) -> int:
        """The first batch of the journal that is still needed."""
        first = self._directory.unsaved.first()
        if first is None or first.unsaved_from is None:
            return self._context.log.batch
        return first.unsaved_from

    def checkpoint_oldest(self, now: float) -> None:
        """Have the drawing stored that keeps the journal from being forgotten."""
        oldest = self._directory.unsaved.first()
        if oldest is not None:
            self.save(oldest, now)


def _ignore(_outcome: Any, _now: float) -> None:
    """Nothing is to be done when this work is."""
