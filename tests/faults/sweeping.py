"""Sweeps as tests start them: a process with the library, on a disk in memory where there is one."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.power import DISK, IMAGE
from tests.faults.shim import compiler

_ROOT = Path(__file__).parents[2]
_MEMORY = Path("/dev/shm")  # noqa: S108 - a flush costs nothing there, and kills lose nothing that was written
_IMAGES = {"ext4": 64 << 20, "xfs": 320 << 20}
_ON_A_DISK = 'mount -o loop "$1" "$2" && shift 2 && LD_PRELOAD="$1" && export LD_PRELOAD && shift && exec "$@"'
_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Sweep:
    """Starts sweeps with one library, and says what they found."""

    library: Path

    def run(self, stories: Sequence[str], kind: str, *, most: int = 0, planted: str = "") -> Any:
        """Sweep these stories; the findings, which are also printed."""
        with _place() as folder:
            command = _command(stories, kind, folder, most, planted)
            found = _run(command, LD_PRELOAD=str(self.library))
        return _told(f"{kind} in {', '.join(stories)}", found)

    def run_on(
        self, system: str, stories: Sequence[str], *, most: int = 0, planted: str = ""
    ) -> Any:
        """The same with power cuts, on a file system of its own."""
        with _place() as folder:
            (folder / DISK).mkdir()
            _make_image(folder / IMAGE, system)
            inner = _command(stories, "power", folder, most, planted)
            around = ["unshare", "-m", "--propagation", "private", "sh", "-c", _ON_A_DISK, "sh"]
            found = _run([*around, folder / IMAGE, folder / DISK, self.library, *inner])
        return _told(f"power cuts on {system} in {', '.join(stories)}", found)


def needs_a_compiler() -> None:
    """Skip with a reason."""
    if compiler() is None:
        pytest.skip(
            "no C compiler on this machine: the library that makes calls fail cannot be made"
        )


def needs_disks_of_its_own(system: str) -> None:
    """Skip with a reason."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk and cut its power")
    for tool in ("unshare", f"mkfs.{system}"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on this machine")


def _command(
    stories: Sequence[str], kind: str, folder: Path, most: int, planted: str
) -> list[str | Path]:
    program = [sys.executable, "-m", "tests.faults.sweep"]
    return [*program, "+".join(stories), kind, folder, str(most), planted]


@contextmanager
def _place() -> Iterator[Path]:
    memory = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="backup4d-faults-", dir=memory) as name:
        yield Path(name).resolve()


def _make_image(image: Path, system: str) -> None:
    image.touch()
    os.truncate(image, _IMAGES[system])
    subprocess.run([f"mkfs.{system}", "-q", image], check=True, capture_output=True, timeout=60)


def _run(command: Sequence[str | Path], **variables: str) -> dict[str, Any]:
    done = subprocess.run(
        command,
        cwd=_ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode != 0 and done.stderr.startswith(("mount:", "unshare:")):
        pytest.skip(f"no disk of its own on this machine: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def _told(what: str, found: dict[str, Any]) -> dict[str, Any]:
    points = sum(found["counts"].values())
    each = 1000 * found["seconds"] / max(points, 1)
    print(f"\n{what}: {points} points, {len(found['faults'])} faults, {each:.0f} ms a point")
    for name, count in found["counts"].items():
        print(f"    {name:<36}{count:>5}")
    return found


def assert_sound(found: dict[str, Any], *, least: int) -> None:
    """Enough points, and nothing wrong at any of them."""
    assert sum(found["counts"].values()) >= least, found["counts"]
    assert not found["faults"], "\n".join(found["faults"])
