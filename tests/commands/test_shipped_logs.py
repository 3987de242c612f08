"""status says how far a shipped log is behind; restore --latest brings the newest set and all that was shipped after it."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduler.recall import Host
from scheduler.served import Served
from scheduler.state import LastRun, load_state, save_state, state_file
from settings.paths import PathMap
from settings.service_model import ServedDatabase
from tests.commands.shipping import check_latest, lose, serve, ship
from tests.commands.terminal import Terminal
from tests.engine import logs
from tests.engine.stories import App, make_app, pass_a_day
from tests.engine.stream_stories import add, renew, shipping_app, stream_of, streamer
from tests.scheduler.stories import PARIS

PASSED = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return shipping_app(tmp_path)


@pytest.fixture
def back(tmp_path: Path) -> Path:
    return tmp_path / "back"


def append_now(app: App, number: int, age: timedelta) -> None:
    with app.log.open("ab") as stream:
        stream.write(logs.record(number, logs.CREATE, datetime.now(UTC) - age))


def of_status(printed_json: object) -> dict[str, object]:
    assert isinstance(printed_json, dict)
    row = printed_json["databases"][0]
    return {**row["log_shipping"], "trouble": row["trouble"]}


# --- status


def test_status_says_that_nothing_is_behind(terminal: Terminal, app: App) -> None:
    serve(terminal, app)
    ship(app)

    words = terminal.types("status").out
    row = of_status(terminal.types("status", "--json").json)

    assert "  log shipped up to operation 10, " in words
    assert "; nothing is behind" in words
    assert "the log is not shipped" not in words
    assert (row["operation"], row["lag_seconds"], row["problem"]) == (10, 5, None)
    assert row["behind"] == {"operations": 0, "bytes": 0, "seconds": None}
    assert row["folder"] == str(stream_of(app))


def test_status_counts_what_is_in_the_live_log_alone(terminal: Terminal, app: App) -> None:
    serve(terminal, app)
    ship(app)
    append_now(app, 11, timedelta(seconds=20))
    append_now(app, 12, timedelta(seconds=3))

    printed = terminal.types("status")
    behind = of_status(terminal.types("status", "--json").json)["behind"]

    assert "2 operations behind" in printed.out
    assert "the log is not shipped" not in printed.out
    assert isinstance(behind, dict)
    assert (behind["operations"], behind["bytes"]) == (2, 88)
    assert 19 < behind["seconds"] < 30


def test_a_log_that_is_behind_for_long_needs_a_person(terminal: Terminal, app: App) -> None:
    serve(terminal, app)
    ship(app)
    append_now(app, 11, timedelta(minutes=3))

    printed = terminal.types("status")

    assert printed.code == 1
    assert (
        "TROUBLE     the log is not shipped: 1 operation, the oldest 3 min old, in the application's log alone"
        in printed.out
    )


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (lambda app: app.log.unlink(), "there is no log at"),
        (lambda app: renew(app, 10), "the log was renewed; none of it is shipped yet"),
        (lambda app: shutil.rmtree(stream_of(app)), "nothing is shipped yet"),
        (lambda app: app.log.write_bytes(bytes(500)), "bytes are zeros"),
    ],
)
def test_without_a_service_that_looks_after_it_a_problem_needs_a_person(
    terminal: Terminal, app: App, happens: object, words: str
) -> None:
    serve(terminal, app)
    ship(app)
    happens(app)  # type: ignore[operator]

    printed = terminal.types("status")

    assert printed.code == 1
    assert "TROUBLE     the log is not shipped" in printed.out
    assert words in printed.out


def test_status_says_nothing_of_it_where_nobody_asked(terminal: Terminal, app: App) -> None:
    terminal.serve(app)

    assert "log shipped" not in terminal.types("status").out
    assert terminal.types("status", "--json").json["databases"][0]["log_shipping"] is None


# --- restore --latest


def test_when_the_application_is_gone_the_backup_folder_is_enough(
    terminal: Terminal, app: App, back: Path
) -> None:
    add(app, 11, 50)
    ship(app)
    content = app.log.read_bytes()
    lose(app)

    said = check_latest(terminal, back, app.destination, content)

    assert "4D integrates 40 operations by itself" in said
    assert "the chain is unbroken" in said
    assert "without settings" not in said
    check = terminal.types("open-check", back)
    assert check.code == 0
    assert "the log holds 40 operations more than the data" in check.out


def test_when_the_application_is_gone_its_name_is_enough_where_the_service_knew_it(
    terminal: Terminal, app: App, back: Path
) -> None:
    add(app, 11, 50)
    ship(app)
    content = app.log.read_bytes()
    entry = ServedDatabase(app.package, None)
    Served(entry, Host(terminal.state, PARIS, PathMap())).refresh(datetime.now(UTC))
    lose(app)

    check_latest(terminal, back, app.package, content)


def test_status_of_an_application_that_is_gone_says_what_is_remembered_and_how_it_comes_back(
    terminal: Terminal, app: App
) -> None:
    content = app.log.read_bytes()
    serve(terminal, app)
    served = Served(ServedDatabase(app.package, None), Host(terminal.state, PARIS, PathMap()))
    served.refresh(datetime.now(UTC))
    file = state_file(terminal.state, app.data_file)
    state = load_state(file)
    assert state is not None
    save_state(file, replace(state, last=LastRun(PASSED, 0, "complete set 1", 1)))
    lose(app)

    printed = terminal.types("status")

    assert printed.code == 1
    assert f"TROUBLE     there is no database at {app.package}" in printed.out
    how = f"backup4d restore {app.package} --latest --to {app.package}"
    assert f"its sets are in {app.destination};" in printed.out
    assert printed.out.rstrip().splitlines()[-1].endswith(how)
    assert "  last backup 2026-03-01 08:00:00, ok: complete set 1" in printed.out
    check_latest(terminal, app.package, app.package, content)


def test_a_live_log_that_is_there_is_later_than_any_copy(
    terminal: Terminal, app: App, back: Path
) -> None:
    ship(app)
    add(app, 11, 50)

    said = check_latest(terminal, back, app.package, app.log.read_bytes())

    assert "the live log is placed" in said


def test_a_live_log_that_cannot_be_read_is_replaced_by_what_was_shipped(
    terminal: Terminal, app: App, back: Path
) -> None:
    add(app, 11, 50)
    ship(app)
    content = app.log.read_bytes()
    app.log.write_bytes(bytes(1000))

    assert "the shipped log" in check_latest(terminal, back, app.package, content)


def test_logs_that_were_renewed_come_back_in_their_order(
    terminal: Terminal, app: App, back: Path
) -> None:
    add(app, 11, 20)
    ship(app)
    one = streamer(app)
    one.look()
    olds = []
    for last in (20, 30):
        olds.append(renew(app, last))
        add(app, last + 1, last + 10)
        one.look()
    one.let_go()
    content = app.log.read_bytes()
    lose(app)

    said = check_latest(terminal, back, app.destination, content)

    earlier = sorted((back / "Data" / "Logs to integrate").iterdir())
    assert [file.read_bytes() for file in earlier] == olds
    assert "the chain is unbroken" in said


def test_the_newest_set_as_it_was_is_still_to_be_had(
    terminal: Terminal, app: App, back: Path
) -> None:
    whole = app.log.read_bytes()
    add(app, 11, 50)
    ship(app)

    printed = terminal.types("restore", app.destination / "data[0001]", "--to", back)

    assert (back / "Data" / "data.journal").read_bytes() == whole
    assert "--log current brings what was done after this set" in printed.err


def test_sets_of_several_applications_are_not_guessed_among(
    terminal: Terminal, app: App, back: Path, tmp_path: Path
) -> None:
    other = App(make_app(tmp_path / "other").package, app.destination, app.clock).configure()
    pass_a_day(app)
    other.backup()
    ship(app)
    content = app.log.read_bytes()
    lose(app)

    printed = terminal.types("restore", app.destination, "--latest", "--to", back)
    assert printed.code == 5
    assert "holds sets of several data files" in printed.err
    assert not back.exists()

    check_latest(terminal, back, app.destination, content, "--data-file", str(app.data_file))


@pytest.mark.parametrize(
    "words", [("--set", "1"), ("--as-of", "2026-01-01 10:00"), ("--log", "set")]
)
def test_latest_is_no_other_moment(terminal: Terminal, app: App, words: tuple[str, str]) -> None:
    printed = terminal.types("restore", app.package, "--latest", *words)

    assert printed.code == 2
    assert "--latest is the newest there is" in printed.err


def test_latest_of_one_set_is_refused(terminal: Terminal, app: App) -> None:
    printed = terminal.types("restore", app.destination / "data[0001]", "--latest")

    assert printed.code == 2
    assert "--latest takes a DATABASE, or the folder that holds its sets" in printed.err


def test_a_folder_without_sets_is_no_backup_folder(terminal: Terminal, tmp_path: Path) -> None:
    printed = terminal.types("restore", tmp_path, "--latest", "--to", tmp_path / "back")

    assert printed.code == 2
