"""Finds the parts of a database on the disk: structure, data file, log, and the settings file in force.

The rules are 4D's (spec 1.1, 3.1). Nothing is written, and no file is opened except, when no data file
is in its usual place, the settings for the data file they name.
"""

from dataclasses import dataclass
from pathlib import Path

from settings.errors import (
    AmbiguousDataFileError,
    SettingsError,
    SettingsNotFoundError,
)
from settings.layout import DatabaseLayout
from settings.paths import PathMap, parse_path, resolve_path
from settings.reader import load_settings

__all__ = ["DatabaseLayout", "locate_database"]

_SETTINGS_NAME = "backup.4DSettings"
_OLD_NAME = "Backup.xml"
_BINARY_STRUCTURES = (".4db", ".4dc", ".4dz")
_EXTERNAL = "4D writes it only when 'User settings in external file' is on, so its presence is taken for that"


@dataclass(frozen=True, slots=True)
class _Start:
    """What the given path says by itself: named files are taken as they are."""

    package: Path
    structure: Path | None = None
    settings_file: Path | None = None


def locate_database(
    path: Path, data_file: Path | None = None, *, needs_settings: bool = True
) -> DatabaseLayout:
    """Find a database from its package, project file, structure file or settings file.

    Raises SettingsNotFoundError; without `needs_settings` only when the database itself is not there, and
    the settings file of the result may then be absent.
    """
    start = _start_from(path.absolute())
    notes: list[str] = []
    structure = start.structure or _find_structure(start.package, notes)
    default, places = _default_settings(start.package, notes)
    named = start.settings_file or default
    data = data_file.absolute() if data_file else _find_data(start.package, structure, named, notes)
    considered = _weigh(start, data, structure, default, places, notes)
    taken = [place for place, reason in considered if reason.startswith("taken")]
    if not taken and needs_settings:
        raise SettingsNotFoundError(
            f"no settings file in {start.package}", [place for place, _ in considered]
        )
    return DatabaseLayout(
        package=start.package,
        structure=structure,
        data_file=data,
        log=data.with_suffix(".journal"),
        settings_file=taken[0] if taken else start.package / "Settings" / _SETTINGS_NAME,
        considered=considered,
        notes=tuple(dict.fromkeys(notes)),
    )


# --- from the given path to the package -----------------------------------------------------------


def _start_from(path: Path) -> _Start:
    suffix = path.suffix.lower()
    if path.is_dir():
        inside = path.name.lower() == "project" and _with_suffix(path, (".4dproject",))
        return _Start(path.parent if inside else path)
    if not path.is_file():
        raise SettingsNotFoundError(f"there is no database at {path}", [path])
    if suffix == ".4dproject":
        in_project = path.parent.name.lower() == "project"
        return _Start(path.parent.parent if in_project else path.parent, path)
    if suffix in _BINARY_STRUCTURES:
        return _Start(path.parent, path)
    if path.name.lower() in {_SETTINGS_NAME.lower(), _OLD_NAME.lower()}:
        return _Start(_package_around(path), None, path)
    raise SettingsNotFoundError(
        f"{path} is no package folder, project, structure or settings file", [path]
    )


def _package_around(settings_file: Path) -> Path:
    """The nearest folder above that holds a structure, else the one the usual layout says."""
    above = settings_file.parent.parent
    for folder in (above, above.parent):
        if _find_structure(folder, []) is not None:
            return folder
    return above.parent if settings_file.name.lower() == _OLD_NAME.lower() else above


def _find_structure(package: Path, notes: list[str]) -> Path | None:
    project = _child(package, "Project")
    found = _with_suffix(project, (".4dproject",)) if project else []
    for suffix in _BINARY_STRUCTURES:
        found = found or _with_suffix(package, (suffix,))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        notes.append(f"several structure files ({names}): {found[0].name} is taken")
    return found[0] if found else None


# --- data file ------------------------------------------------------------------------------------


def _find_data(
    package: Path, structure: Path | None, settings_file: Path | None, notes: list[str]
) -> Path:
    for folder in (_child(package, "Data"), package):
        found = _with_suffix(folder, (".4dd",)) if folder else []
        if found:
            return _choose_data(package, structure, found)
    recorded = _recorded_data(package, settings_file)
    if recorded is not None:
        notes.append("the data file is the one the settings' DataBase block names")
        return recorded
    expected = _expected_data(package, structure)
    notes.append(f"no data file found; {expected} is expected")
    return expected


def _choose_data(package: Path, structure: Path | None, found: list[Path]) -> Path:
    stem = structure.stem.lower() if structure else ""
    for wanted in ("data", stem):
        same = [file for file in found if file.stem.lower() == wanted]
        if len(found) > 1 and len(same) == 1:
            return same[0]
    if len(found) > 1:
        raise AmbiguousDataFileError(package, found)
    return found[0]


def _recorded_data(package: Path, settings_file: Path | None) -> Path | None:
    """The data file of the DataBase block, when it is on this machine; the block is often stale."""
    if settings_file is None:
        return None
    try:
        block = load_settings(settings_file).settings.database_block
        if block is None or block.data_file is None:
            return None
        file = resolve_path(parse_path(block.data_file), package, PathMap())
    except (SettingsError, ValueError):
        return None  # whoever reads the settings for a backup is told; here they are only a hint
    return file if file.is_file() else None


def _expected_data(package: Path, structure: Path | None) -> Path:
    if structure is not None and structure.suffix.lower() != ".4dproject":
        return structure.with_suffix(".4DD")
    return package / "Data" / "data.4DD"


# --- settings file --------------------------------------------------------------------------------


def _default_settings(package: Path, notes: list[str]) -> tuple[Path | None, list[Path]]:
    """The settings of the package, and the two places where they can be."""
    old_folder = _child(package, "Preferences")
    backup = _child(old_folder, "Backup") if old_folder else None
    current = _named(_child(package, "Settings"), _SETTINGS_NAME, notes)
    old = _named(backup, _OLD_NAME, notes)
    places = [
        current or package / "Settings" / _SETTINGS_NAME,
        old or package / "Preferences" / "Backup" / _OLD_NAME,
    ]
    return current or old, places


def _weigh(
    start: _Start,
    data: Path,
    structure: Path | None,
    default: Path | None,
    places: list[Path],
    notes: list[str],
) -> tuple[tuple[Path, str], ...]:
    considered: list[tuple[Path, str]] = []
    if start.settings_file is not None:
        considered.append((start.settings_file, "taken: it was named"))
    considered.append(_weigh_data_copy(data, structure, start.package, notes))
    taken = any(reason.startswith("taken") for _, reason in considered)
    for place in places:
        reason = "not there"
        if place == default:
            reason = "not taken: another one comes first" if taken else "taken"
        elif place.is_file():
            reason = "not taken: another one comes first"
        if place != start.settings_file:
            considered.append((place, reason))
    if start.settings_file is None:
        return tuple(considered)
    return tuple(_after_the_named(considered))


def _after_the_named(considered: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    named, *others = considered
    rest = [(place, reason) for place, reason in others if place != named[0]]
    return [
        named,
        *((p, "not taken: another one was named" if r.startswith("taken") else r) for p, r in rest),
    ]


def _weigh_data_copy(
    data: Path, structure: Path | None, package: Path, notes: list[str]
) -> tuple[Path, str]:
    folder = structure.parent if structure is not None else package
    copy = _named(_child(data.parent, "Settings"), _SETTINGS_NAME, notes)
    place = copy or data.parent / "Settings" / _SETTINGS_NAME
    if data.parent == folder:
        return place, "not taken for the data file: the data file is beside the structure"
    if copy is None:
        return place, "not there: the data file has no settings of its own"
    return place, f"taken: the settings of the data file replace the default ones. {_EXTERNAL}"


# --- folders, whatever the case of the names ------------------------------------------------------


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SettingsNotFoundError(
            f"{folder} cannot be read: {error.strerror}", [folder]
        ) from error


def _child(folder: Path, name: str) -> Path | None:
    """The folder of that name in any case; the exact spelling comes first."""
    found = [e for e in _entries(folder) if e.name.lower() == name.lower() and e.is_dir()]
    return folder / name if folder / name in found else next(iter(found), None)


def _with_suffix(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [e for e in _entries(folder) if e.suffix.lower() in suffixes and e.is_file()]


def _named(folder: Path | None, name: str, notes: list[str]) -> Path | None:
    """The file of that name in any case; of several, the exact spelling."""
    if folder is None:
        return None
    found = [e for e in _entries(folder) if e.name.lower() == name.lower() and e.is_file()]
    if not found:
        return None
    taken = folder / name if folder / name in found else found[0]
    if len(found) > 1:
        others = ", ".join(e.name for e in found if e != taken)
        notes.append(f"{folder} holds several files of that name: {taken.name}, not {others}")
    return taken
