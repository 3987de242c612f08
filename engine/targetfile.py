"""One file being restored: room taken first, content written by several threads, large ones past the page cache.

Past the cache, because the application's memory is worth more than a copy of what was just written; measured
on 2.5 GiB it takes half the time as well, and leaves nothing to flush. Where the file system knows no direct
writing or no taking of room, it is done the ordinary way.
"""

import ctypes
import errno
import mmap
import os
import stat
import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.member import Member, disk_extents
from engine.targettree import Tree

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECT = os.O_WRONLY | os.O_DIRECT | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECT_FROM = 8 << 20
_BUFFER = 4 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LIBC = ctypes.CDLL(None, use_errno=True)
_own = threading.local()


class TargetFile:
    """A new file of a tree. Raises OSError, FileExistsError when the name is taken."""

    def __init__(self, tree: Tree, member: Member) -> None:
        self.member = member
        parent, name = tree.parent(member.path)
        self._direct: int | None = None
        self.descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            if member.size >= _DIRECT_FROM:
                self._prepare(parent, name)
        except BaseException:
            with suppress(OSError):
                self.close()
            raise

    def write(self, content: memoryview, offset: int) -> None:
        """Write at an offset; several threads may do so at once. Raises OSError.

        Holes stay holes: what is written there are zeros.
        """
        if self.member.holes:
            for low, high in _outside(self.member.holes, content, offset):
                self._write(content[low:high], offset + low)
            return
        self._write(content, offset)

    def _write(self, content: memoryview, offset: int) -> None:
        if self._direct is not None and offset % mmap.PAGESIZE == 0:
            count = self._write_direct(self._direct, content, offset)
            content, offset = content[count:], offset + count
        while content:
            count = os.pwrite(self.descriptor, content, offset)
            content, offset = content[count:], offset + count

    def finish(self) -> None:
        """Give it its size, owner, mode and times. Raises OSError."""
        os.ftruncate(self.descriptor, self.member.size)
        apply_attributes(self.descriptor, self.member)

    def close(self) -> None:
        """Close it; more than once is fine. Raises OSError: a network disk may say only now what failed."""
        # forgotten first: one whose closing fails is gone, and its number may already be another file's
        mine, self.descriptor, direct, self._direct = self.descriptor, -1, self._direct, None
        try:
            if direct is not None:
                os.close(direct)
        finally:
            if mine >= 0:
                os.close(mine)

    def _prepare(self, parent: int, name: bytes) -> None:
        """Take the room now: a full disk is found before anything is written, and threads do not wait for it."""
        for offset, length in disk_extents(self.member):
            if length:
                _take_room(self.descriptor, offset, length)
        with suppress(OSError):
            self._direct = os.open(name, _DIRECT, dir_fd=parent)

    def _write_direct(self, descriptor: int, content: memoryview, offset: int) -> int:
        """Write whole pages through an aligned buffer of this thread; how many bytes were written."""
        buffer = getattr(_own, "buffer", None)
        if buffer is None:
            buffer = _own.buffer = memoryview(mmap.mmap(-1, _BUFFER))
        whole = len(content) - len(content) % mmap.PAGESIZE
        done = 0
        while done < whole:
            count = min(whole - done, _BUFFER)
            buffer[:count] = content[done : done + count]
            try:
                written = os.pwrite(descriptor, buffer[:count], offset + done)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                break  # this file system wants other borders: the ordinary way takes over
            done += written
            if written % mmap.PAGESIZE:
                break
        return done


def _outside(
    holes: tuple[tuple[int, int], ...], content: memoryview, offset: int
) -> Iterator[tuple[int, int]]:
    """Which parts of the content at this offset are in no hole; a hole that holds something is none."""
    position = 0
    first = max(bisect_right(holes, (offset, 0)) - 1, 0)
    for start, length in holes[first:]:
        low, high = max(start - offset, position), min(start + length - offset, len(content))
        if start - offset >= len(content):
            break
        if low < high and not content[low:high].tobytes().strip(b"\0"):
            if low > position:
                yield position, low
            position = high
    if position < len(content):
        yield position, len(content)


def apply_attributes(descriptor: int, member: Member) -> None:
    """Owner first, because a change of owner clears set-user-id bits; times last, because all else moves them."""
    attributes = member.attributes
    if os.geteuid() == 0:
        os.fchown(descriptor, attributes.uid, attributes.gid)
    mode, facts = attributes.mode, os.fstat(descriptor)
    if (facts.st_uid, facts.st_gid) != (attributes.uid, attributes.gid):
        # what ran with another's rights would run with ours
        mode &= ~(stat.S_ISUID | stat.S_ISGID)
    os.fchmod(descriptor, mode)
    os.utime(descriptor, ns=(attributes.mtime_ns, attributes.mtime_ns))


def flush(folder: Path) -> None:
    """Make all that was written on the file system of `folder` durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # os.sync would flush every disk of the machine, and does not say when it fails
        if _LIBC.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def _take_room(descriptor: int, offset: int, length: int) -> None:
    # os.posix_fallocate would write every block itself where the file system cannot do it
    fallocate = getattr(_LIBC, "fallocate", None)
    if fallocate is None:
        return
    start, count = ctypes.c_int64(offset), ctypes.c_int64(length)
    if fallocate(descriptor, 0, start, count) != 0 and ctypes.get_errno() in _NO_ROOM:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
