"""The end of the stream that fills no frame yet: headers and small members on their way into one."""

from collections.abc import Iterator
from contextlib import contextmanager

from engine.codec import FRAME_BYTES
from engine.framewriter import FrameWriter


class Batch:
    """Bytes of the stream, sent frame by frame; every method raises what the frames' writing raised."""

    def __init__(self, frames: FrameWriter) -> None:
        self._frames = frames
        self._buffer = frames.buffer()
        self.filled = 0

    @property
    def position(self) -> int:
        """Where the next byte stands in the stream."""
        return self._frames.position + self.filled

    def place(self, count: int) -> memoryview:
        """Where the next bytes of the stream can be made, in one frame where they fit; they count from `take` on."""
        if self.filled + count > FRAME_BYTES:
            self.flush()
        if count > FRAME_BYTES:
            return memoryview(bytearray(count))
        return memoryview(self._buffer)[self.filled : self.filled + count]

    def take(self, place: memoryview) -> None:
        """What was made there is the next of the stream."""
        if place.obj is self._buffer:
            self.filled += len(place)
        else:
            self._append(place)

    def put(self, data: bytes) -> None:
        """The next bytes of the stream."""
        place = self.place(len(data))
        place[:] = data
        self.take(place)

    def flush(self) -> None:
        """Send what is there, as a frame."""
        if self.filled:
            self._frames.submit(self._buffer, self.filled)
            self.filled = 0
            self._buffer = self._frames.buffer()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Send what is there, and hold no buffer meanwhile."""
        self.flush()
        self.leave()
        try:
            yield
        finally:
            self._buffer = self._frames.buffer()

    def leave(self) -> None:
        """Give the buffer back."""
        self._frames.give_back(self._buffer)

    def forget(self) -> None:
        """Nothing is there any more."""
        self.filled = 0

    def _append(self, data: memoryview) -> None:
        rest = data
        while rest:
            if self.filled == FRAME_BYTES:
                self.flush()
            part = rest[: FRAME_BYTES - self.filled]
            self._buffer[self.filled : self.filled + len(part)] = part
            self.filled += len(part)
            rest = rest[len(part) :]
