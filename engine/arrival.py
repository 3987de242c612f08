"""Which frames of an archive are read for which members, and how each file comes in: digest, gaps, verdict."""

import errno
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from blake3 import blake3

from engine.codec import digest_zeros
from engine.errors import DamagedError
from engine.framereader import Block
from engine.frametable import FrameTable
from engine.member import Kind, Member, content_extents, stored_bytes
from engine.stop import StopRequest
from engine.targetfile import TargetFile
from engine.targettree import Tree

Spans = tuple[tuple[int, int], ...]
_HOLE_STEP = 1 << 30
# what no file system is to blame for: two things of one name, or a link to what is not there
_THE_SETS_FAULT = (
    *(errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
    *(errno.ENAMETOOLONG, errno.EINVAL),
)
# few enough of them are in the frames on the way to keep them open; smaller ones cost less written at once
_BEGUN_AHEAD = 64 << 10


class Judge(Protocol):
    """Says what becomes of members."""

    def whole(self, member: Member) -> None:
        """It came back, and its digest is the manifest's."""
        ...

    def damaged(self, member: Member, lost: Spans, why: str) -> bytes:
        """It did not: the name that what there is of it gets, or DamagedError is raised.

        `lost` are the (offset, length) of its content that could not be read; without any, the content is
        not what the manifest says.
        """
        ...

    def unreadable(self, damage: DamagedError) -> None:
        """A frame cannot be read, whatever it holds."""
        ...

    def unmade(self, member: Member, error: OSError) -> None:
        """A link cannot be made. Raises DamagedError or the error when that is the end of all."""
        ...


class Strict:
    """All or nothing."""

    def whole(self, member: Member) -> None:
        pass

    def damaged(self, member: Member, lost: Spans, why: str) -> bytes:
        raise DamagedError(why)

    def unreadable(self, damage: DamagedError) -> None:
        raise damage

    def unmade(self, member: Member, error: OSError) -> None:
        if error.errno not in _THE_SETS_FAULT:
            raise error
        name = os.fsdecode(member.path)
        raise DamagedError(f"the link {name} cannot be made: {error.strerror}") from error


class Arriving:
    """One file while its content comes in, in order."""

    def __init__(self, file: TargetFile, stop: StopRequest) -> None:
        self.file = file
        self._stop = stop
        self._digest = blake3()
        self._position = 0
        self._left = stored_bytes(file.member)
        self._lost: list[tuple[int, int]] = []
        self._why = ""

    @property
    def is_complete(self) -> bool:
        """Whether all of it has passed by."""
        return self._left == 0

    def take(self, content: memoryview, offset: int) -> None:
        """What was written at this offset of the file."""
        if not self._lost:
            self._pass_hole(offset)
            self._digest.update(content)
        self._position = offset + len(content)
        self._left -= len(content)

    def lose(self, offset: int, length: int, why: str) -> None:
        """This part of it cannot be read."""
        self._why = self._why or why
        if self._lost and sum(self._lost[-1]) == offset:
            self._lost[-1] = (self._lost[-1][0], self._lost[-1][1] + length)
        else:
            self._lost.append((offset, length))
        self._left -= length

    def finish(self, judge: Judge, tree: Tree) -> None:
        """Compare, give it its attributes, close it; a damaged one gets the name the judge says."""
        member = self.file.member
        why = self._what_is_wrong()
        new_name = None
        if why:
            new_name = judge.damaged(member, tuple(self._lost), why)
        self.file.finish()
        self.file.close()
        if new_name is None:
            judge.whole(member)
            return
        parent, name = tree.parent(member.path)
        os.rename(name, new_name, src_dir_fd=parent, dst_dir_fd=parent)

    def _what_is_wrong(self) -> str:
        name = os.fsdecode(self.file.member.path)
        if self._lost:
            return f"{name}: {self._why}"
        self._pass_hole(self.file.member.size)
        if self._digest.hexdigest() != self.file.member.digest:
            return f"{name} came back with a digest that is not the manifest's"
        return ""

    def _pass_hole(self, offset: int) -> None:
        """A hole counts as zeros."""
        while self._position < offset:
            self._stop.check()
            step = min(offset - self._position, _HOLE_STEP)
            digest_zeros(self._digest, step)
            self._position += step


@dataclass(slots=True)
class Piece:
    """A part of a frame that is a part of a file: `at` in the stream is `offset` in the file.

    `arriving` is None for a small file, which is made when its only frame has come.
    """

    member: Member
    at: int
    offset: int
    length: int
    arriving: Arriving | None


@dataclass(slots=True)
class ReadingPlan:
    """Made while the reading goes on, a few frames ahead of it; large files are begun here."""

    frames: FrameTable
    members: Iterable[Member]
    wanted: Collection[bytes] | None
    begin_large: Callable[[Member], Arriving]
    take_plain: Callable[[Member], None]
    pieces: dict[int, list[Piece]] = field(default_factory=dict)
    _queue: deque[int] = field(default_factory=deque)
    _next: int = 0

    def indices(self) -> Iterator[int]:
        """The frames to read, in order; when one comes out, all that it holds is known.

        When everything is wanted every frame is read: also what holds no content is compared.
        """
        left = set(self.wanted or ())
        for member in self.members:
            if self.wanted is not None:
                if not left:
                    break
                if member.path not in self.wanted:
                    continue
                left.discard(member.path)
            if member.kind is not Kind.FILE or stored_bytes(member) == 0:
                self.take_plain(member)
                continue
            for index, piece in self._pieces_of(member):
                yield from self._ready(index)
                self._want(index)
                self.pieces.setdefault(index, []).append(piece)
        if self.wanted is None:
            self._want(len(self.frames) - 1)
        yield from self._queue

    def write(self, index: int, block: Block) -> None:
        """Write what the block holds of large files; called by the threads that unpack. Raises OSError."""
        start = self.frames.frame(index).start
        for piece in self.pieces.get(index, ()):
            if piece.arriving is not None:
                low = piece.at - start
                piece.arriving.file.write(memoryview(block)[low : low + piece.length], piece.offset)

    def _pieces_of(self, member: Member) -> Iterator[tuple[int, Piece]]:
        at = member.data
        span = self.frames.covering(at, at + stored_bytes(member))
        is_large = len(span) > 1 or member.size >= _BEGUN_AHEAD
        arriving = self.begin_large(member) if is_large else None
        for offset, length in content_extents(member):
            for index in self.frames.covering(at, at + length):
                frame = self.frames.frame(index)
                low = max(at, frame.start)
                high = min(at + length, frame.start + frame.raw)
                yield index, Piece(member, low, offset + low - at, high - low, arriving)
            at += length

    def _want(self, index: int) -> None:
        if self.wanted is None:
            self._queue.extend(range(self._next, index + 1))
        elif index >= self._next:
            self._queue.append(index)
        self._next = max(self._next, index + 1)

    def _ready(self, before: int) -> Iterator[int]:
        while self._queue and self._queue[0] < before:
            yield self._queue.popleft()
