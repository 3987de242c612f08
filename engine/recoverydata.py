"""Recovery data of a set that was just written: computed by par2, read back, durable; or why it is not there.

Whatever goes wrong here, the archives are written and checked: the set is published without recovery data, and says so.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.anchor import known_name
from engine.errors import EngineError, NoRoomError, StoppedError
from engine.files import destination_failure, fsync_folder, room
from engine.host import Clock
from engine.par2files import parity_files, read_recoveries
from engine.par2run import create_par2, find_par2
from engine.progress import Progress, Report
from engine.redundancy import SHARES, Strength, guaranteed
from engine.stop import StopRequest
from settings.model import Rate, Settings

# not after the set: a data file may have a name that par2 takes for a pattern
INDEX = "recovery.par2"
_NOT_LOST = "the archives are whole, the next backup makes new recovery data"
_ROOM_LEFT = 8 << 20  # for history and journal
_DROP_BYTES = 256 << 20
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Protection:
    """What the journal says of the recovery data, and a warning when it is asked for and not there."""

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def protect_set(
    folder: Path, settings: Settings, clock: Clock, stop: StopRequest, report: Report
) -> Protection:
    """Add the recovery data that the settings ask for to a finished set, durable. Raises StoppedError."""
    if settings.redundancy is Rate.NONE:
        return Protection()
    began = clock.monotonic()
    try:
        strength = _protect(folder, settings, stop, report)
    except StoppedError:
        raise
    except EngineError as error:
        return _without(folder, error)
    except OSError as error:
        return _without(folder, destination_failure(folder, "writing recovery data", error))
    if strength is None:
        return Protection()
    return Protection((_said(strength, settings, clock.monotonic() - began),))


def _protect(
    folder: Path, settings: Settings, stop: StopRequest, report: Report
) -> Strength | None:
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.is_symlink())
    sizes = {file.name: file.stat().st_size for file in files}
    strength = guaranteed(list(sizes.values()), settings.redundancy, settings.interlacing)
    if strength is None:
        return None
    program = find_par2()
    _require_room(folder, strength)
    counts = (
        strength.slice_bytes,
        strength.recovery_slices,
        strength.volumes(settings.segment_bytes),
    )
    told = _Watch(report, files, strength.protected_bytes)
    create_par2(program, folder, (INDEX, *sizes), counts, stop=stop, told=told)
    parity = parity_files(folder)
    for file in parity:
        _make_durable(file)
    fsync_folder(folder)
    _drop_pages(files)
    report(Progress("checking recovery data", 0, strength.stored_bytes))
    _check(folder, sizes, strength, stop)
    return strength


def _require_room(folder: Path, strength: Strength) -> None:
    free = room(folder)
    if free < strength.stored_bytes + _ROOM_LEFT:
        raise NoRoomError(
            f"it needs {strength.stored_bytes / (1 << 20):,.1f} MiB, {free / (1 << 20):,.1f} MiB are free",
            hint="free room in the backup folder, or keep fewer sets (SetNumber/Value)",
        )


class _Watch:
    """Tells how far it is; what par2 has read does not stay in the cache, which is for the application."""

    def __init__(self, report: Report, files: list[Path], total: int) -> None:
        self._report = report
        self._files = files
        self._total = total
        self._dropped = 0

    def __call__(self, step: str, share: float) -> None:
        done = int(self._total * share)
        if abs(done - self._dropped) >= _DROP_BYTES:
            self._dropped = done
            _drop_pages(self._files)
        self._report(Progress(step, done, self._total))


def _make_durable(file: Path) -> None:
    """As the archives are: on the disk, for the same people, and out of the cache, so that the check reads the disk."""
    descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, _MODE)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _drop_pages(files: Iterable[Path]) -> None:
    for file in files:
        with suppress(OSError):  # only politeness
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _check(folder: Path, sizes: dict[str, int], strength: Strength, stop: StopRequest) -> None:
    """Raises EngineError when it does not read back as what was asked for."""
    recoveries, notes = read_recoveries(folder, stop)
    found = [({one.name: one.size for one in it.protected}, it.slices) for it in recoveries]
    if notes or found != [(sizes, strength.recovery_slices)]:
        raise EngineError(
            f"what par2 wrote does not read back as it should: {'; '.join(notes) or 'something is missing'}",
            hint="check the disk of the backup folder, and that its par2 is par2cmdline or par2cmdline-turbo",
        )


def recovery_doubt(folder: Path, values: object, stop: StopRequest) -> str:
    """What is wrong with the recovery data of a set whose archives are whole, in words; empty when nothing is.

    `values` are the settings the set was made with. Raises StoppedError.
    """
    asked = _rates(values)
    if asked is None:
        return ""
    try:
        parity = parity_files(folder)
        others = (file for file in folder.iterdir() if file.is_file() and file not in parity)
        sizes = {file.name: file.stat().st_size for file in others}
        strength = guaranteed(list(sizes.values()), *asked)
        recoveries, _ = read_recoveries(folder, stop)
    except (EngineError, OSError) as error:
        return f"cannot be looked at: {error}"
    if strength is None:
        return ""
    if not parity:
        return f"there is none, though its settings asked for it (Redundancy {asked[0].value}); {_NOT_LOST}"
    fitting = (it for it in recoveries if {one.name: one.size for one in it.protected} == sizes)
    whole = sum(it.slices for it in fitting)
    if whole >= strength.recovery_slices:
        return ""
    return f"damaged, {whole} of its {strength.recovery_slices} slices are whole; {_NOT_LOST}"


def _rates(values: object) -> tuple[Rate, Rate] | None:
    """Redundancy and interlacing; None when no recovery data was asked for."""
    if not isinstance(values, dict):
        return None
    try:
        redundancy, interlacing = Rate(values["redundancy"]), Rate(values["interlacing"])
    except (KeyError, ValueError):
        return None  # of a release that did not know them
    return None if redundancy is Rate.NONE else (redundancy, interlacing)


def _without(folder: Path, error: EngineError) -> Protection:
    """Nothing half-made stays; the set is good without it, and says so."""
    with suppress(
        OSError
    ):  # what stays proves itself packet by packet, and a set without it is good as well
        for file in parity_files(folder):
            file.unlink()
        fsync_folder(folder)
    hint = f" ({error.hint})" if error.hint else ""
    why = str(error).replace(str(folder), str(known_name(folder)))
    return Protection(warnings=(f"Recovery data : NOT WRITTEN, the set has none: {why}{hint}",))


def _said(strength: Strength, settings: Settings, seconds: float) -> str:
    share = SHARES[settings.redundancy]
    return (
        f"Recovery data : repairs {share} % of the set in one piece ({strength.burst_bytes:,} bytes)"
        f" or {strength.bad_sectors} bad sectors; computed in {seconds:.1f} s"
    )
