"""From a stream of blocks to frames on the disk: compressed by all cores, written in order, in constant memory."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from engine.codec import FRAME_BYTES, Compressor, check_of, digest_of, padding_frame
from engine.frametable import FrameTable
from engine.output import Output, OutputMark, StoredFile
from engine.reuse import Known, Lot, TakenOver
from settings.model import CompressionRate

_SPARE_BYTES = 512  # room for the padding of a file's last block


@dataclass(frozen=True, slots=True)
class StreamMark:
    """A place in the stream to come back to, when a source changed while it was read."""

    position: int
    frames: int
    output: OutputMark


@dataclass(frozen=True, slots=True)
class _Packed:
    """One frame as it is written, of `raw` bytes of the stream; `checksum` is zstd's own, empty where there is none or nobody will need it."""

    raw: int
    digest: bytes
    stored: bytes | memoryview
    checksum: bytes = b""
    check: bytes = b""
    proved: bool = False
    source: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    """Frames of one job, none when one is damaged; their bytes as a `run`, when they lie one behind the other where they come from."""

    frames: tuple[_Packed, ...]
    run: memoryview | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    future: "Future[_Done]"
    buffer: bytearray


class FrameWriter:
    """Takes filled buffers, gives them back empty; memory is bounded by the number of buffers.

    `before_rewind` is told how many frames stay, before the others are taken back. `known` are frames that
    are stored already; what is taken back is kept with them until it has been read again.

    One reader thread (the caller), `workers` compressing threads and one more where there is a set before, one writing
    thread. A failure of any of them is raised by the caller's next call, unchanged.
    """

    def __init__(
        self,
        output: Output,
        frames: FrameTable,
        rate: CompressionRate,
        workers: int,
        *,
        before_rewind: Callable[[int], None] = lambda _: None,
        known: Known | None = None,
    ) -> None:
        self.frames = frames
        self._known = known if known is not None else Known()
        self._before_rewind = before_rewind
        self.position = 0
        self._output = output
        self._compressor = Compressor(rate)
        self._packed = rate is not CompressionRate.NONE
        # while one waits for the disk with the set before, the cores have work
        threads = workers + 1 if self._known.is_on_disk else workers
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="compress")
        self._failure: BaseException | None = None
        self._is_broken = False
        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._count = 2 * workers + 2
        for _ in range(self._count):
            self._free.put(bytearray())
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="writer", daemon=True)
        self._writer.start()

    def buffer(self, size: int = FRAME_BYTES) -> bytearray:
        """An empty buffer of at least `size` bytes and the padding; waits until one is free."""
        buffer = self._free.get()
        if self._failure is not None:
            self._free.put(buffer)
            raise self._failure
        if len(buffer) < size + _SPARE_BYTES:
            # not made longer: the writing thread may still hold a view of it, which forbids that
            buffer = bytearray(size + _SPARE_BYTES)
        return buffer

    def give_back(self, buffer: bytearray) -> None:
        """Return a buffer that was not submitted."""
        self._free.put(buffer)

    def submit(self, buffer: bytearray, length: int, cut: int | None = None) -> None:
        """The first `length` bytes are the next frame, or with `cut` frames of so many bytes and what is left.

        The buffer is ours until it is written.
        """
        if length == 0:
            self._free.put(buffer)
            return
        self._submit(buffer, length, cut or length)

    def submit_empty(self) -> None:
        """The stream is empty: an empty frame, because tools refuse a compressed file of no bytes."""
        self._submit(self.buffer(), 0, 1)

    def _submit(self, buffer: bytearray, length: int, cut: int) -> None:
        self.position += length
        self._jobs.put(_Job(self._pool.submit(self._compress, buffer, length, cut), buffer))

    def submit_stored(self, lot: Lot, indices: Sequence[int]) -> int:
        """The next frames are these of a lot, as they are stored there; how many bytes of the stream they hold."""
        buffer = self.buffer(0)  # bounds how much is on the way
        raw = sum(map(lot.frames.raw_bytes_of, indices))
        self.position += raw
        self._jobs.put(_Job(self._pool.submit(self._take, lot, indices), buffer))
        return raw

    def took_all(self) -> bool:
        """Whether every frame of a lot was whole; if not, nothing behind it is good and a rewind must follow."""
        self._drain()
        return not self._is_broken

    def mark(self) -> StreamMark:
        """Wait until everything is written and remember the place."""
        self._drain()
        return StreamMark(self.position, len(self.frames), self._output.mark())

    def rewind(self, mark: StreamMark) -> None:
        """Forget everything submitted after the mark."""
        self._drain()
        self._output.wait()  # first: a late word about what is durable would count bytes that go now
        self._before_rewind(mark.frames)
        self._keep_attempt(mark)
        self._output.rewind(mark.output)
        self.frames.truncate(mark.frames)
        self.position = mark.position
        self._is_broken = False

    def finish(self) -> tuple[StoredFile, ...]:
        """Write what is left, make it durable and say which files it became."""
        self._drain()
        self._end_threads()
        return self._output.finish()

    def abandon(self) -> None:
        """End the threads and close the files after a failure; no promise about what was written."""
        self._end_threads()
        self._output.abandon()

    def _keep_attempt(self, mark: StreamMark) -> None:
        """What does not change until the next reading need not be compressed again."""
        if self._packed and self.frames.has_checks:
            kept = self._output.copy_after(mark.output, self._known.reserve)
            if kept is not None:
                self._known.keep_attempt(kept, self.frames.tail(mark.frames))

    def _compress(self, buffer: bytearray, length: int, cut: int) -> _Done:
        whole = memoryview(buffer)[:length]
        blocks = [whole[at : at + cut] for at in range(0, length or 1, cut)]
        digests = [digest_of(block) for block in blocks]
        if not self._packed:
            plain = zip(blocks, digests, strict=True)
            return _Done(tuple(_Packed(len(block), digest, block) for block, digest in plain))
        sizes = [len(block) for block in blocks]
        found = self._known.find_all(list(zip(digests, sizes, strict=True)))
        return _Done(tuple(map(self._pack, blocks, digests, found)))

    def _pack(self, block: memoryview, digest: bytes, found: TakenOver | None) -> _Packed:
        if found is not None:
            return _packed(found)
        stored = self._compressor.compress(block)
        return _Packed(len(block), digest, stored, bytes(stored[-4:]), check_of(stored))

    @staticmethod
    def _take(lot: Lot, indices: Sequence[int]) -> "_Done":
        """Without frames when one of them is damaged."""
        run = lot.take_run(indices)
        packed: list[_Packed] = []
        for taken in run.frames:
            if taken is None:
                return _Done(())
            packed.append(_packed(taken))
        return _Done(tuple(packed), run.stored)

    def _drain(self) -> None:
        held = [self._free.get() for _ in range(self._count)]
        for buffer in held:
            self._free.put(buffer)
        if self._failure is not None:
            raise self._failure

    def _end_threads(self) -> None:
        self._jobs.put(None)
        self._writer.join()
        self._pool.shutdown()
        self._known.forget_attempt()

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._write_all(job.future.result())
            except BaseException as error:  # noqa: BLE001 - handed to the reading thread, which raises it
                self._failure = error
            self._free.put(job.buffer)

    def _write_all(self, done: _Done) -> None:
        self._is_broken = self._is_broken or not done.frames
        if self._failure is not None or not done.frames:
            return
        if done.run is not None:
            self._write_stored(done.run, done.frames[0].source)
        for packed in done.frames:
            if len(packed.stored) == 0:
                continue
            if done.run is None:
                self._write_stored(packed.stored, packed.source)
            self.frames.append(
                packed.raw,
                len(packed.stored),
                packed.digest,
                packed.checksum,
                check=packed.check,
                proved=packed.proved,
            )

    def _write_stored(self, stored: bytes | memoryview, source: tuple[int, int] | None) -> None:
        """Blocks are shared only between places that lie alike in their blocks: a frame of padding makes them so."""
        if source is None:
            self._output.write(stored)
            return
        descriptor, offset = source
        if gap := self._output.gap_before(offset, len(stored)):
            frame = padding_frame(gap)
            self._output.write(frame)
            self.frames.append(0, gap, digest_of(b""), check=check_of(frame), proved=True)
        self._output.share(stored, descriptor, offset)


def _packed(taken: TakenOver) -> _Packed:
    frame = taken.frame
    return _Packed(
        frame.raw,
        frame.digest,
        taken.stored,
        check=frame.check,
        proved=taken.proved,
        source=taken.source,
    )
