"""The archive files of a set by their names alone, when there is no manifest to name them."""

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from engine.errors import MissingSetError

_NAME = re.compile(
    r"(?P<base>.+)\[(?P<number>\d{4,9})(?:-(?P<segment>\d{4,6}))?\]\.(?P<kind>tar|journal)(?P<zst>\.zst)?",
    re.DOTALL,
)


_FOURD_NAME = re.compile(r".+\[\d{4,9}\]\.(4BK|4BL)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ArchiveFiles:
    """One archive: `names` in order, those that are missing too; `missing` are not there.

    `number` is that in the name: of a log archive one below its set's.
    """

    role: str
    base: str
    number: int
    compressed: bool
    names: tuple[str, ...]
    missing: tuple[str, ...]


def is_archive_name(name: str) -> bool:
    """Whether a file can be an archive, or a segment of one."""
    return _NAME.fullmatch(name) is not None


def fourd_archives(folder: Path) -> tuple[str, ...]:
    """The archives of 4D's format in a folder, the main one first. Raises OSError."""
    names = (entry.name for entry in folder.iterdir() if _FOURD_NAME.fullmatch(entry.name))
    return tuple(sorted(names, key=lambda name: (name[-3:], name)))


def find_archives(folder: Path, only: str | None = None) -> tuple[ArchiveFiles, ...]:
    """The archives in a folder, the main one first; with `only`, the one this file belongs to.

    Raises MissingSetError when there is none, or more than one of a kind, OSError.
    """
    groups: dict[tuple[str, str, str, str], dict[int, str]] = {}
    for name in sorted(entry.name for entry in folder.iterdir()):
        found = _NAME.fullmatch(name)
        if found is None or not stat.S_ISREG((folder / name).lstat().st_mode):
            continue
        key = (found["kind"], found["base"], found["number"], found["zst"] or "")
        groups.setdefault(key, {})[int(found["segment"] or 0)] = name
    if only is not None:
        groups = {key: names for key, names in groups.items() if only in names.values()}
    archives = [_archive(key, names) for key, names in groups.items()]
    archives.sort(key=lambda archive: archive.role == "log")
    roles = [archive.role for archive in archives]
    if not archives and (others := fourd_archives(folder)):
        commands = (f"backup4d 4bk extract '{folder / name}' --to FOLDER" for name in others)
        raise MissingSetError(
            f"{folder} holds archives of 4D's format, and no manifest.json that can be used",
            hint=f"take them apart, without times, owners, modes and links: {'; '.join(commands)}",
        )
    if not archives:
        raise MissingSetError(
            f"{folder} holds no archive of backup4d",
            hint="an archive is called data[0007].tar.zst, data[0007-0001].tar.zst or data[0007].tar",
        )
    if len(set(roles)) != len(roles):
        names = ", ".join(archive.names[0] for archive in archives)
        raise MissingSetError(
            f"{folder} holds several archives: {names}",
            hint="name the archive file itself",
        )
    return tuple(archives)


def _archive(key: tuple[str, str, str, str], names: dict[int, str]) -> ArchiveFiles:
    kind, base, number, zst = key
    role = "main" if kind == "tar" else "log"
    there = dict(names)
    segments = range(1, max(there) + 1)
    wanted = tuple(there.get(at, f"{base}[{number}-{at:04d}].{kind}{zst}") for at in segments)
    if 0 in there:  # whole; segments beside it would be of another making
        wanted = (there[0],)
    missing = tuple(name for name in wanted if name not in there.values())
    return ArchiveFiles(role, base, int(number), bool(zst), wanted, missing)
