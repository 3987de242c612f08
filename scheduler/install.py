"""What installing and uninstalling the service write and remove, decided from values; and the steps that do it.

Written are the two units and a drop-in beside each that is used; the first line of each holds the digest of the
rest. So a file of ours that nobody touched is brought up to date, and one edited by hand is left alone: what would
have been written then lies beside it as `.new`, which systemd does not read. The service file is written once and
is the administrator's from then on.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from engine.errors import Code, RefusedError
from engine.files import fsync_folder, read_regular, replacing
from scheduler.instance import TEMPLATE, instance_unit

MAIN = "backup4d.service"
UNIT_FOLDER = Path("etc/systemd/system")
SHIPPED_PROGRAM = "/opt/backup4d/bin/backup4d"
_DROP_IN = "10-backup4d.conf"
_BESIDE = ".new"
_STAMP = "# written by `backup4d install-service`, which knows its own files by this line: "
_LIMIT = 1 << 20
# with PrivateTmp= there is a folder systemd-private-(32 digits)-(unit)-(6 letters), and 255 is the most
_LONGEST_UNIT = 255 - len("systemd-private--") - 32 - len("-XXXXXX")
_NO_PLAIN_FILE = ""
NEW, UPDATED = "new", "brought up to date"
# what PrivateTmp=yes of the units hides
_HIDDEN = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - compared with, never written to
_PLAIN_PROGRAM = re.compile(r"/[A-Za-z0-9/._+-]+")
_PLAIN_WORD = re.compile(r"[\w/.,:=@%+~-]+")


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the service."""

    user: str
    group: str


@dataclass(frozen=True, slots=True)
class Write:
    """A file to write whole."""

    file: Path
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Keep:
    """A file that stays as it is; `is_edited` when it should have been changed and is not ours any more."""

    file: Path
    why: str
    is_edited: bool = False


@dataclass(frozen=True, slots=True)
class Remove:
    """A file of ours to remove, and its folder when that is a drop-in folder left empty."""

    file: Path
    why: str


Action = Write | Keep | Remove


# --- what the files say ---------------------------------------------------------------------------


def unit_text(shipped: str, program: Path) -> str:
    """A shipped unit that starts this program. Raises RefusedError when no unit could name it."""
    if _PLAIN_PROGRAM.fullmatch(str(program)) is None:
        raise _refused(
            f"the program lies in {program.parent}, which has characters that a unit cannot name",
            f"install it as {SHIPPED_PROGRAM}",
        )
    return shipped.replace(SHIPPED_PROGRAM, str(program))


def drop_in_text(account: Account, folders: Iterable[Path]) -> str:
    """The drop-in of one unit: who runs it, and what it may write to."""
    lines = [f"[Service]\nUser={_percent(account.user)}\nGroup={_percent(account.group)}"]
    lines += [f"ReadWritePaths={_word(folder)}" for folder in outermost(folders)]
    return "\n".join(lines) + "\n"


def account_of_drop_in(text: str) -> tuple[str | None, str | None]:
    """User and group that a drop-in names; None where it names none."""
    values = dict(re.findall(r"^(User|Group)=(.+)$", text, re.MULTILINE))
    user, group = (values.get(key) for key in ("User", "Group"))
    return (user and user.replace("%%", "%")), (group and group.replace("%%", "%"))


def writable_folders(package: Path, destination: Path | None) -> tuple[Path, ...]:
    """Where the service must write for a database, links followed before; None is a destination not known."""
    logs = package / "Logs"
    if destination is None:
        return (logs,)
    if destination.is_relative_to(package):
        return (package,)
    return logs, destination


def outermost(folders: Iterable[Path]) -> list[Path]:
    """These folders without those inside another one, in their order."""
    known = list(dict.fromkeys(folders))
    return [
        one
        for one in known
        if not any(one != other and one.is_relative_to(other) for other in known)
    ]


def database_lines(packages: Iterable[Path]) -> str:
    """The lines of a service file that list these databases."""
    return "".join(
        f"    <Database>\n      <Package>{escape(str(package))}</Package>\n    </Database>\n"
        for package in packages
    )


def service_file_text(shipped: str, packages: Iterable[Path]) -> str:
    """The shipped service file with these databases in it."""
    before, opening, after = shipped.partition("  <Databases>\n")
    return before + opening + database_lines(packages) + after


def hidden_by_unit(path: Path) -> bool:
    """Whether the units keep the service from seeing this path."""
    return any(path.is_relative_to(folder) for folder in _HIDDEN)


def check_nameable(path: Path) -> None:
    """Raises RefusedError for a path that can stand neither in a unit nor in the service file."""
    if not str(path).isprintable():
        raise _refused(
            f"{path} has characters that cannot be written into a unit",
            "rename the folder, or serve it through a link with a plain name",
        )


def check_instance(package: Path) -> None:
    """Raises RefusedError for a path that is too long to be an instance: systemd names folders after it."""
    check_nameable(package)
    if len(instance_unit(package)) > _LONGEST_UNIT:
        raise _refused(
            f"{package} is too long for a service of its own",
            "list it in the service file, or serve it through a link with a short name",
        )


def _word(folder: Path) -> str:
    """A path as one word of a unit; with - a folder that is not there does not keep the service from starting."""
    check_nameable(folder)
    text = _percent(f"-{folder}")
    if _PLAIN_WORD.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _refused(what: str, hint: str) -> RefusedError:
    return RefusedError(what, hint=hint, code=Code.DONE)


# --- deciding -------------------------------------------------------------------------------------


def main_drop_in(units: Path) -> Path:
    """The drop-in of the service for the databases of the service file."""
    return units / f"{MAIN}.d" / _DROP_IN


def instance_drop_in(units: Path, package: Path) -> Path:
    """The drop-in of the service for one database."""
    return units / f"{instance_unit(package)}.d" / _DROP_IN


def beside(file: Path) -> Path:
    """Where a text goes whose file was edited by hand."""
    return file.with_name(file.name + _BESIDE)


def plan_files(wanted: Mapping[Path, str], found: Mapping[Path, str | None]) -> Iterator[Action]:
    """What to do with units and drop-ins: `found` is what lies there, and beside, None where nothing does."""
    for file, plain in wanted.items():
        text = stamped(plain)
        there, other = found.get(file), found.get(beside(file))
        is_foreign = there is not None and there != text and not is_ours(there)
        if is_foreign:
            yield Keep(
                file,
                f"edited by hand, left alone; what this release writes is beside it, as {beside(file).name}",
                is_edited=True,
            )
            if other is None or (other != text and is_ours(other)):
                yield Write(beside(file), text, "to compare; systemd does not read it")
            continue
        if there is None:
            yield Write(file, text, NEW)
        elif there == text:
            yield Keep(file, "unchanged")
        else:
            yield Write(file, text, UPDATED)
        if other is not None and is_ours(other):
            yield Remove(beside(file), "no longer of use")


def plan_service_file(file: Path, text: str, there: str | None, unlisted: int) -> Action:
    """Write the first service file; one that is there is the administrator's."""
    if there is None:
        return Write(file, text, NEW)
    if unlisted:
        return Keep(file, f"yours, never changed; {unlisted} database(s) are not listed in it")
    return Keep(file, "yours, unchanged")


def plan_removal(found: Mapping[Path, str | None]) -> Iterator[Action]:
    """What uninstalling does with what lies there."""
    for file, there in found.items():
        if there is None:
            continue
        if is_ours(there):
            yield Remove(file, "written by install-service")
        else:
            yield Keep(file, "edited by hand, left alone; remove it yourself", is_edited=True)


def stamped(text: str) -> str:
    """The text below a line by which we know later that it is ours and as we wrote it."""
    return f"{_STAMP}{_digest(text)}\n{text}"


def is_ours(text: str) -> bool:
    """Whether we wrote this, and nobody changed it since."""
    first, _, rest = text.partition("\n")
    return first == _STAMP + _digest(rest)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# --- doing ----------------------------------------------------------------------------------------


def installed_files(units: Path) -> list[Path]:
    """Every file that installing may have written. Raises OSError."""
    main = [units / MAIN, units / TEMPLATE, main_drop_in(units)]
    pattern = f"{TEMPLATE.replace('@', '@?*')}.d/{_DROP_IN}"
    files = [*main, *sorted(units.glob(pattern))]
    return [place for file in files for place in (file, beside(file))]


def look_at(files: Iterable[Path]) -> dict[Path, str | None]:
    """What lies there: None where nothing does, no text for what is no plain file of text. Raises OSError."""
    return {file: _text_of(file) for file in files}


def _text_of(file: Path) -> str | None:
    if file.is_symlink():  # `systemctl mask` makes one
        return _NO_PLAIN_FILE
    try:
        return read_regular(file, _LIMIT).decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return _NO_PLAIN_FILE


def carry_out(actions: Iterable[Action]) -> None:
    """Write and remove as planned, each file whole or not at all. Raises OSError."""
    for action in actions:
        match action:
            case Write(file=file, text=text):
                _write(file, text)
            case Remove(file=file):
                _remove(file)
            case Keep():
                pass


def _write(file: Path, text: str) -> None:
    for folder in reversed([folder for folder in file.parents if not folder.exists()]):
        folder.mkdir()
        folder.chmod(0o755)  # whatever the umask: the service's user must be able to look in
    with replacing(file) as stream:
        os.fchmod(stream.fileno(), 0o644)
        stream.write(text.encode())


def _remove(file: Path) -> None:
    file.unlink()
    fsync_folder(file.parent)
    if file.parent.suffix == ".d":
        with suppress(OSError):  # the administrator's own drop-ins are in it
            file.parent.rmdir()
