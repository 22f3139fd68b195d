"""One store's content into another, whatever they are: to move, and to keep a copy.

What is there already and the same is left alone, so an interrupted copy goes on where it was, and
what changed meanwhile is made good. Until the end the target says that it is unfinished, and no
server starts on it. Accounts and results are never forgotten by a store; drawings and documents
are, so what the source has no more goes from the target too.

Must never know which stores there are. Counterpart: `polypaint.store`, the contract.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import astuple
from typing import Any, Final, TypeVar

import orjson

from polypaint.engine.documents import Changes
from polypaint.errors import StoreError
from polypaint.store import UNFINISHED, Counted, Sizes, Store, StoredAccount, StoredResult

PAGE: Final = 1_000
AT_ONCE: Final = 16
"""Small writes that are under way together: a store far away answers many as soon as one."""

Told = Callable[[str, int], None]
"""Called with what is being copied, and how many of it are done with."""
T = TypeVar("T")


async def copy(source: Store, target: Store, now: float, told: Told) -> Sizes:
    """Make the target hold what the source holds; how much that is. now: UTC seconds.

    Raises StoreError when the target holds something else, when either store fails, and when what
    was written does not read back the same.
    """
    identity = await source.identity()
    if identity == await target.identity():
        raise StoreError("both are the same store")
    await _begin(identity, target)
    for what, work in (
        ("accounts", _accounts),
        ("drawings", _drawings),
        ("documents", _documents),
        ("results", _results),
    ):
        done = 0
        told(what, 0)
        async for count in work(source, target, now):
            done += count
            told(what, done)
    sizes, copied = await source.sizes(), await target.sizes()
    if astuple(copied) != (sizes.accounts, sizes.lobbies, sizes.documents + 1, sizes.results):
        raise StoreError(f"the copy differs: {sizes} became {copied}; does a server use either?")
    await target.descend_from({identity, *await source.ancestors()})
    await target.write({UNFINISHED: None})
    return sizes


async def _begin(identity: str, target: Store) -> None:
    """Raises StoreError when the target is neither empty nor half a copy of this source."""
    begun = await target.read_one(*UNFINISHED)
    if begun is not None:
        if orjson.loads(begun)["de"] != identity:
            raise StoreError("the target holds half a copy of another store")
        return
    sizes = await target.sizes()
    if not sizes.empty:
        raise StoreError(f"the target is not empty: it holds {sizes}")
    await target.write({UNFINISHED: orjson.dumps({"de": identity})})


async def _accounts(source: Store, target: Store, _now: float) -> AsyncIterator[int]:
    known = {account.name: account for account in await target.accounts()}

    async def put(account: StoredAccount) -> None:
        name, password_hash = account.name, account.password_hash
        if not await target.add_account(name, password_hash, account.created):
            await target.set_password(name, password_hash)

    accounts = await source.accounts()
    new = [account for account in accounts if known.get(account.name) != account]
    yield len(accounts) - len(new)
    async for count in _all(put, new):
        yield count


async def _drawings(source: Store, target: Store, now: float) -> AsyncIterator[int]:
    wanted = {lobby.number: lobby for lobby in await source.lobbies()}
    known = {lobby.number: lobby for lobby in await target.lobbies()}
    for number, lobby in known.items():  # first, for a name may have come to another number
        if number not in wanted or wanted[number].info.filename != lobby.info.filename:
            await target.remove(number)
    for number, lobby in wanted.items():
        if known.get(number) != lobby:
            drawing = await source.load(number)
            await target.save(lobby, *drawing, now)
            if await target.load(number) != drawing:
                raise StoreError(f"drawing {lobby.info.filename!r} does not read back the same")
        yield 1


async def _documents(source: Store, target: Store, _now: float) -> AsyncIterator[int]:
    for kind in sorted({*await source.kinds(), *await target.kinds()} - {UNFINISHED[0]}):
        changes: Changes = {}
        done = 0
        both = _side_by_side(_each(_pages(source, kind)), _each(_pages(target, kind)), _key)
        async for ours, theirs in both:
            if ours is None and theirs is not None:
                await _forget(source, kind, theirs[0], changes)
            elif ours is not None:
                done += 1
                if ours != theirs:
                    changes[kind, ours[0]] = ours[1]
            if done == PAGE:
                await target.write(changes)
                yield done
                changes, done = {}, 0
        await target.write(changes)
        yield done


def _key(document: tuple[str, bytes]) -> str:
    return document[0]


async def _forget(source: Store, kind: str, key: str, changes: Changes) -> None:
    """What the target has and the source has not; asked again, should they order otherwise."""
    if await source.read_one(kind, key) is None:
        changes[kind, key] = None


async def _pages(store: Store, kind: str) -> AsyncIterator[list[tuple[str, bytes]]]:
    """All documents of a kind, a page at a time."""
    after = None
    while page := await store.read(kind, after, PAGE):
        yield page
        after = page[-1][0]


async def _results(source: Store, target: Store, _now: float) -> AsyncIterator[int]:
    async def put(result: StoredResult) -> None:
        outcome, _ = await target.count(result.code, result.player, result.statut, result.at)
        if outcome is Counted.CONFLICT:
            raise StoreError(f"the target has another result of {result.player} in {result.code}")

    new: list[StoredResult] = []
    both = _side_by_side(_each(_result_pages(source)), _each(_result_pages(target)), _match)
    async for ours, theirs in both:
        if ours is not None and ours != theirs:
            new.append(ours)
        elif ours is not None:
            yield 1
        if len(new) == PAGE:
            async for count in _all(put, new):
                yield count
            new = []
    async for count in _all(put, new):
        yield count
    for each in await source.conflicts():
        await target.count(*astuple(each))


def _match(result: StoredResult) -> tuple[str, str]:
    return result.code, result.player


async def _result_pages(store: Store) -> AsyncIterator[list[StoredResult]]:
    after = ("", "")
    while page := await store.results(after, PAGE):
        yield page
        after = _match(page[-1])


async def _each(pages: AsyncIterator[list[T]]) -> AsyncIterator[T]:
    async for page in pages:
        for one in page:
            yield one


async def _side_by_side(
    ours: AsyncIterator[T], theirs: AsyncIterator[T], key: Callable[[T], Any]
) -> AsyncIterator[tuple[T | None, T | None]]:
    """What both have, by their keys, in whose order both are: None where one has none."""
    mine, other = await anext(ours, None), await anext(theirs, None)
    while mine is not None or other is not None:
        if other is None or (mine is not None and key(mine) < key(other)):
            yield mine, None
            mine = await anext(ours, None)
        elif mine is None or key(other) < key(mine):
            yield None, other
            other = await anext(theirs, None)
        else:
            yield mine, other
            mine, other = await anext(ours, None), await anext(theirs, None)


async def _all(do: Callable[[T], Coroutine[Any, Any, None]], items: list[T]) -> AsyncIterator[int]:
    """Have this done to all, several at once; yields how many more are done."""
    for at in range(0, len(items), AT_ONCE):
        some = items[at : at + AT_ONCE]
        for failed in await asyncio.gather(*map(do, some), return_exceptions=True):
            if failed is not None:
                raise failed
        yield len(some)
