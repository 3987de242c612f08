"""What is known of a database when the service starts: from its state, and from the sets that the state has not seen."""

import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.errors import EngineError
from engine.lock import DATABASE_LOCK, read_traces
from engine.plan import resolve_destination
from engine.sets import StoredSet, take_inventory
from scheduler.after import after_restart, after_sets_seen
from scheduler.known import Known, Serving, watch
from scheduler.settings_source import InForce
from scheduler.state import State, StateError, load_state, set_aside, state_file
from scheduler.teller import Teller
from settings.layout import DatabaseLayout
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


def recall(found: InForce, host: Host, teller: Teller, now: datetime) -> State:
    """What is known at a start; a state that cannot be used is set aside, and the sets say what was served."""
    file = state_file(host.state_folder, found.layout.data_file)
    state: State | None = None
    try:
        state = load_state(file)
    except StateError as error:
        _set_aside(file, error, teller, now)
    sets = _sets(found, host)
    number = max((stored.number for stored in sets), default=0)
    if state is None:
        settings = found.reading.settings
        known = watch(settings.schedule, settings.retry, host.zone, now)
        return State(str(found.layout.package), _from_sets(known, sets, now), number=number)
    unseen = (stored for stored in sets if stored.number > (state.number or 0))
    served = frozenset(s.facts.scheduled for s in unseen if s.facts.scheduled is not None)
    known = after_sets_seen(state.known, served, now)
    _tell_dead_run(known, found.layout, teller, now)
    number = max(number, state.number or 0)
    return replace(state, known=after_restart(known, now), number=number)


def _set_aside(file: Path, error: StateError, teller: Teller, now: datetime) -> None:
    try:
        words = f"State set aside : {set_aside(file, now)} ({error})"
    except OSError as cause:
        words = f"State not usable : {file} ({error}); it could not be set aside: {cause.strerror}"
    _log.error("%s", words)
    teller.settings((words, "It is rebuilt from the sets"), now)


def _sets(found: InForce, host: Host) -> tuple[StoredSet, ...]:
    """The sets there are; none while the destination cannot be looked at."""
    layout = found.layout
    try:
        destination = resolve_destination(layout, found.reading.settings, host.path_map)
        return take_inventory(destination, layout.data_file.stem, layout.data_file).sets
    except (OSError, EngineError):
        return ()


def _from_sets(known: Known, sets: tuple[StoredSet, ...], now: datetime) -> Known:
    """Nothing is remembered: slots count from the newest that a set was made for, by a clock that was right."""
    slots = [stored.facts.scheduled for stored in sets if stored.facts.scheduled is not None]
    past = [slot for slot in slots if slot <= now]
    if not past:
        return known
    return replace(known, answered_until=past[-1], anchor=past[-1].astimezone(known.zone).date())


def _tell_dead_run(known: Known, layout: DatabaseLayout, teller: Teller, now: datetime) -> None:
    """A run died with the service before it had left traces from which the next one could tell."""
    if not isinstance(known.running, Serving):
        return
    with suppress(OSError):
        traces = read_traces(layout.package / "Logs" / DATABASE_LOCK) or {}
        if traces.get("scheduled") == known.running.slot.at.isoformat():
            return
    error = EngineError("the backup ended with the service before it began to write")
    teller.aborted(error, known.running, now)
