"""What recovery data costs: `python -m tests.recovery.cost [--mib 1024] [--folder F] [--program PAR2]...`.

Each line is one run in a process of its own over the same random archive: seconds, CPU seconds, memory of par2, bytes.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from engine import par2run
from engine.host import HostClock
from engine.progress import silent
from engine.recoverydata import protect_set
from engine.stop import StopRequest
from settings.model import Rate
from settings.reader import parse_settings
from tests.engine.stories import settings_xml
from tests.recovery.harm import REDUNDANCY

ARCHIVE = "data[0001].tar.zst"
_PIECE = 16 << 20


def measure(folder: Path, program: str, redundancy: str, interlacing: str) -> None:
    """One run, printed."""
    par2run.BUNDLED = Path(program).absolute()
    settings = parse_settings(settings_xml({REDUNDANCY: redundancy}, ()), Path("x")).settings
    settings = replace(settings, interlacing=Rate(interlacing))
    began = time.monotonic()
    done = protect_set(folder, settings, HostClock(), StopRequest(), silent)
    seconds = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    parity = list(folder.glob("*.par2"))
    row = {
        "seconds": round(seconds, 1),
        "cpu": round(used.ru_utime + used.ru_stime, 1),
        "mib": used.ru_maxrss >> 10,
        "bytes": sum(file.stat().st_size for file in parity),
        "said": [*done.notes, *done.warnings],
    }
    for file in parity:
        file.unlink()
    print(json.dumps(row))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--program", action="append", default=[])
    parser.add_argument("--redundancy", action="append", default=[])
    parser.add_argument("--interlacing", action="append", default=[])
    parser.add_argument("--one", nargs=4)
    asked = parser.parse_args()
    if asked.one:
        measure(Path(asked.one[0]), *asked.one[1:])
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        rng = random.Random(0)
        with (Path(name) / ARCHIVE).open("wb") as stream:
            for _ in range(asked.mib * (1 << 20) // _PIECE):
                stream.write(rng.randbytes(_PIECE))
        for program in asked.program or ["/usr/bin/par2"]:
            for redundancy in asked.redundancy or ["High"]:
                for interlacing in asked.interlacing or ["None", "Low", "Medium", "High"]:
                    one = [name, program, redundancy, interlacing]
                    command = [sys.executable, "-m", "tests.recovery.cost", "--one", *one]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
                    print(program, redundancy, interlacing, done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
