"""What is fuzzed: one reader, what it may be given, and what it may say."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - files of some bytes, written a thousand times a second


@dataclass(frozen=True, slots=True)
class Target:
    """`execute` raises whatever is not documented for the reader; `seeds` are good inputs, `words` of the format."""

    name: str
    execute: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()


@cache
def scratch(name: str) -> Path:
    """A folder of this process for a target, gone when it ends."""
    memory = _MEMORY if _MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix=f"backup4d-fuzz-{os.getpid()}-{name}-", dir=memory))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
