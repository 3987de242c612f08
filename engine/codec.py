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
# zstd passes over what does not compress at 2,900 MB/s at level 1, at 500 MB/s at level 9
_QUICK_LEVEL = 1
_SAMPLES, _SAMPLE_BYTES = 8, 4096
_NO_GAIN = 0.98

_MIB = 1 << 20
# a file of this size has frames of its own; smaller members share frames of this size
FRAME_BYTES = _MIB
# Where cuts lie closer, a repeat compresses less anew and each frame costs more (docs/performance.md)
GRID_BYTES = _MIB // 2
OLD_GRID_BYTES = _MIB  # of sets made until 2026-11-21
PADDING_MAGIC = b"\x5b\x2a\x4d\x18"
_LARGE_FILE_BYTES = 32 << 30
LARGE_FRAME_BYTES = 4 * _MIB
_ZEROS = bytes(_MIB)


def frame_bytes(file_bytes: int, grid: int = GRID_BYTES) -> int:
    """The distance of the cuts inside a file; larger for huge files, so that the frame table stays small."""
    return grid if file_bytes < _LARGE_FILE_BYTES else LARGE_FRAME_BYTES


def stored_limit(raw_bytes: int) -> int:
    """The most a frame of so many bytes can take: zstd adds 1/256 and a few bytes to what does not compress."""
    return raw_bytes + (raw_bytes >> 8) + 1024


def digest_of(block: bytes | memoryview) -> bytes:
    """The BLAKE3 digest of a block, 32 bytes."""
    return blake3(block).digest()


def padding_frame(count: int) -> bytes:
    """A frame of `count` bytes, 8 at least, that holds nothing: every zstd reader skips it (RFC 8878, 3.1.2)."""
    return PADDING_MAGIC + (count - 8).to_bytes(4, "little") + bytes(count - 8)


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
        level = self._level
        if level > _QUICK_LEVEL and self._is_packed_already(block):
            level = _QUICK_LEVEL
        return self._pack(block, level)

    def _is_packed_already(self, block: memoryview) -> bool:
        """Whether images and the like fill it: a quick look at pieces of it, so that no time is spent on them."""
        if len(block) < _SAMPLES * _SAMPLE_BYTES * 2:
            return False
        step = len(block) // _SAMPLES
        pieces = [block[at : at + _SAMPLE_BYTES] for at in range(0, step * _SAMPLES, step)]
        sample = memoryview(b"".join(pieces))
        return len(self._pack(sample, _QUICK_LEVEL)) > len(sample) * _NO_GAIN

    def _pack(self, block: memoryview, level: int) -> bytes:
        compressors: dict[int, zstd.ZstdCompressor] | None = getattr(self._local, "own", None)
        if compressors is None:
            compressors = self._local.own = {}
        if level not in compressors:
            parameter = zstd.CompressionParameter
            compressors[level] = zstd.ZstdCompressor(
                options={parameter.compression_level: level, parameter.checksum_flag: 1}
            )
        compressor = compressors[level]
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
