"""Whether the data changed since the last good set (BackupIfDataChange): by the log, else by the files themselves.

The log tells at once, and most certainly when something did change. That nothing did it can tell alone only when
4D logs every table; else size and times of the files decide, and a digest when those differ.
"""

import os
from pathlib import Path

from blake3 import blake3

from engine.datalook import Seen, examine, look_at
from engine.errors import DamagedError, MissingSetError, RefusedError
from engine.files import open_regular
from engine.logchanges import Changes, changes_by_log, is_all_logged
from engine.manifest import iterate_members
from engine.member import Kind, Member, Role
from engine.setlog import opened_file
from engine.sets import StoredSet
from engine.sourcefile import TrueTimes
from settings.layout import DatabaseLayout

_DATA_SUFFIXES = (".4dd", ".4dindx", ".journal")
_BLOCK = 1 << 20


def data_is_unchanged(layout: DatabaseLayout, last: StoredSet) -> bool:
    """Compare data file, index and log with what the manifest of the last good set says of them.

    Anything that cannot be compared counts as changed: a backup too many harms nobody.
    """
    stems = {layout.data_file.stem}
    try:
        members = {
            os.fsdecode(member.path.rsplit(b"/", 1)[-1]): member
            for member in iterate_members(last.folder)
            if _is_data(member, stems)
        }
    except (DamagedError, MissingSetError, RefusedError):
        return False
    told = changes_by_log(layout, last.folder)
    if told is Changes.SOME:
        return False
    index = layout.data_file.with_suffix(".4DIndx")
    files = [layout.data_file, layout.log]
    if index.name in members:  # where it is not saved, nothing is known of it, and 4D rebuilds it
        files.append(index)
    present = {file.name for file in files if file.exists()}
    if present != set(members) or layout.data_file.name not in present:
        return False
    if told is Changes.NONE:
        if is_all_logged(layout) and _has_same_header(
            layout, last.folder, members[layout.data_file.name]
        ):
            return True
        files.remove(layout.log)  # what was added to it since is no change
    return all(_is_same(file, members[file.name]) for file in files if file.name in present)


def _has_same_header(layout: DatabaseLayout, folder: Path, member: Member) -> bool:
    """Whether the data file says of itself what it said then: no other one was put there, none was compacted."""
    now = look_at(layout.data_file)
    try:
        with opened_file(folder, member) as reader:
            then = None if reader is None else examine(reader)
    except (DamagedError, MissingSetError, RefusedError, OSError):
        return False
    return isinstance(now, Seen) and isinstance(then, Seen) and _header(now) == _header(then)


def _header(seen: Seen) -> tuple[object, ...]:
    return (seen.size, seen.used, seen.last, seen.datalink, seen.identity)


def _is_data(member: Member, stems: set[str]) -> bool:
    name = Path(os.fsdecode(member.path))
    is_role = member.role in (Role.DATA, Role.LOG, Role.ATTACHMENT)
    return (
        is_role
        and member.kind is Kind.FILE
        and name.stem in stems
        and name.suffix.lower() in _DATA_SUFFIXES
    )


def _is_same(file: Path, member: Member) -> bool:
    try:
        with open_regular(file) as stream:
            facts = os.fstat(stream.fileno())
            if facts.st_size != member.size:
                return False
            if _is_as_seen(stream.fileno(), facts, member):
                return True
            digest = blake3()
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError:
        return False
    return digest.hexdigest() == member.digest


def _is_as_seen(descriptor: int, facts: os.stat_result, member: Member) -> bool:
    """Nobody wrote to it: its times say so, and where the set knows them, its number and change time, too."""
    if facts.st_mtime_ns != member.attributes.mtime_ns:
        return False
    return member.seen is None or member.seen == TrueTimes().seen(descriptor, facts)
