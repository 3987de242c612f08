"""What every command needs to know of this machine, and how it finds the database it was asked about."""

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from engine.errors import MissingSetError
from engine.host import Clock, HostClock
from engine.lock import memory_of
from engine.plan import check_mounted, resolve_destination, was_separate
from engine.sets import Inventory, StoredSet, take_inventory
from scheduler.bare_sets import sets_hint
from scheduler.environment import Environment, find_host_zone, read_environment
from scheduler.instance import SERVICE_LOCK, instance_folder
from scheduler.screen import warn
from settings.errors import SettingsError, SettingsNotFoundError
from settings.layout import DatabaseLayout
from settings.locate import locate_database
from settings.reader import load_settings
from settings.service_file import load_service_file
from settings.service_model import Hooks, ServedDatabase, ServiceFile


@dataclass(frozen=True, slots=True)
class Context:
    """Environment, service file, zone and clock of one command.

    `problem` says why the service file cannot be used, None when it can; only who asks for it meets one.
    """

    environment: Environment
    service: ServiceFile
    zone: ZoneInfo
    clock: Clock
    problem: str | None = None

    def at_home_of(self, package: Path) -> "Context":
        """The context of the service that serves this package alone, where there is one (`backup4d@.service`)."""
        state, runtime = self.environment.home
        folder = instance_folder(state, package)
        try:
            (folder / SERVICE_LOCK).lstat()
        except OSError:
            return self
        runtime = instance_folder(runtime, package)
        environment = replace(self.environment, state_folder=folder, runtime_folder=runtime)
        return replace(self, environment=environment)

    def layout(
        self, database: Path, data_file: Path | None, *, needs_settings: bool = True
    ) -> DatabaseLayout:
        """Find a database; the service file may name its data file. Raises SettingsError."""
        known = data_file or self._known_data_file(database.absolute())
        try:
            return locate_database(database, known, needs_settings=needs_settings)
        except SettingsNotFoundError as error:
            error.hint = sets_hint(database)
            raise

    def _known_data_file(self, package: Path) -> Path | None:
        return next((entry.data_file for entry in self._entries(package)), None)

    def _entries(self, package: Path) -> tuple[ServedDatabase, ...]:
        """What the service file says of a package: one entry for each data file it names."""
        return tuple(entry for entry in self.service.databases if entry.package == package)

    def hooks(self, layout: DatabaseLayout) -> Hooks:
        """The programs to run around a backup of this database."""
        return self.entry(layout).hooks

    def entry(self, layout: DatabaseLayout) -> ServedDatabase:
        """What is asked for this database: of its own, else of the whole host."""
        for entry in self._entries(layout.package):
            if entry.data_file in (None, layout.data_file):
                return entry
        return self._unlisted(layout.package)

    def _unlisted(self, package: Path) -> ServedDatabase:
        """A database that the service file does not name: what is asked for the whole host."""
        host = self.service
        chores = (host.drill, host.scrub, host.shipping)
        return ServedDatabase(package, None, host.hooks, *chores, host.archives)

    def served(self, databases: tuple[Path, ...]) -> tuple[ServedDatabase, ...]:
        """The databases named, else those of the service file; a folder may be absent now and come later."""
        if not databases:
            return self.service.databases
        # named twice, a database would be served twice
        named = [entry for database in databases for entry in self._served(database.absolute())]
        return tuple(dict.fromkeys(named))

    def _served(self, database: Path) -> tuple[ServedDatabase, ...]:
        package = self.layout(database, None).package if database.is_file() else database
        return self._entries(package) or (self._unlisted(package),)

    def destination(self, layout: DatabaseLayout) -> Path:
        """Where the sets of a database are. Raises SettingsError, RefusedError."""
        settings = load_settings(layout.settings_file).settings
        return resolve_destination(layout, settings, self.service.path_map)

    def inventory(self, layout: DatabaseLayout) -> Inventory:
        """The sets of a database. Raises SettingsError, EngineError."""
        destination = self.destination(layout)
        try:
            return look_for_sets(layout, destination)
        except OSError as error:
            raise MissingSetError(
                f"the backup folder {destination} cannot be read: {error.strerror}",
                hint="check that its volume is mounted",
            ) from error


def look_for_sets(layout: DatabaseLayout, destination: Path) -> Inventory:
    """The sets of a database in its destination. Raises DestinationError when that is not mounted, OSError."""
    memory = memory_of(layout)
    check_mounted(destination, layout.package, separate=was_separate(memory, destination))
    return take_inventory(destination, layout.data_file.stem, layout.data_file)


def make_context(
    environment: Environment, service_file: Path | None, *, tolerant: bool = False
) -> Context:
    """Read the service file named, else the system's when there is one. Raises SettingsError, unless `tolerant`."""
    service, problem = ServiceFile(), None
    try:
        service = load_service_file(service_file or environment.service_file)
    except SettingsError as error:
        is_absent = isinstance(error, SettingsNotFoundError) and service_file is None
        if not is_absent:
            problem = str(error)
            service = ServiceFile(file=service_file or environment.service_file)
        if problem is not None and not tolerant:
            raise
    zone = ZoneInfo(service.zone) if service.zone else find_host_zone() or ZoneInfo("UTC")
    return Context(environment, service, zone, HostClock(), problem)


class LazyContext:
    """The context is made when a command asks for it, so that errors in the service file are told like others."""

    def __init__(self, service_file: Path | None, state_folder: Path | None) -> None:
        self._service_file = service_file
        self._state_folder = state_folder

    def context(self, *, tolerant: bool = False) -> Context:
        """Read environment and service file. Raises SettingsError, unless `tolerant`."""
        environment = read_environment(state_folder=self._state_folder)
        return make_context(environment, self._service_file, tolerant=tolerant)


def context_of(ctx: click.Context, *, tolerant: bool = False) -> Context:
    """The context of the running command; a `tolerant` one works with a broken service file, too."""
    lazy = ctx.obj
    assert isinstance(lazy, LazyContext)  # noqa: S101 - the top command has set it
    return lazy.context(tolerant=tolerant)


def choose_set(inventory: Inventory, number: int | None) -> StoredSet:
    """The set with this number, or the newest. Raises MissingSetError."""
    if not inventory.sets and inventory.unreadable:
        name, why = inventory.unreadable[-1]
        raise MissingSetError(
            f"none of the sets in the backup folder can be used; the newest, {name}: {why}",
            hint="nothing is lost yet: find out why first; docs/restore-by-hand.md needs no manifest",
        )
    if not inventory.sets:
        raise MissingSetError(
            "this database has no set in its backup folder",
            hint="backup4d list shows what is there; backup4d backup makes one now",
        )
    if number is None:
        return inventory.sets[-1]
    for stored in inventory.sets:
        if stored.number == number:
            return stored
    there = ", ".join(str(stored.number) for stored in inventory.sets)
    raise MissingSetError(f"there is no set {number}", hint=f"the sets are {there}")


def choose_set_until(inventory: Inventory, until: datetime, zone: ZoneInfo) -> StoredSet:
    """The newest complete set that was finished by then: nothing in it is later. Raises MissingSetError.

    By the dates, as a person reads them in a list; when these contradict the numbers, that is said.
    """
    finished = [s for s in inventory.sets if s.facts.complete and s.facts.ended <= until]
    if finished:
        _warn_of_clock(inventory.sets, zone)
        return max(finished, key=lambda stored: (stored.facts.ended, stored.number))
    choose_set(inventory, None)  # says that there is none at all
    oldest = inventory.sets[0].facts.ended.astimezone(zone)
    raise MissingSetError(
        f"no complete set was finished by {until.astimezone(zone):%Y-%m-%d %H:%M:%S}",
        hint=f"the oldest set is of {oldest:%Y-%m-%d %H:%M:%S}; backup4d list shows all",
    )


def _warn_of_clock(sets: tuple[StoredSet, ...], zone: ZoneInfo) -> None:
    for earlier, later in pairwise(sets):
        if later.facts.ended < earlier.facts.ended:
            first, then = (s.facts.ended.astimezone(zone) for s in (earlier, later))
            warn(
                f"the clock went back between set {earlier.number} ({first:%Y-%m-%d %H:%M:%S}) and set"
                f" {later.number} ({then:%Y-%m-%d %H:%M:%S}): one of the two was made with a wrong clock;"
                " look at backup4d list, and choose with --set when it matters"
            )
