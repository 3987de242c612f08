"""What did not change is taken over from the set before, or from an attempt in vain; never damage, never a dependence."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine import sourcefile
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
from tests.engine.stories import (
    CHECK,
    COMPRESSION,
    ERASE_BEFORE,
    FRAME,
    KEEP,
    KEEP_ENABLED,
    SEGMENT,
    App,
    judge,
    main_archive,
    make_app,
    pass_a_day,
    patterned,
    restored,
    verified,
)

SIZE = 6 * FRAME + 100
BLOCKS = tuple(patterned(FRAME, seed) for seed in range(4))


class Compressed(list[int]):
    """The lengths of all blocks that were compressed while it looked on."""


@contextmanager
def counting() -> Iterator[Compressed]:
    seen, lock, original = Compressed(), threading.Lock(), Compressor.compress

    def compress(self: Compressor, block: memoryview) -> bytes | memoryview:
        with lock:
            seen.append(len(block))
        return original(self, block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Compressor, "compress", compress)
        yield seen


def app_with_data(folder: Path, changes: dict[str, str] | None = None) -> App:
    return make_app(folder, changes, data=patterned(SIZE))


def overwrite(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def next_set(app: App) -> tuple[Path, int]:
    """The next day's set and how many full frames were compressed for it."""
    pass_a_day(app)
    with counting() as compressed:
        folder = app.backup_set()
    return folder, sum(length >= FRAME for length in compressed)


def assert_whole(folder: Path, app: App, target: Path) -> None:
    assert verified(folder).good
    judge("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=folder)
    restored(folder, target)
    assert (target / "Data" / "data.4DD").read_bytes() == app.data_file.read_bytes()


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

    assert lot.find(frames.frame(0).digest, FRAME) is None
    assert lot.damaged == {0}
    assert lot.find(frames.frame(0).digest, FRAME - 1) is None  # another length is another block
    assert lot.find(bytes(32), FRAME) is None
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


def vouch_for(folder: Path) -> None:
    """SHA256SUMS as if the manifest had always been like this."""
    names = [line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    (folder / "SHA256SUMS").write_bytes(judge("sha256sum", *names, cwd=folder))


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
        assert isinstance(known.find(digest(BLOCKS[0]), FRAME), TakenOver)

    assert known.find(digest(BLOCKS[0]), FRAME) is None


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


# --- files nobody wrote to ------------------------------------------------------------------------


def settled_app(folder: Path, changes: dict[str, str] | None = None) -> App:
    """On the clock of this machine: only there can a file be older than the backup."""
    app = make_app(folder, changes, data=patterned(SIZE), clock=HostClock())
    (app.package / "Data" / "data.4DIndx").write_bytes(patterned(2 * FRAME, 7))
    return app


@contextmanager
def watching_reads() -> Iterator[set[str]]:
    """Which files larger than a frame were read."""
    seen: set[str] = set()
    original = sourcefile.fill

    def fill(descriptor: int, block: memoryview, offset: int) -> bool:
        seen.add(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        return original(descriptor, block, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.archiver.fill", fill)
        yield seen


@pytest.mark.parametrize("check", ["True", "False"])
def test_a_file_nobody_wrote_to_is_not_read_again(tmp_path: Path, check: str) -> None:
    app = settled_app(tmp_path, {CHECK: check})
    first = app.backup_set()
    overwrite(app.package / "Data" / "data.4DIndx", 5, b"one key more")

    with watching_reads() as read, counting() as compressed:
        folder = app.backup_set()
    shutil.rmtree(first)

    assert read == {"data.4DIndx"}
    assert sum(length >= FRAME for length in compressed) == 1
    assert_whole(folder, app, tmp_path / "back")


@pytest.mark.parametrize("what", ["written", "replaced", "copied over"])
def test_a_file_that_was_written_to_is_read_whatever_its_time_says(
    tmp_path: Path, what: str
) -> None:
    """Programs set the mtime back (cp -p, rsync, an unpacked archive); nobody can set the ctime."""
    app = settled_app(tmp_path)
    app.backup_set()
    facts = app.data_file.stat()
    if what == "written":
        overwrite(app.data_file, 2 * FRAME, b"changed, with its old time")
    elif what == "replaced":
        other = tmp_path / "other"
        other.write_bytes(patterned(SIZE, 99))
        other.rename(app.data_file)
    else:
        app.data_file.write_bytes(patterned(SIZE, 99))
    os.utime(app.data_file, ns=(facts.st_mtime_ns, facts.st_mtime_ns))

    folder = app.backup_set()

    assert_whole(folder, app, tmp_path / "back")


def test_a_file_with_holes_nobody_wrote_to_keeps_them(tmp_path: Path) -> None:
    app = settled_app(tmp_path)
    with app.data_file.open("r+b") as stream:
        stream.truncate(40 * FRAME)
        stream.seek(30 * FRAME + 10)
        stream.write(patterned(FRAME, 3))
    app.backup_set()

    with watching_reads() as read:
        folder = app.backup_set()

    assert read == set()
    assert_whole(folder, app, tmp_path / "back")
    assert (tmp_path / "back" / "Data" / "data.4DD").stat().st_blocks * 512 < 20 * FRAME


def test_damage_in_the_set_before_makes_the_file_be_read(tmp_path: Path) -> None:
    app = settled_app(tmp_path)
    first = app.backup_set()
    table = read_manifest(first).archives[0].frames
    overwrite(main_archive(first), table.frame(4).offset + 200, b"damage")

    with watching_reads() as read, counting() as compressed:
        folder = app.backup_set()

    assert read == {"data.4DD"}
    assert sum(length >= FRAME for length in compressed) == 1
    assert_whole(folder, app, tmp_path / "back")
    assert "frames are damaged there and were not taken over" in app.journal()


@pytest.mark.parametrize("harm", ["no SHA256SUMS", "a digest in the manifest"])
def test_a_manifest_that_nothing_vouches_for_is_not_believed(tmp_path: Path, harm: str) -> None:
    app = settled_app(tmp_path)
    first = app.backup_set()
    if harm == "no SHA256SUMS":
        (first / "SHA256SUMS").unlink()
    else:
        manifest = first / "manifest.json"
        text = manifest.read_text()
        at = text.rindex('"blake3":"', 0, text.index('"seen"')) + len('"blake3":"')
        manifest.write_text(text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :])

    with watching_reads() as read:
        folder = app.backup_set()

    assert read == {"data.4DD", "data.4DIndx"}
    assert_whole(folder, app, tmp_path / "back")


def test_attributes_that_changed_alone_are_those_of_now(tmp_path: Path) -> None:
    app = settled_app(tmp_path)
    app.backup_set()
    app.data_file.chmod(0o600)

    folder = app.backup_set()

    restored(folder, tmp_path / "back")
    assert (tmp_path / "back" / "Data" / "data.4DD").stat().st_mode & 0o777 == 0o600
