"""Who is in a lobby, as its members with the extension are told: PEOPLE once, PERSON for changes.

Everybody in the lobby is listed, also those without the extension. The changes go through a
broadcast of their own, so that old clients are sent nothing of it.

Must never import a session. Counterparts: `lobby.py` has the members, `live_ink.py` what they do
at the moment. Protocol: docs/protocol.md, section 10.
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, Protocol

import orjson

from polypaint._codec import Broadcast, FlushSet, SendQueue
from polypaint.engine.context import Context
from polypaint.paint.live_ink import LiveInk
from polypaint.paint.packets import DATA_BYTES_MAX, NUMBER_MAX, PEOPLE, PERSON

COLOURS: Final = 8
"""Of people: a client has this many to tell them apart."""
LISTED_MAX: Final = 500
"""People of a lobby that a newcomer is told of; of others only when something changes."""
PART_BYTES: Final = DATA_BYTES_MAX // 2
TICK_S: Final = 0.1
"""Changes are told no more often."""
FEW: Final = 20
"""Changes that are told as such however few people there are."""


class Somebody(Protocol):
    """Who can be present."""

    send_queue: SendQueue
    name: str

    @property
    def extended(self) -> bool:
        """Has this connection asked for the extension?"""


@dataclass(slots=True)
class Person:
    """Somebody who is here. key: in this lobby; since: UTC seconds; colour: 0…COLOURS - 1."""

    key: int
    name: str
    role: str
    colour: int
    since: int
    away: bool = False

    @property
    def json(self) -> bytes:
        """As it is told."""
        return orjson.dumps(self)


class Presence:
    """Of one lobby; see the module."""

    def __init__(self, flush_set: FlushSet) -> None:
        self.broadcast = Broadcast(flush_set)
        self.live_ink = LiveInk(flush_set)
        self._flush_set = flush_set
        self._people: dict[Somebody, Person] = {}
        self._colours: Counter[int] = Counter()
        self._last_key = 0
        self._listeners = 0
        self._changes: dict[int, tuple[Person, bool]] = {}
        """Not told yet: who has come, changed, or (True) gone, by key."""
        self._told_at = float("-inf")

    def came(self, somebody: Somebody, owner: bool, context: Context, now: float) -> None:
        """Somebody has joined: tell the others, and them who is here, if they asked for it."""
        self._last_key = self._last_key % NUMBER_MAX + 1
        colour = min(range(COLOURS), key=self._colours.__getitem__)
        self._colours[colour] += 1
        role = "owner" if owner else "drawer"
        person = Person(self._last_key, somebody.name, role, colour, context.date(now))
        self._people[somebody] = person
        self._changed(person, False, context, now)
        if somebody.extended:
            self._listeners += 1
            somebody.send_queue.subscribe(self.broadcast)
            somebody.send_queue.subscribe(self.live_ink.broadcast)
            self.tell(somebody, context.date(now))

    def went(self, somebody: Somebody, context: Context, now: float) -> None:
        """Somebody has left."""
        person = self._people.pop(somebody, None)
        if person is not None:
            self._colours[person.colour] -= 1
            self.live_ink.gone(person.key)
            if somebody.extended:
                self._listeners -= 1
                somebody.send_queue.unsubscribe(self.broadcast)
                somebody.send_queue.unsubscribe(self.live_ink.broadcast)
            self._changed(person, True, context, now)

    def set_away(self, somebody: Somebody, away: bool, context: Context, now: float) -> None:
        """Somebody looks elsewhere, or is back."""
        person = self._people.get(somebody)
        if person is not None and person.away is not away:
            person.away = away
            self._changed(person, False, context, now)

    def key_of(self, somebody: Somebody) -> int:
        """By which others know them; 0: they are not here."""
        person = self._people.get(somebody)
        return 0 if person is None else person.key

    def tell(self, somebody: Somebody, date: int) -> None:
        """Send the whole list: to a newcomer, and to those from whom changes were kept."""
        if somebody.extended:
            packets = self._list(date)
            self._flush_set.spent += sum(map(len, packets))
            somebody.send_queue.push(b"".join(packets))

    def _list(self, date: int) -> list[bytes]:
        parts: list[list[bytes]] = [[]]
        size = 0
        for person in islice(self._people.values(), LISTED_MAX):
            entry = person.json
            size += len(entry) + 1
            if size > PART_BYTES:
                parts.append([])
                size = len(entry) + 1
            parts[-1].append(entry)
        return [
            PEOPLE.encode_reply(date, min(number, 1), f"[{b','.join(entries).decode()}]")
            for number, entries in enumerate(parts)
        ]

    # ------------------------------------------------------------ changes
    def _changed(self, person: Person, gone: bool, context: Context, now: float) -> None:
        """Have it told, at once if nothing was lately: who comes and goes often costs little."""
        if not self._listeners:
            return
        waits = bool(self._changes)
        self._changes[person.key] = (person, gone)
        at = self._told_at + TICK_S
        if at <= now:
            self._tell_changes(context, now)
        elif not waits:
            context.timers.at(at, partial(self._tell_changes, context))

    def _tell_changes(self, context: Context, now: float) -> None:
        """Tell what has changed, or the whole list, if that is shorter."""
        changes, self._changes = self._changes, {}
        self._told_at = now
        date = context.date(now)
        if len(changes) > max(FEW, len(self._people)):
            packets = self._list(date)
        else:
            packets = [
                PERSON.encode_reply(date, int(gone), person.json.decode())
                for person, gone in changes.values()
            ]
        self.broadcast.publish(b"".join(packets))
