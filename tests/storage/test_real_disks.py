"""Backups to real disks that are full, without inodes, over quota, read-only, unmounted, exchanged: the real program."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.engine.stories import ERASE_BEFORE, KEEP, App, make_app, verified
from tests.scheduler.real import PROGRAM, environment, visible, wait_until
from tests.storage.disks import command, image, let_go, mounted, need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
MIB = 1 << 20


def app_on(folder: Path, disk: Path, changes: dict[str, str] | None = None) -> App:
    """An application beside the disk, its sets in a folder on it."""
    made = make_app(folder, changes)
    app = App(made.package, disk / "sets", made.clock)
    app.destination.mkdir()
    return app.configure(changes)


@contextmanager
def begun(app: App) -> Iterator["subprocess.Popen[str]"]:
    """A backup by the real program, and its words."""
    line = [
        *PROGRAM,
        "--state-folder",
        str(app.package.parent / "state"),
        "backup",
        str(app.package),
    ]
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def backs_up(app: App, seconds: float = 120) -> tuple[int, str]:
    with begun(app) as process:
        words, _ = process.communicate(timeout=seconds)
    return process.returncode, words


def good(app: App) -> None:
    code, words = backs_up(app)
    assert code == 0, words


def fails(app: App, number: int, *words: str) -> str:
    """It fails with this number, says so with a hint, and journals it; no traceback."""
    code, said = backs_up(app)
    return told(app, code, said, number, *words)


def told(app: App, code: int, said: str, number: int, *words: str) -> str:
    assert code == 1, said
    assert f"error {number}: " in said
    assert "what to do: " in said
    assert "Traceback" not in said
    for one in words:
        assert one in said, said
    entries = [
        e for e in app.journal().split("\n\n") if "*** Backup aborted" in e or str(number) in e
    ]
    assert entries, app.journal()
    return said


def intact(app: App, *names: str) -> None:
    """These sets and no others are there, all whole; nothing half-made beside them."""
    assert visible(app) == list(names)
    assert all(verified(app.destination / name).good for name in names)
    assert app.hidden() == []


def fill(disk: Path) -> Path:
    """Not one byte is free any more."""
    assert os.path.ismount(disk)
    hog = disk / "hog"
    with hog.open("wb", buffering=0) as stream:
        for size in (MIB, 4096, 512, 1):
            try:
                while True:
                    stream.write(os.urandom(size))
            except OSError:
                continue
    assert os.statvfs(disk).f_bavail == 0
    return hog


def use_up_inodes(folder: Path) -> None:
    with suppress(OSError):
        for number in range(100):
            (folder / str(number)).touch()
    assert os.statvfs(folder).f_favail == 0


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    file = image(tmp_path / "disk.img", "ext4", "96M", "-m", "0")
    with mounted(tmp_path / "disk", "-o", "loop", file) as disk:
        yield disk


def test_a_disk_with_zero_bytes_free_is_refused_and_rotation_still_frees_it(
    tmp_path: Path, ext4: Path
) -> None:
    app = app_on(tmp_path, ext4, {KEEP: "2"})
    good(app)
    good(app)
    hog = fill(ext4)

    code, said = backs_up(app)

    assert code == 1, said
    assert "what to do: " in said
    assert "room" in said
    assert "Traceback" not in said
    assert "room" in app.journal()
    intact(app, "data[0001]", "data[0002]")

    hog.unlink()
    good(app)
    intact(app, "data[0002]", "data[0003]")


def test_on_a_full_disk_the_old_set_that_may_go_first_makes_room(
    tmp_path: Path, ext4: Path
) -> None:
    app = app_on(tmp_path, ext4, {KEEP: "2", ERASE_BEFORE: "True"})
    app.data_file.write_bytes(os.urandom(8 * MIB))
    good(app)
    good(app)
    app.data_file.write_bytes(os.urandom(4 * MIB))
    fill(ext4)

    good(app)

    intact(app, "data[0002]", "data[0003]")


def test_a_disk_that_fills_while_it_is_written_harms_no_old_set(tmp_path: Path, ext4: Path) -> None:
    app = app_on(tmp_path, ext4)
    app.data_file.write_bytes(b"4D" * (30 * MIB))
    good(app)
    app.data_file.write_bytes(os.urandom(110 * MIB))

    code, said = backs_up(app)

    assert code == 1
    assert "no room left in" in said
    assert "while writing the set" in said
    assert "what to do: free room there" in said
    assert "no room left in" in app.journal()
    intact(app, "data[0001]")

    app.data_file.write_bytes(b"4D" * (30 * MIB))
    good(app)
    intact(app, "data[0001]", "data[0002]")


def test_a_disk_without_inodes_says_so(tmp_path: Path) -> None:
    file = image(tmp_path / "disk.img", "ext4", "64M", "-N", "64")
    with mounted(tmp_path / "disk", "-o", "loop", file) as disk:
        app = app_on(tmp_path, disk)
        good(app)
        hogs = disk / "hogs"
        hogs.mkdir()
        use_up_inodes(hogs)

        code, said = backs_up(app)

        assert code == 1
        assert "no inodes left in" in said
        assert "there is room, but not for another file" in app.journal()
        intact(app, "data[0001]")
        for hog in hogs.iterdir():
            hog.unlink()
        good(app)
        intact(app, "data[0001]", "data[0002]")


def test_a_quota_is_a_full_disk(tmp_path: Path) -> None:
    need("btrfs")
    file = image(tmp_path / "disk.img", "btrfs", "256M")
    with mounted(tmp_path / "disk", "-o", "loop", file) as disk:
        command("btrfs", "quota", "enable", disk)
        command("btrfs", "subvolume", "create", disk / "limited")
        app = app_on(tmp_path, disk / "limited")
        app.data_file.write_bytes(b"4D" * (10 * MIB))
        good(app)
        command("btrfs", "qgroup", "limit", "20M", disk / "limited")
        app.data_file.write_bytes(os.urandom(60 * MIB))

        code, said = backs_up(app)

        assert code == 1
        assert "no room left in" in said
        assert "quota" in said.lower()
        intact(app, "data[0001]")
        app.data_file.write_bytes(b"small")
        good(app)
        intact(app, "data[0001]", "data[0002]")


def in_the_middle(app: App) -> None:
    """Until the set is being written."""
    wait_until(
        lambda: any(p.stat().st_size > MIB for p in app.destination.glob(".backup4d-staging*/*")),
        "nothing was written",
        60,
    )


def big(app: App) -> None:
    """Takes seconds to compress and little room."""
    letters = bytes(97 + byte % 16 for byte in range(256))
    part = os.urandom(4 * MIB).translate(letters)
    app.data_file.write_bytes(b"".join(part[n:] + part[:n] for n in range(20)))


def test_a_disk_that_turns_read_only_in_the_run(tmp_path: Path) -> None:
    file = image(tmp_path / "disk.img", "ext4", "300M")
    folder = tmp_path / "disk"
    with mounted(folder, "-o", "loop", file) as disk:
        app = app_on(tmp_path, disk)
        good(app)
        big(app)
        with begun(app) as process:
            in_the_middle(app)
            command("mount", "-o", "remount,abort", disk)
            said, _ = process.communicate(timeout=120)

        assert process.returncode == 1, said
        assert "Read-only file system" in said or "Input/output error" in said
        assert "what to do: " in said
        assert str(disk) in app.journal()
        assert visible(app) == ["data[0001]"]
        refused = fails(app, 1407, "mount it for writing")
        assert "Read-only" in refused

    with mounted(folder, "-o", "loop", file):
        app.data_file.write_bytes(b"small")
        good(app)
        intact(app, "data[0001]", "data[0002]")


def test_a_disk_that_is_unmounted_in_the_run_leaves_nothing_below_its_mount_point(
    tmp_path: Path,
) -> None:
    file = image(tmp_path / "disk.img", "ext4", "300M")
    folder = tmp_path / "disk"
    (folder / "sets").mkdir(parents=True)
    with mounted(folder, "-o", "loop", file) as disk:
        app = app_on(tmp_path, disk)
        good(app)
        big(app)
        with begun(app) as process:
            in_the_middle(app)
            let_go(disk)
            said, _ = process.communicate(timeout=120)

        assert process.returncode == 1, said
        assert "it was unmounted or replaced" in said
        assert "was unmounted or replaced" in app.journal()
        assert [path.name for path in (folder / "sets").iterdir()] == []
        fails(app, 1407, "is not mounted")
        assert [path.name for path in (folder / "sets").iterdir()] == []

    with mounted(folder, "-o", "loop", file):
        app.data_file.write_bytes(b"small")
        good(app)
        intact(app, "data[0001]", "data[0002]")


def test_another_disk_in_its_place_goes_on_with_the_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    one = image(tmp_path / "one.img", "ext4", "300M")
    two = image(tmp_path / "two.img", "ext4", "300M")
    with mounted(folder, "-o", "loop", one):
        app = app_on(tmp_path, folder)
        good(app)
    with mounted(folder, "-o", "loop", two):
        app.destination.mkdir()
        good(app)
        intact(app, "data[0002]")
        big(app)
        with begun(app) as process:
            in_the_middle(app)
            let_go(folder)
            with mounted(folder, "-o", "loop", one):
                said, _ = process.communicate(timeout=120)
                assert process.returncode == 1, said
                assert "it was unmounted or replaced" in said
                intact(app, "data[0001]")
                app.data_file.write_bytes(b"small")
                good(app)
                assert visible(app)[0] == "data[0001]"
                assert len(visible(app)) == 2


def test_a_disk_that_dies_in_the_run(tmp_path: Path) -> None:
    need("xfs_io")
    file = image(tmp_path / "disk.img", "xfs", "300M")
    folder = tmp_path / "disk"
    with mounted(folder, "-o", "loop", file) as disk:
        app = app_on(tmp_path, disk)
        good(app)
        big(app)
        with begun(app) as process:
            in_the_middle(app)
            command("xfs_io", "-x", "-c", "shutdown", disk)
            said, _ = process.communicate(timeout=120)

        assert process.returncode == 1, said
        assert "Input/output error" in said
        assert "what to do: check that the volume is mounted, writable and healthy" in said
        assert "Input/output error" in app.journal()
        fails(app, 1407, "Input/output error")

    with mounted(folder, "-o", "loop", file):
        app.data_file.write_bytes(b"small")
        good(app)
        intact(app, "data[0001]", "data[0002]")


def test_a_person_can_stop_a_backup_to_a_disk_that_is_nearly_full(
    tmp_path: Path, ext4: Path
) -> None:
    app = app_on(tmp_path, ext4)
    app.data_file.write_bytes(b"4D" * (30 * MIB))
    good(app)
    big(app)
    with begun(app) as process:
        in_the_middle(app)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)

    assert process.returncode == 130, said
    intact(app, "data[0001]")
