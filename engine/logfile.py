"""What a log (`*.journal`) holds: its records one by one, of which data file, and how far it is whole.

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

from engine.beginning import kind_words, lost_words
from engine.errors import Code, EngineError

HEADER_BYTES = 24
_TAG_BYTES = 4
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
# those that change data: an empty transaction (30) moves the number and changes nothing; 1 to 3 are old
_DATA = frozenset({1, 2, 3, 21, *range(23, 30)})
_OLD = frozenset({4, 5, 6})
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

    code = Code.DONE  # 4D has no number for it


class LogFormat(Enum):
    """How a log counts: in the current format only changes have a number of their own, in the old one every record."""

    CURRENT = b"GOl4"
    OLD = b"GOL4"


_BEGINNINGS = tuple(one.value + b"ATAD" for one in LogFormat)


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


class Stamp(NamedTuple):
    """When a record was written, in UTC; made to be compared, also where it is no time that can be."""

    year: int
    month: int
    day: int
    milliseconds: int

    @property
    def time(self) -> datetime | None:
        """The instant, None when it is none."""
        try:
            midnight = datetime(self.year, self.month, self.day, tzinfo=UTC)
            return midnight + timedelta(milliseconds=self.milliseconds)
        except (ValueError, OverflowError):
            return None

    @classmethod
    def of(cls, instant: datetime) -> "Stamp":
        """That of an instant."""
        utc = instant.astimezone(UTC)
        since = utc - utc.replace(hour=0, minute=0, second=0, microsecond=0)
        return cls(utc.year, utc.month, utc.day, since // timedelta(milliseconds=1))


class Record(NamedTuple):
    """Where a record lies and what its head says; a plain tuple, as a log may have millions of them.

    `context` is negative inside of a transaction, 0 for records of no context.
    """

    at: int
    length: int
    number: int
    kind: int
    context: int
    milliseconds: int
    day: int
    month: int
    year: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.at + self.length

    @property
    def stamp(self) -> Stamp:
        """When it was written."""
        return Stamp(self.year, self.month, self.day, self.milliseconds)

    @property
    def time(self) -> datetime | None:
        """The same as an instant, None when it is none."""
        return self.stamp.time

    @property
    def changes_data(self) -> bool:
        """Whether it changes data; notes and the marks of transactions do not."""
        return self.kind in _DATA


class Window:
    """The last piece of a file that was read, so that going through it record by record reads it once."""

    def __init__(self, reader: ByteReader) -> None:
        self.size = reader.size
        self._reader = reader
        self.start = 0
        self.piece = b""

    def read(self, offset: int, count: int) -> bytes:
        """Bytes at an offset, less at the end of the file."""
        begin = offset - self.start
        if begin < 0 or begin + count > len(self.piece):
            begin = self._load(offset, count)
        return self.piece[begin : begin + count]

    def payload(self, record: Record, limit: int) -> bytes:
        """The first bytes of what a record carries, `limit` at most."""
        return self.read(record.at + _HEAD_BYTES, min(record.length - _SMALLEST, limit))

    def record(self, at: int) -> Record | None:
        """The record that begins here, None when there is no whole one."""
        begin = at - self.start
        if begin < 0 or begin + _SMALLEST > len(self.piece):
            begin = self._load(at, _SMALLEST)
        if begin + _SMALLEST > len(self.piece):
            return None
        tag, number, length, *rest = _HEAD.unpack_from(self.piece, begin)
        if tag != b"d4bd" or length < _SMALLEST:
            return None
        if begin + length > len(self.piece) and length <= _WINDOW_BYTES:
            begin = self._load(at, length)
        trailer: tuple[object, ...] | None
        if begin + length <= len(self.piece):
            trailer = _TRAILER.unpack_from(self.piece, begin + length - _TRAILER_BYTES)
        else:  # a long one is not read as a whole, and what was read of it stays
            trailer = _trailer(self._reader.read(at + length - _TRAILER_BYTES, _TRAILER_BYTES))
        return Record(at, length, number, *rest) if trailer == (length, b"D4BD") else None

    def _load(self, offset: int, count: int) -> int:
        wanted = max(0, min(max(count, _WINDOW_BYTES), self.size - offset))
        self.start = offset
        self.piece = self._reader.read(offset, wanted) if wanted else b""
        return 0


def read_log_facts(reader: ByteReader, *, every_record: bool = False) -> LogFacts:
    """What a log holds, found at its two ends; only a torn one is gone through from its beginning.

    `every_record` goes through it in any case, and so finds damage in the middle: `whole_bytes` ends
    there. Raises LogUnreadableError.
    """
    kind, datalink = read_header(reader)
    window = Window(reader)
    first = window.record(HEADER_BYTES)
    if first is None:
        return LogFacts(reader.size, HEADER_BYTES, kind, datalink)
    last = None if every_record else _last_record(reader, first, kind)
    if last is None:
        last = first
        for record in records(window, kind):
            last = record
    return facts_between(reader.size, kind, datalink, first, last)


def facts_between(
    size: int, kind: LogFormat, datalink: bytes, first: Record, last: Record
) -> LogFacts:
    """What a log holds whose records go from `first` to `last`."""
    return LogFacts(
        size=size,
        whole_bytes=last.end,
        format=kind,
        datalink=datalink,
        before=first.number - adds(first, kind),
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
    kind, datalink = read_header(reader)
    if (kind, datalink) != (earlier.format, earlier.datalink):
        return False
    first = _record_at(reader, HEADER_BYTES)
    if earlier.first is None:
        return True
    if first is None or (first.number, first.time) != (earlier.first, earlier.first_time):
        return False
    last = _record_before(reader, earlier.whole_bytes, first)
    return last is not None and (last.number, last.time) == (earlier.last, earlier.last_time)


def changes_after(reader: ByteReader, at: int = HEADER_BYTES) -> bool:
    """Whether a log has a record that changes data behind this place, where a record ends.

    Raises LogUnreadableError, also where it cannot be gone through to its end: then nobody knows.
    """
    kind, _ = read_header(reader)
    window = Window(reader)
    end = at
    for record in records(window, kind, at):
        if record.changes_data or record.kind not in _KNOWN | _OLD:
            return True
        end = record.end
    if end != reader.size:
        raise LogUnreadableError(f"the log cannot be read on from byte {end}")
    return False


def records(window: Window, kind: LogFormat, at: int = HEADER_BYTES) -> Iterator[Record]:
    """The whole records from here on, as long as each carries on the numbers."""
    record = window.record(at)
    if record is None:
        return
    yield record
    steps = dict.fromkeys(_CHANGES if kind is LogFormat.CURRENT else range(256), 1)
    steps |= dict.fromkeys(_NOTES, 0) if kind is LogFormat.CURRENT else {}
    while True:
        for after in _in_piece(window, record, steps):
            yield after
            record = after
        # the next one is of another piece, or of a kind never met, or none
        beyond = window.record(record.at + record.length)
        if beyond is None or not follows(record, beyond, kind):
            return
        yield beyond
        record = beyond


def _in_piece(window: Window, record: Record, steps: dict[int, int]) -> Iterator[Record]:
    """Those after `record` that lie in what was read already: a million a second, where all else takes its time."""
    piece, start = window.piece, window.start
    begin = record.at + record.length - start
    number, size = record.number, len(piece)
    head, trailer, new = _HEAD.unpack_from, _TRAILER.unpack_from, tuple.__new__
    while 0 <= begin <= size - _SMALLEST:
        tag, now, length, kind, *rest = head(piece, begin)
        end = begin + length
        if tag != b"d4bd" or length < _SMALLEST or end > size:
            return
        if now - number != steps.get(kind) or trailer(piece, end - 8) != (length, b"D4BD"):
            return
        yield new(Record, (start + begin, length, now, kind, *rest))
        begin, number = end, now


def read_header(reader: ByteReader) -> tuple[LogFormat, bytes]:
    """How a log counts, and its datalink. Raises LogUnreadableError."""
    head = reader.read(0, HEADER_BYTES)
    if len(head) == HEADER_BYTES and head[:8] in _BEGINNINGS:
        return LogFormat(head[:4]), head[8:]
    raise LogUnreadableError(f"the log cannot be read by this program: {_why_not(reader, head)}")


def _why_not(reader: ByteReader, head: bytes) -> str:
    if words := lost_words(reader.read, reader.size):
        return words
    if len(head) >= _TAG_BYTES and any(one.startswith(head[:8]) for one in _BEGINNINGS):
        return f"it is cut off: it has {len(head)} of the {HEADER_BYTES} bytes of a log's header"
    if len(head) < HEADER_BYTES:
        return f"it has {len(head)} bytes, too few for a log"
    return kind_words(head) or "its header is not known, it may be encrypted"


def follows(record: Record, after: Record, kind: LogFormat) -> bool:
    """Whether a record carries on the number of the one before it."""
    step = after.number - record.number
    if kind is LogFormat.CURRENT and after.kind not in _KNOWN:
        return step in (0, 1)  # a kind never met: it may be either
    return step == adds(after, kind)


def adds(record: Record, kind: LogFormat) -> int:
    """What a record adds to the number before it; one of a kind never met adds nothing."""
    return int(kind is LogFormat.OLD or record.kind in _CHANGES)


def _record_at(reader: ByteReader, at: int) -> Record | None:
    """The record that begins here, None when there is no whole one; nothing more is read than its two ends."""
    head = reader.read(at, _HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return None
    tag, number, length, *rest = _HEAD.unpack(head)
    if tag != b"d4bd" or length < _SMALLEST:
        return None
    trailer = _trailer(reader.read(at + length - _TRAILER_BYTES, _TRAILER_BYTES))
    return Record(at, length, number, *rest) if trailer == (length, b"D4BD") else None


def _trailer(content: bytes) -> tuple[object, ...] | None:
    return _TRAILER.unpack(content) if len(content) == _TRAILER_BYTES else None


def _last_record(reader: ByteReader, first: Record, kind: LogFormat) -> Record | None:
    """The record at the end of a log, None when it is torn, or not the next one after the record before it."""
    last = _record_before(reader, reader.size, first)
    if last is None or last.at == first.at:
        return last
    previous = _record_before(reader, last.at, first)
    if previous is None or not follows(previous, last, kind):
        return None
    return last


def _record_before(reader: ByteReader, end: int, first: Record) -> Record | None:
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
