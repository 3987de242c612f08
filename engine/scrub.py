"""A kept set read again long after it was made: compared, repaired where there is recovery data, and told of."""

from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from engine.errors import Code, DamagedError, EngineError, StoppedError
from engine.host import keep_freed_memory, worker_count
from engine.operations import record_operation, recovery_line
from engine.parity import has_parity, repair_set
from engine.report import Times
from engine.setwriter import Surroundings
from engine.verify import Verdict, verify_set
from settings.layout import DatabaseLayout

_HINT = "keep the folder, use another set, and check the disk it lies on"


@dataclass(frozen=True, slots=True)
class Reread:
    """What became of one set: `code` is 0 when it is whole now, else `text` says what is wrong with it."""

    code: int
    text: str
    was_damaged: bool = False
    is_repaired: bool = False


def scrub_set(folder: Path, layout: DatabaseLayout, zone: tzinfo, around: Surroundings) -> Reread:
    """Verify one set, repair it when that is possible, and journal both.

    Raises StoppedError, also when rotation removed the set meanwhile: then nothing is known of it.
    """
    keep_freed_memory()
    started = around.clock.now()
    lines = [f"Set : {folder}", "Asked for by : scrub"]
    try:
        reread = _read_again(folder, around, lines)
    except StoppedError:
        raise
    except EngineError as error:  # nothing is known of it, and that must be told
        reread = Reread(int(error.code or Code.BACKUP_FAILED), str(error))
    except OSError as error:
        text = f"{error.filename or folder} cannot be read: {error.strerror}"
        reread = Reread(Code.BACKUP_FAILED, text)
    if reread.code and not folder.exists():
        raise StoppedError(f"{folder} was removed by rotation while it was read")
    _record(layout, folder, tuple(lines), Times(None, started, around.clock.now(), zone), reread)
    return reread


def _read_again(folder: Path, around: Surroundings, lines: list[str]) -> Reread:
    verdict = _verify(folder, around)
    lines += recovery_line(verdict)
    if verdict.good:
        return Reread(0, "")
    damage = "; ".join(verdict.damage)
    if not has_parity(folder):
        return Reread(verdict.code, damage, was_damaged=True)
    lines.append(f"Damage : {damage}")
    try:
        repair = repair_set(folder, stop=around.stop, report=around.report)
    except StoppedError:
        raise
    except EngineError as error:
        lines.append(f"Not repaired : {error}")
        return Reread(verdict.code, damage, was_damaged=True)
    lines += [f"Repair : {note}" for note in repair.notes]
    # success is what a second reading finds, not what the repair says of itself
    again = _verify(folder, around)
    if not again.good:
        return Reread(again.code, "; ".join(again.damage), was_damaged=True)
    return Reread(0, f"repaired: {', '.join(repair.files)}", was_damaged=True, is_repaired=True)


def _verify(folder: Path, around: Surroundings) -> Verdict:
    workers = worker_count()
    return verify_set(folder, workers=workers, stop=around.stop, report=around.report)


def _record(
    layout: DatabaseLayout, folder: Path, lines: tuple[str, ...], times: Times, reread: Reread
) -> None:
    error = DamagedError(reread.text, code=reread.code, hint=_HINT) if reread.code else None
    if reread.is_repaired:
        result = "Result : OK after the repair"
    elif reread.was_damaged:
        result = "Result : damaged"
    else:
        result = "Result : not known" if error else "Result : OK"
    record_operation(layout, folder, "Verification", (*lines, result), times, error)
