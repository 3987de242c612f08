"""The archive on the disk: one file or segments of a fixed size, digested and flushed while it grows."""

import errno
import fcntl
import hashlib
import os
import queue
import struct
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from engine.files import room
from engine.mounts import kind_of

_FLUSH_BYTES = 32 << 20
_FICLONERANGE = 0x4020940D
_SHARING = ("btrfs", "xfs", "")  # the kind of a btrfs subvolume is not told by its device
_LEAST_BLOCK = 4096
_WORTH_BLOCKS = 4
_LEAST_GAP = 8


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of an archive: its name in the set, its length in bytes, its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class OutputMark:
    """A place to come back to."""

    segment: int
    written: int
    digest: Any
    done: tuple[StoredFile, ...]


def archive_name(base: str, number: int, suffix: str, segment: int | None) -> str:
    """`data[0007].tar.zst`, or `data[0007-0001].tar.zst` for the first segment (4D's numbering)."""
    if segment is None:
        return f"{base}[{number:04d}]{suffix}"
    return f"{base}[{number:04d}-{segment:04d}]{suffix}"


class Output:
    """Append-only bytes, cut into segments when asked; every method raises OSError as the system gives it.

    `on_durable` is told, from another thread, up to which byte an archive in one file is on the disk.
    """

    def __init__(
        self,
        folder: Path,
        base: str,
        number: int,
        suffix: str,
        *,
        segment_bytes: int | None,
        on_durable: Callable[[int], None],
    ) -> None:
        self._folder = folder
        self._name = (base, number, suffix)
        self._segment_bytes = segment_bytes
        self._segment = 0
        self._done: list[StoredFile] = []
        self._flusher = Flusher(on_durable if segment_bytes is None else lambda _: None)
        self._unflushed = 0
        self._descriptor = self._open()
        # asked once: FICLONERANGE tells whether it is true
        self._block = max(os.fstatvfs(self._descriptor).f_bsize, _LEAST_BLOCK)
        self._can_share = segment_bytes is None and kind_of(folder) in _SHARING

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`."""
        rest = memoryview(data)
        while rest:
            if self._segment_bytes is not None and self._written == self._segment_bytes:
                self._close_segment()
                self._segment += 1
                self._descriptor = self._open()
            limit = len(rest)
            if self._segment_bytes is not None:
                limit = min(limit, self._segment_bytes - self._written)
            count = os.write(self._descriptor, rest[:limit])
            self._digest.update(rest[:count])
            self._written += count
            self._unflushed += count
            rest = rest[count:]
        if self._unflushed >= _FLUSH_BYTES:
            self._flusher.flush(self._descriptor, self._written)
            self._unflushed = 0

    def gap_before(self, offset: int, count: int) -> int:
        """How many bytes must come first so that `share` can share: none where it cannot, or is not worth it."""
        if not self._can_share or count < _WORTH_BLOCKS * self._block:
            return 0
        gap = (offset - self._written) % self._block
        return gap if gap == 0 or gap >= _LEAST_GAP else gap + self._block

    def share(self, data: bytes | memoryview, descriptor: int, offset: int) -> None:
        """Append `data`, which stands at `offset` of another file: its blocks are shared where that can be done.

        btrfs and XFS can; then only the first and the last block take new room.
        """
        head = -self._written % self._block
        body = (len(data) - head) // self._block * self._block
        rest = memoryview(data)
        if self._can_share and (offset - self._written) % self._block == 0 and body > 0:
            self.write(rest[:head])
            if self._clone(descriptor, offset + head, body):
                self._digest.update(rest[head : head + body])
                self._written += body
                self._unflushed += body  # written back, and followed by the check, like all else
                os.lseek(self._descriptor, self._written, os.SEEK_SET)
                rest = rest[head + body :]
            else:
                rest = rest[head:]
        self.write(rest)

    def _clone(self, descriptor: int, offset: int, count: int) -> bool:
        request = struct.pack("qQQQ", descriptor, offset, count, self._written)
        try:
            fcntl.ioctl(self._descriptor, _FICLONERANGE, request)
        except OSError:
            # another file system, or one that cannot: what is really wrong is met by the writing
            self._can_share = False
        return self._can_share

    def mark(self) -> OutputMark:
        """This place, for `rewind`."""
        return OutputMark(self._segment, self._written, self._digest.copy(), tuple(self._done))

    def wait(self) -> None:
        """Return when no write-back is under way, so that `on_durable` tells nothing old any more."""
        self._flusher.wait()

    def copy_after(self, mark: OutputMark, reserve: int) -> BinaryIO | None:
        """Everything written after the mark in a nameless file beside it; None when that would take needed room.

        So it is, too, when the copying fails: what is wrong with the disk is met by the writing.
        """
        try:
            if room(self._folder) < reserve:
                return None
            # closed by whoever reads it
            copy: BinaryIO = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        except OSError:
            return None
        try:
            for segment in range(mark.segment, self._segment + 1):
                start = mark.written if segment == mark.segment else 0
                _append(self._folder / self._file_name(segment), start, copy.fileno())
        except OSError:
            copy.close()
            return None
        return copy

    def rewind(self, mark: OutputMark) -> None:
        """Forget everything written after the mark."""
        if mark.segment != self._segment:
            self._flusher.wait()
            self._close()
            for segment in range(mark.segment + 1, self._segment + 1):
                (self._folder / self._file_name(segment)).unlink()
            self._segment = mark.segment
            path = self._folder / self._file_name(self._segment)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.ftruncate(self._descriptor, mark.written)
        os.lseek(self._descriptor, mark.written, os.SEEK_SET)
        self._written, self._digest = mark.written, mark.digest.copy()
        self._done = list(mark.done)

    def finish(self) -> tuple[StoredFile, ...]:
        """Make everything durable, close, and say what was written."""
        self._close_segment()
        self._flusher.close()
        if self._segment_bytes is not None and len(self._done) == 1:
            self._drop_segment_number()
        return tuple(self._done)

    def abandon(self) -> None:
        """Close without a promise; the files are removed with their folder."""
        self._flusher.abandon()
        if self._descriptor >= 0:
            with suppress(OSError):  # the failure that led here is the one to be told
                self._close()

    def _file_name(self, segment: int) -> str:
        numbered = None if self._segment_bytes is None else segment + 1
        return archive_name(*self._name, numbered)

    def _open(self) -> int:
        self._written = 0
        self._unflushed = 0
        self._digest = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._folder / self._file_name(self._segment), flags, 0o640)

    def _close_segment(self) -> None:
        self._flusher.wait()
        os.fsync(self._descriptor)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        self._close()
        name = self._file_name(self._segment)
        self._done.append(StoredFile(name, self._written, self._digest.hexdigest()))

    def _close(self) -> None:
        """Also one that fails is gone: closed again, it could be a file that was opened meanwhile."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def _drop_segment_number(self) -> None:
        """An archive that fits into one segment has its plain name."""
        only = self._done[0]
        name = archive_name(*self._name, None)
        (self._folder / only.name).rename(self._folder / name)
        self._done = [StoredFile(name, only.size, only.sha256)]


def _append(source: Path, start: int, target: int) -> None:
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        end = os.fstat(descriptor).st_size
        while start < end:
            count = os.copy_file_range(descriptor, target, end - start, offset_src=start)
            if count == 0:
                raise OSError(errno.EIO, "it became shorter", str(source))
            start += count
    finally:
        os.close(descriptor)


class Flusher:
    """Writes back in the background while the next frames are compressed, so that the last fsync is short.

    A failed write-back is kept and raised by the next call; it is never tried again, because the kernel
    reports it once and then forgets the lost pages.
    """

    def __init__(self, on_durable: Callable[[int], None]) -> None:
        self._on_durable = on_durable
        self._failure: OSError | None = None
        self._jobs: queue.Queue[tuple[int, int] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="flusher", daemon=True)
        self._thread.start()

    def flush(self, descriptor: int, written: int) -> None:
        """Start writing back the first `written` bytes; returns at once."""
        self._raise_failure()
        self._jobs.put((descriptor, written))

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
            descriptor, written = job
            try:
                os.fdatasync(descriptor)
                # clean pages are dropped: the host's cache is for the application, and the check that
                # follows must read the disk
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                self._on_durable(written)
            except OSError as error:
                self._failure = error
            finally:
                self._jobs.task_done()
