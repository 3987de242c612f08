"""What a person means by DATABASE, SET or ARCHIVE on a bad day: found also when settings, data file or manifest are gone."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.archivefiles import find_archives, is_archive_name
from engine.errors import EngineError
from engine.lock import DATABASE_LOCK, read_memory
from engine.manifest import MANIFEST, SetFacts, read_set_facts
from engine.sealed import SUFFIX
from engine.sets import Inventory, StoredSet, set_name, take_inventory
from scheduler.context import Context, choose_set, choose_set_until
from scheduler.screen import warn
from settings.errors import SettingsError
from settings.layout import DatabaseLayout


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be restored.

    `only` is the one archive file meant, None for a set folder; `layout` is None when no database is at hand.
    `others` are the sets beside it, `is_newest` when the newest set of a database was meant, not a certain one.
    """

    folder: Path
    only: str | None
    layout: DatabaseLayout | None
    others: tuple[StoredSet, ...]
    is_newest: bool
    notes: tuple[str, ...] = ()

    @property
    def is_bare(self) -> bool:
        """Whether there is no manifest to go by."""
        return self.only is not None or not (self.folder / MANIFEST).exists()

    @property
    def is_sealed(self) -> bool:
        """Whether the archive file is encrypted."""
        return self.only is not None and self.only.endswith(SUFFIX)


def choose(
    context: Context,
    target: Path,
    *,
    number: int | None,
    until: datetime | None,
    data_file: Path | None,
    anyway: bool,
) -> Choice:
    """Find it. `anyway`: a set that cannot be read is meant as well. Raises SettingsError, EngineError."""
    named = target.absolute()
    if named.is_file() and is_archive_name(named.name.removesuffix(SUFFIX)):
        return _archive(named, anyway=anyway)
    if _is_set_folder(named):
        return Choice(named, None, None, _beside(named), is_newest=False)
    return _of_database(
        context, target, number=number, until=until, data_file=data_file, anyway=anyway
    )


def _archive(file: Path, *, anyway: bool) -> Choice:
    """An archive file of a set whose manifest knows it stands for the set."""
    folder = file.parent
    with suppress(EngineError):
        facts = read_set_facts(folder)
        if not anyway and ("main", file.name) in facts.files:
            return Choice(folder, None, None, _beside(folder), is_newest=False)
    return Choice(folder, file.name, None, (), is_newest=False)


def _is_set_folder(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    if (folder / MANIFEST).is_file():
        return True
    try:
        find_archives(folder)
    except (EngineError, OSError):
        return False
    return True


def _beside(folder: Path) -> tuple[StoredSet, ...]:
    with suppress(EngineError, OSError):
        facts = read_set_facts(folder)
        return take_inventory(folder.parent, facts.base, Path(facts.data_file)).sets
    return ()


def _of_database(
    context: Context,
    target: Path,
    *,
    number: int | None,
    until: datetime | None,
    data_file: Path | None,
    anyway: bool,
) -> Choice:
    layout = context.layout(target, data_file, needs_settings=False)
    inventory, destination, notes = _inventory(context, layout)
    if not inventory.sets and data_file is None and not layout.data_file.exists():
        known = _data_file_of_sets(destination, layout.package)
        if known is not None:
            layout = context.layout(target, known, needs_settings=False)
            inventory = take_inventory(destination, layout.data_file.stem, layout.data_file)
            notes = (*notes, f"{known} is not there; the sets tell that it was the data file")
    is_newest = number is None and until is None
    unreadable = {name for name, _ in inventory.unreadable}
    wanted = None if number is None else set_name(layout.data_file.stem, number)
    if anyway and wanted in unreadable:
        folder = destination / wanted
    elif anyway and is_newest and not inventory.sets and unreadable:
        folder = destination / max(unreadable)
    elif until is not None:
        folder = choose_set_until(inventory, until, context.zone).folder
    else:
        folder = choose_set(inventory, number).folder
    return Choice(folder, None, layout, inventory.sets, is_newest, notes)


def _inventory(context: Context, layout: DatabaseLayout) -> tuple[Inventory, Path, tuple[str, ...]]:
    """The sets; when the settings cannot be read, those in the backup folder of the last good backup."""
    try:
        return context.inventory(layout), context.destination(layout), ()
    except SettingsError:
        destination = _remembered(layout)
        if destination is None:
            warn(
                "without settings, name the folder of a set or an archive file: "
                "backup4d restore '/backups/data[0007]'"
            )
            raise
        note = f"the settings cannot be read; the last backup went to {destination}"
        inventory = take_inventory(destination, layout.data_file.stem, layout.data_file)
        return inventory, destination, (note,)


def _remembered(layout: DatabaseLayout) -> Path | None:
    with suppress(OSError, ValueError, json.JSONDecodeError):
        folder = read_memory(layout.package / "Logs" / DATABASE_LOCK).get("destination")
        if isinstance(folder, str) and Path(folder).is_dir():
            return Path(folder)
    return None


def _data_file_of_sets(destination: Path, package: Path) -> Path | None:
    """The only data file that sets of this application name; None when there is none, or several."""
    found = {facts.data_file for facts in _all_facts(destination) if facts.package == str(package)}
    return Path(found.pop()) if len(found) == 1 else None


def _all_facts(destination: Path) -> Iterator[SetFacts]:
    with suppress(OSError):
        for folder in destination.iterdir():
            with suppress(EngineError):
                yield read_set_facts(folder)
