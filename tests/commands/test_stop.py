"""stop: 4D's Stop button for every backup of a database, whoever started it."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import scheduler.commands_control as control_module
from engine.lock import DATABASE_LOCK, current_holder, holder_process
from scheduler.outcomes import Failed, Postponed, Published
from tests.commands.live import (
    AWAITING,
    client,
    due_now,
    entries,
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
    is_alive,
    make_big,
    saved_state,
    visible,
)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return application(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> App:
    return application(tmp_path / "other")


@contextmanager
def held(process: int) -> Iterator[None]:
    """A process that gets nowhere meanwhile, however slow everything else is."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_stop_ends_a_scheduled_run_of_the_service_for_good(terminal: Terminal, app: App) -> None:
    due_now(terminal, app)

    with serving(terminal, app) as real:
        wait_for_saving(app)
        printed = terminal.types("stop", app.package)
        state = saved_state(terminal.state, app)

        assert real.children() == []

    assert (printed.code, printed.out) == (0, "the backup was stopped; nothing half-made remains\n")
    assert visible(app) == app.hidden() == []
    assert (state["running"], state["trouble"]) == (None, None)
    (entry,) = entries(app, "Full Backup aborted")
    assert "Error reported : 1406" in entry


def test_stop_calls_off_a_run_that_waits(terminal: Terminal, app: App, other: App) -> None:
    due_now(terminal, app, other)

    with serving(terminal, app, other) as real, held(real.wait_for_child()):
        real.wait_for("backup is running since", times=2)
        printed = terminal.types("stop", other.package, "--json")
        state = saved_state(terminal.state, other)

    assert (printed.code, printed.json["stopped"]) == (0, True)
    assert (state["running"], state["trouble"]) == (None, None)
    (entry,) = entries(other, "Full Backup aborted")
    assert "1406 stopped by user root before it began" in entry.replace(user_name(), "root")


@pytest.mark.parametrize("is_served", [True, False])
def test_stop_ends_a_backup_that_somebody_started_by_hand(
    terminal: Terminal, app: App, *, is_served: bool
) -> None:
    make_big(app)
    terminal.serve(app)

    with (
        serving(terminal, app) if is_served else nobody(),
        client(terminal, "backup", app.package) as by_hand,
    ):
        wait_for_saving(app)
        printed = terminal.types("stop", app.package)
        code = by_hand.wait(30)

    assert (printed.code, code) == (0, 130)
    assert "the backup was stopped" in printed.out
    assert visible(app) == app.hidden() == []


@pytest.mark.parametrize("is_served", [True, False])
def test_with_nothing_to_stop_stop_says_so(
    terminal: Terminal, app: App, *, is_served: bool
) -> None:
    with serving(terminal, app) if is_served else nobody():
        printed = terminal.types("stop", app.package)

    assert (printed.code, printed.out) == (0, "no backup of this database is running\n")


HOLDER = """
import fcntl, os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
os.pwrite(descriptor, sys.argv[2].encode().ljust(1 << 15), 2 << 15)
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def held_by_somebody(app: App, record: str) -> Iterator[None]:
    """A process that is not ours holds the lock and says of itself what it likes."""
    lock = app.package / "Logs" / DATABASE_LOCK
    lock.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-c", HOLDER, str(lock), record]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.kill()


@pytest.mark.parametrize("pid", ["{pid}", "-{pid}", "0", "true", '"{pid}"', "null", "1e9", "[]"])
def test_stop_never_signals_a_process_that_does_not_hold_the_lock(
    terminal: Terminal, app: App, pid: str
) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as bystander:
        number = pid.format(pid=bystander.pid)
        with held_by_somebody(app, f'{{"doing": "a backup", "pid": {number}}}'):
            printed = terminal.types("stop", app.package)
        assert is_alive(bystander.pid)
        bystander.kill()

    assert printed.code == 6
    assert "a backup is running, but not by a process this user can see" in printed.err


@pytest.mark.parametrize("record", ["", "nonsense", "[1]", "{}", "{" * 9000])
def test_stop_meets_a_holder_without_a_readable_record(
    terminal: Terminal, app: App, record: str
) -> None:
    with held_by_somebody(app, record):
        printed = terminal.types("stop", app.package)

    assert printed.code == 6
    assert "mistake" not in printed.all


def test_two_that_look_at_a_lock_do_not_take_each_other_for_its_holder(app: App) -> None:
    lock = app.package / "Logs" / DATABASE_LOCK
    lock.parent.mkdir()
    lock.touch()
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # what `status` and the service do for a moment

        assert current_holder(lock) is None
        assert holder_process(lock) is None
    finally:
        os.close(descriptor)


def test_stop_works_while_the_service_hangs_and_is_respected_later(
    terminal: Terminal, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "_SERVICE_PATIENCE_SECONDS", 0.5)
    due_now(terminal, app)

    with serving(terminal, app) as real:
        wait_for_saving(app)
        real.process.send_signal(signal.SIGSTOP)
        printed = terminal.types("stop", app.package)
        real.process.send_signal(signal.SIGCONT)
        real.wait_for("backup stopped (1406)")
        real.wait_for(AWAITING)

        assert real.said().count("backup starts") == 1

    assert printed.code == 0
    assert "the service was not asked" in printed.err
    assert "the backup was stopped" in printed.out
    assert visible(app) == app.hidden() == []


def test_stop_does_not_claim_that_nothing_runs_when_the_service_hangs(
    terminal: Terminal, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "_SERVICE_PATIENCE_SECONDS", 0.5)

    with serving(terminal, app) as real:
        real.process.send_signal(signal.SIGSTOP)
        printed = terminal.types("stop", app.package)

    assert printed.code == 1
    assert "does not answer" in printed.err


def test_stop_works_with_broken_files(terminal: Terminal, app: App) -> None:
    due_now(terminal, app)

    with serving(terminal, app) as real:
        wait_for_saving(app)
        settings_file(app).unlink()
        terminal.service_file.write_text("<Backup4DService>")
        printed = terminal.types("stop", app.package)
        real.wait_for("backup stopped (1406)")

    assert printed.code == 0
    assert "the backup was stopped" in printed.out


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Failed(1406, 130, "stopped by user anna", ""), "the backup was stopped"),
        (Failed(1407, 1, "no disk", ""), "had failed before it could be stopped: no disk"),
        (Published(3, "/srv/data[0003]", 0, "complete", ()), "too late: set 3 was published"),
        (Postponed("nothing changed"), "had ended before it could be stopped"),
    ],
)
def test_stop_says_what_became_of_the_run(
    ending: Failed | Published | Postponed, words: str
) -> None:
    assert words in control_module._ending_words(ending)
