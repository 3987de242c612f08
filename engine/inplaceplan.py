"""What a restore in place replaces, and what it leaves alone. Looks at the disk, changes nothing.

What is restored replaces whole folders where the set holds all of them, so that no file of a later day stays
among older ones. Backups, journals, mounted volumes and whatever the set does not know are never moved.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from engine.content import archive_path
from engine.errors import RestoreError
from engine.manifest import iterate_members
from engine.member import Attributes, Kind, Member, Role, disk_bytes
from engine.mounts import mount_points
from engine.restore import plan_logs_of, want
from engine.restorelogs import LogPlacing, LogWish
from engine.selection import Selection, Wanted
from engine.setsource import SetSource
from engine.sites import Anchor, nearest
from settings.layout import DatabaseLayout

ASIDE = "Replaced files"


@dataclass(frozen=True, slots=True)
class Top:
    """One file or folder of the set that takes the place of what is at `live`."""

    path: bytes
    live: Path


@dataclass(frozen=True, slots=True)
class InPlacePlan:
    """`tops` take their places; what is there goes to folders called `aside_name`. `protected` is never moved.

    `mounts` are the folders of the set on which something is mounted, and `others` all that are known of the
    machine. `above` are folders of the set that lead to a top. `wanted` is None when the whole set is;
    `needed` are the bytes that go below each top and mount.
    """

    package: Path
    aside_name: str
    tops: tuple[Top, ...]
    mounts: tuple[Top, ...]
    others: frozenset[Path]
    above: dict[bytes, Attributes]
    protected: tuple[Path, ...]
    wanted: Wanted | None
    needed: dict[bytes, int]
    logs: LogPlacing | None

    @property
    def aside(self) -> Path:
        """Where what is replaced goes, but for what lies on other volumes."""
        return self.package / self.aside_name

    @property
    def content_bytes(self) -> int:
        """What is written."""
        return sum(self.needed.values())

    def anchors(self) -> tuple[Anchor, ...]:
        """What is built on which volume."""
        tops = (
            Anchor(top.path, top.live.parent, self.needed.get(top.path, 0)) for top in self.tops
        )
        mounts = (Anchor(one.path, one.live, self.needed.get(one.path, 0)) for one in self.mounts)
        found = {anchor.path: anchor for anchor in (*tops, *mounts)}
        return (Anchor(b".", self.package, self.needed.get(b"", 0)), *found.values())


class _Places:
    """Where the paths of a set belong on this machine: the reverse of engine.content.archive_path.

    The roots of the backup tell a folder `External` of the package from files that lie outside of it.
    """

    def __init__(self, source: SetSource, layout: DatabaseLayout) -> None:
        self._layout = layout
        self._is_data_elsewhere = not layout.data_file.is_relative_to(layout.package)
        roots = {os.fsencode(path): place for place, path in source.manifest.facts.roots}
        self._roots = roots.keys() - {b"."}
        self._has_package = b"." in roots
        self._outside = {
            path for path, place in roots.items() if path == b"External" + os.fsencode(place)
        }
        self._leads_outside = {folder for path in self._outside for folder in _ancestors(path)}

    def is_owned(self, path: bytes) -> bool:
        """Whether it is a root of the backup or below one: only of that the set holds everything."""
        is_of_package = self._has_package and path not in self._leads_outside
        return is_of_package or _is_within(path, self._roots)

    def live(self, path: bytes) -> Path:
        """Where it belongs."""
        name = os.fsdecode(path)
        if _is_within(path, self._outside):
            return Path(name.removeprefix("External"))
        data_folder = self._layout.data_file.parent
        if self._is_data_elsewhere and path == b"Data":
            return data_folder
        if self._is_data_elsewhere and path.startswith(b"Data/"):
            return data_folder / name.removeprefix("Data/")
        return self._layout.package / name


def plan_in_place(
    source: SetSource,
    selection: Selection,
    wish: LogWish,
    layout: DatabaseLayout,
    *,
    aside_name: str,
    protected: Sequence[Path],
) -> InPlacePlan:
    """Which files and folders take the place of which live ones.

    Of a whole set its roots; of a part of it, the outermost things that were chosen with all that the set
    holds below them. Raises RestoreError when nothing of that has a place, or nothing matches the selection.
    """
    wanted, _ = want(source, selection)
    logs = plan_logs_of(source, wanted, wish)
    if logs is not None:
        logs = replace(logs, in_place=True)
    if logs is None or logs.keeps_live:
        protected = (*protected, layout.log)
    chosen = _Chosen(source, wanted, is_with_log=logs is not None)
    live = _Places(source, layout)
    tops = chosen.tops(live)
    if chosen.has_content and not tops:
        # the log alone beside other data, told as a restore of all, would be worse than nothing
        raise _nothing_placed()
    tops += _stale_indexes(tops, chosen, live, layout)
    if logs is not None:
        tops += [path for path in _log_tops(logs) if not _is_within(path, set(tops))]
    if not tops:
        raise _nothing_placed()
    points = mount_points()
    mounted = _mounted(points, layout)
    mounts = tuple(Top(path, mounted[path]) for path in chosen.folders & mounted.keys())
    places = tuple(
        Top(path, _through_link(live.live(path), chosen.kinds.get(path))) for path in tops
    )
    anchors = {*tops, *(mount.path for mount in mounts)}
    needed = chosen.bytes_below(anchors)
    if logs is not None:
        for path, size in _log_bytes(logs):
            anchor = nearest({one: one for one in anchors}, path) or b""
            needed[anchor] = needed.get(anchor, 0) + size
    return InPlacePlan(
        layout.package,
        aside_name,
        places,
        mounts,
        points,
        chosen.above,
        tuple(protected),
        wanted,
        needed,
        logs,
    )


def _nothing_placed() -> RestoreError:
    return RestoreError(
        "nothing of this set belongs in the place of a live file; nothing was moved",
        hint="restore it into a new folder: leave out --in-place",
    )


class _Chosen:
    """The members of a set as far as they matter for what is replaced; gone through twice, as they may be a million."""

    def __init__(self, source: SetSource, wanted: Wanted | None, *, is_with_log: bool) -> None:
        self._folder = source.manifest.folder
        self._wanted = wanted
        self._is_with_log = is_with_log
        self._partial: set[bytes] = set()
        self.has_content = False
        self.kinds: dict[bytes, Kind] = {}
        self.folders: set[bytes] = set()
        self.files: set[bytes] = set()
        self.above: dict[bytes, Attributes] = {}

    def tops(self, places: _Places) -> list[bytes]:
        """The outermost things that were chosen whole; `has_content` is known afterwards: more than a log was chosen."""
        for member in iterate_members(self._folder):
            if not self._is_chosen(member):
                self._partial.update(_ancestors(member.path))
        found: dict[bytes, None] = {}
        for member in iterate_members(self._folder):
            if member.kind is Kind.FOLDER:
                self.folders.add(member.path)
            if member.role is Role.LOG or not self._is_chosen(member):
                continue
            self.has_content = True
            if member.path not in self._partial and places.is_owned(member.path):
                found[member.path] = None
                self.kinds[member.path] = member.kind
            if member.role is Role.DATA:
                self.files.add(member.path)
        return [path for path in found if not _is_within(path.rpartition(b"/")[0], found.keys())]

    def bytes_below(self, anchors: set[bytes]) -> dict[bytes, int]:
        """What is written below each anchor; `above` is known afterwards."""
        known = {path: path for path in anchors}
        leading = {folder for path in anchors for folder in _ancestors(path)}
        needed: dict[bytes, int] = {}
        for member in iterate_members(self._folder):
            if member.kind is Kind.FOLDER and member.path in leading:
                self.above[member.path] = member.attributes
            if (
                member.kind is Kind.FILE
                and member.role is not Role.LOG
                and self._is_written(member)
            ):
                anchor = nearest(known, member.path) or b""
                needed[anchor] = needed.get(anchor, 0) + disk_bytes(member)
        return needed

    def _is_written(self, member: Member) -> bool:
        return self._wanted is None or member.path in self._wanted.paths

    def _is_chosen(self, member: Member) -> bool:
        if member.role is Role.LOG:
            return self._is_with_log
        return self._wanted is None or member.path in self._wanted.chosen


def _ancestors(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path


def _is_within(path: bytes, folders: Iterable[bytes]) -> bool:
    return path in folders or any(folder in folders for folder in _ancestors(path))


def _stale_indexes(
    tops: list[bytes], chosen: _Chosen, places: _Places, layout: DatabaseLayout
) -> list[bytes]:
    """An index of later data is no index of these: when none is restored with them it goes aside, 4D makes a new one."""
    data = archive_path(layout.data_file, layout)
    stem = data.rpartition(b".")[0]
    paths = [stem + suffix for suffix in (b".4DIndx", b".4DSyncData", b".4DSyncHeader")]
    if not _is_within(data, set(tops)) or data not in chosen.files:
        return []
    return [
        path for path in paths if places.live(path).is_file() and not _is_within(path, set(tops))
    ]


def _log_tops(logs: LogPlacing) -> list[bytes]:
    """The log's own name, also when none is placed: what does not fit the data must not lie beside them."""
    paths = [path for _, path in logs.places()] or [logs.path]
    outer = (path if path == logs.path else path.rpartition(b"/")[0] for path in paths)
    return list(dict.fromkeys(outer))


def _log_bytes(logs: LogPlacing) -> Iterator[tuple[bytes, int]]:
    for candidate, path in logs.written():
        yield path, 0 if candidate.known is None else candidate.known.size


def _mounted(points: Iterable[Path], layout: DatabaseLayout) -> dict[bytes, Path]:
    """The paths of a set that are mounted volumes here, and their live places."""
    found: dict[bytes, Path] = {}
    homes = [(resolved(home), home) for home in (layout.package, layout.data_file.parent)]
    for point in points:
        for real, home in homes:
            if point.is_relative_to(real):
                live = home / point.relative_to(real)
                found[archive_path(live, layout)] = live
        found[archive_path(point, layout)] = point
    return found


def _through_link(live: Path, kind: Kind | None) -> Path:
    """What is a link here and was none in the set is restored to where the link leads."""
    if kind is Kind.SYMLINK or not live.is_symlink():
        return live
    goal = resolved(live)
    return goal if goal.parent.is_dir() else live


def resolved(place: Path) -> Path:
    """Its real path; a link in a circle stands for itself."""
    with suppress(OSError, RuntimeError):
        return place.resolve()
    return place
