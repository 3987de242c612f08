"""Everything below a folder, in a stable order, without following links and without a limit of depth.

Works with folder descriptors, so that paths longer than the system's limit can be reached and a folder
replaced by a link while we walk cannot lead us elsewhere.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Skip = Callable[["os.stat_result", bytes], bool]
Problem = Callable[[bytes, OSError], None]


@dataclass(frozen=True, slots=True)
class Found:
    """One thing met: open it as `name` relative to the descriptor `folder`, before the next one is asked for.

    `path` is its path in the archive.
    """

    path: bytes
    name: bytes
    folder: int
    facts: os.stat_result


@dataclass(slots=True)
class _Level:
    names: Iterator[bytes]
    path: bytes
    identity: tuple[int, int]
    facts: os.stat_result


def walk(source: bytes, path: bytes, *, skip: Skip, problem: Problem) -> Iterator[Found]:
    """`source` itself as `path`, then everything below it, parents first, names in byte order.

    `skip(facts of the folder, path)` leaves an entry out, with all below it. What vanishes or cannot be read after the
    start is given to `problem` and left out; a missing `source` raises OSError.
    """
    parent, name = os.path.split(source.rstrip(b"/") or b"/")
    current = os.open(parent or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        facts = os.stat(name or b".", dir_fd=current, follow_symlinks=False)
        yield Found(path, name or b".", current, facts)
        if stat.S_ISDIR(facts.st_mode):
            inner = os.open(name or b".", _FOLDER, dir_fd=current)
            os.close(current)
            current = -1  # from here on the cursor owns the descriptor and closes it
            yield from _below(_Cursor(inner), path, skip, problem)
    finally:
        if current >= 0:
            os.close(current)


class _Cursor:
    """The folder we stand in; one descriptor however deep we are."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def enter(self, name: bytes) -> None:
        inner = os.open(name, _FOLDER, dir_fd=self.descriptor)
        os.close(self.descriptor)
        self.descriptor = inner

    def leave(self, parent: tuple[int, int]) -> None:
        outer = os.open("..", _FOLDER, dir_fd=self.descriptor)
        os.close(self.descriptor)
        self.descriptor = outer
        facts = os.fstat(outer)
        if (facts.st_dev, facts.st_ino) != parent:
            raise OSError(0, "a folder was moved while it was read")

    def level(self, path: bytes) -> _Level:
        facts = os.fstat(self.descriptor)
        names = iter(sorted(os.fsencode(name) for name in os.listdir(self.descriptor)))  # noqa: PTH208 - by descriptor
        return _Level(names, path, (facts.st_dev, facts.st_ino), facts)


def _below(cursor: _Cursor, path: bytes, skip: Skip, problem: Problem) -> Iterator[Found]:
    try:
        levels = [cursor.level(path)]
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is None:
                levels.pop()
                if levels:
                    cursor.leave(levels[-1].identity)
                continue
            inner = level.path + b"/" + name if level.path else name
            if skip(level.facts, inner):
                continue
            try:
                facts = os.stat(name, dir_fd=cursor.descriptor, follow_symlinks=False)
            except OSError as error:
                problem(inner, error)
                continue
            yield Found(inner, name, cursor.descriptor, facts)
            if stat.S_ISDIR(facts.st_mode):
                _descend(cursor, levels, name, inner, problem)
    finally:
        os.close(cursor.descriptor)


def _descend(
    cursor: _Cursor, levels: list[_Level], name: bytes, path: bytes, problem: Problem
) -> None:
    try:
        cursor.enter(name)
    except OSError as error:
        problem(path, error)
        return
    try:
        levels.append(cursor.level(path))
    except OSError as error:
        problem(path, error)
        cursor.leave(levels[-1].identity)
