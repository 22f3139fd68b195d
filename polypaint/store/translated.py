"""What a store's library raises, as ours.

Counterparts: `sqlite_files.py` and `mongo.py`, which say which errors, and what they mean.
"""

from abc import ABC, abstractmethod
from types import TracebackType

from polypaint.errors import StoreError


class Translated(ABC):
    """`with` it, what the library raises comes out as a StoreError. what: is being done."""

    def __init__(self, what: str) -> None:
        self.what = what

    @abstractmethod
    def ours(self, error: BaseException) -> StoreError | None:
        """What an error means to whoever uses the store; None: it is not the library's."""

    def none_raised(self) -> None:  # noqa: B027
        """Called when all went well."""

    def __enter__(self) -> None:  # noqa: B027
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.none_raised()
        ours = self.ours(error) if error is not None else None
        if ours is not None:
            raise ours from error
