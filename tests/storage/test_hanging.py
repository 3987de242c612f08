"""The real service while a disk of one of its databases does not answer: a stopped FUSE process under it."""

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.engine.stories import DESTINATION, App
from tests.scheduler.real import (
    PROGRAM,
    Real,
    application,
    clock_in,
    environment,
    make_big,
    owe,
    serve,
    service_of,
    visible,
    wait_until,
)
from tests.scheduler.served_stories import FREQUENCY, HOUR
from tests.scheduler.test_service_source import look
from tests.storage.disks import Disk, disk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SILENT = "storage does not answer since"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def usb(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "usb") as made:
        yield made


def onto(app: App, folder: Path) -> App:
    """The same with its backup folder there."""
    moved = App(app.package, folder, app.clock)
    folder.mkdir(exist_ok=True)
    return moved.configure({FREQUENCY: "Daily", HOUR: clock_in(1800), DESTINATION: f"{folder}/"})


def asks(state: Path, file: Path, *words: object, seconds: float = 60) -> tuple[int, str]:
    """A command, which must come to its end in time."""
    line = [*PROGRAM, "--service-file", str(file), "--state-folder", str(state)]
    done = subprocess.run(
        [*line, *(str(word) for word in words)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        timeout=seconds,
    )
    return done.returncode, done.stdout


def until_silent(real: Real) -> None:
    """Somebody looks again and again, as the heartbeat does, only sooner."""

    def said() -> bool:
        look(real)
        time.sleep(1)
        return SILENT in real.said()

    wait_until(said, f"never called silent:\n{real.said()}", 120)


def stops_in_time(real: Real) -> None:
    began = time.monotonic()
    assert real.stop(100) == 0, real.said()
    assert time.monotonic() - began < 80


def test_a_backup_folder_that_hangs_stops_nobody_else(
    tmp_path: Path, state: Path, usb: Disk
) -> None:
    one, two = (
        onto(application(tmp_path / "one"), usb.folder / "sets"),
        application(tmp_path / "two"),
    )
    serve(tmp_path / "service.xml", one, two)
    file = tmp_path / "service.xml"

    with service_of(file, state) as real:
        real.wait_for("next backup", times=2)
        usb.hang()
        until_silent(real)

        code, text = asks(state, file, "status")
        assert code == 1
        assert f"{SILENT}" in text
        assert str(usb.folder) in text
        assert asks(state, file, "backup", two.package)[0] == 0
        code, text = asks(state, file, "backup", one.package, seconds=150)
        assert code == 1
        assert f"error 1407: the backup folder {one.destination} does not answer" in text
        code, text = asks(state, file, "backup", "--via-service", one.package)
        assert code == 1
        assert "does not answer" in text
        assert "no backup of this database is running" in asks(state, file, "stop", one.package)[1]
        assert one.journal().count("*** Storage does not answer") == 1
        assert "Traceback" not in real.said()
        stops_in_time(real)

    usb.answer()
    assert visible(two) == ["data[0001]"]


def test_an_application_that_hangs_is_paused_and_caught_up(
    tmp_path: Path, state: Path, usb: Disk
) -> None:
    one = application(usb.folder / "one")
    two = application(tmp_path / "two")
    serve(tmp_path / "service.xml", one, two)
    file = tmp_path / "service.xml"
    owe(one, state)

    with service_of(file, state) as real:
        real.wait_for("published", seconds=120)
        real.wait_for("next backup", times=2)
        usb.hang()
        until_silent(real)
        assert asks(state, file, "backup", two.package)[0] == 0
        tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d %H:%M}"
        code, text = asks(state, file, "pause", one.package, "--until", tomorrow)
        assert code == 0, text
        code, text = asks(state, file, "stop", one.package)
        assert "no backup of this database is running" in text or "does not answer" in text
        code, text = asks(state, file, "status", seconds=90)
        assert code == 1
        assert SILENT in text

        usb.answer()
        real.wait_for("storage answers again")

        wait_until(lambda: "*** Storage answers again" in one.journal(), "not journaled")
        assert one.journal().count("*** Storage does not answer") == 1
        assert real.stop(100) == 0


def test_a_run_that_hangs_is_stopped_by_force_and_the_next_one_works(
    tmp_path: Path, state: Path, usb: Disk
) -> None:
    one, two = (
        onto(application(tmp_path / "one"), usb.folder / "sets"),
        application(tmp_path / "two"),
    )
    make_big(one)
    file = tmp_path / "service.xml"
    serve(file, one, two)

    with service_of(file, state) as real:
        real.wait_for("next backup", times=2)
        backup = subprocess.Popen(
            [
                *PROGRAM,
                "--service-file",
                file,
                "--state-folder",
                state,
                "backup",
                "--via-service",
                one.package,
            ],
            env=environment(),
            stderr=subprocess.DEVNULL,
        )
        behind = usb.behind / "sets"
        wait_until(lambda: list(behind.glob(".backup4d-staging*/*")), "nothing is written")
        usb.hang()
        assert asks(state, file, "backup", two.package)[0] == 0

        code, text = asks(state, file, "stop", one.package, seconds=150)

        # what the kernel has already handed to the disk, nobody can take back
        assert "by force" in text or "cannot be ended by anybody" in text, text
        assert "the run does not stop and is killed" in real.said()
        usb.answer()
        assert backup.wait(60) == 130
        one.data_file.write_bytes(b"small" * 100)
        look(real)
        code, text = asks(state, file, "backup", one.package)
        assert code == 0, text
        assert visible(one) == ["data[0001]"]
        assert one.hidden() == []
        assert "Traceback" not in real.said()
        stops_in_time(real)
