"""Writes an archive as 4D writes it, compression Fast: given the files of a real one, it gives that very one.

The list comes first, so that every size is known before the first byte.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO, Self

from engine.errors import SourceError
from engine.fourd.blockstream import BlockStream, Packing, Run
from engine.fourd.container import ARCHIVE_HEAD, Bytes
from engine.fourd.listing import BODY_TAIL, Entry, body_head, render_list


class ArchiveWriter:
    """Takes the content of the files of its list, one after the other; `finish` makes it an archive.

    Used as a context, so that threads end whatever happens. Where the stream goes, and that what is half-made
    does not stay there, is the caller's.
    """

    def __init__(self, out: BinaryIO, entries: Sequence[Entry], packing: Packing) -> None:
        self._entries = entries
        self._index = -1
        self._left = 0

        def write(run: Run) -> None:
            out.write(run.stored)

        out.write(ARCHIVE_HEAD)
        self._blocks = BlockStream(write, packing)
        for piece in render_list(entries):
            self._blocks.put(piece)
        self._advance()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._blocks.__exit__(kind, error, trace)

    def write(self, piece: Bytes) -> None:
        """The next bytes of the files. Raises SourceError for more than the list says, OSError."""
        view = memoryview(piece)
        while view:
            if self._index == len(self._entries):
                raise SourceError("there is more content than the list of the archive says")
            part = view[: self._left]
            self._blocks.put(part)
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
        self._blocks.finish()

    def _advance(self) -> None:
        """Close the file when all of it is there, and open the next one that has any content."""
        while self._left == 0 and self._index < len(self._entries):
            if self._index >= 0:
                self._blocks.put(BODY_TAIL)
            self._index += 1
            if self._index < len(self._entries):
                self._left = self._entries[self._index].size
                self._blocks.put(body_head(self._left))
