"""Blocks of named values (`GABV`), which 4D keeps in its data files and logs. Pure.

No length in them is believed: they end where the bytes end, and nothing is unpacked that is deeper or longer
than any real one.
"""

import struct
from dataclasses import dataclass, field

MOST_BYTES = 64 * 1024
_DEEPEST = 8
_MOST_PARTS = 2000  # names and bags in all; real blocks have ten
_TAG = b"GABV"
_HEAD_BYTES = 8
_BOOL, _SHORT, _LONG, _TEXT, _UUID = 1, 3, 4, 10, 13
# how many bytes a value has; what those of other kinds than the five above mean is not known
_WIDTHS = {_BOOL: 2, _SHORT: 2, _LONG: 4, 6: 8, 8: 8, 9: 8, _UUID: 16}

Value = bool | int | str | bytes


class NoValuesError(Exception):
    """These bytes are no block of named values."""


@dataclass(frozen=True, slots=True)
class Bag:
    """Values by their names, and bags by theirs. A UUID, or a value whose meaning is not known, is its bytes."""

    values: dict[str, Value] = field(default_factory=dict)
    bags: dict[str, tuple["Bag", ...]] = field(default_factory=dict)

    def first(self, name: str) -> "Bag | None":
        """The first bag of this name."""
        found = self.bags.get(name)
        return found[0] if found else None


def parse_values(block: bytes) -> Bag:
    """The values of a block. Raises NoValuesError."""
    if not block.startswith(_TAG) or len(block) > MOST_BYTES:
        raise NoValuesError("no named values")
    try:
        return _Reading(block).bag(0)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise NoValuesError("the named values end too early") from error


class _Reading:
    """Reads on through a block."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._at = _HEAD_BYTES
        self._parts = 0

    def bag(self, depth: int) -> Bag:
        if depth > _DEEPEST:
            raise NoValuesError("named values inside of one another, deeper than any real ones")
        self._count(1)
        flags = self._number("<B")
        values = self._values() if flags & 1 else {}
        bags: dict[str, tuple[Bag, ...]] = {}
        for name in self._names() if flags & 2 else ():
            bags[name] = tuple(self.bag(depth + 1) for _ in range(self._number("<I")))
        return Bag(values, bags)

    def _values(self) -> dict[str, Value]:
        names = self._names()
        length = self._number("<I") * 2
        end = self._at + length
        values = {name: self._value() for name in names}
        if self._at != end:
            raise NoValuesError("values of another length than told")
        return values

    def _value(self) -> Value:
        kind = self._number("<H")
        if kind == _TEXT:
            return self._take(2 * self._number("<I")).decode("utf-16-le")
        width = _WIDTHS.get(kind)
        if width is None:
            raise NoValuesError(f"a value of the unknown kind {kind}")
        content = self._take(width)
        match kind:
            case 1:
                return any(content)
            case 3 | 4:
                return int.from_bytes(content, "little", signed=True)
            case _:
                return content

    def _names(self) -> list[str]:
        count, length = self._number("<I"), self._number("<I")
        end = self._at + length
        self._count(count)
        names: list[str] = []
        while self._at < end and len(names) < count:
            names.append(self._take(self._number("<B")).decode("utf-8", "replace"))
        if self._at != end or len(names) != count:
            raise NoValuesError("names of another length than told")
        if self._number("<B"):
            self._take(4 * self._number("<I"))
        return names

    def _count(self, parts: int) -> None:
        self._parts += parts
        if self._parts > _MOST_PARTS:
            raise NoValuesError("more named values than any real block has")

    def _take(self, count: int) -> bytes:
        content = self._block[self._at : self._at + count]
        if len(content) != count:
            raise NoValuesError("the named values end too early")
        self._at += count
        return content

    def _number(self, form: str) -> int:
        value: int = struct.unpack_from(form, self._block, self._at)[0]
        self._at += struct.calcsize(form)
        return value
