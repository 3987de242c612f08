"""Commands while a run is on: each works, or is refused with error 1417 in clear words, and nothing is lost."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands.live import client, serving, wait_for_saving
from tests.commands.terminal import Printed, Terminal
from tests.engine.stories import App, verified
from tests.scheduler.real import owe, wait_until
from tests.twice.machines import fill

LOCKED = 6


@contextmanager
def frozen_backup(terminal: Terminal, app: App) -> Iterator["subprocess.Popen[str]"]:
    """A backup by hand that stands still in the middle of its writing, and lives."""
    fill(app, 32)
    with client(terminal, "backup", app.package) as process:
        wait_for_saving(app)
        process.send_signal(signal.SIGSTOP)
        yield process


def go_on(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


def assert_refused(said: Printed, what: str) -> None:
    assert said.code == LOCKED, said.all
    assert "1417" in said.err
    assert f"{what} cannot start: a backup is running since" in said.err
    assert "what to do: wait for it to end" in said.err


def assert_whole(app: App, names: list[str]) -> None:
    assert app.sets() == names
    assert all(verified(app.destination / name).good for name in names)
    assert app.hidden() == []


def test_what_only_reads_goes_on_beside_a_backup(
    terminal: Terminal, app: App, tmp_path: Path
) -> None:
    app.backup()

    with frozen_backup(terminal, app) as process:
        for words in (
            ("list", app.package),
            ("show", app.package),
            ("verify", app.package),
            ("diff", app.package),
            ("drill", app.package, "--scratch", tmp_path),
            ("repair", app.destination / "data[0001]"),
            ("restore", app.package, "--to", tmp_path / "beside"),
            ("settings", "show", app.package),
            ("settings", "set", app.package, "Scheduler/Daily/Hour", "04:00:00"),
            ("schedule", app.package),
        ):
            said = terminal.types(*words)
            assert said.code in (0, 1), (words, said.all)
            assert "1417" not in said.all, (words, said.all)
        assert "running     a backup" in terminal.types("status", app.package).out
        go_on(process)

    assert_whole(app, ["data[0001]", "data[0002]"])


def test_a_second_backup_is_refused_while_one_is_on(terminal: Terminal, app: App) -> None:
    with frozen_backup(terminal, app) as process:
        assert_refused(terminal.types("backup", app.package), "a backup")
        go_on(process)

    assert_whole(app, ["data[0001]"])
    assert app.journal().count("Creating archive") == 1


def test_a_restore_in_place_is_refused_while_a_backup_is_on(terminal: Terminal, app: App) -> None:
    app.backup()

    with frozen_backup(terminal, app) as process:
        content = app.data_file.read_bytes()
        refused = terminal.types("restore", app.package, "--in-place")
        assert_refused(refused, "a restore in place")
        assert app.data_file.read_bytes() == content
        go_on(process)

    assert_whole(app, ["data[0001]", "data[0002]"])


@pytest.mark.slow
def test_an_open_check_that_must_restore_waits_for_no_backup(terminal: Terminal, app: App) -> None:
    app.backup()

    with frozen_backup(terminal, app) as process:
        said = terminal.types("open-check", app.package)
        assert "Traceback" not in said.all
        go_on(process)

    assert_whole(app, ["data[0001]", "data[0002]"])


@pytest.mark.slow
def test_a_backup_by_hand_joins_or_is_refused_beside_a_scheduled_one(
    terminal: Terminal, app: App
) -> None:
    fill(app, 32)
    owe(app, terminal.state)

    with serving(terminal, app) as real:
        run = real.wait_for_child()
        wait_for_saving(app)
        os.kill(run, signal.SIGSTOP)
        asked = terminal.types("backup", app.package)
        os.kill(run, signal.SIGCONT)
        real.wait_for("published in")

    assert asked.code == LOCKED, asked.all
    assert "1417" in asked.err
    assert_whole(app, ["data[0001]"])


@pytest.mark.slow
def test_a_scheduled_backup_gives_way_to_one_by_hand_and_is_not_forgotten(
    terminal: Terminal, app: App
) -> None:
    with frozen_backup(terminal, app) as process:
        owe(app, terminal.state)
        with serving(terminal, app) as real:
            real.wait_for("a manual backup is running since")
            go_on(process)
            real.wait_for("next backup", seconds=90)

    assert_whole(app, ["data[0001]", "data[0002]"])
    assert "Scheduled backup missed" in app.journal()


@pytest.mark.slow
@pytest.mark.parametrize("words", [("backup",), ("restore", "--in-place")])
def test_a_restore_and_all_else_do_not_run_at_once(
    terminal: Terminal, app: App, words: tuple[str, ...]
) -> None:
    fill(app, 64)
    app.backup()
    room = app.package.parent

    with client(terminal, "restore", app.package, "--in-place") as process:
        wait_until(lambda: list(room.rglob(".backup4d-restoring-*/**/*.4DD")), "it never began")
        process.send_signal(signal.SIGSTOP)
        said = terminal.types(words[0], app.package, *words[1:])
        assert said.code == LOCKED, said.all
        assert "cannot start: a restore in place is running since" in said.err
        go_on(process)

    assert_whole(app, ["data[0001]"])
