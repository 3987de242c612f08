"""Whether a log is whole: every record gone through, each damage with its place, and what can be read behind it.

Read only. A log that is torn at its end is what a crash leaves, and is no damage: 4D ends on whole records, so
what is behind the last one was never finished.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from engine.logfile import (
    HEADER_BYTES,
    ByteReader,
    LogFormat,
    Record,
    Window,
    adds,
    follows,
    read_header,
    records,
)
from engine.logpayload import (
    CREATE_CONTEXT,
    NAMES,
    RECORD_BYTES,
    NotUnderstoodError,
    has_right_checksum,
    read_details,
)
from engine.namedvalues import MOST_BYTES, NoValuesError, parse_values

_TAG = b"d4bd"
_MOST_TOLD = 100
# places behind damage that look like a record and are looked at: those that end far away cost a reading each. A
# log made to be looked at for ever has more
_MOST_TRIED, _MOST_FAR = 100_000, 1000
_LENGTH_AT = 12


@dataclass(frozen=True, slots=True)
class Place:
    """Something about one record: where it begins, the number of the one before it, what it is in words."""

    at: int
    after: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A stretch that is no records: from byte `at` up to `end`, between two operation numbers."""

    at: int
    end: int
    after: int | None
    before: int


@dataclass(frozen=True, slots=True)
class LogCheck:
    """What a check found. `good_bytes` is the length up to which every record is whole and carries on the numbers.

    `torn` counts the bytes at the end that are no whole record and nothing readable follows. `damage` are things
    that cannot come from normal use, `warnings` those that can; of both the first hundred, `more` counts the rest.
    `readable` counts the records in all, those behind damage as well.
    """

    size: int
    format: LogFormat
    datalink: bytes
    good_bytes: int
    torn: int
    readable: int
    last: int | None
    last_time: datetime | None
    lost: tuple[Lost, ...]
    damage: tuple[Place, ...]
    warnings: tuple[Place, ...]
    more: int
    unknown: dict[int, int]
    given_up: bool

    @property
    def is_damaged(self) -> bool:
        """Whether something is wrong that a crash does not explain."""
        return bool(self.lost or self.damage)


def check_log(reader: ByteReader, tell: Callable[[int], None] = lambda _: None) -> LogCheck:
    """Go through a log from end to end; `tell` is told how far, now and then. Raises LogUnreadableError."""
    return _Check(reader, tell).run()


class _Check:
    """One check."""

    def __init__(self, reader: ByteReader, tell: Callable[[int], None]) -> None:
        self._reader = reader
        self._tell = tell
        self._format, self._datalink = read_header(reader)
        self._window = Window(reader)
        self._last: Record | None = None
        self._latest = (0, 0, 0, 0)
        self._readable = self._more = self._tried = self._far = 0
        self._good: int | None = None
        self._lost: list[Lost] = []
        self._damage: list[Place] = []
        self._warnings: list[Place] = []
        self._unknown: dict[int, int] = {}

    def run(self) -> LogCheck:
        at: int | None = HEADER_BYTES
        end = HEADER_BYTES
        while at is not None:
            end = self._stretch(at)
            at = self._resume(end)
        good = end if self._good is None else self._good
        last = self._last
        return LogCheck(
            size=self._reader.size,
            format=self._format,
            datalink=self._datalink,
            good_bytes=good,
            torn=self._reader.size - end,
            readable=self._readable,
            last=None if last is None else last.number,
            last_time=None if last is None else last.time,
            lost=tuple(self._lost),
            damage=tuple(self._damage),
            warnings=tuple(self._warnings),
            more=self._more,
            unknown=dict(sorted(self._unknown.items())),
            given_up=self._tried >= _MOST_TRIED or self._far >= _MOST_FAR,
        )

    def _stretch(self, at: int) -> int:
        """All records that carry on one another from here on; where they end."""
        end = at
        for record in records(self._window, self._format, at):
            self._look_at(record)
            self._last, end = record, record.end
            self._readable += 1
            if self._readable % 4096 == 0:
                self._tell(end)
        return end

    def _look_at(self, record: Record) -> None:
        stamp = (record.year, record.month, record.day, record.milliseconds)
        if stamp < self._latest:
            self._note(self._warnings, record, "its time is before that of a record before it")
        elif stamp[:3] != self._latest[:3] and record.time is None:
            self._note(self._damage, record, "its time is none that can be")
        else:
            self._latest = stamp
        if record.kind not in NAMES:
            self._count_unknown(record.kind)
        if record.kind == CREATE_CONTEXT and not self._is_context(record):
            self._note(self._damage, record, "the names in its context are not understood")
        if record.length > RECORD_BYTES:
            self._look_inside(record)

    def _is_context(self, record: Record) -> bool:
        try:
            parse_values(self._window.payload(record, MOST_BYTES + 1))
        except NoValuesError:
            return False
        return True

    def _look_inside(self, record: Record) -> None:
        try:
            details = read_details(self._window, record)
        except NotUnderstoodError as error:
            self._note(self._damage, record, f"what it carries is not understood: {error}")
            return
        if not has_right_checksum(self._window, record, details):
            self._note(self._damage, record, "the data of its row do not have their checksum")

    def _count_unknown(self, kind: int) -> None:
        if kind in self._unknown or len(self._unknown) < _MOST_TOLD:
            self._unknown[kind] = self._unknown.get(kind, 0) + 1

    def _note(self, places: list[Place], record: Record, text: str) -> None:
        if len(places) >= _MOST_TOLD:
            self._more += 1
            return
        after = None if self._last is None else self._last.number
        name = NAMES.get(record.kind, f"type {record.kind}")
        places.append(Place(record.at, after, f"record {record.number} ({name}): {text}"))

    # --- behind damage

    def _resume(self, end: int) -> int | None:
        """Where records go on behind a stretch; None at the end of the log."""
        if end >= self._reader.size:
            return None
        found = self._window.record(end)
        if found is not None:  # whole, but its number is not the next one
            self._good = end if self._good is None else self._good
            return self._pass_number(found)
        found = next(self._behind(end), None)
        if found is None:
            return None
        if len(self._lost) < _MOST_TOLD:
            after = None if self._last is None else self._last.number
            before = found.number - adds(found, self._format)
            self._lost.append(Lost(end, found.at, after, before))
        else:
            self._more += 1
        self._good = end if self._good is None else self._good
        return found.at

    def _pass_number(self, record: Record) -> int:
        """Tell of a number that is not the next one; where to read on: the number alone may be what is damaged."""
        assert self._last is not None  # noqa: S101 - the first record may have any number
        wanted = self._last.number + adds(record, self._format)
        self._note(self._damage, record, f"it should have the number {wanted}")
        mended = record._replace(number=wanted)
        after = self._window.record(record.end)
        if after is None or not follows(mended, after, self._format):
            return record.at
        self._look_at(record)
        self._last = mended
        self._readable += 1
        return record.end

    def _behind(self, end: int) -> Iterator[Record]:
        """Records that may be the next readable one: not one inside of a BLOB, but of this very log."""
        at = end + 1
        while (at := self._find_tag(at)) >= 0 and self._may_try(at):
            record = self._window.record(at)
            if record is not None and self._is_ours(record, end):
                yield record
            at += 1

    def _may_try(self, at: int) -> bool:
        self._tried += 1
        length = int.from_bytes(self._window.read(at + _LENGTH_AT, 4), "little")
        held = self._window.start + len(self._window.piece)
        self._far += at + length > held
        return self._tried < _MOST_TRIED and self._far < _MOST_FAR

    def _find_tag(self, at: int) -> int:
        """The next place that looks like a record, -1 when there is none."""
        window, size = self._window, self._reader.size
        while at < size:
            window.read(at, min(len(_TAG), size - at))
            found = window.piece.find(_TAG, at - window.start)
            if found >= 0:
                return window.start + found
            at = max(at + 1, window.start + len(window.piece) - len(_TAG) + 1)
            self._tell(min(at, size))
        return -1

    def _is_ours(self, record: Record, end: int) -> bool:
        """No more operations can have been lost than there was room for, and what follows carries it on."""
        reached = 0 if self._last is None else self._last.number
        room = (record.at - end) // RECORD_BYTES + 1
        if self._last is not None and not 0 <= record.number - reached <= room:
            return False
        if record.end == self._reader.size:
            return True
        after = self._window.record(record.end)
        return after is None or follows(record, after, self._format)
