"""Reading a file from the disk itself, past the page cache, in constant memory: in one direction, or piece by piece."""

import errno
import fcntl
import mmap
import os
import threading
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
            count = _read_into(self.descriptor, view[done:], number * CHUNK + done)
            done += count
            if count == 0 or done % mmap.PAGESIZE:  # the end of the file
                break
        self._loaded, self._length = number, done


class PieceReader:
    """Pieces of one file from anywhere in it; any thread may ask.

    What a backup reads of an older set would only push the application's pages out of the cache.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = _open(path)
        self._local = threading.local()

    def read(self, offset: int, count: int) -> bytes:
        """The bytes, fewer at the end of the file. Raises OSError."""
        start = offset // mmap.PAGESIZE * mmap.PAGESIZE
        wanted = offset - start + count
        view = self._room(-(-wanted // mmap.PAGESIZE) * mmap.PAGESIZE)
        done = 0
        while done < wanted:
            step = _read_into(self.descriptor, view[done:], start + done)
            done += step
            if step == 0 or done % mmap.PAGESIZE:  # the end of the file
                break
        return bytes(view[offset - start : min(wanted, done)])

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)

    def _room(self, count: int) -> memoryview:
        """So many bytes where direct reading can put them, the thread's own."""
        view: memoryview | None = getattr(self._local, "view", None)
        if view is None or len(view) < count:
            view = self._local.view = memoryview(mmap.mmap(-1, count))
        return view[:count]


def _read_into(descriptor: int, view: memoryview, offset: int) -> int:
    try:
        return os.preadv(descriptor, [view], offset)
    except OSError as error:
        if error.errno not in _NOT_DIRECT:
            raise
    # a file system may promise direct reading and not know how: that is no damage
    _give_up_direct(descriptor)
    return os.preadv(descriptor, [view], offset)


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


def _give_up_direct(descriptor: int) -> None:
    """Open this very file anew as others do, its pages dropped from the cache; nothing when it is so already."""
    if not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
        return
    ordinary = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.dup2(ordinary, descriptor, inheritable=False)
    os.close(ordinary)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
