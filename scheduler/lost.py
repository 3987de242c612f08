"""What the service remembers of a database whose application is gone: how its last backup ended, where its sets are."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scheduler.context import Context
from scheduler.state import LastRun, StateError, load_state
from settings.errors import SettingsError
from settings.paths import resolve_path
from settings.reader import load_settings


@dataclass(frozen=True, slots=True)
class Lost:
    """`last` is None before the first run."""

    last: LastRun | None
    destination: Path


def recall_lost(context: Context, package: Path) -> Lost | None:
    """By its state and its last good settings; None when nothing is remembered."""
    folder = context.at_home_of(package).environment.state_folder
    with suppress(OSError, StateError, SettingsError):
        for file in sorted(folder.glob("*.json")):
            state = load_state(file)
            if state is None or state.package != str(package):
                continue
            settings = load_settings(file.with_suffix(".4DSettings")).settings
            destination = resolve_path(settings.destination, package, context.service.path_map)
            return Lost(state.last, destination)
    return None
