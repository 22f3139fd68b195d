"""What everybody at a match is told: `infos` after coming and going, `update` after each move.

What several are told alike is encoded once.

Must never change a match. Counterpart: `match_server.py` says when.
Protocol: docs/matches.md, section 2.
"""

from typing import TYPE_CHECKING, Any

from polypaint.engine.session import line
from polypaint.matches.match import OVER, Match, Outcome, States

if TYPE_CHECKING:
    from polypaint.matches.viewer import Viewer, ViewerKey


def tell_infos(
    match: Match,
    states: States,
    asker: "ViewerKey | None" = None,
    rid: Any = None,
    reason: str = "",
) -> None:
    """How the match stands. asker: whose copy carries `rid`. reason: why it has ended so."""
    infos: dict[Any, dict[str, Any]] = {}
    lines: dict[Any, bytes] = {}
    for name, viewer in match.viewers():
        statut = match.results.get(name) if match.state == OVER and name is not None else None
        key = (id(states[name]), statut)
        if key not in infos:
            message = {"reponse": "infos", "infos_partie": match.infos(states[name])}
            infos[key] = message | _statut(statut) | ({"motif": reason} if reason else {})
        _tell(viewer, infos[key], key, lines, rid if viewer.key == asker else None)


def tell_update(
    match: Match,
    name: str | None,
    action: dict[str, Any] | None,
    outcome: Outcome,
    asker: "ViewerKey | None" = None,
    rid: Any = None,
) -> None:
    """A move, as `table` keeps it: name None: time was up; action None: a player is gone."""
    updates: dict[Any, dict[str, Any]] = {}
    lines: dict[Any, bytes] = {}
    for who, viewer in match.viewers():
        over = match.state == OVER or (action is None and who == name)
        statut = match.results.get(who) if over and who is not None else None
        shown, state = outcome.actions.get(who, action), outcome.states[who]
        key = (id(shown), id(state), statut)
        if key not in updates:
            update = {"joueur": name, "action": shown, "jeu_etat": state}
            updates[key] = {"reponse": "update", "update_partie": update, "seq": match.seq}
            updates[key] |= _statut(statut)
        _tell(viewer, updates[key], key, lines, rid if viewer.key == asker else None)


def _statut(statut: str | None) -> dict[str, str]:
    return {} if statut is None else {"statut": statut}


def _tell(
    viewer: "Viewer", message: dict[str, Any], key: Any, lines: dict[Any, bytes], rid: Any
) -> None:
    if rid is not None:
        viewer.send(line(message | {"rid": rid}))
        return
    if key not in lines:
        lines[key] = line(message)
    viewer.send(lines[key])
