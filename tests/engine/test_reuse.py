"""What did not change is taken over from the set before, or from an attempt in vain; never damage, never a dependence."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.codec import Compressor
from engine.errors import DamagedError
from engine.frametable import FrameTable
from engine.framewriter import FrameWriter
from engine.host import HostClock
from engine.manifest import ArchiveFacts, read_manifest
from engine.output import Output
from engine.progress import Progress, silent
from engine.readback import ReadBack
from engine.reuse import Known, Lot, TakenOver, set_before
from engine.stop import StopRequest
from settings.model import CompressionRate
from settings.service_model import Limits
from tests.engine.reuse_stories import (
    BLOCKS,
    SIZE,
    app_with_data,
    assert_whole,
    counting,
    next_set,
    overwrite,
    vouch_for,
)
from tests.engine.stories import (
    CHECK,
    COMPRESSION,
    ERASE_BEFORE,
    FRAME,
    KEEP,
    KEEP_ENABLED,
    SEGMENT,
    judge,
    main_archive,
    make_app,
    pass_a_day,
    patterned,
    verified,
)

# --- the set before -------------------------------------------------------------------------------


@pytest.mark.parametrize("check", ["True", "False"])
@pytest.mark.parametrize("segment", ["0", "1"])
def test_only_what_changed_is_compressed_and_the_set_needs_no_other(
    tmp_path: Path, check: str, segment: str
) -> None:
    app = app_with_data(tmp_path, {CHECK: check, SEGMENT: segment})
    first = app.backup_set()
    overwrite(app.data_file, 2 * FRAME + 5, b"another record")

    folder, compressed = next_set(app)
    shutil.rmtree(first)

    assert compressed == 1
    assert_whole(folder, app, tmp_path / "back")


def test_taking_over_can_be_turned_off(tmp_path: Path) -> None:
    app = app_with_data(tmp_path)
    app.backup_set()

    with counting() as compressed:
        folder = app.backup_set(limits=Limits(take_over=False))

    assert sum(length >= FRAME for length in compressed) == 6
    assert_whole(folder, app, tmp_path / "back")


def test_data_that_moved_inside_a_file_is_found_again(tmp_path: Path) -> None:
    app = app_with_data(tmp_path)
    app.backup_set()
    content = app.data_file.read_bytes()
    app.data_file.write_bytes(content[3 * FRAME :] + content[: 3 * FRAME])

    folder, compressed = next_set(app)

    assert compressed == 4 - 1  # behind the last 100 bytes, nothing is on the grid any more
    assert_whole(folder, app, tmp_path / "back")


@pytest.mark.parametrize("check", ["True", "False"])
def test_damage_of_the_set_before_is_not_taken_over_and_is_told(tmp_path: Path, check: str) -> None:
    app = app_with_data(tmp_path, {CHECK: check})
    first = app.backup_set()
    table = read_manifest(first).archives[0].frames
    damaged = next(index for index in range(len(table)) if table.frame(index).raw == FRAME)
    overwrite(main_archive(first), table.frame(damaged).offset + 200, b"damage")
    assert not verified(first).good

    folder, compressed = next_set(app)

    assert compressed == 1
    assert_whole(folder, app, tmp_path / "back")
    assert f"{first.name}: 1 frames are damaged there and were not taken over" in app.journal()


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "manifest.json").write_bytes(b"{}"),
        lambda folder: main_archive(folder).unlink(),
        lambda folder: main_archive(folder).write_bytes(b""),
    ],
)
def test_a_set_before_that_cannot_be_read_is_done_without(tmp_path: Path, harm: object) -> None:
    app = app_with_data(tmp_path)
    first = app.backup_set()
    assert callable(harm)
    harm(first)

    folder, compressed = next_set(app)

    assert compressed >= 6
    assert_whole(folder, app, tmp_path / "back")


def test_a_set_of_another_rate_is_not_taken_over(tmp_path: Path) -> None:
    """Compact would get the strength of Fast."""
    app = app_with_data(tmp_path)
    app.backup_set()
    app.configure({COMPRESSION: "Compact"})

    _, compressed = next_set(app)

    assert compressed >= 6


def test_a_set_that_is_removed_before_the_writing_is_not_needed(tmp_path: Path) -> None:
    app = app_with_data(tmp_path, {KEEP: "1", KEEP_ENABLED: "True", ERASE_BEFORE: "True"})
    app.backup_set()
    pass_a_day(app)
    app.backup_set()

    folder, _ = next_set(app)

    assert_whole(folder, app, tmp_path / "back")


def test_what_was_taken_over_is_still_compared_with_the_disk(tmp_path: Path) -> None:
    """It is not unpacked again when it was proved once; a bit that flips on the way to the disk is seen."""
    table = FrameTable()
    stored = bytes(Compressor(CompressionRate.FAST).compress(memoryview(BLOCKS[0])))
    lot = Lot(one_frame(BLOCKS[0], stored), lambda _, __: stored, proved=True)
    with writing(tmp_path, table, Known([lot])) as frames:
        submit(frames, BLOCKS[0])
        files = frames.finish()
    facts = ArchiveFacts("main", "tar", "zstd", files, table)
    assert table.frame(0).proved

    read_back(tmp_path, facts)
    overwrite(tmp_path / files[0].name, 999, bytes([stored[999] ^ 1]))
    with pytest.raises(DamagedError, match="it is not what was taken over"):
        read_back(tmp_path, facts)


def read_back(folder: Path, facts: ArchiveFacts) -> None:
    check = ReadBack(folder, facts.frames, workers=2, stop=StopRequest())
    check.finish(facts, silent)


def one_frame(block: bytes, stored: bytes) -> FrameTable:
    from_blake3 = judge("b3sum", "--no-names", data=block).decode().strip()
    check = judge("b3sum", "--no-names", data=stored).decode()[:16]
    table = FrameTable()
    table.append(len(block), len(stored), bytes.fromhex(from_blake3), check=bytes.fromhex(check))
    return table


@pytest.mark.parametrize("answer", [b"", b"x" * 50, None])
def test_a_lot_gives_nothing_that_is_not_what_was_stored(answer: bytes | None) -> None:
    stored = b"stored" * 10

    def read(_offset: int, _count: int) -> bytes:
        if answer is None:
            raise OSError(5, "Input/output error")
        return answer

    frames = one_frame(BLOCKS[0], stored)
    lot = Lot(frames, read, proved=True)

    digest = frames.frame(0).digest
    assert lot.find_all([(digest, FRAME)]) == [None]
    assert lot.damaged == {0}
    another_length, another_digest = (digest, FRAME - 1), (bytes(32), FRAME)
    assert lot.find_all([another_length, another_digest]) == [None, None]
    assert lot.damaged == {0}


def test_a_set_of_an_older_release_kept_no_checks_and_is_not_used(tmp_path: Path) -> None:
    app = app_with_data(tmp_path)
    folder = app.backup_set()
    manifest = folder / "manifest.json"
    document = manifest.read_text()
    start = document.index(', "checks": "')
    manifest.write_text(document[:start] + document[document.index('"', start + 13) + 1 :])
    vouch_for(folder)

    with set_before(folder, CompressionRate.FAST) as before:
        assert len(before.lots) == 1  # the log's
    assert read_manifest(folder).archives[0].frames.checks == b""


# --- an attempt in vain ---------------------------------------------------------------------------


@contextmanager
def writing(
    folder: Path, table: FrameTable, known: Known, segment: int | None = None
) -> Iterator[FrameWriter]:
    output = Output(folder, "a", 1, ".tar.zst", segment_bytes=segment, on_durable=lambda _: None)
    frames = FrameWriter(output, table, CompressionRate.FAST, 2, known=known)
    try:
        yield frames
    finally:
        frames.abandon()


def submit(frames: FrameWriter, block: bytes) -> None:
    buffer = frames.buffer(len(block))
    buffer[: len(block)] = block
    frames.submit(buffer, len(block))


@pytest.mark.parametrize("segment", [None, 100_000])
def test_a_second_reading_compresses_only_what_changed(tmp_path: Path, segment: int | None) -> None:
    table = FrameTable()
    with counting() as compressed, writing(tmp_path, table, Known(), segment) as frames:
        submit(frames, b"before")
        mark = frames.mark()
        for block in BLOCKS:
            submit(frames, block)
        frames.rewind(mark)
        for block in (BLOCKS[0], b"changed", *BLOCKS[2:]):
            submit(frames, block)
        frames.rewind(mark)
        for block in (*BLOCKS[2:], b"changed", BLOCKS[0]):
            submit(frames, block)
        frames.finish()

    assert sorted(compressed) == sorted([6, *[FRAME] * 4, 7])
    archive = b"".join(file.read_bytes() for file in sorted(tmp_path.iterdir()))
    whole = b"".join([b"before", *BLOCKS[2:], b"changed", BLOCKS[0]])
    assert judge("zstd", "-dcq", data=archive) == whole


def test_an_attempt_is_not_kept_where_room_is_short(tmp_path: Path) -> None:
    with (
        counting() as compressed,
        writing(tmp_path, FrameTable(), Known(reserve=1 << 62)) as frames,
    ):
        mark = frames.mark()
        submit(frames, BLOCKS[0])
        frames.rewind(mark)
        submit(frames, BLOCKS[0])
        frames.finish()

    assert len(compressed) == 2


def test_the_kept_attempt_gives_its_room_back(tmp_path: Path) -> None:
    known = Known()
    with writing(tmp_path, FrameTable(), known) as frames:
        mark = frames.mark()
        submit(frames, BLOCKS[0])
        frames.rewind(mark)
        assert [file.name for file in tmp_path.iterdir()] == ["a[0001].tar.zst"]
        assert isinstance(known.find_all([(digest(BLOCKS[0]), FRAME)])[0], TakenOver)

    assert known.find_all([(digest(BLOCKS[0]), FRAME)]) == [None]


def digest(block: bytes) -> bytes:
    return bytes.fromhex(judge("b3sum", "--no-names", data=block).decode().strip())


def test_a_data_file_written_to_once_is_compressed_once(tmp_path: Path) -> None:
    """The whole way: one write while the file is read, and only that frame is compressed again."""
    app = make_app(tmp_path, data=patterned(SIZE), clock=HostClock())
    done = threading.Event()

    def disturb(progress: Progress) -> None:
        if progress.phase == "saving" and progress.done > 4 * FRAME and not done.is_set():
            done.set()
            overwrite(app.data_file, 10, b"a record written while the file is read")

    with counting() as compressed:
        folder = app.backup_set(report=disturb)

    assert done.is_set()
    assert sum(length >= FRAME for length in compressed) == 6 + 1
    assert_whole(folder, app, tmp_path / "back")
