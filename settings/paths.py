"""Paths as 4D writes them, and where they are on this machine; the disk is never looked at (spec 8)."""

import re
from dataclasses import dataclass
from pathlib import Path

from settings.errors import UnmappedPathError, UnusablePathError
from settings.model import ForeignKind, ForeignPath, HostPath, PackagePath, SettingsPath

_LONGEST = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVE = re.compile(r"([A-Za-z]:)(?:[\\/](.*))?", re.DOTALL)
_RELATIVE = re.compile(r"\.{1,2}(?:[\\/]|$)")
_UNC = re.compile(r"[\\/]{2}([^\\/]+)[\\/]+([^\\/]+)(.*)", re.DOTALL)
_BOTH = re.compile(r"[\\/]+")


@dataclass(frozen=True, slots=True)
class PathMap:
    """The service file's path map: (prefix in the other machine's syntax, folder of this machine)."""

    entries: tuple[tuple[str, str], ...] = ()


def parse_path(raw: str) -> SettingsPath:
    """Tell what kind of path the text is; ValueError says why it is none."""
    _refuse_text(raw)
    # the lone / of v13 files is the package folder, never the top of the file system
    if raw == "/" or _RELATIVE.match(raw):
        return _parse_relative(raw)
    if raw.startswith(("\\\\", "//")):
        return _parse_unc(raw)
    if raw.startswith("/"):
        return _parse_host(raw)
    if drive := _DRIVE.fullmatch(raw):
        return _foreign(ForeignKind.WINDOWS, drive[1], drive[2] or "", raw)
    return _parse_hfs(raw) if ":" in raw else _parse_relative(raw)


def resolve_path(path: SettingsPath, package: Path, path_map: PathMap) -> Path:
    """Return the absolute path on this machine; a path of another machine needs an entry of the map."""
    mapped = _mapped(path, path_map)
    if mapped is not None:
        return mapped
    match path:
        case PackagePath(parts=parts):
            return _climbed(path, (*package.parts[1:], *parts))
        case HostPath(path=text):
            return _climbed(path, tuple(text.split("/")))
        case ForeignPath():
            raise UnmappedPathError(path)


def _refuse_text(raw: str) -> None:
    if not raw.strip():
        raise ValueError("the path is empty")
    if raw != raw.strip():
        raise ValueError("the path starts or ends with a blank or a line end")
    if _CONTROL.search(raw):
        raise ValueError("the path holds control characters or line ends")
    if len(raw) > _LONGEST:
        raise ValueError(f"the path is longer than {_LONGEST} characters")
    if _URL.match(raw):
        raise ValueError("this is a URL, not a path; mount the place and name its folder")
    if raw.startswith("~") or (raw.startswith("\\") and not raw.startswith("\\\\")):
        raise ValueError("the path does not say which drive or whose folder it starts from")


def _parse_relative(raw: str) -> PackagePath:
    parts = tuple(part for part in _BOTH.split(raw) if part not in {"", "."})
    folder = raw.endswith(("/", "\\")) or not parts or parts[-1] == ".."
    return PackagePath(parts, folder, raw)


def _parse_host(raw: str) -> HostPath:
    if "\\" in raw:
        raise ValueError(r"the path mixes / and \; write it with / only")
    parts = [part for part in raw.split("/") if part not in {"", "."}]
    if not parts:
        raise ValueError("this is the top folder of the whole machine; name a folder below it")
    return HostPath("/" + "/".join(parts), raw.endswith("/"), raw)


def _parse_unc(raw: str) -> ForeignPath:
    found = _UNC.fullmatch(raw)
    if found is None or found[1] in {"?", "."}:
        raise ValueError(r"a network path needs a server and a share: \\server\share")
    return _foreign(ForeignKind.UNC, f"\\\\{found[1]}\\{found[2]}", found[3], raw)


def _foreign(kind: ForeignKind, root: str, below: str, raw: str) -> ForeignPath:
    parts = tuple(part for part in _BOTH.split(below) if part not in {"", "."})
    folder = not parts or raw.endswith(("\\", "/"))
    return ForeignPath(kind, root, parts, folder, raw)


def _parse_hfs(raw: str) -> ForeignPath:
    volume, *parts = raw.split(":")
    folder = parts[-1] == ""
    names = tuple(parts[:-1] if folder else parts)
    if not volume or "" in names or not {".", ".."}.isdisjoint(names):
        raise ValueError("a Mac path starts with a volume name and has no empty or dotted parts")
    if "\\" in raw:
        raise ValueError(r"the path mixes : and \; it is neither a Mac nor a Windows path")
    return ForeignPath(ForeignKind.HFS, volume, names, folder, raw)


def _mapped(path: SettingsPath, path_map: PathMap) -> Path | None:
    """The longest matching entry wins; components are compared whole."""
    names = _components(path)
    best: tuple[int, str] = (0, "")
    for source, target in path_map.entries:
        prefix = parse_path(source)
        length = len(_components(prefix))
        if length > best[0] and _compared(path)[: length + 1] == _compared(prefix):
            best = (length, target)
    if not best[0]:
        return None
    rest = names[best[0] :]
    if isinstance(path, ForeignPath) and path.kind is ForeignKind.HFS:
        # macOS shows a slash inside a name where POSIX has a colon
        rest = tuple(part.replace("/", ":") for part in rest)
    return Path(best[1], *rest)


def _components(path: SettingsPath) -> tuple[str, ...]:
    """The path from its root, `..` worked out first, so that no `..` leaves a mapped folder."""
    match path:
        case PackagePath():
            return ()
        case HostPath(path=text):
            return ("/", *_climb(path, tuple(text.split("/"))))
        case ForeignPath(root=root, parts=parts):
            return (root, *_climb(path, parts))


def _compared(path: SettingsPath) -> tuple[str, ...]:
    names = _components(path)
    if isinstance(path, ForeignPath):
        return (path.kind.value, *(name.casefold() for name in names))
    return ("this machine", *names)


def _climbed(path: SettingsPath, parts: tuple[str, ...]) -> Path:
    return Path("/", *_climb(path, parts))


def _climb(path: SettingsPath, parts: tuple[str, ...]) -> tuple[str, ...]:
    done: list[str] = []
    for part in parts:
        if part == "..":
            if not done:
                raise UnusablePathError(path)
            done.pop()
        elif part:
            done.append(part)
    return tuple(done)
