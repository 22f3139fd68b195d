"""Documents: small JSON objects with a kind and a key, for rooms whose state is not a drawing.

What is put here is journaled with the turn, all of it or nothing, before anybody sees what came of
it; a little later it goes to the store. Recovery brings the store up to date before a room reads.

Must never do I/O. Counterparts: `store.Store.write` keeps them, `runtime/recovery.py` reads the
journal.
"""

from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import orjson

from polypaint.engine.context import Context
from polypaint.engine.effects import Effect, Question
from polypaint.engine.journal_buffer import DOCUMENTS
from polypaint.errors import StoreError

SAVE_S: Final = 1.0
SAVE_AGAIN_S: Final = 5.0

Changes: TypeAlias = dict[tuple[str, str], bytes | None]
"""(kind, key) → the document as JSON; None: it is no more."""


class SaveDocuments(Effect):
    """Comes back as `book.saved`."""

    def __init__(self, book: "DocumentBuffer", changes: Changes) -> None:
        self.book = book
        self.changes = changes

    def failed(self, now: float) -> None:
        """They are not kept yet, and it is tried again."""
        self.book.saved(False, now)


class FetchDocument(Question):
    """Comes back as `then(document, now)`; document: JSON, or None when there is none.

    Raises nothing: when the store does not answer, `otherwise(now)` is called instead.
    """

    def __init__(
        self,
        kind: str,
        key: str,
        then: Callable[[bytes | None, float], None],
        otherwise: Callable[[float], None],
    ) -> None:
        self.kind = kind
        self.key = key
        self.then = then
        self.otherwise = otherwise


class DocumentBuffer:
    """See the module."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seq = 0
        self._changes: Changes = {}
        self._saving: Changes | None = None
        self._saving_from: int | None = None
        self._unsaved_from: int | None = None

    def put(self, kind: str, key: str, value: Mapping[str, object], now: float) -> None:
        """Keep this under its key, instead of what was there."""
        body = orjson.dumps(value)
        name = orjson.dumps([kind, key])
        self._record(kind, key, name[:-1] + b"," + body + b"]", body, now)

    def remove(self, kind: str, key: str, now: float) -> None:
        """Keep nothing under this key any more."""
        self._record(kind, key, orjson.dumps([kind, key, None]), None, now)

    def _record(self, kind: str, key: str, record: bytes, body: bytes | None, now: float) -> None:
        context = self._context
        if self._unsaved_from is None:
            self._unsaved_from = context.log.batch
            context.timers.at(now + SAVE_S, self.save)
        self._seq += 1
        context.log.add(DOCUMENTS, self._seq, record)
        context.notify()
        self._changes[kind, key] = body

    def fetch(
        self,
        kind: str,
        key: str,
        then: Callable[[bytes | None, float], None],
        failed: Callable[[float], None],
        now: float,
    ) -> None:
        """Have `then(document, now)` called, at once if it is here; None: there is none.

        failed: called with `now` instead, when the store does not answer.
        """

        def answered(document: bytes | None, now: float) -> None:
            then(self._newer.get((kind, key), document), now)

        if (kind, key) in self._newer:
            answered(None, now)
        else:
            self._context.effects.append(FetchDocument(kind, key, answered, failed))

    @property
    def _newer(self) -> ChainMap[tuple[str, str], bytes | None]:
        """What the store may not have yet, the newest first."""
        return ChainMap(self._changes, self._saving or {})

    def save(self, _now: float) -> None:
        """Have the store keep what it does not have yet."""
        if self._saving is None and self._changes:
            self._saving, self._changes = self._changes, {}
            self._saving_from, self._unsaved_from = self._unsaved_from, None
            self._context.effects.append(SaveDocuments(self, self._saving))

    def saved(self, ok: bool, now: float) -> None:
        """The store has kept them, or could not; then it is tried again."""
        if self._saving is None:
            return
        saving, self._saving = self._saving, None
        if ok:
            self._saving_from = None
            if self._changes:
                self._context.timers.at(now + SAVE_S, self.save)
            return
        self._changes = saving | self._changes
        self._unsaved_from, self._saving_from = self._saving_from, None
        self._context.timers.at(now + SAVE_AGAIN_S, self.save)

    @property
    def journal_from(self) -> int | None:
        """The first batch of the journal that is still needed; None when none is."""
        needed = [x for x in (self._saving_from, self._unsaved_from) if x is not None]
        return min(needed, default=None)


def change(record: bytes) -> tuple[tuple[str, str], bytes | None]:
    """A record of the journal, as a change. Raises StoreError."""
    try:
        kind, key, value = orjson.loads(record)
    except ValueError as error:
        raise StoreError(f"a journal record is damaged: {error}") from error
    return (kind, key), None if value is None else orjson.dumps(value)
