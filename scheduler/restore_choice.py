"""What a person means by DATABASE, SET or ARCHIVE on a bad day: found also when settings, data file or manifest are gone."""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from engine.archivefiles import find_archives, fourd_archives, is_archive_name
from engine.errors import EngineError, MissingSetError
from engine.lock import memory_of
from engine.machine import name_of
from engine.manifest import MANIFEST, read_set_facts
from engine.ownsets import marks_of, split_sets
from engine.parity import has_parity
from engine.sealed import SUFFIX
from engine.sets import Inventory, StoredSet, take_inventory
from engine.streamfolder import stream_folders
from scheduler.bare_sets import all_facts, has_application, sets_hint
from scheduler.context import Context, choose_set, choose_set_until
from scheduler.lost import recall_lost
from scheduler.screen import warn
from settings.errors import SettingsError, SettingsNotFoundError
from settings.layout import DatabaseLayout

_OF_FOURD = (".4BK", ".4BL")
_ARCHIVE_ENDINGS = (".zst", ".tar", ".journal")


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
    is_archive = named.is_file() and is_archive_name(named.name.removesuffix(SUFFIX))
    if is_archive or _is_set_folder(named):
        if number is not None or until is not None or data_file is not None:
            raise click.UsageError(
                f"{target} is one set already; --set, --as-of and --data-file choose one of a DATABASE"
            )
        if is_archive:
            return _archive(named, anyway=anyway)
        beside = _beside(named)
        return Choice(
            named, None, None, beside, is_newest=False, notes=_shipped_note(named, beside)
        )
    if named.is_file() and named.name.removesuffix(SUFFIX).endswith(_OF_FOURD):
        raise click.UsageError(_of_fourd(named))
    if named.is_file() and named.name.removesuffix(SUFFIX).endswith(_ARCHIVE_ENDINGS):
        raise click.UsageError(
            f"{named.name} is not named as an archive of a set is: data[0007].tar.zst, "
            "data[0007-0001].tar.zst, data[0006].journal.zst; give it such a name (any number will do)"
        )
    try:
        return _of_database(
            context, target, number=number, until=until, data_file=data_file, anyway=anyway
        )
    except SettingsNotFoundError:
        warn(_when_gone(named))
        raise


def _of_fourd(named: Path) -> str:
    """What to type for an archive of 4D's format, which holds too little to be restored like one of ours."""
    text = f"{named.name} is an archive of 4D's format"
    if named.suffix == SUFFIX:
        plain = named.with_suffix("")
        text += f", encrypted: age --decrypt --identity KEYS --output '{plain}' '{named}' first"
        named = plain
    return (
        f"{text}. With its manifest.json beside it, name the folder: backup4d restore '{named.parent}'; alone:"
        f" backup4d 4bk extract '{named}' --to FOLDER"
    )


def _when_gone(named: Path) -> str:
    """What to type when there is no application at the path that was typed."""
    newest = max((facts.number for facts in all_facts(named)), default=None)
    if newest is not None:
        return (
            f"{named} holds sets, up to number {newest}; where the application is to be: "
            f"backup4d restore '{named}' --latest --to FOLDER; one certain set: name its own folder"
        )
    return (
        "when the application itself is gone, name the folder of a set, and where it is to be: "
        f"backup4d restore '/backups/data[0007]' --to '{named}'; or the backup folder with --latest for the newest"
    )


def choose_latest(
    context: Context, target: Path, *, data_file: Path | None, anyway: bool
) -> Choice:
    """The newest set of a database; also when the application is gone, or of a folder that holds sets.

    Raises SettingsError, EngineError.
    """
    named = target.absolute()
    if named.is_file() or _is_set_folder(named):
        raise click.UsageError(
            f"{target} is one set already; --latest takes a DATABASE, or the folder that holds its sets"
        )
    if not has_application(named):
        found = _of_backup_folder(named, data_file) or _of_lost(context, named, data_file)
        if found is not None:
            return found
    try:
        return _of_database(
            context, target, number=None, until=None, data_file=data_file, anyway=anyway
        )
    except SettingsNotFoundError:
        warn(_when_gone(named))
        raise


def _of_backup_folder(
    folder: Path, data_file: Path | None, package: Path | None = None
) -> Choice | None:
    """The newest set in it; None when it holds none. Raises MissingSetError when it is not plain which is meant."""
    known = {one.data_file: one for one in all_facts(folder)}
    if package is not None:
        known = {name: one for name, one in known.items() if one.package == str(package)}
    if data_file is not None:
        known = {name: one for name, one in known.items() if name == str(data_file)}
    if not known:
        return None
    if len(known) > 1:
        raise MissingSetError(
            f"{folder} holds sets of several data files: {', '.join(sorted(known))}",
            hint=f"say which one is meant: --data-file '{min(known)}'",
        )
    (facts,) = known.values()
    inventory = take_inventory(folder, facts.base, Path(facts.data_file))
    doubtful = max((_number_of(name) for name, _ in inventory.unreadable), default=-1)
    newest = choose_set(inventory, None)
    if doubtful > newest.number:
        names = {_number_of(name): name for name, _ in inventory.unreadable}
        raise MissingSetError(
            f"the newest set, {names[doubtful]}, cannot be read: {dict(inventory.unreadable)[names[doubtful]]}",
            hint=f"take an older one: backup4d restore '{newest.folder}' --log current",
        )
    note = f"the application is not there; the sets are those of {facts.data_file}"
    return Choice(newest.folder, None, None, inventory.sets, is_newest=True, notes=(note,))


def _of_lost(context: Context, package: Path, data_file: Path | None) -> Choice | None:
    """By what the service remembers of its settings; None when it remembers none."""
    lost = recall_lost(context, package)
    if lost is not None:
        with suppress(OSError):
            return _of_backup_folder(lost.destination, data_file, package)
    return None


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
        if fourd_archives(folder) and not (folder / "backupHistory.json").exists():
            return True  # a backup folder of 4D's own holds them, too, and that file
        find_archives(folder)
    except (EngineError, OSError):
        return False
    return True


def _beside(folder: Path) -> tuple[StoredSet, ...]:
    with suppress(EngineError, OSError):
        facts = read_set_facts(folder)
        return take_inventory(folder.parent, facts.base, Path(facts.data_file)).sets
    return ()


def _shipped_note(folder: Path, beside: tuple[StoredSet, ...]) -> tuple[str, ...]:
    """Who names the newest set and means the newest state hears that there is more."""
    newest = beside[-1] if beside else None
    if newest is None or newest.folder.name != folder.name:
        return ()
    with suppress(OSError):
        if stream_folders(folder.parent, newest.facts.base, Path(newest.facts.data_file)):
            return (
                "a shipped log lies beside it; --log current brings what was done after this set, too",
            )
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
    if until is not None:
        chosen = choose_set_until(inventory, until, context.zone)
        _refuse_doubt(chosen, inventory.sets, layout)
        folder = chosen.folder
    else:
        folder = _newest_or(number, inventory, destination, layout, anyway=anyway)
    return Choice(folder, None, layout, inventory.sets, is_newest, notes)


def _newest_or(
    number: int | None,
    inventory: Inventory,
    destination: Path,
    layout: DatabaseLayout,
    *,
    anyway: bool,
) -> Path:
    """The folder of the newest set, or of the one with the number, also one whose manifest cannot be read.

    An older set is never taken in silence in place of a newer one. Raises MissingSetError.
    """
    unreadable = {_number_of(name): name for name, _ in inventory.unreadable}
    if number is not None and number in unreadable:
        return destination / unreadable[number]
    newest = inventory.sets[-1].number if inventory.sets else -1
    doubtful = max(unreadable, default=-1)
    if number is not None or doubtful <= newest:
        if not inventory.sets and not unreadable:
            _refuse_others(destination, layout)
        chosen = choose_set(inventory, number)
        if number is None:
            _refuse_doubt(chosen, inventory.sets, layout)
        return chosen.folder
    folder = destination / unreadable[doubtful]
    if anyway or has_parity(folder):
        return folder
    older = f", or take an older one: --set {newest}" if inventory.sets else ""
    way = f"its archive alone can be restored: backup4d restore '{folder}'"
    if (folder / MANIFEST).exists():
        way = f"bring back what can be read: backup4d restore '{folder}' --salvage --to PATH"
    raise MissingSetError(
        f"the newest set, {folder.name}, cannot be read: {dict(inventory.unreadable)[folder.name]}",
        hint=f"{way}{older}",
    )


def _number_of(name: str) -> int:
    digits = name.rpartition("[")[2].removesuffix("]")
    return int(digits) if digits.isdecimal() else -1


def _refuse_doubt(chosen: StoredSet, sets: tuple[StoredSet, ...], layout: DatabaseLayout) -> None:
    """Sets of another machine may be of another application with the same path. Raises MissingSetError."""
    ours, theirs = split_sets(sets, marks_of(layout))
    if not ours or chosen not in theirs:
        return
    here = ours[-1]
    raise MissingSetError(
        f"{chosen.folder.name}, which would be taken, was made on another machine ({name_of(chosen.facts.machine)}),"
        f" and {here.folder.name} on this one: they may be of two applications with the same path",
        hint=f"say which is meant: --set {chosen.number} or --set {here.number}",
    )


def _refuse_others(destination: Path, layout: DatabaseLayout) -> None:
    """Sets of another path or data file may be what is meant. Raises MissingSetError."""
    others = {facts.data_file for facts in all_facts(destination)}
    if others:
        raise MissingSetError(
            f"{destination} holds no set of {layout.data_file}, but sets of {', '.join(sorted(others))}",
            hint="when the application was moved or renamed, name the folder of a set: "
            f"backup4d restore '{destination}/data[0007]' --to PATH",
        )


def _inventory(context: Context, layout: DatabaseLayout) -> tuple[Inventory, Path, tuple[str, ...]]:
    """The sets; when the settings cannot be read, those in the backup folder of the last good backup."""
    try:
        return context.inventory(layout), context.destination(layout), ()
    except SettingsError:
        destination = _remembered(layout)
        if destination is None and not sets_hint(layout.package):
            warn(
                "without settings, name the folder of a set or an archive file: "
                "backup4d restore '/backups/data[0007]'"
            )
        if destination is None:
            raise
        note = f"the settings cannot be read; the last backup went to {destination}"
        inventory = take_inventory(destination, layout.data_file.stem, layout.data_file)
        return inventory, destination, (note,)


def _remembered(layout: DatabaseLayout) -> Path | None:
    with suppress(OSError, ValueError, json.JSONDecodeError):
        folder = memory_of(layout).get("destination")
        if isinstance(folder, str) and Path(folder).is_dir():
            return Path(folder)
    return None


def _data_file_of_sets(destination: Path, package: Path) -> Path | None:
    """The only data file that sets of this application name; None when there is none, or several."""
    found = {facts.data_file for facts in all_facts(destination) if facts.package == str(package)}
    return Path(found.pop()) if len(found) == 1 else None
