"""The work `levels`: what each compression makes of three kinds of data, and how fast one core does it."""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.codec import Compressor
from settings.model import CompressionRate
from tests.benchmarks.bench import MIB, Bench, Result
from tests.benchmarks.data import data_file

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVELS = (-5, -3, -1, 1, 3, 6, 9, 12)
_FRAMES = {"256 KiB": 256 << 10, "1 MiB": MIB}
_MOST_BYTES = 64 * MIB
_LEAST_SECONDS = 1e-9
Compress = Callable[[memoryview], object]


def levels(bench: Bench) -> Result:
    """Ratio and MB/s of processor time, the median of the runs."""
    kinds = samples_of(bench.package)
    sizes = ", ".join(f"{kind} {len(data) / 1e6:.1f} MB" for kind, data in kinds.items())
    lines = [f"samples: {sizes}", *markdown(kinds, bench.runs)]
    note = "MB/s of uncompressed data in processor time of one thread; ratio is uncompressed / compressed"
    return Result("levels", notes=(note,), lines=tuple(lines))


def samples_of(package: Path) -> dict[str, bytes]:
    """Text-like: the methods; 4D-like: the head of the data file; images: what does not compress."""
    data = data_file(package)
    with data.open("rb") as stream:
        head = stream.read(_MOST_BYTES)
    return {
        "text": _joined(package / "Project"),
        "4D data": head,
        "images": _joined(package / "Resources"),
    }


def markdown(kinds: dict[str, bytes], runs: int) -> Iterator[str]:
    """A table as docs/archive-options.md shows it."""
    heads = [f"{kind}: ratio | MB/s" for kind in kinds]
    yield f"| compression | frame | {' | '.join(heads)} |"
    yield "|" + "---|" * (2 + 2 * len(kinds))
    for frame, size in _FRAMES.items():
        for name, compress in compressions():
            cells = []
            for data in kinds.values():
                ratio, speed = rate_of(compress, data, size, runs)
                is_copied = (
                    name == CompressionRate.NONE.value
                )  # nothing is done, so nothing is fast
                cells.append(f"{ratio:.2f} | {'-' if is_copied else f'{speed:.0f}'}")
            yield f"| {name} | {frame} | {' | '.join(cells)} |"


def compressions() -> Iterator[tuple[str, Compress]]:
    """What the program does with each rate, and the levels it could use."""
    for rate in CompressionRate:
        yield rate.value, Compressor(rate).compress
    for level in _LEVELS:
        yield f"zstd {level}", _at_level(level)


def rate_of(compress: Compress, data: bytes, frame_bytes: int, runs: int) -> tuple[float, float]:
    """Ratio, and MB/s of the median run."""
    seconds = []
    stored = 0
    for _ in range(runs):
        began = time.process_time()
        stored = 0
        for at in range(0, len(data), frame_bytes):
            made = compress(memoryview(data)[at : at + frame_bytes])
            stored += len(made) if isinstance(made, bytes | memoryview) else 0
        seconds.append(time.process_time() - began)
    wall = max(_LEAST_SECONDS, statistics.median(seconds))
    return len(data) / max(1, stored), len(data) / 1e6 / wall


def _at_level(level: int) -> Compress:
    parameter = zstd.CompressionParameter
    compressor = zstd.ZstdCompressor(
        options={parameter.compression_level: level, parameter.checksum_flag: 1}
    )

    def compress(block: memoryview) -> bytes:
        compressor.set_pledged_input_size(len(block))
        return compressor.compress(block, compressor.FLUSH_FRAME)

    return compress


def _joined(folder: Path) -> bytes:
    parts = []
    left = _MOST_BYTES
    for file in sorted(folder.rglob("*")):
        if file.is_file() and left > 0:
            parts.append(file.read_bytes()[:left])
            left -= len(parts[-1])
    return b"".join(parts)
