"""The members of a set on their way into folders: content by several threads, every byte compared.

Reads the frames of an archive in order and writes what they hold. Large files are written by the threads
that unpack their frames, small ones as they come; a file counts only when its digest is the manifest's, and
what happens with one that does not is for the judge. Links and folder times come last, so that nothing is
written through a link.
"""

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import closing, suppress

from blake3 import blake3

from engine.arrival import Arriving, Judge, Piece, ReadingPlan
from engine.errors import DamagedError, RestoreError
from engine.framereader import Block, StoredArchive, read_what_is_good
from engine.frametable import Frame
from engine.member import LARGEST_FILE, Kind, Member, disk_length
from engine.progress import Progress, Report
from engine.stop import StopRequest
from engine.targetfile import TargetFile, apply_attributes
from engine.targettree import FOLDER, Tree

_CHUNK = 1 << 20


class Rebuild:
    """The folders being built. `count` files are done, with `done` bytes of content."""

    def __init__(
        self,
        make_tree: Callable[[], Tree],
        judge: Judge,
        *,
        report: Report,
        total: int,
        stop: StopRequest,
    ) -> None:
        self.count = 0
        self.done = 0
        self._tree = make_tree()
        self._ahead = make_tree()
        self._judge = judge
        self._report = report
        self._total = total
        self._stop = stop
        self._folders: list[Member] = []
        self._links: list[Member] = []
        self._begun: set[Arriving] = set()
        self._current: Arriving | None = None

    def restore_archive(
        self,
        archive: StoredArchive,
        members: Iterable[Member],
        *,
        workers: int,
        wanted: Collection[bytes] | None = None,
        by_checksum: bool = False,
    ) -> None:
        """Bring back the members, or those wanted, reading no more than their frames (`by_checksum`: see there).

        Raises DamagedError, OSError, StoppedError.
        """
        table = archive.facts.frames
        plan = ReadingPlan(table, members, wanted, self._begin_large, self._take_plain)
        indices = plan.indices()
        reading = read_what_is_good(
            archive, indices, workers=workers, on_block=plan.write, by_checksum=by_checksum
        )
        with closing(reading) as blocks:
            for index, frame, block in blocks:
                self._stop.check()
                self._take(frame, block, plan.pieces.pop(index, []))
        if self._begun:
            raise DamagedError("the archive ends before its last member")

    def restore_plain(self, members: Iterable[Member]) -> None:
        """Folders, links and empty files: what needs no archive."""
        for member in members:
            self._take_plain(member)

    def copy_in(self, descriptor: int, member: Member) -> None:
        """A file from outside the set: as many bytes as `member` says, read back and compared. Raises RestoreError, OSError."""
        file = TargetFile(self._tree, member)
        try:
            read, position = blake3(), 0
            while position < member.size:
                self._stop.check()
                chunk = os.pread(descriptor, min(_CHUNK, member.size - position), position)
                if not chunk:
                    raise RestoreError(
                        f"{os.fsdecode(member.path)} became shorter while it was copied"
                    )
                read.update(chunk)
                file.write(memoryview(chunk), position)
                position += len(chunk)
            file.finish()
        finally:
            file.close()
        parent, name = self._tree.parent(member.path)
        back = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        with os.fdopen(back, "rb") as stream:
            written = blake3()
            while chunk := stream.read(_CHUNK):
                written.update(chunk)
        if written.digest() != read.digest():
            raise RestoreError(f"{os.fsdecode(member.path)} is not what was copied")
        self.count += 1
        self.done += member.size

    def finish(self) -> None:
        """Links, then owners, modes and times of folders from the deepest up. Raises DamagedError, OSError."""
        for member in self._links:
            self._stop.check()
            try:
                self._make_link(member)
            except OSError as error:
                self._judge.unmade(member, error)
            else:
                self._judge.whole(member)
        for member in sorted(self._folders, key=lambda folder: -folder.path.count(b"/")):
            parent, name = self._tree.parent(member.path)
            descriptor = os.open(name, FOLDER, dir_fd=parent)
            try:
                apply_attributes(descriptor, member)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Give the descriptors back; more than once is fine."""
        for arriving in self._begun:
            with suppress(OSError):  # these were not done: there is nothing left to lose
                arriving.file.close()
        self._begun.clear()
        self._tree.close()
        self._ahead.close()

    # --- a few frames ahead of the reading

    def _take_plain(self, member: Member) -> None:
        """What has no content in the stream."""
        self._stop.check()
        match member.kind:
            case Kind.FOLDER:
                self._ahead.make(member.path)
                self._folders.append(member)
            case Kind.FILE:
                self._end(self._begin(member, self._ahead), self._ahead)
            case _:
                self._links.append(member)

    def _begin_large(self, member: Member) -> Arriving:
        arriving = self._begin(member, self._ahead)
        self._begun.add(arriving)
        return arriving

    def _begin(self, member: Member, tree: Tree) -> Arriving:
        if member.size > LARGEST_FILE:
            name = os.fsdecode(member.path)
            raise DamagedError(f"the set says that {name} has {member.size} bytes; no file has")
        try:
            return Arriving(TargetFile(tree, member), self._stop)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            name = os.fsdecode(member.path)
            raise DamagedError(
                f"the set holds two things named {name}: {error.strerror}"
            ) from error

    # --- what was read

    def _take(self, frame: Frame, block: Block | DamagedError, pieces: list[Piece]) -> None:
        if isinstance(block, DamagedError):
            self._judge.unreadable(block)
        for piece in pieces:
            arriving = piece.arriving or self._small(piece.member)
            self._take_piece(arriving, frame, block, piece)
            self.done += disk_length(arriving.file.member, piece.offset, piece.length)
            if arriving.is_complete:
                self._end(arriving, self._tree)
        self._report(Progress("restoring", self.done, self._total))

    def _small(self, member: Member) -> Arriving:
        """A small file is begun with its first piece."""
        if self._current is None or self._current.file.member is not member:
            self._current = self._begin(member, self._tree)
            self._begun.add(self._current)
        return self._current

    @staticmethod
    def _take_piece(
        arriving: Arriving, frame: Frame, block: Block | DamagedError, piece: Piece
    ) -> None:
        if isinstance(block, DamagedError):
            arriving.lose(piece.offset, piece.length, str(block))
            return
        low = piece.at - frame.start
        content = memoryview(block)[low : low + piece.length]
        if piece.arriving is None:
            arriving.file.write(content, piece.offset)
        arriving.take(content, piece.offset)

    def _end(self, arriving: Arriving, tree: Tree) -> None:
        arriving.finish(self._judge, tree)
        self._begun.discard(arriving)
        self.count += 1

    def _make_link(self, member: Member) -> None:
        parent, name = self._tree.parent(member.path)
        link = member.link or b""
        if member.kind is Kind.HARDLINK:
            source, source_name = self._tree.parent_beside(link)
            try:
                os.link(
                    source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
                )
            finally:
                os.close(source)
            return
        os.symlink(link, name, dir_fd=parent)
        attributes = member.attributes
        if os.geteuid() == 0:
            os.chown(name, attributes.uid, attributes.gid, dir_fd=parent, follow_symlinks=False)
        times = (attributes.mtime_ns, attributes.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
