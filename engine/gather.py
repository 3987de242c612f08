"""The frames of a damaged archive, found again by their digests wherever they lie now.

Bytes that were inserted or cut out move every frame behind them; frames can be exchanged or doubled. What a
manifest knows of them is enough to put them in order again, into an archive in a scratch folder.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from engine.codec import digest_of
from engine.errors import DamagedError, MissingSetError
from engine.fourd.badblocks import without_bad_blocks
from engine.framereader import (
    LARGEST_FRAME,
    Block,
    StoredArchive,
    open_what_is_there,
    read_what_is_good,
)
from engine.framescan import scan_frames
from engine.frametable import FrameTable
from engine.manifest import FOURD, ArchiveFacts, Manifest
from engine.output import StoredFile
from engine.progress import Progress, Report
from engine.stop import StopRequest
from engine.tarparse import is_header_block
from engine.tarstream import BLOCK, member_header
from engine.verify import members_of

_UNKNOWN = bytes(32)
_PIECE = 4096
_CHUNK = 4 << 20
_MOST_SEARCHES = 32
_MOST_NAMED = 1000


@dataclass(frozen=True, slots=True)
class Gathered:
    """One archive with its frames where the manifest has them: `good` of them can be read.

    `problems` name the places that are damaged. `is_foreign`: the archive is there, and the manifest knows
    nothing of it.
    """

    facts: ArchiveFacts
    folder: Path
    good: int
    problems: tuple[str, ...]
    is_foreign: bool = False


class Gathering:
    """Looks for frames in the archives of one set."""

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        scratch: Path,
        *,
        workers: int,
        stop: StopRequest,
        report: Report,
    ) -> None:
        self._manifest = manifest
        self._folder = folder
        self._scratch = scratch
        self._workers = workers
        self._stop = stop
        self._report = report

    def run(self, facts: ArchiveFacts) -> Gathered:
        """Raises OSError when the scratch folder fails, StoppedError."""
        bad, problems = self._look(facts)
        count = len(facts.frames)
        if not bad:
            return Gathered(facts, self._folder, count, ())
        if facts.compression == FOURD:
            finer = without_bad_blocks(self._folder, facts, frozenset(bad))
            texts = tuple(text for _, text in problems)
            return Gathered(finer, self._folder, count - len(bad), texts)
        there = _as_it_is(self._folder, facts)
        found: dict[int, int] = {}
        is_foreign = False
        if there is not None:
            with open_what_is_there(self._folder, there) as archive:
                look = self._find_packed if facts.compression == "zstd" else self._find_shifted
                found = look(archive, facts, bad)
                is_lost = len(bad) == count and not found
                # a damaged set of few frames has the lengths it was written with, another set has not
                is_foreign = is_lost and there != facts and _holds_something(archive)
        left = tuple(text for index, text in problems if index not in found)
        good = count - len(bad) + len(found)
        if there is None or not found:
            return Gathered(facts, self._folder, good, left, is_foreign)
        moved = self._write(facts, there, set(bad), found)
        text = f"{facts.files[0].name}: {len(found)} frames are not where they were written"
        return Gathered(moved, self._scratch, good, (text, *left))

    def _look(self, facts: ArchiveFacts) -> tuple[list[int], list[tuple[int, str]]]:
        """Which frames are not where the manifest says."""
        bad: list[int] = []
        problems: list[tuple[int, str]] = []
        with open_what_is_there(self._folder, facts) as archive:
            reading = read_what_is_good(archive, range(len(facts.frames)), workers=self._workers)
            with closing(reading) as blocks:
                for index, frame, block in blocks:
                    self._stop.check()
                    if isinstance(block, DamagedError):
                        bad.append(index)
                        if len(problems) < _MOST_NAMED:
                            problems.append((index, str(block)))
                    self._report(
                        Progress(
                            f"reading {archive.name}",
                            frame.start + frame.raw,
                            facts.frames.raw_bytes,
                        )
                    )
        return bad, problems

    # --- where they are

    def _find_packed(
        self, archive: StoredArchive, facts: ArchiveFacts, bad: list[int]
    ) -> dict[int, int]:
        """Index of a frame to where it begins, by the frames' own structure."""
        wanted: dict[tuple[int, bytes], list[int]] = {}
        for index in bad:
            frame = facts.frames.frame(index)
            wanted.setdefault((frame.stored, frame.digest), []).append(index)
        sizes = {(stored, facts.frames.frame(some[0]).raw) for (stored, _), some in wanted.items()}
        size = sum(file.size for file in archive.facts.files)
        found: dict[int, int] = {}
        candidates = (
            (frame.offset, frame.stored, frame.raw)
            for frame in scan_frames(
                lambda at, count: read_anyway(archive, at, min(count, size - at)), size
            )
            if frame.raw is not None and (frame.stored, frame.raw) in sizes
        )
        while some := list(islice(candidates, 64)):
            self._stop.check()
            for offset, stored, block in self._unpack(archive, some):
                for index in wanted.get((stored, digest_of(block)), ()):
                    found.setdefault(index, offset)
        return found

    def _unpack(
        self, archive: StoredArchive, some: list[tuple[int, int, int]]
    ) -> Iterator[tuple[int, int, Block]]:
        table, places, at = FrameTable(), [], 0
        for offset, stored, raw in some:
            if offset > at:  # what lies between
                table.append(0, offset - at, _UNKNOWN)
            places.append(len(table))
            table.append(raw, stored, _UNKNOWN, bytes(archive.read(offset + stored - 4, 4)))
            at = offset + stored
        archive.facts = replace(archive.facts, frames=table)
        with closing(read_what_is_good(archive, places, workers=self._workers)) as blocks:
            for _, frame, block in blocks:
                if not isinstance(block, DamagedError):
                    yield frame.offset, frame.stored, block

    def _find_shifted(
        self, archive: StoredArchive, facts: ArchiveFacts, bad: list[int]
    ) -> dict[int, int]:
        """The same for an archive that is not packed: all that lies between two cuts has moved by the same."""
        found: dict[int, int] = {}
        searches = 0
        for index, header in self._anchors(facts, set(bad)):
            if index in found:
                continue
            searches += 1
            if searches > _MOST_SEARCHES:
                break
            at = _search(archive, header[1])
            if at is not None:
                self._try_shift(archive, facts, bad, at - header[0], found)
        return found

    def _try_shift(
        self,
        archive: StoredArchive,
        facts: ArchiveFacts,
        bad: list[int],
        shift: int,
        found: dict[int, int],
    ) -> None:
        size = sum(file.size for file in archive.facts.files)
        for index in bad:
            self._stop.check()
            frame = facts.frames.frame(index)
            at = frame.offset + shift
            if index in found or at < 0 or at + frame.raw > size or frame.raw > LARGEST_FRAME:
                continue
            if digest_of(read_anyway(archive, at, frame.raw)) == frame.digest:
                found[index] = at

    def _anchors(
        self, facts: ArchiveFacts, bad: set[int]
    ) -> Iterator[tuple[int, tuple[int, bytes]]]:
        """For frames that were not found: a header that lies in them, and where it was."""
        seen = -1
        for member in members_of(self._manifest, facts):
            first = next(iter(facts.frames.covering(member.header, member.data)), -1)
            if first in bad and first != seen:
                seen = first
                link = member.link or b""
                header = member_header(
                    member.path,
                    member.kind,
                    member.attributes,
                    size=member.size,
                    link=link,
                    extents=member.extents,
                )
                yield first, (member.header, header)

    # --- in order again

    def _write(
        self, facts: ArchiveFacts, there: ArchiveFacts, bad: set[int], found: dict[int, int]
    ) -> ArchiveFacts:
        """An archive of what can be read; a frame that cannot stands there as one byte."""
        table = FrameTable()
        name = facts.files[0].name
        with (
            open_what_is_there(self._folder, facts) as expected,
            open_what_is_there(self._folder, there) as actual,
            (self._scratch / name).open("wb") as target,
        ):
            for index in range(len(facts.frames)):
                self._stop.check()
                frame = facts.frames.frame(index)
                if index in found:
                    target.write(actual.read(found[index], frame.stored))
                elif index not in bad:
                    target.write(expected.read(frame.offset, frame.stored))
                else:
                    target.write(b"\0")
                lost = index in bad and index not in found
                table.append(frame.raw, 1 if lost else frame.stored, frame.digest)
        file = StoredFile(name, table.stored_bytes, "")
        return replace(facts, files=(file,), frames=table)


def _as_it_is(folder: Path, facts: ArchiveFacts) -> ArchiveFacts | None:
    """The files of an archive with the lengths they have now; None when none is there."""
    files: list[StoredFile] = []
    for file in facts.files:
        try:
            size = (folder / file.name).lstat().st_size
        except OSError:
            continue
        if size:
            files.append(replace(file, size=size))
    return replace(facts, files=tuple(files)) if files else None


def _holds_something(archive: StoredArchive) -> bool:
    """Whether it begins, or goes on somewhere, as an archive does."""
    size = sum(file.size for file in archive.facts.files)

    def read(at: int, count: int) -> bytes:
        return read_anyway(archive, at, min(count, size - at))

    if archive.facts.compression == "zstd":
        return any(frame.raw for frame in scan_frames(read, size))
    return is_header_block(read(0, BLOCK))


def _search(archive: StoredArchive, wanted: bytes) -> int | None:
    size = sum(file.size for file in archive.facts.files)
    for at in range(0, size, _CHUNK):
        count = min(_CHUNK + len(wanted) - 1, size - at)
        found = read_anyway(archive, at, count).find(wanted)
        if found >= 0:
            return at + found
    return None


def read_anyway(archive: StoredArchive, at: int, count: int) -> bytes:
    """The bytes, zeros in place of what cannot be read: those are never the beginning of a frame."""
    if count <= 0:
        return b""
    try:
        return bytes(archive.read(at, count))
    except (DamagedError, MissingSetError):
        if count <= _PIECE:
            return bytes(count)
    pieces = (
        read_anyway(archive, start, min(_PIECE, at + count - start))
        for start in range(at, at + count, _PIECE)
    )
    return b"".join(pieces)
