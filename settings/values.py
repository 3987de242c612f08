"""One text to one value; ValueError says in words why it is none. Nothing is repaired here (spec 1.5)."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from settings.keys import Key, Kind
from settings.paths import parse_path

_COUNT = re.compile(r"[+-]?[0-9]{1,9}")
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}T)?"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,6}))?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_DATE = re.compile(r"([0-9]{1,4})-([0-9]{2})-([0-9]{2})(?:T.*)?")


@dataclass(frozen=True, slots=True)
class TimeText:
    """A time as written: the date and the zone say nothing, but write-back keeps them."""

    date: str
    hour: int
    minute: int
    second: int
    fraction: str
    zone: str


def parse_flag(_key: Key, text: str) -> bool:
    """True/False in any case, or 1/0."""
    word = text.strip().lower()
    if word in {"true", "1"}:
        return True
    if word in {"false", "0"}:
        return False
    raise ValueError("this is neither True nor False")


def parse_count(key: Key, text: str) -> int:
    """A whole number inside the key's bounds."""
    word = text.strip()
    if not _COUNT.fullmatch(word):
        raise ValueError("this is not a whole number")
    if not key.low <= int(word) <= key.high:
        raise ValueError("this number is out of range")
    return int(word)


def parse_word(key: Key, text: str) -> str:
    """One of the key's words, whatever its case, as 4D spells it."""
    wanted = text.strip().lower()
    for word in key.words:
        if word.lower() == wanted:
            return word
    raise ValueError("this word is not known")


def parse_text(_key: Key, text: str) -> str:
    """Any text, without the blanks around it."""
    return text.strip()


def parse_time_text(text: str) -> TimeText:
    """Any of the time forms 4D and its integrators wrote, taken apart."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError("this is not a time")
    part = found.groupdict(default="")
    hour, minute, second = int(part["hour"]), int(part["minute"]), int(part["second"])
    if minute > 59 or second > 59:
        raise ValueError("minutes and seconds go up to 59")
    return TimeText(part["date"], hour, minute, second, part["fraction"], part["zone"])


def parse_clock(_key: Key, text: str) -> time:
    """A time of day; its date, its fraction of a second and its zone are no part of the value."""
    read = parse_time_text(text)
    if read.hour > 23:
        raise ValueError("hours go up to 23")
    return time(read.hour, read.minute, read.second)


def parse_duration(_key: Key, text: str) -> timedelta:
    """A length of time up to 99 hours."""
    read = parse_time_text(text)
    fraction = timedelta(microseconds=int(read.fraction.ljust(6, "0")))
    return timedelta(hours=read.hour, minutes=read.minute, seconds=read.second) + fraction


def parse_moment(day: str, clock: str) -> datetime | None:
    """Join LastBackupDate and LastBackupTime; None when they say that no backup was made."""
    found = _DATE.fullmatch(day.strip())
    if found is None:
        raise ValueError("this is not a date")
    year, month, number = (int(part) for part in found.groups())
    if year == 0:
        return None
    read = parse_time_text(clock)
    return datetime.combine(date(year, month, number), time(read.hour, read.minute, read.second))


def check_value(key: Key, text: str) -> None:
    """Do nothing when the text is a value of this key; ValueError otherwise."""
    match key.kind:
        case Kind.FLAG:
            parse_flag(key, text)
        case Kind.COUNT:
            parse_count(key, text)
        case Kind.CLOCK:
            parse_clock(key, text)
        case Kind.DURATION:
            parse_duration(key, text)
        case Kind.WORD:
            parse_word(key, text)
        case Kind.PATH:
            parse_path(text)
        case Kind.TEXT | Kind.ITEMS:
            pass
