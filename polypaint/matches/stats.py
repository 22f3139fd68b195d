"""The stats server: results count once, and a match whose results are all in is to be closed.

It keeps nothing of its own: the store has the results, and the match server repeats what is not
acknowledged. So it may be killed at any moment.

Counterparts: `match_server.py` sends `stat`, `manager.py` is asked to close.
Protocol: docs/matches.md, sections 2 and 4.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from polypaint.engine.context import Context
from polypaint.engine.role_messages import (
    MANAGER,
    MATCH,
    OUTCOMES,
    RESULT,
    STATS,
    handlers,
    name_of,
)
from polypaint.engine.service import Requests
from polypaint.matches.effects import CountResult, PlayerRecord, ReadRanking, ReadRecord, Trouble
from polypaint.matches.messages import MatchRefusal, refused
from polypaint.matches.role_messages import CLOSE_MATCH, CLOSED, ROLE_MESSAGES
from polypaint.matches.viewer import Answer

CLOSING_RETRY_S_MAX: Final = 30.0
RANKED_MAX: Final = 100


class Stats:
    """See the module. sender: the role to which `stat` is answered."""

    def __init__(self, context: Context, bus: Requests) -> None:
        self._context = context
        self._bus = bus
        self._closing: set[str] = set()
        """Matches that the manager has been asked to close."""

    # ------------------------------------------------------------ what clients ask for
    def player(self, name: str, then: Answer) -> None:
        """`statistiques`."""

        def answer(record: PlayerRecord, now: float) -> None:
            then({"reponse": "statistiques"} | player_json(record), now)

        self._context.effects.append(ReadRecord(name, answer, partial(then, _no_answer())))

    def ranking(self, then: Answer) -> None:
        """`classement`."""

        def answer(records: Sequence[PlayerRecord], now: float) -> None:
            then({"reponse": "classement", "classement": ranking_json(records)}, now)

        self._context.effects.append(ReadRanking(RANKED_MAX, answer, partial(then, _no_answer())))

    # ------------------------------------------------------------ between servers
    def receive(self, message: dict[str, Any], now: float) -> None:
        """From a match server or the manager; a repeat changes nothing."""
        _HANDLERS[name_of(message)](self, message, now)

    def _stat(self, message: dict[str, Any], _now: float) -> None:
        """A player's result. Unanswered while the store is away: it will come again."""
        code, player, statut = (message[k] for k in ("code_partie", "id_publique", "statut"))
        self._context.effects.append(
            CountResult(code, player, statut, partial(self._counted, message), lambda _now: None)
        )

    def _counted(self, message: dict[str, Any], counted: tuple[str, set[str]], now: float) -> None:
        outcome, players = counted
        code, player = message["code_partie"], message["id_publique"]
        if outcome == "conflit":
            details = {"code": code, "player": player, "statut": message["statut"]}
            self._context.effects.append(Trouble("two results for one player", details))
        answer = OUTCOMES[outcome].make(code_partie=code, id_publique=player)
        self._bus.send(message.get("de", MATCH), answer)
        if players.issuperset(message["attendus"]) and code not in self._closing:
            self._closing.add(code)
            closing = CLOSE_MATCH.make(code_partie=code)
            self._bus.request(
                CLOSE_MATCH.key(MANAGER, code), MANAGER, closing, now, CLOSING_RETRY_S_MAX
            )

    def _closed(self, message: dict[str, Any], _now: float) -> None:
        """The manager sees to it."""
        code = message["code_partie"]
        self._closing.discard(code)
        self._bus.acknowledged(CLOSE_MATCH.key(MANAGER, code))


_HANDLERS: Final = handlers(STATS, ROLE_MESSAGES, {RESULT: Stats._stat, CLOSED: Stats._closed})


def player_json(record: PlayerRecord) -> dict[str, Any]:
    """A `store.PlayerRecord` as clients are shown it."""
    return {
        "id_publique": record.player,
        "victoires": record.wins,
        "defaites": record.losses,
        "nuls": record.draws,
        "parties": [{"code_partie": code, "statut": statut} for code, statut in record.history],
    }


def ranking_json(records: Sequence[PlayerRecord]) -> list[dict[str, Any]]:
    """`store.PlayerRecord`s, best first, as clients are shown them."""
    return [
        {
            "rang": rank,
            "id_publique": record.player,
            "victoires": record.wins,
            "defaites": record.losses,
            "nuls": record.draws,
        }
        for rank, record in enumerate(records, 1)
    ]


def _no_answer() -> MatchRefusal:
    return refused("debit", "the statistics cannot be read now; try again later")
