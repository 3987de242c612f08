"""Which path each file of a backup of 4D has in a set of ours, so that a restore puts it where a backup took it from."""

import os
import stat
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath

from engine.content import Root, archive_path
from engine.errors import RefusedError
from engine.fourd.extracted import Extracted, Extraction
from engine.fourd.listing import Entry
from engine.fourd.listing import Origin as Said
from engine.member import Role
from settings.layout import DatabaseLayout

_STRUCTURE = ("Project", "Settings", "Preferences")


class SetPaths:
    """Moves extracted files below `root`, each under the path that it has in a set of this database."""

    def __init__(self, layout: DatabaseLayout, root: Path) -> None:
        self._layout = layout
        self._root = root
        self._roles: dict[bytes, Role] = {}
        root.mkdir()

    def place(self, extraction: Extraction, one: Extracted) -> None:
        """Move one file. Raises RefusedError for another database's data file, OSError."""
        entry = extraction.outcome.listing.entries[one.index]
        name = os.fsdecode(one.place)
        data = self._layout.data_file
        refuse_another_name(entry, self._layout)
        path = archive_path(data.parent / name[5:], self._layout) if _is_data(name) else one.place
        role = Role.ATTACHMENT
        if entry.origin is Said.DATA or name.startswith("Data/Settings/"):
            role = Role.DATA
        elif entry.origin is Said.STRUCTURE or name.partition("/")[0] in _STRUCTURE:
            role = Role.STRUCTURE
        self._move(extraction.target / name, path, role)

    def place_log(self, extraction: Extraction) -> Path:
        """The log that a .4BL holds. Raises RefusedError when it holds anything else."""
        entries = extraction.outcome.listing.entries
        if len(entries) != 1 or entries[0].origin is not Said.LOG:
            raise RefusedError(f"the log archive holds {len(entries)} files, not one log")
        # under the name that the set's own logs have
        target = self._root.with_name(self._layout.log.name)
        (extraction.target / os.fsdecode(extraction.files[0].place)).rename(target)
        return target

    def adopt(self) -> None:
        """Owner and mode of the live file or folder, else the owner of the application: 4D opens what is restored.

        As far as this user may give files away. Raises OSError.
        """
        names = {os.fsdecode(path) for path in self._roles}
        names |= {str(folder) for name in names for folder in PurePosixPath(name).parents} - {"."}
        for name in names:
            live, file = self._live(name), self._root / name
            is_there = live.exists() and live.is_dir() == file.is_dir()
            facts = (live if is_there else self._layout.package).stat()
            with suppress(PermissionError):
                os.chown(file, facts.st_uid, facts.st_gid)
                if is_there:
                    file.chmod(facts.st_mode & 0o777 | stat.S_IRUSR | stat.S_IWUSR)

    def date(self, instant: datetime) -> None:
        """4D's archives hold no times: all get that of the backup. Raises OSError."""
        times = (instant.timestamp(), instant.timestamp())
        for folder, _, files in os.walk(self._root, topdown=False):
            for name in files:
                os.utime(Path(folder) / name, times)
            os.utime(folder, times)

    def roots(self) -> tuple[Root, ...]:
        """What there is to write: data first, closest together, as in a backup."""
        order = (Role.DATA, Role.STRUCTURE, Role.ATTACHMENT)
        paths = sorted(self._roles, key=lambda path: (order.index(self._roles[path]), path))
        return tuple(
            Root(self._root / os.fsdecode(path), path, self._roles[path]) for path in paths
        )

    def live_roots(self) -> tuple[tuple[str, str], ...]:
        """Where each belongs on this machine, as a manifest says it: a restore in place and a comparison go by it.

        Files one by one, as nothing says that a folder was saved whole; but a project was.
        """
        paths = set(self._roles)
        if any(_is_project(path) for path in paths):
            paths = {path for path in paths if not path.startswith(b"Project/")} | {b"Project"}
        return tuple(
            (str(self._live(name)), name.encode("utf-8", "replace").decode())
            for name in sorted(map(os.fsdecode, paths))
        )

    def _live(self, name: str) -> Path:
        """The reverse of engine.content.archive_path, for what has a place below the application or beside the data."""
        data = self._layout.data_file
        if _is_data(name) and not data.is_relative_to(self._layout.package):
            return data.parent / name[5:]
        return self._layout.package / name

    def _move(self, file: Path, path: bytes, role: Role) -> None:
        target = self._root / os.fsdecode(path)
        if path in self._roles or os.path.lexists(target):
            raise RefusedError(f"two of its files would be {os.fsdecode(path)!r} in a set")
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
        self._roles[path] = role


def refuse_another_name(entry: Entry, layout: DatabaseLayout) -> None:
    """Raises RefusedError for the data file of another database."""
    name, own = entry.path.rpartition("/")[2], layout.data_file.name
    if entry.origin is Said.DATA and name != own:
        raise RefusedError(
            f"its data file is {name}, that of the database is {own}; nothing was imported",
            hint="name the database that it is a backup of",
        )


def _is_data(name: str) -> bool:
    return name.startswith("Data/")


def _is_project(path: bytes) -> bool:
    folder, _, name = path.partition(b"/")
    return folder == b"Project" and b"/" not in name and name.lower().endswith(b".4dproject")
