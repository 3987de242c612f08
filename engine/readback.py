"""The check of an archive while it is still being written: what is durable is read from the disk and compared.

It follows the write-back, so that at the end only the last part is left to read (design: the life of a
backup, step 6). Every block is decompressed and compared with the checksum taken when the source was read.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from engine.diskreader import CHUNK, DiskReader
from engine.errors import EngineError
from engine.framereader import StoredArchive, frames_in_flight, open_archive, read_blocks
from engine.frametable import FrameTable
from engine.manifest import ArchiveFacts
from engine.output import StoredFile
from engine.progress import Progress, Report
from engine.stop import StopRequest

_ANY_SIZE = 1 << 62


class ReadBack:
    """Checks one archive; `follow` is for archives in one file, `finish` for every archive."""

    def __init__(
        self, folder: Path, frames: FrameTable, *, workers: int, stop: StopRequest
    ) -> None:
        self._folder = folder
        self._frames = frames
        self._workers = workers
        self._stop = stop
        self._done = 0
        self._durable = 0
        self._failure: BaseException | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._busy = threading.Lock()
        self._thread: threading.Thread | None = None
        self._reader: DiskReader | None = None

    def follow(self, name: str, compression: str, largest_frame: int) -> None:
        """Start following the file `name`; told by `durable`."""
        arguments = (name, compression, largest_frame)
        self._thread = threading.Thread(
            target=self._follow, args=arguments, name="read back", daemon=True
        )
        self._thread.start()

    def durable(self, count: int) -> None:
        """The first `count` bytes of the file are on the disk."""
        with self._changed:
            self._durable = count
            self._changed.notify()

    def rewind(self, frames: int) -> None:
        """Everything after the first `frames` frames will be written again."""
        with self._busy, self._changed:
            self._durable = 0
            self._done = min(self._done, frames)
            self._close_reader()

    def abandon(self) -> None:
        """End the thread after a failure of the backup."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def finish(self, facts: ArchiveFacts, report: Report) -> None:
        """The archive is whole and durable: check what is left. Raises DamagedError, MissingSetError."""
        self.abandon()
        if self._failure is not None:
            raise self._failure
        total = facts.frames.raw_bytes
        indices = range(self._done, len(facts.frames))
        with (
            open_archive(self._folder, facts, past_cache=self._workers) as archive,
            closing(read_blocks(archive, indices, workers=self._workers)) as blocks,
        ):
            for frame, _ in blocks:
                self._stop.check()
                report(Progress("checking", frame.start + frame.raw, total))

    def _follow(self, name: str, compression: str, largest_frame: int) -> None:
        files = (StoredFile(name, _ANY_SIZE, ""),)
        facts = ArchiveFacts("", "", compression, files, self._frames)
        keep = frames_in_flight(self._workers) * largest_frame
        try:
            with ThreadPoolExecutor(self._workers, thread_name_prefix="unpack") as pool:
                while self._wait():
                    with self._busy:
                        self._check_durable(facts, keep, largest_frame, pool)
        except (EngineError, OSError) as error:
            self._failure = error
        finally:
            self._close_reader()

    def _wait(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._target() > self._done)
            return not self._ended

    def _target(self) -> int:
        # whole chunks only: the reader takes chunks, and what lies behind `durable` may still change
        return self._frames.stored_up_to(self._durable // CHUNK * CHUNK)

    def _check_durable(
        self, facts: ArchiveFacts, keep: int, largest_frame: int, pool: ThreadPoolExecutor
    ) -> None:
        indices = range(self._done, self._target())
        if any(self._frames.frame(index).stored > largest_frame for index in indices):
            self._ended = (
                True  # a file grew beyond the plan: its larger frames are left to `finish`
            )
            return
        if self._reader is None:
            self._reader = DiskReader(self._folder / facts.files[0].name, keep)
        archive = StoredArchive(self._folder, facts, [self._reader])
        with closing(read_blocks(archive, indices, workers=self._workers, pool=pool)) as blocks:
            for _ in blocks:
                if self._stop.is_asked or self._ended:
                    return
                self._done += 1

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
