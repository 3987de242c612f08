"""Restoring in place: what takes the place of what, what goes aside, what is never moved."""

import os
import subprocess
from pathlib import Path

import pytest

from engine.errors import BusyError, DamagedError, RestoreError, StoppedError
from engine.lock import DATABASE_LOCK, holding
from engine.member import Role
from engine.selection import Selection
from tests.commands.terminal import damage
from tests.engine.place_stories import (
    DATA_ONLY,
    AskedToStop,
    hidden_work,
    restore_in_place,
    traces,
)
from tests.engine.stories import App, below, make_app, patterned, tree

_ROOT = os.geteuid() == 0


@pytest.fixture
def app(tmp_path: Path) -> App:
    return make_app(tmp_path)


def change(app: App) -> None:
    """A day's work."""
    app.data_file.write_bytes(patterned(5000, seed=1))
    (app.package / "Project" / "Sources" / "late.4dm").write_text("late")
    (app.package / "Project" / "App.4DProject").unlink()
    (app.package / "Data" / "own.txt").write_text("nobody backs this up")


def content(app: App) -> dict[bytes, object]:
    """The application's own files, without journals and what was put aside."""
    found = tree(app.package, times=False)
    return {path: facts for path, facts in found.items() if not path.startswith((b"Logs", b"Repl"))}


def test_the_whole_set_comes_back_and_what_was_there_is_aside(app: App) -> None:
    before = tree(app.package)
    app.backup()
    change(app)
    live = tree(app.package)

    restored = restore_in_place(app)

    now = tree(app.package)
    for name in (b"Data/data.4DD", b"Data/data.4DIndx", b"Data/data.journal", b"Data/Settings"):
        assert now[name] == before[name], name
    assert below(now, b"Project") == below(before, b"Project")
    assert below(now, b"Settings") == below(before, b"Settings")
    assert restored.aside is not None
    aside = tree(restored.aside)
    assert below(aside, b"Project") == below(live, b"Project")
    assert aside[b"Data/data.4DD"] == live[b"Data/data.4DD"]
    assert (app.package / "Data" / "own.txt").exists()
    assert hidden_work(app.package) == []
    assert traces(app) is None
    assert "Result : OK" in app.journal()


def test_restoring_again_at_once_gets_a_folder_of_its_own(app: App) -> None:
    app.backup()
    clock = app.clock
    before = content(app)

    asides = [restore_in_place(app, clock=clock).aside for _ in range(3)]

    assert len(set(asides)) == 3
    assert all(aside is not None and (aside / "Data" / "data.4DD").exists() for aside in asides)
    assert content(app) == before


def test_the_data_alone_come_back_with_their_index(app: App) -> None:
    before = tree(app.package)
    app.backup()
    change(app)
    (app.package / "Data" / "data.4DIndx").write_bytes(b"of later data")

    restored = restore_in_place(app, selection=DATA_ONLY)

    now = tree(app.package)
    assert now[b"Data/data.4DD"] == before[b"Data/data.4DD"]
    assert now[b"Data/data.4DIndx"] == before[b"Data/data.4DIndx"]
    assert (app.package / "Project" / "Sources" / "late.4dm").exists()
    assert restored.aside is not None
    assert (restored.aside / "Data" / "data.4DIndx").read_bytes() == b"of later data"


def test_an_index_of_later_data_does_not_stay_beside_older_ones(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=())
    app.backup()

    restored = restore_in_place(app, selection=DATA_ONLY)

    assert not (app.package / "Data" / "data.4DIndx").exists()
    assert restored.aside is not None
    assert (restored.aside / "Data" / "data.4DIndx").exists()


def test_one_file_comes_back_and_no_other_is_touched(app: App) -> None:
    app.backup()
    change(app)
    live = tree(app.package)

    restore_in_place(app, selection=Selection(("Project/App.4DProject",)))

    now = {path: facts for path, facts in tree(app.package).items() if not path.startswith(b"Repl")}
    assert now.keys() - live.keys() == {b"Project/App.4DProject"}
    unchanged = {b"Project", b"Logs/.backup4d.lock", b"Logs/Backup Journal[001].txt", b"Logs"}
    assert {path for path in live if live[path] != now[path]} <= unchanged


def test_a_restore_that_replaces_nothing_leaves_no_empty_folder(app: App) -> None:
    app.backup()
    (app.package / "Project" / "App.4DProject").unlink()

    restored = restore_in_place(app, selection=Selection(("Project/App.4DProject",)))

    assert restored.aside is None
    assert list(app.package.glob("Replaced*")) == []


@pytest.mark.parametrize("gone", ["Data/data.4DD", "Settings", "Project", "Data"])
def test_missing_parts_of_the_application_come_back_as_they_were(app: App, gone: str) -> None:
    (app.package / "Data").chmod(0o750)
    if _ROOT:
        os.chown(app.package / "Data", 1234, 1235)
    before = tree(app.package, times=False)
    layout = app.layout
    app.backup()
    (app.package / gone).rename(app.package.parent / "gone")

    restore_in_place(app, layout=layout)

    now = tree(app.package, times=False)
    assert {path: now[path] for path in before if not path.startswith(b"Logs")} == before


def test_the_package_as_attachment_comes_back_without_journals_and_locks(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./",))
    (app.package / "readme.txt").write_text("old")
    app.backup()
    change(app)
    (app.package / "readme.txt").write_text("new")
    (app.package / "Data" / "later").mkdir()
    logs = (app.package / "Logs").stat().st_ino

    restored = restore_in_place(app)

    assert (app.package / "readme.txt").read_text() == "old"
    assert not (app.package / "Data" / "later").exists()
    assert restored.aside is not None
    assert (restored.aside / "Data" / "later").exists()
    assert (app.package / "Logs").stat().st_ino == logs
    assert (app.package / "Logs" / "Backup Journal[001].txt").exists()
    again = restore_in_place(app)
    assert restored.aside.exists()
    assert again.aside is not None
    assert not list(again.aside.glob("Replaced*"))


@pytest.mark.parametrize("place", ["Backups", "Data/sets", "."])
def test_sets_inside_of_what_is_restored_are_never_moved(tmp_path: Path, place: str) -> None:
    app = make_app(tmp_path, attachments=("./", "./Data/"))
    inner = App(app.package, app.package / place, app.clock)
    inner.destination.mkdir(exist_ok=True)
    inner.configure(attachments=("./", "./Data/"))
    folder = inner.backup_set()
    stored = tree(folder)
    inner.backup()
    change(inner)

    restore_in_place(inner, number=1)
    restore_in_place(inner, number=2)

    assert tree(folder) == stored
    assert inner.sets() == ["data[0001]", "data[0002]"]
    assert inner.data_file.read_bytes() == patterned(3000)


def test_a_part_never_takes_away_what_the_rest_of_the_set_holds(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./",))
    app.backup()
    change(app)
    data = app.data_file.read_bytes()

    restore_in_place(app, selection=Selection((), frozenset({Role.ATTACHMENT})))

    assert app.data_file.read_bytes() == data
    assert app.log.exists()
    assert (app.package / "Project" / "Sources" / "late.4dm").exists()


def test_a_log_that_nobody_asked_for_stays_in_a_folder_that_is_replaced(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./Data/",))
    app.log.unlink()
    app.backup()
    app.log.write_bytes(b"the live log")
    (app.package / "Data" / "late.txt").write_text("late")

    restore_in_place(app, selection=Selection(("Data",)))

    assert app.log.read_bytes() == b"the live log"
    assert not (app.package / "Data" / "late.txt").exists()


def test_attachments_from_elsewhere_go_back_to_where_they_were(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o710)
    (outside / "one.txt").write_text("old")
    app = make_app(tmp_path, attachments=("./", f"{outside}/"))
    app.backup()
    (outside / "one.txt").write_text("new")
    (outside / "two.txt").write_text("later")

    restored = restore_in_place(app)

    assert {p.name: p.read_text() for p in outside.iterdir()} == {"one.txt": "old"}
    assert restored.aside is not None
    aside = restored.aside / "External" / str(outside)[1:]
    assert {p.name: p.read_text() for p in aside.iterdir()} == {
        "one.txt": "new",
        "two.txt": "later",
    }


def test_a_data_file_that_is_a_link_stays_one_and_its_goal_is_exchanged(
    app: App, tmp_path: Path
) -> None:
    other = tmp_path / "disk"
    other.mkdir()
    goal = other / "real.4DD"
    app.data_file.rename(goal)
    app.data_file.symlink_to(goal)
    layout = app.layout
    app.backup()
    before = goal.read_bytes()
    goal.write_bytes(b"new")

    restore_in_place(app, layout=layout)

    assert app.data_file.is_symlink()
    assert goal.read_bytes() == before


def test_a_link_in_the_set_is_exchanged_as_a_link(tmp_path: Path) -> None:
    app = make_app(tmp_path, attachments=("./Resources",))
    goal = tmp_path / "goal"
    goal.mkdir()
    (goal / "x").write_text("x")
    (app.package / "Resources").symlink_to(goal)
    app.backup()

    restore_in_place(app)

    assert (app.package / "Resources").readlink() == goal
    assert (goal / "x").read_text() == "x"


# --- refused, or undone


def test_a_damaged_set_leaves_everything_as_it_was(app: App) -> None:
    damage(app.backup_set())
    change(app)
    before = content(app)

    with pytest.raises(DamagedError) as caught:
        restore_in_place(app)

    assert "another set may be whole" in caught.value.hint
    assert content(app) == before
    assert list(app.package.glob("Replaced*")) == []
    assert hidden_work(app.package) == []
    assert traces(app) is None
    assert "Result : nothing was restored" in app.journal()


@pytest.mark.parametrize("at", [1, 2])
def test_a_stop_leaves_everything_as_it_was(app: App, at: int) -> None:
    app.data_file.write_bytes(os.urandom(9 << 20))
    app.backup()
    change(app)
    before = content(app)
    asked = AskedToStop(at)

    with pytest.raises(StoppedError):
        restore_in_place(app, stop=asked.stop, report=asked.report)

    assert content(app) == before
    assert hidden_work(app.package) == []
    assert traces(app) is None


def test_while_another_operation_holds_the_lock_it_is_refused(app: App) -> None:
    app.backup()

    with (
        holding(app.package / "Logs" / DATABASE_LOCK, "a backup"),
        pytest.raises(BusyError, match="a backup is running"),
    ):
        restore_in_place(app)


def test_4d_that_was_started_meanwhile_keeps_its_files(app: App) -> None:
    app.backup()
    change(app)
    before = content(app)
    started: list[subprocess.Popen[bytes]] = []

    def start(_: object) -> None:
        if not started:
            with app.data_file.open() as stream:
                started.append(subprocess.Popen(["sleep", "60"], stdin=stream))

    try:
        with pytest.raises(RestoreError, match="is in use by sleep"):
            restore_in_place(app, report=start)
    finally:
        started[0].kill()
        started[0].wait(timeout=20)

    assert content(app) == before
    assert hidden_work(app.package) == []


def test_a_mistake_of_the_program_is_never_journaled_as_a_success(app: App) -> None:
    app.backup()
    before = content(app)

    def burst(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        restore_in_place(app, report=burst)

    assert content(app) == before
    assert "ZeroDivisionError" in app.journal()
    assert "Result : OK" not in app.journal()


def test_nothing_that_has_a_place_is_refused(app: App) -> None:
    app.backup()

    with pytest.raises(RestoreError, match="nothing in the set is"):
        restore_in_place(app, selection=Selection(("Nowhere/*",)))
