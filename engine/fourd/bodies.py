"""The rest of the inner stream: which bytes are of which file, and whether what stands between files is right.

The list says where everything is; eight bytes of name and size before each file and twelve after it are what shows
that the blocks are in their order. A block that holds none of these is `bare`: nothing can show it.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol

from engine.fourd.container import LARGEST, Bytes
from engine.fourd.listing import BODY_HEAD, BODY_TAIL, Listing, body_head


@dataclass(frozen=True, slots=True)
class Misfit:
    """A place between files that is not what it must be: before file `index`, or after it when `is_tail`."""

    index: int
    at: int
    is_tail: bool


class Taker(Protocol):
    """What is done with the content of the files, in order. The numbers are those of the list."""

    def begin(self, index: int) -> None: ...

    def take(self, index: int, offset: int, piece: memoryview) -> None: ...

    def miss(self, index: int, offset: int, count: int) -> None:
        """These bytes are lost."""
        ...

    def end(self, index: int) -> None: ...


class Bodies:
    """Follows the stream from the end of the list; what it is given must not overlap and rise."""

    def __init__(self, listing: Listing, taker: Taker) -> None:
        self.misfits: list[Misfit] = []
        self._listing = listing
        self._taker = taker
        self._index = 0
        self._begun = False
        self._at = listing.end

    @property
    def at(self) -> int:
        """How far it is in the stream."""
        return self._at

    @property
    def is_complete(self) -> bool:
        return self._at == self._listing.total

    def take(self, piece: Bytes) -> int:
        """The next bytes of the stream; how many of them were of it."""
        view = memoryview(piece)
        used = 0
        while used < len(view) and not self.is_complete:
            used += self._step(view[used:], len(view) - used)
        return used

    def miss(self, count: int) -> None:
        """So many bytes are lost."""
        while count and not self.is_complete:
            count -= self._step(None, count)

    def file_at(self, at: int) -> int:
        """The file that has this byte of the stream, or what stands around it."""
        return max(0, bisect_right(self._listing.starts, at) - 1)

    def files_in(self, start: int, end: int) -> range:
        """The files that have content or borders in this part of the stream."""
        starts = self._listing.starts
        first = self.file_at(start)
        return range(first, max(first, bisect_right(starts, max(start, end - 1))))

    def _step(self, view: memoryview | None, most: int) -> int:
        """One border or as much content as there is; the number of bytes."""
        entry = self._listing.entries[self._index]
        offset = self._at - self._listing.starts[self._index]
        if not self._begun:
            self._begun = True
            self._taker.begin(self._index)
        inside = offset - BODY_HEAD.size
        if inside < 0:
            return self._border(view, most, body_head(entry.size), offset, is_tail=False)
        if inside < entry.size:
            count = min(most, entry.size - inside)
            if view is None:
                self._taker.miss(self._index, inside, count)
            else:
                self._taker.take(self._index, inside, view[:count])
            self._at += count
            return count
        count = self._border(view, most, BODY_TAIL, inside - entry.size, is_tail=True)
        if inside - entry.size + count == len(BODY_TAIL):
            self._taker.end(self._index)
            self._index += 1
            self._begun = False
        return count

    def _border(
        self, view: memoryview | None, most: int, expected: bytes, offset: int, *, is_tail: bool
    ) -> int:
        count = min(most, len(expected) - offset)
        is_right = view is None or view[:count] == expected[offset : offset + count]
        is_told = bool(self.misfits) and self.misfits[-1].index == self._index
        if not is_right and not is_told:
            self.misfits.append(Misfit(self._index, self._at, is_tail))
        self._at += count
        return count


class Needed:
    """Which blocks some files need: all that hold a part of them or of what stands around them."""

    def __init__(self, listing: Listing, wanted: set[int]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for index in sorted(wanted):
            start = listing.starts[index]
            self._firsts.append(start // LARGEST)
            self._lasts.append((start + listing.entries[index].stored_bytes - 1) // LARGEST)

    def has(self, number: int | None) -> bool:
        """Whether the block with this number may be one of them."""
        if number is None:
            return True
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]


def has_bare_block(start: int, size: int) -> bool:
    """Whether a whole block lies inside the content of a file whose body begins here: its place is shown by nothing."""
    content = start + BODY_HEAD.size
    first = -(-content // LARGEST) * LARGEST
    return first + LARGEST <= content + size
