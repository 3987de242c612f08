"""Reads the host's own small XML: databases, zone, path map, hooks, limits, drills, log shipping. Ours, so everything is strict."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import time, timedelta
from pathlib import Path, PurePosixPath
from typing import TypeVar
from zoneinfo import ZoneInfo

from settings.errors import SettingsRefusedError
from settings.model import Finding, ForeignPath, HostPath, Severity
from settings.paths import PathMap, parse_path
from settings.service_model import (
    ArchiveFormat,
    Drill,
    Hook,
    Hooks,
    Limits,
    LogShipping,
    Scrub,
    ServedDatabase,
    ServiceFile,
    Window,
)
from settings.source import load_bytes
from settings.tree import Node, parse_tree

T = TypeVar("T")
ROOT = "Backup4DService"
# ASCII digits only: \d takes those of every script
_DURATION = re.compile(r"([0-9]{1,3}):([0-5][0-9]):([0-5][0-9])")
_COUNT = re.compile(r"[1-9][0-9]?")
_DAYS = re.compile(r"[0-9]{1,4}")
_LAG = re.compile(r"[0-9]{1,4}")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
# for the whole host, and for one database
_OF_EACH = ("Hooks", "Drill", "Scrub", "LogShipping", "ArchiveFormat")
_MEBIBYTES = re.compile(r"[1-9][0-9]{0,11}")


class _BadNodeError(Exception):
    def __init__(self, path: str, node: Node, why: str) -> None:
        super().__init__(why)
        self.finding = Finding(Severity.ERROR, path, node.line, node.text.strip(), "", why)


@dataclass(frozen=True, slots=True)
class _Block:
    """One element with its path, for messages."""

    path: str
    node: Node

    def only(self, *names: str) -> None:
        """Refuse children other than these, and text between them."""
        for child in self.node.children:
            if child.name not in names:
                why = f"unknown key; allowed here: {', '.join(names)}"
                raise _BadNodeError(f"{self.path}/{child.name}", child, why)
        if self.node.text.strip():
            raise _BadNodeError(
                self.path, self.node, f"text is not allowed here, only {', '.join(names)}"
            )

    def all(self, name: str) -> list["_Block"]:
        """Return the children of that name."""
        return [_Block(f"{self.path}/{name}", c) for c in self.node.children if c.name == name]

    def one(self, name: str) -> "_Block | None":
        """Return the only child of that name; None when there is none."""
        found = self.all(name)
        if len(found) > 1:
            raise found[1].bad(f"this is there twice, first on line {found[0].node.line}. Keep one")
        return found[0] if found else None

    def needed(self, name: str) -> "_Block":
        """Return the only child of that name, which must be there."""
        found = self.one(name)
        if found is None:
            raise self.bad(f"<{name}> is missing here. Add it")
        return found

    def value(self, parse: Callable[[str], T]) -> T:
        """Return the text as a value; ValueError's words become the reason."""
        if self.node.children:
            raise self.bad("elements are not allowed here, only text")
        try:
            return parse(self.node.text.strip())
        except ValueError as error:
            raise self.bad(str(error)) from None

    def bad(self, why: str) -> _BadNodeError:
        """Build the refusal of this element."""
        return _BadNodeError(self.path, self.node, why)


def load_service_file(file: Path) -> ServiceFile:
    """Read the service file from the disk; SettingsNotFoundError when it is absent."""
    return parse_service_file(load_bytes(file), file)


def parse_service_file(data: bytes, file: Path) -> ServiceFile:
    """Return what the file says, or refuse it at its first mistake."""
    root = parse_tree(data, file)
    try:
        return _read_service(_Block("", root), file)
    except _BadNodeError as error:
        finding = error.finding
        element = finding.element.strip("/") or root.name
        refused = Finding(Severity.ERROR, element, finding.line, finding.read, "", finding.why)
        raise SettingsRefusedError(file, [refused]) from None


def _read_service(root: _Block, file: Path) -> ServiceFile:
    if root.node.name != ROOT:
        raise root.bad(f"the root element of a service file is {ROOT}")
    root.only("TimeZone", "Databases", "PathMap", "Limits", *_OF_EACH)
    zone = root.one("TimeZone")
    general = ServiceFile(
        file=file,
        zone=zone.value(_parse_zone) if zone else None,
        path_map=_read_map(root.one("PathMap")),
        hooks=_read_hooks(root.one("Hooks")),
        limits=_read_limits(root.one("Limits")),
        drill=_read_drill(root.one("Drill"), None),
        scrub=_read_scrub(root.one("Scrub"), None),
        shipping=_read_shipping(root.one("LogShipping"), None),
        archives=_read_format(root.one("ArchiveFormat"), ArchiveFormat.TAR),
    )
    service = replace(general, databases=_read_databases(root.one("Databases"), general))
    _check_scratches(root, service)
    return service


def _read_databases(block: _Block | None, general: ServiceFile) -> tuple[ServedDatabase, ...]:
    if block is None:
        return ()
    block.only("Database")
    databases: list[ServedDatabase] = []
    for entry in block.all("Database"):
        entry.only("Package", "DataFile", *_OF_EACH)
        package = entry.needed("Package").value(_parse_host_path)
        data = entry.one("DataFile")
        data_file = data.value(_parse_host_path) if data else None
        database = ServedDatabase(
            package,
            data_file,
            _read_hooks(entry.one("Hooks")).over(general.hooks),
            _read_drill(entry.one("Drill"), general.drill),
            _read_scrub(entry.one("Scrub"), general.scrub),
            _read_shipping(entry.one("LogShipping"), general.shipping),
            _read_format(entry.one("ArchiveFormat"), general.archives),
        )
        if any(_same_database(database, other) for other in databases):
            raise entry.bad(f"database {package} is there twice. Keep one")
        databases.append(database)
    return tuple(databases)


def _same_database(one: ServedDatabase, other: ServedDatabase) -> bool:
    # one package can serve several data files, but only when each is named
    unnamed = one.data_file is None or other.data_file is None
    return one.package == other.package and (unnamed or one.data_file == other.data_file)


def _read_hooks(block: _Block | None) -> Hooks:
    if block is None:
        return Hooks()
    block.only("Startup", "Guard", "Shutdown")
    return Hooks(
        _read_hook(block.one("Startup")),
        _read_hook(block.one("Guard")),
        _read_hook(block.one("Shutdown")),
    )


def _read_hook(block: _Block | None) -> Hook | None:
    if block is None:
        return None
    block.only("Program", "Argument", "TimeLimit")
    program = block.needed("Program").value(_parse_host_path)
    arguments = tuple(entry.value(_parse_argument) for entry in block.all("Argument"))
    limit = block.one("TimeLimit")
    if limit is None:
        return Hook(program, arguments)
    return Hook(program, arguments, limit.value(_parse_duration))


def _read_limits(block: _Block | None) -> Limits:
    usual = Limits()
    if block is None:
        return usual
    block.only("RunsPerDevice", "HungAfter", "OverlongAfter", "ReadMiBPerSecond", "TakeOver")
    runs, rate, take = (
        block.one(name) for name in ("RunsPerDevice", "ReadMiBPerSecond", "TakeOver")
    )
    hung, overlong = block.one("HungAfter"), block.one("OverlongAfter")
    return Limits(
        runs.value(_parse_runs) if runs else usual.runs_per_device,
        hung.value(_parse_duration) if hung else usual.hung_after,
        overlong.value(_parse_duration) if overlong else usual.overlong_after,
        rate.value(_parse_mebibytes) if rate else usual.read_rate,
        take.value(_parse_truth) if take else usual.take_over,
    )


def _read_drill(block: _Block | None, usual: Drill | None) -> Drill | None:
    if block is None:
        return usual
    block.only("EveryDays", "Window", "Scratch", "RoomLimitMiB", "Check")
    every = block.needed("EveryDays").value(_parse_days)
    limit, scratch = block.one("RoomLimitMiB"), block.one("Scratch")
    if not every and scratch is None:
        return None
    drill = Drill(
        every,
        block.needed("Scratch").value(_parse_host_path),
        _read_window(block.one("Window")),
        limit.value(_parse_mebibytes) if limit else None,
        _read_hook(block.one("Check")),
    )
    return drill if every else None


def _read_scrub(block: _Block | None, usual: Scrub | None) -> Scrub | None:
    if block is None:
        return usual
    block.only("AfterDays", "Window")
    after = block.needed("AfterDays").value(_parse_days)
    window = _read_window(block.one("Window"))
    return Scrub(after, window) if after else None


def _read_shipping(block: _Block | None, usual: LogShipping | None) -> LogShipping | None:
    if block is None:
        return usual
    block.only("LagSeconds")
    given = block.one("LagSeconds")
    lag = given.value(_parse_lag) if given else LogShipping().lag
    return LogShipping(lag) if lag else None


def _read_format(block: _Block | None, usual: ArchiveFormat) -> ArchiveFormat:
    return usual if block is None else block.value(_parse_format)


def _read_window(block: _Block | None) -> Window | None:
    if block is None:
        return None
    block.only("From", "To")
    window = Window(
        block.needed("From").value(_parse_clock), block.needed("To").value(_parse_clock)
    )
    if window.begins == window.ends:
        raise block.bad("From and To are the same; leave <Window> out for the whole day")
    return window


def _check_scratches(root: _Block, service: ServiceFile) -> None:
    """What a drill writes must never lie in an application; the backup folders are looked at when it begins."""
    entries = root.one("Databases")
    places = [root, *(entries.all("Database") if entries else [])]
    for drill in (drill for place in places for drill in place.all("Drill")):
        for scratch in drill.all("Scratch"):
            folder = scratch.value(_parse_host_path)
            for database in service.databases:
                if folder.is_relative_to(database.package):
                    raise scratch.bad(
                        f"this lies in the application {database.package}; name a folder outside it"
                    )


def _read_map(block: _Block | None) -> PathMap:
    if block is None:
        return PathMap()
    block.only("Map")
    entries: dict[str, tuple[str, str]] = {}
    for entry in block.all("Map"):
        entry.only("From", "To")
        source = entry.needed("From").value(_parse_prefix)
        target = entry.needed("To").value(_parse_host_path)
        if source.casefold().rstrip("\\/:") in entries:
            raise entry.bad(f"{source} is mapped twice. Keep one")
        entries[source.casefold().rstrip("\\/:")] = (source, str(target))
    return PathMap(tuple(entries.values()))


def _parse_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError("this time zone is not known; write a name as Europe/Paris") from None
    return text


def _parse_host_path(text: str) -> Path:
    path = PurePosixPath(text)
    if (
        not path.is_absolute()
        or ".." in path.parts
        or not text.isprintable()
        or len(path.parts) < 2
    ):
        raise ValueError("a full path of this machine is needed, as /srv/app, without '..'")
    return Path("/", *path.parts[1:])


def _parse_argument(text: str) -> str:
    if not text.isprintable():
        raise ValueError("one line of text is needed")
    return text


def _parse_duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("a length of time is needed, as 00:30:00 for half an hour")
    hours, minutes, seconds = (int(part) for part in found.groups())
    length = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if not length:
        raise ValueError("this must be longer than no time at all")
    return length


def _parse_runs(text: str) -> int:
    if _COUNT.fullmatch(text) is None:
        raise ValueError("a number from 1 to 99 is needed")
    return int(text)


def _parse_truth(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError("True or False is needed")
    return text == "True"


def _parse_format(text: str) -> ArchiveFormat:
    try:
        return ArchiveFormat(text)
    except ValueError:
        raise ValueError("tar (backup4d's own archives) or 4BK (those of 4D) is needed") from None


def _parse_days(text: str) -> timedelta:
    if _DAYS.fullmatch(text) is None:
        raise ValueError("a number of days from 0 to 9999 is needed; 0 is never")
    return timedelta(days=int(text))


def _parse_lag(text: str) -> timedelta:
    if _LAG.fullmatch(text) is None or int(text) > 3600:
        raise ValueError("a number of seconds from 0 to 3600 is needed; 0 is never")
    return timedelta(seconds=int(text))


def _parse_clock(text: str) -> time:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError("a time of day is needed, from 00:00 to 23:59")
    return time(int(found[1]), int(found[2]))


def _parse_mebibytes(text: str) -> int:
    if _MEBIBYTES.fullmatch(text) is None:
        raise ValueError("a number of mebibytes is needed, as 50000; leave it out for no limit")
    return int(text) << 20


def _parse_prefix(text: str) -> str:
    path = parse_path(text)
    if not isinstance(path, HostPath | ForeignPath):
        raise ValueError(  # noqa: TRY004  the caller turns ValueError into a refusal
            "a full path of the other machine is needed, as C:\\Backups\\"
        )
    return text
