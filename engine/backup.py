"""The life of one backup, in the order of docs/design.md: plan, write, check, publish, record, rotate."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from engine.errors import BusyError, DestinationError, EngineError, RefusedError
from engine.files import destination_failure, fsync_folder, remove_tree
from engine.history import HISTORY, highest_number, load_history
from engine.host import keep_freed_memory
from engine.lock import DATABASE_LOCK, DESTINATION_LOCK, Lock, holding, waiting_for
from engine.manifest import SetFacts
from engine.plan import (
    Plan,
    Sources,
    find_sources,
    free_bytes,
    is_separate,
    measure_content,
    plan_backup,
    prepare_destination,
    resolve_destination,
    was_separate,
)
from engine.progress import Progress
from engine.records import Recorder
from engine.recovery import clean_up
from engine.report import Times, event, simple_entry
from engine.results import Outcome
from engine.sets import (
    Inventory,
    Removal,
    database_tag,
    plan_rotation,
    remove_set,
    set_name,
    staging_folder,
    take_inventory,
)
from engine.setwriter import Job, Surroundings, write_set
from engine.unchanged import data_is_unchanged
from engine.version import TOOL
from settings.errors import SettingsRefusedError
from settings.layout import DatabaseLayout
from settings.model import Rate, Settings
from settings.paths import PathMap
from settings.reader import Reading, load_settings


@dataclass(frozen=True, slots=True)
class Request:
    """One backup asked for: `scheduled` is its slot, None when a person asked.

    `accept_destination`: a person says that the destination is right, though it is on another file system
    than the last time.
    """

    layout: DatabaseLayout
    path_map: PathMap
    zone: tzinfo
    scheduled: datetime | None
    accept_destination: bool = False


def run_backup(request: Request, around: Surroundings) -> Outcome:
    """Make one set, or raise the EngineError that the journal and the history already tell of.

    BusyError is not journaled: the operation that holds the lock is the one to be told about.
    """
    keep_freed_memory()
    layout = request.layout
    logs = layout.package / "Logs"
    started = around.clock.now()
    with holding(logs / DATABASE_LOCK, "a backup", started.isoformat(timespec="seconds")) as lock:
        recorder = Recorder(layout.package, layout.key, request.zone)
        run = _Run(request, around, lock, recorder, started)
        try:
            return run.run()
        except EngineError as error:
            times = Times(request.scheduled, started, around.clock.now(), request.zone)
            notes = tuple(f"Deleted before writing : {folder}" for folder in run.removed_before)
            recorder.failed("backup", error, times, notes)
            with suppress(
                OSError
            ):  # it is in the journal; this is for `status`, also on a full disk
                failure = {"ended": times.ended.isoformat(), "code": int(error.code)}
                lock.remember({**lock.memory, "failure": {**failure, "text": str(error)[:1000]}})
                lock.note(None)
            raise


class _Run:
    """One run, holding the lock."""

    def __init__(
        self,
        request: Request,
        around: Surroundings,
        lock: Lock,
        recorder: Recorder,
        started: datetime,
    ) -> None:
        self._request = request
        self._around = around
        self._lock = lock
        self._recorder = recorder
        self._started = started
        self._layout = request.layout
        self._base = request.layout.data_file.stem
        self._warnings: list[str] = []
        self.removed_before: list[Path] = []

    def run(self) -> Outcome:
        """The whole life; see the module."""
        self._know(self._lock.memory.get("destination"))
        reading = self._read_settings()
        settings = reading.settings
        self._recorder.verbose = settings.verbose_journal
        destination = resolve_destination(self._layout, settings, self._request.path_map)
        self._know(destination)
        self._warnings += clean_up(
            self._lock, self._recorder, destination, self._layout, self._around.clock
        )
        self._around.report(Progress("planning", 0, 0))
        sources = find_sources(self._layout, reading, self._request.path_map)
        separate = not self._request.accept_destination and was_separate(
            self._lock.memory, destination
        )
        prepare_destination(destination, self._layout.package, separate=separate)
        self._recorder.destination = destination
        with _disk_errors(destination, "writing the set"):
            if settings.only_if_changed and self._is_unchanged(destination):
                return self._postpone()
            return self._into(destination, settings, sources, reading.digest)

    def _know(self, destination: object) -> None:
        """A folder that holds a history is the one we know: failures can be recorded in it from now on."""
        if isinstance(destination, str | Path) and (Path(destination) / HISTORY).is_file():
            self._recorder.destination = Path(destination)

    def _is_unchanged(self, destination: Path) -> bool:
        """Only scheduled backups are postponed; a person who asks gets one."""
        if self._request.scheduled is None:
            return False
        complete = [stored for stored in self._inventory(destination).sets if stored.facts.complete]
        return bool(complete) and data_is_unchanged(self._layout, complete[-1])

    def _postpone(self) -> Outcome:
        text = "data file, index and log have not changed since the last good set"
        now = self._around.clock.now()
        times = Times(self._request.scheduled, self._started, now, self._request.zone)
        with self._unharmed("the Backup journal could not be written"):
            lines = (f"Reason : {text}", times.lines(" :")[0])
            self._recorder.journal(simple_entry("Backup postponed", lines, times))
        self._recorder.event(event("postponed", times))
        return Outcome(None, None, text, warnings=tuple(self._warnings))

    def _read_settings(self) -> Reading:
        try:
            return load_settings(self._layout.settings_file)
        except SettingsRefusedError as error:
            raise RefusedError(
                str(error), hint=f"run: backup4d settings check '{self._layout.package}'"
            ) from error
        except OSError as error:
            raise RefusedError(
                f"{self._layout.settings_file} cannot be read: {error.strerror}"
            ) from error

    def _into(
        self, destination: Path, settings: Settings, sources: Sources, digest: str
    ) -> Outcome:
        total = measure_content(sources, destination)
        identity = destination.stat()
        with waiting_for(destination / DESTINATION_LOCK):
            plan = self._plan(destination, settings, total)
            staging = staging_folder(
                destination, self._base, plan.number, database_tag(self._layout.data_file)
            )
            self._note(plan.number, destination)
            removed = self._remove(plan.remove_before)
            self.removed_before = [removal.stored.folder for removal in removed]
            staging.mkdir(mode=0o750)
        job = Job(
            layout=self._layout,
            settings=settings,
            sources=sources,
            destination=destination,
            staging=staging,
            facts=self._first_facts(plan, sources),
            settings_digest=digest,
            total_bytes=total,
            workers=os.cpu_count() or 2,
        )
        try:
            facts = write_set(job, self._around)
            self._around.stop.check()
            folder = self._publish(job, identity)
        except BaseException:
            _discard(staging)
            raise
        return self._record(folder, facts, settings, removed)

    def _plan(self, destination: Path, settings: Settings, total: int) -> Plan:
        inventory = self._inventory(destination)
        for name, why in inventory.unreadable:
            self._warnings.append(f"{name} is not counted as a set and was left alone: {why}")
        history = load_history(destination)
        known = highest_number(history.document, self._recorder.structure)
        remembered = self._lock.memory.get("number")
        if isinstance(remembered, int):
            known = max(known, remembered)
        return plan_backup(
            inventory,
            settings,
            known_number=known,
            content_bytes=total,
            free_bytes=free_bytes(destination),
        )

    def _inventory(self, destination: Path) -> Inventory:
        return take_inventory(destination, self._base, self._layout.data_file)

    def _note(self, number: int, destination: Path) -> None:
        scheduled = self._request.scheduled
        record = {
            "doing": "a backup",
            "pid": os.getpid(),
            "host": socket.gethostname()[:64],
            "since": self._started.isoformat(timespec="seconds"),
            "scheduled": None if scheduled is None else scheduled.isoformat(),
            "number": number,
            "destination": str(destination),
        }
        try:
            self._lock.note(record)
        except OSError as error:
            logs = self._layout.package / "Logs"
            raise destination_failure(logs, "writing the lock there", error) from error

    def _first_facts(self, plan: Plan, sources: Sources) -> SetFacts:
        layout = self._layout
        return SetFacts(
            number=plan.number,
            base=self._base,
            package=str(layout.package),
            data_file=str(layout.data_file),
            structure=None if layout.structure is None else str(layout.structure),
            started=self._started,
            ended=self._started,
            scheduled=self._request.scheduled,
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

    def _publish(self, job: Job, identity: os.stat_result) -> Path:
        """One rename makes the whole set appear; the folder must still be the one the plan was made for."""
        now = job.destination.stat()
        if (now.st_dev, now.st_ino) != (identity.st_dev, identity.st_ino):
            raise DestinationError(
                f"{job.destination} is not the folder it was when the backup began: it was unmounted or replaced",
                hint="mount the volume again; the set was not published",
            )
        folder = job.destination / set_name(self._base, job.facts.number)
        job.staging.rename(folder)
        fsync_folder(job.destination)
        return folder

    def _record(
        self, folder: Path, facts: SetFacts, settings: Settings, removed: list[Removal]
    ) -> Outcome:
        """History, journal, rotation, memory: from here on the set is safe and nothing may harm it."""
        destination = folder.parent
        with self._unharmed("what the next run must know could not be written"):
            separate = is_separate(destination, self._layout.package)
            memory: dict[str, Any] = {
                "number": facts.number,
                "destination": str(destination),
                "separate": separate,
            }
            self._lock.remember(memory)
        notes = _not_done(settings)
        surplus: tuple[Removal, ...] = ()
        gone: list[Removal] = []
        lock = destination / DESTINATION_LOCK
        with self._unharmed("the history could not be written"), waiting_for(lock):
            sets = self._inventory(destination).sets
            surplus = plan_rotation(sets, settings.rotation)
            self._recorder.sets(destination, sets, surplus, self._around.clock.now())
        with self._unharmed("the Backup journal could not be written"):
            self._recorder.published(folder, facts, (*removed, *surplus), notes)
        with self._unharmed("old sets could not be removed"), waiting_for(lock):
            gone = self._remove(surplus)
        with self._unharmed("the lock's record could not be cleared"):
            self._lock.note(None)
        names = tuple(removal.stored.folder.name for removal in (*removed, *gone))
        text = f"set {facts.number} was published in {folder}"
        return Outcome(folder, facts, text, names, (*self._warnings, *notes))

    def _remove(self, removals: tuple[Removal, ...]) -> list[Removal]:
        """Oldest first: if we are killed here, what remains is a gapless run of newest sets."""
        gone: list[Removal] = []
        for removal in removals:
            with self._unharmed(f"{removal.stored.folder} could not be removed"):
                remove_set(removal)
                gone.append(removal)
        return gone

    @contextmanager
    def _unharmed(self, what: str) -> Iterator[None]:
        """A failure here is told, and does not undo a good set."""
        try:
            yield
        except (OSError, BusyError) as error:
            self._warnings.append(f"{what}: {error}")


def _not_done(settings: Settings) -> tuple[str, ...]:
    """Settings this release reads and does not act on yet are never ignored in silence."""
    asked = {"Redundancy": settings.redundancy, "Interlacing": settings.interlacing}
    return tuple(
        f"{key} {rate.value} : recovery data is not written by this release"
        for key, rate in asked.items()
        if rate is not Rate.NONE
    )


def _discard(staging: Path) -> None:
    with suppress(OSError):  # what stays has a hidden name and is removed by the next run
        remove_tree(staging)


@contextmanager
def _disk_errors(destination: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise destination_failure(destination, doing, error) from error
