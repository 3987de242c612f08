"""The host's own small XML: databases to serve, time zone, path map. Our format, so everything is strict."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar
from zoneinfo import ZoneInfo

from settings.errors import SettingsRefusedError
from settings.model import Finding, ForeignPath, HostPath, Severity
from settings.paths import PathMap, parse_path
from settings.source import load_bytes
from settings.tree import Node, parse_tree

T = TypeVar("T")
ROOT = "Backup4DService"


@dataclass(frozen=True, slots=True)
class ServedDatabase:
    """One database to serve; `data_file` is None when it is found by itself."""

    package: Path
    data_file: Path | None


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """What the service file says; `file` is None when there is none, `zone` None for the host's zone."""

    file: Path | None = None
    zone: str | None = None
    databases: tuple[ServedDatabase, ...] = ()
    path_map: PathMap = field(default_factory=PathMap)


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
    root.only("TimeZone", "Databases", "PathMap")
    zone = root.one("TimeZone")
    return ServiceFile(
        file=file,
        zone=zone.value(_parse_zone) if zone else None,
        databases=_read_databases(root.one("Databases")),
        path_map=_read_map(root.one("PathMap")),
    )


def _read_databases(block: _Block | None) -> tuple[ServedDatabase, ...]:
    if block is None:
        return ()
    block.only("Database")
    databases: list[ServedDatabase] = []
    for entry in block.all("Database"):
        entry.only("Package", "DataFile")
        package = entry.needed("Package").value(_parse_host_path)
        data = entry.one("DataFile")
        database = ServedDatabase(package, data.value(_parse_host_path) if data else None)
        if any(_same_database(database, other) for other in databases):
            raise entry.bad(f"database {package} is there twice. Keep one")
        databases.append(database)
    return tuple(databases)


def _same_database(one: ServedDatabase, other: ServedDatabase) -> bool:
    # one package can serve several data files, but only when each is named
    unnamed = one.data_file is None or other.data_file is None
    return one.package == other.package and (unnamed or one.data_file == other.data_file)


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


def _parse_prefix(text: str) -> str:
    path = parse_path(text)
    if not isinstance(path, HostPath | ForeignPath):
        raise ValueError(  # noqa: TRY004  the caller turns ValueError into a refusal
            "a full path of the other machine is needed, as C:\\Backups\\"
        )
    return text
