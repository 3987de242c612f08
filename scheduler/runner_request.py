"""The request for one run, as the service writes it and the child reads it."""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from settings.paths import PathMap


def request_to_json(
    package: Path,
    data_file: Path,
    path_map: PathMap,
    zone: ZoneInfo,
    scheduled: datetime | None,
) -> dict[str, Any]:
    """What the service writes on the child's standard input."""
    return {
        "package": str(package),
        "data_file": str(data_file),
        "path_map": [list(entry) for entry in path_map.entries],
        "zone": zone.key,
        "scheduled": None if scheduled is None else scheduled.isoformat(),
    }
