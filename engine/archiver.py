"""From files found to members of an archive; a file that changes under the reading is read again.

A copy is taken as whole only when size, times and identity were the same before and after it was read
(spec lessons: a torn copy is never published). A log may grow: it is append-only, and what stood there
when the reading began is kept.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from blake3 import blake3

from engine.batch import Batch
from engine.clones import Clone
from engine.codec import FRAME_BYTES, digest_zeros, frame_bytes
from engine.errors import SourceError
from engine.footprint import Footprint
from engine.framewriter import FrameWriter
from engine.host import pause
from engine.member import Attributes, Kind, Member, Role, Seen, stored_bytes
from engine.memberspool import MemberSpool
from engine.patience import Patience
from engine.reuse import Lot, SetBefore, TakenInVain
from engine.sourcefile import (
    FAILING_DISK,
    ReadError,
    TrueTimes,
    Vanished,
    Watcher,
    attributes_of,
    fill,
    find_extents,
    is_still,
    is_young,
    make_clean,
    open_source,
)
from engine.stop import StopRequest
from engine.tarstream import END, member_header, padding
from engine.walk import Found

# Two writes within one tick of the kernel's clock leave the same time stamp (4 ms at 250 Hz): a file is
# only believed to be still when its last change is older than this before the reading starts.
_SETTLED_NS = 50_000_000
_SPECIAL = {
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def _unreadable(path: bytes, why: object) -> SourceError:
    return SourceError(f"{os.fsdecode(path)} cannot be read: {why}", hint=FAILING_DISK)


class Archiver:
    """Writes members into one archive and their description into the spool."""

    def __init__(
        self,
        frames: FrameWriter,
        spool: MemberSpool,
        patience: Patience,
        *,
        before: SetBefore,
        stop: StopRequest,
        watcher: Watcher,
    ) -> None:
        self.skipped: list[tuple[str, str]] = []
        self.left_out: list[tuple[str, str]] = []
        self.content_bytes = 0
        self._frames = frames
        self._spool = spool
        self._patience = patience
        self._before = before
        self._stop = stop
        self._watcher = watcher
        self._start = frames.mark()
        self._batch = Batch(frames)
        self._took_frames = False
        self._times = TrueTimes()
        self._links: dict[tuple[int, int], bytes] = {}

    def add(self, found: Found, role: Role) -> None:
        """Store what was found. Raises SourceError, OSError of the output, StoppedError."""
        self._stop.check()
        kind = stat.S_IFMT(found.facts.st_mode)
        if kind == stat.S_IFREG:
            self._add_file(found, role)
        elif kind == stat.S_IFDIR:
            self._add_plain(found, role, Kind.FOLDER)
        elif kind == stat.S_IFLNK:
            link = os.fsencode(os.readlink(found.name, dir_fd=found.folder))
            self._add_plain(found, role, Kind.SYMLINK, link=link)
        else:
            self.left_out.append(
                (os.fsdecode(found.path), f"a {_SPECIAL.get(kind, 'special file')}")
            )

    def add_clone(self, path: bytes, role: Role, clone: Clone) -> None:
        """Store a file from its clone, which nobody writes to. Raises as `add`."""
        with self._alone():
            facts = os.fstat(clone.descriptor)
            member = self._take_over(path, role, facts.st_size, clone.attributes, clone.seen)
            if member is None:
                member = self._read_clone(path, role, clone, facts)
        self._done(replace(member, seen=clone.seen), 0)

    def _read_clone(self, path: bytes, role: Role, clone: Clone, facts: os.stat_result) -> Member:
        try:
            member = self._stream(path, role, clone.descriptor, facts, clone.attributes)
        except ReadError as error:
            raise _unreadable(path, error) from error
        if member is None:
            raise _unreadable(path, "its clone became shorter")
        return member

    def start_over(self) -> None:
        """Forget everything that was stored, as if nothing had been read yet. Raises OSError."""
        self._batch.forget()
        with self._batch.aside():
            self._frames.rewind(self._start)
        self._took_frames = False
        self._spool.start_over()
        self._links.clear()
        self.skipped.clear()
        self.left_out.clear()
        self.content_bytes = 0

    def waiting_bytes(self) -> int:
        """How much of the frame that is being filled is there."""
        return self._batch.filled

    def take_frame(self, lot: Lot, index: int, members: Iterable[Member]) -> None:
        """Store a frame of a lot as it is, with the members in it, whose offsets are those of the lot's stream.

        Raises as `add`.
        """
        self._stop.check()
        self._batch.flush()
        moved = self._batch.position - lot.frames.frame(index).start
        self._frames.submit_stored(lot, [index])
        self._took_frames = True
        for member in members:
            header, data = member.header + moved, member.data + moved
            self._done(replace(member, header=header, data=data) if moved else member, member.size)

    def judge_taken(self) -> None:
        """Wait until every frame is stored. Raises TakenInVain when one that was taken was damaged."""
        with self._alone():
            pass

    def finish(self) -> None:
        """Close the tar stream."""
        self._batch.put(END)
        self._batch.flush()
        self._batch.leave()

    # --- members without content

    def _add_plain(self, found: Found, role: Role, kind: Kind, *, link: bytes = b"") -> None:
        attributes = attributes_of(found.facts)
        header = member_header(found.path, kind, attributes, link=link)
        at = self._put(header)
        self._spool.add(
            Member(
                found.path,
                kind,
                role,
                0,
                attributes,
                at,
                at + len(header),
                link=link or None,
            )
        )

    # --- files

    def _add_file(self, found: Found, role: Role) -> None:
        identity = (found.facts.st_dev, found.facts.st_ino)
        first = self._links.get(identity)
        if first is not None:
            self._add_plain(found, role, Kind.HARDLINK, link=first)
            return
        descriptor = open_source(found)
        try:
            opened = os.fstat(descriptor)
            if not stat.S_ISREG(opened.st_mode):
                raise Vanished  # something else took its place since it was listed
            if opened.st_size < FRAME_BYTES:
                self._add_small(found, role, descriptor)
            else:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
                self._add_large(found, role, descriptor)
        except ReadError as error:
            raise _unreadable(found.path, error) from error
        finally:
            os.close(descriptor)
        if opened.st_nlink > 1:
            self._links[opened.st_dev, opened.st_ino] = found.path

    def _add_small(self, found: Found, role: Role, descriptor: int) -> None:
        while True:
            before = self._settle(descriptor, found.path)
            size, attributes = before.st_size, attributes_of(before)
            if size >= FRAME_BYTES:
                self._add_large(found, role, descriptor)
                return
            began = self._patience.now()
            header = member_header(found.path, Kind.FILE, attributes, size=size)
            place = self._batch.place(len(header) + size + padding(size))
            content = place[len(header) : len(header) + size]
            if fill(descriptor, content, 0) and is_still(before, os.fstat(descriptor), role):
                break
            self._patience.again(found.path, began)
        place[: len(header)] = header
        place[len(header) + size :] = bytes(padding(size))
        at, digest = self._batch.position, blake3(content).hexdigest()
        self._batch.take(place)
        data = at + len(header)
        seen = self._times.seen(descriptor, before)
        self._done(
            Member(
                found.path, Kind.FILE, role, size, attributes, at, data, digest=digest, seen=seen
            ),
            size,
        )

    def _add_large(self, found: Found, role: Role, descriptor: int) -> None:
        with self._alone():
            facts = self._settle(descriptor, found.path)
            seen = self._times.seen(descriptor, facts)
            size, attributes = facts.st_size, attributes_of(facts)
            member = self._take_over(found.path, role, size, attributes, seen)
            if member is None:
                member = self._read_until_still(found.path, role, descriptor, facts)
        self._done(member, 0)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The stream without the batch of small members; nothing in it is in doubt."""
        with self._batch.aside():
            if self._took_frames and not self._frames.took_all():
                raise TakenInVain
            yield

    def _read_until_still(
        self, path: bytes, role: Role, descriptor: int, before: os.stat_result
    ) -> Member:
        """`before` are its facts once it had settled; whoever wrote to it since is seen after the reading."""
        mark = self._frames.mark()
        while True:
            began = self._patience.now()
            attributes = attributes_of(before)
            try:
                member = self._stream(path, role, descriptor, before, attributes)
            except ReadError:
                self._frames.rewind(mark)  # the backup goes on when it is an attachment
                raise
            if member is not None and is_still(before, os.fstat(descriptor), role):
                return replace(member, seen=self._times.seen(descriptor, before))
            self._frames.rewind(mark)
            self._patience.again(path, began)
            before = self._settle(descriptor, path)

    def _take_over(
        self, path: bytes, role: Role, size: int, attributes: Attributes, seen: Seen | None
    ) -> Member | None:
        """A file nobody wrote to since the set before, from there; None when it has to be read."""
        unchanged = self._before.unchanged(path, size, attributes.mtime_ns, seen)
        if unchanged is None:
            return None
        old, mark = unchanged.member, self._frames.mark()
        header = member_header(path, Kind.FILE, attributes, size=size, extents=old.extents)
        at = self._frames.position
        self._submit_bytes(header)
        for indices in unchanged.lot.runs(unchanged.indices):
            self._stop.check()
            self._watcher(self._frames.submit_stored(unchanged.lot, indices))
        if not self._frames.took_all():
            self._frames.rewind(mark)
            return None
        return replace(
            old, role=role, attributes=attributes, header=at, data=at + len(header), seen=seen
        )

    def _stream(
        self,
        path: bytes,
        role: Role,
        descriptor: int,
        facts: os.stat_result,
        attributes: Attributes,
    ) -> Member | None:
        """Send one reading through; None when the file became shorter meanwhile."""
        size = facts.st_size
        cut = frame_bytes(size)
        extents = find_extents(descriptor, facts, cut)
        header = member_header(path, Kind.FILE, attributes, size=size, extents=extents)
        at = self._frames.position
        self._submit_bytes(header)
        digest = blake3()
        position = 0
        footprint = Footprint(descriptor, size)
        for offset, length in extents if extents is not None else ((0, size),):
            digest_zeros(digest, offset - position)
            if not self._stream_extent(footprint, offset, length, cut, digest):
                return None
            position = offset + length
        footprint.leave()
        digest_zeros(digest, size - position)
        return Member(
            path,
            Kind.FILE,
            role,
            size,
            attributes,
            at,
            at + len(header),
            digest=digest.hexdigest(),
            extents=extents,
        )

    def _stream_extent(
        self, footprint: Footprint, start: int, length: int, cut: int, digest: blake3
    ) -> bool:
        end = start + length
        step = max(cut, FRAME_BYTES)  # two frames at once: less to do for each
        for offset in range(start, end, step):
            self._stop.check()
            count = min(step, end - offset)
            buffer = self._frames.buffer(step)
            whole = False
            try:
                with memoryview(buffer)[:count] as block:
                    whole = footprint.fill(block, offset)
                    if whole:
                        digest.update(block)
            finally:
                if not whole:
                    self._frames.give_back(buffer)
            if not whole:
                return False
            tail = padding(length) if offset + count == end else 0
            buffer[count : count + tail] = bytes(tail)
            self._frames.submit(buffer, count + tail, cut)
            self._watcher(count)
        return True

    def _settle(self, descriptor: int, path: bytes) -> os.stat_result:
        """Facts of the file once its last change is old enough to be told from the next one, whoever makes it."""
        while True:
            self._stop.check()
            began = self._patience.now()
            facts = os.fstat(descriptor)
            if not is_young(facts, self._patience.instant_ns(), _SETTLED_NS):
                # after the facts: what is written before its page is clean is in the copy, all else is seen
                make_clean(descriptor, facts.st_size)
                if is_still(facts, os.fstat(descriptor), Role.DATA):
                    return facts
            pause(_SETTLED_NS / 1e9)
            self._patience.again(path, began)

    # --- the stream

    def _put(self, header: bytes) -> int:
        at = self._batch.position
        self._batch.put(header)
        return at

    def _submit_bytes(self, data: bytes) -> None:
        buffer = self._frames.buffer(len(data))
        buffer[: len(data)] = data
        self._frames.submit(buffer, len(data))

    def _done(self, member: Member, unreported: int) -> None:
        self._spool.add(member)
        self.content_bytes += stored_bytes(member)
        if unreported:
            self._watcher(unreported)
