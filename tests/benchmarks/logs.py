"""`python -m tests.benchmarks.logs [--mb 500] [FOLDER]`: a log with records shaped as real ones, read by each command.

The mix is that of a real log: for 613 records 185 sequence numbers, 185 creations, 61 changes, 89 deletions, 37
contexts opened and closed. Prints the time, records and MB for each second of CPU, and the peak of memory of the
whole process.
"""

import argparse
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.engine.logs import DATALINK, START
from tests.engine.real_shapes import (
    context_values,
    deletion,
    frame,
    long_key,
    row,
    sequence,
)

_NUMBER_AT = 4
_MOVING = frozenset({23, 24, 25, 26})
_TIME_LIMIT = 900


def shapes() -> Iterator[tuple[int, bytes]]:
    """Type and record of one round of work, its numbers still to be set."""
    tables = [bytes([at]) * 16 for at in range(1, 5)]
    for at in range(37):
        context = at + 1
        yield 22, frame(0, 22, START, context_values(task=f"P_{at % 5}"), context)
        for inner in range(5):
            table = tables[(at + inner) % 4]
            size = 36 + 17 * ((at * 7 + inner * 3) % 9)
            data = bytes((at + inner + place) & 255 for place in range(size))
            yield 23, frame(0, 23, START, sequence(inner, table), context)
            yield 24, frame(0, 24, START, long_key(inner) + row(data, inner, table, 5), context)
            if inner % 3 == 0:
                yield 25, frame(0, 25, START, long_key(inner) + row(data, inner, table, 5), context)
            if inner % 2 == 0:
                yield 26, frame(0, 26, START, deletion(long_key(inner), inner, table), context)
        yield 16, frame(0, 16, START, b"", context)


def write_log(file: Path, size: int) -> int:
    """A log of at least so many bytes; the number of its records."""
    kept = [(kind, bytearray(record)) for kind, record in shapes()]
    number = count = written = 0
    with file.open("wb", buffering=1 << 20) as stream:
        stream.write(b"GOl4ATAD" + DATALINK)
        while written < size:
            for kind, record in kept:
                number += kind in _MOVING
                struct.pack_into("<Q", record, _NUMBER_AT, number)
                stream.write(record)
                written += len(record)
            count += len(kept)
    return count


def measure(words: list[str]) -> tuple[float, float, int]:
    """Seconds, seconds of CPU and peak KiB of a command in a process of its own; what it prints goes nowhere."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "scheduler", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if child.returncode or seconds > _TIME_LIMIT:
        raise SystemExit(f"{' '.join(words)}: exit code {child.returncode} after {seconds:.0f} s")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def main() -> None:
    """Make the log, run each command on it, print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.logs", description=__doc__)
    parser.add_argument("--mb", type=int, default=500)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(tempfile.gettempdir()))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        file = Path(folder) / "data.journal"
        count = write_log(file, asked.mb * 1_000_000)
        size = file.stat().st_size
        print(f"{size:,} bytes, {count:,} records, {size / count:.0f} bytes each")
        print(
            f"{'command':<40}{'seconds':>9}{'of CPU':>8}{'records/s':>12}{'MB/s':>6}{'peak MiB':>10}"
        )
        for words in (
            ["log", "info"],
            ["log", "list"],
            ["log", "list", "--json"],
            ["log", "list", "--user", "nobody"],
            ["log", "list", "--operation", "delete-record"],
            ["log", "check"],
        ):
            seconds, busy, peak = measure([*words, str(file)])
            print(
                f"{' '.join(words):<40}{seconds:>9.1f}{busy:>8.1f}{count / busy:>12,.0f}"
                f"{size / busy / 1e6:>6.0f}{peak / 1024:>10.0f}"
            )


if __name__ == "__main__":
    main()
