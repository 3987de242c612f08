"""The table of frames of one archive, compact enough for millions of them."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

DIGEST_BYTES = 32
CHECK_BYTES = 8
_CHECKSUM_BYTES = 4
_PROVED = 128  # in a mark, beside the length of the checksum
_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: where it is stored, what it holds of the stream, and the digest of that block.

    `checksum` is zstd's own checksum of the block, the last 4 bytes of the frame as it left the
    compressor (fewer of a shorter frame that is not packed); empty when that is not known (a table read from a manifest, a frame that is not packed).
    `check` tells the stored bytes again (engine.codec.check_of), empty when nobody kept it; `proved`: these
    very bytes were read back from a disk once, unpacked, and compared with such a block.
    """

    offset: int
    stored: int
    start: int
    raw: int
    digest: bytes
    checksum: bytes
    check: bytes
    proved: bool


class FrameTable:
    """Frames in order; offsets are sums, so they cannot disagree with the sizes.

    One thread may append while others read the frames that `len` counts.
    """

    def __init__(self) -> None:
        self._starts = array("Q", [0])
        self._offsets = array("Q", [0])
        self._digests = bytearray()
        # up to the last frame that has one
        self._checksums = bytearray()
        self._checks = bytearray()
        self._marks = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(
        self,
        raw: int,
        stored: int,
        digest: bytes,
        checksum: bytes = b"",
        *,
        check: bytes = b"",
        proved: bool = False,
    ) -> None:
        """Add the next frame. Raises ValueError for sizes or digests that cannot be."""
        if raw < 0 or stored <= 0 or len(digest) != DIGEST_BYTES:
            raise ValueError("not a frame")
        if len(checksum) > _CHECKSUM_BYTES:
            raise ValueError("not a checksum of zstd's")
        if self._starts[-1] + raw > _MOST or self._offsets[-1] + stored > _MOST:
            raise ValueError("more bytes than a file can have")
        self._starts.append(self._starts[-1] + raw)
        self._offsets.append(self._offsets[-1] + stored)
        self._digests += digest
        if checksum:
            missing = self._count * _CHECKSUM_BYTES - len(self._checksums)
            self._checksums += bytes(missing) + checksum.ljust(_CHECKSUM_BYTES, b"\0")
        self._marks.append(len(checksum) | (_PROVED if proved else 0))
        self._checks += check
        self._count += 1

    def truncate(self, count: int) -> None:
        """Forget the frames after the first `count`."""
        self._count = count
        del self._starts[count + 1 :], self._offsets[count + 1 :]
        del self._digests[count * DIGEST_BYTES :], self._checks[count * CHECK_BYTES :]
        del self._checksums[count * _CHECKSUM_BYTES :], self._marks[count:]

    def tail(self, first: int) -> "FrameTable":
        """A table of the frames from `first` on, as if an archive began there; without zstd's checksums."""
        table = FrameTable()
        for index in range(first, self._count):
            frame = self.frame(index)
            table.append(frame.raw, frame.stored, frame.digest, check=frame.check)
        return table

    @property
    def checks(self) -> bytes:
        """The checks of all frames, one after the other; empty when they were not kept."""
        return bytes(self._checks) if self.has_checks else b""

    @property
    def has_checks(self) -> bool:
        """Whether the stored bytes of every frame can be told again."""
        return self._count > 0 and len(self._checks) == self._count * CHECK_BYTES

    def adopt_checks(self, checks: bytes) -> None:
        """Take the checks of all frames from a manifest. Raises ValueError when there are not as many."""
        if len(checks) != self._count * CHECK_BYTES:
            raise ValueError("not as many checks as frames")
        self._checks[:] = checks

    @property
    def raw_bytes(self) -> int:
        """Length of the uncompressed stream."""
        return self._starts[self._count]

    @property
    def stored_bytes(self) -> int:
        """Length of the archive."""
        return self._offsets[self._count]

    @property
    def largest_stored(self) -> int:
        """Stored bytes of the largest frame, 0 without frames."""
        return max((stored for _, stored, _ in self.rows()), default=0)

    def digests(self) -> Iterator[bytes]:
        """The digest of each frame."""
        for start in range(0, self._count * DIGEST_BYTES, DIGEST_BYTES):
            yield bytes(self._digests[start : start + DIGEST_BYTES])

    def rows(self) -> Iterator[tuple[int, int, bytes]]:
        """(raw, stored, digest) of each frame."""
        for index, digest in enumerate(self.digests()):
            stored = self._offsets[index + 1] - self._offsets[index]
            yield self.raw_bytes_of(index), stored, digest

    def raw_bytes_of(self, index: int) -> int:
        """How much of the stream one frame holds; quicker than to ask for the frame."""
        return self._starts[index + 1] - self._starts[index]

    def frame(self, index: int) -> Frame:
        """The frame with this index."""
        start, offset, marks = self._starts[index], self._offsets[index], self._marks[index]
        at = index * _CHECKSUM_BYTES
        return Frame(
            offset=offset,
            stored=self._offsets[index + 1] - offset,
            start=start,
            raw=self._starts[index + 1] - start,
            digest=bytes(self._digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]),
            checksum=bytes(self._checksums[at : at + (marks & ~_PROVED)]),
            check=bytes(self._checks[index * CHECK_BYTES : (index + 1) * CHECK_BYTES]),
            proved=bool(marks & _PROVED),
        )

    def forget_checksums(self) -> None:
        """They serve the check of what was just written; give their memory back."""
        self._checksums.clear()
        self._marks[:] = bytes(self._count)

    def covering(self, start: int, end: int) -> range:
        """Indices of the frames that hold the stream's bytes from `start` up to `end`."""
        if end <= start:
            return range(0)
        last = bisect_right(self._starts, end - 1, hi=self._count)
        return range(bisect_right(self._starts, start, hi=self._count) - 1, last)

    def stored_up_to(self, offset: int) -> int:
        """How many frames lie wholly before this offset of the archive."""
        return bisect_right(self._offsets, offset, hi=self._count + 1) - 1
