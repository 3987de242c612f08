"""What a running operation tells the one who watches it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation is: `done` and `total` in bytes of content, `total` 0 when unknown.

    While a hook is waited for, `done` counts the seconds.
    """

    phase: str
    done: int
    total: int


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Nobody watches."""
