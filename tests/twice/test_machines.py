"""Two machines on one backup folder, whose applications have the same path, and which do not see each other's locks."""

import os
import shutil
from pathlib import Path

import pytest

from engine.files import replacing
from engine.staging import claim_number
from tests.engine.opening_stories import real_data
from tests.engine.stories import KEEP, App, verified
from tests.twice.machines import fill, go_on, two_machines

DAY_AND_MORE = 25 * 3600
LEFT_ALONE = "is left alone: another machine, or another copy of this application"


def age(app: App) -> None:
    """Nothing in the staging folders has changed for more than a day."""
    for name in app.hidden():
        for path in (*(app.destination / name).iterdir(), app.destination / name):
            when = path.stat().st_mtime - DAY_AND_MORE
            os.utime(path, (when, when))


@pytest.mark.parametrize("blind", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_run_that_lives_on_another_machine_is_not_disturbed(tmp_path: Path, blind: bool) -> None:
    north, south = two_machines(tmp_path, blind=blind)
    fill(north.own)

    with north.frozen_backup() as frozen:
        said = south.backup()
        assert LEFT_ALONE in said
        go_on(frozen)

    app = north.app
    assert app.sets() == ["data[0001]", "data[0002]"]
    assert all(verified(app.destination / name).good for name in app.sets())
    assert app.hidden() == []


@pytest.mark.slow
def test_what_a_dead_run_of_another_machine_left_is_removed_after_a_day(tmp_path: Path) -> None:
    north, south = two_machines(tmp_path)
    fill(north.own)
    with north.frozen_backup():
        pass  # killed

    assert LEFT_ALONE in south.backup()
    assert len(north.app.hidden()) == 1
    age(north.app)
    assert LEFT_ALONE not in south.backup()

    assert north.app.hidden() == []


@pytest.mark.slow
def test_what_a_dead_run_of_this_machine_left_is_removed_at_once(tmp_path: Path) -> None:
    north, _ = two_machines(tmp_path)
    fill(north.own)
    with north.frozen_backup():
        pass  # killed

    north.backup()

    assert north.app.hidden() == []


@pytest.mark.parametrize("blind", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_rotation_leaves_the_sets_of_another_machine_alone(tmp_path: Path, blind: bool) -> None:
    north, south = two_machines(tmp_path, {KEEP: "1"}, blind=blind)
    north.backup()
    # as when a server is cloned: memory and journal go with it
    shutil.rmtree(south.home / "app")
    shutil.copytree(north.home / "app", south.home / "app")

    south.backup()
    said = south.backup()

    assert north.app.sets() == ["data[0001]", "data[0003]"]
    assert "data[0001] of the same path were made on another machine (north)" in said
    assert "made on another machine (north)" in south.own.journal()
    listed = {record["backupNumber"] for record in north.app.records()}
    assert listed == {1, 3}


@pytest.mark.slow
def test_a_machine_that_took_the_others_place_says_so_once(tmp_path: Path) -> None:
    north, south = two_machines(tmp_path, {KEEP: "1"})
    north.backup()

    accepted = south.backup("--accept-destination")
    assert "made on another machine (north) count as this one's from now on" in accepted
    assert "made on another machine" not in south.backup()

    assert north.app.sets() == ["data[0003]"]


def test_a_restore_of_the_newest_asks_which_machine_is_meant(tmp_path: Path) -> None:
    north, south = two_machines(tmp_path)
    south.own.data_file.write_bytes(b"of south")
    south.backup()
    north.backup()

    asked = south.run("restore", south.app.package, "--to", tmp_path / "asked")
    meant = south.run("restore", south.app.package, "--to", tmp_path / "meant", "--set", "1")

    assert asked.returncode != 0
    assert "was made on another machine (north), and data[0001] on this one" in asked.stderr
    assert "--set 2 or --set 1" in asked.stderr
    assert not (tmp_path / "asked").exists()
    assert meant.returncode == 0, meant.stderr
    assert (tmp_path / "meant" / "Data" / "data.4DD").read_bytes() == b"of south"


@pytest.mark.slow
def test_status_tells_of_the_sets_of_its_own_machine(tmp_path: Path) -> None:
    north, south = two_machines(tmp_path)
    south.backup()
    north.backup()

    said = south.run("status", south.app.package).stdout

    assert "last good   set 1," in said
    assert "sets        1 in" in said


@pytest.mark.slow
def test_a_new_machine_restores_what_the_lost_one_made(tmp_path: Path) -> None:
    north, south = two_machines(tmp_path)
    north.backup()

    done = south.run("restore", south.app.package, "--to", tmp_path / "new")

    assert done.returncode == 0, done.stderr


# --- the number, when no lock helps


def test_a_number_that_another_took_at_the_same_moment_is_given_up(tmp_path: Path) -> None:
    (tmp_path / ".backup4d-staging-00000000.00000000-data[0007]").mkdir()

    staging, number = claim_number(tmp_path, "data", 7, "11111111.11111111")

    assert number == 8
    assert staging.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir() if "[0007]" in path.name) == [
        ".backup4d-staging-00000000.00000000-data[0007]"
    ]


def test_a_history_that_another_writes_at_this_moment_is_never_shown_half(tmp_path: Path) -> None:
    file, part = tmp_path / "history.json", tmp_path / ".history.json.part"
    file.write_bytes(b"old")

    def write_while_another_does() -> None:
        with replacing(file) as stream:
            stream.write(b"ours")
            part.unlink()
            part.write_bytes(b"hal")  # of a machine whose lock is not seen

    with pytest.raises(OSError, match="another program writes it"):
        write_while_another_does()

    assert file.read_bytes() == b"old"
    assert part.read_bytes() == b"hal"


@pytest.mark.slow
def test_a_damaged_data_file_is_not_replaced_by_one_of_another_machine(tmp_path: Path) -> None:
    north, south = two_machines(tmp_path)
    content = real_data(3)
    south.own.data_file.write_bytes(content)
    south.backup()
    north.own.data_file.write_bytes(real_data(4))
    north.backup()
    south.own.data_file.unlink()

    done = south.run("open-check", south.app.package)

    assert done.returncode == 0, done.stdout + done.stderr
    assert south.own.data_file.read_bytes() == content
    assert (
        "set 2 was not taken: it was made on another machine (north)" in done.stdout + done.stderr
    )
