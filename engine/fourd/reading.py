"""One archive, read once from its first byte to its last: the list, the files' content, and all that is wrong.

Everything is compared: both MD5s of every block, the whole structure inside, and that it ends where the list says.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from engine.errors import DamagedError
from engine.fourd.blockwalk import BlockWalk, Window
from engine.fourd.bodies import Bodies, Misfit, Needed, Taker
from engine.fourd.codec import BlockCodec, make_codec
from engine.fourd.container import (
    LARGEST,
    Block,
    Bytes,
    Condition,
    Gap,
    NotKnownError,
    RawBlock,
    check_archive_head,
    too_short,
)
from engine.fourd.listing import BODY_HEAD, Listing, ListReader
from engine.fourd.placing import place_runs, survey
from engine.fourd.trouble import Cost, Trouble, Troubles
from engine.fourd.unpack import Unpacker
from engine.logfile import ByteReader
from engine.progress import Progress, Report, silent
from engine.stop import StopRequest

_MOST_NOTES = 20


class Sink(Taker, Protocol):
    """What is done with an archive that is read."""

    def listed(self, listing: Listing) -> set[int] | None:
        """The list is complete; all else comes after it. The files that are wanted, None for all."""
        ...

    def doubt(self, index: int) -> None:
        """What comes of this file next is not proved."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """How an archive is read; `make` gives the codec of each thread."""

    workers: int
    stop: StopRequest
    report: Report = silent
    phase: str = "reading"
    make: Callable[[], BlockCodec] = make_codec


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an archive was found to be. `notes` are what is unusual, `is_ordered` False when blocks were seen out of place."""

    listing: Listing
    troubles: tuple[Trouble, ...]
    more_troubles: int
    notes: tuple[str, ...]
    blocks: int
    is_ordered: bool

    @property
    def is_whole(self) -> bool:
        return not self.troubles


class ListLostError(DamagedError):
    """The list of files is damaged, so that nobody can say by it what is where."""


def list_lost_in(gap: Gap) -> ListLostError:
    """A part of the list stood where no block can be told."""
    why = "no block can be told there"
    if gap.is_last:
        why = "the archive is cut off there, or its end was overwritten"
    return ListLostError(f"bytes {gap.offset} to {gap.end} hold a part of the list of files: {why}")


class Reading:
    """One pass over an archive."""

    def __init__(self, reader: ByteReader, sink: Sink, way: Way) -> None:
        self._reader = reader
        self._window = Window(reader)
        self._walk = BlockWalk(self._window)
        self._sink = sink
        self._way = way
        self._troubles = Troubles()
        self._notes: list[str] = []
        self._list = ListReader()
        self._listing: Listing | None = None
        self._bodies: Bodies | None = None
        # where the next block belongs in the stream; None when nobody knows
        self._at: int | None = 0
        self._places: list[int | None] | None = None
        self._gaps = 0
        self._blocks = 0

    def run(self) -> Outcome:
        """Raises NotKnownError, ListLostError, BadListError, StoppedError, OSError."""
        self._notes += check_archive_head(self._reader)
        way = self._way
        unpacker = Unpacker(way.workers, make=way.make)
        with closing(unpacker.run(self._walk)) as found:
            for one in found:
                way.stop.check()
                if isinstance(one, Gap):
                    self._gap(one)
                else:
                    self._block(one)
                    self._blocks += 1
                way.report(Progress(way.phase, one.end, self._window.size))
        return self._finished()

    # --- blocks

    def _block(self, block: Block) -> None:
        if self._bodies is None:
            self._of_list(block)
        elif self._at is None:
            # a gap before it: nobody knows where it belongs, and that trouble says so
            self._told(block)
        elif self._is_behind_end():
            self._troubles.appended(block.offset, block.end)
        else:
            self._of_files(block, self._at)

    def _of_files(self, block: Block, start: int) -> None:
        trouble = self._told(block)
        self._at = start + block.length
        if trouble is not None:
            self._charge(trouble, start, self._at)
        self._pass_on(block, block.content, trouble)

    def _pass_on(self, block: Block, content: Bytes, trouble: Trouble | None) -> None:
        bodies = self._known_bodies()
        if trouble is not None and trouble.cost is Cost.DOUBT:
            for index in bodies.files_in(bodies.at, bodies.at + len(content)):
                self._sink.doubt(index)
        if not content:
            bodies.miss(block.length)
        elif bodies.take(content) < len(content):
            text = "it holds more than the list says"
            self._troubles.add(block.offset, block.end, Cost.NONE, text, self._number())

    def _told(self, block: Block) -> Trouble | None:
        if block.note and block.note not in self._notes and len(self._notes) < _MOST_NOTES:
            self._notes.append(block.note)
        if block.is_short and self._goes_on_behind(block):
            block = too_short(block)
        if block.condition in (Condition.WHOLE, Condition.NOT_READ):
            return None
        if block.condition is Condition.NOT_KNOWN and not self._blocks:
            raise NotKnownError(f"of its first block, {block.why.removeprefix('its ')}")
        return self._troubles.of_block(block, self._number())

    def _goes_on_behind(self, block: Block) -> bool:
        """Whether the content does, as far as anybody knows; blocks behind a gap have no place."""
        if self._listing is None or self._at is None:
            return True
        return self._at + block.length != self._listing.total

    def _is_behind_end(self) -> bool:
        return self._at is not None and self._at >= self._known_listing().total

    def _charge(self, trouble: Trouble, start: int, end: int) -> None:
        """Which bytes of which files these are."""
        if trouble.cost is Cost.NONE:
            return
        listing = self._known_listing()
        for index in self._known_bodies().files_in(start, end):
            content = listing.starts[index] + BODY_HEAD.size
            size = listing.entries[index].size
            first, last = max(0, start - content), min(size, end - content)
            if first < last:
                trouble.add(index, first, last)

    def _number(self) -> int | None:
        return None if self._at is None else self._at // LARGEST

    # --- the list

    def _of_list(self, block: Block) -> None:
        if not block.content:
            self._told(block)
            raise ListLostError(f"{_place(block)} holds a part of the list of files: {block.why}")
        start = self._at or 0
        self._listing = listing = self._list.feed(block.content)
        trouble = self._told(block)
        self._at = start + len(block.content)
        if listing is None:
            return
        self._notes += listing.notes
        wanted = self._sink.listed(listing)
        if wanted is not None:
            self._walk.only(Needed(listing, wanted).has)
        self._bodies = Bodies(listing, self._sink)
        if trouble is not None:
            self._charge(trouble, listing.end, self._at)
        if rest := block.content[listing.end - start :]:
            self._pass_on(block, rest, trouble)

    # --- gaps

    def _gap(self, gap: Gap) -> None:
        if self._bodies is None or self._listing is None:
            raise list_lost_in(gap)
        if self._is_behind_end():
            self._troubles.appended(gap.offset, gap.end)
            return
        trouble = self._troubles.of_gap(gap, self._number())
        if self._places is None:
            self._places = self._survey(gap, self._listing.total)
        place = self._places[self._gaps] if self._gaps < len(self._places) else None
        self._gaps += 1
        if place is None or place * LARGEST < self._known_bodies().at:
            self._at = None
            if not gap.is_last:
                trouble.text += (
                    "; how many they were is not known, so that nothing after them has a place"
                )
            return
        self._at = place * LARGEST
        self._lose(trouble, self._at)
        if self._gaps < len(self._places):
            # the last run ends where the archive ends; one between gaps is placed by counting, and what looks like
            # a run may be an archive inside the archive: only what stands between files can show that it is right
            trouble.text += "; what follows them is placed by counting"
            self._sink.doubt(self._known_bodies().file_at(self._at))

    def _survey(self, gap: Gap, total: int) -> list[int | None]:
        """Look ahead at the heads of all blocks that follow."""
        before, rest = divmod(self._at or 0, LARGEST)
        if rest:
            return []  # blocks that were not full: nothing can be told by their number
        walk = BlockWalk(Window(self._reader))
        walk.only(lambda _: False)
        found = survey(self._stoppable(walk.walk(gap.offset)))
        return [] if found is None else place_runs(before, found, total)

    def _stoppable(self, found: Iterator[RawBlock | Gap]) -> Iterator[RawBlock | Gap]:
        for one in found:
            self._way.stop.check()
            yield one

    def _lose(self, trouble: Trouble, until: int) -> None:
        bodies = self._known_bodies()
        self._charge(trouble, bodies.at, until)
        bodies.miss(until - bodies.at)

    # --- the end

    def _finished(self) -> Outcome:
        if self._listing is None or self._bodies is None:
            raise ListLostError("it ends before its list of files is complete")
        bodies, total = self._bodies, self._listing.total
        if not bodies.is_complete:
            size = self._window.size
            text = f"{total - bodies.at} bytes of content are missing at its end, or have no place"
            self._lose(self._troubles.add(size, size, Cost.LOST, text), total)
        for misfit in bodies.misfits:
            self._tell_misfit(misfit)
        self._tell_unreadable()
        found = self._troubles
        ordered = not bodies.misfits
        notes = tuple(self._notes)
        return Outcome(self._listing, tuple(found.found), found.more, notes, self._blocks, ordered)

    def _tell_misfit(self, misfit: Misfit) -> None:
        listing = self._known_listing()
        entry = listing.entries[misfit.index]
        where = "after" if misfit.is_tail else "before"
        text = (
            f"at byte {misfit.at} of the content stands something else than what 4D writes {where} a file;"
            " blocks are not in their order, and any file longer than a block may hold bytes of another"
        )
        trouble = self._troubles.add(0, self._window.size, Cost.DOUBT, text)
        trouble.add(misfit.index, 0, entry.size)
        self._sink.doubt(misfit.index)

    def _tell_unreadable(self) -> None:
        pages, first = self._window.unreadable_pages, self._window.first_unreadable
        if pages:
            text = f"the disk cannot read {pages} pages of the archive, the first at byte {first}"
            self._troubles.add(first, first, Cost.NONE, text)

    def _known_bodies(self) -> Bodies:
        assert self._bodies is not None  # noqa: S101 - the list came first
        return self._bodies

    def _known_listing(self) -> Listing:
        assert self._listing is not None  # noqa: S101 - as above
        return self._listing


def _place(block: Block) -> str:
    return f"the block at bytes {block.offset} to {block.end}"
