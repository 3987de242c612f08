"""What a look at the disks of one database brings: values only, so that a look may be made by any thread.

Every disk that may hang is asked here, and nowhere in the service's own thread; `asks` is told what comes next.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import EngineError, RefusedError
from engine.lock import DATABASE_LOCK, current_holder, memory_of, read_traces
from engine.ownsets import own_sets
from engine.plan import resolve_destination
from engine.sets import StoredSet, take_inventory
from scheduler.instance import SERVICE_LOCK, instance_folder
from scheduler.recall import Host, Past
from scheduler.settings_source import InForce, SettingsSource
from settings.layout import DatabaseLayout
from settings.service_model import ServedDatabase


@dataclass(frozen=True, slots=True)
class Silence:
    """A disk that does not answer: which place was asked, None when that is not known, and since when."""

    place: Path | None
    since: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """One look.

    `elsewhere` is who serves the database in place of us, None when nobody does; nothing else was looked at then.
    `found` are its settings, or why there are none. `holder` and `number` are what the lock says, `number`
    None when it could not be read. `past` is None when it was not wanted. A device is 0 while it is unknown.
    """

    elsewhere: dict[str, Any] | None
    found: InForce | str
    holder: dict[str, Any] | None = None
    number: int | None = None
    past: Past | None = None
    device: int = 0
    scratch_device: int = 0


def look_at(
    entry: ServedDatabase,
    host: Host,
    source: SettingsSource,
    *,
    is_first: bool,
    asks: Callable[[Path], None],
) -> Seen:
    """Look at one database; `is_first`: nothing is known of it yet, so its past is looked at, too."""
    asks(host.state_folder)
    elsewhere = _instance(entry, host)
    if elsewhere is not None:
        return Seen(elsewhere, "")
    asks(entry.package)
    found = source.look()
    if isinstance(found, str):
        return Seen(None, found)
    holder, number = lock_of(found.layout)
    scratch_device = 0
    if entry.drill is not None:
        asks(entry.drill.scratch)
        scratch_device = device_of(entry.drill.scratch)
    destination = destination_of(found, host)
    device, past = 0, None
    if destination is not None:
        asks(destination)
        device = device_of(destination)
    if is_first:
        past = Past(_sets(found.layout, destination), _traces(found.layout))
    return Seen(None, found, holder, number, past, device, scratch_device)


def destination_of(found: InForce, host: Host) -> Path | None:
    """Where the sets are; None while that is unknown. Asks no disk."""
    try:
        return resolve_destination(found.layout, found.reading.settings, host.path_map)
    except (OSError, RefusedError):
        return None


def device_of(folder: Path) -> int:
    """The device of a folder, there or still to be made; 0 while that is unknown."""
    try:
        while not folder.exists():
            folder = folder.parent
        return folder.stat().st_dev
    except OSError:
        return 0


def _instance(entry: ServedDatabase, host: Host) -> dict[str, Any] | None:
    """What the service for this database alone says of itself; None when there is none."""
    try:
        return current_holder(instance_folder(host.state_folder, entry.package) / SERVICE_LOCK)
    except PermissionError:
        # another user's: systemd makes the runtime folder at its start and removes it at its end
        runtime = host.runtime_folder
        return {} if runtime and instance_folder(runtime, entry.package).is_dir() else None
    except OSError:
        return None


def lock_of(layout: DatabaseLayout) -> tuple[dict[str, Any] | None, int | None]:
    """Who works on this data file, and the number of its last set; None for what cannot be known."""
    lock = layout.package / "Logs" / DATABASE_LOCK
    try:
        holder = current_holder(lock)
        number = memory_of(layout).get("number")
    except OSError:
        return None, None
    mine = str(layout.data_file)
    if holder is not None and holder.get("data_file", mine) != mine:
        holder = None  # work on another data file of the package: a run that is due waits for it
    return holder, number if isinstance(number, int) else 0  # 0: no backup succeeded yet


def _sets(layout: DatabaseLayout, destination: Path | None) -> tuple[StoredSet, ...]:
    """The sets there are; none while the destination cannot be looked at."""
    if destination is None:
        return ()
    try:
        sets = take_inventory(destination, layout.data_file.stem, layout.data_file).sets
        return own_sets(sets, layout)
    except (OSError, EngineError):
        return ()


def _traces(layout: DatabaseLayout) -> dict[str, Any] | None:
    """What the last run left that died; None when it cannot be known."""
    try:
        return read_traces(layout.package / "Logs" / DATABASE_LOCK) or {}
    except OSError:
        return None
