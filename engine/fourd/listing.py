"""The inner stream's beginning: how many files, and of each its name, what 4D calls it, and its size.

Read piece by piece as it comes, and compared with all that is known of it; what differs is not guessed at.
"""

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate

from engine.errors import DamagedError
from engine.fourd.container import Bytes, NotKnownError

_START = b"KBPF"
_VERSION = 4
_LIST = b"TSIL"
_ENTRY = b"elif"
_SIZES = struct.Struct("<3Q")
_OPENING = struct.Struct("<4sBQ4s")
_NAME = struct.Struct("<4si")
_LONGEST_NAME = 32767
# held in memory: about 300 bytes each
MOST_FILES = 1_000_000
_MOST_CONTENT = 2**62
_MOST_NOTES = 3
BODY_HEAD = struct.Struct("<4sQ")
BODY_BYTES = 2 * BODY_HEAD.size
DATA_TAG, RESOURCE_TAG = b"tadF", b"zerF"


class Origin(Enum):
    """What 4D says of a file after its name."""

    DATA = "data"
    STRUCTURE = "structure"
    LOG = "log"
    ATTACHMENT = "attachment"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the list. `text` is what stands there: a path, `::`, and what 4D says of the file.

    `extra` is a number that is 0 in every archive that was seen.
    """

    text: str
    size: int
    extra: int = 0

    @property
    def path(self) -> str:
        """Without the leading `./`. No file of macOS or Windows has a colon in its name."""
        return self.text.partition("::")[0].removeprefix("./")

    @property
    def tag(self) -> str:
        return self.text.partition("::")[2]

    @property
    def origin(self) -> Origin:
        if self.tag == "DataFile":
            return Origin.DATA
        if self.tag == "StructFile":
            return Origin.STRUCTURE
        if self.path.lower().endswith(".journal") and not self.tag:
            return Origin.LOG
        return Origin.ATTACHMENT if self.tag else Origin.OTHER

    @property
    def stored_bytes(self) -> int:
        """What its body takes in the stream."""
        return self.size + BODY_BYTES


@dataclass(frozen=True, slots=True)
class Listing:
    """The whole list; `starts` are where each body begins in the stream, `total` is the stream's length."""

    entries: list[Entry]
    starts: "array[int]"
    total: int
    notes: tuple[str, ...]

    @property
    def end(self) -> int:
        """Where the list ends and the first body begins."""
        return self.starts[0]


class BadListError(DamagedError):
    """The bytes were proved, but they are no list of files."""


class ListReader:
    """Takes the stream from its beginning until the list is complete."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.expected: int | None = None
        self._waiting = bytearray()
        self._at = 0
        self._content = 0

    def feed(self, piece: Bytes) -> Listing | None:
        """The list, as soon as it is complete. Raises BadListError, NotKnownError."""
        self._waiting += piece
        at = 0
        if self.expected is None:
            if len(self._waiting) < _OPENING.size:
                return None
            self.expected = self._opening()
            at = _OPENING.size
        while len(self.entries) < self.expected:
            used = self._entry(at)
            if not used:
                break
            at += used
        del self._waiting[:at]
        self._at += at
        return self._finished() if len(self.entries) == self.expected else None

    def _opening(self) -> int:
        tag, version, count, list_tag = _OPENING.unpack_from(self._waiting)
        if tag != _START or list_tag != _LIST:
            found = bytes(self._waiting[: _OPENING.size]).hex()
            raise BadListError(f"its content does not begin as that of an archive of 4D: {found}")
        if version != _VERSION:
            raise NotKnownError(f"the form {version} of its content is not known to this program")
        if not 0 < count <= MOST_FILES:
            raise NotKnownError(
                f"its list says {count} files; this program reads 1 to {MOST_FILES}"
            )
        return int(count)

    def _entry(self, at: int) -> int:
        """How many bytes the entry here took, 0 when more must come first."""
        waiting = self._waiting
        if len(waiting) - at < _NAME.size:
            return 0
        tag, units = _NAME.unpack_from(waiting, at)
        if tag != _ENTRY or not -_LONGEST_NAME <= units < 0:
            found = bytes(waiting[at : at + _NAME.size]).hex()
            raise BadListError(
                f"entry {len(self.entries) + 1} of its list, at byte {self._at + at} of its content, begins with {found}"
            )
        length = _NAME.size - 2 * units + _SIZES.size
        if len(waiting) - at < length:
            return 0
        text = bytes(waiting[at + _NAME.size : at + _NAME.size - 2 * units])
        size, fork, extra = _SIZES.unpack_from(waiting, at + length - _SIZES.size)
        entry = Entry(text.decode("utf-16-le", "surrogatepass"), size, extra)
        if fork:
            raise NotKnownError(
                f"{entry.path!r} has a second content of {fork} bytes (a resource fork?), which is not known to this program"
            )
        if self._content + size > _MOST_CONTENT:
            raise BadListError(f"entry {len(self.entries) + 1} of its list says {size} bytes")
        self._content += entry.stored_bytes
        self.entries.append(entry)
        return int(length)

    def _finished(self) -> Listing:
        starts = array("Q", accumulate((e.stored_bytes for e in self.entries), initial=self._at))
        total = starts.pop()
        odd = [one for one in self.entries if one.extra]
        notes = [
            f"{one.path!r} has the number {one.extra} where every archive known to this program has 0"
            for one in odd[:_MOST_NOTES]
        ]
        if len(odd) > _MOST_NOTES:
            notes.append(f"and {len(odd) - _MOST_NOTES} more files like that")
        return Listing(self.entries, starts, total, tuple(notes))


def render_list(entries: Sequence[Entry]) -> Iterator[bytes]:
    """The beginning of a stream with these files, piece by piece."""
    yield render_opening(len(entries))
    for one in entries:
        yield render_entry(one)


def render_opening(count: int) -> bytes:
    """What stands before the entries of so many files."""
    return _OPENING.pack(_START, _VERSION, count, _LIST)


def render_entry(entry: Entry) -> bytes:
    """One line of the list."""
    text = entry.text.encode("utf-16-le", "surrogatepass")
    return _NAME.pack(_ENTRY, -(len(text) // 2)) + text + _SIZES.pack(entry.size, 0, entry.extra)


def body_head(size: int) -> bytes:
    """What stands before a file's bytes."""
    return BODY_HEAD.pack(DATA_TAG, size)


BODY_TAIL = BODY_HEAD.pack(RESOURCE_TAG, 0)
