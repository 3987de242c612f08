"""One piece of a stream on the disk: a log as far as it was shipped, byte for byte from its first one, and its ledger.

Bytes are durable before the ledger tells of them, and whatever the ledger does not tell of is cut off before anything
is appended. So after any death a piece ends with the last whole records that were told.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self

from engine.files import (
    fsync_folder,
    give_to_owner_of,
    open_regular,
    read_regular,
    refuse_others,
    replacing,
)
from engine.livelog import SourceShrankError
from engine.logfile import HEADER_BYTES
from engine.streamledger import (
    Beginning,
    Closing,
    Entry,
    Ledger,
    last_of_each,
    parse_ledger,
    render_ledger,
    render_line,
)
from engine.streamsight import Marks

LEDGER_LIMIT = 64 << 20
# a stretch of so many bytes is done: a start reads the last two again, not the whole piece
GROUP_BYTES = 16 << 20
# as much of the first and of the last record is compared before each append
MARK_BYTES = 64 << 10
_MOST_LINES = 4000
_BLOCK = 1 << 20
# what is copied in one go from so many bytes on is not wanted again soon, and the host's cache is the application's
_LARGE_BYTES = 4 << 20
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Read = Callable[[int, int], bytes]


class Digest(Protocol):
    """A SHA-256 on its way. Not BLAKE3: its library would be loaded by every service, also where nothing is shipped."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...

    def copy(self) -> Self: ...


def _new_digest() -> Digest:
    return hashlib.sha256()


def data_name(number: int) -> str:
    """The log itself: `0001.journal`."""
    return f"{number:04d}.journal"


def ledger_name(number: int) -> str:
    """What is told of it: `0001.ledger`."""
    return f"{number:04d}.ledger"


def read_ledger(folder: Path, number: int) -> Ledger:
    """The ledger of a piece. Raises LedgerError, OSError."""
    return parse_ledger(read_regular(folder / ledger_name(number), LEDGER_LIMIT, links=False))


def marks_of(folder: Path, ledger: Ledger) -> Marks:
    """Bytes of a piece by which its log is known. Raises OSError."""
    end = ledger.end
    if not end:
        return Marks(0, ledger.beginning.head, b"")
    with open_regular(folder / data_name(ledger.beginning.number), links=False) as stream:
        descriptor = stream.fileno()
        head = os.pread(descriptor, min(_first_end(descriptor, end), MARK_BYTES), 0)
        at = max(0, end - MARK_BYTES)
        return Marks(end, head, os.pread(descriptor, end - at, at))


@dataclass(frozen=True, slots=True)
class Taken:
    """What an append brings: the log up to `end`, which ends with operation `last`."""

    end: int
    last: int | None
    at: datetime


@dataclass(slots=True)
class Piece:
    """A piece that is appended to, as it is known between two looks; nothing of it stays open.

    `cut` says how many bytes a crash had left that no ledger told of.
    """

    ledger: Ledger
    cut: int = 0
    _digest: Digest = field(default_factory=_new_digest)
    _start: int = 0
    _lines: int = 0
    _seen: tuple[tuple[int, ...], ...] = ()

    @property
    def number(self) -> int:
        """Its number in the stream."""
        return self.ledger.beginning.number

    @property
    def end(self) -> int:
        """How many bytes of the log are there for certain."""
        return self.ledger.end

    def is_as_left(self, folder: Path) -> bool:
        """Whether the files are those that were left, so that nothing need be read again."""
        try:
            return bool(self._seen) and self._seen == _look(folder, self.number)
        except OSError:
            return False

    def marks(self, folder: Path) -> Marks:
        """Its own bytes by which the live log is compared. Raises OSError."""
        return marks_of(folder, self.ledger)

    def append(self, folder: Path, taken: Taken, read: Read, *, still: Callable[[], bool]) -> None:
        """Take over bytes of the log; they are told of when they are durable.

        `read` gives the log's own, `still` says whether it is the same log after they were read. Raises OSError;
        then the piece is as it was, or is read again before it is used.
        """
        self._seen = ()
        with ExitStack() as opened:
            data, ledger = (
                _open(folder / name(self.number), opened) for name in (data_name, ledger_name)
            )
            told = self.ledger.good_bytes
            try:
                digest = self._copy(data, taken.end, read)
                if not still():
                    raise SourceShrankError("it was renewed while it was read")
                os.fdatasync(data)
                if taken.end - self.end >= _LARGE_BYTES:
                    os.posix_fadvise(data, 0, 0, os.POSIX_FADV_DONTNEED)
                entry = Entry(self._start, taken.end, digest.hexdigest(), taken.last, taken.at)
                line = render_line(entry)
                _write(ledger, line, told)
                os.fdatasync(ledger)
            except OSError:
                # room is given back at once; what cannot be cut now is cut when the piece is opened again
                with suppress(OSError):
                    os.ftruncate(ledger, told)
                    os.ftruncate(data, self.end)
                raise
        self._take(entry, len(line), digest)
        if self._lines > _MOST_LINES:
            self._tidy(folder)
        self._seen = _look(folder, self.number)

    def close(self, folder: Path, why: str, after_set: int, now: datetime) -> None:
        """Nothing more comes. Raises OSError."""
        self._seen = ()
        line = render_line(Closing(why, after_set, now))
        with ExitStack() as opened:
            ledger = _open(folder / ledger_name(self.number), opened)
            _write(ledger, line, self.ledger.good_bytes)
            os.fdatasync(ledger)

    def _copy(self, data: int, end: int, read: Read) -> Digest:
        """Copy what is new; its digest with that of the stretch before."""
        digest, at = self._digest.copy(), self.end
        while at < end:
            block = read(at, min(_BLOCK, end - at))
            if not block:
                raise SourceShrankError("it became shorter while it was read")
            _write(data, block, at)
            digest.update(block)
            at += len(block)
        return digest

    def _take(self, entry: Entry, line_bytes: int, digest: Digest) -> None:
        before = self.ledger
        kept = before.entries
        if kept and kept[-1].start == entry.start:
            kept = kept[:-1]
        good_bytes = before.good_bytes + line_bytes
        self.ledger = Ledger(before.beginning, (*kept, entry), None, good_bytes)
        self._lines += 1
        self._digest = digest
        if entry.end - entry.start >= GROUP_BYTES:
            self._digest, self._start = _new_digest(), entry.end

    def _tidy(self, folder: Path) -> None:
        """Of each stretch only the last line is needed."""
        text = render_ledger(self.ledger)
        with replacing(folder / ledger_name(self.number), mode=0o640) as out:
            out.write(text)
        self.ledger = replace(self.ledger, good_bytes=len(text))
        self._lines = len(self.ledger.entries)


def create_piece(folder: Path, beginning: Beginning) -> Piece:
    """An empty piece; it counts from the moment at which its ledger is there. Raises OSError."""
    number = beginning.number
    with suppress(FileNotFoundError):
        (folder / data_name(number)).unlink()  # of a service that died before it wrote the ledger
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / data_name(number), flags, 0o640)
    try:
        give_to_owner_of(folder, descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with replacing(folder / ledger_name(number), mode=0o640) as out:
        out.write(render_line(beginning))
    return open_piece(folder, number)


def open_piece(folder: Path, number: int) -> Piece:
    """Go on with a piece: what was told is looked at again, what was not is cut off. Raises LedgerError, OSError."""
    ledger = read_ledger(folder, number)
    with ExitStack() as opened:
        data, told = (_open(folder / name(number), opened) for name in (data_name, ledger_name))
        size, told_size = os.fstat(data).st_size, os.fstat(told).st_size
        sound = sound_entries(data, ledger.entries, size, all_of_them=False)
        is_torn = len(sound) < len(ledger.entries)
        ledger = Ledger(ledger.beginning, sound, ledger.closing, ledger.good_bytes)
        cut = size - ledger.end
        if cut:
            os.ftruncate(data, ledger.end)
            os.fdatasync(data)
        if told_size > ledger.good_bytes and not is_torn:
            os.ftruncate(told, ledger.good_bytes)
            os.fdatasync(told)
        start = sound[-1].start if sound and _is_open(sound[-1]) else ledger.end
        digest = _digest_of(data, start, ledger.end)
    piece = Piece(ledger, max(0, cut), digest, start, len(ledger.entries))
    if is_torn:
        piece._tidy(folder)
    piece._seen = _look(folder, number)
    return piece


def sound_entries(
    descriptor: int, entries: tuple[Entry, ...], size: int, *, all_of_them: bool
) -> tuple[Entry, ...]:
    """The entries up to the first whose bytes are not there as they were told; without `all_of_them`, the last
    stretches are looked at, where a crash can have torn something. Raises OSError.
    """
    starts = [entry.start for entry in last_of_each(entries)]
    since = 0 if all_of_them or len(starts) < 2 else starts[-2]
    digest, start, at = _new_digest(), -1, 0
    for index, entry in enumerate(entries):
        if entry.start < since:
            continue
        if entry.start != start:
            digest, start, at = _new_digest(), entry.start, entry.start
        if entry.end > size or not _feed(digest, descriptor, at, entry.end):
            return entries[:index]
        at = entry.end
        if digest.hexdigest() != entry.digest:
            return entries[:index]
    return entries


def _is_open(entry: Entry) -> bool:
    return entry.end - entry.start < GROUP_BYTES


def _digest_of(descriptor: int, start: int, end: int) -> Digest:
    digest = _new_digest()
    _feed(digest, descriptor, start, end)
    return digest


def _feed(digest: Digest, descriptor: int, at: int, end: int) -> bool:
    """Whether the bytes were all there."""
    while at < end:
        block = os.pread(descriptor, min(_BLOCK, end - at), at)
        if not block:
            return False
        digest.update(block)
        at += len(block)
    return True


def _first_end(descriptor: int, end: int) -> int:
    """Where the first record ends; the header's end while there is none."""
    if end <= HEADER_BYTES:
        return end
    length = int.from_bytes(os.pread(descriptor, 4, HEADER_BYTES + 12), "little")
    return min(end, HEADER_BYTES + length)


def _open(file: Path, opened: ExitStack) -> int:
    descriptor = os.open(file, _WRITE)
    opened.callback(os.close, descriptor)
    refuse_others(descriptor, file)
    return descriptor


def _write(descriptor: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, at)
        rest, at = rest[count:], at + count


def _look(folder: Path, number: int) -> tuple[tuple[int, ...], ...]:
    found = [os.lstat(folder / name(number)) for name in (data_name, ledger_name)]
    return tuple((one.st_dev, one.st_ino, one.st_size) for one in found)


def make_stream_folder(folder: Path) -> None:
    """Make it when it is missing, for the owner of the backup folder. Raises OSError."""
    try:
        folder.mkdir(0o750)
    except FileExistsError:
        return
    give_to_owner_of(folder.parent, folder)
    fsync_folder(folder.parent)
