"""A set that was a backup of 4D's takes the place of the live files, and is compared with them."""

import os
from pathlib import Path

import pytest

from tests.commands.terminal import Terminal
from tests.engine.fourd_stories import archive, content
from tests.engine.logs import changes, log
from tests.engine.stories import App

DATA, LOG = content(40_000, 21), log(*changes(1, 5))
WRITTEN = 1_723_500_000


@pytest.fixture
def imported(terminal: Terminal, app: App, tmp_path: Path) -> App:
    """With set 7, which 4D made."""
    files = {
        "./data.4DD::DataFile": DATA,
        "./data.4DIndx::C:\\app\\": b"index",
        "./Project/App.4DProject::": b"{1}",
        "./Project/Sources/catalog.4DCatalog::": b"<catalog/>",
    }
    file = tmp_path / "data[0007].4BK"
    file.write_bytes(archive(files))
    file.with_name("data[0006].4BL").write_bytes(archive({"./data.journal::": LOG}))
    os.utime(file, (WRITTEN, WRITTEN))
    assert terminal.types("import", app.package, file).code == 0
    return app


@pytest.mark.parametrize("part", [(), ("--part", "data")])
@pytest.mark.parametrize("is_gone", [False, True])
def test_it_is_restored_in_place(
    terminal: Terminal, imported: App, part: tuple[str, ...], *, is_gone: bool
) -> None:
    imported.data_file.write_bytes(b"damaged")
    named: tuple[str | Path, ...] = ()
    if is_gone:
        imported.data_file.unlink()
        named = ("--data-file", imported.data_file)

    printed = terminal.types("restore", imported.package, "--in-place", *part, *named)

    assert printed.code == 0, printed.all
    assert imported.data_file.read_bytes() == DATA
    assert imported.log.read_bytes() == LOG
    assert imported.data_file.with_suffix(".4DIndx").read_bytes() == b"index"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_4d_may_open_what_is_restored(terminal: Terminal, app: App, tmp_path: Path) -> None:
    for file in (app.package, *app.package.rglob("*")):
        os.chown(file, 1234, 1235)
    app.data_file.chmod(0o660)
    file = tmp_path / "data[0007].4BK"
    file.write_bytes(archive({"./data.4DD::DataFile": DATA, "./Project/new.4dm::": b"new"}))
    assert terminal.types("import", app.package, file).code == 0

    assert terminal.types("restore", app.package, "--in-place").code == 0

    assert app.data_file.read_bytes() == DATA
    assert app.data_file.stat().st_mode & 0o777 == 0o660
    for one in (app.data_file, app.package / "Project/new.4dm", app.package / "Project"):
        assert (one.stat().st_uid, one.stat().st_gid) == (1234, 1235), one


def test_a_method_of_a_later_day_does_not_stay_and_other_files_do(
    terminal: Terminal, imported: App
) -> None:
    late = imported.package / "Project" / "late.4dm"
    late.write_text("late")

    assert terminal.types("restore", imported.package, "--in-place").code == 0

    assert not late.exists()
    assert (imported.package / "Project/Sources/catalog.4DCatalog").exists()
    assert (imported.package / "Settings/settings.4DSettings").exists()
    (aside,) = imported.package.glob("Replaced files*")
    assert (aside / "Project" / "late.4dm").exists()


def test_a_comparison_finds_what_differs_and_no_more(terminal: Terminal, imported: App) -> None:
    terminal.types("restore", imported.package, "--in-place")
    (imported.package / "Project" / "late.4dm").write_text("late")

    printed = terminal.types("diff", imported.package)

    assert "late.4dm" in printed.out
    assert "1 added, 0 removed, 0 changed" in printed.out
