"""Stored frames taken over where the block is the same: from the set before, and from an attempt that was in vain.

A frame is taken over only when the BLAKE3 of the block that was just read is that of the frame's table, and the
stored bytes still have the check that was kept of them when they were written: damage is never copied on.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.codec import check_of, frame_bytes, stored_limit
from engine.diskreader import read_exactly
from engine.errors import DamagedError, EngineError
from engine.framereader import open_archive
from engine.frametable import CHECK_BYTES, Frame, FrameTable
from engine.manifest import Manifest, iterate_members, read_manifest
from engine.member import Kind, Member, Seen, stored_bytes
from engine.setdigests import vouches_for_manifest
from engine.tarstream import member_end
from settings.model import CompressionRate

Read = Callable[[int, int], bytes | memoryview]
# a block by its BLAKE3 digest and its length
Block = tuple[bytes, int]
_READ_BYTES = stored_limit(1 << 20)

# lines of members with frames of their own: a quick look, which lets some others through
_LARGE = re.compile(rb'"size":[0-9]{7}.*"seen":')


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The stored bytes of a frame; `proved` when they were once read back from the disk and compared.

    `source` is the file it stands in and where, when its blocks may be shared.
    """

    frame: Frame
    stored: bytes | memoryview
    proved: bool
    source: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class TakenRun:
    """Frames that lie one behind the other, and their bytes as a whole; None for a damaged one."""

    stored: memoryview
    frames: tuple[TakenOver | None, ...]


class Lot:
    """The stored frames of one archive, found by the digest of their block; `read` takes offset and count.

    `descriptor` is that of the archive, when it is one file whose blocks may be shared.
    """

    def __init__(
        self, frames: FrameTable, read: Read, *, proved: bool, descriptor: int | None = None
    ) -> None:
        self._descriptor = descriptor
        self.damaged: set[int] = set()
        self.frames = frames
        self._read = read
        self._proved = proved
        # two rows of numbers, sorted alike: a dictionary takes eight times the memory
        keys = array("Q", map(_key, frames.digests()))
        self._order = array("Q", sorted(range(len(keys)), key=keys.__getitem__))
        self._keys = array("Q", map(keys.__getitem__, self._order))

    def find_all(self, blocks: Sequence[Block]) -> list[TakenOver | None]:
        """For each block the frame that holds it, whole; None when there is none. Any thread may ask."""
        indices = [self._index_of(*block) for block in blocks]
        taken = iter(self.take_all([index for index in indices if index is not None]))
        return [None if index is None else next(taken) for index in indices]

    def take_all(self, indices: Sequence[int]) -> list[TakenOver | None]:
        """The frames with these indices; None, and counted, for one that is damaged. Any thread may ask.

        Those that lie one behind the other are read at once, which a disk does in less time.
        """
        return [one for run in self.runs(indices) for one in self.take_run(run).frames]

    def runs(self, indices: Iterable[int]) -> Iterator[list[int]]:
        """The same indices in order, those together that are to be taken at once."""
        run: list[int] = []
        stored = 0
        for index in indices:
            frame = self.frames.frame(index)
            if run and (index != run[-1] + 1 or stored + frame.stored > _READ_BYTES):
                yield run
                run, stored = [], 0
            run.append(index)
            stored += frame.stored
        if run:
            yield run

    def take_run(self, indices: Sequence[int]) -> TakenRun:
        """Frames that lie one behind the other; None, and counted, for one that is damaged. Any thread may ask."""
        frames = [self.frames.frame(index) for index in indices]
        start = frames[0].offset
        try:
            stored = memoryview(self._read(start, frames[-1].offset + frames[-1].stored - start))
        except (OSError, DamagedError):
            stored = memoryview(b"")
            if len(indices) > 1:
                each = (one for index in indices for one in self.take_run([index]).frames)
                return TakenRun(stored, tuple(each))
        each = (
            self._judge(index, frame, stored[frame.offset - start :][: frame.stored])
            for index, frame in zip(indices, frames, strict=True)
        )
        return TakenRun(stored, tuple(each))

    def _judge(self, index: int, frame: Frame, stored: memoryview) -> TakenOver | None:
        if check_of(stored) != frame.check:
            self.damaged.add(index)
            return None
        source = None if self._descriptor is None else (self._descriptor, frame.offset)
        return TakenOver(frame, stored, self._proved, source)

    def _index_of(self, digest: bytes, raw: int) -> int | None:
        key = _key(digest)
        at = bisect_left(self._keys, key)
        if at == len(self._keys) or self._keys[at] != key or not raw:
            return None
        index = self._order[at]
        frame = self.frames.frame(index)
        is_it = frame.digest == digest and frame.raw == raw and len(frame.check) == CHECK_BYTES
        return index if is_it else None


def _key(digest: bytes) -> int:
    return int.from_bytes(digest[:8])


class Known:
    """All frames that may be taken over into one archive.

    `before` are those of the set before; those of an attempt are kept while it is made again, when `reserve` bytes
    are free for what is still to be written.
    """

    def __init__(self, before: Sequence[Lot] = (), reserve: int = 0) -> None:
        self.reserve = reserve
        self._before = tuple(before)
        self._attempt: Lot | None = None
        self._room: BinaryIO | None = None

    @property
    def is_on_disk(self) -> bool:
        """Whether there is a set before, whose frames are read from the disk itself."""
        return bool(self._before)

    def find_all(self, blocks: Sequence[Block]) -> list[TakenOver | None]:
        """For each block its frame, of whichever lot. Any thread may ask."""
        lots = self._before if self._attempt is None else (self._attempt, *self._before)
        found: list[TakenOver | None] = [None] * len(blocks)
        for lot in lots:
            missing = [at for at, one in enumerate(found) if one is None]
            for at, one in zip(missing, lot.find_all([blocks[at] for at in missing]), strict=True):
                found[at] = one
        return found

    def keep_attempt(self, stored: BinaryIO, frames: FrameTable) -> None:
        """Offer the frames of an attempt that was in vain, in place of those of the last one; `stored` is ours now."""
        self.forget_attempt()
        self._room = stored
        descriptor = stored.fileno()

        def read(offset: int, count: int) -> bytes:
            return read_exactly(descriptor, offset, count)

        self._attempt = Lot(frames, read, proved=False)

    def forget_attempt(self) -> None:
        """Give its room back; nobody may be asking."""
        self._attempt = None
        if self._room is not None:
            self._room.close()
            self._room = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A large file nobody wrote to since the set before: what that set says of it, and the frames of its content."""

    member: Member
    lot: Lot
    indices: tuple[int, ...]


class TakenInVain(Exception):  # noqa: N818 - not an error: all is read instead
    """A frame that was counted on is damaged."""


class SetBefore:
    """The frames of an older set, while a new one is written; its `folder`, when the first of its lots is a tar archive."""

    def __init__(
        self, lots: Sequence[Lot] = (), name: str = "", folder: Path | None = None
    ) -> None:
        self.lots = tuple(lots)
        self.folder = folder
        self._name = name
        members = () if folder is None else iterate_members(folder, like=_LARGE)
        self._members = {member.path: member for member in members}

    def unchanged(
        self, path: bytes, size: int, mtime_ns: int, seen: Seen | None
    ) -> Unchanged | None:
        """The file of this path when it is the same one and has not been written to; else None."""
        member = self._members.get(path)
        if member is None or seen is None or member.seen != seen or member.kind is not Kind.FILE:
            return None
        if member.size != size or member.attributes.mtime_ns != mtime_ns:
            return None
        frames = self.lots[0].frames
        stored = stored_bytes(member)
        span = frames.covering(member.data, member.data + stored)
        indices = tuple(filter(frames.raw_bytes_of, span))
        if not indices:
            return None
        first, last = frames.frame(indices[0]), frames.frame(indices[-1])
        is_alone = first.start == member.data and last.start + last.raw == member_end(member)
        # an archive has one grid of cuts, and older sets have another
        fits = max(map(frames.raw_bytes_of, indices)) <= frame_bytes(size)
        return Unchanged(member, self.lots[0], indices) if is_alone and fits else None

    def notes(self) -> tuple[str, ...]:
        """What is to be said of it: damage that was met there."""
        damaged = sum(len(lot.damaged) for lot in self.lots)
        if not damaged:
            return ()
        note = (
            f"{self._name}: {damaged} frames are damaged there and were not taken over, this set is not"
            f" harmed; look with: backup4d verify, and repair or remove {self._name}"
        )
        return (note,)


@contextmanager
def set_before(folder: Path | None, rate: CompressionRate) -> Iterator[SetBefore]:
    """Open the archives of a set whose frames may be taken over into one of this rate.

    There are none without compression, in a set of another rate, in one that cannot be read or whose manifest nothing
    vouches for, and in one of an older release, which kept no checks: the backup then does without.
    """
    if folder is None or rate is CompressionRate.NONE or not vouches_for_manifest(folder):
        yield SetBefore()
        return
    with ExitStack() as stack:
        before = SetBefore()
        with suppress(EngineError, OSError):
            manifest = read_manifest(folder)
            lots = list(_lots(manifest, rate, stack))
            is_tar = bool(lots) and manifest.archives[0].stream == "tar"
            before = SetBefore(lots, folder.name, folder if is_tar else None)
        yield before


def _lots(manifest: Manifest, rate: CompressionRate, stack: ExitStack) -> Iterator[Lot]:
    values = manifest.settings.get("values")
    if not isinstance(values, dict) or values.get("compression") != rate.value:
        return
    for facts in manifest.archives:
        if facts.compression == "zstd" and facts.frames.has_checks:
            archive = stack.enter_context(open_archive(manifest.folder, facts, past_cache=0))
            yield Lot(
                facts.frames,
                archive.read,
                proved=manifest.facts.checked,
                descriptor=archive.only_descriptor,
            )
