"""From frames on the disk back to the stream: in order, on all cores, in constant memory."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

from engine.codec import decompress_frame, digest_of
from engine.errors import DamagedError, MissingSetError
from engine.frametable import Frame, FrameTable
from engine.manifest import ArchiveFacts

OnStored = Callable[[bytes], None]


class StoredArchive:
    """The files of one archive as one run of bytes."""

    def __init__(self, folder: Path, facts: ArchiveFacts, descriptors: list[int]) -> None:
        self.facts = facts
        self.name = facts.files[0].name
        self._descriptors = descriptors
        self._starts = list(accumulate((file.size for file in facts.files), initial=0))
        self._folder = folder

    def read(self, offset: int, count: int) -> bytes:
        """Bytes of the archive. Raises DamagedError when the disk fails or the file ends too early."""
        parts: list[bytes] = []
        for index, descriptor in enumerate(self._descriptors):
            start, end = self._starts[index], self._starts[index + 1]
            if start <= offset < end and count > 0:
                part = self._read_one(descriptor, offset - start, min(count, end - offset), index)
                parts.append(part)
                offset += len(part)
                count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_one(self, descriptor: int, offset: int, count: int, index: int) -> bytes:
        name = self.facts.files[index].name
        try:
            data = os.pread(descriptor, count, offset)
        except OSError as error:
            raise DamagedError(
                f"{self._folder / name} cannot be read at byte {offset}: {error.strerror}"
            ) from error
        if len(data) != count:
            raise DamagedError(
                f"{self._folder / name} ends at byte {offset + len(data)}, too early"
            )
        return data


@contextmanager
def open_archive(folder: Path, facts: ArchiveFacts) -> Iterator[StoredArchive]:
    """Open all files of an archive and compare their lengths with the manifest.

    Raises MissingSetError for a file that is not there, DamagedError for a wrong length.
    """
    descriptors: list[int] = []
    try:
        for file in facts.files:
            path = folder / file.name
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptors.append(os.open(path, flags))
            except OSError as error:
                raise MissingSetError(f"{path} cannot be opened: {error.strerror}") from error
            size = os.fstat(descriptors[-1]).st_size
            if size != file.size:
                raise DamagedError(f"{path} has {size} bytes, the manifest says {file.size}")
        yield StoredArchive(folder, facts, descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def read_blocks(
    archive: StoredArchive,
    indices: range,
    *,
    workers: int,
    on_stored: OnStored | None = None,
) -> Iterator[tuple[Frame, bytes]]:
    """The blocks of the frames in order, each compared with its digest.

    `on_stored` sees the stored bytes in order. Raises DamagedError that names the frame and its place.
    """
    compressed = archive.facts.compression == "zstd"
    table: FrameTable = archive.facts.frames
    waiting: deque[tuple[Frame, Future[bytes]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="unpack") as pool:
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
                if len(waiting) > workers + 1:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _unpack(name: str, index: int, frame: Frame, stored: bytes, compressed: bool) -> bytes:
    place = f"{name}: frame {index} at byte {frame.offset}"
    try:
        block = decompress_frame(stored, frame.raw, compressed=compressed)
    except DamagedError as error:
        raise DamagedError(f"{place} is damaged: {error}") from error
    if digest_of(block) != frame.digest:
        raise DamagedError(f"{place} is damaged: its content is not what was written")
    return block
