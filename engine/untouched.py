"""Small files nobody touched since the set before: a whole frame of them is taken over, and none of them opened.

What is found is compared with the members of that set, in its order. As long as they are the same, they wait; when a
frame of the old archive is filled by them, it is the next frame of the new one. Else they are read like all others.
"""

import os
import stat
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from engine.content import Root
from engine.errors import EngineError
from engine.frametable import FrameTable
from engine.manifest import iterate_members
from engine.member import Kind, Member, Role, Seen
from engine.reuse import Lot, SetBefore
from engine.sourcefile import TrueTimes, attributes_of
from engine.tarstream import member_end
from engine.walk import Found

# What was removed since the set before is passed over as long as it is no more than this in one stretch.
_AHEAD = 512
# Smaller frames are made anew with what comes before or behind, or they would become smaller from set to set.
_LEAST_BYTES = 64 << 10
# open at once, of the 1,024 files that a process may usually have open
_MOST_FOLDERS = 320

Reading = tuple[Root, Found]


@contextmanager
def untouched_since(before: SetBefore) -> Iterator["Untouched | None"]:
    """Who compares with the set before; None where there is none to compare with."""
    if before.folder is None:
        yield None
        return
    with closing(_members_of(before.folder)) as members:
        untouched = Untouched(before.lots[0], members)
        try:
            yield untouched
        finally:
            untouched.let_go()


def _members_of(folder: Path) -> Generator[Member, None, None]:
    """All up to the first that cannot be read: what comes behind is not taken over."""
    with suppress(EngineError):
        yield from iterate_members(folder)


class Archive(Protocol):
    """Where members go."""

    def waiting_bytes(self) -> int:
        """How much of the frame that is being filled is there."""
        ...

    def take_frame(self, lot: Lot, index: int, members: list[Member]) -> None:
        """Store a frame as it is; `members` lie in it, and their offsets are those of the lot's stream."""
        ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    root: Root
    found: Found
    member: Member


class Untouched:
    """Takes what is found one by one, in the order of the archive, and says what has to be read.

    `members` are all of the set before, in its order; `lot` is its main archive.
    """

    def __init__(self, lot: Lot, members: Iterator[Member]) -> None:
        self._lot = lot
        self._members = members
        self._times = TrueTimes()
        self._ahead: deque[Member] = deque()
        self._paths: set[bytes] = set()
        self._waiting: list[_Waiting] = []
        self._folders: dict[tuple[int, int], int] = {}
        self._index = self._end = 0

    def offer(self, root: Root, found: Found, archive: Archive) -> Iterator[Reading]:
        """What has to be read now, in this order: nothing, this one, or those that waited, too.

        What is given out can be opened until the next one is asked for. Raises OSError of the output.
        """
        member = self._same(found)
        if member is not None and self._waits(root, found, member, archive):
            return
        yield from self.rest()
        yield root, found

    def rest(self) -> Iterator[Reading]:
        """What waits still, to be read now."""
        waiting, self._waiting = self._waiting, []
        try:
            for one in waiting:
                yield one.root, one.found
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Close the folders that were kept open for what waits."""
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders.clear()

    def _waits(self, root: Root, found: Found, member: Member, archive: Archive) -> bool:
        """Whether it can wait for the others of its frame; the last one of a frame has that taken over."""
        frames = self._lot.frames
        if not self._waiting:
            if _LEAST_BYTES > archive.waiting_bytes() > 0:
                return False
            index = _frame_of(frames, member)
            if index is None:
                return False
            self._index, self._end = index, member.header + frames.raw_bytes_of(index)
        elif member.header != member_end(self._waiting[-1].member):
            return False
        missing = self._end - member_end(member)
        folder = self._kept_folder(found) if missing > 0 else found.folder
        if missing < 0 or folder is None:
            return False
        same = member if member.role is root.role else replace(member, role=root.role)
        self._waiting.append(_Waiting(root, replace(found, folder=folder), same))
        if missing == 0:
            members = [one.member for one in self._waiting]
            self._waiting.clear()
            self.let_go()
            archive.take_frame(self._lot, self._index, members)
        return True

    def _kept_folder(self, found: Found) -> int | None:
        """The walk closes a folder behind it."""
        facts = os.fstat(found.folder)
        identity = (facts.st_dev, facts.st_ino)
        kept = self._folders.get(identity)
        if kept is None and len(self._folders) < _MOST_FOLDERS:
            with suppress(OSError):
                kept = self._folders[identity] = os.dup(found.folder)
        return kept

    # --- the set before

    def _same(self, found: Found) -> Member | None:
        """What the set before says of it, when it is still so."""
        member = self._member_of(found.path)
        if member is None or member.role is Role.LOG:
            return None
        facts, kind = found.facts, stat.S_IFMT(found.facts.st_mode)
        if member.attributes != attributes_of(facts):
            return None
        if kind == stat.S_IFDIR:
            return member if member.kind is Kind.FOLDER else None
        if kind == stat.S_IFLNK:
            return member if member.kind is Kind.SYMLINK and _leads_alike(found, member) else None
        is_file = kind == stat.S_IFREG and member.kind is Kind.FILE
        return member if is_file and self._is_same_file(found, member) else None

    def _is_same_file(self, found: Found, member: Member) -> bool:
        facts = found.facts
        return (
            member.seen == Seen(facts.st_ino, facts.st_ctime_ns)
            and member.size == facts.st_size
            and facts.st_nlink == 1  # of several names, the first one met holds the content
            and member.extents is None
            and self._times.are_kept(found.folder, facts)
        )

    def _member_of(self, path: bytes) -> Member | None:
        """The member of this path, when it is one of the next."""
        self._look_ahead()
        if path not in self._paths:
            self._pass_what_is_gone(path)
            return None
        while (member := self._pass_one()).path != path:
            pass
        return member

    def _pass_what_is_gone(self, path: bytes) -> None:
        """Within one folder of the application the order is that of the parts of a path: what comes before is no more."""
        parts = path.split(b"/")
        while self._ahead:
            next_parts = self._ahead[0].path.split(b"/")
            if next_parts[0] != parts[0] or next_parts >= parts:
                return
            self._pass_one()
            self._look_ahead()

    def _pass_one(self) -> Member:
        member = self._ahead.popleft()
        self._paths.discard(member.path)
        return member

    def _look_ahead(self) -> None:
        if len(self._ahead) > _AHEAD // 2:
            return
        for member in islice(self._members, _AHEAD - len(self._ahead)):
            self._paths.add(member.path)
            self._ahead.append(member)


def _leads_alike(found: Found, member: Member) -> bool:
    try:
        link = os.readlink(found.name, dir_fd=found.folder)
    except OSError:
        return False  # the reading will say why
    return os.fsencode(link) == member.link


def _frame_of(frames: FrameTable, member: Member) -> int | None:
    """The frame that begins with this member, when it is worth taking over."""
    covering = frames.covering(member.header, member.header + 1)
    for index in covering:
        frame = frames.frame(index)
        if frame.start == member.header and frame.raw >= _LEAST_BYTES:
            return index
    return None
