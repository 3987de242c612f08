"""Whether a set is what was written: read back from the disk, frame by frame, member by member."""

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from engine.errors import Code, DamagedError, DamagedFrameError, EngineError, MissingSetError
from engine.files import read_regular
from engine.fourd.setstream import StructureChecker, in_bodies
from engine.framereader import Block, StoredArchive, open_archive, read_blocks
from engine.frametable import Frame
from engine.manifest import (
    CHECKSUMS,
    FOURD,
    MANIFEST,
    ArchiveFacts,
    Manifest,
    iterate_members,
    manifest_digest,
    parse_checksums,
    read_manifest,
)
from engine.member import Member, Role, stored_bytes
from engine.progress import Progress, Report
from engine.recoverydata import recovery_doubt
from engine.stop import StopRequest
from engine.streamcheck import StreamChecker, in_place

_CHECKSUMS_LIMIT = 4 << 20
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verification of one set found; `damage` is empty when everything is as written.

    `recovery` says what is wrong with the recovery data of a good set.
    """

    folder: Path
    number: int
    members: int
    content_bytes: int
    damage: tuple[str, ...]
    code: int
    recovery: str = ""

    @property
    def good(self) -> bool:
        """Whether the set is whole."""
        return not self.damage


def verify_set(folder: Path, *, workers: int, stop: StopRequest, report: Report) -> Verdict:
    """Compare a published set with its checksums, its frame tables, its digests and its tar headers.

    Damage is in the verdict, not raised. Raises RefusedError for a newer format, StoppedError.
    """
    try:
        manifest = read_manifest(folder)
    except (DamagedError, MissingSetError) as error:
        return Verdict(folder, 0, 0, 0, (str(error),), error.code)
    damage: list[str] = []
    code = Code.DONE
    sums = _checksums(folder, damage)
    facts = manifest.facts
    for archive in manifest.archives:
        try:
            _verify_archive(manifest, archive, sums, workers=workers, stop=stop, report=report)
        except (DamagedError, MissingSetError) as error:
            damage.append(f"{error}{_files_hit(manifest, archive, error)}")
            code = _code_for(archive, error)
    if damage and code is Code.DONE:
        code = Code.ARCHIVE_DAMAGED
    values = manifest.settings.get("values")
    doubt = "" if damage else recovery_doubt(folder, values, stop)
    figures = (facts.number, facts.members, facts.content_bytes)
    return Verdict(folder, *figures, tuple(damage), code, doubt)


def _files_hit(manifest: Manifest, archive: ArchiveFacts, error: EngineError) -> str:
    """Which files of the application lie in a damaged frame, in words; empty when that cannot be told."""
    if not isinstance(error, DamagedFrameError):
        return ""
    try:
        names = [
            os.fsdecode(member.path)
            for member in members_of(manifest, archive)
            if member.header < error.end and member.data + stored_bytes(member) > error.start
        ]
    except DamagedError:
        return ""
    if not names:
        return "; it holds no file, but what the archive says of them"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"; it holds {', '.join(names[:_MOST_NAMED])}{more}"


def _code_for(archive: ArchiveFacts, error: DamagedError | MissingSetError) -> Code:
    is_missing = isinstance(error, MissingSetError)
    if archive.role == "log":
        return Code.LOG_ARCHIVE_MISSING if is_missing else Code.LOG_ARCHIVE_DAMAGED
    return Code.ARCHIVE_MISSING if is_missing else Code.ARCHIVE_DAMAGED


def _checksums(folder: Path, damage: list[str]) -> dict[str, str]:
    """SHA256SUMS as name to digest; what is wrong with it or with the manifest goes into `damage`."""
    try:
        text = read_regular(folder / CHECKSUMS, _CHECKSUMS_LIMIT)
        sums = parse_checksums(text.decode("utf-8", "surrogateescape"))
        digest = manifest_digest(folder)
    except OSError as error:
        damage.append(f"{folder / CHECKSUMS} cannot be read: {error.strerror}")
        return {}
    if sums.get(MANIFEST) != digest:
        damage.append(f"{folder / MANIFEST} does not have the checksum that {CHECKSUMS} says")
    return sums


def _verify_archive(
    manifest: Manifest,
    facts: ArchiveFacts,
    sums: dict[str, str],
    *,
    workers: int,
    stop: StopRequest,
    report: Report,
) -> None:
    for file in facts.files:
        if sums and sums.get(file.name) != file.sha256:
            raise DamagedError(f"{CHECKSUMS} and {MANIFEST} disagree about {file.name}")
    hasher = _FileHasher(facts)
    checkers: list[StreamChecker | StructureChecker] = [
        StreamChecker(members_of(manifest, facts), is_tar=facts.stream == "tar")
    ]
    if facts.stream == FOURD:
        checkers.append(StructureChecker(lambda: members_of(manifest, facts)))
    total, done = facts.frames.raw_bytes, 0
    with (
        open_archive(manifest.folder, facts, past_cache=workers) as archive,
        closing(_all_blocks(archive, hasher, workers)) as blocks,
    ):
        for frame, block in blocks:
            stop.check()
            for checker in checkers:
                checker.feed(block)
            done += frame.raw
            report(Progress(f"verifying {archive.name}", done, total))
    for checker in checkers:
        checker.finish()
    hasher.compare()


def _all_blocks(
    archive: StoredArchive, hasher: "_FileHasher", workers: int
) -> Generator[tuple[Frame, Block], None, None]:
    indices = range(len(archive.facts.frames))
    return read_blocks(archive, indices, workers=workers, on_stored=hasher.update)


def members_of(manifest: Manifest, facts: ArchiveFacts) -> Iterator[Member]:
    """The members of one archive. Raises DamagedError when they do not fill it."""
    wants_log = facts.role == "log"
    members = (
        member
        for member in iterate_members(manifest.folder)
        if (member.role is Role.LOG) == wants_log
    )
    if facts.stream == FOURD:
        return in_bodies(members, facts.frames.raw_bytes)
    return in_place(members, is_tar=facts.stream == "tar", stream_bytes=facts.frames.raw_bytes)


def check_manifest(folder: Path) -> None:
    """Raises DamagedError when the manifest is not the one that SHA256SUMS was made for."""
    damage: list[str] = []
    _checksums(folder, damage)
    if damage:
        raise DamagedError(
            "; ".join(damage),
            hint="unpack the archive with zstd and tar; it has checksums of its own",
        )


class _FileHasher:
    """SHA-256 of each file of an archive, from its bytes in order."""

    def __init__(self, facts: ArchiveFacts) -> None:
        self._files = facts.files
        self._index = 0
        self._left = facts.files[0].size
        self._digest = hashlib.sha256()
        self._found: list[str] = []

    def update(self, data: Block) -> None:
        rest = memoryview(data)
        while rest:
            if self._left == 0:
                self._next()
            part = rest[: self._left]
            self._digest.update(part)
            self._left -= len(part)
            rest = rest[len(part) :]

    def compare(self) -> None:
        self._found.append(self._digest.hexdigest())
        for file, digest in zip(self._files, self._found, strict=False):
            if file.sha256 != digest:
                raise DamagedError(f"{file.name} does not have the checksum that {CHECKSUMS} says")

    def _next(self) -> None:
        self._found.append(self._digest.hexdigest())
        self._digest = hashlib.sha256()
        self._index += 1
        self._left = self._files[self._index].size
