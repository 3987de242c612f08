"""From one block to the next through an archive, also past heads that are damaged.

What comes out are blocks as they are stored, and gaps where none can be told. A damaged head costs its block only
when its stored bytes cannot be proved: a block ends where the next one begins whose MD5 is right.
"""

import errno
from collections.abc import Callable, Iterator

from engine.fourd.container import (
    BLOCK_HEAD_BYTES,
    BLOCK_TAG,
    HEAD_BYTES,
    LARGEST,
    BlockHead,
    Bytes,
    Gap,
    RawBlock,
    md5_of,
    parse_block_head,
)
from engine.logfile import ByteReader

_WINDOW = 4 << 20
_PAGE = 4096
_UNREADABLE = (errno.EIO, errno.EBADMSG)
# bytes compared while a block is looked for: a hostile archive could be made of nothing but false beginnings
_SEARCH_FROM = 256 << 20
_EACH = 4096  # what looking at one costs, in bytes compared


class Window:
    """The archive, read piece by piece; pages that the disk cannot read are zeros, and told."""

    def __init__(self, reader: ByteReader) -> None:
        self.size = reader.size
        self.unreadable_pages = 0
        self.first_unreadable = 0
        self._reader = reader
        self._start = 0
        self._piece = b""

    def view(self, offset: int, count: int) -> memoryview:
        """Bytes of the archive, fewer at its end."""
        begin = offset - self._start
        if begin < 0 or begin + count > len(self._piece):
            wanted = max(0, min(max(count, _WINDOW), self.size - offset))
            self._start, begin = offset, 0
            self._piece = self._read(offset, wanted)
        return memoryview(self._piece)[begin : begin + count]

    def peek(self, offset: int, count: int) -> bytes:
        """A few bytes, without reading what follows them."""
        begin = offset - self._start
        if begin >= 0 and begin + count <= len(self._piece):
            return self._piece[begin : begin + count]
        return self._read(offset, max(0, min(count, self.size - offset)))

    def find(self, tag: bytes, offset: int) -> int:
        """Where these bytes stand next, the size when nowhere."""
        while offset + len(tag) <= self.size:
            begin = offset - self._start
            if begin < 0 or begin + len(tag) > len(self._piece):
                self._start, begin = offset, 0
                self._piece = self._read(offset, min(_WINDOW, self.size - offset))
            found = self._piece.find(tag, begin)
            if found >= 0:
                return self._start + found
            offset = self._start + max(len(self._piece), len(tag)) - len(tag) + 1
        return self.size

    def _read(self, offset: int, count: int) -> bytes:
        try:
            return self._reader.read(offset, count)
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
        pieces: list[bytes] = []
        at, end = offset, offset + count
        while at < end:
            step = min(_PAGE - at % _PAGE, end - at)
            pieces.append(self._page(at, step))
            at += step
        return b"".join(pieces)

    def _page(self, offset: int, count: int) -> bytes:
        try:
            return self._reader.read(offset, count)
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
        if not self.unreadable_pages:
            self.first_unreadable = offset
        self.unreadable_pages += 1
        return bytes(count)


class BlockWalk:
    """The blocks of an archive in order, from a place where one begins."""

    def __init__(self, window: Window, search_bytes: int = _SEARCH_FROM) -> None:
        self._window = window
        self._to_compare = search_bytes + window.size
        self._wants: Callable[[int | None], bool] | None = None

    def __iter__(self) -> Iterator[RawBlock | Gap]:
        return self.walk(HEAD_BYTES)

    def only(self, wants: Callable[[int | None], bool]) -> None:
        """From now on, blocks that are not wanted are passed over; the number is None after a gap."""
        self._wants = wants

    def walk(self, at: int) -> Iterator[RawBlock | Gap]:
        """Every block from here, each with its stored bytes."""
        number: int | None = 0
        while at < self._window.size:
            found = self._passed_over(at, number) or self._framed(at) or self._unframed(at)
            yield found
            at = found.end
            is_sure = number is not None and isinstance(found, RawBlock)
            number = number + 1 if number is not None and is_sure else None

    def _passed_over(self, at: int, number: int | None) -> RawBlock | None:
        """The block here when it is not wanted and its head can be believed."""
        if self._wants is None or self._wants(number):
            return None
        data = self._window.peek(at, BLOCK_HEAD_BYTES)
        head = parse_block_head(data) if len(data) == BLOCK_HEAD_BYTES else None
        if head is None or not head.is_plausible:
            return None
        end = at + BLOCK_HEAD_BYTES + head.stored
        is_last = end == self._window.size
        if not is_last and self._window.peek(end, len(BLOCK_TAG)) != BLOCK_TAG:
            return None
        return RawBlock(at, head, b"", is_last, is_read=False)

    def _framed(self, at: int) -> RawBlock | None:
        """The block here when its head can be believed: the next one, or the end, is where it says."""
        head = self._head(at)
        if head is None or not head.is_plausible:
            return None
        end = at + BLOCK_HEAD_BYTES + head.stored
        if end > self._window.size:
            return None
        stored = self._window.view(at + BLOCK_HEAD_BYTES, head.stored)
        is_last = end == self._window.size
        if not is_last and bytes(self._window.view(end, 4)) != BLOCK_TAG:
            self._to_compare -= len(stored)
            if md5_of(stored) != head.stored_md5:
                return None
        return RawBlock(at, head, stored, is_last)

    def _unframed(self, at: int) -> RawBlock | Gap:
        end = self._next_good(at + 1)
        is_last = end == self._window.size
        head = self._head(at)
        length = end - at - BLOCK_HEAD_BYTES
        if head is not None and 0 < length <= LARGEST:
            stored = self._window.view(at + BLOCK_HEAD_BYTES, length)
            if md5_of(stored) == head.stored_md5:
                return RawBlock(at, head, stored, is_last, is_framed=head.stored == length)
        return Gap(at, end, is_last)

    def _next_good(self, at: int) -> int:
        while True:
            at = self._window.find(BLOCK_TAG, at)
            data = self._window.peek(at, BLOCK_HEAD_BYTES)
            if len(data) < BLOCK_HEAD_BYTES or self._to_compare <= 0:
                return self._window.size
            head = parse_block_head(data)
            self._to_compare -= _EACH
            if head.is_plausible and at + BLOCK_HEAD_BYTES + head.stored <= self._window.size:
                self._to_compare -= head.stored
                stored = self._window.peek(at + BLOCK_HEAD_BYTES, head.stored)
                if md5_of(stored) == head.stored_md5:
                    return at
            at += 1

    def _head(self, at: int) -> BlockHead | None:
        data: Bytes = self._window.view(at, BLOCK_HEAD_BYTES)
        return parse_block_head(data) if len(data) == BLOCK_HEAD_BYTES else None
