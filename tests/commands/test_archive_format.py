"""ArchiveFormat 4BK on the command line: what is asked for, what is done otherwise, what to type."""

from pathlib import Path

import pytest

from tests.commands.terminal import Terminal
from tests.engine.stories import COMPRESSION, SEGMENT, App, make_app, patterned

ASKED = "<ArchiveFormat>4BK</ArchiveFormat>"


@pytest.fixture
def app(tmp_path: Path, terminal: Terminal) -> App:
    app = make_app(tmp_path, data=patterned(100_000))
    terminal.service_file.write_text(
        f"<Backup4DService><TimeZone>UTC</TimeZone>{ASKED}</Backup4DService>"
    )
    return app


def test_the_life_of_a_set_in_4ds_format(app: App, terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.types("backup", app.package).code == 0
    folder = app.destination / "data[0001]"
    assert "main archive data[0001].4BK" in terminal.types("show", app.package).out
    assert "1" in terminal.types("list", app.package).out
    assert "data[0001]: good" in terminal.types("verify", app.package).out
    assert terminal.types("diff", app.package).code == 0
    assert "whole" in terminal.types("4bk", "verify", *folder.glob("*.4B?")).out
    assert terminal.types("restore", folder, "--to", tmp_path / "all").code == 0
    assert (tmp_path / "all/Data/data.4DD").read_bytes() == patterned(100_000)
    part = terminal.types("restore", app.package, "--only", "Settings", "--to", tmp_path / "part")
    assert part.code == 0
    assert [one.name for one in (tmp_path / "part").iterdir()] == ["Settings"]
    exported = terminal.types("export", app.package, "--4bk", tmp_path / "for4d")
    assert exported.code == 0
    (tmp_path / "scratch").mkdir()
    drill = terminal.types("drill", app.package, "--scratch", tmp_path / "scratch")
    assert drill.code == 0


def test_an_archive_of_4d_by_itself_is_not_guessed_at(
    app: App, terminal: Terminal, tmp_path: Path
) -> None:
    assert terminal.types("backup", app.package).code == 0
    folder = app.destination / "data[0001]"
    typed = terminal.types("restore", folder / "data[0001].4BK", "--to", tmp_path / "x")
    assert typed.code == 2
    assert f"backup4d restore '{folder}'" in typed.err
    assert f"backup4d 4bk extract '{folder}/data[0001].4BK' --to FOLDER" in typed.err
    (folder / "manifest.json").unlink()
    for more in ([], ["--salvage"]):
        typed = terminal.types("restore", folder, "--to", tmp_path / "x", *more)
        assert typed.code == 5
        assert f"backup4d 4bk extract '{folder}/data[0001].4BK' --to FOLDER" in typed.err
    assert not (tmp_path / "x").exists()


def test_what_is_not_done_as_written_is_said_before_the_first_backup(
    app: App, terminal: Terminal
) -> None:
    app.configure({COMPRESSION: "Compact", SEGMENT: "700"})
    checked = terminal.types("settings", "check", app.package)
    assert checked.code == 0
    assert "DefaultSize: read '700': with ArchiveFormat 4BK archives are not cut" in checked.out
    assert "CompressionRate: read 'Compact': with ArchiveFormat 4BK it is packed" in checked.out
    explained = terminal.types("settings", "explain", app.package)
    assert "Archives are written in one piece." in explained.out
    assert "The archives are those of 4D, .4BK and .4BL" in explained.out
    assert "archives are not cut" in explained.err
    made = terminal.types("backup", app.package)
    assert made.code == 0
    assert "archives are not cut" in made.err
    terminal.serve(app)
    assert "4BK" not in terminal.types("settings", "check", app.package).all
