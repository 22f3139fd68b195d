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
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import DeleteOne, ReplaceOne
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from polypaint.engine import checksum
from polypaint.engine.documents import Changes
from polypaint.errors import StoreDamaged, StoreError
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.store import (
    HISTORY_MAX,
    Counted,
    PlayerRecord,
    Sizes,
    StoredAccount,
    StoredLobby,
    StoredResult,
)
from polypaint.store.blobs import of_content, packed, unpacked
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


class _Errors(Translated):
    """PyMongo's errors. store: hears whether its database is away."""

    def __init__(self, what: str, store: "MongoStore | None" = None) -> None:
        super().__init__(what)
        self._store = store

    def ours(self, error: BaseException) -> StoreError | None:
        """Every error of the driver, and of documents that BSON cannot say."""
        if not isinstance(error, PyMongoError | BSONError):
            return None
        if self._store is not None:
            self._store.away = not isinstance(error, OperationFailure | BSONError)
        says = str(error).partition(" (configured timeouts")[0]  # and half a page more
        return StoreError(f"{self.what}: {says[:300]}")

    def none_raised(self) -> None:
        """It answered."""
        if self._store is not None:
            self._store.away = False


class MongoStore:
    """See `polypaint.store.Store`. uri: `mongodb://…` or `mongodb+srv://…`, with its database."""

    def __init__(self, uri: str) -> None:
        self.away = False
        self.problems: list[str] = []
        self.torn_bytes = 0
        self._where = urlsplit(uri).hostname or "MongoDB"
        with _Errors(f"--store {self._where}"):
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
        with _Errors(f"the database at {self._where}", self):
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
        with _Errors("reading", self):
            found = await self._db.schema.find_one({"_id": "polypaint"})
        if not found or "identity" not in found:
            raise StoreDamaged(f"the database at {self._where} has lost its identity")
        return str(found["identity"])

    async def ancestors(self) -> set[str]:
        """The identities of the stores of which this one is a copy."""
        with _Errors("reading", self):
            found = await self._db.schema.find_one({"_id": "polypaint"})
        return set((found or {}).get("ancestors", []))

    async def descend_from(self, identities: set[str]) -> None:
        """Note that this one has what those have."""
        known = await self.ancestors()
        with _Errors("noting where a copy comes from", self):
            await _note(self._db, "ancestors", sorted(known | identities))

    async def sizes(self) -> Sizes:
        with _Errors("counting", self):
            counted = [
                await self._db[name].count_documents({})
                for name in ("accounts", "lobbies", "documents", "results")
            ]
        return Sizes(*counted)

    # ------------------------------------------------------------ accounts
    async def password_hash(self, name: str) -> bytes | None:
        """See `polypaint.store.Store`; who has been here is known while the database is away."""
        try:
            with _Errors("reading an account", self):
                found = await self._db.accounts.find_one({"_id": name})
        except StoreError:
            if name in self._hashes:
                return self._hashes[name]
            raise
        if not found:
            return None
        if not _is_sound(found, _account_fields):
            raise StoreDamaged(f"the account {name!r} is damaged; give it another password")
        return self._remembered(name, bytes(found["hash"]))

    def _remembered(self, name: str, password_hash: bytes) -> bytes:
        self._hashes[name] = password_hash
        self._hashes.move_to_end(name)
        if len(self._hashes) > KNOWN_MAX:
            self._hashes.popitem(last=False)
        return password_hash

    async def add_account(self, name: str, password_hash: bytes, now: float) -> bool:
        account = {"_id": name, "hash": password_hash, "created": float(now)}
        account["sum"] = checksum.of_fields(*_account_fields(account))
        with _Errors("creating an account", self):
            try:
                await self._db.accounts.insert_one(account)
            except DuplicateKeyError:
                return False
        self._remembered(name, password_hash)
        return True

    async def set_password(self, name: str, password_hash: bytes) -> bool:
        with _Errors("changing a password", self):
            account = await self._db.accounts.find_one({"_id": name})
            if account is None:
                return False
            account["hash"] = password_hash
            account["sum"] = checksum.of_fields(*_account_fields(account))
            await self._db.accounts.replace_one({"_id": name}, account)
        self._hashes.pop(name, None)
        return True

    async def accounts(self) -> list[StoredAccount]:
        with _Errors("reading accounts", self):
            found = self._db.accounts.find({}).sort("_id", 1)
            return [_account(each) async for each in found]

    # ------------------------------------------------------------ drawings
    async def lobbies(self) -> list[StoredLobby]:
        with _Errors("reading drawings", self):
            found = [each async for each in self._db.lobbies.find({}).sort("_id", 1)]
        return [_lobby(each) for each in found if _is_sound(each, _lobby_fields)]

    async def load(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        try:
            lobby, parts = await self._stored(number)
            if "content_sum" in lobby:
                content = await asyncio.to_thread(of_content, lobby["meta"].encode(), parts)
                if content != lobby["content_sum"]:
                    raise ValueError("its checksum is wrong")
            return orjson.loads(lobby["meta"]), await asyncio.to_thread(unpacked, parts)
        except (zlib.error, ValueError) as error:
            raise StoreDamaged(f"drawing number {number} is damaged: {error}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreDamaged(
                f"drawing number {number} lacks a field or has one of another kind"
            ) from error

    async def _stored(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        with _Errors("reading a drawing", self):
            for _ in range(3):  # it may be stored again while we read its parts
                lobby = await self._db.lobbies.find_one({"_id": number})
                if lobby is None:
                    raise StoreError(f"there is no drawing number {number}")
                query = {"number": number, "save": lobby["save"]}
                found = self._db.parts.find(query).sort("part", 1)
                parts = [bytes(each["data"]) async for each in found]
                if len(parts) == lobby["parts"]:
                    return lobby, parts
        raise ValueError("a part of it is missing")

    async def save(
        self, lobby: StoredLobby, meta: dict[str, Any], blobs: list[bytes], now: float
    ) -> None:
        """See `polypaint.store.Store`: the parts first, then the document that names them."""
        fields = _fields(lobby) | {"saved": now}
        with _Errors("storing a drawing", self):
            if not meta:
                await self._db.lobbies.update_one({"_id": lobby.number}, {"$set": fields})
                return
            save = secrets.token_hex(8)
            parts = await asyncio.to_thread(packed, blobs, PART_BYTES)
            for i, data in enumerate(parts):
                part = {"number": lobby.number, "save": save, "part": i, "data": data}
                await self._db.parts.insert_one({"_id": f"{lobby.number}:{save}:{i}"} | part)
            about = orjson.dumps(meta)
            content_sum = await asyncio.to_thread(of_content, about, parts)
            fields |= {"meta": about.decode(), "save": save, "parts": len(parts)}
            fields["content_sum"] = content_sum
            document = {"_id": lobby.number} | fields
            await self._db.lobbies.replace_one({"_id": lobby.number}, document, upsert=True)
            older = {"number": lobby.number, "save": {"$ne": save}}
            await self._db.parts.delete_many(older)

    async def remove(self, number: int) -> None:
        with _Errors("forgetting a drawing", self):
            await self._db.lobbies.delete_one({"_id": number})
            await self._db.parts.delete_many({"number": number})

    # ------------------------------------------------------------ documents
    async def write(self, changes: Changes) -> None:
        work = await asyncio.to_thread(_operations, changes)
        with _Errors("storing documents", self):
            for at in range(0, len(work), BULK):
                await self._db.documents.bulk_write(work[at : at + BULK], ordered=False)

    async def kinds(self) -> list[str]:
        with _Errors("reading documents", self):
            return sorted(await self._db.documents.distinct("kind"))

    async def read(
        self, kind: str, after: str | None = None, limit: int | None = None
    ) -> list[tuple[str, bytes]]:
        query: dict[str, Any] = {"kind": kind}
        if after is not None:
            query["key"] = {"$gt": after}
        with _Errors("reading documents", self):
            found = self._db.documents.find(query).sort("key", 1).limit(limit or 0)
            return [(each["key"], _body(each)) async for each in found if _whole(each)]

    async def read_one(self, kind: str, key: str) -> bytes | None:
        with _Errors("reading a document", self):
            found = await self._db.documents.find_one({"_id": f"{kind}:{key}"})
        if found and not _whole(found):
            raise StoreDamaged(f"the document {kind} {key!r} is damaged")
        return _body(found) if found else None

    # ------------------------------------------------------------ results
    async def count(
        self, code: str, player: str, statut: str, now: float
    ) -> tuple[Counted, set[str]]:
        """See `polypaint.store.Store`: the key of a result is unique."""
        outcome = Counted.NEW
        result = {"code": code, "player": player, "statut": statut, "at": now}
        with _Errors("storing a result", self):
            try:
                await self._db.results.insert_one({"_id": f"{code}:{player}"} | result)
            except DuplicateKeyError:
                known = await self._db.results.find_one({"_id": f"{code}:{player}"}) or {}
                outcome = Counted.AGAIN if known.get("statut") == statut else Counted.CONFLICT
            if outcome is Counted.CONFLICT:
                key = {"_id": f"{code}:{player}:{statut}"}
                await self._db.conflicts.replace_one(key, key | result, upsert=True)
            found = self._db.results.find({"code": code}, {"player": 1})
            return outcome, {each["player"] async for each in found}

    async def results(self, after: tuple[str, str], limit: int) -> list[StoredResult]:
        code, player = after
        later = {"$or": [{"code": code, "player": {"$gt": player}}, {"code": {"$gt": code}}]}
        with _Errors("reading results", self):
            found = self._db.results.find(later).sort(BY_MATCH).limit(limit)
            return [_result(each) async for each in found]

    async def conflicts(self) -> list[StoredResult]:
        with _Errors("reading results", self):
            return sorted([_result(each) async for each in self._db.conflicts.find({})])

    async def record(self, player: str) -> PlayerRecord:
        with _Errors("reading results", self):
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
            with _Errors("reading results", self):
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
        return await asyncio.to_thread(_sorted, totals)

    # ------------------------------------------------------------ the whole
    async def check(self) -> list[str]:
        """Every document and every drawing is read."""
        wrong: list[str] = []
        with _Errors("checking", self):
            for collection, fields, name in _SEALED:
                wrong += [
                    f"{name} {each['_id']!r} is damaged"
                    async for each in self._db[collection].find({})
                    if not _is_sound(each, fields)
                ]
            wrong += [
                f"the document {each['_id']!r} is damaged"
                async for each in self._db.documents.find({})
                if not _whole(each)
            ]
            numbers = [each["_id"] async for each in self._db.lobbies.find({}, {"_id": 1})]
        for number in numbers:
            try:
                await self.load(number)
            except StoreDamaged as error:
                wrong.append(str(error))
        return wrong

    async def set_aside_damaged(self) -> list[str]:
        """Documents that are damaged go into the collection `damaged`."""
        with _Errors("checking", self):
            everything = self._db.documents.find({})
            found = [each async for each in everything if not _whole(each)]
            for each in found:
                await self._db.damaged.replace_one({"_id": each["_id"]}, each, upsert=True)
                await self._db.documents.delete_one({"_id": each["_id"]})
        return [
            f"the document {each['_id']!r} is damaged; it was set aside, in the collection "
            "`damaged`"
            for each in found
        ]

    async def close(self) -> None:
        self._client.close()


def _fields(lobby: StoredLobby) -> dict[str, Any]:
    fields = {name: getattr(lobby.info, name) for name in LOBBY} | {"seq": lobby.seq}
    return fields | {"sum": checksum.of_fields(*_lobby_fields(fields | {"_id": lobby.number}))}


def _account_fields(account: dict[str, Any]) -> list[Any]:
    return [account.get("_id"), bytes(account.get("hash", b"")), account.get("created")]


def _lobby_fields(lobby: dict[str, Any]) -> list[Any]:
    return [lobby.get(name) for name in ("_id", *LOBBY, "seq")]


_SEALED: Final = (
    ("accounts", _account_fields, "the account"),
    ("lobbies", _lobby_fields, "drawing number"),
)


def _is_sound(document: dict[str, Any], fields: Callable[[dict[str, Any]], list[Any]]) -> bool:
    """Is its checksum right? Versions before had none."""
    return "sum" not in document or document["sum"] == checksum.of_fields(*fields(document))


def _whole(document: dict[str, Any]) -> bool:
    """Can a document be read, and is its checksum right?"""
    try:
        kind, key, body = document["kind"], document["key"], _body(document)
        return "sum" not in document or document["sum"] == checksum.of_fields(kind, key, body)
    except (LookupError, TypeError, ValueError):
        return False


def _sorted(totals: dict[str, list[int]]) -> list[PlayerRecord]:
    """The best first; off the loop, for there may be many."""
    records = [PlayerRecord(name, won, lost, drawn) for name, (won, lost, drawn) in totals.items()]
    return sorted(records, key=lambda r: (-r.wins, r.losses, r.player))


def _account(document: dict[str, Any]) -> StoredAccount:
    _must_have(document, "created", "hash")
    return StoredAccount(document["_id"], document["created"], bytes(document["hash"]))


def _must_have(document: dict[str, Any], *names: str) -> None:
    """Raises StoreDamaged when something else wrote this document."""
    missing = [name for name in names if name not in document]
    if missing:
        raise StoreDamaged(f"{document.get('_id')!r} in the database has no {missing[0]}")


def _lobby(document: dict[str, Any]) -> StoredLobby:
    _must_have(document, *LOBBY, "seq")
    info = LobbyRules(*(document[name] for name in LOBBY))
    return StoredLobby(document["_id"], info, document["seq"])


def _result(document: dict[str, Any]) -> StoredResult:
    fields = ("code", "player", "statut", "at")
    _must_have(document, *fields)
    return StoredResult(*(document[name] for name in fields))


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
    crc = checksum.of_fields(kind, key, body)
    return {"_id": f"{kind}:{key}", "kind": kind, "key": key, "sum": crc} | kept


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
