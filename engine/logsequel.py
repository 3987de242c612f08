"""Whether one log follows another, and whether a log belongs to a data file: the one decision, for all who ask. Pure.

What is known of 4D's numbering (docs/4d-logs.md): a renewed log starts with the number the old one ended with; the
datalink stays through backups and renewals, and a copied data file keeps it, so it alone proves little.
"""

from dataclasses import dataclass
from enum import Enum

from engine.logfile import LogFacts, LogFormat

NO_DATALINK = bytes(16)
# a data file of the old format stays one or two records behind or ahead of its log
OLD_FORMAT_SLACK = 2


class Sequel(Enum):
    """What a later log is to an earlier one."""

    SAME = "the same log"
    GROWN = "the same log, grown"
    SHORTER = "the same log, shorter"
    FOLLOWS = "follows"
    GAP = "gap"
    RECREATED = "re-created"
    FORK = "fork"
    OVERLAPS = "numbers overlap"
    OTHER_DATA_FILE = "other data file"
    OTHER_FORMAT = "other format"
    EMPTY = "empty"


_UNBROKEN = frozenset({Sequel.SAME, Sequel.GROWN, Sequel.FOLLOWS})


@dataclass(frozen=True, slots=True)
class Following:
    """The decision; `missing` are first and last number of operations that are in neither log.

    `weak`: equal numbers are all that speaks for it, and the earlier log does not end with a backup's mark: two
    renewals without an operation in between look like one.
    """

    sequel: Sequel
    missing: tuple[int, int] | None = None
    goes_back: bool = False
    weak: bool = False

    @property
    def is_unbroken(self) -> bool:
        """Whether no operation is missing between the two."""
        return self.sequel in _UNBROKEN


def judge_sequel(earlier: LogFacts, later: LogFacts, *, begins_so: bool | None = None) -> Following:
    """What `later` is to `earlier`. `begins_so` is what engine.logfile.begins_with says of them, None when not asked."""
    if earlier.datalink != later.datalink:
        return Following(Sequel.OTHER_DATA_FILE)
    if earlier.format is not later.format:
        return Following(Sequel.OTHER_FORMAT)
    if None in (earlier.last, later.before, earlier.first, later.first):
        return Following(Sequel.EMPTY)
    if is_same_log(earlier, later):
        return _judge_copies(earlier, later, begins_so=begins_so)
    return _judge_numbers(earlier, later)


def is_same_log(one: LogFacts, other: LogFacts) -> bool:
    """Whether two have the same beginning: 4D only ever appends, so they are one log at two times."""
    return beginning(one) == beginning(other)


def beginning(facts: LogFacts) -> tuple[object, ...]:
    """What stays of a log however much is appended to it."""
    return (facts.datalink, facts.format, facts.before, facts.first, facts.first_time)


def _judge_copies(earlier: LogFacts, later: LogFacts, *, begins_so: bool | None) -> Following:
    if later.whole_bytes < earlier.whole_bytes:
        return Following(Sequel.SHORTER)
    if later.whole_bytes == earlier.whole_bytes:
        is_same = (later.last, later.last_time) == (earlier.last, earlier.last_time)
        return Following(Sequel.SAME if is_same else Sequel.FORK)
    return Following(Sequel.FORK if begins_so is False else Sequel.GROWN)


def _judge_numbers(earlier: LogFacts, later: LogFacts) -> Following:
    end, start = earlier.last or 0, later.before or 0
    goes_back = (
        earlier.last_time is not None
        and later.first_time is not None
        and later.first_time < earlier.last_time
    )
    if start == end:
        weak = later.format is LogFormat.CURRENT and not earlier.ends_with_backup
        return Following(Sequel.FOLLOWS, goes_back=goes_back, weak=weak)
    if start > end:
        return Following(Sequel.GAP, (end + 1, start), goes_back=goes_back)
    if start == 0 and not goes_back:
        return Following(Sequel.RECREATED)
    return Following(Sequel.OVERLAPS, goes_back=goes_back)


class Belonging(Enum):
    """What a log is to a data file."""

    UP_TO_DATE = "up to date"
    LOG_AHEAD = "log ahead"
    DATA_AHEAD = "data ahead"
    BEFORE_LOG = "before the log"
    OTHER_DATA_FILE = "other data file"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Belongs:
    """The decision; `operations` is how many the log has that the data have not.

    `data` and `log` are the numbers that were compared. `by_number`: the data file names no datalink, only the
    numbers speak.
    """

    belonging: Belonging
    data: int
    log: int | None = None
    operations: int = 0
    by_number: bool = False


def judge_belonging(last: int, datalink: bytes | None, log: LogFacts) -> Belongs:
    """What a log is to a data file that is at operation `last` and has this datalink, None when it tells none."""
    by_number = datalink in {None, NO_DATALINK}
    if not by_number and datalink != log.datalink:
        return Belongs(Belonging.OTHER_DATA_FILE, last, log.last)
    if log.last is None:
        return Belongs(Belonging.EMPTY, last, by_number=by_number)
    slack = OLD_FORMAT_SLACK if log.format is LogFormat.OLD else 0
    found = Belonging.UP_TO_DATE
    if last > log.last + slack:
        found = Belonging.DATA_AHEAD
    elif log.before is not None and last < log.before - slack:
        found = Belonging.BEFORE_LOG
    elif log.last > last + slack:
        found = Belonging.LOG_AHEAD
    operations = max(0, log.last - max(last, log.before or 0))
    return Belongs(found, last, log.last, operations, by_number)
