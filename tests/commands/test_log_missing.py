"""A log that ought to be there and is not: said by backup, status and open-check, until there is a backup with it."""

import pytest

from tests.commands.terminal import Terminal
from tests.engine.logs import data_file, link_block
from tests.engine.real_shapes import morning
from tests.engine.stories import App


@pytest.fixture
def work(app: App) -> App:
    app.log.write_bytes(morning().content())
    app.data_file.write_bytes(data_file(51, [link_block(morning().datalink)]))
    return app


def without_log(terminal: Terminal, app: App) -> None:
    """A set with the log, then the log is gone."""
    assert terminal.types("backup", app.package).code == 0
    app.log.rename(app.package / "aside")


def test_a_backup_says_it_and_what_it_means(terminal: Terminal, work: App) -> None:
    without_log(terminal, work)

    printed = terminal.types("backup", work.package)

    assert printed.code == 0
    assert (
        f"error 1274: the log {work.log} is missing, though the data file names it" in printed.all
    )
    assert "make a backup at once" in printed.all


def test_status_says_it_until_a_backup_with_the_log_is_made(terminal: Terminal, work: App) -> None:
    without_log(terminal, work)

    missing = terminal.types("status", work.package)
    terminal.types("backup", work.package)
    (work.package / "aside").rename(work.log)
    back = terminal.types("status", work.package)
    terminal.types("backup", work.package)
    well = terminal.types("status", work.package)

    assert missing.code == 1
    assert f"error 1274: the log {work.log} is missing" in missing.all
    assert "set 2 was made without it: make a backup now" in back.all
    assert "the log" not in well.all


def test_it_is_said_however_many_backups_are_made_without_the_log(
    terminal: Terminal, work: App
) -> None:
    work.data_file.write_bytes(
        data_file(51)
    )  # it names none: that is known from the first set alone
    without_log(terminal, work)

    for _ in range(2):
        backup = terminal.types("backup", work.package)
        status = terminal.types("status", work.package)
        check = terminal.types("open-check", work.package)

        assert "is missing, though a kept set holds it" in backup.all
        assert "is missing, though a kept set holds it" in status.all
        assert "is missing (4D's error 1274)" in check.all
        assert (backup.code, status.code, check.code) == (0, 1, 0)


def test_an_opening_check_says_it(terminal: Terminal, work: App) -> None:
    without_log(terminal, work)

    printed = terminal.types("open-check", work.package)

    assert printed.code == 0
    assert "is missing (4D's error 1274)" in printed.all


def test_a_log_that_the_data_file_names_is_missed_though_it_was_not_there_before(
    terminal: Terminal, work: App
) -> None:
    work.log.unlink()
    terminal.types("open-check", work.package)

    assert "(4D's error 1274)" in terminal.types("open-check", work.package).all


def test_status_of_a_database_without_a_log_says_nothing_of_it(
    terminal: Terminal, work: App
) -> None:
    work.log.unlink()
    work.data_file.write_bytes(data_file(51))
    terminal.types("backup", work.package)

    assert "1274" not in terminal.types("status", work.package).all
