"""restore does not do what nobody meant, says what it did not bring back, and tells the way back."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.wayback import WAY_BACK
from tests.commands.terminal import Terminal, damage
from tests.engine.stories import App, patterned, tree

needs_par2 = pytest.mark.skipif(shutil.which("par2") is None, reason="par2 is not installed")


def aside(app: App) -> Path:
    (folder,) = app.package.glob("Replaced files (*")
    return folder


@pytest.mark.parametrize("name", ["destination", "package"])
def test_a_folder_that_holds_the_application_or_the_sets_is_not_set_aside(
    terminal: Terminal, app: App, name: str
) -> None:
    app.backup()
    folder = getattr(app, name)
    before = tree(folder)

    printed = terminal.types("restore", app.package, "--to", folder, "--set-aside")
    above = terminal.types("restore", app.package, "--to", folder.parent, "--set-aside")

    assert (printed.code, above.code) == (2, 2)
    assert tree(folder) == before


def test_an_older_set_is_never_taken_in_silence(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.backup()
    folder = app.backup_set()
    (folder / "manifest.json").unlink()

    newest = terminal.types("restore", app.package, "--to", tmp_path / "a")
    named = terminal.types("restore", app.package, "--set", "2", "--to", tmp_path / "b")
    older = terminal.types("restore", app.package, "--set", "1", "--to", tmp_path / "c")

    assert newest.code == 5
    assert "the newest set, data[0002], cannot be read" in newest.err
    assert "--set 1" in newest.err
    assert not (tmp_path / "a").exists()
    assert named.code == older.code == 0
    assert "manifest.json was not used" in named.out


@needs_par2
def test_the_newest_set_is_repaired_rather_than_passed_over(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.backup()
    folder = app.backup_set()
    subprocess.run(
        ["par2", "create", "-q", "-q", "-r50", "-s512", "all.par2", "manifest.json", "SHA256SUMS"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    text = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(text.replace(b'"number"', b'"numbex"'))

    printed = terminal.types("restore", app.package, "--to", tmp_path / "back")

    assert printed.code == 0
    assert "repaired from its recovery data" in printed.err
    assert "set 2 restored" in printed.out


def test_a_partial_set_says_what_is_not_in_it(terminal: Terminal, app: App, tmp_path: Path) -> None:
    app.configure(attachments=("./Data/data.4DIndx", "./Letters/"))
    app.backup()

    planned = terminal.types("restore", app.package, "--to", tmp_path / "back", "--dry-run")
    printed = terminal.types("restore", app.package, "--to", tmp_path / "back")

    for out in (planned.out, printed.out, app.journal()):
        assert "set 1 is partial" in out
        assert "Letters" in out


@pytest.mark.parametrize("option", [("--set", "1"), ("--as-of", "2026-01-01")])
def test_options_that_choose_a_set_are_refused_beside_a_set(
    terminal: Terminal, app: App, option: tuple[str, str]
) -> None:
    folder = app.backup_set()

    for named in (folder, folder / "data[0001].tar.zst"):
        assert terminal.types("restore", named, *option).code == 2


def test_a_dry_run_meets_what_the_restore_would_meet(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    folder = app.backup_set()
    archive = folder / "data[0001].tar.zst"
    archive.write_bytes(archive.read_bytes()[:-100])

    new = terminal.types("restore", app.package, "--to", tmp_path / "back", "--dry-run")
    in_place = terminal.types("restore", app.package, "--in-place", "--dry-run")

    assert new.code == in_place.code == 1
    assert "it would be refused" in new.err
    assert "it would be refused" in in_place.err


def test_of_an_archive_that_was_cut_what_lies_before_comes_back(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.data_file.write_bytes(patterned(3 << 20))
    folder = app.backup_set()
    archive = folder / "data[0001].tar.zst"
    archive.write_bytes(archive.read_bytes()[:-100])

    printed = terminal.types(
        "restore", app.package, "--only", "Data/data.4DD", "--to", tmp_path / "back"
    )

    assert printed.code == 0
    assert (tmp_path / "back/Data/data.4DD").read_bytes() == app.data_file.read_bytes()


def test_the_way_back_from_a_restore_in_place_is_a_script(terminal: Terminal, app: App) -> None:
    app.backup()
    app.data_file.write_bytes(b"new")
    (app.package / "Project" / "late.4dm").write_text("late")
    before = {k: v for k, v in tree(app.package).items() if not k.startswith(b"Logs")}
    terminal.types("restore", app.package, "--in-place")
    folder = aside(app)

    done = subprocess.run(["sh", folder / WAY_BACK], capture_output=True, text=True, check=True)

    assert "everything is as it was" in done.stdout
    assert (folder / "went back").is_dir()
    shutil.rmtree(folder)
    now = {k: v for k, v in tree(app.package).items() if not k.startswith(b"Logs")}
    assert now.keys() == before.keys()
    assert app.data_file.read_bytes() == b"new"
    assert (app.package / "Project" / "late.4dm").exists()


def test_the_way_back_stops_rather_than_write_over(terminal: Terminal, app: App) -> None:
    app.backup()
    terminal.types("restore", app.package, "--in-place")
    folder = aside(app)
    (folder / "went back").mkdir()
    for one in folder.rglob("data.4DD"):
        one.unlink()

    done = subprocess.run(["sh", folder / WAY_BACK], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "data.4DD is not there; stopped" in done.stderr
    assert app.data_file.exists()


def test_the_way_back_can_be_typed_again_after_it_was_stopped_anywhere(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.backup()
    app.data_file.write_bytes(b"new")
    (app.package / "Project" / "late.4dm").write_text("late")
    before = {k: v for k, v in tree(app.package).items() if not k.startswith(b"Logs")}
    moves = 1
    while True:
        terminal.types("restore", app.package, "--in-place")
        folder = aside(app)
        stopped = subprocess.run(
            ["sh", folder / WAY_BACK],
            env={"PATH": f"{_mv_that_dies(tmp_path / str(moves), moves)}:/usr/bin:/bin"},
            capture_output=True,
            check=False,
        )
        again = subprocess.run(["sh", folder / WAY_BACK], capture_output=True, check=False)

        assert again.returncode == 0, again.stderr
        shutil.rmtree(folder)
        now = {k: v for k, v in tree(app.package).items() if not k.startswith(b"Logs")}
        assert now.keys() == before.keys()
        assert app.data_file.read_bytes() == b"new"
        if stopped.returncode == 0:
            break
        moves += 1
    assert moves > 4


def _mv_that_dies(folder: Path, moves: int) -> Path:
    """A folder with an `mv` that works fewer than `moves` times, then kills the shell that called it."""
    folder.mkdir()
    script = folder / "mv"
    count = shlex.quote(str(folder / "count"))
    script.write_text(
        f'#!/bin/sh\necho >> {count}\n[ "$(wc -l < {count})" -lt {moves} ] || kill -9 $PPID\n'
        '[ "$(wc -l < ' + count + f')" -lt {moves} ] && exec /bin/mv "$@"\n'
    )
    script.chmod(0o755)
    return folder


def test_the_way_back_names_itself_so_that_it_can_be_typed(terminal: Terminal, app: App) -> None:
    app.backup()
    printed = terminal.types("restore", app.package, "--in-place")

    command = next(line for line in printed.out.splitlines() if line.startswith("to go back: "))
    words = shlex.split(command.removeprefix("to go back: ").partition(";")[0])
    assert words == ["sh", str(aside(app) / WAY_BACK)]


def test_sets_of_a_renamed_application_are_named(terminal: Terminal, app: App) -> None:
    app.backup()
    moved = app.package.with_name("Renamed")
    app.package.rename(moved)

    printed = terminal.types("restore", moved)

    assert printed.code == 5
    assert "but sets of" in printed.err
    assert str(app.data_file) in printed.err


def test_the_folder_of_the_sets_is_no_place_to_restore_to(terminal: Terminal, app: App) -> None:
    folder = app.backup_set()

    printed = terminal.types("restore", folder.parent)

    assert printed.code == 2
    assert f"backup4d restore '{folder.parent}' --latest --to FOLDER" in printed.err
    assert f"--to '{folder.parent}'" not in printed.err


def test_when_the_application_is_gone_the_way_is_said(terminal: Terminal, app: App) -> None:
    app.backup()
    shutil.rmtree(app.package)

    printed = terminal.types("restore", app.package)

    assert printed.code == 2
    assert f"--to '{app.package}'" in printed.err


def test_a_salvage_that_is_not_whole_is_not_journaled_as_ok(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    damage(app.backup_set())

    terminal.types("restore", app.package, "--salvage", "--to", tmp_path / "back")

    entry = app.journal().rpartition("*** Restore")[2]
    assert [line for line in entry.splitlines() if line.startswith("Result")] == [
        "Result : salvaged, not whole"
    ]
