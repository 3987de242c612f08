"""Where the file system can clone, data file, index and log are cloned in one instant, and the application goes on at once."""

import fcntl
import os
import random
import struct
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.clones import Clones, Wanted, cloning
from engine.content import Root
from engine.host import HostClock
from engine.member import Role
from engine.patience import Patience
from engine.progress import Progress
from engine.stop import StopRequest
from settings.service_model import Hook, Hooks
from tests.engine.hook_stories import GUARD, Hooked
from tests.engine.stories import COMPRESSION, App, make_app, restored, verified
from tests.inuse.disks import ROOT, Story, on_a_disk
from tests.inuse.stamps import HOW, PAGE, is_instant, new_file, written_to

FSFREEZE = ROOT / "docs" / "examples" / "guard-fsfreeze.sh"
_HEAD = b"\x02\x44\x01\x44"

_SET_FLAGS, _NO_COPY_ON_WRITE = 0x40086602, 0x00800000
DISKS = [("xfs", "rw"), ("btrfs", "rw"), ("btrfs", "compress-force=zstd")]


def taken(file: Path, seconds: float = 0, rooms: tuple[Path, ...] = ()) -> Any:
    """Clone one data file."""
    wanted = Wanted(
        (Root(file, b"data.4DD", Role.DATA),), None, rooms or (file.parent,), False, seconds
    )
    return cloning(wanted, Patience(HostClock(), 60), StopRequest())


def content_of(clones: Clones) -> bytes:
    descriptor = clones.by_path[b"data.4DD"].descriptor
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def story_of_clones(folder: Path, how: str, count: str, pages: str) -> dict[str, Any]:
    """Clones of a file that is written to all the time."""
    file = folder / "data.4DD"
    new_file(file, int(pages))
    told: dict[str, Any] = {"clones": 0, "torn": 0, "moments": [], "states seen": []}
    with written_to(file, how, told):
        for _ in range(int(count)):
            with taken(file) as clones:
                content = content_of(clones)
            told["clones"] += 1
            told["torn"] += not is_instant(content)
            told["moments"].append(clones.moment.name if clones.moment else "none")
            told["states seen"].append(int(content[4:16]))
    told["moments"] = sorted(set(told["moments"]))
    told["states seen"] = len(set(told["states seen"]))
    return {**told, "left": [one.name for one in folder.iterdir() if one != file]}


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("system", "options"), DISKS)
def test_a_clone_is_a_picture_of_an_instant(system: str, options: str, how: str) -> None:
    seen = on_a_disk(system, story_of_clones, how, "300", "2000", options=options)

    print(f"\n{how} on {system} ({options}): {seen}")
    assert (seen["clones"], seen["torn"], seen["left"]) == (300, 0, [])
    assert seen["states seen"] > 100
    assert "none" not in seen["moments"]


def story_of_a_file_without_copy_on_write(folder: Path) -> dict[str, Any]:
    (folder / "Logs").mkdir()
    file = folder / "data.4DD"
    with file.open("xb") as stream:
        fcntl.ioctl(stream.fileno(), _SET_FLAGS, struct.pack("l", _NO_COPY_ON_WRITE))
        stream.write(_HEAD + b"x" * PAGE * 9)
    with taken(file, rooms=(folder / "Logs",)) as clones:
        return {"moment": str(clones.moment), "same": content_of(clones) == file.read_bytes()}


# --- in a backup ----------------------------------------------------------------------------------

DATA = _HEAD + random.Random(5).randbytes(8 << 20)


def app_on(disk: Path, data: bytes = DATA, **changes: str) -> App:
    """The application lies on the disk, its sets do not; nothing was written for a while."""
    app = make_app(disk, data=data, clock=HostClock())
    destination = disk.parent / "backups"
    destination.mkdir()
    time.sleep(1.1)
    return App(app.package, destination, app.clock).configure(changes)


def told_of(app: App, back: Path, **how: Any) -> dict[str, Any]:
    """One backup, and what is left of it beside the set."""
    folder = app.backup_set(**how)
    restored(folder, back)
    below = back / "Data"
    names = ("data.4DD", "data.4DIndx", "data.journal")
    return {
        "same": [
            (below / name).read_bytes() == (app.package / "Data" / name).read_bytes()
            for name in names
        ],
        "good": verified(folder).good,
        "copy": [line for line in app.journal().splitlines() if line.startswith("Copy :")],
        "left": sorted(set(os.listdir(app.package / "Data")) - {*names, "Settings"}),  # noqa: PTH208
    }


def story_at_rest(disk: Path) -> dict[str, Any]:
    app = app_on(disk)
    grew: list[int] = []

    def grow(progress: Progress) -> None:
        """The application goes on as soon as the clones are there."""
        if progress.phase == "saving" and not grew:
            grew.append(progress.done)
            app.data_file.write_bytes(b"changed")

    before = app.data_file.read_bytes()
    told = told_of(app, disk / "back", report=grow)
    content = (disk / "back" / "Data" / "data.4DD").read_bytes()
    return {**told, "as it was": content == before, "grew": len(grew)}


@pytest.mark.root
@pytest.mark.parametrize("system", ["xfs", pytest.param("btrfs", marks=pytest.mark.slow)])
def test_what_is_written_after_the_clones_were_taken_does_not_matter(system: str) -> None:
    seen = on_a_disk(system, story_at_rest)

    words = "data.4DD, data.4DIndx, data.journal cloned in one instant, at rest"
    assert seen["copy"] == [f"Copy : {words}"]
    assert (seen["as it was"], seen["good"], seen["left"], seen["grew"]) == (True, True, [], 1)


def story_of_a_disk_that_is_full(disk: Path) -> dict[str, Any]:
    app = app_on(disk)
    free = os.statvfs(disk)
    filling = free.f_bavail * free.f_frsize - (1 << 20)
    with (disk / "filling").open("xb") as stream:
        os.posix_fallocate(stream.fileno(), 0, filling)
    return told_of(app, disk.parent / "back")


def story_of_two_names(disk: Path) -> dict[str, Any]:
    app = app_on(disk)
    os.link(app.data_file, app.package / "Project" / "the same")
    time.sleep(0.1)
    return told_of(app, disk / "back")


def story_of_ext4(disk: Path) -> dict[str, Any]:
    return told_of(app_on(disk), disk.parent / "back")


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize(
    ("system", "story"),
    [
        ("xfs", story_of_a_disk_that_is_full),
        ("xfs", story_of_two_names),
        ("ext4", story_of_ext4),
    ],
)
def test_what_cannot_be_cloned_is_read(system: str, story: Story) -> None:
    """Also where it could: an application must never meet a full disk because of us."""
    seen = on_a_disk(system, story)

    assert seen == {"same": [True, True, True], "good": True, "copy": [], "left": []}


def story_of_a_closed_folder(disk: Path) -> dict[str, Any]:
    app = app_on(disk)
    (app.package / "Logs").mkdir(exist_ok=True)
    data = app.package / "Data"
    for command in (["--bind", data], ["-o", "remount,bind,ro"]):
        subprocess.run(["mount", *command, data], check=True, timeout=30)
    return told_of(app, disk.parent / "back")


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("system", ["xfs", "btrfs"])
def test_a_service_that_may_only_write_in_logs_clones_all_the_same(system: str) -> None:
    """As under systemd with ProtectSystem=strict and ReadWritePaths= for Logs."""
    seen = on_a_disk(system, story_of_a_closed_folder)

    assert (seen["same"], seen["good"], len(seen["copy"])) == ([True] * 3, True, 1)


@pytest.mark.slow
@pytest.mark.root
def test_a_file_without_copy_on_write_is_cloned() -> None:
    """As databases on btrfs often are (chattr +C); a clone with it would be refused."""
    assert on_a_disk("btrfs", story_of_a_file_without_copy_on_write)["same"]


# --- with a guard ---------------------------------------------------------------------------------


def story_of_a_guard(disk: Path, cloned: str) -> dict[str, Any]:
    app = app_on(
        disk, data=_HEAD + random.Random(5).randbytes(48 << 20), **{COMPRESSION: "Compact"}
    )
    if cloned == "no":
        os.link(app.data_file, disk / "second name")
    (app.package / "Project" / "touched").touch()
    hooked = Hooked(app, disk.parent).with_(
        guard=GUARD.replace("echo ready\n", "echo ready to clone\n")
    )
    held_at: list[int] = []

    def look(progress: Progress) -> None:
        if progress.phase == "saving" and hooked.diary()[-1] != "let go":
            held_at.append(progress.done)

    hooked.backup(report=look)
    lines = app.journal().splitlines()
    told = [line for line in lines if line.startswith(("Guard", "Copy"))]
    return {"lines": told, "held at": max(held_at, default=0)}


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("system", ["xfs", "btrfs"])
def test_a_guard_lets_go_before_clones_are_read(system: str) -> None:
    plain = on_a_disk(system, story_of_a_guard, "no")
    cloned = on_a_disk(system, story_of_a_guard, "yes")

    print(f"\n{system}: {plain['lines']}, cloned {cloned['lines']}")
    assert plain["held at"] > 40 << 20
    assert cloned["held at"] < 10 << 20
    assert "held by the guard" in cloned["lines"][0]


def story_of_a_frozen_disk(disk: Path) -> dict[str, Any]:
    app = app_on(disk)
    freeze = Hook(FSFREEZE, (str(disk), "60"), timedelta(seconds=10))
    began = time.monotonic()
    outcome = Hooked(app, disk.parent, Hooks(guard=freeze)).backup()
    seconds = time.monotonic() - began
    (disk / "written").write_bytes(b"thawed")
    journal = app.journal()
    return {
        "warnings": outcome.warnings,
        "good": outcome.folder is not None and verified(outcome.folder).good,
        "seconds": seconds,
        "copies": journal.count("Copy :"),
    }


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("system", ["xfs", "btrfs", "ext4"])
def test_a_frozen_file_system_that_cannot_clone_is_read(system: str) -> None:
    """No clone can be made before it thaws, and the guard thaws it when all is read."""
    seen = on_a_disk(system, story_of_a_frozen_disk)

    print(f"\n{system}: {seen}")
    assert (seen["warnings"], seen["good"], seen["copies"]) == ([], True, 0)
    assert seen["seconds"] < 30


def story_of_a_freeze_by_others(disk: Path) -> dict[str, Any]:
    """As the agent of a virtual machine freezes it for a snapshot; thawed by a process of its own."""
    file = disk / "data.4DD"
    new_file(file, 100)
    freeze = 'fsfreeze -f "$0" && { sleep 8; fsfreeze -u "$0"; }'
    with subprocess.Popen(["sh", "-c", freeze, disk]) as frozen:
        time.sleep(1)
        began = time.monotonic()
        with taken(file) as clones:
            seconds = time.monotonic() - began
        assert frozen.wait(60) == 0
    time.sleep(1)
    left = [one for one in os.listdir("/proc/self/fd") if is_nameless(one)]  # noqa: PTH208
    return {"moment": str(clones.moment), "seconds": seconds, "left": left}


def is_nameless(descriptor: str) -> bool:
    link = Path("/proc/self/fd") / descriptor
    return link.is_symlink() and "(deleted)" in str(link.readlink())


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("system", ["xfs", "btrfs"])
def test_a_clone_that_does_not_come_is_not_waited_for(system: str) -> None:
    seen = on_a_disk(system, story_of_a_freeze_by_others)

    assert (seen["moment"], seen["left"]) == ("None", [])
    assert seen["seconds"] < 6
