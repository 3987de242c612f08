"""The request for one run, as the service writes it on the child's standard input and the child reads it."""

import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from engine.request import Request
from settings.layout import DatabaseLayout
from settings.paths import PathMap
from settings.service_model import ArchiveFormat, Hook, Hooks, Limits

# they wait until the child has its handlers: one that came while it was still being loaded could be lost
HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
_KINDS = ("startup", "guard", "shutdown")


def request_to_json(request: Request, zone: ZoneInfo) -> dict[str, Any]:
    """What the service writes; the child finds out for itself where the parts of the database are."""
    scheduled = request.scheduled
    return {
        "package": str(request.layout.package),
        "data_file": str(request.layout.data_file),
        "settings_file": str(request.layout.settings_file),
        "path_map": [list(entry) for entry in request.path_map.entries],
        "zone": zone.key,
        "scheduled": None if scheduled is None else scheduled.isoformat(),
        "accept_destination": request.accept_destination,
        "last_good": None if request.last_good is None else str(request.last_good),
        "read_rate": request.limits.read_rate,
        "take_over": request.limits.take_over,
        "archives": request.archives.value,
        "hooks": {kind: hook_to_json(getattr(request.hooks, kind)) for kind in _KINDS},
    }


def request_from_json(row: dict[str, Any], layout: DatabaseLayout) -> Request:
    """What the child reads. Raises KeyError, TypeError or ValueError."""
    scheduled, last_good = row["scheduled"], row["last_good"]
    hooks = row["hooks"]
    return Request(
        layout=layout,
        path_map=PathMap(tuple((source, target) for source, target in row["path_map"])),
        zone=ZoneInfo(row["zone"]),
        scheduled=None if scheduled is None else datetime.fromisoformat(scheduled),
        accept_destination=bool(row["accept_destination"]),
        last_good=None if last_good is None else Path(last_good),
        hooks=Hooks(*(hook_from_json(hooks[kind]) for kind in _KINDS)),
        limits=Limits(read_rate=row["read_rate"], take_over=bool(row["take_over"])),
        # a service that was started before it was updated does not say it
        archives=ArchiveFormat(row.get("archives", ArchiveFormat.TAR.value)),
    )


def hook_to_json(hook: Hook | None) -> dict[str, Any] | None:
    """A program to run; None where there is none."""
    if hook is None:
        return None
    return {
        "program": str(hook.program),
        "arguments": list(hook.arguments),
        "seconds": hook.time_limit.total_seconds(),
    }


def hook_from_json(row: dict[str, Any] | None) -> Hook | None:
    """Read it back. Raises KeyError, TypeError or ValueError."""
    if row is None:
        return None
    limit = timedelta(seconds=float(row["seconds"]))
    return Hook(Path(row["program"]), tuple(row["arguments"]), limit)
