"""log info, list, check: what was typed is understood as people mean it, or answered with what to type."""

from pathlib import Path

import pytest

from tests.commands.terminal import Terminal
from tests.engine.fourd_stories import archive, flipped
from tests.engine.logs import data_file, link_block
from tests.engine.real_shapes import morning
from tests.engine.stories import App


@pytest.fixture
def work(app: App) -> App:
    """An application whose log has a morning's work."""
    app.log.write_bytes(morning().content())
    app.data_file.write_bytes(data_file(51, [link_block(morning().datalink)]))
    return app


@pytest.mark.parametrize("name", ["bert@desk-8", "BERT@Desk-8", "bert", "bert of 4D"])
def test_a_user_can_be_asked_for_as_it_is_printed(terminal: Terminal, work: App, name: str) -> None:
    printed = terminal.types("log", "list", work.log, "--user", name)

    lines = printed.out.splitlines()[1:]
    assert len(lines) == 12
    assert all("bert@desk-8" in line for line in lines)


@pytest.mark.parametrize("name", ["bert@desk-7", "desk-8", "@desk-8", "nobody"])
def test_nothing_as_asked_is_said_and_where_to_look(
    terminal: Terminal, work: App, name: str
) -> None:
    printed = terminal.types("log", "list", work.log, "--user", name)

    assert printed.code == 0
    assert len(printed.out.splitlines()) == 1
    assert "no operation is as asked; `backup4d log info` shows users" in printed.err


def test_a_log_without_records_is_no_wrong_question(terminal: Terminal, work: App) -> None:
    work.log.write_bytes(morning().content()[:24])

    assert "as asked" not in terminal.types("log", "list", work.log).err


def test_the_folder_of_the_application_stands_for_its_log_and_its_data(
    terminal: Terminal, work: App
) -> None:
    folder = work.backup_set()

    checked = terminal.types("log", "check", folder, "--data", work.package)
    followed = terminal.types("log", "check", folder, "--follows", work.package)

    assert (checked.code, followed.code) == (0, 0)
    assert "the data are at operation 51, as the log" in checked.out


def test_a_folder_that_is_no_application_is_told_what_can_be_named(
    terminal: Terminal, work: App, tmp_path: Path
) -> None:
    work.backup_set()
    logs = tmp_path / "logs"
    logs.mkdir()
    empty = terminal.types("log", "info", logs)
    for number in range(7):
        (logs / f"{number}.JOURNAL").touch()

    named = terminal.types("log", "info", logs)
    sets = terminal.types("log", "info", work.destination)
    data = terminal.types("log", "check", work.log, "--data", work.destination)

    assert [one.code for one in (empty, named, sets, data)] == [2, 2, 2, 2]
    assert "name a log, or the folder of an application or of a set" in empty.err
    assert "name one of its logs: 0.JOURNAL, 1.JOURNAL, 2.JOURNAL, 3.JOURNAL" in named.err
    assert "4.JOURNAL and 2 more" in named.err
    assert str(work.destination / "data[0001]") in sets.err
    assert str(work.destination / "data[0001]") in data.err


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (flipped(archive({"./a.journal::": b"x" * 90}), 100), 5),
        (flipped(archive({"./a.journal::": b"x" * 40_000}), 100, -90), 5),
        (archive({"./a.txt::": b"x"}), 5),
        (archive()[:60], 5),
    ],
)
def test_what_is_wrong_with_an_archive_of_a_log_is_said_with_its_name(
    terminal: Terminal, work: App, tmp_path: Path, content: bytes, code: int
) -> None:
    file = tmp_path / "data[0006].4BL"
    file.write_bytes(content)

    looked = terminal.types("log", "info", file)
    followed = terminal.types("log", "check", work.log, "--follows", file)

    assert (looked.code, followed.code) == (code, code)
    assert f"{file}: " in looked.err
    assert f"{file}: " in followed.err


def test_a_data_file_is_called_one(terminal: Terminal, work: App, tmp_path: Path) -> None:
    made_up = tmp_path / "made up.4DD"
    made_up.write_bytes(b"not of 4D at all, whatever its name is")

    real, other = (terminal.types("log", "info", one) for one in (work.data_file, made_up))

    assert "it is a data file of 4D" in real.err
    for printed in (real, other):
        assert printed.code == 1
        assert "name the log, the .journal beside the data file" in printed.err
