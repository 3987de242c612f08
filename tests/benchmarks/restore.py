"""A whole restore against `zstd -dc -T2 | tar -x` and restic, and one small file: interleaved runs, medians, ratios.

    python -m tests.benchmarks.restore [--data FOLDER | --size-mib 2048] [--runs 5] [--work FOLDER]

Whole processes are measured, with the archives in the page cache. backup4d does more than tar and zstd: it
compares every file with its digest and makes all of it durable; tar is measured without and with `sync -f`.
restic is left out where it is not installed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.data import write_settings
from tests.benchmarks.measure import Sample, measure_with_options, print_table, run_once

_SMALL_BYTES = 10_000


def main() -> None:
    """Measure and print."""
    measure_with_options(__doc__, _measure)


def _measure(package: Path, work: Path, runs: int) -> None:
    sets, repository, out = work / "sets", work / "restic", work / "out"
    kept = work / "kept"
    kept.mkdir()
    sets.mkdir()
    write_settings(package, sets)
    _call(["backup", str(package)])
    (folder,) = (entry for entry in sets.iterdir() if entry.name.endswith("]"))
    archive = next(folder.glob("*.tar.zst"))
    tar = f"mkdir '{out}' && zstd -dcq -T2 '{archive}' | tar -xp -C '{out}'"
    ours = [sys.executable, "-P", "-m", "scheduler", "restore", str(folder), "--to", str(out)]
    contestants = {
        "zstd -dc -T2 | tar -x": ["bash", "-c", tar],
        "the same and sync": ["bash", "-c", f"{tar} && sync -f '{out}'"],
        "backup4d restore": ours,
    }
    if shutil.which("restic"):
        os.environ.update(RESTIC_PASSWORD="benchmark", RESTIC_CACHE_DIR=str(work / "cache"))  # noqa: S106 - a throw-away repository
        at = ["restic", "-q", "-r", str(repository)]
        subprocess.run([*at, "init"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*at, "backup", str(package)], check=True, stdout=subprocess.DEVNULL)
        contestants["restic restore"] = [*at, "restore", "latest", "--target", str(out)]
    small = _small_file(folder)
    contestants["backup4d, one small file"] = [*ours, "--only", small]
    _warm(folder, repository)
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, command in contestants.items():
            samples[name].append(run_once(command, out))
            _keep(out, kept)
    print_table(samples)


def _keep(out: Path, kept: Path) -> None:
    """Out of the way, and not removed while there is room.

    ext4 without a journal looks for new inodes slowly for minutes after many were given back, and the next
    contestant would pay for it.
    """
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    out.rename(kept / str(len(list(kept.iterdir()))))
    if shutil.disk_usage(kept).free < 2 * size + (8 << 30):
        for entry in kept.iterdir():
            shutil.rmtree(entry)


def _call(words: list[str]) -> bytes:
    command = [sys.executable, "-P", "-m", "scheduler", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def _small_file(folder: Path) -> str:
    """The file of the set that is nearest to 10 KB."""
    rows = json.loads(_call(["show", "--json", str(folder)]))["contents"]
    files = [row for row in rows if row["type"] == "file" and row["role"] == "structure"]
    return str(min(files, key=lambda row: abs(row["size"] - _SMALL_BYTES))["path"])


def _warm(*folders: Path) -> None:
    for folder in folders:
        for file in folder.rglob("*") if folder.exists() else ():
            if file.is_file():
                with file.open("rb", buffering=0) as stream:
                    while stream.read(1 << 20):
                        pass


if __name__ == "__main__":
    main()
