"""One file of a set, read here and there: only the frames that hold what is asked for are unpacked."""

from engine.framereader import StoredArchive, read_blocks
from engine.member import Member, content_extents


class StreamWindow:
    """The stream of an archive by offset; keeps one frame in memory."""

    def __init__(self, archive: StoredArchive) -> None:
        self._archive = archive
        self._start = 0
        self._block = b""

    def read(self, at: int, count: int) -> bytes:
        """So many bytes of the stream. Raises DamagedError for a frame that is not good."""
        if self._start <= at and at + count <= self._start + len(self._block):
            return self._block[at - self._start : at - self._start + count]
        parts: list[bytes] = []
        for index in self._archive.facts.frames.covering(at, at + count):
            ((frame, block),) = read_blocks(self._archive, [index], workers=1)
            self._start, self._block = frame.start, bytes(block)
            parts.append(self._block[max(0, at - frame.start) : at + count - frame.start])
        return b"".join(parts)


class MemberReader:
    """A member's content by offset; its holes are zeros. Several may share a window."""

    def __init__(
        self, archive: StoredArchive, member: Member, window: StreamWindow | None = None
    ) -> None:
        self.size = member.size
        self._window = window or StreamWindow(archive)
        self._pieces: list[
            tuple[int, int, int]
        ] = []  # where in the content, where in the stream, length
        at = member.data
        for offset, length in content_extents(member):
            self._pieces.append((offset, at, length))
            at += length

    def read(self, offset: int, count: int) -> bytes:
        """Bytes of the content, less at its end. Raises DamagedError for a frame that is not good."""
        count = max(0, min(count, self.size - offset))
        content = bytearray(count)
        for begin, at, length in self._pieces:
            start, end = max(offset, begin), min(offset + count, begin + length)
            if start < end:
                content[start - offset : end - offset] = self._window.read(
                    at + start - begin, end - start
                )
        return bytes(content)
