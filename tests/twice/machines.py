"""Machines imitated by namespaces: a name, an identity and an application each, and one backup folder they share.

The application of each lies under the same path. `blind` machines do not see the backup folder's lock of the others,
as on a network disk whose client keeps locks to itself.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.lock import DESTINATION_LOCK
from tests.engine.stories import App, make_app
from tests.scheduler.real import PROGRAM, environment, wait_until

_ENTER = """
set -e
python3 -c 'import socket, sys; socket.sethostname(sys.argv[1])' "$1"
mount --bind "$2/machine-id" /etc/machine-id
mount --bind "$2/app" "$3"
[ -z "$4" ] || mount --bind "$2/lock" "$4"
shift 4
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine; `app` as it is known to all, `own` what lies there on this one."""

    name: str
    home: Path
    app: App
    is_blind: bool

    @property
    def own(self) -> App:
        return App(self.home / "app", self.app.destination, self.app.clock)

    def _command(self, *words: str | Path) -> list[str]:
        lock = str(self.app.destination / DESTINATION_LOCK) if self.is_blind else ""
        enter = ["unshare", "--mount", "--uts", "sh", "-c", _ENTER, "sh", self.name]
        enter += [str(self.home), str(self.app.package), lock]
        state = ["--state-folder", str(self.home / "state")]
        return [*enter, *PROGRAM, *state, *map(str, words)]

    def run(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """One command on this machine, to its end."""
        return subprocess.run(
            self._command(*words),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(),
        )

    def backup(self, *options: str) -> str:
        """One backup on this machine, which must succeed; all that it says."""
        done = self.run("backup", *options, self.app.package)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def frozen_backup(self) -> Iterator["subprocess.Popen[str]"]:
        """One that stands still in the middle of its writing; it lives, and goes on with SIGCONT."""
        before = set(self.app.hidden())
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            self._command("backup", self.app.package),
            stdout=pipe,
            stderr=pipe,
            text=True,
            env=environment(),
        )
        try:
            wait_until(lambda: _is_writing(self.app, before), "it never began to write")
            process.send_signal(signal.SIGSTOP)
            yield process
        finally:
            process.kill()
            process.communicate(timeout=30)


def _is_writing(app: App, before: set[str]) -> bool:
    """So far that it holds no lock of the backup folder any more."""
    new = (app.destination / name for name in set(app.hidden()) - before)
    return any(file.stat().st_size > 1 << 20 for folder in new for file in folder.iterdir())


def go_on(process: "subprocess.Popen[str]") -> str:
    """Let a frozen one end; what it says."""
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out + err


def two_machines(
    folder: Path, changes: Mapping[str, str] | None = None, *, blind: bool = False
) -> tuple[Machine, Machine]:
    """Two with the same path; skips where there are no namespaces."""
    done = subprocess.run(["unshare", "--mount", "--uts", "true"], check=False, capture_output=True)
    if os.geteuid() != 0 or done.returncode != 0 or not Path("/etc/machine-id").exists():
        pytest.skip("machines are imitated by namespaces, which needs root")
    app = make_app(folder, changes)
    (app.destination / DESTINATION_LOCK).touch()
    found = []
    for number, name in enumerate(("north", "south"), 1):
        home = folder / name
        shutil.copytree(app.package, home / "app")
        (home / "machine-id").write_text(f"{number:032x}\n")
        (home / "lock").touch()
        found.append(Machine(name, home, app, blind))
    first, second = found
    return first, second


def fill(app: App, mebibytes: int = 24) -> None:
    """A data file that takes a while to save."""
    app.data_file.write_bytes(os.urandom(1 << 20) * mebibytes)
