"""Compact is strong where that brings something, and wastes no time where it does not."""

import random
import subprocess
import time

import pytest

from engine.codec import (
    FRAME_BYTES,
    GRID_BYTES,
    OLD_GRID_BYTES,
    Compressor,
    decompress_frame,
    padding_frame,
)
from engine.tarpieces import grid_of
from settings.model import CompressionRate
from tests.engine.stories import judge, patterned

NOISE = random.Random(3).randbytes(FRAME_BYTES)
TEXT = patterned(FRAME_BYTES)


def packed(rate: CompressionRate, block: bytes) -> bytes:
    return bytes(Compressor(rate).compress(memoryview(block)))


@pytest.mark.parametrize("rate", [CompressionRate.FAST, CompressionRate.COMPACT])
@pytest.mark.parametrize("block", [NOISE, TEXT, NOISE[:100], b"", NOISE[:70_000] + TEXT[:900_000]])
def test_a_frame_is_what_zstd_reads(rate: CompressionRate, block: bytes) -> None:
    frame = packed(rate, block)

    assert judge("zstd", "-dcq", data=frame) == block
    assert decompress_frame(frame, len(block), compressed=True) == block


def test_compact_is_smaller_than_fast_where_something_is_gained() -> None:
    half = NOISE[: FRAME_BYTES // 2] + TEXT[: FRAME_BYTES // 2]
    for block in (TEXT, half):
        assert len(packed(CompressionRate.COMPACT, block)) < len(
            packed(CompressionRate.FAST, block)
        )


def test_what_does_not_compress_costs_compact_no_more_than_fast() -> None:
    """Without the look at it, it costs five times as much."""
    took = {rate: _seconds(rate) for rate in (CompressionRate.FAST, CompressionRate.COMPACT)}

    assert took[CompressionRate.COMPACT] < 2 * took[CompressionRate.FAST], took
    assert len(packed(CompressionRate.COMPACT, NOISE)) < FRAME_BYTES * 1.001


def _seconds(rate: CompressionRate) -> float:
    """Of the processor: the least of several, other work on the machine counts as well."""
    compressor, times = Compressor(rate), []
    for _ in range(15):
        began = time.thread_time()
        compressor.compress(memoryview(NOISE))
        times.append(time.thread_time() - began)
    return min(times)


@pytest.mark.parametrize("count", [8, 9, 4096, 8191])
def test_padding_is_skipped_by_zstd(count: int) -> None:
    frame = padding_frame(count)

    assert len(frame) == count
    whole = packed(CompressionRate.FAST, TEXT) + frame + packed(CompressionRate.FAST, NOISE)
    done = subprocess.run(["zstd", "-dcq"], input=whole, capture_output=True, check=True)
    assert done.stdout == TEXT + NOISE


def test_the_grid_of_an_archive_is_known_by_its_frames() -> None:
    assert grid_of([None, 700, GRID_BYTES, GRID_BYTES, 3, OLD_GRID_BYTES]) == GRID_BYTES
    assert grid_of([None, 700, OLD_GRID_BYTES, GRID_BYTES, 3, OLD_GRID_BYTES]) == OLD_GRID_BYTES
    assert grid_of([700, None]) == GRID_BYTES
