"""The logs of a restore: looked at where they are, decided on (engine/logchain.py), and put where 4D finds them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path

from blake3 import blake3

from engine.content import archive_path
from engine.datafile import DataFacts, DataUnreadableError, read_data_facts
from engine.errors import EngineError, RestoreError
from engine.files import open_regular
from engine.framereader import open_archive
from engine.logchain import plan_logs
from engine.logfile import (
    ByteReader,
    DescriptorReader,
    LogFacts,
    LogUnreadableError,
    begins_with,
    read_log_facts,
)
from engine.logplan import LIVE, Candidate, LogMode, LogPlan, LogRequest, Shipped, Source
from engine.logwords import EARLIER_FOLDER
from engine.manifest import ArchiveFacts, Manifest, iterate_members, read_manifest
from engine.member import Attributes, Kind, Member, Role
from engine.memberreader import MemberReader
from engine.rebuild import Rebuild
from engine.setlog import log_archive_in
from engine.sets import StoredSet
from engine.setsource import SetSource
from engine.streamcopies import shipped_logs
from engine.streampiece import data_name
from settings.layout import DatabaseLayout

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class LogWish:
    """What is asked of the logs. `layout` is None when no database is at hand, `later` are the other sets there are."""

    mode: LogMode
    zone: tzinfo
    layout: DatabaseLayout | None = None
    others: tuple[StoredSet, ...] = ()
    automatic_integration: bool = True
    strictness: str = "strict"


@dataclass(frozen=True, slots=True)
class LogPlacing:
    """The decision, and where each log is: `path` is the log's own name in the set's paths.

    `in_place`: what is restored goes where the live log is, which then need not be copied.
    """

    plan: LogPlan
    path: bytes
    set_number: int
    live: Path | None
    folders: dict[int, Path]
    in_place: bool = False

    @property
    def keeps_live(self) -> bool:
        """Whether the live log goes on as it is."""
        return self.plan.current is not None and self.plan.current.source is LIVE

    def places(self) -> Iterator[tuple[Candidate, bytes]]:
        """Every log that is placed, with its path."""
        if self.plan.current is not None:
            yield self.plan.current, self.path
        folder, _, name = self.path.rpartition(b"/")
        stem, dot, suffix = name.rpartition(b".")
        for number, one in enumerate(self.plan.earlier, 1):
            inner = b"%s-%04d%s%s" % (stem, number, dot, suffix)
            parts = (folder, os.fsencode(EARLIER_FOLDER), inner)
            yield one, b"/".join(part for part in parts if part)

    def written(self) -> Iterator[tuple[Candidate, bytes]]:
        """Those that are written: in place the live log stays as it is."""
        for candidate, path in self.places():
            if not (self.in_place and self.keeps_live and path == self.path):
                yield candidate, path


def plan_log_placing(source: SetSource, wish: LogWish) -> LogPlacing | None:
    """Decide on the logs; None when the set holds no data file to which one could belong."""
    manifest = source.manifest
    data = _find(manifest, Role.DATA)
    if data is None:
        return None
    own = _find(manifest, Role.LOG)
    layout = wish.layout
    live = None if layout is None else layout.log
    with ExitStack() as stack:
        readers = list(_readers(source, own, live, wish.others, stack))
        own_facts = next((_facts(reader) for at, reader in readers if at == _number(source)), None)
        candidates = [
            Candidate(at, _facts(reader))
            if at == _number(source)
            else _candidate(at, reader, own_facts, own if at is LIVE else None)
            for at, reader in readers
        ]
        if wish.mode is LogMode.CURRENT:
            candidates += _shipped(source, own_facts, stack)
        request = LogRequest(
            wish.mode,
            _data_facts(source, data),
            _number(source),
            manifest.facts.started,
            wish.zone,
            wish.automatic_integration,
            wish.strictness,
        )
        plan = plan_logs(request, candidates)
    path = own.path if own is not None else _log_path(data, layout)
    folders = {stored.number: stored.folder for stored in wish.others}
    return LogPlacing(plan, path, _number(source), live, folders)


def place_logs(placing: LogPlacing, source: SetSource, files: Rebuild, workers: int) -> None:
    """Put every log of the plan into what is being rebuilt; a live one is copied up to its last whole record.

    Raises DamagedError, MissingSetError, RestoreError, OSError.
    """
    if placing.plan.earlier:
        files.restore_plain([_folder_of_earlier(source.manifest, placing.path)])
    for candidate, path in placing.written():
        if candidate.source is LIVE:
            assert placing.live is not None  # noqa: S101 - it was looked at
            whole_bytes = None if candidate.known is None else candidate.known.whole_bytes
            _copy_live(placing.live, whole_bytes, path, files)
            continue
        if isinstance(candidate.source, Shipped):
            _copy_shipped(candidate, candidate.source, source.manifest, path, files)
            continue
        number = candidate.source
        if number == placing.set_number:
            _from_set(source.manifest, source.archives, path, files, workers)
        else:
            folder = placing.folders[number]
            _from_set(read_manifest(folder), folder, path, files, workers)


def _folder_of_earlier(manifest: Manifest, log: bytes) -> Member:
    """It belongs to whom the data belong to: who opens them integrates the logs."""
    above = log.rpartition(b"/")[0]
    like, mode = _find(manifest, Role.DATA), 0o755
    for member in iterate_members(manifest.folder):
        if member.path == above and member.kind is Kind.FOLDER:
            like, mode = member, member.attributes.mode
            break
    now = manifest.facts.ended
    owner = (0, 0) if like is None else (like.attributes.uid, like.attributes.gid)
    attributes = Attributes(mode, *owner, int(now.timestamp()) * 10**9)
    path = b"/".join(part for part in (above, os.fsencode(EARLIER_FOLDER)) if part)
    return Member(path, Kind.FOLDER, Role.LOG, 0, attributes, 0, 0)


def _from_set(
    manifest: Manifest, archives: Path, path: bytes, files: Rebuild, workers: int
) -> None:
    member, facts = _find(manifest, Role.LOG), log_archive_in(manifest)
    if member is None or facts is None:
        raise RestoreError(f"{manifest.folder} holds no log any more")
    with open_archive(archives, facts) as archive:
        files.restore_archive(archive, [replace(member, path=path)], workers=workers)


def _copy_live(log: Path, whole_bytes: int | None, path: bytes, files: Rebuild) -> None:
    """Up to its last whole record; all of one that cannot be read."""
    descriptor = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        size = facts.st_size if whole_bytes is None else whole_bytes
        attributes = Attributes(
            facts.st_mode & 0o7777, facts.st_uid, facts.st_gid, facts.st_mtime_ns
        )
        member = Member(path, Kind.FILE, Role.LOG, size, attributes, 0, 0)
        files.copy_in(descriptor, member)
    finally:
        os.close(descriptor)


def _copy_shipped(
    candidate: Candidate, shipped: Shipped, manifest: Manifest, path: bytes, files: Rebuild
) -> None:
    """Up to its last whole record; it belongs to whom the data belong to."""
    facts, like = candidate.known, _find(manifest, Role.LOG) or _find(manifest, Role.DATA)
    if facts is None or like is None:
        raise RestoreError(f"{shipped.folder / data_name(shipped.piece)} cannot be read any more")
    with open_regular(shipped.folder / data_name(shipped.piece), links=False) as stream:
        mtime_ns = os.fstat(stream.fileno()).st_mtime_ns
        attributes = replace(like.attributes, mtime_ns=mtime_ns)
        member = Member(path, Kind.FILE, Role.LOG, facts.whole_bytes, attributes, 0, 0)
        files.copy_in(stream.fileno(), member)


# --- looking ----------------------------------------------------------------------------------------


def _readers(
    source: SetSource,
    own: Member | None,
    live: Path | None,
    others: Sequence[StoredSet],
    stack: ExitStack,
) -> Iterator[tuple[Source, ByteReader | str]]:
    """Every log at hand, with a reader or the reason why there is none."""
    facts = log_archive_in(source.manifest)
    if own is not None and facts is not None:
        yield _number(source), _open_member(source.archives, facts, own, stack)
    for stored in others:
        if stored.number <= _number(source):
            continue
        try:
            manifest = read_manifest(stored.folder)
            member, facts = _find(manifest, Role.LOG), log_archive_in(manifest)
            if member is not None and facts is not None:
                yield stored.number, _open_member(stored.folder, facts, member, stack)
        except EngineError as error:
            yield stored.number, str(error)
    if live is not None and os.path.lexists(live):
        try:
            descriptor = os.open(live, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            yield LIVE, f"{live} cannot be opened: {error.strerror}"
            return
        stack.callback(os.close, descriptor)
        yield LIVE, DescriptorReader(descriptor)


def _shipped(
    source: SetSource, own_facts: LogFacts | str | None, stack: ExitStack
) -> Iterator[Candidate]:
    """Logs that were shipped to the folder the set lies in."""
    facts = source.manifest.facts
    for one in shipped_logs(source.archives.parent, facts.base, Path(facts.data_file), stack):
        candidate = _candidate(one.source, one.reader, own_facts, None)
        yield replace(candidate, damage=one.damage, promised=one.promised)


def _open_member(
    folder: Path, facts: ArchiveFacts, member: Member, stack: ExitStack
) -> ByteReader | str:
    try:
        return MemberReader(stack.enter_context(open_archive(folder, facts)), member)
    except EngineError as error:
        return str(error)


def _candidate(
    at: Source, reader: ByteReader | str, own_facts: LogFacts | str | None, own: Member | None
) -> Candidate:
    """`own` is the set's log when this one may be the same, grown."""
    facts = _facts(reader)
    continues = None
    if isinstance(reader, str):
        return Candidate(at, facts, None)
    with suppress(EngineError, OSError):
        if isinstance(own_facts, LogFacts):
            continues = begins_with(reader, own_facts)
        elif own is not None and isinstance(facts, str):
            continues = _begins_with_bytes(reader, own)
    return Candidate(at, facts, continues)


def _begins_with_bytes(reader: ByteReader, own: Member) -> bool:
    """Whether a log begins with the very bytes of the one in the set. Raises OSError."""
    if own.size == 0 or reader.size < own.size:
        return False
    digest, position = blake3(), 0
    while position < own.size:
        piece = reader.read(position, min(_CHUNK, own.size - position))
        if not piece:
            return False
        digest.update(piece)
        position += len(piece)
    return digest.hexdigest() == own.digest


def _facts(reader: ByteReader | str) -> LogFacts | str:
    if isinstance(reader, str):
        return reader
    try:
        return read_log_facts(reader)
    except (LogUnreadableError, EngineError) as error:
        return str(error)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


def _data_facts(source: SetSource, data: Member) -> DataFacts | str:
    facts = next((one for one in source.manifest.archives if one.role == "main"), None)
    if facts is None:
        return "the set has no main archive"
    try:
        with open_archive(source.archives, facts) as archive:
            return read_data_facts(MemberReader(archive, data))
    except (DataUnreadableError, EngineError) as error:
        return str(error)


def _find(manifest: Manifest, role: Role) -> Member | None:
    """The log, or the data file: the first file of its role, as a set is written."""
    for member in iterate_members(manifest.folder):
        is_data = role is not Role.DATA or member.path.lower().endswith(b".4dd")
        if member.role is role and member.kind is Kind.FILE and is_data:
            return member
    return None


def _log_path(data: Member, layout: DatabaseLayout | None) -> bytes:
    if layout is not None:
        return archive_path(layout.log, layout)
    return data.path.rpartition(b".")[0] + b".journal"


def _number(source: SetSource) -> int:
    return source.manifest.facts.number
