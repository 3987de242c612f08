"""What a restore in place that was killed left behind is put back, before anything else is done with the database."""

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import Code, EngineError, RestoreError
from engine.inplace import DOING, RECORD
from engine.inplaceplan import ASIDE
from engine.lock import DATABASE_LOCK, Lock, instant_in
from engine.records import Recorder
from engine.report import Times, event, simple_entry
from engine.swap import discard_record, put_back, read_swap
from engine.workplace import BUILDING, remove_dead

_NOT_BEGUN = "the restore in place that began then was killed before it exchanged a file; nothing was touched"
_UNDONE = "the restore in place that began then was killed; all files are where they were before it"
_DONE = "the restore in place that began then was done, and was killed before it could say so"
_AGAIN = "start the restore again when you still want it"


def is_dead_restore(traces: dict[str, Any] | None) -> bool:
    """Whether what a dead run left are the traces of a restore in place."""
    return traces is not None and traces.get("doing") == DOING


def has_dead_restore(package: Path, traces: dict[str, Any] | None) -> bool:
    """Whether a restore in place died: its traces say so, or its record lies there though the traces are lost.

    Raises RestoreError for a record that cannot be used.
    """
    return is_dead_restore(traces) or bool(_begun_in(package))


def undo_dead_restore(lock: Lock, recorder: Recorder, now: datetime) -> str | None:
    """Put everything back and say so in the journal; None when no restore in place died.

    The caller holds the lock. Raises RestoreError when it cannot be done, which names what is where; the
    traces then stay, and so does every other operation on the database.
    """
    left = lock.left_behind
    if not has_dead_restore(recorder.package, left):
        return None
    traces = left if left is not None and is_dead_restore(left) else {}
    text = _put_back(traces, recorder.package)
    times = Times(None, instant_in(traces, "since") or now, now, recorder.zone)
    error = None
    lines: tuple[str, ...] = ()
    if text == _DONE:
        lines = (f"Replaced files : {Path(str(traces['record'])).parent}", f"Result : OK; {text}")
    else:
        error = EngineError(text, code=Code.DONE, hint=_AGAIN)
    with suppress(OSError):
        recorder.journal(
            simple_entry("Restore" if error is None else "Restore aborted", lines, times, error)
        )
    recorder.event(event("restore", times, error))
    if traces:
        with suppress(OSError):  # no room or no disk: it is found and told once more
            lock.note(None)
        lock.left_behind = None
    return text


def _put_back(traces: dict[str, Any], package: Path) -> str:
    """Also removes what was built, where it is known. Raises RestoreError."""
    rooms = {Path(room) for room in _texts(traces.get("rooms"))}
    record = next((Path(text) for text in _texts([traces.get("record")])), None)
    text = _NOT_BEGUN
    if record is not None and record.name == RECORD:
        _refuse_foreign(record, package)
        if traces.get("is_exchanging") is True:
            text = _undo(record, rooms)
        elif record.parent.name.startswith(ASIDE) and record not in _begun_in(package):
            discard_record(record)
    for begun in _begun_in(package):  # whatever the traces say, that is what was begun
        text = _undo(begun, rooms)
    for room in rooms:
        remove_dead(room)
    return text


def _begun_in(package: Path) -> list[Path]:
    """Records of exchanges of which something lies aside. Raises RestoreError for one that cannot be used."""
    found = []
    for record in sorted(package.glob(f"{ASIDE}*/{RECORD}")):
        swap = read_swap(record)
        if swap is not None and any(os.path.lexists(one.aside) for one in swap.exchanges):
            found.append(record)
    return found


def _refuse_foreign(record: Path, package: Path) -> None:
    """The traces lie where others may write: they lead to no record of another database."""
    if record.parent.parent == package or not os.path.lexists(record):
        return
    lock = package / "Logs" / DATABASE_LOCK
    raise RestoreError(
        f"{lock} says that a restore in place died, and names {record}, which is not in {package}",
        hint="was the application moved? look whether its files are whole; then remove that lock file",
    )


def _undo(record: Path, rooms: set[Path]) -> str:
    swap = read_swap(record)
    if swap is None:
        return _DONE
    rooms |= {room for one in swap.exchanges for room in _room_of(one.fresh)}
    put_back(record, swap)
    return _UNDONE


def _room_of(fresh: Path | None) -> set[Path]:
    """The folder that holds the hidden one it was built in."""
    above = () if fresh is None else fresh.parents
    return {folder.parent for folder in above if folder.name.startswith(BUILDING)}


def _texts(value: object) -> list[str]:
    rows = value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, str) and row.startswith("/") and "\0" not in row]
