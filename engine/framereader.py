"""From frames on the disk back to the stream: in order, on all cores, in constant memory."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from engine.codec import check_of, decompress_frame, digest_of
from engine.diskreader import DiskReader, PieceReader
from engine.errors import DamagedError, DamagedFrameError, MissingSetError
from engine.fourd.blockstream import unpack_run
from engine.frametable import Frame
from engine.manifest import FOURD, ArchiveFacts

Block = bytes | memoryview
OnStored = Callable[[Block], None]
# called in a thread of the pool, with the index of the frame
OnBlock = Callable[[int, Block], None]


# ours hold 4 MiB at most, but for the map of a huge sparse file; a larger one would only fill our memory
LARGEST_FRAME = 32 << 20


class _Reader(Protocol):
    descriptor: int

    def read(self, offset: int, count: int) -> Block: ...

    def close(self) -> None: ...


class _CachedReader:
    """A file read through the page cache."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self.descriptor = os.open(path, flags)

    def read(self, offset: int, count: int) -> bytes:
        return os.pread(self.descriptor, count, offset)

    def close(self) -> None:
        os.close(self.descriptor)


class StoredArchive:
    """The files of one archive as one run of bytes."""

    def __init__(
        self, folder: Path, facts: ArchiveFacts, readers: Sequence[_Reader | None]
    ) -> None:
        self.facts = facts
        self.name = facts.files[0].name
        self._readers = readers
        self._starts = list(accumulate((file.size for file in facts.files), initial=0))
        self._folder = folder

    @property
    def only_descriptor(self) -> int | None:
        """That of the file, when it is only one."""
        only = self._readers[0] if len(self._readers) == 1 else None
        return None if only is None else only.descriptor

    def read(self, offset: int, count: int) -> Block:
        """Bytes of the archive. Raises DamagedError when the disk fails or the file ends too early."""
        parts: list[Block] = []
        for index in range(len(self._readers)):
            start, end = self._starts[index], self._starts[index + 1]
            if start <= offset < end and count > 0:
                part = self._read_one(index, offset - start, min(count, end - offset))
                parts.append(part)
                offset += len(part)
                count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_one(self, index: int, offset: int, count: int) -> Block:
        path = self._folder / self.facts.files[index].name
        reader = self._readers[index]
        if reader is None:
            raise DamagedError(f"{path} is not there or cannot be opened")
        try:
            data = reader.read(offset, count)
        except OSError as error:
            raise DamagedError(
                f"{path} cannot be read at byte {offset}: {error.strerror}"
            ) from error
        if len(data) != count:
            raise DamagedError(f"{path} ends at byte {offset + len(data)}, too early")
        return data


def frames_in_flight(workers: int) -> int:
    """How many frames are in memory at once, at most."""
    return workers + 3


@contextmanager
def open_archive(
    folder: Path, facts: ArchiveFacts, *, past_cache: int | None = None
) -> Iterator[StoredArchive]:
    """Open all files of an archive and compare their lengths with the manifest.

    `past_cache` reads from the disk itself and is the number of workers that use what was read, in rising order;
    0: in any order, by any thread. Raises MissingSetError for a file that is not there, DamagedError for a wrong length.
    """
    readers: list[_Reader] = []
    try:
        for file in facts.files:
            path = folder / file.name
            readers.append(_open_one(path, facts, past_cache))
            size = os.fstat(readers[-1].descriptor).st_size
            if size != file.size:
                raise DamagedError(f"{path} has {size} bytes, the manifest says {file.size}")
        yield StoredArchive(folder, facts, readers)
    finally:
        for reader in readers:
            reader.close()


@contextmanager
def open_what_is_there(folder: Path, facts: ArchiveFacts) -> Iterator[StoredArchive]:
    """The same for a damaged archive: files may be missing or have another length; reading there is damage."""
    readers: list[_Reader | None] = []
    try:
        for file in facts.files:
            reader: _Reader | None = None
            with suppress(MissingSetError):
                reader = _open_one(folder / file.name, facts, None)
            readers.append(reader)
        yield StoredArchive(folder, facts, readers)
    finally:
        for reader in readers:
            if reader is not None:
                reader.close()


def _open_one(path: Path, facts: ArchiveFacts, past_cache: int | None) -> _Reader:
    try:
        if past_cache is None:
            return _CachedReader(path)
        if past_cache == 0:
            return PieceReader(path)
        return DiskReader(path, frames_in_flight(past_cache) * facts.frames.largest_stored)
    except OSError as error:
        raise MissingSetError(f"{path} cannot be opened: {error.strerror}") from error


def read_blocks(
    archive: StoredArchive,
    indices: Iterable[int],
    *,
    workers: int,
    pool: ThreadPoolExecutor | None = None,
    on_stored: OnStored | None = None,
    on_block: OnBlock | None = None,
) -> Generator[tuple[Frame, Block], None, None]:
    """The blocks of the frames in order, each compared with its digest.

    Whoever may stop early closes it: left to the garbage collector, it would wait for threads in one of them.
    A block is valid until the next one is asked for. `on_stored` sees the stored bytes in order; `on_block`
    takes each good block before it comes out here; `pool` lends its threads. A frame that is proved is compared
    as it is stored, and its block comes out empty. Raises DamagedError that names the frame and its place.
    """
    reader = _BlockReader(archive, workers, on_stored, on_block)
    with closing(_with_pool(reader, indices, workers, pool)) as results:
        for _, frame, block in results:
            if isinstance(block, DamagedError):
                raise block
            yield frame, block


def read_what_is_good(
    archive: StoredArchive,
    indices: Iterable[int],
    *,
    workers: int,
    on_block: OnBlock | None = None,
    by_checksum: bool = False,
) -> "Generator[_Result, None, None]":
    """The same for a damaged archive: index, frame, and its block or what is wrong with it.

    `by_checksum`: who asks compares the digest of every file, so that the checksum inside a zstd frame is
    enough to find the damaged one; each byte is then digested once.
    """
    reader = _BlockReader(archive, workers, None, on_block, by_checksum=by_checksum)
    return _with_pool(reader, indices, workers, None)


_Result = tuple[int, Frame, Block | DamagedError]


def _with_pool(
    reader: "_BlockReader", indices: Iterable[int], workers: int, pool: ThreadPoolExecutor | None
) -> Generator[_Result, None, None]:
    if pool is not None:
        yield from reader.blocks(indices, pool)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="unpack") as own:
        yield from reader.blocks(indices, own)


class _BlockReader:
    """Keeps a few frames on the way: read here, in order; unpacked and compared by the pool."""

    def __init__(
        self,
        archive: StoredArchive,
        workers: int,
        on_stored: OnStored | None,
        on_block: OnBlock | None,
        *,
        by_checksum: bool = False,
    ) -> None:
        self._by_checksum = by_checksum and archive.facts.compression in ("zstd", FOURD)
        self._archive = archive
        self._most = frames_in_flight(workers)
        self._on_stored = on_stored
        self._on_block = on_block

    def blocks(
        self, indices: Iterable[int], pool: ThreadPoolExecutor
    ) -> Generator[_Result, None, None]:
        """Every frame, good or damaged."""
        waiting: deque[tuple[int, Frame, Future[Block | DamagedError]]] = deque()
        try:
            for index in indices:
                frame = self._archive.facts.frames.frame(index)
                stored = self._read(frame)
                waiting.append((index, frame, pool.submit(self._unpack, index, frame, stored)))
                del stored
                if len(waiting) + 1 >= self._most:
                    index, frame, future = waiting.popleft()  # noqa: PLW2901 - the oldest one
                    yield index, frame, future.result()
            while waiting:
                index, frame, future = waiting.popleft()
                yield index, frame, future.result()
        finally:
            for _, _, future in waiting:
                future.cancel()
            # a reader's memory must outlive their work
            wait(future for _, _, future in waiting)

    def _read(self, frame: Frame) -> Block | DamagedError:
        if frame.raw > LARGEST_FRAME or frame.stored > LARGEST_FRAME + (1 << 20):
            text = f"{self._archive.name}: {frame.stored} bytes at byte {frame.offset} are no frame"
            return DamagedFrameError(text, frame.start, frame.start + frame.raw)
        try:
            stored = self._archive.read(frame.offset, frame.stored)
        except DamagedError as error:
            return error
        if self._on_stored is not None:
            self._on_stored(stored)
        return stored

    def _unpack(
        self, index: int, frame: Frame, stored: Block | DamagedError
    ) -> Block | DamagedError:
        archive = self._archive
        is_fourd = archive.facts.compression == FOURD
        if isinstance(stored, DamagedError) or not (frame.raw or frame.proved or is_fourd):
            return stored if frame.raw else b""  # padding, or an empty log: nothing is lost with it
        place = f"{archive.name}: frame {index} at byte {frame.offset}"
        span = (frame.start, frame.start + frame.raw)
        if frame.proved:
            if check_of(stored) == frame.check:
                return b""
            return DamagedFrameError(f"{place} is damaged: it is not what was taken over", *span)
        try:
            block = self._content(frame, stored)
        except DamagedError as error:
            return DamagedFrameError(f"{place} is damaged: {error}", *span)
        if not self._by_checksum and not _is_what_was_read(stored, block, frame):
            what = "its content is not what was written"
            return DamagedFrameError(f"{place} is damaged: {what}", *span)
        if self._on_block is not None:
            self._on_block(index, block)
        return block

    def _content(self, frame: Frame, stored: Block) -> Block:
        compression = self._archive.facts.compression
        if compression == FOURD:
            return unpack_run(stored, frame.raw, compared=not self._by_checksum)
        return decompress_frame(stored, frame.raw, compressed=compression == "zstd")


def _is_what_was_read(stored: Block, block: Block, frame: Frame) -> bool:
    """Compare with what the source gave: its BLAKE3; right after writing, zstd's 32-bit checksum of it.

    zstd has compared that checksum with the block while it unpacked it; that it is the one the compressor
    made from the source shows that this is the frame we wrote, not an older one the disk gave back.
    """
    if frame.checksum:
        return bytes(stored[-4:]) == frame.checksum
    return digest_of(block) == frame.digest
