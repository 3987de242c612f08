"""What came of a backup that did not fail."""

from dataclasses import dataclass
from pathlib import Path

from engine.manifest import SetFacts


@dataclass(frozen=True, slots=True)
class Outcome:
    """A published set; or, with `folder` and `facts` None, a postponed one with the reason in `text`.

    `warnings` are sentences about what went wrong without harming the set, `removed` the sets rotated away.
    """

    folder: Path | None
    facts: SetFacts | None
    text: str
    removed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
