"""A restore drill: a set restored into a scratch folder, read back from there and compared, checked, and removed again.

It proves that the set can be restored on this machine, and how long that takes. The set is only read.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import Any

from blake3 import blake3

from engine.diskreader import CHUNK, DiskReader
from engine.errors import DamagedError, EngineError, NoRoomError, RefusedError, StoppedError
from engine.files import remove_tree, room
from engine.history import HISTORY
from engine.hooks import hint_for, run_program
from engine.host import keep_freed_memory, worker_count
from engine.lock import DESTINATION_LOCK
from engine.manifest import MANIFEST, Manifest, iterate_members, read_manifest
from engine.member import Kind, Member
from engine.operations import record_operation
from engine.progress import Progress
from engine.report import Times
from engine.restore import restore_set
from engine.setwriter import Surroundings
from engine.targettree import TargetTree
from engine.workbench import make_held, remove_dead
from settings.layout import DatabaseLayout
from settings.service_model import Hook

_DRILLING = ".backup4d-drill-"
_OTHER_SET = "another set may be whole: backup4d verify tells; the live application was not touched"
_ELSEWHERE = "name a folder of its own for Scratch, as /srv/drill"


@dataclass(frozen=True, slots=True)
class DrillOrder:
    """Where a drill may write, how many bytes (None: as many as there is room for), and what checks the result."""

    scratch: Path
    room_limit: int | None = None
    check: Hook | None = None


@dataclass(frozen=True, slots=True)
class Proven:
    """A drill that went well: `seconds` are those of the restore alone, `check` what the check program did."""

    folder: Path
    number: int
    files: int
    content_bytes: int
    seconds: float
    check: str

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.content_bytes / max(self.seconds, 0.001)


def drill_recorded(
    folder: Path,
    order: DrillOrder,
    layout: DatabaseLayout | None,
    zone: tzinfo,
    around: Surroundings,
) -> Proven:
    """Make a drill with this set; with a database at hand it is journaled, also when it fails.

    Not when it is stopped, or when rotation removed the set meanwhile: then StoppedError tells that nothing is
    known. Raises EngineError for everything that keeps the set from being proven.
    """
    keep_freed_memory()
    started = around.clock.now()
    lines = [f"Set : {folder}", f"Scratch : {order.scratch}"]
    error: EngineError | None = None
    proven: Proven | None = None
    try:
        proven = _drill(folder, order, layout, zone, around, lines.append)
    except StoppedError:
        raise
    except EngineError as failure:
        if not folder.exists():
            raise StoppedError(
                f"{folder} was removed by rotation while the drill read it"
            ) from failure
        error = failure
        raise
    finally:
        is_known = proven is not None or error is not None
        if layout is not None and is_known:
            lines.append("Result : OK" if error is None else "Result : failed")
            times = Times(None, started, around.clock.now(), zone)
            _record(layout, folder, tuple(lines), times, error or proven)
    return proven


def _record(
    layout: DatabaseLayout,
    folder: Path,
    lines: tuple[str, ...],
    times: Times,
    outcome: Proven | EngineError | None,
) -> None:
    error = outcome if isinstance(outcome, EngineError) else None
    facts: dict[str, int] = {}
    if isinstance(outcome, Proven):
        facts["duration"] = round(outcome.seconds * 1000)
    record_operation(layout, folder, "Restore drill", lines, times, error, **facts)


def _drill(
    folder: Path,
    order: DrillOrder,
    layout: DatabaseLayout | None,
    zone: tzinfo,
    around: Surroundings,
    note: Callable[[str], None],
) -> Proven:
    scratch = usable_scratch(order.scratch, folder, layout)
    manifest = _readable(folder)
    with _disk_errors_told(scratch), _workplace(scratch) as place:
        _check_room(manifest, scratch, order.room_limit)
        target = place / "restored"
        proven = _restore(folder, target, around)
        note(
            f"Restored : {proven.files} files, {proven.content_bytes / (1 << 20):.1f} MiB in "
            f"{proven.seconds:.1f} s ({proven.rate / (1 << 20):.1f} MiB/s)"
        )
        _compare_with_disk(folder, target, proven.content_bytes, around)
        note("Read back : every file is equal to the manifest")
        if order.check is None:
            return proven
        words = _run_check(order.check, target, manifest, layout, zone, around)
        note(f"Check program : {order.check.program} [OK]")
        return replace(proven, check=words)


def _readable(folder: Path) -> Manifest:
    try:
        return read_manifest(folder)
    except DamagedError as error:
        error.hint = error.hint or _OTHER_SET
        raise


def _restore(folder: Path, target: Path, around: Surroundings) -> Proven:
    began = around.clock.monotonic()
    try:
        restored = restore_set(
            folder,
            target,
            workers=worker_count(),
            stop=around.stop,
            report=around.report,
        )
    except DamagedError as error:
        error.hint = _OTHER_SET
        raise
    seconds = around.clock.monotonic() - began
    return Proven(folder, restored.number, restored.files, restored.content_bytes, seconds, "")


# --- the place ------------------------------------------------------------------------------------


def usable_scratch(scratch: Path, folder: Path, layout: DatabaseLayout | None) -> Path:
    """The scratch folder itself, links followed. Raises RefusedError where sets or applications lie, EngineError."""
    try:
        real = scratch.resolve(strict=True)
        is_folder = real.is_dir()
    except OSError as error:
        raise EngineError(
            f"the scratch folder {scratch} of the drill cannot be used: {error.strerror}",
            hint="make it, give it to the user that runs backup4d, or mount its volume",
        ) from error
    if not is_folder:
        raise EngineError(f"the scratch {scratch} of the drill is no folder", hint=_ELSEWHERE)
    taken = [folder.parent.resolve()]
    if layout is not None:
        taken.append(layout.package.resolve())
    for parent in (real, *real.parents):
        if parent in taken or _is_taken(parent):
            raise RefusedError(
                f"the scratch folder {scratch} of the drill lies in {parent}, an application, a backup "
                "folder or a set; nothing was written",
                hint=_ELSEWHERE,
            )
    return real


def _is_taken(folder: Path) -> bool:
    """Whether a folder is a set, a backup folder or an application, whoever's it is."""
    marks = (MANIFEST, HISTORY, DESTINATION_LOCK, "Settings/backup.4DSettings")
    return any((folder / mark).exists() for mark in marks)


def _check_room(manifest: Manifest, scratch: Path, limit: int | None) -> None:
    needed = manifest.facts.content_bytes
    number, mebibytes = manifest.facts.number, needed >> 20
    if limit is not None and needed > limit:
        raise NoRoomError(
            f"set {number} needs {mebibytes} MiB, the drill may use {limit >> 20} MiB",
            hint="raise RoomLimitMiB of the drill in the service file, or turn the drill off: EveryDays 0",
        )
    free = room(scratch)
    if free < needed:
        raise NoRoomError(
            f"the scratch folder {scratch} has {free >> 20} MiB free, set {number} needs {mebibytes} MiB",
            hint="free room there, or name another folder for Scratch in the service file",
        )


@contextmanager
def _workplace(scratch: Path) -> Iterator[Path]:
    """A hidden folder, held by a lock of the kernel while we live, and always removed; dead ones go first."""
    remove_dead(scratch, _DRILLING, _remove)
    try:
        place, descriptor = make_held(scratch, _DRILLING)
    except OSError as error:
        raise EngineError(
            f"the scratch folder {scratch} of the drill cannot be written: {error.strerror}",
            hint="the user that runs backup4d must be able to make files in it; under systemd, run "
            "backup4d install-service again",
        ) from error
    try:
        yield place
    except BaseException:
        with suppress(OSError):  # what went wrong first is told; the next drill removes the rest
            _remove(place)
        raise
    else:
        _remove_or_tell(place)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors_told(scratch: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"the drill failed at {error.filename or scratch}: {error.strerror}",
            hint="check the disks of the backup folder and of the scratch folder",
        ) from error


def _remove_or_tell(place: Path) -> None:
    try:
        _remove(place)
    except OSError as error:
        raise EngineError(
            f"the set came back equal, but the scratch could not be removed: {place}: {error.strerror}",
            hint="remove it by hand; the next drill tries it again",
        ) from error


def _remove(place: Path) -> None:
    """Remove it, also where the modes that came back forbid it to everybody but root."""
    try:
        remove_tree(place)
    except PermissionError:
        for _, _, _, folder in os.fwalk(place):
            os.fchmod(folder, 0o700)
        remove_tree(place)


# --- what lies on the disk ------------------------------------------------------------------------


def _compare_with_disk(folder: Path, target: Path, total: int, around: Surroundings) -> None:
    """Read everything back past the page cache. Raises DamagedError, StoppedError."""
    tree, done = TargetTree(target), 0
    try:
        for member in iterate_members(folder):
            around.stop.check()
            parent, name = tree.parent(member.path)
            place = Path(f"/proc/self/fd/{parent}") / os.fsdecode(name)
            if not _is_equal(member, place, target, around):
                raise DamagedError(
                    f"{os.fsdecode(member.path)} lies on the scratch disk otherwise than it was written",
                    hint="the set was read well, so check the disk of the scratch folder and the memory",
                )
            done += member.size if member.kind is Kind.FILE else 0
            around.report(Progress("reading back", done, total))
    except OSError as error:
        raise EngineError(
            f"what was restored cannot be read back from {target}: {error.strerror}",
            hint="check the disk of the scratch folder",
        ) from error
    finally:
        tree.close()


def _is_equal(member: Member, place: Path, target: Path, around: Surroundings) -> bool:
    match member.kind:
        case Kind.FILE:
            return _digest(place, around) == member.digest
        case Kind.FOLDER:
            return place.is_dir() and not place.is_symlink()
        case Kind.SYMLINK:
            return os.fsencode(place.readlink()) == member.link
        case Kind.HARDLINK:
            return place.samefile(target / os.fsdecode(member.link or b""))


def _digest(file: Path, around: Surroundings) -> str:
    """The digest of a file as the disk has it."""
    digest, position = blake3(), 0
    reader = DiskReader(file, CHUNK)
    try:
        while piece := reader.read(position, CHUNK):
            around.stop.check()
            digest.update(piece)
            position += len(piece)
    finally:
        reader.close()
    return digest.hexdigest()


# --- the check program ----------------------------------------------------------------------------


def _run_check(
    check: Hook,
    target: Path,
    manifest: Manifest,
    layout: DatabaseLayout | None,
    zone: tzinfo,
    around: Surroundings,
) -> str:
    """Let the administrator's program look at what came back; what it said. Raises EngineError, StoppedError."""
    description: dict[str, Any] = {
        "event": "drill",
        "version": 1,
        "database": None if layout is None else str(layout.package),
        "set_number": manifest.facts.number,
        "set_folder": str(manifest.folder),
        "restored": str(target),
    }
    hook = replace(check, arguments=(*check.arguments, str(target)))
    ended, name = run_program("drill", hook, description, zone, around)
    around.stop.check()
    if ended.good:
        return ended.last_line()
    hint = hint_for(ended)
    if not ended.how:
        hint = (
            "the set came back equal to its manifest; find out what the program does not like of it"
        )
    raise EngineError(f"{name} {ended.words(hook.time_limit.total_seconds())}", hint=hint)
