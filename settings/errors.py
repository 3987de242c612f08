"""What can go wrong with settings, one class per decision of the caller."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from settings.model import Finding, ForeignKind, ForeignPath, SettingsPath, Severity

_LONGEST_SHOWN = 80
_MOST_SHOWN = 10


class SettingsError(Exception):
    """Something about the settings stops the work; `hint` says what to do, empty when the sentence does."""

    hint = ""


class SettingsRefusedError(SettingsError):
    """The file holds something that must not be guessed at; nothing in it is used."""

    def __init__(self, file: Path, findings: Iterable[Finding]) -> None:
        self.file = file
        self.findings = tuple(sorted(findings, key=lambda f: f.severity is not Severity.ERROR))
        errors = [f for f in self.findings if f.severity is Severity.ERROR]
        lines = [describe_finding(file, f) for f in errors[:_MOST_SHOWN]]
        if len(errors) > _MOST_SHOWN:
            lines.append(f"and {len(errors) - _MOST_SHOWN} more")
        super().__init__("\n".join(lines))


class SettingsNotFoundError(SettingsError):
    """No settings file, data file or database is where one was looked for."""

    def __init__(self, what: str, places: Iterable[Path]) -> None:
        self.places = tuple(places)
        looked = ", ".join(str(p) for p in self.places)
        super().__init__(f"{what}; looked at: {looked}")


class UnknownKeyError(SettingsError):
    """The name of a key means nothing, or more than one key."""

    def __init__(self, name: str, near: Iterable[str], why: str) -> None:
        self.name = name
        self.near = tuple(near)
        hint = f". Did you mean {', '.join(self.near)}?" if self.near else ""
        super().__init__(f"{name!r} {why}{hint}")


class SettingsChangedError(SettingsError):
    """Somebody else wrote the file while a change was being prepared; nothing was written."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file} was changed by somebody else meanwhile. Try again")
        self.file = file


class AmbiguousDataFileError(SettingsError):
    """Several data files could be meant; the service file or the command line must name one."""

    def __init__(self, package: Path, candidates: Iterable[Path]) -> None:
        self.package = package
        self.candidates = tuple(candidates)
        names = ", ".join(str(c) for c in self.candidates)
        super().__init__(
            f"{package} holds several data files: {names}. Name one in the service file: "
            f"<Database><Package>{escape(str(package), quote=False)}</Package>"
            f"<DataFile>{escape(str(self.candidates[0]), quote=False)}</DataFile></Database>"
        )


class UnusablePathError(SettingsError):
    """A path whose `..` parts climb above the top of the file system."""

    def __init__(self, path: SettingsPath) -> None:
        super().__init__(f"path '{path.raw}' climbs above the top folder. Remove the '..' parts")
        self.path = path


class UnmappedPathError(SettingsError):
    """A path of another machine that no line of the service file's path map covers."""

    def __init__(self, path: ForeignPath) -> None:
        self.path = path
        source = escape(_folder_of(path), quote=False)
        super().__init__(
            f"'{path.raw}' is a {path.kind.value} path of another machine. Say where it is on this "
            "one, in the service file inside <Backup4DService>:\n"
            "<PathMap>\n"
            f"  <Map><From>{source}</From><To>/folder/on/this/machine/</To></Map>\n"
            "</PathMap>"
        )


def describe_finding(file: Path, finding: Finding) -> str:
    """Say where, what was read and what to do, on one line."""
    where = f"{file}" if finding.line is None else f"{file}, line {finding.line}"
    element = f": {finding.element}" if finding.element else ""
    read = f": read {_shortened(finding.read)}" if finding.read or finding.element else ""
    used = f" (used: {finding.used})" if finding.used else ""
    return f"{where}{element}{read}: {finding.why}{used}"


def _shortened(text: str) -> str:
    if len(text) > _LONGEST_SHOWN:
        return repr(text[:_LONGEST_SHOWN]) + "..."
    return repr(text)


def _folder_of(path: ForeignPath) -> str:
    parts = path.parts if path.folder else path.parts[:-1]
    separator = ":" if path.kind is ForeignKind.HFS else "\\"
    return separator.join((path.root, *parts)) + separator
