"""Where a fault strikes: a story with its own folder, put back as it was for every point.

A story is one noun: how it is made ready, what is done while calls go wrong, and what must hold afterwards.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine.stories import App
from tests.faults.shim import Ended, Fault, in_child

_HERE, _TEMPLATE = "here", "template"


@dataclass(frozen=True, slots=True)
class Scene:
    """A story at its place.

    `here` is where it is told, always the same path, because a set belongs to the path of its data file.
    `disk` is the mount point that can lose power, None when there is none.
    """

    here: Path
    template: Path
    app: App
    story: "Story"
    disk: Path | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Calls below these are counted."""
        return (self.here,)

    @property
    def old_destination(self) -> Path:
        """The backup folder as it was."""
        return self.template / "backups"

    def reset(self) -> None:
        """Everything as it was when the story was made ready, and on the disk."""
        if self.here.exists():
            shutil.rmtree(self.here)
        shutil.copytree(self.template, self.here, symlinks=True)
        if self.disk is not None:
            sync(self.disk)

    def act(self, fault: Fault, folders: tuple[Path, ...] = ()) -> Ended:
        """The story's deed in a child, with this fault."""
        return in_child(lambda: self.story.act(self.app), folders or self.folders, fault)


Act = Callable[[App], dict[str, Any]]
Judge = Callable[[Scene, Ended, Fault], None]


@dataclass(frozen=True, slots=True)
class Story:
    """What is told: `make` prepares the folder, `act` is done under faults, `judge` looks and makes the next run.

    `judge` raises AssertionError with what it found. `failing` names, below the scene's folder, the disks of
    which each once fails for good. A new story is one more value in ALL_STORIES of sweep.py.
    """

    name: str
    make: Callable[[Path], App]
    act: Act
    judge: Judge
    failing: tuple[str, ...] = ("backups", "app/Logs")


def set_scene(story: Story, folder: Path, *, disk: Path | None = None) -> Scene:
    """Make a story ready and keep a copy of it."""
    place = story.name.replace(" ", "-")
    here = (disk or folder) / place / _HERE
    here.mkdir(parents=True)
    app = story.make(here)
    template = folder / place / _TEMPLATE
    shutil.copytree(here, template, symlinks=True)
    return Scene(here, template, app, story, disk)


def sync(disk: Path) -> None:
    """Everything of a file system is on its disk."""
    subprocess.run(["sync", "-f", disk], check=True, timeout=60, env=plain_environment())


def plain_environment() -> dict[str, str]:
    """The environment without the library: judges are not disturbed."""
    return {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}


# --- what is on the disk --------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; the paths are relative to it."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}
