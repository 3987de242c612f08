"""Two databases with the same data file name and backup folder, and two data files in one package."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.errors import SourceError
from engine.lock import DATABASE_LOCK, holding, read_memory
from engine.manifest import read_set_facts
from engine.sets import set_name, staging_folder
from scheduler.looking import lock_of
from settings.layout import DatabaseLayout
from settings.locate import locate_database
from tests.commands.terminal import Terminal
from tests.engine.stories import KEEP, App, make_app, restored, verified
from tests.scheduler.real import PROGRAM, environment


@dataclass(frozen=True, slots=True)
class OtherData(App):
    """The same application, opened with another data file."""

    @property
    def layout(self) -> DatabaseLayout:
        return locate_database(self.package, self.data_file)

    @property
    def data_file(self) -> Path:
        return self.package / "Archive" / "old.4DD"


def two(folder: Path, **changes: str) -> tuple[App, App]:
    """Two applications whose data files have one name, and one backup folder for both."""
    one = make_app(folder / "one", changes)
    other = make_app(folder / "other", changes, data=b"of the other", clock=one.clock)
    shared = App(other.package, one.destination, one.clock)
    return one, shared.configure(changes)


def of(app: App) -> list[str]:
    facts = {name: read_set_facts(app.destination / name) for name in app.sets()}
    return [name for name, one in facts.items() if one.data_file == str(app.data_file)]


# --- two packages


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()


def test_no_number_is_given_to_both(tmp_path: Path) -> None:
    one, other = two(tmp_path)

    for app in (one, other, other, one):
        app.backup()

    assert of(one) == ["data[0001]", "data[0004]"]
    assert of(other) == ["data[0002]", "data[0003]"]


def test_rotation_of_one_never_touches_the_other(tmp_path: Path) -> None:
    one, other = two(tmp_path, **{KEEP: "2"})
    one.backup()

    for _ in range(5):
        other.backup()

    assert of(one) == ["data[0001]"]
    assert of(other) == ["data[0005]", "data[0006]"]
    assert [record["backupNumber"] for record in one.records()] == [1]
    assert [record["backupNumber"] for record in other.records()] == [5, 6]


def test_a_restore_by_database_finds_its_own(terminal: Terminal, tmp_path: Path) -> None:
    one, other = two(tmp_path)
    one.backup()
    other.backup()

    for app, name in ((one, "a"), (other, "b")):
        done = terminal.types("restore", app.package, "--to", tmp_path / name)
        assert done.code == 0, done.all
        assert (tmp_path / name / "Data" / "data.4DD").read_bytes() == app.data_file.read_bytes()


def test_a_dead_run_of_one_is_left_to_it(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    one.backup()
    dead = staging_folder(one.destination, "data", 2, "12345678.12345678")
    dead.mkdir()

    assert other.backup_set().name == "data[0003]"

    assert dead.is_dir()


def test_both_at_the_same_moment_get_numbers_of_their_own(tmp_path: Path) -> None:
    one, other = two(tmp_path)

    started = [
        subprocess.Popen(
            [*PROGRAM, "--state-folder", str(tmp_path / "state"), "backup", str(app.package)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for app in (one, other)
    ]
    for process in started:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err

    assert len(of(one)) == len(of(other)) == 1
    assert one.sets() == ["data[0001]", "data[0002]"]
    assert all(verified(one.destination / name).good for name in one.sets())
    assert len(one.records()) == len(other.records()) == 1


# --- two data files of one package


def two_files(folder: Path, **changes: str) -> tuple[App, OtherData]:
    app = make_app(folder, changes)
    shutil.copytree(app.package / "Data", app.package / "Archive")
    for file in (app.package / "Archive").glob("data.*"):
        file.rename(file.with_name(f"old{file.suffix}"))
    other = OtherData(app.package, app.destination, app.clock)
    other.data_file.write_bytes(b"of the archive")
    return app, other


def test_data_files_of_one_package_have_sets_of_their_own(tmp_path: Path) -> None:
    app, other = two_files(tmp_path, **{KEEP: "2"})

    for _ in range(3):
        app.backup()
        other.backup()

    names = app.sets()
    assert [name for name in names if name.startswith("data[")] == of(app)
    assert [name for name in names if name.startswith("old[")] == of(other)
    assert len(of(app)) == len(of(other)) == 2
    folder = app.destination / of(other)[-1]
    restored(folder, tmp_path / "new")
    assert (tmp_path / "new" / "Archive" / "old.4DD").read_bytes() == b"of the archive"


def test_data_files_of_one_package_share_a_history_and_lose_nothing_of_it(tmp_path: Path) -> None:
    app, other = two_files(tmp_path)

    for _ in range(2):
        app.backup()
        other.backup()

    listed = {Path(record["backupPath"]).parent.name for record in app.records()}
    assert listed == set(app.sets())
    assert len(listed) == 4


def test_records_of_sets_that_are_gone_leave_the_history(tmp_path: Path) -> None:
    app, other = two_files(tmp_path)
    app.backup()
    gone = other.backup_set()
    shutil.rmtree(gone)

    app.backup()

    listed = {Path(record["backupPath"]).parent.name for record in app.records()}
    assert listed == set(app.sets())


def died(app: App, number: int) -> None:
    """As if a run of this data file had been killed right after it had published its set."""
    facts = read_set_facts(app.destination / set_name(app.data_file.stem, number))
    with holding(app.package / "Logs" / DATABASE_LOCK, "a backup") as lock:
        lock.note(
            {
                "doing": "a backup",
                "since": facts.started.isoformat(timespec="seconds"),
                "number": number,
                "destination": str(app.destination),
                "data_file": str(app.data_file),
            }
        )


def test_a_dead_run_of_one_data_file_is_told_by_the_next_of_the_other(tmp_path: Path) -> None:
    app, other = two_files(tmp_path)
    folder = other.backup_set()
    (app.package / "Logs" / "Backup Journal[001].txt").unlink()
    died(other, int(folder.name[4:8]))

    app.backup()

    journal = app.journal()
    assert "died before it was done" not in journal
    assert f"Creating archive : {folder}/" in journal
    assert "the run died after the set was published" in journal


def test_what_is_remembered_of_one_data_file_is_not_taken_for_the_other(tmp_path: Path) -> None:
    app, other = two_files(tmp_path)
    lock = app.package / "Logs" / DATABASE_LOCK
    app.backup()
    other.data_file.unlink()
    with pytest.raises(SourceError):
        other.backup()

    assert "failure" in read_memory(lock, other.data_file)
    assert "failure" not in read_memory(lock, app.data_file)
    assert read_memory(lock, app.data_file)["number"] == 1

    other.data_file.write_bytes(b"back")
    other.backup()
    assert read_memory(lock, app.data_file)["number"] == 1
    assert "failure" not in read_memory(lock, other.data_file)


def test_memory_of_many_data_files_forgets_the_oldest_and_stays_readable(tmp_path: Path) -> None:
    lock = tmp_path / "Logs" / DATABASE_LOCK
    files = [tmp_path / f"{number}.4DD" for number in range(250)]

    for file in files:
        with holding(lock, "a backup", of=file) as held:
            held.remember({"number": 7, "destination": "/srv/backups" * 5})

    assert read_memory(lock, files[-1])["number"] == read_memory(lock, files[-2])["number"] == 7
    assert read_memory(lock, files[0]) == {}


def test_memory_of_an_older_release_is_that_of_the_data_file_that_asks(tmp_path: Path) -> None:
    lock = tmp_path / "Logs" / DATABASE_LOCK
    with holding(lock, "a backup") as held:
        held.remember({"number": 7})

    assert read_memory(lock, tmp_path / "data.4DD") == {"number": 7}


def test_a_slot_of_one_data_file_waits_for_a_run_of_the_other(tmp_path: Path) -> None:
    app, other = two_files(tmp_path)
    file = app.package / "Logs" / DATABASE_LOCK

    with holding(file, "a backup", of=other.data_file):
        assert lock_of(app.layout)[0] is None
        assert lock_of(other.layout)[0] is not None
