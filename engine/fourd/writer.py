"""Writes an archive as 4D writes it, compression Fast: given the files of a real one, it gives that very one.

The list comes first, so that every size is known before the first byte. Blocks are packed on all cores, and a
bounded number of them is in memory.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import local
from types import TracebackType
from typing import BinaryIO, Self

from engine.errors import SourceError
from engine.fourd.codec import BlockCodec, make_codec
from engine.fourd.container import ARCHIVE_HEAD, LARGEST, Bytes, render_block_head
from engine.fourd.listing import BODY_TAIL, Entry, body_head, render_list

_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Packing:
    """How blocks are packed: by so many threads, each with a codec of its own."""

    workers: int
    make: Callable[[], BlockCodec] = make_codec


class ArchiveWriter:
    """Takes the content of the files of its list, one after the other; `finish` makes it an archive.

    Used as a context, so that threads end whatever happens. Where the stream goes, and that what is half-made
    does not stay there, is the caller's.
    """

    def __init__(self, out: BinaryIO, entries: Sequence[Entry], packing: Packing) -> None:
        self._out = out
        self._entries = entries
        self._packing = packing
        self._own = local()
        self._pool = ThreadPoolExecutor(packing.workers, thread_name_prefix="pack")
        self._waiting: deque[Future[list[bytes]]] = deque()
        self._full = bytearray()
        self._index = -1
        self._left = 0
        out.write(ARCHIVE_HEAD)
        for piece in render_list(entries):
            self._put(piece)
        self._advance()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for future in self._waiting:
            future.cancel()
        wait(self._waiting)
        self._pool.shutdown()

    def write(self, piece: Bytes) -> None:
        """The next bytes of the files. Raises SourceError for more than the list says, OSError."""
        view = memoryview(piece)
        while view:
            if self._index == len(self._entries):
                raise SourceError("there is more content than the list of the archive says")
            part = view[: self._left]
            self._put(part)
            self._left -= len(part)
            view = view[len(part) :]
            self._advance()

    def finish(self) -> None:
        """Write what is left. Raises SourceError when a file was shorter than the list says, OSError."""
        if self._index < len(self._entries):
            entry = self._entries[self._index]
            raise SourceError(
                f"{entry.path} ended {self._left} bytes before the size that the list says"
            )
        self._pack(len(self._full))
        while self._waiting:
            self._write_one()

    def _advance(self) -> None:
        """Close the file when all of it is there, and open the next one that has any content."""
        while self._left == 0 and self._index < len(self._entries):
            if self._index >= 0:
                self._put(BODY_TAIL)
            self._index += 1
            if self._index < len(self._entries):
                self._left = self._entries[self._index].size
                self._put(body_head(self._left))

    def _put(self, piece: Bytes) -> None:
        self._full += piece
        if len(self._full) >= _AT_ONCE * LARGEST:
            self._pack(len(self._full) - len(self._full) % LARGEST)

    def _pack(self, count: int) -> None:
        if count == 0:
            return
        content = bytes(self._full[:count])
        del self._full[:count]
        self._waiting.append(self._pool.submit(self._packed, content))
        if len(self._waiting) > self._packing.workers + 1:
            self._write_one()

    def _packed(self, content: bytes) -> list[bytes]:
        codec: BlockCodec | None = getattr(self._own, "codec", None)
        if codec is None:
            codec = self._own.codec = self._packing.make()
        view = memoryview(content)
        plain = [view[at : at + LARGEST] for at in range(0, len(content), LARGEST)]
        parts: list[bytes] = []
        for block, stored in zip(plain, codec.encode(plain), strict=True):
            parts += (render_block_head(stored, block), stored)
        return parts

    def _write_one(self) -> None:
        for part in self._waiting.popleft().result():
            self._out.write(part)
