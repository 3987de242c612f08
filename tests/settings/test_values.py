"""One text is one value or none, told in words; nothing is repaired."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import pytest

from settings.keys import KEYS, Key, Kind
from settings.values import (
    TimeText,
    check_value,
    parse_clock,
    parse_count,
    parse_duration,
    parse_flag,
    parse_moment,
    parse_text,
    parse_time_text,
    parse_word,
)

PLAIN = next(iter(KEYS.values()))
COUNT = replace(PLAIN, kind=Kind.COUNT, low=1, high=20)
WORD = replace(PLAIN, kind=Kind.WORD, words=("Daily", "Weekly"))


@pytest.mark.parametrize(
    ("parse", "key", "text", "value"),
    [
        (parse_flag, PLAIN, "True", True),
        (parse_flag, PLAIN, " tRUE ", True),
        (parse_flag, PLAIN, "1", True),
        (parse_flag, PLAIN, "False", False),
        (parse_flag, PLAIN, "0", False),
        (parse_count, COUNT, "1", 1),
        (parse_count, COUNT, " +20 ", 20),
        (parse_word, WORD, " weekly", "Weekly"),
        (parse_text, PLAIN, " a b\n", "a b"),
        (parse_clock, PLAIN, "23:59:59.5", time(23, 59, 59)),
        (parse_clock, PLAIN, "2020-01-01T00:00:00Z", time(0)),
        (parse_duration, PLAIN, "99:00:30", timedelta(hours=99, seconds=30)),
        (parse_duration, PLAIN, "00:01:00.25", timedelta(minutes=1, milliseconds=250)),
    ],
)
def test_a_text_is_its_value(
    parse: Callable[[Key, str], Any], key: Key, text: str, value: object
) -> None:
    found = parse(key, text)

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("parse", "key", "text", "said"),
    [
        (parse_flag, PLAIN, "yes", "this is neither True nor False"),
        (parse_flag, PLAIN, "", "this is neither True nor False"),
        (parse_count, COUNT, "1.0", "this is not a whole number"),
        (parse_count, COUNT, "1234567890", "this is not a whole number"),
        (parse_count, COUNT, "0", "this number is out of range"),
        (parse_count, COUNT, "21", "this number is out of range"),
        (parse_word, WORD, "Yearly", "this word is not known"),
        (parse_clock, PLAIN, "24:00:00", "hours go up to 23"),
        (parse_clock, PLAIN, "2:30:00", "this is not a time"),
        (parse_duration, PLAIN, "00:60:00", "minutes and seconds go up to 59"),
        (parse_duration, PLAIN, "00:00:60", "minutes and seconds go up to 59"),
    ],
)
def test_what_is_no_value_is_told(
    parse: Callable[[Key, str], Any], key: Key, text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        parse(key, text)


def test_a_time_keeps_what_says_nothing() -> None:
    assert parse_time_text(" 2020-06-03T12:01:02.250+02:00 ") == TimeText(
        "2020-06-03T", 12, 1, 2, "250", "+02:00"
    )
    assert parse_time_text("12:59:59") == TimeText("", 12, 59, 59, "", "")


@pytest.mark.parametrize(
    ("day", "clock", "moment"),
    [
        ("2020-06-03", "12:01:02", datetime(2020, 6, 3, 12, 1, 2)),  # noqa: DTZ001 - as 4D wrote it
        (" 2020-06-03T00:00:00 ", "00:00:00.9Z", datetime(2020, 6, 3)),  # noqa: DTZ001
        ("0000-00-00", "not looked at", None),
        ("0-00-00", "", None),
    ],
)
def test_the_last_backup_is_a_moment_or_was_none(
    day: str, clock: str, moment: datetime | None
) -> None:
    assert parse_moment(day, clock) == moment


@pytest.mark.parametrize(
    ("day", "clock", "said"),
    [
        ("03.06.2020", "12:00:00", "^this is not a date$"),
        ("", "12:00:00", "^this is not a date$"),
        ("2020-13-01", "12:00:00", "month"),
        ("2020-02-30", "12:00:00", "day"),
        ("2020-06-03", "noon", "^this is not a time$"),
    ],
)
def test_what_is_no_moment_is_told(day: str, clock: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_moment(day, clock)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Kind.FLAG, "True", "yes"),
        (Kind.COUNT, "5", "21"),
        (Kind.CLOCK, "23:00:00", "99:00:00"),
        (Kind.DURATION, "99:00:00", "noon"),
        (Kind.WORD, "daily", "yearly"),
        (Kind.PATH, "./Data/", ""),
    ],
)
def test_a_value_is_checked_as_what_its_key_holds(kind: Kind, good: str, bad: str) -> None:
    key = replace(WORD, kind=kind, low=1, high=20)

    check_value(key, good)
    with pytest.raises(ValueError, match=r"\w"):
        check_value(key, bad)


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.ITEMS])
def test_a_text_may_be_anything(kind: Kind) -> None:
    check_value(replace(PLAIN, kind=kind), "")
