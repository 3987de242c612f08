"""The hidden folder a set is written in: its number is its own, and its name tells who writes there.

Machines that share a backup folder may not see the locks of one another. So nothing here trusts a lock alone: a number
is taken by making the folder and looking again, and what another machine may be writing is left alone.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from engine.errors import BusyError
from engine.files import remove_tree
from engine.host import pause
from engine.lock import DESTINATION_LOCK
from engine.machine import writer_tag
from engine.sets import database_tag, number_in, staging_folder

_STAGING = re.compile(r"\.backup4d-staging-(?P<tag>[0-9a-f]{8})\.(?P<writer>[0-9a-f]{8})-.+", re.S)
_TRIES = 20
_STILL_SECONDS = 24 * 3600


def own_tag(data_file: Path, package: Path) -> str:
    """What the staging folders of this application on this machine are known by."""
    return f"{database_tag(data_file)}.{writer_tag(package)}"


def claim_number(destination: Path, base: str, number: int, tag: str) -> tuple[Path, int]:
    """Make the staging folder of this number, or of the next one that nobody else has taken meanwhile.

    Raises BusyError when others take each of them, OSError.
    """
    for attempt in range(_TRIES):
        staging = staging_folder(destination, base, number, tag)
        staging.mkdir(mode=0o750)
        try:
            taken = [number_in(entry.name, base) for entry in destination.iterdir()]
        except BaseException:
            staging.rmdir()
            raise
        if taken.count(number) == 1:
            return staging, number
        # both may step back: not at the same pace
        staging.rmdir()
        pause(int(tag[-2:], 16) / 2560 * attempt)
        number = max(*taken, number) + 1
    raise BusyError(
        f"others take every set number in this backup folder at this moment (up to {number})",
        hint="see which machines write to it at the same time, and give each a backup folder of its own",
    )


def discard(staging: Path) -> None:
    """Remove it after a failure."""
    with suppress(OSError):  # what stays has a hidden name and is removed by the next run
        remove_tree(staging)


def is_of_another_writer(name: str, data_file: Path, package: Path) -> bool:
    """Whether it is work on this database by another machine, or by another copy of the application."""
    found = _STAGING.fullmatch(name)
    if found is None or found["tag"] != database_tag(data_file):
        return False
    return found["writer"] != writer_tag(package)


def is_still(staging: Path) -> bool:
    """Whether nothing in it has changed for a day, by the clock of its own disk: no run lives that long in silence."""
    try:
        lock = staging.with_name(DESTINATION_LOCK)
        os.utime(lock)
        newest = max(path.lstat().st_mtime for path in (staging, *staging.rglob("*")))
        return lock.stat().st_mtime - newest > _STILL_SECONDS
    except OSError:
        return False
