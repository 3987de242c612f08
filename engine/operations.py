"""Verifications with their entries in the Backup journal and the history; how any operation is recorded."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import tzinfo
from pathlib import Path

from engine.errors import DamagedError, EngineError
from engine.host import keep_freed_memory, worker_count
from engine.records import Recorder
from engine.report import Times, event, simple_entry
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
        verdict = verify_set(folder, workers=worker_count(), stop=around.stop, report=around.report)
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
        lines = (f"Set : {folder}", *recovery_line(verdict), result)
        record_operation(layout, folder, "Verification", lines, times, error)
    return verdicts


def recovery_line(verdict: Verdict) -> tuple[str, ...]:
    """The journal's line of what is wrong with recovery data."""
    return (f"Recovery data : {verdict.recovery}",) if verdict.recovery else ()


def record_operation(
    layout: DatabaseLayout,
    folder: Path,
    title: str,
    lines: tuple[str, ...],
    times: Times,
    error: EngineError | None,
    **facts: int,
) -> None:
    """Journal an operation; a full or read-only disk must not turn a good one into a failure.

    In the history it has the last word of its title, and `facts` beside the set.
    """
    recorder = Recorder(layout.package, layout.key, times.zone)
    recorder.destination = folder.parent
    with suppress(OSError):
        recorder.journal(simple_entry(title, lines, times, error))
    kind = title.lower().rpartition(" ")[2]
    recorder.event(event(kind, times, error, set=folder.name, **facts))
