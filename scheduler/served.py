"""One database under the service: what is known of it, kept on the disk, and what its files say now."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import Code, EngineError
from engine.host import Clock, HostClock
from engine.journal import one_line
from engine.lock import DATABASE_LOCK, read_traces
from engine.request import Request
from scheduler.after import (
    Change,
    after_cancel,
    after_clock_damage,
    after_manual_start,
    after_missed,
    after_pause,
    after_settings_change,
    after_start,
    after_stop,
    after_success,
)
from scheduler.decide import ClockDamage, Decision, Missed, PauseOver, Run, decide
from scheduler.endings import change_after, error_of, instant_of, last_run
from scheduler.errands import ONE_SECONDS, SILENT_SECONDS, Errand, Line, ask
from scheduler.instance import instance_unit
from scheduler.known import Halt, Known, Manual, local_words
from scheduler.looking import Seen, Silence, destination_of, look_at
from scheduler.outcomes import Ending, Failed, Published
from scheduler.proof import Proof
from scheduler.recall import Host, recall
from scheduler.settings_source import InForce, SettingsSource, last_good_file
from scheduler.state import (
    State,
    save_state,
    state_file,
)
from scheduler.teller import Teller
from settings.layout import DatabaseLayout
from settings.reader import Reading
from settings.service_model import ServedDatabase

_log = logging.getLogger(__name__)


class Served:
    """One database. `problem` says why it cannot be served now, None when it can.

    `looks` are the looks at its disks, made by whoever may hang; `silence` is None while they answer.
    """

    def __init__(self, entry: ServedDatabase, host: Host, clock: Clock | None = None) -> None:
        self.name = str(entry.package)
        self.problem: str | None = None
        self.entry = entry
        self._host = host
        self._source = SettingsSource(entry, host.state_folder)
        self._in_force: InForce | None = None
        self._refused = ""
        self._state: State | None = None
        self._number_seen: int | None = None
        self._is_running_here = False
        self._device = self._scratch_device = 0
        self._clock = clock or HostClock()
        self._line = Line(self.name)
        self._traces: Errand[bool] = Errand(self._has_traces, self._clock)
        self.looks = Errand(self._look, self._clock)
        self.silence: Silence | None = None

    def take_host(self, entry: ServedDatabase, host: Host) -> None:
        """The service file or the zone changed; what follows is taken up with the next `refresh`."""
        self.entry, self._host = entry, host

    @property
    def layout(self) -> DatabaseLayout | None:
        """Where its parts are; None before it was once found."""
        return None if self._in_force is None else self._in_force.layout

    @property
    def reading(self) -> Reading | None:
        """The settings in force."""
        return None if self._in_force is None else self._in_force.reading

    @property
    def known(self) -> Known | None:
        """What decisions are made from; None before the settings were once good."""
        return None if self._state is None else self._state.known

    @property
    def proof(self) -> Proof:
        """What is known of its drills and scrubs."""
        return Proof() if self._state is None else self._state.proof

    @property
    def has_sets(self) -> bool:
        """Whether a set was ever made, as far as is known."""
        return self._state is not None and bool(self._state.number)

    @property
    def places(self) -> tuple[Path, ...]:
        """Files whose change should be looked at at once."""
        return self._source.places

    # --- looking at the disk

    def refresh(self, now: datetime) -> None:
        """Look, and take up what is seen, in this thread; the service has its looks made by others."""
        self.take(self._look(), now)

    def _look(self) -> Seen:
        is_first = self._state is None
        return look_at(self.entry, self._host, self._source, is_first=is_first, asks=self.looks.at)

    def take(self, seen: Seen, now: datetime) -> None:
        """Take up edited settings, and backups that others made; a broken edit keeps the last good settings."""
        if self.silence is not None:
            place, since, self.silence = self._silent_place(), self.silence.since, None
            self._teller().answers_again(place, since, now)
        if seen.elsewhere is not None:
            self._leave_to(seen.elsewhere)
            return
        found = seen.found
        if isinstance(found, str):
            self._refuse(found, now, kept=False)
            return
        self._device, self._scratch_device = seen.device, seen.scratch_device
        before, self._in_force = self._in_force, found
        if self._state is None:
            if seen.past is None:
                return  # a look from before its instance ended; the next one brings the past, too
            self._state = recall(found, seen.past, self._host, self._teller(), now)
        self._take_up(found, before, now)
        if found.problem is None:
            self._accept(found, before, now)
        else:
            self._refuse(found.problem, now, kept=True)
        self._notice_others(seen, now)

    def note_silence(self, now: datetime) -> None:
        """A look is under way and has not come back; said once when it takes too long."""
        seconds = self.looks.seconds()
        if self.silence is None and seconds > SILENT_SECONDS:
            self.silence = Silence(self.looks.place, now - timedelta(seconds=seconds))
            zone = self._host.zone
            place, since = self._silent_place(), self.silence.since
            since_words = local_words(since.replace(microsecond=0), zone)
            self.problem = f"storage does not answer since {since_words}: {place}"
            self._teller().silent(place, since, now)

    def _silent_place(self) -> str:
        return str(self.name if self.silence is None else self.silence.place or self.name)

    def _leave_to(self, holder: dict[str, Any]) -> None:
        """Its own instance of backup4d@.service has it; when that ends, the sets say what it has served."""
        if not self._is_running_here:
            self._state = None
        unit = instance_unit(self.entry.package)
        self.problem = f"{unit} serves it (process {holder.get('pid', '?')}); stop one of the two"

    def _refuse(self, why: str, now: datetime, *, kept: bool) -> None:
        """Say it once for each broken edit."""
        self.problem = why
        if why == self._refused:
            return
        self._refused = why
        stays = "; the last good settings stay in force" if kept else ""
        _log.error("%s: settings refused%s: %s", self.name, stays, one_line(why))
        lines = (f"Settings refused{stays}", *(f"Reason : {line}" for line in why.splitlines()))
        self._teller().settings(lines, now)

    def _accept(self, found: InForce, before: InForce | None, now: datetime) -> None:
        """The file itself can be used; say so when that is news."""
        self.problem = None
        was_refused, self._refused = self._refused, ""
        if before is not None and found.reading.digest != before.reading.digest:
            _log.info("%s: settings changed and taken up from %s", self.name, found.reading.file)
            self._teller().settings((f"Settings taken up : {found.reading.file}",), now)
        elif was_refused:
            self._teller().settings((f"Settings usable again : {found.reading.file}",), now)

    def _take_up(self, found: InForce, before: InForce | None, now: datetime) -> None:
        """Settings or zone may be others than before."""
        assert self._state is not None  # noqa: S101 - `take` has set it
        settings = found.reading.settings
        known, zone = self._state.known, self._host.zone
        is_same = before is not None and before.reading.digest == found.reading.digest
        if is_same and known.zone == zone:
            return
        if known.zone != zone:
            words = f"Time zone : {zone.key} from now on, {known.zone.key} before"
            _log.warning("%s: %s", self.name, words)
            self._teller().settings((words,), now)
        self._apply(after_settings_change(known, settings.schedule, settings.retry, zone, now), now)

    def _notice_others(self, seen: Seen, now: datetime) -> None:
        """A backup started by hand holds the lock; when it succeeded, the lock's memory has a new number."""
        assert self._state is not None  # noqa: S101 - `take` has set it
        known, holder, number = self._state.known, seen.holder, seen.number
        if self._is_running_here or number is None:
            return
        succeeded = self._number_seen is not None and number != self._number_seen
        self._number_seen = number
        if succeeded:
            self._state = replace(self._state, number=max(number, self._state.number or 0))
            self._apply(after_success(known, now), now)
        elif holder is not None and known.running is None:
            self._change(after_manual_start(known, now))
        elif holder is None and isinstance(known.running, Manual):
            self._apply(after_cancel(known, now), now)

    # --- deciding

    def decide(self, now: datetime) -> Decision | None:
        """What to do now, after journaling what nobody will serve; None while nothing is known."""
        if self._state is None:
            return None
        while True:
            decision = decide(self._state.known, now)
            match decision:
                case Missed():
                    self._teller().missed(decision, now)
                    self._change(after_missed(self._state.known, decision))
                case ClockDamage(reason):
                    _log.warning("%s: %s", self.name, reason)
                    self._teller().settings((f"Clock : {reason}",), now)
                    self._change(after_clock_damage(self._state.known, now))
                case PauseOver(reason):
                    self._teller().pause_over(reason, now)
                    self._change(after_pause(self._state.known, None))
                case _:
                    return decision

    def pause(self, until: datetime | None, who: str, now: datetime) -> None:
        """A person wants no automatic backups until then; with None they go on. Always journaled."""
        assert self._state is not None  # noqa: S101 - the caller has looked
        self._change(after_pause(self._state.known, until))
        self._teller().pause(until, who, now)

    # --- running

    def begin(self, run: Run, now: datetime) -> None:
        """The run is accepted; remembered before anything else happens."""
        assert self._state is not None  # noqa: S101 - the run came from decide
        self._is_running_here = True
        if run.missed > 0:
            self._teller().catch_up(run, now)
        self._change(after_start(self._state.known, run, now))

    def begin_manual(self, now: datetime) -> None:
        """A person asked the service for a backup; it answers for no slot."""
        assert self._state is not None  # noqa: S101 - the caller has looked
        self._is_running_here = True
        self._change(after_manual_start(self._state.known, now))

    def request(self, scheduled: datetime | None, *, accept_destination: bool = False) -> Request:
        """What its run is asked for."""
        assert self._in_force is not None  # noqa: S101 - a database that runs was found
        layout = self._in_force.layout
        return Request(
            layout,
            self._host.path_map,
            self._host.zone,
            scheduled,
            accept_destination=accept_destination,
            last_good=last_good_file(self._host.state_folder, layout),
            hooks=self.entry.hooks,
            limits=self._host.limits,
            archives=self.entry.archives,
        )

    def finished(self, ending: Ending, now: datetime, *, journaled: bool = True) -> None:
        """The run ended; what follows from that is remembered. `journaled`: its own process told of it."""
        assert self._state is not None  # noqa: S101 - begin came before
        self._is_running_here = False
        if isinstance(ending, Published):
            self._number_seen = ending.number
            self._state = replace(self._state, number=max(ending.number, self._state.number or 0))
        # without the lock, the engine journals nothing
        if isinstance(ending, Failed) and (not journaled or ending.code == Code.BUSY):
            self._teller().aborted(error_of(ending), self._state.known.running, now)
        ended = instant_of(ending, self._state.known.running, now)
        self._state = replace(self._state, last=last_run(ending, ended))
        change = change_after(self._state.known, ending, ended)
        if isinstance(change.known.trouble, Halt):
            self._teller().halt(change.known.trouble, now)
        self._apply(change, now)

    def tell_slow(self, what: str, now: datetime) -> None:
        """Its run takes too long, or does nothing any more."""
        self._teller().slow(what, now)

    def tell_leaving(self, file: str, now: datetime) -> None:
        """The service does not look after it any more."""
        self._teller().settings((f"Service : no automatic backup any more; {file} changed",), now)

    def owe(self) -> None:
        """The service stops before this database's run has ended."""
        assert self._state is not None  # noqa: S101 - begin came before
        self._is_running_here = False
        self._change(after_stop(self._state.known))

    def left_traces(self) -> bool:
        """Whether a run that died has left words of what it did; False when the disk does not say."""
        try:
            return ask(self._traces, ONE_SECONDS, self._clock) is True
        except OSError:
            return False

    def _has_traces(self) -> bool:
        layout = self.layout
        lock = None if layout is None else layout.package / "Logs" / DATABASE_LOCK
        return lock is not None and read_traces(lock) is not None

    def destination(self) -> Path | None:
        """Where its sets are; None while that is unknown."""
        return None if self._in_force is None else destination_of(self._in_force, self._host)

    def destination_device(self) -> int:
        """The device that sets are written to; 0 while it is unknown. Databases on one device take turns."""
        return self._device

    def scratch_device(self) -> int:
        """The device that drills are made on; 0 while it is unknown."""
        return self._scratch_device

    # --- remembering and telling

    def _apply(self, change: Change, now: datetime) -> None:
        for missed in change.missed:
            self._teller().missed(missed, now)
        self._change(change.known)

    def _change(self, known: Known) -> None:
        assert self._state is not None  # noqa: S101 - only called with a state
        self._state = replace(self._state, known=known)
        self._save()

    def remember(self, proof: Proof) -> None:
        """Something happened to its drills and scrubs; not ours to remember once another service has it."""
        if self._state is not None:
            self._state = replace(self._state, proof=proof)
            self._save()

    def tell_shipping(self, lines: tuple[str, ...], now: datetime) -> None:
        """Something happened to the shipping of its log."""
        self._teller().shipping(lines, now)

    def tell_chore(self, title: str, error: EngineError, began: datetime, now: datetime) -> None:
        """A drill or scrub ended without a word in the journal."""
        self._teller().chore(title, error, began, now)

    def _save(self) -> None:
        assert self._state is not None  # noqa: S101 - only called with a state
        assert self._in_force is not None  # noqa: S101 - a state has a layout
        file = state_file(self._host.state_folder, self._in_force.layout.data_file)
        try:
            save_state(file, self._state)
        except OSError as error:
            _log.error("%s: state could not be saved in %s: %s", self.name, file, error.strerror)

    def _teller(self) -> Teller:
        layout = self.layout
        package = self.entry.package if layout is None else layout.package
        return Teller(self.name, package, self._host.zone, self._line.do)
