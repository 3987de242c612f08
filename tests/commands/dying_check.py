"""An opening check in a process of its own that is killed, really, before the n-th thing it does to the disk.

    python -m tests.commands.dying_check POINT WORDS...

POINT 0 lets it live and prints the steps as JSON on the last line.
"""

import json
import sys

from scheduler.cli import main
from tests.engine.dying import Steps


def run() -> None:
    _, fatal, *words = sys.argv
    steps = Steps(int(fatal))
    sys.argv = ["backup4d", *words]
    sys.addaudithook(steps.hook)
    try:
        main()
    finally:
        print(json.dumps(list(steps.done)))


if __name__ == "__main__":
    run()
