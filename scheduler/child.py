"""A run in a process of its own, seen from the service: start it, follow it, stop it."""

import json
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from subprocess import Popen  # noqa: TID251 - the type only; engine.host starts it
from typing import Any

from engine.errors import Code, Exit
from engine.host import start_process
from engine.progress import Progress
from scheduler.outcomes import Ending, Failed, ending_from_json

_LINE_LIMIT = 1 << 20


class Child:
    """One run. `done` is called once from another thread, with how it ended."""

    def __init__(self, request: dict[str, Any], done: Callable[["Child", Ending], None]) -> None:
        self.progress: Progress | None = None
        self._done = done
        self._process = start_process([sys.executable, "-P", "-m", "scheduler.runner"])
        assert self._process.stdin is not None  # noqa: S101 - start_process made the pipe
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode("ascii"))
            self._process.stdin.close()
        threading.Thread(target=self._follow, name="follow", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self) -> None:
        """Ask the run to stop; it undoes what is half-made and ends."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; the next run cleans up."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def _follow(self) -> None:
        ending: Ending | None = None
        assert self._process.stdout is not None  # noqa: S101 - start_process made the pipe
        while line := self._process.stdout.readline(_LINE_LIMIT):
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                if "progress" in row:
                    phase, done, total = row["progress"]
                    self.progress = Progress(str(phase), int(done), int(total))
                else:
                    ending = ending_from_json(row)
        code = self._process.wait()
        self._process.stdout.close()
        self._done(self, ending or _died(self._process, code))


def _died(process: "Popen[bytes]", code: int) -> Failed:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return Failed(
        Code.BACKUP_FAILED,
        Exit.FAILED,
        f"the process of the run ({process.pid}) {how} before it was done",
        "the next run removes what it left; see the system's log for the reason",
    )
