"""When a drill or a scrub is due: told in local times in Paris."""

from datetime import datetime, time, timedelta
from pathlib import Path

import pytest

from scheduler.due import drill_due, is_overdue, opening, scrub_due
from scheduler.proof import LastDrill
from settings.service_model import Drill, Scrub, Window
from tests.scheduler.stories import PARIS, at

NIGHT = Window(time(22, 30), time(5))
EARLY = Window(time(2), time(5))
WEEKLY = Drill(timedelta(days=7), Path("/srv/drill"))
WEEKLY_EARLY = Drill(timedelta(days=7), Path("/srv/drill"), EARLY)


def drilled(when: str, code: int = 0) -> LastDrill:
    return LastDrill(at(when), 5, 12.0, code, "")


def local(instant: datetime) -> str:
    return f"{instant.astimezone(PARIS):%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("window", "now", "opens"),
    [
        (None, "10 12:00", "01-10 12:00"),
        (EARLY, "10 01:59", "01-10 02:00"),
        (EARLY, "10 02:00", "01-10 02:00"),
        (EARLY, "10 04:59", "01-10 04:59"),
        (EARLY, "10 05:00", "01-11 02:00"),
        (NIGHT, "10 12:00", "01-10 22:30"),
        (NIGHT, "10 22:30", "01-10 22:30"),
        (NIGHT, "10 23:59", "01-10 23:59"),
        (NIGHT, "10 00:00", "01-10 00:00"),
        (NIGHT, "10 04:59", "01-10 04:59"),
        (NIGHT, "10 05:00", "01-10 22:30"),
        # clocks go forward from 02:00 to 03:00 on 29 March 2026
        (EARLY, "2026-03-29 00:30", "03-29 03:00"),
        (Window(time(2), time(3)), "2026-03-29 00:30", "03-30 02:00"),
        (Window(time(2, 30), time(3, 30)), "2026-03-29 00:30", "03-29 03:00"),
        # and back from 03:00 to 02:00 on 25 October
        (Window(time(2, 30), time(3)), "2026-10-25 01:00", "10-25 02:30"),
    ],
)
def test_a_window_opens(window: Window | None, now: str, opens: str) -> None:
    assert local(opening(window, at(now), PARIS)) == opens


@pytest.mark.parametrize(
    ("drill", "last", "now", "due"),
    [
        (WEEKLY, None, "10 12:00", "01-10 12:00"),
        (WEEKLY_EARLY, None, "10 12:00", "01-11 02:00"),
        (WEEKLY, drilled("10 03:00"), "10 12:00", "01-17 03:00"),
        (WEEKLY, drilled("10 03:00"), "17 02:59", "01-17 03:00"),
        (WEEKLY, drilled("10 03:00"), "17 03:01", "01-17 03:01"),
        (WEEKLY_EARLY, drilled("10 04:00"), "17 03:00", "01-17 04:00"),
        (WEEKLY_EARLY, drilled("10 04:00"), "17 06:00", "01-18 02:00"),
        # a failure is tried again after a day, not after a week and not at once
        (WEEKLY, drilled("10 03:00", 1411), "10 03:01", "01-11 03:00"),
        (WEEKLY_EARLY, drilled("10 05:30", 1411), "10 06:00", "01-12 02:00"),
        # done under a clock that was years ahead: that says nothing
        (WEEKLY, drilled("2031-01-10 03:00"), "10 12:00", "01-10 12:00"),
        (WEEKLY, drilled("10 12:01"), "10 12:00", "01-17 12:01"),
        # an hour ahead is a clock that was a little wrong
        (WEEKLY, drilled("10 13:00"), "10 12:00", "01-17 13:00"),
        (WEEKLY, drilled("10 13:01"), "10 12:00", "01-10 12:00"),
    ],
)
def test_a_drill_is_due(drill: Drill, last: LastDrill | None, now: str, due: str) -> None:
    assert local(drill_due(drill, last, PARIS, at(now))) == due


@pytest.mark.parametrize(
    ("oldest", "window", "now", "due"),
    [
        (None, None, "10 12:00", "01-10 12:00"),
        (None, EARLY, "10 12:00", "01-11 02:00"),
        ("10 03:00", None, "10 12:00", "02-09 03:00"),
        ("10 03:00", EARLY, "2026-02-09 06:00", "02-10 02:00"),
        ("1970-01-01 00:00", None, "10 12:00", "01-10 12:00"),
        ("2031-01-10 03:00", None, "10 12:00", "01-10 12:00"),
        ("10 11:30", None, "10 12:00", "02-09 11:30"),
        ("10 13:00", None, "10 12:00", "02-09 13:00"),
        ("10 13:01", None, "10 12:00", "01-10 12:00"),
    ],
)
def test_a_scrub_is_due(oldest: str | None, window: Window | None, now: str, due: str) -> None:
    scrub = Scrub(timedelta(days=30), window)

    assert local(scrub_due(scrub, at(oldest) if oldest else None, PARIS, at(now))) == due


@pytest.mark.parametrize(
    ("asked", "last", "now", "overdue"),
    [
        ("01 12:00", None, "15 11:59", False),
        ("01 12:00", None, "15 12:00", False),
        ("01 12:00", None, "15 12:01", True),
        ("01 12:00", drilled("10 12:00"), "20 12:00", False),
        ("01 12:00", drilled("10 12:00"), "24 12:01", True),
        # just asked for again, after a time without
        ("24 12:00", drilled("01 12:00"), "24 12:01", False),
    ],
)
def test_a_drill_is_overdue_after_twice_its_time(
    asked: str, last: LastDrill | None, now: str, overdue: bool
) -> None:
    assert is_overdue(WEEKLY, at(asked), last, at(now)) == overdue
