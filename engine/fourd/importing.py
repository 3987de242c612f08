"""A backup that 4D made becomes a set: proved, extracted, written and read back as any other, under its own number.

What it was made from is not touched. It stands in the history with the date of 4D's backup, so that a restore to a
time finds it; that it was imported is in the journal, among the events, and in its manifest.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from threading import Event

from engine.anchor import anchored
from engine.answering import require_answer
from engine.content import archive_path
from engine.errors import DamagedError, EngineError, RefusedError, RestoreError
from engine.files import disk_errors
from engine.fourd.archive import archive_opened, read_list
from engine.fourd.container import NotKnownError
from engine.fourd.extract import Wish, extract_archive
from engine.fourd.extracted import Extraction
from engine.fourd.lineage import refuse_another_lineage
from engine.fourd.origin import Origin
from engine.fourd.reading import Way
from engine.fourd.setpaths import SetPaths, refuse_another_name
from engine.host import Clock, worker_count
from engine.lock import DATABASE_LOCK, DESTINATION_LOCK, holding, waiting_for
from engine.manifest import SetFacts
from engine.operations import record_operation
from engine.plan import Sources, measure_content, prepare_destination, was_separate
from engine.publishing import publish_set
from engine.records import Recorder
from engine.recovery import remove_leftovers
from engine.report import Times
from engine.sets import plan_rotation, set_name, staging_folder, take_inventory
from engine.setwriter import Job, Surroundings, first_facts, write_set
from engine.staging import discard, own_tag
from engine.version import TOOL
from engine.workplace import workplace
from settings.layout import DatabaseLayout
from settings.reader import Reading

# clocks of two machines are never quite the same
_AHEAD = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Into:
    """The database whose set it becomes, its settings, and where its sets are."""

    layout: DatabaseLayout
    reading: Reading
    destination: Path
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Imported:
    """The set that came of it; `notes` are what a person must know."""

    origin: Origin
    folder: Path
    facts: SetFacts
    notes: tuple[str, ...]


def import_backup(origin: Origin, into: Into, way: Way, clock: Clock) -> Imported:
    """Import one. Raises EngineError: RefusedError, DamagedError, BusyError, NoRoomError, StoppedError and more."""
    layout, began = into.layout, clock.now()
    _refuse_to_come(origin, into, began)
    lock_file = layout.package / "Logs" / DATABASE_LOCK
    since = began.isoformat(timespec="seconds")
    with holding(lock_file, "an import", since, of=layout.data_file) as lock:
        require_answer(into.destination, way.stop)
        separate = was_separate(lock.memory, into.destination)
        prepare_destination(into.destination, layout.package, separate=separate)
        try:
            with disk_errors(into.destination, "importing"):
                imported = _Import(origin, into, way, clock).run()
        except EngineError as error:
            _record(origin, into, Times(None, began, clock.now(), into.zone), error)
            raise
        _record(origin, into, Times(None, began, clock.now(), into.zone), None)
    return imported


def _refuse_to_come(origin: Origin, into: Into, now: datetime) -> None:
    """A set of a day to come would be the newest for years."""
    if origin.ended > now + _AHEAD:
        raise RefusedError(
            f"its date is still to come: {origin.ended.astimezone(into.zone):%Y-%m-%d %H:%M:%S}, by {origin.source};"
            " nothing was imported",
            hint="say the right one with --date, and see whether the clock of this machine is right",
        )


def _record(origin: Origin, into: Into, times: Times, error: EngineError | None) -> None:
    folder = into.destination / set_name(into.layout.data_file.stem, origin.number)
    lines = (
        f"Archive : {origin.file}",
        *((f"Log backup : {origin.log}",) if origin.log else ()),
        f"Date of the backup : {origin.ended.astimezone(into.zone):%Y-%m-%d %H:%M:%S} ({origin.source})",
        *((f"Set : {folder}",) if error is None else ()),
    )
    record_operation(into.layout, folder, "Import", lines, times, error)


class _Import:
    """One import, holding the lock of the database."""

    def __init__(self, origin: Origin, into: Into, way: Way, clock: Clock) -> None:
        self._origin = origin
        self._into = into
        self._layout = into.layout
        self._way = way
        self._clock = _DatedClock(clock, origin.ended)
        self._base = into.layout.data_file.stem
        self._roots: tuple[tuple[str, str], ...] = ()

    def run(self) -> Imported:
        destination = self._into.destination
        leftovers = remove_leftovers(destination, self._layout)
        with anchored(destination, of=self._layout.package) as held:
            self._refuse_another_name()
            self._refuse_taken(held)
            # room is asked for by the extraction, when the list of files is known
            tag = own_tag(self._layout.data_file, self._layout.package)
            with workplace(held, 0, tag) as scratch:
                sources = self._extract(scratch)
                staging = self._claim(held)
                try:
                    with anchored(staging, of=None) as inside:
                        facts = self._write(inside, held, sources)
                        self._way.stop.check()
                        folder = publish_set(staging, inside, destination, self._base, facts.number)
                except BaseException:
                    discard(staging)
                    raise
            return Imported(self._origin, folder, facts, (*leftovers, *self._enter(held)))

    def _refuse_another_name(self) -> None:
        """Before the number: that of another database's archive says nothing here."""
        with suppress(NotKnownError, DamagedError), archive_opened(self._origin.file) as reader:
            # a list that cannot be read is told by the extraction
            for entry in read_list(reader, self._way).entries:
                refuse_another_name(entry, self._layout)

    def _refuse_taken(self, held: Path) -> None:
        name = set_name(self._base, self._origin.number)
        if os.path.lexists(held / name):
            raise RefusedError(
                f"{self._into.destination / name} is there already; nothing was imported",
                hint="a set is never replaced: when it is the same backup, nothing is to be done",
            )
        for other in take_inventory(held, self._base, self._layout.data_file).sets:
            # rotation goes by numbers: an old backup with a high number would push newer sets out
            is_higher = self._origin.number > other.number
            if is_higher != (self._origin.ended > other.facts.ended):
                raise RefusedError(
                    f"by its number it is {'newer' if is_higher else 'older'} than set {other.number}, by its date"
                    f" {'older' if is_higher else 'newer'}: rotation would take one for the other; nothing was imported",
                    hint="when the date is wrong, say the right one with --date; else extract it: backup4d 4bk extract",
                )

    def _claim(self, held: Path) -> Path:
        """The number is that of the archive, which may lie in the same folder: nobody else is given it."""
        tag = own_tag(self._layout.data_file, self._layout.package)
        with waiting_for(held / DESTINATION_LOCK):
            self._refuse_taken(held)
            staging = staging_folder(held, self._base, self._origin.number, tag)
            staging.mkdir(mode=0o750)
        return staging

    # --- from the archives to files

    def _extract(self, scratch: Path) -> Sources:
        paths = SetPaths(self._layout, scratch / "set")
        main = self._proved(self._origin.file, scratch / "main")
        for one in main.files:
            paths.place(main, one)
        data = scratch / "set" / os.fsdecode(archive_path(self._layout.data_file, self._layout))
        sets = take_inventory(self._into.destination, self._base, self._layout.data_file).sets
        refuse_another_lineage(data, self._layout, sets[-1] if sets else None)
        log = None
        if self._origin.log is not None:
            log = paths.place_log(self._proved(self._origin.log, scratch / "log"))
        paths.adopt()
        paths.date(self._origin.ended)
        self._roots = paths.live_roots()
        log_path = None if log is None else archive_path(self._layout.log, self._layout)
        return Sources(paths.roots(), log, log_path, (), (), ())

    def _proved(self, file: Path, target: Path) -> Extraction:
        way = replace(self._way, phase=f"extracting {file.name}")
        try:
            with archive_opened(file) as reader:
                extraction = extract_archive(reader, target, Wish(), way)
        except RestoreError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None  # of the backup folder: told as what it means there
            raise
        except (NotKnownError, DamagedError) as error:
            error.args = (f"{error}; nothing was imported",)
            raise
        if not extraction.is_whole:
            raise DamagedError(
                f"{file} is damaged; nothing was imported: {extraction.outcome.troubles[0].text}",
                hint="backup4d 4bk extract brings back what is whole, with a report",
            )
        return extraction

    # --- from files to a set

    def _write(self, staging: Path, held: Path, sources: Sources) -> SetFacts:
        facts = first_facts(self._layout, sources, self._origin.number, self._origin.started, None)
        facts = replace(
            facts, tool=f"{TOOL}, imported from {self._origin.file.name}", roots=self._roots
        )
        job = Job(
            layout=self._layout,
            settings=self._into.reading.settings,
            sources=sources,
            destination=held,
            staging=staging,
            facts=facts,
            settings_digest=self._into.reading.digest,
            total_bytes=measure_content(sources, held),
            workers=worker_count(),
            may_clone=False,
        )
        around = Surroundings(self._clock, self._way.stop, self._way.report)
        return write_set(job, around, self._clock.date_all).facts

    def _enter(self, held: Path) -> Iterator[str]:
        """Into the history; what is wrong from here on is told, and the set stays."""
        layout = self._layout
        try:
            with waiting_for(held / DESTINATION_LOCK):
                destination = self._into.destination
                sets = take_inventory(destination, self._base, layout.data_file).sets
                recorder = Recorder(layout.package, layout.key, self._into.zone, layout.data_file)
                recorder.sets(held, sets, (), self._clock.real.now())
        except (OSError, EngineError) as error:
            yield f"the history could not be written: {error}"
            return
        leaving = plan_rotation(sets, self._into.reading.settings.rotation)
        if any(one.stored.number == self._origin.number for one in leaving):
            yield (
                "there are newer sets, as many as SetNumber keeps: the next backup removes this one by rotation;"
                " raise SetNumber/Value to keep it"
            )


class _DatedClock:
    """The clock of the machine until all is read; from then on the instant at which 4D's backup was finished."""

    def __init__(self, real: Clock, ended: datetime) -> None:
        self.real = real
        self._ended = ended
        self._is_dated = False

    def date_all(self) -> None:
        """Nothing is compared with time stamps of files any more; what is written now is the set's own date."""
        self._is_dated = True

    def now(self) -> datetime:
        return self._ended if self._is_dated else self.real.now()

    def monotonic(self) -> float:
        return self.real.monotonic()

    def wait(self, event: Event, seconds: float) -> bool:
        return self.real.wait(event, seconds)
