"""Hidden folders to work in, held by a lock of the kernel while we live; those of the dead are removed."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.files import remove_tree
from engine.targettree import FOLDER

FICLONE = 0x40049409
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Workbench:
    """The folder, and the descriptor that holds its lock: who has inherited it holds it, too."""

    folder: Path
    descriptor: int


@contextmanager
def workbench(room_in: Path, prefix: str) -> Iterator[Workbench]:
    """Make a folder whose name begins with `prefix`; it is gone when left. Raises OSError."""
    remove_dead(room_in, prefix)
    folder, descriptor = make_held(room_in, prefix)
    try:
        yield Workbench(folder, descriptor)
    finally:
        with suppress(OSError):  # what stays is found dead by the next one
            remove_tree(folder)
        os.close(descriptor)


def make_held(room_in: Path, prefix: str) -> tuple[Path, int]:
    """A new hidden folder and the descriptor that holds its lock; ours alone to enter. Raises OSError.

    One that another program took for dead before we held the lock is gone, and another is made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=room_in))
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, FOLDER)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.lexists(folder):
                return folder, descriptor
            os.close(descriptor)


def remove_dead(folder: Path, prefix: str, remove: Callable[[Path], None] = remove_tree) -> None:
    """What was left by makers that were killed: nobody holds their locks any more."""
    for leftover in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            descriptor = os.open(leftover, FOLDER)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(leftover)
            finally:
                os.close(descriptor)


def lend(source: Path, target: Path) -> None:
    """A plain file under another name, for one that renames it or writes a new one there, never into it.

    A clone where the file system can make one, else a hard link, else a copy. Raises OSError.
    """
    if _clone(source, target):
        return
    with suppress(OSError):  # another file system, one without links, another user's file
        os.link(source, target, follow_symlinks=False)
        return
    with source.open("rb") as stream, target.open("xb") as copy:
        while piece := stream.read(_CHUNK):
            copy.write(piece)


def _clone(source: Path, target: Path) -> bool:
    with source.open("rb") as stream, target.open("xb") as copy, suppress(OSError):
        fcntl.ioctl(copy.fileno(), FICLONE, stream.fileno())
        return True
    target.unlink()
    return False
