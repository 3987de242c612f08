"""`python -m tests.damage [KIND...]`: the whole sweeps, with their figures."""

import sys
import tempfile
from pathlib import Path

from tests.damage.all_kinds import ALL_KINDS, sweep_whole

if __name__ == "__main__":
    wanted = [
        kind
        for kind in ALL_KINDS
        if not sys.argv[1:] or any(word in kind.name for word in sys.argv[1:])
    ]
    faults = 0
    for kind in wanted:
        with tempfile.TemporaryDirectory(prefix="backup4d-damage-", dir="/dev/shm") as name:
            figures = sweep_whole(kind, Path(name))
        print(figures, *figures.faults, sep="\n    ", flush=True)
        faults += len(figures.faults)
    sys.exit(1 if faults else 0)
