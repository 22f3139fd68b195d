"""The paint service: every session, lobby and channel of one server, as one state machine.

Bytes come in through sessions; what goes out stands in send queues, in the log, and in `effects`.
Time is an argument. Whoever runs this: after each call, carry out `effects`; when the flush set is
pending, flush: seal it · journal `log.take()` · release the send queues · send.

It only puts its parts together: each of them is a module of its own. Must never do I/O.
Counterpart: `runtime/server.py` runs it; the tests' simulation runs it too.
Protocol: docs/protocol.md, sections 4-7.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from polypaint.engine.context import Context
from polypaint.engine.service import Gauge, Service, packet_endpoint
from polypaint.identity.accounts import Presence
from polypaint.paint import extension
from polypaint.paint.access import Access
from polypaint.paint.acknowledgements import Handled
from polypaint.paint.attendance import Attendance
from polypaint.paint.canvas_queue import CanvasQueue
from polypaint.paint.channels import Channels
from polypaint.paint.checkpoints import Checkpoints, Dump
from polypaint.paint.client_snapshots import SnapshotRequests
from polypaint.paint.directory import Directory
from polypaint.paint.drawing import Drawing
from polypaint.paint.effects import SaveCanvas, Work
from polypaint.paint.game_lobbies import GameLobbies
from polypaint.paint.imports import Imports
from polypaint.paint.late_join import LateJoin
from polypaint.paint.lobby import Lobby
from polypaint.paint.member import Member, MemberKey
from polypaint.paint.owners import Owners
from polypaint.paint.replays import Replays
from polypaint.paint.replies import Replies
from polypaint.paint.session import PaintSession


class PaintService(Service):
    """One server's paint. It satisfies `commands.PaintCommands`, which is what its sessions call.

    games: those whose matches have drawings; the names of these are theirs.
    """

    name = "paint"
    COUNTED: ClassVar = {
        "packets": "Packets received.",
        "rejected": "Packets rejected.",
        "resyncs": "Times that somebody was given the canvas again.",
    }

    def __init__(self, context: Context, games: frozenset[str] = frozenset({"dessin"})) -> None:
        self.endpoint = packet_endpoint(self.name, self.connect)
        self.context = context
        self.settings = context.settings
        self.flush_set = context.flush_set
        self.log = context.log
        self.effects = context.effects
        self.timers = context.timers
        self.counters = dict.fromkeys(self.COUNTED, 0)
        self.sessions: dict[MemberKey, PaintSession] = {}
        self.presence: Presence[PaintSession] = Presence()
        self.handled = Handled()
        self.directory = Directory(context)
        self.lobbies = self.directory.lobbies
        self.channels = Channels(context.flush_set, self.lobbies)
        self._compose()
        self.access.keep_names_for(games)

    def _compose(self) -> None:
        """Each part knows those before it; the few calls the other way are handed in."""
        context, counters = self.context, self.counters
        replies = Replies(context)
        self.replays = Replays(context.memory)
        self.canvas_queue = CanvasQueue(context)
        self.access = Access(context, self.directory, self.replays)
        self.late_join = LateJoin(
            context,
            self.canvas_queue,
            self.replays,
            replies,
            counters,
            put_out=lambda membership, reason, now: self.attendance.put_out(
                membership, reason, now
            ),
            thawed=lambda lobby, now: self.drawing.go_on(lobby, now),
        )
        self.snapshot_requests = SnapshotRequests(context, self.late_join.welcome)
        self.checkpoints = Checkpoints(
            context,
            self.directory,
            self.canvas_queue,
            self.replays,
            stored=self.snapshot_requests.stored,
        )
        self.drawing = Drawing(
            context,
            self.canvas_queue,
            self.checkpoints,
            self.late_join,
            self.replays,
            replies,
            counters,
        )
        self.attendance = Attendance(
            context,
            self.directory,
            self.access,
            self.checkpoints,
            self.drawing,
            self.late_join,
            self.snapshot_requests,
            self.channels,
            replies,
        )
        self.game_lobbies = GameLobbies(context, self.directory, self.attendance, self.checkpoints)
        self.imports = Imports(
            context, self.attendance, self.checkpoints, self.late_join, self.replays
        )
        self.owners = Owners(
            context,
            self.directory,
            self.access,
            self.attendance,
            self.checkpoints,
            self.channels,
            self.game_lobbies,
        )
        self._replies = replies
        self._bind()

    def _bind(self) -> None:
        """What a part does of what others call here: its own method, without a call between."""
        self.create, self.enter = self.attendance.create, self.attendance.enter
        self.leave, self.change_info = self.attendance.leave, self.attendance.change_info
        self.draw, self.add_strokes = self.drawing.draw, self.drawing.add_strokes
        self.take_back = self.drawing.take_back
        self.confirmed = self.late_join.confirmed
        self.above_high_mark = self.late_join.above_high_mark
        self.arrange, self.remove = self.game_lobbies.arrange, self.game_lobbies.remove
        self.save, self.read = self.checkpoints.save, self.canvas_queue.read
        self.snapshot_saved = self.snapshot_requests.saved
        self.claim, self.holder = self.presence.claim, self.presence.holder
        self.lobby_list, self.restore_lobbies = self.directory.text, self.directory.restore

    # ------------------------------------------------------------ connections
    def connect(self, address: str, now: float, rtt_s: Callable[[], float]) -> PaintSession | None:
        """A new connection; None when there are too many.

        address: of the peer, without its port. rtt_s: asks for the round-trip time in seconds.
        """
        if not self.context.admit(address):
            return None
        session = PaintSession(self, self.context, self.counters, address, now, rtt_s)
        self.sessions[session.key] = session
        return session

    def disconnected(self, member: Member, now: float) -> None:
        session = self.sessions.pop(member.key, None)
        self.replays.end(member.key)
        self.context.gone(member.address, unauthenticated=not member.name)
        if session is not None and session.name:
            self.part(session, now)
        member.send_queue.drop()

    def part(self, session: PaintSession, now: float) -> None:
        if self.presence.let_go(session.name, session):
            extension.parted(session, now)
        self.context.contain("leaving", self.leave, session, now)
        self.context.contain("leaving", self.channels.disconnect_all, session)

    def gauges(self) -> Mapping[str, Gauge]:
        """People, drawings and channels."""
        lobbies = self.lobbies
        return {
            "logged_in": Gauge("Connections that have logged in.", lambda: len(self.presence)),
            "lobbies": Gauge("Drawings that are kept.", lambda: len(lobbies)),
            "lobbies_active": Gauge(
                "Drawings with people at them.",
                lambda: sum(bool(lobby.members) for lobby in lobbies.values()),
            ),
            "channels": Gauge("Chat channels.", lambda: len(self.channels)),
        }

    # ------------------------------------------------------------ pictures of clients
    def picture(self, lobby: Lobby, name: str, pixels: npt.NDArray[np.uint32], now: float) -> None:
        """A client that was asked has brought its picture; it is stored before anybody sees it.

        pixels: uint32 (width, length). Raises Refused.
        """
        self.snapshot_requests.brought(lobby, name, pixels)
        self.save(lobby, now)

    # ------------------------------------------------------------ answers to effects
    def canvas_loaded(self, lobby: Lobby, now: float, dump: Dump | None) -> None:
        """The answer to LoadCanvas; None: the store could not."""
        self.checkpoints.loaded(lobby, now, dump)

    def canvas_saved(self, effect: SaveCanvas, ok: bool, now: float) -> None:
        """The answer to SaveCanvas."""
        self.checkpoints.saved(effect, ok, now)

    def canvas_removed(self, lobby: Lobby, ok: bool, now: float) -> None:
        """The answer to RemoveCanvas."""
        self.checkpoints.forgotten(lobby, ok, now)

    def worked(self, effect: Work, outcome: Any, now: float) -> None:
        """The answer to Work: what it has returned, or the Refused that it has raised."""
        self.canvas_queue.worked(effect, outcome, now)

    # ------------------------------------------------------------ the store and the disk
    @property
    def saved(self) -> bool:
        """Has the store every drawing as it is?"""
        return self.directory.all_saved

    def checkpoint_oldest(self, now: float) -> None:
        """Have the drawing stored that keeps the journal from being forgotten."""
        self.checkpoints.checkpoint_oldest(now)

    @property
    def journal_from(self) -> int:
        """The first batch of the journal that is still needed."""
        return self.checkpoints.journal_from

    def turn_read_only(self, now: float) -> None:
        """The disk is full: nobody draws until there is room, and everybody is told."""
        for session in self.sessions.values():
            if session.membership is not None:
                self._replies.disk_full(session, session.membership.lobby, now)

    def turn_writable(self, now: float) -> None:
        """There is room again."""
        for lobby in list(self.lobbies.values()):
            if lobby.members or lobby.frozen_packets:
                self.late_join.thaw(lobby, now)
                self._left(lobby, now)

    def _left(self, lobby: Lobby, now: float) -> None:
        if not lobby.members:
            lobby.when_free(lambda now: self.attendance.left(lobby, now), now)
