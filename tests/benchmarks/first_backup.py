"""A first full backup against `tar | zstd -1 -T2` into the same disk: interleaved runs, medians, ratios.

    python -m tests.benchmarks.first_backup [--data FOLDER | --size-mib 2048] [--runs 5] [--work FOLDER]

Whole processes are measured, warm cache. backup4d does more than tar and zstd do: it makes the set durable
(fsync), reads it back from the disk and compares it; tar and zstd are measured without and with `sync -f`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.data import write_settings
from tests.benchmarks.measure import Sample, measure_with_options, print_table, run_once


def main() -> None:
    """Measure and print."""
    measure_with_options(__doc__, _measure)


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
            samples[name].append(run_once(command, output))
            _clear(output)
    print_table(samples)


def _clear(output: Path) -> None:
    if output.is_file():
        output.unlink()
        return
    for entry in output.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


if __name__ == "__main__":
    main()
