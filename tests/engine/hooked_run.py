"""A backup with hooks in a process of its own, for stories in which it is killed.

    python -m tests.engine.hooked_run PACKAGE REQUEST

REQUEST is a JSON object: for each kind of hook its program, arguments and seconds; `wait` names a file that
is looked for while the data is read: the run goes on when it is there.
"""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.backup import run_backup
from engine.host import HostClock
from engine.progress import Progress
from engine.request import Request
from engine.setwriter import Surroundings
from engine.stop import StopRequest
from settings.locate import locate_database
from settings.paths import PathMap
from settings.service_model import Hook, Hooks
from tests.engine.stories import PARIS


def main() -> None:
    row: dict[str, Any] = json.loads(sys.argv[2])
    hooks = Hooks(
        **{
            kind: Hook(Path(program), tuple(arguments), timedelta(seconds=seconds))
            for kind, (program, arguments, seconds) in row["hooks"].items()
        }
    )
    waits = Path(row["wait"])

    def report(progress: Progress) -> None:
        if progress.phase == "saving":
            Path(f"{waits}.reading").touch()
            while not waits.exists():
                time.sleep(0.02)

    layout = locate_database(Path(sys.argv[1]))
    request = Request(layout, PathMap(), PARIS, None, hooks=hooks)
    run_backup(request, Surroundings(HostClock(), StopRequest(), report))


if __name__ == "__main__":
    main()
