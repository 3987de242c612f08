"""A repair in a process of its own that is killed, really, before the n-th thing it does to the disk or tells.

    python -m tests.engine.dying_repair SET POINT

POINT 0 lets it live and prints the steps as JSON.
"""

import json
import sys
from pathlib import Path

from engine.parity import repair_set
from engine.stop import StopRequest
from tests.engine.dying import Steps


def main() -> None:
    folder, fatal = sys.argv[1:]
    steps = Steps(int(fatal))
    sys.addaudithook(steps.hook)
    repair_set(Path(folder), stop=StopRequest(), report=steps.report)
    print(json.dumps(list(steps.done)))


if __name__ == "__main__":
    main()
