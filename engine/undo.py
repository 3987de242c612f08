"""What a restore in place that was killed left behind is put back, before anything else is done with the database."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import Code, EngineError
from engine.inplace import DOING, RECORD
from engine.inplaceplan import ASIDE
from engine.lock import Lock, instant_in
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


def undo_dead_restore(lock: Lock, recorder: Recorder, now: datetime) -> str | None:
    """Put everything back and say so in the journal; None when no restore in place died.

    The caller holds the lock. Raises RestoreError when it cannot be done, which names what is where; the
    traces then stay, and so does every other operation on the database.
    """
    traces = lock.left_behind
    if traces is None or not is_dead_restore(traces):
        return None
    text = _put_back(traces)
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
    with suppress(OSError):  # no room or no disk: it is found and told once more
        lock.note(None)
    lock.left_behind = None
    return text


def _put_back(traces: dict[str, Any]) -> str:
    """Also removes what was built, where it is known. Raises RestoreError."""
    rooms = {Path(room) for room in _texts(traces.get("rooms"))}
    record = next((Path(text) for text in _texts([traces.get("record")])), None)
    text = _NOT_BEGUN
    if record is not None and record.name == RECORD:
        if traces.get("is_exchanging") is True:
            text = _undo(record, rooms)
        elif record.parent.name.startswith(ASIDE):
            discard_record(record)
    for room in rooms:
        remove_dead(room)
    return text


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
