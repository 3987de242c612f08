"""A machine with a real systemd as PID 1, driven from outside as an administrator would from a terminal."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.scheduler.real import wait_until
from tests.systemd.tree import cgroups

_BOOT = Path(__file__).with_name("boot.sh")
_PATIENCE = 60.0
_CGROUP = "backup4d-test-"


@dataclass(frozen=True, slots=True)
class Done:
    """What a command in the machine left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted machine; `pid` is its PID 1 as seen from outside."""

    pid: int

    def path(self, inside: str | Path) -> Path:
        """A path of the machine as seen from outside."""
        return Path(f"/proc/{self.pid}/root", *Path(inside).parts[1:])

    def run(self, *words: str | Path) -> Done:
        """One command as root."""
        enter = ("nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w")
        done = subprocess.run(
            [*enter, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE * 2,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def does(self, *words: str | Path) -> str:
        """One command that must go well; what it prints."""
        done = self.run(*words)
        assert done.code == 0, (words, done.out[-3000:], done.err[-3000:])
        return done.out

    def sh(self, line: str) -> str:
        """A line of shell, as it stands on a page of docs."""
        return self.does("bash", "-euo", "pipefail", "-c", line)

    def backup4d(self, *words: str | Path, user: str = "root") -> Done:
        """The installed program."""
        return self.run("runuser", "-u", user, "--", "/opt/backup4d/bin/backup4d", *words)

    def shown(self, key: str, unit: str = "backup4d") -> str:
        """One property of a unit."""
        return self.does("systemctl", "show", "--value", "-p", key, unit).strip()

    def said(self, unit: str = "backup4d", *more: str) -> str:
        """What the journal has of a unit."""
        self.run("journalctl", "--sync")
        return self.does("journalctl", "-q", "--no-pager", "-o", "cat", "-u", unit, *more)

    def wait_for(self, words: str, unit: str = "backup4d", *, times: int = 1) -> None:
        """Wait until the service has said this."""
        try:
            wait_until(lambda: self.said(unit).count(words) >= times, words)
        except AssertionError:
            raise AssertionError(f"never said {times}x: {words}\n{self.said(unit)}") from None

    def drop_in(self, unit: str, text: str) -> None:
        """As `systemctl edit` writes it."""
        folder = self.path(f"/etc/systemd/system/{unit}.d")
        folder.mkdir(exist_ok=True)
        (folder / "override.conf").write_text(f"[Service]\n{text}\n")
        self.does("systemctl", "daemon-reload")


@contextmanager
def machine(lower: str, place: Path, words: Path) -> Iterator[Machine]:
    """Boot one; nothing of it is left afterwards. `place` is an empty folder, `words` takes its console."""
    top = cgroups()
    assert top is not None
    _forget_the_dead(top)
    cgroup = top / f"{_CGROUP}{os.getpid()}-{place.parent.name}"
    cgroup.mkdir()
    with words.open("wb") as console:
        process = subprocess.Popen(
            ["bash", _BOOT, lower, place, cgroup],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _booted(process, words)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its child, PID 1 of the machine, dies with it
        process.wait(timeout=_PATIENCE)
        _remove_cgroup(cgroup)


def _booted(process: subprocess.Popen[bytes], words: Path) -> Machine:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, words.read_text("utf-8", "replace")
        if pid := _systemd_below(process.pid):
            it = Machine(pid)
            state = it.run("systemctl", "is-system-running").out.strip()
            if state in {"running", "degraded"}:
                return it
        time.sleep(0.05)
    raise AssertionError(f"it never came up: {words.read_text('utf-8', 'replace')}")


def _systemd_below(pid: int) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
            return child
    return None


def _remove_cgroup(cgroup: Path) -> None:
    wait_until(lambda: _removed(cgroup), f"{cgroup} is still in use")


def _removed(cgroup: Path) -> bool:
    folders = sorted((p for p in cgroup.rglob("*") if p.is_dir()), reverse=True)
    for folder in [*folders, cgroup]:
        with suppress(OSError):  # a process in it is not quite dead yet
            folder.rmdir()
    return not cgroup.exists()


def _forget_the_dead(top: Path) -> None:
    """What a test run leaves that was itself killed: an empty cgroup."""
    for cgroup in top.glob(f"{_CGROUP}*"):
        owner = cgroup.name.removeprefix(_CGROUP).split("-")[0]
        if not Path("/proc", owner).exists():
            _removed(cgroup)
