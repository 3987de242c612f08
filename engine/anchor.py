"""A folder held by its descriptor: what is done in it cannot be led elsewhere by whoever owns the folder above it.

A path is looked up anew at every call, and the owner of any folder on it can put a link in the place of the next
one meanwhile. Run by root, that would write, give away or remove the files of others. So root follows only the links
that root or the owner of the application made.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HELD = re.compile(r"/proc/self/fd/\d+(?=/|$)")
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40  # as the kernel


@contextmanager
def anchored(folder: Path, *, of: Path | None) -> Iterator[Path]:
    """A path that leads to this very folder, whatever its name leads to meanwhile; in this process, until left.

    `of` is the application whose owner's links root follows, too; None: the folder itself must be none.
    Raises OSError.
    """
    if of is None:
        descriptor = os.open(folder, _FOLDER | os.O_NOFOLLOW)
    elif os.geteuid() == 0 and _HELD.match(str(folder)) is None:
        descriptor = _open_trusted(folder.absolute(), {0, of.stat().st_uid})
    else:
        descriptor = os.open(folder, _FOLDER)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def known_name(path: Path) -> Path:
    """The name that people know a path by, when it leads through a folder that is held."""
    found = _HELD.match(str(path))
    if found is None:
        return path
    return Path(f"{Path(found[0]).readlink()}{str(path)[found.end() :]}")


def _open_trusted(folder: Path, owners: set[int]) -> int:
    """Open a folder name by name; a link of somebody else's is not followed. Raises OSError."""
    waiting, links = list(reversed(folder.parts)), 0
    current = os.open(waiting.pop(), _FOLDER)
    try:
        while waiting:
            name = waiting.pop()
            inner = os.open(name, _STEP, dir_fd=current)
            facts = os.fstat(inner)
            if not stat.S_ISLNK(facts.st_mode):
                current = _replaced(current, inner)
                continue
            links += 1
            target = _target(inner)
            _refuse_link(folder, facts.st_uid, owners, links)
            waiting += reversed(target.parts)
            if target.is_absolute():
                current = _replaced(current, os.open(waiting.pop(), _FOLDER))
        return _replaced(current, os.open(f"/proc/self/fd/{current}", _FOLDER))
    except BaseException:
        os.close(current)
        raise


def _target(link: int) -> Path:
    """Of the very link that was looked at."""
    try:
        return Path(os.readlink("", dir_fd=link))
    finally:
        os.close(link)


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new


def _refuse_link(folder: Path, owner: int, owners: set[int], links: int) -> None:
    if links > _MOST_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
    if owner not in owners:
        why = f"a link on the way to it belongs to user {owner}, whom root does not follow"
        raise PermissionError(errno.EPERM, why, str(folder))
