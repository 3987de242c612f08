"""Small steps on the disk that must be done right: whole files, durable names, no followed links."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from engine.errors import DestinationError, EngineError, NoRoomError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_OWNERS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)
_FLAT = ".backup4d-deep-"


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(target: Path, *, mode: int = 0o644, stays_ours: bool = False) -> Iterator[BinaryIO]:
    """Write beside `target`; it appears whole or not at all, durable when this returns.

    Made by root, it is given to the owner of its folder, unless it `stays_ours`.
    """
    temporary = target.with_name(f".{target.name}.part")
    with suppress(FileNotFoundError):
        temporary.unlink()  # ours, from a run that died; never a link followed by the open below
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, mode), "wb") as stream:
            yield stream
            stream.flush()
            if not stays_ours:
                give_to_owner_of(target.parent, stream.fileno())
            os.fsync(stream.fileno())
            _refuse_replaced(temporary, stream.fileno())
        temporary.replace(target)
    except BaseException as error:
        if getattr(error, "errno", None) != errno.ESTALE:  # what lies there then is another's
            with suppress(OSError):
                temporary.unlink()
        raise
    fsync_folder(target.parent)


def _refuse_replaced(temporary: Path, descriptor: int) -> None:
    """Where locks of other machines are not seen, two may write under this name; a half-written file is not shown."""
    if not os.path.samestat(os.fstat(descriptor), temporary.lstat()):
        raise OSError(errno.ESTALE, "another program writes it at this moment", str(temporary))


def open_regular(file: Path, *, links: bool = True) -> BufferedReader:
    """Open a regular file for reading: a FIFO keeps nobody waiting, and of what is refused nothing stays open.

    Without `links` it is one that no link leads to. Raises OSError.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(file, flags if links else flags | os.O_NOFOLLOW)
    try:
        _refuse_irregular(descriptor, file)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_irregular(descriptor: int, file: Path) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(file))


def read_regular(file: Path, limit: int, *, links: bool = True) -> bytes:
    """Read a small regular file without hanging on a FIFO or device.

    Without `links` it is one of ours, which no link leads to: what a planted one leads to is not read.
    Raises OSError; `limit` is in bytes, a larger file raises OSError with EFBIG.
    """
    with open_regular(file, links=links) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(file))
    return data


def read_end(file: Path, count: int) -> bytes:
    """The last bytes of a regular file that no link leads to, without hanging on a FIFO. Raises OSError."""
    with open_regular(file, links=False) as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, size - count))
        return stream.read(count)


def give_to_owner_of(folder: Path, target: int | Path) -> None:
    """Made by root, a file goes to the owner of its folder, so that the service's user can work with it.

    `target` is an open descriptor or a path that is not followed. Raises OSError, also for a file that has
    another name elsewhere: it may be anybody's.
    """
    if os.geteuid() != 0:
        return
    owner = folder.stat()
    if isinstance(target, int):
        _refuse_linked(target, owner)
        _give(target, owner)
        return
    descriptor = os.open(target, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _refuse_linked(descriptor, owner)
        _give(f"/proc/self/fd/{descriptor}", owner)
    finally:
        os.close(descriptor)


def _give(target: int | str, owner: os.stat_result) -> None:
    """Where a file system keeps no owners (vfat), or lets not even root change them (NFS), all is his who mounted it."""
    try:
        os.chown(target, owner.st_uid, owner.st_gid)
    except OSError as error:
        if error.errno not in _NO_OWNERS:
            raise


def hand_over(folder: Path, *, like: Path) -> None:
    """Give a finished folder with its files to the owner of `like`, and make its names durable. Raises OSError."""
    for path in folder.iterdir():
        give_to_owner_of(like, path)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        give_to_owner_of(like, descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_others(descriptor: int, file: Path) -> None:
    """Raise OSError for an open file that somebody may have planted: no plain one, or of somebody else's."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "it is not a plain file", str(file))
    _refuse_linked(descriptor, file.parent.stat())


def _refuse_linked(descriptor: int, folder: os.stat_result) -> None:
    """Raise OSError for a second name of a file that does not belong to the owner of its folder.

    Where the kernel lets users make hard links to files of others, the owner of a folder could have them written to.
    """
    facts = os.fstat(descriptor)
    is_folder = stat.S_ISDIR(facts.st_mode)
    if not is_folder and facts.st_nlink > 1 and facts.st_uid != folder.st_uid:
        raise OSError(errno.EPERM, "it is a second name of a file of somebody else's")


def make_folder(folder: Path, *, like: Path) -> None:
    """Make a folder when it is missing; made by root, it belongs to the owner of `like`. Raises OSError."""
    try:
        folder.mkdir(0o750)
    except FileExistsError:
        return
    give_to_owner_of(like, folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours and all below it; links are removed, never followed.

    However deep it is, and the folder last, so that what is left after a crash is still recognised as
    half-made. Raises OSError, also for a link in place of the folder.
    """
    try:
        shutil.rmtree(folder)
    except RecursionError:
        _flatten(folder)
        shutil.rmtree(folder)


def _flatten(folder: Path) -> None:
    """Move the folders inside to its top, whatever their depth, so that nothing lies deeper than two levels."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    root = os.open(folder, flags)
    try:
        waiting = _folders_in(root)
        while waiting:
            inner = os.open(waiting.pop(), flags, dir_fd=root)
            try:
                for name in _folders_in(inner):
                    moved = f"{_FLAT}{secrets.token_hex(8)}"
                    os.rename(name, moved, src_dir_fd=inner, dst_dir_fd=root)
                    waiting.append(moved)
            finally:
                os.close(inner)
    finally:
        os.close(root)


def _folders_in(descriptor: int) -> list[str]:
    with os.scandir(descriptor) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def room(folder: Path) -> int:
    """Bytes an ordinary user may still write on the file system of `folder`. Raises OSError."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def _is_without_inodes(folder: Path) -> bool:
    with suppress(OSError):
        facts = os.statvfs(folder)
        return facts.f_files > 0 and facts.f_favail == 0
    return False


def destination_failure(folder: Path, doing: str, cause: OSError) -> EngineError:
    """The error that says what a failed system call on the destination means."""
    if cause.errno == errno.ENOSPC and _is_without_inodes(folder):
        return NoRoomError(
            f"no inodes left in {folder} while {doing}: there is room, but not for another file",
            hint="remove files there, or make the file system with more inodes",
        )
    if cause.errno in _FULL:
        return NoRoomError(
            f"no room left in {folder} while {doing}: {cause.strerror}",
            hint="free room there, or keep fewer sets (SetNumber/Value)",
        )
    hint = "check that the volume is mounted, writable and healthy"
    if cause.errno == errno.EFBIG:
        hint = (
            "no file there may be that large: 4 GiB on vfat, or a limit of this user (ulimit -f); let 4D's"
            " settings cut archives into segments (FileSegmentation/DefaultSize)"
        )
    if cause.errno == errno.EROFS:
        hint = "mount it for writing; one that turned read-only by itself is damaged: see dmesg, and check it"
    return DestinationError(
        f"backup folder {folder} failed while {doing}: {cause.strerror}", hint=hint
    )


@contextmanager
def disk_errors(destination: Path, doing: str) -> Iterator[None]:
    """Let a failed system call on the destination be told as what it means."""
    try:
        yield
    except OSError as error:
        raise destination_failure(destination, doing, error) from error
