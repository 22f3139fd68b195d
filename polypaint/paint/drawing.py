"""What members draw: frozen, doubtful, too large, or applied, logged and put before the others.

Must never move anybody. Counterparts: `lobby.py` applies and publishes, `late_join.py` resyncs
whose drawing did not count. Protocol: docs/protocol.md, sections 3, 5, 6.
"""

from functools import partial
from typing import Any, Final

from polypaint.engine.context import Context
from polypaint.errors import Refused, Stale
from polypaint.paint.canvas_queue import CanvasQueue
from polypaint.paint.checkpoints import Checkpoints
from polypaint.paint.late_join import LateJoin
from polypaint.paint.lobby import Lobby
from polypaint.paint.member import Copy, Event, Membership
from polypaint.paint.packets import FETCH_DATABASE, LOBBY_CONNECT, PACKETS
from polypaint.paint.replays import Replays
from polypaint.paint.replies import CONNECTED, NO_MEMORY, Replies

RENEWED: Final = Copy.RENEWED
WARN_S: Final = 10.0
"""How often somebody is told that there is no memory."""


class Drawing:
    """The way of a drawing packet into its lobby, for all lobbies of a server."""

    def __init__(
        self,
        context: Context,
        queue: CanvasQueue,
        checkpoints: Checkpoints,
        late_join: LateJoin,
        replays: Replays,
        replies: Replies,
        counters: dict[str, int],
    ) -> None:
        self._context = context
        self._queue = queue
        self._checkpoints = checkpoints
        self._late_join = late_join
        self._replays = replays
        self._replies = replies
        self._counters = counters

    def draw(self, membership: Membership, packet: bytes, now: float) -> None:
        """A drawing packet that conforms and carries the member's name. Raises Refused."""
        if membership.lobby.frozen or self._context.read_only:
            membership.defer(packet, drawn=True)
        else:
            self._draw(membership, packet, now)

    def add_strokes(
        self, membership: Membership, packets: list[bytes], start: int, now: float
    ) -> int:
        """The ADD_STROKE at packets[start:], many at once: how many were taken; 0: use `draw`."""
        lobby = membership.lobby
        if lobby.waited_for or self._context.read_only:
            return 0
        if lobby.above_low_mark or self._context.memory.tight:
            return 0
        taken = lobby.add_strokes(membership, packets, start, now)
        if taken:
            if membership.copy is RENEWED and not membership.member.extended:
                membership.went(Event.DREW)
            self._counters["packets"] += taken
            if lobby.needs_saving:
                self._checkpoints.save(lobby, now)
        return taken

    def _draw(self, membership: Membership, packet: bytes, now: float) -> None:
        lobby = membership.lobby
        if membership.copy is RENEWED and not membership.member.extended:
            membership.went(Event.DREW)
        try:
            doubtful = lobby.permit(membership, packet, now)
        except Stale as error:
            membership.member.not_drawn(packet, str(error), now)
            self._late_join.resync(membership, now)
            return
        growth = lobby.loaded.growth(packet)
        if growth:  # there must be room to show it to somebody, too
            growth += lobby.joining_growth
            if not self._replays.has_room(growth, lobby.memory_used, keep=lobby):
                membership.member.not_drawn(packet, NO_MEMORY, now)
                self._no_memory(membership, now)
                return
        then = partial(self._drawn, membership, packet)
        failed = partial(self._not_drawn, membership, packet)
        work = partial(lobby.attempt, packet, doubtful)
        cost = lobby.loaded.cost(packet)
        if cost > self._queue.heavy:
            membership.member.charge(cost, now)
        self._queue.work(lobby, cost, work, then, failed, now)

    def _drawn(self, membership: Membership, packet: bytes, outcome: Any, now: float) -> None:
        """The canvas has accepted a packet, or has refused it."""
        lobby = membership.lobby
        resync = isinstance(outcome, Stale)
        if not isinstance(outcome, Refused):
            applied, resync = outcome
            lobby.publish_applied(applied, membership, PACKETS[packet[2]], now)
            membership.member.drawn(packet, applied.packet, lobby.seq, now)
        else:
            membership.member.not_drawn(packet, str(outcome), now)
            if not resync:
                membership.member.refused(packet, str(outcome), now)
        if resync:
            self._late_join.resync(membership, now)
        if lobby.needs_saving:
            self._checkpoints.save(lobby, now)

    def _not_drawn(self, membership: Membership, packet: bytes, now: float) -> None:
        """Applying a packet has failed: nobody else is told of it, and its sender is resynced."""
        reason = "the server could not draw this"
        membership.member.not_drawn(packet, reason, now)
        membership.member.refused(packet, reason, now)
        self._late_join.resync(membership, now)

    def _no_memory(self, membership: Membership, now: float) -> None:
        """What somebody has drawn takes more memory than there is: it does not count."""
        if membership.warn(now, WARN_S):
            self._replies.notice(membership.member, NO_MEMORY, now)
        self._late_join.resync(membership, now)

    def take_back(self, membership: Membership, redo: bool, now: float) -> None:
        """Undo the member's last gesture that still shows, or redo it."""
        lobby, name = membership.lobby, membership.name
        if reason := self._no_undo(lobby, name):
            membership.member.taken_back(redo, reason, now)
            return
        work = partial(lobby.take_back, name, redo, self._context.date(now))
        then = partial(self._taken_back, membership, redo)
        failed = partial(self._not_taken_back, membership, redo)
        cost = lobby.take_back_cost(name, redo)
        if cost > self._queue.heavy:
            membership.member.charge(cost, now)
        self._queue.work(lobby, cost, work, then, failed, now)

    def _no_undo(self, lobby: Lobby, name: str) -> str:
        """Why nothing may be taken back now; empty: it may."""
        if lobby.frozen or self._context.read_only:
            return "nobody can draw at the moment"
        return "" if lobby.lets_draw(name) else "it is not your turn to draw"

    def _taken_back(self, membership: Membership, redo: bool, outcome: Any, now: float) -> None:
        lobby = membership.lobby
        refused = isinstance(outcome, Refused)
        if not refused:
            lobby.publish_taken_back(outcome, now)
        membership.member.taken_back(redo, str(outcome) if refused else "", now)
        if lobby.needs_saving:
            self._checkpoints.save(lobby, now)

    def _not_taken_back(self, membership: Membership, redo: bool, now: float) -> None:
        """Taking back has failed: what it has done so far, nobody was told."""
        if membership.lobby.undo is not None:
            membership.lobby.undo.forget()
        membership.member.taken_back(redo, "the server could not do this", now)
        for each in list(membership.lobby.members.values()):
            self._late_join.resync(each, now)
        self._checkpoints.save(membership.lobby, now)  # the log has nothing of it

    # ------------------------------------------------------------ after a lobby was frozen
    def go_on(self, lobby: Lobby, now: float) -> None:
        """What waited while the lobby was frozen, in order."""
        waiting = lobby.frozen_packets
        while waiting and not lobby.frozen and not self._context.read_only:
            if lobby.busy:
                lobby.when_free(partial(self.go_on, lobby), now)
                return
            then, packet = waiting.pop()
            # A later connection of the same name is another's; the same one may have come back.
            present = lobby.members.get(then.name)
            again = present is not None and present.member.key == then.member.key
            self._go_on_with(present if present is not None and again else then, packet, now)
        if not waiting and not lobby.frozen:
            overflowed = lobby.frozen_packets.take_overflowed()
            for membership in list(lobby.members.values()):
                if membership.member.key in overflowed:
                    self._late_join.resync(membership, now)

    def _go_on_with(self, membership: Membership, packet: bytes, now: float) -> None:
        lobby = membership.lobby
        if packet[2] == LOBBY_CONNECT.id:
            self._replies.status(membership.member, LOBBY_CONNECT, CONNECTED, now)
        elif packet[2] == FETCH_DATABASE.id:
            self._late_join.confirmed(membership, now)
        else:
            self._draw(membership, packet, now)
            if membership.name not in lobby.members:
                lobby.when_free(partial(self.release, lobby, membership.name), now)

    # ------------------------------------------------------------ what somebody had selected
    def release(self, lobby: Lobby, name: str, now: float) -> None:
        """End what somebody who has left had selected."""
        if name in lobby.members:
            return  # they are back, and it is theirs again
        canvas = lobby.loaded
        work = partial(canvas.release, name, self._context.date(now))
        then = partial(_released, lobby)
        failed = partial(_released, lobby, b"")
        self._queue.work(lobby, canvas.release_cost(name), work, then, failed, now)


def _released(lobby: Lobby, told: bytes, _now: float) -> None:
    lobby.released(told)
