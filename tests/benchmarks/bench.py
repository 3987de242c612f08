"""Where a benchmark works: its folders, its application, the environment of every command, and what it found out."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.data import make_application
from tests.benchmarks.measure import clear, tell
from tests.benchmarks.table import Limit, Sample

MIB = 1 << 20
_LEAST_FREE = 8 << 30  # others work on the same disk


@dataclass(frozen=True, slots=True)
class Result:
    """A work done: samples with their limits, or a table of its own, and what a reader has to know."""

    name: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    notes: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """One start of the program; `store` is where sets and repositories go, on a disk of its own with --fs."""

    work: Path
    store: Path
    runs: int
    data_bytes: int
    given: Path | None = None
    sizes_gib: tuple[float, ...] = (1, 4, 16)
    counts: tuple[int, ...] = (1_000, 10_000, 100_000)
    shares_blocks: bool = False

    @property
    def package(self) -> Path:
        """The application that is given, or the one made at its first use."""
        if self.given is not None:
            return self.given
        made = self.work / "app"
        if not made.exists():
            tell(f"making an application with {self.data_bytes >> 20} MiB of data")
            begun = made.with_suffix(".part")
            make_application(begun, self.data_bytes)
            begun.rename(made)
        return made

    @property
    def environment(self) -> dict[str, str]:
        """Of every command: caches, state and temporary files in the work folder, no questions asked."""
        private = self.work / "private"
        (private / "tmp").mkdir(parents=True, exist_ok=True)
        return os.environ | {
            "HOME": str(private),
            "TMPDIR": str(private / "tmp"),
            "STATE_DIRECTORY": str(private / "state"),
            "RESTIC_PASSWORD": "benchmark",
            "RESTIC_CACHE_DIR": str(private / "restic"),
            "BORG_BASE_DIR": str(private / "borg"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }

    def forget(self, package: Path) -> None:
        """No set, no repository, no memory of either: the next backup of anybody is a first one."""
        clear(self.store)
        clear(self.work / "private")
        self.forget_ours(package)

    def forget_ours(self, package: Path) -> None:
        """The same for backup4d alone; its locks and journals lie in Logs."""
        clear(self.store / "sets")
        clear(self.work / "private" / "state")
        for file in (package / "Logs").glob("*"):
            if file.name.startswith((".backup4d", "Backup Journal")):
                file.unlink()

    @contextmanager
    def own_application(
        self, name: str, make: Callable[[Path], None] | None = None
    ) -> Iterator[Path]:
        """A package for one work alone: a copy of the application, or what `make` makes."""
        folder = self.work / name
        tell(f"making {folder.name}")
        if make is None:
            source = self.package
            subprocess.run(["cp", "-a", "--reflink=auto", source, folder], check=True, timeout=3600)
        else:
            make(folder)
        try:
            self.forget(folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            clear(self.store)


def room_for(folder: Path, size: int) -> bool:
    """Whether so many bytes, and some to spare, are free."""
    return shutil.disk_usage(folder).free > size + _LEAST_FREE
