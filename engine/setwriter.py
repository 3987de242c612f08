"""Writing one set into its staging folder: archives, check, manifest, checksums; durable when done."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from engine.archiver import Archiver, Patience, store_file
from engine.codec import frame_bytes, stored_limit
from engine.content import Root, archive_path
from engine.errors import (
    Code,
    DamagedError,
    DestinationError,
    MissingSetError,
    SourceError,
    StoppedError,
)
from engine.files import fsync_folder, give_to_owner_of
from engine.frametable import FrameTable
from engine.framewriter import FrameWriter
from engine.host import Clock
from engine.manifest import (
    CHECKSUMS,
    MANIFEST,
    ArchiveFacts,
    MemberSpool,
    SetFacts,
    checksum_line,
    write_manifest,
)
from engine.member import Member, Role
from engine.output import Output, StoredFile, archive_name
from engine.plan import Sources, walk_sources
from engine.progress import Progress, Report
from engine.readback import ReadBack
from engine.sourcefile import Vanished
from engine.stop import StopRequest
from engine.version import TOOL
from engine.walk import Found
from settings.layout import DatabaseLayout
from settings.model import CompressionRate, Settings


@dataclass(frozen=True, slots=True)
class Job:
    """Everything the writing of one set needs to know; `staging` exists and is empty."""

    layout: DatabaseLayout
    settings: Settings
    sources: Sources
    destination: Path
    staging: Path
    facts: SetFacts
    settings_digest: str
    total_bytes: int
    workers: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Time, the stop button and who watches."""

    clock: Clock
    stop: StopRequest
    report: Report


def first_facts(
    layout: DatabaseLayout,
    sources: Sources,
    number: int,
    started: datetime,
    scheduled: datetime | None,
) -> SetFacts:
    """What is known of a set before its writing begins."""
    return SetFacts(
        number=number,
        base=layout.data_file.stem,
        package=str(layout.package),
        data_file=str(layout.data_file),
        structure=None if layout.structure is None else str(layout.structure),
        started=started,
        ended=started,
        scheduled=scheduled,
        complete=not sources.partial,
        checked=False,
        content_bytes=0,
        archive_bytes=0,
        members=0,
        missing=sources.missing,
        skipped=(),
        left_out=(),
        attachments=tuple(name for name, _ in sources.attachments),
        roots=tuple(
            (str(root.source), os.fsdecode(root.path).encode("utf-8", "replace").decode())
            for root in sources.roots
        ),
        files=(),
        tool=TOOL,
    )


def write_set(job: Job, around: Surroundings, all_read: Callable[[], None]) -> SetFacts:
    """Write, check and make durable; return the final facts of the set.

    `all_read` is called the moment no source is needed any more: what is left is between us and the disk.
    Raises SourceError, DamagedError, StoppedError, OSError of the destination, and what `all_read` raises.
    """
    with tempfile.TemporaryFile(dir=job.staging) as spool_file, ExitStack() as stack:
        spool = MemberSpool(spool_file)
        number = job.facts.number
        main = stack.enter_context(_writing(job, number, ".tar", ("main", "tar"), around.stop))
        archiver = _read_main(job, main.frames, spool, around)
        writing = [main]
        if job.sources.log is not None:
            kind, suffix = ("log", "file"), job.sources.log.suffix
            # numbered one below its set: it holds what happened after the backup before (spec 3.4)
            log = stack.enter_context(_writing(job, number - 1, suffix, kind, around.stop))
            spool.add(_read_log(job, job.sources.log, log.frames, around.stop))
            writing.append(log)
        all_read()
        archives = tuple(archive.finish(around.report) for archive in writing)
        facts = _final_facts(job, archives, archiver, spool.count, around.clock)
        spool_file.seek(0)
        _write_papers(job, facts, archives, spool_file)
    for path in (*job.staging.iterdir(), job.staging):
        give_to_owner_of(job.destination, path)
    fsync_folder(job.staging)
    return facts


class _Meter:
    """Counts what has been read and tells the watcher."""

    def __init__(self, report: Report, total: int) -> None:
        self._report = report
        self._total = total
        self._done = 0

    def __call__(self, count: int) -> None:
        self._done += count
        self._report(Progress("saving", self._done, max(self._total, self._done)))


class _Writing:
    """One archive while it is written: first everything is read into `frames`, then it is finished."""

    def __init__(
        self, job: Job, number: int, suffix: str, kind: tuple[str, str], stop: StopRequest
    ) -> None:
        """`kind` is its (role, stream)."""
        rate = job.settings.compression
        packed = rate is not CompressionRate.NONE
        self._job = job
        self._kind = (*kind, "zstd" if packed else "none")
        name = (job.facts.base, number, f"{suffix}.zst" if packed else suffix)
        self._table = FrameTable()
        self._check = ReadBack(job.staging, self._table, workers=job.workers, stop=stop)
        output = Output(
            job.staging,
            *name,
            segment_bytes=job.settings.segment_bytes,
            on_durable=self._check.durable,
        )
        self.frames = FrameWriter(
            output, self._table, rate, job.workers, before_rewind=self._check.rewind
        )
        if job.settings.check_archive and job.settings.segment_bytes is None:
            largest = stored_limit(frame_bytes(job.total_bytes))
            self._check.follow(archive_name(*name, None), self._kind[-1], largest)

    def finish(self, report: Report) -> ArchiveFacts:
        """Write what is left, make it durable, check it."""
        facts = ArchiveFacts(*self._kind, self.frames.finish(), self._table)
        if self._job.settings.check_archive:
            _check(self._check, facts, report)
        self._table.forget_checksums()
        return facts

    def abandon(self) -> None:
        """End all threads after a failure, here or elsewhere."""
        self._check.abandon()
        self.frames.abandon()


@contextmanager
def _writing(
    job: Job, number: int, suffix: str, kind: tuple[str, str], stop: StopRequest
) -> Iterator[_Writing]:
    archive = _Writing(job, number, suffix, kind, stop)
    try:
        yield archive
    except BaseException:
        archive.abandon()
        raise


def _check(check: ReadBack, facts: ArchiveFacts, report: Report) -> None:
    try:
        check.finish(facts, report)
    except MissingSetError as error:
        raise DestinationError(
            f"what was just written is no longer there: {error}",
            hint="the backup folder was unmounted or replaced during the backup; mount it again",
        ) from error
    except DamagedError as error:
        code = Code.LOG_ARCHIVE_DAMAGED if facts.role == "log" else error.code
        hint = "what was just written reads back otherwise: check that disk before anything else"
        raise DamagedError(str(error), code=code, hint=hint) from error


def _read_main(job: Job, frames: FrameWriter, spool: MemberSpool, around: Surroundings) -> Archiver:
    seconds = job.settings.transactions.timeout.total_seconds()
    archiver = Archiver(
        frames,
        spool,
        Patience(around.clock, seconds),
        stop=around.stop,
        watcher=_Meter(around.report, job.total_bytes),
    )
    unreadable: list[tuple[bytes, OSError]] = []
    walked = walk_sources(
        job.sources,
        job.destination,
        problem=lambda path, error: unreadable.append((path, error)),
        left_out=lambda path, why: archiver.left_out.append((os.fsdecode(path), why)),
    )
    asked_for = {root.path for root in job.sources.roots}
    for root, found in walked:
        _add(archiver, root, found)
        _judge(unreadable, root, archiver, asked_for)
    _judge(unreadable, job.sources.roots[-1], archiver, asked_for)
    archiver.finish()
    return archiver


def _add(archiver: Archiver, root: Root, found: Found) -> None:
    """An unreadable or vanished file fails the backup of data and structure, not that of an attachment."""
    try:
        archiver.add(found, root.role)
    except Vanished:
        if found.path != root.path:
            return  # deleted between listing and reading: there was nothing left to save
        if root.role is not Role.ATTACHMENT:
            raise SourceError(f"{root.source} vanished while the backup ran") from None
        archiver.skipped.append((os.fsdecode(found.path), "it vanished while the backup ran"))
    except StoppedError:
        raise
    except SourceError as error:
        if root.role is not Role.ATTACHMENT or error.code == Code.SOURCE_NEVER_QUIET:
            raise
        archiver.skipped.append((os.fsdecode(found.path), str(error)))


def _judge(
    unreadable: list[tuple[bytes, OSError]], root: Root, archiver: Archiver, asked_for: set[bytes]
) -> None:
    while unreadable:
        path, error = unreadable.pop()
        if isinstance(error, FileNotFoundError) and path not in asked_for:
            continue  # deleted between listing and reading: there was nothing left to save
        if root.role is not Role.ATTACHMENT:
            raise SourceError(
                f"{os.fsdecode(path)} cannot be read: {error.strerror}",
                hint="the user that runs backup4d must be able to read it",
            ) from error
        archiver.skipped.append((os.fsdecode(path), f"cannot be read: {error.strerror}"))


def _read_log(job: Job, log: Path, frames: FrameWriter, stop: StopRequest) -> Member:
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(
            f"the log {log} cannot be read: {error.strerror}",
            code=Code.LOG_BACKUP_FAILED,
            hint="the user that runs backup4d must be able to read it",
        ) from error
    try:
        return store_file(frames, descriptor, archive_path(log, job.layout), stop=stop)
    finally:
        os.close(descriptor)


def _final_facts(
    job: Job,
    archives: tuple[ArchiveFacts, ...],
    archiver: Archiver,
    members: int,
    clock: Clock,
) -> SetFacts:
    files = tuple((archive.role, file.name) for archive in archives for file in archive.files)
    log_bytes = sum(archive.frames.raw_bytes for archive in archives if archive.role == "log")
    return replace(
        job.facts,
        ended=clock.now(),
        complete=job.facts.complete and not archiver.skipped,
        checked=job.settings.check_archive,
        content_bytes=archiver.content_bytes + log_bytes,
        archive_bytes=sum(archive.frames.stored_bytes for archive in archives),
        members=members,
        skipped=tuple(archiver.skipped),
        left_out=tuple(archiver.left_out),
        files=files,
    )


def _write_papers(
    job: Job, facts: SetFacts, archives: tuple[ArchiveFacts, ...], spool: BinaryIO
) -> None:
    settings: dict[str, object] = {
        "file": str(job.layout.settings_file),
        "sha256": job.settings_digest,
        "values": plain(job.settings),
    }
    with _new_file(job.staging / MANIFEST) as stream:
        write_manifest(stream, facts, settings, archives, spool)
    with (job.staging / MANIFEST).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    files: list[StoredFile] = [file for archive in archives for file in archive.files]
    lines = [checksum_line(file.name, file.sha256) for file in files]
    with _new_file(job.staging / CHECKSUMS) as stream:
        text = "".join([*lines, checksum_line(MANIFEST, digest)])
        stream.write(text.encode("utf-8", "surrogateescape"))


@contextmanager
def _new_file(file: Path) -> Iterator[BinaryIO]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags, 0o640), "wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def plain(value: object) -> object:
    """A settings value as JSON holds it: alternatives with the name of their form, durations in seconds."""
    if is_dataclass(value) and not isinstance(value, type):
        row = {one.name: plain(getattr(value, one.name)) for one in fields(value)}
        return {"form": type(value).__name__, **row}
    match value:
        case list() | tuple():
            return [plain(inner) for inner in value]
        case timedelta():
            return value.total_seconds()
        case time() | date():
            return value.isoformat()
        case Enum():
            return value.value
        case _:
            return value
