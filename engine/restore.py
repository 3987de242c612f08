"""A whole set back into a new folder; the folder appears whole and compared, or not at all."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from engine.codec import digest_zeros
from engine.errors import DamagedError, NoRoomError, RestoreError
from engine.files import fsync_folder, remove_tree, room
from engine.framereader import Block, open_archive, read_blocks
from engine.manifest import ArchiveFacts, Manifest, read_manifest
from engine.member import Kind, Member, content_extents
from engine.progress import Progress, Report
from engine.stop import StopRequest
from engine.verify import check_manifest, members_of

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BUILDING = ".backup4d-restoring-"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back: every file was compared with the digest in the manifest as it was written."""

    target: Path
    number: int
    files: int
    content_bytes: int


def restore_set(
    folder: Path, target: Path, *, workers: int, stop: StopRequest, report: Report
) -> Restored:
    """Restore the set in `folder` to `target`, which must not exist or be an empty folder.

    It is built under a hidden name and appears by one rename: beside a new `target`, inside one that is
    there (it may be a mounted volume or the goal of a link). After any failure nothing of it remains.
    Raises RestoreError, DamagedError, MissingSetError, NoRoomError, StoppedError.
    """
    manifest = read_manifest(folder)
    check_manifest(folder)
    target = target.resolve() if target.is_dir() else target
    with _workplace(target, manifest) as building:
        return _restore_into(building, target, manifest, workers, stop, report)


def _restore_into(
    building: Path,
    target: Path,
    manifest: Manifest,
    workers: int,
    stop: StopRequest,
    report: Report,
) -> Restored:
    try:
        files = _Rebuild(building, report, manifest.facts.content_bytes, stop)
        for archive in manifest.archives:
            files.restore_archive(manifest, archive, workers)
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
def _workplace(target: Path, manifest: Manifest) -> Iterator[Path]:
    """A hidden folder to build in, held by a lock of the kernel while we live; dead ones are removed."""
    room_in = target if target.is_dir() else target.parent
    _remove_dead(room_in)
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise RestoreError(
            f"{target} exists already; nothing was written",
            hint="name a folder that does not exist or is empty",
        )
    try:
        needed, free = manifest.facts.content_bytes, room(room_in)
        if free < needed:
            raise NoRoomError(
                f"{room_in} has {free >> 20} MiB free, the restored files need {needed >> 20} MiB"
            )
        building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=room_in))
        building.chmod(0o777 & ~_umask())
        descriptor = os.open(building, _FOLDER)
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


def _remove_dead(folder: Path) -> None:
    """What restores that were killed left here: nobody holds their locks any more."""
    for leftover in folder.glob(f"{_BUILDING}*"):
        with suppress(OSError):
            descriptor = os.open(leftover, _FOLDER)
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
        self._tree = _Tree(root)
        self._report = report
        self._total = total
        self._stop = stop
        self._folders: list[Member] = []
        self._links: list[Member] = []

    def restore_archive(self, manifest: Manifest, facts: ArchiveFacts, workers: int) -> None:
        """Bring back all members of one archive."""
        with open_archive(manifest.folder, facts) as archive:
            blocks = read_blocks(archive, range(len(facts.frames)), workers=workers)
            stream = _Stream(block for _, block in blocks)
            for member in members_of(manifest, facts):
                self._restore(member, stream)
            stream.exhaust()

    def finish(self) -> None:
        """Links, then owners, modes and times of folders from the deepest up."""
        for member in self._links:
            self._make_link(member)
        for member in sorted(self._folders, key=lambda folder: -folder.path.count(b"/")):
            parent, name = self._tree.parent(member.path)
            descriptor = os.open(name, _FOLDER, dir_fd=parent)
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
    """The stream of an archive, read forwards only."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
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
        for _ in self._blocks:
            pass

    def _reach(self, position: int) -> None:
        while position >= self._start + len(self._block):
            self._start += len(self._block)
            block = next(self._blocks, None)
            if block is None:
                raise DamagedError("the archive ends before its last member")
            self._block = memoryview(block)


class _Tree:
    """Folders below the target, reached one name at a time; no name may lead outside."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, _FOLDER)
        self._parts: list[bytes] = []
        self._current = os.dup(self._root)

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """The open folder that holds `path`, made when missing, and the last name; valid until the next call."""
        parts = _safe_parts(path)
        self._go(parts[:-1])
        return self._current, parts[-1]

    def parent_beside(self, path: bytes) -> tuple[int, bytes]:
        """The same, as a descriptor of its own that the caller closes; where `parent` points stays."""
        parts = _safe_parts(path)
        descriptor = os.dup(self._root)
        for name in parts[:-1]:
            inner = os.open(name, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        return descriptor, parts[-1]

    def make(self, path: bytes) -> None:
        """Make a folder."""
        self._go(_safe_parts(path))

    def close(self) -> None:
        os.close(self._current)
        os.close(self._root)

    def _go(self, parts: list[bytes]) -> None:
        shared = len(self._parts)
        if parts[:shared] != self._parts:
            os.close(self._current)
            self._current, shared = os.dup(self._root), 0
        for name in parts[shared:]:
            try:
                inner = os.open(name, _FOLDER, dir_fd=self._current)
            except FileNotFoundError:
                os.mkdir(name, 0o700, dir_fd=self._current)
                inner = os.open(name, _FOLDER, dir_fd=self._current)
            os.close(self._current)
            self._current = inner
        self._parts = parts


def _safe_parts(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        name = path.decode("utf-8", "backslashreplace")
        raise DamagedError(f"the manifest names {name!r}, which would lead outside the target")
    return parts
