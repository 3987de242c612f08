"""Which folders are the roots of mounted file systems: nothing is renamed from one to another, and none of them at all."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Volume:
    """What can be renamed within: a mount, and in it the file system or subvolume."""

    mount: Path
    device: int


def mount_points() -> frozenset[Path]:
    """Every folder on which something is mounted, by its real path; empty where the kernel does not tell."""
    with suppress(OSError):
        fields = [line.split(b" ") for line in _TABLE.read_bytes().splitlines()]
        names = [_ESCAPE.sub(_plain, field[4]) for field in fields if len(field) > 4]
        return frozenset(Path(os.fsdecode(name)) for name in names)
    return frozenset()


def kind_of(folder: Path) -> str:
    """The kind of file system a folder lies on, as the kernel calls it; empty where it does not tell. Raises OSError."""
    wanted = folder.stat().st_dev
    device = f"{os.major(wanted)}:{os.minor(wanted)}".encode()
    with suppress(OSError, ValueError, IndexError):
        for line in _TABLE.read_bytes().splitlines():
            fields = line.split(b" ")
            if fields[2] == device:
                return os.fsdecode(fields[fields.index(b"-") + 1])
    return ""


def volume_of(folder: Path, mounts: frozenset[Path]) -> Volume:
    """On what a folder lies, or would lie when it is made. Raises OSError."""
    while not folder.is_dir():
        folder = folder.parent
    real = folder.resolve()
    above = (place for place in (real, *real.parents) if place in mounts)
    return Volume(next(above, Path("/")), real.stat().st_dev)


def _plain(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 8) & 255,))
