"""Stories told on a file system of their own: made in a file, mounted where nobody else sees it, gone with the process.

A story is a function of a test module that takes the mount point and texts, and returns what it saw.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Story = Callable[..., dict[str, Any]]
_BYTES = {"ext4": 384 << 20, "xfs": 384 << 20, "btrfs": 512 << 20}
_ON_A_DISK = """
set -e
mount -o "loop,$1" "$2/image" "$2/disk"
mountpoint -q "$2/disk"
shift 2
exec "$@"
"""
_TELL = """
import importlib, json, sys
module, story, *texts = sys.argv[1:]
from pathlib import Path
told = getattr(importlib.import_module(module), story)(Path(texts[0]), *texts[1:])
print(json.dumps(told))
"""


def on_a_disk(
    system: str, story: Story, *texts: str, options: str = "rw", minutes: float = 2
) -> dict[str, Any]:
    """Tell a story there; skips with a reason where no such disk can be made."""
    for tool in ("unshare", "mountpoint", f"mkfs.{system}"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on this machine")
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    with tempfile.TemporaryDirectory(prefix="backup4d-inuse-") as name:
        folder = Path(name)
        (folder / "disk").mkdir()
        (folder / "image").touch()
        os.truncate(folder / "image", _BYTES[system])
        make: list[str | Path] = [f"mkfs.{system}", "-q", folder / "image"]
        subprocess.run(make, check=True, capture_output=True, timeout=60)
        shell: list[str | Path] = ["sh", "-c", _ON_A_DISK, "sh", options, folder]
        python = [sys.executable, "-c", _TELL, story.__module__, story.__name__]
        command: list[str | Path] = ["unshare", "-m", "--propagation", "private", *shell, *python]
        done = subprocess.run(
            [*command, folder / "disk", *texts],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60 * minutes,
        )
    if done.returncode != 0 and done.stderr.startswith(("mount:", "unshare:")):
        pytest.skip(f"no {system} on this machine: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(seen, dict)
    return seen
