"""The sets in a destination folder: which there are, the next number, and which ones rotation removes.

Order is the set number and nothing else; a set counts only when its folder holds a manifest.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.files import fsync_folder, remove_tree
from engine.manifest import CHECKSUMS, MANIFEST, SetFacts, read_set_facts
from engine.setdigests import contradicts_checksums
from engine.shipped import RESTORER, restorer_version
from settings.model import KeepAll, KeepLast, Rotation

_SET_FOLDER = re.compile(r"(?P<base>.+)\[(?P<number>\d{4,})\]", re.DOTALL)
# also what 4D itself leaves in a destination: data[0007].4BK, data[0007-0001].4BK, data[0006].4BL
_OF_4D = re.compile(r".+\[\d{4,}(-\d+)?\]\.4B[KL]", re.IGNORECASE | re.DOTALL)
# engine/streamfolder.py gives these names to shipped logs
_STREAM = re.compile(r".+\.log-stream-[0-9a-f]{8}\.[0-9a-f]{8}", re.DOTALL)
# one backup a minute for nineteen years; a higher number was never given by anybody
HIGHEST_NUMBER = 9_999_999
_STAGING = ".backup4d-staging-"
_REMOVING = ".backup4d-removing-"


@dataclass(frozen=True, slots=True)
class StoredSet:
    """One published set: its folder and what its manifest says of it."""

    folder: Path
    facts: SetFacts

    @property
    def number(self) -> int:
        """The set number, the only order there is."""
        return self.facts.number


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a destination holds under one base name.

    `sets` are those of this database, ordered by number. `highest` counts every folder with the base
    name, also damaged and foreign ones, so that a number is never used twice. `unreadable` names folders
    that look like sets and are not readable, with the reason.
    """

    sets: tuple[StoredSet, ...]
    highest: int
    unreadable: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """One set that rotation removes, and why."""

    stored: StoredSet
    reason: str


def set_name(base: str, number: int) -> str:
    """`data[0007]`; from 10000 on five digits (our decision; 4D's own limit is unknown)."""
    return f"{base}[{number:04d}]"


def base_of(name: str) -> str | None:
    """The name of the data file in the name of a set's folder; None for all other names."""
    match = _SET_FOLDER.fullmatch(name)
    return match and match["base"]


def database_tag(data_file: Path) -> str:
    """Eight hex digits that tell one database's hidden work from another's with the same base name."""
    return hashlib.sha256(os.fsencode(data_file)).hexdigest()[:8]


def staging_folder(destination: Path, base: str, number: int, tag: str) -> Path:
    """The hidden folder in which a set is written before it appears."""
    return destination / f"{_STAGING}{tag}-{set_name(base, number)}"


def is_leftover(name: str, tag: str) -> bool:
    """Whether a name is half-made or half-removed work of the database with this tag."""
    return name.startswith((f"{_STAGING}{tag}-", f"{_REMOVING}{tag}-"))


def belongs_to_destination(destination: Path, name: str) -> bool:
    """Whether an entry of a destination folder is a set or other work of ours or 4D's, never content.

    A user's own folder `Invoices[2024]` is content: a set holds a manifest.
    """
    if name.startswith((".backup4d", ".backupHistory.json", "backupHistory")):
        return True
    if name == RESTORER:
        return restorer_version(destination / name) is not None
    if _SET_FOLDER.fullmatch(name) is not None:
        return (destination / name / MANIFEST).exists()
    return _OF_4D.fullmatch(name) is not None or _STREAM.fullmatch(name) is not None


def take_inventory(destination: Path, base: str, data_file: Path) -> Inventory:
    """Look at every set folder with this base name. Raises OSError when the destination cannot be read."""
    sets: list[StoredSet] = []
    unreadable: list[tuple[str, str]] = []
    highest = 0
    for entry in destination.iterdir():
        highest = max(highest, number_in(entry.name, base))
        match = _SET_FOLDER.fullmatch(entry.name)
        if match is None or match["base"] != base:
            continue
        match _look_into(entry, int(match["number"]), data_file):
            case StoredSet() as stored:
                sets.append(stored)
            case str(why):
                unreadable.append((entry.name, why))
            case None:
                pass
    sets.sort(key=lambda stored: stored.number)
    highest = max(highest, *(stored.number for stored in sets), 0)
    return Inventory(tuple(sets), highest, tuple(sorted(unreadable)))


def _look_into(folder: Path, number: int, data_file: Path) -> StoredSet | str | None:
    """The set, why it cannot be used, or None for that of another database."""
    if folder.is_symlink():
        return "it is a link; a set that was moved is not ours to remove"
    try:
        facts = read_set_facts(folder)
    except EngineError as error:
        return str(error)
    if facts.data_file == str(data_file) and facts.number == number:
        return StoredSet(folder, facts)
    # one other byte in its path or number, and a set of ours would never be seen again
    if contradicts_checksums(folder):
        return (
            f"{folder / MANIFEST} is damaged: it does not have the checksum that {CHECKSUMS} says"
        )
    if facts.data_file == str(data_file):
        return f"{folder / MANIFEST} is that of set {facts.number}: the folder was renamed"
    return None


def number_in(name: str, base: str) -> int:
    """The number an entry occupies: a set, one being written, or 4D's own `data[0007].4BK`; 0 for none.

    One that no backup program ever gave is somebody's own name, and does not drive ours up.
    """
    match = re.fullmatch(
        rf"(?:{re.escape(_STAGING)}[0-9a-f]{{8}}(?:\.[0-9a-f]{{8}})?-)?{re.escape(base)}\[(\d{{4,}})(?:-\d+)?\](?:\.4BK)?",
        name,
        re.IGNORECASE,
    )
    number = int(match[1]) if match else 0
    return number if number <= HIGHEST_NUMBER else 0


def plan_rotation(
    sets: Iterable[StoredSet], rotation: Rotation, *, coming: bool = False
) -> tuple[Removal, ...]:
    """Which sets go, oldest first.

    `coming` is for removal before writing: one place is kept free for the new set. The newest complete
    set, and the newest that was also checked, are never planned to go, whatever stands beside them.
    """
    ordered = sorted(sets, key=lambda stored: stored.number)
    match rotation:
        case KeepAll():
            return ()
        case KeepLast(count=count):
            room = max(count - 1, 0) if coming else count
            surplus = ordered[: len(ordered) - room] if len(ordered) > room else []
            complete = [stored for stored in ordered if stored.facts.complete]
            checked = [stored for stored in complete if stored.facts.checked]
            last_good = {group[-1].number for group in (complete, checked) if group}
            return tuple(
                Removal(stored, f"more than the {count} newest sets that SetNumber keeps")
                for stored in surplus
                if stored.number not in last_good
            )


def show_set(staging: Path, folder: Path) -> None:
    """Make a finished set appear by one rename, durable when this returns.

    When that cannot be promised, the name is taken back: a failed backup shows no set. Raises OSError.
    """
    staging.rename(folder)
    try:
        fsync_folder(folder.parent)
    except OSError:
        with suppress(OSError):  # on a disk that is gone, the set stays, whole
            folder.rename(staging)
        raise


def remove_set(removal: Removal, held: Path) -> None:
    """Remove one planned set from the folder that holds the sets: one rename takes it off the list, then file by file.

    Raises OSError; what is left then has a hidden name and is removed by the next run. Raises it, or an EngineError,
    also when what has the name of the set is not that set any more.
    """
    folder = held / removal.stored.folder.name
    if folder.is_symlink() or read_set_facts(folder) != removal.stored.facts:
        raise OSError(errno.ESTALE, "another one has taken its place")
    tag = database_tag(Path(removal.stored.facts.data_file))
    hidden = held / f"{_REMOVING}{tag}-{folder.name}"
    folder.rename(hidden)
    fsync_folder(held)
    remove_tree(hidden)
