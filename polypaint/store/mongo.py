"""The store on MongoDB, through Motor.

Only operations that hold on a standalone server: single documents are atomic, keys are unique,
there are no transactions. What takes several documents is written so that it can be written again
(`write`), or becomes visible with the last of them (`save`). The journal in front of it stays
local, so a database that is slow or away delays nothing but what has to be read from it.

Collections and their documents: docs/operating.md. Nothing else may know Motor or PyMongo, so that
another client can take their place.

Counterpart: `polypaint.store`, the contracts.
"""

import asyncio
import secrets
import time
import zlib
from collections import OrderedDict
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import DeleteOne, ReplaceOne
from pymongo.errors import DuplicateKeyError, PyMongoError

from polypaint.book import Changes
from polypaint.errors import StoreError
from polypaint.paint.lobbies import LobbyInfo
from polypaint.store import (
    HISTORY_MAX,
    Counted,
    PlayerRecord,
    Sizes,
    StoredAccount,
    StoredLobby,
    StoredResult,
)
from polypaint.store.blobs import packed, unpacked
from polypaint.store.translated import Translated

PART_BYTES: Final = 1 << 20
"""A document has at most 16 MiB; but what the driver copies at once keeps others waiting."""
DATABASE: Final = "polypaint"
CONNECT_MS: Final = 3_000
ANSWER_MS: Final = 20_000
POOL: Final = 20
BULK: Final = 1_000
KNOWN_MAX: Final = 100_000
RANKED_S: Final = 5.0
LOBBY: Final = ("filename", "owner", "mode", "protection", "passcode")
STATUTS: Final = ("victoire", "defaite", "nul")
BY_MATCH: Final = [("code", 1), ("player", 1)]
NESTED_MAX: Final = 60
"""Of documents in documents; servers take a hundred."""


class _Translated(Translated):
    """PyMongo's errors; and what it stumbles over when a server answers strangely."""

    def ours(self, error: BaseException) -> StoreError | None:
        """See `Translated.ours`."""
        if not isinstance(error, PyMongoError | LookupError | TypeError):
            return None
        says = str(error).partition(" (configured timeouts")[0]  # and half a page more
        return StoreError(f"{self.what}: {says[:300]}")


class MongoStore:
    """See `polypaint.store.Store`. uri: `mongodb://…` or `mongodb+srv://…`, with its database."""

    def __init__(self, uri: str) -> None:
        self._where = urlsplit(uri).hostname or "MongoDB"
        with _Translated(f"--store {self._where}"):
            self._client: Any = AsyncIOMotorClient(
                uri,
                serverSelectionTimeoutMS=CONNECT_MS,
                connectTimeoutMS=CONNECT_MS,
                socketTimeoutMS=ANSWER_MS,
                maxPoolSize=POOL,
                retryWrites=True,
            )
            self._db: Any = self._client.get_default_database(DATABASE)
        self._hashes: OrderedDict[str, bytes] = OrderedDict()
        self._ranking: list[PlayerRecord] = []
        self._ranked_at = float("-inf")

    async def start(self) -> None:
        """See `polypaint.store.Store`."""
        with _Translated(f"the database at {self._where}"):
            found = await self._db.schema.find_one({"_id": "polypaint"})
            version = (found or {}).get("version", 0)
            if version > VERSION:
                raise StoreError(
                    f"the database at {self._where} was written by another version of "
                    f"polypaint-fast (format {version}, this one knows {VERSION})"
                )
            for step in MIGRATIONS[version:]:
                await step(self._db)
            if version < VERSION:
                await _note(self._db, "version", VERSION)

    async def identity(self) -> str:
        """See `polypaint.store.Store`."""
        with _Translated("reading"):
            return str((await self._db.schema.find_one({"_id": "polypaint"}))["identity"])

    async def sizes(self) -> Sizes:
        """See `polypaint.store.Store`."""
        with _Translated("counting"):
            counted = [
                await self._db[name].count_documents({})
                for name in ("accounts", "lobbies", "documents", "results")
            ]
        return Sizes(*counted)

    # ------------------------------------------------------------ accounts
    async def password_hash(self, name: str) -> bytes | None:
        """See `polypaint.store.Store`; who has been here is known while the database is away."""
        try:
            with _Translated("reading an account"):
                found = await self._db.accounts.find_one({"_id": name})
        except StoreError:
            if name in self._hashes:
                return self._hashes[name]
            raise
        return self._remembered(name, bytes(found["hash"])) if found else None

    def _remembered(self, name: str, password_hash: bytes) -> bytes:
        self._hashes[name] = password_hash
        self._hashes.move_to_end(name)
        if len(self._hashes) > KNOWN_MAX:
            self._hashes.popitem(last=False)
        return password_hash

    async def add_account(self, name: str, password_hash: bytes, now: float) -> bool:
        """See `polypaint.store.Store`."""
        account = {"_id": name, "hash": password_hash, "created": now}
        with _Translated("creating an account"):
            try:
                await self._db.accounts.insert_one(account)
            except DuplicateKeyError:
                return False
        self._remembered(name, password_hash)
        return True

    async def set_password(self, name: str, password_hash: bytes) -> bool:
        """See `polypaint.store.Store`."""
        with _Translated("changing a password"):
            change = {"$set": {"hash": password_hash}}
            done = await self._db.accounts.update_one({"_id": name}, change)
        self._hashes.pop(name, None)
        return bool(done.matched_count)

    async def accounts(self) -> list[StoredAccount]:
        """See `polypaint.store.Store`."""
        with _Translated("reading accounts"):
            found = self._db.accounts.find({}).sort("_id", 1)
            return [
                StoredAccount(each["_id"], each["created"], bytes(each["hash"]))
                async for each in found
            ]

    # ------------------------------------------------------------ drawings
    async def lobbies(self) -> list[StoredLobby]:
        """See `polypaint.store.Store`."""
        with _Translated("reading drawings"):
            return [_lobby(each) async for each in self._db.lobbies.find({}).sort("_id", 1)]

    async def load(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        """See `polypaint.store.Store`."""
        with _Translated("reading a drawing"):
            for _ in range(3):  # it may be stored again while we read its parts
                lobby = await self._db.lobbies.find_one({"_id": number})
                if lobby is None:
                    raise StoreError(f"there is no drawing number {number}")
                query = {"number": number, "save": lobby["save"]}
                found = self._db.parts.find(query).sort("part", 1)
                parts = [bytes(each["data"]) async for each in found]
                if len(parts) == lobby["parts"]:
                    break
        try:
            return orjson.loads(lobby["meta"]), await asyncio.to_thread(unpacked, parts)
        except (zlib.error, ValueError) as error:
            raise StoreError(f"drawing number {number} is damaged: {error}") from error

    async def save(
        self, lobby: StoredLobby, meta: dict[str, Any], blobs: list[bytes], now: float
    ) -> None:
        """See `polypaint.store.Store`: the parts first, then the document that names them."""
        fields = _fields(lobby) | {"saved": now}
        with _Translated("storing a drawing"):
            if not meta:
                await self._db.lobbies.update_one({"_id": lobby.number}, {"$set": fields})
                return
            save = secrets.token_hex(8)
            parts = await asyncio.to_thread(packed, blobs, PART_BYTES)
            for i, data in enumerate(parts):
                part = {"number": lobby.number, "save": save, "part": i, "data": data}
                await self._db.parts.insert_one({"_id": f"{lobby.number}:{save}:{i}"} | part)
            fields |= {"meta": orjson.dumps(meta).decode(), "save": save, "parts": len(parts)}
            document = {"_id": lobby.number} | fields
            await self._db.lobbies.replace_one({"_id": lobby.number}, document, upsert=True)
            older = {"number": lobby.number, "save": {"$ne": save}}
            await self._db.parts.delete_many(older)

    async def remove(self, number: int) -> None:
        """See `polypaint.store.Store`."""
        with _Translated("forgetting a drawing"):
            await self._db.lobbies.delete_one({"_id": number})
            await self._db.parts.delete_many({"number": number})

    # ------------------------------------------------------------ documents
    async def write(self, changes: Changes) -> None:
        """See `polypaint.store.Store`."""
        work = await asyncio.to_thread(_operations, changes)
        with _Translated("storing documents"):
            for at in range(0, len(work), BULK):
                await self._db.documents.bulk_write(work[at : at + BULK], ordered=False)

    async def kinds(self) -> list[str]:
        """See `polypaint.store.Store`."""
        with _Translated("reading documents"):
            return sorted(await self._db.documents.distinct("kind"))

    async def read(
        self, kind: str, after: str | None = None, limit: int | None = None
    ) -> list[tuple[str, bytes]]:
        """See `polypaint.store.Store`."""
        query: dict[str, Any] = {"kind": kind}
        if after is not None:
            query["key"] = {"$gt": after}
        with _Translated("reading documents"):
            found = self._db.documents.find(query).sort("key", 1).limit(limit or 0)
            return [(each["key"], _body(each)) async for each in found]

    async def read_one(self, kind: str, key: str) -> bytes | None:
        """See `polypaint.store.Store`."""
        with _Translated("reading a document"):
            found = await self._db.documents.find_one({"_id": f"{kind}:{key}"})
        return _body(found) if found else None

    # ------------------------------------------------------------ results
    async def count(
        self, code: str, player: str, statut: str, now: float
    ) -> tuple[Counted, set[str]]:
        """See `polypaint.store.Store`: the key of a result is unique."""
        outcome = Counted.NEW
        result = {"code": code, "player": player, "statut": statut, "at": now}
        with _Translated("storing a result"):
            try:
                await self._db.results.insert_one({"_id": f"{code}:{player}"} | result)
            except DuplicateKeyError:
                known = await self._db.results.find_one({"_id": f"{code}:{player}"})
                outcome = Counted.AGAIN if known["statut"] == statut else Counted.CONFLICT
            if outcome is Counted.CONFLICT:
                key = {"_id": f"{code}:{player}:{statut}"}
                await self._db.conflicts.replace_one(key, key | result, upsert=True)
            found = self._db.results.find({"code": code}, {"player": 1})
            return outcome, {each["player"] async for each in found}

    async def results(self, after: tuple[str, str], limit: int) -> list[StoredResult]:
        """See `polypaint.store.Store`."""
        code, player = after
        later = {"$or": [{"code": code, "player": {"$gt": player}}, {"code": {"$gt": code}}]}
        with _Translated("reading results"):
            found = self._db.results.find(later).sort(BY_MATCH).limit(limit)
            return [_result(each) async for each in found]

    async def conflicts(self) -> list[StoredResult]:
        """See `polypaint.store.Store`."""
        with _Translated("reading results"):
            return sorted([_result(each) async for each in self._db.conflicts.find({})])

    async def record(self, player: str) -> PlayerRecord:
        """See `polypaint.store.Store`."""
        with _Translated("reading results"):
            totals = [
                await self._db.results.count_documents({"player": player, "statut": statut})
                for statut in STATUTS
            ]
            found = self._db.results.find({"player": player})
            newest = found.sort([("at", -1), ("code", -1)]).limit(HISTORY_MAX)
            history = tuple([(each["code"], each["statut"]) async for each in newest])
        won, lost, drawn = totals
        return PlayerRecord(player, won, lost, drawn, history)

    async def ranking(self, limit: int) -> list[PlayerRecord]:
        """See `polypaint.store.Store`; made anew every RANKED_S at most."""
        if time.monotonic() - self._ranked_at > RANKED_S:
            with _Translated("reading results"):
                self._ranking = await self._ranked()
            self._ranked_at = time.monotonic()
        return self._ranking[:limit]

    async def _ranked(self) -> list[PlayerRecord]:
        """All who have a result, the best first."""
        totals: dict[str, list[int]] = {}
        for i, statut in enumerate(STATUTS):
            count = {"$group": {"_id": "$player", "count": {"$sum": 1}}}
            found = self._db.results.aggregate([{"$match": {"statut": statut}}, count])
            async for each in found:
                totals.setdefault(each["_id"], [0, 0, 0])[i] = int(each["count"])
        records = [
            PlayerRecord(name, won, lost, drawn) for name, (won, lost, drawn) in totals.items()
        ]
        return sorted(records, key=lambda r: (-r.wins, r.losses, r.player))

    # ------------------------------------------------------------ the whole
    async def check(self) -> list[str]:
        """See `polypaint.store.Store`."""
        wrong = []
        with _Translated("checking"):
            async for lobby in self._db.lobbies.find({}, {"filename": 1, "parts": 1, "save": 1}):
                query = {"number": lobby["_id"], "save": lobby["save"]}
                if await self._db.parts.count_documents(query) != lobby["parts"]:
                    wrong.append(f"drawing {lobby['filename']!r}: a part of it is missing")
        return wrong

    async def close(self) -> None:
        """See `polypaint.store.Store`."""
        self._client.close()


def _fields(lobby: StoredLobby) -> dict[str, Any]:
    return {name: getattr(lobby.info, name) for name in LOBBY} | {"seq": lobby.seq}


def _lobby(document: dict[str, Any]) -> StoredLobby:
    info = LobbyInfo(*(document[name] for name in LOBBY))
    return StoredLobby(document["_id"], info, document["seq"])


def _result(document: dict[str, Any]) -> StoredResult:
    return StoredResult(*(document[name] for name in ("code", "player", "statut", "at")))


def _operations(changes: Changes) -> list[Any]:
    """What `write` has to do; off the loop, for there may be many."""
    return [
        DeleteOne({"_id": f"{kind}:{key}"})
        if body is None
        else ReplaceOne({"_id": f"{kind}:{key}"}, _document(kind, key, body), upsert=True)
        for (kind, key), body in changes.items()
    ]


def _document(kind: str, key: str, body: bytes) -> dict[str, Any]:
    """A document as it is kept: `value`, or `json` where BSON cannot say the same."""
    value = orjson.loads(body)
    kept = {"value": value} if _fits(value, NESTED_MAX) else {"json": body.decode()}
    return {"_id": f"{kind}:{key}", "kind": kind, "key": key} | kept


def _body(document: dict[str, Any]) -> bytes:
    """The JSON of a document as it is kept."""
    if "json" in document:
        return str(document["json"]).encode()
    return orjson.dumps(document["value"])


def _fits(value: Any, depth: int) -> bool:
    """Can BSON hold this, and every server take it?"""
    match value:
        case dict():
            names = all(k and k[0] != "$" and "." not in k and "\0" not in k for k in value)
            return depth > 0 and names and all(_fits(v, depth - 1) for v in value.values())
        case list():  # not every server takes arrays in arrays
            return all(not isinstance(v, list) and _fits(v, depth) for v in value)
        case int():
            return -(1 << 63) <= value < 1 << 63
    return True


async def _note(db: Any, name: str, value: object) -> None:
    """Keep something about the database itself."""
    await db.schema.update_one({"_id": "polypaint"}, {"$set": {name: value}}, upsert=True)


async def _first(db: Any) -> None:
    """Version 1: the indexes that queries need beside `_id`."""
    await db.lobbies.create_index("filename", unique=True)
    await db.parts.create_index([("number", 1), ("save", 1), ("part", 1)])
    await db.documents.create_index([("kind", 1), ("key", 1)])
    await db.results.create_index([("player", 1), ("at", -1)])
    await db.results.create_index(BY_MATCH)
    await db.results.create_index([("statut", 1), ("player", 1)])


async def _second(db: Any) -> None:
    """Version 2: an identity; documents are BSON, which can be queried, not text in `body`."""
    await _note(db, "identity", secrets.token_hex(12))
    await db.results.create_index(BY_MATCH)
    async for each in db.documents.find({"body": {"$exists": True}}):
        document = _document(each["kind"], each["key"], each["body"].encode())
        await db.documents.replace_one({"_id": each["_id"]}, document)


MIGRATIONS: Final = (_first, _second)
"""What makes each version of the database out of the one before; each may be run again."""
VERSION: Final = len(MIGRATIONS)
