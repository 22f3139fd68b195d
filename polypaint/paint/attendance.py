"""Who is in which lobby: people enter, leave, and are put out.

Must never decide who may. Counterparts: `access.py` decides, `late_join.py` shows newcomers the
canvas, `drawing.py` ends what a leaving member had selected. Protocol: docs/protocol.md, sections
5, 6.
"""

from dataclasses import dataclass
from functools import partial

import orjson

from polypaint.engine.budget import CREATION
from polypaint.engine.context import Context
from polypaint.paint.access import Access
from polypaint.paint.channels import Channels
from polypaint.paint.checkpoints import Checkpoints
from polypaint.paint.client_snapshots import SnapshotRequests
from polypaint.paint.directory import Directory
from polypaint.paint.drawing import Drawing
from polypaint.paint.late_join import LateJoin
from polypaint.paint.lobby import Lobby
from polypaint.paint.lobby_rules import LobbyRules
from polypaint.paint.member import Member, Membership
from polypaint.paint.packets import (
    LOBBY_CONNECT,
    LOBBY_CREATION,
    LOBBY_INFO_CHANGE,
    LOBBY_PLAYER_KICK,
)
from polypaint.paint.replies import (
    CONNECTED,
    CREATED,
    DOES_NOT_EXIST,
    EXISTS,
    FULL,
    NO_MEMORY,
    Replies,
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Somebody on the way into a lobby. created: by LOBBY_CREATION, which has its own answers."""

    member: Member
    lobby: Lobby
    created: bool
    passcode: str


class Attendance:
    """Moves people, for all lobbies of a server."""

    def __init__(
        self,
        context: Context,
        directory: Directory,
        access: Access,
        checkpoints: Checkpoints,
        drawing: Drawing,
        late_join: LateJoin,
        snapshot_requests: SnapshotRequests,
        channels: Channels,
        replies: Replies,
    ) -> None:
        self._context = context
        self._directory = directory
        self._access = access
        self._checkpoints = checkpoints
        self._drawing = drawing
        self._late_join = late_join
        self._snapshot_requests = snapshot_requests
        self._channels = channels
        self._replies = replies

    # ------------------------------------------------------------ entering
    def create(self, member: Member, info: LobbyRules, now: float) -> None:
        """LOBBY_CREATION: a new lobby, or the owner's own that nobody is in."""
        lobby = self._directory.lobbies.get(info.filename)
        if self._context.read_only:
            self._turn_away(member, True, now, FULL)
        elif lobby is not None and self._access.reopens(lobby, member.name):
            changed = lobby.info.protected(info.protection, info.passcode)
            if changed != lobby.info:
                lobby.change_info(changed, self._context.date(now))
            self._enter(_Entry(member, lobby, created=True, passcode=""), now)
        elif lobby is not None or self._access.is_reserved(info.filename):
            self._turn_away(member, True, now)
        elif reason := self._access.no_more(member.name, info):
            self._turn_away(member, True, now, reason)
        else:
            self._context.flush_set.spent += CREATION
            lobby = self._directory.add(info)
            lobby.begin_log(self._context.date(now))
            self._replies.status(member, LOBBY_CREATION, CREATED, now)
            self._join(member, lobby, now)
            self._access.created(member, now)

    def enter(self, member: Member, filename: str, passcode: str, now: float) -> None:
        """LOBBY_CONNECT."""
        lobby = self._directory.lobbies.get(filename)
        present = member.membership
        if lobby is not None and present is not None and present.lobby is lobby:
            self._replies.status(member, LOBBY_CONNECT, CONNECTED, now)
        elif lobby is None or not self._access.admits(lobby, member.name, passcode):
            self._replies.status(member, LOBBY_CONNECT, DOES_NOT_EXIST, now)
            self._access.guessed(member, now)
        else:
            self._enter(_Entry(member, lobby, created=False, passcode=passcode), now)

    def _enter(self, entry: _Entry, now: float) -> bool:
        """Join a lobby that exists, once its canvas is in memory; False: the member waits for it.

        Who has not read the last canvas waits for the next one until they have.
        """
        member, lobby = entry.member, entry.lobby
        if member.receiving_snapshot:
            member.wait()
            member.call_when_sent(partial(self._enter_later, entry))
            return False
        if lobby.busy:
            member.wait()
            lobby.when_free(partial(self._enter_later, entry), now)
            return False
        if not self._access.has_room(lobby):
            self._turn_away(member, entry.created, now, NO_MEMORY)
            self.left(lobby, now)
        elif lobby.canvas is None:
            member.wait()
            self._checkpoints.load(lobby, partial(self._enter_loaded, entry))
            return False
        else:
            self._enter_now(entry, now)
        return True

    def _enter_now(self, entry: _Entry, now: float) -> None:
        member, lobby = entry.member, entry.lobby
        kind, status = (LOBBY_CREATION, CREATED) if entry.created else (LOBBY_CONNECT, CONNECTED)
        self._replies.status(member, kind, status, now)
        membership = self._join(member, lobby, now)
        if lobby.loaded.needs_client_snapshot and len(lobby.members) > 1:
            self._replies.freeze(member, True, now)
            self._snapshot_requests.ask(lobby, membership, now)
        else:
            self._late_join.welcome(membership, now)

    def _enter_loaded(self, entry: _Entry, now: float) -> None:
        """The canvas is there, or cannot be had."""
        if entry.lobby.canvas is not None:
            self._enter_later(entry, now)
        elif not entry.member.closing:
            self._turn_away(entry.member, entry.created, now)
            entry.member.resume(now)

    def _enter_later(self, entry: _Entry, now: float) -> None:
        """What a member waited for has come: they enter, if they still may."""
        member, lobby = entry.member, entry.lobby
        if member.closing:
            return
        if not self._access.admits(lobby, member.name, entry.passcode):
            self._turn_away(member, entry.created, now)
        elif not self._enter(entry, now):
            return  # they wait for something else
        member.resume(now)

    def _turn_away(self, member: Member, created: bool, now: float, reason: str = "") -> None:
        kind, status = (LOBBY_CREATION, EXISTS) if created else (LOBBY_CONNECT, DOES_NOT_EXIST)
        self._replies.status(member, kind, status, now)
        if reason:
            self._replies.notice(member, reason, now)

    def _join(self, member: Member, lobby: Lobby, now: float) -> Membership:
        self.leave(member, now)
        if not lobby.members:
            self._channels.open_lobby(lobby.info.filename, lobby.info.sole_viewer)
        membership = Membership(lobby, member)
        lobby.add_member(membership)
        member.joined(membership)
        member.subscribe(lobby.broadcast)
        self._channels.enter_lobby(member, lobby.info.filename)
        owner = member.name == lobby.info.owner
        lobby.presence.came(member, owner, self._context, now)
        if member.extended:
            lobby.when_free(partial(lobby.can_undo, member.name), now)
        if self._context.read_only:
            self._replies.freeze(member, True, now)
        return membership

    # ------------------------------------------------------------ leaving
    def leave(self, member: Member, now: float) -> None:
        """Leave the present lobby, if there is one."""
        membership = member.membership
        if membership is None:
            return
        lobby = membership.lobby
        member.removed()
        was_frozen = lobby.frozen
        lobby.remove_member(membership)
        member.unsubscribe()
        lobby.presence.went(member, self._context, now)
        if lobby.undo is not None and member.extended:
            at = lobby.undo.went(member.name, now)
            expire = partial(lobby.when_free, lobby.expire_undo)
            self._context.timers.at(at, expire)
        self._channels.leave_lobby(member, lobby.info.filename)
        self._snapshot_requests.gone(membership)
        if not lobby.members:
            self._channels.close_lobby(lobby.info.filename)
        lobby.when_free(partial(self._drawing.release, lobby, membership.name), now)
        if was_frozen and not lobby.frozen:
            self._late_join.thaw(lobby, now)
        lobby.when_free(partial(self.left, lobby), now)

    def left(self, lobby: Lobby, now: float) -> None:
        """Store and forget the canvas of a lobby, if nobody is in it."""
        if not lobby.members:
            self._checkpoints.emptied(lobby, now)

    def put_out(self, membership: Membership, reason: str, now: float) -> None:
        """Have a member leave; what they have drawn and still waits does not count."""
        member = membership.member
        member.send(LOBBY_PLAYER_KICK.encode_reply(self._context.date(now), reason))
        membership.lobby.frozen_packets.forget(member.key)
        self.leave(member, now)

    # ------------------------------------------------------------ other rules
    def change_info(self, member: Member, values: dict[str, str], now: float) -> None:
        """LOBBY_INFO_CHANGE: the new rules first, then who no longer fits leaves.

        Raises Refused, ProtocolError.
        """
        lobby = self._access.of_owner(values["Filename"], member.name)
        if self._context.read_only:
            self._replies.notice(member, FULL, now)
        else:
            self.protect(lobby, values["Protection"], values["Passcode"], now)

    def protect(self, lobby: Lobby, protection: str, passcode: str, now: float) -> None:
        """Have other rules of entry, and tell who is inside. Raises ProtocolError."""
        before = lobby.info
        info = before.protected(protection, passcode)
        lobby.change_info(info, self._context.date(now))
        self._channels.show_lobby(info.filename, info.sole_viewer)
        others = [m for name, m in lobby.members.items() if name != info.owner]
        if info.locks_out(before):
            for membership in others:
                self.put_out(membership, self._context.settings.kick_reason, now)
        else:
            text = orjson.dumps(info.info_change_fields | {"Passcode": ""}).decode()
            date = self._context.date(now)
            told = LOBBY_INFO_CHANGE.encode_reply(date, text, name=info.owner.encode())
            for membership in others:
                membership.member.send(told)
        if lobby.canvas is None:
            self._checkpoints.save(lobby, now)
