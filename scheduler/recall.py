"""What is known of a database when the service starts: from its state, and from the sets that the state has not seen."""

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from engine.errors import EngineError
from engine.sets import StoredSet
from scheduler.after import BACKUP_FAILED, after_restart, after_sets_seen
from scheduler.known import Known, Serving, watch
from scheduler.settings_source import InForce
from scheduler.state import LastRun, State, StateError, load_state, set_aside, state_file
from scheduler.teller import Teller
from settings.paths import PathMap
from settings.service_model import Limits

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """What all databases of one service share; replaced as a whole when service file or zone change.

    `runtime_folder` is None where no other service can be beside this one.
    """

    state_folder: Path
    zone: ZoneInfo
    path_map: PathMap
    limits: Limits = field(default_factory=Limits)
    runtime_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What lies on the disks: the sets, and what the last run left that died (None: that cannot be known)."""

    sets: tuple[StoredSet, ...]
    traces: dict[str, Any] | None


def recall(found: InForce, past: Past, host: Host, teller: Teller, now: datetime) -> State:
    """What is known at a start; a state that cannot be used is set aside, and the sets say what was served."""
    file = state_file(host.state_folder, found.layout.data_file)
    state: State | None = None
    try:
        state = load_state(file)
    except StateError as error:
        _set_aside(file, error, teller, now)
    sets = past.sets
    number = max((stored.number for stored in sets), default=0)
    if state is None:
        settings = found.reading.settings
        known = watch(settings.schedule, settings.retry, host.zone, now)
        return State(str(found.layout.package), _from_sets(known, sets, now), number=number)
    unseen = (stored for stored in sets if stored.number > (state.number or 0))
    served = frozenset(s.facts.scheduled for s in unseen if s.facts.scheduled is not None)
    known = after_sets_seen(state.known, served, now)
    last = state.last
    if isinstance(known.running, Serving):
        # also when it left traces, which the next run tells of: until then nobody would say that it failed
        last = LastRun(now, BACKUP_FAILED, "the backup ended with the service", None)
    _tell_dead_run(known, past.traces, teller, now)
    number = max(number, state.number or 0)
    return replace(state, known=after_restart(known, now), last=last, number=number)


def _set_aside(file: Path, error: StateError, teller: Teller, now: datetime) -> None:
    try:
        words = f"State set aside : {set_aside(file, now, error.mark)} ({error})"
    except OSError as cause:
        words = f"State not usable : {file} ({error}); it could not be set aside: {cause.strerror}"
    _log.error("%s", words)
    teller.settings((words, "It is rebuilt from the sets; a pause it told of is over"), now)


def _from_sets(known: Known, sets: tuple[StoredSet, ...], now: datetime) -> Known:
    """Nothing is remembered: slots count from the newest that a set was made for, by a clock that was right."""
    slots = [stored.facts.scheduled for stored in sets if stored.facts.scheduled is not None]
    past = [slot for slot in slots if slot <= now]
    if not past:
        return known
    return replace(known, answered_until=past[-1], anchor=past[-1].astimezone(known.zone).date())


def _tell_dead_run(
    known: Known, traces: dict[str, Any] | None, teller: Teller, now: datetime
) -> None:
    """A run died with the service before it had left traces from which the next one could tell."""
    if not isinstance(known.running, Serving):
        return
    if (traces or {}).get("scheduled") == known.running.slot.at.isoformat():
        return
    error = EngineError("the backup ended with the service before it began to write")
    teller.aborted(error, known.running, now)
