"""The process that lives for months: wakes, looks, decides, starts runs, and follows them to their end."""

import logging
import queue
from collections.abc import Iterable
from datetime import datetime, timedelta

from engine.host import Clock
from scheduler.child import Child
from scheduler.decide import Decision, Halted, Run, Wait
from scheduler.notify import Notifier
from scheduler.outcomes import Ending, Failed, Postponed, Published
from scheduler.runner_request import request_to_json
from scheduler.served import Host, Served
from scheduler.timer import HEARTBEAT, Timer
from scheduler.watch import Watch

_log = logging.getLogger(__name__)

# two heartbeats and a little, and less than decide.ON_TIME: a slot after a jump of the clock is still on time
_OVERDUE_SECONDS = 2.2 * HEARTBEAT.total_seconds()
_DEBOUNCE = timedelta(seconds=1.5)
STOP_SECONDS = 60


class Service:
    """Serves databases until it is told to stop. One thread decides; others only put words into its queue."""

    def __init__(
        self, databases: Iterable[Served], host: Host, clock: Clock, notifier: Notifier
    ) -> None:
        self._databases = list(databases)
        self._host = host
        self._clock = clock
        self._notifier = notifier
        self._inbox: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._children: dict[Child, tuple[Served, int]] = {}
        self._waiting: list[tuple[Served, Run]] = []
        self._decisions: dict[str, str] = {}
        self._edited = False

    def ask_stop(self) -> None:
        """End; only puts a word into a queue, so it is safe in a signal handler."""
        self._inbox.put(("stop", None))

    def ask_look(self) -> None:
        """Look at everything now (reload)."""
        self._inbox.put(("tick", None))

    def run(self) -> None:
        """Serve until `ask_stop`; a run that is on is then stopped and gets its retry after the restart."""
        timer = Timer(lambda: self._inbox.put(("tick", None)))
        watch = Watch(lambda: self._inbox.put(("edited", None)))
        try:
            self._look(timer, watch)
            self._notifier.ready(self._summary())
            while self._serve_one(timer, watch):
                pass
        finally:
            self._notifier.stopping()
            watch.stop()
            timer.stop()
            self._stop_children()

    def _serve_one(self, timer: Timer, watch: Watch) -> bool:
        try:
            word, what = self._inbox.get(timeout=_OVERDUE_SECONDS)
        except queue.Empty:
            # the clock was set back, or the timer's thread is gone: nothing else delays a heartbeat
            _log.warning("the heartbeat is overdue; the timer is started afresh")
            timer.renew()
            word, what = "tick", None
        if word == "stop":
            return False
        if word == "ended":
            self._ended(what)
        if word == "edited":
            # an editor may still be writing: look when it is done
            timer.wake_at(self._clock.now() + _DEBOUNCE)
            return True
        self._look(timer, watch)
        return True

    def _look(self, timer: Timer, watch: Watch) -> None:
        now = self._clock.now()
        wakes: list[datetime] = []
        for database in self._databases:
            decision = self._look_at(database, now)
            match decision:
                case Run():
                    database.begin(decision, now)
                    self._waiting.append((database, decision))
                case Wait(until=until) if until is not None:
                    wakes.append(until)
                case _:
                    pass
            self._tell(database, decision)
        self._start_waiting()
        is_new = watch.follow(
            database.layout.settings_file
            for database in self._databases
            if database.layout is not None
        )
        if is_new:  # somebody may have edited between our reading and the watching
            self._inbox.put(("edited", None))
        timer.wake_at(min(wakes, default=None))
        self._notifier.alive(self._summary())

    def _look_at(self, database: Served, now: datetime) -> Decision | None:
        try:
            database.refresh(now)
            return database.decide(now)
        except Exception as error:  # noqa: BLE001 - the boundary of one database: all others are served
            problem = f"this is a mistake in backup4d, please report it: {error!r}"
            if problem != database.problem:
                _log.exception("%s: %s", database.name, problem)
            database.problem = problem
            return None

    # --- runs

    def _start_waiting(self) -> None:
        """One run at a time on each destination device, in the order they came due."""
        for entry in list(self._waiting):
            database, run = entry
            device = database.destination_device()
            if any(busy == device for _, busy in self._children.values()):
                continue
            self._waiting.remove(entry)
            self._start(database, run, device)

    def _start(self, database: Served, run: Run, device: int) -> None:
        layout = database.layout
        assert layout is not None  # noqa: S101 - a database that runs was found
        request = request_to_json(
            layout.package, layout.data_file, self._host.path_map, self._host.zone, run.slot.at
        )
        _log.info("%s: backup starts: %s", database.name, run.reason)
        try:
            child = Child(
                request, lambda child, ending: self._inbox.put(("ended", (child, ending)))
            )
        except OSError as error:
            failed = Failed(1409, 1, f"the run could not be started: {error.strerror}", "")
            self._finish(database, failed)
            return
        self._children[child] = (database, device)

    def _ended(self, what: object) -> None:
        assert isinstance(what, tuple)  # noqa: S101 - put there by _start
        child, ending = what
        database, _ = self._children.pop(child)
        self._finish(database, ending)

    def _finish(self, database: Served, ending: Ending) -> None:
        database.finished(ending, self._clock.now())
        match ending:
            case Published(number=number, folder=folder, code=0):
                _log.info("%s: set %d published in %s", database.name, number, folder)
            case Published(number=number, text=text):
                _log.warning("%s: set %d published, %s", database.name, number, text)
            case Postponed(text):
                _log.info("%s: backup postponed: %s", database.name, text)
            case Failed(code=code, text=text, hint=hint):
                _log.error("%s: backup failed (%d): %s; %s", database.name, code, text, hint)
        if isinstance(ending, Published):
            for warning in ending.warnings:
                _log.warning("%s: %s", database.name, warning)

    def _stop_children(self) -> None:
        """Runs are asked to stop, then killed; they and those that still wait are made after the next start."""
        for database, _ in self._waiting:
            database.owe()
        for child in self._children:
            child.stop()
        left = float(STOP_SECONDS)
        began = self._clock.monotonic()
        while self._children and left > 0:
            try:
                word, what = self._inbox.get(timeout=left)
            except queue.Empty:
                break
            if word == "ended" and isinstance(what, tuple):
                child, ending = what
                database, _ = self._children.pop(child)
                if isinstance(ending, Published | Postponed):
                    self._finish(database, ending)
                else:
                    database.owe()
            left = STOP_SECONDS - (self._clock.monotonic() - began)
        for child, (database, _) in self._children.items():
            database.owe()
            _log.error("a run did not stop within %d s and is killed", STOP_SECONDS)
            child.kill()

    # --- telling

    def _tell(self, database: Served, decision: Decision | None) -> None:
        """One line in the log for every change of mind."""
        words = database.problem or "nothing is known yet"
        if decision is not None:
            words = decision.reason
        if self._decisions.get(database.name) == words:
            return
        self._decisions[database.name] = words
        level = logging.ERROR if isinstance(decision, Halted) else logging.INFO
        _log.log(level, "%s: %s", database.name, words)

    def _summary(self) -> str:
        if len(self._databases) == 1:
            return next(iter(self._decisions.values()), "starting")
        running = len(self._children)
        return f"{len(self._databases)} databases, {running} backup(s) running"
