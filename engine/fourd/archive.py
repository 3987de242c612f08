"""What is asked of an archive of 4D: its list, whether it is whole, one file of it."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import DamagedError, MissingSetError, NotPermittedError
from engine.files import open_regular
from engine.fourd.blockwalk import BlockWalk, Window
from engine.fourd.container import (
    LARGEST,
    Block,
    Condition,
    Gap,
    NotKnownError,
    check_archive_head,
    too_short,
)
from engine.fourd.listing import Listing, ListReader
from engine.fourd.reading import ListLostError, Outcome, Reading, Way, list_lost_in
from engine.fourd.trouble import Cost, Trouble, Troubles
from engine.fourd.unpack import Unpacker
from engine.logfile import ByteReader, DescriptorReader
from engine.progress import Progress


@dataclass(frozen=True, slots=True)
class QuickOutcome:
    """What the stored bytes of an archive say. `listing` is None when it could not be read."""

    listing: Listing | None
    troubles: tuple[Trouble, ...]
    more_troubles: int
    notes: tuple[str, ...]
    blocks: int

    @property
    def is_whole(self) -> bool:
        return not self.troubles and self.listing is not None


@contextmanager
def archive_opened(path: Path) -> Iterator[ByteReader]:
    """The archive, for reading only; what is read of it names it in its failures. Raises EngineError, OSError."""
    try:
        with open_regular(path) as stream:
            yield DescriptorReader(stream.fileno())
    except (NotKnownError, DamagedError) as error:
        error.args = (f"{path}: {error}",)
        raise
    except FileNotFoundError as error:
        raise MissingSetError(f"{path} is not there") from error
    except PermissionError as error:
        raise NotPermittedError(f"{path} cannot be opened: {error.strerror}") from error
    except OSError as error:
        error.filename = error.filename or os.fspath(path)
        raise


class _Nothing:
    """Looks on."""

    def listed(self, listing: Listing) -> None:
        return None

    def doubt(self, index: int) -> None: ...

    def begin(self, index: int) -> None: ...

    def take(self, index: int, offset: int, piece: memoryview) -> None: ...

    def miss(self, index: int, offset: int, count: int) -> None: ...

    def end(self, index: int) -> None: ...


def verify_archive(reader: ByteReader, way: Way) -> Outcome:
    """Read and compare everything. Raises NotKnownError, DamagedError for a damaged list, StoppedError, OSError."""
    return Reading(reader, _Nothing(), way).run()


def read_list(reader: ByteReader, way: Way) -> Listing:
    """The list, without reading more than it takes. Raises NotKnownError, DamagedError, StoppedError."""
    check_archive_head(reader)
    listing = ListReader()
    # one thread: the list is in the first block or two
    with closing(Unpacker(1, make=way.make, at_once=1).run(BlockWalk(Window(reader)))) as found:
        for number, one in enumerate(found):
            way.stop.check()
            content = one.content if isinstance(one, Block) else b""
            if not content:
                _refuse(one, number)
            complete = listing.feed(content)
            if complete is not None:
                return complete
    raise ListLostError("it ends before its list of files is complete")


def _refuse(found: Block | Gap, number: int) -> None:
    if isinstance(found, Gap):
        raise list_lost_in(found)
    if found.condition is Condition.NOT_KNOWN and number == 0:
        raise NotKnownError(f"of its first block, {found.why.removeprefix('its ')}")
    raise ListLostError(
        f"bytes {found.offset} to {found.end} hold a part of the list of files: {found.why}"
    )


def verify_stored(reader: ByteReader, way: Way) -> QuickOutcome:
    """Compare the MD5 of every block's stored bytes and its length with the list; only the list is unpacked.

    Raises NotKnownError, StoppedError, OSError.
    """
    notes = list(check_archive_head(reader))
    troubles = Troubles()
    listing = _list_if_any(reader, way, troubles)
    stored = _Stored(listing, troubles, notes)
    unpacker = Unpacker(way.workers, decodes=False, make=way.make)
    with closing(unpacker.run(BlockWalk(Window(reader)))) as found:
        for one in found:
            way.stop.check()
            way.report(Progress(way.phase, one.end, reader.size))
            stored.take(one)
    if listing is not None and not troubles.found and stored.length != listing.total:
        text = f"its blocks hold {stored.length} bytes, its list says {listing.total}"
        troubles.lengths(reader.size, text)
    if listing is not None:
        notes += listing.notes
    return QuickOutcome(listing, tuple(troubles.found), troubles.more, tuple(notes), stored.blocks)


class _Stored:
    """Adds up the blocks; `length` is what they hold, None behind a gap."""

    def __init__(self, listing: Listing | None, troubles: Troubles, notes: list[str]) -> None:
        self.blocks = 0
        self.length: int | None = 0
        self._total = None if listing is None else listing.total
        self._troubles = troubles
        self._notes = notes

    def take(self, one: Block | Gap) -> None:
        """The next one."""
        self.blocks += isinstance(one, Block)
        if self._total is not None and self.length is not None and self.length >= self._total:
            self._behind(one, ends_here=self.length == self._total)
        elif isinstance(one, Gap):
            self._troubles.of_gap(one, None)
            self.length = None
        else:
            self._block(one)

    def _behind(self, one: Block | Gap, *, ends_here: bool) -> None:
        """A block that is there twice shifts the end: only a last one that is not full, or what is no block, tells."""
        is_last_known = self._total is not None and self._total % LARGEST != 0
        if ends_here and (is_last_known or isinstance(one, Gap)):
            self._troubles.appended(one.offset, one.end)
            return
        text = "there are more blocks than its list says: something was appended, or a block is there twice"
        self._troubles.add(one.offset, one.end, Cost.DOUBT, text)

    def _block(self, block: Block) -> None:
        if self.length is not None:
            self.length += block.length
        if block.note and block.note not in self._notes:
            self._notes.append(block.note)
        if block.is_short and (self.length is None or self.length != self._total):
            block = too_short(block)
        if block.condition is not Condition.WHOLE:
            self._troubles.of_block(block, self.blocks - 1)


def _list_if_any(reader: ByteReader, way: Way, troubles: Troubles) -> Listing | None:
    try:
        return read_list(reader, way)
    except DamagedError as error:
        troubles.lengths(0, str(error))
        return None


def archive_number(path: Path) -> tuple[int, int] | None:
    """The number in `Name[0007].4BK`, and that of the segment in `Name[0007-0002].4BK`, else 0; None without one."""
    inner = path.name.rpartition("[")[2].partition("]")[0]
    number, dash, segment = inner.partition("-")
    if not number.isascii() or not number.isdigit() or (dash and not segment.isdigit()):
        return None
    return int(number), int(segment) if dash else 0


def known_name(path: Path) -> str:
    """The name without its ending: what 4D calls the folder of a restore."""
    return os.fspath(path.name).rpartition(".")[0] or path.name
