"""Drills and scrubs of one service: begun when they are due and nothing is in their way, followed, given way to backups.

One at a time on the whole host. A backup never waits for one: it is stopped, undoes what it did, and is made later.
What is due is decided in due.py; the work itself is done by a child (chore.py).
"""

import logging
import queue
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from engine.errors import Code, EngineError
from engine.host import Clock
from scheduler.child import Child
from scheduler.due import drill_due, scrub_due
from scheduler.outcomes import Failed
from scheduler.proof import (
    Begun,
    ChoreEnding,
    Drilled,
    LastDrill,
    NotNow,
    Scrubbed,
    Told,
    after_drill,
    after_scrub,
    chore_ending_from_json,
    proof_to_json,
)
from scheduler.runner_request import hook_to_json
from scheduler.runs import STOP_SECONDS, Runs
from scheduler.screen import duration_words
from scheduler.served import Served
from settings.service_model import Drill, Scrub

_log = logging.getLogger(__name__)

DRILL, SCRUB = "drill", "scrub"
_TITLES = {DRILL: "Restore drill", SCRUB: "Verification"}
# after giving way to a backup, and after there was nothing to do it with
_PAUSE = timedelta(minutes=10)
_NOTHING = timedelta(hours=1)
# a scrub that dies is no storm, either
_DIED = timedelta(days=1)


@dataclass(slots=True)
class Chore:
    """One drill or scrub that is on; `yields` says that it was stopped for a backup or with the service."""

    kind: str
    database: Served
    devices: frozenset[int]
    began: datetime
    child: Child[Told]
    yields: bool = False


class Chores:
    """`wake` is called from other threads when one ended, which the next `look` takes up."""

    def __init__(self, runs: Runs, clock: Clock, wake: Callable[[], None]) -> None:
        self._runs = runs
        self._clock = clock
        self._wake = wake
        self._ended: queue.SimpleQueue[ChoreEnding] = queue.SimpleQueue()
        self._not_before: dict[tuple[Served, str], datetime] = {}
        self.chore: Chore | None = None

    def look(self, databases: Iterable[Served], now: datetime) -> list[datetime]:
        """Take up what ended, follow what is on, begin what is due; the instants at which something is due."""
        self._take_up(now)
        if self.chore is not None:
            self._follow(self.chore)
            return []
        wakes: list[datetime] = []
        due: list[tuple[datetime, str, Served]] = []
        for database in databases:
            for kind, at in self._wanted(database, now):
                if at > now:
                    wakes.append(at)
                else:
                    due.append((at, kind, database))
        for _, kind, database in sorted(due, key=lambda one: one[0]):
            if self._begin(kind, database, now):
                break
        return wakes

    # --- what is due

    def _wanted(self, database: Served, now: datetime) -> Iterator[tuple[str, datetime]]:
        """Drill and scrub of one database, each with the instant from which on it is due."""
        if database.known is None or not database.has_sets or database.silence is not None:
            return
        self._settle(database, now)
        entry, zone = database.entry, self._runs.host.zone
        if entry.drill is not None:
            if database.proof.asked is None:
                database.remember(replace(database.proof, asked=now))
            yield self._at(database, DRILL, drill_due(entry.drill, database.proof.drill, zone, now))
        if entry.scrub is not None:
            yield self._at(
                database, SCRUB, scrub_due(entry.scrub, database.proof.oldest, zone, now)
            )

    def _at(self, database: Served, kind: str, due: datetime) -> tuple[str, datetime]:
        return kind, max(due, self._not_before.get((database, kind), due))

    def _settle(self, database: Served, now: datetime) -> None:
        """What was begun and is not on died with its service or the machine: that is a failure, and no storm."""
        begun = database.proof.begun
        if begun is None:
            return
        text = "the service or the machine ended while it was made"
        error = EngineError(text, hint="see the system's log of that time")
        database.tell_chore(_TITLES[begun.kind], error, begun.at, now)
        self._failed(begun.kind, database, error, now)

    # --- beginning

    def _begin(self, kind: str, database: Served, now: datetime) -> bool:
        request = _request(kind, database, self._runs.host.zone.key)
        if request is None:
            return False
        devices = _devices(kind, database)
        if self._is_in_the_way(database, devices):
            return False
        # remembered before anything happens, so that one that takes the machine down is not begun again and again
        database.remember(replace(database.proof, begun=Begun(kind, now)))
        try:
            child = Child(request, chore_ending_from_json, self._done, self._clock)
        except OSError as error:
            _log.error("%s: the %s could not be started: %s", database.name, kind, error.strerror)
            database.remember(replace(database.proof, begun=None))
            self._not_before[database, kind] = now + _PAUSE
            return False
        self.chore = Chore(kind, database, devices, now, child)
        _log.info("%s: %s begins", database.name, kind)
        return True

    def _is_in_the_way(self, database: Served, devices: frozenset[int]) -> bool:
        """Whether a backup of this database or to one of these disks waits or is on, or backups are paused.

        A pause is the way in which a person keeps the disks quiet.
        """
        known = database.known
        return (
            known is None
            or known.running is not None
            or known.paused_until is not None
            or self._runs.use(database.entry.package, devices)
        )

    # --- following

    def _follow(self, chore: Chore) -> None:
        child, limits = chore.child, self._runs.host.limits
        is_asked = chore.yields or child.verdict is not None
        if is_asked:
            if child.seconds_since_verdict() > STOP_SECONDS and not child.is_killed:
                _log.error(
                    "%s: the %s does not stop and is killed", chore.database.name, chore.kind
                )
                child.kill()
        elif self._is_in_the_way(chore.database, chore.devices):
            _log.info(
                "%s: the %s gives way to a backup or a pause", chore.database.name, chore.kind
            )
            self._yield(chore)
        elif child.seconds_without_progress() > limits.hung_after.total_seconds():
            words = (
                f"no progress for {duration_words(limits.hung_after)}: stopped (Limits/HungAfter)"
            )
            _log.error("%s: %s: %s", chore.database.name, chore.kind, words)
            child.stop_as_hung(words)

    def stop(self) -> None:
        """The service stops: what is on undoes itself and is made after the next start."""
        if self.chore is not None:
            self._yield(self.chore)

    def is_on(self) -> bool:
        """Whether there is one that has not ended."""
        self._take_up(self._clock.now())
        return self.chore is not None

    def kill(self) -> None:
        """Patience is over; what it leaves is removed by the next one."""
        if self.is_on() and self.chore is not None:
            self.chore.child.kill()
            self.chore.database.remember(replace(self.chore.database.proof, begun=None))

    def _yield(self, chore: Chore) -> None:
        chore.yields = True
        chore.child.stop()

    # --- how it ended

    def _done(self, ending: ChoreEnding) -> None:
        """From the thread that listens to the child."""
        self._ended.put(ending)
        self._wake()

    def _take_up(self, now: datetime) -> None:
        chore = self.chore
        if chore is None or self._ended.empty():
            return
        ending, self.chore = self._ended.get(), None
        self._finish(chore, ending, now)

    def _finish(self, chore: Chore, ending: ChoreEnding, now: datetime) -> None:
        name, database, verdict = chore.database.name, chore.database, chore.child.verdict
        match ending:
            case Drilled(last):
                database.remember(after_drill(database.proof, last))
                _log_drill(name, last)
            case Scrubbed(read):
                database.remember(after_scrub(database.proof, ending))
                if read is not None:
                    _log_scrub(name, ending)
            case NotNow(why) if verdict is None:
                _log.info("%s: no %s now: %s", name, chore.kind, why)
                self._later(chore, now)
            case Failed() if chore.yields:
                self._later(chore, now)
            case NotNow(why) | Failed(text=why):
                error = EngineError(verdict or why, hint="see the system's log of that time")
                database.tell_chore(_TITLES[chore.kind], error, chore.began, now)
                self._failed(chore.kind, database, error, now)

    def _later(self, chore: Chore, now: datetime) -> None:
        chore.database.remember(replace(chore.database.proof, begun=None))
        wait = _PAUSE if chore.yields else _NOTHING
        self._not_before[chore.database, chore.kind] = now + wait

    def _failed(self, kind: str, database: Served, error: EngineError, now: datetime) -> None:
        """It could not journal its own end."""
        proof = replace(database.proof, begun=None)
        _log.error("%s: %s failed: %s", database.name, kind, error)
        if kind == DRILL:
            proof = after_drill(proof, LastDrill(now, 0, 0.0, Code.BACKUP_FAILED, str(error)))
        self._not_before[database, kind] = now + _DIED
        database.remember(proof)


def _request(kind: str, database: Served, zone: str) -> dict[str, Any] | None:
    """What the child reads; None while it is not known where the sets are."""
    layout, destination = database.layout, database.destination()
    if layout is None or destination is None:
        return None
    wanted = _of_drill(database.entry.drill) if kind == DRILL else _of_scrub(database.entry.scrub)
    return {
        "chore": kind,
        "package": str(layout.package),
        "data_file": str(layout.data_file),
        "destination": str(destination),
        "zone": zone,
        "proof": proof_to_json(database.proof),
        **wanted,
    }


def _of_drill(drill: Drill | None) -> dict[str, Any]:
    assert drill is not None  # noqa: S101 - it is due
    return {
        "every": drill.every.total_seconds(),
        "scratch": str(drill.scratch),
        "room_limit": drill.room_limit,
        "check": hook_to_json(drill.check),
    }


def _of_scrub(scrub: Scrub | None) -> dict[str, Any]:
    assert scrub is not None  # noqa: S101 - it is due
    return {"after": scrub.after.total_seconds()}


def _devices(kind: str, database: Served) -> frozenset[int]:
    """The disks it keeps busy."""
    devices = {database.destination_device()}
    if kind == DRILL and database.entry.drill is not None:
        devices.add(database.scratch_device())
    return frozenset(devices - {0})


def _log_drill(name: str, last: LastDrill) -> None:
    if last.is_good:
        _log.info("%s: restore of set %d is proven, %.1f s", name, last.number, last.seconds)
    else:
        _log.error("%s: the restore drill failed: %s", name, last.text)


def _log_scrub(name: str, ending: Scrubbed) -> None:
    read = ending.read
    assert read is not None  # noqa: S101 - the caller has looked
    if read.code:
        _log.error("%s: %s is damaged: %s", name, read.name, read.text)
    elif ending.is_repaired:
        _log.warning("%s: %s was damaged and is repaired", name, read.name)
    else:
        _log.info("%s: %s was read again and is whole", name, read.name)
