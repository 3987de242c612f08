"""The inputs that once failed, kept as files: one folder for each target."""

from pathlib import Path

from tests.fuzz import archives, fourd, small_files, sockets
from tests.fuzz.target import Target

CASES = Path(__file__).with_name("cases")


def all_targets() -> tuple[Target, ...]:
    """Everything that is fuzzed."""
    return (*small_files.TARGETS, *archives.TARGETS, *fourd.TARGETS, *sockets.TARGETS)


def cases_of(target: Target) -> list[Path]:
    """What was found with it."""
    folder = CASES / target.name
    return sorted(folder.iterdir()) if folder.is_dir() else []
