"""What the stories about hooks are told with: programs of an administrator, and backups with them around."""

import json
import os
import signal
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.backup import run_backup
from engine.errors import EngineError
from engine.progress import Progress, Report, silent
from engine.request import Request
from engine.results import Outcome
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from settings.paths import PathMap
from settings.service_model import Hook, Hooks
from tests.engine.stories import PARIS, App

PATIENCE = 20.0
# it notes that it is ready before it says so, waits for the end of its input, and notes that, too
GUARD = """
    read -r told
    echo "ready" >> "$1/diary"
    echo ready
    cat > /dev/null
    echo "let go" >> "$1/diary"
"""


HANGS = 'echo $$ > "$1/pid"; echo "waiting for the archive"; exec sleep 1000'


def program(folder: Path, name: str, script: str) -> Path:
    """An executable shell script; `$1` is what a Hook gives it."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}")
    file.chmod(0o755)
    return file


def hook(file: Path, seconds: float = 30, *arguments: str | Path) -> Hook:
    """A program as the service file names it, with its folder as the first argument."""
    given = (str(file.parent), *(str(argument) for argument in arguments))
    return Hook(file, given, timedelta(seconds=seconds))


@dataclass(frozen=True, slots=True)
class Hooked:
    """An application with hooks; each keyword of `with_` is a shell script or a Hook."""

    app: App
    folder: Path
    hooks: Hooks = Hooks()  # noqa: RUF009 - a frozen value

    def with_(self, **kinds: str | Hook) -> "Hooked":
        made = {
            kind: what if isinstance(what, Hook) else hook(program(self.folder, kind, what))
            for kind, what in kinds.items()
        }
        return replace(self, hooks=replace(self.hooks, **made))

    def backup(
        self,
        *,
        scheduled: datetime | None = None,
        report: Report = silent,
        stop: StopRequest | None = None,
    ) -> Outcome:
        around = Surroundings(self.app.clock, stop or StopRequest(), report)
        request = Request(self.app.layout, PathMap(), PARIS, scheduled, hooks=self.hooks)
        return run_backup(request, around)

    def fails(self, **how: Any) -> EngineError:
        """Run a backup that fails and return why; older sets stay, nothing half-made does."""
        before = self.app.sets()
        with pytest.raises(EngineError) as caught:
            self.backup(**how)
        assert self.app.sets() == before
        assert self.app.hidden() == []
        assert f"Error reported : {int(caught.value.code)} {caught.value}" in self.app.journal()
        return caught.value

    def diary(self) -> list[str]:
        """What the programs noted, line by line."""
        file = self.folder / "diary"
        return file.read_text().splitlines() if file.exists() else []

    def told(self, event: str) -> dict[str, Any]:
        """The JSON object that a hook made by `noting` got."""
        document = json.loads((self.folder / f"{event}.json").read_text())
        assert isinstance(document, dict)
        return document

    def environment(self, event: str) -> dict[str, str]:
        """The environment it got."""
        lines = (self.folder / f"{event}.env").read_text().split("\0")
        return dict(line.split("=", 1) for line in lines if line)


def noting(event: str) -> str:
    """A script that writes down all it is told, and then says yes."""
    return f"""
        cat > "$1/{event}.json"
        cp /proc/self/environ "$1/{event}.env"
        pwd > "$1/{event}.pwd"
        echo {event} >> "$1/diary"
    """


def eventually(holds: Callable[[], object]) -> bool:
    """Wait until something outside has happened; False when it does not in time."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return bool(holds())


def lives(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to look does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def read_pid(file: Path) -> int:
    """The process id that a program wrote down."""
    assert eventually(lambda: file.exists() and file.read_text().strip())
    return int(file.read_text())


def end(pid: int) -> None:
    """End what a story started."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Stopper:
    """Somebody who asks for a stop as soon as a file is there."""

    def __init__(self, stop: StopRequest, when: Path) -> None:
        self.phases: list[str] = []
        self._stop, self._when = stop, when

    def __call__(self, progress: Progress) -> None:
        self.phases.append(progress.phase)
        if progress.phase.endswith("hook") and not self._stop.is_asked:
            threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        read_pid(self._when)
        self._stop.ask()
