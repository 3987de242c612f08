"""Slots as a table: which rule asks for a backup when, and why."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from scheduler.slots import first_anchor, missed_slots, next_slot, slots_after
from settings.model import Daily, Hourly, Monthly, Never, Schedule, Unschedulable, Weekly

PARIS = "Europe/Paris"
NO_PHASE = date(2026, 1, 1)
MON, TUE, THU, SUN = 0, 1, 3, 6


def instant(wall: str, zone: str) -> datetime:
    return datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def local_slots(
    schedule: Schedule, zone: str, after: str, count: int, anchor: date = NO_PHASE
) -> list[str]:
    """The next slots after a local time, as local times with their offset where it is not obvious."""
    info = ZoneInfo(zone)
    slots = islice(slots_after(schedule, instant(after, zone), anchor, info), count)
    return [f"{slot.at.astimezone(info):%m-%d %H:%M%z}" for slot in slots]


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        # the hourly grid restarts at StartingAt each day
        (Hourly(6, time(0)), "2026-01-10 05:00", ["10 06:00", "10 12:00", "10 18:00", "11 00:00"]),
        # and continues past midnight until then: 22 + 5 = 03, 08, 13, 18, then 22 again
        (Hourly(5, time(22)), "2026-01-10 18:30", ["10 22:00", "11 03:00", "11 08:00", "11 13:00"]),
        (Hourly(5, time(22)), "2026-01-11 13:30", ["11 18:00", "11 22:00", "12 03:00", "12 08:00"]),
        (Hourly(24, time(2, 30)), "2026-01-10 02:30", ["11 02:30", "12 02:30"]),
        (Daily(1, time(2, 30)), "2026-01-10 02:29:59", ["10 02:30", "11 02:30"]),
        (Daily(1, time(2, 30)), "2026-01-10 02:30", ["11 02:30", "12 02:30"]),
        (Daily(3, time(2, 30)), "2026-01-05 00:00", ["07 02:30", "10 02:30", "13 02:30"]),
        # each weekday has its own hour; 2026-01-12 is a Monday
        (
            Weekly(1, ((MON, time(8)), (THU, time(9)))),
            "2026-01-12 08:00",
            ["15 09:00", "19 08:00", "22 09:00"],
        ),
        # every 2 weeks: all days of the active week, whose Sunday is its last day
        (
            Weekly(2, ((MON, time(8)), (SUN, time(9)))),
            "2026-01-04 10:00",
            ["12 08:00", "18 09:00", "26 08:00"],
        ),
        (Monthly(1, 15, time(1)), "2026-01-01 00:00", ["15 01:00"]),
    ],
)
def test_the_rule_says_when(schedule: Schedule, after: str, expected: list[str]) -> None:
    found = local_slots(schedule, PARIS, after, len(expected))

    assert found == [f"01-{day}+0100" for day in expected]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Monthly(1, 31, time(0)), ["01-31", "02-28", "03-31", "04-30"]),
        (Monthly(1, 30, time(0)), ["01-30", "02-28", "03-30", "04-30"]),
        (Monthly(1, 28, time(0)), ["01-28", "02-28", "03-28", "04-28"]),
        (Monthly(3, 31, time(0)), ["01-31", "04-30", "07-31", "10-31"]),
        (Monthly(12, 29, time(0)), ["01-29"]),
    ],
)
def test_a_short_month_gives_its_last_day(schedule: Schedule, expected: list[str]) -> None:
    found = local_slots(schedule, "UTC", "2026-01-01 00:00", len(expected))

    assert [slot[:5] for slot in found] == expected


def test_a_leap_year_has_its_29th() -> None:
    assert local_slots(Monthly(1, 31, time(0)), "UTC", "2028-02-01", 1) == ["02-29 00:00+0000"]


@pytest.mark.parametrize("schedule", [Never(), Unschedulable("no day"), Weekly(1, ())])
def test_no_schedule_has_no_slots(schedule: Schedule) -> None:
    after = instant("2026-01-01", "UTC")
    zone = ZoneInfo("UTC")

    assert next_slot(schedule, after, NO_PHASE, zone) is None
    assert missed_slots(schedule, after, after + timedelta(days=99), NO_PHASE, zone) is None
    assert first_anchor(schedule, after, zone) == date(2026, 1, 1)


# --- nights on which clocks change ----------------------------------------------------------------

NIGHTS = [
    # spring: 02:30 does not exist; the first instant after the gap
    (PARIS, Daily(1, time(2, 30)), "2026-03-28 12:00", ["03-29 03:00+0200", "03-30 02:30+0200"]),
    # autumn: 02:30 comes twice; the first one
    (PARIS, Daily(1, time(2, 30)), "2026-10-24 12:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
    # Every = 1: the repeated hour both times, the missing hour merged into the next
    (
        PARIS,
        Hourly(1, time(0)),
        "2026-10-25 01:00",
        ["10-25 02:00+0200", "10-25 02:00+0100", "10-25 03:00+0100"],
    ),
    (PARIS, Hourly(1, time(0)), "2026-03-29 01:00", ["03-29 03:00+0200", "03-29 04:00+0200"]),
    (
        PARIS,
        Hourly(1, time(0, 30)),
        "2026-03-29 01:00",
        ["03-29 01:30+0100", "03-29 03:00+0200", "03-29 03:30+0200"],
    ),
    # any other Every: once
    (PARIS, Hourly(2, time(0)), "2026-10-25 01:00", ["10-25 02:00+0200", "10-25 04:00+0100"]),
    # half an hour
    (
        "Australia/Lord_Howe",
        Daily(1, time(2, 15)),
        "2026-10-03 12:00",
        ["10-04 02:30+1100", "10-05 02:15+1100"],
    ),
    (
        "Australia/Lord_Howe",
        Hourly(1, time(0, 45)),
        "2026-04-05 01:00",
        ["04-05 01:45+1100", "04-05 01:45+1030", "04-05 02:45+1030"],
    ),
    # two hours; the second showing reaches over the start of the next grid
    (
        "Antarctica/Troll",
        Hourly(1, time(2, 30)),
        "2026-10-25 00:45",
        [
            "10-25 01:30+0200",
            "10-25 02:30+0200",
            "10-25 01:30+0000",
            "10-25 02:30+0000",
            "10-25 03:30+0000",
        ],
    ),
    # midnight does not exist
    ("Africa/Cairo", Daily(1, time(0)), "2026-04-23 12:00", ["04-24 01:00+0300"]),
    ("America/Sao_Paulo", Daily(1, time(0, 30)), "2018-11-03 12:00", ["11-04 01:00-0200"]),
    ("Asia/Beirut", Daily(1, time(0)), "2026-03-28 12:00", ["03-29 01:00+0300"]),
    # a whole day does not exist; its slot comes at the first instant after, or is that day's own
    (
        "Pacific/Apia",
        Daily(1, time(2, 30)),
        "2011-12-29 12:00",
        ["12-31 00:00+1400", "12-31 02:30+1400", "01-01 02:30+1400"],
    ),
    (
        "Pacific/Apia",
        Daily(1, time(0)),
        "2011-12-29 12:00",
        ["12-31 00:00+1400", "01-01 00:00+1400"],
    ),
    ("Pacific/Kwajalein", Daily(1, time(23)), "1993-08-20 23:30", ["08-22 00:00+1200"]),
    # 45 minutes off, the standard offset changed for good, Ramadan
    ("Asia/Kathmandu", Daily(1, time(5)), "2026-01-01 12:00", ["01-02 05:00+0545"]),
    ("Asia/Pyongyang", Daily(1, time(23, 45)), "2018-05-04 12:00", ["05-05 00:00+0900"]),
    ("Africa/Casablanca", Daily(1, time(2, 30)), "2026-02-14 12:00", ["02-15 02:30+0100"]),
    ("Africa/Casablanca", Daily(1, time(2, 30)), "2026-03-21 12:00", ["03-22 03:00+0100"]),
]


@pytest.mark.parametrize(("zone", "schedule", "after", "expected"), NIGHTS)
def test_a_night_on_which_clocks_change(
    zone: str, schedule: Schedule, after: str, expected: list[str]
) -> None:
    assert local_slots(schedule, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("zone", "schedule", "after", "reason"),
    [
        (PARIS, Daily(1, time(2, 30)), "2026-03-01", None),
        (
            PARIS,
            Daily(1, time(2, 30)),
            "2026-03-28 12:00",
            (
                "02:30 does not exist on 2026-03-29 in Europe/Paris;"
                " served at 03:00, the first instant after the gap"
            ),
        ),
        (
            PARIS,
            Daily(1, time(2, 30)),
            "2026-10-24 12:00",
            "02:30 occurs twice on 2026-10-25 in Europe/Paris; first occurrence",
        ),
        (
            PARIS,
            Hourly(1, time(0)),
            "2026-10-25 02:00",
            "02:00 occurs twice on 2026-10-25 in Europe/Paris; second occurrence",
        ),
        (
            "Pacific/Apia",
            Daily(1, time(2, 30)),
            "2011-12-29 12:00",
            (
                "02:30 does not exist on 2011-12-30 in Pacific/Apia;"
                " served at 2011-12-31 00:00, the first instant after the gap"
            ),
        ),
        (
            "UTC",
            Monthly(1, 31, time(0)),
            "2026-02-01",
            "day 31 does not exist in this month; last day taken",
        ),
        (
            PARIS,
            Monthly(1, 29, time(2, 30)),
            "2026-03-01 12:00",
            (
                "02:30 does not exist on 2026-03-29 in Europe/Paris;"
                " served at 03:00, the first instant after the gap"
            ),
        ),
        (
            "Africa/Cairo",
            Monthly(1, 31, time(0, 30)),
            "2010-04-01 00:00",
            (
                "day 31 does not exist in this month; last day taken;"
                " 00:30 does not exist on 2010-04-30 in Africa/Cairo;"
                " served at 01:00, the first instant after the gap"
            ),
        ),
    ],
)
def test_every_slot_says_why(zone: str, schedule: Schedule, after: str, reason: str | None) -> None:
    slot = next_slot(schedule, instant(after, zone), NO_PHASE, ZoneInfo(zone))

    assert slot is not None
    assert slot.reason == reason


def test_the_wall_time_is_what_the_rule_asked_for() -> None:
    slot = next_slot(
        Daily(1, time(2, 30)), instant("2026-03-28 12:00", PARIS), NO_PHASE, ZoneInfo(PARIS)
    )

    assert slot is not None
    assert (slot.wall, slot.at) == (
        datetime.fromisoformat("2026-03-29 02:30"),
        datetime(2026, 3, 29, 1, tzinfo=UTC),
    )


# --- every N --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "since", "expected"),
    [
        (Daily(3, time(2, 30)), "2026-01-10 01:00", date(2026, 1, 10)),
        (Daily(3, time(2, 30)), "2026-01-10 02:30", date(2026, 1, 11)),
        (Weekly(2, ((TUE, time(8)),)), "2026-01-12 00:00", date(2026, 1, 13)),
        (Weekly(2, ((TUE, time(8)),)), "2026-01-13 09:00", date(2026, 1, 20)),
        (Monthly(6, 31, time(8)), "2026-02-01 00:00", date(2026, 2, 28)),
        (Hourly(6, time(8)), "2026-02-01 00:00", date(2026, 2, 1)),
        # past the last day anyone can schedule
        (Daily(2, time(2, 30)), "9999-12-31 00:00", date(9999, 12, 25)),
    ],
)
def test_with_nothing_served_the_first_matching_day_is_the_anchor(
    schedule: Schedule, since: str, expected: date
) -> None:
    assert first_anchor(schedule, instant(since, "UTC"), ZoneInfo("UTC")) == expected


@pytest.mark.parametrize("every", [1, 2, 3, 5, 12])
@pytest.mark.parametrize(
    "rule",
    [
        lambda every: Daily(every, time(2, 30)),
        lambda every: Weekly(every, ((MON, time(8)), (SUN, time(2, 30)))),
        lambda every: Monthly(every, 31, time(2, 30)),
    ],
)
def test_any_slot_of_the_series_is_as_good_an_anchor(rule: object, every: int) -> None:
    schedule: Schedule = rule(every)  # type: ignore[operator]
    zone = ZoneInfo(PARIS)
    start = instant("2026-01-01", PARIS)
    series = list(islice(slots_after(schedule, start, date(2026, 1, 7), zone), 20))

    for slot in series:
        again = list(islice(slots_after(schedule, start, slot.wall.date(), zone), 20))
        assert again == series


def test_an_absurd_n_has_one_slot_or_none() -> None:
    anchor = date(2026, 1, 5)  # a Monday
    for schedule in (
        Daily(10**9, time(8)),
        Weekly(10**9, ((MON, time(8)),)),
        Monthly(10**9, 5, time(8)),
    ):
        found = list(slots_after(schedule, instant("2026-01-05", "UTC"), anchor, ZoneInfo("UTC")))
        assert [slot.at for slot in found] == [datetime(2026, 1, 5, 8, tzinfo=UTC)]
