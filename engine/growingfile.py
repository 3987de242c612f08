"""A file that grows at its end: flushed while it grows, past the page cache where the file system does that well.

Past the cache, because the application's memory is worth more than a copy of what was just written. Measured for
an archive of 1.3 GB on ext4: 0.1 instead of 1.0 s of CPU, in the same time (docs/performance.md).
"""

import errno
import fcntl
import mmap
import os
import queue
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AGAIN = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_FLUSH_BYTES = 32 << 20
_BUFFER = 2 << 20
_BUFFERS = 4
_FICLONERANGE = 0x4020940D
# on others it is slow, only pretended, or nobody has tried it
_DIRECT = ("ext2", "ext3", "ext4", "xfs")
_NOT_DIRECT = (errno.EINVAL, errno.EOPNOTSUPP)


def writes_directly(kind: str) -> bool:
    """Whether files on this kind of file system are written past the page cache."""
    return kind in _DIRECT


@dataclass(frozen=True, slots=True)
class _Write:
    descriptor: int
    buffer: memoryview
    offset: int


@dataclass(frozen=True, slots=True)
class _Flush:
    descriptor: int
    written: int


class BackWriter:
    """Writes and flushes in the background while the next frames are compressed, so that the last fsync is short.

    `on_durable` is told up to which byte a file is on the disk. A failure is kept and raised by the next call; it is
    never tried again, because the kernel reports a lost page once and then forgets it.
    """

    def __init__(self, on_durable: Callable[[int], None]) -> None:
        self._on_durable = on_durable
        self._failure: OSError | None = None
        self._jobs: queue.Queue[_Write | _Flush | None] = queue.Queue()
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(memoryview(mmap.mmap(-1, _BUFFER)))
        self._thread = threading.Thread(target=self._work, name="flusher", daemon=True)
        self._thread.start()

    def buffer(self) -> memoryview:
        """An aligned buffer; waits until one is free."""
        return self._free.get()

    def give_back(self, buffer: memoryview) -> None:
        """Return a buffer that was not written."""
        self._free.put(buffer)

    def write(self, descriptor: int, buffer: memoryview, offset: int) -> None:
        """Start writing a whole buffer; returns at once, and takes the buffer back."""
        self._jobs.put(_Write(descriptor, buffer, offset))
        self._raise_failure()

    def flush(self, descriptor: int, written: int) -> None:
        """Start making the first `written` bytes durable; returns at once."""
        self._raise_failure()
        self._jobs.put(_Flush(descriptor, written))

    def wait(self) -> None:
        """Return when everything asked for is done."""
        self._jobs.join()
        self._raise_failure()

    def close(self) -> None:
        """Wait and end the thread."""
        self.wait()
        self._jobs.put(None)
        self._thread.join()

    def abandon(self) -> None:
        """End the thread and forget its failures."""
        self._jobs.put(None)
        self._thread.join()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if self._failure is None:
                    self._do(job)
            except OSError as error:
                self._failure = error
            finally:
                if isinstance(job, _Write):
                    self._free.put(job.buffer)
                self._jobs.task_done()

    def _do(self, job: _Write | _Flush) -> None:
        if isinstance(job, _Write):
            _write_all(job.descriptor, job.buffer, job.offset)
            return
        os.fdatasync(job.descriptor)
        # clean pages are dropped: the host's cache is for the application, and the check that
        # follows must read the disk
        os.posix_fadvise(job.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        self._on_durable(job.written)


class GrowingFile:
    """A new file, or with `written` and `tail` the first part of one that is there; every method raises OSError.

    Where writing is direct, the end that fills no buffer yet is held here; `settle` writes it.
    """

    def __init__(
        self,
        path: Path,
        back: BackWriter,
        *,
        direct: bool,
        written: int | None = None,
        tail: bytes = b"",
    ) -> None:
        self._back = back
        self._unflushed = 0
        self._buffer: memoryview | None = None
        self._filled = 0
        self.descriptor = os.open(path, _NEW if written is None else _AGAIN, 0o640)
        self.written = written or 0
        if direct:
            self._hold(tail)

    def append(self, data: memoryview) -> None:
        """Append all of it; a failure may be raised by a later call."""
        self._unflushed += len(data)
        while data:
            count = self._append_some(data)
            self.written += count
            data = data[count:]
        self._flush_some()

    def tail(self) -> bytes:
        """What stands behind the last whole page; needed to go on from here after a `cut`."""
        if self._buffer is None:
            return b""
        return bytes(self._buffer[self._filled - self.written % mmap.PAGESIZE : self._filled])

    def settle(self) -> None:
        """Return when everything that was appended stands in the file, durable or not."""
        is_direct = self._buffer is not None
        tail = self._write_held()
        if is_direct:
            self._hold(tail)

    def clone(self, source: int, offset: int, count: int) -> None:
        """Append blocks of another file by sharing them; nothing is appended where the file system cannot.

        What is shared is cut into many short runs, for which the page cache is the better place: from here on all
        is written through it.
        """
        if self._buffer is not None:
            self._write_held()
        request = struct.pack("qQQQ", source, offset, count, self.written)
        fcntl.ioctl(self.descriptor, _FICLONERANGE, request)
        self.written += count
        self._unflushed += count  # written back, and followed by the check, like all else
        self._flush_some()

    def cut(self, written: int, tail: bytes) -> None:
        """Shorten it to so many bytes, when nothing is on its way."""
        os.ftruncate(self.descriptor, written)
        self.written = written
        if self._buffer is not None:
            self._drop()
            self._hold(tail)

    def finish(self) -> None:
        """Make it durable, leave nothing of it in the page cache, and close it."""
        self._write_held()
        os.fsync(self.descriptor)
        os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        self.close()

    def close(self) -> None:
        """Close it as it is; more than once is fine."""
        self._drop()
        # also one that fails is gone: closed again, it could be a file that was opened meanwhile
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _flush_some(self) -> None:
        if self._unflushed >= _FLUSH_BYTES:
            self._back.flush(self.descriptor, self.written - self._filled)
            self._unflushed = 0

    def _append_some(self, data: memoryview) -> int:
        if self._buffer is None:
            return os.pwrite(self.descriptor, data, self.written)
        count = min(len(data), _BUFFER - self._filled)
        self._buffer[self._filled : self._filled + count] = data[:count]
        self._filled += count
        if self._filled == _BUFFER:
            buffer, self._buffer = self._buffer, None
            self._back.write(self.descriptor, buffer, self.written + count - _BUFFER)
            self._buffer, self._filled = self._back.buffer(), 0
        return count

    def _write_held(self) -> bytes:
        """Write what is held the ordinary way, and hold nothing any more; what `_hold` needs to go on directly."""
        self._back.wait()
        tail = self.tail()
        if self._buffer is not None:
            _set_direct(self.descriptor, on=False)
            _write_all(self.descriptor, self._buffer[: self._filled], self.written - self._filled)
            self._drop()
        return tail

    def _hold(self, tail: bytes) -> None:
        """From here on whole buffers are written past the cache."""
        _set_direct(self.descriptor, on=True)
        self._buffer, self._filled = self._back.buffer(), len(tail)
        self._buffer[: len(tail)] = tail

    def _drop(self) -> None:
        if self._buffer is not None:
            self._back.give_back(self._buffer)
        self._buffer, self._filled = None, 0


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        try:
            done += os.pwrite(descriptor, data[done:], offset + done)
        except OSError as error:
            if error.errno not in _NOT_DIRECT or not _is_direct(descriptor):
                raise
            # this file system promised direct writing and wants other borders, or cannot: the ordinary way
            _set_direct(descriptor, on=False)


def _is_direct(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


def _set_direct(descriptor: int, *, on: bool) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    with suppress(OSError):  # a file system that knows none of it: written the ordinary way
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if on else flags & ~os.O_DIRECT)
