"""What only the echo asks of the world."""

from dataclasses import dataclass

from polypaint.engine.effects import Effect


@dataclass(frozen=True, slots=True)
class Remarked(Effect):
    """Note a message."""

    message: bytes
