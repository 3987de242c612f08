"""Restores one set in a process of its own and says what came of it and what it took: sentence, seconds, MiB.

Called as `hostile_child.py WAY SET TARGET`.
"""

import resource
import sys
import time
from pathlib import Path

from engine.errors import EngineError
from tests.engine.test_hostile import WAYS
from tests.fakes import peak_kib

_ADDRESSES = 2 << 30


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    way, folder, target = sys.argv[1:]
    began = time.monotonic()
    try:
        WAYS[way](Path(folder), Path(target))
        outcome = "made"
    except EngineError as error:
        outcome = f"refused: {error}"
    seconds = time.monotonic() - began
    peak = peak_kib() >> 10
    print(f"{seconds:.1f} {peak} {outcome}")


if __name__ == "__main__":
    main()
