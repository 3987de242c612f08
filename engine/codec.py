"""One frame: a block of the stream compressed on its own, and its digest."""

import sys
import threading

from blake3 import blake3

from engine.errors import DamagedError
from engine.frametable import CHECK_BYTES
from settings.model import CompressionRate

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Measured on 4D-like data (docs/archive-format.md): level 1 gives 2.35 at 470 MB/s a core, level 9
# gives 2.57 at 84 MB/s; what lies between gains little more than level 1 for its time.
_LEVELS = {CompressionRate.FAST: 1, CompressionRate.COMPACT: 9}

_MIB = 1 << 20
FRAME_BYTES = _MIB
_LARGE_FILE_BYTES = 32 << 30
LARGE_FRAME_BYTES = 4 * _MIB
_ZEROS = bytes(_MIB)


def frame_bytes(file_bytes: int) -> int:
    """The distance of the cuts inside a file; larger for huge files, so that the frame table stays small."""
    return FRAME_BYTES if file_bytes < _LARGE_FILE_BYTES else LARGE_FRAME_BYTES


def stored_limit(raw_bytes: int) -> int:
    """The most a frame of so many bytes can take: zstd adds 1/256 and a few bytes to what does not compress."""
    return raw_bytes + (raw_bytes >> 8) + 1024


def digest_of(block: bytes | memoryview) -> bytes:
    """The BLAKE3 digest of a block, 32 bytes."""
    return blake3(block).digest()


def check_of(stored: bytes | memoryview) -> bytes:
    """What is kept of the stored bytes of a frame, to know them again: 8 bytes of their BLAKE3."""
    return blake3(stored).digest(CHECK_BYTES)


def digest_zeros(digest: blake3, count: int) -> None:
    """Take a hole of `count` bytes into a digest."""
    while count > 0:
        part = min(count, len(_ZEROS))
        digest.update(memoryview(_ZEROS)[:part])
        count -= part


class Compressor:
    """Makes independent frames; one per thread below, made when the thread first needs it."""

    def __init__(self, rate: CompressionRate) -> None:
        self._level = _LEVELS.get(rate)
        self._local = threading.local()

    def compress(self, block: memoryview) -> bytes | memoryview:
        """One frame with its size and checksum; the block itself when nothing is compressed."""
        if self._level is None:
            return block
        compressor: zstd.ZstdCompressor | None = getattr(self._local, "compressor", None)
        if compressor is None:
            parameter = zstd.CompressionParameter
            compressor = zstd.ZstdCompressor(
                options={parameter.compression_level: self._level, parameter.checksum_flag: 1}
            )
            self._local.compressor = compressor
        compressor.set_pledged_input_size(len(block))
        return compressor.compress(block, compressor.FLUSH_FRAME)


def decompress_frame(
    stored: bytes | memoryview, raw_bytes: int, *, compressed: bool
) -> bytes | memoryview:
    """The block of one frame; never more than `raw_bytes` + 1 bytes are made, whatever the frame says.

    Raises DamagedError when it is not one whole frame of that size.
    """
    if not compressed:
        block: bytes | memoryview = stored
    else:
        decompressor = zstd.ZstdDecompressor()
        try:
            block = decompressor.decompress(stored, max_length=raw_bytes + 1)
        except zstd.ZstdError as error:
            raise DamagedError(f"a compressed frame cannot be read: {error}") from error
        if not decompressor.eof or decompressor.unused_data:
            raise DamagedError("a compressed frame does not end where the manifest says")
    if len(block) != raw_bytes:
        raise DamagedError(f"a frame holds {len(block)} bytes, the manifest says {raw_bytes}")
    return block
