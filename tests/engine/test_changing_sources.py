"""A source that changes while it is read is read again; a torn copy is never published."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.archiver import Archiver
from engine.errors import Code, SourceError, SourceNeverQuietError
from engine.frametable import FrameTable
from engine.framewriter import FrameWriter
from engine.host import HostClock
from engine.logstore import store_file
from engine.member import Role
from engine.memberspool import MemberSpool
from engine.output import Output
from engine.patience import Patience
from engine.progress import Progress
from engine.reuse import SetBefore
from engine.stop import StopRequest
from engine.walk import Found
from settings.model import CompressionRate
from tests.engine.stories import (
    COMPRESSION,
    FRAME,
    TIMEOUT,
    App,
    make_app,
    patterned,
    restored,
    verified,
)
from tests.fakes import StoryClock

LARGE, SMALL = 3 * FRAME + 17, 60_000


@contextmanager
def disturbing(action: "Disturbance") -> Iterator["Disturbance"]:
    """Something disturbs the sources again and again until the story is over."""
    thread = threading.Thread(target=action.run)
    thread.start()
    try:
        yield action
    finally:
        action.over.set()
        thread.join()


class Disturbance:
    """Rewrites a file in place, all of it with one byte, then with the next one; `times` times at most."""

    def __init__(self, file: Path, size: int, *, times: int = 10**9) -> None:
        self.over = threading.Event()
        self.file, self.size, self.times = file, size, times
        self.done = 0

    def run(self) -> None:
        with self.file.open("r+b", buffering=0) as stream:
            while self.done < self.times and not self.over.is_set():
                self.done += 1
                for offset in range(0, self.size, 1 << 14):
                    count = min(1 << 14, self.size - offset)
                    os.pwrite(stream.fileno(), bytes([self.done % 250 + 1]) * count, offset)


def saved_data(folder: Path, target: Path) -> bytes:
    assert verified(folder).good
    restored(folder, target)
    return (target / "Data" / "data.4DD").read_bytes()


def real_app(folder: Path, size: int, *, timeout: str = "00:00:30", rate: str = "Fast") -> App:
    """An application on the clock of this machine: time stamps of files are compared with it."""
    changes = {TIMEOUT: timeout, COMPRESSION: rate}
    return make_app(folder, changes, data=b"\x01" * size, clock=HostClock())


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("rate", ["None", "Fast"])
def test_a_file_that_comes_to_rest_is_saved_whole(tmp_path: Path, size: int, rate: str) -> None:
    app = real_app(tmp_path, size, rate=rate)

    with disturbing(Disturbance(app.data_file, size, times=60)) as action:
        folder = app.backup_set()
        assert action.done

    content = saved_data(folder, tmp_path / "back")
    assert len(content) == size
    assert len(set(content)) == 1


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_file_that_never_rests_ends_in_error_1405(tmp_path: Path, size: int) -> None:
    app = real_app(tmp_path, size, timeout="00:00:01")

    with (
        disturbing(Disturbance(app.data_file, size)),
        pytest.raises(
            SourceNeverQuietError, match=r"data\.4DD changed while it was read"
        ) as caught,
    ):
        app.backup()

    assert caught.value.code is Code.SOURCE_NEVER_QUIET
    assert app.sets() == app.hidden() == []
    assert "Error reported : 1405 " in app.journal()
    assert "no torn copy was published" in app.journal()


class Growing(Disturbance):
    """Appends to the file."""

    def run(self) -> None:
        with self.file.open("ab", buffering=0) as stream:
            while self.done < self.times and not self.over.is_set():
                self.done += 1
                stream.write(b"\x01" * 1000)


class Shrinking(Disturbance):
    """Makes the file shorter, a little each time."""

    def run(self) -> None:
        while self.done < self.times and not self.over.is_set():
            self.done += 1
            with suppress(OSError):
                os.truncate(self.file, max(self.size - self.done * 50_000, 10))
            self.over.wait(0.001)


class Replacing(Disturbance):
    """Writes a new file beside the old one and renames it over the old one, as careful programs save."""

    def run(self) -> None:
        while self.done < self.times and not self.over.is_set():
            self.done += 1
            new = self.file.with_name("new")
            new.write_bytes(bytes([self.done % 250 + 1]) * self.size)
            new.replace(self.file)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("kind", [Growing, Shrinking, Replacing])
def test_however_a_file_changes_the_copy_is_one_that_existed(
    tmp_path: Path, kind: type[Disturbance], size: int
) -> None:
    app = real_app(tmp_path, size)

    with disturbing(kind(app.data_file, size, times=40)):
        folder = app.backup_set()

    content = saved_data(folder, tmp_path / "back")
    assert len(set(content)) == 1


def test_a_small_file_that_grows_beyond_a_frame_is_saved(tmp_path: Path) -> None:
    app = real_app(tmp_path, FRAME - 500)

    with disturbing(Growing(app.data_file, FRAME, times=30)):
        folder = app.backup_set()

    assert set(saved_data(folder, tmp_path / "back")) == {1}


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_file_rewritten_in_the_middle_of_its_reading_is_saved_whole(
    tmp_path: Path, keep_time: bool
) -> None:
    """Same size; with the old time stamp as well, as some copying programs leave it."""
    app = real_app(tmp_path, LARGE)
    rewritten: list[bool] = []

    def rewrite(progress: Progress) -> None:
        if progress.phase == "saving" and progress.done >= FRAME and not rewritten:
            rewritten.append(True)
            facts = app.data_file.stat()
            with app.data_file.open("r+b") as stream:
                stream.write(b"\x02" * LARGE)
            if keep_time:
                os.utime(app.data_file, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    folder = app.backup_set(report=rewrite)

    assert set(saved_data(folder, tmp_path / "back")) == {2}


def test_what_comes_after_a_file_that_was_read_again_is_right(tmp_path: Path) -> None:
    """The stream is rewound; nothing of the vain reading may stay, in segments neither."""
    app = make_app(
        tmp_path,
        {COMPRESSION: "None", "Advanced/FileSegmentation/DefaultSize": "1"},
        data=b"\x01" * LARGE,
        clock=HostClock(),
    )
    touched: list[int] = []

    def touch_twice(progress: Progress) -> None:
        if progress.phase == "saving" and progress.done > FRAME and len(touched) < 2:
            touched.append(progress.done)
            with app.data_file.open("r+b") as stream:
                stream.write(b"\x01")

    folder = app.backup_set(report=touch_twice)

    assert len(touched) == 2
    assert saved_data(folder, tmp_path / "back") == b"\x01" * LARGE
    back = tmp_path / "back" / "Data"
    assert (back / "data.4DIndx").read_bytes() == patterned(700)
    assert (back / "data.journal").read_bytes() == patterned(900)


def test_a_log_may_grow_and_what_was_there_is_saved(tmp_path: Path) -> None:
    app = make_app(tmp_path, clock=HostClock())
    before = patterned(2 * FRAME + 3)
    app.log.write_bytes(before)

    with disturbing(Growing(app.log, 0)):
        folder = app.backup_set()

    assert verified(folder).good
    restored(folder, tmp_path / "back")
    content = (tmp_path / "back" / "Data" / "data.journal").read_bytes()
    assert content.startswith(before)
    assert set(content[len(before) :]) <= {1}


class StopThatRenewsTheLog(StopRequest):
    """Looked at between two blocks, it empties the log, as 4D does when a backup of its own renews it."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log = log
        self.looks = 0

    def check(self) -> None:
        self.looks += 1
        if self.looks == 3:
            os.truncate(self.log, 0)


def test_a_log_that_becomes_shorter_fails_with_a_hint(tmp_path: Path) -> None:
    log = tmp_path / "data.journal"
    log.write_bytes(patterned(8 * FRAME))
    descriptor = os.open(log, os.O_RDONLY)

    with (
        writing_frames(tmp_path) as frames,
        pytest.raises(SourceNeverQuietError, match="became shorter") as caught,
    ):
        store_file(
            frames, descriptor, b"data.journal", lambda _: None, stop=StopThatRenewsTheLog(log)
        )

    os.close(descriptor)
    assert "next attempt" in caught.value.hint


def test_a_log_that_cannot_be_read_fails_with_the_logs_number(tmp_path: Path) -> None:
    """Reading a folder is the one read error that every file system gives."""
    descriptor = os.open(tmp_path, os.O_RDONLY)

    with (
        writing_frames(tmp_path) as frames,
        pytest.raises(SourceError, match="cannot be read") as caught,
    ):
        store_file(frames, descriptor, b"data.journal", lambda _: None, stop=StopRequest())

    os.close(descriptor)
    assert caught.value.code is Code.LOG_BACKUP_FAILED


@contextmanager
def writing_frames(folder: Path) -> Iterator[FrameWriter]:
    """A frame writer that writes a plain archive nobody looks at."""
    (folder / "out").mkdir()
    output = Output(folder / "out", "a", 1, ".tar", segment_bytes=None, on_durable=lambda _: None)
    frames = FrameWriter(output, FrameTable(), CompressionRate.NONE, 1)
    try:
        yield frames
    finally:
        frames.abandon()


@pytest.mark.parametrize("rate", CompressionRate)
def test_buffers_may_grow_while_the_writing_thread_still_holds_one(
    tmp_path: Path, rate: CompressionRate
) -> None:
    (tmp_path / "out").mkdir()
    output = Output(tmp_path / "out", "a", 1, ".tar", segment_bytes=None, on_durable=lambda _: None)
    frames = FrameWriter(output, FrameTable(), rate, 1)

    for size in (1000, 10_000, 100_000, 1_000_000):
        for _ in range(6):
            frames.submit(frames.buffer(size), size)
        frames.mark()

    files = frames.finish()
    assert frames.frames.raw_bytes == 6 * 1_111_000
    assert files[0].size == frames.frames.stored_bytes


@pytest.mark.parametrize("name", ["data.4DD", "data.4DIndx"])
def test_a_file_that_vanishes_before_it_is_read_is_not_passed_over(
    tmp_path: Path, name: str
) -> None:
    app = make_app(tmp_path)

    def remove(_progress: Progress) -> None:
        (app.package / "Data" / name).unlink(missing_ok=True)

    if name == "data.4DD":
        with pytest.raises(SourceError, match=r"data\.4DD"):
            app.backup(report=remove)
        assert app.sets() == []
        return
    outcome = app.backup(report=remove)
    assert outcome.facts is not None


def test_an_attachment_that_vanishes_before_it_is_read_makes_the_set_partial(
    tmp_path: Path,
) -> None:
    app = make_app(tmp_path, attachments=("./letter.txt",))
    (app.package / "letter.txt").write_bytes(b"x")

    def remove(progress: Progress) -> None:
        if progress.phase == "saving":
            (app.package / "letter.txt").unlink(missing_ok=True)

    outcome = app.backup(report=remove)

    assert outcome.facts is not None
    assert not outcome.facts.complete
    assert "letter.txt" in app.journal()


def test_a_file_below_an_attachment_that_vanishes_is_no_failure(tmp_path: Path) -> None:
    """Lists of a temporary folder go stale; what is gone cannot be saved by anybody."""
    app = make_app(tmp_path, attachments=("./docs",))
    docs = app.package / "docs"
    docs.mkdir()
    for name in "abc":
        (docs / name).write_bytes(b"x")

    def remove(progress: Progress) -> None:
        if progress.phase == "saving":
            (docs / "c").unlink(missing_ok=True)

    outcome = app.backup(report=remove)

    assert outcome.folder is not None
    assert verified(outcome.folder).good


# --- patience -------------------------------------------------------------------------------------


class Restless(StoryClock):
    """A clock that always says the file was changed a moment ago."""

    def __init__(self, file: Path) -> None:
        changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        super().__init__(changed + timedelta(milliseconds=10), tick=timedelta(0))
        self._steps = 0.0

    def monotonic(self) -> float:
        self._steps += 1
        return self._steps


def test_a_file_whose_last_change_is_too_young_is_waited_for(tmp_path: Path) -> None:
    """Two writes within one tick of the kernel's clock leave one time stamp: a young file proves nothing."""
    source = tmp_path / "file"
    source.write_bytes(b"x" * 100)
    folder = os.open(tmp_path, os.O_RDONLY)
    with (tmp_path / "spool").open("wb") as spool, writing_frames(tmp_path) as frames:
        archiver = Archiver(
            frames,
            MemberSpool(spool),
            Patience(Restless(source), 3),
            before=SetBefore(),
            stop=StopRequest(),
            watcher=lambda _: None,
        )
        found = Found(b"file", b"file", folder, source.stat())

        with pytest.raises(SourceNeverQuietError):
            archiver.add(found, Role.DATA)

    os.close(folder)


def test_patience_is_shared_by_all_files() -> None:
    clock = StoryClock(tick=timedelta(0))
    patience = Patience(clock, 10)
    for _ in range(3):
        began = patience.now()
        clock.pass_time(timedelta(seconds=3))
        patience.again(b"a", began)
    began = patience.now()
    clock.pass_time(timedelta(seconds=1))

    with pytest.raises(SourceNeverQuietError, match="for 10 s"):
        patience.again(b"b", began)
