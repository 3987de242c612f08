"""Backup folders that are no Linux disk, by whatever this machine can mount; and the limits that only such disks have."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from engine.errors import NoRoomError
from engine.files import destination_failure, give_to_owner_of
from engine.mounts import kind_of
from engine.plan import plan_backup
from engine.sets import Inventory
from settings.model import Settings
from settings.reader import load_settings
from tests.engine.stories import KEEP, SEGMENT, App, make_app
from tests.scheduler.real import PROGRAM
from tests.storage.disks import command, disk, let_go, mounted, need, own_mounts
from tests.storage.test_real_disks import app_on, good, intact

GIB = 1 << 30
SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")


@contextmanager
def _loop(folder: Path, *make: str) -> Iterator[str]:
    file = folder / "image"
    command("truncate", "-s", "300M", file)
    command(*make, file)
    made = subprocess.check_output(["losetup", "-f", "--show", str(file)], text=True, timeout=20)
    try:
        yield made.strip()
    finally:
        command("losetup", "-d", made.strip())


@contextmanager
def _fuse(folder: Path, *words: str) -> Iterator[Path]:
    own_mounts()
    place = folder / "disk"
    place.mkdir()
    done = subprocess.run([*words, str(place)], check=False, capture_output=True, timeout=30)
    if done.returncode:
        pytest.skip(f"this machine does not mount it: {done.stderr!r}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=False, capture_output=True, timeout=30)
        let_go(place)


@contextmanager
def exfat(folder: Path) -> Iterator[Path]:
    need("mkfs.exfat", "mount.exfat-fuse", "losetup")
    own_mounts()
    with _loop(folder, "mkfs.exfat") as device, _fuse(folder, "mount.exfat-fuse", device) as place:
        yield place


@contextmanager
def ntfs(folder: Path) -> Iterator[Path]:
    need("mkntfs", "ntfs-3g", "losetup")
    own_mounts()
    mount = ("ntfs-3g", "-o", "windows_names")
    with _loop(folder, "mkntfs", "-F", "-Q") as device, _fuse(folder, *mount, device) as place:
        yield place


@contextmanager
def sshfs(folder: Path) -> Iterator[Path]:
    need("sshfs")
    if not SFTP_SERVER.exists():
        pytest.skip("no sftp-server")
    server, remote = folder / "sftp.sh", folder / "remote"
    server.write_text(f"#!/bin/sh\nexec {SFTP_SERVER}\n")
    server.chmod(0o755)
    remote.mkdir()
    with _fuse(folder, "sshfs", "-o", f"ssh_command={server}", f"host:{remote}") as place:
        yield place


@contextmanager
def tmpfs(folder: Path) -> Iterator[Path]:
    with mounted(folder / "disk", "-t", "tmpfs", "none") as place:
        yield place


@contextmanager
def overlay(folder: Path) -> Iterator[Path]:
    for name in ("lower", "upper", "work"):
        (folder / name).mkdir()
    layers = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    with mounted(folder / "disk", "-t", "overlay", "none", "-o", layers) as place:
        yield place


@contextmanager
def without_direct_reading(folder: Path) -> Iterator[Path]:
    """Opens a file for direct reading and then refuses to read it."""
    with disk(folder / "disk") as made:
        yield made.folder


def restores(app: App, target: Path) -> None:
    line = [*PROGRAM, "--state-folder", str(target.parent / "state"), "restore", str(app.package)]
    command(*line, "--to", target)
    assert (target / "Data" / "data.4DD").read_bytes() == app.data_file.read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "kind",
    [exfat, ntfs, sshfs, tmpfs, overlay, without_direct_reading],
    ids=lambda kind: kind.__name__,
)
def test_sets_are_made_kept_and_restored_on(
    tmp_path: Path, kind: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    with kind(tmp_path) as place:
        app = app_on(tmp_path, place, {KEEP: "2"})
        for _ in range(3):
            good(app)

        intact(app, "data[0002]", "data[0003]")
        assert app.records()
        restores(app, tmp_path / "restored")


# --- limits that only such disks have ----------------------------------------------------------------


def settings_of(app: App) -> Settings:
    return load_settings(app.layout.settings_file).settings


def planned(settings: Settings, kind: str, size: int) -> int:
    plan = plan_backup(
        Inventory(sets=(), highest=0, unreadable=()),
        settings,
        known_number=0,
        content_bytes=size,
        free_bytes=100 * GIB,
        kind=kind,
    )
    return plan.number


def test_four_gib_on_vfat_are_told_before_anything_is_written(tmp_path: Path) -> None:
    settings = settings_of(make_app(tmp_path))

    with pytest.raises(NoRoomError, match="a file on vfat has 4 GiB at most") as raised:
        planned(settings, "vfat", 5 * GIB)

    assert "FileSegmentation/DefaultSize" in raised.value.hint
    assert planned(settings, "vfat", 3 * GIB) == 1
    assert planned(settings, "ext4", 5 * GIB) == 1


def test_segments_fit_on_vfat(tmp_path: Path) -> None:
    settings = settings_of(make_app(tmp_path, {SEGMENT: "2048"}))

    assert settings.segment_bytes is not None
    assert planned(settings, "vfat", 50 * GIB) == 1


def test_a_file_that_may_not_grow_says_which_setting_helps(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.data_file.write_bytes(os.urandom(1 << 20))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
        with pytest.raises(Exception, match="File too large") as raised:
            app.backup()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "FileSegmentation/DefaultSize" in getattr(raised.value, "hint", "")
    assert app.sets() == []
    assert app.hidden() == []


def test_a_disk_that_is_too_small_and_one_that_is_damaged_have_other_hints() -> None:
    hints = {
        destination_failure(Path("/srv"), "writing", OSError(number, "x")).hint
        for number in (5, 27, 28, 30)
    }

    assert len(hints) == 4


def test_the_kind_of_a_disk_is_what_the_kernel_calls_it() -> None:
    assert kind_of(Path("/proc")) == "proc"


@pytest.mark.slow
def test_where_nobody_can_be_given_a_file_it_stays_whose_it_is(tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as made:
        file = made.folder / "file"
        file.touch()
        made.obey("setattr EPERM")
        give_to_owner_of(made.folder, file)
        made.obey("setattr EIO")
        with pytest.raises(OSError, match="Input/output error"):
            give_to_owner_of(made.folder, file)
        made.obey()
