"""Work on canvases: at once if it is little, else off the event loop, one at a time for a lobby.

While a canvas is worked on elsewhere its lobby is busy, and only this lobby: calls that need the
canvas and members who draw wait, and go on in order when it is back.

Must never compute off the loop itself. Counterparts: `effects.Work` is what leaves;
`runtime/effect_runner.py` has the threads, and `work_queue.py` their order.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from polypaint.engine.context import Context
from polypaint.engine.effects import Unexpected
from polypaint.errors import Refused, StoreError
from polypaint.paint.effects import Work
from polypaint.paint.lobby import Lobby

HEAVY: Final = 1_000_000
"""Work on a canvas that takes more nanoseconds is done off the event loop."""


class CanvasQueue:
    """The way to every canvas of a server.

    heavy: HEAVY; tests have more or less done off the loop.
    """

    def __init__(self, context: Context) -> None:
        self.heavy = HEAVY
        self._context = context

    def work(
        self,
        lobby: Lobby,
        cost: int,
        work: Callable[[], Any],
        then: Callable[[Any, float], None],
        failed: Callable[[float], None],
        now: float,
    ) -> None:
        """Have `then(work(), now)`: at once if it costs little, else off the loop.

        The canvas must be free (`Lobby.when_free`). What `work` raises, if it is Refused or a
        StoreError, is handed to `then`; anything else that it or `then` raises is an error of
        ours: it is reported, and `failed(now)` is called.
        """
        if cost > self.heavy:
            lobby.begin_work()
            done = partial(_done, then, failed)
            freed = partial(self._free, lobby, failed)
            self._context.effects.append(Work(lobby, work, done, freed, cost))
            return
        self._context.flush_set.spent += cost
        try:
            then(attempted(work), now)
        except Exception as error:
            self._context.effects.append(Unexpected("work on a drawing", error))
            failed(now)

    def worked(self, effect: Work, outcome: Any, now: float) -> None:
        """The work is done; what has waited for it goes on, in order."""
        self._free(effect.lobby, partial(effect.then, outcome), now)

    def _free(self, lobby: Lobby, call: Callable[[float], None], now: float) -> None:
        """The canvas may be touched again: make this call, then those that have waited."""
        lobby.end_work(call)
        while (next_call := lobby.next_deferred()) is not None:
            self._context.contain("work on a drawing", next_call, now)
        while (member := lobby.next_waiter(now)) is not None:
            member.resume(now)

    def read(self, lobby: Lobby, then: Callable[[Any, float], None], now: float) -> None:
        """Have `then(dump, now)` called with the drawing as it is, see `Canvas.dump`.

        dump: None when the drawing is only in the store.
        """
        lobby.when_free(partial(self._read, lobby, then), now)

    def _read(self, lobby: Lobby, then: Callable[[Any, float], None], now: float) -> None:
        canvas = lobby.canvas
        if canvas is None:
            then(None, now)
        else:
            self.work(lobby, canvas.size_cost, canvas.dump, then, partial(then, None), now)


def _done(
    then: Callable[[Any, float], None],
    failed: Callable[[float], None],
    outcome: Any,
    now: float,
) -> None:
    try:
        then(outcome, now)
    except Exception:
        failed(now)
        raise


def attempted(work: Callable[[], Any]) -> Any:
    """What the work returns, or the Refused or StoreError that it raises."""
    try:
        return work()
    except (Refused, StoreError) as error:
        return error
