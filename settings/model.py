"""The values of Backup.4DSettings, typed; only one form of each can hold.

Facts about keys and defaults: 4D documentation and observed files (spec 1.3, 1.4). Nothing here reads a
file, a clock or a disk.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import Enum


class Severity(Enum):
    """How much a finding matters: an ERROR makes `settings check` exit with 4."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where what was read is not what is used, or is not usable at all.

    `element` is the path below the root, as `Settings/Scheduler/Daily/Every`; `line` counts from 1 and
    takes CR, LF and CRLF as line ends. `read` is the text as met; `used` is the value taken instead,
    empty when nothing could be used. `why` says what is wrong and what is allowed.
    """

    severity: Severity
    element: str
    line: int | None
    read: str
    used: str
    why: str


# --- schedule -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Never:
    """Frequency is Never, empty or absent: manual backups only."""


@dataclass(frozen=True, slots=True)
class Hourly:
    """Every `every` hours (1..24), on a grid that restarts each local day at `starting_at`."""

    every: int
    starting_at: time


@dataclass(frozen=True, slots=True)
class Daily:
    """Every `every` days (at least 1) at local time `at`."""

    every: int
    at: time


@dataclass(frozen=True, slots=True)
class Weekly:
    """Every `every` weeks on each day of `days`: (weekday with Monday 0, its own local time), by weekday."""

    every: int
    days: tuple[tuple[int, time], ...]


@dataclass(frozen=True, slots=True)
class Monthly:
    """Every `every` months on `day` (1..31; the last day of a shorter month) at local time `at`."""

    every: int
    day: int
    at: time


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """The schedule as written cannot be served; manual backups still work. `why` is said in status."""

    why: str


Schedule = Never | Hourly | Daily | Weekly | Monthly | Unschedulable


# --- failure --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RetryAtNextSlot:
    """TryBackupAtTheNextScheduledDate: a failed backup is dropped, no catch-up after an outage."""


@dataclass(frozen=True, slots=True)
class RetryOnce:
    """AbortIfBackupFail is False: one retry, `delay` after the failure, then the next slot."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class RetryUpTo:
    """AbortIfBackupFail is True: `attempts` in all, `delay` apart, then error 1401 and a halt."""

    delay: timedelta
    attempts: int


RetryPolicy = RetryAtNextSlot | RetryOnce | RetryUpTo


# --- sets and archives ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeepAll:
    """SetNumber/Enable is False: no rotation."""


@dataclass(frozen=True, slots=True)
class KeepLast:
    """Rotation: the newest `count` sets (at least 1) stay; `erase_before` makes room before writing."""

    count: int
    erase_before: bool


Rotation = KeepAll | KeepLast


class CompressionRate(Enum):
    """CompressionRate as written by 4D."""

    NONE = "None"
    FAST = "Fast"
    COMPACT = "Compact"


class Rate(Enum):
    """Redundancy and Interlacing as written by 4D."""

    NONE = "None"
    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"


# --- paths ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PackagePath:
    """A path relative to the package folder: `./Data/data.4DIndx` is ("Data", "data.4DIndx").

    `./` and the lone `/` of v13 files are (): the package folder itself. `..` parts stay as they are.
    `folder` is true when the text ended with a separator.
    """

    parts: tuple[str, ...]
    folder: bool
    raw: str


@dataclass(frozen=True, slots=True)
class HostPath:
    """An absolute POSIX path of this machine, as `/opt/app/`: `path` has no trailing slash."""

    path: str
    folder: bool
    raw: str


class ForeignKind(Enum):
    """Which machine's syntax an absolute path of another machine uses."""

    WINDOWS = "Windows"
    UNC = "UNC"
    HFS = "Mac HFS"


@dataclass(frozen=True, slots=True)
class ForeignPath:
    """A path of another machine: usable only through the service file's path map.

    `root` is the drive (`C:`), the UNC `\\\\server\\share`, or the Mac volume name; `parts` what follows.
    """

    kind: ForeignKind
    root: str
    parts: tuple[str, ...]
    folder: bool
    raw: str


SettingsPath = PackagePath | HostPath | ForeignPath


# --- the whole ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transactions:
    """The old Transaction block: how long to wait for a quiet moment (error 1405 after that)."""

    wait: bool
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class DatabaseBlock:
    """The old DataBase block (v17 and before); often stale, history counts more (spec 1.3).

    `last_backup` is the host's local wall clock without a zone; None when never backed up.
    """

    data_file: str | None
    last_archive: str | None
    last_log_archive: str | None
    current_set: int | None
    last_backup: datetime | None


@dataclass(frozen=True, slots=True)
class Content:
    """What a backup saves (spec 3.1)."""

    structure: bool
    data: bool
    user_structure: bool
    attachments: tuple[SettingsPath, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything Backup.4DSettings says, defaults filled in.

    `segment_bytes` is None for no segmentation. `strictness` is the text as read (only `strict` was
    ever seen). `database_block` is None when the file has none.
    """

    schedule: Schedule
    retry: RetryPolicy
    rotation: Rotation
    content: Content
    destination: SettingsPath
    compression: CompressionRate
    redundancy: Rate
    interlacing: Rate
    segment_bytes: int | None
    check_archive: bool
    verbose_journal: bool
    only_if_changed: bool
    automatic_restore: bool
    automatic_log_integration: bool
    automatic_restart: bool
    strictness: str
    transactions: Transactions
    database_block: DatabaseBlock | None
