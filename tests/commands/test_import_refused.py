"""What import refuses, in words that say why, and what does not keep it from its work."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.history import HISTORY
from engine.sets import staging_folder
from engine.staging import own_tag
from tests.commands.terminal import Terminal
from tests.engine.fourd_stories import archive
from tests.engine.logs import DATALINK, OTHER_DATALINK, data_file, link_block
from tests.engine.stories import App

WRITTEN = datetime(2024, 8, 12, 22, 0, 2, tzinfo=UTC).timestamp()
DATA = "./data.4DD::DataFile"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return fourd(tmp_path / "data[0007].4BK", {DATA: b"the data"})


def fourd(file: Path, files: dict[str, bytes]) -> Path:
    """A backup of 4D's of 2024."""
    file.write_bytes(archive(files))
    os.utime(file, (WRITTEN, WRITTEN))
    return file


def data(link: bytes | None, identity: bytes = bytes(16)) -> bytes:
    """A data file with these ids."""
    content = bytearray(data_file(10, [] if link is None else [link_block(link)]))
    content[24:40] = identity
    return bytes(content)


def visible(app: App) -> list[str]:
    return [one.name for one in app.destination.iterdir() if one.name.startswith("data[")]


def test_a_killed_import_does_not_keep_its_number(terminal: Terminal, app: App, old: Path) -> None:
    tag = own_tag(app.layout.data_file, app.layout.package)
    staging = staging_folder(app.destination, "data", 7, tag)
    staging.mkdir()
    (staging / "half").write_bytes(b"made")

    printed = terminal.types("import", app.package, old)

    assert printed.code == 0, printed.all
    assert visible(app) == ["data[0007]"]
    assert app.hidden() == []


A, B = bytes(range(100, 116)), bytes(range(50, 66))


@pytest.mark.parametrize(
    ("live", "archived", "code"),
    [
        (data(DATALINK), data(OTHER_DATALINK), 4),
        (data(DATALINK), data(DATALINK), 0),
        # compacting may give a new id, the log's stays
        (data(DATALINK, A), data(DATALINK, B), 0),
        (data(None, A), data(DATALINK, B), 4),
        (data(None, A), data(None, A), 0),
        (data(None), data(DATALINK, A), 0),
        (b"encrypted", data(DATALINK), 0),
    ],
)
def test_a_data_file_of_the_same_name_and_another_id_is_refused(
    terminal: Terminal, app: App, tmp_path: Path, live: bytes, archived: bytes, code: int
) -> None:
    app.data_file.write_bytes(live)
    file = fourd(tmp_path / "data[0007].4BK", {DATA: archived})

    printed = terminal.types("import", app.package, file)

    assert printed.code == code, printed.all
    assert visible(app) == ([] if code else ["data[0007]"])
    assert ("its data file is of another database than" in printed.err) == bool(code)


@pytest.mark.parametrize(("link", "code"), [(DATALINK, 0), (OTHER_DATALINK, 4)])
def test_where_the_live_data_file_is_gone_the_newest_set_tells(
    terminal: Terminal, app: App, tmp_path: Path, link: bytes, code: int
) -> None:
    app.data_file.write_bytes(data(DATALINK))
    assert terminal.types("backup", app.package).code == 0
    app.data_file.write_bytes(b"")
    file = fourd(tmp_path / "data[0007].4BK", {DATA: data(link)})
    now = datetime.now(UTC).timestamp()
    os.utime(file, (now, now))

    printed = terminal.types("import", app.package, file)

    assert printed.code == code, printed.all
    assert ("that in set 1" in printed.err) == bool(code)


def test_a_date_to_come_is_refused(terminal: Terminal, app: App, old: Path) -> None:
    typed = terminal.types("import", app.package, old, "--date", "2099-01-01")
    os.utime(old, (4_000_000_000, 4_000_000_000))
    dated = terminal.types("import", app.package, old)

    for printed in (typed, dated):
        assert printed.code == 4
        assert "its date is still to come" in printed.err
    assert visible(app) == []


def test_the_name_of_the_data_file_is_looked_at_before_the_number(
    terminal: Terminal, app: App, old: Path, tmp_path: Path
) -> None:
    assert terminal.types("import", app.package, old).code == 0
    (tmp_path / "other").mkdir()
    other = fourd(tmp_path / "other/Other[0007].4BK", {"./Other.4DD::DataFile": b"x"})

    printed = terminal.types("import", app.package, other)

    assert printed.code == 4
    assert "its data file is Other.4DD" in printed.err


@pytest.mark.parametrize("name", ["data[0009].4BK", "data.4BK"])
def test_a_file_that_is_not_there_is_told_as_by_4bk(
    terminal: Terminal, app: App, tmp_path: Path, name: str
) -> None:
    printed = terminal.types("import", app.package, tmp_path / name)

    assert printed.code == 5
    assert "error 1410" in printed.err
    assert f"{name} is not there; nothing was imported" in printed.err


def test_beside_a_log_archive_that_is_none_nothing_is_imported(
    terminal: Terminal, app: App, old: Path
) -> None:
    old.with_name("data[0006].4BL").write_bytes(b"junk" * 100)

    printed = terminal.types("import", app.package, old)

    assert printed.code == 1
    assert "data[0006].4BL" in printed.err
    assert "nothing was imported" in printed.err
    assert visible(app) == []


def test_a_history_that_does_not_tell_is_not_called_absent(
    terminal: Terminal, app: App, old: Path
) -> None:
    row = '{"x": [{"backupPath": "data[0007].4BK", "backupNumber": 7, "startingDate": "soon"}]}'
    old.with_name(HISTORY).write_text(row)

    printed = terminal.types("import", app.package, old)

    assert printed.code == 0
    assert f"as the {HISTORY} beside it does not tell" in printed.out
