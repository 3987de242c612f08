"""The table of frames of one archive, compact enough for millions of them."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: where it is stored, what it holds of the stream, and the digest of that block."""

    offset: int
    stored: int
    start: int
    raw: int
    digest: bytes


class FrameTable:
    """Frames in order; offsets are sums, so they cannot disagree with the sizes."""

    def __init__(self) -> None:
        self._raw = array("Q")
        self._stored = array("Q")
        self._digests = bytearray()
        self._starts: array[int] | None = None
        self._offsets: array[int] | None = None

    def __len__(self) -> int:
        return len(self._raw)

    def append(self, raw: int, stored: int, digest: bytes) -> None:
        """Add the next frame. Raises ValueError for sizes or digests that cannot be."""
        if raw <= 0 or stored <= 0 or len(digest) != DIGEST_BYTES:
            raise ValueError("not a frame")
        self._raw.append(raw)
        self._stored.append(stored)
        self._digests += digest
        self._starts = self._offsets = None

    def truncate(self, count: int) -> None:
        """Forget the frames after the first `count`."""
        del self._raw[count:], self._stored[count:], self._digests[count * DIGEST_BYTES :]
        self._starts = self._offsets = None

    @property
    def raw_bytes(self) -> int:
        """Length of the uncompressed stream."""
        return sum(self._raw)

    @property
    def stored_bytes(self) -> int:
        """Length of the archive."""
        return sum(self._stored)

    @property
    def largest_stored(self) -> int:
        """Stored bytes of the largest frame, 0 without frames."""
        return max(self._stored, default=0)

    def rows(self) -> Iterator[tuple[int, int, bytes]]:
        """(raw, stored, digest) of each frame."""
        for index, (raw, stored) in enumerate(zip(self._raw, self._stored, strict=True)):
            yield (
                raw,
                stored,
                bytes(self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]),
            )

    def frame(self, index: int) -> Frame:
        """The frame with this index."""
        starts, offsets = self._sums()
        return Frame(
            offset=offsets[index],
            stored=self._stored[index],
            start=starts[index],
            raw=self._raw[index],
            digest=bytes(self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]),
        )

    def covering(self, start: int, end: int) -> range:
        """Indices of the frames that hold the stream's bytes from `start` up to `end`."""
        if end <= start:
            return range(0)
        starts, _ = self._sums()
        return range(bisect_right(starts, start) - 1, bisect_right(starts, end - 1))

    def _sums(self) -> tuple["array[int]", "array[int]"]:
        if self._starts is None or self._offsets is None:
            self._starts = array("Q", accumulate(self._raw, initial=0))
            self._offsets = array("Q", accumulate(self._stored, initial=0))
            del self._starts[-1], self._offsets[-1]
        return self._starts, self._offsets
