"""What a second reading costs: `python -m tests.inuse.second_pass [MIB] [RUNS]`.

Backups of an application with a data file of so many MiB, alternately undisturbed and with one record written when all but the last MiB
of the data file has been read, so that it is read twice. Processor seconds and seconds of each, their medians, and what the second reading
costs of the first. The check is off: it comes after all reading.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from engine.host import HostClock
from engine.progress import Progress
from tests.benchmarks.data import make_application
from tests.engine.stories import CHECK, App


def measure(app: App, data: Path, *, disturbed: bool) -> tuple[float, float]:
    """Processor seconds and seconds of one backup into an empty folder."""
    size = data.stat().st_size
    left = [disturbed]

    def disturb(progress: Progress) -> None:
        if left[0] and progress.phase == "saving" and progress.done > size - (1 << 20):
            left[0] = False
            with data.open("r+b", buffering=0) as stream:
                stream.seek(size // 2)
                stream.write(b"a record written at %d" % time.time_ns())

    wall, cpu = time.monotonic(), time.process_time()
    folder = app.backup_set(report=disturb)
    seconds = time.process_time() - cpu, time.monotonic() - wall
    assert not left[0], "it was not disturbed"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return seconds


def main(mebibytes: int, runs: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="backup4d-second-pass-") as name:
        package, sets = Path(name) / "app", Path(name) / "sets"
        make_application(package, mebibytes << 20)
        sets.mkdir()
        (package / "Settings").mkdir(exist_ok=True)
        app = App(package, sets, HostClock())
        app.configure({CHECK: "False"}, attachments=())
        data = next(file for file in (package / "Data").iterdir() if file.suffix == ".4DD")
        os.sync()
        time.sleep(0.2)
        took: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for _ in range(runs):
            for disturbed in (False, True):
                time.sleep(0.2)
                took[disturbed].append(measure(app, data, disturbed=disturbed))
        once, twice = (
            tuple(statistics.median(one) for one in zip(*took[kind], strict=True))
            for kind in (False, True)
        )
    print(f"{mebibytes} MiB, median of {runs}        CPU s   wall s")
    print(f"read once                 {once[0]:8.2f} {once[1]:8.2f}")
    print(f"read twice                {twice[0]:8.2f} {twice[1]:8.2f}")
    more = [second / first - 1 for first, second in zip(once, twice, strict=True)]
    print(f"the second reading costs  {more[0]:8.0%} {more[1]:8.0%} of the first")


if __name__ == "__main__":
    main(*(int(text) for text in (*sys.argv[1:3], *("512", "5")[len(sys.argv) - 1 :])))
