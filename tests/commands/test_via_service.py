"""backup --via-service: made by the running service, told as one of our own."""

import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduler.commands_backup import _ask_stop as ask_stop
from scheduler.control import SOCKET_NAME, Asked, Control
from scheduler.known import Halt
from tests.commands.live import (
    AWAITING,
    BROKEN,
    PUBLISHED,
    client,
    load_state_of,
    make_small,
    serving,
    settings_file,
    user_name,
    wait_for_saving,
)
from tests.commands.terminal import Terminal
from tests.engine.stories import KEEP, App, verified
from tests.scheduler.real import (
    application,
    clock_in,
    make_big,
    owe,
    visible,
    wait_until,
)
from tests.scheduler.served_stories import AFTER_FAILURE, FREQUENCY, HOUR, LIMITED_XML


@pytest.fixture
def app(tmp_path: Path) -> App:
    return application(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> App:
    return application(tmp_path / "other")


def test_a_backup_via_the_service_is_the_services_and_told_like_one_of_our_own(
    terminal: Terminal, app: App
) -> None:
    app.configure({KEEP: "1", FREQUENCY: "Daily", HOUR: clock_in(1800)})
    terminal.serve(app)
    terminal.types("backup", app.package)
    local = terminal.types("backup", app.package, "--json").json

    with serving(terminal, app) as real:
        real.wait_for(AWAITING)
        asked = terminal.types("backup", "--via-service", app.package, "--json")
        printed = terminal.types("backup", "--via-service", app.package)

        assert real.said().count(f"backup starts: asked for by user {user_name()}") == 2

    assert asked.code == printed.code == 0
    assert asked.json.keys() == local.keys()
    assert local["removed"] == ["data[0001]"]
    assert asked.json["removed"] == ["data[0002]"]
    assert (asked.json["number"], asked.json["scheduled"]) == (3, None)
    assert "set 4 is complete" in printed.out
    assert "removed by rotation: data[0003]" in printed.out
    assert verified(app.destination / "data[0004]").good


def test_another_data_file_than_the_served_one_is_not_taken_for_it(
    terminal: Terminal, app: App
) -> None:
    other = app.data_file.with_name("other.4DD")
    other.write_bytes(b"other")

    with serving(terminal, app) as real:
        real.wait_for(AWAITING)
        printed = terminal.types("backup", "--via-service", "--data-file", other, app.package)

    assert printed.code == 1
    assert f"the service does not serve {app.package} with its data file {other}" in printed.err
    assert visible(app) == []


def test_a_database_may_be_named_by_a_link(terminal: Terminal, app: App, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(app.package)

    with serving(terminal, app) as real:
        real.wait_for(AWAITING)
        printed = terminal.types("backup", "--via-service", link)

    assert printed.code == 0
    assert visible(app) == ["data[0001]"]


def test_a_backup_via_the_service_without_one_is_made_here(terminal: Terminal, app: App) -> None:
    printed = terminal.types("backup", "--via-service", app.package)

    assert printed.code == 0
    assert visible(app) == ["data[0001]"]


def test_a_backup_via_the_service_has_the_exit_codes_of_any(terminal: Terminal, app: App) -> None:
    nightly = {FREQUENCY: "Daily", HOUR: clock_in(1800)}
    app.configure(nightly, attachments=["./Absent/"])

    with serving(terminal, app) as real:
        real.wait_for(AWAITING)
        partial = terminal.types("backup", "--via-service", app.package)
        app.destination.rename(app.destination.with_name("away"))
        app.destination.touch()
        failed = terminal.types("backup", "--via-service", app.package, "--json")
        settings_file(app).write_bytes(BROKEN)
        refused = terminal.types("backup", "--via-service", app.package, "--json")

    assert (partial.code, failed.code, refused.code) == (3, 1, 4)
    assert "set 1 is PARTIAL" in partial.out
    assert failed.json["code"] == 1407
    assert refused.json["exit"] == 4
    assert "backup4d settings check" in refused.json["hint"]


def test_two_at_once_and_one_beside_a_backup_by_hand_are_locked(
    terminal: Terminal, app: App
) -> None:
    make_big(app)

    with serving(terminal, app) as real:
        with client(terminal, "backup", app.package) as by_hand:
            wait_for_saving(app)
            beside = terminal.types("backup", "--via-service", app.package)
            by_hand.send_signal(signal.SIGINT)
            by_hand.wait(30)
        with client(terminal, "backup", "--via-service", app.package) as first:
            real.wait_for_child()
            second = terminal.types("backup", "--via-service", app.package, "--json")
            make_small(app)
            assert first.wait(60) == 0

    assert (beside.code, second.code) == (6, 6)
    assert second.json["code"] == 1417
    assert visible(app) == ["data[0001]"]


def test_ctrl_c_stops_the_backup_in_the_service(terminal: Terminal, app: App) -> None:
    make_big(app)

    with serving(terminal, app) as real:
        with client(terminal, "backup", "--via-service", app.package) as asking:
            wait_for_saving(app)
            asking.send_signal(signal.SIGINT)
            _, err = asking.communicate(timeout=30)
        real.wait_for("backup stopped (1406)")

        assert asking.returncode == 130
        assert real.children() == []

    assert "error 1406" in err
    assert "saving" in err  # how far it was
    assert visible(app) == app.hidden() == []


def test_a_backup_goes_on_when_who_asked_for_it_is_killed(terminal: Terminal, app: App) -> None:
    make_big(app)

    with serving(terminal, app) as real:
        with client(terminal, "backup", "--via-service", app.package) as asking:
            wait_for_saving(app)
            asking.kill()
        make_small(app)
        real.wait_for(PUBLISHED)

    assert visible(app) == ["data[0001]"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_who_asked_is_told_when_the_service_ends(
    terminal: Terminal, app: App, number: signal.Signals
) -> None:
    make_big(app)

    with (
        serving(terminal, app) as real,
        client(terminal, "backup", "--via-service", app.package) as asking,
    ):
        wait_for_saving(app)
        real.process.send_signal(number)
        out, err = asking.communicate(timeout=30)

    assert asking.returncode in {1, 130}
    assert out == ""
    assert "the service ended before its answer did" in err or "the service stops" in err
    assert "Traceback" not in err
    assert visible(app) == []


def test_a_backup_via_the_service_ends_a_halt(terminal: Terminal, app: App) -> None:
    owe(app, terminal.state)
    hour = f"{datetime.now(UTC) - timedelta(minutes=30):%H:%M:%S}"
    app.configure({FREQUENCY: "Daily", HOUR: hour, AFTER_FAILURE: "00:00:01", **LIMITED_XML})
    app.destination.rename(app.destination.with_name("away"))
    app.destination.touch()

    with serving(terminal, app) as real:
        real.wait_for("no automatic backup until the service restarts")
        assert isinstance(load_state_of(terminal, app).known.trouble, Halt)
        app.destination.unlink()
        app.destination.mkdir()
        printed = terminal.types("backup", "--via-service", app.package)
        real.wait_for(AWAITING)

    assert printed.code == 0
    assert load_state_of(terminal, app).known.trouble is None


def test_ctrl_c_waits_until_a_busy_service_has_taken_it(tmp_path: Path, app: App) -> None:
    file, waiting = tmp_path / SOCKET_NAME, list[Asked]()
    control = Control(file, waiting.append)
    asking = threading.Thread(target=ask_stop, args=(file, app.layout))
    asking.start()
    try:
        wait_until(lambda: waiting, "nobody asked")
        with pytest.raises(AssertionError):
            wait_until(lambda: waiting[0].is_gone, "he is patient", seconds=2.5)
        waiting[0].answer({"running": True})
        asking.join(10)
        assert not asking.is_alive()
    finally:
        control.stop()
