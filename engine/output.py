"""The archive on the disk: one file or segments of a fixed size, digested and flushed while it grows."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from engine.files import room
from engine.growingfile import BackWriter, GrowingFile, writes_directly
from engine.mounts import kind_of

_SHARING = ("btrfs", "xfs", "")  # the kind of a btrfs subvolume is not told by its device
_LEAST_BLOCK = 4096
_WORTH_BLOCKS = 4
_LEAST_GAP = 8
_SPAN_BYTES = 32 << 20


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
    tail: bytes
    digest: Any
    done: tuple[StoredFile, ...]


def archive_name(base: str, number: int, suffix: str, segment: int | None) -> str:
    """`data[0007].tar.zst`, or `data[0007-0001].tar.zst` for the first segment (4D's numbering)."""
    if segment is None:
        return f"{base}[{number:04d}]{suffix}"
    return f"{base}[{number:04d}-{segment:04d}]{suffix}"


@dataclass(slots=True)
class _Span:
    """What is to be shared at once: whole blocks from `start` of another file on, and the bytes behind them, which fill none yet."""

    descriptor: int
    start: int
    whole: int = 0
    tail: bytes = b""

    @property
    def length(self) -> int:
        return self.whole + len(self.tail)


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
        self._back = BackWriter(on_durable if segment_bytes is None else lambda _: None)
        kind = kind_of(folder)
        self._direct = writes_directly(kind)
        # the first FICLONERANGE tells whether it is true
        self._can_share = segment_bytes is None and kind in _SHARING
        self._has_shared = False
        self._span: _Span | None = None
        self._file = self._open()
        self._block = max(os.fstatvfs(self._file.descriptor).f_bsize, _LEAST_BLOCK)

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`."""
        self._end_span()
        rest = memoryview(data)
        while rest:
            if self._segment_bytes is not None and self._file.written == self._segment_bytes:
                self._close_segment()
                self._segment += 1
                self._file = self._open()
            count = len(rest)
            if self._segment_bytes is not None:
                count = min(count, self._segment_bytes - self._file.written)
            self._file.append(rest[:count])
            self._digest.update(rest[:count])
            rest = rest[count:]

    def gap_before(self, offset: int, count: int) -> int:
        """How many bytes must come first so that `share` can share: none where it cannot, or is not worth it."""
        if not self._can_share or count < _WORTH_BLOCKS * self._block:
            return 0
        gap = (offset - self._written) % self._block
        return gap if gap == 0 or gap >= _LEAST_GAP else gap + self._block

    def share(self, data: bytes | memoryview, descriptor: int, offset: int) -> None:
        """Append `data`, which stands at `offset` of another file: its blocks are shared where that can be done.

        btrfs and XFS can; then only the first and the last block take new room. What lies one behind the other there, and
        comes one after the other, is shared at once: each time costs as much, however much it is.
        """
        rest = memoryview(data)
        span = self._span
        if span is None or (span.descriptor, span.start + span.length) != (descriptor, offset):
            head = -self._written % self._block
            is_alike = (offset - self._written) % self._block == 0
            if not self._can_share or not is_alike or len(rest) - head < self._block:
                self.write(rest)
                return
            self.write(rest[:head])
            rest = rest[head:]
            span = self._span = _Span(descriptor, offset + head)
        self._digest.update(rest)
        count = len(span.tail) + len(rest)
        left = count % self._block
        span.whole += count - left
        end = span.tail + bytes(rest[-self._block :])
        span.tail = end[len(end) - left :]
        if not self._has_shared:
            self._try_to_share(span, rest)
        elif span.whole >= _SPAN_BYTES:
            self._share_whole(span)

    def _try_to_share(self, span: _Span, data: memoryview) -> None:
        """The first time; where it cannot be, all is written."""
        try:
            self._share_whole(span)
        except OSError:  # what is really wrong is met by the writing
            self._can_share, self._span = False, None
            self._file.append(data)
        else:
            self._has_shared = True

    def _share_whole(self, span: _Span) -> None:
        if span.whole:
            self._file.clone(span.descriptor, span.start, span.whole)
            span.start, span.whole = span.start + span.whole, 0

    def _end_span(self) -> None:
        span, self._span = self._span, None
        if span is not None:
            self._share_whole(span)
            self._file.append(memoryview(span.tail))

    @property
    def _written(self) -> int:
        return self._file.written + (0 if self._span is None else self._span.length)

    def mark(self) -> OutputMark:
        """This place, for `rewind`."""
        self._end_span()
        file = self._file
        return OutputMark(
            self._segment, file.written, file.tail(), self._digest.copy(), tuple(self._done)
        )

    def wait(self) -> None:
        """Return when no write-back is under way, so that `on_durable` tells nothing old any more."""
        self._back.wait()

    def copy_after(self, mark: OutputMark, reserve: int) -> BinaryIO | None:
        """Everything written after the mark in a nameless file beside it; None when that would take needed room.

        So it is, too, when the copying fails: what is wrong with the disk is met by the writing.
        """
        try:
            if room(self._folder) < reserve:
                return None
            self._end_span()
            self._file.settle()
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
        self._span = None
        self._back.wait()
        if mark.segment != self._segment:
            self._file.close()
            for segment in range(mark.segment + 1, self._segment + 1):
                (self._folder / self._file_name(segment)).unlink()
            self._segment = mark.segment
            self._file = GrowingFile(
                self._folder / self._file_name(self._segment),
                self._back,
                direct=self._direct,
                written=mark.written,
                tail=mark.tail,
            )
        self._file.cut(mark.written, mark.tail)
        self._digest = mark.digest.copy()
        self._done = list(mark.done)

    def finish(self) -> tuple[StoredFile, ...]:
        """Make everything durable, close, and say what was written."""
        self._close_segment()
        self._back.close()
        if self._segment_bytes is not None and len(self._done) == 1:
            self._drop_segment_number()
        return tuple(self._done)

    def abandon(self) -> None:
        """Close without a promise; the files are removed with their folder."""
        self._back.abandon()
        with suppress(OSError):  # the failure that led here is the one to be told
            self._file.close()

    def _file_name(self, segment: int) -> str:
        numbered = None if self._segment_bytes is None else segment + 1
        return archive_name(*self._name, numbered)

    def _open(self) -> GrowingFile:
        self._digest = hashlib.sha256()
        path = self._folder / self._file_name(self._segment)
        return GrowingFile(path, self._back, direct=self._direct)

    def _close_segment(self) -> None:
        self._end_span()
        self._file.finish()
        name = self._file_name(self._segment)
        self._done.append(StoredFile(name, self._file.written, self._digest.hexdigest()))

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
