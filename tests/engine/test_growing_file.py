"""A file that grows: whatever is appended, marked and cut, it holds those bytes, and the page cache is left alone."""

import errno
import os
import random
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.growingfile import BackWriter, GrowingFile, writes_directly
from engine.mounts import kind_of
from engine.output import Output

_MIB = 1 << 20
_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("append"), st.sampled_from((0, 1, 511, 4095, 4096, 70_000, 2 * _MIB + 5))
        ),
        st.tuples(st.sampled_from(("mark", "cut", "settle")), st.just(0)),
    ),
    max_size=30,
)


@contextmanager
def growing(path: Path, *, direct: bool) -> Iterator[tuple[GrowingFile, list[tuple[int, int]]]]:
    """A file to append to; what was told of it as durable, and its size at that moment."""
    durable: list[tuple[int, int]] = []
    back = BackWriter(lambda told: durable.append((told, path.stat().st_size)))
    file = GrowingFile(path, back, direct=direct)
    try:
        yield file, durable
    finally:
        file.close()
        back.abandon()


def append_many(file: GrowingFile) -> None:
    for _ in range(40):
        file.append(memoryview(bytes(_MIB)))


def needs_direct_writing(folder: Path) -> None:
    if not writes_directly(kind_of(folder)):
        pytest.skip(f"needs ext4 or XFS below {folder}")


@pytest.mark.parametrize("direct", [True, False])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=_STEPS, seed=st.integers(0, 999))
def test_it_holds_what_was_appended_whatever_was_taken_back(
    tmp_path: Path, steps: list[tuple[str, int]], seed: int, *, direct: bool
) -> None:
    path, source = tmp_path / "file", random.Random(seed)
    path.unlink(missing_ok=True)
    expected = b""
    with growing(path, direct=direct) as (file, _):
        mark = (0, b"")
        for step, count in steps:
            match step:
                case "append":
                    data = source.randbytes(count)
                    file.append(memoryview(data))
                    expected += data
                case "mark":
                    mark = (file.written, file.tail())
                case "cut" if mark[0] <= len(expected):
                    file.settle()
                    file.cut(*mark)
                    expected = expected[: mark[0]]
                case _:
                    file.settle()
                    assert path.read_bytes() == expected
        file.finish()

    assert file.written == len(expected)
    assert path.read_bytes() == expected


def test_large_archives_go_past_the_page_cache(tmp_path: Path) -> None:
    needs_direct_writing(tmp_path)
    path = tmp_path / "file"
    with growing(path, direct=True) as (file, _):
        file.append(memoryview(os.urandom(9 * _MIB)))
        file._back.wait()
        cached = subprocess.run(
            ["fincore", "--bytes", "--noheadings", "--output", "RES", path],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )

    assert path.stat().st_size == 8 * _MIB
    assert int(cached.stdout) == 0


@pytest.mark.parametrize("direct", [True, False])
def test_nothing_is_told_as_durable_that_is_not_in_the_file(
    tmp_path: Path, *, direct: bool
) -> None:
    path = tmp_path / "file"
    with growing(path, direct=direct) as (file, durable):
        for _ in range(50):
            file.append(memoryview(bytes(_MIB + 1)))
        file.finish()

    assert durable
    assert all(told <= size for told, size in durable)
    assert durable == sorted(durable)
    assert path.stat().st_size == 50 * (_MIB + 1)


@pytest.mark.parametrize("direct", [True, False])
def test_a_disk_that_takes_no_more_is_told_and_nothing_hangs(
    tmp_path: Path, *, direct: bool
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with growing(tmp_path / "file", direct=direct) as (file, _):
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 * _MIB, before[1]))
        try:
            with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
                append_many(file)
            if direct:  # what failed in the background is never forgotten
                with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
                    file.finish()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_system_that_cannot_is_written_the_ordinary_way() -> None:
    folder = Path("/dev/shm")  # noqa: S108 - a tmpfs on every Linux
    if kind_of(folder) != "tmpfs":
        pytest.skip("needs a tmpfs at /dev/shm")
    path = folder / f"backup4d-test-{os.getpid()}"
    content = os.urandom(5 * _MIB + 77)
    try:
        with growing(path, direct=True) as (file, _):
            file.append(memoryview(content))
            file.finish()
        assert path.read_bytes() == content
    finally:
        path.unlink(missing_ok=True)


def test_segments_are_cut_and_taken_back_as_without_direct_writing(tmp_path: Path) -> None:
    content = os.urandom(9 * _MIB)
    output = Output(
        tmp_path, "a", 1, ".tar", segment_bytes=3 * _MIB - 100, on_durable=lambda _: None
    )
    output.write(content[: 2 * _MIB + 33])
    mark = output.mark()
    output.write(os.urandom(7 * _MIB))
    output.rewind(mark)
    output.write(content[2 * _MIB + 33 :])
    files = output.finish()

    joined = subprocess.run(
        ["cat", *(tmp_path / file.name for file in files)],
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert joined.stdout == content
    sums = "".join(f"{file.sha256}  {file.name}\n" for file in files)
    subprocess.run(
        ["sha256sum", "--check"], input=sums.encode(), cwd=tmp_path, timeout=30, check=True
    )
