"""A set verified, repaired from its recovery data, verified again, and all that journaled."""

from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from engine.errors import DamagedError, EngineError, StoppedError
from engine.host import keep_freed_memory, worker_count
from engine.operations import record_operation
from engine.parity import Repair, has_parity, repair_set, tidy_up
from engine.report import Times
from engine.setwriter import Surroundings
from engine.verify import Verdict, verify_set
from settings.layout import DatabaseLayout

_ANOTHER = "use another set, and keep this one: what is readable in it can still be salvaged"


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of one set: how it was before and is now, and what was done.

    `before` and `after` are the same when it was whole. `repair` is None when nothing was replaced, `error`
    says why the set is not whole now, None when it is.
    """

    folder: Path
    before: Verdict
    after: Verdict
    repair: Repair | None
    error: EngineError | None

    @property
    def good(self) -> bool:
        """Whether the set is whole now."""
        return self.error is None


def repair_recorded(
    folder: Path, layout: DatabaseLayout | None, zone: tzinfo, around: Surroundings
) -> Mended:
    """Verify a set and repair it when it is damaged; with a database at hand, that is journaled.

    What keeps it from being repaired is in the result. Raises RefusedError for a newer format, StoppedError.
    """
    keep_freed_memory()
    started = around.clock.now()
    mended = _mend(folder, around)
    if layout is not None:
        times = Times(None, started, around.clock.now(), zone)
        record_operation(layout, folder, "Repair", lines_of(mended), times, mended.error)
    return mended


def lines_of(mended: Mended) -> tuple[str, ...]:
    """What a journal says of it."""
    repair = mended.repair
    files = repair.files if repair is not None else ()
    notes = repair.notes if repair is not None else ()
    if mended.before.good:
        result = "nothing was damaged"
    elif mended.good:
        result = "OK, repaired and verified again"
    else:
        result = "still damaged"
    return (
        f"Set : {mended.folder}",
        *(f"Damaged : {text}" for text in mended.before.damage),
        *((f"Repaired : {', '.join(files)}",) if files else ()),
        *(f"Recovery data : {note}" for note in notes),
        f"Result : {result}",
    )


def _mend(folder: Path, around: Surroundings) -> Mended:
    tidy_up(folder)
    before = _verify(folder, around)
    if before.good:
        return Mended(folder, before, before, None, None)
    if not has_parity(folder):
        error = DamagedError(
            f"{folder} is damaged and has no recovery data (*.par2) beside its files",
            hint=_ANOTHER,
            code=before.code,
        )
        return Mended(folder, before, before, None, error)
    try:
        repair = repair_set(folder, stop=around.stop, report=around.report)
    except StoppedError:
        raise
    except EngineError as failure:
        return Mended(folder, before, _verify(folder, around), None, failure)
    after = _verify(folder, around)
    if after.good:
        return Mended(folder, before, after, repair, None)
    left = DamagedError(
        f"{folder} is still damaged: {_said(after)}", hint=_ANOTHER, code=after.code
    )
    return Mended(folder, before, after, repair, left)


def _verify(folder: Path, around: Surroundings) -> Verdict:
    return verify_set(folder, workers=worker_count(), stop=around.stop, report=around.report)


def _said(verdict: Verdict) -> str:
    return "; ".join(verdict.damage)
