"""The zstd frames of an archive found without a manifest, from the frames' own structure (RFC 8878); nothing is unpacked.

A stretch that is no frame is passed over to the next place where one begins.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.codec import PADDING_MAGIC
from engine.framereader import LARGEST_FRAME

MAGIC = b"\x28\xb5\x2f\xfd"
_MAGICS = (MAGIC, PADDING_MAGIC)
_CHUNK = 1 << 20
# small blocks stand side by side: reading them one by one would take a call for each
_WINDOW = 512
_CHECKSUM, _RESERVED, _SINGLE = 0x04, 0x08, 0x20
_DICTIONARY_BYTES = (0, 1, 2, 4)
_SIZE_BYTES = (0, 2, 4, 8)
_LONGEST_PADDING = 1 << 17  # two blocks of the largest kind
_LONGEST_FRAME = LARGEST_FRAME + (1 << 20)
# what is made of frames' beginnings alone must not keep us for ever: so many looks at blocks, and one more for
# so many bytes
_LOOKS = 5_000_000
_BYTES_A_LOOK = 256

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class FoundFrame:
    """`stored` bytes from `offset` on; `raw` and `checksum` as the frame says, None for a stretch that is no frame."""

    offset: int
    stored: int
    raw: int | None
    checksum: bytes

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.offset + self.stored


def scan_frames(read: Read, size: int) -> Iterator[FoundFrame]:
    """All frames in order, with the stretches between them; together they are the whole archive.

    `read` gives what there is, fewer bytes where the disk fails or the file ends.
    """
    scanner = _Scanner(read, size)
    at = 0
    while at < size:
        frame = scanner.next(at)
        yield frame
        at = frame.end


class _Scanner:
    """Looks for frames; `looks` are left."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self._looks = _LOOKS + size // _BYTES_A_LOOK

    def next(self, at: int) -> FoundFrame:
        """The frame at this place, or the stretch up to the next one."""
        looks = self._looks
        frame = self._frame_at(at)
        if frame is not None:
            self._looks = looks  # only what leads nowhere is counted
        following = self._next_frame(at + 1) if frame is None else self._frame_across(frame)
        if frame is not None and following is None:
            return frame
        end = self._size if following is None else following
        return FoundFrame(at, end - at, None, b"")

    def _frame_at(self, at: int) -> FoundFrame | None:
        head = self._read(at, 18)
        if head[:4] == PADDING_MAGIC:
            return self._padding_at(at, int.from_bytes(head[4:8], "little"))
        return self._packed_at(at, head) if len(head) >= 6 and head[:4] == MAGIC else None

    def _packed_at(self, at: int, head: bytes) -> FoundFrame | None:
        descriptor = head[4]
        if descriptor & _RESERVED or not descriptor & _CHECKSUM:
            return None
        single = bool(descriptor & _SINGLE)
        start = 5 + (0 if single else 1) + _DICTIONARY_BYTES[descriptor & 3]
        kind = descriptor >> 6
        width = 1 if kind == 0 and single else _SIZE_BYTES[kind]
        field = head[start : start + width]
        if width == 0 or len(field) < width:
            return None
        raw = int.from_bytes(field, "little") + (256 if width == 2 else 0)
        if raw > LARGEST_FRAME:
            return None
        end = self._end_of_blocks(at + start + width, min(self._size, at + _LONGEST_FRAME))
        if end is None:
            return None
        checksum = self._read(end, 4)
        return FoundFrame(at, end + 4 - at, raw, checksum) if len(checksum) == 4 else None

    def _padding_at(self, at: int, count: int) -> FoundFrame | None:
        if count > _LONGEST_PADDING:
            return None
        content = self._read(at + 8, count)
        is_padding = len(content) == count and not any(content)
        return FoundFrame(at, 8 + count, 0, b"") if is_padding else None

    def _end_of_blocks(self, at: int, limit: int) -> int | None:
        start, window = at, b""
        while at < limit and self._looks > 0:
            self._looks -= 1
            if at + 3 > start + len(window):
                start, window = at, self._read(at, _WINDOW)
            header = window[at - start : at - start + 3]
            if len(header) < 3:
                return None
            number = int.from_bytes(header, "little")
            is_last, kind, length = number & 1, (number >> 1) & 3, number >> 3
            if kind == 3 or length > 128 << 10:
                return None
            at += 3 + (1 if kind == 1 else length)
            if is_last:
                return at if at + 4 <= limit else None
        return None

    def _next_frame(self, at: int) -> int | None:
        """Where the next whole frame begins."""
        while at < self._size and self._looks > 0:
            chunk = self._read(at, _CHUNK + len(MAGIC) - 1)
            found = chunk.find(MAGIC)
            while found >= 0:
                self._looks -= 1
                if self._frame_at(at + found) is not None:
                    return at + found
                found = chunk.find(MAGIC, found + 1)
            at += _CHUNK
        return None

    def _frame_across(self, frame: FoundFrame) -> int | None:
        """Where frames begin inside this one that go on behind it, None when all is as it should be.

        Bytes that are missing inside a frame, or a wrong length in it, make it reach into the next ones. What
        a frame holds never does that.
        """
        if frame.end >= self._size or self._read(frame.end, len(MAGIC)) in _MAGICS:
            return None
        data = self._read(frame.offset, frame.stored + len(MAGIC) - 1)
        found = data.find(MAGIC, 1)
        while found >= 0 and self._looks > 0:
            self._looks -= 1
            inner = self._frame_at(frame.offset + found)
            while inner is not None and inner.end <= frame.end:
                inner = self._frame_at(inner.end)
            if inner is not None and inner.offset < frame.end:
                return frame.offset + found
            found = data.find(MAGIC, found + 1)
        return None
