"""A folder of sets and nothing else, as a backup disk from a machine that is gone: its sets are listed and verified."""

import shutil
from pathlib import Path

import pytest

from engine.manifest import MANIFEST
from tests.commands.terminal import Terminal, application, damage
from tests.engine.stories import App


@pytest.fixture
def disk(app: App) -> Path:
    """Two sets; the application is gone."""
    app.backup_set()
    app.backup_set()
    shutil.rmtree(app.package)
    return app.destination


def test_the_sets_are_listed_with_the_data_file_they_are_of(
    terminal: Terminal, app: App, disk: Path
) -> None:
    printed = terminal.types("list", disk)

    assert printed.code == 0
    assert printed.out.startswith(f"sets of {app.data_file}\n")
    assert str(disk / "data[0002]") in printed.out
    assert [row["number"] for row in terminal.types("list", "--json", disk).json] == [1, 2]


def test_all_are_verified_and_nothing_is_written(terminal: Terminal, disk: Path) -> None:
    damage(disk / "data[0002]")
    before = sorted(disk.rglob("*"))

    printed = terminal.types("verify", disk)
    one = terminal.types("verify", disk, "--set", "1")

    assert (printed.code, one.code) == (5, 0)
    assert "data[0001]: good" in printed.out
    assert "data[0002]: DAMAGED" in printed.out
    assert "data[0002]" not in one.out
    assert sorted(disk.rglob("*")) == before


@pytest.mark.parametrize(("lost", "code"), [(("0001",), 0), (("0001", "0002"), 5)])
def test_a_set_whose_manifest_is_damaged_is_told_and_never_passed_over(
    terminal: Terminal, disk: Path, lost: tuple[str, ...], code: int
) -> None:
    for number in lost:
        manifest = disk / f"data[{number}]" / MANIFEST
        manifest.chmod(0o600)
        manifest.write_bytes(bytes(100))

    listed, verified = terminal.types("list", disk), terminal.types("verify", disk)

    assert (listed.code, verified.code) == (code, 5)
    for number in lost:
        assert f"data[{number}] is no usable set" in listed.err
        assert f"data[{number}]: DAMAGED" in verified.out
    assert ("sets of a data file that is not known" in listed.out) == bool(code)


def test_sets_of_several_applications_are_told_apart(
    terminal: Terminal, app: App, disk: Path, tmp_path: Path
) -> None:
    other = application(tmp_path / "other")
    newest = [other.backup_set() for _ in range(3)][-1]
    newest.rename(disk / newest.name)

    printed = terminal.types("list", disk)

    assert f"sets of {app.data_file}\n" in printed.out
    assert f"sets of {other.data_file}\n" in printed.out
    assert terminal.types("verify", disk, "--set", "1").code == 2
    chosen = terminal.types("list", "--json", disk, "--data-file", app.data_file)
    assert [row["number"] for row in chosen.json] == [1, 2]
    assert terminal.types("list", disk, "--data-file", "/nowhere/data.4DD").code == 5


@pytest.mark.parametrize(
    "words", [("show",), ("diff",), ("drill",), ("repair",), ("export", "--4bk", "x")]
)
def test_what_is_asked_of_one_application_names_what_to_type(
    terminal: Terminal, disk: Path, words: tuple[str, ...]
) -> None:
    printed = terminal.types(words[0], disk, *words[1:])

    assert printed.code == 2
    assert f"name one of them in its place, as '{disk / 'data[0002]'}'" in printed.err


@pytest.mark.parametrize("target", ["", "data[0001]"])
def test_a_restore_in_place_of_no_application_says_what_to_type(
    terminal: Terminal, disk: Path, target: str
) -> None:
    latest = () if target else ("--latest",)

    printed = terminal.types("restore", disk / target, *latest, "--in-place")

    assert printed.code == 2
    words = f"'{disk}' --latest" if latest else f"'{disk / target}'"
    assert f"backup4d restore {words} --to FOLDER" in printed.err


def test_a_folder_with_neither_sets_nor_an_application_is_no_list(
    terminal: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "Invoices[2024]").mkdir()

    printed = terminal.types("list", tmp_path)

    assert printed.code == 2
    assert "no settings file" in printed.err
