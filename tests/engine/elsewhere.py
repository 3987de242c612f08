"""Stories told in a process of their own: as an ordinary user, or with a small disk nobody else sees.

A story is a function of a test module that takes a folder and prints what it saw as JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Story = Callable[[Path], dict[str, Any]]
_NOBODY = 65534
_ROOT = Path(__file__).parents[2]
# everything is imported before the rights are given up: the interpreter may lie where only root can read
_AS_ORDINARY_USER = """
import importlib, json, os, sys
from pathlib import Path
module, story, folder = sys.argv[1:]
story = getattr(importlib.import_module(module), story)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(json.dumps(story(Path(folder))))
"""
_ON_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size="$1",mode=777 none "$2/disk"
exec "$3" -c "$4" "$5" "$6" "$2"
"""
_PLAIN = """
import importlib, json, sys
from pathlib import Path
module, story, folder = sys.argv[1:]
print(json.dumps(getattr(importlib.import_module(module), story)(Path(folder))))
"""


def as_ordinary_user(story: Story) -> dict[str, Any]:
    """Tell a story as somebody whom file modes bind; root becomes nobody for it."""
    with _open_folder() as folder:
        return _tell(
            [sys.executable, "-c", _AS_ORDINARY_USER, story.__module__, story.__name__, folder]
        )


def on_a_small_disk(story: Story, size: str) -> dict[str, Any]:
    """Tell a story with a disk of that size at `disk` below its folder, gone with the process."""
    with _open_folder() as folder:
        (folder / "disk").mkdir()
        unshare = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "--propagation", "private"]
        probe = subprocess.run(
            [*unshare, "mount", "-t", "tmpfs", "none", folder / "disk"],
            capture_output=True,
            check=False,
        )
        if probe.returncode != 0:
            pytest.skip(f"no mount of its own on this machine: {probe.stderr.decode().strip()}")
        shell = ["sh", "-c", _ON_A_SMALL_DISK, "sh", size, folder, sys.executable, _PLAIN]
        return _tell([*unshare, *shell, story.__module__, story.__name__])


@contextmanager
def _open_folder() -> Iterator[Path]:
    """A folder anybody may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        yield folder


def _tell(command: list[Any]) -> dict[str, Any]:
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert isinstance(seen, dict)
    return seen
