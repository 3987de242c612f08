"""A backup that is killed while par2 works for it."""

import os
import signal
import sys
from pathlib import Path

from engine.progress import Progress
from tests.engine.stories import App
from tests.fakes import StoryClock


def die(progress: Progress) -> None:
    if "recovery data" in progress.phase:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    App(folder / "app", folder / "backups", StoryClock()).backup(report=die)
