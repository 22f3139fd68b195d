"""The match server (*Serveur Partie*): coming and going, actions, updates, the end of each match.

A match is one game over an ordered list of moves. Every move is journaled before anybody sees its
update, with the turn that it is part of; the last one together with everybody's result. After a
killed server, the moves are played again. A match whose game fails is cancelled; nothing else is
touched by it.

Counterparts: `match.py` has their state, `game_runner.py` calls the games, `telling.py` has what
people are told; `manager.py` opens and closes matches, `stats.py` counts results.
Protocol: docs/matches.md, sections 2 and 4.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

from polypaint.engine import role_messages as between
from polypaint.engine.budget import ENTRY
from polypaint.engine.context import Context
from polypaint.engine.documents import DocumentBuffer
from polypaint.engine.role_messages import MANAGER, MATCH, STATS
from polypaint.engine.service import Requests
from polypaint.errors import Refused
from polypaint.matches import role_messages as roles
from polypaint.matches.effects import Trouble
from polypaint.matches.game_runner import BY_ITSELF_MAX, MOVES_MAX, GameFailed, RunningGame
from polypaint.matches.games import Game, GameLobby, NotYourTurn
from polypaint.matches.match import (
    AWAY,
    CANCELLED,
    CREATED,
    DONE,
    EXPIRED,
    GONE,
    OPEN,
    OVER,
    PLAYING,
    TAKEN,
    Match,
    Seat,
    States,
)
from polypaint.matches.messages import DEFEAT, full_disk, normal_code, refused
from polypaint.matches.move_log import MoveLog
from polypaint.matches.reservations import Reservations
from polypaint.matches.role_messages import CLOSED, OPENED, ROLE_MESSAGES, STATE
from polypaint.matches.spectators import Spectators
from polypaint.matches.telling import tell_infos, tell_update
from polypaint.matches.viewer import Standing, Viewer, ViewerKey

if TYPE_CHECKING:
    from random import Random

KIND: Final = "table"
EXPIRES_S: Final = 600.0
LATE_S: Final = 600.0
"""No message between servers comes later than this."""
RESULT_S: Final = 30.0
"""How long after the end somebody may still look before they count as gone."""
TICK_S_MIN: Final = 0.01
"""Between two moves that a game makes by itself, whatever it asks for."""
TICK_AGAIN_S: Final = 1.0
"""After a move that a game made by itself and that could not be carried out."""
FAILED: Final = "the game has failed; the match is cancelled"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session is. seat: theirs, if they play."""

    match: Match
    seat: Seat | None


class MatchServer:
    """See the module. failed: is told of a game that failed, and in which match.

    seeded: gives a game its random numbers, the same for the same seed.
    """

    def __init__(
        self,
        context: Context,
        book: DocumentBuffer,
        games: dict[str, type[Game]],
        bus: Requests,
        failed: Callable[[GameFailed, str], None],
        seeded: "Callable[[int], Random]",
    ) -> None:
        self.matches: dict[str, Match] = {}
        self._context = context
        self._book = book
        self._games = games
        self._bus = bus
        self._failed = failed
        self._seeded = seeded
        self._reservations = Reservations()
        self._spectators = Spectators(context)
        self._moves = MoveLog(context, book)
        self._places: dict[ViewerKey, Place] = {}
        """Where sessions are: those that have a seat, and those that watch."""
        self._forgotten: set[str] = set()
        """Matches that are no more: an `ouvrir` that comes late must not bring them back."""

    # ------------------------------------------------------------ finding one's match
    def find(self, name: str, code: str | None) -> Match:
        """The match that this player means, if there is a seat for them. Raises MatchRefusal."""
        if code is None:
            code = self._reservations.only(name)
            if code is None:
                raise refused("code_requis")
        match = self._live(code)
        seat = match.seats.get(name)
        if seat is not None:
            if seat.state == GONE:
                raise refused("terminee", "you have left this match")
        elif match.state == OVER:
            raise refused("terminee", "this match is over")
        elif len(match.seats) >= match.size:
            raise refused("complet")
        return match

    def _live(self, code: str) -> Match:
        """The match with this code. Raises MatchRefusal when there is none, or none any more."""
        match = self.matches.get(normal_code(code))
        if match is None or match.state in (EXPIRED, CANCELLED):
            raise refused("code_inconnu")
        return match

    # ------------------------------------------------------------ coming
    def enter(self, viewer: Viewer, name: str, code: str | None, rid: Any, now: float) -> None:
        """`connexion` of somebody whose identity is known. Raises MatchRefusal."""
        match = self.find(name, code)
        seat = match.seats.get(name)
        if seat is None:
            if self._context.read_only:
                raise full_disk()
            seat = match.seats[name] = Seat(name)
            self._reservations.add(name, match.code)
        older, seat.viewer = seat.viewer, viewer
        if older is not None:
            del self._places[older.key]
            older.displaced()
        seat.end_hold()
        self._places[viewer.key] = Place(match, seat)
        viewer.placed(Standing.SEATED)
        if seat.state == AWAY:
            seat.state = TAKEN
        if match.state == CREATED:
            match.state = OPEN
        with self._surviving(match, now, asked=True):
            if match.state == OPEN and len(match.seats) == match.size:
                self._begin(match, now)
            tell_infos(match, self._states(match), viewer.key, rid)
            self._changed(match, now)

    def watch(self, viewer: Viewer, code: str, now: float) -> dict[str, Any]:
        """`spectateur`: `infos_partie`. Raises MatchRefusal."""
        match = self._live(code)
        self._spectators.join(match, viewer)
        self._places[viewer.key] = Place(match, None)
        viewer.placed(Standing.WATCHING)
        with self._surviving(match, now, asked=True):
            return match.infos(self._states(match)[None])
        raise AssertionError("a failed game is refused")

    # ------------------------------------------------------------ going
    def leave(self, viewer: Viewer, now: float) -> None:
        """`deconnexion`: the seat is given up. Raises MatchRefusal when nothing can be kept."""
        place = self._places.get(viewer.key)
        if place is None or place.seat is None:
            self._unbind(viewer)
            return
        match, seat = place.match, place.seat
        if self._context.read_only and seat.state not in (DONE, GONE):
            raise full_disk()
        with self._surviving(match, now):
            if match.state == PLAYING and seat.state != GONE:
                self._forfeit(match, seat, now)
            self._unbind(viewer)
            self._vacate(match, seat, now)

    def lost(self, viewer: Viewer, now: float) -> None:
        """A connection is gone: its seat is held for a while."""
        place = self._unbind(viewer)
        if place is None or place.seat is None:
            return
        match, seat = place.match, place.seat
        with self._surviving(match, now):
            if seat.state == DONE:
                self._vacate(match, seat, now)
            elif seat.state == TAKEN:
                seat.state = AWAY
                self._hold(match, seat, now)
                tell_infos(match, self._states(match))

    def _unbind(self, viewer: Viewer, standing: Standing = Standing.NOWHERE) -> Place | None:
        """Somebody is at no match any more; where they were."""
        place = self._places.pop(viewer.key, None)
        if place is not None:
            self._spectators.leave(place.match, viewer)
            if place.seat is not None:
                place.seat.viewer = None
        viewer.placed(standing)
        return place

    def _hold(self, match: Match, seat: Seat, now: float) -> None:
        at = now + self._context.settings.seat_hold
        seat.hold = self._context.writing_at(at, partial(self._given_up, match, seat))

    def _given_up(self, match: Match, seat: Seat, now: float) -> None:
        """Somebody has been away for too long."""
        with self._surviving(match, now):
            if match.state == PLAYING:
                self._forfeit(match, seat, now)
            self._vacate(match, seat, now)

    def _vacate(self, match: Match, seat: Seat, now: float) -> None:
        """A seat is given up: free again before play, gone for good after."""
        if match.state in (CREATED, OPEN):
            del match.seats[seat.name]
            if seat.name != match.owner:
                self._reservations.remove(seat.name, match.code)
        elif seat.state != GONE:
            seat.state = GONE
            self._reservations.remove(seat.name, match.code)
            self._report(match, seat, now)
        self._changed(match, now)
        tell_infos(match, self._states(match))

    # ------------------------------------------------------------ play
    def _begin(self, match: Match, now: float) -> None:
        """Every seat is taken."""
        match.state = PLAYING
        match.began = self._context.utc(now)
        order = sorted(match.seats, key=lambda name: name != match.owner)  # stable
        match.seats = {name: match.seats[name] for name in order}
        self._set_up(match)
        outcome = match.outcome(None, None)
        self._arrange(match, outcome.game_lobby)
        self._wait_for_game(match, outcome.due_ms, now)

    def _set_up(self, match: Match) -> None:
        """The game at its beginning. Raises GameFailed."""
        game = self._games[match.parameters["jeu"]]
        random = self._seeded(match.seed)
        match.game = RunningGame(game, list(match.seats), match.parameters, random)

    def act(self, viewer: Viewer, action: dict[str, Any], rid: Any, now: float) -> None:
        """`action` of whoever has a seat. Raises MatchRefusal; nothing has changed then."""
        place = self._places.get(viewer.key)
        if place is None or place.seat is None:
            raise refused("non_connecte")
        match, seat = place.match, place.seat
        if match.state in (CREATED, OPEN):
            raise refused("pas_commencee")
        if match.state != PLAYING or match.game is None:
            raise refused("terminee")
        if self._context.read_only:
            raise full_disk()
        game = match.game
        if match.seq >= game.moves_max:
            raise refused("action_invalide", f"this match has had its {game.moves_max} actions")
        if seat.is_hasty(game.pace, now):
            raise refused("debit", "you act faster than a person could; wait a second")
        now_ms = self._clock(match, now)
        with self._surviving(match, now, asked=True):
            try:
                game.act(seat.name, action, now_ms)
            except NotYourTurn as refusal:
                raise refused("pas_votre_tour", str(refusal)) from None
            except Refused as refusal:
                raise refused("action_invalide", str(refusal)) from None
            self._moved(match, seat.name, action, now_ms, now, viewer.key, rid)

    def _forfeit(self, match: Match, seat: Seat, now: float) -> None:
        """A player has gone during play."""
        game = match.game
        assert game is not None
        now_ms = self._clock(match, now)
        game.leave(seat.name, now_ms)
        match.results[seat.name] = DEFEAT
        self._moved(match, seat.name, None, now_ms, now)

    def _moved(
        self,
        match: Match,
        name: str | None,
        action: dict[str, Any] | None,
        now_ms: int,
        now: float,
        asker: ViewerKey | None = None,
        rid: Any = None,
    ) -> None:
        """The game has taken a move: keep it, tell everybody, see whether that was the end.

        name None: what happens by itself; action None: of a player, that they are gone.
        """
        self._context.flush_set.spent += ENTRY * len(match.spectators)
        outcome = match.outcome(name, action)
        if match.seq >= MOVES_MAX + BY_ITSELF_MAX:
            raise GameFailed(match.parameters["jeu"], "moves", "it does not come to an end")
        match.seq += 1
        match.last_ms = now_ms
        move = {"j": name, "a": action, "t": now_ms}
        self._moves.add(match.code, match.seq, move, now)
        if outcome.results is not None:
            self._end(match, outcome.results, now)
        self._arrange(match, outcome.game_lobby)
        tell_update(match, name, action, outcome, asker, rid)
        if match.state == OVER:
            self._changed(match, now)
        else:
            self._wait_for_game(match, outcome.due_ms, now)

    def _end(self, match: Match, results: dict[str, str], now: float) -> None:
        """It is over: everybody's result is kept in the same commit as the last move."""
        match.state = OVER
        match.results = {**results, **match.results}
        for seat in match.seats.values():
            if seat.state == TAKEN:
                seat.state = DONE
            elif seat.state == AWAY:
                self._depart(match, seat, now)
        self._replace_timer(match, now + RESULT_S, self._everybody_gone)

    def _depart(self, match: Match, seat: Seat, now: float) -> None:
        seat.end_hold()
        seat.state = GONE
        self._reservations.remove(seat.name, match.code)
        self._report(match, seat, now)

    def _everybody_gone(self, match: Match, now: float) -> None:
        """They have looked for long enough: their results go out."""
        for seat in match.seats.values():
            if seat.state != GONE:
                self._depart(match, seat, now)
        self._changed(match, now)

    def _clock(self, match: Match, now: float) -> int:
        """Milliseconds since play began; never back."""
        return max(match.last_ms, round(1000 * (self._context.utc(now) - match.began)))

    def _wait_for_game(self, match: Match, due_ms: int | None, now: float) -> None:
        """Have the game called when something is due by itself."""
        match.due_ms = due_ms
        at = None
        if due_ms is not None:
            at = now + max((due_ms - self._clock(match, now)) / 1000, TICK_S_MIN)
        self._replace_timer(match, at, self._tick)

    def _tick(self, match: Match, now: float) -> None:
        """Something is due by itself. First it is due again, so that nothing ends the match that
        raises on the way."""
        game = match.game
        if game is not None:
            self._replace_timer(match, now + TICK_AGAIN_S, self._tick)
            now_ms = max(self._clock(match, now), match.due_ms or 0)
            with self._surviving(match, now):
                game.tick(now_ms)
                self._moved(match, None, None, now_ms, now)

    def _replace_timer(
        self, match: Match, at: float | None, call: Callable[[Match, float], None]
    ) -> None:
        if match.timer is not None:
            match.timer.cancel()
        match.timer = None if at is None else self._context.writing_at(at, partial(call, match))

    def _arrange(self, match: Match, wanted: GameLobby | None) -> None:
        """Have the paint lobby as the game wants it now."""
        effect = match.arrange(wanted)
        if effect is not None:
            self._context.effects.append(effect)

    # ------------------------------------------------------------ games that fail
    @contextmanager
    def _surviving(self, match: Match, now: float, asked: bool = False) -> Iterator[None]:
        """Cancel the match if its game fails in here. asked: a request waits for an answer, and
        an MatchRefusal is raised for it."""
        try:
            yield
        except GameFailed as failure:
            self._failed(failure, match.code)
            self._abandon(match, CANCELLED, FAILED, now)
            if asked:
                raise refused("terminee", FAILED) from None

    def _states(self, match: Match) -> States:
        """`Match.states`. Raises GameFailed; but what was played to its end stays so."""
        self._context.flush_set.spent += ENTRY * len(match.spectators)
        try:
            return match.states()
        except GameFailed as failure:
            if match.state != OVER:
                raise
            self._failed(failure, match.code)
            match.game = None
            return match.states()

    # ------------------------------------------------------------ between servers
    def receive(self, message: dict[str, Any], now: float) -> None:
        """From the manager or the stats server; a repeat changes nothing."""
        _HANDLERS[between.name_of(message)](self, message, now)

    def _open(self, message: dict[str, Any], now: float) -> None:
        code = message["code_partie"]
        if code not in self.matches and code not in self._forgotten:
            match = self.matches[code] = Match(code, message, self._games)
            self._reservations.add(match.owner, code)
            self._replace_timer(match, now + EXPIRES_S, self._expire)
            self._keep(match, now)
        self._bus.send(MANAGER, OPENED.make(code_partie=code))

    def _expire(self, match: Match, now: float) -> None:
        """It was never filled."""
        self._abandon(match, EXPIRED, "nobody has taken the free seats in time", now)

    def _abandon(self, match: Match, state: str, reason: str, now: float) -> None:
        """It ends without results."""
        match.state = state
        match.game = None
        self._arrange(match, None)
        self._replace_timer(match, None, self._tick)
        self._changed(match, now)
        tell_infos(match, match.states(), reason=reason)
        standing = Standing.OVER if state == CANCELLED else Standing.NOWHERE
        for _, viewer in list(match.viewers()):
            self._unbind(viewer, standing)
        for seat in match.seats.values():
            seat.end_hold()

    def _changed(self, match: Match, now: float) -> None:
        """Keep what has changed of a match, and let the manager know how it stands."""
        match.version += 1
        self._keep(match, now)
        self._tell_manager(match, now)

    def _keep(self, match: Match, now: float) -> None:
        self._book.put(KIND, match.code, match.document(), now)

    def _tell_manager(self, match: Match, now: float) -> None:
        if self.matches.get(match.code) is not match or match.told >= match.version:
            return
        state = STATE.make(
            code_partie=match.code,
            etat=match.state,
            libres=match.size - len(match.seats),
            n=match.version,
        )
        self._bus.request(STATE.key(MANAGER, match.code), MANAGER, state, now)

    def _noted(self, message: dict[str, Any], now: float) -> None:
        """The manager knows how a match stands."""
        match = self.matches.get(message["code_partie"])
        if match is not None:
            match.told = max(match.told, message["n"])
            if match.told >= match.version:
                self._bus.acknowledged(STATE.key(MANAGER, match.code))
                if match.state in (EXPIRED, CANCELLED):
                    self._discard(match, now)

    def _report(self, match: Match, seat: Seat, now: float) -> None:
        """`stat`, until it is acknowledged; after that now and then, until the match is closed."""
        result = between.RESULT.make(
            id_publique=seat.name,
            statut=match.results[seat.name],
            code_partie=match.code,
            attendus=list(match.seats),
        )
        key = between.RESULT.key(STATS, match.code, seat.name)
        self._bus.request(key, STATS, result, now, between.RESULT_RETRY_S_MAX)
        if seat.acknowledged:
            self._bus.slow_down(key)

    def _counted(self, message: dict[str, Any], now: float) -> None:
        """The stats server has this result."""
        code, name = message["code_partie"], message["id_publique"]
        self._bus.slow_down(between.RESULT.key(STATS, code, name))
        match = self.matches.get(code)
        seat = match.seats.get(name) if match is not None else None
        if match is not None and seat is not None and not seat.acknowledged:
            seat.acknowledged = True
            self._keep(match, now)

    def _close(self, message: dict[str, Any], now: float) -> None:
        """`fermer`: every result is counted."""
        match = self.matches.get(message["code_partie"])
        if match is not None:
            for _, viewer in list(match.viewers()):
                self._unbind(viewer, Standing.OVER)
            self._discard(match, now)
        self._bus.send(MANAGER, CLOSED.make(code_partie=message["code_partie"]))

    def _discard(self, match: Match, now: float) -> None:
        """Nothing of it is needed any more."""
        del self.matches[match.code]
        self._bus.acknowledged(STATE.key(MANAGER, match.code))
        for name in match.seats:
            self._bus.acknowledged(between.RESULT.key(STATS, match.code, name))
        self._forgotten.add(match.code)
        self._context.timers.at(now + LATE_S, lambda _now: self._forgotten.discard(match.code))
        self._replace_timer(match, None, self._tick)
        for name in [match.owner, *match.seats]:
            self._reservations.remove(name, match.code)
        self._book.remove(KIND, match.code, now)
        self._moves.forget(match.code, match.seq, now)

    # ------------------------------------------------------------ after a killed server
    def restore(
        self,
        documents: Iterable[tuple[str, bytes]],
        moves: Iterable[tuple[str, bytes]],
        now: float,
    ) -> None:
        """What was kept when the server stopped: every match at the last update anyone saw."""
        tables = dict(documents)
        played = self._moves.restore(moves, tables, now)
        for code, body in tables.items():
            try:
                match = Match.restored(code, orjson.loads(body), self._games)
            except (ValueError, KeyError, TypeError, AttributeError) as problem:
                self._cannot_resume(code, problem)
                continue
            self.matches[code] = match
            self._reservations.add(match.owner, code)
            for seat in match.seats.values():
                if seat.state != GONE:
                    self._reservations.add(seat.name, code)
            try:
                self._replay(match, played.get(code, []))
            except Exception as problem:
                # A game whose rules are not installed any more, or are others now.
                self._cannot_resume(code, problem)
                if match.state != OVER:
                    self._abandon(match, CANCELLED, FAILED, now)
                    continue
                match.game = None  # its results count, whether or not it can be shown
            self._resume(match, now)

    def _cannot_resume(self, code: str, problem: Exception) -> None:
        details = {"code": code, "problem": repr(problem)}
        self._context.effects.append(Trouble("a match cannot be resumed", details))

    def _replay(self, match: Match, moves: list[bytes]) -> None:
        """Play the moves again. Raises GameFailed, and whatever damaged documents lead to."""
        match.seq = len(moves)
        if match.state in (PLAYING, OVER):
            self._set_up(match)
            match.replay(map(orjson.loads, moves))

    def _resume(self, match: Match, now: float) -> None:
        """Everybody is away; what was under way goes on."""
        self._tell_manager(match, now)
        if match.state in (EXPIRED, CANCELLED):
            return
        if match.state == OVER:
            for seat in match.seats.values():
                if seat.state == GONE:
                    self._report(match, seat, now)
            if match.game is not None:
                self._arrange(match, match.game.game_lobby())
            self._replace_timer(match, now + RESULT_S, self._everybody_gone)
            return
        for seat in match.seats.values():
            if seat.state != GONE:
                seat.state = AWAY
                self._hold(match, seat, now)
        if match.state == PLAYING:
            with self._surviving(match, now):
                outcome = match.outcome(None, None)
                self._arrange(match, outcome.game_lobby)
                self._wait_for_game(match, outcome.due_ms, now)
        elif match.state in (CREATED, OPEN):
            at = now + max(EXPIRES_S - (self._context.utc(now) - match.created), 0)
            self._replace_timer(match, at, self._expire)


_HANDLERS: Final = between.handlers(
    MATCH,
    ROLE_MESSAGES,
    {
        roles.OPEN_MATCH: MatchServer._open,
        roles.NOTED: MatchServer._noted,
        roles.CLOSE_MATCH: MatchServer._close,
        between.COUNTED: MatchServer._counted,
        between.AGAIN: MatchServer._counted,
        between.CONFLICT: MatchServer._counted,
    },
)
