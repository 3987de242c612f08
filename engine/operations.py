"""Verification and restore with their entries in the Backup journal and the history."""

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import tzinfo
from pathlib import Path

from engine.errors import DamagedError, EngineError
from engine.host import keep_freed_memory
from engine.records import Recorder
from engine.report import Times, event, simple_entry
from engine.restore import Restored, restore_set
from engine.selection import EVERYTHING, Selection
from engine.setwriter import Surroundings
from engine.verify import Verdict, verify_set
from settings.layout import DatabaseLayout


def verify_recorded(
    folders: Iterable[Path], layout: DatabaseLayout | None, zone: tzinfo, around: Surroundings
) -> list[Verdict]:
    """Verify sets one after the other; with a database at hand, each is journaled."""
    keep_freed_memory()
    verdicts: list[Verdict] = []
    for folder in folders:
        started = around.clock.now()
        verdict = verify_set(
            folder, workers=os.cpu_count() or 2, stop=around.stop, report=around.report
        )
        verdicts.append(verdict)
        if layout is None:
            continue
        error = None
        if not verdict.good:
            error = DamagedError(
                "; ".join(verdict.damage),
                code=verdict.code,
                hint="keep the folder, use another set, and check the disk it lies on",
            )
        times = Times(None, started, around.clock.now(), zone)
        result = "Result : OK" if verdict.good else "Result : damaged"
        _record(layout, folder, "Verification", (f"Set : {folder}", result), times, error)
    return verdicts


def restore_recorded(
    folder: Path,
    target: Path,
    layout: DatabaseLayout | None,
    zone: tzinfo,
    around: Surroundings,
    selection: Selection = EVERYTHING,
) -> Restored:
    """Restore a set, or what is selected of it; with a database at hand, the restore is journaled, also when it fails."""
    keep_freed_memory()
    started = around.clock.now()
    lines = (f"Set : {folder}", f"Target : {target}", *_selected(selection))
    error: EngineError | None = None
    try:
        return restore_set(
            folder,
            target,
            workers=os.cpu_count() or 2,
            stop=around.stop,
            report=around.report,
            selection=selection,
        )
    except DamagedError as failure:
        failure.hint = "another set may be whole: backup4d verify tells; nothing was written"
        error = failure
        raise
    except EngineError as failure:
        error = failure
        raise
    finally:
        if layout is not None:
            times = Times(None, started, around.clock.now(), zone)
            result = "Result : OK" if error is None else "Result : nothing was restored"
            _record(layout, folder, "Restore", (*lines, result), times, error)


def _selected(selection: Selection) -> tuple[str, ...]:
    """What the journal says of a restore that is not whole."""
    if selection.is_everything:
        return ()
    roles = sorted(role.value for role in selection.roles or ())
    return (f"Only : {', '.join([*roles, *selection.patterns])}",)


def _record(
    layout: DatabaseLayout,
    folder: Path,
    title: str,
    lines: tuple[str, ...],
    times: Times,
    error: EngineError | None,
) -> None:
    """A full or read-only disk must not turn a good verification or restore into a failure."""
    recorder = Recorder(layout.package, layout.key, times.zone)
    recorder.destination = folder.parent
    with suppress(OSError):
        recorder.journal(simple_entry(title, lines, times, error))
    kind = title.lower()
    recorder.event(event(kind, times, error, set=folder.name))
