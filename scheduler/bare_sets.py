"""The sets in a folder of which nothing else is known: a backup disk, its machine and its application gone."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError, MissingSetError
from engine.manifest import MANIFEST, SetFacts, read_set_facts
from engine.sets import Inventory, base_of, set_name, take_inventory

_OF_AN_APPLICATION = ("Project", "Settings", "Data", "Preferences")


@dataclass(frozen=True, slots=True)
class Bare:
    """The sets of one data file; it is empty for folders that have the name of a set, and cannot be read."""

    data_file: str
    inventory: Inventory


def all_facts(folder: Path) -> Iterator[SetFacts]:
    """Of every set in a folder that can be read; a folder that cannot be read has none."""
    with suppress(OSError):
        for one in folder.iterdir():
            with suppress(EngineError):
                yield read_set_facts(one)


def has_application(folder: Path) -> bool:
    """Whether a 4D application is there, whose settings say where its sets are."""
    return any((folder / name).is_dir() for name in _OF_AN_APPLICATION)


def bare_sets(folder: Path, data_file: Path | None = None) -> list[Bare]:
    """The sets in a folder, or those of one data file; empty where there is none, or an application.

    Raises MissingSetError when all are of other data files, OSError.
    """
    if not folder.is_dir() or has_application(folder):
        return []
    known = {facts.data_file: facts.base for facts in all_facts(folder)}
    if data_file is not None and str(data_file) not in known:
        raise MissingSetError(
            f"{folder} holds no set of {data_file}, but sets of {', '.join(sorted(known)) or 'none'}"
        )
    if data_file is not None:
        known = {str(data_file): known[str(data_file)]}
    found = [Bare(file, _inventory(folder, base, file)) for file, base in sorted(known.items())]
    if data_file is None:
        lost = _bases(folder) - set(known.values())
        found += [Bare("", _inventory(folder, base, "")) for base in sorted(lost)]
    return found


def _bases(folder: Path) -> set[str]:
    named = ((one, base_of(one.name)) for one in folder.iterdir())
    return {base for one, base in named if base is not None and (one / MANIFEST).is_file()}


def _inventory(folder: Path, base: str, data_file: str) -> Inventory:
    return take_inventory(folder, base, Path(data_file))


def sets_hint(folder: Path) -> str:
    """What to type, where a folder that holds sets was taken for an application; else nothing."""
    if has_application(folder):
        return ""
    newest = max(((facts.number, facts.base) for facts in all_facts(folder)), default=None)
    if newest is None:
        return ""
    example = folder / set_name(newest[1], newest[0])
    return (
        f"{folder} holds sets, and no application: name one of them in its place, as '{example}';"
        f" `backup4d list '{folder}'` shows all"
    )
