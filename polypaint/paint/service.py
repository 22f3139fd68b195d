"""The paint service: every session, lobby and channel of one server, as one state machine.

Bytes come in through sessions; what goes out stands in send queues, in the log, and in `effects`.
Time is an argument. Whoever runs this: after each call, carry out `effects`; when `turn.pending`,
flush: `turn.seal()` · journal `log.take()` · release the send queues · send.

Must never do I/O. Counterpart: `runtime/server.py` runs it; the tests' simulation runs it too.
Protocol: docs/protocol.md, sections 4-7.
"""

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from polypaint.engine.budget import CREATION, Rates, is_heavy
from polypaint.engine.context import Context
from polypaint.engine.effects import DrawingProblem, Rejected, Unexpected
from polypaint.errors import Refused, Stale, StoreError
from polypaint.identity.accounts import Presence
from polypaint.paint import packets
from polypaint.paint.canvas import Canvas
from polypaint.paint.channels import GENERAL, Channels
from polypaint.paint.client_snapshots import SnapshotRequests
from polypaint.paint.directory import Directory, Unsaved
from polypaint.paint.effects import LoadCanvas, RemoveCanvas, SaveCanvas, Work
from polypaint.paint.lobbies import Lobby, LobbyRules, Member, empty_bytes, empty_canvas
from polypaint.paint.packets import (
    CHANNEL_MESSAGE,
    FETCH_DATABASE,
    LOBBY_CONNECT,
    LOBBY_CREATION,
    LOBBY_FREEZE_STATE,
    LOBBY_INFO_CHANGE,
    LOBBY_PLAYER_KICK,
    PACKETS,
)
from polypaint.paint.replays import Replays
from polypaint.paint.session import NOTED_EVERY, PaintSession

FREEZE_S: Final = 10.0
HEAVY: Final = 1_000_000
"""Work on a canvas that takes more nanoseconds is done off the event loop."""
SAVE_AGAIN_S: Final = 5.0
CREATED, CONNECTED, EXISTS, DOES_NOT_EXIST = range(4)
FULL: Final = (
    "The server's disk is full. You can look and chat; drawing goes on when there is room."
)
LOADS_MAX: Final = 4
"""Drawings that are loaded at the same time."""
NO_MEMORY: Final = "The server has no memory for this at the moment. Try again later."
CREATIONS: Final = (1.0, 60.0)
"""Drawings a second, and at once, that an account may create; then it is slowed down."""
GUESSES: Final = (2.0, 20.0)
"""The same for joining a drawing that is not there, or with a passcode that is wrong."""
ADDRESS_GUESSES: Final = (10.0, 100.0)
"""The same for all accounts of an address."""
GUESS_S_MAX: Final = 10.0
"""The longest that anybody waits for it."""
CODE: Final = re.compile("[0-9A-Z]{6,}")
"""Of a match."""
WARN_S: Final = 10.0
"""How often somebody is told that there is no memory."""


class PaintService:
    """See the module."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.settings = context.settings
        self.flush_set = context.flush_set
        self.log = context.log
        self.effects = context.effects
        self.timers = context.timers
        self.presence: Presence[PaintSession] = Presence()
        self.directory = Directory(self.settings.expose_passcodes, self.settings.hide_private)
        self.unsaved = Unsaved()
        self.lobbies: dict[str, Lobby] = {}
        self.channels = Channels(context.flush_set, self.lobbies)
        self.sessions: set[PaintSession] = set()
        self.heavy = HEAVY
        self.games = frozenset({"dessin"})
        """Games whose matches have drawings: the names of these are theirs alone."""
        self.counters = {"packets": 0, "rejected": 0, "resyncs": 0, "evicted": 0}
        self._next_number = 1
        self._loading: dict[Lobby, list[Callable[[float], None]]] = {}
        self._loads = 0
        self._to_load: deque[Lobby] = deque()
        self._removing: set[Lobby] = set()
        self._owned: Counter[str] = Counter()
        self._creating = Rates(*CREATIONS)
        self._guessing = Rates(*GUESSES)
        self._guessing_from = Rates(*ADDRESS_GUESSES)
        self.snapshot_requests = SnapshotRequests(context, self._welcome)
        self.replays = Replays(context.memory)

    @property
    def read_only(self) -> bool:
        """Is the disk full?"""
        return self.context.read_only

    # ------------------------------------------------------------ connections
    def connect(self, address: str, now: float, rtt_s: Callable[[], float]) -> PaintSession | None:
        """A new connection; None when there are too many.

        address: of the peer, without its port. rtt_s: asks for the round-trip time in seconds.
        """
        if not self.context.admit(address):
            return None
        session = PaintSession(self, address, now, rtt_s)
        self.sessions.add(session)
        return session

    def disconnected(self, session: PaintSession, now: float) -> None:
        """The connection is gone, whoever closed it."""
        self.sessions.discard(session)
        self.replays.end(session)
        self.context.gone(session.address, unauthenticated=not session.name)
        if session.name:
            self.part(session, now)
        session.send_queue.drop()

    def part(self, session: PaintSession, now: float) -> None:
        """Somebody who is logged in goes: their name is free, and they are nowhere any more."""
        self.presence.let_go(session.name, session)
        self.context.contain("leaving", self.leave, session, now)
        self.context.contain("leaving", self.channels.disconnect_all, session)

    # ------------------------------------------------------------ lobbies: coming and going
    def create(self, session: PaintSession, info: LobbyRules, now: float) -> None:
        """LOBBY_CREATION (sections 5, 9)."""
        lobby = self.lobbies.get(info.filename)
        if self.read_only:
            self._answer(session, LOBBY_CREATION, EXISTS, now)
            self._notice(session, GENERAL, FULL, now)
        elif lobby is not None and not lobby.members and lobby.info.owner == session.name:
            changed = lobby.info.protected(info.protection, info.passcode)
            if changed != lobby.info:
                lobby.change_info(changed, self.context.date(now))
            self._enter(session, lobby, created=True, passcode="", now=now)
        elif lobby is not None or self._is_reserved(info.filename):
            self._turn_away(session, created=True, now=now)
        elif reason := self._no_more(session, info):
            self._turn_away(session, True, now, reason)
        else:
            self.context.flush_set.spent += CREATION
            lobby = self._new_lobby(self._next_number, info)
            lobby.found(self.context.date(now))
            self._answer(session, LOBBY_CREATION, CREATED, now)
            self._join(session, lobby, now)
            session.delay(self._creating.charge(session.name, now), now)

    def _is_reserved(self, filename: str) -> bool:
        """Is this a name for the drawing of a match: a game, and the code of the match?"""
        game, _, code = filename.rpartition("-")
        return game in self.games and CODE.fullmatch(code) is not None

    def _no_more(self, session: PaintSession, info: LobbyRules) -> str:
        """Why this person may not have another drawing; empty if they may."""
        if len(self.lobbies) >= self.settings.lobbies_max:
            return f"The server keeps {self.settings.lobbies_max} drawings and no more."
        if self._owned[session.name] >= self.settings.account_lobbies_max:
            return f"You have {self.settings.account_lobbies_max} drawings, which is the limit."
        return "" if self.replays.has_room(empty_bytes(info.drawing_mode)) else NO_MEMORY

    def enter(self, session: PaintSession, filename: str, passcode: str, now: float) -> None:
        """LOBBY_CONNECT (sections 5, 6)."""
        lobby = self.lobbies.get(filename)
        if lobby is not None and lobby is session.lobby:
            self._answer(session, LOBBY_CONNECT, CONNECTED, now)
        elif lobby is None or not lobby.info.admits(session.name, passcode):
            self._answer(session, LOBBY_CONNECT, DOES_NOT_EXIST, now)
            self._guess(session, now)
        else:
            self._enter(session, lobby, created=False, passcode=passcode, now=now)

    def _guess(self, session: PaintSession, now: float) -> None:
        """Somebody names lobbies or passcodes that are not: who does it often is slowed down."""
        wait = self._guessing.charge(session.name, now)
        if self.context.is_unauthenticated(session.address):
            wait = max(wait, self._guessing_from.charge(session.address, now))
        if wait > 0:
            session.guesses += 1
            if session.guesses % NOTED_EVERY == 1:
                reason = "names drawings or passcodes that are not"
                what = str(LOBBY_CONNECT.id)
                self.effects.append(Rejected(session, what, reason, session.guesses))
            session.delay(min(wait, GUESS_S_MAX), now)

    def _enter(
        self, session: PaintSession, lobby: Lobby, created: bool, passcode: str, now: float
    ) -> None:
        """Join a lobby that exists, once its canvas is in memory.

        Who has not read the last canvas waits for the next one until they have.
        """
        later = partial(self._enter_later, session, lobby, created, passcode)
        if session.send_queue.replaying:
            session.waiting = True
            session.send_queue.call_when_sent(lambda: later(session.taken_at))
        elif lobby.busy:
            session.waiting = True
            lobby.when_free(later, now)
        elif not self.replays.has_room(lobby.joining_growth, lobby.memory_used, keep=lobby):
            self._turn_away(session, created, now, NO_MEMORY)
            self._left(lobby, now)
        elif lobby.canvas is None:
            session.waiting = True
            self._load(lobby).append(
                partial(self._enter_loaded, session, lobby, created, passcode)
            )
        else:
            self._enter_now(session, lobby, created, now)

    def _enter_now(self, session: PaintSession, lobby: Lobby, created: bool, now: float) -> None:
        kind, status = (LOBBY_CREATION, CREATED) if created else (LOBBY_CONNECT, CONNECTED)
        self._answer(session, kind, status, now)
        member = self._join(session, lobby, now)
        canvas = lobby.loaded
        if canvas.needs_client_snapshot and len(lobby.members) > 1:
            self._freeze(session, True, now)
            self.snapshot_requests.ask(lobby, member, now)
        else:
            self._welcome(lobby, member, now)

    def _load(self, lobby: Lobby) -> list[Callable[[float], None]]:
        """Have the canvas brought; who has to be called when it is there, or cannot be had."""
        if lobby not in self._loading:
            self._loading[lobby] = []
            self._to_load.append(lobby)
            self._load_next()
        return self._loading[lobby]

    def _load_next(self) -> None:
        """How large a drawing is, is known when it is there: so few are loaded at a time."""
        while self._to_load and self._loads < LOADS_MAX:
            self._loads += 1
            lobby = self._to_load.popleft()
            self.effects.append(LoadCanvas(lobby, partial(self.canvas_loaded, lobby, dump=None)))

    def _enter_loaded(
        self, session: PaintSession, lobby: Lobby, created: bool, passcode: str, now: float
    ) -> None:
        if lobby.canvas is not None:
            self._enter_later(session, lobby, created, passcode, now)
        elif session in self.sessions and not session.closing:
            session.waiting = False
            self._turn_away(session, created, now)
            self.resume(session, now)

    def _enter_later(
        self, session: PaintSession, lobby: Lobby, created: bool, passcode: str, now: float
    ) -> None:
        """What a session waited for has come: it enters, if it still may."""
        if session not in self.sessions or session.closing:
            return
        session.waiting = False
        if lobby.info.admits(session.name, passcode) and not lobby.removed:
            self._enter(session, lobby, created, passcode, now)
        else:
            self._turn_away(session, created, now)
        self.resume(session, now)

    def _turn_away(
        self, session: PaintSession, created: bool, now: float, reason: str = ""
    ) -> None:
        kind, status = (LOBBY_CREATION, EXISTS) if created else (LOBBY_CONNECT, DOES_NOT_EXIST)
        self._answer(session, kind, status, now)
        if reason:
            self._notice(session, GENERAL, reason, now)

    def canvas_loaded(
        self, lobby: Lobby, now: float, dump: tuple[dict[str, Any], list[bytes]] | None
    ) -> None:
        """The store has brought a drawing; None: it could not."""
        if dump is None:
            self._loaded(lobby, None, now)
            return
        canvas = empty_canvas(lobby.info.drawing_mode)
        self._work(
            lobby,
            canvas.load_cost(dump[1]),
            partial(canvas.load, *dump),
            partial(self._decoded, lobby, canvas),
            partial(self._loaded, lobby, None),
            now,
        )

    def _decoded(self, lobby: Lobby, canvas: Canvas, outcome: Any, now: float) -> None:
        if isinstance(outcome, StoreError):
            self.effects.append(
                DrawingProblem("a stored drawing is damaged", lobby.info.filename, outcome)
            )
            self._loaded(lobby, None, now)
        else:
            self._loaded(lobby, canvas, now)

    def _loaded(self, lobby: Lobby, canvas: Canvas | None, now: float) -> None:
        """A drawing is in memory; None: it is not to be had. Who has waited for it goes on."""
        if lobby not in self._loading:
            return
        lobby.canvas = canvas
        lobby.weigh()
        self._loads -= 1
        self._load_next()
        for waiter in self._loading.pop(lobby):
            self.context.contain("a drawing was waited for", waiter, now)
        if lobby.canvas is not None and not lobby.members:
            self._emptied(lobby, now)

    def resume(self, session: PaintSession, now: float) -> None:
        """A session waited for something; it goes on with what it had received."""
        session.resume(now)

    def _join(self, session: PaintSession, lobby: Lobby, now: float) -> Member:
        self.leave(session, now)
        if not lobby.members:
            self.channels.open_lobby(lobby.info.filename, lobby.info.sole_viewer)
        member = Member(session)
        lobby.add_member(member)
        session.lobby, session.member = lobby, member
        session.send_queue.attach(lobby.broadcast)
        self.channels.enter_lobby(session, lobby.info.filename)
        lobby.presence.came(session, session.name == lobby.info.owner, self.context.date(now))
        if self.read_only:
            self._freeze(session, True, now)
        return member

    def leave(self, session: PaintSession, now: float) -> None:
        """Leave the present lobby, if there is one."""
        lobby, member = session.lobby, session.member
        if lobby is None or member is None:
            return
        session.lobby = session.member = None
        was_frozen = lobby.frozen
        lobby.remove_member(member)
        session.send_queue.detach()
        lobby.presence.went(session, self.context.date(now))
        self.channels.leave_lobby(session, lobby.info.filename)
        self.snapshot_requests.gone(lobby, member)
        if not lobby.members:
            self.channels.close_lobby(lobby.info.filename)
        lobby.when_free(partial(self._release, lobby, session.name), now)
        if was_frozen and not lobby.frozen:
            self._thaw(lobby, now)
        lobby.when_free(partial(self._left, lobby), now)

    def _release(self, lobby: Lobby, name: str, now: float) -> None:
        """End what somebody who has left had selected."""
        if name in lobby.members:
            return  # they are back, and it is theirs again
        canvas = lobby.loaded
        cost = canvas.release_cost(name)
        work = partial(canvas.release, name, self.context.date(now))
        then = partial(self._released, lobby)
        self._work(lobby, cost, work, then, partial(then, b""), now)

    def _released(self, lobby: Lobby, told: bytes, _now: float) -> None:
        lobby.released(told)

    def _left(self, lobby: Lobby, now: float) -> None:
        if not lobby.members:
            self._emptied(lobby, now)

    def change_info(self, session: PaintSession, values: dict[str, str], now: float) -> None:
        """LOBBY_INFO_CHANGE: the new rules first, then who no longer fits leaves (section 5)."""
        lobby = self.lobbies.get(values["Filename"])
        if lobby is None or lobby.info.owner != session.name:
            raise Refused("no lobby of yours has this Filename")
        if self.read_only:
            self._notice(session, GENERAL, FULL, now)
            return
        before = lobby.info
        info = before.protected(values["Protection"], values["Passcode"])
        lobby.change_info(info, self.context.date(now))
        self.channels.show_lobby(info.filename, info.sole_viewer)
        others = [m for name, m in lobby.members.items() if name != info.owner]
        if info.locks_out(before):
            for member in others:
                self._put_out(lobby, member, self.settings.kick_reason, now)
        else:
            text = orjson.dumps(info.settled | {"Passcode": ""}).decode()
            told = LOBBY_INFO_CHANGE.encode_reply(
                self.context.date(now), text, name=session.name_bytes
            )
            for member in others:
                member.guest.send_queue.push(told)
        if lobby.canvas is None:
            self.save(lobby, now)

    # ------------------------------------------------------------ lobbies of games
    def arrange(
        self,
        filename: str,
        owner: str,
        passcode: str,
        allowed_authors: frozenset[str] | None,
        clear: bool,
        now: float,
    ) -> None:
        """Have a protected lobby in which only these may draw; None: all members.

        clear: wipe what is drawn in it. Does nothing but that when the lobby is as it should be.
        """
        lobby = self.lobbies.get(filename)
        if lobby is None:
            lobby = self._new_lobby(
                self._next_number, LobbyRules(filename, owner, "stroke", "protected", passcode)
            )
            lobby.found(self.context.date(now))
        elif lobby.info.owner != owner and lobby.info.passcode != passcode:
            taken = Refused(
                "a drawing of somebody else has the name of a match's; it stays theirs"
            )
            self.effects.append(DrawingProblem("a name is taken", filename, taken))
            return
        elif clear:
            lobby.when_free(partial(self._wipe, lobby), now)
        lobby.allowed_authors = allowed_authors
        if not lobby.members:
            lobby.when_free(partial(self._left, lobby), now)

    def _wipe(self, lobby: Lobby, now: float) -> None:
        if lobby.canvas is not None:
            lobby.wipe(self.context.date(now))
        elif not lobby.removed:
            self._load(lobby).append(
                lambda now: (
                    lobby.wipe(self.context.date(now)) if lobby.canvas is not None else None
                )
            )

    def remove(self, filename: str, reason: str, now: float) -> None:
        """Put everybody out of a lobby and forget its drawing."""
        lobby = self.lobbies.pop(filename, None)
        if lobby is None:
            return
        self._removing.add(lobby)
        self._owned[lobby.info.owner] -= 1
        told = lobby.end(self.context.date(now), reason)
        for member in list(lobby.members.values()):
            member.guest.send_queue.push(told)
            self.leave(self._session(member), now)
        if not lobby.saving:
            self._forget(lobby, now)

    def _forget(self, lobby: Lobby, _now: float) -> None:
        """Have the store forget a drawing."""
        self.effects.append(RemoveCanvas(lobby, partial(self.canvas_removed, lobby, False)))

    def canvas_removed(self, lobby: Lobby, ok: bool, now: float) -> None:
        """The store has forgotten a drawing, or could not; then it is tried again."""
        if ok:
            self._removing.discard(lobby)
            lobby.need_journal(None)
        else:
            self.timers.at(now + SAVE_AGAIN_S, partial(self._forget, lobby))

    # ------------------------------------------------------------ much to compute
    def _work(
        self,
        lobby: Lobby,
        cost: int,
        work: Callable[[], Any],
        then: Callable[[Any, float], None],
        failed: Callable[[float], None],
        now: float,
    ) -> None:
        """Have `then(work(), now)`: at once if it costs little, else off the loop.

        Meanwhile the lobby is busy, and only this lobby: its members' packets wait. What `work`
        raises, if it is Refused or a StoreError, is handed to `then`; anything else that it or
        `then` raises is an error of ours: it is reported, and `failed(now)` is called.
        """
        if cost > self.heavy:
            lobby.busy = True
            done = partial(self._done, then, failed)
            freed = partial(self._free, lobby, failed)
            self.effects.append(Work(lobby, work, done, freed, cost))
            return
        self.context.flush_set.spent += cost
        try:
            then(attempted(work), now)
        except Exception as error:
            self.effects.append(Unexpected("work on a drawing", error))
            failed(now)

    def _done(
        self,
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

    def worked(self, effect: Work, outcome: Any, now: float) -> None:
        """The work is done; what has waited for it goes on, in order."""
        self._free(effect.lobby, partial(effect.then, outcome), now)

    def _free(self, lobby: Lobby, call: Callable[[float], None], now: float) -> None:
        """The canvas may be touched again: make this call, then those that have waited."""
        lobby.busy = False
        lobby.deferred.insert(0, call)
        while lobby.deferred and not lobby.busy:
            self.context.contain("work on a drawing", lobby.deferred.pop(0), now)
        while lobby.waiters and not lobby.busy:
            session = self._next_waiter(lobby, now)
            session.waiting = False
            if session in self.sessions:
                self.resume(session, now)

    def _next_waiter(self, lobby: Lobby, now: float) -> PaintSession:
        """Who has waited longest for the canvas of those who have not given it much to do lately.

        Whoever goes on may at once keep it busy again, and then waits behind all others.
        """
        sessions = [self._session_of(guest) for guest in lobby.waiters]
        light = (at for at, session in enumerate(sessions) if not is_heavy(session, now))
        return self._session_of(lobby.waiters.pop(next(light, 0)))

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
            self._work(lobby, canvas.size_cost, canvas.dump, then, partial(then, None), now)

    # ------------------------------------------------------------ drawing
    def draw(self, session: PaintSession, packet: bytes, now: float) -> None:
        """A drawing packet that conforms and carries the session's name. Raises Refused."""
        lobby, member = session.lobby, session.member
        if lobby is None or member is None:
            raise Refused("not in a lobby")
        if lobby.frozen or self.read_only:
            try:
                lobby.hold(session, packet)
            except Refused:
                member.short = True
                raise
            return
        self._draw(lobby, member, packet, now)

    def add_strokes(
        self, session: PaintSession, packets: list[bytes], start: int, now: float
    ) -> int:
        """The ADD_STROKE at packets[start:], many at once: how many were taken; 0: use `draw`."""
        lobby, member = session.lobby, session.member
        if lobby is None or member is None or lobby.waited_for or self.context.read_only:
            return 0
        if lobby.above_low_mark or self.context.memory.tight:
            return 0
        taken = lobby.add_strokes(member, packets, start, now)
        if taken:
            member.behind |= member.confirming
            self.counters["packets"] += taken
            if lobby.needs_saving:
                self.save(lobby, now)
        return taken

    def _draw(self, lobby: Lobby, member: Member, packet: bytes, now: float) -> None:
        member.behind |= member.confirming
        try:
            doubtful = lobby.permit(member, packet, now)
        except Stale:
            self.resync(lobby, member, now)
            return
        growth = lobby.loaded.growth(packet)
        if growth:  # there must be room to show it to somebody, too
            growth += lobby.joining_growth
            if not self.replays.has_room(growth, lobby.memory_used, keep=lobby):
                self._no_memory(lobby, member, now)
                return
        then = partial(self._drawn, lobby, member, packet)
        failed = partial(self._not_drawn, lobby, member, packet)
        work = partial(lobby.attempt, packet, doubtful)
        cost = lobby.loaded.cost(packet)
        if cost > self.heavy:
            self._session(member).heavy_at = now + cost * 1e-9
        self._work(lobby, cost, work, then, failed, now)

    def _drawn(
        self, lobby: Lobby, member: Member, packet: bytes, outcome: Any, now: float
    ) -> None:
        """The canvas has accepted a packet, or has refused it."""
        resync = isinstance(outcome, Stale)
        if not isinstance(outcome, Refused):
            applied, resync = outcome
            lobby.tell(applied, member, PACKETS[packet[2]], now)
        elif not resync:
            self._session(member).reject(packet, str(outcome), now)
        if resync:
            self.resync(lobby, member, now)
        if lobby.needs_saving:
            self.save(lobby, now)

    def _not_drawn(self, lobby: Lobby, member: Member, packet: bytes, now: float) -> None:
        """Applying a packet has failed: nobody else is told of it, and its sender is resynced."""
        self._session(member).reject(packet, "the server could not draw this", now)
        self.resync(lobby, member, now)

    def _no_memory(self, lobby: Lobby, member: Member, now: float) -> None:
        """What somebody has drawn takes more memory than there is: it does not count."""
        if now - member.warned_at > WARN_S:
            member.warned_at = now
            self._notice(self._session(member), GENERAL, NO_MEMORY, now)
        self.resync(lobby, member, now)

    # ------------------------------------------------------------ late join and resync
    def _welcome(self, lobby: Lobby, member: Member, now: float) -> None:
        """Give a newcomer the canvas (section 6)."""
        if self.settings.freeze == "lobby" and not self.read_only:
            for other in lobby.members.values():
                self._freeze(other.guest, True, now)
            lobby.waited_for.add(member)
            self.timers.at(now + FREEZE_S, partial(self._give_up, lobby, member))
        self._replay(lobby, member, now)

    def _replay(self, lobby: Lobby, member: Member, now: float) -> None:
        """Give a member the canvas, as soon as it may be read."""
        lobby.when_free(partial(self._picture, lobby, member), now)

    def _picture(self, lobby: Lobby, member: Member, now: float) -> None:
        """Make the snapshot, if it is not there."""
        work = partial(lobby.snapshot, self.context.date(now))
        then = partial(self._send_replay, lobby, member)
        failed = partial(self._not_shown, lobby, member)
        self._work(lobby, lobby.snapshot_cost, work, then, failed, now)

    def _not_shown(self, lobby: Lobby, member: Member, now: float) -> None:
        """There is no picture of the canvas to be had: who waits for it is put out."""
        if lobby.members.get(member.guest.name) is member:
            self._put_out(lobby, member, "The server could not show this drawing.", now)

    def _put_out(self, lobby: Lobby, member: Member, reason: str, now: float) -> None:
        """Have a member leave; what they have drawn and still waits does not count."""
        told = LOBBY_PLAYER_KICK.encode_reply(self.context.date(now), reason)
        member.guest.send_queue.push(told)
        lobby.forget_held(member.guest)
        self.leave(self._session(member), now)

    def _send_replay(self, lobby: Lobby, member: Member, chunks: list[bytes], now: float) -> None:
        if lobby.members.get(member.guest.name) is not member:
            self.replays.unwanted(lobby)
            return
        date = self.context.date(now)
        send_queue = member.guest.send_queue
        self.replays.begin(member.guest, lobby, chunks)
        member.shifted_at = now
        member.loading += 1
        self._freeze(member.guest, True, now)
        send_queue.push(FETCH_DATABASE.encode_reply(date))
        send_queue.send_snapshot(chunks)
        if member not in lobby.waited_for and not self.read_only:
            self._freeze(member.guest, False, now)
        send_queue.call_when_sent(partial(self._replayed, self._session(member), lobby, member))

    def resync(self, lobby: Lobby, member: Member, now: float) -> None:
        """Give a member the canvas again: theirs is not what it should be."""
        if lobby.members.get(member.guest.name) is not member:
            return
        self.counters["resyncs"] += 1
        send_queue = member.guest.send_queue
        if send_queue.replaying or not send_queue.attached:
            member.again = True
            return
        member.confirming, member.behind = True, False
        self._replay(lobby, member, now)

    def _replayed(self, session: PaintSession, lobby: Lobby, member: Member) -> None:
        """All of a replay is on its way."""
        self.replays.end(session)
        if member.again:
            member.again = False
            self.resync(lobby, member, session.taken_at)

    def confirmed(self, session: PaintSession, now: float) -> None:
        """FETCH_DATABASE from a client: it has loaded the canvas."""
        lobby, member = session.lobby, session.member
        if lobby is None or member is None:
            return
        if member in lobby.waited_for:
            lobby.waited_for.discard(member)
            if not lobby.frozen:
                self._thaw(lobby, now)
        behind = member.behind
        member.loading -= 1
        member.confirming = member.behind = False
        if behind:
            self.resync(lobby, member, now)

    def above_high_mark(self, session: PaintSession, now: float) -> None:
        """A reader has too much waiting: instead of it, it will get the canvas as it is then."""
        lobby, member = session.lobby, session.member
        session.send_queue.drop_broadcasts()
        self.replays.end(session)
        if lobby is not None and member is not None:
            self.counters["resyncs"] += 1
            session.send_queue.call_when_sent(partial(self._catch_up, session, lobby, member))

    def _catch_up(self, session: PaintSession, lobby: Lobby, member: Member) -> None:
        if session.member is member and session in self.sessions:
            session.send_queue.attach(lobby.broadcast)
            lobby.presence.tell(session, self.context.date(session.taken_at))
            member.confirming, member.again = True, False
            self._replay(lobby, member, session.taken_at)

    def _thaw(self, lobby: Lobby, now: float) -> None:
        """Everybody may draw again, and what they drew meanwhile counts, in order."""
        if self.read_only:
            return
        for member in lobby.members.values():
            self._freeze(member.guest, False, now)
        self._go_on(lobby, now)

    def _go_on(self, lobby: Lobby, now: float) -> None:
        """What was held while the lobby was frozen, in order."""
        while lobby.held and not lobby.frozen and not self.read_only:
            if lobby.busy:
                lobby.when_free(partial(self._go_on, lobby), now)
                return
            guest, packet = lobby.next_held()
            session = self._session_of(guest)
            member = lobby.members.get(guest.name)
            if member is None or member.guest is not guest:
                member = Member(guest)  # it is gone; a later connection of theirs is another's
            if packet[2] == LOBBY_CONNECT.id:
                self._answer(session, LOBBY_CONNECT, CONNECTED, now)
                continue
            if packet[2] == FETCH_DATABASE.id:
                self.confirmed(session, now)
                continue
            self._draw(lobby, member, packet, now)
            if member.guest.name not in lobby.members:
                lobby.when_free(partial(self._release, lobby, guest.name), now)
        if not lobby.held and not lobby.frozen:
            for member in [member for member in lobby.members.values() if member.short]:
                member.short = False
                self.resync(lobby, member, now)

    def _give_up(self, lobby: Lobby, member: Member, now: float) -> None:
        """The lobby waited long enough for this newcomer."""
        if member in lobby.waited_for:
            self._put_out(lobby, member, "Loading the drawing took too long.", now)

    def _freeze(self, guest: Any, frozen: bool, now: float) -> None:
        guest.send_queue.push(LOBBY_FREEZE_STATE.encode_reply(self.context.date(now), int(frozen)))

    def picture(self, lobby: Lobby, name: str, pixels: npt.NDArray[np.uint32], now: float) -> None:
        """A client that was asked has brought its picture, see `SnapshotRequests.brought`. Raises
        Refused.

        It is stored before anybody is shown it.
        """
        self.snapshot_requests.brought(lobby, name, pixels)
        self.save(lobby, now)

    # ------------------------------------------------------------ the store
    def restore(self, lobbies: Iterable[tuple[int, LobbyRules, int]]) -> None:
        """What the store has: (number, info, seq of the drawing)."""
        for number, info, seq in lobbies:
            lobby = self._new_lobby(number, info)
            lobby.seq = lobby.saved_seq = seq

    def save(self, lobby: Lobby, now: float) -> None:
        """Have the store keep the drawing as it is now."""
        if lobby.saving or lobby.removed:
            return
        lobby.saving = True
        if lobby.canvas is None:
            self._save(lobby, lobby.seq, self.log.batch, ({}, []), now)
        else:
            lobby.when_free(partial(self._dump, lobby), now)

    def _dump(self, lobby: Lobby, now: float) -> None:
        canvas = lobby.loaded
        lobby.unsaved_bytes = 0
        lobby.weigh()
        then = partial(self._save, lobby, lobby.seq, self.log.batch)
        failed = partial(self._not_saved, lobby)
        self._work(lobby, canvas.size_cost, canvas.dump, then, failed, now)

    def _not_saved(self, lobby: Lobby, now: float) -> None:
        """The drawing was not kept; the journal has what is not stored. It is tried again."""
        lobby.saving = False
        self.timers.at(now + SAVE_AGAIN_S, partial(self.save, lobby))

    def _save(
        self,
        lobby: Lobby,
        seq: int,
        batch: int,
        dump: tuple[dict[str, Any], list[bytes]],
        _now: float,
    ) -> None:
        failed = partial(self._not_saved, lobby)
        self.effects.append(SaveCanvas(lobby, lobby.info, seq, batch, *dump, failed))

    def canvas_saved(self, effect: SaveCanvas, ok: bool, now: float) -> None:
        """The store has kept a drawing, or could not; then it is tried again."""
        lobby = effect.lobby
        lobby.saving = False
        if lobby.removed:
            self._forget(lobby, now)
            return
        if not ok:
            self._not_saved(lobby, now)
            return
        lobby.saved_seq = effect.seq
        lobby.need_journal(None if lobby.seq == effect.seq else effect.batch)
        self.snapshot_requests.stored(lobby, now)
        if not lobby.members:
            self._emptied(lobby, now)

    def _emptied(self, lobby: Lobby, now: float) -> None:
        """Nobody is in it: store it, then forget its canvas."""
        if lobby.held or lobby in self._loading or lobby.busy or lobby.deferred:
            return
        if lobby.seq != lobby.saved_seq:
            self.save(lobby, now)
        elif not lobby.saving and lobby.canvas is not None:
            self._unload(lobby, now)

    def _unload(self, lobby: Lobby, now: float) -> None:
        """Forget a canvas: the store has it."""
        canvas = lobby.loaded
        self.replays.forget(lobby)
        lobby.unload()
        self._work(lobby, canvas.free_cost, canvas.free, _ignore, partial(_ignore, None), now)

    @property
    def journal_from(self) -> int:
        """The first batch of the journal that is still needed."""
        first = self.unsaved.first()
        if first is None or first.unsaved_from is None:
            return self.log.batch
        return first.unsaved_from

    def checkpoint_oldest(self, now: float) -> None:
        """Have the drawing stored that keeps the journal from being forgotten."""
        oldest = self.unsaved.first()
        if oldest is not None:
            self.save(oldest, now)

    def turn_read_only(self, now: float) -> None:
        """The disk is full: nobody draws until there is room, and everybody is told."""
        self.context.read_only = True
        for session in self.sessions:
            if session.name and session.lobby is not None:
                date = self.context.date(now)
                text = f"{session.lobby.info.filename};{FULL}"
                session.send_queue.send_first(
                    LOBBY_FREEZE_STATE.encode_reply(date, 1)
                    + CHANNEL_MESSAGE.encode_reply(date, text)
                )

    def turn_writable(self, now: float) -> None:
        """There is room again."""
        self.context.read_only = False
        for lobby in list(self.lobbies.values()):
            if lobby.members or lobby.held:
                self._thaw(lobby, now)
                if not lobby.members:
                    lobby.when_free(partial(self._left, lobby), now)

    # ------------------------------------------------------------ small things
    def _new_lobby(self, number: int, info: LobbyRules) -> Lobby:
        lobby = self.lobbies[info.filename] = Lobby(
            number, info, self.log, self.flush_set, self.context.memory
        )
        lobby.on_change, lobby.on_activity = self.directory.changed, self.directory.touched
        lobby.on_unsaved = self.unsaved.add
        self._owned[info.owner] += 1
        self._next_number = max(self._next_number, number + 1)
        return lobby

    def _answer(
        self, session: PaintSession, kind: packets.Packet, status: int, now: float
    ) -> None:
        session.send_queue.push(kind.encode_reply(self.context.date(now), status))

    def _notice(self, session: PaintSession, channel: str, text: str, now: float) -> None:
        """The server says something: a message under an empty name."""
        session.send_queue.push(
            CHANNEL_MESSAGE.encode_reply(self.context.date(now), f"{channel};{text}")
        )

    def _session(self, member: Member) -> PaintSession:
        return self._session_of(member.guest)

    def _session_of(self, guest: object) -> PaintSession:
        if not isinstance(guest, PaintSession):
            raise AssertionError("every guest of this service is a session")
        return guest


def _ignore(_outcome: Any, _now: float) -> None:
    """Nothing is to be done when this work is."""


def attempted(work: Callable[[], Any]) -> Any:
    """What the work returns, or the Refused or StoreError that it raises."""
    try:
        return work()
    except (Refused, StoreError) as error:
        return error
