"""What one backup will do, decided before a byte is written; everything that can be refused is refused here."""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.anchor import anchored
from engine.content import (
    Root,
    Selection,
    archive_path,
    is_shadowed,
    select_content,
    without_nested,
)
from engine.errors import (
    Code,
    DestinationError,
    NoRoomError,
    RefusedError,
    SourceError,
)
from engine.files import make_folder, room
from engine.logmissing import has_saved
from engine.member import Role
from engine.sets import Inventory, Removal, belongs_to_destination, plan_rotation
from engine.walk import Found, Problem, Skip, walk
from settings.errors import UnmappedPathError, UnusablePathError
from settings.layout import DatabaseLayout
from settings.model import KeepLast, Settings, Severity
from settings.paths import PathMap, resolve_path
from settings.reader import Reading
from settings.service_model import ArchiveFormat

_MARGIN = 1.1  # our decision: 10 % more than the estimate must be free
LeftOut = Callable[[bytes, str], None]
_OF_DESTINATION = "a set or file of the backup folder itself"
_REPLACED = "files that a restore replaced"
_BUILDING = b".backup4d-restoring-"
# what engine/restoring.py calls them; 4D's own folders of replaced files are content like any other
_REPLACED_NAME = re.compile(rb"Replaced files \(\d{4}-\d\d-\d\d \d\d-\d\d-\d\d(, \d+)?\)")
_SMALL_FILES = ("vfat", "msdos", "fuse.fusefat")
_LARGEST_SMALL = (1 << 32) - 1
_OF_FOURD = ".4BK"
# where a part of a file can give its room back
_PUNCHED = ("ext4", "xfs", "btrfs", "tmpfs", "f2fs", "")
_FIXED_BYTES = 1 << 20  # manifest, checksums, history


@dataclass(frozen=True, slots=True)
class Sources:
    """What is there to be saved: the roots that exist, and what is missing.

    `attachments` are (path as listed or resolved, found). `partial` names what is missing and makes the
    set partial; `missing` all that is missing. `log` is None when there is none or none is wanted;
    `log_path` is its name in the set, which no attachment may take as well.
    """

    roots: tuple[Root, ...]
    log: Path | None
    log_path: bytes | None
    attachments: tuple[tuple[str, bool], ...]
    missing: tuple[str, ...]
    partial: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One backup, decided: `remove_before` goes before writing, the rest of rotation afterwards.

    `before` is the newest set that stays: what has not changed since is taken over from it. `log_was_saved`: one of
    the sets there are holds a log.
    """

    number: int
    remove_before: tuple[Removal, ...]
    needed_bytes: int
    before: Path | None = None
    log_was_saved: bool = False


def resolve_destination(layout: DatabaseLayout, settings: Settings, path_map: PathMap) -> Path:
    """The destination folder on this host. Raises RefusedError for a path of another machine."""
    try:
        return resolve_path(settings.destination, layout.package, path_map)
    except (UnmappedPathError, UnusablePathError) as error:
        raise RefusedError(
            f"DestinationFolder {settings.destination.raw} is no folder of this machine",
            hint=str(error),
            code=Code.DESTINATION_NOT_VALID,
        ) from error


def prepare_destination(destination: Path, package: Path, *, separate: bool) -> None:
    """Make sure sets can be written to the destination, and that it is the one we know.

    Only its last component is ever created. `separate`: the last set went to another file system
    than the application's; when that is no longer so, a volume is not mounted, and a set written now
    would fill the wrong disk. Raises DestinationError.
    """
    try:
        if not destination.exists():
            check_mounted(destination.parent, package, separate=separate)
            with anchored(destination.parent, of=package) as held:
                make_folder(held / destination.name, like=package)
            return
        check_mounted(destination, package, separate=separate)
        if not destination.is_dir():
            raise NotADirectoryError(20, "it is not a folder", str(destination))
        _check_writable(destination)
    except OSError as error:
        hint = "mount the volume, create the folder, or correct General/DestinationFolder"
        if error.errno == errno.EROFS:
            hint = "mount it for writing; a service must be allowed to write there: backup4d install-service"
        raise DestinationError(
            f"Destination folder can not be created : {destination} ({error.strerror})", hint=hint
        ) from error


def _check_writable(destination: Path) -> None:
    if os.statvfs(destination).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(destination))
    if not os.access(destination, os.W_OK | os.X_OK):
        raise PermissionError(13, "this user may not write there", str(destination))


def is_separate(destination: Path, package: Path) -> bool:
    """Whether the destination lies on another file system than the application. Raises OSError."""
    return destination.stat().st_dev != package.stat().st_dev


def was_separate(memory: dict[str, Any], destination: Path) -> bool:
    """Whether the last set in this destination lay on another file system than the application."""
    return memory.get("destination") == str(destination) and bool(memory.get("separate"))


def check_mounted(folder: Path, package: Path, *, separate: bool) -> None:
    """Raises DestinationError when the volume of a destination seems not to be mounted; OSError."""
    if separate and not is_separate(folder, package):
        raise DestinationError(
            f"the volume of the backup folder is not mounted: {folder} is now on the application's own disk",
            hint="mount it; if the sets are to lie on the application's disk from now on, run once: "
            f"backup4d backup --accept-destination '{package}'",
        )


def find_sources(layout: DatabaseLayout, reading: Reading, path_map: PathMap) -> Sources:
    """Look which of the selected files exist; an attachment whose path means nothing is missing.

    Raises SourceError, RefusedError.
    """
    settings = reading.settings
    unusable = _without_a_path(reading, layout)
    selection = select_content(layout, settings.content, path_map)
    _refuse_empty(selection, layout)
    for root in selection.required:
        if not os.path.lexists(root.source):
            what = "data file" if root.role is Role.DATA else "structure"
            raise SourceError(
                f"the {what} {root.source} is missing",
                hint="nothing was saved and no old set was removed; find the file before anything else",
            )
    required = tuple(_through_link(root) for root in selection.required)
    wanted = tuple(_through_link(root) for root in selection.wanted if os.path.lexists(root.source))
    attachments = [(name, False) for name in unusable]
    missing, partial, found = list(unusable), list(unusable), []
    for attachment in selection.attachments:
        place = attachment.root
        name = attachment.listed if place is None else str(place.source)
        exists = place is not None and os.path.lexists(place.source)
        attachments.append((name, exists))
        if place is not None and exists:
            found.append(place)
            continue
        missing.append(name)
        if not attachment.optional:
            partial.append(name)
    log = selection.log if selection.log is not None and selection.log.exists() else None
    log_path = None if log is None else archive_path(log, layout)
    found += _shadowed_folder(found, layout)
    attached = (root for root in found if root.path != log_path)
    roots = without_nested((*required, *wanted, *attached))
    if not roots:
        raise SourceError(
            f"nothing of what {layout.settings_file} lists is there",
            hint="correct the list of attachments or bring the files back",
        )
    return Sources(
        roots=roots,
        log=log,
        log_path=log_path,
        attachments=tuple(attachments),
        missing=tuple(missing),
        partial=tuple(partial),
    )


def _shadowed_folder(found: Sequence[Root], layout: DatabaseLayout) -> list[Root]:
    """A folder of the package that cannot keep its name, when the whole package is listed."""
    folder = layout.package / "Data"
    is_in = any(root.path == b"." for root in found) and is_shadowed(folder, layout)
    if not is_in or not os.path.lexists(folder):
        return []
    return [Root(folder, archive_path(folder, layout), Role.ATTACHMENT)]


def _without_a_path(reading: Reading, layout: DatabaseLayout) -> list[str]:
    """What is asked for and nobody can look for: unusable entries of IncludesFiles, an unknown structure."""
    names = [
        finding.read
        for finding in reading.findings
        if finding.severity is Severity.ERROR and "IncludesFiles" in finding.element
    ]
    if reading.settings.content.structure and layout.structure is None:
        names.append(f"the structure of {layout.package}")
    return names


def _through_link(root: Root) -> Root:
    """A data file or project that is itself a link is saved as what it leads to; attachments stay links."""
    return replace(root, source=root.source.resolve()) if root.source.is_symlink() else root


def _refuse_empty(selection: Selection, layout: DatabaseLayout) -> None:
    if not selection.required and not selection.attachments:
        raise RefusedError(
            f"{layout.settings_file} selects nothing to save",
            hint="set General/IncludeDataFile or IncludeStructureFile to True, or list attachments",
        )


def plan_backup(  # noqa: PLR0913 - what is there, what is wanted, and where it goes
    inventory: Inventory,
    settings: Settings,
    *,
    known_number: int,
    content_bytes: int,
    free_bytes: int,
    kind: str = "",
    archives: ArchiveFormat = ArchiveFormat.TAR,
) -> Plan:
    """Decide number, early removals and room. Pure; raises NoRoomError.

    `known_number` is the highest number that history and memory know; `kind` the destination's file system.
    """
    rotation = settings.rotation
    before: tuple[Removal, ...] = ()
    if isinstance(rotation, KeepLast) and rotation.erase_before:
        before = plan_rotation(inventory.sets, rotation, coming=True)
    estimate = _estimate(inventory, content_bytes, archives)
    if archives is not ArchiveFormat.TAR and kind not in _PUNCHED:
        estimate *= 2  # the draft keeps its room until the archive is written
    needed = int(estimate * _MARGIN) + _FIXED_BYTES
    _refuse_large_files(kind, min(needed, settings.segment_bytes or needed))
    freed = sum(removal.stored.facts.archive_bytes for removal in before)
    if needed > free_bytes + freed:
        raise NoRoomError(
            f"not enough room: the set needs about {_mib(needed)}, {_mib(free_bytes + freed)} are free",
            hint="free room in the backup folder, or keep fewer sets (SetNumber/Value)",
        )
    gone = {removal.stored.number for removal in before}
    staying = [stored.folder for stored in inventory.sets if stored.number not in gone]
    newest = staying[-1] if staying else None
    number = max(inventory.highest, known_number) + 1
    return Plan(number, before, needed, newest, has_saved(inventory.sets))


def _refuse_large_files(kind: str, largest: int) -> None:
    if kind in _SMALL_FILES and largest > _LARGEST_SMALL:
        raise NoRoomError(
            f"an archive of about {_mib(largest)} cannot be written: a file on {kind} has 4 GiB at most",
            hint="let the settings cut archives into segments (FileSegmentation/DefaultSize 2048, not with"
            " ArchiveFormat 4BK), or format the disk with exFAT, NTFS or ext4",
        )


def _estimate(inventory: Inventory, content_bytes: int, archives: ArchiveFormat) -> int:
    """Archive size from the ratio of the last set, when it is of the same format, else the plain size."""
    last = inventory.sets[-1].facts if inventory.sets else None
    if last is None or last.content_bytes == 0 or last.archive_bytes == 0:
        return content_bytes
    if any(name.endswith(_OF_FOURD) for _, name in last.files) is (archives is ArchiveFormat.TAR):
        return content_bytes
    return content_bytes * last.archive_bytes // last.content_bytes


def _mib(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MiB"


def walk_sources(
    sources: Sources,
    destination: Path,
    *,
    problem: Problem,
    left_out: LeftOut = lambda *_: None,
) -> Iterator[tuple[Root, Found]]:
    """Everything to save, root by root; what an earlier root holds comes once.

    Sets and other files of the destination itself, and what restores replaced, are given to `left_out`.

    The folders of the package that lead to a root come first, so that their modes and times return.
    `problem` is told what cannot be read in an attachment; data or structure raise SourceError.
    """
    taken = {root.path for root in sources.roots}
    if sources.log_path is not None:
        taken.add(sources.log_path)
    skip = _skip_rule(taken, destination, left_out)
    leading: set[bytes] = set()
    for root in sources.roots:
        for found in _leading_folders(root, leading):
            if found.path not in taken:
                yield root, found
        try:
            yield from _below_root(root, _without_renamed(root, sources.roots, skip), problem)
        except OSError as error:
            if root.role is not Role.ATTACHMENT:
                raise SourceError(f"{root.source} cannot be read: {error.strerror}") from error
            problem(root.path, error)


def _below_root(root: Root, skip: Skip, problem: Problem) -> Iterator[tuple[Root, Found]]:
    prefix = b"" if root.path == b"." else root.path
    for found in walk(os.fsencode(root.source), prefix, skip=skip, problem=problem):
        if found.path:
            yield root, found


def _without_renamed(package: Root, roots: Sequence[Root], skip: Skip) -> Skip:
    """In the whole package, what another root saves under another name is left out as well."""
    if package.path != b".":
        return skip
    inner = (root for root in roots if root.source.is_relative_to(package.source))
    names = {(os.fsencode(root.source.relative_to(package.source)), root.path) for root in inner}
    renamed = {name for name, path in names if name not in (b".", path)}
    return lambda folder, path: path in renamed or skip(folder, path)


def _skip_rule(taken: set[bytes], destination: Path, left_out: LeftOut) -> Skip:
    facts = destination.stat()

    def skip(folder: os.stat_result, path: bytes) -> bool:
        if path in taken:
            return True
        last = path.rsplit(b"/", 1)[-1]
        if last.startswith(_BUILDING):
            return True
        if _REPLACED_NAME.fullmatch(last):
            left_out(path, _REPLACED)
            return True
        name = os.fsdecode(last)
        if not os.path.samestat(folder, facts) or not belongs_to_destination(destination, name):
            return False
        if not name.startswith(".backup4d"):
            left_out(path, _OF_DESTINATION)
        return True

    return skip


def _leading_folders(root: Root, done: set[bytes]) -> Iterator[Found]:
    parts = root.path.split(b"/")
    source = root.source
    if os.fsencode(source).split(b"/")[-len(parts) :] != parts and parts[0] != b"External":
        return
    for depth in range(1, len(parts)):
        path = b"/".join(parts[:depth])
        folder = source.parents[len(parts) - depth - 1]
        if path in done:
            continue
        done.add(path)
        for found in walk(os.fsencode(folder), path, skip=lambda *_: True, problem=lambda *_: None):
            if stat.S_ISDIR(found.facts.st_mode):
                yield found


def measure_content(sources: Sources, destination: Path) -> int:
    """Bytes of content to save, for the estimate and the progress; unreadable parts count as nothing."""
    total = 0
    if sources.log is not None:
        with suppress(OSError):  # renewed at this moment; the reading will say more
            total = sources.log.stat().st_size
    for _, found in walk_sources(sources, destination, problem=lambda *_: None):
        if stat.S_ISREG(found.facts.st_mode):
            total += min(found.facts.st_size, found.facts.st_blocks * 512 + 4096)
    return total


def free_bytes(destination: Path) -> int:
    """Room in the destination. Raises DestinationError when it cannot be asked."""
    try:
        return room(destination)
    except OSError as error:
        raise DestinationError(f"{destination}: {error.strerror}") from error
