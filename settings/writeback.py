"""Changes one value of a settings file and nothing else, proved by reading the result again."""

import contextlib
import difflib
import fcntl
import os
import re
import tempfile
from pathlib import Path

from settings.errors import SettingsChangedError, SettingsRefusedError, UnknownKeyError
from settings.keys import KEYS, Key, Kind
from settings.model import Finding, Severity
from settings.reader import parse_settings
from settings.source import load_bytes
from settings.splice import insert_value, replace_value
from settings.tree import Node, find_nodes, parse_tree, walk
from settings.values import (
    check_value,
    parse_clock,
    parse_count,
    parse_flag,
    parse_text,
    parse_time_text,
    parse_word,
)

_PART = ".backup4d-part"
_SHORT_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")


def write_setting(file: Path, key: str, value: str) -> tuple[str, str]:
    """Change one value on the disk, whole or not at all; return its text before and after."""
    real = file.resolve()  # a link stays a link
    data = load_bytes(real)
    changed = plan_change(data, key, value, file)
    found = parse_key(key)
    if changed != data:
        replace_file(real, data, changed)
    return value_of(data, found, file), value_of(changed, found, file)


def plan_change(data: bytes, key: str, value: str, file: Path) -> bytes:
    """Return the bytes with this value in 4D's form; refused when the result would not be usable."""
    found = parse_key(key)
    backup = _backup(data, file)
    nodes = _nodes(backup, found)
    if len(nodes) > 1:
        why = f"the key is there {len(nodes)} times. Remove all but one by hand"
        raise _refused(file, found, nodes[1].line, value, why)
    old = nodes[0] if nodes else None
    text = _render(data, found, value, old, file)
    if old is not None and old.text == text:
        return data
    changed = replace_value(data, old, text) if old else insert_value(data, backup, found, text)
    _prove(data, changed, found, text, file)
    return changed


def parse_key(name: str) -> Key:
    """Return the key of a full path or of the end of one, whatever the case."""
    wanted = name.strip().strip("/").lower()
    keys = [key for key in KEYS.values() if _is_called(key, wanted)]
    if not keys:
        raise UnknownKeyError(name, _near(wanted), "is no key of the settings")
    if len(keys) > 1:
        raise UnknownKeyError(name, [_short(key) for key in keys], "can be several keys")
    if keys[0].kind is Kind.ITEMS:
        raise UnknownKeyError(name, [], "is a list. Edit the settings file itself")
    return keys[0]


def value_of(data: bytes, key: Key, file: Path) -> str:
    """Return the text of a key as it stands in the file; empty when it is absent."""
    nodes = _nodes(_backup(data, file), key)
    return nodes[0].text.strip() if nodes else ""


# --- names ----------------------------------------------------------------------------------------


def _is_called(key: Key, wanted: str) -> bool:
    return any(
        f"/{place.lower()}".endswith(f"/{wanted}") for place in (key.path, *key.aliases) if wanted
    )


def _near(wanted: str) -> list[str]:
    names = {_short(key).lower(): _short(key) for key in KEYS.values()}
    names |= {_short(key).lower().rpartition("/")[2]: _short(key) for key in KEYS.values()}
    return list(dict.fromkeys(names[n] for n in difflib.get_close_matches(wanted, names, n=5)))


def _short(key: Key) -> str:
    return key.path.removeprefix("Settings/")


def _backup(data: bytes, file: Path) -> Node:
    blocks = find_nodes(parse_tree(data, file), "Backup")
    if len(blocks) != 1:
        parse_settings(data, file)  # says what is wrong with the file
    return blocks[0]


def _nodes(backup: Node, key: Key) -> list[Node]:
    return [node for place in (key.path, *key.aliases) for node in find_nodes(backup, place)]


# --- the text of a value --------------------------------------------------------------------------


def _render(data: bytes, key: Key, value: str, old: Node | None, file: Path) -> str:
    try:
        text = _in_4d_form(key, value, _dialect(data, key, old, file))
        check_value(key, text)
    except ValueError as error:
        line = old.line if old else None
        raise _refused(file, key, line, value, f"{error}; allowed: {key.allowed}") from None
    return text


def _in_4d_form(key: Key, value: str, dialect: str) -> str:
    match key.kind:
        case Kind.FLAG:
            return str(parse_flag(key, value))
        case Kind.COUNT:
            return str(parse_count(key, value))
        case Kind.WORD:
            return parse_word(key, value)
        case Kind.CLOCK | Kind.DURATION:
            return _in_dialect(value, dialect)
        case Kind.PATH | Kind.TEXT | Kind.ITEMS:
            return parse_text(key, value)


def _dialect(data: bytes, key: Key, old: Node | None, file: Path) -> str:
    """A time as this file writes it: the old value, else for hours another hour, else 4D's."""
    if key.kind not in {Kind.CLOCK, Kind.DURATION}:
        return ""
    texts = [old.text] if old else []
    if key.kind is Kind.CLOCK:
        clocks = [other for other in KEYS.values() if other.kind is Kind.CLOCK]
        backup = _backup(data, file)
        texts += [node.text for clock in clocks for node in _nodes(backup, clock)]
    return next((text for text in texts if _is_time(key, text)), key.default)


def _is_time(key: Key, text: str) -> bool:
    try:
        parse_clock(key, text)
    except ValueError:
        return False
    return True


def _in_dialect(value: str, dialect: str) -> str:
    short = _SHORT_TIME.fullmatch(value.strip())
    read = parse_time_text(f"{int(short[1]):02}:{short[2]}:00" if short else value)
    if read.fraction.strip("0"):
        raise ValueError("a fraction of a second is not written")
    form = parse_time_text(dialect)
    fraction = "." + "0" * len(form.fraction) if form.fraction else ""
    return f"{form.date}{read.hour:02}:{read.minute:02}:{read.second:02}{fraction}{form.zone}"


# --- proof ----------------------------------------------------------------------------------------


def _prove(data: bytes, changed: bytes, key: Key, text: str, file: Path) -> None:
    """Refuse a result in which anything else changed, or which is worse than the file was."""
    if value_of(changed, key, file) != text or _others(data, key, file) != _others(
        changed, key, file
    ):
        why = "this value cannot be put into this file without touching others. Edit it by hand"
        raise _refused(file, key, None, text, why)
    before = {(f.element, f.read) for f in _complaints(data, file)}
    worse = [
        finding
        for finding in _complaints(changed, file)
        if finding.element == key.path or (finding.element, finding.read) not in before
    ]
    if worse:
        raise SettingsRefusedError(file, [_as_error(finding) for finding in worse])


def _others(data: bytes, key: Key, file: Path) -> list[tuple[str, str]]:
    """Every other text of the file with its path; the blanks around them are layout."""
    places = {f"Backup/{place}" for place in (key.path, *key.aliases)}
    texts = [(path, node.text.strip()) for path, node in walk(parse_tree(data, file))]
    return [(path, text) for path, text in texts if text and path not in places]


def _complaints(data: bytes, file: Path) -> list[Finding]:
    try:
        findings = parse_settings(data, file).findings
    except SettingsRefusedError as error:
        findings = error.findings
    return [finding for finding in findings if finding.severity is not Severity.NOTE]


def _as_error(finding: Finding) -> Finding:
    return Finding(Severity.ERROR, finding.element, finding.line, finding.read, "", finding.why)


def _refused(file: Path, key: Key, line: int | None, read: str, why: str) -> SettingsRefusedError:
    return SettingsRefusedError(file, [Finding(Severity.ERROR, key.path, line, read, "", why)])


# --- the disk -------------------------------------------------------------------------------------


def replace_file(file: Path, expected: bytes, changed: bytes) -> None:
    """Replace the file in one step, unless somebody else changed it meanwhile."""
    _remove_dead(file)
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=_PART, dir=file.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            _lock(stream.fileno())
            _copy_rights(file, stream.fileno())
            stream.write(changed)
            stream.flush()
            os.fsync(stream.fileno())
            # as late as possible: 4D may write the same file
            _refuse_changed(file, expected)
            temporary.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):  # what stays is removed by the next change
            temporary.unlink()
        raise
    _fsync_folder(file.parent)


def _lock(descriptor: int) -> bool:
    """Hold the part as long as it is open: whoever can take it, too, knows that its writer is dead."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_dead(file: Path) -> None:
    """Remove the parts of writers that were killed."""
    with contextlib.suppress(OSError):
        for part in list(file.parent.iterdir()):
            if part.name.startswith(f".{file.name}.") and part.name.endswith(_PART):
                _remove_if_dead(part)


def _remove_if_dead(part: Path) -> None:
    descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if _lock(descriptor):
            part.unlink()
    finally:
        os.close(descriptor)


def _refuse_changed(file: Path, expected: bytes) -> None:
    if load_bytes(file) != expected:
        raise SettingsChangedError(file)


def _copy_rights(file: Path, descriptor: int) -> None:
    status = file.stat()
    # only root may give files away; for others the file becomes theirs, as with any editor
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(
        descriptor, status.st_mode & 0o777
    )  # a settings file runs nothing with anybody's rights


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
