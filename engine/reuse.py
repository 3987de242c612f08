"""Stored frames taken over where the block is the same: from the set before, and from an attempt that was in vain.

A frame is taken over only when the BLAKE3 of the block that was just read is that of the frame's table, and the
stored bytes still have the check that was kept of them when they were written: damage is never copied on.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.codec import check_of
from engine.diskreader import read_exactly
from engine.errors import DamagedError, EngineError
from engine.framereader import StoredArchive, open_archive
from engine.frametable import CHECK_BYTES, FrameTable
from engine.manifest import Manifest, read_manifest
from settings.model import CompressionRate

Read = Callable[[int, int], bytes | memoryview]


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A stored frame and its check; `proved` when it was once read back from the disk and compared."""

    stored: bytes | memoryview
    check: bytes
    proved: bool


class Lot:
    """The stored frames of one archive, found by the digest of their block; `read` takes offset and count."""

    def __init__(self, frames: FrameTable, read: Read, *, proved: bool) -> None:
        self.damaged = 0
        self._frames = frames
        self._read = read
        self._proved = proved
        self._places = {_key(digest): index for index, digest in enumerate(frames.digests())}

    def find(self, digest: bytes, raw: int) -> TakenOver | None:
        """The frame that holds this block of `raw` bytes, whole; None when there is none. Any thread may ask."""
        index = self._places.get(_key(digest))
        if index is None:
            return None
        frame = self._frames.frame(index)
        if frame.digest != digest or frame.raw != raw or len(frame.check) != CHECK_BYTES:
            return None
        try:
            stored = self._read(frame.offset, frame.stored)
        except (OSError, DamagedError):
            self.damaged += 1
            return None
        if check_of(stored) != frame.check:
            self.damaged += 1
            return None
        return TakenOver(stored, frame.check, self._proved)


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

    def find(self, digest: bytes, raw: int) -> TakenOver | None:
        """The frame of this block, of whichever lot. Any thread may ask."""
        lots = self._before if self._attempt is None else (self._attempt, *self._before)
        for lot in lots:
            if found := lot.find(digest, raw):
                return found
        return None

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


class SetBefore:
    """The frames of an older set, while a new one is written."""

    def __init__(self, lots: Sequence[Lot] = (), name: str = "") -> None:
        self.lots = tuple(lots)
        self._name = name

    def notes(self) -> tuple[str, ...]:
        """What is to be said of it: damage that was met there."""
        damaged = sum(lot.damaged for lot in self.lots)
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

    There are none without compression, in a set of another rate, in one that cannot be read and in one of an older
    release, which kept no checks: the backup then does without.
    """
    if folder is None or rate is CompressionRate.NONE:
        yield SetBefore()
        return
    with ExitStack() as stack:
        lots: list[Lot] = []
        with suppress(EngineError, OSError):
            manifest = read_manifest(folder)
            lots = list(_lots(manifest, rate, stack))
        yield SetBefore(lots, folder.name)


def _lots(manifest: Manifest, rate: CompressionRate, stack: ExitStack) -> Iterator[Lot]:
    values = manifest.settings.get("values")
    if not isinstance(values, dict) or values.get("compression") != rate.value:
        return
    for facts in manifest.archives:
        if facts.compression == "zstd" and facts.frames.has_checks:
            archive: StoredArchive = stack.enter_context(open_archive(manifest.folder, facts))
            yield Lot(facts.frames, archive.read, proved=manifest.facts.checked)
