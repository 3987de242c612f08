"""backupHistory.json in the destination: 4D's shape and key names (spec 7.2), so that its readers keep working.

The first key is the structure path with the published sets, oldest first. Everything else that happened
goes under `backup4d`, capped. What others wrote survives. Pure but for `load_history` and `save_history`.
"""

import errno
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.files import read_regular, replacing
from engine.sets import HIGHEST_NUMBER, StoredSet

HISTORY = "backupHistory.json"
_OTHER = "backup4d"
_OTHER_LIMIT = 500
_SIZE_LIMIT = 64 << 20
# arithmetic on what claims to be from another year may leave what dates can hold
_YEARS = range(1970, 9001)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LoadedHistory:
    """A history document; `damage` says why the file on the disk could not be used, None when it could."""

    document: Document
    damage: str | None


def load_history(destination: Path) -> LoadedHistory:
    """Read the history; an absent one is empty, a damaged one is empty with its damage named.

    Raises OSError when the disk fails.
    """
    try:
        data = read_regular(destination / HISTORY, _SIZE_LIMIT, links=False)
    except FileNotFoundError:
        return LoadedHistory({}, None)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ENXIO, errno.ELOOP):
            raise
        return LoadedHistory({}, f"it is no readable file ({error.strerror})")
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        return LoadedHistory({}, f"it is not JSON{line}")
    if not isinstance(document, dict):
        return LoadedHistory({}, "it is not an object of structures")
    return LoadedHistory(document, None)


def save_history(destination: Path, document: Document) -> None:
    """Replace the history as a whole, in 4D's form: tabs, UTF-8, no final line end. Raises OSError."""
    text = json.dumps(document, indent="\t", ensure_ascii=False)
    with replacing(destination / HISTORY) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))


def set_aside(destination: Path, now: datetime) -> Path:
    """Rename a damaged history, so that nothing of it is lost, and return its new name. Raises OSError."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    target = destination / f"backupHistory.damaged-{stamp}.json"
    (destination / HISTORY).rename(target)
    return target


def highest_number(document: Document, structure: str) -> int:
    """The highest set number recorded for a structure, 0 when there is none."""
    numbers = (_number(record) for record in _records(document, structure))
    return max((number for number in numbers if number <= HIGHEST_NUMBER), default=0)


def with_sets(
    document: Document,
    structure: str,
    sets: Iterable[StoredSet],
    is_of_another: Callable[[dict[str, Any]], bool] = lambda _: False,
) -> Document:
    """The document with the records of exactly these sets, oldest first.

    Records of another data file under the same structure stay as they are.

    A record already there stays as it is (others may have added keys); a missing one is made from the
    set's manifest, so a lost history comes back. Records of 4D's own archives stay while their numbers
    are not ours.
    """
    ordered = sorted(sets, key=lambda stored: stored.number)
    ours = {str(stored.folder) for stored in ordered}
    others: list[dict[str, Any]] = []
    mine: list[dict[str, Any]] = []
    for record in _records(document, structure):
        (others if is_of_another(record) else mine).append(record)
    known = {_number(record): record for record in mine}
    records = others + [record for record in mine if not _is_set_of_backup4d(record, ours)]
    for stored in ordered:
        found = known.get(stored.number)
        if found is None or not _is_set_of_backup4d(found, ours):
            records.append(set_record(stored))
        elif _folder_of(found) == str(stored.folder):
            records.append(found)
        else:  # damaged, or the backup folder has another path now
            records.append({**found, **set_record(stored)})
    records.sort(key=_number)
    rest = {key: value for key, value in document.items() if key != structure}
    return {structure: records, **rest}


def with_event(document: Document, event: dict[str, Any]) -> Document:
    """The document with one more event under `backup4d`, the oldest dropped beyond the cap."""
    events = document.get(_OTHER)
    kept = [*events, event] if isinstance(events, list) else [event]
    others = {key: value for key, value in document.items() if key != _OTHER}
    return {**others, _OTHER: kept[-_OTHER_LIMIT:]}


def events_of(document: Document, structure: str, kind: str) -> list[tuple[datetime, int, str]]:
    """(end, status, text) of the events of one kind for one structure; what is not readable is left out."""
    return [
        (datetime.fromisoformat(row["endingDate"]), int(row["status"]), str(row.get("error", "")))
        for row in event_rows(document, structure, kind)
    ]


def event_rows(document: Document, structure: str, kind: str) -> list[dict[str, Any]]:
    """The events themselves; each has an end that a clock can show, with a zone, and a status that is a number."""
    found: list[dict[str, Any]] = []
    events = document.get(_OTHER)
    for row in events if isinstance(events, list) else []:
        try:
            is_meant = row["event"] == kind and row["structurePath"] == structure
            ended, _ = datetime.fromisoformat(row["endingDate"]), int(row["status"])
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if is_meant and ended.tzinfo is not None and ended.year in _YEARS:
            found.append(row)
    return found


def set_record(stored: StoredSet) -> dict[str, Any]:
    """4D's record of one set; dates and status are true here (spec 7.2 and our decisions)."""
    facts = stored.facts
    log = next((name for name in _files_of(stored, "log")), None)
    main = next((name for name in _files_of(stored, "main")), "")
    missing = set(facts.missing)
    return {
        "backupPath": str(stored.folder / main),
        "structurePath": facts.structure or "",
        "dataPath": facts.data_file,
        "logPath": "" if log is None else str(stored.folder / log),
        "startingDate": utc_text(facts.started),
        "endingDate": utc_text(facts.ended),
        "scheduledDate": utc_text(facts.scheduled or facts.started),
        "status": 0 if facts.complete else 1409,
        "backupNumber": facts.number,
        "duration": max(0, (facts.ended - facts.started) // timedelta(milliseconds=1)),
        "attachments": [
            {"attachmentPath": listed, "found": listed not in missing}
            for listed in reversed(facts.attachments)
        ],
    }


def utc_text(instant: datetime) -> str:
    """4D's date form, `2024-08-12T22:00:02.094Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + (
        f"{instant.microsecond // 1000:03d}Z"
    )


def _files_of(stored: StoredSet, role: str) -> tuple[str, ...]:
    return tuple(name for of, name in stored.facts.files if of == role)


def _records(document: Document, structure: str) -> list[dict[str, Any]]:
    records = document.get(structure)
    if not isinstance(records, list):
        return []
    return [record for record in records if isinstance(record, dict)]


def _number(record: dict[str, Any]) -> int:
    number = record.get("backupNumber")
    return number if isinstance(number, int) else 0


def _folder_of(record: dict[str, Any]) -> str:
    return str(Path(str(record.get("backupPath", ""))).parent)


def _is_set_of_backup4d(record: dict[str, Any], ours: set[str]) -> bool:
    """A record whose archive lies in a set folder, present or already removed."""
    path = Path(str(record.get("backupPath", "")))
    number = f"[{_number(record):04d}"
    return _folder_of(record) in ours or (number in path.parent.name and number in path.name)
