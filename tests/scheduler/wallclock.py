"""The real service under a wall clock that a test moves while it runs; its runs see the same clock.

The service is listened to as systemd would: every look it takes is one word to its notify socket.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.engine.stories import App
from tests.scheduler.real import PROGRAM, Real, environment, saved_state, wait_until

_SOURCE = Path(__file__).with_name("wallclock.c")
_VARIABLE = "WALL_CLOCK_OFFSET"
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Move:
    """The clock showed `before`, and then `after`."""

    before: datetime
    after: datetime


class WallClock:
    """A wall clock of our own, an offset in a file; the machine's clock is never touched."""

    def __init__(self, folder: Path, shows: datetime) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "offset"
        self.moves: list[Move] = []
        self._library = _compiled(folder)
        self._offset = timedelta()
        self.file.write_bytes(bytes(8))
        self.show(shows)

    def now(self) -> datetime:
        """What the clock shows."""
        return datetime.now(UTC) + self._offset

    def move(self, by: timedelta) -> None:
        """Set it ahead, or back."""
        before = self.now()
        self._offset += by
        # one write of one word: nobody sees half of it
        with self.file.open("r+b", buffering=0) as stream:
            stream.write(struct.pack("q", self._offset // _MICROSECOND * 1000))
        self.moves.append(Move(before, before + by))

    def show(self, instant: datetime) -> None:
        """Set it to this instant."""
        self.move(instant - self.now())

    def variables(self) -> dict[str, str]:
        """What makes a process see this clock."""
        return {"LD_PRELOAD": str(self._library), _VARIABLE: str(self.file)}

    def watchers(self) -> list[int]:
        """The processes that see this clock: the service and its runs, however lost they are."""
        mark = f"{_VARIABLE}={self.file}".encode()
        return [int(pid.name) for pid in Path("/proc").glob("[0-9]*") if mark in _variables(pid)]

    def wait_until_alone(self, words: Path) -> None:
        """Wait until they are all gone; one that stays says in the service's words where it stands."""
        try:
            wait_until(lambda: not self.watchers(), "a run outlives its service")
        except AssertionError:
            for pid in self.watchers():
                os.kill(pid, signal.SIGABRT)
            wait_until(lambda: not self.watchers(), "not even SIGABRT ends it")
            pytest.fail(f"a run outlives its service:\n{words.read_text()[-6000:]}")

    def clear(self) -> None:
        """End every process that sees this clock."""

        def gone() -> bool:
            for pid in (left := self.watchers()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait_until(gone, "a process outlives the story")


def _compiled(folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the wall clock of a process cannot be moved")
    library = folder / "wallclock.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)]
    subprocess.run(command, check=True, timeout=60)
    return library


def _variables(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it has just ended, or is another user's
        return []


class Heart:
    """Hears the service's words to systemd, and when they came."""

    def __init__(self) -> None:
        self.beats: list[float] = []
        self._folder = tempfile.TemporaryDirectory(prefix="heart")
        self.address = f"{self._folder.name}/notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while word := self._socket.recv(4096):
            if word.startswith(b"WATCHDOG=1"):
                self.beats.append(time.monotonic())

    def beat_after(self, moment: float, seconds: float) -> float:
        """Wait for a look that ended after the monotonic moment; how long after."""
        wait_until(lambda: self.beats and self.beats[-1] > moment, "the heart stands", seconds)
        return next(beat for beat in self.beats if beat > moment) - moment

    def longest_pause(self) -> float:
        """Seconds between two looks, at most."""
        pairs = zip(self.beats, self.beats[1:], strict=False)
        return max((later - earlier for earlier, later in pairs), default=0.0)

    def stop(self) -> None:
        """Nothing more is heard."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ender:
            ender.sendto(b"", self.address)
        self._thread.join(10)
        self._socket.close()
        self._folder.cleanup()


@dataclass
class Post:
    """What a service is started with, again and again."""

    clock: WallClock
    state_folder: Path
    apps: Sequence[App]
    service_file: Path | None = None
    prefix: Sequence[str] = ()

    def words(self) -> Path:
        """Where all these services log."""
        return self.state_folder.with_name(f"{self.state_folder.name}.log")

    def start(self, **variables: str) -> Real:
        """Start it; whoever starts it ends it, at the latest with `clear` of the clock."""
        options = ["--state-folder", str(self.state_folder)]
        databases = [str(app.package) for app in self.apps]
        if self.service_file is not None:
            options += ["--service-file", str(self.service_file)]
            databases = []
        given = {**self.clock.variables(), "PYTHONFAULTHANDLER": "1", **variables}
        command = [*self.prefix, *PROGRAM, *options, "run", *databases]
        with self.words().open("ab") as stream:
            process = subprocess.Popen(command, stderr=stream, env=environment(**given))
        return Real(process, self.words())

    def is_quiet(self) -> bool:
        """No run is on, none waits, none is to be tried again."""
        states = [saved_state(self.state_folder, app) for app in self.apps]
        return all(state["running"] is None and state["trouble"] is None for state in states)


@dataclass
class OnDuty:
    """A service at its post, and its heart."""

    post: Post
    real: Real
    heart: Heart

    def look(self) -> None:
        """Make it look now, twice: the second look began after this call."""
        for _ in range(2):
            asked = time.monotonic()
            self.real.process.send_signal(signal.SIGHUP)
            self.heart.beat_after(asked, 30)

    def kill(self) -> None:
        """SIGKILL, and its runs are gone, too."""
        self.real.process.kill()
        self.real.process.wait(30)
        self.post.clock.wait_until_alone(self.post.words())


@contextmanager
def on_duty(post: Post) -> Iterator[OnDuty]:
    """The service while the block lasts; every process of it is gone afterwards, whatever happens."""
    heart = Heart()
    real = post.start(NOTIFY_SOCKET=heart.address)
    try:
        wait_until(lambda: heart.beats or real.process.poll() is not None, "it never starts")
        assert real.process.poll() is None, real.said()
        yield OnDuty(post, real, heart)
        assert real.process.poll() in {None, 0, -signal.SIGKILL}, real.said()
    finally:
        real.process.kill()
        real.process.wait(30)
        post.clock.clear()
        heart.stop()
