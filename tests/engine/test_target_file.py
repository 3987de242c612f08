"""Files on their way back: every size and form, any file system, any failure in the middle."""

import os
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError, StoppedError
from engine.progress import Progress, Report, silent
from engine.restore import UNFINISHED, restore_set
from engine.stop import StopRequest
from tests.engine.elsewhere import on_a_small_disk
from tests.engine.place_stories import AskedToStop, hidden_work
from tests.engine.stories import App, below, make_app, patterned, restored, tree

_MIB = 1 << 20
_SIZES = (
    0,
    1,
    4095,
    4096,
    4097,
    4 * _MIB - 1,
    8 * _MIB - 1,
    8 * _MIB,
    8 * _MIB + 1,
    12 * _MIB + 4095,
)
_HUGE = 40 << 30


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path)


def test_files_of_every_size_come_back(app: App, tmp_path: Path) -> None:
    for size in _SIZES:
        (app.package / "Project" / f"{size}").write_bytes(patterned(size, seed=size))
    folder = app.backup_set()

    restored(folder, tmp_path / "back")

    assert below(tree(tmp_path / "back"), b"Project") == below(tree(app.package), b"Project")


@pytest.mark.parametrize(
    ("size", "at"),
    [
        (300 * _MIB, ()),
        (300 * _MIB, (0,)),
        (300 * _MIB, (300 * _MIB - 5000,)),
        (300 * _MIB, (0, 90 * _MIB, 200 * _MIB + 7)),
        pytest.param(_HUGE, (0, 5 << 30, 33 << 30, _HUGE - 1), marks=pytest.mark.slow),
    ],
)
def test_a_file_with_holes_comes_back_with_them(
    app: App, tmp_path: Path, size: int, at: tuple[int, ...]
) -> None:
    with app.data_file.open("r+b") as stream:
        stream.truncate(0)
        for offset in at:
            stream.seek(offset)
            stream.write(patterned(5000, seed=offset % 1000))
        stream.truncate(size)
    folder = app.backup_set()

    restored(folder, tmp_path / "back")

    back = tmp_path / "back" / "Data" / "data.4DD"
    facts = back.stat()
    assert facts.st_size == size
    assert facts.st_blocks * 512 < 30 * _MIB
    assert facts.st_mtime_ns == app.data_file.stat().st_mtime_ns
    with back.open("rb") as stream, app.data_file.open("rb") as live:
        for offset in (*at, size // 2):
            stream.seek(max(0, offset - 100))
            live.seek(max(0, offset - 100))
            assert stream.read(6000) == live.read(6000)


def onto_a_mounted_volume(folder: Path) -> dict[str, Any]:
    app = make_app(folder, data=patterned(9 * _MIB))
    stored = app.backup_set()
    (folder / "disk" / "lost+found").mkdir()
    restored(stored, folder / "disk")
    live = tree(app.package / "Data")
    return {
        "is_equal": tree(folder / "disk" / "Data") == live,
        "names": sorted(p.name for p in (folder / "disk").iterdir()),
        "hidden": hidden_work(folder),
    }


def test_a_mounted_volume_is_restored_into() -> None:
    seen = on_a_small_disk(onto_a_mounted_volume, "64m")

    assert seen == {
        "is_equal": True,
        "names": ["Data", "Project", "Settings", "lost+found"],
        "hidden": [],
    }


# --- failures in the middle


class StruckError(Exception):
    """What somebody else's code raises."""


def struck(_: Progress) -> None:
    raise StruckError


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing behind it fails, in whichever thread it is done."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)


@contextmanager
def descriptors(most: int) -> Iterator[None]:
    kept = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, kept)


def fail_often(folder: Path, target: Path, times: int) -> None:
    """In every way: a full disk in a thread, a report that raises, a stop, damage."""
    before = threading.active_count(), _open_files()
    ways: list[Callable[[int], None]] = [
        lambda _: into(folder, target, report=struck),
        lambda at: asked_to_stop(folder, target, at),
        lambda at: too_large(folder, target, (5 + at % 3) * _MIB),
    ]
    for at in range(times):
        for way in ways:
            with pytest.raises((EngineError, StruckError)):
                way(at)
            assert not target.exists()
    assert (threading.active_count(), _open_files()) == before


def into(folder: Path, target: Path, *, report: Report, stop: StopRequest | None = None) -> None:
    restore_set(folder, target, workers=2, stop=stop or StopRequest(), report=report)


def asked_to_stop(folder: Path, target: Path, at: int) -> None:
    asked = AskedToStop(1 + at % 4)
    into(folder, target, report=asked.report, stop=asked.stop)
    raise StoppedError("it was done before the stop")


def too_large(folder: Path, target: Path, size: int) -> None:
    with largest_file(size):
        into(folder, target, report=silent)


@pytest.fixture
def large(app: App) -> Path:
    """A set with a large file, and one that has no room taken first."""
    app.data_file.write_bytes(os.urandom(20 * _MIB))
    (app.package / "Project" / "middle").write_bytes(os.urandom(7 * _MIB))
    return app.backup_set()


def test_a_failure_anywhere_ends_the_restore_and_leaves_nothing(
    large: Path, tmp_path: Path
) -> None:
    fail_often(large, tmp_path / "back", 3)

    assert hidden_work(tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_failures_never_hang(large: Path, tmp_path: Path) -> None:
    fail_often(large, tmp_path / "back", 70)

    assert hidden_work(tmp_path) == []


def test_many_files_and_deep_folders_need_few_descriptors(app: App, tmp_path: Path) -> None:
    deep = app.package / "Project" / "/".join(["deep"] * 100)
    deep.mkdir(parents=True)
    for index in range(300):
        (app.package / "Project" / f"{index}.4dm").write_text(str(index))
        (deep / f"{index}.4dm").write_text(str(index))
    folder = app.backup_set()

    with descriptors(64):
        restored(folder, tmp_path / "back")

    assert below(tree(tmp_path / "back"), b"Project") == below(tree(app.package), b"Project")


# --- places


def test_an_empty_folder_is_filled_and_keeps_its_own_attributes(app: App, tmp_path: Path) -> None:
    folder = app.backup_set()
    target = tmp_path / "empty"
    target.mkdir(mode=0o711)
    inode = target.stat().st_ino

    restored(folder, target)

    assert target.stat().st_ino == inode
    assert target.stat().st_mode & 0o777 == 0o711
    assert sorted(p.name for p in target.iterdir()) == ["Data", "Project", "Settings"]


def test_what_somebody_puts_into_the_folder_meanwhile_is_not_mixed_with_it(
    app: App, tmp_path: Path
) -> None:
    folder = app.backup_set()
    target = tmp_path / "empty"
    target.mkdir()

    with pytest.raises(EngineError, match="could not be written"):
        into(folder, target, report=lambda _: (target / "mine").touch())

    assert [p.name for p in target.iterdir()] == ["mine"]


def test_one_that_died_while_it_filled_a_folder_says_so(app: App, tmp_path: Path) -> None:
    folder = app.backup_set()
    target = tmp_path / "half"
    target.mkdir()
    (target / UNFINISHED).touch()
    (target / "Data").mkdir()

    with pytest.raises(EngineError, match="exists already"):
        restored(folder, target)

    assert (target / UNFINISHED).exists()


def test_what_a_killed_restore_built_is_removed_by_the_next(app: App, tmp_path: Path) -> None:
    folder = app.backup_set()
    for place in (tmp_path, tmp_path / "empty"):
        dead = place / ".backup4d-restoring-dead" / "Data"
        dead.mkdir(parents=True)
        (dead / "data.4DD").write_bytes(b"half")

    restored(folder, tmp_path / "back")
    restored(folder, tmp_path / "empty")

    assert hidden_work(tmp_path) == []


def test_two_at_once_into_the_same_place_give_one_whole_restore(app: App, tmp_path: Path) -> None:
    app.data_file.write_bytes(os.urandom(9 * _MIB))
    folder = app.backup_set()
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "new", tmp_path / "empty"):
        with ThreadPoolExecutor(4) as pool:
            ended = [*pool.map(outcome, [folder] * 4, [target] * 4)]

        assert ended.count("done") == 1, ended
        assert tree(target / "Data") == tree(app.package / "Data")
    assert hidden_work(tmp_path) == []


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def outcome(folder: Path, target: Path) -> object:
    try:
        restored(folder, target)
    except EngineError as error:
        return error
    return "done"
