"""The folders of a restore, reached one name at a time from its root; no name and no link may lead outside."""

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
        self._current = os.dup(self._root)

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
        shared = len(self._parts)
        if parts[:shared] != self._parts:
            os.close(self._current)
            self._current, shared = os.dup(self._root), 0
        for name in parts[shared:]:
            try:
                inner = os.open(name, FOLDER, dir_fd=self._current)
            except FileNotFoundError:
                os.mkdir(name, 0o700, dir_fd=self._current)
                inner = os.open(name, FOLDER, dir_fd=self._current)
            os.close(self._current)
            self._current = inner
        self._parts = parts


def _safe_parts(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        name = path.decode("utf-8", "backslashreplace")
        raise DamagedError(f"the manifest names {name!r}, which would lead outside the target")
    return parts
