"""restore: a part of a set, a set by its time, and what would be done."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from tests.commands.terminal import Terminal
from tests.engine.stories import App
from tests.fakes import StoryClock
from tests.scheduler.stories import at


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    return tmp_path / "back"


def test_one_file_comes_back_with_its_bytes_mode_and_time(
    terminal: Terminal, app: App, restored: Path
) -> None:
    app.backup()
    live = app.package / "Data" / "data.4DD"

    printed = terminal.types("restore", app.package, "--only", "Data/data.4DD", "--to", restored)

    assert printed.code == 0
    assert "part of set 1 restored" in printed.out
    assert files(restored) == ["Data/data.4DD"]
    back = restored / "Data" / "data.4DD"
    assert back.read_bytes() == live.read_bytes()
    assert back.stat().st_mtime_ns == live.stat().st_mtime_ns
    assert back.stat().st_mode == live.stat().st_mode
    assert back.parent.stat().st_mode == live.parent.stat().st_mode


def test_a_folder_means_all_below_it_and_patterns_cross_folders(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.backup()
    whole, folder, pattern = tmp_path / "whole", tmp_path / "folder", tmp_path / "pattern"
    terminal.types("restore", app.package, "--to", whole)

    terminal.types("restore", app.package, "--only", "Project", "--to", folder)
    terminal.types("restore", app.package, "--only", "*.4DProject", "--to", pattern)

    assert files(folder) == [name for name in files(whole) if name.startswith("Project/")]
    assert files(pattern) == [name for name in files(whole) if name.endswith(".4DProject")]
    assert files(pattern)


@pytest.mark.parametrize(
    ("part", "there", "absent"),
    [("data", "Data/data.4DD", "Project"), ("structure", "Project", "Data/data.4DD")],
)
def test_a_part_of_the_set_comes_back_alone(
    terminal: Terminal, app: App, restored: Path, part: str, there: str, absent: str
) -> None:
    app.backup()

    printed = terminal.types("restore", app.package, "--part", part, "--to", restored)

    assert printed.code == 0
    assert (restored / there).exists()
    assert not (restored / absent).exists()


def test_a_path_that_is_not_in_the_set_is_refused_and_nothing_is_written(
    terminal: Terminal, app: App, restored: Path
) -> None:
    app.backup()

    printed = terminal.types(
        "restore", app.package, "--only", "Data", "--only", "Dta/*", "--to", restored
    )

    assert printed.code == 1
    assert "nothing in the set is 'Dta/*'" in printed.err
    assert not restored.exists()


def test_only_the_frames_that_are_needed_are_read(
    terminal: Terminal, app: App, restored: Path
) -> None:
    app.data_file.write_bytes(os.urandom(6 << 20))
    app.backup()
    archive = app.destination / "data[0001]" / "data[0001].tar.zst"
    with archive.open("r+b") as stream:  # somewhere in the data file
        stream.seek(archive.stat().st_size // 2)
        stream.write(b"\0" * 64)

    part = terminal.types("restore", app.package, "--part", "structure", "--to", restored)
    whole = terminal.types("restore", app.package, "--to", restored.with_name("whole"))

    assert part.code == 0
    assert whole.code == 5


def test_a_missing_log_archive_does_not_keep_the_structure_from_coming_back(
    terminal: Terminal, app: App, restored: Path
) -> None:
    app.backup()
    (app.destination / "data[0001]" / "data[0000].journal.zst").unlink()

    printed = terminal.types("restore", app.package, "--part", "structure", "--to", restored)

    assert printed.code == 0


def test_a_hard_link_comes_back_with_the_file_it_names(
    terminal: Terminal, app: App, restored: Path
) -> None:
    names = [app.package / "Project" / name for name in ("a.txt", "z.txt")]
    names[0].write_text("shared")
    os.link(*names)
    app.backup()

    printed = terminal.types("restore", app.package, "--only", "Project/z.txt", "--to", restored)

    assert printed.code == 0
    assert (restored / "Project" / "z.txt").read_text() == "shared"


def test_as_of_takes_the_newest_set_that_was_finished_by_then(
    terminal: Terminal, app: App, restored: Path
) -> None:
    for day in ("10 12:00", "11 12:00", "12 12:00"):
        app.backup(clock=StoryClock(at(day)))
    finished = at("11 12:00") + timedelta(minutes=1)

    printed = terminal.types(
        "restore", app.package, "--as-of", f"{finished:%Y-%m-%d %H:%M}", "--to", restored
    )

    assert "set 2 restored" in printed.out
    early = terminal.types("restore", app.package, "--as-of", "2026-01-01", "--to", restored)
    assert early.code == 5
    assert "no complete set was finished by 2026-01-01" in early.err
    assert "the oldest set is of 2026-01-10" in early.err


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(
    terminal: Terminal, app: App, restored: Path
) -> None:
    app.backup()

    printed = terminal.types("restore", app.package, "--to", restored, "--dry-run")

    assert printed.code == 0
    assert f"to      {restored}" in printed.out
    assert "nothing was written" in printed.out
    assert not restored.exists()
    restored.mkdir()
    (restored / "file").touch()
    refused = terminal.types("restore", app.package, "--to", restored, "--dry-run")
    assert refused.code == 1
    assert "it would be refused" in refused.err


def test_two_ways_to_choose_a_set_are_wrong_use(terminal: Terminal, app: App) -> None:
    app.backup()

    assert terminal.types("restore", app.package, "--set", "1", "--as-of", "2026-01-11").code == 2
    assert terminal.types("restore", app.package, "--as-of", "yesterday").code == 2
