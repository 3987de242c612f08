"""A restore drill proves what lies on the disk, says what it found, and leaves nothing behind."""

import codecs
import fcntl
import os
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import engine.drill as module
from engine.drill import DrillOrder, Proven, drill_recorded
from engine.errors import DamagedError, EngineError, NoRoomError, RefusedError, StoppedError
from engine.host import HostClock
from engine.progress import Progress, Report, silent
from engine.restore import Restored, restore_set
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from settings.service_model import Hook
from tests.engine.elsewhere import as_ordinary_user, on_a_small_disk
from tests.engine.stories import PARIS, App, make_app

TITLE = "*** Restore drill"
codecs.lookup("utf-8-sig")  # an ordinary user may not be able to import it


def drilled(
    app: App,
    scratch: Path,
    *,
    check: Hook | None = None,
    limit: int | None = None,
    folder: Path | None = None,
    report: Report = silent,
    stop: StopRequest | None = None,
) -> Proven:
    """A drill with the first set, by the real clock: programs are waited for."""
    around = Surroundings(HostClock(), stop or StopRequest(), report)
    folder = folder or app.destination / "data[0001]"
    return drill_recorded(folder, DrillOrder(scratch, limit, check), app.layout, PARIS, around)


def program(folder: Path, script: str, limit: timedelta = timedelta(seconds=20)) -> Hook:
    """A check program of the administrator's."""
    file = folder / "check"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return Hook(file, ("--strict",), limit)


def entries(app: App) -> list[str]:
    return [text for text in app.journal().split("\n\n") if text.startswith(TITLE)]


def events(app: App) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = app.history().get("backup4d", [])
    return [row for row in rows if row["event"] == "drill"]


@pytest.fixture
def app(tmp_path: Path) -> App:
    made = make_app(tmp_path)
    made.backup_set()
    return made


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def spoil_archive(app: App) -> None:
    (archive,) = (app.destination / "data[0001]").glob("*.tar.zst")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)


# --- it went well ---------------------------------------------------------------------------------


def test_a_good_drill_is_timed_journaled_and_leaves_nothing(app: App, scratch: Path) -> None:
    proven = drilled(app, scratch)

    assert (proven.number, proven.files) == (1, 8)
    assert proven.seconds > 0
    (entry,) = entries(app)
    assert f"Set : {app.destination / 'data[0001]'}" in entry
    assert "Restored : 8 files" in entry
    assert "Read back : every file is equal" in entry
    assert "Result : OK" in entry
    (row,) = events(app)
    assert (row["set"], row["status"]) == ("data[0001]", 0)
    assert row["duration"] == round(proven.seconds * 1000)
    assert list(scratch.iterdir()) == []


def test_the_check_program_sees_the_restored_application(app: App, scratch: Path) -> None:
    script = 'cmp "$2/Data/data.4DD" "$BACKUP4D_RESTORED/Data/data.4DD" && echo "$1 $BACKUP4D_SET_NUMBER"'

    proven = drilled(app, scratch, check=program(scratch.parent, script))

    assert proven.check == "--strict 1"
    (entry,) = entries(app)
    assert f"Check program : {scratch.parent / 'check'} [OK]" in entry


def test_a_drill_without_a_database_journals_nothing(app: App, scratch: Path) -> None:
    around = Surroundings(HostClock(), StopRequest(), silent)
    order = DrillOrder(scratch)

    drill_recorded(app.destination / "data[0001]", order, None, PARIS, around)

    assert entries(app) == []


def test_what_a_killed_drill_left_is_removed_and_what_another_uses_is_not(
    app: App, scratch: Path
) -> None:
    dead, alive = scratch / ".backup4d-drill-dead", scratch / ".backup4d-drill-alive"
    for folder in (dead, alive, scratch / "somebody's"):
        (folder / "restored").mkdir(parents=True)
    descriptor = os.open(alive, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    drilled(app, scratch)

    os.close(descriptor)
    assert sorted(p.name for p in scratch.iterdir()) == [alive.name, "somebody's"]


# --- it did not -----------------------------------------------------------------------------------


def failed(app: App, scratch: Path, kind: type[EngineError], **how: Any) -> str:
    """A drill that fails so: its journal entry; nothing is left of it."""
    before = sorted(scratch.iterdir()) if scratch.is_dir() else None
    with pytest.raises(kind):
        drilled(app, scratch, **how)
    (entry,) = entries(app)
    assert "Result : failed" in entry
    assert "Hint : " in entry
    assert events(app)[-1]["status"] != 0
    if before is not None:
        assert sorted(scratch.iterdir()) == before
    return entry


def test_a_damaged_set_is_told(app: App, scratch: Path) -> None:
    spoil_archive(app)

    entry = failed(app, scratch, DamagedError)

    assert "Error reported : 1411" in entry
    assert "another set may be whole" in entry


def test_a_scratch_disk_that_keeps_something_else_is_found_out(
    app: App, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restore_onto_a_bad_disk(folder: Path, target: Path, **how: Any) -> Restored:
        restored = restore_set(folder, target, **how)
        with (target / "Data" / "data.4DD").open("r+b") as stream:
            stream.seek(1000)
            stream.write(b"?")
        return restored

    monkeypatch.setattr(module, "restore_set", restore_onto_a_bad_disk)

    entry = failed(app, scratch, DamagedError)

    assert "Data/data.4DD lies on the scratch disk otherwise than it was written" in entry


def test_a_disk_that_fails_in_any_other_way_is_told(
    app: App, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> int:
        raise OSError(5, "Input/output error", str(folder))

    monkeypatch.setattr(module, "room", fail)

    entry = failed(app, scratch, EngineError)

    assert f"the drill failed at {scratch}: Input/output error" in entry


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: os.truncate(file, 10)])
def test_a_file_that_vanished_or_shrank_is_found_out(
    app: App, scratch: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]
) -> None:
    def restore_onto_a_bad_disk(folder: Path, target: Path, **how: Any) -> Restored:
        restored = restore_set(folder, target, **how)
        spoil(target / "Data" / "data.4DD")
        return restored

    monkeypatch.setattr(module, "restore_set", restore_onto_a_bad_disk)

    failed(app, scratch, EngineError)


def test_a_check_program_that_says_no_fails_the_drill(app: App, scratch: Path) -> None:
    check = program(scratch.parent, "echo 'table 3 is empty' >&2; exit 7")

    entry = failed(app, scratch, EngineError, check=check)

    assert "ended with exit code 7: table 3 is empty" in entry
    assert "Read back : every file is equal" in entry


def test_a_check_program_that_hangs_is_ended(app: App, scratch: Path) -> None:
    check = program(scratch.parent, "sleep 600", timedelta(seconds=1))

    entry = failed(app, scratch, EngineError, check=check)

    assert "was ended after its time limit of 1 s" in entry


def test_a_check_program_that_is_not_there_fails_the_drill(app: App, scratch: Path) -> None:
    entry = failed(app, scratch, EngineError, check=Hook(scratch.parent / "nowhere"))

    assert "cannot be started" in entry


def test_a_check_program_that_seals_its_folder_does_not_keep_it_there(
    app: App, scratch: Path
) -> None:
    drilled(app, scratch, check=program(scratch.parent, 'chmod 000 "$2/Data" "$2"'))

    assert list(scratch.iterdir()) == []


# --- where it may write ---------------------------------------------------------------------------


def test_a_scratch_that_is_not_there_is_never_made(app: App, tmp_path: Path) -> None:
    entry = failed(app, tmp_path / "nowhere", EngineError)

    assert "cannot be used: No such file or directory" in entry
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("place", ["app", "app/Data", "backups", "backups/data[0001]", "link"])
def test_a_scratch_inside_what_must_stay_is_refused(app: App, tmp_path: Path, place: str) -> None:
    (tmp_path / "link").symlink_to(app.destination)

    entry = failed(app, tmp_path / place, RefusedError)

    assert "nothing was written" in entry


def test_a_scratch_in_another_databases_backup_folder_or_package_is_refused(
    app: App, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = make_app(tmp_path / "other")
    other.backup_set()

    for place in (other.destination, other.package / "Data"):
        with pytest.raises(RefusedError):
            drilled(app, place)


def test_more_than_the_room_limit_is_not_written(app: App, scratch: Path) -> None:
    entry = failed(app, scratch, NoRoomError, limit=1000)

    assert "RoomLimitMiB" in entry


def full(folder: Path) -> dict[str, Any]:
    app = make_app(folder, data=os.urandom(3 << 20))
    app.backup_set()
    with pytest.raises(NoRoomError) as caught:
        drilled(app, folder / "disk")
    left = [p.name for p in (folder / "disk").iterdir()]
    return {"error": str(caught.value), "left": left, "journal": entries(app)}


def test_a_scratch_without_room_is_told() -> None:
    seen = on_a_small_disk(full, "1m")

    assert "MiB free, set 1 needs 3 MiB" in seen["error"]
    assert seen["left"] == []
    assert "Result : failed" in seen["journal"][0]


def filling(folder: Path) -> dict[str, Any]:
    """The room was there when it was looked at, and then somebody else took it."""
    app = make_app(folder, data=os.urandom(3 << 20))
    app.backup_set()
    disk = folder / "disk"

    def fill(progress: Progress) -> None:
        if progress.phase == "restoring" and not (disk / "other").exists():
            (disk / "other").write_bytes(bytes((4 << 20) - (1 << 19)))

    with pytest.raises(EngineError) as caught:
        drilled(app, disk, report=fill)
    return {"error": str(caught.value), "left": [p.name for p in disk.iterdir()]}


def test_a_scratch_that_fills_up_meanwhile_fails_the_drill_and_is_left_clean() -> None:
    seen = on_a_small_disk(filling, "4m")

    assert "No space left" in seen["error"] or "no room" in seen["error"]
    assert seen["left"] == ["other"]


def read_only(folder: Path) -> dict[str, Any]:
    app, disk = make_app(folder), folder / "disk"
    app.backup_set()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(EngineError) as caught:
        drilled(app, disk)
    return {"error": str(caught.value), "journal": entries(app)}


def test_a_read_only_scratch_is_told() -> None:
    seen = on_a_small_disk(read_only, "1m")

    assert "cannot be written: Read-only file system" in seen["error"]
    assert "Result : failed" in seen["journal"][0]


def closed(folder: Path) -> dict[str, Any]:
    app = make_app(folder)
    app.backup_set()
    scratch = folder / "scratch"
    scratch.mkdir(mode=0o500)
    with pytest.raises(EngineError) as caught:
        drilled(app, scratch)
    open_one = folder / "open"
    open_one.mkdir()
    (app.package / "Data").chmod(0o500)
    app.backup_set()
    drilled(app, open_one, folder=app.destination / "data[0002]")
    (app.package / "Data").chmod(0o700)
    return {"error": str(caught.value), "left": [p.name for p in open_one.iterdir()]}


def test_a_scratch_of_somebody_else_is_told_and_closed_folders_that_came_back_are_removed() -> None:
    seen = as_ordinary_user(closed)

    assert "cannot be written: Permission denied" in seen["error"]
    assert seen["left"] == []


# --- it is stopped --------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["restoring", "reading back", "check program"])
def test_a_stopped_drill_leaves_nothing_and_claims_nothing(
    app: App, scratch: Path, phase: str
) -> None:
    stop = StopRequest()

    def stop_there(progress: Progress) -> None:
        if progress.phase == phase:
            stop.ask()

    with pytest.raises(StoppedError):
        drilled(
            app, scratch, check=program(scratch.parent, "sleep 60"), report=stop_there, stop=stop
        )

    assert list(scratch.iterdir()) == []
    assert (entries(app), events(app)) == ([], [])


def test_a_set_that_rotation_took_meanwhile_is_no_failure(app: App, scratch: Path) -> None:
    check = program(scratch.parent, 'mv "$BACKUP4D_SET_FOLDER" "$1.gone"; exit 1')

    with pytest.raises(StoppedError, match="removed by rotation"):
        drilled(app, scratch, check=Hook(check.program, (str(app.destination),)))

    assert entries(app) == []
    assert list(scratch.iterdir()) == []
