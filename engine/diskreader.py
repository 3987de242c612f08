"""Reading a file from the disk itself, past the page cache, in one direction and in constant memory."""

import errno
import fcntl
import mmap
import os
from pathlib import Path

CHUNK = 4 << 20
_NOT_DIRECT = (errno.EINVAL, errno.EOPNOTSUPP)


def read_exactly(descriptor: int, offset: int, count: int) -> bytes:
    """So many bytes of a file through the page cache. Raises OSError, also when it ends before."""
    data = os.pread(descriptor, count, offset)
    while len(data) < count:
        more = os.pread(descriptor, count - len(data), offset + len(data))
        if not more:
            raise OSError(errno.EIO, "the file ends too early")
        data += more
    return data


class DiskReader:
    """Bytes of one file, asked for in rising order.

    What `read` returns stays valid until `keep` further bytes have been asked for. Where the file system
    knows no direct reading, the file's pages are dropped from the cache first.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self.descriptor = _open(path)
        self._ring = [mmap.mmap(-1, CHUNK) for _ in range(keep // CHUNK + 3)]
        self._loaded = -1
        self._length = 0
        self._views = [memoryview(buffer) for buffer in self._ring]

    def read(self, offset: int, count: int) -> memoryview | bytes:
        """The bytes, fewer at the end of the file. Raises OSError."""
        first, last = offset // CHUNK, (offset + count - 1) // CHUNK
        if first == last:
            return self._piece(first, offset - first * CHUNK, count)
        parts: list[memoryview] = []
        while count > 0:
            number, start = divmod(offset, CHUNK)
            part = self._piece(number, start, min(count, CHUNK - start))
            if not part:
                break
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close the file; views that are still in use keep their memory."""
        os.close(self.descriptor)

    def _piece(self, number: int, start: int, count: int) -> memoryview:
        if number > self._loaded:
            self._load(number)
        length = self._length if number == self._loaded else CHUNK
        return self._views[number % len(self._ring)][start : min(start + count, length)]

    def _load(self, number: int) -> None:
        view = self._views[number % len(self._ring)]
        done = 0
        while done < CHUNK:
            count = self._read_into(view[done:], number * CHUNK + done)
            done += count
            if count == 0 or done % mmap.PAGESIZE:  # the end of the file
                break
        self._loaded, self._length = number, done

    def _read_into(self, view: memoryview, offset: int) -> int:
        try:
            return os.preadv(self.descriptor, [view], offset)
        except OSError as error:
            # a file system may promise direct reading and not know how: that is no damage
            if error.errno not in _NOT_DIRECT or not _give_up_direct(self.descriptor):
                raise
        return os.preadv(self.descriptor, [view], offset)


def _open(path: Path) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_DIRECT)
    except OSError as error:
        if error.errno not in _NOT_DIRECT:
            raise
    descriptor = os.open(path, flags)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return descriptor


def _give_up_direct(descriptor: int) -> bool:
    """Open this very file anew as others do, its pages dropped from the cache; False when it is so already."""
    if not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
        return False
    ordinary = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.dup2(ordinary, descriptor, inheritable=False)
    os.close(ordinary)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return True
