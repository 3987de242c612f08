"""The values of a decision on logs at a restore: what is asked, what is at hand, what goes where."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import Enum
from pathlib import Path

from engine.datafile import DataFacts
from engine.logfile import LogFacts


class Live(Enum):
    """The log that 4D writes to, or wrote to last; every other one is known by the number of its set."""

    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Shipped:
    """A piece of the stream beside the sets: a copy of a live log as far as it was shipped."""

    folder: Path
    piece: int


LIVE = Live.LIVE
Source = int | Live | Shipped


class LogMode(Enum):
    """How far the operations are wanted: up to the newest one, or as they were when the set was made."""

    CURRENT = "current"
    SET = "set"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A log that may be placed; `facts` is a text when it cannot be read, and says why.

    `continues_set_log` is what engine.logfile.begins_with says of it and the log of the set that is
    restored, or of one that cannot be read, whether it begins with that byte for byte; None when they were
    not compared. `damage` says of a shipped log what of it was shipped and cannot be read now, `promised` up to
    which operation it was, 0 for none, None when nobody knows.
    """

    source: Source
    facts: LogFacts | str
    continues_set_log: bool | None = None
    damage: str | None = None
    promised: int | None = None

    @property
    def known(self) -> LogFacts | None:
        """Its facts, None when it cannot be read."""
        return self.facts if isinstance(self.facts, LogFacts) else None


@dataclass(frozen=True, slots=True)
class LogRequest:
    """What is restored, and what 4D's settings say of logs.

    `data` is a text when the data file in the set cannot be read, and says why. `saved_at` is when the
    backup began; `zone` is for the report.
    """

    mode: LogMode
    data: DataFacts | str
    set_number: int
    saved_at: datetime
    zone: tzinfo
    automatic_integration: bool = True
    strictness: str = "strict"

    @property
    def reached(self) -> int | None:
        """The number of the last operation in the data, None when it is not known."""
        return self.data.last if isinstance(self.data, DataFacts) else None


class Why(Enum):
    """Why a log is not placed."""

    UNREADABLE = "unreadable"
    OTHER_DATA_FILE = "other data file"
    OTHER_FORMAT = "other format"
    RECREATED = "re-created"
    FORK = "fork"
    SHORTER = "shorter"
    NOTHING_NEW = "nothing new"
    BEHIND_DATA = "behind the data"
    BEHIND_GAP = "behind a gap"
    NUMBERS_OVERLAP = "numbers overlap"
    EMPTY = "empty"
    NO_POSITION = "no position"
    NOT_ASKED = "not asked for"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A log that is not placed."""

    candidate: Candidate
    why: Why


@dataclass(frozen=True, slots=True)
class Gap:
    """Operations that no log at hand holds: first and last number, and the times of their neighbours."""

    first: int
    last: int
    since: datetime | None
    until: datetime | None


class Fit(Enum):
    """What the data and the log under its own name are to each other."""

    INTEGRATES = "integrates"
    UP_TO_DATE = "up to date"
    UNKNOWN = "unknown"
    DATA_AHEAD = "data ahead"
    NONE = "no log"


@dataclass(frozen=True, slots=True)
class LogPlan:
    """Which log goes where, and what is known of the operations between.

    `current` goes under the log's own name beside the data file, `earlier` into a folder of logs to be
    integrated by hand before it, in this order. `operations` counts what all of them add to the data; None
    when that is not known. `unbroken`: from the data's last operation to the end of `current` none is
    missing, and nothing hints at later ones that are: never with a shipped log that is damaged. `lacks_shipped`: what
    was told as shipped is in no log that is placed, `lost_to` the last operation of it when that is known. `sentences`
    is the report.
    """

    current: Candidate | None
    earlier: tuple[Candidate, ...]
    fit: Fit
    unbroken: bool
    gaps: tuple[Gap, ...]
    operations: int | None
    left_out: tuple[LeftOut, ...]
    sentences: tuple[str, ...] = ()
    lacks_shipped: bool = False
    lost_to: int | None = None
