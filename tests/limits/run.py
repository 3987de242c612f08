"""All that is large, with a line for each command: `python -m tests.limits.run STORY [COUNT] [--work FOLDER]`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from tests.engine.stories import App
from tests.limits.scale import (
    application,
    cost,
    long_history,
    make_deep,
    make_files,
    make_sparse,
    many_applications,
    multiply_sets,
    room,
    service_file,
)
from tests.limits.stories import whole_life

_GIB = 1 << 30


def files(folder: Path, count: int) -> None:
    """So many small files."""
    app = application(folder)
    make_files(app.package / "Resources", count)
    whole_life(folder, app, compare=False)


def deep(folder: Path, depth: int) -> None:
    """Folders in folders."""
    app = application(folder)
    make_deep(app.package / "Resources", depth)
    whole_life(folder, app, compare=False)


def sparse(folder: Path, size: int) -> None:
    """One file of so many GiB with a thousand pieces of data."""
    app = application(folder)
    make_sparse(app.package / "Resources" / "large", size * _GIB, 1000)
    whole_life(folder, app, compare=False)


def extents(folder: Path, pieces: int) -> None:
    """One file with so many pieces of data, a hole of 4 KiB after each."""
    app = application(folder)
    make_sparse(app.package / "Resources" / "pieces", pieces * 8192, pieces)
    whole_life(folder, app, compare=False)


def sets(folder: Path, count: int) -> None:
    """A backup folder with so many sets."""
    app = _saved(folder)
    multiply_sets(app, count)
    for what in ("list", "show", "status", "backup"):
        cost(what, folder, what, app.package)
    app.configure({"Advanced/SetNumber/Value": str(count // 2)})
    cost("backup, half of the sets removed", folder, "backup", app.package)


def history(folder: Path, events: int) -> None:
    """A history with a tenth as many sets as events."""
    app = _saved(folder)
    long_history(app, events // 10, events)
    for what in ("list", "status", "backup", "backup"):
        cost(what, folder, what, app.package)


def journal(folder: Path, mebibytes: int) -> None:
    """A Backup journal that nobody rolled over, with holes."""
    app = _saved(folder)
    file = app.package / "Logs" / "Backup Journal[001].txt"
    with file.open("r+b") as stream:
        stream.truncate(mebibytes << 20)
    for what in ("list", "status", "backup", "backup"):
        cost(what, folder, what, app.package)


def databases(folder: Path, count: int) -> None:
    """A service file with so many databases."""
    packages = many_applications(folder, count)
    service_file(folder, packages)
    cost("status", folder, "status")
    cost("schedule", folder, "schedule")


def _saved(folder: Path) -> App:
    app = application(folder, {"Advanced/SetNumber/Enable": "False"})
    cost("first backup", folder, "backup", app.package)
    return app


STORIES: dict[str, tuple[Callable[[Path, int], None], int]] = {
    "files": (files, 1_000_000),
    "deep": (deep, 5_000),
    "sparse": (sparse, 100),
    "extents": (extents, 1_000_000),
    "sets": (sets, 10_000),
    "history": (history, 100_000),
    "journal": (journal, 4096),
    "databases": (databases, 1_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("story", choices=STORIES)
    parser.add_argument("count", type=int, nargs="?")
    parser.add_argument("--work", type=Path, help="where to work; in memory by default")
    options = parser.parse_args()
    story, usual = STORIES[options.story]
    with room(options.work) as folder:
        story(folder, options.count or usual)


if __name__ == "__main__":
    main()
