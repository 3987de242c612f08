"""What a data file (.4DD) says of its log: the last operation it holds, and the id it shares with its log.

The layout was worked out from real files; where it does not hold, nothing is said. Read only.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from engine.errors import EngineError
from engine.logfile import ByteReader

_SIGNATURE = b"\x02\x44\x01\x44"
_LAST_OPERATION_AT = 100
_HEADER_BYTES = 108
_BLOCK_TAG = b"TADx"
_BLOCK_HEAD = 28  # tag, size, stamp, checksum, then the named values
_BLOCK_BYTES = 64 * 1024
_SEARCHED_BYTES = (
    1024 * 1024
)  # real files have the block near byte 84 500, rewritten ones a little later
_WIDTHS = {1: 2, 3: 2, 4: 4, 6: 8, 8: 8, 9: 8, 13: 16}
_TEXT = 10
_UUID = 13


class DataUnreadableError(EngineError):
    """A data file whose header is not known to this program: encrypted, of another format, or damaged."""


@dataclass(frozen=True, slots=True)
class DataFacts:
    """`last` is the number of the last operation in the data; `datalink` is None when it was not found."""

    last: int
    datalink: bytes | None = None


def is_of_4d(head: bytes) -> bool:
    """Whether a file begins as the data files of 4D do."""
    return head.startswith(_SIGNATURE)


def read_data_facts(reader: ByteReader) -> DataFacts:
    """What the first megabyte of a data file tells. Raises DataUnreadableError for an unknown header.

    Only a file that nobody writes to may be read: a closed one, a snapshot, one in a set.
    """
    head = reader.read(0, min(reader.size, _SEARCHED_BYTES))
    if len(head) < _HEADER_BYTES or not head.startswith(_SIGNATURE):
        raise DataUnreadableError("the header of the data file is not known to this program")
    last: int = struct.unpack_from("<q", head, _LAST_OPERATION_AT)[0]
    if last < 0:
        raise DataUnreadableError(f"the data file gives {last} as its last operation")
    links = set(_datalinks(head))
    # a block that was replaced may still lie there whole: with two answers neither can be trusted
    return DataFacts(last, links.pop() if len(links) == 1 else None)


def _datalinks(head: bytes) -> Iterator[bytes]:
    at = head.find(_BLOCK_TAG)
    while at >= 0:
        values = _block_values(head, at)
        link = None if values is None else _datalink(values)
        if link is not None:
            yield link
        at = head.find(_BLOCK_TAG, at + 1)


def _block_values(head: bytes, at: int) -> bytes | None:
    """The named values of a block; None when its checksum says that it is none, or no longer whole."""
    if at + _BLOCK_HEAD > len(head):
        return None
    size, checksum = struct.unpack_from("<I8xI", head, at + 4)
    values = head[at + _BLOCK_HEAD : at + _BLOCK_HEAD + min(size, _BLOCK_BYTES)]
    if len(values) != size:
        return None
    found = 0
    for (word,) in struct.iter_unpack("<I", values[: size - size % 4]):
        found ^= word
    return values if found == checksum else None


def _datalink(values: bytes) -> bytes | None:
    """`journal_file/datalink` of a block, None when it has none."""
    try:
        bag = _Bag(values)
        return bag.child_uuid(b"journal_file", b"datalink")
    except (struct.error, IndexError, ValueError):
        return None


class _Bag:
    """Reads on through a block of named values (GABV)."""

    def __init__(self, values: bytes) -> None:
        if not values.startswith(b"GABV"):
            raise ValueError("no named values")
        self._values = values
        self._at = 8

    def child_uuid(self, child: bytes, name: bytes) -> bytes | None:
        """A UUID of the first bag with this name, which must be the first child of all."""
        flags = self._take("<B")
        if flags & 1:
            self._attributes()
        if not flags & 2:
            return None
        names = self._names()
        if not names or names[0] != child or self._take("<I") < 1:
            return None
        return self._attributes().get(name) if self._take("<B") & 1 else None

    def _attributes(self) -> dict[bytes, bytes]:
        names = self._names()
        length = self._take("<I") * 2
        end = self._at + length
        uuids: dict[bytes, bytes] = {}
        for name in names:
            kind = self._take("<H")
            width = 4 + 2 * self._peek_count() if kind == _TEXT else _WIDTHS.get(kind)
            if width is None:
                raise ValueError(f"a value of the unknown kind {kind}")
            value = self._values[self._at : self._at + width]
            self._at += width
            if kind == _UUID:
                uuids[name] = value
        if self._at != end:
            raise ValueError("values of another length than told")
        return uuids

    def _names(self) -> list[bytes]:
        count, length = self._take("<I"), self._take("<I")
        end = self._at + length
        names: list[bytes] = []
        while self._at < end and len(names) < count:
            size = self._take("<B")
            names.append(self._values[self._at : self._at + size])
            self._at += size
        if self._at != end or len(names) != count:
            raise ValueError("names of another length than told")
        if self._take("<B"):
            buckets = self._take("<I")
            self._at += 4 * buckets
        return names

    def _take(self, form: str) -> int:
        value: int = struct.unpack_from(form, self._values, self._at)[0]
        self._at += struct.calcsize(form)
        return value

    def _peek_count(self) -> int:
        count: int = struct.unpack_from("<I", self._values, self._at)[0]
        return count
