"""The real service in a process of its own, as systemd starts it: its words, its children, its end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from scheduler.known import watch
from scheduler.state import State, save_state, state_file
from settings.reader import load_settings
from settings.writeback import write_setting
from tests.engine.stories import COMPRESSION, App, make_app
from tests.scheduler.served_stories import AFTER_FAILURE, FREQUENCY, HOUR

PATIENCE = 30.0
PROGRAM = [sys.executable, "-P", "-m", "scheduler"]
BIG = 96 << 20
_FEW_LETTERS = bytes(97 + byte % 16 for byte in range(256))


def visible(app: App) -> list[str]:
    """The sets one can see in the backup folder."""
    return sorted(p.name for p in app.destination.iterdir() if p.name[0] != "." and p.is_dir())


def clock_in(seconds: int) -> str:
    """The wall clock of UTC so many seconds from now, as the settings write it."""
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%H:%M:%S}"


def application(folder: Path) -> App:
    """An application whose nightly slot is half an hour away, with a retry after two seconds."""
    folder.mkdir(exist_ok=True)
    return make_app(folder, _nightly(clock_in(1800)))


def reschedule(app: App, hour: str) -> None:
    app.configure(_nightly(hour))


def _nightly(hour: str) -> dict[str, str]:
    return {FREQUENCY: "Daily", HOUR: hour, AFTER_FAILURE: "00:00:02", COMPRESSION: "Compact"}


def make_big(app: App) -> None:
    """A data file that takes seconds to save: compressible, and compressed as small as possible."""
    part = os.urandom(8 << 20).translate(_FEW_LETTERS)
    with app.data_file.open("wb") as stream:
        for number in range(BIG // len(part)):
            stream.write(part[number:] + part[:number])
    write_setting(app.layout.settings_file, "CompressionRate", "Compact")


def owe(app: App, state_folder: Path, *, minutes: int = 30) -> None:
    """Let a slot have passed while the service was away, so that a run is due when it starts."""
    now = datetime.now(UTC)
    reschedule(app, f"{now - timedelta(minutes=minutes):%H:%M:%S}")
    settings = load_settings(app.layout.settings_file).settings
    since = now - timedelta(minutes=minutes + 5)
    known = watch(settings.schedule, settings.retry, ZoneInfo("UTC"), since)
    save_state(state_file(state_folder, app.data_file), State(str(app.package), known))


def wait_until(claim: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for something to become true, looking often."""
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@dataclass
class Real:
    """A running service."""

    process: subprocess.Popen[bytes]
    words: Path

    def said(self) -> str:
        return self.words.read_text("utf-8", "replace")

    def wait_for(self, words: str, *, times: int = 1, seconds: float = PATIENCE) -> None:
        def claim() -> bool:
            return self.said().count(words) >= times or self.process.poll() is not None

        wait_until(claim, f"never said {words!r} {times} times:\n{self.said()}", seconds)
        assert self.said().count(words) >= times, self.said()

    def children(self) -> list[int]:
        """The processes of its runs."""
        try:
            task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            return [int(pid) for pid in task.read_text().split()]
        except OSError:
            return []

    def wait_for_child(self) -> int:
        wait_until(self.children, f"no run was started:\n{self.said()}")
        return self.children()[0]

    def stop(self, seconds: float = PATIENCE) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def is_alive(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def environment(**variables: str) -> dict[str, str]:
    """What every process of these tests is given: the zone UTC, nothing of systemd."""
    wanted = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_CONFIG")  # the last for `coverage run`
    kept = {name: os.environ[name] for name in wanted if name in os.environ}
    return {**kept, "TZ": "UTC", "PYTHONWARNINGS": "error", **variables}


@contextmanager
def service(state_folder: Path, *apps: App, **variables: str) -> Iterator[Real]:
    """The service on these applications; it is gone afterwards, whatever happens."""
    command = [*PROGRAM, "--state-folder", str(state_folder), "run"]
    command += [str(app.package) for app in apps]
    with _running(command, state_folder, variables) as real:
        yield real


@contextmanager
def service_of(file: Path, state_folder: Path, **variables: str) -> Iterator[Real]:
    """The same with a service file that says what is served."""
    command = [*PROGRAM, "--service-file", str(file), "--state-folder", str(state_folder), "run"]
    with _running(command, state_folder, variables) as real:
        yield real


def serve(file: Path, *apps: App, more: str = "") -> None:
    """Write a service file that lists these applications."""
    rows = "".join(f"<Database><Package>{app.package}</Package></Database>" for app in apps)
    file.write_text(
        f"<Backup4DService><TimeZone>UTC</TimeZone><Databases>{rows}</Databases>{more}</Backup4DService>"
    )


@contextmanager
def _running(command: list[str], state_folder: Path, variables: dict[str, str]) -> Iterator[Real]:
    words = state_folder.with_name(f"{state_folder.name} {time.monotonic_ns()}.log")
    with words.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, env=environment(**variables))
    real = Real(process, words)
    try:
        yield real
    finally:
        runs = real.children()
        process.kill()
        process.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in runs), "a run outlives its service")


def saved_state(state_folder: Path, app: App) -> dict[str, object]:
    row = json.loads(state_file(state_folder, app.data_file).read_text())
    assert isinstance(row, dict)
    return row
