"""From frames on the disk back to the stream: in order, on all cores, in constant memory."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from engine.codec import decompress_frame, digest_of
from engine.diskreader import DiskReader
from engine.errors import DamagedError, DamagedFrameError, MissingSetError
from engine.frametable import Frame
from engine.manifest import ArchiveFacts

Block = bytes | memoryview
OnStored = Callable[[Block], None]


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

    def __init__(self, folder: Path, facts: ArchiveFacts, readers: list[_Reader]) -> None:
        self.facts = facts
        self.name = facts.files[0].name
        self._readers = readers
        self._starts = list(accumulate((file.size for file in facts.files), initial=0))
        self._folder = folder

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
        try:
            data = self._readers[index].read(offset, count)
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

    `past_cache` reads from the disk itself, in rising order, and is the number of workers that use what
    was read. Raises MissingSetError for a file that is not there, DamagedError for a wrong length.
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


def _open_one(path: Path, facts: ArchiveFacts, past_cache: int | None) -> _Reader:
    try:
        if past_cache is None:
            return _CachedReader(path)
        return DiskReader(path, frames_in_flight(past_cache) * facts.frames.largest_stored)
    except OSError as error:
        raise MissingSetError(f"{path} cannot be opened: {error.strerror}") from error


def read_blocks(
    archive: StoredArchive,
    indices: Sequence[int],
    *,
    workers: int,
    pool: ThreadPoolExecutor | None = None,
    on_stored: OnStored | None = None,
) -> Iterator[tuple[Frame, Block]]:
    """The blocks of the frames in order, each compared with its digest.

    A block is valid until the next one is asked for. `on_stored` sees the stored bytes in order; `pool`
    lends its threads. Raises DamagedError that names the frame and its place.
    """
    if pool is not None:
        yield from _read_blocks(archive, indices, workers, pool, on_stored)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="unpack") as own:
        yield from _read_blocks(archive, indices, workers, own, on_stored)


def _read_blocks(
    archive: StoredArchive,
    indices: Sequence[int],
    workers: int,
    pool: ThreadPoolExecutor,
    on_stored: OnStored | None,
) -> Iterator[tuple[Frame, Block]]:
    compressed = archive.facts.compression == "zstd"
    table = archive.facts.frames
    waiting: deque[tuple[Frame, Future[Block]]] = deque()
    try:
        for index in indices:
            frame = table.frame(index)
            stored = archive.read(frame.offset, frame.stored)
            if on_stored is not None:
                on_stored(stored)
            waiting.append(
                (frame, pool.submit(_unpack, archive.name, index, frame, stored, compressed))
            )
            del stored
            if len(waiting) + 1 >= frames_in_flight(workers):
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    finally:
        for _, future in waiting:
            future.cancel()
        wait(future for _, future in waiting)  # a reader's memory must outlive their work


def _first(waiting: deque[tuple[Frame, Future[Block]]]) -> tuple[Frame, Block]:
    frame, future = waiting.popleft()
    return frame, future.result()


def _is_what_was_read(stored: Block, block: Block, frame: Frame) -> bool:
    """Compare with what the source gave: its BLAKE3; right after writing, zstd's 32-bit checksum of it.

    zstd has compared that checksum with the block while it unpacked it; that it is the one the compressor
    made from the source shows that this is the frame we wrote, not an older one the disk gave back.
    """
    if frame.checksum:
        return bytes(stored[-4:]) == frame.checksum
    return digest_of(block) == frame.digest


def _unpack(name: str, index: int, frame: Frame, stored: Block, compressed: bool) -> Block:
    place = f"{name}: frame {index} at byte {frame.offset}"
    span = (frame.start, frame.start + frame.raw)
    try:
        block = decompress_frame(stored, frame.raw, compressed=compressed)
    except DamagedError as error:
        raise DamagedFrameError(f"{place} is damaged: {error}", *span) from error
    if not _is_what_was_read(stored, block, frame):
        raise DamagedFrameError(f"{place} is damaged: its content is not what was written", *span)
    return block
