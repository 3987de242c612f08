"""A log that ought to be there and is not: 4D's error 1274, and what it means. Pure but for a look whether it is there."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from engine.sets import StoredSet
from settings.layout import DatabaseLayout

_LONGEST = 255
HINT = (
    "bring the log back beside the data file, or let 4D make a new one, and make a backup at once: only what is done"
    " after a backup that was made with the log can be brought back"
)


def missing_log(layout: DatabaseLayout, named: str | None, *, was_saved: bool) -> str | None:
    """Why the log ought to be there, in a sentence; None when it is there, or nothing says that there is one.

    `named` is the path of the log in the header of the data file, `was_saved` whether a kept set holds one
    (`has_saved`).
    """
    if is_there(layout.log):
        return None
    other = None if named is None else _named_path(layout.data_file, named)
    if other is not None and other != layout.log and _is_file(other):
        return (
            f"the log of {layout.data_file} is {other}, which no backup saves:"
            f" saved is {layout.log.name} beside the data file"
        )
    why = "the data file names it" if named is not None else "a kept set holds it"
    if named is None and not was_saved:
        return None
    return f"the log {layout.log} is missing, though {why}"


def has_saved(sets: Iterable[StoredSet]) -> bool:
    """Whether one of these sets holds a log: it is missed until there is a newer one, however many were made without."""
    return any(holds_log(stored) for stored in sets)


def holds_log(stored: StoredSet) -> bool:
    """Whether a set holds a log."""
    return any(role == "log" for role, _ in stored.facts.files)


def is_there(log: Path) -> bool:
    """Whether a log is there; one that this user may not look for counts as there."""
    try:
        log.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _is_file(path: Path) -> bool:
    with suppress(OSError):
        return path.is_file()
    return False


def _named_path(data_file: Path, named: str) -> Path | None:
    """Where the name in a header leads; None for a path of another system, or one that no system has."""
    if "\\" in named or "\0" in named or ":" in named or len(named) > _LONGEST:
        return None
    return Path(os.path.normpath(data_file.parent / named))
