"""The folders of a restore, reached one name at a time from its root; no name and no link may lead outside."""

import errno
import os
from pathlib import Path
from typing import Protocol

from engine.errors import DamagedError

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree(Protocol):
    """Where members are written; a TargetTree, or several of them (engine/inplace.py)."""

    def parent(self, path: bytes) -> tuple[int, bytes]: ...

    def parent_beside(self, path: bytes) -> tuple[int, bytes]: ...

    def make(self, path: bytes) -> None: ...

    def close(self) -> None: ...


class TargetTree:
    """Folders below the target, reached one name at a time; no name may lead outside."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, FOLDER)
        self._parts: list[bytes] = []
        # of the folders on the way, the root's first: whoever goes up must arrive where he came from
        self._identities = [_identity(self._root)]
        self._current = os.dup(self._root)

    @classmethod
    def of_new(cls, root: Path) -> "TargetTree":
        """Below a folder that we have just made; what somebody else put in its place raises OSError."""
        tree = cls(root)
        try:
            refuse_planted(tree._root)
        except OSError:
            tree.close()
            raise
        return tree

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """The open folder that holds `path`, made when missing, and the last name; valid until the next call."""
        parts = _safe_parts(path)
        self._go(parts[:-1])
        return self._current, parts[-1]

    def parent_beside(self, path: bytes) -> tuple[int, bytes]:
        """The same, as a descriptor of its own that the caller closes; where `parent` points stays."""
        parts = _safe_parts(path)
        descriptor = os.dup(self._root)
        for name in parts[:-1]:
            inner = os.open(name, FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        return descriptor, parts[-1]

    def make(self, path: bytes) -> None:
        """Make a folder."""
        self._go(_safe_parts(path))

    def close(self) -> None:
        """Give the descriptors back; more than once is fine."""
        for descriptor in {self._current, self._root} - {-1}:
            os.close(descriptor)
        self._current = self._root = -1

    def _go(self, parts: list[bytes]) -> None:
        shared = _shared(parts, self._parts)
        up = len(self._parts) - shared
        if up > shared or not self._climb(up):
            self._step_to(os.dup(self._root))
            shared = 0
        del self._identities[shared + 1 :]
        self._parts = parts[:shared]
        for name in parts[shared:]:
            try:
                inner = os.open(name, FOLDER, dir_fd=self._current)
            except FileNotFoundError:
                os.mkdir(name, 0o700, dir_fd=self._current)
                inner = os.open(name, FOLDER, dir_fd=self._current)
            self._step_to(inner)
            self._identities.append(_identity(inner))
            self._parts.append(name)

    def _climb(self, levels: int) -> bool:
        """Go up; False when a folder was moved meanwhile, and the way must be gone from the root."""
        for level in range(levels):
            self._step_to(os.open("..", FOLDER, dir_fd=self._current))
            if _identity(self._current) != self._identities[-2 - level]:
                return False
        return True

    def _step_to(self, descriptor: int) -> None:
        os.close(self._current)
        self._current = descriptor


def _identity(descriptor: int) -> tuple[int, int]:
    facts = os.fstat(descriptor)
    return facts.st_dev, facts.st_ino


def _shared(one: list[bytes], other: list[bytes]) -> int:
    """How many names both begin with."""
    count = min(len(one), len(other))
    if one[:count] == other[:count]:
        return count
    return next(at for at in range(count) if one[at] != other[at])


def refuse_planted(descriptor: int) -> None:
    """Made by root, a folder is root's, unless the owner of the one around it has put another in its place."""
    if os.geteuid() == 0 and os.fstat(descriptor).st_uid != 0:
        raise PermissionError(errno.EPERM, "what root made there belongs to somebody else now")


def _safe_parts(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        name = path.decode("utf-8", "backslashreplace")
        raise DamagedError(f"the manifest names {name!r}, which would lead outside the target")
    return parts
