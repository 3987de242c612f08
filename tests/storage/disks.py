"""Disks for these tests: file systems in image files, and one that can be stopped; all in a mount namespace of our own."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

_NEW_MOUNTS = 0x00020000
_REC_PRIVATE = 0x4000 | 0x40000
_LAZY = 2
_LIBRARY = ctypes.CDLL(None, use_errno=True)


@cache
def own_mounts() -> None:
    """From now on what this process and its children mount is theirs alone, and goes with them; skips without root."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    if _LIBRARY.unshare(_NEW_MOUNTS) or _LIBRARY.mount(b"none", b"/", None, _REC_PRIVATE, None):
        pytest.skip(f"no mount namespace: {os.strerror(ctypes.get_errno())}")


def need(*programs: str) -> None:
    """Skip where one is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def command(*words: object) -> None:
    """Run a program of the system; it must succeed."""
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60)


def let_go(folder: Path) -> bool:
    """Unmount at once, whoever still uses it; False when nothing is mounted there."""
    return not _LIBRARY.umount2(os.fsencode(folder), _LAZY)


@contextmanager
def mounted(folder: Path, *words: object) -> Iterator[Path]:
    """Mount something on a folder, as mount(8) is told."""
    own_mounts()
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", *(str(word) for word in words), str(folder)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        pytest.skip(f"this machine does not mount {words}: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        while let_go(folder):
            pass


def image(file: Path, kind: str, size: str, *options: str) -> Path:
    """A file system in a file."""
    need(f"mkfs.{kind}")
    command("truncate", "-s", size, file)
    command(f"mkfs.{kind}", *options, *(["-q"] if kind == "ext4" else []), file)
    return file


@dataclass
class Disk:
    """A folder shown by a process of its own: `folder` is where, `behind` what it shows."""

    folder: Path
    behind: Path
    rules: Path
    process: "subprocess.Popen[bytes]"

    def hang(self) -> None:
        """From now on nothing on it is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def answer(self) -> None:
        """All is answered again."""
        self.process.send_signal(signal.SIGCONT)

    def obey(self, *rules: str) -> None:
        """Errors and delays, in place of those before."""
        new = self.rules.with_suffix(".new")
        new.write_text("".join(f"{rule}\n" for rule in rules))
        new.replace(self.rules)


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """A disk that can be stopped; it answers again and is gone afterwards."""
    own_mounts()
    if not Path("/dev/fuse").exists():
        pytest.skip("no /dev/fuse")
    behind, rules = (
        folder.with_name(f"{folder.name} behind"),
        folder.with_name(f"{folder.name}.rules"),
    )
    folder.mkdir()
    behind.mkdir(exist_ok=True)
    rules.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.passthrough", str(behind), str(folder), str(rules)],
        cwd=Path(__file__).parents[2],
    )
    try:
        _await_mount(folder, process)
        yield Disk(folder, behind, rules, process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(10)
        let_go(folder)


def _await_mount(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 20
    while not os.path.ismount(folder):
        if process.poll() is not None or time.monotonic() > end:
            pytest.skip("this machine mounts no FUSE file system")
        time.sleep(0.02)
