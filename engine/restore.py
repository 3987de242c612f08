"""A whole set back into a new folder; the folder appears whole and compared, or not at all."""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from engine.codec import digest_zeros
from engine.errors import DamagedError, NoRoomError, RestoreError
from engine.files import fsync_folder, remove_tree, room
from engine.framereader import Block, open_archive, read_blocks
from engine.frametable import Frame
from engine.manifest import ArchiveFacts, Manifest, read_manifest
from engine.member import Kind, Member, content_extents
from engine.progress import Progress, Report
from engine.selection import EVERYTHING, Selection, Wanted, choose_members, frames_of
from engine.stop import StopRequest
from engine.targettree import FOLDER, TargetTree
from engine.verify import check_manifest, members_of

_BUILDING = ".backup4d-restoring-"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back: every file was compared with the digest in the manifest as it was written."""

    target: Path
    number: int
    files: int
    content_bytes: int


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would write: `free` bytes are there, `obstacle` says why it would be refused, else None."""

    target: Path
    number: int
    files: int
    content_bytes: int
    free: int
    obstacle: str | None


def plan_restore(folder: Path, target: Path, selection: Selection) -> RestorePlan:
    """Look, and write nothing. Raises DamagedError, MissingSetError, RestoreError."""
    manifest = read_manifest(folder)
    check_manifest(folder)
    wanted = choose_members(folder, selection)
    room_in = target if target.is_dir() else target.parent
    obstacle = _obstacle(target, wanted.content_bytes)
    free = room(room_in) if room_in.is_dir() else 0
    number = manifest.facts.number
    return RestorePlan(target, number, wanted.files, wanted.content_bytes, free, obstacle)


def restore_set(
    folder: Path,
    target: Path,
    *,
    workers: int,
    stop: StopRequest,
    report: Report,
    selection: Selection = EVERYTHING,
) -> Restored:
    """Restore the set in `folder`, or what is selected of it, to `target`, which must not exist or be empty.

    It is built under a hidden name and appears by one rename: beside a new `target`, inside one that is
    there (it may be a mounted volume or the goal of a link). After any failure nothing of it remains.
    Raises RestoreError, DamagedError, MissingSetError, NoRoomError, StoppedError.
    """
    manifest = read_manifest(folder)
    check_manifest(folder)
    target = target.resolve() if target.is_dir() else target
    wanted: Wanted | None = None
    needed = manifest.facts.content_bytes
    if not selection.is_everything:
        wanted = choose_members(folder, selection)
        needed = wanted.content_bytes
    with _workplace(target, needed) as building:
        files = _Rebuild(building, report, needed, stop)
        return _restore_into(files, building, target, manifest, wanted, workers)


def _restore_into(
    files: "_Rebuild",
    building: Path,
    target: Path,
    manifest: Manifest,
    wanted: Wanted | None,
    workers: int,
) -> Restored:
    try:
        for archive in manifest.archives:
            files.restore_archive(manifest, archive, workers, wanted)
        files.finish()
        os.sync()
        _appear(building, target)
    except OSError as error:
        _discard(building)
        raise RestoreError(f"{target} could not be written: {error.strerror}") from error
    except BaseException:
        _discard(building)
        raise
    return Restored(target, manifest.facts.number, files.count, files.done)


def _appear(building: Path, target: Path) -> None:
    if building.parent == target:
        for child in building.iterdir():
            child.rename(target / child.name)
        building.rmdir()
        fsync_folder(target)
        return
    building.rename(target)
    fsync_folder(target.parent)


def default_target(folder: Path) -> Path:
    """Where a set goes when nothing is said: a folder named like it, beside it (4D's dialog does so)."""
    return folder.with_name(f"{folder.name} restored")


@contextmanager
def _workplace(target: Path, needed: int) -> Iterator[Path]:
    """A hidden folder to build in, held by a lock of the kernel while we live; dead ones are removed."""
    room_in = target if target.is_dir() else target.parent
    _remove_dead(room_in)
    if _is_taken(target):
        raise RestoreError(
            f"{target} exists already; nothing was written",
            hint="name a folder that does not exist or is empty",
        )
    try:
        free = room(room_in)
        if free < needed:
            raise NoRoomError(
                f"{room_in} has {free >> 20} MiB free, the restored files need {needed >> 20} MiB"
            )
        building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=room_in))
        building.chmod(0o777 & ~_umask())
        descriptor = os.open(building, FOLDER)
    except OSError as error:
        raise RestoreError(
            f"{room_in} cannot be written: {error.strerror}",
            hint="name a folder in which this user may make files",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield building
    finally:
        os.close(descriptor)


def _is_taken(target: Path) -> bool:
    return os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir()))


def _obstacle(target: Path, needed: int) -> str | None:
    room_in = target if target.is_dir() else target.parent
    if _is_taken(target):
        return f"{target} exists already and is not empty"
    if not room_in.is_dir() or not os.access(room_in, os.W_OK | os.X_OK):
        return f"this user cannot make files in {room_in}"
    if room(room_in) < needed:
        return f"{room_in} has not enough room"
    return None


def _remove_dead(folder: Path) -> None:
    """What restores that were killed left here: nobody holds their locks any more."""
    for leftover in folder.glob(f"{_BUILDING}*"):
        with suppress(OSError):
            descriptor = os.open(leftover, FOLDER)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(leftover)
            finally:
                os.close(descriptor)


def _umask() -> int:
    """The process's mask; there is no way to read it but to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _discard(building: Path) -> None:
    try:
        remove_tree(building)
    except OSError as error:
        raise RestoreError(
            f"the restore failed, and what it wrote could not be removed: {building}: {error.strerror}"
        ) from error


class _Rebuild:
    """The folder being built; links and folder times come last, so that nothing is written through a link."""

    def __init__(self, root: Path, report: Report, total: int, stop: StopRequest) -> None:
        self.count = 0
        self.done = 0
        self._tree = TargetTree(root)
        self._report = report
        self._total = total
        self._stop = stop
        self._folders: list[Member] = []
        self._links: list[Member] = []

    def restore_archive(
        self, manifest: Manifest, facts: ArchiveFacts, workers: int, wanted: Wanted | None
    ) -> None:
        """Bring back all members of one archive, or those that are wanted, reading no more than their frames."""
        indices: Sequence[int] = range(len(facts.frames))
        if wanted is not None:
            indices = frames_of(members_of(manifest, facts), wanted, facts.frames)
        stream = _Stream(_frames(manifest.folder, facts, indices, workers))
        for member in members_of(manifest, facts):
            if wanted is None or member.path in wanted.paths:
                self._restore(member, stream)
        stream.exhaust()

    def finish(self) -> None:
        """Links, then owners, modes and times of folders from the deepest up."""
        for member in self._links:
            self._make_link(member)
        for member in sorted(self._folders, key=lambda folder: -folder.path.count(b"/")):
            parent, name = self._tree.parent(member.path)
            descriptor = os.open(name, FOLDER, dir_fd=parent)
            try:
                _apply(descriptor, member)
            finally:
                os.close(descriptor)
        self._tree.close()

    def _restore(self, member: Member, stream: "_Stream") -> None:
        self._stop.check()
        if member.kind is Kind.FILE:
            self._make_file(member, stream)
        elif member.kind is Kind.FOLDER:
            self._tree.make(member.path)
            self._folders.append(member)
        else:
            self._links.append(member)

    def _make_file(self, member: Member, stream: "_Stream") -> None:
        parent, name = self._tree.parent(member.path)
        descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            self._fill(descriptor, member, stream)
            _apply(descriptor, member)
        finally:
            os.close(descriptor)
        self.count += 1

    def _fill(self, descriptor: int, member: Member, stream: "_Stream") -> None:
        digest = blake3()
        position = 0
        if member.extents is not None:
            os.ftruncate(descriptor, member.size)
        at = member.data
        for offset, length in content_extents(member):
            digest_zeros(digest, offset - position)
            for piece in stream.take(at, length):
                digest.update(piece)
                _write_all(descriptor, piece, offset)
                offset += len(piece)  # noqa: PLW2901 - the place of the next piece
                self.done += len(piece)
                self._report(Progress("restoring", self.done, self._total))
            at += length
            position = offset
        digest_zeros(digest, member.size - position)
        if digest.hexdigest() != member.digest:
            name = os.fsdecode(member.path)
            raise DamagedError(f"{name} came back with a digest that is not the manifest's")

    def _make_link(self, member: Member) -> None:
        parent, name = self._tree.parent(member.path)
        link = member.link or b""
        if member.kind is Kind.HARDLINK:
            source, source_name = self._tree.parent_beside(link)
            try:
                os.link(
                    source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
                )
            finally:
                os.close(source)
            return
        os.symlink(link, name, dir_fd=parent)
        if os.geteuid() == 0:
            os.chown(
                name,
                member.attributes.uid,
                member.attributes.gid,
                dir_fd=parent,
                follow_symlinks=False,
            )
        times = (member.attributes.mtime_ns, member.attributes.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)


def _frames(
    folder: Path, facts: ArchiveFacts, indices: Sequence[int], workers: int
) -> Iterator[tuple[Frame, Block]]:
    """An archive of which nothing is wanted may even be missing."""
    if indices or not len(facts.frames):
        with open_archive(folder, facts) as archive:
            yield from read_blocks(archive, indices, workers=workers)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count


def _apply(descriptor: int, member: Member) -> None:
    """Owner first, because a change of owner clears set-user-id bits; times last, because all else moves them."""
    attributes = member.attributes
    if os.geteuid() == 0:
        os.fchown(descriptor, attributes.uid, attributes.gid)
    os.fchmod(descriptor, attributes.mode)
    os.utime(descriptor, ns=(attributes.mtime_ns, attributes.mtime_ns))


class _Stream:
    """The stream of an archive, or some frames of it, read forwards only."""

    def __init__(self, frames: Iterator[tuple[Frame, Block]]) -> None:
        self._frames = frames
        self._block = memoryview(b"")
        self._start = 0

    def take(self, start: int, length: int) -> Iterator[memoryview]:
        """The pieces that make up the stream from `start` on. Raises DamagedError when they are not there."""
        if start < self._start:
            raise DamagedError("the manifest lists members out of order")
        end = start + length
        while start < end:
            self._reach(start)
            piece = self._block[start - self._start : end - self._start]
            yield piece
            start += len(piece)

    def exhaust(self) -> None:
        """Read to the end: the frames behind the last member are compared as well."""
        for _ in self._frames:
            pass

    def _reach(self, position: int) -> None:
        while position >= self._start + len(self._block):
            found = next(self._frames, None)
            if found is None:
                raise DamagedError("the archive ends before its last member")
            frame, block = found
            self._start, self._block = frame.start, memoryview(block)
        if position < self._start:
            raise DamagedError("the manifest lists members out of order")
