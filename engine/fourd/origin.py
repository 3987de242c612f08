"""What a backup of 4D's own is, apart from its content: its number, its log archive, and when it was made."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import MissingSetError, RefusedError
from engine.files import read_regular
from engine.fourd.archive import archive_number
from engine.history import HISTORY
from engine.sets import HIGHEST_NUMBER

_HISTORY_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """One backup of 4D's: `log` is None when it has none; `source` says by what its dates are known."""

    file: Path
    log: Path | None
    number: int
    started: datetime
    ended: datetime
    source: str


def find_origin(file: Path) -> Origin:
    """By the name of an archive and what lies beside it. Raises MissingSetError, RefusedError, OSError."""
    if not os.path.lexists(file):
        raise MissingSetError(f"{file} is not there; nothing was imported")
    number = archive_number(file)
    if file.suffix.lower() != ".4bk" or number is None:
        raise RefusedError(
            f"{file} is not named like a backup of 4D, data[0007].4BK; its number is that of the set"
        )
    if number[1]:
        raise RefusedError(f"{file} is a segment of an archive: they are not known to this program")
    if not 0 < number[0] <= HIGHEST_NUMBER:
        raise RefusedError(f"{file}: {number[0]} is no number of a set")
    log = file.with_name(f"{file.name.rpartition('[')[0]}[{number[0] - 1:04d}].4BL")
    found = _recorded(file, number[0])
    if found is not None:
        source = f"{HISTORY} beside it"
        return Origin(file, _existing(log), number[0], *found, source)
    written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    has_history = os.path.lexists(file.with_name(HISTORY))
    why = f"the {HISTORY} beside it does not tell" if has_history else "no history is beside it"
    source = f"the time at which the file was last written, as {why}"
    return Origin(file, _existing(log), number[0], written, written, source)


def _existing(log: Path) -> Path | None:
    return log if log.exists() else None


def _recorded(file: Path, number: int) -> tuple[datetime, datetime] | None:
    """Start and end by 4D's history; its three dates are one, and the duration stands beside them."""
    try:
        document = json.loads(read_regular(file.with_name(HISTORY), _HISTORY_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    for record in _records(document):
        path = str(record.get("backupPath", ""))
        name = path.replace("\\", "/").replace(":", "/").rpartition("/")[2]
        if record.get("backupNumber") != number or name != file.name:
            continue
        try:
            started = datetime.fromisoformat(str(record["startingDate"]))
            took = timedelta(milliseconds=max(0, int(record.get("duration", 0))))
            return started.astimezone(UTC), (started + took).astimezone(UTC)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return None


def _records(document: object) -> Iterator[dict[str, Any]]:
    for value in document.values() if isinstance(document, dict) else ():
        for record in value if isinstance(value, list) else ():
            if isinstance(record, dict):
                yield record
