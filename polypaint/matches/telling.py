"""What everybody at a match is told: `infos` after coming and going, `update` after each move.

What several are told alike is encoded once.

Must never change a match. Counterpart: `match_server.py` says when.
Protocol: docs/matches.md, section 2.
"""

from typing import TYPE_CHECKING, Any

from polypaint.engine.session import line
from polypaint.matches.match import OVER, Match, Outcome, States

if TYPE_CHECKING:
    from polypaint.matches.session import MatchSession


def tell_infos(
    match: Match,
    states: States,
    asker: "MatchSession | None" = None,
    rid: Any = None,
    reason: str = "",
) -> None:
    """How the match stands. asker: whose copy carries `rid`. reason: why it has ended so."""
    infos: dict[Any, dict[str, Any]] = {}
    lines: dict[Any, bytes] = {}
    for viewer, session in match.viewers():
        statut = match.results.get(viewer) if match.state == OVER and viewer is not None else None
        key = (id(states[viewer]), statut)
        if key not in infos:
            message = {"reponse": "infos", "infos_partie": match.infos(states[viewer])}
            infos[key] = message | _statut(statut) | ({"motif": reason} if reason else {})
        _tell(session, infos[key], key, lines, rid if session is asker else None)


def tell_update(
    match: Match,
    name: str | None,
    action: dict[str, Any] | None,
    outcome: Outcome,
    asker: "MatchSession | None" = None,
    rid: Any = None,
) -> None:
    """A move, as `table` keeps it: name None: time was up; action None: a player is gone."""
    updates: dict[Any, dict[str, Any]] = {}
    lines: dict[Any, bytes] = {}
    for viewer, session in match.viewers():
        over = match.state == OVER or (action is None and viewer == name)
        statut = match.results.get(viewer) if over and viewer is not None else None
        shown, state = outcome.actions.get(viewer, action), outcome.states[viewer]
        key = (id(shown), id(state), statut)
        if key not in updates:
            update = {"joueur": name, "action": shown, "jeu_etat": state}
            updates[key] = {"reponse": "update", "update_partie": update, "seq": match.seq}
            updates[key] |= _statut(statut)
        _tell(session, updates[key], key, lines, rid if session is asker else None)


def _statut(statut: str | None) -> dict[str, str]:
    return {} if statut is None else {"statut": statut}


def _tell(
    session: "MatchSession", message: dict[str, Any], key: Any, lines: dict[Any, bytes], rid: Any
) -> None:
    if rid is not None:
        session.reply(message, rid)
        return
    if key not in lines:
        lines[key] = line(message)
    session.send_queue.push(lines[key])
