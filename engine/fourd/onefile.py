"""One file of an archive to a stream: byte after byte as it is proved, and no further than that."""

from typing import Protocol

from engine.errors import DamagedError, RestoreError
from engine.fourd.listing import Listing
from engine.fourd.places import choose_files
from engine.fourd.reading import Reading, Way
from engine.logfile import ByteReader


class Out(Protocol):
    """Where it goes."""

    def write(self, piece: memoryview, /) -> object: ...


def copy_one(reader: ByteReader, pattern: str, out: Out, way: Way) -> None:
    """Write one file to `out`. Raises DamagedError at its first byte that is lost or not proved, RestoreError, OSError."""
    outcome = Reading(reader, _One(pattern, out), way).run()
    if not outcome.is_ordered:
        raise DamagedError(
            "blocks of the archive are not in their order; what came out may hold bytes of other files"
        )


class _One:
    """Passes on the content of one file."""

    def __init__(self, pattern: str, out: Out) -> None:
        self._pattern = pattern
        self._out = out
        self._index = -1

    def listed(self, listing: Listing) -> set[int]:
        chosen = choose_files(listing.entries, [self._pattern])
        if len(chosen) > 1:
            raise RestoreError(
                f"{len(chosen)} files of the archive are {self._pattern!r}; standard output takes one"
            )
        (self._index,) = chosen
        return chosen

    def doubt(self, index: int) -> None:
        if index == self._index:
            raise DamagedError(
                "what comes next of this file is not proved; nothing more was written"
            )

    def begin(self, index: int) -> None: ...

    def take(self, index: int, offset: int, piece: memoryview) -> None:
        if index == self._index:
            self._out.write(piece)

    def miss(self, index: int, offset: int, count: int) -> None:
        if index == self._index:
            raise DamagedError(
                f"bytes {offset} to {offset + count} of this file are lost; nothing more was written",
                hint="extract it into a folder: it will be there, with zeros for what is lost, and say so",
            )

    def end(self, index: int) -> None: ...
