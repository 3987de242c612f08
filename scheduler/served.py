"""One database under the service: what is known of it, kept on the disk, and what its files say now."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.errors import BusyError, Code, EngineError, RefusedError
from engine.journal import one_line
from engine.lock import DATABASE_LOCK, current_holder, read_memory
from engine.plan import resolve_destination
from engine.records import Recorder
from engine.report import Times, simple_entry
from engine.sets import take_inventory
from scheduler.after import (
    Change,
    after_cancel,
    after_clock_damage,
    after_failure,
    after_manual_start,
    after_missed,
    after_restart,
    after_settings_change,
    after_start,
    after_stop,
    after_success,
)
from scheduler.decide import ClockDamage, Decision, Missed, Run, decide
from scheduler.known import Failure, Halt, Known, Manual, Owed, Serving, watch
from scheduler.outcomes import Ending, Failed, Postponed, Published
from scheduler.state import (
    LastRun,
    State,
    StateError,
    load_state,
    save_state,
    set_aside,
    state_file,
)
from settings.errors import SettingsError
from settings.layout import DatabaseLayout
from settings.locate import locate_database
from settings.paths import PathMap
from settings.reader import Reading, load_settings
from settings.service_file import ServedDatabase

_log = logging.getLogger(__name__)

_FULL_READ = 12  # every so many looks, five minutes apart, the settings are read whatever stat says


@dataclass(frozen=True, slots=True)
class Host:
    """What all databases of one service share."""

    state_folder: Path
    zone: ZoneInfo
    path_map: PathMap


class Served:
    """One database. `problem` says why its settings cannot be used now, None when they can."""

    def __init__(self, entry: ServedDatabase, host: Host) -> None:
        self.name = str(entry.package)
        self.problem: str | None = None
        self.layout: DatabaseLayout | None = None
        self._entry = entry
        self._host = host
        self._reading: Reading | None = None
        self._refused_digest = ""
        self._state: State | None = None
        self._number_seen: int | None = None
        self._signature: tuple[object, ...] = ()
        self._looks = 0

    # --- looking at the disk

    def refresh(self, now: datetime) -> None:
        """Take up edited settings, and backups that others made; a broken edit keeps the last good settings."""
        try:
            layout, reading = self._read()
        except SettingsError as error:
            self._refuse(str(error), now)
            return
        except OSError as error:
            self._refuse(f"{self.name} cannot be read: {error.strerror}", now)
            return
        self.layout, self.problem = layout, None
        was_refused, self._refused_digest = self._refused_digest, ""
        if self._reading is None or reading.digest != self._reading.digest:
            self._take_up(reading, now)
        elif was_refused:
            self._journal("Settings", (f"Settings usable again : {reading.file}",), now)
        self._notice_others(layout, now)

    def _read(self) -> tuple[DatabaseLayout, Reading]:
        """Layout and settings; read again when anything about a place of settings changed, and now and then.

        Network file systems may show old facts of a file for a while; the digest decides what is new.
        """
        self._looks += 1
        layout, reading = self.layout, self._reading
        is_due = self._looks % _FULL_READ == 0
        if layout is None or reading is None or is_due or self._signature != _signature(layout):
            return self._read_again()
        return layout, reading

    def _read_again(self) -> tuple[DatabaseLayout, Reading]:
        layout = locate_database(self._entry.package, self._entry.data_file)
        signature = _signature(
            layout
        )  # before the reading: an edit in between is seen the next time
        reading = load_settings(layout.settings_file)
        self._signature = signature
        return layout, reading

    def _refuse(self, why: str, now: datetime) -> None:
        """Say it once for each broken edit."""
        self.problem = why
        if why == self._refused_digest:
            return
        self._refused_digest = why
        kept = ""
        if self._reading is not None:  # the run reads the file itself, as 4D does, and is refused
            kept = "; the last good schedule stays, and backups fail until the file is corrected"
        _log.error("%s: settings refused%s: %s", self.name, kept, one_line(why))
        lines = (f"Settings refused{kept}", *(f"Reason : {line}" for line in why.splitlines()))
        self._journal("Settings", lines, now)

    def _take_up(self, reading: Reading, now: datetime) -> None:
        settings = reading.settings
        first = self._reading is None
        self._reading = reading
        if self._state is None:
            self._state = self._load_state(reading, now)
        change = after_settings_change(
            self._state.known, settings.schedule, settings.retry, self._host.zone, now
        )
        self._apply(change, now)
        if not first:
            _log.info("%s: settings changed and taken up from %s", self.name, reading.file)
            self._journal("Settings", (f"Settings taken up : {reading.file}",), now)

    def _load_state(self, reading: Reading, now: datetime) -> State:
        assert self.layout is not None  # noqa: S101 - refresh has set it
        file = state_file(self._host.state_folder, self.layout.data_file)
        state: State | None = None
        try:
            state = load_state(file)
        except StateError as error:
            self._set_state_aside(file, error, now)
        if state is None:
            settings = reading.settings
            known = watch(settings.schedule, settings.retry, self._host.zone, now)
            state = State(str(self.layout.package), known)
            return replace(state, known=self._from_sets(state.known, reading, restarted=False))
        return replace(
            state,
            known=after_restart(self._from_sets(state.known, reading, restarted=True), now),
        )

    def _set_state_aside(self, file: Path, error: StateError, now: datetime) -> None:
        try:
            words = f"State set aside : {set_aside(file, now)} ({error})"
        except OSError as cause:
            words = (
                f"State not usable : {file} ({error}); it could not be set aside: {cause.strerror}"
            )
        _log.error("%s: %s", self.name, words)
        self._journal("Settings", (words, "It is rebuilt from the sets"), now)

    def _from_sets(self, known: Known, reading: Reading, *, restarted: bool) -> Known:
        """What the sets prove: a slot whose set was published is served, whatever the state says."""
        assert self.layout is not None  # noqa: S101 - refresh has set it
        try:
            destination = resolve_destination(self.layout, reading.settings, self._host.path_map)
            inventory = take_inventory(
                destination, self.layout.data_file.stem, self.layout.data_file
            )
        except (OSError, EngineError):
            return known
        slots = [s.facts.scheduled for s in inventory.sets if s.facts.scheduled is not None]
        if not slots:
            return known
        newest = max(slots)
        if restarted:
            return _without_served(known, newest)
        if newest < known.answered_until:
            anchor = newest.astimezone(known.zone).date()
            return replace(known, answered_until=newest, anchor=anchor)
        return known

    def _notice_others(self, layout: DatabaseLayout, now: datetime) -> None:
        """A backup started by hand holds the lock; when it succeeded, the lock's memory has a new number."""
        assert self._state is not None  # noqa: S101 - _take_up has set it
        known = self._state.known
        if isinstance(known.running, Serving):
            return
        lock = layout.package / "Logs" / DATABASE_LOCK
        try:
            holder, remembered = current_holder(lock), read_memory(lock).get("number")
        except OSError:
            return
        number = remembered if isinstance(remembered, int) else 0  # 0: no backup succeeded yet
        succeeded = self._number_seen is not None and number != self._number_seen
        self._number_seen = number
        if succeeded:
            self._apply(after_success(known, now), now)
        elif holder is not None and known.running is None:
            self._change(after_manual_start(known, now))
        elif holder is None and isinstance(known.running, Manual):
            self._apply(after_cancel(known, now), now)

    # --- deciding

    @property
    def known(self) -> Known | None:
        """What decisions are made from; None before the settings were once good."""
        return None if self._state is None else self._state.known

    @property
    def reading(self) -> Reading | None:
        """The settings in force."""
        return self._reading

    def decide(self, now: datetime) -> Decision | None:
        """What to do now, after journaling what nobody will serve; None while nothing is known."""
        if self._state is None:
            return None
        while True:
            decision = decide(self._state.known, now)
            match decision:
                case Missed():
                    self._tell_missed(decision, now)
                    self._change(after_missed(self._state.known, decision))
                case ClockDamage(reason):
                    _log.warning("%s: %s", self.name, reason)
                    self._journal("Settings", (f"Clock : {reason}",), now)
                    self._change(after_clock_damage(self._state.known, now))
                case _:
                    return decision

    # --- running

    def begin(self, run: Run, now: datetime) -> None:
        """The run is accepted; remembered before anything else happens."""
        assert self._state is not None  # noqa: S101 - the run came from decide
        if run.missed > 0:
            local = run.slot.at.astimezone(self._host.zone)
            lines = (
                f"Missed : {run.missed} scheduled backup(s), the first at {local:%Y-%m-%d %H:%M:%S}",
                "Now : one backup catches up",
            )
            self._journal("Scheduled backup missed", lines, now)
        self._change(after_start(self._state.known, run, now))

    def finished(self, ending: Ending, now: datetime) -> None:
        """The run ended; what follows from that is remembered."""
        assert self._state is not None  # noqa: S101 - begin came before
        if isinstance(ending, Published):
            self._number_seen = ending.number
        if isinstance(ending, Failed) and ending.code == Code.BUSY:
            # the engine journals nothing without the lock; nobody else tells of this attempt
            self._journal("Full Backup aborted", (), now, BusyError(ending.text, hint=ending.hint))
        self._state = replace(self._state, last=_last_run(ending, now))
        change = _change_after(self._state.known, ending, now)
        if isinstance(change.known.trouble, Halt):
            self._tell_halt(change.known.trouble, now)
        self._apply(change, now)

    def owe(self) -> None:
        """The service stops before this database's run has ended."""
        assert self._state is not None  # noqa: S101 - begin came before
        self._change(after_stop(self._state.known))

    def destination_device(self) -> int:
        """The device that sets are written to; 0 while it is unknown. Databases on one device take turns."""
        if self._reading is None or self.layout is None:
            return 0
        try:
            settings = self._reading.settings
            folder = resolve_destination(self.layout, settings, self._host.path_map)
            while not folder.exists():
                folder = folder.parent
            return folder.stat().st_dev
        except (OSError, RefusedError):
            return 0

    # --- remembering and telling

    def _apply(self, change: Change, now: datetime) -> None:
        if change.missed is not None:
            self._tell_missed(change.missed, now)
        self._change(change.known)

    def _change(self, known: Known) -> None:
        assert self._state is not None  # noqa: S101 - only called with a state
        assert self.layout is not None  # noqa: S101 - a state has a layout
        self._state = replace(self._state, known=known)
        file = state_file(self._host.state_folder, self.layout.data_file)
        try:
            save_state(file, self._state)
        except OSError as error:
            _log.error("%s: state could not be saved in %s: %s", self.name, file, error.strerror)

    def _tell_missed(self, missed: Missed, now: datetime) -> None:
        zone = self._host.zone
        first = missed.slots.first.at.astimezone(zone)
        last = missed.slots.last.at.astimezone(zone)
        span = f"the backup of {first:%Y-%m-%d %H:%M:%S}"
        if missed.slots.count > 1:
            span = f"{missed.slots.count} scheduled backups, from {first:%Y-%m-%d %H:%M:%S} to"
            span += f" {last:%Y-%m-%d %H:%M:%S}"
        lines = (
            f"Missed : {span}",
            f"Reason : {missed.reason}",
        )
        _log.warning("%s: %s; %s", self.name, *lines)
        self._journal("Scheduled backup missed", lines, now)

    def _tell_halt(self, halt: Halt, now: datetime) -> None:
        error = EngineError(
            f"all {halt.attempts} attempts failed; automatic backups are halted",
            code=Code.ATTEMPTS_USED_UP,
            hint="mend what the last error says, then start a backup by hand, change the settings, or "
            "restart the service",
        )
        _log.error("%s: %s; %s", self.name, error, error.hint)
        self._journal("Scheduled backups halted", (), now, error)

    def _journal(
        self, title: str, lines: tuple[str, ...], now: datetime, error: EngineError | None = None
    ) -> None:
        package = self._entry.package if self.layout is None else self.layout.package
        recorder = Recorder(package, self.name, self._host.zone)
        try:
            # the first entry of a database may come before its first backup
            (package / "Logs").mkdir(exist_ok=True)
            recorder.journal(
                simple_entry(title, lines, Times(None, now, now, self._host.zone), error)
            )
        except OSError as cause:
            _log.error("%s: the Backup journal could not be written: %s", self.name, cause.strerror)


def _signature(layout: DatabaseLayout) -> tuple[object, ...]:
    """What stat says of every place where settings may lie."""
    facts: list[object] = []
    for place, _ in layout.considered:
        try:
            found = place.stat()
        except OSError:
            facts.append(None)
            continue
        facts.append(
            (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        )
    return tuple(facts)


def _change_after(known: Known, ending: Ending, now: datetime) -> Change:
    match ending:
        case Published():
            return after_success(known, now)
        case Postponed() | Failed(code=Code.STOPPED):
            return after_cancel(known, now)
        case Failed(code=code):
            return after_failure(known, code, now)


def _last_run(ending: Ending, now: datetime) -> LastRun:
    match ending:
        case Published(number=number, code=code, text=text):
            return LastRun(now, code, text, number)
        case Postponed(text):
            return LastRun(now, 0, text, None)
        case Failed(code=code, text=text):
            return LastRun(now, code, text, None)


def _without_served(known: Known, newest: datetime) -> Known:
    """The run died, or the state was not saved, after the set had appeared: the slot is served all the same."""
    if isinstance(known.running, Serving) and newest >= known.running.slot.at:
        known = replace(known, running=None)
    if isinstance(known.trouble, Failure | Owed) and newest >= known.trouble.slot.at:
        known = replace(known, trouble=None)
    if newest > known.answered_until:
        known = replace(known, answered_until=newest)
    return known
