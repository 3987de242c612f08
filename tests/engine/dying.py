"""A backup in a process of its own that is killed, really, at the n-th thing it does to the disk or tells.

    python -m tests.engine.dying PACKAGE START POINT [FORMAT]

START is the instant of the run, POINT the number of the step before which SIGKILL comes; 0 lets it live
and prints the steps as JSON. Steps are counted with an audit hook: nothing of the program is changed.
"""

import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.backup import run_backup
from engine.progress import Progress
from engine.request import Request
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from settings.locate import locate_database
from settings.paths import PathMap
from settings.service_model import ArchiveFormat
from tests.engine.stories import PARIS
from tests.fakes import StoryClock

_WRITING = os.O_WRONLY | os.O_RDWR
_NAMES = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"})


class Steps:
    """The steps done so far; the process does not survive the fatal one."""

    def __init__(self, fatal: int) -> None:
        self.fatal = fatal
        self.done: list[str] = []

    def step(self, what: str) -> None:
        self.done.append(what)
        if len(self.done) == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _NAMES:
            self.step(f"{event} {_last(arguments[0])}")
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            self.step(f"open {_last(arguments[0])}")

    def report(self, progress: Progress) -> None:
        self.step(progress.phase)


def _last(path: object) -> str:
    if not isinstance(path, str | bytes | os.PathLike):
        return ""
    return Path(os.fsdecode(path)).name


def main() -> None:
    package, start, fatal, *rest = sys.argv[1:]
    archives = ArchiveFormat(*rest) if rest else ArchiveFormat.TAR
    steps = Steps(int(fatal))
    clock = StoryClock(datetime.fromisoformat(start))
    request = Request(locate_database(Path(package)), PathMap(), PARIS, None, archives=archives)
    sys.addaudithook(steps.hook)
    run_backup(request, Surroundings(clock, StopRequest(), steps.report))
    done = list(steps.done)
    print(json.dumps(done))


if __name__ == "__main__":
    main()
