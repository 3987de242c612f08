"""Runs of the service: waiting for a place on their device, on, told to stop, hanging, ended.

Decides nothing about slots; every run ends with `Served.finished` or, when the service stops, with `owe`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from engine.errors import Code, Exit
from engine.host import Clock
from engine.progress import Progress
from scheduler.child import Child
from scheduler.outcomes import Ending, Failed, Postponed, Published, ending_from_json
from scheduler.recall import Host
from scheduler.runner_request import request_to_json
from scheduler.screen import duration_words
from scheduler.served import Served
from settings.service_model import Limits

_log = logging.getLogger(__name__)

STOP_SECONDS = 60
_KILLED = (
    "the run did not stop and was killed; while it waits for its disk in the kernel nobody can end it: "
    "it ends when the disk answers, or with the machine"
)


@dataclass(slots=True)
class Job:
    """One run asked for: `scheduled` is its slot, None when a person asked.

    `ending` is None until it ended; `child` and `device` are None until it began; `trouble` says that it
    takes too long, None while it does not; `stopped_by` is who pressed 4D's Stop button, None when nobody
    did. `watchers` are called when it ended.
    """

    database: Served
    scheduled: datetime | None
    reason: str
    accept_destination: bool = False
    child: Child[Ending] | None = None
    device: int | None = None
    ending: Ending | None = None
    trouble: str | None = None
    stopped_by: str | None = None
    watchers: list[Callable[[], None]] = field(default_factory=list)

    def end(self, ending: Ending) -> None:
        """It ended, and how."""
        self.ending = ending
        for watcher in self.watchers:
            watcher()

    def progress(self) -> Progress:
        """How far it is."""
        if self.child is None and self.database.silence is not None:
            return Progress("waiting for storage that does not answer", 0, 0)
        if self.child is None:
            return Progress("waiting for another backup to the same device", 0, 0)
        return self.child.progress or Progress("starting", 0, 0)


class Runs:
    """All runs of one service. `ended` is called from other threads with a job that ended and how."""

    def __init__(self, host: Host, clock: Clock, ended: Callable[[Job, Ending], None]) -> None:
        self.host = host
        self._clock = clock
        self._ended = ended
        self._jobs: list[Job] = []

    def of(self, database: Served) -> Job | None:
        """The database's run, waiting or on; None when there is none."""
        return next((job for job in self._jobs if job.database is database), None)

    def use(self, package: Path, devices: frozenset[int]) -> bool:
        """Whether a run, waiting or on, is of this package or writes to one of these devices."""
        return any(
            job.database.entry.package == package
            or (job.database.destination_device() if job.device is None else job.device) in devices
            for job in self._jobs
        )

    @property
    def on(self) -> int:
        """How many are on."""
        return sum(job.child is not None for job in self._jobs)

    @property
    def databases(self) -> list[Served]:
        """Those with a run, waiting or on."""
        return [job.database for job in self._jobs]

    def add(self, job: Job) -> None:
        """Accept a run; `start_waiting` begins it when its turn has come."""
        self._jobs.append(job)

    def start_waiting(self) -> None:
        """As many runs at a time on each destination device as the limits say, in the order they came."""
        for job in list(self._jobs):
            if job.child is not None or job.database.silence is not None:
                continue
            device = job.database.destination_device()
            busy = sum(other.device == device for other in self._jobs)
            if busy < self.host.limits.runs_per_device and not self._is_package_busy(job):
                self._start(job, device)

    def _is_package_busy(self, job: Job) -> bool:
        """Data files of one package share its lock."""
        package = job.database.entry.package
        return any(
            other.child is not None and other.database.entry.package == package
            for other in self._jobs
        )

    def _start(self, job: Job, device: int) -> None:
        request = job.database.request(job.scheduled, accept_destination=job.accept_destination)
        _log.info("%s: backup starts: %s", job.database.name, job.reason)
        try:
            job.child = Child(
                request_to_json(request, self.host.zone),
                ending_from_json,
                lambda ending: self._ended(job, ending),
                self._clock,
            )
        except OSError as error:
            text = f"the run could not be started: {error.strerror}"
            self.finish(job, Failed(Code.BACKUP_FAILED, Exit.FAILED, text, ""), journaled=False)
            return
        job.device = device

    def finish(self, job: Job, ending: Ending, *, journaled: bool = True) -> None:
        """A run ended: told to its database and to the log."""
        self._jobs.remove(job)
        journaled = journaled and not _died_untold(job)
        if isinstance(ending, Failed):
            ending = _as_meant(job, ending)
        job.database.finished(ending, self._clock.now(), journaled=journaled)
        _log_ending(job.database.name, ending)
        job.end(ending)

    def stop(self, job: Job, who: str) -> None:
        """4D's Stop button: the slot is not tried again."""
        _log.warning("%s: the backup is stopped by %s", job.database.name, who)
        job.stopped_by = job.stopped_by or who
        if job.child is not None:
            job.child.stop_for_user()
            return
        text = f"stopped by {who} before it began"
        self.finish(job, Failed(Code.STOPPED, Exit.STOPPED, text, ""), journaled=False)

    # --- runs that take too long

    def check(self, now: datetime) -> None:
        """Stop what hangs, and tell of what takes long; asked on every heartbeat."""
        for job in self._jobs:
            if job.child is not None:
                self._check(job, job.child, self.host.limits, now)

    def _check(self, job: Job, child: Child[Ending], limits: Limits, now: datetime) -> None:
        if child.verdict is not None or job.stopped_by is not None:
            # one that a person stopped may take its time, as long as it gets on
            idle = min(child.seconds_since_verdict(), child.seconds_without_progress())
            seconds = child.seconds_since_verdict() if child.verdict is not None else idle
            if seconds > STOP_SECONDS and not child.is_killed:
                _log.error("%s: the run does not stop and is killed", job.database.name)
                child.kill()
                job.trouble = _KILLED
            return
        if child.seconds_without_progress() > limits.hung_after.total_seconds():
            job.trouble = (
                f"no progress for {duration_words(limits.hung_after)} ({job.progress().phase}): the"
                " run is stopped (Limits/HungAfter in the service file)"
            )
            job.database.tell_slow(job.trouble, now)
            child.stop_as_hung(job.trouble)
        elif job.trouble is None and child.seconds() > limits.overlong_after.total_seconds():
            began = duration_words(timedelta(seconds=child.seconds()))
            job.trouble = f"the backup is on for {began} and goes on (Limits/OverlongAfter)"
            job.database.tell_slow(job.trouble, now)

    # --- the service stops

    def ask_all_to_stop(self) -> None:
        """Runs are asked to stop; those that wait are owed."""
        for job in list(self._jobs):
            if job.child is None:
                self.owe(job)
            else:
                job.child.stop()

    def ended_while_stopping(self, job: Job, ending: Ending) -> None:
        """A run that could still finish is done; one that was stopped is made after the next start.

        Not one that a person had stopped before.
        """
        if isinstance(ending, Published | Postponed) or job.stopped_by is not None:
            self.finish(job, ending)
        else:
            self.owe(job)

    def kill_all(self) -> None:
        """Patience is over."""
        for job in list(self._jobs):
            self.owe(job)
            if job.child is not None:
                _log.error("a run did not stop within %d s and is killed", STOP_SECONDS)
                job.child.kill()

    def owe(self, job: Job) -> None:
        """It is not made now."""
        self._jobs.remove(job)
        job.database.owe()
        job.end(Failed(Code.STOPPED, Exit.STOPPED, "stopped, because the service stops", ""))


def _as_meant(job: Job, ending: Failed) -> Failed:
    """A run that a person stopped, or that was given up, may still have died or failed in another way."""
    if job.stopped_by is not None and ending.code != Code.STOPPED:
        text = f"stopped by {job.stopped_by}; {ending.text}"
        return Failed(Code.STOPPED, Exit.STOPPED, text, ending.hint)
    if job.stopped_by is None and job.child is not None and job.child.verdict is not None:
        return Failed(Code.BACKUP_FAILED, Exit.FAILED, job.child.verdict, ending.hint)
    return ending


def _died_untold(job: Job) -> bool:
    """It died before it had written down what it does, so the next run finds nothing to journal."""
    if job.child is None or not job.child.is_dead_silent or job.database.layout is None:
        return False
    return not job.database.left_traces()


def _log_ending(name: str, ending: Ending) -> None:
    match ending:
        case Published(number=number, folder=folder, code=0):
            _log.info("%s: set %d published in %s", name, number, folder)
        case Published(number=number, text=text):
            _log.warning("%s: set %d published, %s", name, number, text)
        case Postponed(text):
            _log.info("%s: backup postponed: %s", name, text)
        case Failed(code=Code.STOPPED, text=text):
            _log.warning("%s: backup stopped (1406): %s", name, text)
        case Failed(code=code, text=text, hint=hint):
            words = f"{text}; {hint}" if hint else text
            _log.error("%s: backup failed (%d): %s", name, code, words)
    if isinstance(ending, Published):
        for warning in ending.warnings:
            _log.warning("%s: %s", name, warning)
