"""Writing one set into its staging folder: archives, check, manifest, checksums; durable when done."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from engine.anchor import known_name
from engine.archiver import Archiver
from engine.clones import Wanted, cloning
from engine.codec import FRAME_BYTES, frame_bytes, stored_limit
from engine.content import Root
from engine.errors import (
    Code,
    DamagedError,
    DestinationError,
    MissingSetError,
)
from engine.files import hand_over
from engine.fourd.setarchives import Making, make_archives
from engine.frametable import FrameTable
from engine.framewriter import FrameWriter
from engine.host import Clock
from engine.intake import Intake, read_cloned, read_cloned_log, read_live, read_log
from engine.machine import this_machine
from engine.manifest import (
    ArchiveFacts,
    SetFacts,
)
from engine.member import Role
from engine.memberspool import MemberSpool
from engine.output import Output, archive_name
from engine.pace import Pace
from engine.papers import plain, write_papers
from engine.patience import Patience
from engine.plan import Sources
from engine.progress import Progress, Report
from engine.readback import ReadBack
from engine.recoverydata import protect_set
from engine.reuse import Known, SetBefore, set_before
from engine.stop import StopRequest
from engine.together import find_together
from engine.version import TOOL
from settings.layout import DatabaseLayout
from settings.model import CompressionRate, Settings
from settings.service_model import ArchiveFormat


@dataclass(frozen=True, slots=True)
class Job:
    """Everything the writing of one set needs to know; `staging` exists and is empty.

    `before`: an older set whose frames may be taken over. `read_rate`: bytes a second that may be read at most. `held`: a guard holds the files still; `may_clone`: and
    lets us clone them meanwhile. `archives`: in which format.
    """

    layout: DatabaseLayout
    settings: Settings
    sources: Sources
    destination: Path
    staging: Path
    facts: SetFacts
    settings_digest: str
    total_bytes: int
    workers: int
    before: Path | None = None
    read_rate: int | None = None
    held: bool = False
    may_clone: bool = True
    archives: ArchiveFormat = ArchiveFormat.TAR


@dataclass(frozen=True, slots=True)
class Written:
    """The final facts of a set, what the journal says of how it was made, and what everybody must hear."""

    facts: SetFacts
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


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
        machine=this_machine(),
    )


def write_set(job: Job, around: Surroundings, all_read: Callable[[], None]) -> Written:
    """Write, check and make durable; return the final facts of the set.

    `all_read` is called the moment no source is needed any more: what is left is between us and the disk.
    Raises SourceError, DamagedError, StoppedError, OSError of the destination, and what `all_read` raises.
    """
    patience = Patience(around.clock, job.settings.transactions.timeout.total_seconds())
    together = find_together(job.sources, job.layout)
    with (
        tempfile.TemporaryFile(dir=job.staging) as spool_file,
        set_before(job.before, _rate(job)) as before,
        ExitStack() as stack,
        cloning(_wanted(job, together), patience, around.stop) as clones,
    ):
        spool = MemberSpool(spool_file)
        lost: tuple[str, ...] = ()
        writing = _open_archives(job, before, around.stop, stack)
        meter = _Meter(around, job)
        intake = Intake(
            job.sources, job.destination, together, clones, patience, around.stop, meter, before
        )
        archiver = Archiver(
            writing[0].frames, spool, patience, before=before, stop=around.stop, watcher=meter
        )
        _read_all(intake, archiver, [one.frames for one in writing[1:]], all_read, spool)
        archives = tuple(archive.finish(around.report) for archive in writing)
        facts = _final_facts(job, archives, archiver, spool.count, around.clock)
        if job.archives is ArchiveFormat.TAR:
            _write_papers(job, facts, archives, spool_file)
        else:
            facts, lost = _recast(job, facts, archives, spool, around)
    recovery = protect_set(job.staging, job.settings, around.clock, around.stop, around.report)
    hand_over(job.staging, like=job.destination)
    notes = (*clones.notes, *before.notes(), *lost, *recovery.notes)
    return Written(facts, notes, recovery.warnings)


def _recast(
    job: Job,
    facts: SetFacts,
    drafts: tuple[ArchiveFacts, ...],
    spool: MemberSpool,
    around: Surroundings,
) -> tuple[SetFacts, tuple[str, ...]]:
    """What was written so far was drafts; the set gets archives as 4D writes them."""

    def check(read_back: ReadBack, archive: ArchiveFacts) -> None:
        _check(read_back, archive, around.report, job.staging)

    making = Making(
        job.staging,
        facts.base,
        facts.number,
        job.settings.compression is not CompressionRate.NONE,
        job.workers,
        around.stop,
        around.report,
        check if job.settings.check_archive else None,
    )
    with tempfile.TemporaryFile(dir=job.staging) as lines:
        archives, notes = make_archives(making, drafts, spool, MemberSpool(lines))
        facts = replace(
            facts,
            ended=around.clock.now(),
            archive_bytes=sum(archive.frames.stored_bytes for archive in archives),
            files=_files_of(archives),
        )
        _write_papers(job, facts, archives, lines)
    return facts, notes


def _rate(job: Job) -> CompressionRate:
    """Drafts are packed whatever the settings say: they are read again at once, and take room until then."""
    is_draft = job.archives is not ArchiveFormat.TAR
    return CompressionRate.FAST if is_draft else job.settings.compression


def _wanted(job: Job, together: tuple[Root, ...]) -> Wanted:
    """The files that belong together and the log, cloned where the service may write."""
    together = together if job.may_clone else ()
    log, path = job.sources.log, job.sources.log_path
    return Wanted(
        files=together,
        log=Root(log, path, Role.LOG) if together and log and path else None,
        # the service may write in the last two, in the first only where sets lie in the application
        rooms=(
            *(root.source.parent for root in together[:1]),
            job.layout.package / "Logs",
            job.staging,
        ),
        held=job.held,
        seconds=job.settings.transactions.timeout.total_seconds(),
    )


def _open_archives(
    job: Job, before: SetBefore, stop: StopRequest, stack: ExitStack
) -> list["_Writing"]:
    """The main archive, and that of the log when there is one."""
    number, log = job.facts.number, job.sources.log
    kinds = [(number, ".tar", ("main", "tar"))]
    if log is not None:
        # numbered one below its set: it holds what happened after the backup before (spec 3.4)
        kinds.append((number - 1, log.suffix, ("log", "file")))
    return [stack.enter_context(_writing(job, *kind, before, stop)) for kind in kinds]


def _read_all(
    intake: Intake,
    archiver: Archiver,
    logs: Sequence[FrameWriter],
    all_read: Callable[[], None],
    spool: MemberSpool,
) -> None:
    """The application's files first, then, when it is told that all is read, what was cloned."""
    cloned = read_live(intake, archiver)
    members = [read_log(intake, frames) for frames in logs]
    all_read()
    read_cloned(intake, archiver, cloned)
    archiver.finish()
    members += [read_cloned_log(intake, frames) for frames in logs]
    for member in members:
        if member is not None:
            spool.add(member)


class _Meter:
    """Counts what has been read, tells the watcher, and keeps the pace."""

    def __init__(self, around: Surroundings, job: Job) -> None:
        self._report = around.report
        self._total = job.total_bytes
        self._pace = Pace(around.clock, job.read_rate)
        self._done = 0

    def __call__(self, count: int) -> None:
        self._done += count
        self._report(Progress("saving", self._done, max(self._total, self._done)))
        self._pace.took(count)


class _Writing:
    """One archive while it is written: first everything is read into `frames`, then it is finished."""

    def __init__(
        self,
        job: Job,
        number: int,
        suffix: str,
        kind: tuple[str, str],
        before: SetBefore,
        stop: StopRequest,
    ) -> None:
        """`kind` is its (role, stream)."""
        rate = _rate(job)
        packed = rate is not CompressionRate.NONE
        # a draft is compared when it is read again
        self._is_checked = job.settings.check_archive and job.archives is ArchiveFormat.TAR
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
            output,
            self._table,
            rate,
            job.workers,
            before_rewind=self._check.rewind,
            known=Known(before.lots, reserve=stored_limit(job.total_bytes)),
        )
        if self._is_checked and job.settings.segment_bytes is None:
            largest = stored_limit(max(FRAME_BYTES, frame_bytes(job.total_bytes)))
            self._check.follow(archive_name(*name, None), self._kind[-1], largest)

    def finish(self, report: Report) -> ArchiveFacts:
        """Write what is left, make it durable, check it."""
        facts = ArchiveFacts(*self._kind, self.frames.finish(), self._table)
        if self._is_checked:
            _check(self._check, facts, report, self._job.staging)
        self._table.forget_checksums()
        return facts

    def abandon(self) -> None:
        """End all threads after a failure, here or elsewhere."""
        self._check.abandon()
        self.frames.abandon()


@contextmanager
def _writing(
    job: Job, number: int, suffix: str, kind: tuple[str, str], before: SetBefore, stop: StopRequest
) -> Iterator[_Writing]:
    archive = _Writing(job, number, suffix, kind, before, stop)
    try:
        yield archive
    except BaseException:
        archive.abandon()
        raise


def _check(check: ReadBack, facts: ArchiveFacts, report: Report, staging: Path) -> None:
    try:
        check.finish(facts, report)
    except MissingSetError as error:
        raise DestinationError(
            f"what was just written is no longer there: {_by_name(error, staging)}",
            hint="the backup folder was unmounted or replaced during the backup; mount it again",
        ) from error
    except DamagedError as error:
        code = Code.LOG_ARCHIVE_DAMAGED if facts.role == "log" else error.code
        hint = "what was just written reads back otherwise: check that disk before anything else"
        raise DamagedError(_by_name(error, staging), code=code, hint=hint) from error


def _by_name(error: Exception, staging: Path) -> str:
    """Its words with the path that people know."""
    return str(error).replace(str(staging), str(known_name(staging)))


def _final_facts(
    job: Job,
    archives: tuple[ArchiveFacts, ...],
    archiver: Archiver,
    members: int,
    clock: Clock,
) -> SetFacts:
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
        files=_files_of(archives),
    )


def _files_of(archives: tuple[ArchiveFacts, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((archive.role, file.name) for archive in archives for file in archive.files)


def _write_papers(
    job: Job, facts: SetFacts, archives: tuple[ArchiveFacts, ...], spool: BinaryIO
) -> None:
    settings: dict[str, object] = {
        "file": str(job.layout.settings_file),
        "sha256": job.settings_digest,
        "values": plain(job.settings),
    }
    spool.seek(0)
    write_papers(job.staging, settings, facts, archives, spool)
