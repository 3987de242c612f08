"""Gathers what is left on the disk of the slots of a database: sets, history, the service's state.

What cannot be read is said, and is never taken for something that did not happen.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.history import load_history
from engine.lock import memory_of
from engine.manifest import read_manifest
from engine.ownsets import own_sets
from engine.papers import plain
from engine.plan import resolve_destination
from engine.sets import Inventory, StoredSet
from scheduler.answers import Attempt, Evidence, Made, RuleOfThen
from scheduler.context import Context, look_for_sets
from scheduler.known import Known
from scheduler.service_state import ServiceState, service_state
from scheduler.slots import next_slot
from scheduler.state import State
from scheduler.wall import wall_at
from settings.layout import DatabaseLayout
from settings.model import Settings

_EVENTS_KEPT = 500
_TICK = timedelta(microseconds=1)
# what claims to be from another year tells nothing, and arithmetic on it may leave what dates can hold
_YEARS = range(1970, 9001)


@dataclass(frozen=True, slots=True)
class Traces:
    """What a destination holds; `blind` says why its sets cannot be seen, None when they can."""

    sets: tuple[StoredSet, ...]
    highest: int
    destination: Path | None
    blind: str | None


def look_for_traces(context: Context, settings: Settings, layout: DatabaseLayout) -> Traces:
    """The sets of the backup folder the settings name now; a folder that cannot be read is no error."""
    destination: Path | None = None
    try:
        destination = resolve_destination(layout, settings, context.service.path_map)
        inventory = look_for_sets(layout, destination)
    except EngineError as error:
        return Traces((), 0, destination, f"the backup folder cannot be looked at: {error}")
    except OSError as error:
        why = f"the backup folder {destination} cannot be read: {error.strerror}"
        return Traces((), 0, destination, why)
    highest = max(_highest_in(inventory), _remembered_number(layout))
    sets = tuple(stored for stored in own_sets(inventory.sets, layout) if _is_plausible(stored))
    return Traces(sets, highest, destination, None)


def _is_plausible(stored: StoredSet) -> bool:
    facts = stored.facts
    dates = (facts.started, facts.ended, facts.scheduled or facts.started)
    return all(at.year in _YEARS for at in dates)


def _highest_in(inventory: Inventory) -> int:
    """Sets that cannot be read were made all the same."""
    return max(inventory.highest, *(stored.number for stored in inventory.sets), 0)


def _remembered_number(layout: DatabaseLayout) -> int:
    try:
        number = memory_of(layout).get("number")
    except OSError:
        return 0
    return number if isinstance(number, int) else 0


def known_from_sets(known: Known, traces: Traces) -> Known | None:
    """Without a state the service takes the newest set's slot as the last that was answered; None without any."""
    slots = [made.facts.scheduled for made in traces.sets if made.facts.scheduled is not None]
    if not slots:
        return None
    newest = max(slots)
    answered_until = min(newest, known.answered_until)
    return replace(known, anchor=wall_at(newest, known.zone).date(), answered_until=answered_until)


def gather_evidence(
    context: Context,
    settings: Settings,
    layout: DatabaseLayout,
    known: Known,
    state: State | None,
    traces: Traces,
) -> Evidence:
    """All that is left to tell what became of the slots of this schedule."""
    service, _ = service_state(context.environment)
    document, now = _history(traces.destination), context.clock.now()
    rows = _event_rows(document)
    return Evidence(
        known=known,
        remembered=state is not None,
        served_now=state is not None and service is ServiceState.RUNNING,
        sets=tuple(_made(stored) for stored in traces.sets),
        attempts=_attempts(rows, layout.key),
        highest=traces.highest,
        blind=traces.blind,
        events_since=_complete_since(document, rows, now),
        may_postpone=settings.only_if_changed,
        rule_of=_Rules(known, {stored.number: stored.folder for stored in traces.sets}),
    )


def _made(stored: StoredSet) -> Made:
    facts = stored.facts
    return Made(facts.number, facts.scheduled, facts.started, facts.ended, facts.complete)


# --- the history ----------------------------------------------------------------------------------


def _history(destination: Path | None) -> dict[str, Any] | None:
    """None when there is no history that can be used."""
    if destination is None:
        return None
    try:
        loaded = load_history(destination)
    except OSError:
        return None
    return loaded.document if loaded.damage is None and loaded.document else None


def _event_rows(document: dict[str, Any] | None) -> list[dict[str, Any]]:
    events = None if document is None else document.get("backup4d")
    return [row for row in events if isinstance(row, dict)] if isinstance(events, list) else []


def _complete_since(
    document: dict[str, Any] | None, rows: list[dict[str, Any]], now: datetime
) -> datetime:
    """Since when no event can have been dropped from the history."""
    if document is None:
        return now
    if len(rows) < _EVENTS_KEPT:
        return datetime.min.replace(tzinfo=UTC)
    ends = [end for row in rows if (end := _instant(row.get("endingDate"))) is not None]
    return min(ends, default=now)


def _attempts(rows: list[dict[str, Any]], structure: str) -> tuple[Attempt, ...]:
    """Runs for a slot that published nothing; what is not readable is left out."""
    found: list[Attempt] = []
    for row in rows:
        scheduled, started = _instant(row.get("scheduledDate")), _instant(row.get("startingDate"))
        event, status = row.get("event"), row.get("status")
        if row.get("structurePath") != structure or event not in ("backup", "postponed"):
            continue
        if scheduled is None or started is None or not isinstance(status, int):
            continue
        text = str(row.get("error", ""))
        found.append(Attempt(scheduled, started, event == "postponed", status, text))
    return tuple(found)


def _instant(text: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return instant if instant.tzinfo is not None and instant.year in _YEARS else None


# --- the schedule of then -------------------------------------------------------------------------


class _Rules:
    """What sets were made under; manifests are read only when asked, and once."""

    def __init__(self, known: Known, folders: dict[int, Path]) -> None:
        self._known = known
        self._folders = folders
        self._schedule = plain(known.schedule)
        self._ask = cache(self._look)

    def __call__(self, made: Made) -> RuleOfThen:
        return self._ask(made)

    def _look(self, made: Made) -> RuleOfThen:
        try:
            values = read_manifest(self._folders[made.number]).settings["values"]
            schedule, may_postpone = values["schedule"], values["only_if_changed"]
        except (EngineError, KeyError, TypeError):
            return RuleOfThen(is_same=False, may_postpone=True)
        is_same = schedule == self._schedule
        is_same = is_same and (made.scheduled is None or self._is_slot(made.scheduled))
        return RuleOfThen(is_same, may_postpone is True)

    def _is_slot(self, at: datetime) -> bool:
        """Of another zone, or another phase of every-N, it would lie between the slots of today."""
        slot = next_slot(self._known.schedule, at - _TICK, self._known.anchor, self._known.zone)
        return slot is not None and slot.at == at
