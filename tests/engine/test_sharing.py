"""Blocks shared with another file: the bytes are right whatever comes in which order, and what belongs together is shared at once.

What the kernel does with FICLONERANGE is tried on real XFS and btrfs in tests/storage; here it is a copy.
"""

import errno
import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.growingfile import GrowingFile
from engine.output import Output
from tests.engine.stories import judge

BLOCK = 4096
SOURCE = random.Random(1).randbytes(200 * BLOCK)


class Disk:
    """A file system that shares blocks; how often it was asked to, and after how often it refuses."""

    def __init__(self, refuses_after: int | None = None, error: int = errno.EOPNOTSUPP) -> None:
        self.asked: list[tuple[int, int]] = []
        self._refuses_after = refuses_after
        self._error = error

    def clone(self, file: GrowingFile, source: int, offset: int, count: int) -> None:
        self.asked.append((offset, count))
        if self._refuses_after is not None and len(self.asked) > self._refuses_after:
            raise OSError(self._error, os.strerror(self._error))
        assert offset % BLOCK == count % BLOCK == file.written % BLOCK == 0, "it would refuse"
        assert count > 0
        file.append(memoryview(os.pread(source, count, offset)))


@contextmanager
def sharing(folder: Path, disk: Disk) -> Iterator[tuple[Output, int]]:
    """An archive that is being written, and the file it may share blocks with."""
    (folder / "source").write_bytes(SOURCE)
    descriptor = os.open(folder / "source", os.O_RDONLY)

    def clone(file: GrowingFile, *what: int) -> None:
        disk.clone(file, *what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.output.kind_of", lambda _: "xfs")
        patch.setattr("engine.output.writes_directly", lambda _: False)
        patch.setattr(GrowingFile, "clone", clone)
        output = Output(folder, "a", 1, ".bin", segment_bytes=None, on_durable=lambda _: None)
        try:
            yield output, descriptor
        finally:
            output.abandon()
            os.close(descriptor)


def finished(output: Output, folder: Path) -> bytes:
    """What is in the file; sha256sum agrees with what is told of it."""
    (stored,) = output.finish()
    content = (folder / stored.name).read_bytes()
    assert stored.size == len(content)
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert judge("sha256sum", folder / stored.name).decode().startswith(stored.sha256)
    return content


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3 * BLOCK)),
        st.tuples(st.just("share on"), st.integers(1, 5 * BLOCK)),
        st.tuples(st.just("share aligned"), st.integers(1, 5 * BLOCK)),
        st.tuples(st.just("share anything"), st.integers(1, 5 * BLOCK)),
        st.tuples(st.sampled_from(("mark", "rewind", "keep")), st.just(0)),
    ),
    max_size=25,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=_STEPS, seed=st.integers(0, 999), refuses_after=st.sampled_from((None, 0)))
def test_the_archive_holds_what_was_appended(
    tmp_path: Path, steps: list[tuple[str, int]], seed: int, refuses_after: int | None
) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    chance = random.Random(seed)
    with sharing(tmp_path, Disk(refuses_after)) as (output, source):
        wanted, behind = b"", 0
        mark, wanted_then = output.mark(), b""
        for step, count in steps:
            if step == "mark":
                mark, wanted_then = output.mark(), wanted
            elif step == "rewind":
                output.rewind(mark)
                wanted = wanted_then
            elif step == "keep":
                kept = output.copy_after(mark, 0)
                assert kept is not None
                with kept:
                    kept.seek(0)
                    assert kept.read() == wanted[len(wanted_then) :]
            elif step == "write":
                data = chance.randbytes(count)
                output.write(data)
                wanted += data
            else:
                offset = _offset_for(step, behind, len(wanted), chance)
                data = SOURCE[offset : offset + count]
                output.share(data, source, offset)
                wanted += data
                behind = offset + len(data)
        assert finished(output, tmp_path) == wanted


def _offset_for(step: str, behind: int, written: int, chance: random.Random) -> int:
    if step == "share on":
        return behind
    offset = chance.randrange(100) * BLOCK
    return offset + (written % BLOCK if step == "share aligned" else chance.randrange(BLOCK))


def test_what_lies_together_is_shared_at_once(tmp_path: Path) -> None:
    disk = Disk()
    with sharing(tmp_path, disk) as (output, source):
        output.write(SOURCE[:100])
        for offset in range(100, 190 * BLOCK, 9000):
            assert output.gap_before(offset, BLOCK * 10) == 0
            output.share(SOURCE[offset : offset + 9000], source, offset)
        content = finished(output, tmp_path)

    assert SOURCE.startswith(content)
    assert len(content) > 189 * BLOCK
    shared = sum(count for _, count in disk.asked)
    # less than a block at the beginning, where another file's bytes are, and one at the end
    assert shared >= len(content) - 3 * BLOCK
    assert len(disk.asked) <= 3


def test_where_nothing_can_be_shared_it_is_asked_for_once(tmp_path: Path) -> None:
    disk = Disk(refuses_after=0)
    with sharing(tmp_path, disk) as (output, source):
        for offset in range(0, 50 * BLOCK, 5 * BLOCK):
            output.share(SOURCE[offset : offset + 5 * BLOCK], source, offset)
        assert finished(output, tmp_path) == SOURCE[: 50 * BLOCK]

    assert len(disk.asked) == 1


def test_a_disk_that_is_full_when_it_shares_says_so(tmp_path: Path) -> None:
    """The bytes were shared before: that it cannot be done any more is a failure, and not passed over."""
    disk = Disk(refuses_after=1, error=errno.ENOSPC)
    with sharing(tmp_path, disk) as (output, source):
        output.share(SOURCE[: 5 * BLOCK], source, 0)
        output.share(SOURCE[5 * BLOCK : 9 * BLOCK], source, 5 * BLOCK)
        with pytest.raises(OSError, match="No space left"):
            output.finish()


def test_much_that_lies_together_is_not_held_back_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check follows what is durable, while the rest is written."""
    monkeypatch.setattr("engine.output._SPAN_BYTES", 8 * BLOCK)
    disk = Disk()
    with sharing(tmp_path, disk) as (output, source):
        for offset in range(0, 100 * BLOCK, BLOCK):
            output.share(SOURCE[offset : offset + BLOCK], source, offset)
        assert len(disk.asked) >= 12
        assert finished(output, tmp_path) == SOURCE[: 100 * BLOCK]


def test_what_was_shared_before_a_mark_stays_when_the_rest_is_taken_back(tmp_path: Path) -> None:
    with sharing(tmp_path, Disk()) as (output, source):
        output.share(SOURCE[: 3 * BLOCK + 700], source, 0)
        output.share(SOURCE[3 * BLOCK + 700 : 6 * BLOCK + 5], source, 3 * BLOCK + 700)
        mark = output.mark()
        output.share(SOURCE[6 * BLOCK + 5 : 9 * BLOCK], source, 6 * BLOCK + 5)
        output.rewind(mark)
        output.write(b"another end")
        assert finished(output, tmp_path) == SOURCE[: 6 * BLOCK + 5] + b"another end"
