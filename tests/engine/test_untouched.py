"""Small files nobody touched are not opened again: their frames are taken over, whole or not at all."""

import mmap
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine import sourcefile
from engine.frametable import FrameTable
from engine.host import HostClock
from engine.manifest import iterate_members, read_manifest
from engine.member import Kind, Member
from engine.untouched import Untouched
from engine.walk import Found
from settings.service_model import Limits
from tests.engine.reuse_stories import overwrite
from tests.engine.stories import (
    CHECK,
    FRAME,
    App,
    below,
    judge,
    main_archive,
    make_app,
    patterned,
    tar_stream,
    tree,
    verified,
)

KIB = 1024


def app_with_small_files(folder: Path, count: int = 60, size: int = 60 * KIB) -> App:
    """On the clock of this machine; some four frames of small files, in more than one folder."""
    app = make_app(folder, clock=HostClock())
    for number in range(count):
        file = methods(app) / f"group {number // 10}" / f"method {number:03d}.4dm"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(patterned(size - number * 100, number))
    return app


def methods(app: App) -> Path:
    return app.package / "Project" / "Sources" / "Methods"


@contextmanager
def opened() -> Iterator[list[str]]:
    """The names of the files that were opened to be read, the data file and its kind left out."""
    names: list[str] = []
    original = sourcefile.open_source

    def open_source(found: Found) -> int:
        if b"Data/" not in found.path:
            names.append(os.fsdecode(found.name))
        return original(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.archiver.open_source", open_source)
        yield names


def assert_same_as(app: App, folder: Path, room: Path) -> None:
    """The set alone brings back what is there now, for us and for GNU tar, zstd and sha256sum."""
    assert verified(folder).good
    judge("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=folder)
    unpacked = room / f"unpacked {folder.name}"
    unpacked.mkdir()
    stream = tar_stream(folder, room / "stream.tar")
    judge("tar", "-xpf", stream, "-C", unpacked)
    now = tree(app.package)
    for part in (b"Project", b"Settings"):
        assert below(tree(unpacked), part) == below(now, part)


@pytest.mark.parametrize("check", ["True", "False"])
def test_files_nobody_touched_are_not_opened_and_the_set_needs_no_other(
    tmp_path: Path, check: str
) -> None:
    app = app_with_small_files(tmp_path).configure({CHECK: check})
    first = app.backup_set()

    with opened() as names:
        folder = app.backup_set()
    shutil.rmtree(first)

    # the first frame begins with the data file, the last ends with the mark of the stream's end: those are read
    assert 0 < len(names) < 40
    assert_same_as(app, folder, tmp_path)


def test_beside_a_changed_file_only_those_of_its_frame_are_opened(tmp_path: Path) -> None:
    app = app_with_small_files(tmp_path)
    app.backup_set()
    with opened() as usual:
        app.backup_set()
    changed = methods(app) / "group 2" / "method 025.4dm"
    changed.write_bytes(b"much shorter than it was")

    with opened() as names:
        folder = app.backup_set()

    assert changed.name in names
    assert len(usual) < len(names) < len(usual) + 40
    assert_same_as(app, folder, tmp_path)


@pytest.mark.parametrize("what", ["written", "replaced", "other mode"])
def test_a_file_that_was_touched_is_read_whatever_its_time_says(tmp_path: Path, what: str) -> None:
    app = app_with_small_files(tmp_path)
    app.backup_set()
    file = methods(app) / "group 2" / "method 025.4dm"
    facts = file.stat()
    if what == "written":
        overwrite(file, 100, b"changed, with its old time")
    elif what == "replaced":
        other = tmp_path / "other"
        other.write_bytes(patterned(facts.st_size, 99))
        other.rename(file)
    else:
        file.chmod(0o600)
    os.utime(file, ns=(facts.st_mtime_ns, facts.st_mtime_ns))

    folder = app.backup_set()

    assert_same_as(app, folder, tmp_path)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_between_two_backups_the_next_set_is_what_is_there(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    app = app_with_small_files(tmp_path, count=160, size=40 * KIB)
    for number in range(16):
        (methods(app) / f"group {number}" / "symlink").symlink_to("method 001.4dm")
    for number in (90, 130):
        file = methods(app) / f"group {number // 10}" / f"method {number:03d}.4dm"
        (methods(app) / "group 5" / f"name {number}").hardlink_to(file)
    app.backup_set()
    for _ in range(4):
        for _ in range(chance.choice((1, 2, 6))):
            _change_something(app, chance)
        folder = app.backup_set()
        assert_same_as(app, folder, tmp_path)


def _change_something(app: App, chance: random.Random) -> None:
    everything = sorted(methods(app).rglob("*"))
    files = [file for file in everything if file.is_file() and not file.is_symlink()]
    folders = [one for one in everything if one.is_dir()]
    file, number = chance.choice(files), chance.randrange(10**9)
    beside = file.parent / f"{chance.choice('akz')} {number}"
    chance.choice(_CHANGES)(file, beside, number)
    if number % 12 == 0:
        shutil.rmtree(chance.choice(folders))
        (methods(app) / "always one").write_bytes(b"is left")


def _new_folder(_file: Path, beside: Path, _number: int) -> None:
    (beside / "inner").mkdir(parents=True)
    (beside / "inner" / "file").write_bytes(b"new")


def _rewritten(file: Path, _beside: Path, number: int) -> None:
    """Same name, same length, same time."""
    facts = file.stat()
    file.write_bytes(patterned(facts.st_size, number))
    os.utime(file, ns=(facts.st_mtime_ns, facts.st_mtime_ns))


def _led_elsewhere(file: Path, _beside: Path, number: int) -> None:
    """A link leads elsewhere, with its old time, in a folder with its old time."""
    link = file.parent / "symlink"
    if link.is_symlink():
        times = [(one, one.lstat().st_mtime_ns) for one in (link, file.parent)]
        link.unlink()
        link.symlink_to(f"target {number}")
        for one, when in times:
            os.utime(one, ns=(when, when), follow_symlinks=False)


_CHANGES: tuple[Callable[[Path, Path, int], object], ...] = (
    lambda file, _, number: file.write_bytes(patterned(number % (200 * KIB), number)),
    lambda file, _, _number: file.unlink(),
    lambda file, beside, _: file.rename(beside),
    lambda _, beside, number: beside.write_bytes(patterned(number % (100 * KIB), number)),
    lambda file, beside, _: beside.hardlink_to(file),
    lambda file, beside, _: beside.symlink_to(file.name),
    lambda file, _, number: file.chmod((0o600, 0o755, 0o644)[number % 3]),
    lambda file, _, number: os.utime(file, ns=(number, number)),
    lambda _, beside, number: beside.write_bytes(patterned(FRAME * 2 + number % FRAME, number)),
    _new_folder,
    _rewritten,
    _led_elsewhere,
)


def test_damage_in_the_set_before_makes_all_be_read_and_is_told(tmp_path: Path) -> None:
    app = app_with_small_files(tmp_path)
    first = app.backup_set()
    table = table_of(first)
    damaged = [at for at in range(len(table)) if table.frame(at).raw > FRAME][1]
    overwrite(main_archive(first), table.frame(damaged).offset + 200, b"damage")
    assert not verified(first).good

    with opened() as names:
        folder = app.backup_set()

    assert len(names) >= 60
    assert_same_as(app, folder, tmp_path)
    assert f"{first.name}: 1 frames are damaged there and were not taken over" in app.journal()


def test_damage_that_is_met_before_a_large_file_is_not_forgotten(tmp_path: Path) -> None:
    """A large file is taken over or read on its own; what came before it must be whole."""
    app = app_with_small_files(tmp_path)
    (methods(app) / "group 9").mkdir()
    (methods(app) / "group 9" / "large").write_bytes(patterned(3 * FRAME))
    first = app.backup_set()
    table = table_of(first)
    damaged = [at for at in range(len(table)) if table.frame(at).raw > FRAME][1]
    overwrite(main_archive(first), table.frame(damaged).offset + 200, b"damage")
    (methods(app) / "group 9" / "large").write_bytes(patterned(3 * FRAME, 5))

    folder = app.backup_set()

    assert_same_as(app, folder, tmp_path)


def test_what_waits_and_vanishes_is_left_out_like_all_that_vanishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_with_small_files(tmp_path)
    app.backup_set()
    gone, changed = (methods(app) / "group 2" / f"method 02{number}.4dm" for number in (2, 4))
    changed.write_bytes(b"changed")
    original = Untouched._same

    def same(self: Untouched, found: Found) -> Member | None:
        if found.path.endswith(b"023.4dm"):
            gone.unlink(missing_ok=True)
        return original(self, found)

    monkeypatch.setattr(Untouched, "_same", same)

    folder = app.backup_set()

    assert not gone.exists()
    assert verified(folder).good
    saved = {member.path.rsplit(b"/", 1)[-1] for member in iterate_members(folder)}
    there = {os.fsencode(file.name) for file in methods(app).glob("group*/*")}
    assert there < saved
    assert os.fsencode(gone.name) not in saved


def test_frames_do_not_become_smaller_from_set_to_set(tmp_path: Path) -> None:
    """A new file between two frames, again and again, would be a frame of its own each time."""
    app = make_app(tmp_path, clock=HostClock())
    for number in range(60):
        (methods(app) / f"{number:03d}").write_bytes(patterned(60 * KIB, number))
    folder = app.backup_set()
    usual = len(table_of(folder))
    for number in range(12):
        first = [int(name) for name in first_files_of_frames(folder) if name.isdecimal()][-1]
        (methods(app) / f"{first - 1:03d} {number:02d}").write_bytes(b"new")
        folder = app.backup_set()

    assert len(table_of(folder)) <= usual + 2
    assert_same_as(app, folder, tmp_path)


def table_of(folder: Path) -> FrameTable:
    return read_manifest(folder).archives[0].frames


def first_files_of_frames(folder: Path) -> list[str]:
    members = [one for one in iterate_members(folder) if one.kind is Kind.FILE]
    starts = {frame.start for frame in map(table_of(folder).frame, range(len(table_of(folder))))}
    return [Path(os.fsdecode(one.path)).name for one in members if one.header in starts]


def test_a_file_in_each_of_many_folders_is_no_reason_to_open_all_folders(tmp_path: Path) -> None:
    app = make_app(tmp_path, clock=HostClock())
    for number in range(1500):
        folder = methods(app) / f"{number:04d}"
        folder.mkdir()
        (folder / "link").symlink_to("x")
        for one in (folder / "link", folder):  # at a full second, which makes a header short
            os.utime(one, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    app.backup_set()

    highest = 0
    original = Untouched._kept_folder

    def kept_folder(self: Untouched, found: Found) -> int | None:
        nonlocal highest
        kept = original(self, found)
        highest = max(highest, len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - a count
        return kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Untouched, "_kept_folder", kept_folder)
        folder = app.backup_set()

    assert 100 < highest < 500
    assert_same_as(app, folder, tmp_path)
    assert len(os.listdir("/proc/self/fd")) < 100  # noqa: PTH208 - a count


def test_more_than_is_looked_ahead_can_be_gone(tmp_path: Path) -> None:
    app = app_with_small_files(tmp_path, count=40)
    crowd = methods(app) / "crowd"
    crowd.mkdir()
    for number in range(1200):
        (crowd / f"{number:04d}").write_bytes(b"x")
    app.backup_set()
    shutil.rmtree(crowd)

    with opened() as names:
        folder = app.backup_set()

    assert len(names) < 40
    assert_same_as(app, folder, tmp_path)


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    app = app_with_small_files(tmp_path)
    app.backup_set()

    with opened() as names:
        app.backup_set(limits=Limits(take_over=False))

    assert len(names) >= 60


def test_where_times_are_not_kept_truly_all_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network file systems, and overlays: there, somebody else says when a file was changed."""
    app = app_with_small_files(tmp_path)
    app.backup_set()
    monkeypatch.setattr("engine.sourcefile._TRUE_TIMES", frozenset())

    with opened() as names:
        folder = app.backup_set()

    assert len(names) >= 60
    assert all(member.seen is None for member in iterate_members(folder))


def test_what_is_written_through_a_mapping_that_stays_open_is_in_the_next_set(
    tmp_path: Path,
) -> None:
    """The page was made clean before it was read, so that the next write to it moves the time."""
    app = app_with_small_files(tmp_path, count=120)
    file = methods(app) / "group 5" / "method 055.4dm"
    read = []
    with file.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as mapping:
        for number in range(8):
            if number % 2:
                mapping[1000:1010] = b"%010d" % number
            with opened() as names:
                folder = app.backup_set()
            read.append(file.name in names)
            (saved,) = (one for one in iterate_members(folder) if one.path.endswith(b"055.4dm"))
            content = tmp_path / "content"
            content.write_bytes(bytes(mapping))
            assert saved.digest == judge("b3sum", "--no-names", content).decode().strip()

    assert read == [True, True, False, True, False, True, False, True]
