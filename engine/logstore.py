"""The log into an archive of its own: append-only, it may grow meanwhile, and what stood there is kept."""

import os

from blake3 import blake3

from engine.codec import FRAME_BYTES, frame_bytes
from engine.errors import Code, SourceError, SourceNeverQuietError
from engine.footprint import Footprint
from engine.framewriter import FrameWriter
from engine.member import Attributes, Kind, Member, Role
from engine.sourcefile import FAILING_DISK, ReadError, Watcher, attributes_of
from engine.stop import StopRequest


def store_file(
    frames: FrameWriter,
    descriptor: int,
    path: bytes,
    watcher: Watcher,
    *,
    stop: StopRequest,
    attributes: Attributes | None = None,
) -> Member:
    """Store one log as a plain stream of frames; it may grow meanwhile. Raises SourceError, OSError.

    `watcher` is told how many bytes were read.
    `attributes` are those of the original, when it is read from a clone.
    """
    facts = os.fstat(descriptor)
    size = facts.st_size
    digest = blake3()
    cut = frame_bytes(size)
    step = max(cut, FRAME_BYTES)
    footprint = Footprint(descriptor, size)
    for offset in range(0, size, step):
        stop.check()
        count = min(step, size - offset)
        buffer = frames.buffer(step)
        with memoryview(buffer)[:count] as block:
            _fill_log(footprint, block, offset, path)
            digest.update(block)
        frames.submit(buffer, count, cut)
        watcher(count)
    footprint.leave()
    if size == 0:
        frames.submit_empty()
    return Member(
        path,
        Kind.FILE,
        Role.LOG,
        size,
        attributes or attributes_of(facts),
        0,
        0,
        digest=digest.hexdigest(),
    )


def _fill_log(footprint: Footprint, block: memoryview, offset: int, path: bytes) -> None:
    try:
        whole = footprint.fill(block, offset)
    except ReadError as error:
        raise SourceError(
            f"the log {os.fsdecode(path)} cannot be read: {error}",
            code=Code.LOG_BACKUP_FAILED,
            hint=FAILING_DISK,
        ) from error
    if not whole:
        raise SourceNeverQuietError(
            f"the log {os.fsdecode(path)} became shorter while it was read",
            hint="it was renewed during the backup; the next attempt will find it whole",
        )
