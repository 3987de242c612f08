"""Pieces of a tar stream on their way: content that is passing by, and where headers begin."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from blake3 import blake3

from engine.codec import FRAME_BYTES, GRID_BYTES, OLD_GRID_BYTES
from engine.member import Member
from engine.tarparse import USTAR, USTAR_AT, is_header_block
from engine.tarstream import BLOCK, END

ZERO_BLOCK = bytes(BLOCK)


@dataclass(slots=True)
class Content:
    """A member whose content is passing by; `left` counts stored bytes with the padding, `pieces` are to come.

    `cut`: how its content is cut.
    """

    member: Member
    cut: int
    left: int
    pieces: list[tuple[int, int]]
    digest: blake3
    position: int = 0
    is_whole: bool = True

    @property
    def has_own_frames(self) -> bool:
        """Whether frames hold nothing but its content."""
        return self.member.size >= FRAME_BYTES

    def expected(self) -> int:
        """How long the frame is that follows."""
        count = min(self.cut, self.pieces[-1][1]) if self.pieces else self.left
        is_last = len(self.pieces) <= 1 and count == (self.pieces[-1][1] if self.pieces else count)
        return self.left if is_last else count

    def skip(self, count: int) -> None:
        """So many stored bytes have passed."""
        self.left -= count
        while count and self.pieces:
            offset, length = self.pieces.pop()
            passed = min(count, length)
            count -= passed
            if passed < length:
                self.pieces.append((offset + passed, length - passed))


def grid_of(raws: Iterable[int | None]) -> int:
    """The distance of the cuts inside large files of an archive, by what its frames hold; today's when in doubt."""
    counts = Counter(raws)
    return OLD_GRID_BYTES if counts[OLD_GRID_BYTES] > counts[GRID_BYTES] else GRID_BYTES


def find_header(data: bytes) -> int:
    """Where the next header begins, not at 0; when there is none, where one may begin that goes on behind `data`."""
    at = data.find(USTAR, 1 + USTAR_AT)
    while at >= 0:
        start = at - USTAR_AT
        if is_header_block(data[start : start + BLOCK]):
            return start
        at = data.find(USTAR, at + 1)
    return max(len(data) - BLOCK + 1, 1)


def begins_member(block: bytes | memoryview) -> bool:
    """Whether a frame begins with a header, or is the end of the archive."""
    if is_header_block(bytes(block[:BLOCK])):
        return True
    return len(block) <= len(END) and not any(block)
