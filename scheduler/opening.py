"""What an opening check goes by: the data file that is meant, the settings in force, the backup folder."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError
from engine.lock import memory_of
from engine.openrecord import Look
from engine.plan import check_mounted, resolve_destination, was_separate
from engine.sets import StoredSet, take_inventory
from scheduler.context import Context
from scheduler.restore_choice import choose
from scheduler.settings_source import last_good_file
from settings.errors import SettingsError
from settings.layout import DatabaseLayout
from settings.model import Settings
from settings.reader import load_settings


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings ask for. `restores` needs settings that can be read: nobody is restored without being told.

    `destination` is None when it cannot be told or reached; `problem` says why then. `notes` say what is not as
    usual with the settings.
    """

    restores: bool
    restarts: bool
    integrates: bool
    strictness: str
    destination: Path | None
    problem: EngineError | None
    notes: tuple[str, ...] = ()


def layout_meant(
    context: Context, database: Path, data_file: Path | None, look: Look | None
) -> DatabaseLayout:
    """The database; when its data file is gone, the one that was there at the last look, or that its sets name."""
    layout = context.layout(database, data_file, needs_settings=False)
    if data_file is not None or layout.data_file.exists() or layout.data_file.is_symlink():
        return layout
    if look is not None:
        return context.layout(database, look.data_file, needs_settings=False)
    with suppress(EngineError, SettingsError, OSError):
        choice = choose(context, database, number=None, until=None, data_file=None, anyway=False)
        return choice.layout or layout
    return layout


def load_policy(context: Context, layout: DatabaseLayout) -> Policy:
    """The settings as they are now, else the last good ones of the service, else none."""
    settings, notes = _settings(context, layout)
    if settings is None:
        destination, problem = _reachable(_remembered(layout), layout)
        return Policy(False, True, True, "strict", destination, problem, notes)
    try:
        wanted = resolve_destination(layout, settings, context.service.path_map)
        destination, problem = _reachable(wanted, layout)
    except EngineError as error:
        destination, problem = None, error
    return Policy(
        settings.automatic_restore,
        settings.automatic_restart,
        settings.automatic_log_integration,
        settings.strictness,
        destination,
        problem,
        notes,
    )


def sets_at(policy: Policy, layout: DatabaseLayout) -> tuple[StoredSet, ...]:
    """The sets there are, none when they cannot be looked at."""
    if policy.destination is None:
        return ()
    with suppress(OSError):
        data_file = layout.data_file
        return take_inventory(policy.destination, data_file.stem, data_file).sets
    return ()


def _settings(context: Context, layout: DatabaseLayout) -> tuple[Settings | None, tuple[str, ...]]:
    try:
        return load_settings(layout.settings_file).settings, ()
    except (SettingsError, OSError) as error:
        problem = f"the settings cannot be used: {error}"
    state_folder = context.at_home_of(layout.package).environment.state_folder
    try:
        settings = load_settings(last_good_file(state_folder, layout)).settings
    except (SettingsError, OSError):
        note = f"{problem}; nothing is restored automatically until they can be read"
        return None, (note,)
    return settings, (f"{problem}; the last good ones of the service count",)


def _reachable(
    destination: Path | None, layout: DatabaseLayout
) -> tuple[Path | None, EngineError | None]:
    if destination is None:
        return None, None
    try:
        memory = memory_of(layout)
    except OSError:
        memory = {}
    try:
        # one that is not there at all is met, and told, by whoever looks for sets in it
        with suppress(OSError):
            check_mounted(destination, layout.package, separate=was_separate(memory, destination))
    except EngineError as error:
        return None, error
    return destination, None


def _remembered(layout: DatabaseLayout) -> Path | None:
    """The backup folder of the last good backup."""
    with suppress(OSError):
        folder = memory_of(layout).get("destination")
        return Path(folder) if isinstance(folder, str) else None
    return None
