"""What only a process of its own can show: Ctrl-C, a closed pipe, the demo from its first line to its last."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.commands.terminal import application
from tests.engine.stories import App
from tests.scheduler.real import PROGRAM, environment, make_big, visible, wait_until


@pytest.fixture
def app(tmp_path: Path) -> App:
    return application(tmp_path)


def writes(app: App) -> bool:
    return any("staging" in name for name in app.hidden())


def stopped_by(app: App, number: signal.Signals) -> tuple[int, str]:
    """A backup of a big data file that gets a signal while it writes."""
    make_big(app)
    command = [*PROGRAM, "backup", str(app.package)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        wait_until(lambda: writes(app), "the backup never began to write")
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    return process.returncode, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_backup_is_130_and_nothing_half_made_remains(
    app: App, number: signal.Signals
) -> None:
    code, err = stopped_by(app, number)

    assert code == 130
    assert "error 1406" in err
    assert "Traceback" not in err
    assert visible(app) == []
    assert app.hidden() == []
    assert "Error reported : 1406" in app.journal()


def test_a_reader_that_goes_away_is_no_traceback(app: App) -> None:
    app.backup()
    reader, writer = os.pipe()
    os.close(reader)

    command = [*PROGRAM, "show", str(app.package)]
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, env=environment(), check=False
    )
    os.close(writer)

    assert done.returncode != 0
    assert b"Traceback" not in done.stderr


def test_output_that_cannot_be_written_is_no_success(app: App) -> None:
    app.backup()

    with Path("/dev/full").open("wb") as full:
        command = [*PROGRAM, "list", str(app.package), "--json"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, env=environment(), check=False
        )

    assert done.returncode != 0
    assert b"mistake in backup4d" not in done.stderr


def test_the_demo_shows_the_whole_job_and_leaves_nothing_behind(tmp_path: Path) -> None:
    began = time.monotonic()
    command = [*PROGRAM, "demo", "--remove"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment(TMPDIR=str(tmp_path)),
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    assert "verified: every byte" in done.stdout
    assert ": all equal" in done.stdout
    assert "*** Full Backup" in done.stdout
    assert "stopped" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert services_in(tmp_path) == []


def test_a_stopped_demo_stops_its_service_and_removes_its_folder(tmp_path: Path) -> None:
    command = [*PROGRAM, "demo", "--remove"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(TMPDIR=str(tmp_path)),
    ) as process:
        wait_until(lambda: services_in(tmp_path), "the demo never started its service")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert process.returncode == 130
    assert services_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def services_in(folder: Path) -> list[str]:
    """The command lines of services that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"run" in words and any(os.fsencode(folder) in word for word in words):
            found.append(b" ".join(words).decode())
    return found
