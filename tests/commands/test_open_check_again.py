"""open-check: which set is taken, when nobody can tell, and never a second restore without a person."""

import json
from pathlib import Path

import pytest

from engine.lock import DATABASE_LOCK, holding
from engine.openrecord import RECORD
from tests.commands.opening import backed_up, check, live, put_aside, record
from tests.commands.terminal import Terminal, damage
from tests.engine.opening_stories import AUTOMATIC, DAMAGES, database, real_data, work
from tests.engine.stories import App


@pytest.fixture
def app(tmp_path: Path) -> App:
    return database(tmp_path)


# --- which set --------------------------------------------------------------------------------------


def test_a_damaged_newest_set_is_passed_over_and_said(terminal: Terminal, app: App) -> None:
    good = backed_up(terminal, app)
    work(app, 20)
    damage(app.backup_set())
    DAMAGES["empty"](app.data_file)

    printed = check(terminal, app)

    assert printed.code == 0
    assert app.data_file.read_bytes() == good
    assert "note: set 2 was not taken: " in printed.out
    assert "Passed over : set 2 was not taken: " in app.journal()
    assert "4D integrates 10 operations by itself" in printed.out


@pytest.mark.parametrize("name", ["empty", "zero header", "wrong header", "cut"])
def test_a_set_into_which_the_damage_was_saved_is_passed_over(
    terminal: Terminal, app: App, name: str
) -> None:
    good = backed_up(terminal, app)
    DAMAGES[name](app.data_file)
    app.backup()

    printed = check(terminal, app)

    assert printed.code == 0
    assert app.data_file.read_bytes() == good
    assert "the data file was damaged already when it was saved" in printed.out


def test_a_partial_set_serves_when_only_something_else_is_missing_in_it(
    terminal: Terminal, app: App
) -> None:
    backed_up(terminal, app)
    work(app, 20)
    app.configure(AUTOMATIC, attachments=["./Templates/"])
    app.backup()
    newest = app.data_file.read_bytes()
    DAMAGES["empty"](app.data_file)

    assert check(terminal, app).code == 0
    assert app.data_file.read_bytes() == newest


def test_a_partial_set_without_the_external_data_is_passed_over(
    terminal: Terminal, app: App
) -> None:
    app.configure(AUTOMATIC, attachments=["./Data/External Data/"])
    external = app.package / "Data" / "External Data"
    external.mkdir()
    good = backed_up(terminal, app)
    external.rmdir()
    work(app, 20)
    app.backup()
    DAMAGES["empty"](app.data_file)

    printed = check(terminal, app)

    assert printed.code == 0
    assert "set 2 was not taken: it is partial and lacks" in printed.out
    assert app.data_file.read_bytes() == good


def test_without_any_set_it_says_so_as_4d_does(terminal: Terminal, app: App) -> None:
    DAMAGES["empty"](app.data_file)

    printed = check(terminal, app)

    assert printed.code == 1
    assert "backup not available" in printed.err
    assert "\nResult: backup not available\n" in app.journal()


def test_with_only_damaged_sets_nothing_is_touched(terminal: Terminal, app: App) -> None:
    app.backup()
    damage(app.destination / "data[0001]")
    DAMAGES["empty"](app.data_file)
    before = live(app)

    printed = check(terminal, app)

    assert printed.code == 1
    assert "no good set: set 1 was not taken" in printed.err
    assert live(app) == before
    assert "\nResult: nothing was restored\n" in app.journal()


def test_a_data_file_with_a_name_of_its_own_is_found_by_its_sets(
    terminal: Terminal, app: App
) -> None:
    own = app.data_file.with_name("Invoices.4DD")
    app.data_file.rename(own)
    app.log.rename(own.with_suffix(".journal"))
    app.backup()
    good = own.read_bytes()
    own.unlink()

    printed = check(terminal, app)

    assert printed.code == 0
    assert own.read_bytes() == good


def test_a_data_file_with_a_name_of_its_own_is_remembered(terminal: Terminal, app: App) -> None:
    own = app.data_file.with_name("Invoices.4DD")
    app.data_file.rename(own)
    app.log.rename(own.with_suffix(".journal"))
    check(terminal, app)
    own.unlink()

    assert f"DAMAGED: {own}: it is missing" in check(terminal, app).err


# --- not known --------------------------------------------------------------------------------------


def test_a_link_that_leads_nowhere_is_a_volume_that_is_away(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    backed_up(terminal, app)
    app.data_file.unlink()
    app.data_file.symlink_to(tmp_path / "volume" / "data.4DD")

    printed = check(terminal, app)

    assert printed.code == 1
    assert "is its volume mounted" in printed.err
    assert app.data_file.is_symlink()
    assert put_aside(app) == []


def test_a_volume_that_was_there_at_the_last_look_must_be_mounted(
    terminal: Terminal, app: App
) -> None:
    backed_up(terminal, app)
    row = record(app)
    row["look"]["mount"] = str(app.data_file.parent)
    (app.package / "Logs" / RECORD).write_text(json.dumps(row))
    app.data_file.unlink()

    printed = check(terminal, app)

    assert printed.code == 1
    assert f"the volume {app.data_file.parent} is not mounted" in printed.err
    assert not app.data_file.exists()


def test_another_data_file_in_the_place_of_the_known_one_is_never_guessed_at(
    terminal: Terminal, app: App
) -> None:
    backed_up(terminal, app)
    app.data_file.with_name("old copy.4DD").write_bytes(real_data(4))
    app.data_file.unlink()

    printed = check(terminal, app)

    assert printed.code == 1
    assert "is not the data file known until now" in printed.err
    assert "--data-file" in printed.err
    named = check(terminal, app, "--data-file", app.data_file.with_name("old copy.4DD"))
    assert named.code == 0


def test_a_data_file_that_was_renamed_is_the_same(terminal: Terminal, app: App) -> None:
    backed_up(terminal, app)
    app.data_file.rename(app.data_file.with_name("renamed.4DD"))

    assert check(terminal, app).code == 0


def test_a_data_file_that_cannot_be_looked_at_is_not_damaged(terminal: Terminal, app: App) -> None:
    backed_up(terminal, app)
    app.data_file.unlink()
    app.data_file.symlink_to("data.4DD")

    printed = check(terminal, app)

    assert printed.code == 1
    assert "cannot be looked at: Too many levels of symbolic links" in printed.err
    assert put_aside(app) == []


def test_settings_that_cannot_be_read_restore_nothing(terminal: Terminal, app: App) -> None:
    backed_up(terminal, app)
    app.layout.settings_file.write_bytes(b"<broken")
    DAMAGES["empty"](app.data_file)

    printed = check(terminal, app)

    assert printed.code == 1
    assert "nothing is restored automatically" in printed.err
    assert "can be restored: backup4d restore" in printed.err
    assert put_aside(app) == []


# --- never twice ------------------------------------------------------------------------------------


def test_damage_right_after_an_automatic_restore_needs_a_person(
    terminal: Terminal, app: App
) -> None:
    backed_up(terminal, app)
    DAMAGES["empty"](app.data_file)
    assert check(terminal, app).code == 0
    DAMAGES["empty"](app.data_file)

    for _ in range(3):
        printed = check(terminal, app)
        assert printed.code == 1
        assert "no further automatic restore" in printed.err

    assert app.data_file.read_bytes() == b""
    assert app.journal().count("\nResult: nothing was restored\n") == 1


def test_also_when_a_good_look_was_between(terminal: Terminal, app: App) -> None:
    backed_up(terminal, app)
    DAMAGES["empty"](app.data_file)
    check(terminal, app)
    check(terminal, app)
    DAMAGES["empty"](app.data_file)

    assert check(terminal, app).code == 1
    assert len(put_aside(app)) == 1


def test_a_day_and_a_good_look_later_it_may_be_again(terminal: Terminal, app: App) -> None:
    backed_up(terminal, app)
    DAMAGES["empty"](app.data_file)
    check(terminal, app)
    check(terminal, app)
    row = record(app)
    row["restored"] = "2026-01-01T00:00:00+00:00"
    (app.package / "Logs" / RECORD).write_text(json.dumps(row))
    DAMAGES["empty"](app.data_file)

    assert check(terminal, app).code == 0


def test_a_restore_that_always_dies_is_not_begun_for_ever(terminal: Terminal, app: App) -> None:
    backed_up(terminal, app)
    (app.package / "Logs" / RECORD).write_text(json.dumps({**record(app), "begun": 3}))
    DAMAGES["empty"](app.data_file)

    printed = check(terminal, app)

    assert printed.code == 1
    assert "3 automatic restores were begun and none of them was finished" in printed.err


def test_attempts_that_end_well_without_a_restore_do_not_count(
    terminal: Terminal, app: App
) -> None:
    good = backed_up(terminal, app)
    away = app.destination.rename(app.destination.with_name("away"))
    DAMAGES["empty"](app.data_file)
    assert [check(terminal, app).code for _ in range(5)] == [1] * 5

    away.rename(app.destination)

    assert check(terminal, app).code == 0
    assert app.data_file.read_bytes() == good


def test_what_cannot_be_remembered_is_not_restored(terminal: Terminal, app: App) -> None:
    backed_up(terminal, app)
    (app.package / "Logs" / f".{RECORD}.part").mkdir()
    DAMAGES["empty"](app.data_file)

    printed = check(terminal, app)

    assert printed.code == 1
    assert "could not be remembered" in printed.err
    assert app.data_file.read_bytes() == b""


@pytest.mark.parametrize("doing", ["a backup", "a restore in place"])
def test_while_the_database_is_locked_nothing_is_restored(
    terminal: Terminal, app: App, doing: str
) -> None:
    backed_up(terminal, app)
    DAMAGES["empty"](app.data_file)
    with holding(app.package / "Logs" / DATABASE_LOCK, doing):
        printed = check(terminal, app)

    assert printed.code == 6
    assert app.data_file.read_bytes() == b""
    assert doing != "a backup" or "is damaged: it is empty" in printed.err


def test_while_a_restore_runs_a_good_look_means_nothing(terminal: Terminal, app: App) -> None:
    with holding(app.package / "Logs" / DATABASE_LOCK, "a restore in place"):
        assert check(terminal, app).code == 6
