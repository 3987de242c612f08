"""A power cut: the file system forgets what was not made durable, is mounted again, and goes on from there."""

import fcntl
import os
import struct
import subprocess
from pathlib import Path

from tests.faults.scenes import Scene, plain_environment
from tests.faults.shim import Ended, Kind

_GOING_DOWN = 0x8004587D  # XFS_IOC_GOINGDOWN, EXT4_IOC_SHUTDOWN
_WITHOUT_LOG = 2
DISK, IMAGE = "disk", "image"


def disk_of(place: Path) -> Path:
    """The mount point below the folder; the caller has mounted the image there."""
    disk = place / DISK
    assert os.path.ismount(disk), f"{disk} is not mounted"
    return disk


def cut_power(scene: Scene, ended: Ended) -> None:
    """Cut it, mount again, and look whether what was durable is there."""
    assert scene.disk is not None
    descriptor = os.open(scene.disk, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _GOING_DOWN, struct.pack("I", _WITHOUT_LOG))
    finally:
        os.close(descriptor)
    _run("umount", scene.disk)
    _run("mount", "-o", "loop", scene.disk.parent / IMAGE, scene.disk)
    assert os.path.ismount(scene.disk)
    _assert_kept(scene, ended)


def _assert_kept(scene: Scene, ended: Ended) -> None:
    """A set whose name was made durable, or that was said to be done, is there after the cut."""
    published = ended.said.get("published")
    names = [] if published is None else [published]
    renamed = None
    for call in ended.calls[:-1] if ended.killed else ended.calls:
        path = Path(call.path)
        if call.kind is Kind.NAME and path.name.startswith("data["):
            renamed = path.name
        if call.name == "fsync" and path == scene.app.destination and renamed is not None:
            names.append(renamed)
    for name in names:
        assert (scene.app.destination / name).is_dir(), f"{name} was durable, and is gone"


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, timeout=60, env=plain_environment(), capture_output=True)
