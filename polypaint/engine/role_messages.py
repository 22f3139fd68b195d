"""What roles tell each other: how a message is declared, and results, which several services send.

A request is sent until it is acknowledged, and may come twice, late, or after a newer one; an
answer is sent once for each time that its request has come. The words are those of
docs/matches.md, section 4.

Counterparts: `matches/role_messages.py` has the other messages; `bus/reliable.py` sends again.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

REQUEST, ANSWER = "requete", "reponse"
MANAGER, MATCH, STATS, TANKS = "manager", "match", "stats", "tanks"

H = TypeVar("H", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class RoleMessage:
    """kind: REQUEST or ANSWER; to: the roles that receive it. optional: fields that may lack."""

    kind: str
    name: str
    to: tuple[str, ...]
    fields: frozenset[str]
    optional: frozenset[str] = frozenset()

    def make(self, **fields: Any) -> dict[str, Any]:
        """The message, as it is carried. Raises TypeError for fields that are not its own."""
        if not self.fields <= fields.keys() <= self.fields | self.optional:
            raise TypeError(f"{self.name} has {sorted(self.fields)}, not {sorted(fields)}")
        return {self.kind: self.name} | fields

    def key(self, role: str, *of: str) -> Hashable:
        """What tells a request to this role about one thing from others: see `Requests`."""
        return role, self.name, of


def request(name: str, to: str, fields: str, optional: str = "") -> RoleMessage:
    """Declare a request; roles and fields stand in a row."""
    words = frozenset(fields.split()), frozenset(optional.split())
    return RoleMessage(REQUEST, name, tuple(to.split()), *words)


def answer(name: str, to: str, fields: str) -> RoleMessage:
    """Declare an answer."""
    return RoleMessage(ANSWER, name, tuple(to.split()), frozenset(fields.split()))


RESULT: Final = request("stat", STATS, "id_publique statut code_partie attendus", "de")
"""`de`: the role that is answered, when it is not the match server."""
COUNTED: Final = answer("compte", f"{MATCH} {TANKS}", "code_partie id_publique")
AGAIN: Final = answer("doublon", f"{MATCH} {TANKS}", "code_partie id_publique")
CONFLICT: Final = answer("conflit", f"{MATCH} {TANKS}", "code_partie id_publique")
OUTCOMES: Final = {message.name: message for message in (COUNTED, AGAIN, CONFLICT)}
"""By what the store says of a result."""
RESULT_RETRY_S_MAX: Final = 30.0


def name_of(message: Mapping[str, Any]) -> str:
    """Which one it is."""
    name: str = message.get(REQUEST) or message[ANSWER]
    return name


def handlers(
    role: str, declared: Iterable[RoleMessage], table: Mapping[RoleMessage, H]
) -> dict[str, H]:
    """What a role does with each message, by name. Raises TypeError unless all have a handler."""
    wanted = {message for message in declared if role in message.to}
    if table.keys() != wanted:
        odd = sorted(message.name for message in table.keys() ^ wanted)
        raise TypeError(f"{role}: not exactly one handler for {odd}")
    return {message.name: handler for message, handler in table.items()}
