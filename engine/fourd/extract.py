"""The files of an archive into a new folder; what is not whole there has a name that nobody takes for the file.

Nothing leads outside of the folder, whatever names the archive holds; it appears when everything in it is written.
"""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engine.anchor import known_name
from engine.errors import NoRoomError, RestoreError
from engine.files import fsync_folder, room
from engine.fourd.bodies import has_bare_block
from engine.fourd.container import BLOCK_HEAD_BYTES, LARGEST, SMALLEST_FULL
from engine.fourd.extracted import Extracted, Extraction, Fate, report_lines
from engine.fourd.listing import Listing
from engine.fourd.places import choose_files, plan_places
from engine.fourd.reading import Outcome, Reading, Way
from engine.logfile import ByteReader
from engine.member import LARGEST_FILE, Attributes, Kind, Member, Role
from engine.safenames import SafeNames, folding_of
from engine.targetfile import flush
from engine.targettree import FOLDER, TargetTree
from engine.workplace import BUILDING, workplace

REPORT = "EXTRACTION REPORT.txt"
INCOMPLETE = b".incomplete"
UNPROVED = b".unproved"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_ATTRIBUTES = Attributes(0o640, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted, and whether under the paths of the archive even where 4D's restore would place it elsewhere."""

    patterns: Sequence[str] = ()
    as_stored: bool = False


def extract_archive(reader: ByteReader, target: Path, wish: Wish, way: Way) -> Extraction:
    """Extract to `target`, which must not exist. Raises EngineError: RestoreError, NotKnownError, NoRoomError and more."""
    if os.path.lexists(target):
        raise RestoreError(
            f"{target} exists already; nothing was written",
            hint="what is extracted goes to a folder of its own: name one that does not exist",
        )
    with workplace(target.parent, 0) as building:
        root = building / "root"
        try:
            root.mkdir(0o700)
            with ExitStack() as stack:
                writing = _Writing(root, reader.size, wish)
                stack.callback(writing.close)
                outcome = Reading(reader, writing, way).run()
                files = writing.finish(outcome)
            extraction = Extraction(target, outcome, files)
            return _shown(extraction, root)
        except OSError as error:
            raise not_written(target, error) from error


def not_written(target: Path, cause: OSError) -> RestoreError:
    """What a failed disk means for what was being extracted to it."""
    is_full = cause.errno in (errno.ENOSPC, errno.EDQUOT)
    first = (
        "free room there" if is_full else "check the disk, and whether it is mounted for writing"
    )
    return RestoreError(
        f"what was extracted could not be written to {known_name(target)}: {cause.strerror}",
        hint=f"{first}, or name a folder on another disk with --to; what was begun is gone",
    )


def _shown(extraction: Extraction, root: Path) -> Extraction:
    if not extraction.is_whole:
        text = "\n".join((*report_lines(extraction), ""))
        with (root / REPORT).open("xb") as stream:
            stream.write(text.encode("utf-8", "backslashreplace"))
    flush(root)
    root.rename(extraction.target)
    fsync_folder(extraction.target.parent)
    return extraction


class _Writing:
    """Takes what is read, and writes what is wanted of it."""

    def __init__(self, root: Path, size: int, wish: Wish) -> None:
        self._root = root
        self._size = size
        self._wish = wish
        self._tree = TargetTree.of_new(root)
        self._names = SafeNames(_folding(root), (os.fsencode(REPORT),))
        self._listing: Listing | None = None
        self._places: list[bytes] = []
        self._chosen: set[int] = set()
        self._descriptor = -1
        self._lost = 0
        self._doubted: set[int] = set()
        self._files: list[Extracted] = []

    def close(self) -> None:
        """Give the descriptors back."""
        self._tree.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # --- what is read

    def listed(self, listing: Listing) -> set[int] | None:
        self._listing = listing
        self._chosen = choose_files(listing.entries, self._wish.patterns)
        self._places = [
            path.encode("utf-8", "surrogatepass")
            for path in plan_places(listing.entries, as_stored=self._wish.as_stored)
        ]
        self._refuse_without_room(listing)
        return self._chosen if self._wish.patterns else None

    def doubt(self, index: int) -> None:
        self._doubted.add(index)

    def begin(self, index: int) -> None:
        self._lost = 0
        if index in self._chosen:
            size = self._size_of(index)
            member = Member(
                self._places[index], Kind.FILE, Role.ATTACHMENT, size, _NO_ATTRIBUTES, 0, 0
            )
            self._places[index] = self._names.place(member).path

    def take(self, index: int, offset: int, piece: memoryview) -> None:
        if index not in self._chosen:
            return
        self._open(index)
        while piece:
            count = os.pwrite(self._descriptor, piece, offset)
            piece, offset = piece[count:], offset + count

    def miss(self, index: int, offset: int, count: int) -> None:
        self._lost += count

    def end(self, index: int) -> None:
        if index not in self._chosen:
            return
        size = self._size_of(index)
        if self._lost and self._lost == size:
            self._files.append(Extracted(index, b"", Fate.NOT_MADE, self._lost))
            return
        self._open(index)
        self._give_size(size)
        os.fchmod(self._descriptor, _NO_ATTRIBUTES.mode)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        fate = Fate.WHOLE
        if index in self._doubted:
            fate = Fate.UNPROVED
        if self._lost:
            fate = Fate.INCOMPLETE
        place = self._renamed(self._places[index], fate)
        self._files.append(Extracted(index, place, fate, self._lost))

    def finish(self, outcome: Outcome) -> tuple[Extracted, ...]:
        """What only the end showed: blocks that are not in their order."""
        if not outcome.is_ordered:
            self._files = [self._out_of_order(one) for one in self._files]
        return tuple(self._files)

    # --- files

    def _open(self, index: int) -> None:
        if self._descriptor < 0:
            parent, name = self._tree.parent(self._places[index])
            self._descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)

    def _give_size(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, min(size, LARGEST_FILE))
        except OSError as error:
            # a list may claim more than any file can have; then the file ends with what is there
            if not self._lost or error.errno != errno.EFBIG:
                raise

    def _renamed(self, place: bytes, fate: Fate) -> bytes:
        if fate is Fate.WHOLE:
            return place
        ending = INCOMPLETE if fate is Fate.INCOMPLETE else UNPROVED
        new = self._names.free(place, ending)
        parent, name = self._tree.parent(place)
        os.rename(name, new.rpartition(b"/")[2], src_dir_fd=parent, dst_dir_fd=parent)
        return new

    def _out_of_order(self, one: Extracted) -> Extracted:
        assert self._listing is not None  # noqa: S101 - files come after the list
        bare = has_bare_block(self._listing.starts[one.index], self._size_of(one.index))
        if one.fate is not Fate.WHOLE or not (bare or one.index in self._doubted):
            return one
        place = self._renamed(one.place, Fate.UNPROVED)
        return Extracted(one.index, place, Fate.UNPROVED, one.lost)

    def _size_of(self, index: int) -> int:
        assert self._listing is not None  # noqa: S101 - as above
        return self._listing.entries[index].size

    def _refuse_without_room(self, listing: Listing) -> None:
        wanted = sum(listing.entries[index].size for index in self._chosen)
        # a list may claim anything; so much can be in an archive of this size
        most = (self._size // (BLOCK_HEAD_BYTES + SMALLEST_FULL) + 1) * LARGEST
        needed, free = min(wanted, most), room(self._root)
        if free < needed:
            where = known_name(self._root).parent.parent
            raise NoRoomError(
                f"{_told_folder(where)} has {_mib(free)} free, the files need {_mib(needed)}",
                hint="free room there; what was begun is gone",
            )


def _told_folder(folder: Path) -> Path:
    """Where a person knows that it is to be: a hidden folder around it is not theirs."""
    return folder.parent if folder.name.startswith(BUILDING) else folder


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


def _folding(root: Path) -> Callable[[bytes], bytes]:
    descriptor = os.open(root, FOLDER)
    try:
        return folding_of(descriptor)
    finally:
        os.close(descriptor)
