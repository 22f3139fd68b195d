"""Whoever needs the canvas gets it: newcomers, members whose copy is wrong, readers that lagged.

All three are one mechanism: the snapshot, the state as ordinary packets. Nobody has two on their
way: a member whose copy is wrong gets the next one when the last was sent and confirmed. With
`freeze = "lobby"` everybody waits for a newcomer to load the canvas.

Must never decide who may enter. Counterparts: `member.Copy` has the states, `lobby.py` makes
snapshots, `replays.py` counts what they take. Protocol: docs/protocol.md, section 6.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from polypaint.engine.context import Context
from polypaint.paint.canvas_queue import CanvasQueue
from polypaint.paint.lobby import Lobby
from polypaint.paint.member import Copy, Event, Membership
from polypaint.paint.packets import FETCH_DATABASE
from polypaint.paint.replays import Replays
from polypaint.paint.replies import Replies

FREEZE_S: Final = 10.0
"""How long a lobby waits for a newcomer."""
CONFIRM_S: Final = 10.0
"""After so long a member whose copy is wrong gets a snapshot even if the last is not confirmed."""
UNSEEN: Final = "The server could not show this drawing."
TOO_LONG: Final = "Loading the drawing took too long."


class LateJoin:
    """Snapshots for the members of all lobbies of a server.

    put_out: has a member leave, for a reason. thawed: called when a lobby may draw again.
    """

    def __init__(
        self,
        context: Context,
        queue: CanvasQueue,
        replays: Replays,
        replies: Replies,
        counters: dict[str, int],
        put_out: Callable[[Membership, str, float], None],
        thawed: Callable[[Lobby, float], None],
    ) -> None:
        self._context = context
        self._queue = queue
        self._replays = replays
        self._replies = replies
        self._counters = counters
        self._put_out = put_out
        self._thawed = thawed

    # ------------------------------------------------------------ newcomers
    def welcome(self, membership: Membership, now: float) -> None:
        """Give a newcomer the canvas."""
        lobby = membership.lobby
        if self._context.settings.freeze == "lobby" and not self._context.read_only:
            for other in lobby.members.values():
                self._replies.freeze(other.member, True, now)
            lobby.await_loading(membership)
            self._context.timers.at(now + FREEZE_S, partial(self._give_up, membership))
        self._show(membership, Event.JOINED, now)

    def _give_up(self, membership: Membership, now: float) -> None:
        """The lobby waited long enough for this newcomer."""
        if membership.awaited:
            self._put_out(membership, TOO_LONG, now)

    def confirmed(self, membership: Membership, now: float) -> None:
        """FETCH_DATABASE from a client: it has loaded the canvas."""
        if not membership.present or not membership.sent:
            return
        lobby = membership.lobby
        awaited = membership.awaited
        membership.snapshot_confirmed()
        if awaited:
            lobby.stop_awaiting(membership)
            if not lobby.frozen:
                self.thaw(lobby, now)
        self._resync_if_due(membership, now)

    def thaw(self, lobby: Lobby, now: float) -> None:
        """Everybody may draw again, and what they drew meanwhile counts, in order."""
        if self._context.read_only:
            return
        for membership in lobby.members.values():
            self._replies.freeze(membership.member, False, now)
        self._thawed(lobby, now)

    # ------------------------------------------------------------ whose copy is wrong
    def resync(self, membership: Membership, now: float) -> None:
        """A member's copy is not what it should be: give them the canvas, as soon as is due."""
        if membership.present:
            membership.went(Event.FOUND_WRONG)
            self._resync_if_due(membership, now)

    def _resync_if_due(self, membership: Membership, now: float) -> None:
        member = membership.member
        if membership.copy is not Copy.WRONG or not membership.present:
            return
        if member.receiving_snapshot or not member.subscribed:
            return  # `_sent` or `_catch_up` looks again
        again_at = membership.snapshot_at + CONFIRM_S
        if membership.requested and now < again_at:
            if membership.retry(True):
                self._context.timers.at(again_at, partial(self._not_confirmed, membership))
            return
        self._counters["resyncs"] += 1
        self._show(membership, Event.RESYNCED, now)

    def _not_confirmed(self, membership: Membership, now: float) -> None:
        """Some clients never confirm: they are not left with a wrong copy for ever."""
        membership.retry(False)
        self._resync_if_due(membership, now)

    # ------------------------------------------------------------ who lags
    def above_high_mark(self, membership: Membership) -> None:
        """A reader has too much waiting: instead of it, it will get the canvas as it is then."""
        member = membership.member
        member.skip_broadcasts()
        self._replays.end(member.key)
        self._counters["resyncs"] += 1
        member.call_when_sent(partial(self._catch_up, membership))

    def _catch_up(self, membership: Membership, now: float) -> None:
        if membership.present:
            lobby, member = membership.lobby, membership.member
            member.subscribe(lobby.broadcast)
            lobby.presence.tell(member, self._context.date(now))
            self._show(membership, Event.RESYNCED, now)

    # ------------------------------------------------------------ the snapshot
    def _show(self, membership: Membership, event: Event, now: float) -> None:
        """Give a member the canvas, as soon as it may be read."""
        membership.snapshot_requested(event, now)
        membership.lobby.when_free(partial(self._make, membership), now)

    def _make(self, membership: Membership, now: float) -> None:
        """Make the snapshot, if it is not there."""
        lobby = membership.lobby
        work = partial(lobby.snapshot, self._context.date(now))
        then = partial(self._send, membership)
        failed = partial(self._not_shown, membership)
        self._queue.work(lobby, lobby.snapshot_cost, work, then, failed, now)

    def _not_shown(self, membership: Membership, now: float) -> None:
        """There is no picture of the canvas to be had: who waits for it is put out."""
        if membership.present:
            self._put_out(membership, UNSEEN, now)

    def _send(self, membership: Membership, chunks: list[bytes], now: float) -> None:
        lobby, member = membership.lobby, membership.member
        if not membership.present:
            self._replays.unwanted(lobby)
            return
        self._replays.begin(member.key, lobby, chunks)
        membership.snapshot_sent(now)
        self._replies.freeze(member, True, now)
        member.send(FETCH_DATABASE.encode_reply(self._context.date(now)))
        member.send_snapshot(chunks)
        if not membership.awaited and not self._context.read_only:
            self._replies.freeze(member, False, now)
        member.call_when_sent(partial(self._sent, membership))

    def _sent(self, membership: Membership, now: float) -> None:
        """All of a snapshot is on its way."""
        self._replays.end(membership.member.key)
        self._resync_if_due(membership, now)
