"""A clock or a number that went backwards: a number is never given twice, the newest by number stay, a date lies about none."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from engine.lock import DATABASE_LOCK
from engine.manifest import read_set_facts
from tests.commands.terminal import Terminal
from tests.engine.stories import KEEP, App, make_app, verified
from tests.fakes import StoryClock

HOUR, YEAR = timedelta(hours=1), timedelta(days=365)


def move(app: App, by: timedelta) -> None:
    assert isinstance(app.clock, StoryClock)
    app.clock.instant += by


def with_backups(folder: Path, count: int, **changes: str) -> App:
    app = make_app(folder, changes)
    for _ in range(count):
        app.backup()
        move(app, HOUR)
    return app


# --- the clock


@pytest.mark.parametrize("back", [2 * HOUR, YEAR])
def test_rotation_goes_by_number_when_the_clock_went_back(tmp_path: Path, back: timedelta) -> None:
    app = with_backups(tmp_path, 3, **{KEEP: "2"})

    move(app, -back)
    app.backup()

    assert app.sets() == ["data[0003]", "data[0004]"]
    facts = [read_set_facts(app.destination / name) for name in app.sets()]
    assert facts[1].started < facts[0].started
    assert all(verified(app.destination / name).good for name in app.sets())
    assert [record["backupNumber"] for record in app.records()] == [3, 4]


def test_as_of_goes_by_what_the_clock_showed_then(terminal: Terminal, tmp_path: Path) -> None:
    app = with_backups(tmp_path, 2)  # 02:30 and 03:30
    move(app, -YEAR)
    app.data_file.write_bytes(b"of the wrong year")
    app.backup()

    then, before = tmp_path / "then", tmp_path / "before"
    late = terminal.types("restore", app.package, "--as-of", "2026-01-10 03:00", "--to", then)
    early = terminal.types("restore", app.package, "--as-of", "2025-06-01 00:00", "--to", before)
    newest = terminal.types("restore", app.package, "--to", tmp_path / "newest")

    assert late.code == early.code == newest.code == 0, late.all + early.all + newest.all
    assert "set 1 restored" in late.out
    assert "set 3 restored" in early.out
    assert "set 3 restored" in newest.out
    doubt = "the clock went back between set 2 (2026-01-10 03:30:00) and set 3 (2025-01-10"
    assert doubt in late.err
    assert doubt in early.err
    assert doubt not in newest.err
    assert (tmp_path / "newest" / "Data" / "data.4DD").read_bytes() == b"of the wrong year"


# --- the number


def lose_history(app: App) -> None:
    (app.destination / "backupHistory.json").unlink()


def lose_memory(app: App) -> None:
    (app.package / "Logs" / DATABASE_LOCK).unlink()


def lose_sets(app: App) -> None:
    for name in app.sets():
        shutil.rmtree(app.destination / name)


def lower_history(app: App) -> None:
    document = app.history()
    del document[app.layout.key][1:]
    (app.destination / "backupHistory.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    "losses",
    [
        (lose_history,),
        (lose_memory,),
        (lose_sets,),
        (lower_history,),
        (lose_history, lose_memory),
        (lose_history, lose_sets),
        (lose_memory, lose_sets),
        (lower_history, lose_memory),
    ],
    ids=lambda losses: " and ".join(loss.__name__ for loss in losses),
)
def test_whatever_two_of_the_three_forget_no_number_is_given_twice(
    tmp_path: Path, losses: tuple[Callable[[App], None], ...]
) -> None:
    app = with_backups(tmp_path, 3)

    for loss in losses:
        loss(app)
    app.backup()

    assert app.sets()[-1] == "data[0004]"
    assert app.records()[-1]["backupNumber"] == 4


def test_a_backup_folder_from_an_older_copy_gets_no_old_number_again(tmp_path: Path) -> None:
    app = with_backups(tmp_path, 1)
    shutil.copytree(app.destination, tmp_path / "copy")
    app.backup()
    app.backup()
    shutil.rmtree(app.destination)
    shutil.copytree(tmp_path / "copy", app.destination)

    app.backup()

    assert app.sets() == ["data[0001]", "data[0004]"]
    assert [record["backupNumber"] for record in app.records()] == [1, 4]


def test_after_9999_comes_10000_and_rotation_knows_their_order(tmp_path: Path) -> None:
    app = make_app(tmp_path, {KEEP: "2"})
    (app.destination / "data[9998].4BK").write_bytes(b"of 4D")

    for _ in range(3):
        app.backup()

    assert app.sets() == ["data[10000]", "data[10001]"]
    assert (app.destination / "data[9998].4BK").read_bytes() == b"of 4D"
    assert [record["backupNumber"] for record in app.records()] == [10000, 10001]


@pytest.mark.parametrize(
    "name",
    ["data[999999999].4BK", "data[99999999]", "data[99999999999999999999999999999999].4BK"],
)
def test_a_huge_number_of_somebody_else_is_left_alone_and_not_counted_on(
    tmp_path: Path, name: str
) -> None:
    app = with_backups(tmp_path, 1, **{KEEP: "2"})
    foreign = app.destination / name
    if name.endswith("]"):
        foreign.mkdir()
    foreign = foreign / "theirs" if foreign.is_dir() else foreign
    foreign.write_bytes(b"theirs")

    for _ in range(3):
        app.backup()

    assert [one for one in app.sets() if one != name] == ["data[0003]", "data[0004]"]
    assert foreign.read_bytes() == b"theirs"


def test_a_slot_is_served_once_and_again_when_only_a_wrong_clock_had_served_it(
    tmp_path: Path,
) -> None:
    clock = StoryClock()
    app = make_app(tmp_path, clock=clock)
    slot = clock.now()
    clock.pass_time(YEAR)
    app.backup(scheduled=slot)

    twice = app.backup(scheduled=slot)
    clock.pass_time(-YEAR)
    app.backup(scheduled=slot)

    assert (twice.folder, twice.text) == (None, "set 1 was made for this slot already")
    assert app.sets() == ["data[0001]", "data[0002]"]
