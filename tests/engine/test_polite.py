"""A backup leaves the disk and the page cache to the application."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from engine.footprint import WINDOW, Footprint
from engine.host import HostClock
from engine.pace import Pace
from settings.service_model import Limits
from tests.engine.stories import COMPRESSION, FRAME, judge, make_app, patterned
from tests.fakes import StoryClock

SIZE = 12 * FRAME


def cached_bytes(file: Path) -> int:
    return int(judge("fincore", "--bytes", "--noheadings", "--output", "RES", str(file)))


def out_of_the_cache(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    if cached_bytes(file):
        pytest.skip("this file system keeps its pages")


def read_some(file: Path, offset: int, count: int) -> None:
    """Without reading ahead."""
    descriptor = os.open(file, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    os.pread(descriptor, count, offset)
    os.close(descriptor)


@pytest.mark.parametrize("rate", ["Fast", "None"])
def test_a_backup_leaves_nothing_in_the_cache_that_was_not_there(tmp_path: Path, rate: str) -> None:
    app = make_app(tmp_path, {COMPRESSION: rate}, data=patterned(SIZE), clock=HostClock())
    app.log.write_bytes(patterned(SIZE, 1))
    for file in (app.data_file, app.log):
        out_of_the_cache(file)

    app.backup_set()

    assert cached_bytes(app.data_file) == 0
    assert cached_bytes(app.log) == 0


def test_what_the_application_had_in_the_cache_stays(tmp_path: Path) -> None:
    app = make_app(tmp_path, data=patterned(SIZE), clock=HostClock())
    out_of_the_cache(app.data_file)
    read_some(app.data_file, 3 * FRAME, FRAME)
    before = cached_bytes(app.data_file)
    assert FRAME <= before < SIZE // 2

    app.backup_set()

    assert cached_bytes(app.data_file) == before


def test_a_file_of_many_windows_is_dropped_behind_the_reading(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as stream:
        stream.truncate(2 * WINDOW + 5000)
        stream.seek(WINDOW - 5)
        stream.write(b"0123456789")
    out_of_the_cache(file)
    descriptor = os.open(file, os.O_RDONLY)
    footprint = Footprint(descriptor, 2 * WINDOW + 5000)
    block = memoryview(bytearray(4 << 20))

    most = 0
    for offset in range(0, 2 * WINDOW, len(block)):
        assert footprint.fill(block, offset)
        most = max(most, cached_bytes(file)) if offset % WINDOW == WINDOW - len(block) else most
        if offset == WINDOW - len(block):
            assert bytes(block[-5:]) == b"01234"
    footprint.leave()
    os.close(descriptor)

    assert most <= WINDOW + (32 << 20)  # the kernel reads ahead of us
    assert cached_bytes(file) <= 8192  # the end of the file, behind the last window that was read


def test_an_empty_file_has_no_footprint(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    footprint = Footprint(descriptor, 0)
    assert not footprint.fill(memoryview(bytearray(1)), 0)
    footprint.leave()
    os.close(descriptor)


# --- pace -----------------------------------------------------------------------------------------


def test_nothing_is_waited_for_without_a_limit() -> None:
    clock = StoryClock(tick=timedelta(0))
    began = time.monotonic()
    Pace(clock, None).took(1 << 50)
    assert time.monotonic() - began < 0.1


def test_a_backup_reads_no_faster_than_the_limit(tmp_path: Path) -> None:
    app = make_app(tmp_path, data=patterned(SIZE), clock=HostClock())
    began = time.monotonic()

    app.backup_set(limits=Limits(read_rate=10 << 20))

    assert time.monotonic() - began >= SIZE / (10 << 20) - 0.5


def test_a_pause_of_the_source_is_not_made_up_for() -> None:
    pace = Pace(HostClock(), 1000)
    time.sleep(1.2)
    began = time.monotonic()
    pace.took(500)
    assert time.monotonic() - began < 0.2
    pace.took(500)
    assert 0.3 < time.monotonic() - began < 1.5
