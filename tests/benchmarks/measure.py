"""What the benchmarks that compare programs share: their options, one measured run, the table of all."""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.data import make_application


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds of wall and processor time, peak memory in MiB, bytes stored."""

    wall: float
    cpu: float
    peak: float
    stored: int


def measure_with_options(
    description: str | None, measure: Callable[[Path, Path, int], None]
) -> None:
    """Read the options, make the application when none is named, and `measure(package, work, runs)`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--data", type=Path, help="an application folder to use (its settings are replaced)"
    )
    parser.add_argument("--size-mib", type=int, default=2048, help="size of the made-up data file")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work", type=Path, help="where to work; a temporary folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as scratch:
        work = Path(scratch)
        package = options.data or work / "app"
        if options.data is None:
            make_application(package, options.size_mib << 20)
        measure(package, work, options.runs)


def run_once(command: list[str], output: Path) -> Sample:
    subprocess.run(["sync"], check=True)
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}")
    files = [output] if output.is_file() else [f for f in output.rglob("*") if f.is_file()]
    stored = sum(file.stat().st_size for file in files)
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, stored)


def print_table(samples: dict[str, list[Sample]]) -> None:
    base = statistics.median(sample.wall for sample in next(iter(samples.values())))
    print(
        f"{'':24}{'wall min':>9}{'median':>8}{'max':>8}{'ratio':>7}{'CPU s':>8}{'MiB':>7}{'stored MB':>11}"
    )
    for name, runs in samples.items():
        walls = sorted(sample.wall for sample in runs)
        median = statistics.median(walls)
        cpu = statistics.median(sample.cpu for sample in runs)
        peak = max(sample.peak for sample in runs)
        print(
            f"{name:24}{walls[0]:9.2f}{median:8.2f}{walls[-1]:8.2f}{median / base:7.2f}{cpu:8.1f}"
            f"{peak:7.0f}{runs[0].stored / 1e6:11.1f}"
        )
