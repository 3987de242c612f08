"""The process that lives for months: wakes, looks, decides, starts runs, and follows them to their end."""

import logging
import queue
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from engine.host import Clock
from scheduler.chores import Chores
from scheduler.control import Asked, Control
from scheduler.decide import Decision, Halted, Run, Wait
from scheduler.desk import Desk
from scheduler.errands import Errand, Patience, SilentDiskError, ask, make_round
from scheduler.notify import Notifier
from scheduler.outcomes import Ending
from scheduler.recall import Host
from scheduler.runs import STOP_SECONDS, Job, Runs
from scheduler.served import Served
from scheduler.shipping import Shipping
from scheduler.timer import HEARTBEAT, Timer
from scheduler.watch import Watch
from settings.service_model import ServedDatabase

_log = logging.getLogger(__name__)

# two heartbeats and a little, and less than decide.ON_TIME: a slot after a jump of the clock is still on time
_OVERDUE_SECONDS = 2.2 * HEARTBEAT.total_seconds()
_DEBOUNCE = timedelta(seconds=1.5)
_PATIENCE = Patience()

# what the queue carries: words of the timer, the watch, signal handlers, runs and people
_Word = str | Asked | tuple[Job, Ending]


class Source(Protocol):
    """What the service works from; scheduler/service_source.py is the real one."""

    problem: str | None
    entries: tuple[ServedDatabase, ...]
    host: Host

    @property
    def file(self) -> Path:
        """The service file, there or not."""
        ...

    def look(self) -> bool:
        """Read again; True when databases or host are others than before."""
        ...


class Service:
    """Serves databases until it is told to stop. One thread decides; others only put words into its queue."""

    def __init__(
        self, databases: Iterable[Served], source: Source, clock: Clock, notifier: Notifier
    ) -> None:
        self._source = source
        self._clock = clock
        self._notifier = notifier
        self._inbox: queue.SimpleQueue[_Word] = queue.SimpleQueue()
        self._runs = Runs(source.host, clock, lambda job, ending: self._inbox.put((job, ending)))
        self._shipping = Shipping(clock)
        self._desk = Desk(self._runs, clock, self._reload, self._refresh, self._shipping.row)
        self._databases = self._desk.databases
        self._databases += databases
        self._chores = Chores(self._runs, clock, lambda: self._inbox.put("chore"))
        self._chore_problem = ""
        self._decisions = self._desk.decisions
        self._told: dict[Served, str] = {}
        self._left: list[Errand[Any]] = []
        self._watching: Errand[None] | None = None
        self._control_file: Path | None = None
        self._control: Control | None = None
        self._unheard: str | None = None

    def ask_stop(self) -> None:
        """End; only puts a word into a queue, so it is safe in a signal handler."""
        self._inbox.put("stop")

    def ask_look(self) -> None:
        """Look at everything now (reload)."""
        self._inbox.put("tick")

    def ask(self, asked: Asked) -> None:
        """Somebody wants something; answered by the service's own thread."""
        self._inbox.put(asked)

    def run(self, control_file: Path | None = None) -> None:
        """Serve until `ask_stop`; a run that is on is then stopped and gets its retry after the restart."""
        timer = Timer(lambda: self._inbox.put("tick"))
        watch = Watch(lambda: self._inbox.put("edited"))
        self._control_file = control_file
        try:
            self._look(timer, watch)
            self._notifier.ready(self._summary())
            while self._serve_one(timer, watch):
                pass
        finally:
            self._notifier.stopping()
            if self._control is not None:
                self._control.stop()
            timer.stop()
            self._stop_runs()
            self._stop_watching(watch)

    def _listen(self) -> None:
        """Without its socket the service still makes backups; that it has none is told once."""
        file, control = self._control_file, self._control
        if file is None or (control is not None and control.is_there()):
            return
        if control is not None:
            control.stop()
        self._control, before, self._unheard = None, self._unheard, None
        try:
            self._control = Control(file, self.ask)
        except OSError as error:
            self._unheard = f"no control socket at {file}: {error.strerror or error}"
            if self._unheard != before:
                _log.error("nobody can ask this service anything: %s", self._unheard)

    def _serve_one(self, timer: Timer, watch: Watch) -> bool:
        try:
            word = self._inbox.get(timeout=_OVERDUE_SECONDS)
        except queue.Empty:
            # the clock was set back, or the timer's thread is gone: nothing else delays a heartbeat
            _log.warning("the heartbeat is overdue; the timer is started afresh")
            timer.renew()
            word = "tick"
        match word:
            case "stop":
                return False
            case "edited":
                # an editor may still be writing: look when it is done
                timer.wake_at(self._clock.now() + _DEBOUNCE)
                return True
            case Asked():
                self._desk.serve(word)
            case (job, ending):
                self._runs.finish(job, ending)
            case _:
                pass
        self._look(timer, watch)
        return True

    # --- looking

    def _look(self, timer: Timer, watch: Watch) -> None:
        if self._watching is None:
            self._watching = Errand(lambda: self._watch(watch), self._clock)
        wakes = self._look_at_all(self._clock.now())
        timer.wake_at(min(wakes, default=None))
        self._listen()
        self._notifier.alive(self._summary())

    def _watch(self, watch: Watch) -> None:
        """Follow the settings of those that answer; by a helper thread, for this asks their disks, too."""
        places = [
            place
            for database in list(self._databases)
            if not database.looks.is_under_way
            for place in database.places
        ]
        if watch.follow([self._source.file, *places]):
            # somebody may have edited between our reading and the watching
            self._inbox.put("edited")

    def _ask_disks(self) -> None:
        """All looks, by helper threads; what takes too long is taken up when it has ended."""
        errands: list[Errand[Any]] = self._left or [one.looks for one in self._databases]
        if self._watching is not None and self._watching not in errands:
            errands.append(self._watching)
        self._left = make_round(errands, _PATIENCE, self._clock, self.ask_look)
        if self._left:
            self.ask_look()  # after the questions that came meanwhile

    def _look_at_all(self, now: datetime) -> list[datetime]:
        """Everything on the disk, then what follows; the instants at which something is due."""
        if self._source.look():
            self._take_up(now)
        self._desk.problem = self._source.problem
        self._runs.check(now)
        self._ask_disks()
        now = self._clock.now()
        wakes: list[datetime] = []
        for database in self._databases:
            decision = self._look_at(database, now)
            match decision:
                case Run():
                    database.begin(decision, now)
                    self._runs.add(Job(database, decision.slot.at, decision.reason))
                case Wait(until=until) if until is not None:
                    wakes.append(until)
                case _:
                    pass
            self._tell(database, decision)
        self._runs.start_waiting()
        self._shipping.look(self._databases, now)
        return wakes + self._look_at_chores(now)

    def _look_at_chores(self, now: datetime) -> list[datetime]:
        """Drills and scrubs come last: a backup that is due is on by now."""
        try:
            return self._chores.look(self._databases, now)
        except Exception as error:  # noqa: BLE001 - the boundary of drills and scrubs: backups go on
            problem = f"this is a mistake in backup4d, please report it: {error!r}"
            if problem != self._chore_problem:
                _log.exception("drills and scrubs: %s", problem)
            self._chore_problem = problem
            return []

    def _look_at(self, database: Served, now: datetime) -> Decision | None:
        try:
            self._take_look(database, now)
            return None if database.looks.is_under_way else database.decide(now)
        except Exception as error:  # noqa: BLE001 - the boundary of one database: all others are served
            problem = f"this is a mistake in backup4d, please report it: {error!r}"
            if problem != database.problem:
                _log.exception("%s: %s", database.name, problem)
            database.problem = problem
            return None

    def _take_look(self, database: Served, now: datetime) -> None:
        if database.looks.is_under_way:
            database.note_silence(now)
            return
        seen = database.looks.take()
        if seen is not None:
            database.take(seen, now)

    def _refresh(self, database: Served) -> None:
        """Because somebody asks for this one."""
        make_round([database.looks], _PATIENCE, self._clock, self.ask_look)
        self._take_look(database, self._clock.now())

    def _take_up(self, now: datetime) -> None:
        """The service file or the zone changed."""
        host = self._source.host
        # one that left and comes back while its last run is still on is the same one
        there = [*self._runs.databases, *self._databases]
        left = {_key(database.entry): database for database in there}
        stay: list[Served] = []
        for entry in self._source.entries:
            database = left.pop(_key(entry), None)
            if database is None:
                database = Served(entry, host)
                _log.info("%s: served from now on", database.name)
            database.take_host(entry, host)
            stay.append(database)
        for database in left.values():
            if database in self._databases:
                self._leave(database, now)
        self._databases[:] = stay
        self._runs.host = host

    def _leave(self, database: Served, now: datetime) -> None:
        """No longer in the service file; a run that is on may still end."""
        _log.warning("%s: no longer served: %s", database.name, self._source.file)
        database.tell_leaving(str(self._source.file), now)
        job = self._runs.of(database)
        if job is not None and job.child is None:
            self._runs.owe(job)
        self._decisions.pop(database, None)
        self._told.pop(database, None)

    def _reload(self) -> list[str]:
        """Look at everything because a person asked; what cannot be used."""
        self._look_at_all(self._clock.now())
        problems = [f"{d.name}: {d.problem}" for d in self._databases if d.problem is not None]
        if self._source.problem is not None:
            problems.insert(0, self._source.problem)
        return problems

    # --- the end

    def _stop_runs(self) -> None:
        """Runs are asked to stop, then killed; they and those that still wait are made after the next start."""
        self._runs.ask_all_to_stop()
        self._chores.stop()
        self._shipping.stop()
        left = float(STOP_SECONDS)
        began = self._clock.monotonic()
        while (self._runs.on or self._chores.is_on()) and left > 0:
            try:
                word = self._inbox.get(timeout=left)
            except queue.Empty:
                break
            match word:
                case (job, ending):
                    self._runs.ended_while_stopping(job, ending)
                case Asked():
                    word.answer({"last": True, "error": "the service stops", "code": 0, "exit": 1})
                case _:
                    pass
            left = STOP_SECONDS - (self._clock.monotonic() - began)
        self._runs.kill_all()
        self._chores.kill()

    def _stop_watching(self, watch: Watch) -> None:
        with suppress(SilentDiskError):
            ask(Errand(watch.stop, self._clock), _PATIENCE.all, self._clock)

    # --- telling

    def _tell(self, database: Served, decision: Decision | None) -> None:
        """One line in the log for every change of mind."""
        if database.looks.is_under_way and database.silence is None:
            return
        self._decisions[database] = decision
        words = database.problem or "nothing is known yet"
        if decision is not None:
            words = decision.reason
        if self._told.get(database) == words:
            return
        self._told[database] = words
        is_trouble = isinstance(decision, Halted) or database.silence is not None
        level = logging.ERROR if is_trouble else logging.INFO
        _log.log(level, "%s: %s", database.name, words)

    def _summary(self) -> str:
        silent = sum(database.silence is not None for database in self._databases)
        refused = sum(database.problem is not None for database in self._databases) - silent
        trouble = f", settings of {refused} refused" if refused else ""
        trouble += f", storage of {silent} does not answer" if silent else ""
        if self._source.problem is not None:
            trouble += ", service file refused"
        if len(self._databases) == 1:
            return next(iter(self._told.values()), "starting") + trouble
        return f"{len(self._databases)} databases, {self._runs.on} backup(s) running{trouble}"


def _key(entry: ServedDatabase) -> tuple[Path, Path | None]:
    return entry.package, entry.data_file
