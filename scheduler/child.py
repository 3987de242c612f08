"""A run in a process of its own, seen from the service: start it, follow it, stop it."""

import json
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from subprocess import Popen  # noqa: TID251 - the type only; engine.host starts it
from typing import Any, Generic, TypeVar

from engine.errors import Code, Exit
from engine.host import Clock, start_process
from engine.progress import Progress
from scheduler.outcomes import Failed
from scheduler.runner_request import HELD

_LINE_LIMIT = 1 << 20
E = TypeVar("E")


class Child(Generic[E]):
    """One run. `done` is called once from another thread, with how it ended; `read` makes that of the last line.

    `progress` is None before its first word; `verdict` says why it was given up, None while it was not;
    `is_killed` when it was ended by force; `is_dead_silent` when it died without a word of how it ended.
    """

    def __init__(
        self,
        request: dict[str, Any],
        read: Callable[[dict[str, Any]], E],
        done: Callable[[E | Failed], None],
        clock: Clock,
    ) -> None:
        self.progress: Progress | None = None
        self.verdict: str | None = None
        self.is_killed = False
        self.is_dead_silent = False
        self._read = read
        self._done = done
        self._clock = clock
        self._began = self._moved = self._given_up = clock.monotonic()
        self._process = start_process([sys.executable, "-P", "-m", "scheduler.runner"], held=HELD)
        assert self._process.stdin is not None  # noqa: S101 - start_process made the pipe
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode("ascii"))
            self._process.stdin.close()
        threading.Thread(target=self._follow, name="follow", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def seconds(self) -> float:
        """How long it is on."""
        return self._clock.monotonic() - self._began

    def seconds_without_progress(self) -> float:
        """How long it has told nothing new."""
        return self._clock.monotonic() - self._moved

    def seconds_since_verdict(self) -> float:
        """How long ago it was given up or told to stop."""
        return self._clock.monotonic() - self._given_up

    def stop(self) -> None:
        """The service stops, or something else goes first: the run undoes what is half-made and ends."""
        self._given_up = self._clock.monotonic()
        self._send(signal.SIGTERM)

    def stop_for_user(self) -> None:
        """A person wants it to stop: 4D's error 1406."""
        self._given_up = self._clock.monotonic()
        self._send(signal.SIGINT)

    def stop_as_hung(self, why: str) -> None:
        """It is given up, as a failed attempt."""
        self.verdict, self._given_up = why, self._clock.monotonic()
        self._send(signal.SIGUSR1)

    def kill(self) -> None:
        """End it at once; the next run cleans up. One that hangs in the kernel ends when the kernel lets it."""
        self.is_killed = True
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _follow(self) -> None:
        ending: E | None = None
        assert self._process.stdout is not None  # noqa: S101 - start_process made the pipe
        while line := self._process.stdout.readline(_LINE_LIMIT):
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                if "progress" in row:
                    phase, done, total = row["progress"]
                    self._take(Progress(str(phase), int(done), int(total)))
                else:
                    ending = self._read(row)
        code = self._process.wait()
        self._process.stdout.close()
        self.is_dead_silent = ending is None
        self._done(_died(self._process, code) if ending is None else ending)

    def _take(self, progress: Progress) -> None:
        if progress != self.progress:
            self.progress, self._moved = progress, self._clock.monotonic()


def _died(process: "Popen[bytes]", code: int) -> Failed:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return Failed(
        Code.BACKUP_FAILED,
        Exit.FAILED,
        f"the process of the run ({process.pid}) {how} before it was done",
        "the next run removes what it left; see the system's log for the reason",
    )
