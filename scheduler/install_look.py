"""What is there before the service is installed: this program, the shipped files, what databases need, what is enabled."""

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RefusedError
from scheduler.context import Context
from scheduler.install import MAIN, unit_text, writable_folders
from settings.errors import SettingsError
from settings.service_model import ServedDatabase

_CODE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Needs:
    """What the service must write to for one database, and what a person should know of it."""

    package: Path
    folders: tuple[Path, ...]
    notes: tuple[str, ...]


def shipped(name: str) -> str:
    """A file of `systemd/`: inside the package when installed, beside it in a working copy."""
    packed = _CODE / "units" / name
    return (packed if packed.exists() else _CODE.parent / "systemd" / name).read_text("utf-8")


def shipped_unit(name: str) -> str:
    """A shipped unit that starts this program. Raises RefusedError."""
    return unit_text(shipped(name), program())


def program() -> Path:
    """The command that people type, of this very installation."""
    return Path(sysconfig.get_path("scripts")) / "backup4d"


def program_files() -> tuple[Path, ...]:
    """What must be readable for the program to start: it, its Python, its code."""
    return program(), Path(os.path.realpath(sys.executable)), _CODE / "cli.py"


def needs_of(context: Context, entry: ServedDatabase) -> Needs:
    """Where the service must write for this database, links followed."""
    package = Path(os.path.realpath(entry.package))
    try:
        layout = context.layout(entry.package, entry.data_file)
        destination = Path(os.path.realpath(context.destination(layout)))
    except (SettingsError, RefusedError) as error:
        folders = writable_folders(package, None)
        why = (
            f"{entry.package}: its backup folder is not known, so it may not be written to: {error}"
        )
        return Needs(package, folders, (why, "when that is put right, install again"))
    folders = writable_folders(package, destination)
    if entry.drill is not None:
        folders = (*folders, entry.drill.scratch)
    return Needs(package, tuple(Path(os.path.realpath(folder)) for folder in folders), ())


def enabled_units(units: Path) -> list[str]:
    """Our units that are started at boot."""
    links = units.glob("*.wants/backup4d*.service")  # with a star: a link that leads nowhere counts
    return sorted({link.name for link in links if link.name.startswith((MAIN, "backup4d@"))})
