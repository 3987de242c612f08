"""The real service end to end: slots seconds away, signals, kills, systemd, and its own children."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.stories import App, verified
from tests.scheduler.real import (
    PROGRAM,
    application,
    clock_in,
    environment,
    is_alive,
    make_big,
    owe,
    reschedule,
    saved_state,
    serve,
    service,
    service_of,
    visible,
    wait_until,
)

AWAITING = "next backup"
PUBLISHED = "published in"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def staging(app: App) -> bool:
    return any("staging" in name for name in app.hidden())


def test_a_slot_seconds_away_is_served_with_a_verified_set(tmp_path: Path, state: Path) -> None:
    app = application(tmp_path)
    reschedule(app, clock_in(3))

    with service(state, app) as real:
        real.wait_for(PUBLISHED)
        real.wait_for(AWAITING, times=2)

        assert real.stop() == 0

    assert visible(app) == ["data[0001]"]
    assert verified(app.destination / "data[0001]").good
    assert app.journal().count("*** Full Backup\n") == 1


def test_an_edit_is_taken_up_within_seconds_and_its_slot_served(
    tmp_path: Path, state: Path
) -> None:
    app = application(tmp_path)

    with service(state, app) as real:
        real.wait_for(AWAITING)
        reschedule(app, clock_in(4))
        real.wait_for("settings changed and taken up", seconds=4)
        real.wait_for(PUBLISHED)

    assert visible(app) == ["data[0001]"]
    assert "Settings taken up" in app.journal()


def test_a_broken_edit_is_told_within_seconds_and_harms_nothing(
    tmp_path: Path, state: Path
) -> None:
    app = application(tmp_path)

    with service(state, app) as real:
        real.wait_for(AWAITING)
        file = break_settings(app)
        real.wait_for("settings refused; the last good settings stay in force", seconds=4)

        assert real.stop() == 0

    assert f"Reason : {file}" in app.journal()


def break_settings(app: App) -> Path:
    file = app.package / "Settings" / "backup.4DSettings"
    file.write_bytes(b"<Preferences4D><Backup>")
    return file


def test_a_failure_is_retried_once_and_then_given_up(tmp_path: Path, state: Path) -> None:
    app = application(tmp_path)
    owe(app, state)
    shutil.rmtree(app.destination)
    app.destination.touch()

    with service(state, app) as real:
        real.wait_for("backup failed (1407)", times=2)
        real.wait_for(AWAITING)

        assert real.said().count("backup starts") == 2
        assert real.stop() == 0

    assert app.journal().count("*** Full Backup aborted") == 2
    assert app.journal().count("Error reported : 1407") == 2


def test_a_retry_that_succeeds_serves_the_slot(tmp_path: Path, state: Path) -> None:
    app = application(tmp_path)
    owe(app, state)
    shutil.rmtree(app.destination)
    app.destination.touch()

    with service(state, app) as real:
        real.wait_for("backup failed (1407)")
        app.destination.unlink()
        real.wait_for(PUBLISHED)
        real.wait_for(AWAITING)

    assert visible(app) == ["data[0001]"]


def test_sigterm_stops_a_run_leaves_nothing_half_made_and_the_restart_tries_again(
    tmp_path: Path, state: Path
) -> None:
    app = application(tmp_path)
    make_big(app)
    owe(app, state)

    with service(state, app) as real:
        child = real.wait_for_child()
        wait_until(lambda: staging(app), "the run never began to write")

        assert real.stop() == 0
        assert not is_alive(child)

    assert visible(app) == []
    assert app.hidden() == []
    assert app.journal().count("*** Full Backup aborted") == 1

    with service(state, app) as real:
        real.wait_for(PUBLISHED)
    assert visible(app) == ["data[0001]"]


def test_a_killed_run_is_a_failure_cleaned_up_and_retried(tmp_path: Path, state: Path) -> None:
    app = application(tmp_path)
    make_big(app)
    owe(app, state)

    with service(state, app) as real:
        child = real.wait_for_child()
        wait_until(lambda: staging(app), "the run never began to write")
        os.kill(child, signal.SIGKILL)
        real.wait_for("was killed by signal 9")
        assert visible(app) == []
        real.wait_for(PUBLISHED)

    assert visible(app) == ["data[0001]"]
    assert app.hidden() == []
    assert app.journal().count("*** Full Backup aborted") == 1


def test_a_run_dies_with_its_service_and_the_next_start_works(tmp_path: Path, state: Path) -> None:
    app = application(tmp_path)
    make_big(app)
    owe(app, state)

    with service(state, app) as real:
        child = real.wait_for_child()
        wait_until(lambda: staging(app), "the run never began to write")
        real.process.kill()
        real.process.wait()
        wait_until(lambda: not is_alive(child), "the run outlives its service")

    assert visible(app) == []
    with service(state, app) as real:
        real.wait_for(PUBLISHED)
    assert visible(app) == ["data[0001]"]
    assert app.hidden() == []


def test_a_second_service_with_the_same_state_is_refused(tmp_path: Path, state: Path) -> None:
    app = application(tmp_path)

    with service(state, app) as real:
        real.wait_for(AWAITING)
        command = [*PROGRAM, "--state-folder", str(state), "run", str(app.package)]
        second = subprocess.run(command, capture_output=True, env=environment(), check=False)
        assert real.process.poll() is None

    assert second.returncode == 6
    assert b"the service is running since" in second.stderr
    assert b"Traceback" not in second.stderr


def test_two_databases_due_together_on_one_disk_take_turns(tmp_path: Path, state: Path) -> None:
    apps = [application(tmp_path / name) for name in ("one", "two")]
    for app in apps:
        owe(app, state)

    with service(state, *apps) as real:
        real.wait_for(PUBLISHED, times=2)
        words = real.said()

    assert [visible(app) for app in apps] == [["data[0001]"], ["data[0001]"]]
    first_end = words.index(PUBLISHED)
    assert words.index("backup starts", words.index("backup starts") + 1) > first_end


def test_a_database_named_twice_is_served_once(tmp_path: Path, state: Path) -> None:
    app = application(tmp_path)
    owe(app, state)

    with service(state, app, app) as real:
        real.wait_for(AWAITING)

        assert "serving 1 database(s)" in real.said()

    assert visible(app) == ["data[0001]"]


def test_sighup_looks_at_everything_at_once(tmp_path: Path, state: Path) -> None:
    app = application(tmp_path)

    with service(state, app) as real:
        real.wait_for(AWAITING)
        shutil.move(app.package / "Settings", tmp_path / "Settings away")
        real.process.send_signal(signal.SIGHUP)
        real.wait_for("settings refused", seconds=4)

        assert real.stop() == 0


def test_what_the_service_knows_survives_sigterm(tmp_path: Path, state: Path) -> None:
    app = application(tmp_path)
    with service(state, app) as real:
        real.wait_for(AWAITING)
        real.stop()
    before = saved_state(state, app)

    with service(state, app) as real:
        real.wait_for(AWAITING)
        real.stop()

    assert saved_state(state, app) == before


# --- systemd --------------------------------------------------------------------------------------


@pytest.fixture
def systemd() -> Iterator[socket.socket]:
    """The socket that systemd listens on."""
    with (
        tempfile.TemporaryDirectory(prefix="sd") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        listener.bind(f"{folder}/notify")
        listener.settimeout(30)
        yield listener


def test_systemd_is_told_of_the_start_the_watchdog_and_the_end(
    tmp_path: Path, state: Path, systemd: socket.socket
) -> None:
    app = application(tmp_path)

    with service(state, app, NOTIFY_SOCKET=systemd.getsockname()) as real:
        told = [systemd.recv(4096).decode() for _ in range(2)]
        real.stop()
        while told[-1] != "STOPPING=1":
            told.append(systemd.recv(4096).decode())

    assert told[0].startswith("WATCHDOG=1\nSTATUS=next backup ")
    assert told[1].startswith("READY=1\nSTATUS=next backup ")
    assert all(words.startswith("WATCHDOG=1\n") for words in told[2:-1])


def test_a_settings_file_cannot_talk_to_systemd(
    tmp_path: Path, state: Path, systemd: socket.socket
) -> None:
    app = application(tmp_path)
    value = "many\nMAINPID=1\nREADY=1"
    file = app.package / "Settings" / "backup.4DSettings"
    file.write_text(
        "<Preferences4D><Backup><Settings><Advanced><SetNumber><Value>"
        f"{value}</Value></SetNumber></Advanced></Settings></Backup></Preferences4D>"
    )

    with service(state, app, NOTIFY_SOCKET=systemd.getsockname()):
        told = [systemd.recv(4096).decode() for _ in range(2)]

    for words in told:
        assert [line.partition("=")[0] for line in words.splitlines()][1:] == ["STATUS"]


def test_under_systemd_lines_carry_a_priority_and_no_time(tmp_path: Path, state: Path) -> None:
    app = application(tmp_path)

    with service(state, app, JOURNAL_STREAM="8:1") as real:
        real.wait_for(AWAITING)

        assert all(line.startswith("<6>") for line in real.said().splitlines())


# --- hooks ----------------------------------------------------------------------------------------

HOOKS = "<Hooks><{kind}><Program>{program}</Program><Argument>{told}</Argument></{kind}></Hooks>"


def hook(folder: Path, kind: str, lines: str) -> str:
    """A hook of the service file that appends what it is told to a file, and then does more."""
    program = folder / kind
    program.write_text(f'#!/bin/sh\necho "$BACKUP4D_EVENT $BACKUP4D_STATUS" >> "$1"\n{lines}\n')
    program.chmod(0o755)
    return HOOKS.format(kind=kind, program=program, told=folder / "told")


def test_the_hooks_of_the_service_file_are_run_around_a_scheduled_backup(
    tmp_path: Path, state: Path
) -> None:
    app = application(tmp_path)
    owe(app, state)
    startup, guard = hook(tmp_path, "Startup", "exit 0"), hook(tmp_path, "Guard", "echo ready; cat")
    hooks = (startup + guard + hook(tmp_path, "Shutdown", "")).replace("</Hooks><Hooks>", "")
    serve(tmp_path / "service.xml", app, more=hooks)

    with service_of(tmp_path / "service.xml", state) as real:
        real.wait_for(PUBLISHED)

    assert (tmp_path / "told").read_text() == "startup \nguard \nshutdown 0\n"
    assert "Guard : held for" in app.journal()


def test_a_startup_hook_that_says_no_is_a_failed_attempt_with_its_code(
    tmp_path: Path, state: Path
) -> None:
    app = application(tmp_path)
    owe(app, state)
    hooks = hook(tmp_path, "Startup", "echo 4D is importing >&2; exit 42")
    serve(tmp_path / "service.xml", app, more=hooks)

    with service_of(tmp_path / "service.xml", state) as real:
        real.wait_for("backup failed (42)")
        real.wait_for("backup starts: retry")

    assert visible(app) == []
    assert "Error reported : 42 startup hook" in app.journal()
    assert "4D is importing" in app.journal()


def test_a_restart_under_a_broken_service_file_serves_by_the_last_good_one(
    tmp_path: Path, state: Path
) -> None:
    app = application(tmp_path)
    file = tmp_path / "service.xml"
    serve(file, app)
    with service_of(file, state) as real:
        real.wait_for(AWAITING)
        real.stop()
    file.write_text("<Backup4DService><Databases>")
    owe(app, state)

    with service_of(file, state) as real:
        real.wait_for("service file refused; the last good one stays in force")
        real.wait_for(PUBLISHED)

    assert visible(app) == ["data[0001]"]


def test_a_first_start_under_a_broken_service_file_is_refused(tmp_path: Path, state: Path) -> None:
    file = tmp_path / "service.xml"
    file.write_text("<Backup4DService><Databases>")

    with service_of(file, state) as real:
        assert real.process.wait(30) == 4
        assert f"backup4d: {file}, line 1:" in real.said()
