"""Whether the disk of a folder answers at all: a backup folder that hangs is refused, not waited for."""

import os
import threading
from contextlib import suppress
from pathlib import Path

from engine.errors import DestinationError
from engine.stop import StopRequest

# a disk that spins up, or a network mount made on demand, has this long
ANSWER_SECONDS = 60
_GLANCE_SECONDS = 10
_LOOKS_A_SECOND = 5


def require_answer(folder: Path, stop: StopRequest, seconds: float = ANSWER_SECONDS) -> None:
    """Wait for an answer of its disk. Raises DestinationError when none comes in time, StoppedError."""
    if not answers(folder, seconds, stop):
        raise DestinationError(
            f"the backup folder {folder} does not answer: it was asked for {seconds:.0f} s",
            hint="nothing was written; is its disk or network away? mount it anew, or wait until it is back",
        )


def answers(
    folder: Path, seconds: float = _GLANCE_SECONDS, stop: StopRequest | None = None
) -> bool:
    """Whether it says something in time, be it an error. Raises StoppedError.

    The thread that asks a disk that hangs is left to it; it ends with the process.
    """
    answered = threading.Event()

    def look() -> None:
        with suppress(OSError):
            os.statvfs(folder)
        with suppress(OSError):
            folder.stat()
        answered.set()

    threading.Thread(target=look, name="answer", daemon=True).start()
    for _ in range(max(1, int(seconds * _LOOKS_A_SECOND))):
        if answered.wait(1 / _LOOKS_A_SECOND):
            return True
        if stop is not None:
            stop.check()
    return False


def answers_with(folder: Path, name: str) -> bool:
    """Whether it answers, and holds a file of this name; a disk that only answers errors holds none."""
    try:
        return answers(folder) and (folder / name).is_file()
    except OSError:
        return False
