"""Where a restore in place is built, and where what it replaces goes: on each volume of the live files a hidden folder of its own."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engine.errors import RestoreError
from engine.mounts import Volume, mount_points, volume_of
from engine.targetfile import flush
from engine.targettree import TargetTree
from engine.workplace import workplace

_Any = TypeVar("_Any")


@dataclass(frozen=True, slots=True)
class Anchor:
    """A path of the set with all below it, and the live folder whose volume it is built on; `needed` is its bytes."""

    path: bytes
    folder: Path
    needed: int


@dataclass(frozen=True, slots=True)
class Site:
    """A folder on one volume; in it `building`, and what is replaced goes below `aside`."""

    building: Path
    aside: Path


class Sites:
    """One site for each volume; left, nothing of the buildings remains."""

    def __init__(self, package: Path, aside_name: str, anchors: tuple[Anchor, ...]) -> None:
        self._package = package
        self._aside_name = aside_name
        self._anchors = anchors
        self._stack = ExitStack()
        self._volumes: dict[Volume, Site] = {}
        self._by_path: dict[bytes, Site] = {}

    def __enter__(self) -> "Sites":
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def all(self) -> tuple[Site, ...]:
        """Each of them once."""
        return tuple(self._volumes.values())

    def tree(self) -> "SiteTree":
        """A view of all of them as one tree; several can be open at once."""
        trees = {id(site): TargetTree.of_new(site.building) for site in self.all}
        by_path = {path: trees[id(site)] for path, site in self._by_path.items()}
        return SiteTree(by_path, tuple(trees.values()))

    def fresh(self, path: bytes) -> Path:
        """Where a path of the set was built."""
        return self._site(path).building / os.fsdecode(path)

    def aside(self, path: bytes) -> Path:
        """Where what is live at a path of the set goes."""
        return self._site(path).aside / os.fsdecode(path)

    def flush(self) -> None:
        """Make what was built durable. Raises OSError."""
        for site in self.all:
            flush(site.building)

    def _site(self, path: bytes) -> Site:
        return nearest(self._by_path, path) or self.all[0]

    def _open(self) -> None:
        mounts = mount_points()
        home = _look_at(self._package, mounts)
        folders: dict[Volume, Path] = {}
        needed: dict[Volume, int] = {}
        volumes: dict[bytes, Volume] = {}
        seen: dict[Path, Volume] = {}
        for anchor in self._anchors:
            if anchor.folder not in seen:
                seen[anchor.folder] = _look_at(anchor.folder, mounts)
            volume = seen[anchor.folder]
            folders.setdefault(
                volume, self._package if volume == home else _existing(anchor.folder)
            )
            needed[volume] = needed.get(volume, 0) + anchor.needed
            volumes[anchor.path] = volume
        for volume, folder in folders.items():
            building = self._stack.enter_context(workplace(folder, needed[volume]))
            self._volumes[volume] = Site(building, folder / self._aside_name)
        self._by_path = {path: self._volumes[volume] for path, volume in volumes.items()}


class SiteTree:
    """Sends each path to the tree of its site; what is above all of them goes to the first one."""

    def __init__(self, trees: Mapping[bytes, TargetTree], every: tuple[TargetTree, ...]) -> None:
        self._trees = trees
        self._every = every

    def parent(self, path: bytes) -> tuple[int, bytes]:
        return self._tree(path).parent(path)

    def parent_beside(self, path: bytes) -> tuple[int, bytes]:
        return self._tree(path).parent_beside(path)

    def make(self, path: bytes) -> None:
        self._tree(path).make(path)

    def close(self) -> None:
        for tree in self._every:
            tree.close()

    def _tree(self, path: bytes) -> TargetTree:
        return nearest(self._trees, path) or self._every[0]


def nearest(found: Mapping[bytes, _Any], path: bytes) -> _Any | None:
    """What is known of a path, else of the nearest folder above it."""
    while path:
        if path in found:
            return found[path]
        path = path.rpartition(b"/")[0]
    return None


def _look_at(folder: Path, mounts: frozenset[Path]) -> Volume:
    try:
        return volume_of(folder, mounts)
    except OSError as error:
        raise RestoreError(f"{folder} cannot be looked at: {error.strerror}") from error


def _existing(folder: Path) -> Path:
    while not folder.is_dir():
        folder = folder.parent
    return folder
