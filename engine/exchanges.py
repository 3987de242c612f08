"""Every rename that a restore in place will be made of, and every folder that must be made for it. Changes nothing.

A folder is exchanged whole, unless something in it must stay: then what is in it is exchanged name by name.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.errors import RestoreError
from engine.inplaceplan import ASIDE, InPlacePlan, resolved
from engine.member import Attributes
from engine.sites import Sites
from engine.swap import Exchange, NewFolder, Swap
from engine.workplace import BUILDING

_EARLIER = re.compile(rf"{ASIDE} \(.*\)", re.DOTALL)


def plan_swap(plan: InPlacePlan, sites: Sites) -> Swap:
    """Every rename there will be, and every folder that must be made for it. Raises RestoreError, OSError."""
    return _Planning(plan, sites).run()


@dataclass(slots=True)
class _Planning:
    plan: InPlacePlan
    sites: Sites
    exchanges: list[Exchange] = field(default_factory=list)
    folders: dict[Path, NewFolder] = field(default_factory=dict)
    kept: set[Path] = field(default_factory=set)
    above_kept: set[Path] = field(default_factory=set)
    _real: dict[Path, Path] = field(default_factory=dict)

    def run(self) -> Swap:
        """All tops, one after the other."""
        ours = [folder for site in self.sites.all for folder in (site.building, site.aside)]
        protected = {*self.plan.protected, *ours, *self._earlier()}
        self.kept = {place for one in protected for place in (self._place(one), resolved(one))}
        lives = {self._place(top.live) for top in self.plan.tops}
        inner = self.kept | self.plan.others | lives
        self.above_kept = {folder for place in inner for folder in place.parents}
        for top in self.plan.tops:
            self._exchange(top.live, top.path, lives - {self._place(top.live)})
        return Swap(tuple(self.exchanges), tuple(self.folders.values()))

    def _earlier(self) -> Iterator[Path]:
        """What earlier restores in place have put aside, where it can be."""
        for top in self.plan.tops:
            with suppress(OSError):
                yield from (one for one in top.live.iterdir() if _EARLIER.fullmatch(one.name))

    def _exchange(self, live: Path, path: bytes, apart: set[Path]) -> None:
        place = self._place(live)
        if place in self.kept or place in apart:
            return
        fresh = self.sites.fresh(path)
        inode = _inode(fresh)
        is_mount = place in self.plan.others
        if not is_mount and not (place in self.above_kept and _is_folder(live)):
            self._add(live, path, fresh, inode)
            return
        if inode is None or not _is_folder(fresh):
            self._without_folder(live, path, apart, is_mount=is_mount, is_there=inode is not None)
            return
        for name in sorted(_names(live) | _names(fresh)):
            self._exchange(live / name, path + b"/" + os.fsencode(name), apart)

    def _without_folder(
        self, live: Path, path: bytes, apart: set[Path], *, is_mount: bool, is_there: bool
    ) -> None:
        """A live folder that must stay, as something in it must; the set does not have it as a folder."""
        if is_there:
            what = "is a mounted volume" if is_mount else "holds what must not be moved"
            raise RestoreError(
                f"{live} {what}, and in the set it is no folder; nothing was exchanged",
                hint="restore the set into a new folder with --to, and take from it by hand",
            )
        if not is_mount:
            for name in sorted(_names(live)):
                self._exchange(live / name, path + b"/" + os.fsencode(name), apart)

    def _add(self, live: Path, path: bytes, fresh: Path, inode: int | None) -> None:
        had_live = os.path.lexists(live)
        if not had_live and inode is None:
            return
        aside = self.sites.aside(path)
        if had_live:
            self._make_above(aside, None)
        if inode is not None:
            self._make_above(live, path)
        new = None if inode is None else fresh
        self.exchanges.append(Exchange(live, new, aside, had_live, inode or 0))

    def _make_above(self, place: Path, path: bytes | None) -> None:
        """The folders above it that are missing: with the attributes they have in the set, else like the one above."""
        missing: list[tuple[Path, bytes]] = []
        folder = place.parent
        inner = b"" if path is None else path.rpartition(b"/")[0]
        while folder not in self.folders and not folder.is_dir():
            missing.append((folder, inner))
            folder, inner = folder.parent, inner.rpartition(b"/")[0]
        for folder, inner in reversed(missing):
            known = self.plan.above.get(inner) if os.fsencode(folder.name) == _last(inner) else None
            self.folders[folder] = self._new_folder(folder, known)

    def _new_folder(self, folder: Path, known: Attributes | None) -> NewFolder:
        if known is not None:
            return NewFolder(folder, known.mode, known.uid, known.gid)
        above = self.folders.get(folder.parent)
        if above is not None:
            return replace(above, path=folder)
        facts = folder.parent.stat()
        return NewFolder(folder, stat.S_IMODE(facts.st_mode) & 0o777, facts.st_uid, facts.st_gid)

    def _place(self, live: Path) -> Path:
        """Its real path, but for a last name that may be a link."""
        parent = live.parent
        if parent not in self._real:
            self._real[parent] = resolved(parent)
        return self._real[parent] / live.name


def _names(folder: Path) -> set[str]:
    """What is in it, but for our own work and what earlier restores have put aside."""
    names = {entry.name for entry in folder.iterdir()}
    return {
        name for name in names if not name.startswith(BUILDING) and not _EARLIER.fullmatch(name)
    }


def _is_folder(place: Path) -> bool:
    return place.is_dir() and not place.is_symlink()


def _inode(place: Path) -> int | None:
    with suppress(OSError):
        return place.lstat().st_ino
    return None


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]
