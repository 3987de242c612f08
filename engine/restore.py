"""A set, or a part of it, into a new folder; it appears whole and compared, or not at all."""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.anchor import anchored
from engine.arrival import Strict
from engine.errors import DamagedError, MissingSetError, RestoreError
from engine.files import fsync_folder, room
from engine.framereader import open_archive, open_what_is_there
from engine.manifest import FOURD, iterate_members
from engine.progress import Report
from engine.rebuild import Rebuild
from engine.restorelogs import LogPlacing, LogWish, place_logs, plan_log_placing
from engine.selection import EVERYTHING, Selection, Wanted, choose_members
from engine.setsource import SetSource, open_set
from engine.stop import StopRequest
from engine.swap import move_new
from engine.targetfile import flush
from engine.targettree import FOLDER, TargetTree, refuse_planted
from engine.verify import members_of
from engine.workplace import BUILDING, workplace

UNFINISHED = "THIS RESTORE IS NOT FINISHED"


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back: every file was compared with the digest in the manifest as it was written.

    `aside` is where what was at the target before is now, None when there was nothing. `notes` say what is
    not as usual with the set.
    """

    target: Path
    number: int
    files: int
    content_bytes: int
    aside: Path | None = None
    notes: tuple[str, ...] = ()
    logs: LogPlacing | None = None


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would write: `free` bytes are there, `obstacle` says why it would be refused, else None.

    `aside` is where what is at the target would go, None when nothing would.
    """

    target: Path
    number: int
    files: int
    content_bytes: int
    free: int
    obstacle: str | None
    aside: Path | None = None
    notes: tuple[str, ...] = ()
    logs: LogPlacing | None = None


def plan_restore(
    source: SetSource,
    target: Path,
    selection: Selection,
    *,
    aside: Path | None = None,
    wish: LogWish | None = None,
) -> RestorePlan:
    """Look, and write nothing. `aside`: where what is at the target may go. Raises DamagedError, RestoreError."""
    wanted = choose_members(source.manifest.folder, selection)
    room_in = target if target.is_dir() and not _is_taken(target) else target.parent
    goes_aside = aside if _is_taken(target) else None
    obstacle = _obstacle(target, room_in, wanted.content_bytes, is_free=goes_aside is not None)
    if obstacle is None and selection.is_everything:
        obstacle = archive_obstacle(source)
    return RestorePlan(
        target,
        source.manifest.facts.number,
        wanted.files,
        wanted.content_bytes,
        room(room_in) if room_in.is_dir() else 0,
        obstacle,
        goes_aside,
        source.notes,
        plan_logs_of(source, None if selection.is_everything else wanted, wish),
    )


def archive_obstacle(source: SetSource) -> str | None:
    """What can be told of damage without reading: an archive file that is missing, or has another length."""
    for facts in source.manifest.archives:
        try:
            with open_archive(source.archives, facts):
                pass
        except (DamagedError, MissingSetError) as error:
            return str(error)
    return None


def restore_set(
    folder: Path,
    target: Path,
    *,
    workers: int,
    stop: StopRequest,
    report: Report,
    selection: Selection = EVERYTHING,
) -> Restored:
    """Restore the set in `folder`; see `restore_source`."""
    return restore_source(
        open_set(folder), target, workers=workers, stop=stop, report=report, selection=selection
    )


def restore_source(  # noqa: PLR0913 - where from, where to, what, and the three that every operation has
    source: SetSource,
    target: Path,
    *,
    workers: int,
    stop: StopRequest,
    report: Report,
    selection: Selection = EVERYTHING,
    aside: Path | None = None,
    wish: LogWish | None = None,
) -> Restored:
    """Restore a set, or what is selected of it, to `target`, which must not exist or be empty.

    With `aside`, what is at the target is renamed to it first. All is built under a hidden name and appears
    by one rename: beside a new `target`, inside an empty one that is there (it may be a mounted volume or the
    goal of a link). After any failure nothing of it remains.
    Raises RestoreError, DamagedError, MissingSetError, NoRoomError, StoppedError.
    """
    is_taken = _is_taken(target)
    if is_taken and aside is None:
        raise RestoreError(
            f"{target} exists already; nothing was written",
            hint="name a folder that does not exist or is empty, or add --set-aside",
        )
    target = target.resolve() if target.is_dir() and not is_taken else target
    room_in = target if target.is_dir() and not is_taken else target.parent
    wanted, needed = want(source, selection)
    logs = plan_logs_of(source, wanted, wish)
    # a manifest that is wrong about its content must not fill the disk
    streams = sum(
        archive.frames.raw_bytes
        for archive in source.manifest.archives
        if archive.stream != FOURD  # holes are in those
    )
    with workplace(room_in, needed if wanted is not None else max(needed, streams)) as building:
        files = Rebuild(
            lambda: TargetTree.of_new(building), Strict(), report=report, total=needed, stop=stop
        )
        try:
            restore_archives(source, files, workers, wanted, logs)
            if building.parent != target:
                _give(building, source)
            flush(building)
            _appear(building, target, aside if is_taken else None)
        except OSError as error:
            remains = "nothing of it remains"
            if not building.exists() and building.parent != target:
                remains = "it is there, whole, and a power cut may still take it away"
            raise RestoreError(
                f"{target} could not be written: {error.strerror}; {remains}",
                hint="check that disk, or restore to another one",
            ) from error
        finally:
            files.close()
    return Restored(
        target,
        source.manifest.facts.number,
        files.count,
        files.done,
        aside if is_taken else None,
        source.notes,
        logs,
    )


def want(source: SetSource, selection: Selection) -> tuple[Wanted | None, int]:
    """What is wanted, None for everything, and its bytes. Raises RestoreError for a pattern nothing matches."""
    if selection.is_everything:
        return None, source.manifest.facts.content_bytes
    wanted = choose_members(source.manifest.folder, selection)
    return wanted, wanted.content_bytes


def restore_archives(
    source: SetSource,
    files: Rebuild,
    workers: int,
    wanted: Wanted | None,
    logs: LogPlacing | None,
) -> None:
    """All archives of a set and the logs, then links and folder times.

    Raises DamagedError, MissingSetError, RestoreError, OSError.
    """
    for facts in source.manifest.archives:
        if facts.role == "log" and (logs is not None or not (wanted is None or wanted.has_log)):
            continue
        members = members_of(source.manifest, facts)
        if wanted is not None and facts.role not in wanted.archives:
            # an archive of which nothing is wanted may even be missing
            files.restore_plain(member for member in members if member.path in wanted.paths)
            continue
        # of a part, no more is asked of the archive than the frames that hold it
        opening = open_archive if wanted is None else open_what_is_there
        with opening(source.archives, facts) as archive:
            paths = None if wanted is None else wanted.paths
            files.restore_archive(archive, members, workers=workers, wanted=paths, by_checksum=True)
    if logs is not None:
        place_logs(logs, source, files, workers)
    files.finish()


def plan_logs_of(
    source: SetSource, wanted: Wanted | None, wish: LogWish | None
) -> LogPlacing | None:
    """What becomes of the logs; None when none is wanted or nothing is asked of them."""
    if wish is None or (wanted is not None and not wanted.has_log):
        return None
    return plan_log_placing(source, wish)


def _appear(building: Path, target: Path, aside: Path | None) -> None:
    if building.parent == target:
        _appear_inside(building, target)
        return
    if aside is not None:
        # two renames: if we are killed between them, both folders are there under names that say what they are
        move_new(target, aside)
    try:
        move_new(building, target)
    except OSError:
        if aside is not None:
            move_new(aside, target)
        raise
    try:
        fsync_folder(target.parent)
    except OSError:
        with suppress(OSError):  # a name that may not last is taken back
            move_new(target, building)
            if aside is not None:
                move_new(aside, target)
        raise


def _give(building: Path, source: SetSource) -> None:
    """Made by root, the new folder belongs to whom its content belongs to, who is to work with it. Raises OSError."""
    if os.geteuid() != 0:
        return
    first = next(iterate_members(source.manifest.folder), None)
    descriptor = os.open(building, FOLDER)
    try:
        refuse_planted(descriptor)
        if first is not None:
            os.fchown(descriptor, first.attributes.uid, first.attributes.gid)
    finally:
        os.close(descriptor)


def _appear_inside(building: Path, target: Path) -> None:
    """One rename for each name; both folders are held, so that what is moved is what was built, and goes nowhere else."""
    with anchored(building, of=None) as built, anchored(target, of=None) as held:
        _move_children(built, held)


def _move_children(building: Path, target: Path) -> None:
    """Until the last one is moved, a file says that it is not all."""
    mark = target / UNFINISHED
    mark.touch(exist_ok=False)
    moved: list[Path] = []
    try:
        if _is_taken(target, mark.name):
            raise FileExistsError(errno.EEXIST, "something was put there meanwhile")
        fsync_folder(target)
        for child in sorted(building.iterdir()):
            move_new(child, target / child.name)
            moved.append(child)
        fsync_folder(target)
    except OSError:
        for child in moved:
            move_new(target / child.name, child)
        mark.unlink()
        raise
    mark.unlink()
    fsync_folder(target)


def default_target(folder: Path) -> Path:
    """Where a set goes when nothing is said: a folder named like it, beside it (4D's dialog does so)."""
    return folder.with_name(f"{folder.name} restored")


def _is_taken(target: Path, mark: str = "") -> bool:
    """Whether something is there; what a new file system holds and what other restores build counts for nothing."""
    if not os.path.lexists(target):
        return False
    if not target.is_dir():
        return True
    names = {entry.name for entry in target.iterdir()} - {"lost+found", mark}
    return any(not name.startswith(BUILDING) for name in names)


def _obstacle(target: Path, room_in: Path, needed: int, *, is_free: bool) -> str | None:
    if _is_taken(target) and not is_free:
        return f"{target} exists already and is not empty"
    if not room_in.is_dir() or not os.access(room_in, os.W_OK | os.X_OK):
        return f"this user cannot make files in {room_in}"
    if room(room_in) < needed:
        return f"{room_in} has not enough room"
    return None
