"""A backup tells when the log does not carry on that of the set before, is not that of the data, or is not there."""

from datetime import timedelta
from pathlib import Path

import pytest

from engine.logmissing import missing_log
from engine.logsequel import Belonging, Belongs, Following, Sequel
from engine.logwatch import belonging_words, sequel_words
from tests.engine.logs import DATALINK, OTHER_DATALINK, START, data_file, link_block, log
from tests.engine.real_shapes import LogMaker
from tests.engine.stories import VERBOSE, App, make_app


@pytest.fixture
def app(tmp_path: Path) -> App:
    app = make_app(tmp_path)
    work(app, 0, 10)
    return app


def made(first: int, count: int, **how: object) -> LogMaker:
    """A log that goes on from an operation."""
    maker = LogMaker(number=first, **how)  # type: ignore[arg-type]
    maker.add(7)
    for _ in range(count):
        maker.add(26, b"")
    return maker


def work(app: App, first: int, count: int, *, data: int | None = None, **how: object) -> None:
    app.log.write_bytes(made(first, count, **how).content())
    last = first + count if data is None else data
    app.data_file.write_bytes(data_file(last, [link_block(DATALINK)]))


def journaled(app: App) -> str:
    """The last entry of the journal."""
    return app.journal().rpartition("***")[2]


def test_a_log_that_grew_or_was_renewed_by_the_rule_is_not_told_of(app: App) -> None:
    app.backup()
    work(app, 0, 25)
    app.backup()
    work(app, 25, 5, time=START + timedelta(days=1))

    outcome = app.backup()

    assert "Log :" not in app.journal()
    assert outcome.warnings == ()


def test_operations_that_are_in_no_set_are_told(app: App) -> None:
    app.backup()
    work(app, 30, 5, time=START + timedelta(days=1))

    outcome = app.backup()

    assert "Log : the chain is broken since data[0001]: operations 11 to 30 are in no set;" in (
        journaled(app)
    )
    assert any("operations 11 to 30" in warning for warning in outcome.warnings)
    assert outcome.facts is not None
    assert outcome.facts.complete


def test_a_log_made_anew_is_told(app: App) -> None:
    app.backup()
    work(app, 0, 3, time=START + timedelta(days=1))

    app.backup()

    assert "the log was made anew and counts from 0 again" in journaled(app)


def test_a_log_cut_short_is_told(app: App) -> None:
    app.backup()
    work(app, 0, 4)

    app.backup()

    assert "the log is shorter than it was then" in journaled(app)


def test_a_log_of_another_data_file_is_told(app: App) -> None:
    work(app, 0, 10, datalink=OTHER_DATALINK)

    app.backup()

    assert "Log : it is of another data file than the one it lies beside" in journaled(app)


def test_data_ahead_of_their_log_are_told(app: App) -> None:
    work(app, 0, 10, data=50)

    app.backup()

    assert "Log : the data are at operation 50, their log ends at 10" in journaled(app)


def test_a_log_that_cannot_be_read_is_saved_and_nothing_is_said(tmp_path: Path) -> None:
    app = make_app(tmp_path)

    for _ in range(2):
        assert app.backup().warnings == ()

    assert "Log :" not in app.journal()


# --- 1274


def test_a_missing_log_is_4ds_error_1274_and_the_set_is_made(app: App) -> None:
    app.backup()
    app.log.unlink()

    outcome = app.backup()

    entry = journaled(app)
    assert (
        f"Error reported : 1274 the log {app.log} is missing, though the data file names it"
        in entry
    )
    assert "Hint : bring the log back beside the data file" in entry
    assert outcome.facts is not None
    assert outcome.facts.complete
    assert any(warning.startswith("error 1274: the log") for warning in outcome.warnings)


def test_a_log_that_a_kept_set_holds_is_missed_by_each_backup_when_the_data_say_nothing(
    app: App,
) -> None:
    app.data_file.write_bytes(data_file(10))
    app.backup()
    app.log.unlink()

    for _ in range(2):
        app.backup()
        assert "is missing, though a kept set holds it" in journaled(app)

    app.log.write_bytes(made(0, 10).content())
    app.backup()
    assert "Error reported" not in journaled(app)


def test_the_short_form_of_the_journal_tells_it_too(app: App) -> None:
    app.configure({VERBOSE: "False"})
    app.log.unlink()

    app.backup()

    assert "Error reported : 1274" in journaled(app)
    assert "Creating archive" not in journaled(app)


def test_a_database_that_never_had_a_log_misses_none(tmp_path: Path) -> None:
    app = make_app(tmp_path, data=data_file(10))
    app.log.unlink()

    app.backup()

    assert "1274" not in app.journal()


def test_a_log_in_another_place_is_named(app: App) -> None:
    other = app.log.with_name("other.journal")
    app.log.rename(other)

    text = missing_log(app.layout, "./other.journal", was_saved=True)

    assert text is not None
    assert f"the log of {app.data_file} is {other}, which no backup saves" in text


@pytest.mark.parametrize(
    "named",
    ["C:\\4D\\data.journal", "Macintosh HD:data.journal", "./x\0y", "x" * 5000, "a/" * 3000],
)
def test_a_path_of_another_system_leads_nowhere(app: App, named: str) -> None:
    app.log.unlink()

    text = missing_log(app.layout, named, was_saved=False)

    assert text == f"the log {app.log} is missing, though the data file names it"


def test_a_log_that_is_there_is_not_missed(app: App) -> None:
    assert missing_log(app.layout, "./data.journal", was_saved=True) is None


# --- words


@pytest.mark.parametrize("sequel", list(Sequel))
def test_every_break_has_words_and_nothing_else_has(sequel: Sequel) -> None:
    found = sequel_words(Following(sequel, (5, 5)), "data[0007]")

    quiet = {Sequel.SAME, Sequel.GROWN, Sequel.FOLLOWS, Sequel.EMPTY}
    assert bool(found) is (sequel not in quiet)
    assert all("data[0007]" in line and "{" not in line for line in found)


@pytest.mark.parametrize("belonging", list(Belonging))
def test_only_what_4d_would_refuse_has_words(belonging: Belonging) -> None:
    found = belonging_words(Belongs(belonging, 5, 3))

    refused = {Belonging.OTHER_DATA_FILE, Belonging.DATA_AHEAD, Belonging.BEFORE_LOG}
    assert bool(found) is (belonging in refused)


def test_one_missing_operation_is_told_as_one() -> None:
    (line,) = sequel_words(Following(Sequel.GAP, (8, 8)), "data[0001]")

    assert "operation 8 is in no set" in line


def test_an_empty_log_says_nothing(app: App) -> None:
    app.backup()
    app.log.write_bytes(log())

    app.backup()

    assert "Log :" not in app.journal()


def test_a_set_before_that_is_damaged_is_passed_over(app: App) -> None:
    folder = app.backup_set()
    archive = next(folder.glob("*.journal*"))
    archive.write_bytes(b"")
    work(app, 30, 5)

    app.backup()

    assert "Log :" not in app.journal()
