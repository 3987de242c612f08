"""The only place that reads the environment: where state lives, which service file counts, who started us."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tzlocal import get_localzone_name

SYSTEM_SERVICE_FILE = Path("/etc/backup4d/service.xml")
SYSTEM_STATE_FOLDER = Path("/var/lib/backup4d")


@dataclass(frozen=True, slots=True)
class Environment:
    """What the process was told by whoever started it.

    `notify_socket` is None outside systemd; `journald` is true when standard error goes to the journal.
    """

    state_folder: Path
    service_file: Path
    notify_socket: str | None
    journald: bool


def read_environment(
    variables: Mapping[str, str] | None = None, *, state_folder: Path | None = None
) -> Environment:
    """Read the variables (the process's own when none are given); a named state folder counts more."""
    values = os.environ if variables is None else variables
    return Environment(
        state_folder=state_folder or _state_folder(values),
        service_file=SYSTEM_SERVICE_FILE,
        notify_socket=values.get("NOTIFY_SOCKET"),
        journald="JOURNAL_STREAM" in values,
    )


def _state_folder(values: Mapping[str, str]) -> Path:
    """systemd's StateDirectory; else that of an installed service; else the user's own (XDG)."""
    if folder := values.get("STATE_DIRECTORY"):
        return Path(folder.split(":")[0])
    if os.access(SYSTEM_STATE_FOLDER, os.R_OK | os.X_OK):
        return SYSTEM_STATE_FOLDER
    if folder := values.get("XDG_STATE_HOME"):
        return Path(folder) / "backup4d"
    return Path(values.get("HOME", "/root")) / ".local" / "state" / "backup4d"


def host_zone() -> ZoneInfo:
    """The zone of this machine; UTC when it names none."""
    try:
        return ZoneInfo(get_localzone_name() or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
