"""The stats server: results count once, and a match whose results are all in is to be closed.

It keeps nothing of its own: the store has the results, and the match server repeats what is not
acknowledged. So it may be killed at any moment.

Counterparts: `match_server.py` sends `stat`, `manager.py` is asked to close.
Protocol: docs/matches.md, sections 2 and 4.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from polypaint.engine.context import Context
from polypaint.matches.effects import CountResult, PlayerRecord, ReadRanking, ReadRecord, Trouble
from polypaint.matches.messages import MANAGER, MatchRefusal, refused
from polypaint.matches.viewer import Answer

RETRY_S: Final = 1.0
RETRY_S_MAX: Final = 30.0
RANKED_MAX: Final = 100


class Stats:
    """See the module. sender: the role to which `stat` is answered."""

    def __init__(self, context: Context, send: Callable[[str, dict[str, Any]], None]) -> None:
        self._context = context
        self._send = send
        self._closing: dict[str, float] = {}

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
        _MESSAGES[message.get("requete") or message["reponse"]](self, message, now)

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
        sender = message.get("de", "match")
        self._send(sender, {"reponse": outcome, "code_partie": code, "id_publique": player})
        if players.issuperset(message["attendus"]) and code not in self._closing:
            self._closing[code] = RETRY_S
            self._close(code, now)

    def _close(self, code: str, now: float) -> None:
        """Ask the manager to close a match, until it has."""
        wait = self._closing.get(code)
        if wait is not None:
            self._closing[code] = min(2 * wait, RETRY_S_MAX)
            self._send(MANAGER, {"requete": "fermer", "code_partie": code})
            self._context.timers.at(now + wait, partial(self._close, code))

    def _closed(self, message: dict[str, Any], _now: float) -> None:
        self._closing.pop(message["code_partie"], None)


_MESSAGES: Final[dict[str, Any]] = {"stat": Stats._stat, "fermee": Stats._closed}


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
