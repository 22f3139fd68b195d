"""The match manager (*Gestion de Partie*): gives out codes, lists matches, closes finished ones.

It knows of every live match what it was created with and how many seats are free, and remembers a
closed one for a day, so that a code is not given out twice and a repeated `creer` has one answer.

`creer` carries no secret, so whose request is repeated has to be seen from something else: a `rid`
that cannot be guessed speaks for itself, any other one only together with the address.

Counterparts: `match_server.py` runs the matches, `stats.py` asks to close them.
Protocol: docs/matches.md, sections 2 and 4.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict, TypeVar, cast

import orjson

from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.engine.role_messages import (
    MANAGER,
    MATCH,
    STATS,
    handlers,
    name_of,
)
from polypaint.engine.service import Requests
from polypaint.errors import Refused
from polypaint.matches.effects import Trouble
from polypaint.matches.game_runner import GameFailed, own_parameters
from polypaint.matches.games import Game, shown
from polypaint.matches.messages import ALPHABET, CODE_LENGTH, full_disk, refused
from polypaint.matches.role_messages import (
    CLOSE_MATCH,
    CLOSED,
    NOTED,
    OPEN_MATCH,
    OPENED,
    OPENING,
    ROLE_MESSAGES,
    STATE,
)

if TYPE_CHECKING:
    from random import Random

KIND: Final = "partie"
REMEMBERED_S: Final = 24 * 3600.0
LISTED_MAX: Final = 200
LIVE: Final = ("CREEE", "OUVERTE", "EN_COURS", "TERMINEE")
JOINABLE: Final = ("CREEE", "OUVERTE")
UNGUESSABLE: Final = 16
"""Characters of a `rid` from which on it is taken for a random one, which nobody can guess."""

T = TypeVar("T")
Reply: TypeAlias = Callable[[dict[str, object]], None]
"""Takes the answer to a request."""


class Party(TypedDict):
    """What is kept of a match, under the words that its document has."""

    createur: str
    origine: str
    """The address that asked for it; missing in what older versions have kept."""
    rid: Any
    demande: dict[str, Any]
    """`parametres` as they were given."""
    parametres: dict[str, Any]
    """… complete: jeu, joueurs, prive, and the game's own."""
    cree: float
    graine: int
    secret: str
    ouverte: bool
    """Does the match server know of it?"""
    etat: str
    libres: int
    n: int
    fermeture: bool
    """Is it to be closed?"""
    ferme: float | None
    """When it was closed, in UTC seconds."""


Key: TypeAlias = tuple[str, bytes, str]
"""A request to create: (account, `rid` as JSON, address; empty where the `rid` is enough)."""


class Manager:
    """See the module. parties: code → its document."""

    def __init__(
        self,
        context: Context,
        book: DocumentBuffer,
        games: dict[str, type[Game]],
        bus: Requests,
        failed: Callable[[GameFailed, str], None],
        random: "Random",
    ) -> None:
        self.parties: dict[str, Party] = {}
        self.address = ""
        """Where the match server listens, as `host:port`."""
        self._context = context
        self._book = book
        self._games = games
        self._bus = bus
        self._failed = failed
        self._random = random
        self._by_rid: dict[Key, str] = {}
        self._unopened: dict[str, list[Reply]] = {}
        self._count = 0
        """Matches that are not closed."""
        self._live: Counter[tuple[str, str]] = Counter()
        """… by the (account, address) that created them."""
        self._unfilled: Counter[str] = Counter()
        """Matches that nobody has joined yet, by the address that created them."""
        self._joinable: dict[str, None] = {}
        """Codes of the public matches that one can join, the oldest first."""
        self._listing: bytes | None = None

    def listening(self, address: str) -> None:
        """The match server listens there, as players are told."""
        self.address = address

    # ------------------------------------------------------------ what clients ask for
    def create(self, request: dict[str, Any], address: str, reply: Reply, now: float) -> None:
        """`creer`. Raises MatchRefusal.

        address: of whoever asks. reply: is given the answer once the match server knows of it.
        """
        owner, rid, given = request["id_publique"], request.get("rid"), request["parametres"]
        code = self._created_by(owner, rid, address)
        if code is not None:
            if self.parties[code]["demande"] != given:
                raise refused("champ", "parametres: this rid created a match with other ones")
            self._answer(reply, code)
            return
        parameters = self.parameters(given)
        self._permit(owner, address)
        code = self._new_code()
        party: Party = {
            "createur": owner,
            "origine": address,
            "rid": rid,
            "demande": given,
            "parametres": parameters,
            "cree": self._context.utc(now),
            "graine": self._random.getrandbits(53),
            "secret": self._word(10),
            "ouverte": False,
            "etat": "CREEE",
            "libres": parameters["joueurs"],
            "n": 0,
            "fermeture": False,
            "ferme": None,
        }
        self.parties[code] = party
        self._index(code, party)
        self._keep(code, now)
        self._answer(reply, code)
        self._open(code, now)

    def _created_by(self, owner: str, rid: Any, address: str) -> str | None:
        """The code that this very request has created already."""
        key = request_key(owner, rid, address)
        return self._by_rid.get(key) or self._by_rid.get((*key[:2], ""))

    def parameters(self, given: dict[str, Any]) -> dict[str, Any]:
        """`parametres`, complete. Raises MatchRefusal `champ`."""
        name = given.get("jeu")
        game = self._games.get(name) if isinstance(name, str) else None
        if game is None:
            raise refused("champ", f"parametres.jeu is none of {', '.join(sorted(self._games))}")
        seats = given.get("joueurs", game.players.start)
        if type(seats) is not int or seats not in game.players:
            least, most = game.players.start, game.players.stop - 1
            raise refused("champ", f"parametres.joueurs is not {least}…{most}")
        private = given.get("prive", False)
        if not isinstance(private, bool):
            raise refused("champ", "parametres.prive is not true or false")
        own = {k: v for k, v in given.items() if k not in ("jeu", "joueurs", "prive")}
        try:
            own = own_parameters(game, own)
        except Refused as refusal:
            raise refused("champ", str(refusal)) from None
        except GameFailed as failure:
            self._failed(failure, "")
            raise refused("champ", "parametres: the game cannot take these") from None
        return {"jeu": name, "joueurs": seats, "prive": private} | own

    def listing(self) -> bytes:
        """Open public matches as JSON, the newest first; made anew only when they change."""
        if self._listing is None:
            codes = islice(reversed(self._joinable), LISTED_MAX)
            self._listing = orjson.dumps([self._listed(code) for code in codes])
        return self._listing

    def _listed(self, code: str) -> dict[str, Any]:
        party = self.parties[code]
        return {
            "code_partie": code,
            "jeu": party["parametres"]["jeu"],
            "createur": party["createur"],
            "joueurs": party["parametres"]["joueurs"],
            "libres": party["libres"],
            "parametres": shown(self._games, party["parametres"]),
        }

    def _permit(self, owner: str, address: str) -> None:
        """May one more match be created from here? Raises MatchRefusal."""
        context, settings = self._context, self._context.settings
        if context.read_only:
            raise full_disk()
        if self._count >= settings.matches_max:
            raise refused("debit", "there are too many matches; try again later")
        if self._live[owner, address] >= settings.account_matches_max:
            raise refused(
                "debit", "you have too many matches that are not over; finish some first"
            )
        if context.is_unauthenticated(address):
            if self._unfilled[address] >= settings.address_matches_max:
                raise refused("debit", "many of your matches wait for players already")

    def _new_code(self) -> str:
        while (code := self._word(CODE_LENGTH)) in self.parties:
            pass
        return code

    def _word(self, length: int) -> str:
        return "".join(self._random.choice(ALPHABET) for _ in range(length))

    def _answer(self, reply: Reply, code: str) -> None:
        """The code, as soon as the match server knows of it."""
        if self.parties[code]["ouverte"]:
            reply({"reponse": "code", "code_partie": code, "adresse": self.address})
        else:
            self._unopened.setdefault(code, []).append(reply)

    # ------------------------------------------------------------ between servers
    def receive(self, message: dict[str, Any], now: float) -> None:
        """From the match server or the stats server; a repeat changes nothing."""
        _HANDLERS[name_of(message)](self, message, now)

    def _open(self, code: str, now: float) -> None:
        """Have the match server open a match, until it says that it has."""
        party = self.parties.get(code)
        if party is None or party["ouverte"] or party["ferme"] is not None:
            return
        opening = {key: value for key, value in party.items() if key in OPENING}
        self._bus.request(
            OPEN_MATCH.key(MATCH, code), MATCH, OPEN_MATCH.make(code_partie=code, **opening), now
        )

    def _opened(self, message: dict[str, Any], now: float) -> None:
        code = message["code_partie"]
        self._bus.acknowledged(OPEN_MATCH.key(MATCH, code))
        party = self.parties.get(code)
        if party is not None and party["ferme"] is not None:  # a late message has opened it anew
            self._bus.send(MATCH, CLOSE_MATCH.make(code_partie=code))
        elif party is not None and not party["ouverte"]:
            party["ouverte"] = True
            self._keep(code, now)
            for reply in self._unopened.pop(code, []):
                self._answer(reply, code)

    def _state(self, message: dict[str, Any], now: float) -> None:
        """How a match stands; `n` counts up, so that an older message is known as one."""
        code, n = message["code_partie"], message["n"]
        party = self.parties.get(code)
        if party is not None and n > party["n"] and party["ferme"] is None:
            before = party["etat"]
            party.update({"n": n, "etat": message["etat"], "libres": message["libres"]})
            self._restate(code, party, before)
            if message["etat"] not in LIVE:
                self._forget_later(code, now)
            self._keep(code, now)
        self._bus.send(MATCH, NOTED.make(code_partie=code, n=n))

    def _close(self, message: dict[str, Any], now: float) -> None:
        """`fermer`, from the stats server: it will be done, whatever happens to us."""
        code = message["code_partie"]
        party = self.parties.get(code)
        if party is not None and party["ferme"] is None and not party["fermeture"]:
            party["fermeture"] = True
            self._keep(code, now)
            self._have_closed(code, now)
        self._bus.send(STATS, CLOSED.make(code_partie=code))

    def _have_closed(self, code: str, now: float) -> None:
        """Have the match server forget a match, until it says that it has."""
        party = self.parties.get(code)
        if party is not None and party["ferme"] is None:
            closing = CLOSE_MATCH.make(code_partie=code)
            self._bus.request(CLOSE_MATCH.key(MATCH, code), MATCH, closing, now)

    def _closed(self, message: dict[str, Any], now: float) -> None:
        """The match server has."""
        code = message["code_partie"]
        self._bus.acknowledged(CLOSE_MATCH.key(MATCH, code))
        party = self.parties.get(code)
        if party is not None and party["ferme"] is None:
            before, party["etat"] = party["etat"], "FERMEE"
            self._restate(code, party, before)
            self._forget_later(code, now)
            self._keep(code, now)

    # ------------------------------------------------------------ what is kept
    def restore(self, documents: Iterable[tuple[str, bytes]], now: float) -> None:
        """What was kept when the server stopped."""
        for code, body in documents:
            try:
                party = _restored(orjson.loads(body))
            except (ValueError, KeyError, TypeError) as problem:
                details = {"code": code, "problem": repr(problem)}
                self._context.effects.append(Trouble("a match cannot be read", details))
                continue
            self.parties[code] = party
            if party["ferme"] is not None:
                self._remember(code, party)
                self._at_end(code, party, now)
            else:
                self._index(code, party)
                self._open(code, now)
                if party["fermeture"]:
                    self._have_closed(code, now)

    def _index(self, code: str, party: Party) -> None:
        """A live match, new here."""
        self._remember(code, party)
        self._count_live(party, 1)
        self._restate(code, party, before="")

    def _remember(self, code: str, party: Party) -> None:
        if party["rid"] is not None:
            self._by_rid[_key(party)] = code

    def _count_live(self, party: Party, by: int) -> None:
        self._count += by
        _add(self._live, (party["createur"], _origin(party)), by)

    def _restate(self, code: str, party: Party, before: str) -> None:
        """A match that stood at `before` stands at another state, or has other free seats."""
        etat = party["etat"]
        _add(self._unfilled, _origin(party), (etat == "CREEE") - (before == "CREEE"))
        if party["parametres"]["prive"]:
            return
        if etat in JOINABLE:
            self._joinable[code] = None
        elif code in self._joinable:
            del self._joinable[code]
        elif before not in JOINABLE:
            return
        self._listing = None

    def _keep(self, code: str, now: float) -> None:
        self._book.put(KIND, code, self.parties[code], now)

    def _forget_later(self, code: str, now: float) -> None:
        """It is closed: its code stays taken for a day."""
        party = self.parties[code]
        party["ferme"] = self._context.utc(now)
        self._count_live(party, -1)
        self._unopened.pop(code, None)
        for request in (OPEN_MATCH, CLOSE_MATCH):
            self._bus.acknowledged(request.key(MATCH, code))
        self._at_end(code, party, now)

    def _at_end(self, code: str, party: Party, now: float) -> None:
        utc = self._context.utc(now)
        age = utc - (party["ferme"] or utc)
        self._context.timers.at(now + max(REMEMBERED_S - age, 0), partial(self._forget, code))

    def _forget(self, code: str, now: float) -> None:
        party = self.parties.pop(code)
        self._by_rid.pop(_key(party), None)
        self._book.remove(KIND, code, now)


def request_key(owner: str, rid: Any, address: str) -> Key:
    """What tells a repeated `creer` from another one; see the module."""
    unguessable = isinstance(rid, str) and len(rid) >= UNGUESSABLE
    return owner, orjson.dumps(rid), "" if unguessable else address


def _key(party: Party) -> Key:
    return request_key(party["createur"], party["rid"], _origin(party))


def _add(counts: Counter[T], key: T, by: int) -> None:
    """Count, and forget what is at zero."""
    counts[key] += by
    if not counts[key]:
        del counts[key]


def _restored(party: Any) -> Party:
    """A match's document. Raises what a damaged one leads to."""
    known = ("createur", "rid", "demande", "cree", "graine", "secret", "ouverte", "libres", "n",
             "fermeture", "ferme", "etat")  # fmt: skip
    for key in known:
        party[key]
    party["parametres"]["prive"], party["parametres"]["jeu"], party["parametres"]["joueurs"]
    return cast("Party", dict(party))


def _origin(party: Party) -> str:
    """The address that asked for it; empty in what older versions have kept."""
    return str(party.get("origine", ""))


_HANDLERS: Final = handlers(
    MANAGER,
    ROLE_MESSAGES,
    {
        OPENED: Manager._opened,
        STATE: Manager._state,
        CLOSE_MATCH: Manager._close,
        CLOSED: Manager._closed,
    },
)
