"""Commands to a running service, and without one: status, pause, resume, reload."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import scheduler.commands_service as service_module
from engine.host import HostClock
from scheduler.control import SOCKET_NAME
from scheduler.state import state_file
from tests.commands.live import (
    AWAITING,
    BROKEN,
    due_now,
    entries,
    load_state_of,
    nobody,
    serving,
    settings_file,
    user_name,
    wait_for_saving,
)
from tests.commands.terminal import Terminal
from tests.engine.stories import App
from tests.scheduler.real import (
    application,
    clock_in,
    reschedule,
    visible,
    wait_until,
)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return application(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> App:
    return application(tmp_path / "other")


# --- status ---------------------------------------------------------------------------------------


def test_status_shows_how_far_a_run_is_and_which_one_waits(
    terminal: Terminal, app: App, other: App
) -> None:
    due_now(terminal, app, other)

    with serving(terminal, app, other):
        wait_for_saving(app)
        row, waiting = terminal.types("status", "--json").json["databases"]
        printed = terminal.types("status")

    assert row["run"]["phase"] in {"saving", "checking"}
    assert 0 < row["run"]["done"] <= row["run"]["total"]
    assert waiting["run"]["seconds"] is None
    assert "running     a backup, since " in printed.out
    assert " % of 96" in printed.out
    assert "waiting     waiting for another backup to the same device" in printed.out


def test_status_tells_refused_settings_and_a_refused_service_file(
    terminal: Terminal, app: App
) -> None:
    app.backup(clock=HostClock())

    with serving(terminal, app) as real:
        real.wait_for(AWAITING)
        assert terminal.types("status").code == 0
        settings_file(app).write_bytes(BROKEN)
        terminal.service_file.write_text("<Backup4DService>")
        real.wait_for("settings refused", seconds=6)
        real.wait_for("service file refused", seconds=6)
        printed = terminal.types("status")
        row = terminal.types("status", "--json").json

    assert printed.code == 1
    assert "TROUBLE       service file refused, the last good one stays: " in printed.out
    assert str(app.package) in printed.out
    assert "the last good settings stay in force" in printed.out
    assert str(terminal.service_file) in row["service"]["problem"]


def test_status_of_a_service_that_hangs_is_trouble_and_comes_from_the_disk(
    terminal: Terminal, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_PATIENCE_SECONDS", 0.5)
    app.backup(clock=HostClock())

    with serving(terminal, app) as real:
        real.process.send_signal(signal.SIGSTOP)
        printed = terminal.types("status")

    assert printed.code == 1
    assert "does not answer" in printed.out
    assert "last good   set 1" in printed.out


def test_status_without_the_socket_comes_from_the_disk(terminal: Terminal, app: App) -> None:
    app.backup(clock=HostClock())

    with serving(terminal, app):
        (terminal.state / SOCKET_NAME).unlink()
        printed = terminal.types("status")

    assert printed.code == 0
    assert "service       running" in printed.out


def test_a_broken_service_file_is_trouble_without_a_service_too(
    terminal: Terminal, app: App
) -> None:
    terminal.service_file.write_text("<Backup4DService>")

    printed = terminal.types("status", app.package)

    assert printed.code == 1
    assert "TROUBLE       service file refused: " in printed.out


# --- pause and resume -----------------------------------------------------------------------------


def moment(**ahead: float) -> str:
    return f"{datetime.now(UTC) + timedelta(**ahead):%Y-%m-%d %H:%M:%S}"


def test_pause_and_resume_through_the_service_are_journaled_with_who_asked(
    terminal: Terminal, app: App
) -> None:
    settings = settings_file(app).read_bytes()

    with serving(terminal, app) as real:
        real.wait_for(AWAITING)
        paused = terminal.types("pause", app.package, "--until", moment(days=2))
        row = terminal.types("status", "--json").json["databases"][0]
        again = [terminal.types("resume", app.package, "--json").json for _ in range(2)]

    assert paused.code == 0
    assert "no automatic backup until" in paused.out
    assert row["paused_until"] is not None
    assert again == [{"was_paused": True}, {"was_paused": False}]
    (entry,) = entries(app, "Scheduled backups paused")
    assert f"Asked for by : user {user_name()}" in entry
    (entry,) = entries(app, "Scheduled backups resumed")
    assert f"Asked for by : user {user_name()}" in entry
    assert settings_file(app).read_bytes() == settings


def test_a_pause_without_a_service_holds_when_one_starts_and_over_its_restart(
    terminal: Terminal, app: App
) -> None:
    terminal.serve(app)
    reschedule(app, clock_in(3))

    printed = terminal.types("pause", app.package, "--until", moment(days=2))
    for times in (1, 2):
        with serving(terminal, app) as real:
            real.wait_for("automatic backups are paused until")
            if times == 2:
                wait_until(lambda: entries(app, "Scheduled backup missed"), "no miss was told")
            assert real.stop() == 0

    assert printed.code == 0
    assert visible(app) == []
    assert len(entries(app, "Scheduled backups paused")) == 1
    (entry,) = entries(app, "Scheduled backup missed")
    assert "Reason : automatic backups are paused until" in entry
    assert terminal.types("resume", app.package, "--json").json == {"was_paused": True}
    assert load_state_of(terminal, app).known.paused_until is None


def test_a_pause_ends_by_itself_and_the_journal_says_so(terminal: Terminal, app: App) -> None:
    with serving(terminal, app) as real:
        real.wait_for(AWAITING)
        reschedule(app, clock_in(3))
        real.wait_for("settings changed and taken up", seconds=6)
        terminal.types("pause", app.package, "--until", moment(seconds=5))
        real.wait_for("the pause has ended; automatic backups go on")
        wait_until(lambda: entries(app, "Scheduled backups resumed"), "its end was not journaled")

    assert visible(app) == []
    assert len(entries(app, "Scheduled backup missed")) == 1
    (entry,) = entries(app, "Scheduled backups resumed")
    assert "Reason : the pause has ended" in entry


@pytest.mark.parametrize("is_served", [True, False])
@pytest.mark.parametrize("until", [{"days": 32}, {"minutes": -1}])
def test_a_pause_that_is_too_long_or_over_is_refused(
    terminal: Terminal, app: App, until: dict[str, float], *, is_served: bool
) -> None:
    with serving(terminal, app) if is_served else nobody():
        printed = terminal.types("pause", app.package, "--until", moment(**until))

    assert printed.code == 2
    assert "31 days ahead at most" in printed.err
    assert "paused" not in app.journal()


def test_a_database_nobody_knows_or_serves_is_said_to_be_that(
    terminal: Terminal, app: App, other: App
) -> None:
    with serving(terminal, app):
        strange = terminal.types("pause", other.package, "--until", moment(days=1))
        absent = terminal.types("pause", "/nonexistent", "--until", moment(days=1))

    assert (strange.code, absent.code) == (1, 2)
    assert f"the service does not serve {other.package}" in strange.err


@pytest.mark.parametrize("is_served", [True, False])
def test_refused_settings_do_not_keep_anybody_from_pausing(
    terminal: Terminal, app: App, *, is_served: bool
) -> None:
    with serving(terminal, app) as real:
        real.wait_for(AWAITING)
        assert real.stop() == 0
    settings_file(app).write_bytes(BROKEN)

    with serving(terminal, app) if is_served else nobody():
        printed = terminal.types("pause", app.package, "--until", moment(days=1))

    assert printed.code == 0
    assert load_state_of(terminal, app).known.paused_until is not None
    assert settings_file(app).read_bytes() == BROKEN


def test_a_pause_that_cannot_be_saved_is_no_pause(terminal: Terminal, app: App) -> None:
    file = state_file(terminal.state, app.data_file)
    file.with_name(f".{file.name}.part").mkdir(parents=True)

    printed = terminal.types("pause", app.package, "--until", moment(days=1))

    assert printed.code == 1
    assert f"could not be saved in {terminal.state}" in printed.err


def test_a_pause_that_the_service_cannot_save_is_told(terminal: Terminal, app: App) -> None:
    file = state_file(terminal.state, app.data_file)
    file.with_name(f".{file.name}.part").mkdir(parents=True)

    with serving(terminal, app):
        printed = terminal.types("pause", app.package, "--until", moment(days=1))

    assert printed.code == 1
    assert "would be forgotten with the next restart" in printed.err


# --- reload ---------------------------------------------------------------------------------------


def test_reload_says_at_once_what_came_of_an_edit(terminal: Terminal, app: App, other: App) -> None:
    with serving(terminal, app) as real:
        real.wait_for(AWAITING)
        terminal.serve(app, other)
        good = terminal.types("reload")
        settings_file(app).write_bytes(BROKEN)
        bad = terminal.types("reload")
        terminal.service_file.write_text("<Backup4DService>")
        worse = terminal.types("reload")

    assert worse.code == 1
    assert str(terminal.service_file) in worse.out
    assert (good.code, good.out) == (0, "2 database(s) served\n")
    assert bad.code == 1
    assert f"{app.package}: " in bad.out


def test_reload_without_a_service_is_an_error(terminal: Terminal) -> None:
    printed = terminal.types("reload")

    assert printed.code == 1
    assert "no service runs" in printed.err
