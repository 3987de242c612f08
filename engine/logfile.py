"""What a log (`*.journal`) holds: which operations, of which data file, and how far it is whole.

The layout was worked out from real files. Nothing is ever written to a log, and what 4D appends while it
is read is left out. A header that is not known is "cannot be read by this program", never "damaged".
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NamedTuple, Protocol

from engine.errors import EngineError

HEADER_BYTES = 24
_ARCHIVE = b"70KB"
_HEAD = struct.Struct("<4sQIIqIBBH")
_HEAD_BYTES = _HEAD.size
_TRAILER = struct.Struct("<I4s")
_TRAILER_BYTES = _TRAILER.size
_SMALLEST = _HEAD_BYTES + _TRAILER_BYTES
_BACKUP_STARTED = 20
# of the current format: those that leave the number, and those that add one to it
_NOTES = frozenset({7, 8, 16, 20, 22, 31})
_CHANGES = frozenset({21, *range(23, 31)})
_KNOWN = _NOTES | _CHANGES
_WINDOW_BYTES = 1024 * 1024


class ByteReader(Protocol):
    """A file as it was when it was opened: `size` bytes. A read at its end may give less than asked."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, count: int) -> bytes: ...


class DescriptorReader:
    """An open file, at the length it had at first; the descriptor stays the caller's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, offset: int, count: int) -> bytes:
        """Bytes at an offset, without moving the file's position."""
        return os.pread(self._descriptor, min(count, max(0, self.size - offset)), offset)


class LogUnreadableError(EngineError):
    """A log that this program cannot read: encrypted, of another format, or not a log at all."""


class LogFormat(Enum):
    """How a log counts: in the current format only changes have a number of their own, in the old one every record."""

    CURRENT = b"GOl4"
    OLD = b"GOL4"


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a log holds.

    `whole_bytes` is the length without a torn tail. `first` and `last` are operation numbers, `before` is
    the number that was reached before its first record: it holds the operations after `before` up to
    `last`. The three are None when it has no record; a time is None when it is none.
    """

    size: int
    whole_bytes: int
    format: LogFormat
    datalink: bytes
    before: int | None = None
    first: int | None = None
    last: int | None = None
    first_time: datetime | None = None
    last_time: datetime | None = None
    ends_with_backup: bool = False

    @property
    def is_torn(self) -> bool:
        """Whether bytes at its end are no whole record."""
        return self.whole_bytes < self.size


class _Record(NamedTuple):
    """Where a record lies and what its head says; a plain tuple, as a log may have millions of them."""

    at: int
    length: int
    number: int
    kind: int
    stamp: tuple[int, int, int, int]

    @property
    def end(self) -> int:
        return self.at + self.length

    @property
    def time(self) -> datetime | None:
        milliseconds, day, month, year = self.stamp
        try:
            return datetime(year, month, day, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        except (ValueError, OverflowError):
            return None


class _Window:
    """The last piece of a file that was read, so that going through it record by record reads it once."""

    def __init__(self, reader: ByteReader) -> None:
        self.size = reader.size
        self._reader = reader
        self._start = 0
        self._piece = b""

    def read(self, offset: int, count: int) -> bytes:
        begin = offset - self._start
        if begin < 0 or begin + count > len(self._piece):
            wanted = max(0, min(max(count, _WINDOW_BYTES), self.size - offset))
            self._start, begin = offset, 0
            self._piece = self._reader.read(offset, wanted) if wanted else b""
        return self._piece[begin : begin + count]


def read_log_facts(reader: ByteReader, *, every_record: bool = False) -> LogFacts:
    """What a log holds, found at its two ends; only a torn one is gone through from its beginning.

    `every_record` goes through it in any case, and so finds damage in the middle: `whole_bytes` ends
    there. Raises LogUnreadableError.
    """
    kind, datalink = _read_header(reader)
    window = _Window(reader)
    first = _record_at(window, HEADER_BYTES)
    if first is None:
        return LogFacts(reader.size, HEADER_BYTES, kind, datalink)
    last = None if every_record else _last_record(reader, first, kind)
    if last is None:
        last = first
        for record in _following(window, first, kind):
            last = record
    return LogFacts(
        size=reader.size,
        whole_bytes=last.end,
        format=kind,
        datalink=datalink,
        before=first.number - _adds(first, kind),
        first=first.number,
        last=last.number,
        first_time=first.time,
        last_time=last.time,
        ends_with_backup=last.kind == _BACKUP_STARTED,
    )


def begins_with(reader: ByteReader, earlier: LogFacts) -> bool:
    """Whether a log begins with all that another one held: its last record stands here at the same place.

    Numbers alone cannot tell: after going back to an older set, 4D counts on and gives the same numbers to
    other operations. Raises LogUnreadableError.
    """
    kind, datalink = _read_header(reader)
    if (kind, datalink) != (earlier.format, earlier.datalink):
        return False
    first = _record_at(reader, HEADER_BYTES)
    if earlier.first is None:
        return True
    if first is None or (first.number, first.time) != (earlier.first, earlier.first_time):
        return False
    last = _record_before(reader, earlier.whole_bytes, first)
    return last is not None and (last.number, last.time) == (earlier.last, earlier.last_time)


def _read_header(reader: ByteReader) -> tuple[LogFormat, bytes]:
    head = reader.read(0, HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        raise LogUnreadableError(
            f"the log cannot be read by this program: it has {len(head)} bytes, too few for a log"
        )
    if head.startswith(_ARCHIVE):
        raise LogUnreadableError(
            "the log cannot be read by this program: it is an archive of 4D that holds a log"
        )
    if head[4:8] != b"ATAD" or head[:4] not in {one.value for one in LogFormat}:
        raise LogUnreadableError(
            "the log cannot be read by this program: its header is not known, it may be encrypted"
        )
    return LogFormat(head[:4]), head[8:]


def _record_at(reader: ByteReader | _Window, at: int) -> _Record | None:
    """The record that begins here, None when there is no whole one."""
    head = reader.read(at, _HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return None
    tag, number, length, kind, _context, milliseconds, day, month, year = _HEAD.unpack(head)
    if tag != b"d4bd" or length < _SMALLEST:
        return None
    trailer = reader.read(at + length - _TRAILER_BYTES, _TRAILER_BYTES)
    if len(trailer) < _TRAILER_BYTES or _TRAILER.unpack(trailer) != (length, b"D4BD"):
        return None
    return _Record(at, length, number, kind, (milliseconds, day, month, year))


def _last_record(reader: ByteReader, first: _Record, kind: LogFormat) -> _Record | None:
    """The record at the end of a log, None when it is torn, or not the next one after the record before it."""
    last = _record_before(reader, reader.size, first)
    if last is None or last.at == first.at:
        return last
    previous = _record_before(reader, last.at, first)
    if previous is None or last.number - previous.number not in _steps(last, kind):
        return None
    return last


def _record_before(reader: ByteReader, end: int, first: _Record) -> _Record | None:
    """The record that ends here, None when there is none behind `first` or it."""
    trailer = reader.read(end - _TRAILER_BYTES, _TRAILER_BYTES)
    if len(trailer) < _TRAILER_BYTES:
        return None
    length, tag = _TRAILER.unpack(trailer)
    at = end - length
    if tag != b"D4BD" or (at != first.at and at < first.end):
        return None
    record = _record_at(reader, at)
    return record if record is not None and record.end == end else None


def _following(window: _Window, record: _Record, kind: LogFormat) -> Iterator[_Record]:
    """The whole records after one, as long as each carries on the numbers."""
    while (after := _record_at(window, record.end)) is not None:
        if after.number - record.number not in _steps(after, kind):
            return
        yield after
        record = after


def _steps(record: _Record, kind: LogFormat) -> tuple[int, ...]:
    if kind is LogFormat.CURRENT and record.kind not in _KNOWN:
        return (0, 1)  # a kind never met: it may be either
    return (_adds(record, kind),)


def _adds(record: _Record, kind: LogFormat) -> int:
    """What a record adds to the number before it; one of a kind never met adds nothing."""
    return int(kind is LogFormat.OLD or record.kind in _CHANGES)
