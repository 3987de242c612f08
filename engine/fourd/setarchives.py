"""A set's archives as 4D writes them, made of drafts: archives of our own, into which its files were read.

4D's archive begins with the list of its files and their sizes, which are only certain when all is read; and it
packs more slowly than files are read. So the application is read, and let go, first. Each file is compared with its
digest on the way into the archive, and the draft gives its room back while the archive grows.
"""

import ctypes
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from blake3 import blake3

from engine.codec import digest_of, frame_bytes
from engine.errors import DamagedError, SourceError
from engine.fourd.blockstream import BlockStream, Packing, Run, largest_run
from engine.fourd.container import ARCHIVE_HEAD, LARGEST
from engine.fourd.listing import BODY_TAIL, body_head
from engine.fourd.setstream import SetList
from engine.framereader import Block, StoredArchive, open_archive, read_blocks
from engine.frametable import Frame, FrameTable
from engine.manifest import FOURD, ArchiveFacts
from engine.member import Kind, Member, Role, content_extents, holes_of
from engine.memberreader import MemberReader
from engine.memberspool import MemberSpool
from engine.output import Output, archive_name
from engine.progress import Progress, Report
from engine.readback import ReadBack
from engine.stop import StopRequest

# as 4D names them: of a set, and of the log of the set before
SUFFIXES = {"main": ".4BK", "log": ".4BL"}
_ZEROS = bytes(1 << 20)
_GIVE_BACK_BYTES = 64 << 20
_PUNCH_KEEPING_SIZE = 3
_LIBC = ctypes.CDLL(None)

Check = Callable[[ReadBack, ArchiveFacts], None]


@dataclass(frozen=True, slots=True)
class Making:
    """Where archives are made, and how: without `packs`, blocks are stored as they are. `number` is the set's.

    `check` compares what was written with what is on the disk; None when nobody asks for that.
    """

    folder: Path
    base: str
    number: int
    packs: bool
    workers: int
    stop: StopRequest
    report: Report
    check: Check | None


def make_archives(
    making: Making, drafts: tuple[ArchiveFacts, ...], spool: MemberSpool, target: MemberSpool
) -> tuple[tuple[ArchiveFacts, ...], tuple[str, ...]]:
    """The archives, durable and compared, and what is to be said of them; the drafts are gone.

    `spool` holds the members of the drafts, `target` gets those of the archives. Raises SourceError, DamagedError,
    StoppedError, OSError.
    """
    archives: list[ArchiveFacts] = []
    notes: list[str] = []
    for draft in drafts:
        made = _Recast(making, draft, spool, target)
        archives.append(made.run())
        notes += made.notes()
    return tuple(archives), tuple(notes)


class _Recast:
    """One archive made of one draft."""

    def __init__(
        self, making: Making, draft: ArchiveFacts, spool: MemberSpool, target: MemberSpool
    ) -> None:
        self._making = making
        self._draft = draft
        self._spool = spool
        self._target = target
        self._links = 0
        self._done = 0
        self._list = SetList(self._members)
        self._named: dict[bytes, Member] = {}

    def run(self) -> ArchiveFacts:
        """Raises as `make_archives`."""
        if not self._list.count:
            raise SourceError(
                "an archive of 4D holds files, and there is none to save",
                hint="an empty folder alone can be saved with ArchiveFormat tar in the service file",
            )
        with _growing(self._making, self._draft) as growing:
            try:
                self._fill(growing)
            except DamagedError as error:
                hint = "what was just written reads back otherwise: check that disk before anything else"
                raise DamagedError(str(error), code=error.code, hint=hint) from error
            for file in self._draft.files:
                (self._making.folder / file.name).unlink()
            return growing.finish()

    def notes(self) -> Iterator[str]:
        """What 4D's own restore would not bring back as it was."""
        name = archive_name(self._making.base, self._number, SUFFIXES[self._draft.role], None)
        if count := self._list.renamed:
            files = "1 file has a name" if count == 1 else f"{count} files have names"
            yield f"Archive format : {files} that 4D's archives cannot hold: in {name} below {self._list.other!r}"
        if count := self._links:
            links = "1 symbolic link is" if count == 1 else f"{count} symbolic links are"
            yield f"Archive format : {links} not in {name}: 4D's own restore does not make them"

    def _fill(self, growing: "_Growing") -> None:
        making = self._making
        packing = Packing(making.workers, at_once=growing.at_once, packs=making.packs)
        with (
            BlockStream(growing.take, packing) as stream,
            _opened(making, self._draft, keeps=bool(self._list.links)) as content,
        ):
            for piece in self._list.render():
                stream.put(piece)
            for member in self._members():
                self._target.add(self._put(member, stream, content))
            content.finish()
            stream.finish()

    @property
    def _number(self) -> int:
        return self._making.number - (self._draft.role == "log")

    def _members(self) -> Iterator[Member]:
        is_log = self._draft.role == "log"
        return (one for one in self._spool.members() if (one.role is Role.LOG) == is_log)

    def _put(self, member: Member, stream: BlockStream, content: "_Content") -> Member:
        """What stands in the archive of one member; the member as it is there."""
        at = stream.position
        if member.path in self._list.links:
            self._named[member.path] = member
        match member.kind:
            case Kind.FILE:
                stream.put(body_head(member.size))
                data = stream.position
                self._put_content(member, stream, content.pieces(member))
                return replace(member, header=at, data=data, extents=None, holes=holes_of(member))
            case Kind.HARDLINK:
                named = self._named[member.link or b""]
                stream.put(body_head(named.size))
                self._put_content(named, stream, content.again(named))
            case Kind.SYMLINK:
                self._links += 1
            case _:
                pass
        return replace(member, header=at, data=stream.position)

    def _put_content(self, member: Member, stream: BlockStream, pieces: Iterator[Block]) -> None:
        end, digest = stream.position + member.size, blake3()
        for piece in pieces:
            self._making.stop.check()
            digest.update(piece)
            stream.put(piece)
            self._done += len(piece)
            total = self._list.content_bytes
            self._making.report(Progress("packing", min(self._done, total), total))
        if stream.position != end or digest.hexdigest() != member.digest:
            raise DamagedError(f"{os.fsdecode(member.path)} does not read back as it was read")
        stream.put(BODY_TAIL)


class _Content:
    """The content of a draft's members, in their order; what has been read is given up, if it is not to be read again."""

    def __init__(
        self,
        archive: StoredArchive,
        blocks: Iterator[tuple[Frame, Block]],
        room: int,
    ) -> None:
        self._archive = archive
        self._blocks = blocks
        self._room = room
        self._given = 0
        self._start = 0
        self._block: Block = b""

    def pieces(self, member: Member) -> Iterator[Block]:
        """All of it, with zeros for its holes. Raises DamagedError."""
        at, position = member.data, 0
        for offset, length in content_extents(member):
            yield from _zeros(offset - position)
            yield from self._stretch(at, length)
            at += length
            position = offset + length
        yield from _zeros(member.size - position)

    def again(self, member: Member) -> Iterator[Block]:
        """That of one that came before."""
        reader = MemberReader(self._archive, member)
        for offset in range(0, member.size, len(_ZEROS)):
            yield reader.read(offset, len(_ZEROS))

    def finish(self) -> None:
        """Read what is left: it is compared. Raises DamagedError."""
        for _ in self._blocks:
            pass

    def _stretch(self, at: int, length: int) -> Iterator[Block]:
        end = at + length
        while at < end:
            while at >= self._start + len(self._block):
                self._advance()
            view = memoryview(self._block)[at - self._start : end - self._start]
            yield view
            at += len(view)

    def _advance(self) -> None:
        found = next(self._blocks, None)
        if found is None:
            raise DamagedError("the draft of the set ends too early")
        frame, self._block = found
        self._start = frame.start
        if self._room >= 0 and frame.offset - self._given >= _GIVE_BACK_BYTES:
            self._given = frame.offset
            _give_back(self._room, frame.offset)


def _zeros(count: int) -> Iterator[Block]:
    for at in range(0, count, len(_ZEROS)):
        yield memoryview(_ZEROS)[: count - at]


def _give_back(descriptor: int, count: int) -> None:
    """Where that cannot be done, the draft keeps its room until it is removed."""
    fallocate = getattr(_LIBC, "fallocate", None)
    if fallocate is not None:
        fallocate(descriptor, _PUNCH_KEEPING_SIZE, ctypes.c_int64(0), ctypes.c_int64(count))


@contextmanager
def _opened(making: Making, draft: ArchiveFacts, *, keeps: bool) -> Generator[_Content, None, None]:
    """`keeps`: content is read again, so that nothing of the draft may go."""
    workers, table = making.workers, draft.frames
    with ExitStack() as stack:
        archive = stack.enter_context(open_archive(making.folder, draft, past_cache=workers))
        reading = read_blocks(archive, range(len(table)), workers=workers)
        blocks = stack.enter_context(closing(reading))
        again, room = archive, -1
        if keeps:
            again = stack.enter_context(open_archive(making.folder, draft, past_cache=0))
        else:
            flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            room = os.open(making.folder / draft.files[0].name, flags)
            stack.callback(os.close, room)
        yield _Content(again, blocks, room)


class _Growing:
    """An archive on the disk while it is written."""

    def __init__(self, making: Making, draft: ArchiveFacts) -> None:
        self._making = making
        self._role = draft.role
        self.at_once = frame_bytes(draft.frames.raw_bytes) // LARGEST
        self._table = FrameTable()
        self._read_back = ReadBack(
            making.folder, self._table, workers=making.workers, stop=making.stop
        )
        name = (making.base, making.number - (draft.role == "log"), SUFFIXES[draft.role])
        self._output = Output(
            making.folder, *name, segment_bytes=None, on_durable=self._read_back.durable
        )
        if making.check is not None:
            largest = largest_run(self.at_once)
            self._read_back.follow(archive_name(*name, None), FOURD, largest)

    def begin(self) -> None:
        """Write what an archive of 4D begins with."""
        self._output.write(ARCHIVE_HEAD)
        self._table.append(0, len(ARCHIVE_HEAD), digest_of(b""))

    def take(self, run: Run) -> None:
        """Its next blocks are a frame of the set."""
        self._output.write(run.stored)
        self._table.append(run.raw, len(run.stored), run.digest)

    def finish(self) -> ArchiveFacts:
        """Make it durable, compare it."""
        facts = ArchiveFacts(self._role, FOURD, FOURD, self._output.finish(), self._table)
        if self._making.check is not None:
            self._making.check(self._read_back, facts)
        return facts

    def abandon(self) -> None:
        """End all threads after a failure."""
        self._read_back.abandon()
        self._output.abandon()


@contextmanager
def _growing(making: Making, draft: ArchiveFacts) -> Generator[_Growing, None, None]:
    archive = _Growing(making, draft)
    try:
        archive.begin()
        yield archive
    except BaseException:
        archive.abandon()
        raise
