"""Exceptions that nobody expected: where they end, and what is said of them.

Every task, timer, callback and effect runs under one `Supervisor`. An exception that gets here is
a bug: it is logged with its traceback and counted, and whoever waits for the result is told that
there is none. It ends nothing else.

Must never know what is supervised. Counterparts: `effects.Effect.failed` says what a failed effect
leaves behind; `runtime/metrics.py` exports the counts as `polypaint_unexpected_errors_total`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

import structlog

from polypaint.engine.quota import Quota
from polypaint.runtime.ports import Scheduler

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

TRACEBACKS: Final = (1 / 6, 10.0)
"""Of one place: so many tracebacks a second, and so many at once; all are counted."""


class Supervisor:
    """See the module. errors: how many unexpected exceptions there were, by place."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.errors: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shown = Quota(*TRACEBACKS)

    @property
    def under_way(self) -> bool:
        """True while a spawned task has not ended."""
        return bool(self._tasks)

    def report(self, where: str, error: BaseException, **details: object) -> None:
        """Log an unexpected exception with its traceback, and count it."""
        self.errors[where] += 1
        more = self._shown.take(where, time.monotonic())
        if more is not None:
            hidden = {"not_shown": more} if more else {}
            log.error("unexpected error", where=where, **details, **hidden, exc_info=error)

    def call(
        self, where: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """What the call returns; None when it raised."""
        try:
            return function(*args, **kwargs)
        except Exception as error:
            self.report(where, error)
            return None

    def spawn(
        self, where: str, work: Coroutine[Any, Any, None], failed: Callable[[], None]
    ) -> None:
        """Run a task; when it raises, report that, then call `failed`."""
        task = self._scheduler.create_task(self._supervised(where, work, failed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _supervised(
        self, where: str, work: Coroutine[Any, Any, None], failed: Callable[[], None]
    ) -> None:
        try:
            await work
        except Exception as error:
            self.report(where, error)
            self.call(where, failed)

    def loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop's exception handler: what no other place has caught."""
        error = context.get("exception")
        said = str(context.get("message", ""))
        if isinstance(error, BaseException):
            self.report("event loop", error, said=said)
        else:
            self.errors["event loop"] += 1
            log.error("event loop", said=said)
