"""Restoring in place where the live files lie on several volumes, and where a volume is full."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from engine.backup import run_backup
from engine.errors import EngineError
from engine.progress import Progress, silent
from engine.request import Request
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from settings.locate import locate_database
from settings.paths import PathMap
from tests.engine.elsewhere import on_a_small_disk
from tests.engine.place_stories import DATA_ONLY, hidden_work, restore_in_place, traces
from tests.engine.stories import PARIS, App, make_app, patterned, tree


def mount_on(folder: Path) -> None:
    """A disk of its own; what was in the folder moves to it."""
    kept = folder.with_name("kept")
    folder.rename(kept)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True, timeout=20)
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    shutil.rmtree(kept)


def words(found: dict[bytes, Any]) -> dict[str, str]:
    return {os.fsdecode(path): str(facts[3:]) for path, facts in found.items()}


def a_mounted_data_folder(folder: Path) -> dict[str, Any]:
    app = make_app(folder, attachments=("./Data/",))
    mount_on(app.package / "Data")
    (app.package / "Data" / "Inner").mkdir()
    (app.package / "Data" / "Inner" / "x").write_text("x")
    mount_on(app.package / "Data" / "Inner")
    before = words(tree(app.package / "Data"))
    app.backup()
    app.data_file.write_bytes(b"new")
    (app.package / "Data" / "late.txt").write_text("late")
    (app.package / "Data" / "Inner" / "x").write_text("new")
    device = app.data_file.stat().st_dev
    restored = restore_in_place(app)
    again = restore_in_place(app)
    now = words(tree(app.package / "Data"))
    asides = sorted(str(p.relative_to(app.package)) for p in app.package.rglob("Replaced*"))
    return {
        "differing": [name for name, facts in before.items() if now.get(name) != facts],
        "is_late_there": (app.package / "Data" / "late.txt").exists(),
        "late": [str(p.relative_to(app.package)) for p in app.package.rglob("late.txt")],
        "same_disk": app.data_file.stat().st_dev == device,
        "notes": [*restored.notes, *again.notes],
        "asides": asides,
        "hidden": hidden_work(app.package),
    }


def test_a_mounted_folder_stays_mounted_and_what_is_in_it_is_exchanged() -> None:
    seen = on_a_small_disk(a_mounted_data_folder, "8m")

    assert seen["differing"] in ([], ["Inner"])
    assert not seen["is_late_there"]
    assert len(seen["late"]) == 1
    assert seen["late"][0].startswith("Data/Replaced files (")
    assert seen["same_disk"]
    assert len(seen["asides"]) == 6
    assert any("on another volume" in note for note in seen["notes"])
    assert seen["hidden"] == []


def a_volume_the_set_does_not_know(folder: Path) -> dict[str, Any]:
    app = make_app(folder, attachments=("./Data/",))
    app.backup()
    (app.package / "Project" / "mnt").mkdir()
    mount_on(app.package / "Project" / "mnt")
    (app.package / "Project" / "mnt" / "theirs").write_text("theirs")
    (app.package / "Project" / "App.4DProject").write_text("new")
    restore_in_place(app)
    return {
        "theirs": (app.package / "Project" / "mnt" / "theirs").read_text(),
        "is_mounted": (app.package / "Project" / "mnt").is_mount(),
        "project": (app.package / "Project" / "App.4DProject").read_text(),
    }


def test_a_volume_that_the_set_does_not_know_is_left_where_it_is() -> None:
    seen = on_a_small_disk(a_volume_the_set_does_not_know, "1m")

    assert seen == {"theirs": "theirs", "is_mounted": True, "project": "{}"}


def a_data_file_on_another_disk(folder: Path) -> dict[str, Any]:
    app = make_app(folder, attachments=())
    data_file = folder / "disk" / "live" / "data.4DD"
    shutil.copytree(app.package / "Data", data_file.parent)
    shutil.rmtree(app.package / "Data")
    layout = locate_database(app.package, data_file)
    around = Surroundings(app.clock, StopRequest(), silent)
    run_backup(Request(layout, PathMap(), PARIS, None), around)
    before = data_file.read_bytes()
    data_file.write_bytes(b"new")
    restored = restore_in_place(app, layout=layout)
    (aside,) = (folder / "disk" / "live").glob("Replaced*")
    return {
        "is_back": data_file.read_bytes() == before,
        "aside": (aside / "Data" / "data.4DD").read_text(),
        "says": [str(aside) in note for note in restored.notes],
        "hidden": hidden_work(folder),
    }


def test_a_data_file_on_another_disk_is_exchanged_there() -> None:
    seen = on_a_small_disk(a_data_file_on_another_disk, "8m")

    assert seen == {"is_back": True, "aside": "new", "says": [True], "hidden": []}


def twice_on_another_disk(folder: Path) -> dict[str, Any]:
    live = folder / "disk" / "live"
    app = make_app(folder, attachments=(f"{live}/",))
    shutil.copytree(app.package / "Data", live)
    shutil.rmtree(app.package / "Data")
    layout = locate_database(app.package, live / "data.4DD")
    around = Surroundings(app.clock, StopRequest(), silent)
    run_backup(Request(layout, PathMap(), PARIS, None), around)
    restore_in_place(app, layout=layout, selection=DATA_ONLY)
    (first,) = live.glob("Replaced*")
    (live / "late.txt").write_text("late")
    restore_in_place(app, layout=layout)
    return {
        "is_first_there": (first / "Data" / "data.4DD").exists(),
        "is_late_there": (live / "late.txt").exists(),
        "is_data_there": (live / "data.4DD").exists(),
    }


def test_what_an_earlier_restore_put_aside_stays_where_it_is() -> None:
    seen = on_a_small_disk(twice_on_another_disk, "8m")

    assert seen == {"is_first_there": True, "is_late_there": False, "is_data_there": True}


def a_link_to_another_disk(folder: Path) -> dict[str, Any]:
    app = make_app(folder)
    goal = folder / "disk" / "real.4DD"
    shutil.move(app.data_file, goal)
    app.data_file.symlink_to(goal)
    layout = app.layout
    app.backup()
    before = goal.read_bytes()
    goal.write_bytes(b"new")
    restore_in_place(app, layout=layout)
    return {
        "is_link": app.data_file.is_symlink(),
        "is_back": goal.read_bytes() == before and not goal.is_symlink(),
        "hidden": hidden_work(folder),
    }


def test_a_link_to_another_disk_stays_and_its_goal_is_exchanged() -> None:
    seen = on_a_small_disk(a_link_to_another_disk, "8m")

    assert seen == {"is_link": True, "is_back": True, "hidden": []}


def on_a_full_disk(folder: Path, fill: bool) -> dict[str, Any]:
    app = make_app(folder / "disk", data=os.urandom(2 << 20))
    kept = folder / "backups"
    kept.mkdir()
    app = App(app.package, kept, app.clock).configure()
    app.backup()
    app.data_file.write_bytes(patterned(1000))
    filler = folder / "disk" / "filler"

    def take_all(progress: Progress) -> None:
        if fill and progress.done and not filler.exists():
            write_until_full(filler)

    if not fill:
        filler.write_bytes(bytes(3 << 20))
    before = tree(app.package / "Data")
    error = ""
    try:
        restore_in_place(app, report=take_all)
    except EngineError as failure:
        error = str(failure)
    return {
        "error": error,
        "is_as_before": tree(app.package / "Data") == before,
        "hidden": hidden_work(folder),
        "asides": len(list(app.package.glob("Replaced*"))),
        "traces": traces(app),
    }


def write_until_full(file: Path) -> None:
    with file.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass


def no_room_at_first(folder: Path) -> dict[str, Any]:
    return on_a_full_disk(folder, fill=False)


def no_room_later(folder: Path) -> dict[str, Any]:
    return on_a_full_disk(folder, fill=True)


def test_without_room_for_both_it_is_refused_before_anything_is_written() -> None:
    seen = on_a_small_disk(no_room_at_first, "5m")

    assert "the restored files need 2 MiB" in seen["error"]
    assert seen["is_as_before"]
    assert seen["hidden"] == []
    assert seen["asides"] == 0


def test_when_the_disk_becomes_full_the_live_files_stay() -> None:
    seen = on_a_small_disk(no_room_later, "5m")

    assert seen["error"]
    assert seen["is_as_before"]
    assert seen["hidden"] == []
    assert seen["asides"] == 0
    assert seen["traces"] is None
