"""restore.py, which restores a set without this program: it is put beside the sets and kept up to date there."""

import re
from contextlib import suppress
from pathlib import Path

from engine.files import read_regular, replacing

RESTORER = "restore.py"
_MARK = re.compile(rb"# backup4d restore\.py, version (\d{1,9})\b")
_LIMIT = 1 << 20


def shipped_restorer() -> Path:
    """Where it lies in the program; it is not part of it, and nothing imports it."""
    return Path(__file__).parent / "standalone" / RESTORER


def place_restorer(destination: Path) -> None:
    """Put it into a destination that has none or an older one; what is not ours stays as it is.

    The caller holds the destination's lock. Raises OSError.
    """
    ours = read_regular(shipped_restorer(), _LIMIT)
    target = destination / RESTORER
    version = -1 if not target.exists() else restorer_version(target)
    if target.is_symlink() or version is None or version >= (_version_in(ours) or 0):
        return
    with replacing(target) as stream:
        stream.write(ours)


def restorer_version(file: Path) -> int | None:
    """The version of a restore.py of ours; None for any other file and for what cannot be read."""
    with suppress(OSError):
        return _version_in(read_regular(file, _LIMIT))
    return None


def _version_in(content: bytes) -> int | None:
    mark = _MARK.match(content)
    return None if mark is None else int(mark[1])
