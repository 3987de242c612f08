"""What opening checks remember of a database, in its Logs folder: the last good look, and automatic restores.

Losing it costs the comparison with the last look, never a restore too many: before each one it must be written.
"""

import errno
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.datalook import Seen
from engine.files import read_regular, replacing

RECORD = ".backup4d-open-check.json"
_FORMAT = "backup4d-open-check"
_VERSION = 1
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Look:
    """A good look at a data file: when, what was seen, whether a log was there, the mount point."""

    at: datetime
    data_file: Path
    seen: Seen
    has_log: bool
    mount: Path


@dataclass(frozen=True, slots=True)
class Record:
    """`look` is the last good one, None before there was any; `restored` the end of the last automatic restore.

    `is_confirmed`: a good look came after it. `begun` counts restores begun since then or since a good look;
    `told` is what the journal was told last, so that it is not told again at each start.
    """

    look: Look | None = None
    restored: datetime | None = None
    is_confirmed: bool = False
    begun: int = 0
    told: str = ""


def load_record(logs: Path) -> Record:
    """What is remembered; nothing when there is no record or it cannot be used."""
    try:
        row = json.loads(read_regular(logs / RECORD, _LIMIT, links=False))
        if row["format"] != _FORMAT or row["version"] != _VERSION:
            return Record()
        return Record(
            None if row["look"] is None else _look_from(row["look"], logs.parent),
            None if row["restored"] is None else _instant(row["restored"]),
            row["confirmed"] is True,
            int(row["begun"]),
            str(row["told"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Record()


def save_record(logs: Path, record: Record) -> None:
    """Replace it as a whole, but never one that a newer release has written. Raises OSError."""
    if _is_newer(logs / RECORD):
        words = "it was written by a newer backup4d; install that one or a newer one"
        raise OSError(errno.EPERM, words, str(logs / RECORD))
    row = {
        "format": _FORMAT,
        "version": _VERSION,
        "look": None if record.look is None else _look_to(record.look, logs.parent),
        "restored": None if record.restored is None else record.restored.isoformat(),
        "confirmed": record.is_confirmed,
        "begun": record.begun,
        "told": record.told,
    }
    with replacing(logs / RECORD, mode=0o640) as stream:
        stream.write(json.dumps(row, indent=1).encode("ascii"))


def _is_newer(file: Path) -> bool:
    """What it counts must not be forgotten by a release that cannot read it."""
    try:
        row = json.loads(read_regular(file, _LIMIT, links=False))
        return bool(row["format"] == _FORMAT and row["version"] > _VERSION)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _look_to(look: Look, package: Path) -> dict[str, Any]:
    seen, data_file = look.seen, look.data_file
    if data_file.is_relative_to(package):  # an application that is moved takes it along
        data_file = data_file.relative_to(package)
    return {
        "at": look.at.isoformat(),
        "data_file": str(data_file),
        "size": seen.size,
        "used": seen.used,
        "last": seen.last,
        "datalink": None if seen.datalink is None else seen.datalink.hex(),
        "identity": seen.identity.hex(),
        "places": list(seen.places),
        "has_log": look.has_log,
        "mount": str(look.mount),
    }


def _look_from(row: dict[str, Any], package: Path) -> Look:
    seen = Seen(
        int(row["size"]),
        None if row["used"] is None else int(row["used"]),
        int(row["last"]),
        None if row["datalink"] is None else bytes.fromhex(row["datalink"]),
        bytes.fromhex(row["identity"]),
        tuple(max(0, int(at)) for at in row["places"][:100]),
    )
    return Look(
        _instant(row["at"]),
        package / row["data_file"],
        seen,
        row["has_log"] is True,
        Path(row["mount"]),
    )


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"an instant without a zone: {text}")
    return instant
