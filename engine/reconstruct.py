"""A manifest made from the archives themselves, for a set whose own one is missing or damaged, or a bare archive file.

Every frame is unpacked once, which zstd compares with the checksum in the frame, and every header is read.
What comes out is an ordinary manifest in a scratch folder, from which the set is restored like any other; what
it cannot say is whether the archive holds everything that was once put into it.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from blake3 import blake3

from engine.archivefiles import ArchiveFiles
from engine.codec import FRAME_BYTES, digest_of
from engine.errors import DamagedError, NoRoomError
from engine.files import read_regular, room
from engine.framereader import Block, StoredArchive, open_what_is_there, read_what_is_good
from engine.framescan import FoundFrame, scan_frames
from engine.frametable import DIGEST_BYTES, FrameTable
from engine.gather import read_anyway
from engine.manifest import (
    CHECKSUMS,
    MANIFEST,
    ArchiveFacts,
    SetFacts,
    parse_checksums,
    read_manifest,
    write_manifest,
)
from engine.member import Attributes, Kind, Member, Role, stored_bytes
from engine.memberspool import MemberSpool
from engine.output import StoredFile
from engine.progress import Progress, Report
from engine.setsource import SetSource
from engine.stop import StopRequest
from engine.tarpieces import grid_of
from engine.tarwalk import UNKNOWN, TarWalk

_SUMS_LIMIT = 4 << 20
# a table of frames is held in memory: what is cut smaller than anything of ours is not read
_MANY_FRAMES = 100_000
_LEAST_ON_AVERAGE = 4096
_UNKNOWN_DIGEST = bytes(DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The set as its archives tell it; `problems` is empty when all of them could be read from end to end.

    `unproved` are the roles of archives that nothing could be compared with, not even themselves.
    """

    source: SetSource
    problems: tuple[str, ...]
    unproved: frozenset[str]


class Walk(Protocol):
    """Follows a stream; engine/tarwalk.py says more."""

    raws: dict[int, int]
    problems: list[str]

    def frame(self, index: int, block: Block) -> None: ...

    def missing(self, index: int, raw: int | None = None) -> None: ...

    def end(self, index: int) -> None: ...


@dataclass(slots=True)
class _Read:
    """One archive, read: its table, and what was wrong with it."""

    files: ArchiveFiles
    facts: ArchiveFacts
    problems: list[str]


class Reconstruction:
    """Reads archives into a manifest in `scratch`."""

    def __init__(
        self, folder: Path, scratch: Path, *, workers: int, stop: StopRequest, report: Report
    ) -> None:
        self._folder = folder
        self._scratch = scratch
        self._workers = workers
        self._stop = stop
        self._report = report
        self._content_bytes = 0

    def run(self, archives: tuple[ArchiveFiles, ...]) -> Rebuilt:
        """Raises DamagedError when nothing can be read, OSError when the scratch folder fails, StoppedError."""
        with tempfile.TemporaryFile(dir=self._scratch) as lines:
            spool = MemberSpool(lines)
            read, hopeless = self._read_archives(archives, spool)
            archives = tuple(one.files for one in read)
            facts = self._facts(archives, read, spool.count)
            lines.seek(0)
            with (self._scratch / MANIFEST).open("wb") as target:
                tables = tuple(one.facts for one in read)
                write_manifest(target, facts, {}, tables, lines)
        problems = [*hopeless, *(problem for one in read for problem in one.problems)]
        sums = self._compare_checksums(archives)
        unproved = frozenset(
            files.role
            for files, one in zip(archives, read, strict=True)
            if files.role not in sums.proved
            # every frame is right and yet they are not the archive: frames are missing or exchanged
            and (not files.compressed or (files.role in sums.refuted and not one.problems))
        )
        notes = [
            *sums.notes,
            *(_nothing_to_compare(files) for files in archives if files.role in unproved),
        ]
        source = SetSource(read_manifest(self._scratch), self._folder, tuple(notes))
        return Rebuilt(source, (*sums.faults, *problems), unproved)

    # --- one archive

    def _read_archives(
        self, archives: tuple[ArchiveFiles, ...], spool: MemberSpool
    ) -> tuple[list["_Read"], list[str]]:
        """Those that hold anything, and what is wrong with the others. Raises DamagedError when none does."""
        read: list[_Read] = []
        failures: list[DamagedError] = []
        for archive in archives:
            try:
                read.append(self._read_archive(archive, spool))
            except DamagedError as error:
                failures.append(error)
        if not read:
            raise failures[0]
        return read, [str(error) for error in failures]

    def _read_archive(self, files: ArchiveFiles, spool: MemberSpool) -> _Read:
        stored = self._stored_files(files)
        compression = "zstd" if files.compressed else "none"
        stream = "tar" if files.role == "main" else "file"
        facts = ArchiveFacts(files.role, stream, compression, stored, FrameTable())
        problems = [f"{name} is missing" for name in files.missing]
        with open_what_is_there(self._folder, facts) as archive:
            found = self._scan_all(archive, facts)
            if files.compressed and all(frame.raw is None for frame in found):
                raise DamagedError(
                    f"{stored[0].name} holds no frame as backup4d writes them",
                    hint="zstd and tar may be able to unpack it: docs/restore-by-hand.md",
                )
            walk = self._walker(files, spool, grid_of(frame.raw for frame in found))
            table = self._follow(archive, found, walk, problems)
        if len(table) > len(found):
            last = replace(stored[-1], size=stored[-1].size + 1)
            facts = replace(facts, files=(*stored[:-1], last))
        return _Read(files, replace(facts, frames=table), [*problems, *walk.problems])

    def _stored_files(self, files: ArchiveFiles) -> tuple[StoredFile, ...]:
        sizes = {
            name: (self._folder / name).stat().st_size
            for name in files.names
            if name not in files.missing
        }
        usual = max(sizes.values())
        return tuple(StoredFile(name, sizes.get(name, usual), "") for name in files.names)

    def _scan_all(self, archive: StoredArchive, facts: ArchiveFacts) -> list[FoundFrame]:
        found: list[FoundFrame] = []
        raw = 0
        for frame in self._scan(archive, facts):
            self._stop.check()
            found.append(frame)
            raw += frame.raw or 0
            if len(found) > _MANY_FRAMES and raw < len(found) * _LEAST_ON_AVERAGE:
                raise DamagedError(f"{archive.name} is cut into frames that backup4d never writes")
        if raw > room(self._scratch):
            raise NoRoomError(
                f"{archive.name} unpacks to {raw >> 20} MiB, more than is free in {self._scratch.parent}"
            )
        return found

    def _scan(self, archive: StoredArchive, facts: ArchiveFacts) -> Iterator[FoundFrame]:
        size = sum(file.size for file in facts.files)

        def read(at: int, count: int) -> bytes:
            return read_anyway(archive, at, min(count, size - at))

        if facts.compression == "zstd":
            yield from scan_frames(read, size)
            return
        for at in range(0, size, FRAME_BYTES):
            stored = min(FRAME_BYTES, size - at)
            yield FoundFrame(at, stored, stored, read(at + max(stored - 4, 0), 4))

    def _walker(self, files: ArchiveFiles, spool: MemberSpool, grid: int) -> Walk:
        def emit(member: Member) -> None:
            self._content_bytes += stored_bytes(member)
            spool.add(member)

        if files.role == "main":
            return TarWalk(emit, self._stop, is_packed=files.compressed, grid=grid)
        return LogWalk(emit, os.fsencode(f"Data/{files.base}.journal"), grid)

    def _follow(
        self, archive: StoredArchive, found: list[FoundFrame], walk: Walk, problems: list[str]
    ) -> FrameTable:
        """Follow the stream; then every frame has its place in the table."""
        table = FrameTable()
        for frame in found:
            table.append(frame.raw or 0, frame.stored, _UNKNOWN_DIGEST, frame.checksum)
        archive.facts = replace(archive.facts, frames=table)
        digests: dict[int, bytes] = {}
        self._feed(archive, found, walk, digests, problems)
        walk.end(len(found))
        placed = FrameTable()
        for index, frame in enumerate(found):
            raw = walk.raws.get(index, frame.raw or 0)
            placed.append(raw, frame.stored, digests.get(index, _UNKNOWN_DIGEST))
        if (
            len(found) in walk.raws
        ):  # what is missing at the end stands for one byte that is not there
            placed.append(walk.raws[len(found)], 1, _UNKNOWN_DIGEST)
        return placed

    def _feed(
        self,
        archive: StoredArchive,
        found: list[FoundFrame],
        walk: Walk,
        digests: dict[int, bytes],
        problems: list[str],
    ) -> None:
        def note(index: int, block: Block) -> None:
            digests[index] = digest_of(block)

        total, done = sum(frame.raw or 0 for frame in found), 0
        indices = (index for index, frame in enumerate(found) if frame.raw is not None)
        reading = read_what_is_good(archive, indices, workers=self._workers, on_block=note)
        following = 0
        with closing(reading) as blocks:
            for index, frame, block in blocks:
                self._pass_holes(archive, found, range(following, index), walk, problems)
                following = index + 1
                if isinstance(block, DamagedError):
                    problems.append(str(block))
                    walk.missing(index, frame.raw)
                else:
                    walk.frame(index, block)
                done += frame.raw
                self._report(Progress(f"reading {archive.name}", done, total))
        self._pass_holes(archive, found, range(following, len(found)), walk, problems)

    @staticmethod
    def _pass_holes(
        archive: StoredArchive,
        found: list[FoundFrame],
        holes: range,
        walk: Walk,
        problems: list[str],
    ) -> None:
        for index in holes:
            frame = found[index]
            end = frame.offset + frame.stored
            problems.append(
                f"{archive.name}: bytes {frame.offset} to {end} are no frame; what they held is lost"
            )
            walk.missing(index)

    # --- what is known of the whole

    def _facts(
        self, archives: tuple[ArchiveFiles, ...], read: list[_Read], members: int
    ) -> SetFacts:
        first = archives[0]
        number = first.number + (1 if first.role == "log" else 0)
        made = datetime.fromtimestamp((self._folder / self._a_name(first)).stat().st_mtime, UTC)
        return SetFacts(
            number=number,
            base=first.base,
            package="",
            data_file="",
            structure=None,
            started=made,
            ended=made,
            scheduled=None,
            complete=True,
            checked=False,
            content_bytes=self._content_bytes,
            archive_bytes=sum(file.size for one in read for file in one.facts.files),
            members=members,
            missing=(),
            skipped=(),
            left_out=(),
            attachments=(),
            roots=(),
            files=tuple((one.role, name) for one in archives for name in one.names),
            tool="rebuilt from its archives",
        )

    @staticmethod
    def _a_name(files: ArchiveFiles) -> str:
        return next(name for name in files.names if name not in files.missing)

    def _compare_checksums(self, archives: tuple[ArchiveFiles, ...]) -> "_Sums":
        """What SHA256SUMS says of the archives."""
        notes = [f"{MANIFEST} was not used: what is there was read from the archive alone"]
        try:
            text = read_regular(self._folder / CHECKSUMS, _SUMS_LIMIT)
        except OSError:
            notes.append(
                f"there is no {CHECKSUMS}: whether the archive holds all its frames in their order is not known"
            )
            return _Sums(tuple(notes), (), frozenset(), frozenset())
        sums = parse_checksums(text.decode("utf-8", "surrogateescape"))
        faults: list[str] = []
        proved: set[str] = set()
        refuted: set[str] = set()
        for files in archives:
            wrong = [name for name in files.names if not self._has_sum(name, sums)]
            (refuted if wrong else proved).add(files.role)
            faults += [f"{name} does not have the checksum that {CHECKSUMS} says" for name in wrong]
            right = (name for name in files.names if name not in wrong)
            notes += [f"{name} has the checksum that {CHECKSUMS} says" for name in right]
        return _Sums(tuple(notes), tuple(faults), frozenset(proved), frozenset(refuted))

    def _has_sum(self, name: str, sums: dict[str, str]) -> bool:
        try:
            descriptor = os.open(
                self._folder / name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            )
            with os.fdopen(descriptor, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == sums.get(name)
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class _Sums:
    """`notes` and `faults` are sentences; roles of archives that are what SHA256SUMS says, and that are not."""

    notes: tuple[str, ...]
    faults: tuple[str, ...]
    proved: frozenset[str]
    refuted: frozenset[str]


def _nothing_to_compare(files: ArchiveFiles) -> str:
    if files.compressed:
        return f"{files.names[0]}: its frames are right, and yet they are not all, or not in order"
    return f"{files.names[0]} is not compressed, so it holds no checksums: nothing of it could be compared"


class LogWalk:
    """A log archive: its stream is the log itself."""

    def __init__(self, emit: Callable[[Member], None], path: bytes, grid: int) -> None:
        self._grid = grid
        self.raws: dict[int, int] = {}
        self.problems: list[str] = []
        self._emit = emit
        self._path = path
        self._digest = blake3()
        self._size = 0
        self._cut = 0
        self._is_whole = True

    def frame(self, index: int, block: Block) -> None:
        """The next frame."""
        self._digest.update(block)
        self._size += len(block)
        self._cut = max(self._cut, len(block))

    def missing(self, index: int, raw: int | None = None) -> None:
        """A frame that cannot be read; all but the last one hold as much as the others."""
        self._is_whole = False
        self.raws[index] = (self._cut or self._grid) if raw is None else raw
        self._size += self.raws[index]

    def end(self, index: int) -> None:
        """The archive is over; a log that was cut off cannot be told from a shorter one."""
        digest = self._digest.hexdigest() if self._is_whole else UNKNOWN
        attributes = Attributes(0o640, os.geteuid(), os.getegid(), 0)
        self._emit(
            Member(self._path, Kind.FILE, Role.LOG, self._size, attributes, 0, 0, digest=digest)
        )
