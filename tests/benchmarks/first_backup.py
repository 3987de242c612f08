"""A first full backup against `tar | zstd -1 -T2` into the same disk: interleaved runs, medians, ratios.

    python -m tests.benchmarks.first_backup [--data FOLDER | --size-mib 2048] [--runs 5] [--work FOLDER]

Whole processes are measured, warm cache. backup4d does more than tar and zstd do: it makes the set durable
(fsync), reads it back from the disk and compares it; tar and zstd are measured without and with `sync -f`.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.data import make_application, write_settings


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds of wall and processor time, peak memory in MiB, bytes stored."""

    wall: float
    cpu: float
    peak: float
    stored: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
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
        _measure(package, work, options.runs)


def _measure(package: Path, work: Path, runs: int) -> None:
    destination, archive = work / "sets", work / "archive.tar.zst"
    destination.mkdir()
    backup = [sys.executable, "-P", "-m", "scheduler", "backup", str(package)]
    tar = f"set -o pipefail; tar -C '{package}' -c . | zstd -q -1 -T2 -f -o '{archive}'"
    contestants: dict[str, tuple[list[str], Path]] = {
        "tar | zstd -1 -T2": (["bash", "-c", tar], archive),
        "the same and sync": (["bash", "-c", f"{tar} && sync -f '{archive}'"], archive),
        "backup4d, with check": (backup, destination),
        "backup4d, no check": (backup, destination),
    }
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    subprocess.run(
        ["bash", "-c", f"cat $(find '{package}' -type f | head -1) >/dev/null"], check=False
    )
    for _ in range(runs):
        for name, (command, output) in contestants.items():
            write_settings(package, destination, check=name != "backup4d, no check")
            samples[name].append(_run(command, output))
            _clear(output)
    _print(samples)


def _run(command: list[str], output: Path) -> Sample:
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


def _clear(output: Path) -> None:
    if output.is_file():
        output.unlink()
        return
    for entry in output.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _print(samples: dict[str, list[Sample]]) -> None:
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


if __name__ == "__main__":
    main()
