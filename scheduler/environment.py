"""The only place that reads the environment: where state lives, which service file counts, who started us."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError, available_timezones

import tzlocal

from engine.host import read_zone_again

SYSTEM_SERVICE_FILE = Path("/etc/backup4d/service.xml")
SYSTEM_STATE_FOLDER = Path("/var/lib/backup4d")
SYSTEM_RUNTIME_FOLDER = Path("/run/backup4d")
_LOCALTIME, _TIMEZONE = Path("/etc/localtime"), Path("/etc/timezone")


@dataclass(frozen=True, slots=True)
class Environment:
    """What the process was told by whoever started it.

    `runtime_folder` is where a service has its control socket; `home` the state and runtime folder beside
    which services for one database have theirs. `notify_socket` is None outside systemd; `journald` is true
    when standard error goes to the journal.
    """

    state_folder: Path
    runtime_folder: Path
    home: tuple[Path, Path]
    service_file: Path
    notify_socket: str | None
    journald: bool


def read_environment(
    variables: Mapping[str, str] | None = None, *, state_folder: Path | None = None
) -> Environment:
    """Read the variables (the process's own when none are given); a named state folder counts more."""
    values = os.environ if variables is None else variables
    is_named = state_folder is not None
    folder = state_folder or _state_folder(values)
    runtime_folder = _runtime_folder(values, folder, named=is_named)
    system = (SYSTEM_STATE_FOLDER, SYSTEM_RUNTIME_FOLDER)
    return Environment(
        state_folder=folder,
        runtime_folder=runtime_folder,
        home=(folder, runtime_folder) if is_named else system,
        service_file=SYSTEM_SERVICE_FILE,
        notify_socket=values.get("NOTIFY_SOCKET"),
        journald="JOURNAL_STREAM" in values,
    )


def _state_folder(values: Mapping[str, str]) -> Path:
    """systemd's StateDirectory; else that of an installed service; else the user's own (XDG)."""
    if folder := values.get("STATE_DIRECTORY"):
        return _first_folder(folder)
    if os.access(SYSTEM_STATE_FOLDER, os.R_OK | os.X_OK):
        return SYSTEM_STATE_FOLDER
    if folder := values.get("XDG_STATE_HOME"):
        return Path(folder) / "backup4d"
    return Path(values.get("HOME", "/root")) / ".local" / "state" / "backup4d"


def _first_folder(folders: str) -> Path:
    """systemd sets a colon between several; an instance may have one in its name."""
    whole = Path(folders)
    return whole if whole.is_dir() else Path(folders.split(":", maxsplit=1)[0])


def _runtime_folder(values: Mapping[str, str], state_folder: Path, *, named: bool) -> Path:
    """systemd's RuntimeDirectory; of a service with a state folder of its own, or none of systemd's, that folder."""
    if folder := values.get("RUNTIME_DIRECTORY"):
        return _first_folder(folder)
    if state_folder == SYSTEM_STATE_FOLDER and not named:
        return SYSTEM_RUNTIME_FOLDER
    if (folder := values.get("XDG_RUNTIME_DIR")) and not named:
        return Path(folder) / "backup4d"
    return state_folder


def find_host_zone() -> ZoneInfo | None:
    """The zone this machine is set to; None when it cannot be told, or not now."""
    try:
        read_zone_again()  # else tzlocal compares with what the C library read when the process began
        tzlocal.reload_localzone()
        name = tzlocal.get_localzone_name()
        return ZoneInfo(name) if name else _zone_of_copy()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _zone_of_copy() -> ZoneInfo | None:
    """/etc/localtime may be a copy in place of a link: any zone with the same rules will do."""
    wanted = _LOCALTIME.read_bytes()
    for root in map(Path, TZPATH):
        for name in sorted(available_timezones()):
            file = root / name
            if file.is_file() and file.read_bytes() == wanted:
                return ZoneInfo(name)
    return None


def zone_signature() -> tuple[object, ...]:
    """Other than before when the zone of this machine may have been set anew."""
    facts: list[object] = []
    for file in (_LOCALTIME, _TIMEZONE):
        try:
            found, target = file.lstat(), file.resolve()
            facts.append((found.st_dev, found.st_ino, found.st_mtime_ns, target))
        except (OSError, RuntimeError):  # links in a circle
            facts.append(None)
    return tuple(facts)
