"""Reading one file of the application: opened without following links, its holes found, its stillness judged."""

import ctypes
import errno
import os
import stat
from contextlib import suppress
from typing import Protocol

from engine.codec import FRAME_BYTES
from engine.errors import SourceError
from engine.member import Attributes, Role, Seen
from engine.walk import Found

OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_SYNC_FILE_RANGE = getattr(ctypes.CDLL(None), "sync_file_range", None)
# from the beginning to the end: wait, write, wait
_WHOLE_FILE = (ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(1 | 2 | 4))

# statfs(2): ext2 to ext4, XFS, btrfs, F2FS, ZFS. On a network, times and numbers are told by somebody else; on tmpfs, a
# write through a mapping moves no time (docs/in-use.md)
_TRUE_TIMES = frozenset((0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x2FC12FC1))
_STATFS_BYTES = 256

FAILING_DISK = "the disk below the application may be failing; check it before anything else"


class Watcher(Protocol):
    """Who is told how many bytes of content have been read."""

    def __call__(self, count: int) -> None: ...


Extents = tuple[tuple[int, int], ...]


class Vanished(Exception):  # noqa: N818 - not an error: the file was deleted between listing and reading
    """The file went away before it was read."""


class ReadError(Exception):
    """Reading a source failed; not an OSError, so that it is never taken for one of the output."""


def open_source(found: Found) -> int:
    try:
        return os.open(found.name, OPEN, dir_fd=found.folder)
    except FileNotFoundError as error:
        raise Vanished from error
    except OSError as error:
        raise SourceError(
            f"{os.fsdecode(found.path)} cannot be read: {error.strerror}",
            hint="the user that runs backup4d must be able to read it",
        ) from error


def attributes_of(facts: os.stat_result) -> Attributes:
    mode = stat.S_IMODE(facts.st_mode)
    return Attributes(mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns)


class TrueTimes:
    """Whether file systems keep numbers and times of files truly; each is asked once."""

    def __init__(self) -> None:
        self._known: dict[int, bool] = {}

    def seen(self, descriptor: int, facts: os.stat_result) -> Seen | None:
        """What tells a later run that nobody wrote to the file; None where the file system may not keep it truly.

        Only for a file whose last change was old enough (`is_young`), so that the next one has another time.
        """
        if facts.st_dev not in self._known:
            self._known[facts.st_dev] = _kind_number(descriptor) in _TRUE_TIMES
        return Seen(facts.st_ino, facts.st_ctime_ns) if self._known[facts.st_dev] else None

    def are_kept(self, folder: int, facts: os.stat_result) -> bool:
        """The same of a file that is not open, but the folder it lies in."""
        if facts.st_dev not in self._known:
            is_here = os.fstat(folder).st_dev == facts.st_dev  # not a file mounted by itself
            return is_here and self.seen(folder, facts) is not None
        return self._known[facts.st_dev]


def _kind_number(descriptor: int) -> int:
    """statfs(2)'s f_type, its first field; the C library knows it on every Linux, the standard library does not."""
    facts = ctypes.create_string_buffer(_STATFS_BYTES)
    if ctypes.CDLL(None).fstatfs(descriptor, facts) != 0:
        return 0
    return int(ctypes.c_ulong.from_buffer(facts).value)


def is_still(before: os.stat_result, after: os.stat_result, role: Role) -> bool:
    if role is Role.LOG:
        return after.st_size >= before.st_size
    return (
        before.st_size == after.st_size
        and before.st_mtime_ns == after.st_mtime_ns
        and before.st_ctime_ns == after.st_ctime_ns
    )


def is_young(facts: os.stat_result, now_ns: int, rest_ns: int) -> bool:
    """Whether the last change is not yet `rest_ns` ago; a time to come, of a clock set back, says nothing."""
    return 0 <= now_ns - max(facts.st_mtime_ns, facts.st_ctime_ns) < rest_ns


def make_clean(descriptor: int, size: int) -> None:
    """Have the pages of a file written back, so that the next write through a mapping moves its time stamp.

    A page that is dirty already is written to unseen. Errors are no matter here: a disk that fails is met by
    the reading, and a copy of what is in memory is better than none.
    """
    if size >= FRAME_BYTES or _SYNC_FILE_RANGE is None:
        with suppress(OSError):
            os.fdatasync(descriptor)
        return
    # not for every small file: fdatasync makes the disk flush its cache even when nothing is dirty.
    # twice: btrfs compresses in a thread of its own, and only the second call waits for that
    for _ in range(2):
        _SYNC_FILE_RANGE(descriptor, *_WHOLE_FILE)


def fill(descriptor: int, block: memoryview, offset: int) -> bool:
    """Fill the block from the file; False when the file ends before."""
    done = 0
    while done < len(block):
        try:
            count = os.preadv(descriptor, [block[done:]], offset + done)
        except OSError as error:
            raise ReadError(error.strerror) from error
        if count == 0:
            return False
        done += count
    return True


def find_extents(descriptor: int, facts: os.stat_result, cut: int) -> Extents | None:
    """The pieces of a file that hold data, on the grid of its frames; None when there are no holes to skip."""
    if facts.st_blocks * 512 >= facts.st_size:
        return None
    extents: list[tuple[int, int]] = []
    position = 0
    while position < facts.st_size:
        try:
            data = os.lseek(descriptor, position, os.SEEK_DATA)
            hole = os.lseek(descriptor, data, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return None  # where nobody can tell the holes, everything is read
            break  # nothing but a hole up to the end, or the file became shorter
        start = max(data // cut * cut, position)
        end = min(-(-hole // cut) * cut, facts.st_size)
        if extents and extents[-1][0] + extents[-1][1] == start:
            extents[-1] = (extents[-1][0], extents[-1][1] + end - start)
        else:
            extents.append((start, end - start))
        position = end
    if sum(length for _, length in extents) == facts.st_size:
        return None
    if not extents or sum(extents[-1]) < facts.st_size:
        extents.append((facts.st_size, 0))  # GNU tar marks a hole at the end this way
    return tuple(extents)
