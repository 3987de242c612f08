"""The life of one backup, in the order of docs/design.md: plan, write, check, publish, record, rotate."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.anchor import anchored
from engine.answering import answers_with, require_answer
from engine.errors import Code, EngineError
from engine.files import destination_failure, disk_errors
from engine.guard import Guard, start_guard
from engine.history import HISTORY, highest_number, load_history
from engine.hooks import Told, run_shutdown, run_startup
from engine.host import keep_freed_memory, worker_count
from engine.lock import DATABASE_LOCK, DESTINATION_LOCK, Lock, holding, waiting_for
from engine.logwatch import watch_log
from engine.machine import host_name
from engine.manifest import SetFacts
from engine.mounts import kind_of
from engine.ownsets import judge_sets, own_marks, split_sets, taken_over
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
from engine.publishing import publish_set
from engine.records import Recorder
from engine.recovery import clean_up
from engine.report import Times, event, partial_reason, shutdown_failed_entry, simple_entry
from engine.request import Request, slot_text
from engine.results import Outcome
from engine.sets import (
    Inventory,
    Removal,
    plan_rotation,
    remove_set,
    take_inventory,
)
from engine.settings_in_force import settings_in_force
from engine.setwriter import Job, Surroundings, first_facts, write_set
from engine.shipped import place_restorer
from engine.staging import claim_number, discard, own_tag
from engine.unchanged import data_is_unchanged
from engine.undo import is_dead_restore, undo_dead_restore
from settings.model import Settings
from settings.reader import Reading
from settings.service_model import Hook

_UNCHANGED = "data file, index and log have not changed since the last good set"


def run_backup(request: Request, around: Surroundings) -> Outcome:
    """Make one set, or raise the EngineError that the journal and the history already tell of.

    BusyError is not journaled: the operation that holds the lock is the one to be told about.
    """
    keep_freed_memory()
    layout = request.layout
    file, started = layout.package / "Logs" / DATABASE_LOCK, around.clock.now()
    since = started.isoformat(timespec="seconds")
    with holding(file, "a backup", since, of=layout.data_file) as lock:
        recorder = Recorder(layout.package, layout.key, request.zone, layout.data_file)
        run = _Run(request, around, lock, recorder, started)
        try:
            outcome = run.run()
        except EngineError as error:
            times = Times(request.scheduled, started, around.clock.now(), request.zone)
            removed = (f"Deleted before writing : {folder}" for folder in run.removed_before)
            recorder.failed("backup", error, times, (*run.notes, *run.hook_notes, *removed))
            # it is in the journal; this is for `status`, also on a full disk
            with suppress(OSError):
                failure = {"ended": times.ended.isoformat(), "code": int(error.code)}
                lock.remember({**lock.memory, "failure": {**failure, "text": str(error)[:1000]}})
                if not is_dead_restore(lock.left_behind):  # it is to be undone before all else
                    lock.note(None)
            run.tell_end(int(error.code) or Code.BACKUP_FAILED, str(error))
            raise
        except Exception as error:
            run.tell_end(Code.BACKUP_FAILED, f"the backup failed: {error!r}")
            raise
        return run.tell_outcome(outcome)


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
        self._marks = own_marks(lock.memory)
        self._warnings: list[str] = []
        self.notes: list[str] = []
        self.hook_notes: list[str] = []
        self.removed_before: list[Path] = []
        self._missing_log: EngineError | None = None
        self._told = Told(request.layout, request.zone, request.scheduled)

    def run(self) -> Outcome:
        """The whole life; see the module."""
        self._know(self._lock.memory.get("destination"))
        self._undo_dead_restore()
        reading, notes = settings_in_force(self._request)
        self.notes += notes
        settings = reading.settings
        self._recorder.verbose = settings.verbose_journal
        destination = resolve_destination(self._layout, settings, self._request.path_map)
        require_answer(destination, self._around.stop)
        self._know(destination)
        clock = self._around.clock
        self._warnings += clean_up(self._lock, self._recorder, destination, self._layout, clock)
        self._around.report(Progress("planning", 0, 0))
        sources = self._find_sources(reading)
        separate = not self._request.accept_destination and was_separate(
            self._lock.memory, destination
        )
        prepare_destination(destination, self._layout.package, separate=separate)
        self._recorder.destination = destination
        self._told = replace(self._told, destination=destination)
        with disk_errors(destination, "writing the set"):
            if self._is_served(destination):
                number = self._lock.memory["number"]
                return self._postpone(f"set {number} was made for this slot already")
            if settings.only_if_changed and self._is_unchanged(destination):
                return self._postpone(_UNCHANGED)
            if self._request.hooks.startup is not None:
                self._ask(self._request.hooks.startup, destination, settings, sources)
            return self._into(destination, reading)

    def tell_outcome(self, outcome: Outcome) -> Outcome:
        """Tell the shutdown hook of a set; nothing of a postponed backup, as 4D."""
        if outcome.facts is None:
            return outcome
        status, text = 0, outcome.text
        if not outcome.facts.complete:
            status, text, _ = partial_reason(outcome.facts)
        warning = self.tell_end(status, text, outcome.folder)
        warnings = (*outcome.warnings, *([warning] if warning else []))
        return replace(outcome, warnings=warnings)

    def tell_end(self, status: int, text: str, folder: Path | None = None) -> str | None:
        """Tell the shutdown hook how it ended; what goes wrong with that is journaled and harms nothing."""
        hook = self._request.hooks.shutdown
        if hook is None:
            return None
        began = self._around.clock.now()
        failure = run_shutdown(hook, self._told.ended(status, text, folder), self._around)
        if failure is not None:
            now = self._around.clock.now()
            times = Times(self._request.scheduled, began, now, self._request.zone)
            with self._unharmed("the Backup journal could not be written"):
                self._recorder.journal(shutdown_failed_entry(failure, times))
        return failure

    def _undo_dead_restore(self) -> None:
        """Before anything is read: the settings file itself may be among what was moved aside."""
        undone = undo_dead_restore(self._lock, self._recorder, self._around.clock.now())
        if undone is not None:
            self.notes.append(undone)

    def _find_sources(self, reading: Reading) -> Sources:
        return find_sources(self._layout, reading, self._request.path_map)

    def _know(self, destination: object) -> None:
        """A folder that holds a history is the one we know: failures can be recorded in it from now on."""
        if isinstance(destination, str | Path) and answers_with(Path(destination), HISTORY):
            self._recorder.destination = Path(destination)

    def _is_unchanged(self, destination: Path) -> bool:
        """Only scheduled backups are postponed; a person who asks gets one."""
        if self._request.scheduled is None:
            return False
        sets, _ = split_sets(self._inventory(destination).sets, self._marks)
        complete = [stored for stored in sets if stored.facts.complete]
        return bool(complete) and data_is_unchanged(self._layout, complete[-1])

    def _is_served(self, destination: Path) -> bool:
        """Another service may have made it: no slot is served twice, whoever asks."""
        slot, memory = slot_text(self._request.scheduled), self._lock.memory
        if slot is None or memory.get("slot") != slot:
            return False
        now = self._around.clock.now()
        # one that was made later than now was made by a clock that was wrong: its slot comes again
        sets = (one for one in self._inventory(destination).sets if one.facts.started <= now)
        return memory.get("number") in {stored.number for stored in sets}

    def _postpone(self, text: str) -> Outcome:
        now = self._around.clock.now()
        times = Times(self._request.scheduled, self._started, now, self._request.zone)
        with self._unharmed("the Backup journal could not be written"):
            lines = (f"Reason : {text}", times.lines(" :")[0])
            self._recorder.journal(simple_entry("Backup postponed", lines, times))
        self._recorder.event(event("postponed", times))
        return Outcome(None, None, text, warnings=tuple(self._warnings))

    def _ask(self, hook: Hook, destination: Path, settings: Settings, sources: Sources) -> None:
        """What can be refused is refused before the startup hook is asked; all is looked at again after it."""
        total = measure_content(sources, destination)
        with self._holding(destination) as held, waiting_for(held / DESTINATION_LOCK):
            plan = self._plan(destination, settings, total)
        self._note(plan.number, destination)
        self._tell_of(plan, sources)
        self.hook_notes.append(run_startup(hook, self._told, self._around))

    def _into(self, destination: Path, reading: Reading) -> Outcome:
        settings = reading.settings
        sources = self._find_sources(reading)
        total = measure_content(sources, destination)
        with self._holding(destination) as held:
            with waiting_for(held / DESTINATION_LOCK):
                plan = self._plan(destination, settings, total)
                self._note(plan.number, destination)
                removed = self._remove(plan.remove_before, held)
                self.removed_before = [removal.stored.folder for removal in removed]
                tag = own_tag(self._layout.data_file, self._layout.package)
                staging, number = claim_number(held, self._base, plan.number, tag)
                if number != plan.number:
                    plan = replace(plan, number=number)
                    self._note(number, destination)
            self._tell_of(plan, sources)
            try:
                with anchored(staging, of=None) as inside:
                    facts = self._write(held, inside, reading, plan, total)
                    self._around.stop.check()
                    folder = publish_set(staging, inside, destination, self._base, facts.number)
            except BaseException:
                discard(staging)
                raise
            return self._record(folder, facts, settings, removed, held)

    def _write(
        self, destination: Path, staging: Path, reading: Reading, plan: Plan, total: int
    ) -> SetFacts:
        """Write the set while the guard holds the files still; what is there counts from when it does."""
        layout, request = self._layout, self._request
        with self._guarding() as guard:
            sources = self._find_sources(reading)
            facts = first_facts(layout, sources, plan.number, self._started, request.scheduled)
            job = Job(
                layout=layout,
                settings=reading.settings,
                sources=sources,
                destination=destination,
                staging=staging,
                facts=facts,
                settings_digest=reading.digest,
                total_bytes=total,
                workers=worker_count(),
                before=plan.before if request.limits.take_over else None,
                read_rate=request.limits.read_rate,
                held=guard.holds,
                may_clone=guard.may_clone,
                archives=request.archives,
            )
            written = write_set(job, guard.watching(self._around), guard.let_go)
            self.hook_notes += written.notes
            self.notes += written.warnings
        with self._unharmed("the log could not be compared with the set before"):
            log = watch_log(staging, plan.before, layout, was_saved=plan.log_was_saved)
            self.notes += log.notes
            self._missing_log = log.missing
        return written.facts

    @contextmanager
    def _guarding(self) -> Iterator[Guard]:
        guard = start_guard(self._request.hooks.guard, self._told, self._around)
        try:
            yield guard
        finally:
            guard.end()
            self.hook_notes += (*guard.notes, *guard.warnings)
            self._warnings += guard.warnings

    def _holding(self, destination: Path) -> AbstractContextManager[Path]:
        return anchored(destination, of=self._layout.package)

    def _tell_of(self, plan: Plan, sources: Sources) -> None:
        files = tuple(str(root.source) for root in sources.roots)
        log = () if sources.log is None else (str(sources.log),)
        self._told = replace(self._told, number=plan.number, files=(*files, *log))

    def _plan(self, destination: Path, settings: Settings, total: int) -> Plan:
        inventory = self._inventory(destination)
        for name, why in inventory.unreadable:
            warning = f"{name} is not counted as a set and was left alone: {why}"
            if warning not in self._warnings:
                self._warnings.append(warning)
        ours, self._marks, notes = judge_sets(inventory.sets, self._marks, self._request)
        self.notes += [note for note in notes if note not in self.notes]
        known = highest_number(load_history(destination).document, self._recorder.structure)
        remembered = self._lock.memory.get("number")
        known = max(known, remembered if isinstance(remembered, int) else 0)
        return plan_backup(
            replace(inventory, sets=ours),
            settings,
            known_number=known,
            content_bytes=total,
            free_bytes=free_bytes(destination),
            kind=kind_of(destination),
            archives=self._request.archives,
        )

    def _inventory(self, destination: Path) -> Inventory:
        return take_inventory(destination, self._base, self._layout.data_file)

    def _note(self, number: int, destination: Path) -> None:
        record = {
            "doing": "a backup",
            "pid": os.getpid(),
            "host": host_name(),
            "since": self._started.isoformat(timespec="seconds"),
            "scheduled": slot_text(self._request.scheduled),
            "number": number,
            "destination": str(destination),
            "data_file": str(self._layout.data_file),
        }
        try:
            self._lock.note(record)
        except OSError as error:
            logs = self._layout.package / "Logs"
            raise destination_failure(logs, "writing the lock there", error) from error

    def _record(
        self, folder: Path, facts: SetFacts, settings: Settings, removed: list[Removal], held: Path
    ) -> Outcome:
        """History, journal, rotation, memory: from here on the set is safe and nothing may harm it."""
        destination = folder.parent
        with self._unharmed("what the next run must know could not be written"):
            separate = is_separate(destination, self._layout.package)
            memory: dict[str, Any] = {"number": facts.number, "destination": str(destination)}
            memory |= {"separate": separate, "machines": taken_over(self._marks)}
            self._lock.remember({**memory, "slot": slot_text(facts.scheduled)})
        surplus: tuple[Removal, ...] = ()
        gone: list[Removal] = []
        lock = held / DESTINATION_LOCK
        with self._unharmed("the history could not be written"), waiting_for(lock):
            sets = self._inventory(destination).sets
            surplus = plan_rotation(split_sets(sets, self._marks)[0], settings.rotation)
            self._recorder.sets(held, sets, surplus, self._around.clock.now())
        with self._unharmed("the Backup journal could not be written"):
            told = (*self.hook_notes, *self.notes)
            problem = self._missing_log
            self._recorder.published(folder, facts, (*removed, *surplus), told, problem)
            if problem is not None:
                self._warnings.append(f"error {problem.code}: {problem}; {problem.hint}")
        with self._unharmed("restore.py could not be put beside the sets"), waiting_for(lock):
            place_restorer(held)
        with self._unharmed("old sets could not be removed"), waiting_for(lock):
            gone = self._remove(surplus, held)
        with self._unharmed("the lock's record could not be cleared"):
            self._lock.note(None)
        names = tuple(removal.stored.folder.name for removal in (*removed, *gone))
        text = f"set {facts.number} was published in {folder}"
        return Outcome(folder, facts, text, names, (*self._warnings, *self.notes))

    def _remove(self, removals: tuple[Removal, ...], held: Path) -> list[Removal]:
        """Oldest first: if we are killed here, what remains is a gapless run of newest sets."""
        gone: list[Removal] = []
        for removal in removals:
            with self._unharmed(f"{removal.stored.folder} could not be removed"):
                remove_set(removal, held)
                gone.append(removal)
        return gone

    @contextmanager
    def _unharmed(self, what: str) -> Iterator[None]:
        """A failure here is told, and does not undo a good set."""
        try:
            yield
        except (OSError, EngineError) as error:
            self._warnings.append(f"{what}: {error}")
