"""What the Backup journal and the history say of opening checks; 4D's own form for an automatic restore (spec 7.1)."""

from contextlib import suppress
from datetime import tzinfo
from pathlib import Path

from engine.autorestore import Brought, NoBackupError
from engine.errors import Code, EngineError
from engine.journal import Entry, error_lines, local_time, one_line
from engine.opencheck import State, Verdict
from engine.records import Recorder
from engine.report import Times, event, simple_entry
from settings.layout import DatabaseLayout

_TITLE = "*** Automatic Full Backup Restore"


def automatic_restore_entry(
    result: str, lines: tuple[str, ...], times: Times, error: EngineError | None
) -> Entry:
    """Title, `Starting:`, `Ending:` and `Result:` as 4D writes them; then what 4D does not tell."""
    errors = () if error is None else error_lines(error)
    ending = f"Ending:  {local_time(times.ended, times.zone)}"
    starting = f"Starting:  {local_time(times.started, times.zone)}"
    more = tuple(one_line(line) for line in lines)
    return Entry(_TITLE, (), starting, (), (ending, f"Result: {result}", *errors, *more))


def record_restored(
    layout: DatabaseLayout, verdict: Verdict, brought: Brought, times: Times
) -> None:
    """Journal and history of one that succeeded."""
    restored = brought.restored
    logs = () if restored.logs is None else restored.logs.plan.sentences
    aside = () if restored.aside is None else (f"Replaced files : {restored.aside}",)
    lines = (
        f"Data file : {layout.data_file}",
        *(f"Reason : {text}" for text in verdict.damage),
        *(f"Passed over : {text}" for text in brought.passed),
        f"Set : {brought.stored.folder}",
        *aside,
        *(f"Log : {text}" for text in logs),
        *(f"Note : {text}" for text in restored.notes),
    )
    recorder = _recorder(layout, brought.stored.folder.parent, times.zone)
    with suppress(OSError):
        recorder.journal(automatic_restore_entry("OK", lines, times, None))
    recorder.event(event("restore", times, None, set=brought.stored.folder.name, automatic=True))


def record_failed(
    layout: DatabaseLayout,
    verdict: Verdict,
    destination: Path | None,
    error: EngineError,
    times: Times,
) -> None:
    """Journal and history of one that did not."""
    result = "backup not available" if isinstance(error, NoBackupError) else "nothing was restored"
    reasons = (f"Reason : {text}" for text in verdict.damage)
    lines = (f"Data file : {layout.data_file}", *reasons)
    recorder = _recorder(layout, destination, times.zone)
    with suppress(OSError):
        recorder.journal(automatic_restore_entry(result, lines, times, error))
    recorder.event(event("restore", times, error, automatic=True))


def record_check(layout: DatabaseLayout, verdict: Verdict, hint: str, times: Times) -> None:
    """Journal what a check found and did not change; nothing when there is nothing to tell."""
    lines = tuple(f"Doubt : {text}" for text in verdict.doubts)
    error = None
    if verdict.state is not State.GOOD:
        error = EngineError("; ".join(verdict.damage), hint=hint, code=Code.DONE)
    if error is None and not lines:
        return
    result = (
        "Result : it can be opened"
        if error is None
        else "Result : it cannot be opened as it is; nothing was restored"
    )
    about = f"Data file : {layout.data_file}"
    entry = simple_entry("Opening check", (about, *lines, result), times, error)
    with suppress(OSError):
        _recorder(layout, None, times.zone).journal(entry)


def _recorder(layout: DatabaseLayout, destination: Path | None, zone: tzinfo) -> Recorder:
    recorder = Recorder(layout.package, layout.key, zone)
    recorder.destination = destination
    return recorder
