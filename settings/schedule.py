"""The Scheduler block to a schedule; one that cannot be served becomes Unschedulable, never a guess."""

from collections.abc import Callable
from datetime import time
from typing import TypeVar

from settings.keys import KEYS, WEEKDAYS
from settings.model import Daily, Hourly, Monthly, Never, Schedule, Unschedulable, Weekly
from settings.sheet import Problem, Sheet
from settings.values import parse_clock, parse_count, parse_flag, parse_time_text, parse_word

T = TypeVar("T")
_S = "Settings/Scheduler"
_BLOCKS = ("Hourly", "Daily", "Weekly", "Monthly")


class _UnservableError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.why)
        self.problem = problem


def read_schedule(sheet: Sheet) -> Schedule:
    """Return the schedule of the active frequency; the other blocks keep their values but say nothing."""
    try:
        active = _need(sheet, f"{_S}/Frequency", parse_word)
        for block in _BLOCKS:
            if block != active:
                _note_inert(sheet, block)
        return _read_block(sheet, active)
    except _UnservableError as error:
        sheet.fail(error.problem)
        name = error.problem.key.path.removeprefix("Settings/")
        read = error.problem.read.strip()
        return Unschedulable(f"{name} is {read!r}: {error.problem.why}")


def _read_block(sheet: Sheet, active: str) -> Schedule:
    match active:
        case "Hourly":
            return Hourly(_every(sheet, active), _clock(sheet, f"{_S}/Hourly/StartingAt"))
        case "Daily":
            return Daily(_every(sheet, active), _clock(sheet, f"{_S}/Daily/Hour"))
        case "Weekly":
            return Weekly(_every(sheet, active), _days(sheet))
        case "Monthly":
            day = _need(sheet, f"{_S}/Monthly/Day", parse_count)
            return Monthly(_every(sheet, active), day, _clock(sheet, f"{_S}/Monthly/Hour"))
        case _:
            return Never()


def _every(sheet: Sheet, block: str) -> int:
    return _need(sheet, f"{_S}/{block}/Every", parse_count)


def _need(sheet: Sheet, path: str, parse: Callable[..., T]) -> T:
    value = sheet.read(path, parse)
    if isinstance(value, Problem):
        raise _UnservableError(value)
    return value


def _clock(sheet: Sheet, path: str) -> time:
    value = _need(sheet, path, parse_clock)
    nodes = sheet.nodes(KEYS[path])
    if nodes and parse_time_text(nodes[0].text).fraction.strip("0"):
        sheet.note(KEYS[path], nodes[0], "the fraction of a second is left out")
    return value


def _days(sheet: Sheet) -> tuple[tuple[int, time], ...]:
    """The saved days; absent days are not saved, but with no day block at all 4D's Sunday stands."""
    present = [day for day in WEEKDAYS if _day_is_there(sheet, day)] or ["Sunday"]
    saved = [d for d in present if _need(sheet, f"{_S}/Weekly/{d}/Save", parse_flag)]
    if not saved:
        raise _UnservableError(_no_day(sheet))
    for day in WEEKDAYS:
        if day not in saved:
            sheet.take(f"{_S}/Weekly/{day}/Hour", parse_clock, inert=True)
    return tuple((WEEKDAYS.index(day), _clock(sheet, f"{_S}/Weekly/{day}/Hour")) for day in saved)


def _day_is_there(sheet: Sheet, day: str) -> bool:
    key = KEYS[f"{_S}/Weekly/{day}/Save"]
    return any(sheet.has(place.removesuffix("/Save")) for place in (key.path, *key.aliases))


def _no_day(sheet: Sheet) -> Problem:
    frequency = KEYS[f"{_S}/Frequency"]
    node = sheet.nodes(frequency)[0]
    why = (
        "no day of the week is saved. Set Scheduler/Weekly/<Day>/Save to True for one day at least"
    )
    return Problem(frequency, node.line, node.text.strip(), why)


def _note_inert(sheet: Sheet, block: str) -> None:
    for path in KEYS:
        if not path.startswith(f"{_S}/{block}/"):
            continue
        parse = {"Every": parse_count, "Day": parse_count, "Save": parse_flag}
        sheet.take(path, parse.get(path.rpartition("/")[2], parse_clock), inert=True)
