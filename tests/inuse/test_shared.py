"""Where the file system can share blocks, a set takes new room only for what changed, and is still a set of its own."""

import itertools
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.host import HostClock
from engine.manifest import read_manifest
from tests.engine.stories import (
    CHECK,
    COMPRESSION,
    FRAME,
    App,
    main_archive,
    make_app,
    restored,
    verified,
)
from tests.inuse.disks import on_a_disk

SIZE = 60 * FRAME
MAIN = "data.4DD"


def app_beside(disk: Path, check: str, rate: str) -> App:
    """The sets lie on the disk, the application does not."""
    app = make_app(disk.parent / "here", data=random.Random(5).randbytes(SIZE), clock=HostClock())
    sets = disk / "sets"
    sets.mkdir()
    return App(app.package, sets, app.clock).configure({CHECK: check, COMPRESSION: rate})


def room_taken(disk: Path) -> int:
    os.sync()
    subprocess.run(["sync", "-f", disk], check=True)
    facts = os.statvfs(disk)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def change(app: App, *places: int) -> None:
    with app.data_file.open("r+b") as stream:
        for place in places:
            stream.seek(place * FRAME + 100)
            stream.write(b"changed" * 20_000)


def judged(folder: Path, app: App, back: Path) -> dict[str, Any]:
    sums = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=False)
    zstd = ["zstd", "-dcq", str(main_archive(folder))]
    stream = subprocess.run(zstd, capture_output=True, check=True).stdout
    names = subprocess.run(["tar", "-t"], input=stream, capture_output=True, check=True).stdout
    restored(folder, back)
    same = (back / "Data" / MAIN).read_bytes() == app.data_file.read_bytes()
    table = read_manifest(folder).archives[0].frames
    padding = sum(raw == 0 for raw, _, _ in table.rows())
    return {
        "good": verified(folder).good and sums.returncode == 0 and b"Data/data.4DD\n" in names,
        "same": same,
        "padding": padding,
    }


def story_of_sets(disk: Path, check: str, rate: str) -> dict[str, Any]:
    """Four sets: the data is changed here and there, then touched, then left alone."""
    app = app_beside(disk, check, rate)
    rooms, verdicts = [room_taken(disk)], []
    for number in range(4):
        if number == 1:
            change(app, 5, 30, 31)
        if number == 2:
            os.utime(app.data_file)
        folder = app.backup_set()
        verdicts.append(judged(folder, app, disk.parent / f"back {number}"))
        rooms.append(room_taken(disk))
    bare = disk.parent / "bare"
    shutil.copytree(app.destination / app.sets()[1], bare)
    for name in ("manifest.json", "SHA256SUMS"):
        (bare / name).unlink()
    restored_bare = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "scheduler",
            "restore",
            bare,
            "--to",
            disk.parent / "from bare",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    for name in app.sets()[:-1]:
        shutil.rmtree(app.destination / name)
    alone = judged(app.destination / app.sets()[-1], app, disk.parent / "alone")
    return {
        "grown": [after - before for before, after in itertools.pairwise(rooms)],
        "verdicts": [*verdicts, alone],
        "bare": restored_bare.stderr + restored_bare.stdout,
        "bare same": (disk.parent / "from bare" / "Data" / MAIN).stat().st_size == SIZE,
    }


@pytest.mark.parametrize(
    ("system", "check"),
    [
        ("xfs", "True"),
        pytest.param("xfs", "False", marks=pytest.mark.slow),
        pytest.param("btrfs", "True", marks=pytest.mark.slow),
        pytest.param("btrfs", "False", marks=pytest.mark.slow),
    ],
)
def test_a_set_takes_new_room_only_for_what_changed(system: str, check: str) -> None:
    told = on_a_disk(system, story_of_sets, check, "Fast")

    assert all(one["good"] and one["same"] for one in told["verdicts"]), told
    first, *later = told["grown"]
    assert first > 10 << 20
    assert max(later) < first // 6, told["grown"]
    assert told["verdicts"][1]["padding"] >= 2  # else nothing moved, and this shows little
    assert told["bare same"], told["bare"]


@pytest.mark.slow
def test_without_sharing_the_same_sets_are_good() -> None:
    told = on_a_disk("ext4", story_of_sets, "True", "Fast")

    assert all(one["good"] and one["same"] for one in told["verdicts"]), told
    assert not any(one["padding"] for one in told["verdicts"])
