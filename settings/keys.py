"""The one table of keys: where each stands, what it may hold, what 4D writes by default (spec 1.3, 1.4).

Reader, write-back and schema are driven by it. The order is the one in which 4D writes the elements.
"""

from dataclasses import dataclass
from enum import Enum

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NAMESPACE = "http://www.4d.com/namespace/reserved/2004/backup"
_RATES = ("None", "Low", "Medium", "High")
_FREQUENCIES = ("Never", "", "Hourly", "Daily", "Weekly", "Monthly")
_MIDNIGHT = "0000-00-00T00:00:00.000"
_SCHEDULER = "Settings/Scheduler"
_MOST_PERIODS = 9999  # keeps date arithmetic inside the calendar


class Kind(Enum):
    """What the text of a key means."""

    FLAG = "flag"
    COUNT = "count"
    CLOCK = "clock"
    DURATION = "duration"
    WORD = "word"
    PATH = "path"
    TEXT = "text"
    ITEMS = "items"


_ALLOWED = {
    Kind.FLAG: "True or False",
    Kind.COUNT: "a whole number from {low} to {high}",
    Kind.CLOCK: "a time of day as 0000-00-00T02:30:00.000",
    Kind.DURATION: "a duration as 00:01:00 or 0000-00-00T00:01:00.000",
    Kind.WORD: "one of {words}",
    Kind.PATH: "a path as ./Backup/, /srv/backup/ or C:\\Backup\\",
    Kind.TEXT: "text",
    Kind.ITEMS: "ItemsCount and Item1, Item2 and so on",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key: `default` is the text 4D writes; `guarded` keys decide what is deleted or where we write.

    `low` and `high` bound a COUNT; `words` are what a WORD may be; `aliases` are other places or
    spellings met in files.
    """

    path: str
    kind: Kind
    default: str
    low: int = 0
    high: int = 999_999_999
    words: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    guarded: bool = False

    @property
    def allowed(self) -> str:
        """What may stand here, in words."""
        words = ", ".join(word or "(empty)" for word in self.words)
        return _ALLOWED[self.kind].format(low=self.low, high=self.high, words=words)


def _key(path: str, kind: Kind, default: str, *spellings: str, guarded: bool = False) -> Key:
    return Key(path, kind, default, aliases=spellings, guarded=guarded)


def _count(path: str, default: str, low: int, high: int, *, guarded: bool = False) -> Key:
    return Key(path, Kind.COUNT, default, low, high, aliases=_nested(path), guarded=guarded)


def _word(path: str, default: str, words: tuple[str, ...], *spellings: str) -> Key:
    return Key(path, Kind.WORD, default, words=words, aliases=spellings)


def _clock(path: str) -> Key:
    return Key(path, Kind.CLOCK, _MIDNIGHT, aliases=_nested(path))


def _nested(path: str) -> tuple[str, ...]:
    # the manual puts the blocks inside Frequency, every real file beside it
    if not path.startswith(_SCHEDULER + "/"):
        return ()
    return (path.replace(_SCHEDULER, _SCHEDULER + "/Frequency", 1),)


def _weekday(day: str) -> tuple[Key, Key]:
    block = f"{_SCHEDULER}/Weekly/{day}"
    save = f"{block}/Save"
    default = "True" if day == "Sunday" else "False"
    return _key(save, Kind.FLAG, default, *_nested(save)), _clock(f"{block}/Hour")


_DATABASE = tuple(
    _key(f"DataBase/{name}", Kind.ITEMS, "")
    for name in (
        "DatabaseName",
        "LastBackupPath",
        "LastBackupLogPath",
        "CurrentBackupSet",
        "LastBackupDate",
        "LastBackupTime",
    )
)

_A = "Settings/Advanced"
_ADVANCED = (
    _key(f"{_A}/Transaction/WaitForEndOfTransaction", Kind.FLAG, "False"),
    _key(f"{_A}/Transaction/Timeout", Kind.DURATION, "0000-00-00T00:03:00"),
    _key(f"{_A}/BackupFailure/TryBackupAtTheNextScheduledDate", Kind.FLAG, "False"),
    _key(f"{_A}/BackupFailure/TryToBackupAfter", Kind.DURATION, "00:01:00"),
    _key(f"{_A}/BackupFailure/AbortIfBackupFail", Kind.FLAG, "False"),
    _count(f"{_A}/BackupFailure/RetryCountBeforeAbort", "5", 1, 999_999),
    _key(f"{_A}/AutomaticRestore", Kind.FLAG, "True"),
    _key(f"{_A}/AutomaticLogIntegration", Kind.FLAG, "True"),
    _key(f"{_A}/AutomaticRestart", Kind.FLAG, "True"),
    _key(f"{_A}/BackupIfDataChange", Kind.FLAG, "False"),
    _key(f"{_A}/SetNumber/Enable", Kind.FLAG, "True", guarded=True),
    _count(f"{_A}/SetNumber/Value", "3", 1, 999_999, guarded=True),
    _word(f"{_A}/CompressionRate", "Fast", ("None", "Fast", "Compact")),
    _word(f"{_A}/Redundancy", "None", _RATES, f"{_A}/Redondancy"),
    _word(f"{_A}/Interlacing", "None", _RATES),
    _key(f"{_A}/AutomaticLogIntegrationStrictness", Kind.TEXT, "strict"),
    _count(f"{_A}/FileSegmentation/DefaultSize", "0", 0, 2048),
    _key(f"{_A}/EraseOldBackupBefore", Kind.FLAG, "False", guarded=True),
    _key(f"{_A}/CheckArchiveFileDuringBackup", Kind.FLAG, "True"),
    _key(f"{_A}/BackupJournalVerboseMode", Kind.FLAG, "True", f"{_A}/VerboseMode"),
)

_GENERAL = (
    _key("Settings/General/IncludeStructureFile", Kind.FLAG, "True"),
    _key("Settings/General/IncludeDataFile", Kind.FLAG, "True"),
    _key("Settings/General/IncludeAltStructFile", Kind.FLAG, "False"),
    _key("Settings/General/DestinationFolder", Kind.PATH, "./", guarded=True),
    _key("Settings/General/IncludesFiles", Kind.ITEMS, ""),
)

_SCHEDULE = (
    _word(f"{_SCHEDULER}/Frequency", "Never", _FREQUENCIES),
    _count(f"{_SCHEDULER}/Hourly/Every", "12", 1, 24),
    _clock(f"{_SCHEDULER}/Hourly/StartingAt"),
    _count(f"{_SCHEDULER}/Daily/Every", "1", 1, _MOST_PERIODS),
    _clock(f"{_SCHEDULER}/Daily/Hour"),
    _count(f"{_SCHEDULER}/Weekly/Every", "1", 1, _MOST_PERIODS),
    *(key for day in WEEKDAYS for key in _weekday(day)),
    _count(f"{_SCHEDULER}/Monthly/Every", "1", 1, _MOST_PERIODS),
    _clock(f"{_SCHEDULER}/Monthly/Hour"),
    _count(f"{_SCHEDULER}/Monthly/Day", "1", 1, 31),
)

KEYS: dict[str, Key] = {key.path: key for key in (*_DATABASE, *_ADVANCED, *_GENERAL, *_SCHEDULE)}


def _ancestors(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]


def _places() -> frozenset[str]:
    places = {place for key in KEYS.values() for place in (key.path, *key.aliases)}
    return frozenset(places | {above for place in places for above in _ancestors(place)})


PLACES = _places()
"""Every path that means something to us: keys, their aliases, and the blocks around them."""


def _order() -> dict[str, int]:
    paths = [step for path in KEYS for step in (*_ancestors(path), path)]
    return {path: rank for rank, path in enumerate(dict.fromkeys(paths))}


ORDER = _order()
"""Rank of every block and key in the order 4D writes them."""
