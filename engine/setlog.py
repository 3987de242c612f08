"""The log and the data file inside a set of ours, opened for a look. Read only."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.framereader import open_archive
from engine.logfile import ByteReader
from engine.manifest import FOURD, ArchiveFacts, Manifest, iterate_members, read_manifest
from engine.member import Attributes, Kind, Member, Role
from engine.memberreader import MemberReader

_NO_ATTRIBUTES = Attributes(0, 0, 0, 0)


def log_archive(folder: Path) -> ArchiveFacts | None:
    """The archive of a set's log, None when it holds none. Raises MissingSetError, DamagedError, RefusedError."""
    return log_archive_in(read_manifest(folder))


def log_archive_in(manifest: Manifest) -> ArchiveFacts | None:
    """The same of a manifest that was read."""
    return next((facts for facts in manifest.archives if facts.role == "log"), None)


@contextmanager
def opened_log(folder: Path, facts: ArchiveFacts) -> Iterator[ByteReader]:
    """That log: its archive is the log itself, in frames, or holds it as 4D's do. Raises MissingSetError, DamagedError."""
    member = Member(b"log", Kind.FILE, Role.LOG, facts.frames.raw_bytes, _NO_ATTRIBUTES, 0, 0)
    if facts.stream == FOURD:
        logs = (one for one in iterate_members(folder) if one.role is Role.LOG)
        member = next(logs, member)
    with open_archive(folder, facts) as archive:
        yield MemberReader(archive, member)


@contextmanager
def opened_file(folder: Path, member: Member) -> Iterator[ByteReader | None]:
    """A file of the main archive, None when there is none. Raises MissingSetError, DamagedError."""
    archives = read_manifest(folder).archives
    facts = next((facts for facts in archives if facts.role == "main"), None)
    if facts is None:
        yield None
        return
    with open_archive(folder, facts) as archive:
        yield MemberReader(archive, member)


def data_member(folder: Path) -> Member | None:
    """The data file of a set, which stands among its first members. Raises MissingSetError, DamagedError."""
    return next((one for one in iterate_members(folder) if _is_data(one)), None)


def _is_data(member: Member) -> bool:
    is_file = member.role is Role.DATA and member.kind is Kind.FILE
    return is_file and member.path.lower().endswith(b".4dd")
