"""Tables of handlers: one for every message of a protocol, checked when the module is imported.

Must never know a protocol. Counterparts: the `session.py` of every room.
"""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

Handler = TypeVar("Handler", bound=Callable[..., None])


class Handlers(dict[Any, Handler], Generic[Handler]):
    """Key of a message → the method that handles it.

    key: of a declared message, the attribute by which an arriving one is found.
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def __call__(self, *kinds: Any) -> Callable[[Handler], Handler]:
        """Make a method the handler of these messages. Raises ImportError for a second one."""

        def register(handler: Handler) -> Handler:
            for kind in kinds:
                if self.setdefault(getattr(kind, self._key), handler) is not handler:
                    raise ImportError(f"{kind.name} has two handlers")
            return handler

        return register

    def must_be(self, kinds: Iterable[Any]) -> None:
        """Raises ImportError unless these messages, and no others, have handlers."""
        wrong = self.keys() ^ {getattr(kind, self._key) for kind in kinds}
        if wrong:
            raise ImportError(f"without a handler, or a handler without a message: {wrong}")
