"""Which matches somebody has a seat in, or created: `connexion` may leave the code out."""


class Reservations:
    """Codes of matches by the players for whom there is a place."""

    def __init__(self) -> None:
        self._codes: dict[str, set[str]] = {}

    def add(self, name: str, code: str) -> None:
        """There is a place for this player in this match."""
        self._codes.setdefault(name, set()).add(code)

    def remove(self, name: str, code: str) -> None:
        """There is none any more."""
        codes = self._codes.get(name, set())
        codes.discard(code)
        if not codes:
            self._codes.pop(name, None)

    def only(self, name: str) -> str | None:
        """The one match that this player can mean; None when there is none, or several."""
        codes = self._codes.get(name, set())
        return next(iter(codes)) if len(codes) == 1 else None
