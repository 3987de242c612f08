"""What a backup is asked for; apart from backup.py, so that the service stays small."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from settings.layout import DatabaseLayout
from settings.paths import PathMap
from settings.service_model import ArchiveFormat, Hooks, Limits


@dataclass(frozen=True, slots=True)
class Request:
    """One backup asked for: `scheduled` is its slot, None when a person asked.

    `accept_destination`: a person says that the destination is right, though it is on another file system
    than the last time. `last_good` holds settings that are used while the file itself cannot be (None: the
    backup is refused then); `hooks` are run around it, `limits` are those of the host. `archives`: what is written.
    """

    layout: DatabaseLayout
    path_map: PathMap
    zone: tzinfo
    scheduled: datetime | None
    accept_destination: bool = False
    last_good: Path | None = None
    hooks: Hooks = field(default_factory=Hooks)
    limits: Limits = field(default_factory=Limits)
    archives: ArchiveFormat = ArchiveFormat.TAR


def slot_text(scheduled: datetime | None) -> str | None:
    """A slot as the lock remembers it: one text for one instant."""
    return None if scheduled is None else scheduled.astimezone(UTC).isoformat()
