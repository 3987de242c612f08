"""Which processes of this machine have a file open: nothing is put in its place while 4D works on it."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def processes_using(files: Iterable[Path]) -> tuple[str, ...]:
    """Name and number of each process that has one of the files open, except our own.

    An ordinary user sees only its own processes. What vanishes meanwhile is left out.
    """
    wanted: set[tuple[int, int]] = set()
    for file in files:
        with suppress(OSError):
            facts = file.stat()
            wanted.add((facts.st_dev, facts.st_ino))
    if not wanted:
        return ()
    processes = (one for one in Path("/proc").iterdir() if one.name.isdigit())
    others = (one for one in processes if int(one.name) != os.getpid())
    return tuple(sorted(f"{_name(one)} ({one.name})" for one in others if _uses(one, wanted)))


def _uses(process: Path, wanted: set[tuple[int, int]]) -> bool:
    with suppress(OSError):  # gone, or another user's
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                facts = descriptor.stat()
                if (facts.st_dev, facts.st_ino) in wanted and not _is_only_kept(
                    process, descriptor.name
                ):
                    return True
    return False


def _is_only_kept(process: Path, descriptor: str) -> bool:
    """Opened with O_PATH, as our own service keeps a log it ships: nothing is read or written by it."""
    with suppress(OSError, ValueError):
        for line in (process / "fdinfo" / descriptor).read_text().splitlines():
            if line.startswith("flags:"):
                return bool(int(line.split()[1], 8) & os.O_PATH)
    return False


def _name(process: Path) -> str:
    with suppress(OSError):
        return (process / "comm").read_text(errors="replace").strip()
    return "a process"
