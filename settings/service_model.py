"""The values of the service file: databases to serve, programs to run, limits of runs, drills and scrubs."""

from dataclasses import dataclass, field
from datetime import time, timedelta
from enum import Enum
from pathlib import Path

from settings.paths import PathMap


@dataclass(frozen=True, slots=True)
class Hook:
    """A program run with `arguments`, no shell between, and given up after `time_limit`."""

    program: Path
    arguments: tuple[str, ...] = ()
    time_limit: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Hooks:
    """Programs run around a backup; None where there is none.

    `startup` and `shutdown` stand for 4D's database methods On Backup Startup and On Backup Shutdown;
    `guard` lives while the files are read.
    """

    startup: Hook | None = None
    guard: Hook | None = None
    shutdown: Hook | None = None

    def over(self, general: "Hooks") -> "Hooks":
        """These hooks, and the general one of each kind that is missing here."""
        return Hooks(
            self.startup or general.startup,
            self.guard or general.guard,
            self.shutdown or general.shutdown,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """How many runs write to one device at once, and when a run is worth a word.

    A run without progress for `hung_after` is stopped; one longer than `overlong_after` is only told of. `read_rate`
    is in bytes a second, None for no limit; `take_over`: frames that did not change are taken over from the set before.
    """

    runs_per_device: int = 1
    hung_after: timedelta = timedelta(minutes=30)
    overlong_after: timedelta = timedelta(hours=12)
    read_rate: int | None = None
    take_over: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """A part of each day by the clock on the wall; it ends on the next day when `ends` is the earlier."""

    begins: time
    ends: time


@dataclass(frozen=True, slots=True)
class Drill:
    """A restore `every` so often into the folder `scratch`, to prove that it works.

    None: `window` any time, `room_limit` in bytes no other limit than the disk, `check` no program.
    """

    every: timedelta
    scratch: Path
    window: Window | None = None
    room_limit: int | None = None
    check: Hook | None = None


@dataclass(frozen=True, slots=True)
class Scrub:
    """Each kept set is read again when its last verification is `after` ago; `window` None: at any time."""

    after: timedelta
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class LogShipping:
    """New operations of the log are in the backup folder after `lag` at most, while its disk keeps up."""

    lag: timedelta = timedelta(seconds=5)


class ArchiveFormat(Enum):
    """What the archives of a set are, as the service file writes it: our own, or those of 4D."""

    TAR = "tar"
    FOURD = "4BK"


@dataclass(frozen=True, slots=True)
class ServedDatabase:
    """One database to serve; `data_file` is None when it is found by itself, the three after the hooks when not wanted."""

    package: Path
    data_file: Path | None
    hooks: Hooks = field(default_factory=Hooks)
    drill: Drill | None = None
    scrub: Scrub | None = None
    shipping: LogShipping | None = None
    archives: ArchiveFormat = ArchiveFormat.TAR


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """What the service file says; `file` is None when there is none, `zone` None for the host's zone.

    `hooks`, `drill`, `scrub`, `shipping` and `archives` are those of the whole host; each database has them already,
    where it names none of its own.
    """

    file: Path | None = None
    zone: str | None = None
    databases: tuple[ServedDatabase, ...] = ()
    path_map: PathMap = field(default_factory=PathMap)
    hooks: Hooks = field(default_factory=Hooks)
    limits: Limits = field(default_factory=Limits)
    drill: Drill | None = None
    scrub: Scrub | None = None
    shipping: LogShipping | None = None
    archives: ArchiveFormat = ArchiveFormat.TAR
