"""A data file that lies outside of the package: its folder is `Data` in the set, whatever the package itself holds."""

from pathlib import Path

import pytest

from engine.backup import run_backup
from engine.progress import silent
from engine.request import Request
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from settings.locate import locate_database
from settings.paths import PathMap
from tests.engine.place_stories import restore_in_place
from tests.engine.stories import PARIS, App, make_app, restored


def elsewhere(tmp_path: Path) -> tuple[App, Path]:
    """A data file beside the package, found by the settings of the command."""
    app = make_app(tmp_path, attachments=())
    other = tmp_path / "other"
    (app.package / "Data").rename(other)
    return app, other / "data.4DD"


def test_a_data_file_outside_of_the_package_goes_back_there(tmp_path: Path) -> None:
    app, data_file = elsewhere(tmp_path)
    layout = locate_database(app.package, data_file)
    before = data_file.read_bytes()
    run_backup(
        Request(layout, PathMap(), PARIS, None), Surroundings(app.clock, StopRequest(), silent)
    )
    data_file.write_bytes(b"new")

    restored = restore_in_place(app, layout=layout)

    assert data_file.read_bytes() == before
    assert not (app.package / "Data").exists()
    assert restored.aside is not None
    assert (restored.aside / "Data" / "data.4DD").read_bytes() == b"new"


@pytest.mark.parametrize("listed", ["./Data/", "./"])
def test_the_packages_own_data_folder_is_not_taken_for_that_of_data_elsewhere(
    tmp_path: Path, listed: str
) -> None:
    app, data_file = elsewhere(tmp_path)
    app.configure(attachments=(listed,))
    own = app.data_file
    own.parent.mkdir()
    own.write_bytes(b"an old copy")
    before = data_file.read_bytes()
    layout = locate_database(app.package, data_file)
    outcome = run_backup(
        Request(layout, PathMap(), PARIS, None), Surroundings(app.clock, StopRequest(), silent)
    )
    own.write_bytes(b"changed")
    data_file.write_bytes(b"new")

    assert outcome.folder is not None
    restored(outcome.folder, tmp_path / "back")
    restore_in_place(app, layout=layout)

    assert outcome.warnings == ()
    assert (tmp_path / "back" / "Data" / "data.4DD").read_bytes() == before
    kept = tmp_path / "back" / "External" / str(own)[1:]
    assert kept.read_bytes() == own.read_bytes() == b"an old copy"
    assert data_file.read_bytes() == before
