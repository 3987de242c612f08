"""A set as archives that 4D opens: its files as `Name[0007].4BK`, its log as `Name[0006].4BL`.

What was written is read back, and every file compared with the digest it has in the set. 4D's archives hold names,
contents and nothing else: what that leaves out is told.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from engine.errors import DamagedError, DestinationError, MissingSetError
from engine.files import replacing
from engine.fourd.archive import archive_opened
from engine.fourd.blockstream import Packing
from engine.fourd.listing import Entry, Listing
from engine.fourd.reading import Reading, Way
from engine.fourd.setstream import NO_NAME, tag_of
from engine.fourd.writer import ArchiveWriter
from engine.framereader import open_archive
from engine.manifest import Manifest, iterate_members
from engine.member import Kind, Member, Role
from engine.memberreader import MemberReader, StreamWindow
from engine.progress import Progress
from engine.setsource import SetSource

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Planned:
    """What goes into one archive: entries, the member that holds the content of each, and whose it is."""

    name: str
    entries: tuple[Entry, ...]
    contents: tuple[Member, ...]
    role: str


@dataclass(frozen=True, slots=True)
class Exported:
    """The archives that were written; `left_out` are files that 4D's archives cannot hold, `notes` what else is lost."""

    files: tuple[Path, ...]
    members: int
    content_bytes: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def export_set(source: SetSource, folder: Path, way: Way) -> Exported:
    """Write a set's archives into a folder, which is made; nothing there is replaced.

    After any failure what was made is gone again. Raises DestinationError, DamagedError of the set or of what was
    written, StoppedError.
    """
    manifest = source.manifest
    plan = _Plan()
    for member in iterate_members(manifest.folder):
        plan.add(member)
    planned = list(_archives(manifest, plan))
    targets = [folder / one.name for one in planned]
    for target in targets:
        if os.path.lexists(target):
            raise DestinationError(
                f"{target} is there already; nothing was written",
                hint="name another folder, or remove what is there when it is not needed",
                code=0,
            )
    with _all_or_nothing(folder) as made:
        for one, target in zip(planned, targets, strict=True):
            _write(source, one, target, way)
            made.append(target)
    return Exported(
        tuple(targets),
        sum(len(one.entries) for one in planned),
        sum(entry.size for one in planned for entry in one.entries),
        tuple(plan.left_out),
        (*source.notes, *plan.notes()),
    )


@contextmanager
def _all_or_nothing(folder: Path) -> Iterator[list[Path]]:
    """The folder, made; after a failure the files that are told here go, and the folders made for them."""
    absent = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    made: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield made
    except BaseException as error:
        with suppress(OSError):
            for file in made:
                file.unlink()
            for one in absent:  # the innermost first; one that somebody else uses meanwhile stays
                one.rmdir()
        if isinstance(error, OSError):
            raise _told(folder, error) from error
        raise


def _told(folder: Path, cause: OSError) -> DestinationError:
    hint = "name another folder with --4bk, one in which this user may make files"
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free room there, or name a folder on another disk with --4bk"
    if cause.errno == errno.EFBIG:
        hint = (
            "no file there may be that large: 4 GiB on vfat, or a limit of this user (ulimit -f); name a folder on"
            " another disk with --4bk"
        )
    if cause.errno == errno.EROFS:
        hint = "its disk is mounted read-only; name a folder on another one with --4bk"
    if cause.errno == errno.EIO:
        hint = "check the disk; name a folder on another one with --4bk"
    return DestinationError(
        f"the export to {folder} failed, and nothing was left there: {cause.strerror}",
        hint=hint,
        code=0,
    )


@dataclass(slots=True)
class _Plan:
    """Sorts the members of a set; a hard link is a file of its own to 4D."""

    main: list[tuple[Entry, Member]] = field(default_factory=list)
    logs: list[tuple[Entry, Member]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    _files: dict[bytes, Member] = field(default_factory=dict)
    _folders: set[bytes] = field(default_factory=set)
    _filled: set[bytes] = field(default_factory=set)

    def add(self, member: Member) -> None:
        self._filled.add(member.path.rpartition(b"/")[0])
        if member.kind is Kind.FOLDER:
            self._folders.add(member.path)
            return
        if member.kind is Kind.FILE:
            self._files[member.path] = member
        shown = os.fsdecode(member.path)
        content = self._files.get(member.path if member.link is None else member.link)
        why = _why_not(member, content)
        if content is None or why:
            self.left_out.append(f"{shown!a}: {why}")
            return
        if member.role is Role.LOG:
            name = shown.rpartition("/")[2]
            self.logs.append((Entry(f"./{name}::", content.size), content))
        else:
            self.main.append((Entry(f"./{shown}::{tag_of(member)}", content.size), content))

    def notes(self) -> Iterator[str]:
        yield "4D's archives hold no times, owners, permissions and links: a restore by 4D makes them anew"
        if empty := len(self._folders - self._filled):
            yield f"{empty} empty {'folder is' if empty == 1 else 'folders are'} not in them"


def _why_not(member: Member, content: Member | None) -> str:
    if member.kind is Kind.SYMLINK:
        return "4D's archives hold no links"
    if content is None:
        return "the file that it is another name of is not in the set"
    try:
        name = member.path.decode()
    except UnicodeDecodeError:
        return "its name is no Unicode"
    has_sign = any(map(name.count, NO_NAME))
    return "its name holds a sign that separates names there" if has_sign else ""


def _archives(manifest: Manifest, plan: _Plan) -> Iterator[Planned]:
    base, number = manifest.facts.base, manifest.facts.number
    rows: Iterable[tuple[str, str, list[tuple[Entry, Member]]]] = (
        ("main", f"{base}[{number:04d}].4BK", plan.main),
        ("log", f"{base}[{number - 1:04d}].4BL", plan.logs),
    )
    for role, name, pairs in rows:
        if pairs:
            entries = tuple(entry for entry, _ in pairs)
            yield Planned(name, entries, tuple(member for _, member in pairs), role)


def _write(source: SetSource, planned: Planned, target: Path, way: Way) -> None:
    total = sum(entry.size for entry in planned.entries)
    done = 0
    facts = next((one for one in source.manifest.archives if one.role == planned.role), None)
    if facts is None:
        raise MissingSetError(f"the set holds no archive of its {planned.role} files")
    with ExitStack() as stack:
        archive = stack.enter_context(open_archive(source.archives, facts, past_cache=0))
        out = stack.enter_context(replacing(target, mode=0o640))
        packing = Packing(way.workers, way.make)
        writer = stack.enter_context(ArchiveWriter(out, planned.entries, packing))
        window = StreamWindow(archive)
        for member in planned.contents:
            for piece in _pieces(MemberReader(archive, member, window)):
                way.stop.check()
                writer.write(piece)
                done += len(piece)
                way.report(Progress(f"writing {target.name}", done, total))
        writer.finish()
        out.flush()
        os.fsync(out.fileno())
        os.posix_fadvise(out.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # what is compared is the disk
        _compare(Path(f"/proc/self/fd/{out.fileno()}"), target.name, planned, way)


def _pieces(reader: MemberReader) -> Iterator[bytes]:
    for offset in range(0, reader.size, _PIECE):
        yield reader.read(offset, _PIECE)


def _compare(written: Path, name: str, planned: Planned, way: Way) -> None:
    """Raises DamagedError when what was written does not read back as what the set holds."""
    found = _Digests(planned.contents)
    with archive_opened(written) as reader:
        outcome = Reading(reader, found, way).run()
    texts = [entry.text for entry in outcome.listing.entries]
    wrong = [*(trouble.text for trouble in outcome.troubles), *found.wrong]
    if wrong or texts != [entry.text for entry in planned.entries]:
        raise DamagedError(
            f"{name} does not read back as it was written: {'; '.join(wrong[:3]) or 'another list'}",
            hint="check the disk it was written to before anything else; nothing was left there",
        )


class _Digests:
    """Compares each file that comes out with its digest in the set."""

    def __init__(self, contents: Sequence[Member]) -> None:
        self.wrong: list[str] = []
        self._contents = contents
        self._digest = blake3()

    def listed(self, listing: Listing) -> None:
        return None

    def doubt(self, index: int) -> None: ...

    def begin(self, index: int) -> None:
        self._digest = blake3()

    def take(self, index: int, offset: int, piece: memoryview) -> None:
        self._digest.update(piece)

    def miss(self, index: int, offset: int, count: int) -> None: ...

    def end(self, index: int) -> None:
        member = self._contents[index]
        if self._digest.hexdigest() != member.digest:
            self.wrong.append(f"{os.fsdecode(member.path)!a} is another one")
