"""Why a slot is where it is: the rule it follows and the day from which every-N counts, in words. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import assert_never

from scheduler.slots import Slot
from settings.keys import WEEKDAYS
from settings.model import Daily, Hourly, Monthly, Never, Schedule, Unschedulable, Weekly


@dataclass(frozen=True, slots=True)
class Phase:
    """The day from which every-N counts, and how it is known, in words."""

    anchor: date
    known_from: str


def explain_slot(slot: Slot, schedule: Schedule, phase: Phase) -> str:
    """The rule behind a slot, and what is unusual about it."""
    return "; ".join(filter(None, (_rule_of(slot, schedule, phase), slot.reason)))


def describe_phase(schedule: Schedule, phase: Phase) -> str | None:
    """From when every-N counts and why from then; None when there is nothing to count."""
    counted = _counted(schedule, phase)
    return None if counted is None else f"{counted}: {phase.known_from}"


def _rule_of(slot: Slot, schedule: Schedule, phase: Phase) -> str:
    counted = _counted(schedule, phase)
    since = "" if counted is None else f", counted {counted}"
    match schedule:
        case Hourly():
            return _hourly_rule(slot, schedule)
        case Daily(every=every):
            return f"{_each(every, 'day')}{since}"
        case Weekly(every=every):
            weekday = WEEKDAYS[slot.wall.weekday()]
            return f"{weekday} of {_each(every, 'week')}{since}"
        case Monthly(every=every, day=day):
            return f"day {day} of {_each(every, 'month')}{since}"
        case Never() | Unschedulable():
            return ""
    assert_never(schedule)


def _hourly_rule(slot: Slot, schedule: Hourly) -> str:
    """Which hour of which day's grid: the grid starts again every day."""
    start = _clock(schedule.starting_at)
    began = datetime.combine(slot.wall.date(), schedule.starting_at)
    if slot.wall < began:
        began -= timedelta(days=1)
    hours = (slot.wall - began) // timedelta(hours=1)
    if hours == 0:
        return f"start of the day's grid at {start}"
    before = "" if began.date() == slot.wall.date() else " of the day before"
    unit = "hour" if hours == 1 else "hours"
    return f"{hours} {unit} after {start}{before} ({_each(schedule.every, 'hour')})"


def _counted(schedule: Schedule, phase: Phase) -> str | None:
    match schedule:
        case Daily(every=every) if every > 1:
            return f"from {phase.anchor}"
        case Weekly(every=every) if every > 1:
            monday = date.fromordinal(phase.anchor.toordinal() - phase.anchor.weekday())
            return f"from the week of {monday}"
        case Monthly(every=every) if every > 1:
            return f"from {phase.anchor.isoformat()[:7]}"
        case _:
            return None


def _each(every: int, unit: str) -> str:
    return f"every {unit}" if every == 1 else f"every {every} {unit}s"


def _clock(at: time) -> str:
    return at.isoformat("seconds" if at.second else "minutes")
