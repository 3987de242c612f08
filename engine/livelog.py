"""The log that 4D writes to, followed while it grows: held, so that the end of one that is renewed can still be had.

It is read and never written to. Between two looks it is only kept from vanishing, and let go as soon as nothing
grows, so that a volume can be unmounted.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import SourceError
from engine.logfile import HEADER_BYTES, LogFacts, read_log_facts
from engine.streamsight import Marks

_LENGTH_AT = 12  # of a record: tag and number come before
_SMALL_BYTES = 8 << 20
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_KEEP = os.O_PATH | os.O_CLOEXEC
# logs that were renewed while nothing could be shipped: their blocks stay taken on the application's disk
_MOST_HELD = 16


class SourceShrankError(OSError):
    """A log is not what it was a moment ago, or cannot be read: nothing of what was read from it counts."""


class Following:
    """The header of a log and what stands behind a place in it, as if nothing were between: a log of its own."""

    def __init__(self, descriptor: int, at: int, end: int) -> None:
        self._descriptor = descriptor
        self._at = max(at, HEADER_BYTES)
        self.size = min(end, HEADER_BYTES) + max(0, end - self._at)

    def read(self, offset: int, count: int) -> bytes:
        """Bytes at an offset of what is shown."""
        count = min(count, max(0, self.size - offset))
        head = b""
        if offset < HEADER_BYTES:
            head = _pread(self._descriptor, min(count, HEADER_BYTES - offset), offset)
            offset, count = HEADER_BYTES, count - len(head)
        if not count:
            return head
        return head + _pread(self._descriptor, count, self._at + offset - HEADER_BYTES)


def read_first_facts(descriptor: int) -> LogFacts:
    """Header and first record alone. Raises LogUnreadableError, OSError."""
    size = os.fstat(descriptor).st_size
    length = _pread(descriptor, 4, HEADER_BYTES + _LENGTH_AT)
    end = min(size, HEADER_BYTES + int.from_bytes(length, "little"))
    return read_log_facts(Following(descriptor, 0, max(end, min(size, HEADER_BYTES))))


def read_facts_behind(descriptor: int, at: int, size: int) -> LogFacts:
    """What whole records stand behind a place, a few MiB of them: `whole_bytes` is where they end in the log.

    Raises LogUnreadableError, OSError.
    """
    window = _SMALL_BYTES
    while True:
        end = min(size, at + window)
        facts = read_log_facts(Following(descriptor, at, end), every_record=True)
        if facts.first is not None or end == size:
            break
        window *= 2  # one record that is larger
    whole = facts.whole_bytes - HEADER_BYTES + max(at, HEADER_BYTES)
    return replace(facts, size=size, whole_bytes=whole)


@dataclass(slots=True)
class Held:
    """A log that is open; which file it is. Between two looks it is `parked`: kept, and not open for reading."""

    descriptor: int
    device: int
    inode: int

    @property
    def size(self) -> int:
        """How long it is now. Raises OSError."""
        return os.fstat(self.descriptor).st_size

    def read(self, offset: int, count: int) -> bytes:
        """Its bytes at an offset. Raises OSError."""
        return _pread(self.descriptor, count, offset)

    def marks(self, like: Marks) -> Marks:
        """What stands at the places by which a piece is known. Raises OSError."""
        head = self.read(0, len(like.head))
        tail = self.read(like.size - len(like.tail), len(like.tail))
        return Marks(self.size, head, tail)

    def holds(self, piece: Marks) -> bool:
        """Whether all that is known of a piece stands here at its place. Raises OSError."""
        live = self.marks(piece)
        return live.size >= piece.size and (live.head, live.tail) == (piece.head, piece.tail)

    def reopen(self, flags: int) -> None:
        """The very same file in another way, whatever has its name now. Raises OSError."""
        again = os.open(f"/proc/self/fd/{self.descriptor}", flags)
        self.close()
        self.descriptor = again

    def close(self) -> None:
        """Let go of it."""
        with suppress(OSError):  # a network disk that complains now: it was only read
            os.close(self.descriptor)


class LiveLog:
    """The file at a path, and those that were there before while their ends are still wanted, oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now: Held | None = None
        self.before: list[Held] = []

    def look(self) -> None:
        """Open what is there now; another file than the one that was held makes that one an earlier one.

        Raises SourceError, OSError.
        """
        found, earlier = self._open(), self.now
        self.now = found
        if earlier is not None and (found is None or not _is_same(earlier, found)):
            self.before.append(earlier)
            if len(self.before) > _MOST_HELD:
                self.done_with_oldest()
        elif earlier is not None:
            earlier.close()
        self.before = [held for held in self.before if _is_there(held)]

    def park(self) -> None:
        """Keep the files without having them open: who looks for users of the log sees none here."""
        for held in (self.now, *self.before):
            if held is not None:
                with suppress(OSError):
                    held.reopen(_KEEP)

    def done_with_oldest(self) -> None:
        """Nothing more is wanted of the one that was there first."""
        self.before.pop(0).close()

    def let_go(self) -> None:
        """Hold nothing."""
        while self.before:
            self.done_with_oldest()
        if self.now is not None:
            self.now.close()
            self.now = None

    def _open(self) -> Held | None:
        try:
            descriptor = os.open(self.path, _READ)
        except FileNotFoundError:
            return None
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise SourceError(f"{self.path} is no regular file")
        return Held(descriptor, facts.st_dev, facts.st_ino)


def _is_there(held: Held) -> bool:
    """Whether it can be read again; one on a network disk may be gone for good."""
    try:
        held.reopen(_READ)
    except OSError:
        held.close()
        return False
    return True


def _pread(descriptor: int, count: int, offset: int) -> bytes:
    try:
        return os.pread(descriptor, count, offset)
    except OSError as error:
        raise SourceShrankError(f"it cannot be read: {error.strerror}") from error


def _is_same(one: Held, other: Held) -> bool:
    return (one.device, one.inode) == (other.device, other.inode)
